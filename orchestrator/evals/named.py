"""Routers, merges and scorers of one's own in a suite: `package.module:attribute` or `file.py:attribute`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import cast

from orchestrator.errors import ConfigError
from orchestrator.pool.modules import BROKEN, module_of_file

__all__ = ["located", "named_object", "short_name"]

EXPECTED = "`package.module:attribute` or `file.py:attribute`"


def located(name: str, folder: Path) -> str:
    """The name with its file, if it names one, as a path from the root: it is found wherever one goes on from."""
    module, mark, attribute = name.rpartition(":")
    return f"{(folder / module).resolve()}{mark}{attribute}" if module.endswith(".py") else name


def short_name(name: str) -> str:
    """The name without the folder of its file, as reports show it."""
    module, mark, attribute = name.rpartition(":")
    return f"{Path(module).name}{mark}{attribute}" if module.endswith(".py") else name


def named_object(name: str, field: str) -> object:
    """What stands at such a place; raises `ConfigError` where nothing does, or where it cannot be loaded."""
    module, _, attribute = name.rpartition(":")
    try:
        home = module_of_file(Path(module)) if module.endswith(".py") else import_module(module)
        return cast("object", getattr(home, attribute))
    except ConfigError as error:
        raise ConfigError(f"`{name}`: {error.problem}", field=field, expected=EXPECTED) from error
    except BROKEN as error:
        raise ConfigError(f"`{name}` cannot be loaded: {error}", field=field, expected=EXPECTED) from error
