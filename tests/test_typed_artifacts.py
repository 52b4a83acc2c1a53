"""Artifacts whose kind is a pydantic model: asked for by schema, checked at the edge, mended once, routed round."""
# ruff: noqa: ARG001 - experts of tests need not look at what they are given

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from orchestrator import Agent, ConfigError, Model, Orchestrator, Pool, Risk, ScriptProvider, expert
from orchestrator.tools import Misfit, fitted
from orchestrator.trace.events import AttemptFailed, Replied
from tests.experts import giving
from tests.runs import ask


class Order(BaseModel):
    """Something bought."""

    item: str
    amount: int = Field(gt=0)


class Other(BaseModel):
    """Another type."""

    item: str


class Picky(Order):
    """An order of lamps."""

    @field_validator("item")
    @classmethod
    def _lamp(cls, item: str) -> str:
        if item != "lamp":
            raise ValueError("only lamps")
        return item


LAMP = Order(item="lamp", amount=3)


@expert(produces="order", skill=0.9)
def clerk(question: str) -> Order:
    """Reads orders."""
    return LAMP


@expert(skill=0.8)
def teller(order: Order) -> str:
    """Adds up."""
    assert isinstance(order, Order)
    return f"{order.amount} × {order.item}"


def test_functions_state_types_by_their_annotations(tmp_path: Path) -> None:
    ran = ask(Orchestrator([clerk, teller], trace=tmp_path), tmp_path)
    assert ran.decision.answer == "3 × lamp"
    assert ran.of(Replied)[0].value == {"item": "lamp", "amount": 3}


def test_what_a_tool_gives_is_made_of_the_kind(tmp_path: Path) -> None:
    for given_ in ({"item": "lamp", "amount": "3"}, '{"item": "lamp", "amount": 3}', Picky(item="lamp", amount=3)):
        plain = giving("plain", given_, produces="order")
        ran = ask(Orchestrator([plain, teller], trace=tmp_path), tmp_path)
        assert (ran.decision.answer, ran.decision.failed) == ("3 × lamp", ())


