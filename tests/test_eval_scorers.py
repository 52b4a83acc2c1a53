"""Scorers on answers as models write them, JSON Schema on values, and what a route has to look like."""

# pytest leaves the types of `approx` open: pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ConfigError, ProviderError
from orchestrator.evals.assertions import broken_assertions, called
from orchestrator.evals.cases import EvalCase, Expect
from orchestrator.evals.scorers import (
    SCORERS,
    Scored,
    as_scorer,
    last_number,
    recorded_score,
    scorer_named,
    squad_words,
)
from orchestrator.evals.shapes import check_schema, misfits
from tests.experts import Sold, Vendor, sold
from tests.runs import Ran, ask


def case(*reference: str, choices: tuple[str, ...] = ()) -> EvalCase:
    """A case with these references."""
    return EvalCase(id="q", question="What?", reference=reference, choices=choices)


def score(name: str, answer: str, asked: EvalCase, **settings: object) -> float:
    """The score of an answer."""
    return scorer_named(name, settings).score(answer, asked).score


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("397.80", "397.8", True),
        ("  Lima. ", "lima", True),
        ("1,000", "1000", True),
        ("Lima is the capital", "Lima", False),
        ("50%", "50", False),
        ("", "0", False),
    ],
)
def test_exact_compares_as_merges_do(answer: str, reference: str, right: bool) -> None:
    assert score("exact", answer, case("something else", reference)) == right


@pytest.mark.parametrize(
    ("answer", "made"),
    [
        ("B", "B"),
        ("(b) because birds fly", "B"),
        ("Let us see. The answer is (C).", "C"),
        ("The answer is A? No: the correct answer is: **D**", "D"),
        ("Answer: B\nExplanation: A is wrong", "B"),
        ("A bird has wings", None),
        ("None of them", None),
        ("E", None),
    ],
)
def test_choice_finds_the_letter(answer: str, made: str | None) -> None:
    for letter in "ABCD":
        assert score("choice", answer, case(letter, choices=("A", "B", "C", "D"))) == (letter == made)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("She needs to pay $64 for the 16 glasses. #### 64", "64"),
        ("The answer is $10.50", "10.50"),
        ("so the total is 1,234,567.5 dollars", "1234567.5"),
        ("the answer is -3.", "-3"),
        (r"thus \boxed{42} as 7 said", "42"),
        ("from 5 to −2", "-2"),
        ("6.02e23", "6.02E+23"),
        ("version 1.2.3 has none", None),
        ("model gpt4 has none", None),
        ("nothing", None),
        ("The answer is unknown, but 7 is near", "7"),
        ("9" * 80, None),
    ],
)
def test_the_number_that_a_text_ends_up_with(text: str, number: str | None) -> None:
    assert last_number(text) == (None if number is None else Decimal(number))


def test_a_number_has_a_tolerance() -> None:
    assert score("number", "about 9.9", case("10")) == 0
    assert score("number", "about 9.9", case("10"), tolerance="0.1") == 1
    assert score("number", "about 9.9", case("10"), relative=0.01) == 1
    assert score("number", "about 9.8", case("10"), relative=0.01) == 0
    assert score("number", "it is 12", case("10", "12.0")) == 1
    assert score("number", "no idea", case("10")) == 0


def test_contains() -> None:
    assert score("contains", "It is\n the  LONG way", case("the long way")) == 1
    assert score("contains", "It is the LONG way", case("the long way"), case_sensitive=True) == 0
    assert score("contains", "neither", case("one", "two")) == 0


def test_regex() -> None:
    assert score("regex", "ISBN 12-34", case(r"\d\d-\d\d$")) == 1
    assert score("regex", "ISBN 12-34", case(), pattern=r"^\d") == 0
    assert score("regex", "12", case(), pattern=r"^\d") == 1


@pytest.mark.parametrize(
    ("answer", "reference", "em", "f1"),
    [
        ("The Eiffel Tower!", "eiffel tower", 1, 1.0),
        ("in the city of Paris, France", "Paris", 0, 2 / 6),
        ("the theatre", "theatre", 1, 1.0),
        ("U.S.A.", "usa", 1, 1.0),
        ("a b b c", "b b d", 0, 2 * 2 / 6),
        ("London", "Paris", 0, 0.0),
        ("the", "a", 1, 1.0),
        ("the", "Paris", 0, 0.0),
    ],
)
def test_squads_exact_match_and_f1(answer: str, reference: str, em: float, f1: float) -> None:
    assert score("em", answer, case("zzz", reference)) == em
    assert score("f1", answer, case("zzz", reference)) == pytest.approx(f1)


def test_squads_normalisation() -> None:
    assert squad_words(" An  Apple-pie, a THE day! ") == ["applepie", "day"]


