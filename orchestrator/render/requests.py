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
    for tool in request.tools:
        screen.show(Text.assemble(("\ntool ", "head"), (tool.name, "agent"), f": {visible(tool.description)}"))
