"""Durable runs of other kinds: typed ones, ones with runs nested in them, and what a replay of their traces says."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from orchestrator import Agent, Budget, ConfigError, Orchestrator, Usage
from orchestrator.retrace import obstacle, replayed
from orchestrator.trace import Trace, read_trace, verify
from orchestrator.trace.events import Noted, Stepped, TryEnded, TryStarted
from tests.experts import Sold, Vendor, sold


class City(BaseModel):
    """A place."""

    name: str
    people: int


def town(question: str) -> City:
    """A town."""
    del question
    return City(name="Bern", people=134_000)


def trace_of(folder: Path, run_id: str) -> Trace:
    """The trace of a run, which is consistent."""
    trace = read_trace(folder / f"{run_id}.jsonl")
    assert verify(trace).consistent, verify(trace).faults
    return trace


def test_a_typed_run_that_waits_goes_on_with_its_type(tmp_path: Path) -> None:
    asked = Orchestrator([Agent(name="town", tool=town, approve=True)], trace=tmp_path, checkpointer=InMemorySaver())
    waits = asked.run_sync("Where?", output=City)
    assert (waits.status, asked.pending()[0].approve) == ("escalated", ("town",))
    with pytest.raises(ConfigError, match="begun with City"):
        asked.resume_sync(waits.run_id, allow=["town"])
    with pytest.raises(ConfigError, match="is no City"):
        asked.resume_sync(waits.run_id, output=City, answer="Bern")
    assert obstacle(trace_of(tmp_path, waits.run_id)) is not None
    decision = asked.resume_sync(waits.run_id, output=City, allow=["town"])
    assert decision.output == City(name="Bern", people=134_000)
    replay = asyncio.run(replayed(trace_of(tmp_path, waits.run_id)))
    assert replay.same, replay.changes


def test_a_typed_answer_of_a_person(tmp_path: Path) -> None:
    asked = Orchestrator([Agent(name="town", tool=town, approve=True)], trace=tmp_path, checkpointer=InMemorySaver())
    waits = asked.run_sync("Where?", output=City)
    decision = asked.resume_sync(waits.run_id, output=City, answer='{"name": "Basel", "people": 1}')
    assert (decision.output, decision.support) == (City(name="Basel", people=1), ("person",))
    assert obstacle(trace_of(tmp_path, waits.run_id)) == (
        "a person's word turned the run at a resume, and what that made of it is no event"
    )


@pytest.mark.parametrize("in_flight", [False, True])
def test_what_a_nested_run_spent_before_a_stop_is_not_forgotten(tmp_path: Path, *, in_flight: bool) -> None:
    vendor = Vendor({"m": Sold("42", Decimal("0.01"), Usage(3, 4), reserve=Decimal("0.02"))})
    inner = sold(vendor, {"m": 0.9}, checkpointer=InMemorySaver(), trace=tmp_path, budget=Budget(usd=Decimal(1)))
    stops, asked_inside = [True], asyncio.Event()

    async def outer(question: str) -> str:
        said = (await inner.run(question)).answer or ""
        if stops:
            stops.clear()
            asked_inside.set()
            await asyncio.sleep(60)
        return said

    asked = Orchestrator([Agent(name="outer", tool=outer)], trace=tmp_path, checkpointer=InMemorySaver())

    async def stopped() -> str:
        running = asyncio.create_task(asked.run("What?"))
        await asyncio.wait([running, asyncio.ensure_future(asked_inside.wait())], return_when="FIRST_COMPLETED")
        assert not running.done(), running.result().reasons
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return asked.pending()[0].run_id

    run_id = asyncio.run(stopped())
    path = tmp_path / f"{run_id}.jsonl"
    if in_flight:  # as if the process had been killed while the model inside was at work
        events = read_trace(path).events
        last = next(place for place, each in enumerate(events) if isinstance(each, TryStarted) and each.nested)
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[: last + 1]))
    decision = asked.resume_sync(run_id)
    trace = trace_of(tmp_path, run_id)
    nested = [each for each in trace.events if isinstance(each, TryEnded) and each.nested]
    assert [(each.usd, each.lost) for each in nested] == [
        (Decimal("0.02" if in_flight else "0.01"), in_flight),
        (Decimal("0.01"), False),
    ]
    assert (decision.answer, decision.cost_usd) == ("42", sum((each.usd or Decimal(0) for each in nested), Decimal(0)))
    assert decision.cost_exact != in_flight
    replay = asyncio.run(replayed(trace))
    assert replay.same, replay.changes


def test_reasons_go_out_with_the_step_that_gave_them(tmp_path: Path) -> None:
    def fails(question: str) -> str:
        raise ValueError(question)

    members = [Agent(name="fails", tool=fails, skill=0.9), Agent(name="town", tool=town, skill=0.4)]
    decision = Orchestrator(members, trace=tmp_path, checkpointer=InMemorySaver()).run_sync("Where?")
    events = trace_of(tmp_path, decision.run_id).events
    noted = [place for place, event in enumerate(events) if isinstance(event, Noted)]
    assert noted
    assert all(isinstance(events[place + 1], Stepped) for place in noted)
    assert any("rerouted: fails" in reason for reason in decision.reasons)
