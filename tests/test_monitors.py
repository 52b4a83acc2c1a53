"""Monitors: what each of them says, whose word counts, and that a risk stops a run before the effect."""
# ruff: noqa: ARG001 - experts of tests need not look at what they are given

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator import (
    Agent,
    Budget,
    Completion,
    ConfigError,
    LLMRouter,
    Model,
    Orchestrator,
    Pool,
    ProviderError,
    Risk,
    Route,
    ScriptProvider,
    Think,
    ToolError,
    Turn,
    Usage,
    View,
    expert,
    load_folder,
)
from orchestrator import watch as watching
from orchestrator.monitors import (
    BudgetMonitor,
    DeadlineMonitor,
    HealthMonitor,
    Monitor,
    MonitorFunction,
    ProgressMonitor,
    RiskMonitor,
    Signal,
    Watch,
)
from orchestrator.pool.registry import Member
from orchestrator.runtime import Clocks
from orchestrator.trace.events import Escalated, Monitored, Rerouted, SignalGiven, TryStarted
from tests.experts import Sold, Vendor, at_once
from tests.fake_clock import FakeClock
from tests.routing import Stage, answers, routes, scripted
from tests.runs import Ran, ask
from tests.staff import Book, forever, until

ILL = ToolError("ill")


@dataclass
class Says:
    """A monitor that says what it is told to, look by look, the last for ever."""

    name: str
    signals: Sequence[Signal | None]
    looks: int = 0
    seen: list[Watch] = field(default_factory=list[Watch])

    async def watch(self, watch: Watch) -> Signal | None:
        """The next of its signals."""
        self.looks += 1
        self.seen.append(watch)
        return self.signals[min(self.looks, len(self.signals)) - 1]


def _ran(members: Sequence[Member], folder: Path, *monitors: Monitor | MonitorFunction) -> Ran:
    return ask(Orchestrator(members, trace=folder, monitors=monitors, sleep=at_once), folder)


def _routed(
    folder: Path, said: Sequence[Completion], members: Sequence[Member], *monitors: Monitor | MonitorFunction
) -> tuple[Ran, str]:
    """A run with a router's model, and what that was told last."""
    provider = ScriptProvider({"router": list(said)})
    orchestrator = Orchestrator(
        [scripted("router"), *members],
        router=LLMRouter("script:router"),
        providers={"script": provider},
        trace=folder,
        monitors=monitors,
        budget=Budget(usd=Decimal(1)),
    )
    ran = ask(orchestrator, folder)
    provider.finish()
    return ran, provider.requests[-1][1].messages[-1].content


def _board(ran: Ran, which: int = 0) -> tuple[SignalGiven, ...]:
    return ran.of(Monitored)[which].board


def test_the_whole_board_is_in_the_trace_highest_first_ties_by_name(tmp_path: Path) -> None:
    monitors = [
        Says("low", [Signal(0.1, why="l", payload={"n": 1})]),
        Says("b", [Signal(0.7, why="b")]),
        Says("silent", [None]),
        Says("a", [Signal(0.7, why="a")]),
        Says("top", [Signal(1.0, why="t")]),
    ]
    ran = _ran([Book().expert("x")], tmp_path, *monitors)
    assert [(said.source, said.priority, said.why) for said in _board(ran)] == [
        ("top", 1.0, "t"),
        ("a", 0.7, "a"),
        ("b", 0.7, "b"),
        ("low", 0.1, "l"),
    ]
    assert _board(ran)[-1].payload == {"n": 1}
    assert (ran.decision.status, ran.decision.reasons) == ("answered", ())


def test_where_nobody_says_anything_nothing_is_written(tmp_path: Path) -> None:
    assert _ran([Book().expert("x")], tmp_path, Says("silent", [None])).of(Monitored) == []


@pytest.mark.parametrize(
    ("signals", "called", "status"),
    [
        ({"m": Signal(0.5, "stop"), "n": Signal(0.6)}, ["x"], "answered"),
        ({"m": Signal(0.6, "stop"), "n": Signal(0.5)}, [], "escalated"),
        ({"a": Signal(0.5, "stop"), "b": Signal(0.5)}, [], "escalated"),
        ({"b": Signal(0.5, "stop"), "a": Signal(0.5)}, ["x"], "answered"),
        ({"a": Signal(0.5, "avoid", avoid=("x",)), "b": Signal(0.5)}, ["y"], "answered"),
    ],
)
def test_the_highest_is_followed(signals: dict[str, Signal], called: list[str], status: str, tmp_path: Path) -> None:
    book = Book()
    monitors = [Says(name, [signal]) for name, signal in signals.items()]
    ran = _ran([book.expert("x", skill=0.9), book.expert("y", skill=0.4)], tmp_path, *monitors)
    assert (ran.called(), ran.decision.status) == (called, status)


def test_a_stop_for_one_expert_has_its_say_about_the_next_as_well(tmp_path: Path) -> None:
    """Somebody is avoided first, on a higher word: whoever asked to stop is asked again about who comes instead."""
    book = Book()
    monitors = [Says("a", [Signal(0.9, "avoid", "down", ("x",)), None]), Says("b", [Signal(0.5, "stop", "no entry")])]
    ran = _ran([book.expert("x", skill=0.9), book.expert("y", skill=0.4)], tmp_path, *monitors)
    assert (ran.decision.status, book.calls) == ("escalated", {})
    assert "stopped for a person by b: no entry" in ran.decision.reasons


