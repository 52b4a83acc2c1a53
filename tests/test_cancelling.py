"""Runs over loopback servers that are cancelled at every kind of moment: nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest

from orchestrator import Agent, AnswerText, Budget, Model, Orchestrator, Pool, Price
from orchestrator.budget import Ledger
from orchestrator.messages import Decision
from orchestrator.pipeline.streaming import Streamed
from orchestrator.runtime import ControlPurpose
from orchestrator.testing import assert_no_silent_failure, read_trace
from orchestrator.trace import Trace
from orchestrator.trace.events import RunEnded, TryEnded
from tests.runs import QUESTION, hold_to_the_rules
from tests.wire.server import WireServer
from tests.wire.speech import VENDORS, Said, answers, routes, spoken

BATCH = 20
"""Moments of one test."""
ROUNDS = 200
"""Of the loop, in which what nobody waits for has to be gone."""
Given = TypeVar("Given")
Way = Callable[["House", "Steps"], Awaitable[object]]
Lengths = Mapping[tuple[Way, str, bool], int]

PRICE = Price(input=Decimal("1.37"), output=Decimal("5.11"), as_of=date(2026, 1, 1), source="a test")
ASKED = routes(
    ("sage", "Which city?"), ("spare", "Which city?"), ("guide", "Which city?"), ("sums", "2+2"), text="Ask."
)
SCRIPT = {
    "router": (ASKED, answers("Rome.")),
    "sage": (Said("Rome."),),
    "spare": (Said("Oslo."),),
    "merger": (Said("Rome."),),
}


@pytest.fixture(autouse=True)
def nothing_of_others_is_left() -> None:
    """What tests before these left to the collector is collected now, so that it is not held against them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@dataclass(slots=True)
class Steps:
    """Counts the steps that the tasks of a loop take, and does something at one of them."""

    at: int = 0
    """The step at which `act` is called, the first is 1; 0 for none."""
    act: Callable[[], object] = lambda: None
    delay: float | None = None
    """Seconds from the step to the act, 0 for when the loop comes round; None: within the step."""
    taken: int = 0

    def task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Any,  # noqa: ANN401 - its own result's kind
        **more: Any,  # noqa: ANN401 - what there is differs from one Python to the next
    ) -> asyncio.Task[Any]:
        """The task factory."""
        return asyncio.Task(_Counted(coroutine, self), loop=loop, **more)

    def step(self) -> None:
        """One more."""
        self.taken += 1
        if self.taken == self.at and self.delay is not None:
            asyncio.get_running_loop().call_later(self.delay, self.act)
        elif self.taken == self.at:
            self.act()


class _Counted(Coroutine[Any, Any, Given]):
    """A coroutine whose every step is counted."""

    def __init__(self, inner: Coroutine[Any, Any, Given], steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, Given]:
        return self._inner.__await__()

    def send(self, value: object, /) -> object:
        """Go on to the next place where it waits."""
        self._steps.step()
        return self._inner.send(value)

    def throw(self, *thrown: Any) -> object:  # noqa: ANN401 - one to three, as the protocol has it
        """Raise something there."""
        self._steps.step()
        return self._inner.throw(*thrown)

    def close(self) -> None:
        """Give it up."""
        self._inner.close()


