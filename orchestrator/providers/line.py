"""The line before money that many runs share: a try waits for what others hold, who began first is served first."""

from __future__ import annotations

import asyncio
from bisect import insort
from contextlib import suppress
from decimal import Decimal
from typing import Self, cast

from orchestrator.budget import Ledger

__all__ = ["InLine"]


class InLine:
    """A try before a ledger, with a place in the line from when it first has to wait.

    Only the first in line looks whether it fits, so that a dear try is not overtaken for good by cheap ones. What it
    waits for are tries in flight, each of which ends; nobody in line holds anything that others wait for.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._line = ledger, ledger.line
        self._since, self._seen = 0, -1
        self._woken: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the line, and let the next one look."""
        if self._since:
            with self._ledger.lock, suppress(ValueError):
                self._line.waiting.remove(self)
                self._line.stir()

    def __lt__(self, other: InLine) -> bool:
        """Whether it comes before another."""
        return self._order() < other._order()

    def _order(self) -> tuple[tuple[int, ...], int]:
        return self._ledger.rank, self._since or self._line.changes + 1

    def has_to_wait(self, usd: Decimal | None, tokens: int) -> bool:
        """Whether a try of this worst case has to wait; not where it takes nothing, or can never be paid."""
        with self._ledger.lock:
            self._seen = self._line.changes
            if self._is_first():
                return self._ledger.has_to_wait(usd, tokens)
            takes = usd != 0 or (tokens and self._ledger.left.tokens is not None)
            return bool(takes) and self._ledger.obstacle(usd, tokens) is None

    def _is_first(self) -> bool:
        first = cast("InLine", self._line.waiting[0]) if self._line.waiting else self
        return first is self or self < first

    async def change(self) -> None:
        """Wait in line until there is reason to look again."""
        with self._ledger.lock:
            if not self._since:
                self._since = self._line.changes + 1
                insort(cast("list[InLine]", self._line.waiting), self)
            if self._seen != self._line.changes:
                return
            self._woken = asyncio.get_running_loop().create_future()
        try:
            await self._woken
        finally:
            self._woken = None

    def wake(self) -> bool:
        """Let it look again, from whatever thread; False where its event loop is closed."""
        woken = self._woken
        if woken is None:  # it is about to look
            return True
        with suppress(RuntimeError):
            woken.get_loop().call_soon_threadsafe(_wake, woken)
            return True
        return False


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
