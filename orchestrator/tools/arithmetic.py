"""Exact arithmetic with the standard library alone: fractions, and decimals for roots."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import reduce

from orchestrator.errors import ToolError
from orchestrator.tools.base import CANNOT, Claim, Resources
from orchestrator.tools.calculations import Calculation, Refused, read
from orchestrator.tools.expressions import Binary, Call, Negative, Node, Number, Percent, Symbol
from orchestrator.tools.limits import check_bits, check_factorial, check_power
from orchestrator.tools.numerals import number_text, shown

__all__ = ["answer", "claim", "evaluate"]

SURE = Claim(0.97)
ROOTS = Context(prec=160, rounding=ROUND_HALF_EVEN, Emax=999_999, Emin=-999_999)
TRUSTED_DIGITS = 120
"""A sum that loses more leading digits than this leaves too few to print."""

Value = Fraction | Decimal
"""A Fraction is exact; a Decimal is an irrational number to 160 digits, never a round one in disguise."""


def claim(question: str, resources: Resources) -> Claim:
    """Sure of every calculation it can read."""
    del resources
    match read(question):
        case Calculation():
            return SURE
        case Refused(why):
            return Claim(0.0, why)
        case _:
            return CANNOT


def answer(question: str, resources: Resources) -> str:
    """The number asked for."""
    del resources
    request = read(question)
    if not isinstance(request, Calculation):
        raise ToolError(request.why if isinstance(request, Refused) else "this is no calculation")
    return shown(evaluate(request.root), request.form)


def evaluate(node: Node) -> Value:
    """The value of an expression without variables."""
    match node:
        case Number(digits, places):
            return Fraction(digits * 10 ** max(-places, 0), 10 ** max(places, 0))
        case Negative(of):
            return _times(evaluate(of), Fraction(-1))
        case Percent(of):
            return _times(evaluate(of), Fraction(1, 100))
        case Binary():
            return _join(node)
        case Call(name, arguments):
            return _call(name, [evaluate(argument) for argument in arguments])
        case Symbol(name):
            raise ToolError(f"`{name}` has no value")


def _join(node: Binary) -> Value:
    left, right = evaluate(node.left), evaluate(node.right)
    match node.operator:
        case "+":
            value = _plus(left, right)
        case "-":
            value = _plus(left, _times(right, Fraction(-1)))
        case "*":
            value = _times(left, right)
        case "/":
            value = _times(left, _inverse(right))
        case "^":
            value = _power(left, right)
        case "mod":
            value = _remainder(left, right)
    if isinstance(value, Fraction):
        check_bits(max(value.numerator.bit_length(), value.denominator.bit_length()), "a step of the calculation")
    return value


def _decimal(value: Value) -> Decimal:
    if isinstance(value, Decimal):
        return value
    return ROOTS.divide(Decimal(value.numerator), Decimal(value.denominator))


def _only_one_root(left: Value, right: Value) -> None:
    """Two irrational numbers may make a rational one, which digits alone cannot show."""
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        raise ToolError("several roots are joined: exact only with algebra (extra `local`)")


def _plus(left: Value, right: Value) -> Value:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left + right
    _only_one_root(left, right)
    near = ROOTS.add(_decimal(left), _decimal(right))
    if near.adjusted() < max(_decimal(left).adjusted(), _decimal(right).adjusted()) - (ROOTS.prec - TRUSTED_DIGITS):
        raise ToolError("the parts nearly cancel: too few digits are left to print")
    return near


def _times(left: Value, right: Value) -> Value:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left * right
    if 0 in (left, right):
        return Fraction(0)
    _only_one_root(left, right)
    return ROOTS.multiply(_decimal(left), _decimal(right))


def _inverse(value: Value) -> Value:
    if value == 0:
        raise ToolError("division by zero")
    return 1 / value if isinstance(value, Fraction) else ROOTS.divide(Decimal(1), value)


def _remainder(left: Value, right: Value) -> Value:
    if not isinstance(left, Fraction) or not isinstance(right, Fraction):
        raise ToolError("a remainder is computed of rational numbers only")
    if right == 0:
        raise ToolError("division by zero")
    return left % right


def _power(base: Value, exponent: Value) -> Value:
    if exponent == 1:
        return base
    if not isinstance(exponent, Fraction) or not isinstance(base, Fraction):
        raise ToolError("powers of or to irrational numbers: exact only with algebra (extra `local`)")
    if base == 0 and exponent <= 0:
        raise ToolError("0 to the power 0 is not defined" if exponent == 0 else "division by zero")
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    check_power(size, _size(exponent), str(base) if size < 64 else "a large number", _size_text(exponent))
    if exponent.denominator == 1:
        return base ** int(exponent)
    return _root(base, exponent)


def _size(exponent: Fraction) -> float:
    """The exponent as a float, infinite where it is too large for one."""
    return float(exponent) if abs(exponent) < 10**300 else math.inf


def _size_text(exponent: Fraction) -> str:
    return number_text(exponent) if abs(exponent) < 10**300 else "a huge number"


def _root(base: Fraction, exponent: Fraction) -> Value:
    """A power with a fractional exponent: exact where the base is a perfect power."""
    if base < 0:
        raise ToolError("an even or fractional root of a negative number is not a real number")
    top, bottom = (_whole_root(part, exponent.denominator) for part in (base.numerator, base.denominator))
    if top is not None and bottom is not None:
        return Fraction(top, bottom) ** exponent.numerator
    return ROOTS.power(_decimal(base), _decimal(exponent))


def _whole_root(number: int, degree: int) -> int | None:
    """The whole number whose power of this degree is `number`, if there is one."""
    if number < 2 or degree > number.bit_length():
        return number if number < 2 else None
    guess = 1 << -(-number.bit_length() // degree)
    while (closer := ((degree - 1) * guess + number // guess ** (degree - 1)) // degree) < guess:
        guess = closer
    return guess if guess**degree == number else None


def _call(name: str, values: list[Value]) -> Value:
    match name:
        case "sqrt":
            return _power(values[0], Fraction(1, 2))
        case "cbrt":
            value = values[0]
            return _power(value, Fraction(1, 3)) if value >= 0 else _times(_call(name, [-value]), Fraction(-1))
        case "abs":
            return abs(values[0]) if isinstance(values[0], Fraction) else values[0].copy_abs()
        case "factorial":
            number = _whole(values[0])
            check_factorial(number)
            return Fraction(math.factorial(number))
        case _:
            whole = [_whole(value) for value in values]
            return Fraction(reduce(math.gcd if name == "gcd" else math.lcm, whole))


def _whole(value: Value) -> int:
    if not isinstance(value, Fraction) or value.denominator != 1:
        raise ToolError(f"a whole number is needed, not {number_text(value)}")
    return int(value)
