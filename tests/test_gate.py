"""The gate through its public door: tries, waits, timeouts, money, breakers and what the trace says of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Protocol, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.budget import Budget, Ledger
from orchestrator.errors import (
    RETRYABLE,
    AttemptError,
    FailureKind,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    ToolError,
)
from orchestrator.health import Health
from orchestrator.messages import Usage
from orchestrator.providers import Call, Gate, Paid, Quote, Result
from orchestrator.trace import Journal, read_trace
from orchestrator.trace.events import BreakerChanged, TryEnded, TryStarted
from tests.fake_clock import FakeClock

KINDS: tuple[FailureKind, ...] = get_args(FailureKind)
INPUT, RESERVE = Decimal("0.01"), Decimal("0.10")
UNLIMITED = Budget()
PRICED = Quote(expected=Decimal("0.05"), reserve=RESERVE, input_cost=INPUT, tokens=50)
GOOD = Result("fine", Usage(20, 10), Decimal("0.04"))

Script = list[Result | BaseException]


@dataclass
class World:
    """A gate with a clock of its own, and a journal in a file."""

    path: Path
    budget: Budget
    deadline: float
    seed: int

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.health = Health(self.clock)
        self.ledger = Ledger(self.budget)
        self.journal = Journal("run", self.path, now=lambda: 0.0)
        self.gate = Gate(
            self.health, self.ledger, self.journal, self.clock, self.clock.sleep, Random(self.seed), self.deadline
        )
        self.made = 0

    def call(self, script: Script, *, retries: int = 0, quote: Quote = PRICED, **more: FailureKind | None) -> Call:
        """A call that does what the script says, try by try; its last line is repeated."""

        async def work() -> Result:
            step = script[min(self.made, len(script) - 1)]
            self.made += 1
            if isinstance(step, BaseException):
                raise step
            return step

        return self.call_of(work, retries=retries, quote=quote, fault=more.get("fault"))

    def call_of(
        self,
        work: Callable[[], Awaitable[Result]],
        *,
        retries: int = 0,
        quote: Quote = PRICED,
        fault: FailureKind | None = None,
        timeout: float = 5.0,
    ) -> Call:
        """A call of any work."""
        return Call(
            attempt=1,
            key="m",
            work=lambda _: work(),
            quote=lambda: quote,
            timeout=timeout,
            retries=lambda: retries,
            fault=fault,
        )

    def attempt(self, call: Call) -> Paid:
        """Pass a call through the gate; afterwards nothing is held, and what began has ended."""
        paid = asyncio.run(self.gate.attempt(call))
        assert self.ledger.in_flight == 0
        begun = [(event.attempt, event.number) for event in self.begun]
        assert begun == [(event.attempt, event.number) for event in self.ended]
        assert begun == [(1, number) for number in range(1, paid.tries + 1)]
        if paid.cost is not None:
            assert self.ledger.spent == paid.cost == sum((event.usd or 0 for event in self.ended), Decimal(0))
        assert self.ledger.usage == paid.usage
        return paid

    @property
    def begun(self) -> list[TryStarted]:
        """Tries that the trace says were begun."""
        return [event for event in read_trace(self.path).events if isinstance(event, TryStarted)]

    @property
    def ended(self) -> list[TryEnded]:
        """Tries that the trace says have ended."""
        return [event for event in read_trace(self.path).events if isinstance(event, TryEnded)]


class Build(Protocol):
    """Builds worlds, and closes their journals when the test is over."""

    def __call__(self, *, budget: Budget = ..., deadline: float = ..., seed: int = ...) -> World:
        """A world with a journal of its own."""
        ...


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    built: list[World] = []

    def one(*, budget: Budget = UNLIMITED, deadline: float = float("inf"), seed: int = 1) -> World:
        built.append(World(tmp_path / f"{len(built)}.jsonl", budget, deadline, seed))
        return built[-1]

    yield one
    for world in built:
        world.journal.close()


@pytest.fixture
def world(build: Build) -> World:
    return build()


def failure(kind: FailureKind) -> AttemptError:
    """An error of a kind, from a server that was reached."""
    return ProviderError(f"it was {kind}", kind=kind)


def sick(world: World, error: AttemptError) -> None:
    """One more try of the model failed, elsewhere."""
    number, _ = world.health.admit("m")
    assert number is not None
    world.health.failed("m", number, error)


def test_a_good_try_is_settled_with_what_it_cost(world: World) -> None:
    paid = world.attempt(world.call([GOOD], retries=2))
    assert (paid.result, paid.error, paid.tries) == (GOOD, None, 1)
    assert (world.ledger.spent, world.ledger.exact) == (Decimal("0.04"), True)
    assert world.begun[0].reserved_usd == RESERVE
    assert (world.ended[0].kind, world.ended[0].usd, world.ended[0].exact) == (None, Decimal("0.04"), True)
    assert world.clock.waits == []


@pytest.mark.parametrize("kind", KINDS)
def test_only_retryable_kinds_are_tried_again(world: World, kind: FailureKind) -> None:
    paid = world.attempt(world.call([failure(kind)], retries=2))
    assert paid.tries == world.made == (3 if kind in RETRYABLE else 1)
    assert paid.error is not None
    assert paid.error.kind == kind
    assert len(world.clock.waits) == paid.tries - 1


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_retries_are_the_tries_after_the_first(world: World, retries: int) -> None:
    paid = world.attempt(world.call([failure("server")], retries=retries))
    assert (paid.tries, paid.result) == (1 + retries, None)


def test_a_retry_that_succeeds_is_no_failure_and_all_tries_are_paid(world: World) -> None:
    paid = world.attempt(world.call([failure("server"), failure("timeout"), GOOD], retries=2))
    assert (paid.result, paid.error, paid.tries) == (GOOD, None, 3)
    assert paid.cost == 2 * INPUT + Decimal("0.04")
    assert [event.kind for event in world.ended] == ["server", "timeout", None]
    assert [event.exact for event in world.ended] == [False, False, True]
    assert not world.ledger.exact
    assert paid.seconds == pytest.approx(sum(world.clock.waits))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), retries=st.integers(1, 4))
def test_waits_have_full_jitter_under_a_doubling_bound(build: Build, seed: int, retries: int) -> None:
    world = build(seed=seed)
    world.attempt(world.call([failure("server")], retries=retries))
    bounds = [min(8.0, 0.5 * 2**number) for number in range(retries)]
    assert len(world.clock.waits) == retries
    assert all(0 <= wait <= bound for wait, bound in zip(world.clock.waits, bounds, strict=True))


def test_jitter_uses_the_whole_width_and_stays_under_eight_seconds(build: Build) -> None:
    world = build()
    world.health = world.gate.health = Health(lambda: world.clock.pass_by(100) or world.clock())  # forgets at once
    world.attempt(world.call([failure("server")], retries=400))
    late = world.clock.waits[10:]
    assert max(late) <= 8
    assert max(late) > 7.5
    assert min(late) < 0.5


def test_the_wait_is_what_the_server_asks_for(world: World) -> None:
    error = RateLimited("slow down", retry_after=33.0)
    paid = world.attempt(world.call([error, GOOD], retries=1))
    assert world.clock.waits == [33.0]
    assert paid.result == GOOD
    changes = [event for event in read_trace(world.path).events if isinstance(event, BreakerChanged)]
    assert [(event.before, event.after, event.seconds) for event in changes] == [
        ("closed", "open", 33.0),
        ("open", "half_open", None),
        ("half_open", "closed", None),
    ]


@pytest.mark.parametrize(("deadline", "tries"), [(33.0, 1), (33.5, 2)])
def test_no_wait_goes_past_the_deadline(build: Build, deadline: float, tries: int) -> None:
    world = build(deadline=1000 + deadline)
    paid = world.attempt(world.call([RateLimited("slow down", retry_after=33.0), GOOD], retries=5))
    assert paid.tries == tries
    assert world.clock() < 1000 + deadline


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_no_try_begins_at_the_deadline_or_after_it(build: Build, late: float) -> None:
    world = build(deadline=1000)
    world.clock.pass_by(late)
    paid = world.attempt(world.call([GOOD], retries=5))
    assert (paid.tries, world.made, world.ledger.spent) == (0, 0, 0)
    assert paid.error is not None
    assert paid.error.kind == "timeout"
    assert world.health.success_rate("m") == 1.0


@pytest.mark.parametrize(("timeout", "deadline", "said"), [(0.01, 9.0, "0.01 s"), (9.0, 0.02, "0.02 s")])
def test_a_try_ends_at_its_timeout_or_at_the_deadline(build: Build, timeout: float, deadline: float, said: str) -> None:
    world = build(deadline=1000 + deadline)

    async def hang() -> Result:
        await asyncio.sleep(30)
        return GOOD

    paid = world.attempt(world.call_of(hang, timeout=timeout))
    assert isinstance(paid.error, ProviderTimeout)
    assert said in str(paid.error)
    assert paid.cost == INPUT


def test_a_timeout_of_the_work_itself_keeps_its_words(world: World) -> None:
    paid = world.attempt(world.call([TimeoutError("the socket was silent")]))
    assert paid.error is not None
    assert (paid.error.kind, str(paid.error)) == ("timeout", "the socket was silent")


@pytest.mark.parametrize(
    ("error", "cost", "exact"),
    [
        (ProviderError("cut", kind="connection", sent=True), INPUT, False),
        (ProviderError("no such host", kind="connection", sent=False), Decimal(0), True),
        (RateLimited("slow down", retry_after=1.0), INPUT, False),
        (AttemptError("gibberish", kind="malformed"), INPUT, False),
        (ValueError("a bug in an adapter"), INPUT, False),
    ],
)
def test_a_failed_try_is_charged_its_input_unless_it_was_never_sent(
    world: World, error: Exception, cost: Decimal, exact: bool
) -> None:
    paid = world.attempt(world.call([error]))
    assert (paid.cost, world.ledger.spent, world.ledger.exact) == (cost, cost, exact)
    assert (world.ended[0].usd, world.ended[0].exact) == (cost, exact)


def test_a_failed_tool_costs_nothing_and_the_sum_stays_exact(world: World) -> None:
    paid = world.attempt(world.call([ToolError("cannot read this")], quote=Quote()))
    assert (paid.cost, world.ledger.spent, world.ledger.exact) == (0, 0, True)


def test_an_unknown_price_stays_unknown(world: World) -> None:
    unknown = Quote(expected=None, reserve=None, input_cost=None)
    paid = world.attempt(world.call([failure("server"), Result("fine", cost=None)], quote=unknown, retries=1))
    assert (paid.cost, world.ledger.spent) == (None, None)
    assert [event.usd for event in world.ended] == [None, None]


def test_a_reply_without_a_bill_is_charged_its_reserve(build: Build) -> None:
    world = build(budget=Budget(usd=Decimal(1)))
    paid = world.attempt(world.call([Result("fine", cost=None)]))
    assert (paid.cost, world.ledger.spent, world.ledger.exact) == (RESERVE, RESERVE, False)
    assert (world.ended[0].usd, world.ended[0].exact) == (RESERVE, False)


@pytest.mark.parametrize(
    ("budget", "limit"), [(Budget(usd=Decimal("0.09")), "limit:usd"), (Budget(tokens=49), "limit:tokens")]
)
def test_what_cannot_be_paid_is_not_tried(build: Build, budget: Budget, limit: str) -> None:
    world = build(budget=budget)
    paid = world.attempt(world.call([GOOD], retries=3))
    assert (paid.tries, world.made, world.begun) == (0, 0, [])
    assert paid.error is not None
    assert paid.error.kind == "budget"
    assert str(paid.error).startswith(limit)
    assert world.health.success_rate("m") == 1.0


def test_retries_stop_when_the_money_is_used_up(build: Build) -> None:
    world = build(budget=Budget(usd=RESERVE + INPUT))
    paid = world.attempt(world.call([failure("server")], retries=9))
    assert (paid.tries, world.ledger.spent) == (2, 2 * INPUT)
    assert paid.error is not None
    assert paid.error.kind == "server"  # the cause, not the refusal of a third try


def test_an_open_breaker_refuses_without_a_try(world: World) -> None:
    sick(world, failure("auth"))
    paid = world.attempt(world.call([GOOD], retries=3))
    assert (paid.tries, world.made, world.begun, world.ledger.spent) == (0, 0, [], 0)
    assert paid.error is not None
    assert paid.error.kind == "breaker_open"


def test_a_refused_reservation_gives_the_half_open_place_back(build: Build) -> None:
    world = build(budget=Budget(usd=Decimal(0)))
    for _ in range(5):
        sick(world, failure("server"))
    world.clock.pass_by(30)
    world.attempt(world.call([GOOD]))
    assert not world.health.breaker("m").closed_to()


def test_failures_open_the_breaker_and_the_trace_says_so(world: World) -> None:
    paid = world.attempt(world.call([failure("server")], retries=9))
    assert paid.tries == 5
    assert paid.error is not None
    assert paid.error.kind == "server"  # the cause, not the refusal of a sixth try
    changes = [event for event in read_trace(world.path).events if isinstance(event, BreakerChanged)]
    assert [(event.key, event.before, event.after, event.seconds) for event in changes] == [("m", "closed", "open", 30)]


def test_a_breaker_that_opens_for_good_names_no_time(world: World) -> None:
    world.attempt(world.call([failure("auth")]))
    changes = [event for event in read_trace(world.path).events if isinstance(event, BreakerChanged)]
    assert [event.seconds for event in changes] == [None]


@pytest.mark.parametrize(
    "error", [ValueError("bad"), KeyError("k"), RecursionError("deep"), ExceptionGroup("g", [OSError()])]
)
def test_any_exception_of_the_work_becomes_a_failure_with_its_name(world: World, error: Exception) -> None:
    paid = world.attempt(world.call([error], retries=2))
    assert isinstance(paid.error, ToolError)
    assert (paid.error.kind, paid.error.sick, paid.error.__cause__) == ("tool", True, error)
    assert (world.ended[0].kind, world.ended[0].error) == ("tool", f"{type(error).__name__}: {error}")


def test_work_that_cancels_itself_has_failed_and_nobody_else_is_cancelled(world: World) -> None:
    paid = world.attempt(world.call([asyncio.CancelledError()]))
    assert paid.error is not None
    assert (paid.error.kind, str(paid.error)) == ("tool", "cancelled itself")


def test_a_cancelled_try_is_charged_its_input_and_holds_nothing(world: World) -> None:
    for _ in range(5):
        sick(world, failure("server"))
    world.clock.pass_by(30)

    async def cancel_midway() -> None:
        begun = asyncio.Event()

        async def hang() -> Result:
            begun.set()
            await asyncio.sleep(30)
            return GOOD

        running = asyncio.create_task(world.gate.attempt(world.call_of(hang)))
        await begun.wait()
        assert world.ledger.held == RESERVE
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel_midway())
    assert (world.ledger.in_flight, world.ledger.spent, world.ledger.exact) == (0, INPUT, False)
    assert not world.health.breaker("m").closed_to(), "the half-open place is free again"
    (ended,) = world.ended
    assert (ended.cancelled, ended.kind, ended.usd, ended.exact) == (True, None, INPUT, False)
    assert len(world.begun) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_injected_faults_cost_nothing_and_make_no_call(world: World, kind: FailureKind) -> None:
    paid = world.attempt(world.call([GOOD], retries=2, fault=kind))
    assert (world.made, paid.cost, world.ledger.spent, world.ledger.exact) == (0, 0, 0, True)
    assert paid.error is not None
    assert paid.error.kind == kind
    assert paid.tries == (3 if kind in RETRYABLE else 1)


outcomes = st.sampled_from(["good", "dear", "unbilled", "server", "refusal", "unsent", "bug", "slow"])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(outcomes, min_size=64, max_size=64), limit=st.integers(0, 400), seed=st.integers(0, 99))
def test_64_calls_at_once_stay_within_the_budget(build: Build, script: list[str], limit: int, seed: int) -> None:
    budget = Budget(usd=Decimal(limit) / 100)
    world = build(budget=budget, seed=seed)

    async def work(outcome: str) -> Result:
        await asyncio.sleep(0)
        assert (world.ledger.spent or 0) + world.ledger.held <= Decimal(limit) / 100
        match outcome:
            case "good" | "dear":
                return Result("fine", Usage(1), RESERVE if outcome == "dear" else INPUT)
            case "unbilled":
                return Result("fine", cost=None)
            case "server" | "refusal":
                raise failure("server" if outcome == "server" else "refusal")
            case "unsent":
                raise ProviderError("no such host", kind="connection", sent=False)
            case "bug":
                raise ZeroDivisionError
            case _:
                await asyncio.sleep(0.001)
                return GOOD

    async def crowd() -> list[Paid]:
        calls = [
            Call(
                attempt=number,
                key=f"m{number % 7}",
                work=lambda _, o=outcome: work(o),
                quote=lambda: PRICED,
                timeout=5.0,
                retries=lambda n=number: n % 3,
            )
            for number, outcome in enumerate(script)
        ]
        return await asyncio.gather(*(world.gate.attempt(call) for call in calls))

    paid = asyncio.run(crowd())
    assert world.ledger.in_flight == 0
    assert world.ledger.spent == sum((each.cost or 0 for each in paid), Decimal(0))
    assert sum((each.cost or 0 for each in paid), Decimal(0)) <= Decimal(limit) / 100
    begun = sorted((event.attempt, event.number) for event in world.begun)
    assert begun == sorted((event.attempt, event.number) for event in world.ended)
