"""Compares two runs by their traces: the first step at which their ways part, then outcome, then what they took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from orchestrator.messages import Decision, Goal
from orchestrator.trace.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptStarted,
    BadTurn,
    Demoted,
    Escalated,
    Event,
    Merged,
    Monitored,
    NameResolved,
    Replied,
    Rerouted,
    Returned,
    RunEnded,
    RunStarted,
    Superseded,
    TakenOver,
    TurnTaken,
    Waited,
)
from orchestrator.trace.journal import Trace

__all__ = ["Change", "Difference", "Fork", "difference", "routing"]

SETUP = ("question", "kind", "choices", "case", "pool", "agents", "goals", "router", "merge", "analyses", "budget")
OUTCOME = ("status", "answer", "goal", "method", "support", "dissent")
FIGURES = (
    "cost_usd", "usage", "expert_calls", "control_calls", "merge_calls", "turns", "reroutes", "seconds",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """A field that differs."""

    field: str
    one: object
    other: object


@dataclass(frozen=True, slots=True)
class Fork:
    """The first step of the routing that differs."""

    step: int
    """From 1."""
    after: str | None
    """The last step that both took, in words; None at the beginning."""
    one: str | None
    """What the first run did then, in words; None: it had no further step."""
    other: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two runs; times, ids, hashes, thoughts and texts of errors are not compared."""

    asked: tuple[Change, ...]
    """What the runs were started with."""
    routing: Fork | None
    outcome: tuple[Change, ...]
    """How the runs ended, and on what."""
    figures: tuple[Change, ...]
    """Money, tokens, calls, seconds."""

    @property
    def same(self) -> bool:
        """Whether both went the same way to the same decision; money and seconds may differ."""
        return self.routing is None and not self.outcome


def difference(one: Trace, other: Trace) -> Difference:
    """What differs between two runs, as far as their traces go."""
    decisions = _decision(one.events), _decision(other.events)
    ends = Change("ended", _end(one.events), _end(other.events))
    return Difference(
        asked=tuple(_changes(SETUP, _start(one.events), _start(other.events))),
        routing=_fork(routing(one.events), routing(other.events)),
        outcome=(*((ends,) if ends.one != ends.other else ()), *_changes(OUTCOME, *decisions)),
        figures=tuple(_changes(FIGURES, *decisions)),
    )


def routing(events: tuple[Event, ...]) -> list[str]:
    """The way of a run in words, a step each: turns, attempts with what became of them, goals taken up, the merge.

    An attempt stands where it was started, whoever of several was done first.
    """
    ends = {attempt: word for event in events for attempt, word in _ending(event)}
    outcomes = {attempt: word for event in events for attempt, word in _outcome(event)}
    return [told for event in events if (told := _step(event, ends, outcomes)) is not None]


def _step(event: Event, ends: dict[int, str], outcomes: dict[int, str]) -> str | None:
    match event:
        case AttemptStarted():
            end = ends.get(event.attempt, "did not end")
            outcome = f", then {outcomes[event.attempt]}" if event.attempt in outcomes else ""
            return f"attempt {event.attempt}: {event.agent} for {_goal(event.goal)}{_toward(event)} {end}{outcome}"
        case TurnTaken():
            return _turn(event)
        case BadTurn():
            return f"turn {event.turn}: could not be read"
        case NameResolved():
            return f"turn {event.turn}: “{event.given}” was taken for {event.agent}"
        case TakenOver():
            return "the plan router took over"
        case Demoted():
            return f"demoted from {event.from_goal} to {event.to_goal}"
        case Waited():
            return f"waited for {', '.join(event.agents)}"
        case Monitored() if event.board[0].asks != "go_on":
            first = event.board[0]
            return f"monitor {first.source}: {first.asks.replace('_', ' ')} {', '.join(first.avoid)}".rstrip()
        case Merged():
            return f"merged by {event.method}"
        case _:
            return None


def _turn(event: TurnTaken) -> str:
    if event.answer is not None:
        return f"turn {event.turn}: {event.router} answered"
    if not event.routes:
        return f"turn {event.turn}: {event.router} thought"
    repeated = f", of which {', '.join(event.repeated)} again" if event.repeated else ""
    return f"turn {event.turn}: {event.router} routed to {', '.join(event.routes)}{repeated}"


def _goal(goal: Goal) -> str:
    slot = f", analysis {goal.slot}" if goal.slot > 1 else ""
    return f"{goal.artifact}{f' (“{goal.query}”)' if goal.query else ''}{slot}"


def _toward(event: AttemptStarted) -> str:
    return f" on the way to {_goal(event.toward)}" if event.toward else ""


def _ending(event: Event) -> Iterable[tuple[int, str]]:
    match event:
        case Replied():
            yield event.attempt, "replied"
        case AttemptFailed():
            yield event.attempt, f"failed ({event.kind})"
        case AttemptCancelled():
            yield event.attempt, "was cancelled"
        case _:
            pass


def _outcome(event: Event) -> Iterable[tuple[int, str]]:
    match event:
        case Rerouted():
            yield event.attempt, f"rerouted to {event.to}"
        case Demoted(attempt=int() as attempt):
            yield attempt, f"demoted to {event.to_goal}"
        case Returned():
            yield event.attempt, "returned to the router"
        case Escalated(attempt=int() as attempt):
            yield attempt, "escalated"
        case Superseded():
            yield event.attempt, "superseded"
        case _:
            pass


def _fork(one: list[str], other: list[str]) -> Fork | None:
    for number, (first, second) in enumerate(zip_longest(one, other), start=1):
        if first != second:
            return Fork(number, one[number - 2] if number > 1 else None, first, second)
    return None


def _changes(fields: tuple[str, ...], one: object, other: object) -> list[Change]:
    pairs = [Change(field, getattr(one, field, None), getattr(other, field, None)) for field in fields]
    return [pair for pair in pairs if pair.one != pair.other]


def _start(events: tuple[Event, ...]) -> RunStarted | None:
    return next((event for event in events if isinstance(event, RunStarted)), None)


def _decision(events: tuple[Event, ...]) -> Decision | None:
    return next((event.decision for event in events if isinstance(event, RunEnded)), None)


def _end(events: tuple[Event, ...]) -> str:
    return next((event.how for event in events if isinstance(event, RunEnded)), "not ended")
