"""Limits hit at every possible step: a run over its limit decides from what is there, and never spends more.

A world that breaks a rule is seen again by `faults_of(SEED)`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import Agent, Budget, Decision, Message, Model, Orchestrator, Pool, Price, Question, ToolError
from orchestrator.chaos.world import LeapingLoop
from orchestrator.errors import ProviderError
from orchestrator.merge import ASKING, MERGES, AskingMerge, Best, PanelMerge, Refine, Synthesise
from orchestrator.merging import GRACE
from orchestrator.messages import Goal, Reply, Usage
from orchestrator.pool.registry import Member
from orchestrator.providers import Completion, OnText, Request, call
from orchestrator.providers.base import estimated_tokens
from orchestrator.runtime import Clocks
from orchestrator.trace.events import Event, Replied, TryEnded, TryStarted, TurnTaken

QUESTION = Question((Message("user", "How many?"),))
LONGEST = 5_000.0
"""Simulated seconds after which a run hangs."""


def price(random: Random, parts: int = 100) -> Price:
    """A price of which every digit counts."""
    per = [Decimal(random.randint(1, 9_999)) / parts for _ in range(2)]
    return Price(input=per[0], output=per[1], as_of=date(2026, 1, 1), source="a test")


@dataclass(slots=True)
class Seller:
    """Models that say something, fail or take their time, as drawn; they count what they take."""

    random: Random
    names: tuple[str, ...]
    failing: float
    wordy: bool
    """Whether some replies are as long as an analysis may be."""
    greedy: bool
    """Whether experts say nothing of their usage, and so take all that was reserved for them."""
    merged_with: list[int] = field(default_factory=list[int])
    """Tokens that each call of the merge's was allowed to write."""

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """What a model says; a failure may come early, or with its bill."""
        del on_text
        if model.id == "merger":
            self.merged_with.append(request.max_output)
        await asyncio.sleep(self.random.choice((0.0, 0.01, self.random.random(), 7.0)))
        read = ceil(sum(len(message.content) for message in request.messages) / 4)
        if self.random.random() < self.failing:
            self._fail(Usage(read, self.random.randint(0, request.max_output)))
        said = self._turn(request) if model.id == "router" else Completion(self._reply())
        said = replace(said, text=said.text[: 2 * request.max_output])  # as much as it may write
        if self.greedy and model.id != "merger":
            return said
        written = min(request.max_output, self.random.choice((1, 20, request.max_output)))
        return replace(said, usage=self.random.choice((Usage(read, written), Usage(read, written), None)))

    def _fail(self, usage: Usage) -> None:
        kind = self.random.choice(("server", "timeout", "refusal", "malformed", "auth", "connection", "cut_stream"))
        raise ProviderError(
            "ill", kind=kind, usage=self.random.choice((usage, None)), sent=kind != "connection",
            begun=kind == "cut_stream",
        )  # fmt: skip

    def _reply(self) -> str:
        if self.wordy and self.random.random() < 0.7:
            return self.random.choice("456") + " and so on" * 900
        return self.random.choice(("4", "4.0", "5", "It is 4.", "6 " * 40, "long " * 300, "1", "2", "", "NONE"))

    def _turn(self, request: Request) -> Completion:
        asked = [(self.random.choice(self.names), json.dumps({"query": self.random.choice("ab")})) for _ in range(2)]
        if request.tools and self.random.random() < 0.6:
            return call(*asked[: self.random.randint(1, 2)])
        return Completion(self.random.choice(("4", "It is five.", "", "word " * 50)))


async def broken(question: Question, replies: object) -> str:
    """A merge of the caller's own that always breaks."""
    raise LookupError(f"{question.text} {replies!r}"[:40])


