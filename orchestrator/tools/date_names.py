"""Dates as people write them, found in a text and replaced by the sign @."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta

__all__ = ["MONTH", "DateProblem", "checked_date", "find_dates", "month_number", "today"]

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
WEEKDAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,? (?:the )?)?"
NUMBER = r"[0-9]{1,2}"
YEAR = r"[0-9]{4}(?![0-9])"
DATE = re.compile(
    rf"{WEEKDAY}(?<![0-9a-z])(?:"
    rf"(?P<iso>{YEAR}[-/.]{NUMBER}[-/.]{NUMBER}(?![0-9]))|"
    rf"(?P<day>{NUMBER})(?:st|nd|rd|th)?(?: of)?[ -]?(?P<month>{MONTH})\.?,?[ -](?P<year>{YEAR})|"
    rf"(?P<month_first>{MONTH})\.? (?:the )?(?P<day_second>{NUMBER})(?:st|nd|rd|th)?,? (?P<year_last>{YEAR})|"
    rf"(?P<short>{NUMBER}[-/.]{NUMBER}[-/.]{YEAR})|"
    r"(?P<word>today|tomorrow|yesterday)(?![a-z]))"
)
FROM_TODAY = {"today": 0, "tomorrow": 1, "yesterday": -1}


class DateProblem(ValueError):
    """Something looks like a date and is none, or may be one of two; the text says so."""


def find_dates(text: str) -> tuple[str, list[date | DateProblem]]:
    """The lower-case text with @ for every date, and the dates in their order."""
    found: list[date | DateProblem] = []

    def replaced(hit: re.Match[str]) -> str:
        try:
            found.append(_date(hit))
        except DateProblem as problem:
            found.append(problem)
        return "@"

    return DATE.sub(replaced, text), found


def today() -> date:
    """The date where the user is."""
    return datetime.now(UTC).astimezone().date()


def month_number(name: str) -> int:
    """1 for jan, january and so on."""
    return MONTHS.index(name[:3]) + 1


def checked_date(year: int, month: int, day: int) -> date:
    """The date, or a `DateProblem` that says why there is none."""
    shown = f"{year:04}-{month:02}-{day:02}"
    if year < 1:
        raise DateProblem(f"{shown} is not a date: years go from 1 to 9999")
    if not 1 <= month <= 12:
        raise DateProblem(f"{shown} is not a date: there is no month {month}")
    last = calendar.monthrange(year, month)[1]
    if not 1 <= day <= last:
        raise DateProblem(f"{shown} is not a date: {calendar.month_name[month]} {year} has {last} days")
    return date(year, month, day)


def _date(hit: re.Match[str]) -> date:
    if hit["word"]:
        return today() + timedelta(FROM_TODAY[hit["word"]])
    if hit["iso"]:
        year, month, day = (int(part) for part in re.split(r"[-/.]", hit["iso"]))
        return checked_date(year, month, day)
    if hit["month"]:
        return checked_date(int(hit["year"]), month_number(hit["month"]), int(hit["day"]))
    if hit["month_first"]:
        return checked_date(int(hit["year_last"]), month_number(hit["month_first"]), int(hit["day_second"]))
    return _short_date(hit["short"])


def _short_date(text: str) -> date:
    """A date such as 25/12/2026, where it can be read in one way only."""
    first, second, year = (int(part) for part in re.split(r"[-/.]", text))
    if first <= 12 and second <= 12 and first != second:
        raise DateProblem(
            f"{text} may be {calendar.month_name[first or 1]} {second} or {calendar.month_name[second or 1]} {first}:"
            f" write it as {year:04}-{first:02}-{second:02} or {year:04}-{second:02}-{first:02}"
        )
    return checked_date(year, second, first) if first > 12 else checked_date(year, first, second)
