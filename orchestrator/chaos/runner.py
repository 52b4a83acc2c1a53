"""Runs a suite: every case in a world of its own, and holds what came of it against what must come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from orchestrator.budget import Budget
from orchestrator.chaos.suite import Case, Suite
from orchestrator.chaos.world import LeapingLoop, World, simulated
from orchestrator.messages import Decision, Message, Question, Status
from orchestrator.pipeline import Orchestrator
from orchestrator.pipeline.parts import SAFE_BUDGET
from orchestrator.routers import PlanRouter
from orchestrator.runtime import Clocks
from orchestrator.trace import silent_failures
from orchestrator.trace.events import Event, Waited

__all__ = ["CaseResult", "SuiteResult", "outcome_faults", "run_suite"]

OnCase = Callable[["CaseResult"], None]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case: status, goal, control calls, reroutes and reasons of its last question, sums of all."""

    name: str
    faults: tuple[str, ...]
    """Where it is not as expected."""
    status: str
    goal: str
    demoted: bool
    control_calls: int
    calls: int
    """Calls that reached an expert."""
    tries: int
    """Calls of experts that were begun, with those that a fault kept from reaching them."""
    reroutes: int
    silent: int
    doubled: int
    """Effects that were had more than once."""
    seconds: float
    """On the suite's clock."""
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it is as expected."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What came of a suite."""

    name: str
    cases: tuple[CaseResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every case is as expected."""
        return all(case.passed for case in self.cases)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One case after it was run: its last decision and what was heard and counted over all of its questions."""

    decision: Decision
    events: tuple[Event, ...]
    world: World
    silent: int
    control_calls: int
    """As the decisions tell them."""
    seconds: float


def run_suite(
    suite: Suite, *, only: str | None = None, live: bool = False, on_case: OnCase | None = None
) -> SuiteResult:
    """Run every case, or those whose name holds `only`; with `live` the pool's own experts are called, in real time."""
    results: list[CaseResult] = []
    for case in suite.cases:
        if only is None or only.lower() in case.name.lower():
            results.append(_result(case, _seen(suite, case, live=live)))
            if on_case is not None:
                on_case(results[-1])
    return SuiteResult(suite.name, tuple(results))


def _seen(suite: Suite, case: Case, *, live: bool) -> _Seen:
    with asyncio.Runner(loop_factory=None if live else LeapingLoop) as runner:
        loop = runner.get_loop()
        began = loop.time()
        return runner.run(_asked(World(suite, case, lambda: loop.time() - began, live)))


async def _asked(world: World) -> _Seen:
    """Ask a case's question as often as it says."""
    suite, case, live = world.suite, world.case, world.live
    orchestrator = Orchestrator(
        suite.pool if live else simulated(world),
        router=PlanRouter(suite.demoter),
        budget=Budget(usd=_money(world), seconds=case.deadline),
        analyses=case.analyses,
        providers=None if live else {model.provider: world for model in suite.pool.models.values()},
        trace=False,
        disturb=world.disturb,
        clocks=None if live else Clocks(world.clock, world.clock),
        seed=suite.seed,
    )
    runs = list[tuple[Decision, list[Event]]]()
    for _ in range(case.times):
        world.questions += 1
        events: list[Event] = []
        asked = Question((Message("user", case.question or suite.question),))
        runs.append((await orchestrator.run(asked, goal=case.goal, listeners=[events.append]), events))
    heard = tuple(event for _, events in runs for event in events)
    silent = sum(len(silent_failures(tuple(events))) for _, events in runs)
    return _Seen(runs[-1][0], heard, world, silent, sum(run.control_calls for run, _ in runs), world.clock())


def _money(world: World) -> Decimal | None:
    """The case's dollars; simulated ones are the default of a run that can spend, without the warning that it will."""
    if world.case.budget is not None:
        return Decimal(str(world.case.budget))
    priced = any(model.price is not None and not model.free for model in world.suite.pool.models.values())
    return SAFE_BUDGET if priced and not world.live else None


def _result(case: Case, seen: _Seen) -> CaseResult:
    decision = seen.decision
    return CaseResult(
        case.name,
        tuple(_faults(case, seen)),
        decision.status,
        decision.goal,
        any(reason.startswith("demoted: ") for reason in decision.reasons),
        decision.control_calls,
        seen.world.calls.total(),
        seen.world.tries.total(),
        decision.reroutes,
        seen.silent,
        seen.world.doubled,
        round(seen.seconds, 3),
        decision.reasons,
    )


def _faults(case: Case, seen: _Seen) -> Iterator[str]:
    """Everything in which a case is not as expected."""
    decision = seen.decision
    yield from outcome_faults(case, seen.world, decision.status, decision.goal)
    said = "\n".join(decision.reasons)
    yield from (f"no reason says “{text}”" for text in case.expect.reasons if text not in said)
    yield from _counted(case, seen)
    if seen.silent:
        yield f"{seen.silent} failures without an outcome"
    if not seen.world.live and seen.control_calls != seen.world.control_calls:
        yield f"{seen.control_calls} control calls are told, {seen.world.control_calls} were made"


def outcome_faults(case: Case, world: World, status: Status, goal: str) -> Iterator[str]:
    """In what an outcome is not as expected, by rules that hold for any system that drives the world's experts."""
    expect, calls = case.expect, world.calls
    if expect.status not in (None, status):
        yield f"status {status}, expected {expect.status}"
    if expect.goal not in (None, goal):
        yield f"goal {goal}, expected {expect.goal}"
    yield from (f"{name} was not called" for name in expect.called if not calls[name])
    yield from (f"{name} was called {calls[name]} times" for name in expect.never_called if calls[name])
    if world.doubled:
        yield f"{world.doubled} effects were doubled"


def _counted(case: Case, seen: _Seen) -> Iterator[str]:
    expect, decision = case.expect, seen.decision
    if expect.control_calls is not None and decision.control_calls > expect.control_calls:
        yield f"{decision.control_calls} control calls, expected at most {expect.control_calls}"
    if expect.reroutes not in (None, decision.reroutes):
        yield f"{decision.reroutes} reroutes, expected {expect.reroutes}"
    if expect.seconds is not None and seen.seconds > expect.seconds:
        yield f"{seen.seconds:g} s, expected at most {expect.seconds:g}"
    if expect.waits not in (None, any(isinstance(event, Waited) for event in seen.events)):
        yield "waited" if not expect.waits else "did not wait"
