"""Many runs under one budget: what others hold is waited for, nothing is over-committed, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import (
    Agent,
    Budget,
    Completion,
    Decision,
    Model,
    Orchestrator,
    Price,
    ProviderError,
    Question,
    Usage,
)
from orchestrator.budget import Ledger, Left, Reservation
from orchestrator.errors import BudgetExceeded
from orchestrator.merge.synthesise import Synthesise
from orchestrator.pipeline import front
from orchestrator.pipeline.many import Outcome, share_of
from orchestrator.providers import OnText, Request
from orchestrator.providers.base import estimated_tokens
from orchestrator.providers.line import InLine
from orchestrator.trace.events import BreakerChanged, Event, TryEnded, TryStarted

MICRO = Decimal("0.000001")
MERGER = Synthesise("script:merger", max_output=400)
LONGEST = 60
"""Seconds after which a test has come to no end."""


@dataclass(frozen=True)
class Case:
    """What becomes of one question: loop rounds of each try, tokens written, who declines, when its caller leaves."""

    rounds: int = 2
    written: int = 20
    declines: frozenset[str] = frozenset()
    leaves: int | None = None


@dataclass(frozen=True)
class World:
    """Prices, sizes and the questions."""

    cases: tuple[Case, ...]
    price: tuple[int, int] = (1, 100)
    most: int = 1000
    merged: bool = False
    levels: int = 0

    @property
    def listed(self) -> Price:
        """USD per million tokens."""
        return Price(input=Decimal(self.price[0]), output=Decimal(self.price[1]), as_of=date(2026, 11, 21), source="me")

    def cost(self, request: Request, output: int) -> Decimal:
        """USD of a call that writes so much."""
        return self.listed.cost(Usage(estimated_tokens(request), output))


class Scripted:
    """Models that take some rounds; what is in flight at worst and what was billed is counted as they see it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.held, self.billed, self.most = Decimal(0), Decimal(0), Decimal(0)
        self.dearest: dict[str, Decimal] = {}
        self.together = 0
        self._flying = 0

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """An answer of its own, or a refusal, after its rounds."""
        del on_text
        found = re.search(r"q(\d+)", "\n".join(message.content for message in request.messages))
        assert found is not None
        case = self.world.cases[int(found[1])]
        worst = self.world.cost(request, request.max_output)
        self.dearest[model.name] = max(worst, self.dearest.get(model.name, Decimal(0)))
        self._flying += 1
        self.held += worst
        self.together, self.most = max(self.together, self._flying), max(self.most, self.held + self.billed)
        usage = Usage(estimated_tokens(request), 0)
        try:
            for _ in range(case.rounds):
                await asyncio.sleep(0)
            if model.name in case.declines:
                raise ProviderError("declined", kind="refusal")
            usage = replace(usage, output_tokens=min(case.written, request.max_output))
        finally:
            self._flying -= 1
            self.held -= worst
            self.billed += self.world.listed.cost(usage)
        return Completion(f"an answer by {model.name}", usage=usage)


def desk_of(world: World, provider: Scripted, heard: list[Event] | None = None) -> Orchestrator:
    """Three experts, two of which are asked where a merge agent is to decide; perhaps within experts of experts."""
    members: list[Model | Agent] = []
    for name, skill in (("a", 0.99), ("b", 0.6), ("c", 0.3)):
        members.append(Model(name=f"script:{name}", price=world.listed, max_output=world.most))
        members.append(Agent(name=name, model=f"script:{name}", skill=skill))
    members.append(Model(name=MERGER.model, price=world.listed, max_output=4000))
    desk = Orchestrator(
        members,
        providers={"script": provider},
        trace=False,
        budget=Budget(usd=Decimal(1000)),
        prefer="quality",
        merge=MERGER if world.merged else None,
        analyses=2 if world.merged else 1,
        listeners=[] if heard is None else [heard.append],
    )
    for level in range(world.levels):
        desk = Orchestrator([desk.as_expert(f"level{level}")], trace=False, budget=Budget(usd=Decimal(1000)))
    return desk


@contextmanager
def shares() -> Generator[list[Ledger]]:
    """The ledgers that runs come to share in here; nothing may be held, and nobody in line, in the end."""
    made: list[Ledger] = []

    def noted(budget: Budget | None, now: float) -> object:
        share = share_of(budget, now)
        made.append(share.ledger)
        return share

    with patch.object(front, "share_of", noted):
        yield made
    for ledger in made:
        assert (ledger.in_flight, ledger.held, ledger.line.waiting) == (0, Decimal(0), [])


