"""What a question asks of a table: a measure of a column, in a file, under conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from orchestrator.tools.tables import plain_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Ask", "Comparison", "Condition", "Measure", "may_ask", "readings"]

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
IF = "(?:where|with|for which|when|if|having|have|in which|whose)"
WHERE = re.compile(rf" {IF}(?: the)? ", re.IGNORECASE)
HIDDEN = "\ue000-\uf8ff"
"""Signs of private use, each of which stands for a quotation or a header that the grammar would stumble over."""
ANY = "|".join(sorted(MEASURES, key=len, reverse=True))
ANY_MEASURE = re.compile(rf"\b(?:{ANY})\b", re.IGNORECASE)
MEASURE = re.compile(
    rf"({ANY})(?: of)?(?: the| all)?(?: (?:column|values in))?"
    rf" (?!of\b)((?:[^\W\d]|[{HIDDEN}])[\w .%{HIDDEN}-]{{0,60}}?)(?: column| values?)?",
    re.IGNORECASE,
)
WORD_SIGNS = "|".join(sorted((sign for sign in SIGNS if sign.isascii() and sign[0].isalpha()), key=len, reverse=True))
CONDITION = re.compile(
    rf"([\w .%{HIDDEN}-]{{1,60}}?) ?(==|!=|<>|>=|<=|[=<>≠≥≤]| (?:{WORD_SIGNS}) ) ?(.+)", re.IGNORECASE
)
QUOTED = re.compile(r"(?<!\w)(?:\"[^\"]+\"|“[^”]+”|‘[^’]+’|`[^`]+`|'[^']+')(?!\w)")
QUOTES = "\"'“”‘’`"
SIMPLE = re.compile(r"[^\W\d]\w*")
"""A header that is one word, which needs no hiding."""


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
    """The table that is named, by its file or by the file's name without its ending."""
    conditions: tuple[Condition, ...]
    phrase: str
    """Measure and column as they were typed."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is named."""
        return (*(condition.column for condition in self.conditions), *([self.column] if self.column else []))


def may_ask(question: str) -> bool:
    """Whether the question names a measure at all."""
    return len(question) <= MAX_TEXT and bool(ANY_MEASURE.search(question))


def readings(question: str, headers: Sequence[str] = (), *, tables: Sequence[str] = ()) -> list[Ask]:
    """What may be asked, the likeliest first; empty where the question asks nothing of a table.

    `headers` may hold any words and signs, the longest that is found counts; `tables` are names of files without
    their endings. A column called "price in orders" goes before the column "price" of the table "orders".
    """
    if len(question) > MAX_TEXT or re.search(f"[{HIDDEN}]", question):
        return []
    text = " ".join(question.split()).rstrip(" ?.!;:")
    file = _file(text, tables)
    if file:
        text = " ".join((text[: file.start()] + " " + text[file.end() :]).split())
    named = file[1] if file else None
    texts = [_Hiding(text, headers), *([_Hiding(text, ())] if headers else [])]
    found = [ask for hiding in texts for ask in hiding.read(named, tables)]
    return list(dict.fromkeys(sorted(found, key=lambda ask: ask.file is not None)))


def _file(text: str, tables: Sequence[str]) -> re.Match[str] | None:
    """Where the text names a file: one with blanks in its name too, where it was given."""
    if spaced := _pattern([name for name in tables if " " in name], text):
        known = re.compile(
            r"(?:\b(?:in|from|of|for) )?(?:the )?(?:\b(?:file|table) )?"
            rf"[\"'`]?((?:{spaced})\.(?:csv|tsv|txt))\b[\"'`]?,?",
            re.IGNORECASE,
        )
        if found := known.search(text):
            return found
    return FILE.search(text)


def _pattern(names: Sequence[str], text: str) -> str:
    """A pattern for those of the names that occur in the text, the longest first; empty where none does."""
    plain = plain_name(text)
    held = sorted({name for name in map(plain_name, names) if name and name in plain}, key=len, reverse=True)
    return "|".join(r"[\s_-]+".join(map(re.escape, name.split(" "))) for name in held)


class _Hiding:
    """A question in which quotations and headers of several words are one sign each, and how to read it."""

    def __init__(self, text: str, headers: Sequence[str]) -> None:
        self.kept: list[str] = []
        hard = [header for header in headers if not SIMPLE.fullmatch(plain_name(header))]
        if pattern := _pattern(hard, text):
            text = re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", self._hide, text, flags=re.IGNORECASE)
        self.text = QUOTED.sub(self._hide, text)

    def _hide(self, hit: re.Match[str]) -> str:
        self.kept.append(hit.group())
        return chr(ord(HIDDEN[0]) + len(self.kept) - 1)

    def shown(self, text: str) -> str:
        """The text as it was typed; what was hidden last may hold what was hidden before it."""
        for number in reversed(range(len(self.kept))):
            text = text.replace(chr(ord(HIDDEN[0]) + number), self.kept[number])
        return text

    def read(self, file: str | None, tables: Sequence[str]) -> Iterator[Ask]:
        """The ways to read it: as it stands, and with the name of a table taken off."""
        yield from self._ask(self.text, file)
        if file is None and (pattern := _pattern(tables, self.shown(self.text))):
            name = rf"(?:table |file )?({pattern}|[{HIDDEN}])(?: table| file)?"
            ahead, behind = (
                rf"^(?:in|from) (?:the )?{name},(?= )",
                rf" (?:in|from|of|for) (?:the )?{name}(?=,? {IF} |$)",
            )
            for regex in (ahead, behind):
                for hit in re.finditer(regex, self.text, re.IGNORECASE):
                    if plain_name(table := _bare(self.shown(hit[1]))) in map(plain_name, tables):
                        yield from self._ask((self.text[: hit.start()] + self.text[hit.end() :]).strip(), table)

    def _ask(self, text: str, file: str | None) -> Iterator[Ask]:
        text = text[lead.end() :] if (lead := LEAD.match(text)) else text
        head, *rest = WHERE.split(text, maxsplit=1)
        found = MEASURE.fullmatch(head.strip(" ,"))
        conditions = self._conditions(rest[0]) if rest else ()
        if not found or conditions is None:
            return
        measure, column = MEASURES[found[1].lower()], _bare(self.shown(found[2]))
        rows = measure == "count" and column.lower() in ROWS
        yield Ask(measure, None if rows else column, file, conditions, self.shown(found[0]))

    def _conditions(self, text: str) -> tuple[Condition, ...] | None:
        """The conditions joined by "and"; an "and" within a value stays there."""
        pieces: list[str] = []
        for piece in re.split(r" and ", text, flags=re.IGNORECASE):
            if pieces and not CONDITION.fullmatch(piece):
                pieces[-1] += f" and {piece}"
            else:
                pieces.append(piece)
        found = [self._condition(piece.strip(" ,")) for piece in pieces]
        return tuple(each for each in found if each) if all(found) else None

    def _condition(self, text: str) -> Condition | None:
        found = CONDITION.fullmatch(text)
        if not found:
            return None
        column = _bare(self.shown(re.sub(r"^the ", "", found[1].strip(), flags=re.IGNORECASE)))
        value = _bare(self.shown(found[3]))
        return Condition(column, SIGNS[found[2].strip().lower()], value) if column and value else None


def _bare(text: str) -> str:
    """The text without the quotation marks around it, or without one that stands alone at an end."""
    bare = text.strip()
    return (bare[1:-1] if QUOTED.fullmatch(bare) else bare.strip(QUOTES)).strip()
