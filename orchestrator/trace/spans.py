"""The one mapping from events to spans, in the words of OpenTelemetry's GenAI conventions; imports nothing of it.

`invoke_workflow` holds an `invoke_agent` per attempt, and that a `chat` or an `execute_tool` per try. Tokens stand on
`chat` spans only, since viewers add them up. What the conventions have no word for is called `orchestrator.…`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

import orjson

from orchestrator.trace.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptStarted,
    BadTurn,
    BreakerChanged,
    Demoted,
    Escalated,
    Event,
    Monitored,
    Planned,
    Replied,
    Rerouted,
    Returned,
    RunEnded,
    RunStarted,
    Superseded,
    TakenOver,
    TryEnded,
    TryStarted,
    TurnTaken,
    Waited,
)

__all__ = ["ATTRIBUTES", "Closed", "Marked", "Opened", "SpanChange", "Spans", "Value"]

Value = str | bool | int | float | tuple[str, ...]
"""What an attribute may hold."""
RUN = "run"

ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "orchestrator.run.id": "id of the run, as in its trace",
        "orchestrator.router": "who decides: the run's router, or that of a turn",
        "orchestrator.goals": "the goal aimed at, and the lower ones that may replace it",
        "orchestrator.analyses": "analyses asked for",
        "orchestrator.status": "answered, degraded, escalated; cancelled or error where there is no decision",
        "orchestrator.method": "the merge that decided",
        "orchestrator.support": "agents whose replies equal the answer",
        "orchestrator.dissent": "agents whose replies differ from it",
        "orchestrator.reroutes": "failed attempts that were replaced by another expert",
        "orchestrator.cost.usd": "US dollars, of a run or of a try; absent where unknown",
        "orchestrator.cost.exact": "whether every charge is the vendor's own figure",
        "orchestrator.attempt": "number of an attempt in its run",
        "orchestrator.goal": "artifact that an attempt, a plan or a wait is for",
        "orchestrator.goal.slot": "which of several analyses",
        "orchestrator.goal.query": "what is asked, where it is not the run's question; only with content",
        "orchestrator.toward": "artifact that the attempt is a step to",
        "orchestrator.outcome": "what became of a failed attempt: rerouted, demoted, returned, escalated, superseded",
        "orchestrator.outcome.to": "the expert or the goal that took its place",
        "orchestrator.try": "number of a try in its attempt",
        "orchestrator.purpose": "what a try is made for: expert, router, merge",
        "orchestrator.cancelled": "the run was stopped while this was in flight",
        "orchestrator.turn": "number of a router's turn",
        "orchestrator.routes": "experts that a turn routes to",
        "orchestrator.thought": "what the router thought; only with content",
        "orchestrator.plan.steps": "agents of the cheapest plan, in order",
        "orchestrator.plan.weight": "its weight: -ln(p) + money + time",
        "orchestrator.breaker": "whose circuit breaker changed",
        "orchestrator.breaker.state": "closed, open or half_open",
        "orchestrator.monitor": "the monitor that was followed",
        "orchestrator.monitor.asks": "avoid or stop",
        "orchestrator.agents": "experts that a wait or a monitor is about",
        "orchestrator.seconds": "how long a wait takes",
    }
)
"""Attributes of our own, and what each says; `docs/otel.md` shows this table."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A span begins."""

    key: str
    parent: str | None
    name: str
    kind: Literal["internal", "client"]
    nanoseconds: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Marked:
    """Something happened in a span."""

    key: str
    name: str
    nanoseconds: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Closed:
    """A span ends; `error` is the word for what went wrong in it, `said` the words, with content only."""

    key: str
    nanoseconds: int
    attributes: Mapping[str, Value]
    error: str | None = None
    said: str | None = None


SpanChange = Opened | Marked | Closed


