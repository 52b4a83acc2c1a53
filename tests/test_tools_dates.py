"""Calendar arithmetic against the standard library, and dates that are none."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ToolError
from orchestrator.tools import date_names, dates
from orchestrator.tools.base import Resources

NOTHING = Resources()
DATES = st.dates(date(1, 1, 1), date(9999, 12, 31))
FORMATS = st.sampled_from(["{0:%Y}-{0:%m}-{0:%d}", "{0.day} {0:%B} {0.year:04}", "{0:%b} {0.day}, {0.year:04}"])


def written(pattern: str, day: date) -> str:
    return pattern.format(day) if "%Y" not in pattern else day.isoformat()


@given(DATES, DATES, FORMATS, FORMATS)
def test_days_between(first: date, last: date, one: str, two: str) -> None:
    days = (last - first).days
    answer = dates.answer(f"How many days from {written(one, first)} to {written(two, last)}?", NOTHING)
    assert answer == f"{days} day{'' if abs(days) == 1 else 's'}"


@given(DATES, FORMATS)
def test_weekday(day: date, pattern: str) -> None:
    assert dates.answer(f"What weekday is {written(pattern, day)}?", NOTHING) == f"{day:%A}"


@given(DATES, st.integers(-(10**6), 10**6))
def test_shifted_by_days(day: date, count: int) -> None:
    question = f"What date is {abs(count)} days {'after' if count >= 0 else 'before'} {day.isoformat()}?"
    try:
        expected = day + timedelta(count)
    except OverflowError:
        with pytest.raises(ToolError, match="years 1 to 9999"):
            dates.answer(question, NOTHING)
    else:
        assert dates.answer(question, NOTHING) == expected.isoformat()


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(0, 400))
def test_weekdays_between_are_counted_one_by_one(first: date, length: int) -> None:
    days = [first + timedelta(number) for number in range(length)]
    expected = sum(day.weekday() < 5 for day in days)
    question = f"how many working days between {first} and {first + timedelta(length)}"
    assert dates.answer(question, NOTHING) == f"{expected} working day{'' if expected == 1 else 's'}"


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(1, 600))
def test_months_keep_the_day_or_the_end_of_the_month(day: date, count: int) -> None:
    later = date.fromisoformat(dates.answer(f"{count} months after {day}", NOTHING))
    assert (later.year - day.year) * 12 + later.month - day.month == count
    assert later.day == day.day or (later.day < day.day and (later + timedelta(1)).day == 1)


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("What weekday is 2026-02-30?", "2026-02-30 is not a date: February 2026 has 28 days"),
        ("days from 2026-02-30 to 2026-13-01", "2026-02-30 is not a date: February 2026 has 28 days"),
        ("What weekday is 2026-13-01?", "2026-13-01 is not a date: there is no month 13"),
        ("What weekday is 2026-12-00?", "2026-12-00 is not a date: December 2026 has 31 days"),
        ("What weekday is 0000-01-01?", "0000-01-01 is not a date: years go from 1 to 9999"),
        ("What weekday is 31 April 2026?", "2026-04-31 is not a date: April 2026 has 30 days"),
        (
            "What weekday is 03/04/2025?",
            "03/04/2025 may be March 4 or April 3: write it as 2025-03-04 or 2025-04-03",
        ),
    ],
)
def test_dates_that_are_none_say_why(question: str, why: str) -> None:
    claim = dates.claim(question, NOTHING)
    assert (claim.p, claim.why) == (0, why)
    with pytest.raises(ToolError) as caught:
        dates.answer(question, NOTHING)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    "question",
    [
        "10000 years after 2026-01-01",
        "1 month before 0001-01-01",
        "9999999 months after 2026-01-01",
        "9999999 days after 2026-01-01",
    ],
)
def test_results_outside_the_calendar_are_refused(question: str) -> None:
    with pytest.raises(ToolError, match="outside the years 1 to 9999"):
        dates.answer(question, NOTHING)


@pytest.mark.parametrize(
    "question",
    [
        "2026-02-30 was fun",
        "from 2026-01-01 to 2026-01-02 to 2026-01-03",
        "@ is what day",
        "Is 0 a leap year?",
        "2026-01-01 and so on",
    ],
)
def test_other_questions_with_dates_are_not_claimed(question: str) -> None:
    claim = dates.claim(question, NOTHING)
    assert (claim.p, claim.why) == (0, "")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What weekday is today?", "Tuesday"),
        ("how many days from yesterday to tomorrow", "2 days"),
        ("what date is a fortnight after today", "2026-03-17"),
        ("how many days from today until 2026-12-25?", "297 days"),
    ],
)
def test_today_is_used_where_it_is_named(question: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(date_names, "today", lambda: date(2026, 3, 3))
    assert dates.answer(question, NOTHING) == answer


def test_today_is_today() -> None:
    assert abs(date_names.today() - date.today()) <= timedelta(1)  # noqa: DTZ011 - midnight may pass between the two


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what is 3 months after 2024-11-30", "2025-02-28"),
        ("subtract 5 days from 2026-01-03", "2025-12-29"),
        ("2026-11-21 minus 2 weeks", "2026-11-07"),
        ("3rd of may 2020 is what weekday", "Sunday"),
        ("On which day of the week does Dec 25, 2026 fall?", "Friday"),
        ("What weekday is Friday, 25 December 2026?", "Friday"),
        ("weekday of 12/12/2026", "Saturday"),
        ("weekday of 12/25/2026", "Friday"),
        ("how many days after 2026-11-21 is 2026-12-25", "34 days"),
        ("how many days before 2026-12-25 is 2026-11-21", "34 days"),
        ("what's the difference between 2026-11-21 and 2024-02-29?", "996 days"),
        ("how many weeks from 2026-01-01 to 2026-01-15", "2 weeks"),
        ("how many weeks from 2026-01-15 to 2026-01-01", "-2 weeks"),
        ("how long is it from 2026-01-01 to 2026-01-02", "1 day"),
        ("how many days are in the year 2024", "366 days"),
        ("how many days did february 1900 have", "28 days"),
    ],
)
def test_other_wordings(question: str, answer: str) -> None:
    assert dates.answer(question, NOTHING) == answer
