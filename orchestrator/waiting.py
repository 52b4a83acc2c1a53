"""The line of those who wait for what others hold: who is first may look again."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Line", "Waiting"]


class Waiting(Protocol):
    """Somebody in line."""

    def wake(self) -> bool:
        """Let it look again, from whatever thread; False where it never will."""
        ...


class Line:
    """Who waits for what others hold of what they share; only the first looks whether it fits by now."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.changes = 0
        """How often something was settled, was released or left the line."""

    def stir(self) -> None:
        """Let the first look again."""
        self.changes += 1
        while self.waiting and not self.waiting[0].wake():
            del self.waiting[0]
