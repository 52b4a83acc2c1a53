"""Random pools with random failures: every run ends as brute force says it must."""
# ruff: noqa: ARG001 - experts of tests need not look at what they are given

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import Agent, Answer, Budget, Orchestrator, Pool, ProviderError, Route, ToolError, Turn, View
from orchestrator.errors import FailureKind, RateLimited
from orchestrator.pool.registry import Member
from tests.experts import at_once
from tests.runs import Ran, ask

ARTIFACTS = ("answer", "x", "y")


def never(question: str) -> float:
    """The claim of a tool that takes no question."""
    return 0.0


def _raises(error: Exception) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


KINDS: tuple[FailureKind, ...] = ("timeout", "server", "auth", "refusal", "malformed", "cut_stream")
FAULTS: dict[str, Callable[[], object]] = {
    "raises": _raises(ValueError("broken")),
    "declines": _raises(ToolError("not mine")),
    "gives nothing": lambda: None,
    "gives blanks": lambda: " ",
    "exits": lambda: sys.exit(1),
    "is rate limited": _raises(RateLimited("later", retry_after=0.0)),
    **{kind: _raises(ProviderError(kind, kind=kind)) for kind in KINDS},
}
"""Ways to fail always."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """An expert as it was drawn: who needs what for what, and how it fails, if it does."""

    consumes: tuple[str, ...]
    produces: str
    skill: float
    fault: str | None
    cannot: bool
    retries: int | None

    @property
    def works(self) -> bool:
        """Whether it gives what it should, each time it is asked."""
        return self.fault is None and not self.cannot

    def agent(self, name: str) -> Agent:
        """The expert itself."""

        def act(**inputs: object) -> object:
            assert set(inputs) == set(self.consumes)
            return name if self.fault is None else FAULTS[self.fault]()

        async def act_async(**inputs: object) -> object:
            return act(**inputs)

        return Agent(
            name=name,
            tool=act if self.skill < 0.5 else act_async,
            consumes=self.consumes,
            produces=self.produces,
            skill=self.skill,
            retries=self.retries,
            claim=never if self.cannot else None,
        )


@st.composite
def experts(draw: st.DrawFn) -> Drawn:
    """One expert over the question and three artifacts."""
    produces = draw(st.sampled_from(ARTIFACTS))
    others = [artifact for artifact in ("question", *ARTIFACTS) if artifact != produces]
    consumes = tuple(sorted(draw(st.sets(st.sampled_from(others), min_size=1, max_size=2))))
    fault = draw(st.none() | st.sampled_from(sorted(FAULTS)))
    cannot = "question" in consumes and draw(st.integers(0, 5)) == 0
    skill = draw(st.sampled_from((0.1, 0.4, 0.6, 0.9, 1.0)))
    return Drawn(consumes, produces, skill, fault, cannot, draw(st.sampled_from((None, None, 0, 1))))


def pool_of(drawn: Sequence[Drawn], goals: Sequence[str]) -> Pool | None:
    """The drawn experts as a pool; None where they make none."""
    produced = {each.produces for each in drawn}
    fit = [each for each in drawn if set(each.consumes) <= {"question", *produced}]
    while len(fit) < len(drawn):
        drawn, produced = fit, {each.produces for each in fit}
        fit = [each for each in drawn if set(each.consumes) <= {"question", *produced}]
    wanted = [goal for goal in goals if goal in produced]
    if not wanted:
        return None
    members: list[Member] = [each.agent(f"e{number}") for number, each in enumerate(fit)]
    return Pool(members, goals=wanted)


def obtainable(drawn: Sequence[Drawn], without: str | None = None) -> set[str]:
    """What experts that work can give from the question, by trying all of them until nothing is added."""
    found = {"question"}
    while True:
        more = {
            each.produces for each in drawn if each.works and each.produces != without and set(each.consumes) <= found
        }
        if more <= found:
            return found
        found |= more


def analysts(drawn: Sequence[Drawn], goal: str) -> int:
    """How many experts that work can give a goal, none of them from the goal itself."""
    found = obtainable(drawn, without=goal)
    return sum(each.works and each.produces == goal and set(each.consumes) <= found for each in drawn)


def hold_to_the_outcome(ran: Ran, drawn: Sequence[Drawn], goals: Sequence[str], analyses: int) -> None:
    """The status is what brute force says, and who worked did not fail."""
    there = obtainable(drawn)
    reachable = [goal for goal in goals if goal in there]
    if not reachable:
        assert ran.decision.status == "escalated"
    elif reachable[0] != goals[0] or analysts(drawn, goals[0]) < analyses:
        assert (ran.decision.status, ran.decision.goal) == ("degraded", reachable[0])
    else:
        assert (ran.decision.status, ran.decision.goal) == ("answered", goals[0])
    for failed in ran.decision.failed:
        assert not drawn[int(failed.agent[1:])].works


GOALS = st.lists(st.sampled_from(ARTIFACTS), min_size=1, max_size=3, unique=True)


@settings(max_examples=250)
@given(st.lists(experts(), min_size=1, max_size=8), GOALS, st.integers(1, 3))
def test_a_run_ends_as_brute_force_says(drawn: list[Drawn], goals: list[str], analyses: int) -> None:
    pool = pool_of(drawn, goals)
    if pool is None:
        return
    kept = [each for each in drawn if set(each.consumes) <= set(pool.artifacts)]
    with TemporaryDirectory() as folder:
        orchestrator = Orchestrator(pool, analyses=analyses, sleep=at_once, trace=folder)
        ran = ask(orchestrator, Path(folder))
    hold_to_the_outcome(ran, kept, pool.goals, analyses)


@settings(max_examples=150)
@given(
    st.lists(experts(), min_size=1, max_size=8),
    GOALS,
    st.lists(st.lists(st.tuples(st.integers(0, 7), st.sampled_from(("", "q"))), min_size=0, max_size=3), max_size=5),
    st.sampled_from((None, Budget(turns=2), Budget(usd=Decimal(0)), Budget(tokens=0))),
)
def test_a_random_router_never_breaks_the_rules(
    drawn: list[Drawn], goals: list[str], script: list[list[tuple[int, str]]], budget: Budget | None
) -> None:
    pool = pool_of(drawn, goals)
    if pool is None:
        return
    turns, names = list(script), sorted(pool.agents)

    def router(view: View) -> Turn:
        if not turns:
            return Turn((Answer(),))
        return Turn(tuple(Route(names[at % len(names)], query) for at, query in turns.pop(0)))

    with TemporaryDirectory() as folder:
        orchestrator = Orchestrator(pool, router=router, budget=budget, sleep=at_once, trace=folder)
        ran = ask(orchestrator, Path(folder))
    assert ran.decision.turns <= len(script) + 1
    assert ran.decision.goal in pool.goals
    assert ran.decision.status != "answered" or ran.decision.goal == pool.goals[0]
