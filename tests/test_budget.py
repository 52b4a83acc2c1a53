"""The ledger: what it holds, what it bills, and that its limit stands under any number of callers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from threading import Thread
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.budget import Budget, Ledger, Reservation
from orchestrator.errors import BudgetExceeded, ConfigError
from orchestrator.messages import Usage

CALLS = 64

MICRO = Decimal("0.000001")


@dataclass(frozen=True)
class Spender:
    """One call: what it reserves, what it then takes, and how often it gives way to the others in between."""

    reserve: Decimal
    share: int
    """Hundredths of the reserve that it really takes."""
    tokens: int
    end: Literal["settled", "released"]
    pauses: int

    @property
    def cost(self) -> Decimal:
        """What is billed in the end; never more than the reserve."""
        return self.reserve * self.share / 100 if self.end == "settled" else Decimal(0)

    @property
    def usage(self) -> Usage:
        """Tokens that are billed in the end."""
        used = self.tokens * self.share // 100 if self.end == "settled" else 0
        return Usage(used - used // 3, used // 3)


spenders = st.builds(
    Spender,
    reserve=st.integers(0, 500_000).map(lambda micros: micros * MICRO),
    share=st.integers(0, 100),
    tokens=st.integers(0, 2_000),
    end=st.sampled_from(["settled", "settled", "released"]),
    pauses=st.integers(0, 3),
)
crowds = st.lists(spenders, min_size=CALLS, max_size=CALLS)
dollars = st.integers(0, 5_000_000).map(lambda micros: micros * MICRO)


def within(ledger: Ledger) -> bool:
    """Whether what is spent and what is held keep the limits together."""
    usd, tokens = ledger.budget.usd, ledger.budget.tokens
    spent = ledger.spent
    return (usd is None or (spent is not None and spent + ledger.held <= usd)) and (
        tokens is None or ledger.usage.total <= tokens
    )


def finish(ledger: Ledger, held: Reservation, spender: Spender) -> None:
    """End a call as it is meant to end."""
    if spender.end == "released":
        ledger.release(held)
    else:
        ledger.settle(held, spender.cost, spender.usage)


async def spend(ledger: Ledger, spender: Spender, paid: list[Spender]) -> None:
    """Reserve, let the others go on, settle or release; the limit is looked at after each step."""
    try:
        held = ledger.reserve(spender.reserve, spender.tokens)
    except BudgetExceeded:
        return
    assert within(ledger)
    for _ in range(spender.pauses):
        await asyncio.sleep(0)
    finish(ledger, held, spender)
    paid.append(spender)
    assert within(ledger)


async def spend_all(ledger: Ledger, crowd: list[Spender]) -> list[Spender]:
    """All calls at once; returns those that got a reservation."""
    paid: list[Spender] = []
    await asyncio.gather(*(spend(ledger, spender, paid) for spender in crowd))
    return paid


@settings(max_examples=30)
@given(limit=dollars, tokens=st.integers(0, 40_000), crowd=crowds)
def test_the_limit_stands_under_64_concurrent_calls(limit: Decimal, tokens: int, crowd: list[Spender]) -> None:
    ledger = Ledger(Budget(usd=limit, tokens=tokens))
    paid = asyncio.run(spend_all(ledger, crowd))
    assert within(ledger)
    assert ledger.in_flight == 0
    assert ledger.held == 0
    assert ledger.spent == sum((spender.cost for spender in paid), Decimal(0))
    assert ledger.usage == sum((spender.usage for spender in paid), Usage())


@settings(max_examples=30)
@given(limit=dollars, crowd=crowds)
def test_a_call_is_refused_only_where_it_does_not_fit(limit: Decimal, crowd: list[Spender]) -> None:
    ledger = Ledger(Budget(usd=limit))
    held: list[tuple[Reservation, Spender]] = []
    for spender in crowd:
        left = ledger.remaining_usd
        obstacle = ledger.obstacle(spender.reserve, spender.tokens)
        assert left is not None
        assert (obstacle is None) == (spender.reserve <= left)
        if obstacle is None:
            held.append((ledger.reserve(spender.reserve, spender.tokens), spender))
        elif held:
            finish(ledger, *held.pop())
    for reservation, spender in held:
        finish(ledger, reservation, spender)
    assert within(ledger)
    assert ledger.in_flight == 0


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns as often as Python lets them."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
def test_the_limit_stands_under_threads() -> None:
    limit, price = Decimal("0.100"), Decimal("0.003")
    ledger, broken = Ledger(Budget(usd=limit, tokens=1_000)), list[str]()
    paid: list[int] = []

    def work(number: int) -> None:
        for turn in range(300):
            try:
                held = ledger.reserve(price, 7)
            except BudgetExceeded:
                continue
            if not within(ledger) or (ledger.remaining_tokens or 0) < 0:
                broken.append(f"{number}: {ledger.spent} spent, {ledger.held} held")
            if turn % 3:
                ledger.release(held)
            else:
                ledger.settle(held, price / 30, Usage(1))
                paid.append(number)

    threads = [Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    assert ledger.spent == len(paid) * price / 30
    assert (ledger.in_flight, ledger.held) == (0, 0)


@pytest.mark.parametrize("share", [0, 1, 2])
def test_reservations_are_made_together(share: int) -> None:
    ledger = Ledger(Budget(usd=Decimal(share)))
    for _ in range(share):
        ledger.reserve(Decimal(1))
    with pytest.raises(BudgetExceeded, match=r"limit:usd: a try may cost \$0\.01, \$0 of") as caught:
        ledger.reserve(Decimal("0.01"))
    assert caught.value.limit == "usd"
    assert ledger.in_flight == share


def test_the_token_limit_counts_what_is_held_and_what_was_used() -> None:
    ledger = Ledger(Budget(tokens=100))
    held = ledger.reserve(None, 60)
    with pytest.raises(BudgetExceeded, match="limit:tokens: a try may take 41 tokens, 40 are left") as caught:
        ledger.reserve(None, 41)
    assert caught.value.limit == "tokens"
    ledger.settle(held, None, Usage(10, 5))
    assert ledger.remaining_tokens == 85
    assert ledger.remaining_usd is None
    ledger.reserve(None, 85)


def test_an_overdrawn_settlement_is_booked_in_full_and_closes_the_budget() -> None:
    ledger = Ledger(Budget(usd=Decimal(10)))
    ledger.settle(ledger.reserve(Decimal(1)), Decimal(2), Usage(5))
    assert ledger.spent == 2
    assert ledger.remaining_usd == 0
    with pytest.raises(BudgetExceeded):
        ledger.reserve(Decimal("0.000001"))
    assert ledger.obstacle(Decimal(0), 0) is None, "what costs nothing can still be done"


def test_more_tokens_than_reserved_close_a_token_budget_and_no_other() -> None:
    ledger = Ledger(Budget(tokens=1_000))
    ledger.settle(ledger.reserve(Decimal(0), 10), Decimal(0), Usage(8, 3))
    assert (ledger.usage.total, ledger.remaining_tokens) == (11, 0)
    money = Ledger(Budget(usd=Decimal(1)))
    money.settle(money.reserve(Decimal("0.5"), 10), Decimal("0.5"), Usage(8, 3))
    assert money.remaining_usd == Decimal("0.5")


def test_reservations_made_before_an_overdraft_can_still_be_settled() -> None:
    ledger = Ledger(Budget(usd=Decimal(10)))
    first, second = ledger.reserve(Decimal(1)), ledger.reserve(Decimal(1))
    ledger.settle(first, Decimal(3), Usage())
    ledger.settle(second, Decimal("0.5"), Usage())
    assert (ledger.spent, ledger.in_flight, ledger.remaining_usd) == (Decimal("3.5"), 0, 0)


def test_an_unknown_price_is_refused_under_a_money_budget() -> None:
    ledger = Ledger(Budget(usd=Decimal(1)))
    with pytest.raises(BudgetExceeded, match="the price is unknown"):
        ledger.reserve(None, 10)
    assert ledger.in_flight == 0


def test_an_unknown_price_makes_the_sum_unknown_without_a_money_budget() -> None:
    ledger = Ledger()
    ledger.settle(ledger.reserve(Decimal(1)), Decimal("0.25"), Usage())
    ledger.settle(ledger.reserve(None, 10), None, Usage(3))
    ledger.settle(ledger.reserve(Decimal(1)), Decimal("0.25"), Usage())
    assert ledger.spent is None
    assert ledger.usage == Usage(3)


def test_a_try_of_known_price_and_unknown_cost_is_charged_its_reserve() -> None:
    ledger = Ledger(Budget(usd=Decimal(1)))
    ledger.settle(ledger.reserve(Decimal("0.4")), None, Usage(3))
    assert (ledger.spent, ledger.remaining_usd, ledger.exact) == (Decimal("0.4"), Decimal("0.6"), False)


def test_one_estimated_charge_makes_the_sum_inexact() -> None:
    ledger = Ledger()
    assert ledger.exact
    ledger.settle(ledger.reserve(Decimal(1)), Decimal(1), Usage(), exact=False)
    ledger.settle(ledger.reserve(Decimal(1)), Decimal(1), Usage())
    assert not ledger.exact


@given(costs=st.lists(st.integers(0, 10**12).map(lambda n: Decimal(n).scaleb(-15)), max_size=50))
def test_sums_are_exact(costs: list[Decimal]) -> None:
    ledger = Ledger(Budget(usd=Decimal(1)))
    for cost in costs:
        ledger.settle(ledger.reserve(cost), cost, Usage())
    assert ledger.spent is not None
    assert Fraction(ledger.spent) == sum((Fraction(cost) for cost in costs), Fraction(0))


@pytest.mark.parametrize("first", ["settle", "release"])
@pytest.mark.parametrize("second", ["settle", "release"])
def test_a_reservation_is_closed_once(first: str, second: str) -> None:
    ledger = Ledger(Budget(usd=Decimal(1)))
    held = ledger.reserve(Decimal(1))

    def close(how: str) -> None:
        if how == "settle":
            ledger.settle(held, Decimal("0.5"), Usage(1))
        else:
            ledger.release(held)

    close(first)
    before = (ledger.spent, ledger.usage, ledger.remaining_usd)
    with pytest.raises(ValueError, match="reservation 1 is not open"):
        close(second)
    assert (ledger.spent, ledger.usage, ledger.remaining_usd) == before


def test_a_released_reservation_leaves_no_trace() -> None:
    ledger = Ledger(Budget(usd=Decimal(1), tokens=10))
    ledger.release(ledger.reserve(Decimal(1), 10))
    assert (ledger.spent, ledger.remaining_usd, ledger.remaining_tokens) == (0, 1, 10)
    assert ledger.exact


def test_a_ledger_without_limits_refuses_nothing() -> None:
    ledger = Ledger()
    ledger.reserve(Decimal(10**9), 10**12)
    assert (ledger.remaining_usd, ledger.remaining_tokens) == (None, None)


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("usd", lambda: Budget(usd=Decimal("-0.01"))),
        ("usd", lambda: Budget(usd=Decimal("NaN"))),
        ("tokens", lambda: Budget(tokens=-1)),
        ("turns", lambda: Budget(turns=-1)),
        ("seconds", lambda: Budget(seconds=-1.0)),
        ("seconds", lambda: Budget(seconds=float("nan"))),
    ],
)
def test_a_limit_below_zero_or_no_number_is_a_config_error(field: str, make: Callable[[], Budget]) -> None:
    with pytest.raises(ConfigError, match="not negative") as caught:
        make()
    assert caught.value.field == f"budget.{field}"


def test_a_money_limit_given_as_a_float_is_taken_as_it_is_written() -> None:
    given_as_float: object = 0.1
    assert Budget(usd=given_as_float).usd == Decimal("0.1")  # pyright: ignore[reportArgumentType]


def test_a_budget_of_zero_pays_for_what_is_free_only() -> None:
    ledger = Ledger(Budget(usd=Decimal(0), tokens=0))
    ledger.settle(ledger.reserve(Decimal(0)), Decimal(0), Usage())
    with pytest.raises(BudgetExceeded):
        ledger.reserve(Decimal("1e-9"))
