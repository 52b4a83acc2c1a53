"""Machine-readable output: one JSON document in which money keeps its digits."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import cast

import orjson
from pydantic import BaseModel

__all__ = ["document", "line"]

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


LONGEST_INTEGER = 63
"""Bits of an integer that orjson writes itself, whatever its sign."""


def document(value: object) -> str:
    """JSON of a value, indented; a Decimal is a number with its own digits, what is unknown is null."""
    return _json(value, _OPTIONS | orjson.OPT_INDENT_2)


def line(value: object) -> str:
    """The same on one line."""
    return _json(value, _OPTIONS)


def _json(value: object, options: int) -> str:
    try:
        return orjson.dumps(value, default=_default, option=options).decode()
    except orjson.JSONEncodeError:
        return orjson.dumps(_written_out(value), default=_default, option=options).decode()


def _default(value: object) -> object:
    """What orjson does not know; raises TypeError where nobody does."""
    if isinstance(value, Decimal):
        return orjson.Fragment(f"{value:f}" if value.is_finite() else "null")
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name, field in type(value).model_fields.items() if not field.exclude}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def _written_out(value: object) -> object:
    """The value with what orjson refuses written out: half surrogates, which no UTF-8 can hold, and long integers."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and value.bit_length() > LONGEST_INTEGER:
        return orjson.Fragment(str(value))
    if isinstance(value, dict):
        table = cast("dict[object, object]", value)
        return {_written_out(key): _written_out(inner) for key, inner in table.items()}
    if isinstance(value, (list, tuple)):
        return [_written_out(inner) for inner in cast("list[object]", value)]
    return _written_out(_default(value)) if isinstance(value, BaseModel) or is_dataclass(value) else value
