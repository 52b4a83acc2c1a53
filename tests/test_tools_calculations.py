"""Two independent ways to compute agree with each other and with plain fractions, and both stop in time."""

from __future__ import annotations

import math
import operator
import time
from datetime import date, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator.errors import ToolError
from orchestrator.tools import algebra, arithmetic
from orchestrator.tools.base import Resources
from orchestrator.tools.calculations import Calculation, Refused, read
from orchestrator.tools.expressions import Number, Symbol, parse
from orchestrator.tools.numerals import Form, measure_text, number_text, read_number, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

NOTHING = Resources()
BOTH = [algebra, arithmetic]

Tree = tuple[str, Fraction]
"""An expression as text, and its value."""

OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right,
    "mod": operator.mod,
}


def leaf(number: Fraction) -> Tree:
    return number_text(number), number


LEAVES = st.one_of(
    st.integers(0, 10**6).map(Fraction),
    st.decimals(0, 1000, places=3).map(Fraction),
    st.integers(1, 99).map(lambda number: Fraction(number, 4)),
).map(leaf)


@st.composite
def joined(draw: st.DrawFn, children: st.SearchStrategy[Tree]) -> Tree:
    (left, first), (right, second) = draw(children), draw(children)
    sign = draw(st.sampled_from(sorted(OPERATIONS)))
    assume(second != 0 or sign not in {"/", "mod"})
    return f"({left}) {sign} ({right})", OPERATIONS[sign](first, second)


@st.composite
def raised(draw: st.DrawFn, children: st.SearchStrategy[Tree]) -> Tree:
    (base, value), exponent = draw(children), draw(st.integers(-3, 4))
    assume(value != 0)
    return f"-({base})^({exponent})", -(value**exponent)


TREES = st.recursive(LEAVES, lambda children: st.one_of(joined(children), raised(children)), max_leaves=8)


def fails(module: ModuleType, question: str) -> str:
    with pytest.raises(ToolError) as caught:
        module.answer(question, NOTHING)
    return str(caught.value)


@given(TREES)
@settings(max_examples=300)
def test_both_ways_equal_plain_fractions(tree: Tree) -> None:
    text, value = tree
    assume(not isinstance(parse(text), Number))
    answers = {module.answer(f"{text} as a fraction", NOTHING) for module in BOTH}
    assert answers == {str(value)}


@given(TREES)
@settings(max_examples=150)
def test_both_ways_print_alike(tree: Tree) -> None:
    text, value = tree
    assume(not isinstance(parse(text), Number))
    first, second = (module.answer(f"what is {text} as a decimal?", NOTHING) for module in BOTH)
    assert first == second == number_text(value)
    assert abs(Fraction(first.replace("e", "E")) - value) <= abs(value) / 10**11


@given(st.integers(2, 10**12), st.integers(2, 5))
@settings(max_examples=100)
def test_roots_agree(number: int, degree: int) -> None:
    question = f"{number}^(1/{degree}) to 30 decimal places"
    first, second = (module.answer(question, NOTHING) for module in BOTH)
    assert first == second
    assert math.isclose(float(first), number ** (1 / degree))


@given(st.integers(0, 10**8), st.integers(2, 4))
def test_perfect_powers_have_exact_roots(number: int, degree: int) -> None:
    assert {module.answer(f"({number}^{degree})^(1/{degree})", NOTHING) for module in BOTH} == {str(number)}


@given(st.fractions(), st.integers(0, 20))
def test_rounding_is_to_the_nearest(value: Fraction, places: int) -> None:
    text = shown(value, Form(places=places))
    assert abs(Fraction(text) - value) <= Fraction(1, 2 * 10**places)
    assert len(text.partition(".")[2]) == places


@given(st.fractions(), st.integers(1, 20))
def test_significant_figures_are_near(value: Fraction, figures: int) -> None:
    near = Fraction(shown(value, Form(figures=figures)))
    assert abs(near - value) <= abs(value) * Fraction(10) ** (1 - figures)


