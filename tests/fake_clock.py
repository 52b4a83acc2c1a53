"""A clock that stands still until it is told, or until somebody sleeps by it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

__all__ = ["FakeClock"]


@dataclass
class FakeClock:
    """Called, it tells the time; `sleep` lets the time pass at once and keeps note of it."""

    now: float = 1000.0
    waits: list[float] = field(default_factory=list[float])

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        """Sleep without waiting."""
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
