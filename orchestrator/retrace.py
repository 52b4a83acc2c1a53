"""Computes a run's decision again from its trace alone: the merge is done anew, no model and no tool is called."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

from pydantic import JsonValue

from orchestrator.budget import Ledger
from orchestrator.decision import Took, decided, gathered
from orchestrator.errors import ConfigError
from orchestrator.merge import MERGES, fallen_back, merge_named
from orchestrator.merging import Merging
from orchestrator.messages import Analysis, Decision, Failed, Goal, Question, Reply
from orchestrator.protocol import Route
from orchestrator.runtime import Tally
from orchestrator.state import Failure, RunState
from orchestrator.tools import UNTYPED
from orchestrator.trace import Change, Trace, verify
from orchestrator.trace.events import (
    AttemptFailed,
    AttemptStarted,
    BadTurn,
    Demoted,
    Event,
    Merged,
    Noted,
    Paused,
    Replied,
    Resumed,
    RunEnded,
    RunStarted,
    TryEnded,
    TurnTaken,
)
from orchestrator.trace.plain import Kept

__all__ = ["Replay", "broken", "obstacle", "replayed"]

OF_THE_RUN = ("seconds", "run_id", "head")
"""Fields of a decision that no second run would have the same."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A decision as the trace has it, and as its events give it anew."""

    recorded: Decision
    decision: Decision
    """Computed; its seconds and id are those of the recorded one."""
    taken: tuple[str, ...]
    """What could not be done anew and was taken as it was recorded, in words."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """Fields in which the two differ, the recorded value first."""
        fields = [name for name in Decision.model_fields if name not in OF_THE_RUN]
        pairs = [Change(name, getattr(self.recorded, name), getattr(self.decision, name)) for name in fields]
        return tuple(pair for pair in pairs if pair.one != pair.other)

    @property
    def same(self) -> bool:
        """Whether the events give the decision that was recorded."""
        return not self.changes


def obstacle(trace: Trace) -> str | None:
    """Why a trace cannot be replayed; None where it can: it is whole, consistent, with content, and was decided."""
    if fault := broken(trace):
        return fault
    first, last = (trace.events[0], trace.events[-1]) if trace.events else (None, None)
    if isinstance(last, Paused):
        return f"the run is not at its end but paused: {last.why}"
    if not isinstance(last, RunEnded) or not isinstance(first, RunStarted):
        return "the run did not end"
    if last.decision is None:
        return f"the run was not decided but ended otherwise ({last.how}): {last.error}"
    if first.question is None:
        return "the trace was written without content, so there is nothing to decide on"
    if _turned(trace.events):
        return "a person's word turned the run at a resume, and what that made of it is no event"
    return None


def _turned(events: Sequence[Event]) -> bool:
    """Whether a person answered, or had an ended run go on; mere leave for an agent turns nothing."""
    asked: tuple[str, ...] = ()
    for event in events:
        if isinstance(event, Paused):
            asked = event.approve
        elif isinstance(event, Resumed) and (event.answer is not None or event.retry or (event.allow and not asked)):
            return True
    return False


def broken(trace: Trace) -> str | None:
    """What is wrong with the file of a trace, if anything is."""
    verdict = verify(trace)
    if trace.torn:
        return f"the trace is torn: {len(trace.torn)} bytes of a last line were written"
    return None if verdict.consistent else f"the trace is inconsistent: {verdict.faults[0]}"


async def replayed(trace: Trace) -> Replay:
    """The decision anew from a trace's events; raises `ConfigError` where there is an `obstacle`."""
    started, ended = (trace.events[0], trace.events[-1]) if trace.events else (None, None)
    why_not = obstacle(trace)
    if why_not or not isinstance(started, RunStarted) or not isinstance(ended, RunEnded) or ended.decision is None:
        expected = "a whole, consistent trace of a decided run, with content"
        raise ConfigError(f"cannot be replayed: {why_not}", file=str(trace.path), field="trace", expected=expected)
    recorded = ended.decision
    state, replies = gathered(_state(started, trace.events), UNTYPED)
    written = [event for event in trace.events if isinstance(event, Merged)]
    left_out = {attempt for event in written for attempt in event.left_out}
    forms = {attempt: text for event in written for attempt, text in event.forms}
    replies = [
        replace(reply, value=forms.get(reply.attempt, reply.value))
        for reply in replies
        if reply.attempt not in left_out
    ]
    merging, taken = await _merged(started, trace.events, state, replies) if replies else (None, ())
    took = Took(_ledger(trace.events), _tally(trace.events), recorded.seconds, recorded.run_id, UNTYPED)
    decision = decided(state, replies, merging, took)
    return Replay(recorded, decision.model_copy(update={"value": _value(decision, recorded)}), taken)


