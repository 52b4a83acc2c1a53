"""Exact arithmetic and algebra with sympy, which is given trees of ours and never text."""

from __future__ import annotations

from importlib.util import find_spec

from orchestrator.errors import ToolError
from orchestrator.tools.base import CANNOT, Claim, Resources
from orchestrator.tools.calculations import Calculation, Equations, Refused, Request, read
from orchestrator.tools.expressions import Node, symbols
from orchestrator.tools.polynomials import polynomial_problem

__all__ = ["MISSING", "answer", "claim"]

MISSING = "needs the extra `local`: pip install 'thinkroute[local]'"
SURE = Claim(0.99)


def claim(question: str, resources: Resources) -> Claim:
    """Sure of every calculation, equation and polynomial that it can read."""
    del resources
    request = read(question)
    if request is None:
        return CANNOT
    why = request.why if isinstance(request, Refused) else _problem(request)
    if why:
        return Claim(0.0, why)
    return SURE if find_spec("sympy") else Claim(0.0, MISSING)


def answer(question: str, resources: Resources) -> str:
    """The number, the solutions or the rewritten expression."""
    del resources
    request = read(question)
    if request is None or isinstance(request, Refused):
        raise ToolError(request.why if request else "this is neither a calculation nor an equation")
    if why := _problem(request):
        raise ToolError(why)
    if not find_spec("sympy"):
        raise ToolError(MISSING)
    from orchestrator.tools.symbolic import solution

    return solution(request)


def _problem(request: Request) -> str:
    """Why sympy should not be bothered with it, or nothing."""
    match request:
        case Equations(pairs, unknowns):
            roots: list[Node] = [side for pair in pairs for side in pair]
            return polynomial_problem(roots, unknowns, linear=len(pairs) > 1)
        case Calculation() | Refused():
            return ""
        case _:
            return polynomial_problem([request.root], tuple(sorted(symbols(request.root))))
