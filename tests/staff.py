"""Experts that keep note of what they did, in which order, with which inputs and under which key."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from orchestrator import Agent, Budget, IdempotencyKey, Orchestrator
from orchestrator.runtime import Clocks
from tests.fake_clock import FakeClock

__all__ = ["Book", "conduct", "forever", "until"]

PATIENCE = 5.0
"""Seconds after which what never comes is given up on, so that a test fails and does not hang."""


async def until(event: asyncio.Event) -> None:
    """Come back when it has happened."""
    async with asyncio.timeout(PATIENCE):
        await event.wait()


async def forever() -> object:
    """Never give anything."""
    await asyncio.Event().wait()
    return "never"


@dataclass
class Book:
    """What the experts of a test did; `begun` and `ended` tell of the first time that each did."""

    calls: Counter[str] = field(default_factory=Counter[str])
    log: list[str] = field(default_factory=list[str])
    """`+name` where a call begins, `-name` where it ends."""
    inputs: dict[str, list[dict[str, object]]] = field(default_factory=dict[str, "list[dict[str, object]]"])
    keys: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])
    begun: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    ended: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])

    def starts(self, name: str) -> asyncio.Event:
        """Set when an expert is first called."""
        return self.begun.setdefault(name, asyncio.Event())

    def ends(self, name: str) -> asyncio.Event:
        """Set when a call of an expert first ends, whichever way."""
        return self.ended.setdefault(name, asyncio.Event())

    def expert(
        self,
        name: str,
        *acts: object,
        consumes: tuple[str, ...] = ("question",),
        produces: str = "answer",
        skill: float = 0.5,
        optional: tuple[str, ...] = (),
        needs: int | None = None,
        retries: int | None = None,
        timeout: float = 60.0,
        effects: bool = False,
        idempotent: bool = False,
    ) -> Agent:
        """An expert that does an act at each call, the last one ever after: gives a value, raises it, or calls it."""

        async def work(*, key: IdempotencyKey, **inputs: object) -> object:
            act = acts[min(self.calls[name], len(acts) - 1)] if acts else name
            self.calls[name] += 1
            self.inputs.setdefault(name, []).append(inputs)
            self.keys.setdefault(name, []).append(key)
            self.log.append(f"+{name}")
            self.starts(name).set()
            try:
                return await _done(act)
            finally:
                self.log.append(f"-{name}")
                self.ends(name).set()

        return Agent(
            name=name,
            tool=work,
            consumes=consumes,
            produces=produces,
            skill=skill,
            optional=optional,
            needs=needs,
            retries=retries,
            timeout=timeout,
            effects=effects,
            idempotent=idempotent,
        )


async def _done(act: object) -> object:
    if isinstance(act, Exception):
        raise act
    if not callable(act):
        return act
    given = cast("Callable[[], object]", act)()
    return await cast("Awaitable[object]", given) if inspect.isawaitable(given) else given


def conduct(
    members: Iterable[Agent], folder: Path, *, clock: FakeClock | None = None, budget: Budget | None = None
) -> Orchestrator:
    """An orchestrator with the plan router on a clock that nobody waits by."""
    clock = clock or FakeClock()
    return Orchestrator(members, trace=folder, clocks=Clocks(clock, clock), sleep=clock.sleep, budget=budget, seed=1)
