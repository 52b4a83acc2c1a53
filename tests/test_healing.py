"""Random pools with random failures: every run ends as brute force says it must."""
# ruff: noqa: ARG001 - experts of tests need not look at what they are given

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import Agent, Answer, Budget, Orchestrator, Pool, ProviderError, Route, ToolError, Turn, View
from orchestrator.errors import FailureKind, RateLimited
from orchestrator.health import Health
from orchestrator.pool.registry import Member
from orchestrator.runtime import Clocks
from orchestrator.trace.events import Waited
from tests.experts import at_once, failing, giving
from tests.fake_clock import FakeClock
from tests.runs import Ran, ask
from tests.staff import conduct

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


def cool_down(health: Health, agent: str, seconds: float) -> None:
    """Let the breaker of an agent's tool be open for some seconds, as after a `Retry-After`."""
    number, _ = health.admit(f"tool:{agent}")
    health.failed(f"tool:{agent}", number or 0, RateLimited("later", retry_after=seconds))


@pytest.mark.parametrize("seconds", [None, 50.0])
def test_who_cools_down_for_too_long_does_not_hide_who_comes_back_in_time(
    seconds: float | None, tmp_path: Path
) -> None:
    """The better expert would cost less even with its wait, but nobody waits that long."""
    members = [giving("better", skill=0.9), giving("sooner", skill=0.2)]
    orchestrator = conduct(members, tmp_path, budget=Budget(seconds=seconds))
    cool_down(orchestrator.health, "better", 90)
    cool_down(orchestrator.health, "sooner", 30)
    ran = ask(orchestrator, tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("sooner", "answered")
    assert [(event.agents, event.seconds) for event in ran.of(Waited)] == [(("sooner",), 30)]


def test_a_lower_goal_that_cools_down_is_waited_for_where_nothing_else_is_left(tmp_path: Path) -> None:
    pool = Pool([failing("ill", produces="full"), giving("brief", produces="short")], goals=["full", "short"])
    clock = FakeClock()
    orchestrator = Orchestrator(pool, trace=tmp_path, clocks=Clocks(clock, clock), sleep=clock.sleep)
    cool_down(orchestrator.health, "brief", 5)
    ran = ask(orchestrator, tmp_path)
    assert (ran.decision.answer, ran.decision.status, ran.decision.goal) == ("brief", "degraded", "short")
    assert ran.outcomes() == [("ill", "demoted")]


def test_a_lower_goal_that_can_be_had_at_once_is_taken_before_a_higher_one_that_cools_down(tmp_path: Path) -> None:
    members = [
        failing("ill", produces="full"),
        giving("later", produces="middling"),
        giving("brief", produces="short"),
    ]
    orchestrator = Orchestrator(Pool(members, goals=["full", "middling", "short"]), trace=tmp_path, sleep=at_once)
    cool_down(orchestrator.health, "later", 5)
    ran = ask(orchestrator, tmp_path)
    assert (ran.decision.answer, ran.of(Waited)) == ("brief", [])


def test_patience_is_not_renewed_while_nothing_comes_of_it(tmp_path: Path) -> None:
    """Whenever the wait is over, somebody else has used the expert up again."""
    clock, sleeps = FakeClock(), Counter[str]()

    async def sleep(seconds: float) -> None:
        sleeps["waited"] += 1
        assert sleeps["waited"] < 10, "the run waits without end"
        await clock.sleep(seconds)
        cool_down(orchestrator.health, "only", 40)

    orchestrator = Orchestrator([giving("only")], trace=tmp_path, clocks=Clocks(clock, clock), sleep=sleep)
    cool_down(orchestrator.health, "only", 40)
    ran = ask(orchestrator, tmp_path)
    assert (ran.decision.status, ran.decision.seconds) == ("escalated", 40)
    assert any("when only has cooled down" in reason for reason in ran.decision.reasons)
