"""Ends what cannot be reached: a lower goal, else a person, with what was tried, what is missing, what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from orchestrator.content import load_prompt
from orchestrator.errors import AttemptError, nearest
from orchestrator.messages import Goal, Message
from orchestrator.planner import FAILED, Choice
from orchestrator.providers import Request
from orchestrator.routers import LLMRouter, PlanRouter, innermost
from orchestrator.runtime import RunContext
from orchestrator.state import Failure, RunState
from orchestrator.trace.events import Demoted, Escalated
from orchestrator.weights import CANNOT_TAKE

__all__ = ["conclude_on_limit", "doubts", "halt_in_doubt", "lower"]

NO_MODEL = (
    "no language model is in this pool: an agent over a vendor's model (OPENAI_API_KEY, ANTHROPIC_API_KEY) or over a "
    "local server (Ollama, vLLM, llama.cpp, LM Studio) would take questions in free language"
)
DEMOTION_OUTPUT = 256
"""Tokens in which a model names a goal."""


def halt_in_doubt(state: RunState, context: RunContext) -> RunState | None:
    """End the run where an effect may have been had although its attempt failed, and asking again might double it."""
    agents = context.facilities.pool.agents
    doubtful = [f for f in state.open if f.in_doubt and not agents[f.failed.agent].idempotent]
    if not doubtful:
        return None
    first = doubtful[0]
    reason = (
        f"in doubt: {first.failed.agent} may have done it although it failed ({first.failed.kind}); "
        "it is not asked again, since it is not known to be idempotent"
    )
    for failure in state.open:
        context.journal.write(Escalated(attempt=failure.attempt, reason=reason))
    helps = f"would help: look whether `{first.goal.artifact}` was done; its idempotency key stands in the trace"
    shortfalls = (*state.shortfalls, reason, *_tried(state), helps)
    return replace(state, open=(), routes=(), pursued=(), halted=True, concluded=True, shortfalls=shortfalls)


def conclude_on_limit(state: RunState, context: RunContext, limit: str) -> RunState:
    """End the run with what is there, if need be for a lower goal; failures still open end with it."""
    there = [index for index, goal in enumerate(state.goals) if state.gives(goal)]
    shortfalls = (*state.shortfalls, limit)
    ended = replace(state, open=(), routes=(), shortfalls=shortfalls, concluded=True, ending=limit)
    attempts: list[int | None] = [failure.attempt for failure in state.open]
    if there and there[0] > 0:
        return _demoted(ended, there[0], attempts or [None], context)
    for attempt in attempts:
        context.journal.write(Escalated(attempt=attempt, reason=limit))
    return ended if there else replace(ended, reasons=(*state.reasons, *_tried(state)))


async def lower(state: RunState, lost: Sequence[tuple[Failure, Choice]], context: RunContext) -> RunState:
    """Take up a lower goal that can be had, else end the run."""
    attempts: list[int | None] = [failure.attempt for failure in (*(f for f, _ in lost), *state.open)] or [None]
    state = replace(state, open=())
    within_reach = [
        index
        for index, goal in enumerate(state.goals[1:], start=1)
        if state.gives(goal) or context.planner.choose(Goal(goal), state).plan is not None
    ]
    if within_reach:
        index, why = await _chosen(within_reach, state, context)
        return _demoted(replace(state, reasons=(*state.reasons, *why)), index, attempts, context)
    final = lost[0][1] if lost else context.planner.choose(Goal(state.goal), state)
    if not lost:
        context.journal.write(final.event())
    reasons = _why(state, final, context)
    for attempt in attempts:
        context.journal.write(Escalated(attempt=attempt, reason=reasons[0]))
    return replace(state, routes=(), shortfalls=(*state.shortfalls, *reasons), concluded=True)


async def _chosen(within_reach: list[int], state: RunState, context: RunContext) -> tuple[int, tuple[str, ...]]:
    """Which lower goal to take up: the highest, or of several that need work the one that a model names."""
    first, model = within_reach[0], _demoter(state, context)
    there = state.gives(state.goals[first])
    if len(within_reach) == 1 or there or model is None or state.demoted:
        return first, ()
    goals = [state.goals[index] for index in within_reach]
    try:
        said = (await context.asking("router")(model, _demotion(goals, state, context))).text
    except AttemptError as error:
        return first, (f"demotion: {model} could not be asked ({error.kind}), so the highest goal was taken",)
    named = said.strip().strip("`'\".").strip()
    goal = named if named in goals else nearest(named, goals)
    if goal is None:
        return first, (f"demotion: {model} named none of the goals, so the highest was taken",)
    return within_reach[goals.index(goal)], (f"demotion: {model} chose {goal}",)


def _demoter(state: RunState, context: RunContext) -> str | None:
    """The model that may choose among lower goals."""
    router = innermost(context.router)
    if isinstance(router, LLMRouter):
        return None if state.takeover else router.model
    return router.demoter if isinstance(router, PlanRouter) else None


def _demotion(goals: list[str], state: RunState, context: RunContext) -> Request:
    """What the model is asked: which of the goals is worth most, since the one that was asked for cannot be had."""
    agents = context.facilities.pool.agents.values()
    lines = [f"- {goal}: given by {', '.join(a.name for a in agents if a.produces == goal)}" for goal in goals]
    failed = "\n".join(f"- {f.failed.agent}: {f.failed.kind}" for f in state.failures) or "- nobody could be asked"
    filled = load_prompt("demote").fill(
        question=state.question.text, goal=state.goal, failed=failed, goals="\n".join(lines)
    )
    return Request((Message("user", filled),), max_output=DEMOTION_OUTPUT, case=state.question.case)


def _demoted(state: RunState, index: int, attempts: list[int | None], context: RunContext) -> RunState:
    """The state with a lower goal taken up."""
    goal = state.goals[index]
    for attempt in attempts:
        context.journal.write(Demoted(attempt=attempt, from_goal=state.goal, to_goal=goal))
    told = f"demoted: {state.goal} → {goal}"
    shortfalls = (*state.shortfalls, told, *doubts(state))
    return replace(state, goals=state.goals[index:], routes=(), demoted=True, shortfalls=shortfalls)


def doubts(state: RunState) -> list[str]:
    """Effects that may have been had although their attempts failed."""
    return [
        f"in doubt: {failure.failed.agent} may have done it although it failed ({failure.failed.kind})"
        for failure in state.failures
        if failure.in_doubt and state.reached(failure.goal) is None
    ]


def _tried(state: RunState) -> list[str]:
    """Every failed attempt in words, the first cause first."""
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
    reasons = [*choice.limits[:1], f"nobody is left who can give `{state.goal}`", *doubts(state), *_tried(state)]
    reasons += [
        f"{candidate.agent}: {candidate.why_not}"
        for candidate in choice.candidates
        if candidate.why_not not in (None, CANNOT_TAKE, FAILED) and candidate.why_not not in choice.limits
    ]
    reasons += _cooling(choice, context)
    if not state.failures and all(agent.model is None for agent in context.facilities.pool.agents.values()):
        reasons.append(NO_MODEL)
    return reasons


def _cooling(choice: Choice, context: RunContext) -> list[str]:
    """Until when experts cool down that could have given the goal."""
    agents = context.facilities.pool.agents
    closed = {candidate.agent: context.weigher.cooling(agents[candidate.agent]) for candidate in choice.candidates}
    now = datetime.fromtimestamp(context.wall(), UTC)
    return [
        f"would help: asking again from {(now + timedelta(seconds=seconds)).isoformat(timespec='seconds')} on, "
        f"when {agent} has cooled down"
        for agent, seconds in closed.items()
        if 0 < seconds < float("inf")
    ]
