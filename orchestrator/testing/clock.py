"""A clock that stands still until it is told, or until somebody sleeps by it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from orchestrator.runtime import Clocks

__all__ = ["FakeClock"]

DAY_ONE = 1_767_225_600.0
"""1 January 2026, 00:00 UTC, in seconds since 1970: what the clock on the wall shows when the other one shows 0."""


@dataclass
class FakeClock:
    """Called, it tells the time; `sleep` lets the time pass at once and keeps note of it.

    `Orchestrator(…, clocks=clock.clocks, sleep=clock.sleep)` waits, cools down and reaches deadlines in no time. The
    time limit of a try is the event loop's: for experts that hang there is `LeapingLoop`.
    """

    now: float = 1000.0
    """Seconds."""
    waits: list[float] = field(default_factory=list[float])
    """Seconds of each sleep, in the order in which they began."""

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    def monotonic(self) -> float:
        """Tell the time: the same as calling it."""
        return self.now

    def wall(self) -> float:
        """The time of day, in seconds since 1970; it passes with the other."""
        return DAY_ONE + self.now

    @property
    def clocks(self) -> Clocks:
        """What an `Orchestrator` takes."""
        return Clocks(self.monotonic, self.wall)

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        """Sleep without waiting; whoever sleeps beside somebody else lets no more time pass than the longer of both."""
        until = self.now + seconds
        self.waits.append(seconds)
        await asyncio.sleep(0)
        self.now = max(self.now, until)
