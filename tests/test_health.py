"""Circuit breakers and moving averages, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import permutations
from random import Random
from statistics import median
from typing import Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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

Ending = AttemptError | Literal["good", "abandoned"]

DOWN = ProviderError("down", kind="server")
DENIED = ProviderError("bad key", kind="auth")
REFUSED = ProviderError("no", kind="refusal")
CUT = ProviderTimeout("the time of the run is over", ours=True)
HURRIED = RateLimited("slow down")
KINDS: tuple[FailureKind, ...] = get_args(FailureKind)
FOREVER = float("inf")
TICK = 1 / 1024
"""Times in whole ticks add up exactly."""
SAYING_NOTHING: tuple[Ending, ...] = ("good", "abandoned", DOWN, HURRIED, REFUSED, CUT)
"""Endings that a breaker heeds only of tries that began since it opened."""


def patience(seconds: float) -> RateLimited:
    """The server names a time."""
    return RateLimited("slow down", retry_after=seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker("m", clock)


def begin(breaker: Breaker) -> int:
    """A try that is let through, as its number."""
    number = breaker.admit()
    assert number is not None
    return number


def under_way(breaker: Breaker, tries: int) -> list[int]:
    """So many tries, begun and not ended."""
    return [begin(breaker) for _ in range(tries)]


def end(breaker: Breaker, number: int, how: Ending) -> None:
    """Tell the breaker how a try ended."""
    if how == "good":
        breaker.succeeded(number)
    elif how == "abandoned":
        breaker.abandoned(number)
    else:
        breaker.failed(number, how)


def fail(breaker: Breaker, times: int, error: AttemptError = DOWN) -> None:
    """So many tries in a row, each failed."""
    for _ in range(times):
        breaker.failed(begin(breaker), error)


def open_it(breaker: Breaker) -> None:
    """Five failures, after which it must be open."""
    fail(breaker, 5)
    assert breaker.state == "open"


def probe(breaker: Breaker, clock: FakeClock) -> int:
    """Wait until an open breaker lets one through, and take that place."""
    clock.now = breaker.until
    number = begin(breaker)
    assert breaker.state == "half_open"
    return number


def seen(breaker: Breaker) -> tuple[str, float, bool, float]:
    """All that can be seen of a breaker without asking for leave."""
    return breaker.state, breaker.until, breaker.closed_to(), breaker.seconds_closed()


def test_it_opens_at_the_fifth_failure_and_not_at_the_fourth(breaker: Breaker) -> None:
    fail(breaker, 4)
    assert (breaker.state, breaker.closed_to()) == ("closed", False)
    fail(breaker, 1)
    assert (breaker.state, breaker.closed_to(), breaker.admit()) == ("open", True, None)


def test_five_that_fail_among_many_under_way_open_it_once(breaker: Breaker, clock: FakeClock) -> None:
    for number in under_way(breaker, 12):
        breaker.failed(number, DOWN)
        clock.pass_by(1)
    assert (breaker.state, breaker.until) == ("open", 1004 + 30)


@pytest.mark.parametrize(("good", "state"), [(14, "open"), (15, "open"), (16, "closed")])
def test_only_the_last_twenty_tries_count(breaker: Breaker, good: int, state: str) -> None:
    fail(breaker, 4)
    for number in under_way(breaker, good):
        breaker.succeeded(number)
    fail(breaker, 1)
    assert breaker.state == state


@pytest.mark.parametrize(("seconds", "state"), [(60.0, "open"), (60.5, "closed")])
def test_only_the_last_sixty_seconds_count(breaker: Breaker, clock: FakeClock, seconds: float, state: str) -> None:
    fail(breaker, 1)
    clock.pass_by(seconds)
    fail(breaker, 4)
    assert breaker.state == state


def test_authentication_opens_for_good(breaker: Breaker, clock: FakeClock) -> None:
    first, second, third = under_way(breaker, 3)
    breaker.failed(first, DENIED)
    clock.pass_by(10**9)
    assert (breaker.state, breaker.admit(), breaker.seconds_closed()) == ("open", None, FOREVER)
    breaker.succeeded(second)
    assert breaker.admit() is None, "a try that was under way cannot reopen what a bad key has closed"
    breaker.failed(third, patience(1.0))
    clock.pass_by(10**9)
    assert breaker.admit() is None


def test_a_rate_limit_opens_until_the_server_says(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker, 1, patience(7.5))
    clock.pass_by(7.25)
    assert breaker.admit() is None
    clock.pass_by(0.25)
    assert breaker.admit() is not None


@pytest.mark.parametrize("order", list(permutations([patience(5.0), patience(90.0), patience(20.0), DOWN])))
def test_the_longer_cooldown_wins_in_every_order(breaker: Breaker, order: tuple[AttemptError, ...]) -> None:
    fail(breaker, 4)
    for number, error in zip(under_way(breaker, 4), order, strict=True):
        breaker.failed(number, error)
    assert breaker.until == 1000 + 90


@pytest.mark.parametrize(("seconds", "cooldown"), [(5.0, 30.0), (90.0, 90.0)])
def test_a_late_retry_after_lengthens_the_cooldown_of_five_failures_and_never_shortens_it(
    breaker: Breaker, seconds: float, cooldown: float
) -> None:
    late = begin(breaker)
    open_it(breaker)
    breaker.failed(late, patience(seconds))
    assert breaker.until == 1000 + cooldown


@given(
    waits=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 400).map(float) | st.just(FOREVER)), min_size=1, max_size=8
    )
)
def test_it_stays_open_until_the_last_time_that_anybody_named(waits: list[tuple[int, float]]) -> None:
    clock = FakeClock()
    breaker = Breaker("m", clock)
    named: list[float] = []
    for number, (wait, seconds) in zip(under_way(breaker, len(waits)), waits, strict=True):
        clock.pass_by(wait)
        breaker.failed(number, DENIED if seconds == FOREVER else patience(seconds))
        named.append(clock() + seconds)
        assert (breaker.state, breaker.until) == ("open", max(named))


@pytest.mark.parametrize(("seconds", "cooldown"), [(10.0, 60.0), (400.0, 400.0)])
def test_the_longer_of_a_failed_half_open_try_and_a_late_retry_after_wins(
    breaker: Breaker, clock: FakeClock, seconds: float, cooldown: float
) -> None:
    late = begin(breaker)
    open_it(breaker)
    breaker.failed(probe(breaker, clock), DOWN)
    breaker.failed(late, patience(seconds))
    assert breaker.until == clock() + cooldown


def test_a_long_retry_after_outlives_the_cooldown_of_five_failures(breaker: Breaker, clock: FakeClock) -> None:
    first, *rest = under_way(breaker, 7)
    breaker.failed(first, patience(200.0))
    for number in rest:
        breaker.failed(number, DOWN)
    assert breaker.until == clock() + 200


def test_a_rate_limit_without_a_time_counts_as_a_failure(breaker: Breaker) -> None:
    fail(breaker, 4, HURRIED)
    assert breaker.state == "closed"
    fail(breaker, 1, HURRIED)
    assert breaker.state == "open"


def test_the_cooldown_doubles_up_to_five_minutes_and_starts_anew_after_a_success(
    breaker: Breaker, clock: FakeClock
) -> None:
    open_it(breaker)
    cooldowns = [breaker.until - clock()]
    for _ in range(6):
        breaker.failed(probe(breaker, clock), DOWN)
        cooldowns.append(breaker.until - clock())
    assert cooldowns == [30, 60, 120, 240, 300, 300, 300]
    breaker.succeeded(probe(breaker, clock))
    open_it(breaker)
    assert breaker.until - clock() == 30


def test_a_success_closes_and_forgets_the_failures(breaker: Breaker, clock: FakeClock) -> None:
    open_it(breaker)
    breaker.succeeded(probe(breaker, clock))
    assert breaker.state == "closed"
    fail(breaker, 4)
    assert breaker.state == "closed"


def test_half_open_lets_one_through_at_a_time(breaker: Breaker, clock: FakeClock) -> None:
    open_it(breaker)
    clock.now = breaker.until
    assert not breaker.closed_to(), "asking does not take the place"
    assert not breaker.closed_to()
    first = begin(breaker)
    assert (breaker.closed_to(), breaker.admit()) == (True, None)
    breaker.abandoned(first)
    second = begin(breaker)
    assert second != first
    assert breaker.admit() is None
    breaker.abandoned(first)
    assert breaker.admit() is None, "who left the place cannot leave it for another"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("verdict", "state"), [("good", "closed"), (DOWN, "open"), ("abandoned", "half_open")])
def test_half_open_lets_one_through_out_of_64_at_once_whatever_late_ones_say(
    breaker: Breaker, clock: FakeClock, seed: int, verdict: Ending, state: str
) -> None:
    late = under_way(breaker, 18)
    open_it(breaker)
    clock.now = breaker.until
    random, admitted, done = Random(seed), list[int](), asyncio.Event()
    others = 64

    async def ask() -> None:
        if (number := breaker.admit()) is None:
            return
        admitted.append(number)
        await done.wait()
        assert (breaker.state, breaker.admit()) == ("half_open", None)
        end(breaker, number, verdict)

    async def come(number: int | None) -> None:
        nonlocal others
        for _ in range(random.randrange(6)):
            await asyncio.sleep(0)
        if number is not None:
            end(breaker, number, random.choice(SAYING_NOTHING))
        others -= 1
        if not others:
            done.set()
        if number is None:
            await ask()

    async def crowd() -> None:
        who = [*late, *[None] * 46]
        random.shuffle(who)
        await asyncio.gather(*(come(number) for number in who))

    asyncio.run(crowd())
    assert (len(admitted), breaker.state) == (1, state)


def test_half_open_never_holds_two_of_64_where_each_gives_the_place_back(breaker: Breaker, clock: FakeClock) -> None:
    late = under_way(breaker, 64)
    open_it(breaker)
    clock.now = breaker.until
    inside, most, admitted = 0, 0, 0

    async def ask(place: int) -> None:
        nonlocal inside, most, admitted
        for _ in range(place % 7):
            await asyncio.sleep(0)
        end(breaker, late[place], SAYING_NOTHING[place % len(SAYING_NOTHING)])
        if (number := breaker.admit()) is None:
            return
        admitted, inside = admitted + 1, inside + 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        end(breaker, number, (REFUSED, "abandoned", CUT)[place % 3])

    async def crowd() -> None:
        await asyncio.gather(*(ask(place) for place in range(64)))

    asyncio.run(crowd())
    assert most == 1
    assert 2 <= admitted < 64
    assert (breaker.state, breaker.closed_to()) == ("half_open", False)


@pytest.mark.parametrize("how", SAYING_NOTHING, ids=str)
def test_a_late_try_changes_nothing_of_an_open_breaker(breaker: Breaker, clock: FakeClock, how: Ending) -> None:
    late = under_way(breaker, 6)
    open_it(breaker)
    for number in late:
        before = seen(breaker)
        end(breaker, number, how)
        assert seen(breaker) == before
        clock.pass_by(5)
    assert (breaker.state, clock()) == ("open", breaker.until)
    breaker.failed(begin(breaker), DOWN)
    assert breaker.until == clock() + 60, "only a half-open try that failed doubles the cooldown, and once"


@pytest.mark.parametrize("how", SAYING_NOTHING, ids=str)
@pytest.mark.parametrize(("verdict", "state"), [("good", "closed"), (DOWN, "open"), ("abandoned", "half_open")])
def test_a_late_try_neither_frees_nor_takes_the_half_open_place(
    breaker: Breaker, clock: FakeClock, how: Ending, verdict: Ending, state: str
) -> None:
    early, *late = under_way(breaker, 7)
    open_it(breaker)
    first = probe(breaker, clock)
    breaker.abandoned(first)
    end(breaker, early, how)
    assert (breaker.state, breaker.closed_to()) == ("half_open", False), "the free place stays free"
    second = begin(breaker)
    before = seen(breaker)
    for number in late:
        end(breaker, number, how)
        assert seen(breaker) == before
        assert breaker.admit() is None
    end(breaker, second, verdict)
    assert breaker.state == state


@pytest.mark.parametrize("how", SAYING_NOTHING, ids=str)
def test_a_late_try_does_not_count_once_the_breaker_is_closed_again(
    breaker: Breaker, clock: FakeClock, how: Ending
) -> None:
    late = under_way(breaker, 40)
    open_it(breaker)
    breaker.succeeded(probe(breaker, clock))
    fail(breaker, 4)
    for number in late:
        end(breaker, number, how)
        assert breaker.state == "closed"
    fail(breaker, 1)
    assert breaker.state == "open", "late successes do not push newer failures out of the last twenty"
    assert breaker.until == clock() + 30


@pytest.mark.parametrize(("error", "seconds"), [(DENIED, FOREVER), (patience(500.0), 500.0)], ids=["auth", "patience"])
@pytest.mark.parametrize("state", ["open", "half_open", "closed"])
def test_a_bad_key_and_a_time_that_the_server_names_hold_however_late(
    breaker: Breaker, clock: FakeClock, state: str, error: AttemptError, seconds: float
) -> None:
    late = begin(breaker)
    open_it(breaker)
    if state != "open":
        number = probe(breaker, clock)
        end(breaker, number, "good" if state == "closed" else "abandoned")
    assert breaker.state == state
    breaker.failed(late, error)
    assert (breaker.state, breaker.until, breaker.admit()) == ("open", clock() + seconds, None)


@pytest.mark.parametrize("how", SAYING_NOTHING, ids=str)
def test_a_half_open_try_that_a_late_retry_after_overtook_is_late_itself(
    breaker: Breaker, clock: FakeClock, how: Ending
) -> None:
    late = begin(breaker)
    open_it(breaker)
    overtaken = probe(breaker, clock)
    breaker.failed(late, patience(45.0))
    before = seen(breaker)
    end(breaker, overtaken, how)
    assert seen(breaker) == before
    breaker.succeeded(probe(breaker, clock))
    assert breaker.state == "closed"


@pytest.mark.parametrize("how", ["good", DOWN, "abandoned", patience(0.0)], ids=str)
@pytest.mark.parametrize("late_error", [patience(0.0), patience(45.0)], ids=["at once", "later"])
def test_a_late_retry_after_gives_nobody_the_place_of_a_half_open_try_that_is_under_way(
    breaker: Breaker, clock: FakeClock, late_error: AttemptError, how: Ending
) -> None:
    late = begin(breaker)
    open_it(breaker)
    overtaken = probe(breaker, clock)
    breaker.failed(late, late_error)
    clock.pass_by(50)
    assert (breaker.admit(), breaker.closed_to()) == (None, True), "one try at a time"
    assert 0 < breaker.seconds_closed() < FOREVER
    end(breaker, overtaken, how)
    assert begin(breaker) > overtaken
    assert breaker.admit() is None


@pytest.mark.parametrize(("seconds", "cooldown"), [(5.0, 30.0), (90.0, 90.0)])
def test_a_fifth_failure_that_names_a_time_opens_for_the_longer_of_the_two(
    breaker: Breaker, seconds: float, cooldown: float
) -> None:
    fail(breaker, 4)
    fail(breaker, 1, patience(seconds))
    assert breaker.until == 1000 + cooldown


def test_a_half_open_try_that_is_told_when_to_come_back_is_believed(breaker: Breaker, clock: FakeClock) -> None:
    """Its cooldown is over: nothing longer is running that the time could shorten."""
    open_it(breaker)
    breaker.failed(probe(breaker, clock), patience(5.0))
    assert breaker.until == clock() + 5


@pytest.mark.parametrize("kind", sorted(set(KINDS) - SICK))
def test_what_does_not_speak_against_the_server_opens_nothing(
    breaker: Breaker, clock: FakeClock, kind: FailureKind
) -> None:
    fail(breaker, 30, AttemptError("no", kind=kind))
    assert breaker.state == "closed"
    open_it(breaker)
    breaker.failed(probe(breaker, clock), AttemptError("no", kind=kind))
    assert breaker.admit() is not None, "the place is free again"


def test_a_server_that_our_own_deadline_cut_off_is_not_to_blame(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker, 30, CUT)
    assert breaker.state == "closed"
    open_it(breaker)
    breaker.failed(probe(breaker, clock), CUT)
    assert (breaker.state, breaker.closed_to()) == ("half_open", False)


@pytest.mark.parametrize("kind", sorted(SICK - {"auth"}))
def test_what_speaks_against_the_server_counts(breaker: Breaker, kind: FailureKind) -> None:
    fail(breaker, 5, ProviderError("no", kind=kind))
    assert breaker.state == "open"


@pytest.mark.parametrize(("broken", "state"), [(True, "open"), (False, "closed")])
def test_a_tool_that_declines_is_well_and_one_that_broke_down_is_not(
    breaker: Breaker, broken: bool, state: str
) -> None:
    for number in under_way(breaker, 5):
        breaker.failed(number, ToolError("no", broken=broken))
    assert breaker.state == state


@given(start=st.integers(0, 10**9), named=st.integers(1, 10**7), gone=st.integers(0, 10**7))
def test_seconds_closed_are_what_it_takes_until_one_is_let_through(start: int, named: int, gone: int) -> None:
    clock = FakeClock(start * TICK)
    breaker = Breaker("m", clock)
    assert breaker.seconds_closed() == 0
    fail(breaker, 1, patience(named * TICK))
    clock.pass_by(gone * TICK)
    left = max(0, named - gone)
    assert breaker.seconds_closed() == left * TICK
    assert breaker.closed_to() == (left > 0)
    if left:
        clock.pass_by(left * TICK - TICK)
        assert (breaker.admit(), breaker.seconds_closed()) == (None, TICK)
        clock.pass_by(breaker.seconds_closed())
    assert (breaker.closed_to(), breaker.seconds_closed()) == (False, 0)
    number = begin(breaker)
    assert breaker.closed_to()
    assert 0 < breaker.seconds_closed() < FOREVER, "nobody knows how long a try takes, but it does end"
    breaker.succeeded(number)
    assert (breaker.closed_to(), breaker.seconds_closed()) == (False, 0)


@dataclass
class Reference:
    """SEMANTICS §5 told as a story: which tries are timely, who is being waited for, what times were named."""

    opened: bool = False
    asked_since: bool = False
    waited_for: int | None = None
    timely: set[int] = field(default_factory=set[int])
    """Tries under way that began since it last opened or closed."""
    ended: list[tuple[float, bool]] = field(default_factory=list[tuple[float, bool]])
    named: list[float] = field(default_factory=lambda: [0.0])
    relapses: int = 0

    def state(self) -> str:
        """The word for it."""
        return "closed" if not self.opened else "half_open" if self.asked_since else "open"

    def refuses(self, now: float) -> bool:
        """Whether a try would be turned away."""
        return self.opened and (now < max(self.named) or self.waited_for is not None)

    def begin(self, number: int) -> None:
        """A try was let through."""
        self.timely.add(number)
        if self.opened:
            self.asked_since, self.waited_for = True, number

    def end(self, number: int, how: Ending, now: float) -> None:
        """A try ended."""
        timely = number in self.timely
        self.timely.discard(number)
        if number == self.waited_for:
            self.waited_for = None
        if how is DENIED:
            self._open(FOREVER)
        elif isinstance(how, RateLimited) and how.retry_after is not None:
            if timely and not self.opened:
                self._judge(now, good=False)
            self._open(now + how.retry_after)
        elif timely and how in {"good", DOWN, HURRIED}:
            self._judge(now, good=how == "good")

    def _judge(self, now: float, *, good: bool) -> None:
        if not self.opened:
            self.ended.append((now, good))
            if sum(not ok and at >= now - 60 for at, ok in self.ended[-20:]) == 5:
                self._open(now + 30)
        elif good:
            self._turn(opened=False)
            self.relapses = 0
        else:
            self.relapses += 1
            self._open(now + min(30 * 2**self.relapses, 300))

    def _open(self, until: float) -> None:
        self.named.append(until)
        self._turn(opened=True)

    def _turn(self, *, opened: bool) -> None:
        self.opened, self.asked_since = opened, False
        self.timely.clear()
        self.ended.clear()


class BreakerMachine(RuleBasedStateMachine):
    """Any mixture of tries under way at once, endings and hours; a breaker does what the reference does."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.breaker = Breaker("m", self.clock)
        self.reference = Reference()
        self.under_way: list[int] = []
        self.ended = 0

    def ask(self) -> list[int]:
        """Ask for leave, as is foretold; the number where it is given."""
        refuses = self.reference.refuses(self.clock())
        assert self.breaker.closed_to() == refuses
        number = self.breaker.admit()
        assert (number is None) == refuses
        if number is None:
            return []
        assert number not in self.under_way
        self.under_way.append(number)
        self.reference.begin(number)
        return [number]

    def finish(self, number: int, how: Ending) -> None:
        """End a try, wherever the breaker stands by now."""
        self.under_way.remove(number)
        self.ended += 1
        end(self.breaker, number, how)
        self.reference.end(number, how, self.clock())

    def late(self) -> list[int]:
        """Tries under way that began before the breaker last opened."""
        return [number for number in self.under_way if number not in self.reference.timely]

    @rule(seconds=st.sampled_from([0.0, 1.0, 15.0, 30.0, 61.0, 300.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.pass_by(seconds)

    @precondition(lambda self: self.breaker.state == "open" and self.breaker.seconds_closed() < FOREVER)
    @precondition(lambda self: self.reference.waited_for is None)
    @rule()
    def wait_for_the_place(self) -> None:
        """Wait as long as an open breaker says: then one is let through, and no second one."""
        self.clock.pass_by(self.breaker.seconds_closed())
        assert len(self.ask()) == 1
        assert not self.ask()

    @rule(several=st.integers(1, 8))
    def begin(self, several: int) -> None:
        """Begin tries, and leave them under way."""
        before = self.breaker.state
        admitted = [number for _ in range(several) for number in self.ask()]
        assert before == "closed" or len(admitted) <= 1

    @rule(several=st.integers(1, 25), how=st.sampled_from(["good", DOWN]))
    def begin_and_end(self, several: int, how: Ending) -> None:
        """Tries in a row."""
        for _ in range(several):
            for number in self.ask():
                self.finish(number, how)

    @precondition(lambda self: self.reference.timely)
    @rule(which=st.integers(0, 99), how=st.sampled_from([*SAYING_NOTHING, patience(0.5), patience(20), patience(400)]))
    def end_one(self, which: int, how: Ending) -> None:
        """End a try that began since the breaker opened."""
        timely = sorted(self.reference.timely)
        self.finish(timely[which % len(timely)], how)

    @precondition(lambda self: self.late())
    @rule(several=st.integers(1, 8), how=st.sampled_from([*SAYING_NOTHING, patience(0.5), patience(400)]))
    def end_late_ones(self, several: int, how: Ending) -> None:
        """End tries that began before the breaker opened."""
        for number in self.late()[-several:]:
            self.finish(number, how)

    @precondition(lambda self: self.ended > 25 and self.under_way)
    @rule(which=st.integers(0, 99))
    def deny(self, which: int) -> None:
        """The key is refused; not at once, so that other things happen before."""
        self.finish(self.under_way[which % len(self.under_way)], DENIED)

    @invariant()
    def it_stands_where_the_reference_stands(self) -> None:
        """All that can be seen of it."""
        refuses = self.reference.refuses(self.clock())
        assert self.breaker.state == self.reference.state()
        assert self.breaker.closed_to() == refuses
        assert (self.breaker.seconds_closed() > 0) == refuses
        if self.breaker.state == "open":
            assert self.breaker.until == max(self.reference.named)
            left = max(0.0, max(self.reference.named) - self.clock())
            assert self.breaker.seconds_closed() == left or (left == 0 and self.reference.waited_for is not None)

    @invariant()
    def what_was_named_is_kept(self) -> None:
        """Before a time that was named nobody is let through; after a refused key nobody ever."""
        assert self.clock() >= max(self.reference.named) or self.breaker.closed_to()


BreakerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_a_breaker_under_any_mixture_of_tries = BreakerMachine.TestCase


def admitted(health: Health) -> int:
    """A try of `m` that is let through, as its number."""
    number, _ = health.admit("m")
    assert number is not None
    return number


def test_health_says_what_a_try_changed(clock: FakeClock) -> None:
    health = Health(clock)
    assert [health.admit("m")[1] for _ in range(2)] == [None, None]
    changes = [health.failed("m", number, DOWN) for number in under_way(health.breaker("m"), 6)]
    assert changes[:4] == [None] * 4
    assert changes[4] == BreakerChange("m", "closed", "open", clock() + 30)
    assert changes[5] is None
    assert health.admit("m") == (None, None)
    clock.pass_by(30)
    number, change = health.admit("m")
    assert number is not None
    assert change == BreakerChange("m", "open", "half_open")
    assert health.admit("m") == (None, None)
    assert health.succeeded("m", number, 1.0) == BreakerChange("m", "half_open", "closed")
    assert health.failed("m", admitted(health), DENIED) == BreakerChange("m", "closed", "open", FOREVER)
    assert not health.breaker("other").closed_to(), "each key has a breaker of its own"


def test_a_half_open_try_that_fails_is_said_to_open(clock: FakeClock) -> None:
    health = Health(clock)
    open_it(health.breaker("m"))
    clock.pass_by(30)
    assert health.failed("m", admitted(health), DOWN) == BreakerChange("m", "half_open", "open", clock() + 60)


def test_a_late_try_changes_no_breaker_but_counts_in_the_averages(clock: FakeClock) -> None:
    health = Health(clock)
    good, bad = admitted(health), admitted(health)
    open_it(health.breaker("m"))
    clock.pass_by(30)
    admitted(health)
    assert health.succeeded("m", good, 4.0, 100) is None
    assert (health.typical_seconds("m", 2.0), health.mean_output("m"), health.success_rate("m")) == (4.0, 100, 1.0)
    assert health.failed("m", bad, DOWN) is None
    assert health.success_rate("m") == 21 / 22
    assert health.admit("m") == (None, None), "the half-open place is still taken"


@given(outcomes=st.lists(st.booleans(), max_size=300))
def test_the_success_rate_starts_from_twenty_of_twenty(outcomes: list[bool]) -> None:
    health = Health(FakeClock())
    for good in outcomes:
        if good:
            health.succeeded("m", admitted(health), 1.0)
        else:
            health.failed("m", admitted(health), REFUSED)
    last = outcomes[-100:]
    assert health.success_rate("m") == (20 + sum(last)) / (20 + len(last))


def test_what_was_never_tried_does_not_lower_the_success_rate(clock: FakeClock) -> None:
    health = Health(clock)
    health.failed("m", admitted(health), AttemptError("no money", kind="budget"))
    health.failed("m", admitted(health), AttemptError("open", kind="breaker_open"))
    health.failed("m", admitted(health), CUT)
    assert health.success_rate("m") == 1.0
    health.failed("m", admitted(health), DOWN)
    assert health.success_rate("m") == 20 / 21


@given(seconds=st.lists(st.floats(0, 1000), max_size=150))
def test_seconds_are_the_moving_median_of_successes(seconds: list[float]) -> None:
    health = Health(FakeClock())
    assert health.typical_seconds("m", 2.0) == 2.0
    health.failed("m", admitted(health), ProviderTimeout("slow"))
    assert health.typical_seconds("m", 2.0) == 2.0
    for each in seconds:
        health.succeeded("m", admitted(health), each)
    assert health.typical_seconds("m", 2.0) == (median(seconds[-100:]) if seconds else 2.0)


def test_output_tokens_are_a_moving_mean(clock: FakeClock) -> None:
    health = Health(clock)
    assert health.mean_output("m") is None
    health.succeeded("m", admitted(health), 1.0, 100)
    health.succeeded("m", admitted(health), 1.0, 300)
    assert health.mean_output("m") == 200