@dataclass(slots=True)
class World:
    """What was drawn for a seed."""

    seed: int
    members: list[Member]
    names: tuple[str, ...]
    router: str
    merge: object
    analyses: int
    failing: float
    wordy: bool
    pressed: bool = False
    """Whether experts take whatever is not kept from them, and what they say has to be merged by a model."""

    def seller(self) -> Seller:
        """The models, who say the same each time as far as they are asked the same."""
        return Seller(Random(self.seed), self.names, self.failing, self.wordy, self.pressed)


def tool(name: str, random: Random) -> Agent:
    """A tool that takes its time, and may fail."""
    seconds, ill, text = random.choice((0.0, 0.2, 3.0)), random.random() < 0.2, random.choice(("4", "5", "9"))

    async def work(question: str) -> str:
        del question
        await asyncio.sleep(seconds)
        if ill:
            raise ToolError("ill")
        return text

    return Agent(name=name, tool=work, skill=random.choice((0.3, 0.5, 0.8)))


def draw(seed: int) -> World:
    """The world of a seed: every fourth is pressed."""
    random = Random(seed)
    return pressed(seed, random) if seed % 4 == 3 else anything(seed, random)


def pressed(seed: int, random: Random) -> World:
    """A world in which a merge by a model is paid only if its money is kept."""
    names = tuple(f"e{number}" for number in range(random.randint(3, 6)))
    models = [Model(name=f"script:{name}", price=price(random), max_output=2_000) for name in names]
    merger = Model(name="script:merger", price=price(random, random.choice((1_000, 3_000, 10_000))), max_output=2_000)
    experts = [Agent(name=name, model=f"script:{name}", skill=random.choice((0.3, 0.5, 0.8))) for name in names]
    analyses = random.randint(3, len(names))
    return World(seed, [merger, *models, *experts], names, "plan", random.choice([*ASKING]), analyses, 0.0, True, True)


def anything(seed: int, random: Random) -> World:
    """Any world."""
    names = tuple(f"e{number}" for number in range(random.randint(1, 6)))
    models = {
        name: Model(name=f"script:{name}", price=price(random), max_output=random.choice((64, 300, 2_000)))
        for name in ("router", "merger", *names)
    }
    if random.random() < 0.7:  # the experts could spend what is kept for their merge
        models["merger"] = models["merger"].model_copy(update={"price": price(random, 100_000)})
    experts: list[Member] = [
        tool(name, random) if random.random() < 0.2 else
        Agent(name=name, model=f"script:{name}", skill=random.choice((0.3, 0.5, 0.8)), timeout=5.0)
        for name in names
    ]  # fmt: skip
    return World(
        seed,
        [*models.values(), *experts],
        names,
        random.choice(("plan", "plan", "script:router")),
        random.choice((None, *MERGES, *ASKING, *ASKING, broken)),
        random.choice((1, 2, 3, 3, 4)),
        random.choice((0.0, 0.1, 0.4)),
        random.random() < 0.4,
    )


@dataclass(slots=True)
class Ran:
    """A run, and what it was heard to say."""

    decision: Decision
    orchestrator: Orchestrator
    world: World
    seller: Seller
    events: list[Event] = field(default_factory=list[Event])
    times: list[float] = field(default_factory=list[float])


def run(world: World, budget: Budget) -> Ran:
    """A run of the world under a budget, on a clock that leaps."""
    events: list[Event] = []
    times: list[float] = []
    seller = world.seller()

    async def asked(clock: Callable[[], float]) -> tuple[Decision, Orchestrator]:
        def hear(event: Event) -> None:
            events.append(event)
            times.append(clock())

        orchestrator = Orchestrator(
            Pool(world.members, merger="script:merger"), router=world.router, merge=world.merge,  # pyright: ignore[reportArgumentType]
            analyses=world.analyses, budget=budget, providers={"script": seller}, trace=False,
            clocks=Clocks(clock, clock), seed=world.seed,
        )  # fmt: skip
        async with asyncio.timeout(LONGEST):
            return await orchestrator.run(QUESTION, listeners=[hear]), orchestrator

    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        decision, orchestrator = runner.run(asked(runner.get_loop().time))
    return Ran(decision, orchestrator, world, seller, events, times)


