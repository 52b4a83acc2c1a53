"""Many questions at once: bounded, in order, under one budget, with failures as values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from orchestrator.budget import ALL_TOGETHER, Budget, Ledger
from orchestrator.errors import ConfigError
from orchestrator.messages import Asked, Decision
from orchestrator.runtime import enclosing_attempt

__all__ = ["Outcome", "Share", "checked_budget", "each_of", "share_of"]

Outcome = Decision | Exception
"""What came of one of many questions: its decision, or what was wrong with it."""


@dataclass(frozen=True, slots=True)
class Share:
    """What many runs have together: money, tokens and time."""

    ledger: Ledger
    until: float
    """On the clock of the runs; infinite where no time is set."""


def share_of(budget: Budget | None, now: float) -> Share:
    """What runs share under a budget; raises `ConfigError` for a limit on turns, which each run has of its own."""
    budget = checked_budget(budget) or Budget()
    if budget.turns is not None:
        raise ConfigError("cannot be shared", field="budget.turns", expected="a limit on each run, in its own budget")
    within = enclosing_attempt()
    around = within.context.ledger if within else None
    ledger = Ledger(budget, name=ALL_TOGETHER, within=around, shared=True)
    return Share(ledger, float("inf") if budget.seconds is None else now + budget.seconds)


def checked_budget(given: object) -> Budget | None:
    """The budget; raises `ConfigError` for what is none, such as a bare amount of money."""
    if given is None or isinstance(given, Budget):
        return given
    number = isinstance(given, (int, float, Decimal)) and not isinstance(given, bool)
    limit = given if number else "0.05"
    raise ConfigError(
        f"cannot be {given!r:.120}", field="budget", expected=f'a `Budget`, such as Budget(usd=Decimal("{limit}"))'
    )


async def each_of(
    questions: Iterable[Asked], ask: Callable[[Asked], Awaitable[Decision]], *, concurrency: int
) -> AsyncGenerator[tuple[int, Outcome]]:
    """The outcomes with their places, as they come; at most `concurrency` runs are made at the same time.

    Questions are taken when there is room for them, so that their number does not matter. Who is slow to take
    outcomes keeps further runs from beginning; leaving the loop cancels those that are being made.
    """
    if concurrency < 1:
        raise ConfigError(f"cannot be {concurrency}", field="concurrency", expected="a whole number of at least 1")
    numbered = enumerate(questions)
    running: dict[asyncio.Future[Decision], int] = {}
    try:
        while True:
            for number, asked in islice(numbered, concurrency - len(running)):
                running[asyncio.ensure_future(ask(asked))] = number
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for one in sorted(done, key=lambda one: running[one]):
                yield running.pop(one), _outcome(one)
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _outcome(run: asyncio.Future[Decision]) -> Outcome:
    """The decision of a run that has ended, or what it raised; what ends the process goes on its way."""
    raised = run.exception()
    return raised if isinstance(raised, Exception) else run.result()
