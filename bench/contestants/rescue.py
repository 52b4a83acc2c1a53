"""What all contestants of the failover share: each asks a first model that fails, and gives the second one's answer."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import TextIO
from urllib.parse import urlsplit

from server import ANSWER

__all__ = ["Ask", "Fresh", "Rescued", "Task", "compete"]


@dataclass(frozen=True, slots=True)
class Task:
    """The question, who is asked first and who second."""

    first: str
    """Base URL of the model that fails."""
    second: str
    question: str
    system: str
    timeout: float
    """Seconds that one request may take."""
    folder: str
    """Where traces may be kept."""
    tuned: bool
    """Set up to be fast, rather than as it comes."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """An answer, and what its caller is told beside it."""

    text: str | None
    shown: Callable[[], int] = int
    """How many failed requests the caller is shown, each with its error; asked when the time is taken."""


Ask = Callable[[], Awaitable[Rescued]]
Fresh = Callable[[], Ask]
"""Makes one that has learned nothing of the models yet; its clients may be warm."""


@dataclass(slots=True)
class Connections:
    """Counts the connections that this process tries to open to a port, since nobody listens there who could."""

    port: int | None
    tried: int = 0

    def __call__(self, event: str, details: tuple[object, ...]) -> None:
        """Take note of what Python does."""
        if event == "socket.connect" and isinstance(details[1], tuple) and details[1][1] == self.port:
            self.tried += 1


@dataclass(frozen=True, slots=True)
class Contestant:
    """One in its process: told by lines of input how often to ask."""

    fresh: Fresh
    connections: Connections
    told: TextIO
    asked: list[tuple[float, float, int]] = field(default_factory=list[tuple[float, float, int]])
    """Seconds to the answer by wall clock and of CPU, and failures shown."""

    async def ask(self, ask: Ask) -> None:
        """Ask once, with the clock."""
        wall, cpu = perf_counter(), process_time()
        answer = await ask()
        wall, cpu = perf_counter() - wall, process_time() - cpu
        if answer.text != ANSWER:
            raise RuntimeError(f"not the second model's answer: {answer.text!r}")
        self.asked.append((wall, cpu, answer.shown()))

    async def compete(self) -> None:
        """Ask unmeasured, so that all is imported and clients are open, then whenever a line comes.

        Twice, since the imports of the first time may take longer than its timeout, so that nothing is sent.
        """
        for _ in range(2):
            await self.ask(self.fresh())
        self.tell()
        for line in sys.stdin:  # nothing else is to happen while this process waits for its turn
            questions, seconds = json.loads(line)
            await (self.row(questions) if seconds is None else self.singles(questions, seconds))
            self.tell()

    async def singles(self, questions: int, seconds: float) -> None:
        """Ask so often, or for so long, each time as if it were the first time."""
        until = perf_counter() + seconds
        while not self.asked or (len(self.asked) < questions and perf_counter() < until):
            await self.ask(self.fresh())

    async def row(self, questions: int) -> None:
        """Ask so often, and learn."""
        ask = self.fresh()
        for _ in range(questions):
            await self.ask(ask)

    def tell(self) -> None:
        """Report what was asked since the last report."""
        print(json.dumps({"asked": self.asked, "tried": self.connections.tried}), file=self.told, flush=True)
        self.asked.clear()
        self.connections.tried = 0


def compete(contestant: Callable[[Task], Fresh]) -> None:
    """Compete in the task that the command line tells."""
    if not sys.argv[1:]:
        raise SystemExit("no task: `bench/failover.py` starts its contestants itself and tells them what to do")
    task = Task(**json.loads(sys.argv[1]))
    told, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no report
    connections = Connections(urlsplit(task.first).port)
    sys.addaudithook(connections)
    asyncio.run(Contestant(contestant(task), connections, told).compete())
