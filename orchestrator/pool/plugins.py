"""What installed packages offer under entry points: looked up by group and name when somebody asks for it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from orchestrator.errors import ConfigError

__all__ = ["BROKEN", "GROUPS", "Plugin", "find_plugin", "group_name", "plugin_names", "plugins"]

BROKEN = (ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError, LookupError, OSError)
"""What a module that cannot be loaded may raise."""
GROUPS = ("agents", "routers", "merges", "monitors", "providers", "scorers", "loaders")
"""What can be plugged in; the entry-point group of each is `orchestrator.` and this word."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of an installed package; nothing of it is imported until `load`."""

    group: str
    """One of `GROUPS`."""
    name: str
    value: str
    """Where it stands, as `module:attribute`."""
    package: str | None
    version: str | None
    point: EntryPoint = field(repr=False)

    @property
    def source(self) -> str:
        """Where it comes from, for messages."""
        return f"entry point `{self.name}` ({self.value})"

    def load(self) -> object:
        """What is offered; raises `ConfigError` where it cannot be imported."""
        try:
            return cast("object", self.point.load())
        except BROKEN as error:
            raise ConfigError(f"cannot be loaded: {type(error).__name__}: {error}", file=self.source) from error

    def made(self) -> object:
        """What is offered, a class as an object of it; raises `ConfigError` where that takes arguments."""
        offered = self.load()
        try:
            return cast("object", offered()) if isinstance(offered, type) else offered
        except TypeError as error:
            expected = "an object, a function, or a class that takes no arguments"
            raise ConfigError(f"cannot be made: {error}", file=self.source, expected=expected) from error


def group_name(group: str) -> str:
    """The entry-point group of a word of `GROUPS`."""
    return f"orchestrator.{group}"


def plugins(*groups: str) -> list[Plugin]:
    """All that installed packages offer in these groups, in all of them where none is named, by group and name."""
    found = [_plugin(group, point) for group in groups or GROUPS for point in _points(group)]
    return sorted(set(found), key=lambda each: ((groups or GROUPS).index(each.group), each.name, each.value))


def plugin_names(group: str) -> list[str]:
    """The names that are offered in a group, sorted."""
    return sorted({point.name for point in _points(group)})


def find_plugin(group: str, name: str) -> Plugin | None:
    """What is offered under a name; None where nothing is. Raises `ConfigError` where two packages offer it."""
    found = sorted({_plugin(group, p) for p in _points(group) if p.name == name}, key=lambda p: p.value)
    if len({each.value for each in found}) > 1:
        offers = " and ".join(f"{each.package} ({each.value})" for each in found)
        problem = f"several packages offer `{name}`: {offers}"
        raise ConfigError(problem, field=group_name(group), expected="one of them installed")
    return found[0] if found else None


def _points(group: str) -> tuple[EntryPoint, ...]:
    return _read(group_name(group), tuple(sys.path))


@cache
def _read(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The same for as long as Python looks in the same places: an eval asks for every case."""
    del path
    return tuple(entry_points(group=group))


def _plugin(group: str, point: EntryPoint) -> Plugin:
    package = point.dist
    name, version = (package.name, package.version) if package is not None else (None, None)
    return Plugin(group, point.name, point.value, name, version, point)