@dataclass(slots=True)
class House:
    """A router, two models and two tools side by side, and a merge agent, all over one loopback server."""

    folder: Path
    vendor: str
    streamed: bool
    complaints: list[str] = field(default_factory=list[str])
    """What the event loop complained of."""
    server: WireServer = field(default_factory=lambda: WireServer(cut_short=True))

    def lived(self, way: Way, steps: Steps) -> Trace | None:
        """One run from its beginning to the end of its loop; its trace, where it came to have one."""
        with self.server as server, asyncio.Runner() as runner:
            for name, lines in SCRIPT.items():
                streamed = self.streamed and name in ("router", "merger")
                server.script(*(spoken(self.vendor, line, streamed=streamed) for line in lines), model=name)
            runner.get_loop().set_exception_handler(lambda _, told: self.complaints.append(str(told["message"])))
            runner.run(self._watched(way, steps))
        found = list(self.folder.glob("*.jsonl"))
        return read_trace(found[0]) if found else None

    async def _watched(self, way: Way, steps: Steps) -> None:
        me, loop = asyncio.current_task(), asyncio.get_running_loop()
        loop.set_task_factory(steps.task)
        await way(self, steps)
        loop.set_task_factory(None)
        left = asyncio.all_tasks() - {me}
        assert left == set(), left

    def orchestrator(self) -> Orchestrator:
        """One whose models live at the server."""
        url = self.server.openai_url if self.vendor == "openai" else self.server.url
        models = [Model(name=name, provider=self.vendor, base_url=url, price=PRICE, max_output=300) for name in SCRIPT]
        experts = [
            Agent(name="sage", model="sage", skill=0.9),
            Agent(name="spare", model="spare", skill=0.6),
            Agent(name="guide", tool=guide, skill=0.5),
            Agent(name="sums", tool="arithmetic", skill=0.9),
        ]
        pool = Pool([*models, *experts], merger="merger")
        return Orchestrator(
            pool, router="router", merge="synthesise", budget=Budget(usd=Decimal(1)), trace=self.folder, seed=1
        )

    def on_text(self, purpose: ControlPurpose, piece: str) -> None:
        """Listen to what is written."""


async def guide(question: str) -> str:
    """A tool that takes a few rounds of the loop."""
    del question
    for _ in range(5):
        await asyncio.sleep(0)
    return "Rome."


async def last_rounds() -> None:
    """Let the loop go round until the other tasks are through."""
    for _ in range(ROUNDS):
        if asyncio.all_tasks() == {asyncio.current_task()}:
            break
        await asyncio.sleep(0)


async def cancelled_run(house: House, steps: Steps) -> object:
    """The run itself is cancelled."""
    options: dict[str, Any] = {"on_text": house.on_text} if house.streamed else {}
    run = asyncio.create_task(house.orchestrator().run(QUESTION, **options))
    steps.act = run.cancel
    (ended,) = await asyncio.gather(run, return_exceptions=True)
    assert isinstance(ended, (Decision, asyncio.CancelledError)), ended
    return ended


async def cancelled_twice(house: House, steps: Steps) -> object:
    """The run is cancelled, and again while it tidies up, which it then no longer waits for."""
    run = asyncio.create_task(house.orchestrator().run(QUESTION))

    def cancel() -> None:
        run.cancel()
        asyncio.get_running_loop().call_soon(run.cancel)

    steps.act = cancel
    (ended,) = await asyncio.gather(run, return_exceptions=True)
    assert isinstance(ended, (Decision, asyncio.CancelledError)), ended
    await last_rounds()
    return ended


async def cancelled_consumer(house: House, steps: Steps) -> object:
    """Whoever reads the stream is cancelled, while it waits for an event or is busy with one."""

    async def consume() -> None:
        async with aclosing(house.orchestrator().stream(QUESTION)) as events:
            async for _ in events:
                await asyncio.sleep(0)

    consumer = asyncio.create_task(consume())
    steps.act = consumer.cancel
    (ended,) = await asyncio.gather(consumer, return_exceptions=True)
    assert ended is None or isinstance(ended, asyncio.CancelledError), ended
    return ended


async def careless_consumer(house: House, steps: Steps) -> object:
    """Whoever reads the stream is cancelled and does not close it: Python does, once nobody holds it."""

    async def consume() -> None:
        async for _ in house.orchestrator().stream(QUESTION):
            await asyncio.sleep(0)

    consumer = asyncio.create_task(consume())
    steps.act = consumer.cancel
    await asyncio.wait([consumer])
    await last_rounds()
    return None


async def closed_stream(house: House, steps: Steps) -> object:
    """Whoever reads the stream turns away from it."""
    gone: list[bool] = []
    steps.act = lambda: gone.append(True)
    stream: AsyncGenerator[Streamed] = house.orchestrator().stream(QUESTION)
    async for _ in stream:
        if gone:
            break
    await stream.aclose()
    return None


async def left_at_a_piece(house: House, steps: Steps) -> object:
    """Whoever reads the stream turns away from it with a piece of the answer in hand."""
    gone: list[bool] = []
    steps.act = lambda: gone.append(True)
    stream: AsyncGenerator[Streamed] = house.orchestrator().stream(QUESTION)
    async for item in stream:
        if gone and isinstance(item, AnswerText):
            break
    await stream.aclose()
    return None