def test_a_tool_that_gives_something_else_is_malformed_and_routed_round(tmp_path: Path) -> None:
    wrong = giving("wrong", {"item": "lamp", "amount": 0}, produces="order", skill=1.0)
    ran = ask(Orchestrator([wrong, clerk, teller], trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.outcomes()) == ("3 × lamp", [("wrong", "rerouted")])
    (failed,) = ran.decision.failed
    assert (failed.kind, failed.tries) == ("malformed", 1)
    assert "is no Order: amount: Input should be greater than 0" in failed.error


@expert
def sold(order: Order) -> str:
    """Tells how many."""
    return f"{order.amount} sold"


def pool(*, structured: bool = True, output: str | type[BaseModel] | None = Order) -> Pool:
    """A model that reads orders, and a function that takes any."""
    model = Model(name="script:m", free=True, structured=structured)
    reader = Agent(name="reader", model="script:m", produces="order", output=output)
    return Pool([model, reader, sold])


@pytest.mark.parametrize("output", [Order, "tests.test_typed_artifacts:Order"])
def test_a_model_is_asked_by_the_schema(output: str | type[BaseModel], tmp_path: Path) -> None:
    said = ScriptProvider({"m": [LAMP.model_dump_json()]})
    ran = ask(Orchestrator(pool(output=output), providers={"script": said}, trace=tmp_path), tmp_path)
    assert ran.decision.answer == "3 sold"
    assert said.requests[0][1].schema == Order.model_json_schema()


def test_a_model_that_keeps_to_no_schema_is_asked_in_words(tmp_path: Path) -> None:
    said = ScriptProvider({"m": ["Here you are:\n```json\n" + LAMP.model_dump_json(indent=1) + "\n```"]})
    ran = ask(Orchestrator(pool(structured=False), providers={"script": said}, trace=tmp_path), tmp_path)
    assert ran.decision.answer == "3 sold"
    request = said.requests[0][1]
    assert request.schema is None
    assert json.dumps(Order.model_json_schema()) in request.messages[-1].content


def test_a_reply_that_does_not_fit_is_mended_once(tmp_path: Path) -> None:
    said = ScriptProvider({"m": ['{"item": "lamp"}', LAMP.model_dump_json()]})
    ran = ask(Orchestrator(pool(), providers={"script": said}, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.failed) == ("3 sold", ())
    first, mended = (request for _, request in said.requests)
    assert mended.messages[-2].content == '{"item": "lamp"}'
    assert "is no Order: amount: Field required" in mended.messages[-1].content
    assert mended.schema == first.schema


def test_after_one_repair_the_attempt_has_failed(tmp_path: Path) -> None:
    said = ScriptProvider({"m": ["a lamp", "two lamps"]})
    both = Pool([*pool().members, clerk]).with_("reader", skill=1.0)
    ran = ask(Orchestrator(both, providers={"script": said}, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.outcomes()) == ("3 sold", [("reader", "rerouted")])
    assert [(each.kind, each.tries) for each in ran.of(AttemptFailed)] == [("malformed", 2)]
    said.finish()


def test_types_that_differ_are_refused() -> None:
    @expert(produces="order")
    def other(question: str) -> Other:
        return Other(item="")

    for members in ([clerk, other, teller], [other, teller], [*pool(output=Other).members, teller]):
        with pytest.raises(ConfigError, match=r"`order` is an? .*; expected one type for each artifact"):
            Orchestrator(members)

    def asking(question: Order) -> str:
        return ""

    with pytest.raises(ConfigError, match="`question` is"):
        Orchestrator([asking])


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("tests.test_typed_artifacts:Ordr", ("agents.reader.output", "did you mean `Order`?")),
        ("tests.test_typed_artifacts:ask", ("agents.reader.output", "a pydantic model")),
        ("tests.no_such:Order", ("agents.reader.output", "cannot be imported")),
        ("Order", ("agents.reader.output", "`package.module:Model`")),
    ],
)
def test_a_type_that_is_not_there_is_refused(output: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as raised:
        Orchestrator(pool(output=output), providers={"script": ScriptProvider({})})
    for word in words:
        assert word in str(raised.value)


def test_a_type_round_trips_through_toml() -> None:
    typed = Pool([Agent(name="a", tool="algebra", output=Order)])
    text = typed.to_toml()
    assert 'output = "tests.test_typed_artifacts:Order"' in text
    assert Pool.from_toml(text).to_toml() == text


def test_a_file_beside_the_descriptor_holds_the_type(tmp_path: Path) -> None:
    (tmp_path / "kinds.py").write_text(
        "from pydantic import BaseModel\n\n\nclass Sum(BaseModel):\n    of: int\n", "utf-8"
    )
    text = '[agents.a]\ntool = "tests.test_typed_artifacts:said"\noutput = "kinds.py:Sum"\n'
    made = Orchestrator(Pool.from_toml(text, folder=tmp_path), trace=False)
    assert made.run_sync('{"of": 5}').value == {"of": 5}
    assert made.run_sync("five").status == "escalated"


def said(question: str) -> str:
    """Says it back."""
    return question


def test_a_risk_rule_looks_into_a_typed_artifact(tmp_path: Path) -> None:
    rule = Risk(name="many", field="order.amount", above=2)
    ran = ask(Orchestrator([clerk, teller, rule], trace=tmp_path), tmp_path)
    assert ran.decision.status == "escalated"
    assert "`order.amount` = 3 is above 2" in ran.decision.reasons[0]


@given(st.builds(Order, item=st.text(), amount=st.integers(1)))
def test_what_fits_is_the_same_in_every_form(order: Order) -> None:
    fenced = f"Sure.\n```json\n{order.model_dump_json()}\n```\n"
    for form in (order, order.model_dump(), order.model_dump_json(), fenced):
        assert fitted(form, Order) == order


@given(st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.integers()))
def test_what_does_not_fit_is_a_misfit_and_nothing_else(value: object) -> None:
    with pytest.raises(Misfit, match="is no Order: "):
        fitted(value, Order)


def test_a_validator_of_ones_own_speaks_in_the_repair() -> None:
    with pytest.raises(Misfit, match="is no Picky: item: Value error, only lamps"):
        fitted({"item": "chair", "amount": 1}, Picky)
