"""Everyday wordings: each has one meaning, computed here once more in plain Python; what looks alike is refused."""

from __future__ import annotations

import importlib
import json
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.tools import algebra, arithmetic, unit_table, units
from orchestrator.tools.base import Resources
from orchestrator.tools.binding import BUILT_IN
from orchestrator.tools.numerals import number_text
from tests.commands import orchestrate
from tests.tools_cases import RESOURCES

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = Resources()
INCH, MILE, HOUR = Fraction("2.54"), Fraction("1.609344"), 60
"""Centimetres, kilometres and minutes, by definition."""


class Sum(NamedTuple):
    """A calculation in words, and its value; a percentage is a value per hundred."""

    question: str
    value: Fraction | float
    sign: str = ""


SUMS = (
    Sum("how much is 15 percent off 80", 80 - 80 * Fraction(15, 100)),
    Sum("What is fifteen percent off eighty?", 80 - 80 * Fraction(15, 100)),
    Sum("take 15% off $80", 80 - 80 * Fraction(15, 100)),
    Sum("increase 50 by 10%", 50 + 50 * Fraction(10, 100)),
    Sum("50 increased by 10 percent", 50 + 50 * Fraction(10, 100)),
    Sum("raise 1,250 by 4 per cent", 1250 + 1250 * Fraction(4, 100)),
    Sum("reduce 80 by 25 percent", 80 - 80 * Fraction(25, 100)),
    Sum("80 reduced by 25%", 80 - 80 * Fraction(25, 100)),
    Sum("what's 10% more than 200", 200 + 200 * Fraction(10, 100)),
    Sum("12.5% less than 200", 200 - 200 * Fraction(125, 1000)),
    Sum("percent change from 50 to 60", Fraction(60 - 50, 50) * 100, "%"),
    Sum("what is the percentage change from 80 to 60", Fraction(60 - 80, 80) * 100, "%"),
    Sum("percentage increase from 50 to 60", Fraction(60 - 50, 50) * 100, "%"),
    Sum("percentage decrease from 80 to 60", Fraction(80 - 60, 80) * 100, "%"),
    Sum("20 out of 80 as a percentage", Fraction(20, 80) * 100, "%"),
    Sum("20 out of 80 as a percent", Fraction(20, 80) * 100, "%"),
    Sum("2/4 squared", Fraction(2, 4) ** 2),
    Sum("3/2 cubed", Fraction(3, 2) ** 3),
    Sum("3/2 to the power of 3", Fraction(3, 2) ** 3),
    Sum("increase 50 by 10", 50 + 10),
    Sum("80 decreased by 15", 80 - 15),
    Sum("what is 5 more than 12", 12 + 5),
    Sum("10 less than 50", 50 - 10),
    Sum("12 take away 5", 12 - 5),
    Sum("take away 5 from 12", 12 - 5),
    Sum("twice as much as 8", 2 * 8),
    Sum("3 times as many as 7", 3 * 7),
    Sum("half as much as 9", Fraction(9, 2)),
    Sum("one and a half times 4", Fraction(3, 2) * 4),
    Sum("double 17", 17 + 17),
    Sum("quadruple 5", 5 * 4),
    Sum("halve 36", Fraction(36, 2)),
    Sum("half of 36", Fraction(36, 2)),
    Sum("an eighth of 64", Fraction(64, 8)),
    Sum("What is two fifths of 40?", Fraction(2, 5) * 40),
    Sum("three fourths of 20", Fraction(3, 4) * 20),
    Sum("split 120 evenly among 8 people", Fraction(120, 8)),
    Sum("split $126 between the 8 of us", Fraction(126, 8)),
    Sum("120 split 8 ways", Fraction(120, 8)),
    Sum("divide 24 equally among 6 children", Fraction(24, 6)),
    Sum("divide 100 into 8 equal parts", Fraction(100, 8)),
    Sum("how many times does 7 go into 63", len(range(0, 63, 7))),
    Sum("what's 3 dozen", 3 * 12),
    Sum("half a dozen", Fraction(12, 2)),
    Sum("how many is 100 minus two dozen", 100 - 24),
    Sum("2½ dozen", Fraction(5, 2) * 12),
    Sum("a hundred minus 7", 100 - 7),
    Sum("half a million divided by 4", Fraction(500_000, 4)),
    Sum("2 to the 10th power", 2**10),
    Sum("10 to the third power", 10**3),
    Sum("the square of -3", (-3) ** 2),
    Sum("the cube of 5", 5**3),
    Sum("reciprocal of 8", Fraction(1, 8)),
    Sum("average of 3, 5 and 10", mean([3, 5, 10])),
    Sum("add up 3, 5 and 9", sum([3, 5, 9])),
    Sum("add 3, 5 and 9 together", sum([3, 5, 9])),
    Sum("multiply 3, 4 and 5", 3 * 4 * 5),
)


