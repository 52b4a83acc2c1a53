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
from orchestrator.tools.table_questions import Ask, Condition, read
from orchestrator.tools.tables import Numbers, Table, number, open_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    ask = read(question)
    if ask is None:
        return CANNOT
    if not resources.tables:
        return NO_TABLE if ask.file or ask.conditions else CANNOT
    if ask.file:
        return SURE
    try:
        known = _fitting(ask, resources)
    except ToolError as error:
        return Claim(0.0, str(error))
    if known:
        return SURE
    return DOUBTFUL if ask.conditions else CANNOT


def answer(question: str, resources: Resources) -> str:
    """The total asked for, exactly."""
    ask = read(question)
    if ask is None:
        raise ToolError("this asks nothing of a table")
    if not resources.tables:
        raise ToolError(NO_TABLE.why)
    return _measured(ask, _table(ask, resources))


def _fitting(ask: Ask, resources: Resources) -> list[Table]:
    """The tables that have every column that is asked for."""
    needed = [condition.column for condition in ask.conditions] + ([ask.column] if ask.column else [])
    return [table for table in map(open_table, resources.tables) if all(map(table.has, needed))]


def _table(ask: Ask, resources: Resources) -> Table:
    if ask.file:
        return _named_table(ask.file, resources)
    if len(resources.tables) == 1:
        return open_table(resources.tables[0])
    match _fitting(ask, resources):
        case [table]:
            return table
        case []:
            names = ", ".join(path.name for path in resources.tables)
            raise ToolError(f"no table has all the columns asked for: {names}")
        case tables:
            names = ", ".join(table.path.name for table in tables)
            raise ToolError(f"several tables have these columns: name one of {names}")


def _named_table(file: str, resources: Resources) -> Table:
    for path in resources.tables:
        if path.as_posix().lower() == file.lower() or path.name.lower() == re.split(r"[/\\]", file)[-1].lower():
            return open_table(path)
    names = [path.name for path in resources.tables]
    like = nearest(file, names)
    raise ToolError(f"no table `{file}` was given" + (f"; did you mean `{like}`?" if like else f": {', '.join(names)}"))


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
