"""Events of a run: what is written into a trace, one frozen model each."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainSerializer, TypeAdapter

from orchestrator.errors import FailureKind
from orchestrator.messages import Decision, Dissent, Goal, Message
from orchestrator.trace.plain import plain
from orchestrator.trace.stamped import Paused, Resumed, Stamped, Stepped
from orchestrator.trace.tries import Nested, Purpose, TryEnded, TryStarted

__all__ = [
    "AttemptCancelled",
    "AttemptFailed",
    "AttemptStarted",
    "BadTurn",
    "BreakerChanged",
    "Candidate",
    "Demoted",
    "Escalated",
    "Event",
    "Merged",
    "Monitored",
    "NameResolved",
    "Nested",
    "Noted",
    "Paused",
    "Planned",
    "Purpose",
    "Replied",
    "Rerouted",
    "Resumed",
    "Returned",
    "RunEnded",
    "RunStarted",
    "SignalGiven",
    "Stepped",
    "Superseded",
    "TakenOver",
    "TryEnded",
    "TryStarted",
    "TurnTaken",
    "Waited",
    "parse_event",
]


class Candidate(BaseModel):
    """One expert as it stood when a choice was made: its weight, or why it was ruled out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent: str
    artifact: str
    """What it would have produced."""
    p: float | None = None
    usd: Decimal | None = None
    """Expected cost; None where it is unknown and no money counts."""
    seconds: float | None = None
    weight: float | None = None
    """None: it could not be used, for the reason in `why_not`."""
    through: float | None = None
    """Weight of the cheapest plan that ends with this expert."""
    parts: tuple[float, float, float] | None = None
    """What probability, money and time add to that plan's weight, each stage at each use; None for no plan."""
    why_not: str | None = None


class RunStarted(Stamped):
    """The first event: what is asked of whom, under which limits."""

    type: Literal["run_started"] = "run_started"
    within: str | None = None
    """`RUN/ATTEMPT` of the run that this one takes place in."""
    question: tuple[Message, ...] | None
    """None where content is left out."""
    kind: str | None = None
    choices: tuple[str, ...] = ()
    case: str | None = None
    pool: str
    agents: tuple[str, ...]
    goals: tuple[str, ...]
    router: str
    merge: str
    analyses: int
    cost_weight: float
    time_weight: float
    budget: dict[str, Decimal | float | int | None]
    prompts: dict[str, str] = Field(default_factory=dict)
    """Version and SHA-256 of every prompt that router and merge may send, by name."""
    version: str
    digests: dict[str, str] = Field(default_factory=dict)
    """Of a durable run: what it was built of, each part's SHA-256 shortened; a resume looks whether it still is."""
    note: dict[str, JsonValue] | None = None
    """What the caller wants to know at a resume, such as the options of a command line."""


class TurnTaken(Stamped):
    """The router decided."""

    type: Literal["turn"] = "turn"
    turn: int
    router: str
    thought: str | None
    routes: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    """Routes that had been answered before, and were refused with the earlier reply."""
    answer: str | None = None


class BadTurn(Stamped):
    """The router's words were no turn; it is told why and asked again."""

    type: Literal["bad_turn"] = "bad_turn"
    turn: int
    fault: str
    said: str | None


class NameResolved(Stamped):
    """A route named no expert, but came uniquely near one."""

    type: Literal["name_resolved"] = "name_resolved"
    turn: int
    given: str
    agent: str


class TakenOver(Stamped):
    """The plan router decides for the rest of the run."""

    type: Literal["taken_over"] = "taken_over"
    reason: str


class Planned(Stamped):
    """A choice, written before it is acted on: who was considered, and the plan that was taken."""

    type: Literal["planned"] = "planned"
    goal: Goal
    steps: tuple[str, ...]
    """Agents of the plan in walking order; empty where there is no path."""
    weight: float | None
    shared_weight: float | None
    candidates: tuple[Candidate, ...]


class AttemptStarted(Stamped):
    """An expert is consulted for a goal."""

    type: Literal["attempt_started"] = "attempt_started"
    attempt: int
    agent: str
    goal: Goal
    model: str | None = None
    toward: Goal | None = None
    """The goal it is a step to, where it is not its own."""
    idempotency_key: str | None = None
    """Of an expert with effects: what its effect is known by, over tries, reroutes and resumes."""


class Replied(Stamped):
    """An attempt succeeded."""

    type: Literal["replied"] = "replied"
    attempt: int
    agent: str
    value: Annotated[Any, PlainSerializer(plain, when_used="json")]
    text: str | None = None
    """The value as people and merges read it, where its JSON would read otherwise."""
    p: float
    usd: Decimal | None
    seconds: float
    confidence: float | None = None
    """Stated by the expert, where it was asked for an analysis; so are the next two."""
    evidence: tuple[str, ...] = ()
    eliminated: tuple[str, ...] = ()


