"""The one gate for every call: may we, can we pay, call with retries, settle, record, mark health."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random

from tenacity import AsyncRetrying, RetryCallState, stop_after_attempt

from orchestrator.budget import Ledger, Reservation
from orchestrator.errors import (
    AttemptError,
    BudgetExceeded,
    FailureKind,
    ProviderError,
    ProviderTimeout,
    ToolError,
)
from orchestrator.health import BreakerChange, Clock, Health
from orchestrator.messages import Usage
from orchestrator.providers.base import Quote
from orchestrator.trace import Journal
from orchestrator.trace.events import BreakerChanged, TryEnded, TryStarted

__all__ = ["Call", "Gate", "Paid", "Result", "injected_error"]

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0


@dataclass(frozen=True, slots=True)
class Result:
    """What one try gave and cost."""

    value: object
    usage: Usage = Usage()
    cost: Decimal | None = Decimal(0)
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """An expert's call, ready to be tried."""

    attempt: int
    key: str
    """Whose health it marks."""
    work: Callable[[], Awaitable[Result]]
    quote: Quote
    timeout: float
    """Seconds that one try may take."""
    retries: int
    fault: FailureKind | None = None
    """Injected: every try fails so, without being made."""


@dataclass(frozen=True, slots=True)
class Paid:
    """An attempt after its last try: a result or an error, and what all tries cost."""

    result: Result | None
    error: AttemptError | None
    tries: int
    cost: Decimal | None
    usage: Usage
    seconds: float


@dataclass(slots=True)
class _Sum:
    tries: int = 0
    cost: Decimal | None = Decimal(0)
    usage: Usage = Usage()

    def add(self, cost: Decimal | None, usage: Usage) -> None:
        self.cost = None if self.cost is None or cost is None else self.cost + cost
        self.usage += usage


@dataclass(slots=True)
class Gate:
    """Passes calls under one ledger, one deadline and the breakers."""

    health: Health
    ledger: Ledger
    journal: Journal
    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    random: Random
    deadline: float = float("inf")
    """On the clock; no try and no wait goes past it."""

    async def attempt(self, call: Call) -> Paid:
        """Try until it works, until it is pointless, or until the retries are used up; raises nothing of ours."""
        started, total = self.clock(), _Sum()
        retrying = AsyncRetrying(
            stop=lambda state: stop_after_attempt(1 + call.retries)(state) or self._too_late(state),
            wait=self._wait,
            retry=lambda state: state.outcome is not None and _retryable(state.outcome.exception()),
            sleep=self.sleep,
            reraise=True,
        )
        result: Result | None = None
        error: AttemptError | None = None
        try:
            result = await retrying(self._try, call, total)
        except AttemptError as failure:
            error = failure
        return Paid(result, error, total.tries, total.cost, total.usage, self.clock() - started)

    async def _try(self, call: Call, total: _Sum) -> Result:
        if self.clock() >= self.deadline:
            raise ProviderTimeout("the time of the run is over", sent=False)
        if not self.health.breaker(call.key).admit():
            raise AttemptError(f"the circuit breaker of {call.key} is open", kind="breaker_open")
        try:
            reservation = self.ledger.reserve(call.quote.reserve, call.quote.tokens)
        except BudgetExceeded as error:
            self.health.breaker(call.key).abandoned()
            raise AttemptError(str(error), kind="budget") from error
        total.tries += 1
        self.journal.write(TryStarted(attempt=call.attempt, number=total.tries, reserved_usd=call.quote.reserve))
        started = self.clock()
        try:
            result = await self._made(call)
        except AttemptError as error:
            self._settle_failure(call, reservation, total, error, self.clock() - started)
            raise
        except asyncio.CancelledError:
            self._settle_cancelled(call, reservation, total)
            raise
        self._settle(call, reservation, total, result, self.clock() - started)
        return result

    async def _made(self, call: Call) -> Result:
        """The call itself, its errors in our words; the one place where any exception is caught."""
        if call.fault is not None:
            raise injected_error(call.fault)
        seconds = min(call.timeout, self.deadline - self.clock())
        try:
            async with asyncio.timeout(seconds):
                return await call.work()
        except TimeoutError as error:
            raise ProviderTimeout(str(error) or f"no reply within {seconds:g} s") from error
        except AttemptError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ToolError("cancelled itself", broken=True) from error
        except Exception as error:
            raise ToolError(f"{type(error).__name__}: {error}", broken=True) from error

    def _settle(self, call: Call, held: Reservation, total: _Sum, result: Result, seconds: float) -> None:
        if result.cost is None and held.usd is not None:  # nobody can say what it cost: the reserve is charged
            result = replace(result, cost=held.usd, exact=False)
        self.ledger.settle(held, result.cost, result.usage, exact=result.exact)
        total.add(result.cost, result.usage)
        self._record(call, total, result, seconds)
        self._changed(self.health.succeeded(call.key, seconds, result.usage.output_tokens))

    def _settle_failure(self, call: Call, held: Reservation, total: _Sum, error: AttemptError, seconds: float) -> None:
        """A try that failed without usage is charged its input, unless it is known never to have reached a server."""
        reached = not (isinstance(error, ProviderError) and not error.sent) and call.quote.input_cost != 0
        charge = Result(None, cost=call.quote.input_cost if reached else Decimal(0), exact=not reached)
        self.ledger.settle(held, charge.cost, charge.usage, exact=charge.exact)
        total.add(charge.cost, charge.usage)
        self._record(call, total, charge, seconds, error)
        self._changed(self.health.failed(call.key, error))

    def _settle_cancelled(self, call: Call, held: Reservation, total: _Sum) -> None:
        """A try in flight when the run was stopped: charged its input estimate."""
        self.ledger.settle(held, call.quote.input_cost, Usage(), exact=call.quote.input_cost == 0)
        self.health.breaker(call.key).abandoned()
        total.add(call.quote.input_cost, Usage())

    def _record(
        self, call: Call, total: _Sum, result: Result, seconds: float, error: AttemptError | None = None
    ) -> None:
        self.journal.write(
            TryEnded(
                attempt=call.attempt,
                number=total.tries,
                usd=result.cost,
                exact=result.exact,
                usage=result.usage,
                seconds=round(seconds, 6),
                kind=error.kind if error else None,
                error=str(error) if error else None,
            )
        )

    def _changed(self, change: BreakerChange | None) -> None:
        if change is None:
            return
        left = None if change.until is None or change.until == float("inf") else change.until - self.clock()
        self.journal.write(
            BreakerChanged(key=change.key, before=change.before, after=change.after, seconds=left and round(left, 3))
        )

    def _wait(self, state: RetryCallState) -> float:
        """Seconds to the next try: what the server asked for, else exponential with full jitter."""
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, AttemptError) and error.retry_after is not None:
            return error.retry_after
        return self.random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (state.attempt_number - 1)))

    def _too_late(self, state: RetryCallState) -> bool:
        return self.clock() + state.upcoming_sleep >= self.deadline


def injected_error(kind: FailureKind) -> AttemptError:
    """The error of an injected fault; it never reaches a server and costs nothing."""
    return ProviderError("injected fault", kind=kind, sent=False)


def _retryable(error: BaseException | None) -> bool:
    return isinstance(error, AttemptError) and error.retryable