WAYS: tuple[Way, ...] = (
    cancelled_run,
    cancelled_twice,
    cancelled_consumer,
    careless_consumer,
    closed_stream,
    left_at_a_piece,
)


@pytest.fixture
def ledgers(monkeypatch: pytest.MonkeyPatch) -> list[Ledger]:
    """Every ledger that is opened."""
    opened: list[Ledger] = []
    begin = Ledger.__init__

    def noting(self: Ledger, budget: Budget | None = None, *, name: str = "", within: Ledger | None = None) -> None:
        begin(self, budget, name=name, within=within)
        opened.append(self)

    monkeypatch.setattr(Ledger, "__init__", noting)
    return opened


def held_to_account(house: House, trace: Trace | None, ledgers: list[Ledger]) -> str:
    """How a run ended: with nothing left open in its trace, its ledger and its loop."""
    assert house.complaints == []
    assert [(ledger.in_flight, ledger.held) for ledger in ledgers] == [(0, 0)] * len(ledgers)
    if trace is None:
        assert ledgers == []  # it was cancelled before its first step
        return "never began"
    hold_to_the_rules(trace)
    assert_no_silent_failure(trace)
    ended = trace.events[-1]
    assert isinstance(ended, RunEnded)
    tries = [event for event in trace.events if isinstance(event, TryEnded)]
    assert sum((event.usd or Decimal(0) for event in tries), Decimal(0)) == ledgers[0].spent
    return ended.how


def length_of(way: Way, folder: Path, vendor: str, *, streamed: bool) -> int:
    """Steps that an undisturbed run takes; it also imports what a first call imports."""
    steps = Steps()
    trace = House(folder, vendor, streamed).lived(way, steps)
    assert trace is not None
    assert isinstance(trace.events[-1], RunEnded)
    decision = trace.events[-1].decision
    assert decision is not None
    assert (decision.answer, decision.status, set(decision.support)) == (
        "Rome.",
        "answered",
        {"guide", "router", "sage"},
    )
    assert (decision.expert_calls, decision.control_calls, decision.merge_calls) == (4, 2, 1)
    return steps.taken


@pytest.fixture(scope="module")
def lengths(tmp_path_factory: pytest.TempPathFactory) -> Lengths:
    """Steps of an undisturbed run, by how it is read, by vendor, and whether it is streamed."""
    every = product(WAYS, VENDORS, (False, True))
    folder = tmp_path_factory.mktemp
    return {each: length_of(each[0], folder("whole"), each[1], streamed=each[2]) for each in every}


def disturbed(way: Way, folder: Path, ledgers: list[Ledger], seed: int, lengths: Lengths) -> str:
    """How a run ended that was cut short at a moment drawn by its seed, once it was held to account."""
    random, house = Random(seed), House(folder / str(seed), VENDORS[seed % 2], seed % 4 >= 2)
    length = lengths[way, house.vendor, house.streamed]
    steps = Steps(at=random.randint(1, length), delay=random.choice((None, 0.0, random.uniform(0, 0.003))))
    ledgers.clear()
    return held_to_account(house, house.lived(way, steps), ledgers)


@pytest.mark.parametrize("batch", range(10))
def test_a_run_cancelled_at_any_moment_leaves_nothing_behind(
    batch: int, tmp_path: Path, ledgers: list[Ledger], lengths: Lengths
) -> None:
    ends = Counter(
        disturbed(cancelled_run, tmp_path, ledgers, seed, lengths) for seed in range(batch * BATCH, (batch + 1) * BATCH)
    )
    assert ends["cancelled"] >= BATCH // 2, ends
    gc.collect()  # what was left open warns now, and a warning is an error


@pytest.mark.parametrize("way", WAYS[1:])
def test_whoever_leaves_a_run_leaves_nothing_behind(
    way: Way, tmp_path: Path, ledgers: list[Ledger], lengths: Lengths
) -> None:
    ends = Counter(disturbed(way, tmp_path, ledgers, seed, lengths) for seed in range(1000, 1030))
    assert ends["cancelled"] >= 15, ends
    gc.collect()
