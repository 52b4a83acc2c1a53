"""Any Python value as JSON can hold it: what a trace keeps of the artifacts that experts give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from math import isfinite
from typing import cast

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from orchestrator.messages import as_text

__all__ = ["Kept", "plain", "text_kept"]

DEEPEST = 100
"""Levels of lists and tables that are kept; readers of JSON give up not far below."""
LONGEST_INTEGER = 14_000
"""Bits of a number that is kept as such; readers of JSON take 4,300 digits."""
LEFT_OUT = "…"


@dataclass(frozen=True, slots=True)
class Kept:
    """An artifact read back from a trace: its JSON, and the text that it read as."""

    value: object
    text: str

    def __str__(self) -> str:
        return self.text


def text_kept(value: object) -> str | None:
    """The text of an artifact where what a trace keeps of it would read otherwise; None for a text itself."""
    if isinstance(value, str):
        return None
    kept, text = to_jsonable_python(plain(value)), as_text(value)
    return text if isinstance(kept, str) or str(kept) != text else None


def plain(value: object, above: tuple[int, ...] = ()) -> object:
    """The value in the types of JSON, always one that can be written and read again.

    Half surrogates, bytes, giant numbers, NaN and infinity are written out as text, cycles and depths without end are
    cut off, and what JSON has no word for is shown as Python does; `above` are the ids of what holds the value.
    """
    if id(value) in above or len(above) > DEEPEST:
        return LEFT_OUT
    inside = (*above, id(value))
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case None | bool():
            return value
        case float():
            return value if isfinite(value) else str(Decimal(value))
        case int():
            return value if value.bit_length() <= LONGEST_INTEGER else hex(value)
        case bytes() | bytearray():
            return value.decode("utf-8", "backslashreplace")
        case Mapping():
            table = cast("Mapping[object, object]", value)
            return {_key(key): plain(inner, inside) for key, inner in table.items()}
        case set() | frozenset():
            return sorted((plain(inner, inside) for inner in cast("set[object]", value)), key=str)
        case list() | tuple():
            return [plain(inner, inside) for inner in cast("list[object]", value)]
        case _:
            return _opened(value, inside)


def _key(key: object) -> str:
    return str(plain(key if isinstance(key, (str, bytes, int)) else str(key)))


def _opened(value: object, inside: tuple[int, ...]) -> object:
    """A record by its fields, dates and the like in their usual form, anything else as Python shows it."""
    if isinstance(value, Kept):
        return plain(value.value, inside)
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name), inside) for name in type(value).model_fields}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), inside) for field in fields(value)}
    shown = repr(value)
    if isinstance(value, Iterator):  # to look into it would use it up
        return plain(shown, inside)
    try:
        return plain(to_jsonable_python(value), inside)
    except ValueError:  # pydantic's own errors are such, too
        return plain(shown, inside)
