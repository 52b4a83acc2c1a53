"""What the caller provides is handed to experts by class, and nobody else ever sees it."""
# ruff: noqa: ARG001 - experts of tests need not look at what they are given

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from orchestrator import Agent, ConfigError, LLMRouter, Orchestrator, Pool, Resources, ScriptProvider, expert
from orchestrator.providers import call
from tests.routing import scripted
from tests.runs import ask

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "hunter2"


@dataclass
class Database:
    """Somebody's own."""

    password: str = SECRET

    def price(self, thing: str) -> str:
        """What it costs."""
        return f"{thing} costs 5"


class Cached(Database):
    """One of a kind."""


class Pricing(Protocol):
    """What can say a price."""

    def price(self, thing: str) -> str:
        """What it costs."""
        ...


@expert(skill=0.9)
def shop(question: str, stock: Database) -> str:
    """Knows prices."""
    return stock.price(question)


@expert(skill=0.8)
async def later(question: str, stock: Database, places: Resources) -> str:
    return stock.price(question)


@expert(skill=0.7)
def either(question: str, stock: Database | None = None, other: Database = Database("usual")) -> str:  # noqa: B008
    return f"{stock} {other.password}"


@expert(skill=0.7)
def by_protocol(question: str, stock: Pricing) -> str:
    return stock.price(question)


@pytest.mark.parametrize("function", [shop, later])
@pytest.mark.parametrize("provide", [[Database()], {Database: Database()}, (Cached(),), {Database: Cached()}])
def test_it_is_handed_over_by_class(function: Callable[..., object], provide: list[object], tmp_path: Path) -> None:
    ran = ask(Orchestrator([function], provide=provide, trace=tmp_path), tmp_path, "A lamp")
    assert ran.decision.answer == "A lamp costs 5"


def test_a_protocol_is_provided_by_name_and_a_default_stays_where_nothing_is(tmp_path: Path) -> None:
    made = Orchestrator([by_protocol], provide={Pricing: Database()}, trace=tmp_path)
    assert ask(made, tmp_path, "A lamp").decision.answer == "A lamp costs 5"
    assert ask(Orchestrator([either], trace=tmp_path), tmp_path).decision.answer == "None usual"
    told = Orchestrator([either], provide=[Database("own")], trace=tmp_path)
    assert ask(told, tmp_path).decision.answer == "None own"


def test_no_model_and_no_trace_sees_it(tmp_path: Path) -> None:
    said = ScriptProvider({"router": [call(("shop", '{"query": "A lamp"}')), "5"]})
    made = Orchestrator(
        [shop, scripted("router")], provide=[Database()], router=LLMRouter("script:router"),
        providers={"script": said}, trace=tmp_path,
    )  # fmt: skip
    ran = ask(made, tmp_path, "What does a lamp cost?")
    assert (ran.decision.answer, ran.called()) == ("5", ["shop"])
    told = repr(said.requests) + "".join(file.read_text(encoding="utf-8") for file in tmp_path.glob("*.jsonl"))
    assert "A lamp costs 5" in told
    assert [word for word in (SECRET, "stock", "Database") if word in told] == []
    assert made.pool.agents["shop"].consumes == ("question",)


def test_an_artifact_that_somebody_produces_is_no_dependency(tmp_path: Path) -> None:
    @expert(produces="stock")
    def opened(question: str) -> Database:
        return Database("made on the way")

    ran = ask(Orchestrator([shop, opened], trace=tmp_path), tmp_path, "A lamp")
    assert (ran.called(), ran.decision.answer) == (["opened", "shop"], "A lamp costs 5")


@pytest.mark.parametrize(
    ("provide", "words"),
    [
        ((), ("agents.shop", "`stock` asks for a Database, which nobody produces or provides", "provide=[…]")),
        (["a text"], ("`stock` asks for a Database",)),
        ([Database(), Database()], ("`provide`", "two are a Database")),
        ({Database: "a text"}, ("`provide`", "str is no Database")),
    ],
)
def test_what_is_missing_or_doubled_is_said_at_once(provide: list[object], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as raised:
        Orchestrator([shop], provide=provide)
    for word in words:
        assert word in str(raised.value)


def test_two_that_would_do_are_refused() -> None:
    class Remote(Database):
        """Another of a kind."""

    with pytest.raises(ConfigError, match=r"several are provided for the tool's parameter `stock`"):
        Orchestrator([shop], provide=[Cached(), Remote()])


def test_a_descriptor_names_such_a_tool_too(tmp_path: Path) -> None:
    text = '[agents.a]\ntool = "tests.test_provided:shop"\n'
    assert Orchestrator(Pool.from_toml(text), provide=[Database()], trace=False).run_sync("It").answer == "It costs 5"
    with pytest.raises(ConfigError, match="asks for a Database"):
        Orchestrator(Pool.from_toml(text))
    written = Pool([shop]).to_toml()
    assert Pool.from_toml(written).agents["shop"].consumes == ("question",)


def test_an_expert_that_takes_nothing_else_consumes_nothing() -> None:
    def idle(stock: Database) -> str:
        return ""

    with pytest.raises(ConfigError, match="consumes nothing"):
        Pool([Agent(name="a", tool=str.upper, consumes=("question",)), idle])
