"""CSV files: their headers, their rows, and the numbers in their cells."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from orchestrator.errors import ToolError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

__all__ = ["Numbers", "Table", "number", "open_table", "plain_name"]

MAX_BYTES = 100_000_000
HEADER_BYTES = 65_536
DELIMITERS = (",", ";", "\t", "|")
POINT = re.compile(r"[-+]?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?|[-+]?\.[0-9]+")
COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")
AMBIGUOUS = re.compile(r"[-+]?[1-9][0-9]{0,2},[0-9]{3}")
MAX_NUMBER = 100


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file whose header has been read; rows are counted as a spreadsheet does, the header being row 1."""

    path: Path
    columns: tuple[str, ...]
    delimiter: str
    encoding: str

    def column(self, name: str) -> int:
        """The place of a column, whose name may differ in case, blanks and underscores."""
        places = {plain_name(column): place for place, column in enumerate(self.columns)}
        if len([column for column in self.columns if plain_name(column) == plain_name(name)]) > 1:
            raise ToolError(f"{self.path.name} has several columns `{name}`")
        if plain_name(name) in places:
            return places[plain_name(name)]
        raise ToolError(self.missing(name))

    def missing(self, name: str) -> str:
        """What to say of a column that is not there."""
        like = self.like(name)
        hint = f"; did you mean `{like}`?" if like else f"; it has {', '.join(self.columns)}"
        return f"{self.path.name} has no column `{name}`{hint}"

    def has(self, name: str) -> bool:
        """Whether there is a column of this name."""
        return plain_name(name) in map(plain_name, self.columns)

    def like(self, name: str) -> str | None:
        """The longest column that the name begins with, else the one that looks most like it; None where none does."""
        plain, wanted = {plain_name(column): column for column in self.columns}, plain_name(name)
        begun = [column for column in plain if column and wanted.startswith(f"{column} ")]
        near = max(begun, key=len) if begun else nearest(wanted, plain)
        return plain[near] if near is not None else None

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Row numbers and cells; blank lines are passed over, rows of another length are an error."""
        try:
            with self.path.open(encoding=self.encoding, newline="") as stream:
                yield from self._rows(stream)
        except (OSError, UnicodeError, csv.Error) as error:
            raise ToolError(f"{self.path.name} cannot be read: {error}") from error

    def _rows(self, stream: TextIO) -> Iterator[tuple[int, list[str]]]:
        for row, cells in enumerate(csv.reader(stream, delimiter=self.delimiter), 1):
            if row == 1 or not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(self.columns):
                raise ToolError(f"{self.path.name}, row {row}: {len(cells)} cells under {len(self.columns)} columns")
            yield row, cells


def open_table(path: Path) -> Table:
    """The table behind a path, or a `ToolError` that says what is wrong with it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ToolError(f"{path.name} is larger than {MAX_BYTES // 1_000_000} MB")
        with path.open("rb") as stream:
            start = stream.read(HEADER_BYTES)
    except OSError as error:
        raise ToolError(f"{path.name} cannot be read: {error.strerror}") from error
    encoding = _encoding(start)
    header = start.decode(encoding, errors="replace").splitlines()[:1]
    if not header or not header[0].strip():
        raise ToolError(f"{path.name} is empty: its first line should name the columns")
    delimiter, columns = _columns(header[0])
    return Table(path, tuple(column.strip() for column in columns), delimiter, encoding)


def plain_name(name: str) -> str:
    """A column's name without case, and with blanks, hyphens and underscores alike."""
    return " ".join(re.split(r"[\s_-]+", name.strip().casefold()))


def number(text: str, *, comma: bool = False) -> Decimal | None:
    """The number in a cell, or None; `comma` allows 1,5 for one and a half."""
    bare = text.strip()
    if len(bare) > MAX_NUMBER:
        return None
    if comma and COMMA.fullmatch(bare):
        return Decimal(bare.replace(",", "."))
    return Decimal(bare.replace(",", "")) if POINT.fullmatch(bare) else None


class Numbers:
    """Reads the numbers of one column; refuses what is none, and what may be one of two."""

    def __init__(self, table: Table, column: int) -> None:
        self.place = f"{table.path.name}, row {{}}, column `{table.columns[column]}`: "
        self.comma = table.delimiter != ","
        self.marks: set[str] = set()

    def read(self, text: str, row: int) -> Decimal:
        """The number in a cell of this row."""
        bare = text.strip()
        found = number(bare, comma=self.comma)
        if found is None:
            raise ToolError(f"{self.place.format(row)}`{bare[:40]}` is not a number")
        if self.comma:
            self.marks |= {mark for mark in ".," if mark in bare}
            if AMBIGUOUS.fullmatch(bare) or len(self.marks) > 1:
                raise ToolError(f"{self.place.format(row)}`{bare}`: is the comma a decimal point or a separator?")
        return found


def _encoding(start: bytes) -> str:
    """By the byte order mark, else UTF-8, else the Western European code page that spreadsheets write."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        start[: start.rfind(b"\n") + 1].decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _columns(header: str) -> tuple[str, Sequence[str]]:
    """The delimiter that parts the header into most columns, and these."""
    split = {mark: next(csv.reader([header], delimiter=mark)) for mark in DELIMITERS}
    mark = max(DELIMITERS, key=lambda each: len(split[each]))
    return mark, split[mark]
