"""Deals with failed attempts without asking an LLM: reroute, supersede, return, demote or escalate."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from orchestrator.messages import Goal
from orchestrator.planner import FAILED, Choice
from orchestrator.protocol import Route
from orchestrator.runtime import RunContext
from orchestrator.state import Failure, RunState
from orchestrator.trace.events import Demoted, Escalated, Rerouted, Returned, Superseded
from orchestrator.weights import CANNOT_TAKE

__all__ = ["conclude_on_limit", "heal"]

NO_MODEL = (
    "no language model is in this pool: an agent over a vendor's model (OPENAI_API_KEY, ANTHROPIC_API_KEY) or over a "
    "local server (Ollama, vLLM, llama.cpp, LM Studio) would take questions in free language"
)


@dataclass(slots=True)
class _Pass:
    """One pass over the open failures."""

    state: RunState
    context: RunContext
    routes: dict[tuple[str, str], Route] = field(default_factory=dict[tuple[str, str], Route])
    experts: dict[Goal, str] = field(default_factory=dict[Goal, str])
    """Who was chosen in this pass to give which goal."""
    reasons: list[str] = field(default_factory=list[str])
    shortfalls: list[str] = field(default_factory=list[str])

    def choose(self, goal: Goal) -> Choice:
        """A plan for a goal by experts that serve no other slot of it."""
        served = [(reply.goal, reply.agent) for reply in self.state.replies] + list(self.experts.items())
        taken = {
            agent
            for other, agent in served
            if (other.artifact, other.query) == (goal.artifact, goal.query) and other.slot != goal.slot
        }
        choice = self.context.planner.choose(goal, self.state, taken=taken)
        self.context.journal.write(choice.event())
        return choice

    def take(self, choice: Choice) -> None:
        """Consult the first steps of a choice next."""
        for route in choice.routes:
            self.routes.setdefault((route.agent, route.query), route)
        if choice.expert is not None:
            self.experts[choice.goal] = choice.expert

    def alive(self, goal: Goal) -> bool:
        """Whether another slot of a goal is reached or on its way."""
        others = [reply.goal for reply in self.state.replies] + list(self.experts)
        return any((o.artifact, o.query) == (goal.artifact, goal.query) for o in others)


def heal(state: RunState, context: RunContext) -> RunState:
    """Give every open failure its one outcome and say what is to be consulted next.

    Called without open failures where the goal has no path, or where a detour goes on.
    """
    if limit := context.limit_hit():
        return conclude_on_limit(state, context, limit)
    work = _Pass(state, context)
    stuck = [pair for failure in state.open if (pair := _reroute(failure, work)) is not None]
    _go_on(work, {failure.route.toward or failure.goal for failure, _ in stuck})
    lost = [pair for pair in stuck if not _let_go(*pair, work)]
    healed = replace(
        state,
        open=(),
        routes=tuple(work.routes.values()),
        pursued=tuple(goal for goal in work.experts if goal in _pursued(state)),
        reasons=(*state.reasons, *work.reasons),
        shortfalls=(*state.shortfalls, *work.shortfalls),
    )
    if lost or not (state.open or state.pursued):
        return _lower(healed, lost, context)
    return healed


def conclude_on_limit(state: RunState, context: RunContext, limit: str) -> RunState:
    """End the run with what is there, if need be for a lower goal; failures still open end with it."""
    there = [index for index, goal in enumerate(state.goals) if state.gives(goal)]
    ended = replace(state, open=(), routes=(), shortfalls=(*state.shortfalls, limit), concluded=True)
    attempts: list[int | None] = [failure.attempt for failure in state.open]
    if there and there[0] > 0:
        return _demoted(ended, there[0], attempts or [None], context)
    for attempt in attempts:
        context.journal.write(Escalated(attempt=attempt, reason=limit))
    return ended if there else replace(ended, reasons=(*state.reasons, *_tried(state)))


def _go_on(work: _Pass, stuck: set[Goal]) -> None:
    """Take the next steps of detours that did not fail."""
    for goal in work.state.pursued:
        if work.state.reached(goal) is None and goal not in work.experts and goal not in stuck:
            choice = work.choose(goal)
            work.take(choice)
            if choice.plan is None:
                work.shortfalls += [f"the way round to `{goal.artifact}` led nowhere", *choice.limits]


def _pursued(state: RunState) -> set[Goal]:
    """Goals of a router's own routes that are reached another way."""
    return {*state.pursued, *(failure.goal for failure in state.open if failure.route.toward is None)}


def _is_routers(failure: Failure, state: RunState) -> bool:
    """Whether a failure belongs to a route that the router chose itself, or to a detour of one."""
    return failure.route.toward is None or failure.route.toward in state.pursued


