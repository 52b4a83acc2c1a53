"""What a question asks to be converted: amounts with their units, and the unit wanted."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.tools.numerals import NUMBER, measure_text, read_number
from orchestrator.tools.unit_names import DIMENSIONS, NAMES, UNSURE, Unit
from orchestrator.tools.wordings import digits

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Conversion", "Measure", "Power", "Unconvertible", "amount_text", "read"]

MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class Power:
    """A unit to a whole power; negative under the fraction line."""

    unit: Unit
    exponent: int = 1


Measure = tuple[Power, ...]
"""A unit as asked for: one power, or two as in m/s."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """Amounts that are added up, each with its unit, and the unit wanted."""

    parts: tuple[tuple[Fraction, Measure], ...]
    target: Measure


@dataclass(frozen=True, slots=True)
class Unconvertible:
    """It asks for a conversion that nobody can make; the text says why."""

    why: str


ONE = r"half an? |an? |one "
AMOUNT = rf"(?:-?(?:[0-9]+ )?[0-9]+/[0-9]+|-?{NUMBER}(?:e-?[0-9]{{1,2}}(?![0-9]))?)"
UNIT = r"(?:(?! and )[^0-9]|(?<=[a-z^])[0-9](?![0-9]))+"
PART = re.compile(rf"({ONE}|{AMOUNT} ?)({UNIT})(?:,? and |, | )?", re.IGNORECASE)
LEAD = re.compile(
    r"(?:please |can you |could you |what is |what's |whats |what are |"
    r"how (?:much|many|long|far|tall|heavy|hot|cold|big|fast) (?:is|are) |"
    r"convert |change |turn |express |calculate |tell me |the |i need )+",
    re.IGNORECASE,
)
HALVES = re.compile(r"(?:an?|([0-9]{1,9})) ([^0-9]+?) and a half", re.IGNORECASE)
"""An hour and a half."""
SHARE = re.compile(r"(?:(an?|[0-9]{1,2}) )?(half|third|quarter|fourth|fifth|tenth)s? of an? ([^0-9]+)", re.IGNORECASE)
"""A quarter of an hour."""
SHARES = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "tenth": 10}
AND_HALF = re.compile(r"\b([0-9]{1,9}) and (?:a half|([0-9]{1,3}/[0-9]{1,3})) (?=[a-z°])", re.IGNORECASE)
FEET = re.compile(r"(?<![0-9.])([0-9]{1,3})['’′] ?([0-9]{1,2}(?:\.[0-9]+)?)(?:[\"”″]|''|’’)")
"""Five feet ten as 5'10"."""
FILLED = re.compile(r" (?:converted|expressed|given|measured) (?=(?:to|into|in|as) )", re.IGNORECASE)
CONVERT = re.compile(r"(.+?) ?(?:=|\b(?:to|into|as|equals?)\b) (.+)|(.+) in (.+)", re.IGNORECASE)
HOW_MANY = re.compile(
    r"how many (.+?) (?:(?:are |is )?(?:there )?in|does|do|make(?: up)?|are|is|equals?|to) (.+?)"
    r"(?: have| contain| equal| last| make)?",
    re.IGNORECASE,
)
IS_HOW_MANY = re.compile(r"(.+?) (?:is|are|equals?|makes?|is equal to|are equal to) how many (.+)", re.IGNORECASE)
FACTOR = re.compile(r"(?:(square|sq\.?|cubic|cu\.?) )?(.+?)(?:\^?([2-6]))?( squared| cubed)?", re.IGNORECASE)
POWERS = {"square": 2, "sq": 2, "sq.": 2, "cubic": 3, "cu": 3, "cu.": 3, " squared": 2, " cubed": 3}
RAISED = {2: "²", 3: "³"}
SIGNS = str.maketrans({"−": "-", "–": "-", "²": "^2", "³": "^3", "º": "°", "µ": "u", "μ": "u"})


@lru_cache(maxsize=128)
def read(question: str) -> Conversion | Unconvertible | None:
    """What is to be converted into what; None where the question is no conversion."""
    if len(question) > MAX_TEXT:
        return None
    text = " ".join(question.translate(SIGNS).replace("= ?", "=").split()).rstrip(" ?.!,;:")
    text = AND_HALF.sub(lambda found: f"{found[1]} {found[2] or '1/2'} ", digits(FEET.sub(r"\1 ft \2 in", text)))
    many = HOW_MANY.fullmatch(text)
    if many:
        return _conversion(many.group(2), many.group(1))
    lead = LEAD.match(text)
    body = FILLED.sub(" ", text[lead.end() :] if lead else text)
    if found := IS_HOW_MANY.fullmatch(body):
        return _conversion(found.group(1), found.group(2))
    found = CONVERT.fullmatch(body)
    return _conversion(found.group(1) or found.group(3), found.group(2) or found.group(4)) if found else None


def amount_text(value: Fraction, target: Measure) -> str:
    """The amount with the symbol of its unit, as "42.1648128 km" or "1 day"."""
    top = "·".join(_symbol(power) for power in target if power.exponent > 0)
    bottom = "·".join(_symbol(power) for power in target if power.exponent < 0)
    if not bottom and target[0].unit.plural and value != 1:
        top += "s"
    return f"{measure_text(value)} {top}{'/' + bottom if bottom else ''}"


def _symbol(power: Power) -> str:
    size = abs(power.exponent)
    return power.unit.symbol + ("" if size == 1 else RAISED.get(size, f"^{size}"))


