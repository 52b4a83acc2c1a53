"""Events and traces for the tests of the trace."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, settings

from orchestrator.messages import Decision, Dissent, Failed, Goal, Message, Usage
from orchestrator.trace import (
    Journal,
    Trace,
    read_trace,
)
from orchestrator.trace.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptStarted,
    BreakerChanged,
    Candidate,
    Demoted,
    Escalated,
    Event,
    Merged,
    Planned,
    Replied,
    Rerouted,
    Returned,
    RunEnded,
    RunStarted,
    Superseded,
    TryEnded,
    TryStarted,
    TurnTaken,
)

PRICE = Decimal("0.01")
NOTHING = Usage()


def started(question: str = "What is 2 + 2?") -> RunStarted:
    """The first event of a run."""
    return RunStarted(
        question=(Message("user", question),),
        pool="local",
        agents=("a", "b"),
        goals=("answer",),
        router="plan",
        merge="first",
        analyses=1,
        cost_weight=20.0,
        time_weight=0.01,
        budget={"usd": Decimal("0.10"), "tokens": None, "turns": 3, "seconds": 1.5},
        version="0",
    )


def begin(attempt: int) -> AttemptStarted:
    """An attempt begins."""
    return AttemptStarted(attempt=attempt, agent=f"x{attempt}", goal=Goal("answer"))


def fail(attempt: int) -> AttemptFailed:
    """An attempt fails."""
    return AttemptFailed(attempt=attempt, agent=f"x{attempt}", kind="tool", error="no", tries=1)


def reply(attempt: int, value: object = "4") -> Replied:
    """An attempt succeeds."""
    return Replied(attempt=attempt, agent=f"x{attempt}", value=value, p=0.9, usd=PRICE, seconds=0.1)


def decision(answer: str = "4", value: list[str] | None = None) -> Decision:
    """What a run ends with."""
    return Decision(
        answer=answer,
        status="answered",
        goal="answer",
        method="first",
        confidence=None,
        support=("a",),
        dissent=(Dissent("b", answer),),
        failed=(Failed("b", "tool", answer, 1),),
        reasons=(f"tried: b failed: {answer}",),
        cost_usd=Decimal("0.0123"),
        cost_exact=True,
        usage=Usage(1, 2),
        turns=1,
        control_calls=0,
        merge_calls=0,
        expert_calls=1,
        reroutes=0,
        seconds=0.5,
        run_id="r",
        value=list(value) if value else None,
    )


def done(cost: Decimal | None = Decimal(0), usage: Usage = NOTHING) -> RunEnded:
    """The last event of a run whose tries cost so much."""
    made = decision().model_copy(update={"cost_usd": cost, "usage": usage})
    return RunEnded(how="decided", decision=made)


def outcomes(attempt: int) -> list[Event]:
    """Each of the five things that may follow a failure."""
    return [
        Rerouted(attempt=attempt, to="b", steps=("b",), weight=1.25),
        Demoted(attempt=attempt, from_goal="cited_answer", to_goal="answer"),
        Returned(attempt=attempt, reason="nobody can"),
        Escalated(attempt=attempt, reason="nothing left"),
        Superseded(attempt=attempt, reason="a sibling was faster"),
    ]


MIDDLE: list[Event] = [
    TurnTaken(turn=1, router="plan", thought="ümlaut — \n two lines", routes=("a",)),
    Planned(
        goal=Goal("answer"),
        steps=("a",),
        weight=0.7,
        shared_weight=0.7,
        candidates=(Candidate(agent="a", artifact="answer", p=0.5, usd=PRICE, seconds=0.1, weight=0.7, through=0.7),),
    ),
    begin(1),
    TryStarted(attempt=1, number=1, reserved_usd=PRICE),
    TryEnded(attempt=1, number=1, usd=Decimal(0), usage=NOTHING, seconds=0.1, kind="timeout", error="slow"),
    BreakerChanged(key="m", before="closed", after="open", seconds=30.0),
    fail(1),
    Rerouted(attempt=1, to="x2", steps=("x2",), weight=0.9),
    begin(2),
    reply(2),
    begin(3),
    AttemptCancelled(attempt=3),
    Merged(method="first", answer="4", support=("x2",), dissent=(Dissent("b", "5"),)),
]


@dataclass
class Folder:
    """Writes traces into a folder of the test's own."""

    path: Path
    count: int = 0

    def write(self, events: list[Event], *, content: bool = True) -> Path:
        """A trace of these events."""
        self.count += 1
        path = self.path / f"run-{self.count}.jsonl"
        journal = Journal("r", path, now=lambda: 1_700_000_000.123, content=content)
        for event in events:
            journal.write(event)
        journal.close()
        assert journal.head == read_trace(path).head
        return path

    def reread(self, lines: list[bytes], rest: bytes = b"") -> Trace:
        """What is read where these lines stand in a file."""
        self.count += 1
        path = self.path / f"forged-{self.count}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines) + rest)
        return read_trace(path)


def lines_of(path: Path) -> list[bytes]:
    """The lines of a file without their newlines."""
    return path.read_bytes().split(b"\n")[:-1]


def head_of(path: Path) -> str:
    """The head of a trace, which must be there."""
    head = read_trace(path).head
    assert head is not None
    return head


slow_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