@dataclass(slots=True)
class Spans:
    """Turns the events of one run into changes of its spans.

    A failed attempt's span is kept open until its outcome is known, and then ends at the time of the failure.
    """

    content: bool = False
    """Whether questions, thoughts, replies and texts of errors are told."""
    _agents: dict[int, str] = field(default_factory=dict[int, str])
    _waiting: dict[str, Closed] = field(default_factory=dict[str, Closed])

    def told(self, event: Event) -> Iterator[SpanChange]:
        """What an event changes."""
        at = nanoseconds(event.time)
        match event:
            case RunStarted():
                yield Opened(RUN, None, f"invoke_workflow {event.pool}", "internal", at, self._asked(event))
            case AttemptStarted():
                self._agents[event.attempt] = event.agent
                attributes = self._attempted(event)
                yield Opened(_of(event.attempt), RUN, f"invoke_agent {event.agent}", "internal", at, attributes)
            case TryStarted():
                yield _tried(event, at, self._agents.get(event.attempt or 0, "?"))
            case TryEnded():
                said = event.error if self.content else None
                yield Closed(_of_try(event), at, _settled(event), event.kind, said)
            case Replied():
                output = {"gen_ai.output.messages": _messages("assistant", _text(event))} if self.content else {}
                yield Closed(_of(event.attempt), at, output)
            case AttemptFailed():
                said = event.error if self.content else None
                self._waiting[_of(event.attempt)] = Closed(_of(event.attempt), at, {}, event.kind, said)
            case AttemptCancelled():
                yield Closed(_of(event.attempt), at, {"orchestrator.cancelled": True})
            case RunEnded():
                yield from self._waiting.values()
                yield self._ended(event, at)
            case _:
                yield from self._others(event, at)

    def _others(self, event: Event, at: int) -> Iterator[SpanChange]:
        attempt, outcome = _outcome(event)
        if attempt is not None and (closed := self._waiting.pop(_of(attempt), None)) is not None:
            yield Closed(closed.key, closed.nanoseconds, outcome, closed.error, closed.said)
        elif (mark := self._mark(event)) is not None:
            yield Marked(RUN, f"orchestrator.{event.type}", at, _known(mark))

    def _asked(self, event: RunStarted) -> dict[str, Value]:
        known: dict[str, Value | None] = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": event.pool,
            "orchestrator.run.id": event.run_id,
            "orchestrator.router": event.router,
            "orchestrator.goals": event.goals,
            "orchestrator.analyses": event.analyses,
        }
        if self.content and event.question:
            known["gen_ai.input.messages"] = _written([_message(each.role, each.content) for each in event.question])
        return _known(known)

    def _attempted(self, event: AttemptStarted) -> dict[str, Value]:
        return _known(
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": event.agent,
                "orchestrator.attempt": event.attempt,
                "orchestrator.goal": event.goal.artifact,
                "orchestrator.goal.slot": event.goal.slot,
                "orchestrator.goal.query": (event.goal.query or None) if self.content else None,
                "orchestrator.toward": event.toward.artifact if event.toward else None,
            }
        )

    def _ended(self, event: RunEnded, at: int) -> Closed:
        decision = event.decision
        if decision is None:
            said = event.error if self.content else None
            return Closed(RUN, at, {"orchestrator.status": event.how}, event.how, said)
        known: dict[str, Value | None] = {
            "orchestrator.status": decision.status,
            "orchestrator.method": decision.method,
            "orchestrator.support": decision.support,
            "orchestrator.dissent": tuple(dissent.agent for dissent in decision.dissent),
            "orchestrator.reroutes": decision.reroutes,
            "orchestrator.cost.usd": None if decision.cost_usd is None else float(decision.cost_usd),
            "orchestrator.cost.exact": decision.cost_exact,
        }
        if self.content and decision.answer is not None:
            known["gen_ai.output.messages"] = _messages("assistant", decision.answer)
        return Closed(RUN, at, _known(known))

    def _mark(self, event: Event) -> Mapping[str, Value | None] | None:
        """What a moment of the run says; None of those that say nothing beyond the spans."""
        match event:
            case TurnTaken():
                thought = event.thought if self.content else None
                told = {"orchestrator.turn": event.turn, "orchestrator.router": event.router}
                return {**told, "orchestrator.routes": event.routes, "orchestrator.thought": thought}
            case Planned():
                weight = event.weight
                told = {"orchestrator.goal": event.goal.artifact, "orchestrator.plan.steps": event.steps}
                return {**told, "orchestrator.plan.weight": weight}
            case BreakerChanged():
                return {"orchestrator.breaker": event.key, "orchestrator.breaker.state": event.after}
            case Waited():
                told = {"orchestrator.goal": event.goal.artifact, "orchestrator.agents": event.agents}
                return {**told, "orchestrator.seconds": event.seconds}
            case Monitored():
                first = event.board[0]
                told = {"orchestrator.monitor": first.source, "orchestrator.monitor.asks": first.asks}
                return None if first.asks == "go_on" else {**told, "orchestrator.agents": first.avoid}
            case BadTurn():
                return {"orchestrator.turn": event.turn}
            case TakenOver() | Escalated():
                return {}
            case Demoted():
                return {"orchestrator.outcome.to": event.to_goal}
            case _:
                return None


def _tried(event: TryStarted, at: int, agent: str) -> Opened:
    """A `chat` where a model is asked, else an `execute_tool`."""
    parent = RUN if event.attempt is None else _of(event.attempt)
    common: dict[str, Value | None] = {"orchestrator.try": event.number, "orchestrator.purpose": event.purpose}
    if event.model is None:
        common |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": agent}
        return Opened(_of_try(event), parent, f"execute_tool {agent}", "internal", at, _known(common))
    provider, found, name = event.model.partition(":")
    common |= {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider if found else None,
        "gen_ai.request.model": name if found else event.model,
    }
    return Opened(_of_try(event), parent, f"chat {name if found else event.model}", "client", at, _known(common))


def _settled(event: TryEnded) -> dict[str, Value]:
    """What a try took; tokens only where a model counted some, so that no tool has any."""
    usage = event.usage
    known: dict[str, Value | None] = {
        "orchestrator.cost.usd": None if event.usd is None else float(event.usd),
        "orchestrator.cost.exact": event.exact,
        "orchestrator.cancelled": event.cancelled or None,
    }
    if usage.total:
        known |= {
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens or None,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens or None,
        }
    return _known(known)


def _outcome(event: Event) -> tuple[int | None, dict[str, Value]]:
    """The attempt that an outcome is of, and what it says."""
    match event:
        case Rerouted():
            return event.attempt, {"orchestrator.outcome": event.type, "orchestrator.outcome.to": event.to}
        case Demoted():
            return event.attempt, {"orchestrator.outcome": event.type, "orchestrator.outcome.to": event.to_goal}
        case Returned() | Escalated() | Superseded():
            return event.attempt, {"orchestrator.outcome": event.type}
        case _:
            return None, {}


def nanoseconds(time: str) -> int:
    """The time of an event, since 1970."""
    moment = datetime.fromisoformat(time)
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000


def _of(attempt: int) -> str:
    return f"attempt {attempt}"


def _of_try(event: TryStarted | TryEnded) -> str:
    whose = event.purpose if event.attempt is None else _of(event.attempt)
    return f"{whose}, try {event.number}"


def _text(event: Replied) -> str:
    if event.text is not None:
        return event.text
    return event.value if isinstance(event.value, str) else str(event.value)


def _message(role: str, text: str) -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _messages(role: str, text: str) -> str:
    return _written([{**_message(role, text), "finish_reason": "stop"}])


def _written(messages: list[dict[str, object]]) -> str:
    return orjson.dumps(messages).decode()


def _known(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None}