def _conversion(amounts: str, target: str) -> Conversion | Unconvertible | None:
    wanted = _measure(target)
    parts = _parts(amounts)
    if isinstance(wanted, str) or isinstance(parts, str):
        return _unsure(wanted, parts)
    if not wanted or not parts:
        return None
    goal = _dimension(wanted)
    for _, measure in parts:
        if (given := _dimension(measure)) != goal:
            return Unconvertible(f"cannot convert {_kind(measure, given)} to {_kind(wanted, goal)}")
    measures = [wanted, *(given for _, given in parts)]
    offsets = any(power.unit.offset for measure in measures for power in measure)
    if offsets and (len(measures) > 2 or not all(map(_plain, measures))):
        return Unconvertible("temperatures are converted one at a time, without other units")
    return Conversion(parts, wanted)


def _plain(measure: Measure) -> bool:
    return len(measure) == 1 and measure[0].exponent == 1


def _unsure(wanted: Measure | str, parts: tuple[tuple[Fraction, Measure], ...] | str) -> Unconvertible | None:
    """The advice on an ambiguous unit, where the other side is a unit too."""
    if not wanted or not parts:
        return None
    return Unconvertible(wanted if isinstance(wanted, str) else str(parts))


def _parts(text: str) -> tuple[tuple[Fraction, Measure], ...] | str:
    """Every amount of "5 ft 10 in"; empty where the text is something else, advice where a unit is ambiguous."""
    if share := SHARE.fullmatch(text):
        top = 1 if share[1] is None or not share[1].isdigit() else int(share[1])
        return _single(Fraction(top, SHARES[share[2].lower()]), share[3])
    if half := HALVES.fullmatch(text):
        return _single(int(half[1] or 1) + Fraction(1, 2), half[2])
    found: list[tuple[Fraction, Measure]] = []
    at = 0
    while at < len(text):
        hit = PART.match(text, at)
        if hit is None or len(found) > 3:
            return ()
        at = hit.end()
        number, measure = _amount(hit.group(1)), _measure(hit.group(2).strip(" ,"))
        if isinstance(measure, str):
            return measure
        if number is None or not measure:
            return ()
        found.append((number, measure))
    return tuple(found)


def _single(number: Fraction, unit: str) -> tuple[tuple[Fraction, Measure], ...] | str:
    """One amount of a unit, by its name; else as `_parts`."""
    measure = _measure(unit)
    if isinstance(measure, str):
        return measure
    return ((number, measure),) if measure else ()


def _amount(text: str) -> Fraction | None:
    bare = text.strip().lower()
    if bare in ("a", "an", "one"):
        return Fraction(1)
    if bare in ("half a", "half an"):
        return Fraction(1, 2)
    if "/" in bare:
        return _mixed(bare)
    mantissa, _, exponent = bare.partition("e")
    number = read_number(mantissa)
    return None if number is None else number * Fraction(10) ** int(exponent or 0)


def _mixed(text: str) -> Fraction | None:
    """The value of "3/4" or "-2 1/2"."""
    *whole, fraction = text.lstrip("-").split()
    top, _, bottom = fraction.partition("/")
    if len(text) > 40 or not int(bottom):
        return None
    value = Fraction(int(top), int(bottom)) + sum(map(int, whole))
    return -value if text.startswith("-") else value


def _measure(text: str) -> Measure | str:
    """The unit that the text names: empty where it names none, advice where it may mean several."""
    text = re.sub(r"^(?:an?|one|the) ", "", text.strip())
    whole = _factor(text)
    if whole != ():
        return whole
    top, slash, bottom = re.sub(r" per ", "/", text, count=1).partition("/")
    if not slash:
        return ()
    above, below = _factor(top.strip()), _factor(bottom.strip())
    if isinstance(above, str) or isinstance(below, str):
        return above if isinstance(above, str) else below
    return (*above, *(Power(power.unit, -power.exponent) for power in below)) if above and below else ()


def _factor(text: str) -> Measure | str:
    """One unit with its power, such as "square feet" or "m^2"."""
    if len(text) > 40:
        return ()
    if unit := _named(text):
        return unit if isinstance(unit, str) else (Power(unit),)
    found = FACTOR.fullmatch(text)
    unit = _named(found.group(2)) if found else None
    if found is None or unit is None:
        return ()
    if isinstance(unit, str):
        return unit
    before, _, digit, after = found.groups()
    exponents = [POWERS[word.lower()] for word in (before, after) if word] + ([int(digit)] if digit else [])
    return (Power(unit, exponents[0]),) if len(exponents) == 1 and unit.powers else ()


def _named(name: str) -> Unit | str | None:
    """The unit of this name: as written first, since MB and Mb differ, then in lower case."""
    lower = name.lower()
    return NAMES.get(name) or NAMES.get(lower) or UNSURE.get(lower)


def _dimension(measure: Measure) -> Mapping[str, int]:
    """Exponents of the base dimensions, such as length 1 and time -1 for a speed."""
    total: Counter[str] = Counter()
    for power in measure:
        for base, exponent in DIMENSIONS[power.unit.kind].items():
            total[base] += exponent * power.exponent
    return {base: exponent for base, exponent in total.items() if exponent}


def _kind(measure: Measure, dimension: Mapping[str, int]) -> str:
    """The unit's symbol and what it measures, for a person."""
    kinds = [kind for kind, known in DIMENSIONS.items() if known == dimension]
    return f"{amount_text(Fraction(1), measure)[2:]} ({kinds[0] if kinds else 'a compound unit'})"
