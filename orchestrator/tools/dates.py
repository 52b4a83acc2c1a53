"""Calendar arithmetic: days between dates, weekdays, dates before and after, leap years."""

from __future__ import annotations

import calendar
import re
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.errors import ToolError
from orchestrator.tools.base import CANNOT, Claim, Resources
from orchestrator.tools.date_names import MONTH, DateProblem, checked_date, find_dates, month_number
from orchestrator.tools.wordings import normalise, unwrap

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["answer", "claim"]

SURE = Claim(0.98)
MAX_TEXT = 300
MAX_COUNT = 4_000_000

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

COUNT = r"(?:[0-9]{1,7}|an?)"
UNIT = r"(?:day|week|fortnight|month|year)s?"
SPAN = rf"(?P<span>{COUNT} {UNIT}(?:(?:,|,? and) {COUNT} {UNIT}){{0,3}})"
DAYS = r"(?P<unit>days|weeks|(?:business|working|week) ?days)"
TO = r"(?:to|and|until|till|through|-)"
THERE = r"(?:are there|are|lie|elapse|pass|is it|was it|(?:are )?(?:left|remaining))"
BETWEEN = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:how many |number of |count )?{DAYS}(?: {THERE})? (?P<how>from|between|since) @ {TO} @",
        rf"how long(?: is it| is| was it)? (?P<how>from|between) @ {TO} @",
        rf"(?:how many |number of )?{DAYS}(?: {THERE})? (?P<how>until|till|to) @ (?:from|since|starting) @",
        rf"how many {DAYS} (?P<how>after|before) @ (?:is|was|comes?) @",
        rf"@ (?:is|was|comes?) how many {DAYS} (?P<back>after|before) @",
        rf"(?P<how>from) @ {TO} @(?: is|,)? how many {DAYS}(?: is (?:it|that|this))?",
        r"(?P<how>difference between|time between) @ and @",
        r"@ (?P<how>minus|-) @",
    )
)
ASK_DAY = r"(?:weekday|day of (?:the )?week|day)"
LANDS = r"(?: (?:fall|land|be|on|a|is|was)){0,3}"
WEEKDAY = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:on )?(?:(?:what|which) )?{ASK_DAY}(?: (?:is|was|will|does|did|it|be|of|for|on)){{0,4}} @{LANDS}",
        rf"@ (?:is|was|falls|fell|will be)(?: on)?(?: a)? (?:what|which) {ASK_DAY}",
    )
)
FALLS = r"(?:(?:is|was|will|it|be|comes|falls) ){0,4}"
WAY = "after|from|following|since|before|prior to|ahead of"
SHIFT = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:(?:what|which) )?(?P<ask>date |weekday |day of the week |day )?{FALLS}{SPAN} (?P<way>{WAY}) @",
        rf"when (?:is|was|will be) {SPAN} (?P<way>{WAY}) @",
        rf"{SPAN} (?P<way>later than) @",
        r"(?:date of the )?day (?P<way>after|before) @",
        rf"@ (?P<way>plus|\+|minus|-) {SPAN}",
        rf"(?P<way>add) {SPAN} to @",
        rf"(?P<way>subtract|take) {SPAN} from @",
    )
)
BACKWARDS = {"before", "prior to", "ahead of", "minus", "-", "subtract", "take"}
LEAP = re.compile(r"(?:is|was|will) (?:the year )?([0-9]{1,4}) (?:be )?a leap year")
NEXT_LEAP = re.compile(r"(?:when is |which is |which year is )?(?:the )?(next|first) leap year after ([0-9]{1,4})")
DAYS_IN = re.compile(
    rf"(?:how many |number of )days (?:are |were |will be )?(?:there )?(?:in|does|did) "
    rf"(?:the year )?({MONTH})?,? ?([0-9]{{4}})(?: have)?"
)
LAST_DAY = re.compile(rf"(?:date of the )?last day of (?:the month of )?({MONTH})(?:,| of)? ([0-9]{{4}})")


def claim(question: str, resources: Resources) -> Claim:
    """Sure of every question on dates that it can read."""
    del resources
    plan = _read(question)
    if plan is None:
        return CANNOT
    return Claim(0.0, str(plan)) if isinstance(plan, DateProblem) else SURE


def answer(question: str, resources: Resources) -> str:
    """The number of days, the weekday or the date asked for."""
    del resources
    plan = _read(question)
    if plan is None or isinstance(plan, DateProblem):
        raise ToolError(str(plan) if plan else "this is no question on dates")
    try:
        return plan()
    except (OverflowError, DateProblem) as error:
        raise ToolError("the result lies outside the years 1 to 9999") from error