@given(st.fractions())
def test_measures_are_near(value: Fraction) -> None:
    text = measure_text(value)
    assert abs(Fraction(text.replace("e", "E")) - value) <= abs(value) / 10**11


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 5))
@settings(max_examples=60)
def test_quadratics_have_the_roots_they_were_made_of(first: int, second: int, scale: int) -> None:
    question = f"{scale}x^2 - ({scale * (first + second)})x + ({scale * first * second}) = 0"
    roots = " or ".join(f"x = {root}" for root in sorted({first, second}))
    assert algebra.answer(question, NOTHING) == roots


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("9**9**9", "9^387420489 has more than 4,000 digits"),
        ("9^9^9^9", "more than 4,000 digits"),
        ("2^(10^400)", "2^a huge number has more than"),
        ("(10^3000)^7", "more than 4,000 digits"),
        ("1000! * 1000!", "a step of the calculation has more than"),
        ("1e400^-100", "more than 4,000 digits"),
        ("100000!", "factorials are computed up to 1000!, asked was 100000!"),
        ("5!!!", "factorials are computed up to 1000!, asked was 668950...000!"),
        ("(-3)!", "the factorial of a negative number is not defined"),
        ("3.5!", "a whole number is needed, not 3.5"),
        ("gcd(sqrt(2), 4)", "a whole number is needed, not 1.41421356237"),
        ("1/0", "division by zero"),
        ("0^-1", "division by zero"),
        ("5 mod 0", "division by zero"),
        ("5 mod (3 - 3)", "division by zero"),
        ("0^0", "0 to the power 0 is not defined"),
        ("sqrt(-4)", "not a real number"),
        ("(-8)^(1/3)", "not a real number"),
        ("sqrt(2) as a fraction", "1.41421356237... is irrational: no fraction equals it"),
        ("sqrt(2) mod 1", "a remainder is computed of rational numbers only"),
        ("10/3 to 99 decimal places", "at most 50 decimal places"),
        ("10/3 to 99 significant figures", "1 to 50 significant figures"),
        ("sqrt(10^301) to 3 decimal places", "too large to round to decimal places"),
        ("(1/3)^3000 as a fraction to 2 decimal places", None),
        ("2^sqrt(2)", "irrational numbers"),
    ],
)
def test_refusals_say_why_at_once(module: ModuleType, question: str, why: str | None) -> None:
    module.answer("1+1", NOTHING)  # the import is not what is timed
    started = time.process_time()
    if why is None:
        assert module.answer(question, NOTHING)
    else:
        assert why in fails(module, question)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("9" * 401 + " + 1", "a number of more than 400 digits"),
        ("1e999 + 1", "a number of more than 400 digits"),
        ("(" * 60 + "1" + ")" * 60 + "+1", "parentheses nested more than 40 deep"),
        ("-" * 60 + "1", "an expression nested more than 40 deep"),
        ("2^" * 60 + "1", "an expression nested more than 40 deep"),
        ("sqrt " * 60 + "1", "an expression nested more than 40 deep"),
        ("1+" * 200 + "1", "an expression of more than 250 parts"),
        ("1+" * 600 + "1", "a calculation of more than 1,000 characters"),
        ("100 + 10%", "a percentage added to a number: say of what it is a percentage"),
        ("x + y = 10", "more unknowns (x, y) than equations: say which one to solve for"),
        ("solve 2x = 4 for y", "`y` does not occur in the equation"),
    ],
)
def test_bounds_are_explained_by_the_claim(module: ModuleType, question: str, why: str) -> None:
    claim = module.claim(question, NOTHING)
    assert (claim.p, claim.why) == (0, why)
    assert fails(module, question) == why


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("expand (x+1)^100", "a polynomial of degree above 20"),
        ("expand (x+y)^10", "a polynomial of degree above 8"),
        ("2^x = 8", "with variables, exponents are whole numbers written as digits only"),
        ("x^0.5 = 3", "with variables, exponents are whole numbers written as digits only"),
        ("sqrt(x) = 3", "`sqrt` of a variable: only polynomials and their fractions are taken"),
        ("x mod 3 = 1", "the remainder of a variable is not algebra"),
        ("x*y = 6, x + y = 5", "systems of equations are solved where they are linear only"),
        ("simplify a + b + c + d + f", "more than 4 variables"),
    ],
)
def test_algebra_says_what_it_does_not_take(question: str, why: str) -> None:
    assert algebra.claim(question, NOTHING).why == why
    assert fails(algebra, question) == why


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("expand (10^300 x + 1)^2", "a coefficient of more than 200 digits"),
        ("x^2 = sqrt(2)", "coefficients are rational"),
        ("a*x^2 + b = 0 for x", "equations with parameters are solved where they are linear only"),
        ("sqrt(2) * sqrt(3) - sqrt(6) + 1/(sqrt(2)*sqrt(2) - 2)", "division by zero"),
        (f"sqrt(2) - 1.{'4' * 3}", None),
    ],
)
def test_algebra_stops_where_it_must(question: str, why: str | None) -> None:
    if why is None:
        assert algebra.answer(question, NOTHING).startswith("-0.02")
    else:
        assert why in fails(algebra, question)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("sqrt(2)*sqrt(2)", "2"),
        ("(1+sqrt(2))(1-sqrt(2))", "-1"),
        ("sqrt(2)+sqrt(3)", "3.14626436994"),
        ("(sqrt(2) + 1)^2 as a decimal", "5.82842712475"),
        ("abs(-sqrt(2)) * sqrt(2)", "2"),
        ("cbrt(-sqrt(2)) * 1", "-1.12246204831"),
        ("(sqrt(2)+sqrt(3)+sqrt(5)+sqrt(7)+sqrt(11)+sqrt(13)+sqrt(17))^20", "4.0601918505e25"),
        ("a*x + b = 0 for x", "x = -b/a"),
        ("x = x", "every x is a solution"),
        ("x^2 + x - 1 = 0", "x = -sqrt(5)/2 - 1/2 or x = -1/2 + sqrt(5)/2"),
        ("solve x*(x - 1)*(x^2 + 4) = 0", "x = 0 or x = 1 (and 2 complex solutions)"),
        ("factor 2x^3 - 8x", "2x(x - 2)(x + 2)"),
        ("expand (x + y)^2", "x^2 + 2xy + y^2"),
        ("multiply out: 50% * (2x + 4)", "x + 2"),
        ("simplify 2x + 3x", "5x"),
        ("-x = 3", "x = -3"),
    ],
)
def test_algebra_goes_beyond_arithmetic(question: str, answer: str) -> None:
    assert algebra.answer(question, NOTHING) == answer


