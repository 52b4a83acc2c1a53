"""How much work the calculating tools may do before they refuse."""

from __future__ import annotations

from orchestrator.errors import ToolError

__all__ = [
    "MAX_DIGITS",
    "MAX_FACTORIAL",
    "MAX_PLACES",
    "MAX_TEXT",
    "check_bits",
    "check_factorial",
    "check_power",
]

MAX_TEXT = 1_000
"""Characters of a question that calculating tools will look at."""
MAX_DIGITS = 4_000
"""Digits of the longest whole number that is computed or printed; Python itself stops at 4,300."""
MAX_BITS = MAX_DIGITS * 10 // 3
MAX_FACTORIAL = 1_000
MAX_PLACES = 50
"""Decimal places or significant figures that a question may ask for."""


def check_bits(bits: float, what: str) -> None:
    """Refuse a number of more than `MAX_BITS` bits before or after it is computed."""
    if bits > MAX_BITS:
        raise ToolError(f"{what} has more than {MAX_DIGITS:,} digits: too large to compute exactly")


def check_power(base_bits: int, exponent: float, base: str, shown: str) -> None:
    """Refuse a power whose result would be too large, from the size of its parts alone."""
    check_bits(max(base_bits - 1, 0) * abs(exponent), f"{_short(base)}^{_short(shown)}")


def check_factorial(number: int) -> None:
    """Refuse the factorial of a negative or a large number."""
    if number < 0:
        raise ToolError("the factorial of a negative number is not defined")
    if number > MAX_FACTORIAL:
        raise ToolError(f"factorials are computed up to {MAX_FACTORIAL}!, asked was {_short(str(number))}!")


def _short(text: str) -> str:
    return text if len(text) <= 14 else f"{text[:6]}...{text[-3:]}"
