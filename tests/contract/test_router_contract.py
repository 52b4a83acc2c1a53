"""What every router keeps to, run through the front door; a new one is a new row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator import Answer, Budget, Orchestrator, Route, Turn, View
from orchestrator.messages import Status
from orchestrator.providers import Request, ScriptProvider
from orchestrator.providers.base import Completion
from orchestrator.routers import (
    BallotRouter,
    CascadeRouter,
    LLMRouter,
    PlanRouter,
    Router,
    RouterFunction,
    SteppedRouter,
    WidthRouter,
    as_router,
)
from orchestrator.trace.events import TurnTaken
from tests.experts import at_once, failing, giving
from tests.routing import answers, routes, scripted
from tests.runs import Ran, ask


def by_hand(view: View) -> Turn:
    """A function: ask `a` if it is there, and end when there is a reply."""
    return Turn((Answer(),)) if view.replies else Turn((Route("a"),))


async def by_waiting(view: View) -> Turn:
    """An async function that does the same."""
    return by_hand(view)


@dataclass(frozen=True)
class ByObject:
    """An object with a name that does the same."""

    name: str = "object"

    async def decide(self, view: View) -> Turn:
        """As the function decides."""
        return by_hand(view)


def says_in(encoding: str) -> Callable[[Request], Completion]:
    """A model that asks `a`, and then answers what it was told."""

    def say(request: Request) -> Completion:
        told = request.messages[-1].content
        kind = "tags" if encoding == "tags" else "tools"
        return answers(kind, "42") if "information" in told else routes(kind, ("a", "q"))

    return say


@dataclass(frozen=True)
class Row:
    """A router, and what its model says where it has one."""

    router: Router | RouterFunction
    says: Callable[[Request], str | Completion] = lambda _: ""
    several: bool = False
    """It asks several experts at once: one that fails leaves the others, and nobody takes its place."""

    alone: Status = "answered"
    """How a decision ends that one expert alone could be asked for."""

    @property
    def name(self) -> str:
        """The word for it."""
        return as_router(self.router).name


ROWS = {
    "plan": Row(PlanRouter()),
    "llm, tools": Row(LLMRouter("script:router", "tools"), says_in("tools")),
    "llm, tags": Row(LLMRouter("script:router", "tags"), says_in("tags")),
    "llm that cannot": Row(LLMRouter("script:router")),
    "cascade": Row(CascadeRouter()),
    "cascade with a threshold": Row(CascadeRouter(0.8)),
    "llm with steps by a cascade": Row(
        SteppedRouter(LLMRouter("script:router", "tools"), CascadeRouter()), says_in("tools")
    ),
    "function with steps by a cascade": Row(SteppedRouter(as_router(by_hand), CascadeRouter(0.8))),
    "auto": Row(WidthRouter(), several=True),
    "ballot": Row(BallotRouter(3), several=True, alone="degraded"),
    "function": Row(by_hand),
    "async function": Row(by_waiting),
    "object": Row(ByObject()),
}
each = pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))


def run(row: Row, folder: Path, *experts: object, budget: Budget | None = None) -> Ran:
    """A run by the row's router."""
    members = [scripted("router"), *experts]
    orchestrator = Orchestrator(
        members, router=row.router, budget=budget, trace=folder, sleep=at_once,  # pyright: ignore[reportArgumentType]
        providers={"script": ScriptProvider({"router": row.says})},
    )  # fmt: skip
    return ask(orchestrator, folder)


@each
def test_it_leads_to_an_answer_and_its_name_stands_in_the_trace(row: Row, tmp_path: Path) -> None:
    ran = run(row, tmp_path, giving("a", "42"))
    assert (ran.decision.answer, ran.decision.status) == ("42", row.alone)
    assert ran.called() == ["a"]
    assert {turn.router for turn in ran.of(TurnTaken)} == {"plan" if row is ROWS["llm that cannot"] else row.name}
    assert ran.decision.support == ("a",)


@each
def test_a_failure_is_healed_round_it(row: Row, tmp_path: Path) -> None:
    ran = run(row, tmp_path, failing("a"), giving("b", "42"))
    outcome, status = ("superseded", "degraded") if row.several else ("rerouted", "answered")
    assert (ran.decision.answer, ran.decision.status) == ("42", status)
    assert ran.outcomes() == [("a", outcome)]


@each
def test_where_everybody_fails_it_ends(row: Row, tmp_path: Path) -> None:
    ran = run(row, tmp_path, failing("a"), budget=Budget(turns=6))
    assert ran.decision.status in {"escalated", "degraded"}
    assert ran.decision.turns <= 6
    assert "a" in ran.called()


@each
def test_it_ends_within_its_budget(row: Row, tmp_path: Path) -> None:
    ran = run(row, tmp_path, giving("a", "42"), budget=Budget(usd=Decimal("0.0001"), turns=3))
    assert ran.decision.cost_usd is not None
    assert ran.decision.cost_usd <= Decimal("0.0001")
    assert ran.decision.answer == "42"


@each
def test_equal_runs_are_equal(row: Row, tmp_path: Path) -> None:
    made = [run(row, tmp_path / str(n), giving("a", "42")).decision for n in (1, 2)]
    first, second = (each.model_copy(update={"run_id": "", "head": "", "seconds": 0}) for each in made)
    assert first == second
