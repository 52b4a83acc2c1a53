"""What the nodes of one run share and no checkpoint holds: clients, ledger, journal, clock."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from time import monotonic, time
from typing import Literal, Protocol, runtime_checkable

from orchestrator.budget import Ledger, Reservation
from orchestrator.confidence import Calibration
from orchestrator.errors import AttemptError, FailureKind
from orchestrator.health import Clock
from orchestrator.keeping import Keeper
from orchestrator.merge import MergeRule
from orchestrator.monitors import Monitor
from orchestrator.planner import Planner
from orchestrator.providers import Ask, Completion, Gate, Hearing, Injection, ModelCall, OnText, Request, key_of
from orchestrator.routers import Router
from orchestrator.state import RunState
from orchestrator.trace import Journal
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
    Superseded,
    TryEnded,
    TryStarted,
)
from orchestrator.weights import Facilities, Weigher

__all__ = [
    "Aimed",
    "Clocks",
    "ControlPurpose",
    "Disturb",
    "Enclosing",
    "Faults",
    "OnControlCall",
    "OnStream",
    "RunContext",
    "Tally",
    "enclosing",
    "enclosing_attempt",
]

ControlPurpose = Literal["router", "merge"]
OnStream = Callable[[ControlPurpose, str], None]
"""Is told who writes, and each piece of text."""
OnControlCall = Callable[[ControlPurpose, str, str], None]
"""Is told who calls a tool, its name, and the arguments as far as they are written."""
Faults = Callable[[str, int, str | None], "FailureKind | None"]
"""Which failure to inject, if any: agent, its how-manieth attempt in the run from 1, id of the case."""


Disturb = Callable[[str], "Injection | None"]
"""What goes wrong on purpose with the next try of an agent, if anything does; asked before each."""


@runtime_checkable
class Aimed(Protocol):
    """Faults that say whom they are for, so that a name that is nobody's can be refused."""

    @property
    def aimed_at(self) -> tuple[str, ...]:
        """Names of agents."""
        ...


@dataclass(frozen=True, slots=True)
class Clocks:
    """Time as the framework sees it, for tests to replace."""

    monotonic: Clock = monotonic
    wall: Callable[[], float] = time


@dataclass(slots=True)
class Tally:
    """Counts what the events of a run say; the figures of the decision and the attempts left open come from it."""

    expert_calls: int = 0
    control_calls: int = 0
    merge_calls: int = 0
    reroutes: int = 0
    in_flight: set[int] = field(default_factory=set[int])
    unresolved: set[int] = field(default_factory=set[int])
    by_agent: dict[str, int] = field(default_factory=dict[str, int])
    nested: dict[int, Decimal | None] = field(default_factory=dict[int, "Decimal | None"])
    """USD that runs nested in an attempt cost; None where the price of a try is unknown."""

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case AttemptStarted():
                self.expert_calls += 1
                self.in_flight.add(event.attempt)
                self.by_agent[event.agent] = self.by_agent.get(event.agent, 0) + 1
            case TryStarted(number=1, purpose="router"):
                self.control_calls += 1
            case TryStarted(number=1, purpose="merge"):
                self.merge_calls += 1
            case TryEnded(attempt=int(attempt), nested=str()):
                so_far = self.nested.get(attempt, Decimal(0))
                self.nested[attempt] = None if so_far is None or event.usd is None else so_far + event.usd
            case Replied() | AttemptCancelled():
                self.in_flight.discard(event.attempt)
            case AttemptFailed():
                self.in_flight.discard(event.attempt)
                self.unresolved.add(event.attempt)
            case Rerouted():
                self.reroutes += 1
                self.unresolved.discard(event.attempt)
            case Demoted() | Returned() | Escalated() | Superseded():
                self.unresolved -= {event.attempt}
            case _:
                pass


