"""Routers, merges and scorers of one's own in a suite: `package.module:attribute` or `file.py:attribute`."""

from __future__ import annotations

from pathlib import Path

from orchestrator.pool.modules import at_place as named_object

__all__ = ["located", "named_object", "short_name"]


def located(name: str, folder: Path) -> str:
    """The name with its file, if it names one, as a path from the root: it is found wherever one goes on from."""
    module, mark, attribute = name.rpartition(":")
    return f"{(folder / module).resolve()}{mark}{attribute}" if module.endswith(".py") else name


def short_name(name: str) -> str:
    """The name without the folder of its file, as reports show it."""
    module, mark, attribute = name.rpartition(":")
    return f"{Path(module).name}{mark}{attribute}" if module.endswith(".py") else name
