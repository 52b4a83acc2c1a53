"""Many runs at once: `run_many` against bare LangGraph runs of the same shape, and the memory of a run that waits.

Two shapes. In `model` one expert is a model, and what it says is scripted: ours decides, consults, decides again and
merges, and the bare graph has a node for each of these four. In `chain` four functions follow each other, four experts
of ours and four nodes. The bare graphs count, price, trace and check nothing. Ours runs with breakers, a money budget
over all runs and, where it says so, a trace on disk for every run. All take turns in one process, so many runs each
time, and a ratio is that of two turns next to each other; beneath it stands the one of the sums.

A waiting run is one whose expert waits for an event. All of them wait at the same time in a process of their own, and
what it then takes more than before (resident, as the system says) is divided by their number.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Literal

from many_bare import Waiting, bare_chain, bare_model, bare_waiting, read, reckon, reply, tell, weigh

from orchestrator import Agent, Budget, Completion, Decision, Model, Orchestrator, Price, Usage, expert
from orchestrator.pool.registry import Member
from orchestrator.providers import OnText, Request

OURS, TRACED, BARE = "ours, no trace", "ours, trace on disk", "LangGraph, bare"
GOAL = 1.3
PRICE = Price(input=Decimal("0.25"), output=Decimal(2), as_of=date(2026, 11, 21), source="made up")
Turn = Callable[[Sequence[str]], Awaitable[None]]
Shape = Literal["model", "chain"]
SHAPES: tuple[Shape, ...] = ("model", "chain")


class Scripted:
    """A model that always says the same, and keeps nothing."""

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """What it says."""
        del model, on_text
        return Completion(reply(request.messages[-1].content), usage=Usage(40, 6))


@dataclass(slots=True)
class Contestant:
    """One way to make runs, and what its turns took: seconds of wall clock and of CPU."""

    name: str
    turn: Turn
    wall: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])

    async def compete(self, questions: Sequence[str]) -> None:
        """One turn."""
        gc.collect()
        wall, cpu = perf_counter(), process_time()
        await self.turn(questions)
        self.wall.append(perf_counter() - wall)
        self.cpu.append(process_time() - cpu)


def pool_of(shape: Shape) -> list[Member]:
    """Ours."""
    if shape == "model":
        return [Model(name="script:small", price=PRICE, max_output=50), Agent(name="small", model="script:small")]
    stages = (
        expert(produces="facts", skill=0.9)(read),
        expert(produces="weights", skill=0.9)(weigh),
        expert(produces="total", skill=0.9)(reckon),
        expert(produces="answer", skill=0.9)(tell),
    )
    return [*stages]


def ours(shape: Shape, trace: Path | bool, concurrency: int) -> Turn:
    """Runs by `run_many`, each of which has to be answered."""
    desk = Orchestrator(pool_of(shape), providers={"script": Scripted()}, trace=trace, budget=Budget(usd=Decimal(1)))

    async def turn(questions: Sequence[str]) -> None:
        outcomes = await desk.run_many(questions, concurrency=concurrency, budget=Budget(usd=Decimal(1000)))
        wrong = [each for each in outcomes if not isinstance(each, Decision) or each.status != "answered"]
        if wrong or len(outcomes) != len(questions):
            raise SystemExit(f"{len(wrong)} runs were not answered, such as {wrong[:1]}")

    return turn


async def measure(contestants: list[Contestant], *, runs: int, each: int) -> None:
    """So many runs of each contestant, in turns of `each`, after one turn unmeasured."""
    for contestant in contestants:
        await contestant.compete([f"warm {number}" for number in range(each)])
        contestant.wall.clear()
        contestant.cpu.clear()
    for start in range(0, runs, each):
        questions = [f"question {number}" for number in range(start, min(start + each, runs))]
        for contestant in contestants if start // each % 2 else reversed(contestants):
            await contestant.compete(questions)


def say(shape: Shape, contestants: list[Contestant], runs: int) -> None:
    """Print rates and ratios."""
    bare = contestants[-1]
    for each in contestants:
        ratios = [mine / theirs for mine, theirs in zip(each.wall, bare.wall, strict=True)]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        whole, cpu = sum(each.wall), sum(each.cpu)
        print(
            f"  {shape:<7}{each.name:<21}{runs / whole:>7.0f} runs/s  {cpu / runs * 1e6:>6.0f} µs CPU/run"
            f"   time to bare: {spread}, of sums {whole / sum(bare.wall):.2f}"
        )


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def ours_waiting(waiting: Waiting, questions: Sequence[str]) -> None:
    """Ours, all waiting at once."""

    async def waits(question: str) -> str:
        return await waiting.wait(question)

    desk = Orchestrator([waits], trace=False)
    outcomes = await desk.run_many(questions, concurrency=len(questions))
    if not all(isinstance(each, Decision) and each.answer == "went on" for each in outcomes):
        raise SystemExit("not all that waited went on")


async def bytes_of(runs: Callable[[Waiting, Sequence[str]], Awaitable[None]], number: int) -> float:
    """Bytes that one of so many waiting runs takes; all of them must go on in the end."""
    await _all_wait(runs, 50)
    gc.collect()
    before = resident()
    return (await _all_wait(runs, number) - before) / number


async def _all_wait(runs: Callable[[Waiting, Sequence[str]], Awaitable[None]], number: int) -> int:
    waiting = Waiting(number)
    running = asyncio.ensure_future(runs(waiting, [f"question {each}" for each in range(number)]))
    full = asyncio.ensure_future(waiting.full.wait())
    await asyncio.wait([running, full], return_when=asyncio.FIRST_COMPLETED)
    gc.collect()
    then = resident()
    waiting.go.set()
    await running
    await full
    return then


WAITERS = {"ours": ours_waiting, "bare": bare_waiting}


def waiting_bytes(who: str, number: int) -> int:
    """Bytes of a waiting run, measured in a process of its own."""
    command = [sys.executable, __file__, "--waiting", who, "--runs", str(number)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return round(json.loads(done.stdout))


def contestants_of(shape: Shape, folder: Path, concurrency: int) -> list[Contestant]:
    """Who competes; the bare graph comes last."""
    bare = bare_model(Scripted()) if shape == "model" else bare_chain()
    return [
        Contestant(OURS, ours(shape, trace=False, concurrency=concurrency)),
        Contestant(TRACED, ours(shape, trace=folder, concurrency=concurrency)),
        Contestant(BARE, partial(bare, concurrency=concurrency)),
    ]


@contextmanager
def timed(shape: Shape) -> Generator[None]:
    """Says how busy the machine is when a shape is begun and when it is ended."""
    load = os.getloadavg()[0]
    yield
    print(f"  {shape}: load {load:.1f} at its begin, {os.getloadavg()[0]:.1f} at its end")


def main() -> None:
    """Parse the flags, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, help="measured runs of each")
    parser.add_argument("--each", type=int, default=500, help="runs of one turn")
    parser.add_argument("--concurrency", type=int, default=16, help="runs at the same time")
    parser.add_argument("--shape", choices=SHAPES, help="one shape alone")
    parser.add_argument("--waiting", choices=sorted(WAITERS), help="only print the bytes of a waiting run")
    options = parser.parse_args()
    if options.waiting:
        print(json.dumps(asyncio.run(bytes_of(WAITERS[options.waiting], options.runs))))
        return
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, {options.runs} runs of each, by {options.each}")
    for shape in [options.shape] if options.shape else SHAPES:
        with tempfile.TemporaryDirectory() as folder, timed(shape):
            contestants = contestants_of(shape, Path(folder), options.concurrency)
            asyncio.run(measure(contestants, runs=options.runs, each=options.each))
            say(shape, contestants, options.runs)
    print(f"  goal: at most {GOAL} times the time of the bare runs")
    took = {who: waiting_bytes(who, options.runs) for who in WAITERS}
    print(f"  bytes of a waiting run, of {options.runs}: ours {took['ours']:,}, LangGraph bare {took['bare']:,}")


if __name__ == "__main__":
    main()