def _reroute(failure: Failure, work: _Pass) -> tuple[Failure, Choice] | None:
    """Start another expert, or find the goal reached; what is left comes back with the choice that found no path."""
    goal = failure.route.toward or failure.goal
    if work.state.reached(goal) is not None:
        reason = f"{goal.artifact} had been reached by a sibling"
        work.context.journal.write(Superseded(attempt=failure.attempt, reason=reason))
        return None
    choice = work.choose(goal)
    if choice.plan is None or not choice.routes:
        return failure, choice
    agents = work.context.facilities.pool.agents
    same = [route.agent for route in choice.routes if agents[route.agent].produces == failure.goal.artifact]
    to = (same or [choice.routes[0].agent])[0]
    steps = tuple(step.agent for step in choice.plan.steps)
    work.context.journal.write(Rerouted(attempt=failure.attempt, to=to, steps=steps, weight=choice.plan.weight))
    work.reasons.append(f"rerouted: {failure.failed.agent} → {to} ({failure.failed.kind})")
    work.take(choice)
    return None


def _let_go(failure: Failure, choice: Choice, work: _Pass) -> bool:
    """Close a failure whose slot or route can be given up without losing the goal."""
    goal = failure.route.toward or failure.goal
    stood = (*_limit(failure), *choice.limits)
    limits = "".join(f"; {limit}" for limit in stood)
    if work.alive(goal):
        reason = f"no further distinct expert for analysis {goal.slot}{limits}"
        work.context.journal.write(Superseded(attempt=failure.attempt, reason=reason))
        work.shortfalls += [reason, *stood]
        return True
    if _is_routers(failure, work.state):
        reason = f"nobody can serve the route to {failure.failed.agent}{limits}"
        work.context.journal.write(Returned(attempt=failure.attempt, reason=reason))
        work.shortfalls += [f"returned: {reason}", *stood]
        return True
    return False


def _lower(state: RunState, lost: list[tuple[Failure, Choice]], context: RunContext) -> RunState:
    """Take up the next goal that has a path, else end the run."""
    attempts: list[int | None] = [failure.attempt for failure, _ in lost] or [None]
    for index, goal in enumerate(state.goals[1:], start=1):
        if state.gives(goal) or context.planner.choose(Goal(goal), state).plan is not None:
            return _demoted(state, index, attempts, context)
    final = lost[0][1] if lost else context.planner.choose(Goal(state.goal), state)
    if not lost:
        context.journal.write(final.event())
    reasons = _why(state, final, context)
    for attempt in attempts:
        context.journal.write(Escalated(attempt=attempt, reason=reasons[0]))
    return replace(state, routes=(), shortfalls=(*state.shortfalls, *reasons), concluded=True)


def _demoted(state: RunState, index: int, attempts: list[int | None], context: RunContext) -> RunState:
    """The state with a lower goal taken up."""
    goal = state.goals[index]
    for attempt in attempts:
        context.journal.write(Demoted(attempt=attempt, from_goal=state.goal, to_goal=goal))
    told = f"demoted: {state.goal} → {goal}"
    return replace(state, goals=state.goals[index:], routes=(), shortfalls=(*state.shortfalls, told))


def _limit(failure: Failure) -> tuple[str, ...]:
    """The limit of the run that an attempt failed for, if it did."""
    return (failure.failed.error,) if failure.failed.kind == "budget" else ()


def _tried(state: RunState) -> list[str]:
    return [
        f"tried: {failure.failed.agent} failed after {failure.failed.tries} "
        f"{'try' if failure.failed.tries == 1 else 'tries'} ({failure.failed.kind}): {failure.failed.error}"
        for failure in state.failures
    ]


def _why(state: RunState, choice: Choice, context: RunContext) -> list[str]:
    """What stood in the way, what was tried, and what would help."""
    if choice.plan is not None:
        could = " → ".join(step.agent for step in choice.plan.steps)
        return [f"the router {context.router.name} gave up, though {could} could give `{state.goal}`", *_tried(state)]
    limits = [*choice.limits, *(limit for failure in state.failures for limit in _limit(failure))]
    reasons = [*limits[:1], f"nobody is left who can give `{state.goal}`", *_tried(state)]
    reasons += [
        f"{candidate.agent}: {candidate.why_not}"
        for candidate in choice.candidates
        if candidate.why_not not in (None, CANNOT_TAKE, FAILED) and candidate.why_not not in choice.limits
    ]
    if not state.failures and all(agent.model is None for agent in context.facilities.pool.agents.values()):
        reasons.append(NO_MODEL)
    return reasons
