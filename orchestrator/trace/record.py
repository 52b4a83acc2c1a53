"""Sums up over stored traces how experts fared: tries, failures by kind, seconds, breakers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from orchestrator.trace.events import AttemptStarted, BreakerChanged, Event, TryEnded

__all__ = ["Fared", "fared"]


@dataclass(slots=True)
class Fared:
    """What stored traces say of one agent."""

    agent: str
    model: str | None = None
    runs: int = 0
    """Runs in which it was consulted."""
    tries: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])
    """Failed tries by kind."""
    seconds: list[float] = field(default_factory=list[float])
    """Of tries that went well."""
    last_failure: str | None = None
    """When the last try failed, UTC."""
    opened: int = 0
    """How often the breaker of its model, or its own, opened."""

    @property
    def success_rate(self) -> float | None:
        """Share of tries that went well; None where there were none."""
        return 1 - self.failures.total() / self.tries if self.tries else None

    @property
    def typical_seconds(self) -> float | None:
        """Median of the seconds of tries that went well."""
        return median(self.seconds) if self.seconds else None


def fared(traces: Iterable[tuple[Event, ...]]) -> list[Fared]:
    """How every agent fared over some traces, by name."""
    found: dict[str, Fared] = {}
    for events in traces:
        _add(events, found)
    return [found[name] for name in sorted(found)]


def _add(events: tuple[Event, ...], found: dict[str, Fared]) -> None:
    consulted: dict[int, Fared] = {}
    for event in events:
        match event:
            case AttemptStarted():
                agent = found.setdefault(event.agent, Fared(event.agent))
                agent.runs += agent not in consulted.values()
                agent.model = event.model
                consulted[event.attempt] = agent
            case TryEnded(attempt=int()) if event.attempt in consulted and not event.cancelled:
                _add_try(event, consulted[event.attempt])
            case BreakerChanged(after="open"):
                for agent in {id(each): each for each in consulted.values()}.values():
                    agent.opened += event.key in (f"tool:{agent.agent}", agent.model) or (
                        agent.model is not None and event.key.startswith(f"{agent.model}@")
                    )
            case _:
                pass


def _add_try(event: TryEnded, agent: Fared) -> None:
    agent.tries += 1
    if event.kind is None:
        agent.seconds.append(event.seconds)
    else:
        agent.failures[event.kind] += 1
        agent.last_failure = event.time