class Amount(NamedTuple):
    """A conversion in words, and its result."""

    question: str
    value: Fraction | float
    symbol: str


AMOUNTS = (
    Amount("how many minutes are in 3 hours", 3 * HOUR, "min"),
    Amount("how many minutes in an hour and a half", HOUR + HOUR // 2, "min"),
    Amount("three hours and a half in minutes", Fraction(7, 2) * HOUR, "min"),
    Amount("two and a half hours in minutes", Fraction(5, 2) * HOUR, "min"),
    Amount("how many seconds are in a quarter of an hour?", Fraction(HOUR, 4) * 60, "s"),
    Amount("three quarters of an hour in minutes", Fraction(3, 4) * HOUR, "min"),
    Amount("a tenth of a mile in km", MILE / 10, "km"),
    Amount("how many inches in three feet", 3 * 12, "in"),
    Amount("How many cm are twenty-one inches?", 21 * INCH, "cm"),
    Amount("5 miles is how many km?", 5 * MILE, "km"),
    Amount("5 feet equals how many inches", 5 * 12, "in"),
    Amount("5 miles converted to kilometres", 5 * MILE, "km"),
    Amount("what is 10 inches expressed in cm", 10 * INCH, "cm"),
    Amount("""5'10" in cm""", (5 * 12 + 10) * INCH, "cm"),
    Amount("convert 6’ 2” to cm", (6 * 12 + 2) * INCH, "cm"),
    Amount("2 and 1/4 hours in minutes", Fraction(9, 4) * HOUR, "min"),
)

FIRST, LAST = date(2026, 11, 22), date(2026, 12, 25)
DAYS = (
    ("days until 2026-12-25 from 2026-11-22", LAST - FIRST),
    ("how many days left until 25 December 2026 from 22 November 2026", LAST - FIRST),
    ("How many days is it from 2026-11-22 to 2026-12-25?", LAST - FIRST),
    ("2026-12-25 is how many days after 2026-11-22?", LAST - FIRST),
    ("2026-11-22 is how many days before 2026-12-25", LAST - FIRST),
    ("2026-11-22 is how many days after 2026-12-25", FIRST - LAST),
    ("from 2026-11-22 to 2026-12-25 is how many days", LAST - FIRST),
    ("how many days since 2026-11-22 until 2026-12-25", LAST - FIRST),
    ("What is the day after 2024-02-28?", date(2024, 2, 28) + timedelta(1)),
    ("the day before 2026-03-01", date(2026, 3, 1) - timedelta(1)),
    ("When is 90 days after 2026-11-22?", FIRST + timedelta(90)),
    ("when was 2 weeks before 2026-11-22", FIRST - timedelta(weeks=2)),
    ("90 days later than 2026-11-22", FIRST + timedelta(90)),
    ("What is the last day of February 2024?", date(2024, 3, 1) - timedelta(1)),
    ("last day of april 2026", date(2026, 5, 1) - timedelta(1)),
)

LOOK_ALIKES = (
    "10% more than half",
    "3 times more than 7",
    "15% discount on 80",
    "50 plus 10%",
    "add 20% to 50",
    "increase 10% by 10%",
    "increase 50 by 1/2",
    "decrease 80 by a quarter",
    "15% off 20%",
    "15% off 10% off 80",
    "2 and a half dozen",
    "3 dozen and a half",
    "1/3 dozen",
    "how many times does 7 go into 100",
    "how many times does 0 go into 63",
    "7 into 63",
    "convert 4 into 8",
    "20 out of 80",
    "percent difference between 50 and 60",
    "percentage increase from 60 to 50",
    "percent change from -50 to 60",
    "17 percent 5",
    "split 120 between 8 and 4",
    "split the bill",
    "half as much again as 8",
    "10 is less than 50",
    "-2 to the 4th power",
    "1/2 to the 3rd power",
    "add 3 and 5 times 2",
    "a second of 60",
    "ratio of 10 to 4",
    "an hour and a half",
    "2 hours and a half mile in minutes",
    "5'10\"",
    "how many minutes in 3",
    "days until 2026-12-25",
    "what day is the day after 2026-11-22",
    "the day after 03/04/2025",
    "the last day of February",
    "how many months from 2026-01-31 to 2026-02-28",
)


def claimed(question: str) -> set[str]:
    """The tools that are sure of a question, documents and tables being at hand."""
    modules = {name: importlib.import_module(place) for name, place in BUILT_IN.items()}
    return {name for name, module in modules.items() if module.claim(question, RESOURCES).p > 0.9}


@pytest.mark.parametrize("asked", SUMS, ids=lambda asked: asked.question)
def test_a_calculation_in_everyday_words(asked: Sum) -> None:
    assert claimed(asked.question) == {"algebra", "arithmetic"}
    answer = number_text(Fraction(asked.value)) + asked.sign
    assert [module.answer(asked.question, NOTHING) for module in (algebra, arithmetic)] == [answer] * 2


@pytest.mark.parametrize("asked", AMOUNTS, ids=lambda asked: asked.question)
def test_a_conversion_in_everyday_words(asked: Amount) -> None:
    assert claimed(asked.question) == {"units", "unit_table"}
    for module in (units, unit_table):
        number, _, symbol = module.answer(asked.question, NOTHING).partition(" ")
        assert (Fraction(number), symbol) == (asked.value, asked.symbol)


@pytest.mark.parametrize(("question", "value"), DAYS, ids=[question for question, _ in DAYS])
def test_a_question_on_dates_in_everyday_words(question: str, value: date | timedelta) -> None:
    assert claimed(question) == {"calendar"}
    answer = f"{value.days} days" if isinstance(value, timedelta) else value.isoformat()
    assert importlib.import_module(BUILT_IN["calendar"]).answer(question, NOTHING) == answer


@pytest.mark.parametrize("question", LOOK_ALIKES)
def test_what_has_no_single_meaning_is_refused_by_everybody(question: str) -> None:
    assert claimed(question) == set()


NUMBERS = st.one_of(st.integers(0, 10**6), st.decimals(0, 1000, places=2)).map(Decimal)
COUNTS = st.integers(1, 999)


@given(NUMBERS, NUMBERS, COUNTS)
def test_wordings_hold_for_any_numbers(first: Decimal, second: Decimal, count: int) -> None:
    one, other = Fraction(first), Fraction(second)
    for question, value in (
        (f"{first}% off {second}", other * (100 - one) / 100),
        (f"{first} percent more than {second}", other * (100 + one) / 100),
        (f"increase {first} by {second} percent", one * (100 + other) / 100),
        (f"{first} reduced by {second}%", one * (100 - other) / 100),
        (f"{first} more than {second}", other + one),
        (f"{first} less than {second}", other - one),
        (f"split {first} evenly among {count} people", one / count),
        (f"{first} split {count} ways", one / count),
        (f"{count} dozen minus {first}", count * 12 - one),
        (f"{count} fifths of {first}", one * count / 5),
        (f"{count} and a half times {first}", (count + Fraction(1, 2)) * one),
        (f"twice as much as {first}", 2 * one),
        (f"how many times does {count} go into {count * 37}", Fraction(37)),
        (f"percent change from {count} to {first} as a fraction", (one - count) / count),
    ):
        for module in (algebra, arithmetic):
            found = module.answer(question, NOTHING)
            assert found == (str(value) if question.endswith("fraction") else number_text(value)), question


@given(st.integers(1, 10**6), st.sampled_from(["half", "third", "quarter", "fifth", "tenth"]))
def test_shares_of_a_unit_hold_for_any_unit(count: int, share: str) -> None:
    parts = {"half": 2, "third": 3, "quarter": 4, "fifth": 5, "tenth": 10}[share]
    for module in (units, unit_table):
        assert module.answer(f"a {share} of a week in seconds", NOTHING) == f"{7 * 86400 // parts} s"
        assert module.answer(f"{count} and a half hours in seconds", NOTHING) == f"{count * 3600 + 1800} s"
        assert module.answer(f"{count} hours and a half in seconds", NOTHING) == f"{count * 3600 + 1800} s"


def test_everyday_questions_at_the_command_line(child_env: dict[str, str], tmp_path: Path) -> None:
    for question, answer in (
        ("How much is 15 percent off 80?", "68"),
        ("Split 120 evenly among 8 people.", "15"),
        ("How many minutes are in an hour and a half?", "90 min"),
        ("Days until 2026-12-25 from 2026-11-22?", "33 days"),
    ):
        done = orchestrate("run", question, "--analyses", "2", "--json", env=child_env, cwd=tmp_path)
        told = json.loads(done.stdout)
        assert (told["answer"], told["dissent"]) == (answer, []), done.stderr
    refused = orchestrate("run", "10% more than half", "--quiet", env=child_env, cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (5, "")