def _read(question: str) -> Callable[[], str] | DateProblem | None:
    """What is to be done, a problem with one of its dates, or None where it asks something else."""
    if len(question) > MAX_TEXT or "@" in question:
        return None
    text, found = find_dates(unwrap(normalise(question)))
    dates: list[date] = []
    problem: DateProblem | None = None
    for each in found:
        if isinstance(each, DateProblem):
            problem = problem or each
        else:
            dates.append(each)
    if problem:
        return problem if _plan(text, [date.min] * len(found)) else None
    return _plan(text, dates)


def _plan(text: str, dates: list[date]) -> Callable[[], str] | None:
    match dates:
        case []:
            return _yearly(text)
        case [day]:
            return _single(text, day)
        case [first, last]:
            found = _first(BETWEEN, text)
            return partial(_between, found.groupdict(), first, last) if found else None
        case _:
            return None


def _single(text: str, day: date) -> Callable[[], str] | None:
    if _first(WEEKDAY, text):
        return partial(_weekday, day)
    if found := _first(SHIFT, text):
        return partial(_shifted, found.groupdict(), day)
    return None


def _yearly(text: str) -> Callable[[], str] | None:
    if (found := LEAP.fullmatch(text)) and int(found[1]):
        return partial(_leap, int(found[1]))
    if found := NEXT_LEAP.fullmatch(text):
        return partial(_next_leap, int(found[2]))
    if (found := DAYS_IN.fullmatch(text)) and int(found[2]):
        return partial(_days_in, int(found[2]), found[1])
    if (found := LAST_DAY.fullmatch(text)) and int(found[2]):
        return partial(_last_day, int(found[2]), month_number(found[1]))
    return None


def _first(patterns: tuple[re.Pattern[str], ...], text: str) -> re.Match[str] | None:
    return next((found for pattern in patterns if (found := pattern.fullmatch(text))), None)


def _between(asked: dict[str, str | None], first: date, last: date) -> str:
    """Days from the first date up to, not including, the last; negative where it lies before."""
    unit, how = asked.get("unit") or "days", asked.get("how") or ""
    if how in ("until", "till", "to", "before", "minus", "-") or asked.get("back") == "after":
        first, last = last, first
    if "between" in how and last < first:
        first, last = last, first
    if unit == "days":
        return _counted((last - first).days, "day")
    if unit == "weeks":
        return _weeks((last - first).days)
    backwards = last < first
    count = _working_days(min(first, last), max(first, last))
    return _counted(-count if backwards else count, "weekday" if unit.startswith("week") else f"{unit.split()[0]} day")


def _weeks(days: int) -> str:
    weeks, rest = divmod(abs(days), 7)
    text = _counted(weeks, "week") + (f" and {_counted(rest, 'day')}" if rest else "")
    return f"-({text})" if days < 0 and rest else f"{'-' if days < 0 else ''}{text}"


def _working_days(first: date, last: date) -> int:
    """Mondays to Fridays from the first date up to, not including, the last; holidays are not known."""
    weeks, rest = divmod((last - first).days, 7)
    return 5 * weeks + sum((first.weekday() + extra) % 7 < 5 for extra in range(rest))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if abs(number) == 1 else 's'}"


def _weekday(day: date) -> str:
    return WEEKDAYS[day.weekday()]


def _shifted(asked: dict[str, str | None], day: date) -> str:
    sign = -1 if asked["way"] in BACKWARDS else 1
    for count, unit in re.findall(rf"({COUNT}) ({UNIT})", asked.get("span") or "a day"):
        day = _moved(day, sign * (1 if count in ("a", "an") else int(count)), unit.rstrip("s"))
    return _weekday(day) if "week" in (asked.get("ask") or "") else day.isoformat()


def _moved(day: date, count: int, unit: str) -> date:
    """The date so many units later; the 31st becomes the last day of a shorter month."""
    if abs(count) > MAX_COUNT:
        raise OverflowError
    if unit in ("day", "week", "fortnight"):
        return day + timedelta(days=count * {"day": 1, "week": 7, "fortnight": 14}[unit])
    months = day.year * 12 + day.month - 1 + count * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    return checked_date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _leap(year: int) -> str:
    return "yes" if calendar.isleap(year) else "no"


def _next_leap(year: int) -> str:
    return str(next(later for later in range(year + 1, year + 9) if calendar.isleap(later)))


def _days_in(year: int, month: str | None) -> str:
    if month:
        return _counted(calendar.monthrange(year, month_number(month))[1], "day")
    return _counted(366 if calendar.isleap(year) else 365, "day")


def _last_day(year: int, month: int) -> str:
    return date(year, month, calendar.monthrange(year, month)[1]).isoformat()
