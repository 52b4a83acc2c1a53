"""A call as the gate takes it, what one try of it gives, and what it came to after the last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from pydantic import JsonValue

from orchestrator.errors import AttemptError, FailureKind
from orchestrator.messages import Usage
from orchestrator.providers.base import Quote
from orchestrator.providers.injection import Injection
from orchestrator.trace.events import Purpose
from orchestrator.trace.plain import plain

__all__ = ["Call", "Paid", "Result"]


def _free(usage: Usage) -> Decimal:
    """Nothing, however much was used."""
    del usage
    return Decimal(0)


async def _nothing() -> None:
    """Nothing to prepare."""


def _kept(value: object) -> JsonValue:
    """A value as JSON holds it."""
    return cast("JsonValue", plain(value))


def _recalled(kept: JsonValue) -> object:
    """What JSON holds, as it is."""
    return kept


@dataclass(frozen=True, slots=True)
class Result:
    """What one try gave and cost."""

    value: object
    usage: Usage = Usage()
    cost: Decimal | None = Decimal(0)
    exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of an expert, of the router's model or of the merge agent's, ready to be tried."""

    key: str
    """Whose health it marks."""
    work: Callable[[Quote], Awaitable[Result]]
    """One try, within what its quote pays for."""
    quote: Callable[[], Quote]
    """What a try takes now; asked again before each."""
    timeout: float
    """Seconds that one try may take."""
    retries: Callable[[], int]
    """Further tries that a failure is worth; asked when a try has failed."""
    repairs: int = 0
    """Further tries that a malformed reply is worth."""
    prepare: Callable[[], Awaitable[None]] = _nothing
    """What there is to do before the first try, such as importing an SDK; no part of a try's time."""
    may_repeat: Callable[[AttemptError], bool] = bool
    """Whether a try that failed so may be made again at all."""
    attempt: int | None = None
    """None for the router and the merge agent, whose calls are no attempts."""
    purpose: Purpose = "expert"
    model: str | None = None
    bill: Callable[[Usage], Decimal | None] = _free
    """USD for a usage, where a try fails after the server has counted."""
    delivered: Callable[[], str] = str
    """The text of the last try that was handed on already."""
    fault: FailureKind | None = None
    """Injected: every try fails so, without being made."""
    disturb: Callable[[], Injection | None] | None = None
    """What goes wrong on purpose with the next try, if anything does."""
    name: str | None = None
    """In durable runs, what a call that is no attempt is found again by."""
    keep: Callable[[object], JsonValue] = _kept
    """In durable runs, how the trace holds what a try gave."""
    recall: Callable[[JsonValue], object] = _recalled
    """What a try gave, from what the trace holds."""


@dataclass(frozen=True, slots=True)
class Paid:
    """An attempt after its last try: a result or an error, and what all tries cost."""

    result: Result | None
    error: AttemptError | None
    tries: int
    cost: Decimal | None
    usage: Usage
    seconds: float
    doubt: bool = False
    """Whether a try that failed may have done what was asked for all the same."""