def asked(desk: Orchestrator, world: World, concurrency: int, budget: Budget) -> list[Decision]:
    """The decisions on all questions."""

    async def ask() -> list[Outcome]:
        async with asyncio.timeout(LONGEST):
            names = [f"q{number}" for number in range(len(world.cases))]
            return await desk.run_many(names, concurrency=concurrency, budget=budget)

    with shares():
        found = asyncio.run(ask())
    decisions = [each for each in found if isinstance(each, Decision)]
    assert len(decisions) == len(world.cases), found
    return decisions


cases = st.builds(Case, rounds=st.integers(0, 6), written=st.integers(1, 900))
worlds = st.builds(
    World,
    cases=st.lists(cases, min_size=1, max_size=24).map(tuple),
    price=st.tuples(st.integers(1, 20), st.integers(1, 400)),
    most=st.integers(300, 4000),
    merged=st.booleans(),
    levels=st.integers(0, 2),
)
concurrencies = st.sampled_from([1, 2, 3, 6, 16, 64])
often = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@often
@given(world=worlds, concurrency=concurrencies)
def test_with_what_all_cost_and_one_worst_case_all_are_answered(world: World, concurrency: int) -> None:
    ample = Scripted(world)
    alone = asked(desk_of(world, ample), world, 1, Budget(usd=Decimal(1000)))
    assert {each.status for each in alone} == {"answered"}
    dearest = max(usd for name, usd in ample.dearest.items() if name != MERGER.model)
    worst = dearest
    if world.merged:
        merge = MERGER.worst(Model(name=MERGER.model, price=world.listed, max_output=4000), Question(()), 2)
        asking = MERGER.worst(Model(name=MERGER.model, price=world.listed, max_output=4000), Question(()), 3)
        worst = (
            2 * dearest + max(merge.reserve or Decimal(0), asking.reserve or Decimal(0)) + world.price[0] * MICRO * 99
        )
    limit = ample.billed + worst
    tight = Scripted(world)
    found = asked(desk_of(world, tight), world, concurrency, Budget(usd=limit))
    assert [each.answer for each in found] == [each.answer for each in alone]
    assert [each.status for each in found] == [each.status for each in alone]
    assert tight.billed == ample.billed == sum(each.cost_usd or 0 for each in found)
    assert tight.most <= limit


troubled = st.builds(
    Case,
    rounds=st.integers(0, 6),
    written=st.integers(1, 4000),
    declines=st.frozensets(st.sampled_from(["script:a", "script:b", "script:c", "script:merger"])),
    leaves=st.none() | st.integers(0, 40),
)


@often
@given(
    world=st.builds(
        World,
        cases=st.lists(troubled, min_size=1, max_size=24).map(tuple),
        most=st.integers(300, 4000),
        merged=st.booleans(),
        levels=st.integers(0, 1),
    ),
    concurrency=concurrencies,
    limit=st.integers(0, 3_000_000),
    tokens=st.none() | st.integers(0, 60_000),
)
def test_whoever_fails_or_leaves_the_limit_holds_and_all_come_to_an_end(
    world: World, concurrency: int, limit: int, tokens: int | None
) -> None:
    provider = Scripted(world)
    inner = desk_of(world, provider)

    async def impatient(question: str) -> str | None:
        run = asyncio.ensure_future(inner.run(question))
        left = world.cases[int(question[1:])].leaves
        for _ in range(left or 0):
            await asyncio.sleep(0)
        if left is not None:
            run.cancel()
        (outcome,) = await asyncio.gather(run, return_exceptions=True)
        return outcome.answer if isinstance(outcome, Decision) else "nothing"

    desk = Orchestrator([Agent(name="impatient", tool=impatient)], trace=False, budget=Budget(usd=Decimal(1000)))
    found = asked(desk, world, concurrency, Budget(usd=limit * MICRO, tokens=tokens))
    assert provider.most <= limit * MICRO
    assert sum(each.cost_usd or 0 for each in found) <= limit * MICRO
    assert tokens is None or sum(each.usage.total for each in found) <= tokens


