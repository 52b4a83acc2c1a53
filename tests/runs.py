"""Runs a question for a test, and holds every trace to what all traces keep; walks what an object can reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import CellType, FunctionType, MappingProxyType, MethodType
from typing import TypeVar, cast

from orchestrator import Decision, Goal, Orchestrator
from orchestrator.messages import Asked
from orchestrator.trace import Trace, read_trace, silent_failures, verify
from orchestrator.trace.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptStarted,
    Demoted,
    Escalated,
    Event,
    Replied,
    Rerouted,
    Returned,
    RunEnded,
    Superseded,
)

QUESTION = "What is it?"

EventKind = TypeVar("EventKind", bound=Event)
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that came to a decision, and its verified trace."""

    decision: Decision
    events: tuple[Event, ...]

    def of(self, kind: type[EventKind]) -> list[EventKind]:
        """Events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def outcomes(self) -> list[tuple[str, str]]:
        """Failed attempts in order, each with the word for its outcome."""
        agents = {event.attempt: event.agent for event in self.of(AttemptStarted)}
        kinds = (Rerouted, Demoted, Returned, Escalated, Superseded)
        found = [event for event in self.events if isinstance(event, kinds)]
        return [(agents[event.attempt], event.type) for event in found if event.attempt is not None]

    def called(self) -> list[str]:
        """Experts in the order in which attempts at them began."""
        return [event.agent for event in self.of(AttemptStarted)]


def ask(orchestrator: Orchestrator, folder: Path, asked: Asked = QUESTION, *, goal: str | None = None) -> Ran:
    """The run of a question by an orchestrator that writes its traces to `folder`, with its checked trace."""
    return checked(orchestrator.run_sync(asked, goal=goal), folder)


def checked(decision: Decision, folder: Path) -> Ran:
    """A decision with its trace, once that keeps all the rules."""
    trace = read_trace(folder / f"{decision.run_id}.jsonl")
    hold_to_the_rules(trace, head=decision.head)
    ran = Ran(decision, trace.events)
    attempts = ran.of(AttemptStarted)
    assert decision.expert_calls == len(attempts)
    assert decision.reroutes == len(ran.of(Rerouted))
    failed = Counter((event.agent, event.kind) for event in ran.of(AttemptFailed))  # side by side they end in any order
    assert Counter((each.agent, each.kind) for each in decision.failed) == failed
    assert (decision.answer is None) == (decision.status == "escalated")
    assert decision.reasons or decision.status == "answered"
    assert ran.of(RunEnded)[0].decision == decision.model_copy(update={"head": None})
    return ran


def hold_to_the_rules(trace: Trace, *, head: str | None = None) -> None:
    """Chain, order and outcomes hold, the run ended, nothing failed silently, no goal was reached twice."""
    verdict = verify(trace, head=head)
    assert verdict.faults == ()
    assert verdict.passed
    assert verdict.ended
    assert silent_failures(trace.events) == []
    goals = {event.attempt: event.goal for event in trace.events if isinstance(event, AttemptStarted)}
    assert untrue_reroutes(trace.events) == []
    reached: Counter[Goal] = Counter(goals[event.attempt] for event in trace.events if isinstance(event, Replied))
    assert [goal for goal, times in reached.items() if times > 1] == []


def untrue_reroutes(events: tuple[Event, ...]) -> list[Rerouted]:
    """Reroutes to an expert that failed itself, or that neither was at work nor began there and then."""
    agents = {event.attempt: event.agent for event in events if isinstance(event, AttemptStarted)}
    untrue: list[Rerouted] = []
    for number, event in enumerate(events):
        if not isinstance(event, Rerouted):
            continue
        ended = {e.attempt for e in events[:number] if isinstance(e, (Replied, AttemptFailed, AttemptCancelled))}
        before = [e for e in events[:number] if isinstance(e, AttemptStarted) and e.attempt not in ended]
        then = takewhile(lambda each: isinstance(each, (Rerouted, AttemptStarted)), events[number:])
        at_work = [*before, *(e for e in then if isinstance(e, AttemptStarted))]
        if event.to == agents[event.attempt] or event.to not in [each.agent for each in at_work]:
            untrue.append(event)
    return untrue


def only_trace(folder: Path) -> Trace:
    """The one trace of a folder."""
    (path,) = folder.glob("*.jsonl")
    return read_trace(path)


def reachable(start: object, kind: type[Kind]) -> list[Kind]:
    """Every object of a kind that can be had from another through attributes, items and closures."""
    return [each for each in everything_in(start) if isinstance(each, kind)]


def everything_in(start: object) -> Iterator[object]:
    """Every object that can be had from another, classes and modules left out; each once."""
    seen: set[int] = set()
    kept: list[object] = []  # so that no id is given twice
    pending: list[object] = [start]
    while pending:
        each = pending.pop()
        if id(each) in seen or isinstance(each, (type, str, bytes, int, float)) or each is None:
            continue
        seen.add(id(each))
        kept.append(each)
        yield each
        pending += _inside(each)


def _inside(each: object) -> list[object]:
    if isinstance(each, (dict, MappingProxyType)):
        table = cast("Mapping[object, object]", each)
        return [*table.keys(), *table.values()]
    if isinstance(each, (list, tuple, set, frozenset)):
        return list(cast("list[object]", each))
    if isinstance(each, CellType):
        return [each.cell_contents]
    if isinstance(each, MethodType):
        return [each.__self__, each.__func__]
    if isinstance(each, FunctionType):
        return [*(each.__closure__ or ()), *(each.__defaults__ or ())]
    names = {slot for kind in type(each).__mro__ for slot in _slots(kind)}
    found: list[object] = [getattr(each, name, None) for name in names]
    return [*found, *vars(each).values()] if hasattr(each, "__dict__") else found


def _slots(kind: type) -> list[str]:
    slots: str | tuple[str, ...] = getattr(kind, "__slots__", ())
    return [slots] if isinstance(slots, str) else list(slots)


def counting(function: Callable[..., object], counts: Counter[str]) -> Callable[..., object]:
    """The same function, with every call of it counted under its name."""

    def counted(**inputs: object) -> object:
        counts[function.__name__] += 1
        return function(**inputs)

    return counted