class AttemptFailed(Stamped):
    """An attempt failed after its tries; exactly one outcome follows."""

    type: Literal["attempt_failed"] = "attempt_failed"
    attempt: int
    agent: str
    kind: FailureKind
    error: str
    tries: int
    in_doubt: bool = False
    """It may have had its effect all the same."""


class AttemptCancelled(Stamped):
    """The run was stopped while the attempt was in flight."""

    type: Literal["attempt_cancelled"] = "attempt_cancelled"
    attempt: int


class Rerouted(Stamped):
    """Outcome: another expert is started towards the goal."""

    type: Literal["rerouted"] = "rerouted"
    attempt: int
    to: str
    steps: tuple[str, ...]
    weight: float


class Demoted(Stamped):
    """Outcome: a lower goal is taken up. `attempt` is None where the goal had no path from the start."""

    type: Literal["demoted"] = "demoted"
    attempt: int | None
    from_goal: str
    to_goal: str


class Returned(Stamped):
    """Outcome: nobody can serve the route; the router is told and decides again."""

    type: Literal["returned"] = "returned"
    attempt: int
    reason: str


class Escalated(Stamped):
    """Outcome: the run ends. `attempt` is None where nothing had been attempted."""

    type: Literal["escalated"] = "escalated"
    attempt: int | None
    reason: str


class Superseded(Stamped):
    """Outcome: the goal had been reached by a sibling, or its slot was given up."""

    type: Literal["superseded"] = "superseded"
    attempt: int
    reason: str


class BreakerChanged(Stamped):
    """A circuit breaker changed its state."""

    type: Literal["breaker"] = "breaker"
    key: str
    before: str
    after: str
    seconds: float | None = None
    """How long an open breaker stays so; None for good, or where it is not open."""


class Waited(Stamped):
    """Everybody who could give a goal cools down: the run waits for the first to be asked again."""

    type: Literal["waited"] = "waited"
    goal: Goal
    agents: tuple[str, ...]
    """Experts of the plan that is waited for, whose breakers are open."""
    seconds: float


class SignalGiven(BaseModel):
    """What one monitor said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    priority: float
    asks: Literal["go_on", "avoid", "stop"]
    why: str
    avoid: tuple[str, ...] = ()
    payload: dict[str, JsonValue] = Field(default_factory=dict)
    waved: bool = False
    """It asks to stop on the very grounds that a person let the run go on in spite of, and so counts for nothing."""


class Monitored(Stamped):
    """What the monitors said before a step, highest priority first: the first one is followed.

    What a person waved through stands last, as what it asks for now: to go on.
    """

    type: Literal["monitored"] = "monitored"
    board: tuple[SignalGiven, ...]


class Merged(Stamped):
    """Replies became one answer."""

    type: Literal["merged"] = "merged"
    method: str
    answer: str | None
    support: tuple[str, ...]
    dissent: tuple[Dissent, ...]
    confidence: float | None = None
    reasons: tuple[str, ...] = ()
    gave_way: str | None = None
    """Why the merge that was asked for gave way to this one, if it did."""
    abstained: str | None = None
    """Why the answer is not given, where it is not sure enough."""
    left_out: tuple[int, ...] = ()
    """Attempts whose replies were not of the type that was asked for, and so were not merged."""
    forms: tuple[tuple[int, str], ...] = ()
    """Replies that were merged in the words of the type that was asked for: attempt, and these words."""


class Noted(Stamped):
    """What the decision will say of how the run went, as soon as it is known."""

    type: Literal["noted"] = "noted"
    reasons: tuple[str, ...] = ()
    shortfalls: tuple[str, ...] = ()
    """The same, and it makes the decision degraded."""
    halted: bool = False
    """The run stops for a person, whatever is there."""


class RunEnded(Stamped):
    """The last event; its hash is the head of the trace."""

    type: Literal["run_ended"] = "run_ended"
    how: Literal["decided", "cancelled", "error"]
    decision: Decision | None = None
    error: str | None = None


Event = Annotated[
    RunStarted
    | TurnTaken
    | BadTurn
    | NameResolved
    | TakenOver
    | Planned
    | AttemptStarted
    | TryStarted
    | TryEnded
    | Nested
    | Replied
    | AttemptFailed
    | AttemptCancelled
    | Rerouted
    | Demoted
    | Returned
    | Escalated
    | Superseded
    | BreakerChanged
    | Waited
    | Monitored
    | Noted
    | Merged
    | Stepped
    | Paused
    | Resumed
    | RunEnded,
    Field(discriminator="type"),
]
"""Any event of a trace."""

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(line: bytes) -> Event:
    """The event of one line of a trace; raises pydantic's ValidationError where it is none."""
    return _EVENT.validate_json(line)
