"""A run of five calls is killed at every event, at every checkpoint and inside every call, and taken up again.

Over SQLite and over a real PostgreSQL server: the same decision at the same cost but for the tries that were in flight,
no finished call twice, what was in flight repeated only where that is allowed, and a trace whose chain holds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Unpack

import pytest

from orchestrator import Decision
from orchestrator.trace import Trace, read_trace, verify
from orchestrator.trace.events import AttemptStarted, Resumed, Stepped, TryEnded, TryStarted
from tests.conftest import ROOT
from tests.postgres import postgres
from tests.wire.durable_process import Job, Wish
from tests.wire.killing_server import KillingServer

WHO = ("router", "left", "right", "act", "merger")
STEPS = ["decide", "consult", "decide", "consult", "decide", "merge"]


@dataclass
class Processes:
    """Does jobs, each in a process of its own."""

    place: str
    folder: Path
    child: subprocess.Popen[str]
    names: Generator[int] = field(default_factory=lambda: (number for number in count(1)))

    def done(self, server: KillingServer, run_id: str, **wish: Unpack[Wish]) -> Decision | None:
        """The decision of a job; None where its process was killed."""
        job: Job = {"url": server.url, "folder": str(self.folder), "place": self.place, "run_id": run_id, **wish}
        assert self.child.stdin
        assert self.child.stdout
        self.child.stdin.write(json.dumps(job) + "\n")
        self.child.stdin.flush()
        server.victim = int(self.child.stdout.readline())
        said = self.child.stdout.readline().strip()
        assert said != "failed"
        return None if said == "killed" else Decision.model_validate_json(said)

    def fresh(self) -> str:
        """An id that no run has had."""
        return f"run-{next(self.names)}"

    def trace(self, run_id: str) -> Trace:
        """The trace of a run."""
        return read_trace(self.folder / f"{run_id}.jsonl")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def processes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Processes]:
    """Processes over either store."""
    folder = tmp_path_factory.mktemp("durable")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "none")
        command = [sys.executable, "-m", "tests.wire.durable_process"]
        if request.param == "sqlite":
            places = [str(folder / "checkpoints.sqlite")]
            yield from _processes(command, places[0], folder)
        else:
            with postgres() as place:
                yield from _processes(command, place, folder)


def _processes(command: list[str], place: str, folder: Path) -> Generator[Processes]:
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield Processes(place, folder, child)
        assert child.stdin
        child.stdin.close()


def whole(processes: Processes) -> tuple[Decision, Trace]:
    """The run as it goes when nobody disturbs it."""
    run_id = processes.fresh()
    with KillingServer() as server:
        decision = processes.done(server, run_id)
        assert server.asked == dict.fromkeys(WHO, 1)
    assert decision is not None
    trace = processes.trace(run_id)
    assert [e.node for e in trace.events if isinstance(e, Stepped) and e.done] == STEPS
    return decision, trace


def told(decision: Decision) -> dict[str, object]:
    """What may not be another for a kill."""
    return decision.model_dump(exclude={"run_id", "head", "seconds", "cost_usd", "cost_exact"})


def held_to_the_rules(decision: Decision, trace: Trace, server: KillingServer, undisturbed: Decision) -> list[TryEnded]:
    """Whatever was killed: the decision, the money, the calls and the chain; the tries that were lost."""
    verdict = verify(trace, head=decision.head)
    assert verdict.passed, verdict.faults
    assert verdict.ended
    assert told(decision) == told(undisturbed)
    lost = [event for event in trace.events if isinstance(event, TryEnded) and event.lost]
    assert decision.cost_usd == (undisturbed.cost_usd or 0) + sum((each.usd or Decimal(0) for each in lost), Decimal(0))
    assert decision.cost_exact == (not any(each.usd for each in lost))
    assert sum(server.asked.values()) <= len(WHO) + len(lost)
    for who in WHO:
        assert server.asked[who] <= 1 + sum(_whose(each, trace) == who for each in lost)
    assert server.acts == 1
    return lost


def _whose(ended: TryEnded, trace: Trace) -> str:
    agents = {event.attempt: event.agent for event in trace.events if isinstance(event, AttemptStarted)}
    if ended.attempt is not None:
        return agents[ended.attempt]
    return "merger" if ended.purpose == "merge" else ended.purpose


def test_a_kill_after_any_event_changes_nothing_but_the_charge_of_what_was_in_flight(processes: Processes) -> None:
    undisturbed, trace = whole(processes)
    for event in range(1, len(trace.events)):
        run_id = processes.fresh()
        with KillingServer() as server:
            assert processes.done(server, run_id, event=event, idempotent=True) is None
            again = processes.done(server, run_id, resume=True, idempotent=True)
            assert again is not None
            after = processes.trace(run_id)
            lost = held_to_the_rules(again, after, server, undisturbed)
        assert sum(isinstance(each, Resumed) for each in after.events) == 1
        assert all(each.exact == (each.usd == 0) for each in lost)


def test_a_kill_after_any_checkpoint_changes_nothing(processes: Processes) -> None:
    undisturbed, _ = whole(processes)
    kills = 0
    for checkpoint in range(1, 20):
        run_id = processes.fresh()
        with KillingServer() as server:
            decision = processes.done(server, run_id, checkpoint=checkpoint)
            if decision is None:
                kills += 1
                decision = processes.done(server, run_id, resume=True)
            assert decision is not None
            assert held_to_the_rules(decision, processes.trace(run_id), server, undisturbed) == []
            assert server.asked == dict.fromkeys(WHO, 1)
    assert kills == 1 + 1 + len(STEPS)  # of the input, of the start, after each step


@pytest.mark.parametrize("who", WHO)
def test_a_call_in_flight_is_charged_and_made_again(processes: Processes, who: str) -> None:
    undisturbed, _ = whole(processes)
    run_id = processes.fresh()
    with KillingServer() as server:
        server.deadly = who
        assert processes.done(server, run_id, idempotent=True) is None
        decision = processes.done(server, run_id, resume=True, idempotent=True)
        assert decision is not None
        trace = processes.trace(run_id)
        lost = held_to_the_rules(decision, trace, server, undisturbed)
        assert server.asked[who] == 2
    assert who in {_whose(each, trace) for each in lost}
    begun = [e for e in trace.events if isinstance(e, TryStarted)]
    assert all(each.usd == next(b for b in begun if _same(b, each)).input_usd for each in lost)
    if who == "act":
        assert len(set(server.keys)) == 1
        assert decision.cost_exact
    else:
        assert not decision.cost_exact


def _same(begun: TryStarted, ended: TryEnded) -> bool:
    return (begun.attempt, begun.call, begun.number) == (ended.attempt, ended.call, ended.number)


def test_an_effect_in_flight_is_not_asked_for_again_where_twice_might_double_it(processes: Processes) -> None:
    run_id = processes.fresh()
    with KillingServer() as server:
        server.deadly = "act"
        assert processes.done(server, run_id) is None
        decision = processes.done(server, run_id, resume=True)
        assert decision is not None
        assert (decision.status, decision.answer) == ("escalated", None)
        assert any("in doubt: act may have done it" in reason for reason in decision.reasons)
        assert server.asked["act"] == 1
        answered = processes.done(server, run_id, resume=True, word={"answer": "Rome, all the same"})
        assert answered is not None
        assert (answered.answer, answered.support) == ("Rome, all the same", ("person",))
        assert answered.status == "degraded"  # the effect stays in doubt
        assert server.asked["act"] == 1
    verdict = verify(processes.trace(run_id), head=answered.head)
    assert verdict.passed, verdict.faults


def test_a_run_that_is_killed_again_and_again_comes_to_its_end(processes: Processes) -> None:
    undisturbed, _ = whole(processes)
    run_id = processes.fresh()
    with KillingServer() as server:
        decision = processes.done(server, run_id, event=3, idempotent=True)
        for _ in range(40):
            if decision is not None:
                break
            decision = processes.done(server, run_id, resume=True, event=4, idempotent=True)
        assert decision is not None
        held_to_the_rules(decision, processes.trace(run_id), server, undisturbed)
