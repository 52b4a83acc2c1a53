"""What the trace of an interrupted run says of it: states after steps, calls that were made, what was in flight."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import cast

from pydantic import JsonValue

from orchestrator.messages import Decision
from orchestrator.trace.events import (
    AttemptFailed,
    AttemptStarted,
    Event,
    Paused,
    Replied,
    Resumed,
    RunEnded,
    RunStarted,
    Stepped,
    TryEnded,
    TryStarted,
)
from orchestrator.usage import Usage

__all__ = ["Past", "Tried", "grown_and_changed"]

StateTable = dict[str, JsonValue]
"""The state of a run as JSON holds it, by field."""


@dataclass(slots=True)
class Tried:
    """The tries that a call had before the run was interrupted."""

    begun: int = 0
    failed: list[TryEnded] = field(default_factory=list[TryEnded])
    gave: TryEnded | None = None
    """The try that went well, if one did."""
    cost: Decimal | None = Decimal(0)
    usage: Usage = Usage()
    seconds: float = 0.0
    exact: bool = True
    lost: bool = False
    """The last one was cut off: nobody knows what came of it."""

    def add(self, ended: TryEnded) -> None:
        """Take note of a try that was settled."""
        self.cost = None if self.cost is None or ended.usd is None else self.cost + ended.usd
        self.usage += ended.usage
        self.seconds += ended.seconds
        self.exact = self.exact and ended.exact
        self.lost = ended.cancelled
        if ended.kind is not None:
            self.failed.append(ended)
        elif not ended.cancelled:
            self.gave = ended

    @property
    def doubt(self) -> bool:
        """Whether a try that failed or was cut off may have done what was asked for."""
        return self.lost or any(ended.doubt for ended in self.failed)


class Past:
    """The events of a run so far, and what a resume looks up in them; nothing for a run that begins."""

    def __init__(self, events: tuple[Event, ...] = ()) -> None:
        self.events = events
        self._tried: dict[int | str, Tried] = {}
        self._ends: dict[int, Replied | AttemptFailed] = {}
        self._steps: list[Stepped] = []
        for event in events:
            match event:
                case TryStarted(nested=None) if (key := _key(event)) is not None:
                    self._tried.setdefault(key, Tried()).begun += 1
                case TryEnded(nested=None) if (key := _key(event)) is not None:
                    self._tried.setdefault(key, Tried()).add(event)
                case Replied() | AttemptFailed():
                    self._ends[event.attempt] = event
                case Stepped():
                    self._steps.append(event)
                case _:
                    pass

    @property
    def started(self) -> RunStarted | None:
        """The first event."""
        return self.events[0] if self.events and isinstance(self.events[0], RunStarted) else None

    @property
    def ended(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.events) and isinstance(self.events[-1], RunEnded)

    @property
    def waiting(self) -> Paused | None:
        """The pause at which a person was asked for a word, if none was acted upon since."""
        asked = [event for event in self._since() if isinstance(event, Paused) and event.how == "person"]
        return asked[-1] if asked else None

    def _since(self) -> tuple[Event, ...]:
        """What stands after the last step."""
        return self.events[max((i for i, e in enumerate(self.events) if isinstance(e, Stepped)), default=-1) + 1 :]

    @property
    def word(self) -> Resumed | None:
        """A person's word that was given, but not acted upon before the run was interrupted again."""
        words = [event for event in self._since() if isinstance(event, Resumed)]
        return next((word for word in reversed(words) if word.answer is not None or word.retry or word.allow), None)

    @property
    def seconds(self) -> float:
        """Seconds that the run was at work; what passed while it stood still does not count."""
        total, times = 0.0, [(event, datetime.fromisoformat(event.time)) for event in self.events]
        for (_, before), (event, after) in pairwise(times):
            total += 0.0 if isinstance(event, Resumed) else max(0.0, (after - before).total_seconds())
        return total

    def tried(self, attempt: int | None, call: str | None) -> Tried | None:
        """The tries of an attempt, or of a call of the router's or the merge agent's."""
        key = attempt if attempt is not None else call
        return None if key is None else self._tried.get(key)

    def end_of(self, attempt: int) -> Replied | AttemptFailed | None:
        """How an attempt ended, if it did."""
        return self._ends.get(attempt)

    def settled(self) -> list[tuple[TryEnded, Decimal | None]]:
        """Tries that were paid for, those of nested runs among them, each with what had been reserved for it."""
        return [(ended, begun and begun.reserved_usd) for begun, ended in self._paired() if ended is not None]

    def in_flight(self) -> list[TryStarted]:
        """Tries that were begun and never settled, those of nested runs among them."""
        return [begun for begun, ended in self._paired() if begun is not None and ended is None]

    def _paired(self) -> list[tuple[TryStarted | None, TryEnded | None]]:
        """Every try with its end; of several of one name, as models of a nested run may be asked, the oldest first."""
        open_: dict[tuple[object, int], list[TryStarted]] = {}
        found: list[tuple[TryStarted | None, TryEnded | None]] = []
        for event in self.events:
            if isinstance(event, TryStarted):
                open_.setdefault(_name(event), []).append(event)
            elif isinstance(event, TryEnded):
                begun = open_.get(_name(event))
                found.append((begun.pop(0) if begun else None, event))
        return [*found, *((begun, None) for left in open_.values() for begun in left)]

    def underway(self) -> list[int]:
        """Attempts that were started and have not ended."""
        started = (event.attempt for event in self.events if isinstance(event, AttemptStarted))
        return [attempt for attempt in started if attempt not in self._ends]

    @property
    def steps(self) -> int:
        """How many steps are done."""
        return max((each.step for each in self._steps if each.done), default=0)

    def after(self, step: int) -> StateTable | None:
        """The state after a step that is done; None where it is not."""
        done = [i for i, each in enumerate(self._steps) if each.step == step and each.done]
        return self._folded(done[-1] + 1) if done else None

    def within(self, step: int) -> StateTable | None:
        """The state at the last thing that was decided in a step, where it was interrupted after one."""
        inside = [i for i, each in enumerate(self._steps) if each.step == step]
        return self._folded(inside[-1] + 1) if inside else None

    def decision(self, step: int) -> Decision | None:
        """What a step decided the run with, if it did."""
        return next((each.decision for each in self._steps if each.step == step and each.done), None)

    def _folded(self, number: int) -> StateTable:
        state: StateTable = {}
        for each in self._steps[:number]:
            state |= each.changed
            for name, more in each.grown.items():
                state[name] = [*cast("list[JsonValue]", state[name]), *more]
        return state


def grown_and_changed(before: StateTable, after: StateTable) -> tuple[dict[str, list[JsonValue]], StateTable]:
    """What became of a state: lists that grew at their ends, and fields that are others."""
    grown: dict[str, list[JsonValue]] = {}
    changed: StateTable = {}
    for name, value in after.items():
        old = before.get(name)
        if name in before and old == value:
            continue
        if isinstance(old, list) and isinstance(value, list) and old and value[: len(old)] == old:
            grown[name] = value[len(old) :]
        else:
            changed[name] = value
    return grown, changed


def _name(event: TryStarted | TryEnded) -> tuple[object, int]:
    """What begin and end of a try have in common, in this run or in one nested in it."""
    return event.nested or _key(event) or event.purpose, event.number


def _key(event: TryStarted | TryEnded) -> int | str | None:
    return event.attempt if event.attempt is not None else event.call