@dataclass(frozen=True, slots=True)
class RunContext:
    """Everything heavy of one run."""

    facilities: Facilities
    router: Router
    merge: MergeRule | None
    """None: the default for the run's router and number of analyses."""
    ledger: Ledger
    journal: Journal
    gate: Gate
    weigher: Weigher
    planner: Planner
    tally: Tally
    monitors: tuple[Monitor, ...]
    faults: Faults | None
    disturb: Disturb | None
    clock: Clock
    wall: Callable[[], float]
    started: float
    turns: int | None
    """Limit on the router's turns."""
    set_aside: Reservation | None = None
    """What is kept for the merge agent's call."""
    on_text: OnStream | None = None
    """Is told what router and merge agent write, as it arrives."""
    on_call: OnControlCall | None = None
    """Is told of the tool calls that they write, as these arrive."""
    confidence: Calibration | None = None
    """What makes a probability of a decision's score."""
    abstain_below: float | None = None
    """Confidence below which a decision becomes an escalation."""
    within: Enclosing | None = None
    """The attempt of another run that this one takes place in."""

    @property
    def depth(self) -> int:
        """1 for a run of its own, one more for each run that it takes place in."""
        return 1 if self.within is None else self.within.context.depth + 1

    keeper: Keeper | None = None
    """Keeps the run, where it is a durable one."""

    def commit(self, state: RunState) -> None:
        """In a durable run: write down what was decided, before it is acted on."""
        if self.keeper is not None and self.journal.holds:
            self.keeper.commit(state)

    def waiting(self, state: RunState) -> tuple[str, ...]:
        """Agents among those to consult next that wait for a person's leave."""
        agents = self.facilities.pool.agents
        named = {route.agent for route in state.routes if route.agent not in state.allowed}
        return tuple(sorted(name for name in named if agents[name].approve))

    def asking(self, purpose: ControlPurpose, *, aloud: bool = True) -> Ask:
        """Calls of models that are no attempts, through the gate; raises `AttemptError`.

        What they say is heard as it arrives, but for what was not asked `aloud`.
        """

        async def ask(name: str, request: Request) -> Completion:
            model = self.facilities.pool.models[name]
            asked = ModelCall(
                self.facilities.provider_of(model),
                model,
                request,
                self.facilities.health.mean_output(key_of(model)),
                self._heard(purpose) if aloud else None,
            )
            found = self.keeper.call_name(purpose, name, request) if self.keeper else None
            paid = await self.gate.attempt(asked.control(purpose, lambda: self.ledger.left, found))
            completion = paid.result.value if paid.result else None
            if paid.error is not None or not isinstance(completion, Completion):
                raise paid.error or AttemptError("gave nothing", kind="malformed")
            if completion.finish == "refusal":
                raise AttemptError("the model declined", kind="refusal")
            return completion

        return ask

    def _heard(self, purpose: ControlPurpose) -> OnText | None:
        """Who is told what a model writes: nobody, where nobody listens."""
        if self.on_text is None:
            return None
        told = partial(self.on_text, purpose)
        return told if self.on_call is None else Hearing(told, partial(self.on_call, purpose), self.gate.room)

    def seconds(self) -> float:
        """Seconds since the run began."""
        return self.clock() - self.started

    def limit_hit(self, turns: int | None = None) -> str | None:
        """The limit that forbids another step now, if one does; `turns` taken so far, where a turn is to come."""
        if self.clock() >= self.gate.deadline:
            return self.late()
        if turns is not None and self.turns is not None and turns >= self.turns:
            return f"limit:turns: {'the one turn is' if self.turns == 1 else f'all {self.turns} turns are'} taken"
        return None

    def seconds_left(self) -> float | None:
        """Seconds to the deadline; None without one."""
        return None if self.gate.deadline == float("inf") else max(0.0, self.gate.deadline - self.clock())

    def late(self) -> str:
        """The reason of a run whose time is over."""
        own = self.ledger.budget.seconds
        seconds = round(self.gate.deadline - self.started, 3)
        lent = self.within is not None and (own is None or seconds < own)
        return f"limit:seconds: {seconds:g} s are over{', all that the run around it had left' if lent else ''}"


@dataclass(frozen=True, slots=True)
class Enclosing:
    """An attempt within which other runs may take place: they share its money, time and trace."""

    context: RunContext
    attempt: int
    agent: str
    key: str
    """What an effect in it is known by."""

    @property
    def place(self) -> str:
        """`RUN/ATTEMPT`."""
        return f"{self.context.journal.run_id}/{self.attempt}"


_ENCLOSING: ContextVar[Enclosing | None] = ContextVar("enclosing", default=None)


@contextmanager
def enclosing(within: Enclosing) -> Generator[None]:
    """Let runs that begin in here know that they take place within an attempt."""
    token = _ENCLOSING.set(within)
    try:
        yield
    finally:
        _ENCLOSING.reset(token)


def enclosing_attempt() -> Enclosing | None:
    """The attempt that a run which begins now takes place in; None for a run of its own."""
    return _ENCLOSING.get()
