"""Injected faults: what goes wrong with a try on purpose, played in place of the call or around it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from orchestrator.errors import FailureKind, ProviderError, RateLimited

__all__ = ["FAULTS", "FaultName", "Injection", "injected"]

FaultName = Literal[
    "error",
    "timeout",
    "hang",
    "refusal",
    "malformed",
    "corrupt",
    "cut_stream",
    "stall",
    "rate_limit",
    "connection",
    "server",
    "auth",
    "lost_reply",
    "slow",
]
FAULTS: tuple[FaultName, ...] = get_args(FaultName)
"""Every fault that can be injected."""

_AT_ONCE: dict[FaultName, FailureKind] = {
    "error": "injected",
    "timeout": "timeout",
    "refusal": "refusal",
    "malformed": "malformed",
    "connection": "connection",
    "server": "server",
    "auth": "auth",
}
"""Faults that come before anything was sent, with what they are recorded as."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault of one try."""

    fault: FaultName
    seconds: float = 0.0
    """How long it takes to show; of a slow reply, how much later it comes."""
    retry_after: float | None = None
    """Of a rate limit: the seconds that the server asks for."""
    instead: object = "corrupt"
    """Of a corrupt reply: what stands in its place, well formed and wrong."""


async def injected(
    injection: Injection, work: Callable[[], Awaitable[Value]], corrupted: Callable[[Value, object], Value]
) -> Value:
    """Play a fault: raises what it is recorded as, or gives what is left of the call's own result.

    A hang lasts until somebody's timeout ends it. A lost reply is one whose work was done all the same.
    """
    fault = injection.fault
    if fault == "hang":
        await asyncio.Event().wait()
    if injection.seconds:
        await asyncio.sleep(injection.seconds)
    if fault in _AT_ONCE:
        raise ProviderError("injected fault", kind=_AT_ONCE[fault], sent=False)
    if fault == "rate_limit":
        raise RateLimited("injected fault", retry_after=injection.retry_after)
    if fault in ("cut_stream", "stall"):
        raise ProviderError("injected fault", kind="cut_stream" if fault == "cut_stream" else "stalled", begun=True)
    value = await work()
    if fault == "lost_reply":
        raise ProviderError("injected fault: the reply was lost", kind="connection")
    return corrupted(value, injection.instead) if fault == "corrupt" else value
