"""Circuit breakers and moving averages, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from orchestrator.errors import (
    SICK,
    AttemptError,
    FailureKind,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    ToolError,
)
from orchestrator.health import Breaker, BreakerChange, Health
from tests.fake_clock import FakeClock

DOWN = ProviderError("down", kind="server")
DENIED = ProviderError("bad key", kind="auth")
KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker("m", clock)


def fail(breaker: Breaker, times: int) -> None:
    """So many tries in a row, each failed."""
    for _ in range(times):
        assert breaker.admit()
        breaker.failed(DOWN)


def open_it(breaker: Breaker) -> None:
    """Five failures, after which it must be open."""
    fail(breaker, 5)
    assert breaker.state == "open"


def probe(breaker: Breaker, clock: FakeClock) -> None:
    """Wait until an open breaker lets one through, and take that place."""
    clock.now = breaker.until
    assert breaker.admit()
    assert breaker.state == "half_open"


def test_it_opens_at_the_fifth_failure_and_not_at_the_fourth(breaker: Breaker) -> None:
    fail(breaker, 4)
    assert (breaker.state, breaker.closed_to()) == ("closed", False)
    fail(breaker, 1)
    assert (breaker.state, breaker.closed_to(), breaker.admit()) == ("open", True, False)


@pytest.mark.parametrize(("good", "state"), [(14, "open"), (15, "open"), (16, "closed")])
def test_only_the_last_twenty_tries_count(breaker: Breaker, good: int, state: str) -> None:
    fail(breaker, 4)
    for _ in range(good):
        breaker.succeeded()
    fail(breaker, 1)
    assert breaker.state == state


@pytest.mark.parametrize(("seconds", "state"), [(60.0, "open"), (60.5, "closed")])
def test_only_the_last_sixty_seconds_count(breaker: Breaker, clock: FakeClock, seconds: float, state: str) -> None:
    fail(breaker, 1)
    clock.pass_by(seconds)
    fail(breaker, 4)
    assert breaker.state == state


def test_authentication_opens_for_good(breaker: Breaker, clock: FakeClock) -> None:
    breaker.failed(DENIED)
    clock.pass_by(10**9)
    assert (breaker.state, breaker.admit()) == ("open", False)
    breaker.succeeded()
    assert not breaker.admit(), "a try that was under way cannot reopen what a bad key has closed"
    breaker.failed(RateLimited("slow down", retry_after=1.0))
    clock.pass_by(10**9)
    assert not breaker.admit()


def test_a_rate_limit_opens_until_the_server_says(breaker: Breaker, clock: FakeClock) -> None:
    breaker.failed(RateLimited("slow down", retry_after=7.5))
    clock.pass_by(7.4)
    assert not breaker.admit()
    clock.pass_by(0.1)
    assert breaker.admit()


@pytest.mark.parametrize(("first", "second", "opens_after"), [(90.0, 5.0, 90.0), (5.0, 90.0, 90.0)])
def test_the_longer_cooldown_wins(
    breaker: Breaker, clock: FakeClock, first: float, second: float, opens_after: float
) -> None:
    start = clock()
    breaker.failed(RateLimited("slow down", retry_after=first))
    breaker.failed(RateLimited("slow down", retry_after=second))
    assert breaker.until == start + opens_after


def test_a_long_retry_after_outlives_the_cooldown_of_five_failures(breaker: Breaker, clock: FakeClock) -> None:
    breaker.failed(RateLimited("slow down", retry_after=200.0))
    for _ in range(6):
        breaker.failed(DOWN)
    assert breaker.until == clock() + 200


def test_a_rate_limit_without_a_time_counts_as_a_failure(breaker: Breaker) -> None:
    for _ in range(4):
        breaker.failed(RateLimited("slow down"))
    assert breaker.state == "closed"
    breaker.failed(RateLimited("slow down"))
    assert breaker.state == "open"


def test_the_cooldown_doubles_up_to_five_minutes_and_starts_anew_after_a_success(
    breaker: Breaker, clock: FakeClock
) -> None:
    open_it(breaker)
    seen = [breaker.until - clock()]
    for _ in range(6):
        probe(breaker, clock)
        breaker.failed(DOWN)
        seen.append(breaker.until - clock())
    assert seen == [30, 60, 120, 240, 300, 300, 300]
    probe(breaker, clock)
    breaker.succeeded()
    open_it(breaker)
    assert breaker.until - clock() == 30


def test_a_success_closes_and_forgets_the_failures(breaker: Breaker, clock: FakeClock) -> None:
    open_it(breaker)
    probe(breaker, clock)
    breaker.succeeded()
    assert breaker.state == "closed"
    fail(breaker, 4)
    assert breaker.state == "closed"


def test_half_open_lets_one_through_at_a_time(breaker: Breaker, clock: FakeClock) -> None:
    open_it(breaker)
    clock.now = breaker.until
    assert not breaker.closed_to(), "asking does not take the place"
    assert not breaker.closed_to()
    assert breaker.admit()
    assert (breaker.closed_to(), breaker.admit()) == (True, False)
    breaker.abandoned()
    assert breaker.admit()
    assert not breaker.admit()


def test_half_open_lets_one_through_out_of_64_at_once(breaker: Breaker, clock: FakeClock) -> None:
    open_it(breaker)
    clock.now = breaker.until
    inside, most, admitted = 0, 0, 0

    async def ask(number: int) -> None:
        nonlocal inside, most, admitted
        await asyncio.sleep(0)
        if not breaker.admit():
            return
        admitted += 1
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        breaker.abandoned() if number < 63 else breaker.failed(DOWN)

    async def crowd() -> None:
        await asyncio.gather(*(ask(number) for number in range(64)))
        await asyncio.gather(*(ask(number) for number in range(64)))

    asyncio.run(crowd())
    assert most == 1
    assert admitted == 2


@pytest.mark.parametrize("kind", sorted(set(KINDS) - SICK))
def test_what_does_not_speak_against_the_server_opens_nothing(
    breaker: Breaker, clock: FakeClock, kind: FailureKind
) -> None:
    for _ in range(30):
        breaker.failed(AttemptError("no", kind=kind))
    assert breaker.state == "closed"
    open_it(breaker)
    probe(breaker, clock)
    breaker.failed(AttemptError("no", kind=kind))
    assert breaker.admit(), "the place is free again"


@pytest.mark.parametrize("kind", sorted(SICK - {"auth"}))
def test_what_speaks_against_the_server_counts(breaker: Breaker, kind: FailureKind) -> None:
    for _ in range(5):
        breaker.failed(ProviderError("no", kind=kind))
    assert breaker.state == "open"


@pytest.mark.parametrize(("broken", "state"), [(True, "open"), (False, "closed")])
def test_a_tool_that_declines_is_well_and_one_that_broke_down_is_not(
    breaker: Breaker, broken: bool, state: str
) -> None:
    for _ in range(5):
        breaker.failed(ToolError("no", broken=broken))
    assert breaker.state == state


class BreakerMachine(RuleBasedStateMachine):
    """Any mixture of tries, endings and hours: what must always hold of a breaker."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.breaker = Breaker("m", self.clock)
        self.probing = 0
        self.promised = 0.0
        self.denied = False

    @rule(seconds=st.sampled_from([0.0, 1.0, 15.0, 30.0, 61.0, 300.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.pass_by(seconds)

    @rule(outcome=st.sampled_from(["good", "down", "refused", "abandoned"]))
    def make_a_try(self, outcome: str) -> None:
        """Ask for leave, and end at once where it is given."""
        closed_to = self.breaker.closed_to()
        assert self.breaker.admit() != closed_to, "what is foretold is what happens"
        if closed_to:
            return
        assert not self.denied
        assert self.clock() >= self.promised
        self.end(outcome)

    @rule()
    def hold_the_place(self) -> None:
        """Take the place of a breaker that is not closed, and stay in it."""
        if self.breaker.state != "closed" and self.breaker.admit():
            self.probing += 1
            assert not self.breaker.admit()

    @rule(outcome=st.sampled_from(["good", "down", "refused", "abandoned"]))
    def give_the_place_back(self, outcome: str) -> None:
        """End the try that held the place."""
        if self.probing:
            self.end(outcome)

    def end(self, outcome: str) -> None:
        """Tell the breaker how a try ended."""
        was_half_open = self.breaker.state == "half_open"
        match outcome:
            case "good":
                self.breaker.succeeded()
                assert not was_half_open or self.breaker.state == "closed"
            case "down":
                self.breaker.failed(DOWN)
                assert not was_half_open or self.breaker.closed_to()
            case "refused":
                self.breaker.failed(ProviderError("no", kind="refusal"))
            case _:
                self.breaker.abandoned()
        self.probing = 0

    @rule(seconds=st.sampled_from([0.5, 20.0, 400.0]))
    def ask_for_patience(self, seconds: float) -> None:
        """The server names a time."""
        before = self.breaker.until
        self.breaker.failed(RateLimited("slow down", retry_after=seconds))
        self.promised = max(self.promised, self.clock() + seconds)
        assert self.breaker.until >= max(before, self.promised)
        self.probing = 0

    @rule()
    def deny(self) -> None:
        """The key is refused; late, so that other things happen before."""
        if self.clock() > 3000:
            self.breaker.failed(DENIED)
            self.denied = True
            self.probing = 0

    @invariant()
    def a_closed_breaker_lets_everybody_through(self) -> None:
        """Closed is closed."""
        assert self.breaker.state != "closed" or not self.breaker.closed_to()

    @invariant()
    def a_bad_key_stays_bad(self) -> None:
        """Nothing undoes a refused key."""
        assert not self.denied or self.breaker.closed_to()


test_a_breaker_under_any_mixture_of_tries = BreakerMachine.TestCase


def test_health_says_what_a_try_changed(clock: FakeClock) -> None:
    health = Health(clock)
    changes = [health.failed("m", DOWN) for _ in range(6)]
    assert changes[:4] == [None] * 4
    assert changes[4] == BreakerChange("m", "closed", "open", clock() + 30)
    assert changes[5] is None
    clock.pass_by(30)
    assert health.breaker("m").admit()
    assert health.succeeded("m", 1.0) == BreakerChange("m", "half_open", "closed")
    assert health.failed("m", DENIED) == BreakerChange("m", "closed", "open", float("inf"))
    assert not health.breaker("other").closed_to(), "each key has a breaker of its own"


@given(outcomes=st.lists(st.booleans(), max_size=300))
def test_the_success_rate_starts_from_twenty_of_twenty(outcomes: list[bool]) -> None:
    health = Health(FakeClock())
    for good in outcomes:
        if good:
            health.succeeded("m", 1.0)
        else:
            health.failed("m", ProviderError("no", kind="refusal"))
    last = outcomes[-100:]
    assert health.success_rate("m") == (20 + sum(last)) / (20 + len(last))


def test_what_was_never_tried_does_not_lower_the_success_rate(clock: FakeClock) -> None:
    health = Health(clock)
    health.failed("m", AttemptError("no money", kind="budget"))
    health.failed("m", AttemptError("open", kind="breaker_open"))
    assert health.success_rate("m") == 1.0


@given(seconds=st.lists(st.floats(0, 1000), max_size=150))
def test_seconds_are_the_moving_median_of_successes(seconds: list[float]) -> None:
    health = Health(FakeClock())
    assert health.typical_seconds("m", 2.0) == 2.0
    health.failed("m", ProviderTimeout("slow"))
    assert health.typical_seconds("m", 2.0) == 2.0
    for each in seconds:
        health.succeeded("m", each)
    assert health.typical_seconds("m", 2.0) == (median(seconds[-100:]) if seconds else 2.0)


def test_output_tokens_are_a_moving_mean(clock: FakeClock) -> None:
    health = Health(clock)
    assert health.mean_output("m") is None
    health.succeeded("m", 1.0, 100)
    health.succeeded("m", 1.0, 300)
    assert health.mean_output("m") == 200