@often
@given(world=worlds, concurrency=concurrencies, taken=st.integers(0, 6))
def test_leaving_the_loop_leaves_nothing_held_and_nobody_in_line(world: World, concurrency: int, taken: int) -> None:
    provider = Scripted(world)
    desk = desk_of(world, provider)

    async def some() -> None:
        async with asyncio.timeout(LONGEST):
            names = [f"q{number}" for number in range(len(world.cases))]
            outcomes = desk.each(names, concurrency=concurrency, budget=Budget(usd=Decimal("0.5")))
            async with aclosing(outcomes):
                left = taken
                async for _ in outcomes:
                    left -= 1
                    if left <= 0:
                        break

    with shares():
        asyncio.run(some())
    assert (provider.held, provider.most <= Decimal("0.5")) == (0, True)


def test_the_concurrency_changes_nothing_where_a_reserve_takes_nearly_everything() -> None:
    world = World(tuple(Case(rounds=3, written=6) for _ in range(6)), price=(1, 2), most=10_000)
    for concurrency in (1, 6):
        provider = Scripted(world)
        found = asked(desk_of(world, provider), world, concurrency, Budget(usd=Decimal("0.0201")))
        assert [each.status for each in found] == ["answered"] * 6
        assert provider.most <= Decimal("0.0201")


def test_as_many_as_fit_are_made_at_the_same_time() -> None:
    world = World(tuple(Case(rounds=20, written=1) for _ in range(30)), price=(1, 100), most=1000)
    provider = Scripted(world)
    asked(desk_of(world, provider), world, 30, Budget(usd=Decimal("0.55")))
    assert provider.together == 5


def test_what_waits_has_begun_no_try_and_marks_nobodys_health() -> None:
    heard: list[Event] = []
    world = World(tuple(Case(rounds=5, written=6) for _ in range(8)), most=1000)
    provider = Scripted(world)
    desk = desk_of(world, provider, heard)
    found = asked(desk, world, 8, Budget(usd=Decimal("0.11")))
    assert {each.status for each in found} == {"answered"}
    tries = [event for event in heard if isinstance(event, TryStarted | TryEnded | BreakerChanged)]
    assert [type(event) for event in tries] == [TryStarted, TryEnded] * 8, "each began when the one before had ended"
    assert [each.failed for each in found] == [()] * 8


def test_a_run_that_waits_keeps_to_its_time() -> None:
    world = World((Case(rounds=10**9), *[Case() for _ in range(3)]), most=1000)
    provider = Scripted(world)
    found = asked(desk_of(world, provider), world, 4, Budget(usd=Decimal("0.11"), seconds=0.3))
    assert {each.status for each in found} == {"escalated"}
    assert all(any(reason.startswith("limit:seconds") for reason in each.reasons) for each in found)
    assert provider.together == 1


@pytest.mark.parametrize("limit", ["0.3", "0.5", "0.8"])
def test_who_began_first_gets_its_merge_before_others_get_their_experts(limit: str) -> None:
    """The money is enough for some: what is begun is brought to its end, as one after the other would be."""
    world = World(tuple(Case(rounds=3, written=300) for _ in range(16)), price=(1, 100), most=300, merged=True)
    came: list[list[tuple[str, int, Decimal | None]]] = []
    for concurrency in (1, 4, 16):
        provider = Scripted(world)
        found = asked(desk_of(world, provider), world, concurrency, Budget(usd=Decimal(limit)))
        came.append([(each.status, each.merge_calls, each.cost_usd) for each in found])
    answered = [status == "answered" for status, _, _ in came[0]]
    assert answered == sorted(answered, reverse=True)
    assert all(merges == (status == "answered") for status, merges, _ in came[0])
    assert came == [came[0]] * 3


@often
@given(world=worlds, concurrency=concurrencies, limit=st.integers(0, 2_000_000))
def test_money_that_runs_out_pays_for_the_same_questions_at_any_concurrency(
    world: World, concurrency: int, limit: int
) -> None:
    came: list[list[tuple[str, Decimal | None]]] = []
    world = replace(world, merged=False)
    for each in (1, concurrency):
        found = asked(desk_of(world, Scripted(world)), world, each, Budget(usd=limit * MICRO))
        came.append([(decision.status, decision.cost_usd) for decision in found])
    assert came[0] == came[1]


@pytest.mark.parametrize("merged", [False, True])
def test_runs_in_threads_of_their_own_wait_for_each_other(merged: bool) -> None:
    world = World(tuple(Case(rounds=3, written=6) for _ in range(12)), most=1000, merged=merged)
    provider = Scripted(world)
    inner = desk_of(world, provider)

    def in_a_thread(question: str) -> str | None:
        return inner.run_sync(question).answer

    desk = Orchestrator([Agent(name="in_a_thread", tool=in_a_thread)], trace=False, budget=Budget(usd=Decimal(1000)))
    found = asked(desk, world, 12, Budget(usd=Decimal("0.4")))
    assert {each.status for each in found} == {"answered"}
    assert sum(each.cost_usd or 0 for each in found) <= Decimal("0.4")


