"""How right answers may be written: every function gives the accepted forms of one value, the usual one first.

Nothing here knows the tools; values come as exact fractions, dates and words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from itertools import permutations

Forms = tuple[str, ...]
Row = tuple[str, Forms]
"""A question and what may be said to it."""

LONGEST = 30
"""Decimals after which a number is no longer written out."""
FIGURES = 12
"""Significant figures of a number that is not written out."""


def distinct(forms: Iterable[str]) -> Forms:
    """Each form once, in order."""
    return tuple(dict.fromkeys(forms))


def number(value: Fraction | int | Decimal) -> Forms:
    """A number in decimals: in full where they end, else to 12 significant figures."""
    exact = Fraction(value)
    return (plain(exact) if ends(exact) else figures(exact),)


def ends(value: Fraction) -> bool:
    """Whether the decimals end within reasonable length."""
    return 10**LONGEST % value.denominator == 0


def plain(value: Fraction) -> str:
    """Decimals that end, in full and without zeros behind the last one."""
    context = Context(prec=200)
    return format(context.divide(Decimal(value.numerator), Decimal(value.denominator)).normalize(context), "f")


def figures(value: Fraction | Decimal, count: int = FIGURES) -> str:
    """So many significant figures, zeros behind the last one left out."""
    context = Context(prec=count, rounding=ROUND_HALF_EVEN)
    exact = Fraction(value)
    near = context.divide(Decimal(exact.numerator), Decimal(exact.denominator))
    return format(near.normalize(context), "f")


def places(value: Fraction, count: int) -> Forms:
    """Rounded to decimal places, with all of them written, or without zeros at the end."""
    context = Context(prec=200)
    near = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    fixed = near.quantize(Decimal(1).scaleb(-count), rounding=ROUND_HALF_UP, context=context)
    return distinct((format(fixed, "f"), plain(Fraction(fixed))))


def fraction(value: Fraction) -> Forms:
    """A fraction in lowest terms."""
    return (str(value),)


def mixed(value: Fraction) -> Forms:
    """A mixed number such as -2 3/4."""
    whole, rest = divmod(abs(value), 1)
    return (f"{'-' if value < 0 else ''}{whole} {rest}",)


def either(value: Fraction) -> Forms:
    """A fraction, a mixed number or decimals that end: nobody said which."""
    forms = [*fraction(value), *(mixed(value) if abs(value) > 1 and value.denominator > 1 else ())]
    return distinct([*forms, *(number(value) if ends(value) else ())])


def percent(value: Fraction, count: int | None = None) -> Forms:
    """A share as a percentage, rounded to so many decimal places if that was asked for."""
    hundredfold = value * 100
    return tuple(f"{each}%" for each in (number(hundredfold) if count is None else places(hundredfold, count)))


def measure(value: Fraction | int, *units: str) -> Forms:
    """An amount in a unit by its several names: whole or short decimals in full, else to 12 significant figures."""
    exact = Fraction(value)
    texts = [figures(exact)]
    if ends(exact):
        short = len(plain(exact).strip("-0.").replace(".", "")) <= LONGEST // 2
        texts.insert(0 if short else 1, plain(exact))
    return distinct(f"{text} {unit}" for unit in units for text in texts)


def days(count: int) -> Forms:
    """A number of days."""
    return f"{count} day{'' if abs(count) == 1 else 's'}", str(count)


def weeks(count: int) -> Forms:
    """Days as whole weeks and what is left."""
    whole, rest = divmod(count, 7)
    text = f"{whole} week{'' if whole == 1 else 's'}"
    return (f"{text} and {days(rest)[0]}",) if rest else (text, str(whole))


def day(value: date) -> Forms:
    """A date, as ISO 8601 has it or in words."""
    return value.isoformat(), f"{value.day} {value:%B %Y}", f"{value:%B} {value.day}, {value.year}"


def weekday(value: date) -> Forms:
    """The name of a date's day."""
    return (f"{value:%A}",)


def yes(*, true: bool) -> Forms:
    """Yes or no."""
    return ("yes",) if true else ("no",)


def solutions(name: str, roots: Sequence[Fraction]) -> Forms:
    """The solutions of an equation, in any order, whole or as fractions or as decimals that end."""
    ways: list[str] = []
    for order in permutations(roots):
        ways.append(" or ".join(f"{name} = {root}" for root in order))
        if all(ends(root) for root in roots):
            ways.append(" or ".join(f"{name} = {plain(root)}" for root in order))
    return distinct(ways)


def unknowns(values: Sequence[tuple[str, Fraction]]) -> Forms:
    """The values of several unknowns, in any order."""
    return tuple(", ".join(f"{name} = {value}" for name, value in order) for order in permutations(values))


def polynomial(coefficients: Sequence[Fraction | int], name: str = "x") -> Forms:
    """A polynomial in falling powers, its coefficients given from the highest on."""
    text = ""
    for place, coefficient in enumerate(map(Fraction, coefficients)):
        power = len(coefficients) - 1 - place
        if not coefficient:
            continue
        letters = "" if not power else name if power == 1 else f"{name}^{power}"
        size = "" if abs(coefficient) == 1 and letters else str(abs(coefficient))
        sign = "-" if coefficient < 0 else "+"
        text += f" {sign} {size}{letters}" if text else f"{'-' if coefficient < 0 else ''}{size}{letters}"
    return (text,)


def factors(parts: Sequence[str]) -> Forms:
    """Factors in brackets, in any order."""
    return distinct("".join(f"({part})" for part in order) for order in permutations(parts))
