"""What of an event is written where content is left out: who did what, when and at what price, in nobody's words."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from orchestrator.messages import Decision, Goal
from orchestrator.trace.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptStarted,
    BadTurn,
    BreakerChanged,
    Candidate,
    Demoted,
    Escalated,
    Event,
    Merged,
    Monitored,
    NameResolved,
    Nested,
    Noted,
    Paused,
    Planned,
    Replied,
    Rerouted,
    Resumed,
    Returned,
    RunEnded,
    RunStarted,
    SignalGiven,
    Stepped,
    Superseded,
    TakenOver,
    TryEnded,
    TryStarted,
    TurnTaken,
    Waited,
)

__all__ = ["without_content"]

LEFT_OUT = "(left out)"
OURS = (
    "analyses:", "demoted:", "limit:", "no further distinct expert", "no language model", "nobody is left",
    "rerouted:", "returned:", "takeover:", "tried:",
)  # fmt: skip
"""How the framework's own reasons begin."""


def without_content(event: Event) -> Event:
    """The event without questions, thoughts, replies and answers, nor texts of errors, which may quote them."""
    return event.model_copy(update=_update(event))


def _update(event: Event) -> dict[str, object]:  # noqa: C901 - one case for each event
    match event:
        case RunStarted():
            return {"question": None, "choices": (), "note": None}
        case TurnTaken():
            return {"thought": None, "answer": None}
        case BadTurn():
            return {"said": None, "fault": LEFT_OUT}
        case NameResolved():
            return {"given": LEFT_OUT}
        case TakenOver():
            return {"reason": _heading(event.reason)}
        case Planned():
            return {"goal": _goal(event.goal), "candidates": tuple(map(_candidate, event.candidates))}
        case AttemptStarted():
            return {"goal": _goal(event.goal), "toward": event.toward and _goal(event.toward)}
        case TryEnded():
            return {"error": event.error and LEFT_OUT, "gave": None}
        case AttemptFailed():
            return {"error": LEFT_OUT}
        case Replied():
            return {"value": None, "text": None, "evidence": (), "eliminated": ()}
        case Waited():
            return {"goal": _goal(event.goal)}
        case Monitored():
            return {"board": tuple(map(_signal, event.board))}
        case Merged():
            return _merged(event)
        case Noted():
            return {"reasons": _told(event.reasons), "shortfalls": _told(event.shortfalls)}
        case Escalated() | Returned() | Superseded():
            return {"reason": _heading(event.reason)}
        case RunEnded():
            error = event.error and _heading(event.error)
            return {"decision": event.decision and _decision(event.decision), "error": error}
        case Stepped() | Paused() | Resumed():
            return _of_durable(event)
        case TryStarted() | Nested() | AttemptCancelled() | Rerouted() | Demoted() | BreakerChanged():
            return {}
        case _:
            assert_never(event)


def _merged(event: Merged) -> dict[str, object]:
    return {"answer": None, "dissent": (), "reasons": (), "gave_way": event.gave_way and LEFT_OUT, "forms": ()}


def _signal(given: SignalGiven) -> SignalGiven:
    return given.model_copy(update={"why": LEFT_OUT, "payload": {}})


def _of_durable(event: Stepped | Paused | Resumed) -> dict[str, object]:
    """Durable runs are kept with their content; whoever leaves it out afterwards can resume nothing."""
    match event:
        case Stepped():
            return {"changed": {}, "grown": {}, "decision": event.decision and _decision(event.decision)}
        case Paused():
            return {"why": LEFT_OUT, "decision": event.decision and _decision(event.decision)}
        case Resumed():
            return {"answer": event.answer and LEFT_OUT}
        case _:
            assert_never(event)


def _goal(goal: Goal) -> Goal:
    return replace(goal, query=goal.query and LEFT_OUT)


def _candidate(candidate: Candidate) -> Candidate:
    """With p = 0 it is the tool that said why not, and may have quoted the question."""
    said = candidate.why_not and ("cannot take this question" if candidate.p == 0 else candidate.why_not)
    return candidate.model_copy(update={"why_not": said})


def _decision(decision: Decision) -> Decision:
    update = {
        "answer": None,
        "dissent": (),
        "value": None,
        "failed": tuple(replace(failed, error=LEFT_OUT) for failed in decision.failed),
        "reasons": _told(decision.reasons),
    }
    return decision.model_copy(update=update)


def _told(reasons: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_own_words, reasons)))


def _own_words(reason: str) -> str:
    """The heading of a reason that the framework gave; a merge of the caller's own may have quoted anything."""
    return _heading(reason) if reason.startswith(OURS) else LEFT_OUT


def _heading(text: str) -> str:
    """The words before the first colon: `limit:usd` of a limit, the class of an exception; details come after it."""
    return text.partition(": ")[0]
