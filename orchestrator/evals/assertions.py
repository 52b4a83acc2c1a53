"""Route assertions: what a case asks of the way to an answer, held against the decision and the trace's events."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from orchestrator.evals.cases import Expect
from orchestrator.messages import Decision
from orchestrator.trace.events import AttemptStarted, Event, Replied

__all__ = ["broken_assertions", "called", "stated"]


def called(events: Sequence[Event]) -> tuple[str, ...]:
    """The agents that were consulted, in order, each once."""
    return tuple(dict.fromkeys(event.agent for event in events if isinstance(event, AttemptStarted)))


def stated(events: Sequence[Event], agents: Collection[str]) -> dict[str, float]:
    """How sure these agents were of what they replied, where they said."""
    replied = [event for event in events if isinstance(event, Replied) and event.agent in agents]
    return {event.agent: event.confidence for event in replied if event.confidence is not None}


def broken_assertions(expect: Expect, decision: Decision, events: Sequence[Event]) -> tuple[str, ...]:
    """What does not hold, in plain words; nothing where all does. An unknown cost breaks a limit on cost."""
    return tuple(_broken(expect, decision, called(events)))


def _broken(expect: Expect, decision: Decision, consulted: Sequence[str]) -> Iterator[str]:
    if expect.status is not None and decision.status != expect.status:
        yield f"status: expected {expect.status}, was {decision.status}"
    names = ", ".join(consulted) or "nobody"
    yield from (f"routed_to: {name} was not called, but {names}" for name in expect.routed_to if name not in consulted)
    yield from (f"never_called: {name} was called" for name in expect.never_called if name in consulted)
    if expect.max_turns is not None and decision.turns > expect.max_turns:
        yield f"max_turns: expected at most {expect.max_turns}, took {decision.turns}"
    if expect.reroutes is not None and decision.reroutes != expect.reroutes:
        yield f"reroutes: expected {expect.reroutes}, were {decision.reroutes}"
    limit = expect.max_cost_usd
    if limit is not None and (decision.cost_usd is None or decision.cost_usd > limit):
        cost = "unknown" if decision.cost_usd is None else f"${decision.cost_usd}"
        yield f"max_cost_usd: expected at most ${limit}, was {cost}"
