"""Ends a run: merges the replies and puts together the decision."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

from pydantic import BaseModel, JsonValue
from pydantic_core import PydanticSerializationError, to_jsonable_python

from orchestrator.budget import Ledger
from orchestrator.confidence import ballot_of
from orchestrator.lower import doubts
from orchestrator.merge import PERSON, MergeRule, PersonAnswer, canonical, merge_named, sided
from orchestrator.merging import Merging, merged_by
from orchestrator.messages import Analysis, Decision, Goal, Reply, Status
from orchestrator.routers import BallotRouter, Settling
from orchestrator.runtime import RunContext, Tally
from orchestrator.state import RunState
from orchestrator.tools import Kinds, Misfit, fitted
from orchestrator.trace.events import Merged, Noted
from orchestrator.trace.plain import plain

__all__ = ["Took", "conclude", "decided", "gathered", "undecided"]

ROUTER = "router"


@dataclass(frozen=True, slots=True)
class Took:
    """What a run took, and which one it was."""

    ledger: Ledger
    tally: Tally
    seconds: float
    run_id: str
    kinds: Kinds


async def conclude(state: RunState, context: RunContext) -> Decision:
    """Merge what is there into a decision; without any reply or answer it is an escalation."""
    kinds = context.facilities.kinds
    known, (_, replies) = state.reasons, gathered(state, kinds)
    short = _ran_out(state, replies, context)  # before doubts, as a replay finds it
    state, replies = gathered(replace(state, shortfalls=(*state.shortfalls, *short)), kinds)
    if (overrun := context.ledger.overrun) is not None:
        state = replace(state, reasons=(*state.reasons, overrun))
    if state.reasons != known or short:
        context.journal.write(Noted(reasons=state.reasons[len(known) :], shortfalls=short, halted=state.halted))
    merging = await _written(state, replies, context) if replies else None
    return decided(state, replies, merging, _took(context))


def undecided(state: RunState, context: RunContext, why: str) -> Decision:
    """What a caller is told of a run that waits for a person."""
    return _decision(replace(state, shortfalls=(*state.shortfalls, why)), None, "escalated", None, _took(context))


def _took(context: RunContext) -> Took:
    kinds = context.facilities.kinds
    return Took(context.ledger, context.tally, context.seconds(), context.journal.run_id, kinds)


def gathered(state: RunState, kinds: Kinds) -> tuple[RunState, list[Reply]]:
    """The state as it is concluded on, and the replies to merge: none where the run stops for a person."""
    found = _replies(state)
    replies = found if kinds.asked is None else _typed(found, kinds.asked)
    if found and not replies and kinds.asked is not None:
        state = replace(state, reasons=(*state.reasons, f"no reply is a {kinds.asked.__name__}"))
    if state.halted:  # which says so itself
        return state, []
    return replace(state, shortfalls=(*state.shortfalls, *doubts(state))), replies


def decided(state: RunState, replies: list[Reply], merging: Merging | None, took: Took) -> Decision:
    """The decision on what was gathered and merged."""
    if merging is None:
        return _decision(state, None, "escalated", None, took)
    late = () if merging.gave_way is None else (merging.gave_way,)
    state = replace(state, shortfalls=(*state.shortfalls, *late, *_missing_analyses(state, replies)))
    if merging.abstained is not None:
        state = replace(state, shortfalls=(merging.abstained, *state.shortfalls))
        return _decision(state, merging, "escalated", None, took)
    status: Status = "degraded" if state.shortfalls else "answered"
    value = _value(merging.analysis, replies, took.kinds.of(state.goal))
    return _decision(state, merging, status, value, took)


async def _written(state: RunState, replies: list[Reply], context: RunContext) -> Merging:
    """The replies merged, and that written down."""
    rule, counted = _rule(state, replies, context), {reply.attempt: reply.text for reply in replies}
    given = {reply.attempt: reply.text for reply in _replies(state)}
    if context.set_aside is not None:
        context.ledger.give_back(context.set_aside)
    merging = _settled(state, replies, context) or await merged_by(rule, state, replies, context)
    merged = replace(merging.analysis, confidence=_confidence(merging.analysis, state, replies, context))
    merging = replace(merging, analysis=merged, abstained=_abstains(merged, replies, context))
    context.journal.write(
        Merged(
            method=merging.method,
            answer=merged.answer,
            support=merged.support,
            dissent=merged.dissent,
            confidence=merged.confidence,
            reasons=merged.reasons,
            gave_way=merging.gave_way,
            abstained=merging.abstained,
            left_out=tuple(attempt for attempt in given if attempt not in counted),
            forms=tuple((attempt, text) for attempt, text in counted.items() if text != given[attempt]),
        )
    )
    return merging


def _confidence(merged: Analysis, state: RunState, replies: list[Reply], context: RunContext) -> float | None:
    """The calibrated confidence of a decision; None where there is nothing to go by.

    Without a calibration it is what a merge of the caller's own says; those that are built in say nothing.
    """
    if context.confidence is None:
        return merged.confidence
    experts = [reply for reply in replies if reply.agent != ROUTER]
    return context.confidence.confidence(ballot_of(state.question, experts, merged.answer, canonical))


def _abstains(merged: Analysis, replies: list[Reply], context: RunContext) -> str | None:
    """Why a decision is not given, if it is not sure enough."""
    least, sure = context.abstain_below, merged.confidence
    if least is None or _by_person(replies) or (sure is not None and sure >= least):
        return None
    told = "has no score to judge it by" if sure is None else f"has a confidence of {sure:.3f}"
    return f"abstained: the answer by {len(merged.support)} in support {told}, and {least:g} was asked for"


def _settled(state: RunState, replies: list[Reply], context: RunContext) -> Merging | None:
    """What a router that settles the decision itself makes of the replies; None where a merge is to."""
    router = context.router
    if context.merge is not None or state.answer or _by_person(replies) or not isinstance(router, Settling):
        return None
    if state.takeover and state.analyses > 1:  # the plan asked for them, and they are one vote each
        return None
    chosen = router.settled(state.question, replies, canonical)
    return Merging(sided(chosen.text, state.question, replies), context.router.name)


def _typed(replies: list[Reply], kind: type[BaseModel]) -> list[Reply]:
    """Those of the replies that are of a kind, as such."""
    found: list[Reply] = []
    for reply in replies:
        with suppress(Misfit):
            found.append(replace(reply, value=fitted(reply.value, kind)))
    return found


def _replies(state: RunState) -> list[Reply]:
    """Replies to the goal, for the run's own question where there are any; the router's answer is one of them."""
    found = [reply for reply in state.replies if reply.goal.artifact == state.goal]
    own = [reply for reply in found if not reply.goal.query] or found
    if state.answer:
        own.append(Reply(state.attempts + 1, ROUTER, Goal(state.goal), state.answer))
    return own


def _rule(state: RunState, replies: list[Reply], context: RunContext) -> MergeRule:
    """The merge that is wanted, else the default of who decided and how many analyses were asked for."""
    if _by_person(replies):
        return PersonAnswer()
    if context.merge is not None:
        return context.merge
    if state.answer:
        return merge_named("router")
    alone = state.analyses == 1 and not isinstance(context.router, BallotRouter)
    return merge_named("first" if alone else "vote")


def _by_person(replies: list[Reply]) -> bool:
    """Whether a person gave the answer; no merge, router or confidence is above that."""
    return any(reply.agent == PERSON for reply in replies)


def _ran_out(state: RunState, replies: list[Reply], context: RunContext) -> tuple[str, ...]:
    """What is missing of a vote that may end early, and ended undecided; votes of a person or a model are none."""
    router = context.router
    if not isinstance(router, BallotRouter) or not replies or state.answer or _by_person(replies):
        return ()
    return _short_of(len(replies), router.voters) if router.undecided(state.question, replies, canonical) else ()


def _missing_analyses(state: RunState, replies: list[Reply]) -> tuple[str, ...]:
    return _short_of(len({reply.agent for reply in replies}), state.analyses)


def _short_of(given: int, wanted: int) -> tuple[str, ...]:
    return () if given >= wanted else (f"analyses: {given} of {wanted}",)


def _value(merged: Analysis, replies: list[Reply], kind: type[BaseModel] | None) -> JsonValue:
    """The artifact behind the answer where it is not text."""
    if kind is not None:
        return cast("JsonValue", to_jsonable_python(plain(fitted(merged.answer, kind))))
    for reply in replies:
        if not isinstance(reply.value, str) and reply.text == merged.answer:
            return cast("JsonValue", to_jsonable_python(plain(reply.value)))
    return None


def _decision(state: RunState, merging: Merging | None, status: Status, value: JsonValue, took: Took) -> Decision:
    ledger, tally, asked = took.ledger, took.tally, took.kinds.asked
    merged = merging.analysis if merging else None
    decision = Decision(
        answer=merged.answer if merged and status != "escalated" else None,
        status=status,
        goal=state.goal,
        method=merging.method if merging else None,
        confidence=merged.confidence if merged else None,
        support=merged.support if merged else (),
        dissent=merged.dissent if merged else (),
        failed=tuple(failure.failed for failure in state.failures),
        reasons=_distinct((*state.shortfalls, *state.reasons, *(merged.reasons if merged else ()))),
        cost_usd=ledger.spent,
        cost_exact=ledger.exact,
        usage=ledger.usage,
        turns=state.turns,
        control_calls=tally.control_calls,
        merge_calls=tally.merge_calls,
        expert_calls=tally.expert_calls,
        reroutes=tally.reroutes,
        seconds=round(took.seconds, 6),
        run_id=took.run_id,
        value=value,
        instance=fitted(merged.answer, asked) if merged and asked and status != "escalated" else None,
    )
    return _writable(decision)


def _writable(decision: Decision) -> Decision:
    """The decision as its trace holds it: half surrogates, which no UTF-8 can hold, are written out."""
    try:
        decision.model_dump_json()
    except (PydanticSerializationError, UnicodeEncodeError):
        return Decision.model_validate(plain(decision))
    return decision


def _distinct(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
