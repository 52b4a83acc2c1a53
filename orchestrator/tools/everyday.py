"""Everyday wordings of calculations that have exactly one meaning, each with its expression; all others stay out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["everyday_to_signs", "words_to_signs"]

PLAIN = r"([0-9][0-9.,]*)"
"""A number without sign or fraction line, of which nobody can think that it is a share of something."""
AMOUNT = r"([0-9][0-9.,/]*|\([0-9]+\+[0-9]+/[0-9]+\))"
WHOLE = r"([0-9]{1,9})"
EVENLY = r"(?: up)?(?: evenly| equally| fairly)?"
SHARERS = r"(?: (?:people|persons|friends|children|kids|students|players|guests|families|groups|teams|of us))?"
AMONG = rf"(?:among|amongst|between) (?:the )?WHOLE{SHARERS}"
PARTS = r"equal (?:parts|shares|pieces|groups|portions)"
DOWN = r"(?:decreased|reduced|lowered)"
SIZE = r"(?:much|many|large|big|long|high|far|heavy)"


@dataclass(frozen=True, slots=True)
class Wording:
    """A wording with gaps for its numbers, and the expression that it means."""

    regex: re.Pattern[str]
    signs: str
    percent: bool = False
    """Whether the answer is a percentage."""
    holds: Callable[[int, int], bool] | None = None
    """Where only some whole numbers make sense of it."""


def _wording(
    pattern: str, signs: str, *, percent: bool = False, holds: Callable[[int, int], bool] | None = None
) -> Wording:
    for gap, number in (("PLAIN", PLAIN), ("AMOUNT", AMOUNT), ("WHOLE", WHOLE)):
        pattern = pattern.replace(gap, number)
    return Wording(re.compile(pattern), signs, percent, holds)


def _divides(first: int, second: int) -> bool:
    return first > 0 and second % first == 0


WORDINGS: tuple[Wording, ...] = (
    # shares of a hundred, always of a number that is named
    _wording("(?:increase|raise) AMOUNT by AMOUNT%", "({0})*(100+({1}))/100"),
    _wording("(?:decrease|reduce|lower) AMOUNT by AMOUNT%", "({0})*(100-({1}))/100"),
    _wording("AMOUNT (?:increased|raised) by AMOUNT%", "({0})*(100+({1}))/100"),
    _wording(f"AMOUNT {DOWN} by AMOUNT%", "({0})*(100-({1}))/100"),
    _wording("(?:take )?AMOUNT% off(?: of)? AMOUNT", "({1})*(100-({0}))/100"),
    _wording("AMOUNT% (?:more|higher|greater|larger) than AMOUNT", "({1})*(100+({0}))/100"),
    _wording("AMOUNT% (?:less|lower|smaller) than AMOUNT", "({1})*(100-({0}))/100"),
    _wording("(?:percent|percentage|%) change from PLAIN to PLAIN", "(({1})-({0}))/({0})", percent=True),
    _wording(
        "(?:percent|percentage|%) (?:increase|growth) from WHOLE to WHOLE",
        "(({1})-({0}))/({0})",
        percent=True,
        holds=lambda first, second: first < second,
    ),
    _wording(
        "(?:percent|percentage|%) (?:decrease|drop) from WHOLE to WHOLE",
        "(({0})-({1}))/({0})",
        percent=True,
        holds=lambda first, second: first > second,
    ),
    # more and less
    _wording("increase PLAIN by PLAIN", "({0})+({1})"),
    _wording("(?:decrease|reduce|lower) PLAIN by PLAIN", "({0})-({1})"),
    _wording("PLAIN increased by PLAIN", "({0})+({1})"),
    _wording(f"PLAIN {DOWN} by PLAIN", "({0})-({1})"),
    _wording("PLAIN more than PLAIN", "({1})+({0})"),
    _wording("PLAIN (?:less|fewer) than PLAIN", "({1})-({0})"),
    _wording("take away PLAIN from PLAIN", "({1})-({0})"),
    # times
    _wording(f"twice as {SIZE} as PLAIN", "2*({0})"),
    _wording(f"half as {SIZE} as PLAIN", "({0})/2"),
    _wording(f"PLAIN times as {SIZE} as PLAIN", "({0})*({1})"),
    _wording("WHOLE and a half times PLAIN", "({0}+1/2)*({1})"),
    _wording("halve AMOUNT", "({0})/2"),
    # shares
    _wording(f"(?:split|share|divide|distribute) AMOUNT{EVENLY} {AMONG}{EVENLY}", "({0})/({1})"),
    _wording(f"AMOUNT (?:split|shared|divided){EVENLY} {AMONG}", "({0})/({1})"),
    _wording(f"(?:split|divide) AMOUNT{EVENLY} (?:into|in) WHOLE {PARTS}", "({0})/({1})"),
    _wording(f"AMOUNT (?:split|divided){EVENLY} (?:into|in) WHOLE {PARTS}", "({0})/({1})"),
    _wording(f"split AMOUNT{EVENLY} WHOLE ways", "({0})/({1})"),
    _wording(f"AMOUNT split{EVENLY} WHOLE ways", "({0})/({1})"),
    _wording("how many times (?:does|do|will|can) WHOLE (?:go|fit) into WHOLE", "({1})/({0})", holds=_divides),
    _wording("WHOLE (?:goes|fits) into WHOLE how many times", "({1})/({0})", holds=_divides),
    # powers
    _wording("square of (-?[0-9][0-9.,]*)", "({0})^2"),
    _wording("cube of (-?[0-9][0-9.,]*)", "({0})^3"),
    _wording("PLAIN (?:raised )?to the ([0-9]{1,4})(?:st|nd|rd|th)(?: power)?", "({0})^({1})"),
    _wording("reciprocal of AMOUNT", "1/({0})"),
)

ORDINALS = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
POWER = re.compile(rf"(?<=to the )({'|'.join(ORDINALS)})(?= power$)")
FRACTIONS = {name: number for number, name in enumerate(ORDINALS[1:], start=3)} | {
    "half": 2, "halve": 2, "quarter": 4, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
FRACTION = re.compile(rf"\b(an?|[0-9]{{1,3}}) ({'|'.join(FRACTIONS)})s? of\b")
DOZENS = re.compile(
    r"\bhalf a dozen\b|(?<![0-9/^.,])(?<![/^] )([0-9]{1,9}(?:\.[0-9]{1,9})?|\([0-9]+\+[0-9]+/[0-9]+\)) dozen\b(?! and)"
)


def everyday_to_signs(text: str) -> tuple[str, bool] | None:
    """The expression behind an everyday wording, and whether a percentage is wanted; None where it is none."""
    text = POWER.sub(lambda found: f"{ORDINALS.index(found[1]) + 2}th", text)
    for wording in WORDINGS:
        found = wording.regex.fullmatch(text)
        if found and (wording.holds is None or wording.holds(*map(int, found.groups()))):
            return wording.signs.format(*found.groups()), wording.percent
    return None


def words_to_signs(text: str) -> str:
    """The text with dozens, and with fractions of something, written as numbers."""
    text = DOZENS.sub(lambda found: f"({found[1]}*12)" if found[1] else "(12/2)", text)
    return FRACTION.sub(lambda found: f"{found[1] if found[1].isdigit() else 1}/{FRACTIONS[found[2]]} of", text)