def test_a_stop_names_who_stopped_and_why_and_asks_nobody(tmp_path: Path) -> None:
    book = Book()
    members = Pool([book.expert("x"), book.expert("z", produces="lower")], goals=["answer", "lower"])
    ran = ask(
        Orchestrator(members, trace=tmp_path, monitors=[Says("guard", [Signal(0.9, "stop", "no entry")])]), tmp_path
    )
    assert (ran.decision.answer, ran.decision.status) == (None, "escalated")
    assert ran.decision.reasons[0] == "stopped for a person by guard: no entry"
    assert [(event.attempt, event.reason) for event in ran.of(Escalated)] == [(None, ran.decision.reasons[0])]
    assert book.calls == {}


def test_a_stop_after_a_failure_is_its_outcome(tmp_path: Path) -> None:
    guard = Says("guard", [None, Signal(0.9, "stop", "enough")])
    ran = _ran([Book().expert("x", ILL, skill=0.9), Book().expert("y")], tmp_path, guard)
    assert ran.decision.status == "escalated"
    assert ran.called() == ["x"]
    assert ran.outcomes() == [("x", "escalated")]


def test_a_way_round_that_is_withdrawn_before_it_begins_was_none(tmp_path: Path) -> None:
    """`y` is to take the place of `x`, and is avoided: the failure's one outcome is the expert that is started."""
    book = Book()
    guard = Says("guard", [None, Signal(0.9, "avoid", "in repair", ("y",)), None])
    members = [book.expert("x", ILL, skill=0.9), book.expert("y", skill=0.5), book.expert("z", skill=0.1)]
    ran = _ran(members, tmp_path, guard)
    assert ran.called() == ["x", "z"]
    assert [(event.attempt, event.to) for event in ran.of(Rerouted)] == [(1, "z")]
    assert ran.decision.reasons == ("avoided: y (guard)", "rerouted: x → z (tool)")


def test_a_way_round_that_is_withdrawn_for_good_leaves_the_failure_to_end_otherwise(tmp_path: Path) -> None:
    book = Book()
    guard = Says("guard", [None, Signal(0.9, "avoid", "in repair", ("y",)), None])
    members = [book.expert("x", ILL, skill=0.9), book.expert("y", skill=0.5), book.expert("low", produces="lower")]
    ran = ask(Orchestrator(Pool(members, goals=["answer", "lower"]), trace=tmp_path, monitors=[guard]), tmp_path)
    assert (ran.called(), ran.outcomes()) == (["x", "low"], [("x", "demoted")])
    assert (ran.decision.status, ran.decision.reroutes) == ("degraded", 0)


def test_a_way_round_withdrawn_while_a_sibling_is_at_work_was_none(tmp_path: Path) -> None:
    book = Book()

    async def slow() -> str:
        await until(book.starts("third"))
        return "slow"

    guard = Says("guard", [None, Signal(0.9, "avoid", "in repair", ("second",)), None])
    members = [
        book.expert("slow", slow, produces="left"),
        book.expert("first", ILL, produces="right", skill=0.9),
        book.expert("second", produces="right", skill=0.5),
        book.expert("third", produces="right", skill=0.1),
        book.expert("both", consumes=("left", "right")),
    ]
    ran = _ran(members, tmp_path, guard)
    assert (ran.decision.answer, ran.decision.status) == ("both", "answered")
    assert [(event.attempt, event.to) for event in ran.of(Rerouted)] == [(2, "third")]


def test_a_stop_while_others_are_at_work_is_the_outcome_of_every_failure(tmp_path: Path) -> None:
    """Of the one whose way round was about to begin, and of one that comes after."""
    book, stopped = Book(), asyncio.Event()

    async def slow() -> str:
        await until(stopped)
        raise ILL

    async def guard(watch: Watch) -> Signal | None:
        if not watch.state.failures:
            return None
        stopped.set()
        return Signal(0.9, "stop", "enough")

    members = [
        book.expert("slow", slow, produces="left"),
        book.expert("first", ILL, produces="right", skill=0.9),
        book.expert("second", produces="right", skill=0.5),
        book.expert("both", consumes=("left", "right")),
    ]
    ran = _ran(members, tmp_path, guard)
    assert ran.decision.status == "escalated"
    assert sorted(ran.outcomes()) == [("first", "escalated"), ("slow", "escalated")]
    assert ran.decision.reroutes == 0


def test_what_is_avoided_is_planned_round(tmp_path: Path) -> None:
    book = Book()
    guard = Says("guard", [Signal(0.9, "avoid", "in repair", ("search",)), None])
    members = [
        book.expert("search", produces="passages", skill=0.9),
        book.expert("scan", produces="passages", skill=0.5),
        book.expert("write", consumes=("passages",)),
    ]
    ran = _ran(members, tmp_path, guard)
    assert (ran.decision.answer, ran.decision.status) == ("write", "answered")
    assert ran.decision.reasons == ("avoided: search (guard)",)
    assert ran.called() == ["scan", "write"]


