"""Much work, so many pieces at the same time, in an order that hangs on nothing; stopped, it stops as a whole."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import contextmanager
from typing import Any, TypeVar

from orchestrator.evals.calls import CallFile

__all__ = ["standing", "until_stopped", "work_through"]

Piece = TypeVar("Piece")
Gives = TypeVar("Gives")


@contextmanager
def standing() -> Generator[None]:
    """While many pieces are worked through, what was there before is not looked through for garbage.

    Else every run takes longer the larger the file of outcomes is: 6.5 ms of processor in place of 5.3 at 15,000 cases.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def work_through(pieces: Iterable[Piece], one: Callable[[Piece], Awaitable[None]], *, at_once: int) -> None:
    """Do every piece, so many at the same time; the first error stops the others and is raised."""
    waiting = iter(pieces)

    async def work() -> None:
        for piece in waiting:
            await one(piece)

    workers = [asyncio.ensure_future(work()) for _ in range(max(1, at_once))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def until_stopped(work: Coroutine[Any, Any, Gives], file: CallFile) -> asyncio.Task[Gives]:
    """The work, ended; where the eval is stopped meanwhile, its file knows that calls were in flight."""
    running = asyncio.ensure_future(work)
    try:
        await asyncio.wait([running])
    finally:
        if not running.done():
            file.closed = True
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    return running
