"""Totals over CSV files: sum, average, count, least and greatest of a column, with conditions.

An empty cell is no value: it counts in no sum, average, least or greatest, and fulfils no condition but `!=`. Any
other cell that is not a number is an error that names its row.
"""

from __future__ import annotations

import logging
import operator
import re
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import TYPE_CHECKING

from orchestrator.errors import ToolError, nearest
from orchestrator.tools.base import CANNOT, Claim, Resources
from orchestrator.tools.numerals import number_text
from orchestrator.tools.table_questions import Ask, Condition, may_ask, readings
from orchestrator.tools.tables import Numbers, Table, number, open_table, plain_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["answer", "claim"]

LOG = logging.getLogger(__name__)

SURE = Claim(0.98)
DOUBTFUL = Claim(0.5)
NO_TABLE = Claim(0.0, "no table: --table FILE")
EXACT = Context(prec=3_000, traps=[Inexact])
MAX_REMEMBERED = 1_000
ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
ORDERS: dict[str, Callable[[Decimal | str, Decimal | str], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def claim(question: str, resources: Resources) -> Claim:
    """Sure where a file, a condition or a known column is named; reads headers only."""
    asks = readings(question, tables=_stems(resources))
    conditions = bool(asks and asks[0].conditions)
    if not resources.tables:
        return NO_TABLE if conditions or (asks and asks[0].file) else CANNOT
    if asks and asks[0].file:
        return SURE
    if not asks and not may_ask(question):
        return CANNOT
    try:
        if _fitting(question, resources.tables):
            return SURE
        return DOUBTFUL if conditions else Claim(0.0, _hint(question, resources))
    except ToolError as error:
        return Claim(0.0, str(error))


def answer(question: str, resources: Resources) -> str:
    """The total asked for, exactly."""
    asks = readings(question, tables=_stems(resources))
    if asks and not resources.tables:
        raise ToolError(NO_TABLE.why)
    given = [_named_table(asks[0].file, resources)] if asks and asks[0].file else resources.tables
    match _fitting(question, given):
        case [(table, ask)]:
            return _measured(ask, table)
        case [] if len(given) == 1 and (found := _readings(question, open_table(given[0]))):
            return _measured(found[-1], open_table(given[0]))
        case [] if asks:
            raise ToolError(f"no table has all the columns asked for: {_names(given)}")
        case []:
            raise ToolError("this asks nothing of a table")
        case several:
            raise ToolError(f"several tables have these columns: name one of {_names([t.path for t, _ in several])}")


def _stems(resources: Resources) -> list[str]:
    """What the tables are called without the ending of their files."""
    return [path.stem for path in resources.tables]


def _names(paths: Sequence[Path]) -> str:
    """The names of files, with their folders where these alone tell them apart."""
    names = {path.name for path in paths}
    return ", ".join(path.name if len(names) == len(paths) else path.as_posix() for path in paths)


def _readings(question: str, table: Table) -> list[Ask]:
    return readings(question, table.columns, tables=[table.path.stem])


def _fitting(question: str, paths: Sequence[Path]) -> list[tuple[Table, Ask]]:
    """The tables that have every column that is asked for, each with what is asked of it."""
    found: list[tuple[Table, Ask]] = []
    for table in map(open_table, paths):
        ask = next((ask for ask in _readings(question, table) if all(map(table.has, ask.columns))), None)
        if ask is not None:
            _check_single_meaning(ask, table)
            found.append((table, ask))
    return found


def _check_single_meaning(ask: Ask, table: Table) -> None:
    """Refuse "total amount" where `amount` and `total amount` are columns both."""
    if table.has(ask.phrase):
        measured = f"the {ask.measure} of `{ask.column}`" if ask.column else "the number of rows"
        problem = f"`{ask.phrase}` is a column of {table.path.name} itself"
        raise ToolError(f"{problem}: ask for {measured}, or for a measure of `{ask.phrase}`")


def _hint(question: str, resources: Resources) -> str:
    """What the table has in place of a column that is asked for; empty where nothing comes near."""
    for table in map(open_table, resources.tables):
        for ask in _readings(question, table)[-1:]:
            unknown = [name for name in ask.columns if not table.has(name)]
            if unknown and (table.like(unknown[0]) or ask.file):
                return table.missing(unknown[0])
    return ""


def _named_table(file: str, resources: Resources) -> Path:
    if exact := [path for path in resources.tables if path.as_posix().lower() == file.lower()]:
        return exact[0]
    name = re.split(r"[/\\]", file)[-1].lower()
    match [path for path in resources.tables if name in (path.name.lower(), plain_name(path.stem))]:
        case [path]:
            return path
        case []:
            names = [path.name for path in resources.tables]
            like = nearest(file, names)
            hint = f"; did you mean `{like}`?" if like else f": {', '.join(names)}"
            raise ToolError(f"no table `{file}` was given{hint}")
        case several:
            raise ToolError(f"several tables are called `{file}`: name one of {_names(several)}")


def _measured(ask: Ask, table: Table) -> str:
    column = None if ask.column is None else table.column(ask.column)
    tests = [_Test(table, condition) for condition in ask.conditions]
    numbers = Numbers(table, column or 0)
    values: list[Decimal] = []
    rows = filled = 0
    for row, cells in table.rows():
        # Every test sees every row, so that each can tell which values its column has.
        passed = [test.passes(cells, row) for test in tests]
        if not all(passed):
            continue
        rows += 1
        if column is not None and cells[column].strip():
            filled += 1
            if ask.measure != "count":
                values.append(numbers.read(cells[column], row))
    if ask.measure == "count":
        return str(rows if column is None else filled)
    if not values:
        raise ToolError(_nothing(ask, table, tests, rows))
    if rows > filled:
        LOG.info("%s: %d empty cells of %s left out", table.path.name, rows - filled, ask.column)
    return number_text(_total(ask, values))


def _total(ask: Ask, values: Sequence[Decimal]) -> Fraction:
    if ask.measure == "least":
        return Fraction(min(values))
    if ask.measure == "greatest":
        return Fraction(max(values))
    total = Decimal(0)
    for value in values:
        total = EXACT.add(total, value)
    return Fraction(total) / (len(values) if ask.measure == "average" else 1)


def _nothing(ask: Ask, table: Table, tests: Sequence[_Test], rows: int) -> str:
    """Why there is nothing to total."""
    if rows:
        return f"{table.path.name}: every `{ask.column}` in these {rows} rows is empty"
    for test in tests:
        if hint := test.hint():
            return hint
    return f"{table.path.name} has no row" + (" that fulfils all conditions" if tests else "")


class _Test:
    """One condition on the rows of one table."""

    def __init__(self, table: Table, condition: Condition) -> None:
        self.condition = condition
        self.file = table.path.name
        self.column = table.column(condition.column)
        self.wanted = condition.value.casefold()
        self.comma = table.delimiter != ","
        self.number = number(condition.value, comma=self.comma)
        self.seen: dict[str, str] = {}

    def passes(self, cells: Sequence[str], row: int) -> bool:
        """Whether the row's cell is as the condition wants it."""
        text = cells[self.column].strip()
        if len(self.seen) < MAX_REMEMBERED:
            self.seen.setdefault(text.casefold(), text)
        sign = self.condition.sign
        if sign in ("=", "!="):
            return self._equal(text) == (sign == "=")
        return bool(text) and self._in_order(text, row)

    def hint(self) -> str:
        """What to say where the value wanted occurs nowhere."""
        if self.condition.sign != "=" or any(self._equal(text) for text in self.seen.values()):
            return ""
        like = nearest(self.wanted, self.seen)
        suggestion = f"; did you mean `{self.seen[like]}`?" if like else ""
        return f"no row of {self.file} has {self.condition.column} = {self.condition.value}{suggestion}"

    def _equal(self, text: str) -> bool:
        if text.casefold() == self.wanted:
            return True
        return self.number is not None and number(text, comma=self.comma) == self.number

    def _in_order(self, text: str, row: int) -> bool:
        compare = ORDERS[self.condition.sign]
        found = number(text, comma=self.comma)
        if found is not None and self.number is not None:
            return compare(found, self.number)
        if ISO_DATE.fullmatch(text) and ISO_DATE.fullmatch(self.condition.value):
            return compare(text, self.condition.value)
        raise ToolError(
            f"{self.file}, row {row}, column `{self.condition.column}`: cannot tell whether `{text[:40]}`"
            f" {self.condition.sign} `{self.condition.value}`; numbers and dates such as 2026-12-25 can be ordered"
        )
