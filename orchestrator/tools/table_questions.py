"""What a question asks of a table: a measure of a column, in a file, under conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Ask", "Comparison", "Condition", "Measure", "read"]

Measure = Literal["sum", "average", "count", "least", "greatest"]
Comparison = Literal["=", "!=", ">", "<", ">=", "<="]

MAX_TEXT = 500

MEASURES: dict[str, Measure] = {
    "sum": "sum", "sum up": "sum", "add up": "sum", "total": "sum", "sum total": "sum", "average": "average",
    "mean": "average", "avg": "average", "count": "count", "number": "count", "how many": "count", "min": "least",
    "minimum": "least", "smallest": "least", "lowest": "least", "max": "greatest", "maximum": "greatest",
    "largest": "greatest", "highest": "greatest", "biggest": "greatest",
}  # fmt: skip
ROWS = {"rows", "row", "lines", "records", "entries", "rows are there", "rows are", "records are there"}
SIGNS: dict[str, Comparison] = {
    "is at least": ">=", "is at most": "<=", "is not": "!=", "is": "=", "equals": "=", "is over": ">", "is above": ">",
    "is under": "<", "is below": "<", "==": "=", "=": "=", "!=": "!=", "<>": "!=", "≠": "!=", ">=": ">=", "≥": ">=",
    "<=": "<=", "≤": "<=", ">": ">", "<": "<",
}  # fmt: skip

LEAD = re.compile(
    r"(?:(?:please|can you|could you|what is|what's|what was|what are|whats|how much is|calculate|compute|find|give me|"
    r"show me|show|tell me|the) )*",
    re.IGNORECASE,
)
FILE = re.compile(
    r"(?:\b(?:in|from|of|for) )?(?:the )?(?:\b(?:file|table) )?[\"'`]?([\w()~./\\-]+\.(?:csv|tsv|txt))\b[\"'`]?,?",
    re.IGNORECASE,
)
WHERE = re.compile(r" (?:where|with|for which|when|if|having|have|in which|whose)(?: the)? ", re.IGNORECASE)
MEASURE = re.compile(
    rf"({'|'.join(sorted(MEASURES, key=len, reverse=True))})(?: of)?(?: the| all)?(?: (?:column|values in))?"
    r" ([^\W\d][\w .%-]{0,60}?)(?: column| values?)?",
    re.IGNORECASE,
)
WORD_SIGNS = "|".join(sorted((sign for sign in SIGNS if sign.isascii() and sign[0].isalpha()), key=len, reverse=True))
CONDITION = re.compile(rf"([\w .%-]{{1,60}}?) ?(==|!=|<>|>=|<=|[=<>≠≥≤]| (?:{WORD_SIGNS}) ) ?(.+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Condition:
    """What the cell of a column has to be."""

    column: str
    sign: Comparison
    value: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A measure of a column, or of rows where `column` is None."""

    measure: Measure
    column: str | None
    file: str | None
    conditions: tuple[Condition, ...]


def read(question: str) -> Ask | None:
    """What is asked, or None where the question asks nothing of a table."""
    if len(question) > MAX_TEXT:
        return None
    text = " ".join(question.split()).rstrip(" ?.!;:")
    file = FILE.search(text)
    if file:
        text = " ".join((text[: file.start()] + " " + text[file.end() :]).split())
    text = text[lead.end() :] if (lead := LEAD.match(text)) else text
    head, *rest = WHERE.split(text, maxsplit=1)
    found = MEASURE.fullmatch(head.strip(" ,"))
    conditions = _conditions(rest[0]) if rest else ()
    if not found or conditions is None:
        return None
    measure, column = MEASURES[found[1].lower()], found[2].strip()
    rows = measure == "count" and column.lower() in ROWS
    return Ask(measure, None if rows else column, file[1] if file else None, conditions)


def _conditions(text: str) -> tuple[Condition, ...] | None:
    """The conditions joined by "and"; an "and" within a value stays there."""
    pieces: list[str] = []
    for piece in re.split(r" and ", text, flags=re.IGNORECASE):
        if pieces and not CONDITION.fullmatch(piece):
            pieces[-1] += f" and {piece}"
        else:
            pieces.append(piece)
    found = [_condition(piece.strip(" ,")) for piece in pieces]
    return tuple(each for each in found if each) if all(found) else None


def _condition(text: str) -> Condition | None:
    found = CONDITION.fullmatch(text)
    if not found:
        return None
    column = re.sub(r"^the ", "", found[1].strip(), flags=re.IGNORECASE)
    value = found[3].strip().strip("\"'“”‘’`").strip()
    return Condition(column, SIGNS[found[2].strip().lower()], value) if column and value else None
