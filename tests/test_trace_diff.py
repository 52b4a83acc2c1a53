"""`trace diff`: the first step at which two runs part, their outcomes, and what they took."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from orchestrator import Agent, Answer, Orchestrator, Route, Turn
from orchestrator.trace import Change, difference, read_trace
from orchestrator.trace.difference import routing
from tests.experts import Sold, Vendor, failing, giving, sold
from tests.runs import ask
from tests.staff import until

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator import View
    from orchestrator.trace import Trace
    from tests.conftest import Cli

QUESTION = "What is 17% of 2,340?"
FIRST, SECOND = giving("first", "yes", skill=0.9), giving("second", "no", skill=0.6)


def traced(orchestrator: Orchestrator, folder: Path) -> Trace:
    """The trace of a run by an orchestrator that writes to a folder."""
    return read_trace(folder / f"{ask(orchestrator, folder).decision.run_id}.jsonl")


def test_two_runs_of_the_same_do_not_differ(tmp_path: Path) -> None:
    orchestrator = Orchestrator([FIRST, SECOND], trace=tmp_path)
    found = difference(traced(orchestrator, tmp_path), traced(orchestrator, tmp_path))
    assert (found.same, found.routing, found.outcome, found.asked) == (True, None, (), ())
    assert {change.field for change in found.figures} <= {"seconds"}


def test_the_first_step_that_differs_is_told_with_what_came_of_it(tmp_path: Path) -> None:
    straight = traced(Orchestrator([FIRST, SECOND], trace=tmp_path), tmp_path)
    broken = traced(Orchestrator([failing("first"), SECOND], trace=tmp_path), tmp_path)
    found = difference(straight, broken)
    assert not found.same
    assert found.routing is not None
    assert (found.routing.step, found.routing.after) == (2, "turn 1: plan routed to first")
    assert found.routing.one == "attempt 1: first for answer replied"
    assert found.routing.other == "attempt 1: first for answer failed (tool), then rerouted to second"
    assert found.outcome == (Change("answer", "yes", "no"), Change("support", ("first",), ("second",)))
    figures = {change.field: (change.one, change.other) for change in found.figures}
    assert figures["expert_calls"] == (1, 2)
    assert figures["reroutes"] == (0, 1)


def test_who_of_several_is_done_first_is_no_difference(tmp_path: Path) -> None:
    def both(slow: str) -> Trace:
        first_done = asyncio.Event()

        def twice(view: View) -> Turn:
            return Turn((Answer("yes"),) if view.replies else (Route("one"), Route("two")))

        def expert(name: str) -> Agent:
            async def given(**_: object) -> str:
                if name == slow:
                    await until(first_done)
                first_done.set()
                return "yes"

            return Agent(name=name, tool=given)

        return traced(Orchestrator([expert("one"), expert("two")], router=twice, trace=tmp_path), tmp_path)

    early, late = both("one"), both("two")
    done = [[event.agent for event in trace.events if event.type == "replied"] for trace in (early, late)]
    assert done == [["two", "one"], ["one", "two"]]
    assert difference(early, late).same


def test_money_alone_is_no_difference_of_the_decision(tmp_path: Path) -> None:
    def priced(usd: str) -> Trace:
        vendor = Vendor({"m": Sold("yes", Decimal(usd))})
        return traced(sold(vendor, {"m": 0.9}, trace=tmp_path), tmp_path)

    found = difference(priced("0.01"), priced("0.02"))
    assert found.same
    assert Change("cost_usd", Decimal("0.01"), Decimal("0.02")) in found.figures


def test_a_run_that_broke_off_ends_otherwise(tmp_path: Path) -> None:
    whole = traced(Orchestrator([FIRST], trace=tmp_path), tmp_path)
    cut = tmp_path / "cut.jsonl"
    lines = whole.path.read_bytes().splitlines(keepends=True)
    cut.write_bytes(b"".join(lines[:5]))
    found = difference(whole, read_trace(cut))
    assert Change("ended", "decided", "not ended") in found.outcome
    assert found.routing is not None
    assert found.routing.other == "attempt 1: first for answer did not end"


@pytest.fixture
def two_runs(cli: Cli) -> tuple[str, str]:
    """Ids of a run and of the same with its first expert broken."""
    runs = (cli("run", QUESTION, "--json", *more) for more in ((), ("--fail", "algebra")))
    straight, broken = (json.loads(done.stdout)["run_id"] for done in runs)
    return straight, broken


def test_the_command_tells_it_and_exits_with_three(cli: Cli, two_runs: tuple[str, str]) -> None:
    done = cli("trace", "diff", two_runs[0], "last")
    assert done.returncode == 3
    assert "the ways part at step 2, after “turn 1: plan routed to algebra”" in done.stdout
    assert "  A attempt 1: algebra for answer replied" in done.stdout
    assert "  B attempt 1: algebra for answer failed (injected), then rerouted to arithmetic" in done.stdout
    assert "outcome   support algebra → arithmetic" in done.stdout
    assert "took      reroutes 0 → 1" in done.stdout
    made = json.loads((again := cli("trace", "diff", *two_runs, "--json")).stdout)
    assert (again.returncode, made["same"], made["routing"]["step"]) == (3, False, 2)
    assert (made["a"], made["b"]) == two_runs
    same = cli("trace", "diff", "last", two_runs[1][-8:])
    assert (same.returncode, "the same way" in same.stdout, "the same decision" in same.stdout) == (0, True, True)


def test_a_run_that_is_not_there_is_a_usage_error(cli: Cli, two_runs: tuple[str, str]) -> None:
    done = cli("trace", "diff", two_runs[0], "nobody")
    assert (done.returncode, "there is no run `nobody`" in done.stderr) == (2, True)


def test_the_way_of_a_run_is_told_step_by_step(tmp_path: Path) -> None:
    trace = traced(Orchestrator([failing("first"), failing("second", skill=0.6)], trace=tmp_path), tmp_path)
    assert routing(trace.events) == [
        "turn 1: plan routed to first",
        "attempt 1: first for answer failed (tool), then rerouted to second",
        "attempt 2: second for answer failed (tool), then escalated",
    ]
