"""Numbers in texts: the value of one that stands alone, and the one that a worked solution ends up with."""

from __future__ import annotations

import re
from decimal import Context, Decimal, InvalidOperation

__all__ = ["LONGEST_NUMBER", "number_form", "stated_number"]

LONGEST_NUMBER = 60
"""Characters of a number; what is longer is no number but a text of digits."""
LAST_PART = 4_000
"""Characters at the end of a text among which its last number is looked for."""

_ALONE = re.compile(r"[-+]?[$€£]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:e[-+]?\d{1,3})?%?")
_INSIDE = re.compile(
    r"(?<![\w.,])(?P<sign>[-+](?!\s))?(?P<money>[$€£]\s?)?"
    r"(?P<value>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?|\.\d+)"
    r"(?:/(?P<under>\d{1,20}))?(?![\d]|-[a-zA-Z])"
)
_FINAL = re.compile(r"####|\\boxed\s*\{")
_ANSWER = re.compile(r"\banswer\b[^.\n]{0,40}?(?:\bis|:|=)\s*\**", re.IGNORECASE)
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{(\d{1,20})\}\s*\{(\d{1,20})\}")
_EXACT = Context(prec=30)
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]*]*\s+|\n+")
_STATED = re.compile(r"\b(?:is|are|be|was|were|equals|(?:a )?total of)\s+(?:(?:about|only|exactly|a total of)\s+)?$")
"""What stands right before a number that is said of something."""


def number_form(plain: str) -> str | None:
    """The value of a text that is a number and nothing else, written in the one way that equal numbers share."""
    bare = plain.rstrip(". ").replace("−", "-")
    if not bare or len(bare) > LONGEST_NUMBER or not any(c.isdigit() for c in bare):
        return None
    if not _ALONE.fullmatch(bare.lower()):
        return None
    percent = bare.endswith("%")
    try:
        value = Decimal(bare.strip("%").translate({ord(c): None for c in "$€£,"}))
    except InvalidOperation:
        return None
    return _plainest(value) + ("%" if percent else "")


def stated_number(text: str) -> str | None:
    """The number that a text ends up with, as `number_form` writes it, without unit, currency or percent sign.

    Behind a mark of its own (`####`, LaTeX's box, "the answer is") it is the first one; else it is looked for in the
    last sentence that holds any: the one in bold type, else the one behind the last `=`, else the last one that
    something "is", else the first amount of money, else the first number, since a solution ends in "He needs 16 weeks
    for 4 courses" and not the other way round. None where there is no number.
    """
    tail = _FRACTION.sub(r"\1/\2", text[-LAST_PART:]).replace("−", "-").replace("\\$", "$").replace("\\%", "%")
    for mark in (_FINAL, _ANSWER):
        marks = list(mark.finditer(tail))
        line = tail[marks[-1].end() :].partition("\n")[0] if marks else ""
        if found := _of_sentence(_SENTENCE.split(line)[0]):
            return found
    sentences = [each for each in _SENTENCE.split(tail) if each]
    return next((found for each in reversed(sentences) if (found := _of_sentence(each))), None)


def _of_sentence(sentence: str) -> str | None:
    """The number that a sentence states."""
    bold = [found for each in _BOLD.findall(sentence) if (found := _numbers(each))]
    if len(bold) == 1:
        return _chosen(bold[0])
    _, equals, behind = sentence.rpartition("=")
    if equals and (found := _numbers(behind)):
        return _value(found[0])
    found = _numbers(sentence)
    stated = [each for each in found if _STATED.search(sentence[: each.start()])]
    return _chosen(stated[-1:] or found)


def _chosen(found: list[re.Match[str]]) -> str | None:
    money = [each for each in found if each["money"]]
    return _value((money or found)[0]) if found else None


def _numbers(text: str) -> list[re.Match[str]]:
    return [each for each in _INSIDE.finditer(text) if len(each["value"]) <= LONGEST_NUMBER]


def _value(found: re.Match[str]) -> str:
    value, under = Decimal((found["sign"] or "") + found["value"].replace(",", "")), Decimal(found["under"] or 1)
    return _plainest(value if under in (0, 1) else _EXACT.divide(value, under))


def _plainest(value: Decimal) -> str:
    if value == 0:
        return "0"
    exact = value.normalize(Context(prec=LONGEST_NUMBER))
    return format(exact, "f") if abs(exact.adjusted()) < LONGEST_NUMBER else str(exact)