def test_who_is_avoided_stays_so_for_the_run(tmp_path: Path) -> None:
    book = Book()
    guard = Says("guard", [Signal(0.9, "avoid", "in repair", ("x",)), None])
    ran = _ran([book.expert("x", skill=0.9), book.expert("y", ILL, skill=0.5)], tmp_path, guard)
    assert ran.called() == ["y"]
    assert ran.decision.status == "escalated"
    assert any("guard" in reason and "x" in reason for reason in ran.decision.reasons)


def test_everybody_avoided_goes_lower(tmp_path: Path) -> None:
    book = Book()
    members = Pool([book.expert("x"), book.expert("z", produces="lower")], goals=["answer", "lower"])
    guard = Says("guard", [Signal(0.9, "avoid", "in repair", ("x",)), None])
    ran = ask(Orchestrator(members, trace=tmp_path, monitors=[guard]), tmp_path)
    assert (ran.decision.goal, ran.decision.status) == ("lower", "degraded")


def test_what_a_routers_model_asks_of_somebody_avoided_comes_from_another(tmp_path: Path) -> None:
    book = Book()

    async def guard(watch: Watch) -> Signal | None:
        names = {agent.name for agent in watch.next_agents()}
        return Signal(0.9, "avoid", "in repair", ("x",)) if "x" in names else None

    said = [routes("tools", ("x", "how?")), answers("tools", "so")]
    ran, told = _routed(tmp_path, said, [book.expert("x", skill=0.9), book.expert("y")], guard)
    assert (ran.decision.answer, ran.called()) == ("so", ["y"])
    assert "avoided: x (guard)" in ran.decision.reasons
    assert 'from="y"' in told


def test_a_routers_model_is_told_where_nobody_else_can_serve_what_is_avoided(tmp_path: Path) -> None:
    book = Book()
    guard = Says("guard", [Signal(0.9, "avoid", "in repair", ("x",)), None])
    said = [routes("tools", ("x", "how?")), answers("tools", "so")]
    members = [book.expert("x"), book.expert("z", produces="other")]
    ran, told = _routed(tmp_path, said, members, guard)
    assert (ran.decision.answer, ran.decision.status, book.calls) == ("so", "degraded", {})
    assert "x" in told


def test_monitors_look_again_after_one_is_avoided(tmp_path: Path) -> None:
    guard = Says("guard", [Signal(0.9, "avoid", "down", ("x",)), Signal(0.9, "avoid", "down", ("y",)), None])
    book = Book()
    members = [book.expert("x", skill=0.9), book.expert("y", skill=0.5), book.expert("z", skill=0.1)]
    ran = _ran(members, tmp_path, guard)
    assert (ran.called(), guard.looks) == (["z"], 3)


def test_who_is_left_of_a_step_after_one_is_avoided_is_looked_at_again(tmp_path: Path) -> None:
    """`left` is avoided; what was to be taken beside it has not been let through by that."""
    book = Book()
    guard = Says("guard", [Signal(0.9, "avoid", "down", ("left",)), Signal(0.9, "stop", "no entry"), None])
    members = [
        book.expert("left", produces="l", skill=0.9),
        book.expert("spare", produces="l", skill=0.2),
        book.expert("right", produces="r"),
        book.expert("both", consumes=("l", "r")),
    ]
    ran = _ran(members, tmp_path, guard)
    assert (ran.decision.status, book.calls) == ("escalated", {})


def test_monitors_look_side_by_side(tmp_path: Path) -> None:
    started = {"a": asyncio.Event(), "b": asyncio.Event()}

    def meeting(name: str, other: str) -> Monitor:
        @dataclass
        class Meeting:
            name: str

            async def watch(self, watch: Watch) -> Signal | None:
                assert watch.routes
                started[self.name].set()
                await until(started[other])
                return Signal(0.1, why="met")

        return Meeting(name)

    ran = _ran([Book().expert("x")], tmp_path, meeting("a", "b"), meeting("b", "a"))
    assert [said.why for said in _board(ran)] == ["met", "met"]
    assert ran.decision.status == "answered"


@pytest.mark.parametrize("error", [ValueError("odd"), ToolError("ill"), KeyError("x"), TimeoutError("late")])
def test_a_monitor_that_breaks_down_stops_the_run(error: Exception, tmp_path: Path) -> None:
    book = Book()

    def broken(watch: Watch) -> Signal | None:
        raise error

    ran = _ran([book.expert("x")], tmp_path, broken, Says("calm", [Signal(0.9)]))
    assert (ran.decision.status, book.calls) == ("escalated", {})
    assert ran.decision.reasons[0].startswith("stopped for a person by broken: the monitor broke down")
    assert type(error).__name__ in ran.decision.reasons[0]


def test_a_monitor_that_hangs_stops_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(watching, "SECONDS_OF_A_MONITOR", 0.05)
    book = Book()

    async def hanging(watch: Watch) -> Signal | None:
        await forever()
        return None

    ran = _ran([book.expert("x")], tmp_path, hanging)
    assert (ran.decision.status, book.calls) == ("escalated", {})
    assert "hanging" in ran.decision.reasons[0]
    assert "0.05 s" in ran.decision.reasons[0]