def _value(decision: Decision, recorded: Decision) -> JsonValue:
    """The artifact behind the answer; of a typed decision it is what the answer's own text says."""
    if decision.value is None and decision.answer is not None and recorded.value is not None:
        with suppress(ValueError):
            return cast("JsonValue", json.loads(decision.answer))
    return decision.value


async def _merged(
    started: RunStarted, events: Iterable[Event], state: RunState, replies: Sequence[Reply]
) -> tuple[Merging | None, tuple[str, ...]]:
    """The replies merged again; what a model or a merge of the caller's own made of them is taken from the trace."""
    written = next((event for event in events if isinstance(event, Merged)), None)
    gave_way = written.gave_way if written else None
    if written and gave_way:
        instead = replace(fallen_back(state.question, replies, gave_way), reasons=())
        return Merging(replace(instead, confidence=written.confidence), written.method, gave_way, written.abstained), ()
    if written is None:
        return None, ()
    if started.merge in {"default", written.method} and written.method.partition(":")[0] in MERGES:
        rule = merge_named(written.method)
        merged = replace(await rule.merge(state.question, replies), confidence=written.confidence)
        return Merging(merged, rule.name, abstained=written.abstained), ()
    merged = Analysis(
        written.answer or "", written.support, written.dissent, written.confidence, reasons=written.reasons
    )
    told = f"the merge {written.method} asked a model or is the caller's own: what it made of the replies is recorded"
    return Merging(merged, written.method, abstained=written.abstained), (told,)


def _state(started: RunStarted, events: Iterable[Event]) -> RunState:
    """Where the run stood when it was concluded."""
    question = Question(started.question or (), started.kind, started.choices, started.case)
    state = RunState(question, started.goals, started.goals[0], analyses=started.analyses)
    goals: dict[int, Goal] = {}
    for event in events:
        state = _after(event, state, goals)
    return state


def _after(event: Event, state: RunState, goals: dict[int, Goal]) -> RunState:
    """The state after an event; `goals` keeps what each attempt was for."""
    match event:
        case AttemptStarted():
            goals[event.attempt] = event.goal
            return replace(state, attempts=state.attempts + 1)
        case Replied():
            return replace(state, replies=(*state.replies, _reply(event, goals[event.attempt])))
        case AttemptFailed():
            return replace(state, failures=(*state.failures, _failure(event, goals[event.attempt])))
        case TurnTaken():
            return replace(state, turns=event.turn, answer=event.answer or None)
        case BadTurn():
            return replace(state, turns=event.turn)
        case Demoted():
            return replace(state, goals=state.goals[state.goals.index(event.to_goal) :], demoted=True)
        case Noted():
            reasons, shortfalls = (*state.reasons, *event.reasons), (*state.shortfalls, *event.shortfalls)
            return replace(state, reasons=reasons, shortfalls=shortfalls, halted=event.halted)
        case _:
            return state


def _reply(event: Replied, goal: Goal) -> Reply:
    value: object = event.value if event.text is None else Kept(event.value, event.text)
    return Reply(event.attempt, event.agent, goal, value, p=event.p, cost=event.usd, seconds=event.seconds)


def _failure(event: AttemptFailed, goal: Goal) -> Failure:
    failed = Failed(event.agent, event.kind, event.error, event.tries)
    return Failure(event.attempt, Route(event.agent), goal, failed, in_doubt=event.in_doubt)


def _ledger(events: Iterable[Event]) -> Ledger:
    """What was billed, added up anew."""
    ledger = Ledger()
    for event in events:
        if isinstance(event, TryEnded):
            ledger.settle(ledger.reserve(None), event.usd, event.usage, exact=event.exact)
    return ledger


def _tally(events: Iterable[Event]) -> Tally:
    tally = Tally()
    for event in events:
        tally(event)
    return tally
