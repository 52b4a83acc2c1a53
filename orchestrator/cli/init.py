"""`init` writes a starter folder: a pool of one's own, with an expert that runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["init"]

_QUESTION = "How many r are in strawberry?"


def init(
    folder: Annotated[
        Path, typer.Argument(help="Where to write; the current folder where left out.", show_default=False)
    ] = Path(),
) -> None:
    """Write a commented starter folder: descriptors, a tool in Python, a prompt; overwrites nothing."""
    from orchestrator.errors import ConfigError
    from orchestrator.render import Screen

    texts = _starter()
    if taken := [str(folder / name) for name in texts if (folder / name).exists()]:
        raise ConfigError(
            "is there already, so nothing was written", file=taken[0], expected="a folder without these files"
        )
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    screen, agents = Screen(), shlex.quote(str(folder / "agents"))
    screen.note(f"wrote {', '.join(str(folder / name) for name in texts)}; next:")
    screen.answer(f"orchestrator agents validate --pool mine --agents {agents}")
    screen.answer(f"orchestrator run {shlex.quote(_QUESTION)} --pool mine --agents {agents}")


def _starter() -> dict[str, str]:
    """The files of the starter folder by their place in it."""
    from orchestrator.content import builtin

    root = builtin("starter")
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix in {".md", ".py", ".toml"})
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files}