def test_a_refusal_says_what_others_hold() -> None:
    together = Ledger(Budget(usd=Decimal("0.05"), tokens=100), name="all runs together", shared=True)
    mine, others = Ledger(within=together), Ledger(within=together)
    held = others.reserve(Decimal("0.02"), 40)
    with pytest.raises(BudgetExceeded, match=r"\$0.06, \$0.05 of \$0.05 are left for all runs together, \$0.02 of it"):
        mine.reserve(Decimal("0.06"), 1)
    with pytest.raises(BudgetExceeded, match="100 are left for all runs together, 40 of them held by calls in flight"):
        mine.reserve(Decimal("0.01"), 101)
    with pytest.raises(BudgetExceeded) as passing:
        mine.reserve(Decimal("0.04"), 1)
    assert passing.value.passing
    others.settle(held, Decimal("0.02"), Usage(40, 0))
    with pytest.raises(BudgetExceeded, match=r"\$0.03 of \$0.05 are left for all runs together$") as refused:
        mine.reserve(Decimal("0.04"), 1)
    assert not refused.value.passing
    assert mine.left.usd == Decimal("0.03")


amounts = st.integers(0, 40).map(lambda cents: cents * Decimal("0.0123456789"))


@given(
    steps=st.lists(st.tuples(st.integers(0, 5), amounts, st.integers(0, 30), st.integers(0, 3)), max_size=60),
    limit=amounts.map(lambda usd: usd * 3),
)
def test_no_level_is_ever_over_committed(steps: list[tuple[int, Decimal, int, int]], limit: Decimal) -> None:
    """Runs within runs, two shares inside each other; whatever is done in whatever order."""
    outer = Ledger(Budget(usd=limit, tokens=90), shared=True)
    run, other = Ledger(Budget(usd=limit), within=outer), Ledger(within=outer)
    inner = Ledger(Budget(tokens=60), within=run, shared=True)
    leaves = [Ledger(within=inner), Ledger(Budget(usd=limit / 2), within=inner)]
    ledgers = [outer, run, other, inner, *leaves]
    held: list[tuple[Ledger, Reservation]] = []
    for which, usd, tokens, what in steps:
        ledger = (other, *leaves, run, other, leaves[0])[which]
        if what > 1 and held:
            owner, reservation = held.pop(which % len(held))
            owner.settle(reservation, Decimal(0), Usage()) if what == 2 else owner.give_back(reservation)
            continue
        before, waits, obstacle = ledger.left, ledger.has_to_wait(usd, tokens), ledger.obstacle(usd, tokens)
        assert (obstacle is None) == ((before.usd or 0) >= usd and (before.tokens or 0) >= tokens)
        take = ledger.keep if what == 1 else ledger.reserve
        if obstacle is None and (what == 1 or not waits):
            held.append((ledger, take(usd, tokens)))
        else:
            with pytest.raises(BudgetExceeded) as refused:
                take(usd, tokens)
            assert refused.value.passing == waits
        for each in ledgers:
            assert each.budget.usd is None or (each.spent or 0) + each.held <= each.budget.usd
            assert each.budget.tokens is None or each.usage.total + each.holds.tokens <= each.budget.tokens
    for owner, reservation in held:
        owner.give_back(reservation)
    assert [(each.held, each.in_flight) for each in ledgers] == [(0, 0)] * len(ledgers)
    assert outer.left == Left(limit, 90)


def test_a_waiter_whose_loop_is_gone_keeps_nobody_from_the_money() -> None:
    together = Ledger(Budget(usd=Decimal(1)), shared=True)
    runs = [Ledger(within=together) for _ in range(3)]
    held = runs[0].reserve(Decimal(1))
    lost = InLine(runs[1])

    waiting = lost.change()

    async def left_behind() -> None:
        assert lost.has_to_wait(Decimal(1), 0)
        waiting.send(None)

    async def waits() -> None:
        with InLine(runs[2]) as line:
            while line.has_to_wait(Decimal(1), 0):
                asyncio.get_running_loop().call_later(0.01, runs[0].give_back, held)
                await asyncio.wait_for(line.change(), LONGEST)
            runs[2].reserve(Decimal(1))

    asyncio.run(left_behind())
    asyncio.run(waits())
    assert together.held == 1
    waiting.close()
