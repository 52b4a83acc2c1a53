"""The calls of an eval: each kept as soon as it ends, so that none is made twice, and held to a model's rate."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from time import monotonic

from orchestrator.errors import AttemptError, ProviderTimeout
from orchestrator.evals.suite import Limit
from orchestrator.pool import Model
from orchestrator.providers import Completion, OnText, Provider, RecordingProvider, ReplayProvider, Request
from orchestrator.providers.base import Preparing, list_price_quote
from orchestrator.providers.replay import CUT_OFF, call_key, read_cassette

__all__ = ["CallFile", "KeptCalls", "Pace", "PacedProvider"]

WINDOW = 60.0
"""Seconds over which calls per minute are counted."""


@dataclass(slots=True)
class CallFile:
    """Where the calls of one case by one system are kept: what began, and what came of it."""

    path: Path
    """A cassette."""
    closed: bool = False
    """Whether the eval is being stopped: a call cut off then is in flight, any other took longer than it may."""

    @property
    def begun(self) -> Path:
        """Calls that were about to be made, with what their input was to cost."""
        return self.path.with_suffix(".begun")

    def mend(self) -> None:
        """Cut off torn last lines."""
        for path in (self.path, self.begun):
            content = path.read_bytes() if path.exists() else b""
            if not content.endswith(b"\n") and content:
                path.write_bytes(content[: content.rfind(b"\n") + 1])

    def lost(self) -> Decimal:
        """USD for the input of calls that began and of which nobody knows how they ended (SEMANTICS §8).

        Asked before the case goes on: what is under way in a run is on that run's own bill.
        """
        ended = Counter(entry.key for entry in read_cassette(self.path)) if self.path.exists() else Counter[str]()
        total = Decimal(0)
        for line in self.begun.read_text(encoding="utf-8").splitlines() if self.begun.exists() else []:
            call: dict[str, str] = json.loads(line)
            if ended[call["key"]] > 0:
                ended[call["key"]] -= 1
            else:
                total += Decimal(call["usd"])
        return total


class KeptCalls(RecordingProvider):
    """Gives calls that ended in an earlier attempt at the case as they ended; makes and keeps the others.

    A call that was cut off because the eval is stopped is not kept: nobody knows how it ended. One that was cut off by
    the time limit of its try ended so, and is given again as a timeout.
    """

    def __init__(self, inner: Provider, file: CallFile, before: ReplayProvider | None) -> None:
        super().__init__(inner, file.path)
        self._file = file
        self._before = before

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """The completion or failure of the call; raises what the provider behind it raises."""
        if self._before is not None and self._before.holds(model, request):
            return await self._before.complete(model, request, on_text)
        usd = list_price_quote(model, request).input_cost or Decimal(0)
        with self._file.begun.open("a", encoding="ascii", newline="\n") as begun:
            begun.write(json.dumps({"key": call_key(model, request), "usd": str(usd)}) + "\n")
        try:
            completion = await self._inner.complete(model, request, on_text)
        except asyncio.CancelledError:
            if not self._file.closed:
                self.keep(model, request, ProviderTimeout(CUT_OFF))
            raise
        except AttemptError as error:
            self.keep(model, request, error)
            raise
        self.keep(model, request, completion)
        return completion


@dataclass(slots=True)
class Pace:
    """How fast one model may be asked, over a whole eval; time and sleep are the caller's to replace."""

    limit: Limit
    clock: Callable[[], float] = monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _begun: deque[float] = field(default_factory=deque[float])
    _active: int = 0
    _door: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def turn(self) -> None:
        """Wait until a call may begin; who waits longest comes first."""
        async with self._door:
            while not self._free():
                if self._full():
                    self._ended.clear()
                    await self._ended.wait()
                else:
                    await self.sleep(self._wait())

    async def begin(self) -> None:
        """Take a turn; nothing is waited for where `turn` was called just before."""
        while not self._free():
            await self.turn()
        self._active += 1
        self._begun.append(self.clock())

    def end(self) -> None:
        """Let the next one in."""
        self._active -= 1
        self._ended.set()

    def _free(self) -> bool:
        return not self._full() and self._wait() <= 0

    def _full(self) -> bool:
        return self.limit.concurrency is not None and self._active >= self.limit.concurrency

    def _wait(self) -> float:
        """Seconds until the oldest call of a full minute is a minute old."""
        if self.limit.per_minute is None or len(self._begun) < self.limit.per_minute:
            return 0.0
        while len(self._begun) > self.limit.per_minute:
            self._begun.popleft()
        return self._begun[0] + WINDOW - self.clock()


class PacedProvider:
    """Holds the calls of limited models back; the first try waits before its time begins to count."""

    def __init__(self, inner: Provider, paces: Mapping[str, Pace]) -> None:
        self._inner = inner
        self._paces = paces

    async def prepare(self, model: Model) -> None:
        """Let the provider behind it prepare, then wait for a turn."""
        if isinstance(self._inner, Preparing):
            await self._inner.prepare(model)
        if (pace := self._paces.get(model.name)) is not None:
            await pace.turn()

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """What the provider behind it gives, within the model's rate."""
        pace = self._paces.get(model.name)
        if pace is None:
            return await self._inner.complete(model, request, on_text)
        await pace.begin()
        try:
            return await self._inner.complete(model, request, on_text)
        finally:
            pace.end()