def judge(world: World) -> PanelMerge | None:
    """The merge of a world, where it asks a model."""
    return ASKING[world.merge]("script:merger") if isinstance(world.merge, str) and world.merge in ASKING else None


def limits(world: World, random: Random) -> Budget:
    """A limit that the run without any passes at one of its steps, or just does not."""
    free = run(world, Budget(usd=Decimal(1_000), turns=9))
    steps = [(each, at) for each, at in zip(free.events, free.times, strict=True) if isinstance(each, TryEnded)]
    usd, tokens, ways = [Decimal(0)], [0], [Budget(usd=Decimal(1_000), turns=random.randint(1, 4))]
    for event, _ in steps:
        usd.append(usd[-1] + (event.usd or 0))
        tokens.append(tokens[-1] + event.usage.total)
    begun = [event.reserved_usd or Decimal(0) for event in free.events if isinstance(event, TryStarted)]
    spent, held = random.choice(usd), random.choice([*begun, Decimal(0)])
    hair = random.choice((Decimal(0), Decimal("0.0000001"), Decimal("-0.0000001")))
    ways += [Budget(usd=max(Decimal(0), spent + held + hair), turns=9)] * 3
    reserved = random.choice((0, 300, 2_500, 12_000, 15_000))
    most = random.choice(tokens) + (reserved and reserved + random.choice((-1, 0, 1)))
    ways += [Budget(usd=Decimal(1_000), tokens=most, turns=9)] * 2
    kept: list[Budget] = []
    if (merge := judge(world)) is not None:  # its worst case, and what some of the experts took, or one reserved
        worst = merge.worst(free.orchestrator.pool.models["script:merger"], QUESTION, world.analyses)
        besides = held if world.pressed else spent
        kept += [Budget(usd=(worst.reserve or 0) + besides + hair, turns=9)] * 4
        kept += [Budget(usd=Decimal(1_000), tokens=worst.tokens + random.choice(tokens), turns=9)] * 2
    if world.pressed:
        return random.choice(kept)
    ways += kept
    ends = [at - free.times[0] for at in free.times]
    ways += [Budget(usd=Decimal(1_000), turns=9, seconds=random.choice(ends) + random.choice((0.0, 0.001)))] * 2
    return random.choice(ways)


def faults_of(seed: int, met: Counter[str] | None = None) -> list[str]:
    """What is wrong with the run of a seed under its limit."""
    world = draw(seed)
    budget = limits(world, Random(seed))
    ran = run(world, budget)
    if met is not None:
        met.update([ran.decision.status, *(reason.partition(": ")[0] for reason in ran.decision.reasons)])
        met[ran.decision.method or "nothing"] += 1
    return [*_spent_too_much(ran, budget), *_undecided(ran), *_not_kept(ran, budget)]


def _spent_too_much(ran: Ran, budget: Budget) -> list[str]:
    decision, tries = ran.decision, [event for event in ran.events if isinstance(event, TryEnded)]
    faults: list[str] = []
    if decision.cost_usd != sum((event.usd or Decimal(0) for event in tries), Decimal(0)):
        faults.append(f"cost {decision.cost_usd} is not that of its tries")
    if budget.usd is not None and (decision.cost_usd is None or decision.cost_usd > budget.usd):
        faults.append(f"spent {decision.cost_usd} of {budget.usd}")
    if budget.tokens is not None and decision.usage.total > budget.tokens:
        faults.append(f"took {decision.usage.total} of {budget.tokens} tokens")
    if budget.turns is not None and ran.orchestrator.budget.turns and decision.turns > _most_turns(ran, budget.turns):
        faults.append(f"took {decision.turns} of {budget.turns} turns")
    if budget.seconds is not None and decision.seconds > budget.seconds + GRACE:
        faults.append(f"took {decision.seconds} of {budget.seconds} s")
    return faults


