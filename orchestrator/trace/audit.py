"""Verifies a trace: the chain of hashes, one outcome for every failed attempt, and that the money adds up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from orchestrator.trace.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptStarted,
    Demoted,
    Escalated,
    Event,
    Paused,
    Replied,
    Rerouted,
    Resumed,
    Returned,
    RunEnded,
    RunStarted,
    Superseded,
    TryEnded,
    TryStarted,
)
from orchestrator.trace.journal import GENESIS, Trace
from orchestrator.usage import Usage

__all__ = ["Verdict", "silent_failures", "verify"]

OUTCOMES = (Rerouted, Demoted, Returned, Escalated, Superseded)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification found; `consistent` says nothing about who wrote the file, `anchored` does."""

    faults: tuple[str, ...]
    anchored: bool | None
    """Whether the last line is the given head; None where no head was given."""
    ended: bool
    """Whether the run came to its end."""

    @property
    def consistent(self) -> bool:
        """Whether chain, order, outcomes and money hold."""
        return not self.faults

    @property
    def passed(self) -> bool:
        """Consistent, and anchored where a head was given."""
        return self.consistent and self.anchored is not False


def verify(trace: Trace, *, head: str | None = None) -> Verdict:
    """Check a trace as far as it goes; one cut short by a crash can still be consistent."""
    ended = bool(trace.events) and isinstance(trace.events[-1], RunEnded)
    faults = [*_chain_faults(trace), *_order_faults(trace.events), *_outcome_faults(trace.events, ended=ended)]
    faults += _money_faults(trace.events, ended=ended)
    if trace.damage:
        faults.append(trace.damage)
    if not trace.events:
        faults.append("there is no event")
    anchored = None if head is None else head == trace.head and not trace.torn
    return Verdict(tuple(faults), anchored, ended)


def silent_failures(events: tuple[Event, ...]) -> list[int]:
    """Attempts that failed and have no outcome, or were started and never ended."""
    outcomes, failed = _outcomes(events), _attempts(events, AttemptFailed)
    closed = failed | _attempts(events, Replied) | _attempts(events, AttemptCancelled)
    return sorted({a for a in failed if not outcomes[a]} | (_attempts(events, AttemptStarted) - closed))


def _chain_faults(trace: Trace) -> list[str]:
    faults: list[str] = []
    expected = GENESIS
    for number, (event, digest) in enumerate(zip(trace.events, trace.hashes, strict=True), start=1):
        if event.prev != expected:
            faults.append(f"line {number} does not follow the line before it")
        if event.seq != number:
            faults.append(f"line {number} has sequence number {event.seq}")
        if event.run_id != trace.events[0].run_id:
            faults.append(f"line {number} belongs to the run {event.run_id}")
        expected = digest
    return faults


def _order_faults(events: tuple[Event, ...]) -> list[str]:
    faults: list[str] = []
    if events and not isinstance(events[0], RunStarted):
        faults.append("the first event is not run_started")
    if any(isinstance(event, RunEnded) for event in events[:-1]):
        faults.append("events stand after the end of the run")
    faults += _pause_faults(events)
    started: set[int] = set()
    closed: set[int] = set()
    for event in events:
        if isinstance(event, AttemptStarted):
            if event.attempt in started:
                faults.append(f"attempt {event.attempt} was started twice")
            started.add(event.attempt)
        elif isinstance(event, (Replied, AttemptFailed, AttemptCancelled)):
            if event.attempt not in started:
                faults.append(f"attempt {event.attempt} ended without having been started")
            if event.attempt in closed:
                faults.append(f"attempt {event.attempt} ended twice")
            closed.add(event.attempt)
    return faults


def _pause_faults(events: tuple[Event, ...]) -> list[str]:
    return [
        f"the run paused in line {number} and went on without having been resumed"
        for number, (event, following) in enumerate(pairwise(events), start=1)
        if isinstance(event, Paused) and not isinstance(following, (Resumed, RunEnded))
    ]


def _outcome_faults(events: tuple[Event, ...], *, ended: bool) -> list[str]:
    outcomes, failed = _outcomes(events), _attempts(events, AttemptFailed)
    faults = [f"attempt {a} has {outcomes[a]} outcomes" for a in sorted(failed) if outcomes[a] > 1]
    faults += [f"attempt {a} has an outcome, but had not failed" for a in sorted(_unearned(events))]
    if ended:
        faults += [f"attempt {a} failed or was left open without an outcome" for a in silent_failures(events)]
    return faults


def _money_faults(events: tuple[Event, ...], *, ended: bool) -> list[str]:
    """Tries that were settled more or less than once, and a decision that does not cost what its tries did."""
    begun: Counter[str] = Counter()
    faults: list[str] = []
    for event in events:
        if isinstance(event, TryStarted):
            begun[_try(event)] += 1
        elif isinstance(event, TryEnded):
            begun[_try(event)] -= 1
            if begun[_try(event)] < 0:
                faults.append(f"{_try(event)} ended without having been begun")
    if ended:
        faults += [f"{name} was begun and never settled" for name, left in begun.items() if left > 0]
    return faults + _sum_faults(events)


def _sum_faults(events: tuple[Event, ...]) -> list[str]:
    decision = next((event.decision for event in events if isinstance(event, RunEnded)), None)
    tries = [event for event in events if isinstance(event, TryEnded)]
    if decision is None:
        return []
    costs = [event.usd for event in tries]
    total = None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))
    usage = sum((event.usage for event in tries), Usage())
    faults = [f"the decision cost {decision.cost_usd} USD, its tries {total}"] if total != decision.cost_usd else []
    return [*faults, *(["the decision used other tokens than its tries"] if usage != decision.usage else [])]


def _try(event: TryStarted | TryEnded) -> str:
    if event.nested:
        return f"try {event.number} of {event.nested}"
    whose = f"of attempt {event.attempt}" if event.attempt is not None else f"of the {event.purpose}"
    return f"try {event.number} {whose}{f' ({event.call})' if event.call else ''}"


def _outcomes(events: tuple[Event, ...]) -> Counter[int]:
    return Counter(event.attempt for event in events if isinstance(event, OUTCOMES) and event.attempt is not None)


def _unearned(events: tuple[Event, ...]) -> set[int]:
    """Attempts with an outcome that does not stand after their failure."""
    failed: set[int] = set()
    found: set[int] = set()
    for event in events:
        if isinstance(event, AttemptFailed):
            failed.add(event.attempt)
        elif isinstance(event, OUTCOMES) and event.attempt is not None and event.attempt not in failed:
            found.add(event.attempt)
    return found


AttemptEvent = type[AttemptStarted] | type[Replied] | type[AttemptFailed] | type[AttemptCancelled]


def _attempts(events: tuple[Event, ...], kind: AttemptEvent) -> set[int]:
    return {event.attempt for event in events if isinstance(event, kind)}
