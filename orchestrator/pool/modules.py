"""Loads Python of the user's own: files beside descriptors, objects by their place, what packages offer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import cast

from orchestrator.content import shown
from orchestrator.errors import ConfigError
from orchestrator.pool.experts import is_expert
from orchestrator.pool.plugins import BROKEN

__all__ = ["MADE_OF_FILES", "PLACE", "at_place", "experts_in", "module_of_file"]

PLACE = "`package.module:attribute` or `file.py:attribute`"
"""How something of the user's own is named."""

MADE_OF_FILES = "_thinkroute_"
"""Begins the names of modules that were made of a file."""


def module_of_file(path: Path) -> ModuleType:
    """The module of a Python file, loaded once while the file stays as it is; raises `ConfigError`."""
    place = path.resolve()
    if not place.is_file():
        raise ConfigError(
            "there is no such file", file=shown(path), expected="a path from the folder of the descriptor"
        )
    stamp = sha256(f"{place}:{place.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    name = f"{MADE_OF_FILES}{place.stem}_{stamp}"
    if name in sys.modules:
        return sys.modules[name]
    spec = util.spec_from_file_location(name, place)
    if spec is None or spec.loader is None:
        raise ConfigError("cannot be loaded", file=shown(path), expected="a Python file")
    module = util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except BROKEN as error:
        del sys.modules[name]
        problem = f"cannot be loaded: {type(error).__name__}: {error}"
        raise ConfigError(problem, file=shown(path), expected="Python that can be imported") from error
    return module


def experts_in(files: Iterable[Path], named: set[tuple[str, str]]) -> list[Callable[..., object]]:
    """Functions that are decorated in files, but for those that a descriptor names as (file, function) already."""
    found: list[Callable[..., object]] = []
    for path in files:
        module = module_of_file(path)
        for name, value in sorted(vars(module).items()):
            if is_expert(value) and value.__module__ == module.__name__ and (path.name, name) not in named:
                found.append(value)
    return found


def at_place(name: str, field: str) -> object:
    """What stands at `package.module:attribute` or `file.py:attribute`; raises `ConfigError` where nothing does.

    A file is found from the working directory.
    """
    module, _, attribute = name.rpartition(":")
    try:
        value: object = module_of_file(Path(module)) if module.endswith(".py") else import_module(module)
        for part in attribute.split("."):
            value = cast("object", getattr(value, part))
    except ConfigError as error:
        raise ConfigError(f"`{name}`: {error.problem}", field=field, expected=PLACE) from error
    except BROKEN as error:
        raise ConfigError(f"`{name}` cannot be loaded: {error}", field=field, expected=PLACE) from error
    return value
