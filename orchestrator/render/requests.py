"""Shows what a model would be asked, word for word."""

from __future__ import annotations

from rich.text import Text

from orchestrator.providers import Request
from orchestrator.render.screen import Screen, visible

__all__ = ["show_request"]


def show_request(request: Request, screen: Screen) -> None:
    """Print the messages and tools of a request."""
    for message in request.messages:
        screen.show(Text())
        screen.show(Text(message.role, "head"))
        screen.show(Text(visible(message.content)))
        for image in message.images:
            screen.show(Text(f"[image {_brief(image)}]"))
    for tool in request.tools:
        screen.show(Text.assemble(("\ntool ", "head"), (tool.name, "agent"), f": {visible(tool.description)}"))


def _brief(image: str) -> str:
    """An image's address; of one that is the image itself, the beginning."""
    kind, held, data = image.partition(";base64,")
    return f"{kind}, {len(data):,} characters" if held else image
