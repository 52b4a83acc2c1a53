"""Routers, merges, scorers and loaders of one's own in a suite: by place, or by the name of an entry point.

A place is `package.module:attribute` or `file.py:attribute`; the groups of entry points are `orchestrator.routers`,
`orchestrator.merges`, `orchestrator.scorers` and `orchestrator.loaders`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from orchestrator.errors import ConfigError, nearest
from orchestrator.pool.modules import PLACE, at_place
from orchestrator.pool.plugins import find_plugin, plugin_names

__all__ = ["located", "own_object", "short_name"]


def located(name: str, folder: Path) -> str:
    """The name with its file, if it names one, as a path from the root: it is found wherever one goes on from."""
    module, mark, attribute = name.rpartition(":")
    return f"{(folder / module).resolve()}{mark}{attribute}" if module.endswith(".py") else name


def short_name(name: str) -> str:
    """The name without the folder of its file, as reports show it."""
    module, mark, attribute = name.rpartition(":")
    return f"{Path(module).name}{mark}{attribute}" if module.endswith(".py") else name


def own_object(name: str, field: str, known: Iterable[str]) -> object:
    """What a name that is none of those known stands for: an object at a place, or what a package plugs in.

    `field` is `router`, `merge`, `scorer` or `loader`. Raises `ConfigError` with the nearest name where there is none.
    """
    if ":" in name:
        return at_place(name, field)
    if plugin := find_plugin(f"{field}s", name):
        try:
            return plugin.load()
        except ConfigError as error:
            raise ConfigError(f"{error.file}: {error.problem}", field=field, expected=PLACE) from error
    names = [*known, *plugin_names(f"{field}s")]
    raise ConfigError(
        f"there is no {field} `{name}`",
        field=field,
        expected="one of " + ", ".join(names) + f", or {PLACE}",
        suggestion=nearest(name, names),
    )