@given(st.text(max_size=40), st.text(max_size=40))
def test_f1_lies_between_and_is_one_where_words_agree(one: str, other: str) -> None:
    found = score("f1", one, case(other))
    assert 0 <= found <= 1
    assert found == score("f1", other, case(one))
    assert score("em", one, case(one)) == score("f1", one, case(one)) == 1


PERSON = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0}},
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"name": "Ada", "age": 36}', 1),
        ('Here it is:\n```json\n{"name": "Ada"}\n```\nDone.', 1),
        ('{"age": 36}', 0),
        ('{"name": "Ada", "age": 36.5}', 0),
        ('{"name": "Ada", "height": 1}', 0),
        ('{"name": ""}', 0),
        ("Ada", 0),
        ("[" * 100_000, 0),
    ],
)
def test_json_of_a_shape(answer: str, right: float) -> None:
    assert score("json_schema", answer, case(), schema=PERSON) == right


SHAPES: list[tuple[dict[str, object], list[object], list[object]]] = [
    ({"type": ["null", "boolean"]}, [None, True], [0, "", {}]),
    ({"type": "number"}, [1, 1.5], [True, "1"]),
    ({"type": "integer"}, [1, 2.0], [1.5, False]),
    ({"enum": ["a", 1, None]}, ["a", 1, None], ["b", True, 0]),
    ({"const": 0}, [0], [False, 1]),
    ({"exclusiveMinimum": 0, "maximum": 1}, [0.5, 1, "x"], [0, 1.5]),
    ({"minimum": 1, "exclusiveMaximum": 2}, [1, 1.9], [0.9, 2]),
    ({"maxLength": 2, "pattern": "^a"}, ["a", "ab", 7], ["abc", "b"]),
    ({"items": {"type": "string"}, "minItems": 1, "maxItems": 2}, [["a"], "text"], [[], ["a", 1], ["a", "b", "c"]]),
    ({"prefixItems": [{"const": 1}], "items": False}, [[1], []], [[2], [1, 2]]),
    ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 2}]),
    ({"additionalProperties": {"type": "string"}}, [{"a": "b"}], [{"a": 1}]),
    ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, ["a", 3], [1]),
    ({"oneOf": [{"minimum": 1}, {"maximum": 2}]}, [0, 3], [1, 2]),
    ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1, 2], [0, 3]),
    ({"not": {"type": "string"}}, [1], ["a"]),
    ({"title": "anything", "properties": {"a": True, "b": False}}, [{}, {"a": 1}, 7], [{"b": 1}]),
]
"""A schema, values that fit it, and values that do not."""


@pytest.mark.parametrize(("schema", "fits", "does_not"), SHAPES, ids=str)
def test_shapes(schema: dict[str, object], fits: list[object], does_not: list[object]) -> None:
    check_schema(schema)
    assert [value for value in fits if misfits(value, schema)] == []
    assert [value for value in does_not if not misfits(value, schema)] == []


