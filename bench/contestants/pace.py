"""What all contestants share: told once what to ask of whom, each makes so many runs at every line of its input."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter

__all__ = ["Task", "compete"]

Run = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Task:
    """The question, and who answers it."""

    base_url: str
    question: str
    system: str
    """What the router is told."""
    folder: str
    """Where traces may be kept."""


def cpu_seconds() -> float:
    """CPU time of this process so far, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def make(run: Run, runs: int, at_once: int) -> None:
    """So many runs, so many at once."""
    left = iter(range(runs))

    async def work() -> None:
        for _ in left:
            await run()

    await asyncio.gather(*(work() for _ in range(at_once)))


async def keep_pace(run: Run) -> None:
    """Make the runs that each line of the input asks for, once unmeasured, so that connections are open."""
    for line in sys.stdin:  # nothing else is to happen while this process waits for its turn
        runs, at_once = json.loads(line)
        await make(run, at_once, at_once)
        cpu, wall = cpu_seconds(), perf_counter()
        await make(run, runs, at_once)
        print(json.dumps([cpu_seconds() - cpu, perf_counter() - wall]), flush=True)


def compete(contestant: Callable[[Task], Run]) -> None:
    """Compete in the task that the command line tells."""
    if not sys.argv[1:]:
        raise SystemExit("no task: `bench/overhead.py` starts its contestants itself and tells them what to do")
    task = Task(**json.loads(sys.argv[1]))
    asyncio.run(keep_pace(contestant(task)))
