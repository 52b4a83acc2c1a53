"""A monitor's stop that a person waved through: the same grounds stop the run no second time, others do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import JsonValue

from orchestrator import Agent, Orchestrator, Signal, Watch
from orchestrator.monitors import Monitor, MonitorFunction
from orchestrator.render import Screen, show_trace
from orchestrator.trace import read_trace, verify
from orchestrator.trace.events import Monitored


@dataclass(slots=True)
class Guard:
    """Stops the run before `pay` as long as it is not content with the amount."""

    name: str = "guard"
    amount: int = 500
    word: str = "the amount is high"
    looks: list[int] = field(default_factory=list[int])

    async def watch(self, watch: Watch) -> Signal | None:
        """A stop, with the amount as its ground."""
        self.looks.append(self.amount)
        if "pay" not in {route.agent for route in watch.routes}:
            return None
        payload: dict[str, JsonValue] = {"amount": self.amount}
        return Signal(0.8, "stop", self.word, payload=payload)


def pay(question: str) -> str:
    """Pays."""
    return f"paid for {question}"


def bank(folder: Path, *monitors: Monitor | MonitorFunction) -> Orchestrator:
    """A durable orchestrator that pays."""
    return Orchestrator(
        [Agent(name="pay", tool=pay)], monitors=monitors, trace=folder, checkpointer=InMemorySaver(), seed=1
    )


def boards(folder: Path, run_id: str) -> list[list[tuple[str, str, bool]]]:
    """What monitors said, look by look, in a trace that holds."""
    trace = read_trace(folder / f"{run_id}.jsonl")
    assert verify(trace).consistent, verify(trace).faults
    return [
        [(given.source, given.asks, given.waved) for given in event.board]
        for event in trace.events
        if isinstance(event, Monitored)
    ]


@pytest.mark.parametrize("allow", [(), ("pay",)])
def test_a_person_waves_the_signal_through(
    allow: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = bank(tmp_path, Guard())
    first = asked.run_sync("tea")
    assert first.reasons[0] == "stopped for a person by guard: the amount is high"
    second = asked.resume_sync(first.run_id, retry=not allow, allow=allow)
    assert (second.status, second.answer) == ("answered", "paid for tea")
    assert "stopped for a person by guard: the amount is high" in second.reasons
    assert boards(tmp_path, first.run_id) == [[("guard", "stop", False)], [("guard", "go_on", True)]]
    show_trace(read_trace(tmp_path / f"{first.run_id}.jsonl"), Screen())
    assert "waved through: guard the amount is high" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "other"), [("amount", 5_000), ("word", "the amount is very high"), ("name", "ward")])
def test_changed_grounds_stop_the_run_again(name: str, other: object, tmp_path: Path) -> None:
    guard = Guard()
    asked = bank(tmp_path, guard)
    first = asked.run_sync("tea")
    setattr(guard, name, other)
    second = asked.resume_sync(first.run_id, retry=True)
    assert second.status == "escalated"
    assert second.reasons[0].startswith("stopped for a person by ")
    third = asked.resume_sync(first.run_id, retry=True)
    assert (third.status, third.answer) == ("answered", "paid for tea")
    assert [look[0][1:] for look in boards(tmp_path, first.run_id)] == [
        ("stop", False), ("stop", False), ("go_on", True),
    ]  # fmt: skip


def test_each_of_two_monitors_is_answered_for_itself(tmp_path: Path) -> None:
    asked = bank(tmp_path, Guard("one"), Guard("two", amount=7))
    first = asked.run_sync("tea")
    second = asked.resume_sync(first.run_id, retry=True)
    assert second.reasons[0] == "stopped for a person by two: the amount is high"
    third = asked.resume_sync(first.run_id, retry=True)
    assert third.status == "answered"
    assert boards(tmp_path, first.run_id) == [
        [("one", "stop", False), ("two", "stop", False)],
        [("two", "stop", False), ("one", "go_on", True)],
        [("one", "go_on", True), ("two", "go_on", True)],
    ]


def test_what_is_waved_through_holds_in_a_process_that_knows_the_trace_alone(tmp_path: Path) -> None:
    first = bank(tmp_path, Guard()).run_sync("tea")
    again = bank(tmp_path, Guard())  # its saver is empty
    assert again.resume_sync(first.run_id, retry=True).status == "answered"


def test_a_run_that_was_waved_through_and_then_fails_stops_for_that(tmp_path: Path) -> None:
    """Another cause than the monitor's is no ground that was waved through."""

    def ill(question: str) -> str:
        raise ValueError(question)

    asked = Orchestrator(
        [Agent(name="pay", tool=ill)], monitors=[Guard()], trace=tmp_path, checkpointer=InMemorySaver()
    )
    first = asked.run_sync("tea")
    second = asked.resume_sync(first.run_id, retry=True)
    assert second.status == "escalated"
    assert second.failed[0].agent == "pay"
    third = asked.resume_sync(first.run_id, retry=True)
    assert len(third.failed) == 2
    assert boards(tmp_path, first.run_id)[-1] == [("guard", "go_on", True)]