def test_a_monitor_has_no_longer_than_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is left of the run's time bounds a monitor as it bounds everybody else."""
    monkeypatch.setattr(watching, "SECONDS_OF_A_MONITOR", 3.0)
    book = Book()

    async def hanging(watch: Watch) -> Signal | None:
        await forever()
        return None

    orchestrator = Orchestrator([book.expert("x")], trace=tmp_path, monitors=[hanging], budget=Budget(seconds=0.1))
    ran = ask(orchestrator, tmp_path)
    assert (ran.decision.status, book.calls) == ("escalated", {})
    assert any(reason.startswith("limit:seconds") for reason in ran.decision.reasons), ran.decision.reasons


@pytest.mark.parametrize("given", ["stop", 0.9, True, {"priority": 1}])
def test_a_monitor_that_gives_no_signal_is_a_mistake_of_the_callers(given: object, tmp_path: Path) -> None:
    def odd(watch: Watch) -> Signal | None:
        return given  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    with pytest.raises(ConfigError, match="odd"):
        Orchestrator([Book().expert("x")], trace=tmp_path, monitors=[odd]).run_sync("?")


@pytest.mark.parametrize(
    "given",
    [
        lambda: Signal(1.5),
        lambda: Signal(-0.1),
        lambda: Signal(float("nan")),
        lambda: Signal(0.5, "avoid"),
        lambda: Signal(0.5, "stop", avoid=("x",)),
    ],
)
def test_signals_that_cannot_be_followed_are_refused(given: object) -> None:
    assert callable(given)
    with pytest.raises(ConfigError):
        given()


@pytest.mark.parametrize("given", ["health", 3, HealthMonitor, None])
def test_what_is_no_monitor_is_refused(given: object) -> None:
    with pytest.raises(ConfigError, match="monitor"):
        Orchestrator([Book().expert("x")], monitors=[given], trace=False)  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def test_monitors_of_ones_own_see_the_run(tmp_path: Path) -> None:
    spy = Says("spy", [None])

    def function(watch: Watch) -> Signal | None:
        return Signal(0.2, why=f"{watch.routes[0].agent} after {len(watch.state.replies)}")

    async def coroutine(watch: Watch) -> Signal | None:
        return Signal(0.3, why=watch.state.question.text)

    book = Book()
    members = [book.expert("search", produces="passages"), book.expert("write", consumes=("passages",))]
    ran = _ran(members, tmp_path, spy, function, coroutine)
    assert [[said.source for said in event.board] for event in ran.of(Monitored)] == [["coroutine", "function"]] * 2
    assert [event.board[1].why for event in ran.of(Monitored)] == ["search after 0", "write after 1"]
    assert [[agent.name for agent in watch.next_agents()] for watch in spy.seen] == [["search"], ["write"]]


def test_monitors_look_before_a_reroute_and_before_a_step_beside_others(tmp_path: Path) -> None:
    book = Book()

    async def slow() -> str:
        await until(book.starts("second"))
        return "slow"

    spy = Says("spy", [None])
    members = [
        book.expert("slow", slow, produces="left"),
        book.expert("first", produces="half"),
        book.expert("second", consumes=("half",), produces="right"),
        book.expert("both", ILL, consumes=("left", "right"), skill=0.9),
        book.expert("pair", consumes=("left", "right")),
    ]
    ran = _ran(members, tmp_path, spy)
    assert ran.decision.answer == "pair"
    assert [sorted(route.agent for route in watch.routes) for watch in spy.seen] == [
        ["first", "slow"],
        ["second"],
        ["both"],
        ["pair"],
    ]


def test_a_stop_beside_others_begins_nothing_new(tmp_path: Path) -> None:
    book = Book()

    async def slow() -> str:
        await until(book.ends("first"))
        return "slow"

    def guard(watch: Watch) -> Signal | None:
        named = {agent.name for agent in watch.next_agents()}
        return Signal(0.9, "stop", "not this one") if "send" in named else None

    members = [
        book.expert("slow", slow, produces="left"),
        book.expert("first", produces="half"),
        book.expert("send", consumes=("half",), produces="right", effects=True),
        book.expert("both", consumes=("left", "right")),
    ]
    ran = _ran(members, tmp_path, guard)
    assert (ran.decision.status, book.calls["send"], book.calls["both"]) == ("escalated", 0, 0)


def test_an_expert_whose_breaker_opens_meanwhile_is_avoided(tmp_path: Path) -> None:
    """Two experts over one model: the first finds its key refused while the second is about to be asked."""
    vendor = Vendor({"m": Sold(error=ProviderError("HTTP 401", kind="auth")), "n": Sold("spare")})
    members: list[Member] = [
        Model(name="openai:m", free=True),
        Model(name="openai:n", free=True),
        Agent(name="a", model="openai:m", skill=0.9),
        Agent(name="b", model="openai:n", skill=0.5),
    ]

    def stubborn(view: View) -> Turn:
        return Turn(()) if view.replies else Turn((Route("a", f"try {view.state.turns}"),))

    orchestrator = Orchestrator(members, router=stubborn, providers={"openai": vendor}, trace=tmp_path, sleep=at_once)
    assert ask(orchestrator, tmp_path).decision.answer == "spare"
    again = ask(orchestrator, tmp_path)
    assert (again.decision.answer, vendor.tries["m"]) == ("spare", 1)
    (said,) = _board(again)
    assert (said.source, said.asks, said.avoid, said.priority) == ("health", "avoid", ("a",), 0.99)
    assert again.decision.reasons == ("avoided: a (health)",)


