"""Structured analyses of experts: what they are asked for, and how their words are read, strictly or leniently."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard, cast

__all__ = ["Stated", "analysis_schema", "stated_in"]

MOST_BEGINNINGS = 64
"""Places of a text at which an object may begin that are tried."""
_PERCENT = re.compile(r"\s*(\d{1,3}(?:\.\d+)?)\s*%\s*")


@dataclass(frozen=True, slots=True)
class Stated:
    """An analysis as its expert stated it."""

    answer: str
    evidence: tuple[str, ...] = ()
    """What the answer rests on."""
    eliminated: tuple[str, ...] = ()
    """Other answers, and why they are ruled out."""
    confidence: float | None = None
    """From 0 to 1; None where none was stated, or none that is a probability."""


def analysis_schema(choices: Sequence[str] = ()) -> dict[str, object]:
    """The JSON Schema of an analysis; with choices the answer is one of them."""
    texts = {"type": "array", "items": {"type": "string"}}
    answer: dict[str, object] = {"type": "string", "enum": list(choices)} if choices else {"type": "string"}
    properties = {"answer": answer, "evidence": texts, "eliminated": texts, "confidence": {"type": "number"}}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def stated_in(text: str) -> Stated | None:
    """The analysis that a text is or holds: bare JSON, in a fence, or among prose; None where it holds none.

    Of several objects with an answer the last one counts. Nothing of the text is run, and none is too odd to be read.
    """
    found = [stated for each in _objects(text) if (stated := _stated(each)) is not None]
    return found[-1] if found else None


def _objects(text: str) -> list[dict[str, object]]:
    """JSON objects of a text that stand in no other, from left to right; of a text with very many the last."""
    begins = [found.start() for found in re.finditer(r"\{", text)]
    places, decoder = (begins[:1] + begins[1:][-MOST_BEGINNINGS:]), json.JSONDecoder()
    found: list[dict[str, object]] = []
    end = 0
    for place in places:
        if place < end:
            continue
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            continue
        if _is_table(value):
            found.append(value)
    return found


def _stated(table: dict[str, object]) -> Stated | None:
    answer = _text(table.get("answer"))
    if not answer.strip():
        return None
    return Stated(
        answer, _texts(table.get("evidence")), _texts(table.get("eliminated")), _probability(table.get("confidence"))
    )


def _text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return ""


def _texts(value: object) -> tuple[str, ...]:
    listed = cast("list[object]", value) if isinstance(value, list) else [value]
    return tuple(text for each in listed if (text := _text(each)).strip())


def _probability(value: object) -> float | None:
    """A number from 0 to 1, or a percentage in words; nothing else is one."""
    if isinstance(value, str) and (found := _PERCENT.fullmatch(value)):
        return _within(float(found[1]) / 100)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return _within(float(value))
    except (ValueError, OverflowError):
        return None


def _within(number: float) -> float | None:
    return number if 0 <= number <= 1 else None


def _is_table(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)