@pytest.mark.parametrize("question", ["sqrt(2)*sqrt(3)", "sqrt(2) + sqrt(3)", "sqrt(2)^2", "1/(sqrt(2) - sqrt(3))"])
def test_arithmetic_refuses_what_digits_cannot_show(question: str) -> None:
    assert "only with algebra" in fails(arithmetic, question)


def test_nearly_cancelling_parts_are_not_printed() -> None:
    digits = math.isqrt(2 * 10**400)
    question = f"sqrt(2) - {str(digits)[0]}.{str(digits)[1:]}"
    assert "nearly cancel" in fails(arithmetic, question)
    assert algebra.answer(question, NOTHING)


def test_rational_disguised_as_roots_is_found_or_refused() -> None:
    assert algebra.answer("sqrt(2) + sqrt(3) - sqrt(2) - sqrt(3) + 1/7 as a fraction", NOTHING) == "1/7"
    assert "nearly cancel" in fails(algebra, "sqrt(5 + 2*sqrt(6)) - sqrt(2) - sqrt(3)")


@pytest.mark.parametrize("question", ["solve 2x = 4", "what is love", "9" * 400])
def test_arithmetic_has_no_answer_to_other_questions(question: str) -> None:
    assert arithmetic.claim(question, NOTHING).p == 0
    assert fails(arithmetic, question) == "this is no calculation"


def test_symbols_have_no_value_in_arithmetic() -> None:
    with pytest.raises(ToolError, match="`x` has no value"):
        arithmetic.evaluate(Symbol("x"))


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "--1", "9" * 101])
def test_read_number_refuses(text: str) -> None:
    assert read_number(text) is None


def test_long_questions_are_not_read() -> None:
    assert read("what is love " * 100) is None
    assert isinstance(read("1 " * 600), Refused)
    assert isinstance(read("1 + 1"), Calculation)


@given(st.dates())
@settings(max_examples=50)
def test_dates_are_never_taken_for_sums(day: date) -> None:
    later = min(day, date.max - timedelta(30)) + timedelta(30)
    assert read(day.isoformat()) is None
    assert read(f"{later.isoformat()} - {day.isoformat()}") is None
    assert read(f"{day.day}/{day.month}/{day.year:04}") is None