def test_a_probe_keeps_a_run_from_an_expert_that_is_not_there(tmp_path: Path) -> None:
    book, probed, clock = Book(), list[str](), FakeClock()

    async def probe(agent: Agent) -> bool:
        probed.append(agent.name)
        return agent.name != "x"

    members = [book.expert("x", skill=0.9), book.expert("y", skill=0.5)]
    orchestrator = Orchestrator(
        members, trace=tmp_path, clocks=Clocks(clock, clock), monitors=[HealthMonitor(probe=probe, every=10)]
    )
    assert ask(orchestrator, tmp_path).called() == ["y"]
    assert ask(orchestrator, tmp_path).called() == ["y"]
    assert probed == ["x", "y"]
    clock.pass_by(11)
    assert ask(orchestrator, tmp_path).called() == ["y"]
    assert probed == ["x", "y", "x", "y"]


def test_a_probe_that_breaks_down_says_that_nobody_is_there(tmp_path: Path) -> None:
    """A probe is asked whether somebody answers; one that cannot connect has been answered."""
    book = Book()

    async def probe(agent: Agent) -> bool:
        if agent.name == "x":
            raise ConnectionRefusedError("refused")
        return True

    ran = _ran([book.expert("x", skill=0.9), book.expert("y")], tmp_path, HealthMonitor(probe=probe))
    assert ran.called() == ["y"]


def _spending(folder: Path, monitor: Monitor | None, **limits: object) -> Ran:
    """Two models in a row: the first takes 85 of 100 tokens and cents, the second a little more."""
    usage = Usage(40, 45)
    vendor = Vendor(
        {
            "m": Sold("passages", usd=Decimal("0.85"), usage=usage),
            "n": Sold("answer", usd=Decimal("0.05"), usage=Usage(2, 3)),
        }
    )
    members: list[Member] = [
        Model(name="openai:m"),
        Model(name="openai:n"),
        Agent(name="search", model="openai:m", produces="passages"),
        Agent(name="write", model="openai:n", consumes=("passages",)),
    ]
    budget = Budget(**limits)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    monitors = None if monitor is None else [monitor]
    return ask(
        Orchestrator(members, providers={"openai": vendor}, trace=folder, budget=budget, monitors=monitors), folder
    )


@pytest.mark.parametrize(
    "limits", [{"usd": Decimal(1)}, {"usd": Decimal(1), "tokens": 100}, {"usd": Decimal(9), "tokens": 100}]
)
def test_the_budget_monitor_says_what_is_used_up(limits: dict[str, object], tmp_path: Path) -> None:
    ran = _spending(tmp_path, None, **limits)
    assert (ran.decision.answer, ran.decision.status) == ("answer", "answered")
    (event,) = ran.of(Monitored)
    (said,) = event.board
    assert (said.source, said.asks) == ("budget", "go_on")
    assert said.payload["share"] == pytest.approx(0.85)
    assert said.payload["limit"] == ("tokens" if limits["usd"] == 9 else "usd")
    assert "85%" in said.why


@pytest.mark.parametrize(("stop_at", "status"), [(0.8, "escalated"), (0.85, "escalated"), (0.9, "answered")])
def test_the_budget_monitor_stops_where_it_is_told_to(stop_at: float, status: str, tmp_path: Path) -> None:
    ran = _spending(tmp_path, BudgetMonitor(stop_at=stop_at), usd=Decimal(1))
    assert ran.decision.status == status
    assert len(ran.of(TryStarted)) == (1 if status == "escalated" else 2)


def test_the_budget_monitor_has_nothing_to_say_below_its_share(tmp_path: Path) -> None:
    assert _spending(tmp_path, None, usd=Decimal(5)).of(Monitored) == []


def _lasting(folder: Path, seconds: float, *monitors: Monitor) -> Ran:
    clock, book = FakeClock(), Book()

    def search() -> str:
        clock.pass_by(seconds)
        return "passages"

    members = [book.expert("search", search, produces="passages"), book.expert("write", consumes=("passages",))]
    return ask(
        Orchestrator(
            members, trace=folder, clocks=Clocks(clock, clock), budget=Budget(seconds=100), monitors=monitors or None
        ),
        folder,
    )


@pytest.mark.parametrize(("seconds", "boards"), [(50, 0), (79, 0), (81, 1), (99, 1)])
def test_the_deadline_monitor_says_what_is_gone(seconds: float, boards: int, tmp_path: Path) -> None:
    ran = _lasting(tmp_path, seconds)
    assert ran.decision.status == "answered"
    assert [(e.board[0].source, e.board[0].payload["share"]) for e in ran.of(Monitored)] == [
        ("deadline", seconds / 100)
    ] * boards


