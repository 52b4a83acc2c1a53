"""Keeps the options of a durable run in its trace, and reads them back when it is resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from orchestrator.cli.run_options import PreferName

if TYPE_CHECKING:
    from pydantic import JsonValue

    from orchestrator.cli.wanted import Wanted

__all__ = ["command_of", "wanted_again"]

LEFT_OUT = ("question", "trace", "durable", "asks")
"""What stands elsewhere in the trace, or goes without saying."""
PATHS = ("confidence", "docs", "recorded", "system", "messages")
LISTS_OF_PATHS = ("agents", "table", "file")


def command_of(wanted: Wanted) -> dict[str, JsonValue]:
    """The options that a run was asked for with, as JSON; paths as they are found from anywhere."""
    given = {field.name: getattr(wanted, field.name) for field in fields(wanted) if field.name not in LEFT_OUT}
    return {name: _as_json(value) for name, value in given.items() if value is not None and value is not False}


def wanted_again(note: Mapping[str, JsonValue], question: str, trace: Path, **changed: object) -> Wanted:
    """What the command line asked for when the run was begun."""
    from orchestrator.cli.wanted import Wanted

    options = {name: _as_option(name, value) for name, value in note.items()}
    asked = None if "messages" in options else question
    more = {name: value for name, value in changed.items() if value is not None}
    return Wanted(**cast("dict[str, Any]", {**options, **more}), question=asked, trace=trace, durable=True)


def _as_json(value: object) -> JsonValue:
    if isinstance(value, Path):
        return str(value.resolve())
    if isinstance(value, (list, tuple)):
        return [_as_json(each) for each in cast("list[object]", value)]
    return cast("JsonValue", value.value if isinstance(value, Enum) else value)


def _as_option(name: str, value: JsonValue) -> object:
    if name == "prefer":
        return PreferName(value)
    if name in PATHS:
        return Path(str(value))
    if name in LISTS_OF_PATHS and isinstance(value, list):
        return [Path(str(each)) for each in value]
    return value
