"""Who made a decision what it is: each member's side, its cost, and what would have been decided without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from orchestrator.errors import ConfigError
from orchestrator.merge.canonical import same
from orchestrator.merge.rules import MERGES, fallen_back, merge_named
from orchestrator.messages import Analysis, Goal, Question, Reply, as_text
from orchestrator.trace.events import AttemptStarted, Event, Merged, Replied, RunEnded, RunStarted, TryEnded, TurnTaken

__all__ = ["Attribution", "Member", "attributed"]

ROUTER = "router"
Side = Literal["support", "dissent", "decided", "input", "failed"]


@dataclass(frozen=True, slots=True)
class Member:
    """One expert of a run, or its router where that answered."""

    agent: str
    side: Side
    """Whether it supports the decision, dissents, is the router whose answer was merged, gave something else than the
    goal, or gave nothing."""
    said: str | None
    p: float | None
    confidence: float | None
    """Stated by itself."""
    usd: Decimal | None
    """All that was paid for it in the run; None where a price is unknown."""
    without: str | None = None
    """What would have been decided without it; None where nothing would."""
    changes: bool | None = None
    """Whether that is another answer; None where its reply was not on the ballot."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """The members of a decision, and the rule by which each was left out."""

    rule: str
    """The run's own merge; `fallback` where that would have to ask again."""
    exact: bool
    """Whether the rule is the one that decided, so that what is said of leaving out is what would have been."""
    members: tuple[Member, ...]


def attributed(events: Sequence[Event]) -> Attribution | None:
    """The attribution of a run by its events, asking nobody; None where nothing was merged or content is left out.

    A merge that asks a model, or is the user's own, would have to be asked again; the fallback rule (majority, then
    the highest p) stands in for it.
    """
    started = next((event for event in events if isinstance(event, RunStarted)), None)
    merged = next((event for event in reversed(events) if isinstance(event, Merged)), None)
    ended = events[-1] if events else None
    decision = ended.decision if isinstance(ended, RunEnded) else None
    if started is None or started.question is None or merged is None or merged.answer is None or decision is None:
        return None
    question = Question(started.question, started.kind, started.choices, started.case)
    replies = _replies(events, decision.goal)
    rule = merged.method if merged.method == "fallback" or _known(merged.method) else "fallback"
    spent = _spent(events)
    answer = merged.answer
    members = [_member(reply, replies, rule, question, answer, spent) for reply in replies]
    on_ballot = {reply.agent for reply in replies}
    others = [agent for agent in spent if agent not in on_ballot]
    gave = {event.agent for event in events if isinstance(event, Replied)}
    members += [
        Member(agent, "input" if agent in gave else "failed", None, None, None, spent[agent]) for agent in others
    ]
    return Attribution(rule, rule == merged.method, tuple(members))


def _known(method: str) -> bool:
    try:
        return method in MERGES or merge_named(method).name == method
    except ConfigError:
        return False


def _replies(events: Sequence[Event], goal: str) -> list[Reply]:
    """What was on the ballot: replies to the goal, for the run's own question where there are any, and the router's."""
    goals = {event.attempt: event.goal for event in events if isinstance(event, AttemptStarted)}
    found = [
        Reply(
            event.attempt, event.agent, goals[event.attempt], event.value, p=event.p, cost=event.usd,
            confidence=event.confidence,
        )
        for event in events
        if isinstance(event, Replied) and event.attempt in goals and goals[event.attempt].artifact == goal
    ]  # fmt: skip
    found = [reply for reply in found if not reply.goal.query] or found
    said = [event.answer for event in events if isinstance(event, TurnTaken) and event.answer]
    return [*found, Reply(len(goals) + 1, ROUTER, Goal(goal), said[-1])] if said else found


def _spent(events: Sequence[Event]) -> dict[str, Decimal | None]:
    """What was paid for each expert, in the order in which they were first asked."""
    names = {event.attempt: event.agent for event in events if isinstance(event, AttemptStarted)}
    found: dict[str, Decimal | None] = {name: Decimal(0) for name in names.values()}
    for event in events:
        if isinstance(event, TryEnded) and event.attempt in names:
            before = found[names[event.attempt]]
            found[names[event.attempt]] = None if before is None or event.usd is None else before + event.usd
    return found


def _member(  # noqa: PLR0917 - one private call
    reply: Reply,
    replies: Sequence[Reply],
    rule: str,
    question: Question,
    answer: str,
    spent: dict[str, Decimal | None],
) -> Member:
    rest = [other for other in replies if other.agent != reply.agent]
    without = _decided(rule, question, rest).answer if rest else None
    agrees = same(as_text(reply.value), answer, question)
    side: Side = "decided" if reply.agent == ROUTER else "support" if agrees else "dissent"
    return Member(
        reply.agent,
        side,
        reply.text,
        None if reply.agent == ROUTER else reply.p,
        reply.confidence,
        spent.get(reply.agent, Decimal(0)),
        without,
        without is None or not same(without, answer, question),
    )


def _decided(rule: str, question: Question, replies: Sequence[Reply]) -> Analysis:
    """What a rule that asks nobody makes of the replies."""
    if rule == "fallback":
        return fallen_back(question, replies, "")
    return merge_named(rule).decide(question, replies)