@pytest.mark.parametrize(("seconds", "status"), [(70, "answered"), (75, "escalated"), (99, "escalated")])
def test_the_deadline_monitor_stops_where_it_is_told_to(seconds: float, status: str, tmp_path: Path) -> None:
    ran = _lasting(tmp_path, seconds, DeadlineMonitor(stop_at=0.75))
    assert ran.decision.status == status
    assert ran.called() == (["search"] if status == "escalated" else ["search", "write"])


def test_the_progress_monitor_stops_a_router_that_goes_round_in_circles(tmp_path: Path) -> None:
    book = Book()

    def restless(view: View) -> Turn:
        return Turn((Route("x", f"again {view.state.turns}"),))

    members = [book.expert("x", ILL, retries=0), book.expert("z", produces="other")]
    orchestrator = Orchestrator(
        members, router=restless, trace=tmp_path, monitors=[ProgressMonitor(turns=4)], budget=Budget(turns=50)
    )
    ran = ask(orchestrator, tmp_path)
    assert (ran.decision.status, ran.decision.turns) == ("escalated", 4)
    assert "stopped for a person by progress: 4 turns have brought nothing new" in ran.decision.reasons
    assert _board(ran, -1)[0].payload == {"turns": 4}


def test_the_progress_monitor_lets_go_on_who_gets_on(tmp_path: Path) -> None:
    book = Book()

    def curious(view: View) -> Turn:
        if view.state.turns >= 10:
            return Turn(())
        return Turn((Think("hm"),) if view.state.turns % 2 else (Route("x", f"part {view.state.turns}"),))

    orchestrator = Orchestrator(
        [book.expert("x")], router=curious, trace=tmp_path, monitors=[ProgressMonitor(turns=4)], budget=Budget(turns=50)
    )
    ran = ask(orchestrator, tmp_path)
    assert (ran.decision.status, book.calls["x"]) == ("answered", 5)
    assert ran.of(Monitored) == []


def test_no_monitors_at_all_watch_where_none_are_wanted(tmp_path: Path) -> None:
    book = Book()
    risk = Risk(name="any", pattern=".")
    ran = _ran([risk, book.expert("send", effects=True)], tmp_path)
    assert (ran.decision.status, book.calls["send"], ran.of(Monitored)) == ("answered", 1, [])
    stopped = ask(Orchestrator([risk, book.expert("send", effects=True)], trace=tmp_path), tmp_path)
    assert (stopped.decision.status, book.calls["send"]) == ("escalated", 1)


@dataclass
class Order:
    """An artifact of one's own."""

    amount: object


def _ordering(folder: Path, order: object, *rules: Risk, effects: bool = True, then: str = "sent") -> tuple[Ran, Book]:
    """An expert that drafts an order, and one that sends it."""
    book = Book()
    members: list[Member] = [
        book.expert("draft", order, produces="order"),
        book.expert("send", then, consumes=("order",), effects=effects),
        *rules,
    ]
    return ask(Orchestrator(members, trace=folder), folder), book


LIMIT = Risk(name="limit", field="order.amount", above=1000)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({"amount": 1000.01}, "above 1000"),
        ({"amount": Decimal(2000)}, "above 1000"),
        ({"amount": 10**400}, "above 1000"),
        ({"amount": float("inf")}, "above 1000"),
        ({"amount": "1200"}, "is no number"),
        ({"amount": None}, "is no number"),
        ({"amount": True}, "is no number"),
        ({"amount": float("nan")}, "is no number"),
        ({"amount": Decimal("NaN")}, "is no number"),
        ({"amount": Decimal("sNaN")}, "is no number"),
        ({"amount": [1]}, "is no number"),
        ('{"amount": 1200}', "above 1000"),
        ('{"amount": NaN}', "is no number"),
        ('{"amount": 1e999}', "above 1000"),
        (Order(5000), "above 1000"),
    ],
)
def test_a_risk_stops_before_the_effect_and_not_after(order: object, why: str, tmp_path: Path) -> None:
    ran, book = _ordering(tmp_path, order, LIMIT)
    assert book.calls == {"draft": 1}
    assert (ran.decision.answer, ran.decision.status) == (None, "escalated")
    assert ran.decision.reasons[0].startswith("stopped for a person by limit: ")
    assert why in ran.decision.reasons[0]
    assert "send" in ran.decision.reasons[0]
    (event,) = ran.of(Monitored)
    assert event.board[0].model_dump(include={"source", "priority", "asks", "payload"}) == {
        "source": "limit",
        "priority": 0.95,
        "asks": "stop",
        "payload": {"field": "order.amount", "before": ["send"]},
    }


@pytest.mark.parametrize(
    "order", [{"amount": 1000}, {"amount": -5}, {"amount": Decimal("999.99")}, Order(3), '{"amount": 3}']
)
def test_what_is_within_bounds_goes_on(order: object, tmp_path: Path) -> None:
    ran, book = _ordering(tmp_path, order, LIMIT)
    assert (ran.decision.status, book.calls["send"], ran.of(Monitored)) == ("answered", 1, [])


@pytest.mark.parametrize("order", [{"sum": 5000}, "no JSON at all", '{"amount": 1', "[1, 2]", 7, {}])
def test_a_declared_number_that_is_not_there_is_a_risk(order: object, tmp_path: Path) -> None:
    """The order is there and holds no amount where the rule wants one: nobody can say that it is within bounds."""
    ran, book = _ordering(tmp_path, order, LIMIT)
    assert (ran.decision.status, book.calls["send"]) == ("escalated", 0)


