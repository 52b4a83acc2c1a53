"""Where a run waits for a person: what it asks for, and how it goes on with the word that it is given."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.merge import PERSON
from orchestrator.messages import Goal, Reply
from orchestrator.runtime import RunContext
from orchestrator.state import RunState
from orchestrator.trace.events import Escalated, Resumed

__all__ = ["heeded", "not_allowed", "wanted_of"]

KEPT = ("limit:", "in doubt:")
"""How shortfalls begin that make a decision degraded even where a person gives the answer."""
WITHOUT = " went without "


def wanted_of(state: RunState, context: RunContext) -> tuple[str, tuple[str, ...]] | None:
    """Why a person is asked, and the agents that wait for leave; None where nobody need be."""
    if waiting := context.waiting(state):
        return f"approval: {', '.join(waiting)} may not be asked without a person's leave", waiting
    if state.concluded:
        return "escalated: " + "; ".join(state.shortfalls[:1] or ("nobody could answer",)), ()
    return None


def not_allowed(state: RunState, context: RunContext) -> RunState:
    """End a run that is not durable and so cannot wait for a person's leave."""
    waiting = ", ".join(context.waiting(state))
    reason = f"approval: {waiting} may not be asked without a person's leave"
    state = _closed(state, reason, context)
    if not state.open:
        context.journal.write(Escalated(attempt=None, reason=reason))
    helps = "would help: a durable run, which waits for that leave"
    shortfalls = (*state.shortfalls, reason, helps)
    return replace(state, open=(), pursued=(), halted=True, concluded=True, shortfalls=shortfalls)


def heeded(state: RunState, word: Resumed, context: RunContext) -> RunState | None:
    """The state after a person's word; None where it is not the word that the run waits for."""
    allowed = replace(state, allowed=tuple(dict.fromkeys((*state.allowed, *word.allow))))
    if word.answer is not None:
        return _answered(allowed, word.answer, context)
    if state.concluded:
        return _once_more(allowed, context) if word.retry or word.allow else None
    return None if context.waiting(allowed) else allowed


def _answered(state: RunState, answer: str, context: RunContext) -> RunState:
    """A person gave what was asked for; what stood in the way is told, and no shortfall any more."""
    state = replace(_closed(state, "a person gave the answer", context), open=())
    reply = Reply(state.attempts + 1, PERSON, Goal(state.asked), answer, p=1.0)
    kept = tuple(each for each in state.shortfalls if each.startswith(KEPT) or WITHOUT in each)
    return replace(
        state,
        goals=context.facilities.pool.goals_from(state.asked),
        replies=(*state.replies, reply),
        pursued=(),
        answer=None,
        halted=False,
        concluded=True,
        reasons=(*state.reasons, "a person answered", *(each for each in state.shortfalls if each not in kept)),
        shortfalls=kept,
    )


def _closed(state: RunState, reason: str, context: RunContext) -> RunState:
    """The state where nobody is asked; failures with no outcome yet, for which somebody was to be, end for a person."""
    state = state.standing()
    for failure in state.open:
        context.journal.write(Escalated(attempt=failure.attempt, reason=reason))
    return state


def _once_more(state: RunState, context: RunContext) -> RunState:
    """The run goes on as if nobody had failed, and no monitor had stopped it; what was tried stays in its reasons."""
    return replace(
        state,
        goals=context.facilities.pool.goals_from(state.asked),
        routes=(),
        pursued=(),
        avoided=(),
        pardoned=len(state.failures),
        fresh_at=state.turns,
        waited=0.0,
        ending="",
        bad_turns=0,
        takeover=False,
        thinking=False,
        demoted=False,
        halted=False,
        concluded=False,
        reasons=(*state.reasons, "retried: a person asked for it", *state.shortfalls),
        shortfalls=(),
        stopped_on=None,
        waved=state.waved if state.stopped_on is None else (*state.waved, state.stopped_on),
    )
