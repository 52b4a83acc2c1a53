"""What installed packages plug in by entry points; read when it is asked for, loaded when it is used."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from orchestrator.errors import ConfigError
from orchestrator.pool.modules import BROKEN

__all__ = ["loaded", "plugged_in"]


def plugged_in(group: str) -> dict[str, EntryPoint]:
    """What a group offers, by name; nothing of it is loaded."""
    return {point.name: point for point in _points(group, tuple(sys.path))}


@cache
def _points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The same for as long as Python looks in the same places: an eval asks for every case."""
    del path
    return tuple(entry_points(group=group))


def loaded(point: EntryPoint) -> object:
    """What an entry point stands for; raises `ConfigError` naming it where it cannot be loaded."""
    try:
        return point.load()
    except BROKEN as error:
        source = f"entry point `{point.name}` ({point.value})"
        raise ConfigError(f"cannot be loaded: {type(error).__name__}: {error}", file=source) from error