@pytest.mark.parametrize(
    ("rule", "order", "stops"),
    [
        (Risk(name="r", field="order.amount", below=10), {"amount": 9.99}, True),
        (Risk(name="r", field="order.amount", below=10), {"amount": 10}, False),
        (Risk(name="r", field="order.amount", above=5, below=1), {"amount": 3}, False),
        (Risk(name="r", field="order.amount", above=5, below=1), {"amount": 0}, True),
        (Risk(name="r", field="order.to.name", pattern="(?i)mallory"), {"to": {"name": "MALLORY"}}, True),
        (Risk(name="r", field="order.to.name", pattern="(?i)mallory"), {"to": {"name": "Ann"}}, False),
        (Risk(name="r", field="order", pattern="DROP TABLE"), "x; DROP TABLE y", True),
        (Risk(name="r", field="order", pattern="DROP TABLE"), "nothing of it", False),
        (Risk(name="r", field="order", above=100), 150, True),
        (Risk(name="r", field="order", above=100), 50, False),
        (Risk(name="r", field="order", above=100), "150", True),
        (Risk(name="r", field="question", pattern="What"), "x", True),
        (Risk(name="r", pattern="is it"), "x", True),
        (Risk(name="r", pattern="never"), "x", False),
        (Risk(name="r", field="order.amount", above=5, pattern="[a-z]"), {"amount": 3}, False),
        (Risk(name="r", field="order.amount", above=5, pattern="3"), {"amount": 3}, True),
    ],
)
def test_rules_hold_where_they_say(rule: Risk, order: object, stops: bool, tmp_path: Path) -> None:
    ran, book = _ordering(tmp_path, order, rule)
    assert (ran.decision.status == "escalated", book.calls["send"]) == (stops, 0 if stops else 1)


def test_a_rule_guards_whom_it_names(tmp_path: Path) -> None:
    ran, book = _ordering(tmp_path, {"amount": 5000}, Risk(name="r", field="order.amount", above=1, before=("draft",)))
    assert (ran.decision.status, book.calls["send"]) == ("answered", 1)
    ran, book = _ordering(tmp_path, {"amount": 5000}, Risk(name="r", field="order.amount", above=1, before=("send",)))
    assert (ran.decision.status, book.calls["send"]) == ("escalated", 0)


def test_without_effects_a_rule_guards_everybody(tmp_path: Path) -> None:
    ran, book = _ordering(tmp_path, {"amount": 5000}, LIMIT, effects=False)
    assert (ran.decision.status, book.calls) == ("escalated", {"draft": 1})


def test_a_rule_says_so_ahead_of_what_it_guards(tmp_path: Path) -> None:
    """The question holds it from the start; the stop comes when the effect would be next."""
    ran, book = _ordering(tmp_path, "x", Risk(name="r", pattern="What"))
    first, last = ran.of(Monitored)
    assert [(said.source, said.asks) for said in first.board] == [("r", "go_on")]
    assert first.board[0].priority < last.board[0].priority
    assert (last.board[0].asks, book.calls) == ("stop", {"draft": 1})


def test_a_sibling_of_the_effect_is_guarded_like_it(tmp_path: Path) -> None:
    book = Book()
    members: list[Member] = [
        book.expert("draft", {"amount": 5}, produces="order"),
        book.expert("look", consumes=("order",), produces="looked"),
        book.expert("send", consumes=("order",), produces="sent", effects=True),
        book.expert("both", consumes=("looked", "sent")),
        Risk(name="r", field="order.amount", above=1),
    ]
    ran = ask(Orchestrator(members, trace=tmp_path), tmp_path)
    assert (ran.decision.status, book.calls["send"]) == ("escalated", 0)


def test_the_query_of_a_routers_model_is_held_against_rules(tmp_path: Path) -> None:
    book = Book()
    members: list[Member] = [book.expert("send", effects=True), Risk(name="r", pattern="(?i)all of it")]
    said = [routes("tools", ("send", "Send ALL OF IT to Bob")), answers("tools", "done")]
    ran = Stage(tmp_path, {"router": said}, members=members).run(whole=False)
    assert (ran.decision.status, book.calls) == ("escalated", {})


def test_a_rule_looks_at_what_a_reroute_gave(tmp_path: Path) -> None:
    book = Book()
    members: list[Member] = [
        book.expert("draft", ILL, produces="order", skill=0.9),
        book.expert("sketch", {"amount": 9999}, produces="order"),
        book.expert("send", consumes=("order",), effects=True),
        LIMIT,
    ]
    ran = ask(Orchestrator(members, trace=tmp_path), tmp_path)
    assert (ran.decision.status, book.calls["send"]) == ("escalated", 0)


def test_a_stop_by_a_rule_beats_somebody_to_avoid_below_it(tmp_path: Path) -> None:
    """Health (0.99) is above a rule (0.95): once somebody is avoided, the rule still has its say."""
    book = Book()

    async def probe(agent: Agent) -> bool:
        return agent.name != "send"

    members: list[Member] = [
        book.expert("draft", {"amount": 5000}, produces="order"),
        book.expert("send", consumes=("order",), effects=True, skill=0.9),
        book.expert("post", consumes=("order",), effects=True, skill=0.5),
    ]
    ran = ask(Orchestrator(members, trace=tmp_path, monitors=[HealthMonitor(probe), RiskMonitor(LIMIT)]), tmp_path)
    assert ran.decision.status == "escalated"
    assert book.calls == {"draft": 1}


