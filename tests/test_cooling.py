"""Where everybody who could give a goal cools down: wait if the time allows it, else say until when."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator import Agent, Budget, Goal, LLMRouter, Orchestrator, Pool, ProviderError, ScriptProvider, ToolError
from orchestrator.errors import RateLimited
from orchestrator.health import Health
from orchestrator.pool.registry import Member
from orchestrator.runtime import Clocks
from orchestrator.trace import read_trace
from orchestrator.trace.events import BreakerChanged, Waited
from tests.fake_clock import FakeClock
from tests.routing import answers, routes, scripted
from tests.runs import Ran, ask, hold_to_the_rules
from tests.staff import Book

NO_KEY = ProviderError("HTTP 401", kind="auth")


def _later(seconds: float) -> RateLimited:
    return RateLimited("later", retry_after=seconds)


@dataclass
class House:
    """Experts that are struck in a first run, and asked again in a second, all by one clock."""

    folder: Path
    members: Sequence[Member]
    goals: Sequence[str] = ("answer",)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.health = Health(self.clock)

    def orchestrator(self, seconds: float | None = None, **more: object) -> Orchestrator:
        """An orchestrator that knows what was seen of the experts so far."""
        settings: dict[str, object] = {"budget": Budget(seconds=seconds), "sleep": self.clock.sleep, **more}
        return Orchestrator(
            Pool(self.members, goals=self.goals),
            health=self.health,
            trace=self.folder,
            clocks=Clocks(self.clock, self.clock),
            seed=1,
            **settings,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        )

    def run(self, seconds: float | None = None) -> Ran:
        """A run, with the waits of earlier ones forgotten."""
        self.clock.waits.clear()
        return ask(self.orchestrator(seconds), self.folder)

    def until(self, seconds: float) -> str:
        """The time in so many seconds."""
        return datetime.fromtimestamp(self.clock.now + seconds, UTC).isoformat(timespec="seconds")


def _house(folder: Path, *cooling: tuple[str, float], book: Book | None = None) -> House:
    """Experts that answer but for their first call, which puts them off for so many seconds."""
    book = book or Book()
    house = House(folder, [book.expert(name, _later(seconds), name, retries=0) for name, seconds in cooling])
    assert house.run().decision.status == "escalated"
    assert house.clock.waits == []
    return house


@pytest.mark.parametrize("deadline", [None, 21, 1000])
def test_a_run_waits_and_is_answered(deadline: float | None, tmp_path: Path) -> None:
    house = _house(tmp_path, ("x", 20))
    ran = house.run(deadline)
    assert (ran.decision.answer, ran.decision.status) == ("x", "answered")
    assert house.clock.waits == [pytest.approx(20, abs=0.01)]
    (waited,) = ran.of(Waited)
    assert (waited.goal, waited.agents, waited.seconds) == (Goal("answer"), ("x",), pytest.approx(20, abs=0.01))
    assert ran.decision.seconds == pytest.approx(20, abs=0.01)
    assert ran.called() == ["x"]
    assert [(event.before, event.after) for event in ran.of(BreakerChanged)] == [
        ("open", "half_open"),
        ("half_open", "closed"),
    ]


@pytest.mark.parametrize("deadline", [0.5, 5, 19.9])
def test_a_run_whose_time_is_too_short_says_until_when(deadline: float, tmp_path: Path) -> None:
    house = _house(tmp_path, ("x", 20))
    until = house.until(20)
    ran = house.run(deadline)
    assert (ran.decision.answer, ran.decision.status) == (None, "escalated")
    assert (ran.of(Waited), house.clock.waits, ran.called()) == ([], [], [])
    assert f"would help: asking again from {until} on, when x has cooled down" in ran.decision.reasons
    assert any(reason.startswith("x: its circuit breaker is open") for reason in ran.decision.reasons)


@pytest.mark.parametrize(("seconds", "status"), [(59, "answered"), (61, "escalated"), (3600, "escalated")])
def test_without_a_deadline_a_run_waits_a_minute_at_most(seconds: float, status: str, tmp_path: Path) -> None:
    house = _house(tmp_path, ("x", seconds))
    until = house.until(seconds)
    ran = house.run()
    assert ran.decision.status == status
    assert len(house.clock.waits) == (1 if status == "answered" else 0)
    assert any(until in reason for reason in ran.decision.reasons) is (status == "escalated")


def test_a_longer_deadline_is_patience_enough(tmp_path: Path) -> None:
    house = _house(tmp_path, ("x", 500))
    ran = house.run(600)
    assert (ran.decision.status, house.clock.waits) == ("answered", [pytest.approx(500, abs=0.01)])


@pytest.mark.parametrize(("seconds", "waits"), [(45, [20, 25]), (79, [20, 59]), (81, [20])])
def test_the_minute_begins_anew_when_an_attempt_has_ended(seconds: float, waits: list[float], tmp_path: Path) -> None:
    """Twenty seconds for x, which fails again; then y is worth what is left to wait for it, if that is no minute."""
    book = Book()
    members = [
        book.expert("x", _later(20), ToolError("ill"), retries=0, skill=0.9),
        book.expert("y", _later(seconds), "y", retries=0, skill=0.2),
    ]
    house = House(tmp_path, members)
    house.run()
    ran = house.run()
    assert ran.decision.status == ("answered" if len(waits) == 2 else "escalated")
    assert [wait.agents for wait in ran.of(Waited)] == [("x",), ("y",)][: len(waits)]
    assert house.clock.waits == [pytest.approx(each, abs=0.01) for each in waits]
    assert ran.outcomes() == [("x", "rerouted" if len(waits) == 2 else "escalated")]


def test_of_two_the_one_that_comes_back_first_is_waited_for(tmp_path: Path) -> None:
    house = _house(tmp_path, ("a", 50), ("b", 10))
    ran = house.run()
    assert (ran.decision.answer, house.clock.waits) == ("b", [pytest.approx(10, abs=0.01)])
    assert [wait.agents for wait in ran.of(Waited)] == [("b",)]


def test_a_better_one_that_comes_too_late_does_not_hide_one_that_comes_in_time(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("slow", _later(3000), "slow", retries=0, skill=1.0),
        book.expert("soon", _later(10), "soon", retries=0, skill=0.01),
    ]
    house = House(tmp_path, members)
    house.run()
    assert house.run().decision.answer == "soon"


def test_nobody_is_waited_for_while_somebody_can_be_asked(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("x", _later(5), "x", retries=0, skill=0.99),
        book.expert("y", skill=0.01),
    ]
    house = House(tmp_path, members)
    assert house.run().decision.answer == "y"
    ran = house.run()
    assert (ran.decision.answer, ran.of(Waited), ran.called()) == ("y", [], ["y"])


@pytest.mark.parametrize("deadline", [None, 10_000])
def test_a_key_that_was_refused_is_never_waited_for(deadline: float | None, tmp_path: Path) -> None:
    house = House(tmp_path, [Book().expert("x", NO_KEY, "x", retries=0)])
    house.run()
    house.clock.pass_by(100_000)
    ran = house.run(deadline)
    assert (ran.decision.status, ran.of(Waited), house.clock.waits, ran.called()) == ("escalated", [], [], [])
    assert not any("asking again" in reason for reason in ran.decision.reasons)
    assert any("for good" in reason for reason in ran.decision.reasons)


def test_beside_a_refused_key_the_other_is_waited_for(tmp_path: Path) -> None:
    book = Book()
    house = House(
        tmp_path,
        [
            book.expert("x", NO_KEY, "x", retries=0, skill=1.0),
            book.expert("y", _later(30), "y", retries=0, skill=0.1),
        ],
    )
    house.run()
    ran = house.run()
    assert (ran.decision.answer, ran.called()) == ("y", ["y"])
    assert [wait.agents for wait in ran.of(Waited)] == [("y",)]


def _chain(folder: Path, book: Book, *, search: float = 0, write: float = 0) -> House:
    """A searcher and a writer, each put off for so many seconds at its first call."""

    def acts(name: str, seconds: float) -> list[object]:
        return [_later(seconds), name] if seconds else [name]

    members = [
        book.expert("search", *acts("search", search), produces="passages", retries=0),
        book.expert("write", *acts("write", write), consumes=("passages",), retries=0),
    ]
    return House(folder, members)


def test_a_stage_in_the_middle_is_waited_for(tmp_path: Path) -> None:
    house = _chain(tmp_path, Book(), search=15)
    assert house.run().decision.status == "escalated"
    ran = house.run()
    assert (ran.decision.answer, ran.called()) == ("write", ["search", "write"])
    (waited,) = ran.of(Waited)
    assert (waited.goal, waited.agents) == (Goal("answer"), ("search",))


def test_a_whole_chain_is_waited_for(tmp_path: Path) -> None:
    book = Book()
    house = _chain(tmp_path, book, search=20, write=40)
    house.run()
    house.clock.pass_by(21)
    assert house.run().decision.failed[0].agent == "write"
    book.calls.clear()
    assert house.run().decision.failed[0].agent == "search"
    ran = house.run()
    assert (ran.decision.status, ran.called()) == ("escalated", ["search", "write"])


def test_what_a_failure_leaves_to_somebody_who_cools_down_is_waited_for(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("x", ToolError("ill"), retries=0, skill=0.9),
        book.expert("y", _later(25), "y", retries=0, skill=0.3),
    ]
    house = House(tmp_path, members)
    house.run()
    ran = house.run()
    assert (ran.decision.answer, ran.decision.status) == ("y", "answered")
    assert ran.outcomes() == [("x", "rerouted")]
    assert house.clock.waits == [pytest.approx(25, abs=0.01)]
    assert ran.decision.reasons == ("rerouted: x → y (tool)",)


@pytest.mark.parametrize(("deadline", "goal"), [(None, "answer"), (100, "answer"), (5, "lower")])
def test_the_goal_that_was_asked_for_is_worth_a_wait_that_the_time_allows(
    deadline: float | None, goal: str, tmp_path: Path
) -> None:
    book = Book()
    members = [book.expert("x", _later(20), "x", retries=0), book.expert("z", produces="lower")]
    house = House(tmp_path, members, ("answer", "lower"))
    assert house.run().decision.goal == "lower"
    ran = house.run(deadline)
    assert (ran.decision.goal, len(house.clock.waits)) == (goal, 1 if goal == "answer" else 0)


def test_a_lower_goal_is_waited_for_where_the_asked_one_is_lost(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("x", ToolError("ill"), retries=0),
        book.expert("z", _later(20), "z", retries=0, produces="lower"),
    ]
    house = House(tmp_path, members, ("answer", "lower"))
    assert house.run().decision.status == "escalated"
    ran = house.run()
    assert (ran.decision.answer, ran.decision.goal, ran.decision.status) == ("z", "lower", "degraded")
    assert [wait.goal for wait in ran.of(Waited)] == [Goal("lower")]


def test_an_expert_that_asked_for_patience_in_this_very_run_is_named_with_its_time(tmp_path: Path) -> None:
    """Whoever was put off for an hour just now knows when to come back, and is told."""
    house = House(tmp_path, [Book().expert("x", _later(3600), retries=0)])
    until = house.until(3600)
    ran = house.run()
    assert ran.decision.status == "escalated"
    assert any(f"asking again from {until} on" in reason for reason in ran.decision.reasons), ran.decision.reasons


def test_five_failures_in_a_row_close_an_expert_for_half_a_minute_that_is_waited_for(tmp_path: Path) -> None:
    broken = ValueError("broken")
    book = Book()
    house = House(tmp_path, [book.expert("x", *[broken] * 5, "x", retries=0)])
    for _ in range(5):
        assert house.run().decision.status == "escalated"
    ran = house.run()
    assert (ran.decision.answer, house.clock.waits) == ("x", [pytest.approx(30, abs=0.01)])


def test_the_wait_doubles_where_the_try_after_it_fails(tmp_path: Path) -> None:
    """Closed for 30 s, then for 60 s: the second run cannot wait for as long, the third may."""
    broken = ValueError("broken")
    book = Book()
    house = House(tmp_path, [book.expert("x", *[broken] * 6, "x", retries=0)])
    for _ in range(5):
        house.run()
    assert house.run().decision.status == "escalated"
    assert house.clock.waits == [pytest.approx(30, abs=0.01)]
    ran = house.run(100)
    assert (ran.decision.answer, house.clock.waits) == ("x", [pytest.approx(60, abs=0.01)])


def test_many_runs_that_wait_send_one_try_first(tmp_path: Path) -> None:
    book, most = Book(), list[int]()

    async def slow() -> str:
        most.append(book.log.count("+x") - book.log.count("-x"))
        for _ in range(30):
            await asyncio.sleep(0)
        return "x"

    house = House(tmp_path, [book.expert("x", _later(20), slow, retries=0)])
    house.run()

    async def all_at_once() -> list[str | None]:
        orchestrator = house.orchestrator(10_000)
        decisions = await asyncio.gather(*(orchestrator.run("?") for _ in range(8)))
        for decision in decisions:
            hold_to_the_rules(read_trace(tmp_path / f"{decision.run_id}.jsonl"), head=decision.head)
        return [decision.answer for decision in decisions]

    assert asyncio.run(all_at_once()) == ["x"] * 8
    assert most[0] == 1
    first = [index for index, line in enumerate(book.log) if line == "-x"][1]
    assert book.log[:first].count("+x") == 2


def test_a_routers_route_to_somebody_who_cools_down_waits(tmp_path: Path) -> None:
    book = Book()
    expert: Agent = book.expert("x", _later(20), "found it", retries=0)
    house = House(tmp_path, [scripted("router"), expert])
    house.run()
    house.clock.waits.clear()
    provider = ScriptProvider({"router": [routes("tools", ("x", "how?")), answers("tools", "so")]})
    orchestrator = house.orchestrator(
        router=LLMRouter("script:router"), providers={"script": provider}, budget=Budget(usd=Decimal(1))
    )
    ran = ask(orchestrator, tmp_path)
    provider.finish()
    assert (ran.decision.answer, ran.called()) == ("so", ["x"])
    assert [(wait.goal, wait.agents) for wait in ran.of(Waited)] == [(Goal("answer", "how?"), ("x",))]
    assert "found it" in provider.requests[1][1].messages[-1].content


def test_a_cancelled_wait_ends_the_trace_whole(tmp_path: Path) -> None:
    house = _house(tmp_path, ("x", 20))
    before = set(tmp_path.glob("*.jsonl"))
    waiting = asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert seconds == pytest.approx(20, abs=0.01)
        waiting.set()
        await asyncio.Event().wait()

    async def stopped() -> None:
        running = asyncio.create_task(house.orchestrator(sleep=sleep).run("?"))
        await waiting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(stopped())
    (path,) = set(tmp_path.glob("*.jsonl")) - before
    hold_to_the_rules(read_trace(path))
