"""How numbers are read and printed, whichever tool computed them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Literal

from orchestrator.errors import ToolError
from orchestrator.tools.limits import MAX_PLACES, check_bits

__all__ = ["NUMBER", "PLAIN", "Form", "Style", "measure_text", "number_text", "read_number", "shown"]

NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
"""Pattern of an unsigned number as people type it, with or without thousands separators."""

SIGNIFICANT = 12
EXACT_PLACES = 30
EXACT_DIGITS = 16  # fifteen and the point
ROUNDING = Context(prec=SIGNIFICANT, rounding=ROUND_HALF_EVEN, Emax=999_999, Emin=-999_999)
PLAIN_SIZES = range(-6, SIGNIFICANT)
"""Powers of ten of the first digit for which a rounded number is written without an exponent."""


Style = Literal["plain", "decimal", "fraction", "mixed", "percent"]


@dataclass(frozen=True, slots=True)
class Form:
    """How the asker wants a number: its style, and how far to round it."""

    style: Style = "plain"
    places: int | None = None
    """Decimal places to round to, half away from zero; negative for tens, hundreds."""
    figures: int | None = None
    """Significant figures to round to."""


PLAIN = Form()


def read_number(text: str) -> Fraction | None:
    """The number that `text` spells, or None where it is none or absurdly long."""
    bare = text.strip().replace(",", "")
    if not re.fullmatch(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", bare) or len(bare) > 100:
        return None
    return Fraction(bare)


def shown(value: Fraction | Decimal, form: Form = PLAIN) -> str:
    """The value as asked for; a Decimal stands for an irrational number known to many digits."""
    if form.style == "percent":
        return _rounded(_times_hundred(value), form) + "%"
    if form.style in ("fraction", "mixed"):
        if isinstance(value, Decimal):
            raise ToolError(f"{number_text(value)}... is irrational: no fraction equals it")
        return _fraction_text(value, mixed=form.style == "mixed")
    return _rounded(value, form)


def number_text(value: Fraction | Decimal) -> str:
    """Exact where the decimal ends within 30 places, else 12 significant digits."""
    if isinstance(value, Fraction) and 10**EXACT_PLACES % value.denominator == 0:
        return _ended(value)
    return _significant(value)


def measure_text(value: Fraction) -> str:
    """A measured amount: exact where it is whole or ends within 15 digits, else 12 significant digits."""
    if value.denominator == 1:
        return _ended(value)
    exact = 10**EXACT_PLACES % value.denominator == 0 and abs(value) > Fraction(1, 10**6)
    return _ended(value) if exact and len(_ended(value).strip("-0.")) <= EXACT_DIGITS else _significant(value)


def _rounded(value: Fraction | Decimal, form: Form) -> str:
    if form.places is not None:
        return _to_places(value, form.places)
    if form.figures is not None:
        return _to_figures(value, form.figures)
    return number_text(value)


def _times_hundred(value: Fraction | Decimal) -> Fraction | Decimal:
    return value.scaleb(2) if isinstance(value, Decimal) else value * 100


def _ended(value: Fraction) -> str:
    check_bits(value.numerator.bit_length(), "the result")
    places = next(count for count in range(EXACT_PLACES + 1) if 10**count % value.denominator == 0)
    return _point(value.numerator * 10**places // value.denominator, places)


def _point(scaled: int, places: int) -> str:
    """The digits of `scaled`, with the decimal point `places` from the right."""
    digits = str(abs(scaled)).rjust(places + 1, "0")
    sign = "-" if scaled < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else sign + digits


def _significant(value: Fraction | Decimal) -> str:
    if isinstance(value, Decimal):
        near = ROUNDING.plus(value)
    else:
        near = ROUNDING.divide(Decimal(value.numerator), Decimal(value.denominator))
    near = near.normalize(ROUNDING)
    if near.adjusted() in PLAIN_SIZES:
        return format(near, "f")
    digits = format(near.scaleb(-near.adjusted(), ROUNDING).normalize(ROUNDING), "f")
    return f"{digits}e{near.adjusted()}"


def _fraction_text(value: Fraction, *, mixed: bool) -> str:
    check_bits(max(value.numerator.bit_length(), value.denominator.bit_length()), "the fraction")
    whole, rest = divmod(abs(value.numerator), value.denominator)
    if mixed and whole and rest:
        return f"{'-' if value < 0 else ''}{whole} {rest}/{value.denominator}"
    return str(value)


def _to_places(value: Fraction | Decimal, places: int) -> str:
    if places > MAX_PLACES:
        raise ToolError(f"numbers are rounded to at most {MAX_PLACES} decimal places")
    if isinstance(value, Decimal) and value.adjusted() > MAX_PLACES:
        raise ToolError("the number is too large to round to decimal places; ask for significant figures")
    scaled = _half_up(Fraction(value) * Fraction(10) ** places)
    check_bits(scaled.bit_length(), "the result")
    return _point(scaled, places) if places > 0 else str(scaled * 10**-places)


def _to_figures(value: Fraction | Decimal, figures: int) -> str:
    if not 1 <= figures <= MAX_PLACES:
        raise ToolError(f"numbers are rounded to 1 to {MAX_PLACES} significant figures")
    exact = Fraction(value)
    if exact == 0:
        return "0"
    check_bits(max(exact.numerator.bit_length(), exact.denominator.bit_length()), "the number")
    size = _exponent(abs(exact))
    places = figures - 1 - size
    scaled = _half_up(exact * Fraction(10) ** places)
    if abs(scaled) == 10**figures:
        scaled, places = scaled // 10, places - 1
    return _point(scaled, places) if places > 0 else str(scaled * 10**-places)


def _exponent(value: Fraction) -> int:
    """The power of ten of the leading digit of a positive number."""
    guess = len(str(value.numerator)) - len(str(value.denominator))
    return guess if value >= Fraction(10) ** guess else guess - 1


def _half_up(value: Fraction) -> int:
    """The nearest whole number, halves away from zero, as taught at school."""
    whole = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return -whole if value < 0 else whole