def _most_turns(ran: Ran, turns: int) -> int:
    """Turns of the plan router, which takes over, are not counted against the limit of a router's."""
    return turns if all(e.router != "plan" for e in ran.events if isinstance(e, TurnTaken)) else 10_000


def _undecided(ran: Ran) -> list[str]:
    """A reply to the goal, or the router's answer, is decided from; without any the run says that it does not."""
    decision = ran.decision
    there = any(isinstance(event, Replied) for event in ran.events)
    there = there or any(isinstance(event, TurnTaken) and event.answer for event in ran.events)
    if decision.status == "escalated":
        told = decision.reasons != () and decision.answer is None
        return ["nothing was decided from what is there"] * there + ["escalated without a reason"] * (not told)
    return [f"{decision.status} without an answer"] * (decision.answer is None)


def _not_kept(ran: Ran, budget: Budget) -> list[str]:
    """Where the merge's worst case fits into the budget at the start, its call is made whenever it is needed."""
    merge = judge(ran.world)
    if merge is None or budget.seconds is not None:
        return []
    worst = merge.worst(ran.orchestrator.pool.models["script:merger"], QUESTION, ran.world.analyses)
    full = worst.reserve is not None and budget.usd is not None and worst.reserve <= budget.usd
    full = full and (budget.tokens is None or worst.tokens <= budget.tokens)
    room = min(merge.max_output, ran.orchestrator.pool.models["script:merger"].max_output)
    refused = any(f"{merge.name}: limit:" in reason for reason in ran.decision.reasons)
    refused = refused or (ran.decision.method == "fallback" and not ran.seller.merged_with)
    first = ran.seller.merged_with[0] if ran.seller.merged_with else 0 if refused else room
    return [f"its merge was left {first} tokens of {room}"] if full and first < room else []


def hold(seeds: range) -> Counter[str]:
    """Live through the worlds of some seeds: none breaks a rule."""
    met: Counter[str] = Counter()
    broken_rules = {seed: faults for seed in seeds if (faults := faults_of(seed, met))}
    assert broken_rules == {}
    return met


@pytest.mark.parametrize("first", [0, 150])
def test_three_hundred_runs_over_their_limits_decide_or_say_why_not(first: int) -> None:
    met = hold(range(first, first + 150))
    assert {"answered", "degraded", "escalated", "limit:usd", "limit:tokens", "limit:seconds", "limit:turns"} <= {*met}
    assert {*MERGES, *ASKING, "fallback"} <= {*met}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 10_000, 500))
def test_ten_thousand_runs_over_their_limits_decide_or_say_why_not(first: int) -> None:
    hold(range(first, first + 500))


@given(
    texts=st.lists(st.text(max_size=40).flatmap(lambda t: st.integers(0, 3_000).map(lambda n: t * n)), max_size=12),
    kind=st.sampled_from([Best, Refine, Synthesise]),
    noted=st.integers(0, 20),
)
def test_no_replies_make_a_merge_dearer_than_what_is_kept(texts: list[str], kind: type[PanelMerge], noted: int) -> None:
    merge = kind("script:merger")
    assert isinstance(merge, AskingMerge)
    replies = [
        Reply(n, f"e{n}", Goal("answer", slot=n), text, evidence=("fact " * noted,) * noted, confidence=0.5)
        for n, text in enumerate(texts, start=1)
    ]
    model = Model(name="script:merger", price=price(Random(1)), max_output=4_096)
    worst = merge.worst(model, QUESTION, 1)
    request = merge.request(QUESTION, replies)
    usage = Usage(estimated_tokens(request), request.max_output)
    assert usage.total <= worst.tokens
    assert model.price is not None
    assert worst.reserve is not None
    assert model.price.cost(usage) <= worst.reserve