def test_a_misfit_says_where() -> None:
    schema = {"properties": {"rows": {"items": {"required": ["id"], "properties": {"id": {"type": "integer"}}}}}}
    assert misfits({"rows": [{"id": 1}, {"id": "2"}, {}]}, schema) == [
        "$.rows[1].id is no integer",
        "$.rows[2].id is missing",
    ]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"$ref": "#/$defs/x"}, "schema.$ref"),
        ({"propertys": {}}, "did you mean `properties`?"),
        ({"properties": {"a": {"typ": "string"}}}, "schema.properties.a.typ"),
        ({"anyOf": [{"format": "date"}]}, "schema.anyOf[0].format"),
        ({"type": "text"}, "cannot be 'text'"),
        ({"type": []}, "schema.type"),
        ({"minimum": "3"}, "expected a number"),
        ({"maxItems": True}, "expected a number"),
        ({"required": [1]}, "expected a list of names"),
        ({"properties": []}, "expected an object"),
        ({"enum": "abc"}, "expected a list"),
        ({"pattern": 3}, "expected a text"),
        ({"pattern": "("}, "is no regular expression"),
        ({"items": 3}, "is no schema"),
    ],
    ids=str,
)
def test_a_schema_that_is_not_understood_is_refused(schema: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scorer_named("json_schema", {"schema": schema})
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        (
            "exakt",
            {},
            "there is no scorer `exakt`; expected one of choice, contains, em, exact, f1, json_schema, number",
        ),
        ("number", {"tolerence": 1}, "did you mean `tolerance`?"),
        ("number", {"tolerance": -1}, "cannot be -1"),
        ("regex", {"pattern": "("}, "is no regular expression"),
        ("json_schema", {}, "is missing"),
    ],
)
def test_a_wrong_scorer_is_told(name: str, settings: Mapping[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scorer_named(name, settings)
    assert told in str(caught.value)


@pytest.mark.parametrize("name", [name for name in SCORERS if name not in ("json_schema", "regex")])
def test_a_case_without_a_reference_cannot_be_scored(name: str) -> None:
    with pytest.raises(ConfigError, match=r"has no reference|has no choices"):
        scorer_named(name).score("x", case())


def test_references_have_to_fit_the_scorer() -> None:
    with pytest.raises(ConfigError, match="`many` is no number"):
        score("number", "7", case("many"))
    with pytest.raises(ConfigError, match="is no regular expression"):
        score("regex", "7", case("("))
    with pytest.raises(ConfigError, match="has no choices"):
        score("choice", "A", case("A"))


def test_why_is_told_in_short() -> None:
    assert scorer_named("exact").score("x" * 200, case("y")).why == f"'{'x' * 79}…' is not y"
    assert scorer_named("f1").score("x b", case("b c")).why == "F1 0.50 with b c"
    assert scorer_named("number").score("none", case("1")).why == "there is no number in it"


def test_the_recorded_score_is_that_of_who_supports_the_answer() -> None:
    assert recorded_score(("b", "a"), {"a": 0.0, "b": 0.75}) == 0.75
    assert recorded_score(("router", "a"), {"a": 0.5}) == 0.5
    assert recorded_score((), {"a": 1.0}) == 0.0


def ran_over_two(folder: Path, *, ill: bool = False) -> Ran:
    """A run over two models, of which the likelier one may be ill."""
    trouble = ProviderError("ill", kind="auth") if ill else None
    vendor = Vendor({"first": Sold(usd=Decimal("0.01"), error=trouble), "second": Sold()})
    return ask(sold(vendor, {"first": 0.9, "second": 0.5}, trace=folder), folder)


@pytest.mark.parametrize(
    ("expect", "broken"),
    [
        ({}, []),
        ({"status": "answered", "routed_to": ["first"], "never_called": ["second"], "reroutes": 0}, []),
        ({"status": "escalated"}, ["status: expected escalated, was answered"]),
        ({"routed_to": ["second"]}, ["routed_to: second was not called, but first"]),
        ({"never_called": ["first"]}, ["never_called: first was called"]),
        ({"max_turns": 0}, ["max_turns: expected at most 0, took 1"]),
        ({"reroutes": 2}, ["reroutes: expected 2, were 0"]),
        ({"max_cost_usd": 10}, []),
    ],
)
def test_route_assertions(expect: dict[str, object], broken: list[str], tmp_path: Path) -> None:
    ran = ran_over_two(tmp_path)
    assert called(ran.events) == ("first",)
    assert list(broken_assertions(Expect.model_validate(expect), ran.decision, ran.events)) == broken


def test_a_route_around_a_failure(tmp_path: Path) -> None:
    ran = ran_over_two(tmp_path, ill=True)
    assert called(ran.events) == ("first", "second")
    assert broken_assertions(Expect(routed_to=("first", "second"), reroutes=1), ran.decision, ran.events) == ()
    assert broken_assertions(Expect(reroutes=0), ran.decision, ran.events) == ("reroutes: expected 0, were 1",)


def test_an_unknown_cost_breaks_a_limit_on_cost(tmp_path: Path) -> None:
    ran = ran_over_two(tmp_path)
    limit = Expect(max_cost_usd=Decimal("0.001"))
    unknown = ran.decision.model_copy(update={"cost_usd": None})
    assert broken_assertions(limit, unknown, ()) == ("max_cost_usd: expected at most $0.001, was unknown",)
    assert broken_assertions(limit, ran.decision, ()) == ("max_cost_usd: expected at most $0.001, was $0.01",)


def test_a_plain_function_scores() -> None:
    def half(answer: str, case: EvalCase) -> float:
        return 0.5 if answer in case.reference else False

    scorer = as_scorer(half)
    assert (scorer.name, scorer.score("b", case("b")).score) == ("half", 0.5)
    assert scorer.score("c", case("b")) == Scored(0.0, "half gave False")
    assert as_scorer(scorer) is scorer


@pytest.mark.parametrize("given", [2, -0.1, float("nan"), "right", None])
def test_a_function_that_gives_no_score_is_told(given: object) -> None:
    def odd(answer: str, case: EvalCase) -> float:
        del answer, case
        return given  # pyright: ignore[reportReturnType]

    with pytest.raises(ConfigError, match=r"scorer odd.*a number from 0 to 1"):
        as_scorer(odd).score("x", case("x"))
    with pytest.raises(ConfigError, match="is no scorer"):
        as_scorer(5)  # pyright: ignore[reportArgumentType]
