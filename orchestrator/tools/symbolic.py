"""The only module that imports sympy: builds its objects from our trees, and prints what it finds."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from orchestrator.errors import ToolError
from orchestrator.tools.calculations import Calculation, Equations, Rewriting
from orchestrator.tools.expressions import Binary, Call, Negative, Node, Number, Percent, Symbol, nodes, symbols
from orchestrator.tools.limits import MAX_BITS, check_bits, check_factorial, check_power
from orchestrator.tools.numerals import number_text, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["build", "solution"]

sympy: Any = import_module("sympy")  # untyped: the one seam where Any is let in

Expr: TypeAlias = Any
"""An expression, number or polynomial of sympy."""

WORKING_DIGITS = 120
MAX_COEFFICIENT_BITS = 700
MAX_TERMS = 2_000


def solution(request: Calculation | Equations | Rewriting) -> str:
    """The answer to a request, as people write it."""
    match request:
        case Calculation(root, form):
            return shown(_number(build(root)), form)
        case Rewriting(verb, root):
            return _rewritten(verb, build(root))
        case Equations(pairs, unknowns):
            names = [sympy.Symbol(name) for name in unknowns]
            return _one(pairs[0], names[0]) if len(pairs) == 1 else _system(pairs, names)


def build(node: Node) -> Expr:
    """The sympy expression of a tree."""
    match node:
        case Number(digits, places):
            return sympy.Rational(digits * 10 ** max(-places, 0), 10 ** max(places, 0))
        case Symbol(name):
            return sympy.Symbol(name)
        case Negative(of):
            return -build(of)
        case Percent(of):
            return build(of) / 100
        case Binary(operator, left, right):
            return _checked(_join(operator, build(left), build(right)))
        case Call(name, arguments):
            return _call(name, [build(argument) for argument in arguments])


def _join(operator: str, left: Expr, right: Expr) -> Expr:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "^":
            return _power(left, right)
        case _:
            if _is_zero(right):
                raise ToolError("division by zero")
            return left / right if operator == "/" else _remainder(left, right)


def _is_zero(value: Expr) -> bool:
    return bool(value.is_zero or _expanded(value).is_zero)


def _expanded(value: Expr) -> Expr:
    """The value multiplied out, where that is little work."""
    return sympy.expand(value) if _terms(value) <= MAX_TERMS else value


def _terms(value: Expr) -> int:
    """An upper bound of the number of terms after multiplying out."""
    if value.is_Add:
        return sum(_terms(part) for part in value.args)
    if value.is_Mul:
        return math.prod(_terms(part) for part in value.args)
    if value.is_Pow and value.exp.is_Integer:
        inner, times = _terms(value.base), abs(int(value.exp))
        return math.comb(times + inner - 1, inner - 1) if inner > 1 else 1
    return 1


def _remainder(left: Expr, right: Expr) -> Expr:
    if not (left.is_Rational and right.is_Rational):
        raise ToolError("a remainder is computed of rational numbers only")
    return sympy.Mod(left, right)


def _checked(value: Expr) -> Expr:
    if value.is_Rational:
        check_bits(_bits(value), "a step of the calculation")
    return value


def _bits(value: Expr) -> int:
    return max(int(value.p).bit_length(), int(value.q).bit_length())


def _power(base: Expr, exponent: Expr) -> Expr:
    if base.free_symbols:
        return base**exponent
    if _is_zero(base) and not exponent.is_positive:
        raise ToolError("0 to the power 0 is not defined" if exponent.is_zero else "division by zero")
    if not exponent.is_Rational:
        raise ToolError("powers to irrational numbers are not taken")
    size = float(exponent) if abs(exponent) < 10**300 else math.inf
    base_bits = _bits(base) if base.is_Rational else MAX_BITS // 20
    text = number_text(Fraction(int(exponent.p), int(exponent.q))) if size < math.inf else "a huge number"
    check_power(base_bits, size, str(base) if base_bits < 64 else "a large number", text)
    value = base**exponent
    if value.is_real is False:
        raise ToolError("an even or fractional root of a negative number is not a real number")
    return value


def _call(name: str, values: list[Expr]) -> Expr:
    match name:
        case "sqrt":
            return _power(values[0], sympy.Rational(1, 2))
        case "cbrt":
            third = sympy.Rational(1, 3)
            return -_power(-values[0], third) if values[0].is_negative else _power(values[0], third)
        case "abs":
            return sympy.Abs(values[0])
        case "factorial":
            check_factorial(_whole(values[0]))
            return sympy.factorial(values[0])
        case _:
            for value in values:
                _whole(value)
            return reduce(sympy.gcd if name == "gcd" else sympy.lcm, values)


def _whole(value: Expr) -> int:
    if not value.is_Integer:
        raise ToolError(f"a whole number is needed, not {number_text(_number(value))}")
    return int(value)


def _number(value: Expr) -> Fraction | Decimal:
    """A Fraction where the value is rational, else a Decimal of many digits."""
    if not value.is_Rational:
        value = _expanded(value)
    if value.is_Rational:
        return Fraction(int(value.p), int(value.q))
    try:
        near = value.evalf(WORKING_DIGITS, strict=True, maxn=2 * WORKING_DIGITS)
    except sympy.core.evalf.PrecisionExhausted as error:
        raise ToolError("the parts nearly cancel: too few digits are left to print") from error
    if not near.is_Float:
        raise ToolError("the result is not a real number")
    return Decimal(str(near))


def _rewritten(verb: str, value: Expr) -> str:
    if not value.free_symbols and not value.is_Rational:
        return _text(sympy.radsimp(value))
    _check_coefficients(value)
    if verb == "expand":
        return _text(sympy.expand(value))
    return _text(sympy.factor(value) if verb == "factor" else sympy.cancel(value))


def _check_coefficients(value: Expr) -> None:
    """Refuse coefficients with which factoring would take long."""
    if any(_bits(number) > MAX_COEFFICIENT_BITS for number in value.atoms(sympy.Rational)):
        raise ToolError("a coefficient of more than 200 digits is too large for algebra")


def _one(pair: tuple[Node, Node], unknown: Expr) -> str:
    """The solutions of one equation in one unknown."""
    whole = build(pair[0]) - build(pair[1])
    poles = [build(pole) for side in pair for pole in _denominators(side)]
    _check_coefficients(whole)
    top = sympy.fraction(sympy.cancel(sympy.together(whole)))[0]
    if top.is_zero:
        return f"every {unknown} is a solution" + (", except where a denominator is 0" if poles else "")
    if unknown not in top.free_symbols:
        return "no solution"
    polynomial = sympy.Poly(top, unknown)
    if polynomial.free_symbols_in_domain:
        return _with_parameters(polynomial, unknown)
    if any(not number.is_Rational for number in polynomial.all_coeffs()):
        raise ToolError("equations are solved where their coefficients are rational")
    return _roots(polynomial, [sympy.Poly(sympy.fraction(sympy.together(pole))[0], unknown) for pole in poles])


def _denominators(root: Node) -> list[Node]:
    """What the equation divides by, where a variable is in it."""
    found: list[Node] = []
    for node in nodes(root):
        if isinstance(node, Binary) and node.operator == "/" and symbols(node.right):
            found.append(node.right)
        if isinstance(node, Binary) and node.operator == "^" and isinstance(node.right, Negative):
            found.append(node.left)
    return found


def _with_parameters(polynomial: Expr, unknown: Expr) -> str:
    if polynomial.degree() != 1:
        raise ToolError("equations with parameters are solved where they are linear only")
    slope, rest = polynomial.all_coeffs()
    return f"{unknown} = {_text(sympy.cancel(-rest / slope))}"


def _roots(polynomial: Expr, poles: list[Expr]) -> str:
    """Every real root in ascending order; complex ones are spelled out where there is no real one."""
    real: list[Expr] = []
    other: list[Expr] = []
    for factor, _ in polynomial.factor_list()[1]:
        if any(sympy.gcd(factor, pole).degree() > 0 for pole in poles):
            continue
        found = factor.real_roots(multiple=True, radicals=False)
        real += found if factor.degree() > 2 else _radicals(factor)[: len(found)]
        other += [None] * (factor.degree() - len(found)) if factor.degree() > 2 else _radicals(factor)[len(found) :]
    name = polynomial.gen
    listed = " or ".join(f"{name} = {_root_text(root)}" for root in sorted(real, key=_size))
    if not other:
        return listed or "no solution"
    if real or None in other:
        return f"{listed or 'no real solution'} (and {len(other)} complex solutions)"
    return "no real solution; complex: " + " or ".join(f"{name} = {_text(root)}" for root in other)


def _radicals(factor: Expr) -> list[Expr]:
    """The roots of an irreducible factor of degree 1 or 2, exactly."""
    if factor.degree() == 1:
        slope, rest = factor.all_coeffs()
        return [-rest / slope]
    second, first, constant = factor.all_coeffs()
    spread = sympy.sqrt(first**2 - 4 * second * constant)
    return [sympy.expand((-first + sign * spread) / (2 * second)) for sign in (-1, 1)]


def _size(root: Expr) -> Decimal:
    return Decimal(str(root.evalf(30)))


def _root_text(root: Expr) -> str:
    return _text(root) if not isinstance(root, sympy.CRootOf) else number_text(_size(root))


def _system(pairs: Sequence[tuple[Node, Node]], names: list[Expr]) -> str:
    """The values of several unknowns; the equations are linear."""
    wholes = [sympy.expand(build(left) - build(right)) for left, right in pairs]
    for whole in wholes:
        _check_coefficients(whole)
    found = list(sympy.linsolve(wholes, names))
    if not found:
        return "no solution"
    if any(value.free_symbols & set(names) for value in found[0]):
        return "infinitely many solutions"
    return ", ".join(f"{name} = {_text(value)}" for name, value in zip(names, found[0], strict=True))


def _text(value: Expr) -> str:
    """The expression as people write it: 3x^2 + 2x - 1, 2*sqrt(3), (x - 2)(x - 3)."""
    text = re.sub(r"\bI\b", "i", str(value)).replace("**", "^").replace(")*(", ")(")
    return re.sub(r"(?<![\w.^])([0-9]+|[a-z])\*(?=[a-z](?![a-z])|\()", _beside, text)


def _beside(found: re.Match[str]) -> str:
    """A factor without its sign, where that cannot be misread."""
    return found.group(1)
