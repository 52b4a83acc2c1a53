"""The money of a whole eval: what a question may cost is held back before it is asked, and settled after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from orchestrator.runtime import Tally
from orchestrator.trace.events import Event, TryEnded

__all__ = ["QUESTION_CAP", "Held", "Paid", "Purse"]

QUESTION_CAP = Decimal("0.10")
"""USD that a question may cost where the suite names no budget and models can spend (SEMANTICS §6)."""


@dataclass(slots=True)
class Held:
    """What one question may cost, and what it did."""

    cap: Decimal | None
    """USD; None where there is no limit."""
    refused: str = ""
    """Why nothing is left for it."""
    spent: Decimal | None = None
    """USD; None where nobody knows, so that all that was held counts as spent."""


class Purse:
    """USD for a whole eval, shared by questions that are asked at the same time; without a limit it holds any sum.

    A question whose share is held by others waits until they are settled, so that how many are asked at the same time
    changes no result while there is money.
    """

    def __init__(self, limit: Decimal | None, spent: Decimal = Decimal(0)) -> None:
        self._limit = limit
        self._spent = spent
        self._held = Decimal(0)
        self._settled = asyncio.Condition()

    @asynccontextmanager
    async def share(self, budget: Decimal | None, *, spends: bool, known: bool) -> AsyncGenerator[Held, None]:
        """Hold what one question may cost; `known` says that prices are the models' own, not recorded outcomes.

        Recorded questions have no budget unless one is given: they get all that is left, one after the other.
        """
        if not spends:
            yield Held(budget)
            return
        cap = QUESTION_CAP if budget is None and known else budget
        if self._limit is None:
            yield Held(cap)
            return
        held = await self._hold(self._limit, cap)
        sum_held = held.cap or Decimal(0)
        try:
            yield held
        finally:
            async with self._settled:
                self._held -= sum_held
                self._spent += 0 if held.refused else sum_held if held.spent is None else held.spent
                self._settled.notify_all()

    async def _hold(self, limit: Decimal, cap: Decimal | None) -> Held:
        """The whole share as soon as it is free; what is left where nobody is at work any more."""
        async with self._settled:
            await self._settled.wait_for(lambda: not self._held or self._fits(limit, cap))
            left = limit - self._spent - self._held
            if left <= 0:
                return Held(None, f"all of the eval's ${limit:f} is spent")
            share = left if cap is None else min(cap, left)
            self._held += share
            return Held(share)

    def _fits(self, limit: Decimal, cap: Decimal | None) -> bool:
        return cap is not None and limit - self._spent - self._held >= cap


@dataclass(slots=True)
class Paid:
    """A listener that adds up where the money of a run went, also of one that came to no decision."""

    usd: Decimal | None = Decimal(0)
    exact: bool = True
    apart: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    """USD known, by `expert`, `router`, `merge`, and `failed` for tries that gave nothing."""
    tally: Tally = field(default_factory=Tally)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        self.tally(event)
        if isinstance(event, TryEnded):
            went_well = event.kind is None and not event.cancelled
            where = event.purpose if went_well else "failed"
            self.apart[where] = self.apart.get(where, Decimal(0)) + (event.usd or 0)
            self.usd = None if self.usd is None or event.usd is None else self.usd + event.usd
            self.exact = self.exact and event.exact
