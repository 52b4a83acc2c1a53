"""What a tool says of a question before it is called, what it may look at, and how it is called."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self, cast

__all__ = ["CANNOT", "Claim", "IdempotencyKey", "Resources", "Tool", "in_thread"]


@dataclass(frozen=True, slots=True)
class Resources:
    """Places of one run that tools may read; given to a tool that asks for a `Resources` parameter."""

    __injected__: ClassVar[bool] = True

    docs: Path | None = None
    """Folder of documents to search."""
    tables: tuple[Path, ...] = ()
    """CSV files to total."""


class IdempotencyKey(str):
    """Names one effect: the same over tries, reroutes and resumes; given to a tool that asks for it by this type.

    A server that acts once on each key makes it safe to ask again after a lost reply.
    """

    __slots__ = ()
    __injected__: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Claim:
    """How surely a tool can take a question, found by a cheap test that does none of the work."""

    p: float
    """Probability of a right answer in [0, 1]; 0 means it cannot take the question."""
    why: str = ""
    """Where p is 0: what is missing or what would help, for a person to read."""


NO_KEY = IdempotencyKey("")
CANNOT = Claim(0.0)
"""Not this tool's kind of question; nothing that the user adds would change that."""

SURE = Claim(1.0)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function bound to an agent: called with artifacts by name and with what the run provides."""

    function: Callable[..., object]
    claim: Callable[..., object] | None = None
    injects: Mapping[str, type] | None = None
    """Parameters that the run fills, by the class they ask for."""
    optional: tuple[str, ...] = ()
    """Artifacts that are passed when they are there."""
    bare: frozenset[str] = frozenset()
    """Artifacts without a default of the function's own: None stands for one that is not there."""
    fixed: Mapping[str, object] | None = None
    """Parameters that the caller provided for, the same in every call."""

    def claims(self, question: str, resources: Resources) -> Claim:
        """How surely the tool can take the question; without a test of its own it always can."""
        if self.claim is None:
            return SURE
        with _Guard() as guard:
            said = self.claim(question, resources) if _wants_resources(self.claim) else self.claim(question)
            claim = said if isinstance(said, Claim) else Claim(float(cast("float", said)))
            if 0 <= claim.p <= 1:
                return claim
            raise ValueError(f"{claim.p} is no probability")
        return Claim(0.0, f"its claim cannot be had: {guard.error}")

    async def call(self, inputs: Mapping[str, object], resources: Resources, key: IdempotencyKey = NO_KEY) -> object:
        """The tool's result; a plain function runs in a thread, so that it blocks nobody."""
        provided = {Resources: resources, IdempotencyKey: key}
        injected = {name: provided[kind] for name, kind in (self.injects or {}).items()}
        given: dict[str, object] = {**dict.fromkeys(self.bare), **inputs, **injected, **(self.fixed or {})}
        if inspect.iscoroutinefunction(self.function):
            return await _awaited(self.function(**given))
        result = await in_thread(lambda: self.function(**given))
        return await _awaited(result) if inspect.isawaitable(result) else result


class _Guard:
    """Keeps what a user's claim raises: an expert that cannot speak for itself is left out, and the run goes on."""

    def __init__(self) -> None:
        self.error = ""

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Keep an error in words; what ends the process goes on its way."""
        self.error = f"{type(error).__name__}: {error}"
        return isinstance(error, Exception)


def _wants_resources(claim: Callable[..., object]) -> bool:
    return len(inspect.signature(claim).parameters) > 1


async def _awaited(work: Awaitable[object]) -> object:
    """What an async tool gives; one that wants to end the process fails instead."""
    try:
        return await work
    except SystemExit as error:
        raise RuntimeError(f"SystemExit: {error}") from error


async def in_thread(work: Callable[[], object]) -> object:
    """Run in a daemon thread: work that a deadline gave up on cannot keep the process from ending."""
    carrier = _Carrier(asyncio.get_running_loop())
    context = contextvars.copy_context()

    def run() -> None:
        with carrier:
            carrier.result = context.run(work)

    threading.Thread(target=run, name="tool", daemon=True).start()
    return await carrier.future


class _Carrier:
    """Carries what a thread returned or raised over to the loop that waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.result: object = None
        self.future: asyncio.Future[object] = loop.create_future()
        self._loop = loop

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Hand over and swallow: whoever waits for the future judges the error."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._finish, error)
        return True

    def _finish(self, error: BaseException | None) -> None:
        if self.future.cancelled():
            return
        if error is None:
            self.future.set_result(self.result)
        elif isinstance(error, StopIteration) or not isinstance(error, Exception):
            # a future holds no StopIteration; SystemExit would end the process, and CancelledError the run
            self.future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
        else:
            self.future.set_exception(error)
