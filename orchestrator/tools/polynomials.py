"""Whether an expression is a polynomial small enough to be rewritten or solved, from its tree alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orchestrator.tools.expressions import Binary, Call, Negative, Node, Number, Percent, symbols

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["polynomial_problem"]

MAX_DEGREE = 20
"""Degree in one variable; factoring takes long beyond it."""
MAX_JOINT_DEGREE = 8
"""Degree in several variables."""
MAX_VARIABLES = 4


class Degree(NamedTuple):
    """Upper bounds of the degrees of a fraction of polynomials."""

    top: int
    bottom: int = 0


class NotRational(ValueError):
    """A variable stands where no polynomial has one; the text says where."""


def polynomial_problem(roots: Sequence[Node], unknowns: Sequence[str], *, linear: bool = False) -> str:
    """Why these expressions are beyond us, or nothing where they are fine."""
    try:
        degrees = [_degree(root) for root in roots]
    except NotRational as problem:
        return str(problem)
    names = frozenset[str](unknowns).union(*(symbols(root) for root in roots))
    if len(names) > MAX_VARIABLES:
        return f"more than {MAX_VARIABLES} variables"
    if linear and any(degree.top + degree.bottom > 1 for degree in degrees):
        return "systems of equations are solved where they are linear only"
    highest = MAX_DEGREE if len(names) == 1 else MAX_JOINT_DEGREE
    if any(max(degree) > highest for degree in degrees):
        return f"a polynomial of degree above {highest}"
    return ""


def _degree(node: Node) -> Degree:
    if not symbols(node):
        return Degree(0)
    match node:
        case Negative(of) | Percent(of):
            return _degree(of)
        case Binary("^", base, exponent):
            return _power(_degree(base), exponent)
        case Binary("mod"):
            raise NotRational("the remainder of a variable is not algebra")
        case Binary(operator, left, right):
            return _joined(operator, _degree(left), _degree(right))
        case Call(name):
            raise NotRational(f"`{name}` of a variable: only polynomials and their fractions are taken")
        case _:
            return Degree(1)


def _joined(operator: str, left: Degree, right: Degree) -> Degree:
    if operator == "*":
        return Degree(left.top + right.top, left.bottom + right.bottom)
    if operator == "/":
        return Degree(left.top + right.bottom, left.bottom + right.top)
    return Degree(max(left.top + right.bottom, right.top + left.bottom), left.bottom + right.bottom)


def _power(base: Degree, exponent: Node) -> Degree:
    turned = isinstance(exponent, Negative)
    number = exponent.of if isinstance(exponent, Negative) else exponent
    if not isinstance(number, Number) or number.places > 0:
        raise NotRational("with variables, exponents are whole numbers written as digits only")
    times = number.digits * 10 ** min(-number.places, 9)
    top, bottom = base.top * times, base.bottom * times
    return Degree(bottom, top) if turned else Degree(top, bottom)