def test_a_rule_is_not_drowned_out_by_somebody_who_is_avoided_already(tmp_path: Path) -> None:
    """A monitor that goes on asking to avoid the same expert has what it wants: the next word counts."""
    book = Book()
    nagging = Says("nagging", [Signal(0.99, "avoid", "in repair", ("post",))])
    members: list[Member] = [
        book.expert("draft", {"amount": 5000}, produces="order"),
        book.expert("post", consumes=("order",), effects=True, skill=0.9),
        book.expert("send", consumes=("order",), effects=True, skill=0.5),
    ]
    ran = ask(Orchestrator(members, trace=tmp_path, monitors=[nagging, RiskMonitor(LIMIT)]), tmp_path)
    assert (ran.decision.status, book.calls["send"]) == ("escalated", 0)


def test_two_rules_go_by_priority_then_name(tmp_path: Path) -> None:
    rules = [
        Risk(name="b", field="order.amount", above=1, priority=0.6),
        Risk(name="a", field="order.amount", above=1, priority=0.6),
        Risk(name="z", field="order.amount", above=1, priority=0.7),
    ]
    ran, _ = _ordering(tmp_path, {"amount": 5}, *rules)
    assert [said.source for said in _board(ran)] == ["z", "a", "b"]
    assert ran.decision.reasons[0].startswith("stopped for a person by z: ")


POOL = """
[agents.draft]
tool = "work.py:draft"
produces = "order"

[agents.send]
tool = "work.py:send"
consumes = ["order"]
effects = true

[risks.limit]
field = "order.amount"
above = 1000
before = ["send"]
priority = 0.8
"""
WORK = """
def draft(question):
    return {"amount": 5000 if "much" in question else 5}


def send(order):
    return "sent"
"""


def _written(folder: Path, pool: str = POOL) -> Pool:
    folder.mkdir()
    (folder / "pool.toml").write_text(pool)
    (folder / "work.py").write_text(WORK)
    return load_folder(folder)


@pytest.mark.parametrize(("asked", "status"), [("much", "escalated"), ("little", "answered")])
def test_a_rule_in_toml(asked: str, status: str, tmp_path: Path) -> None:
    ran = ask(Orchestrator(_written(tmp_path / "agents"), trace=tmp_path), tmp_path, asked)
    assert ran.decision.status == status
    assert ran.called() == (["draft"] if status == "escalated" else ["draft", "send"])


@pytest.mark.parametrize(
    ("line", "instead", "place", "told"),
    [
        ('field = "order.amount"', 'field = "ordr.amount"', "risks.limit.field", "did you mean `order`?"),
        ('field = "order.amount"', 'field = ""', "risks.limit.field", ""),
        ('field = "order.amount"', "field = 3", "risks.limit.field", "text in quotes"),
        ("above = 1000", 'above = "1000"', "risks.limit.above", "a number"),
        ("above = 1000", "above = nan", "risks.limit.above", "finite"),
        ("above = 1000", "abov = 1000", "risks.limit.abov", "did you mean `above`?"),
        ("above = 1000", "", "risks.limit", "looks for nothing"),
        ("above = 1000", 'pattern = "("', "risks.limit.pattern", "regular expression"),
        ('before = ["send"]', 'before = ["sned"]', "risks.limit.before", "did you mean `send`?"),
        ('before = ["send"]', 'before = "send"', "risks.limit.before", "a list"),
        ("priority = 0.8", "priority = 1.5", "risks.limit.priority", "at most 1"),
        ("priority = 0.8", "priority = -1", "risks.limit.priority", "at least 0"),
        ("[risks.limit]", "[risk.limit]", "risk", "did you mean `risks`?"),
    ],
)
def test_broken_rules_in_toml_are_named(line: str, instead: str, place: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _written(tmp_path / "agents", POOL.replace(line, instead))
    assert "pool.toml" in str(caught.value.file)
    assert str(caught.value.field).startswith(place)
    assert told in str(caught.value)


def test_a_rule_that_is_written_twice_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "agents"
    folder.mkdir()
    (folder / "more.toml").write_text('[risks.limit]\npattern = "x"\n')
    (folder / "pool.toml").write_text(POOL)
    (folder / "work.py").write_text(WORK)
    with pytest.raises(ConfigError, match="limit"):
        load_folder(folder)


def test_a_decorated_function_is_guarded_too(tmp_path: Path) -> None:
    done: list[str] = []

    @expert(effects=True)
    def send(question: str) -> str:
        done.append(question)
        return "sent"

    ran = ask(Orchestrator([send, Risk(name="r", pattern="(?i)all")], trace=tmp_path), tmp_path, "Send all.")
    assert (ran.decision.status, done) == ("escalated", [])
    assert ask(Orchestrator([send], trace=tmp_path), tmp_path, "Send all.").decision.status == "answered"
