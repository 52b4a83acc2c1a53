"""Consults the routed experts side by side: one attempt each, and goes on with what comes in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from orchestrator.attempts import Attempt, Round, made
from orchestrator.heal import begun, heal_meanwhile, late_failures, taken_in
from orchestrator.messages import Goal, Reply
from orchestrator.pool import Agent
from orchestrator.protocol import Route
from orchestrator.runtime import RunContext
from orchestrator.state import Failure, RunState, Underway
from orchestrator.tools import IdempotencyKey
from orchestrator.trace.events import AttemptStarted
from orchestrator.turns import meanwhile
from orchestrator.watch import watched

__all__ = ["consult"]


async def consult(state: RunState, context: RunContext) -> RunState:
    """Make an attempt for every route whose goal is not reached yet; replies and failures go into the state.

    While some are still being made, what has come in meanwhile is gone on with: the plan's next steps are taken and
    failures rerouted where that can begin at once. Before every step the monitors look.
    Raises `ConfigError` where a router names an expert that is not in the pool.
    """
    crew = _Crew(context, await watched(state, context))
    try:
        crew.adopt()
        crew.start()
        while crew.working:
            await crew.wait()
            await crew.go_on(heal_meanwhile)
            await crew.go_on(meanwhile)
    finally:
        await crew.dismiss()
    return late_failures(crew.state, context)


@dataclass(slots=True)
class _Crew:
    """Attempts that are being made, and the state that grows with what they give."""

    context: RunContext
    state: RunState
    working: dict[asyncio.Task[Reply | Failure], Attempt] = field(
        default_factory=dict["asyncio.Task[Reply | Failure]", "Attempt"]
    )
    ended: list[int] = field(default_factory=list[int])
    """Attempts in the order in which the trace has their ends."""

    def adopt(self) -> None:
        """Go on with the attempts that were being made when the run was interrupted."""
        together = Round()
        found = [_again(each, together, self.context) for each in self.state.underway]
        together.waiting = _paying(found, self.context)
        self._work(found)

    def start(self) -> None:
        """Begin an attempt for every route; what was decided and begun is written down first."""
        found = _attempts(self.state, self.context)
        at_work = [(each.agent.name, each.goal.query) for each in (*self.working.values(), *found)]
        self.state = begun(self.state, at_work, self.context)
        anew = [_begun(attempt, self.context) for attempt in found]
        underway = (*self.state.underway, *map(_noted, anew))
        self.state = replace(self.state, attempts=self.state.attempts + len(anew), routes=(), underway=underway)
        self.context.commit(self.state)
        self._work(anew)

    def _work(self, attempts: list[Attempt]) -> None:
        others = [*self.working.values(), *attempts]
        for attempt in attempts:
            work = asyncio.ensure_future(self._done(attempt, others))
            self.working[work] = attempt

    async def go_on(self, next_steps: Callable[[RunState, RunContext], RunState]) -> None:
        """Take further steps beside those that are being made, others where the monitors withdraw them."""
        while self.working and not self.state.concluded and not self.context.limit_hit():
            avoided = self.state.avoided
            self.state = await watched(next_steps(self.state, self.context), self.context)
            self.start()
            if self.state.avoided == avoided:
                return

    async def wait(self) -> None:
        """Take in what comes first."""
        done, _ = await asyncio.wait(self.working, return_when=asyncio.FIRST_COMPLETED)
        for work in sorted(done, key=self._place):
            attempt = self.working.pop(work)
            self._take_in(work.result(), attempt)

    async def _done(self, attempt: Attempt, others: list[Attempt]) -> Reply | Failure:
        result = await made(attempt, others, self.state, self.context)
        self.ended.append(attempt.number)
        return result

    def _place(self, work: asyncio.Task[Reply | Failure]) -> int:
        """The place of an attempt among those that ended; one that raised comes last."""
        number = self.working[work].number
        return self.ended.index(number) if number in self.ended else len(self.ended)

    async def dismiss(self) -> None:
        """Stop what is still being made: one of the others raised, or the run was cancelled."""
        for work in self.working:
            work.cancel()
        await asyncio.gather(*self.working, return_exceptions=True)

    def _take_in(self, result: Reply | Failure, attempt: Attempt) -> None:
        state = taken_in(result, attempt.goal, self.state, self.context)
        without = () if isinstance(result, Failure) else attempt.went_without
        self.state = replace(state, shortfalls=(*state.shortfalls, *without)) if without else state


def _noted(attempt: Attempt) -> Underway:
    return Underway(
        attempt.agent.name, attempt.goal, attempt.number, attempt.route, attempt.went_without, attempt.ordinal
    )


def _again(noted: Underway, together: Round, context: RunContext) -> Attempt:
    """An attempt of before the interruption."""
    agent, route = context.facilities.pool.agents[noted.agent], noted.route or Route(noted.agent)
    key = effect_key(context, noted.goal)
    return Attempt(noted.attempt, agent, noted.goal, route, together, key, noted.went_without, noted.ordinal)


def _begun(attempt: Attempt, context: RunContext) -> Attempt:
    """The attempt, written down, with its place among those of its agent."""
    toward = attempt.route.toward
    context.journal.write(
        AttemptStarted(
            attempt=attempt.number,
            agent=attempt.agent.name,
            goal=attempt.goal,
            model=attempt.agent.model,
            toward=toward if toward != attempt.goal else None,
            idempotency_key=attempt.key if attempt.agent.effects else None,
        )
    )
    return replace(attempt, ordinal=context.tally.by_agent[attempt.agent.name])


def _attempts(state: RunState, context: RunContext) -> list[Attempt]:
    """The attempts to make: one for each goal that is not reached, a router's own routes before steps to others."""
    found: list[Attempt] = []
    together = Round()
    for route in sorted(state.routes, key=lambda route: route.toward is not None):
        agent = context.facilities.pool.agents[route.agent]
        goal = state.goal_of(route)
        busy = state.busy_with(goal) or any(other.goal == goal for other in found)
        if state.reached(goal) is None and not busy:
            key = effect_key(context, goal)
            number = state.attempts + len(found) + 1
            found.append(Attempt(number, agent, goal, route, together, key, _went_without(agent, goal, state)))
    together.waiting = _paying(found, context)
    return found


def _paying(attempts: list[Attempt], context: RunContext) -> int:
    """How many attempts take of what is left."""
    counts = context.ledger.remaining_tokens is not None  # a free model takes no money, but it takes tokens
    models = [model for each in attempts if (model := context.facilities.pool.model_of(each.agent)) is not None]
    return sum(counts or not model.free for model in models)


def _went_without(agent: Agent, goal: Goal, state: RunState) -> tuple[str, ...]:
    """What an expert has to do without: inputs at which attempts failed and that nobody else gave (SEMANTICS §4)."""
    there = state.values(goal.query)
    failed = {f.goal.artifact: f.failed for f in state.failures if f.goal.query == goal.query}
    missing = [name for name in (*agent.consumes, *agent.optional) if name not in there and name in failed]
    return tuple(
        f"{agent.name} went without {name}: {failed[name].agent} failed ({failed[name].kind})" for name in missing
    )


def effect_key(context: RunContext, goal: Goal) -> IdempotencyKey:
    """The name of an effect: the same for every expert and slot that it is wanted in, and after a resume."""
    whose = context.within.key if context.within else context.journal.run_id
    named = json.dumps([whose, goal.artifact, goal.query])
    return IdempotencyKey(sha256(named.encode("utf-8", "backslashreplace")).hexdigest()[:32])
