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
    ReplayMismatch,
    ToolError,
)
from orchestrator.health import BreakerChange, Clock, Health
from orchestrator.messages import Usage
from orchestrator.providers.base import CallersFault, Completion, Quote
from orchestrator.providers.faults import had_begun
from orchestrator.providers.injection import Injection, injected
from orchestrator.trace import Journal
from orchestrator.trace.events import BreakerChanged, Purpose, TryEnded, TryStarted

__all__ = ["Call", "Gate", "Paid", "Result", "injected_error"]

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
LONGEST_PATIENCE = 60.0
"""Seconds of a server's `Retry-After` beyond which no further try is made; the breaker stays open as long."""


def _free(usage: Usage) -> Decimal:
    """Nothing, however much was used."""
    del usage
    return Decimal(0)


async def _nothing() -> None:
    """Nothing to prepare."""


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
    retries: int
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


@dataclass(slots=True)
class _Sum:
    tries: int = 0
    repairs: int = 0
    """Tries that were made because the one before gave something malformed."""
    cost: Decimal | None = Decimal(0)
    usage: Usage = Usage()
    failed: AttemptError | None = None
    """Why the last try failed."""
    doubt: bool = False
    """Whether any try that failed may have done what was asked for: a later one that surely did not changes nothing."""

    def add(self, cost: Decimal | None, usage: Usage) -> None:
        self.cost = None if self.cost is None or cost is None else self.cost + cost
        self.usage += usage


@dataclass(frozen=True, slots=True)
class _Held:
    """A try under way: its call, what it may take, what is reserved for it, and its number at the breaker."""

    call: Call
    quote: Quote
    reservation: Reservation
    total: _Sum
    admitted: int


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
        """Try until it works, until it is pointless, or until the retries are used up.

        Raises nothing of ours but `ReplayMismatch`, and what a listener of the caller's own raises.
        """
        started, total = self.clock(), _Sum()
        retrying = AsyncRetrying(
            stop=lambda state: stop_after_attempt(1 + call.retries + total.repairs)(state) or self._too_late(state),
            wait=self._wait,
            retry=lambda state: state.outcome is not None and _again(call, total, state.outcome.exception()),
            sleep=self.sleep,
            reraise=True,
        )
        result: Result | None = None
        error: AttemptError | None = None
        try:
            await call.prepare()
            result = await retrying(self._try, call, total)
        except AttemptError as failure:
            refused = failure.kind in ("breaker_open", "budget")  # of a further try: the cause is what failed before it
            error = total.failed if refused and total.failed else failure
        return Paid(result, error, total.tries, total.cost, total.usage, self.clock() - started, total.doubt)

    async def _try(self, call: Call, total: _Sum) -> Result:
        if self.clock() >= self.deadline:
            raise ProviderTimeout("the time of the run is over", sent=False, ours=True)
        quote = call.quote()
        if quote.why_not is not None:
            raise AttemptError(quote.why_not, kind="invalid_request")
        held = self._begun(call, quote, total)
        started = self.clock()
        try:
            result = await self._made(call, quote)
        except AttemptError as error:
            self._settle_failure(held, error, self.clock() - started)
            raise
        except CallersFault as fault:
            self._settle_broken_off(held, self.clock() - started, begun=True)
            raise fault.raised from fault
        except asyncio.CancelledError as cut:
            self._settle_broken_off(held, self.clock() - started, begun=had_begun(cut))
            raise
        except ReplayMismatch:
            self._settle_broken_off(held, self.clock() - started, sent=False)
            raise
        self._settle(held, result, self.clock() - started)
        return result

    def _admitted(self, call: Call, quote: Quote, total: _Sum) -> _Held:
        """Leave of the breaker and of the ledger; raises `AttemptError` where either refuses."""
        number, change = self.health.admit(call.key)
        self._changed(change)
        if number is None:
            raise AttemptError(f"the circuit breaker of {call.key} is open", kind="breaker_open")
        try:
            return _Held(call, quote, self.ledger.reserve(quote.reserve, quote.tokens), total, number)
        except BudgetExceeded as error:
            self.health.breaker(call.key).abandoned(number)
            raise AttemptError(str(error), kind="budget") from error

    def _begun(self, call: Call, quote: Quote, total: _Sum) -> _Held:
        """The try, admitted, paid for and written down; where it cannot be written nothing is held."""
        held = self._admitted(call, quote, total)
        total.tries += 1
        try:
            self.journal.write(_begun(call, total.tries, quote))
        except OSError:
            self.ledger.release(held.reservation)
            self.health.breaker(call.key).abandoned(held.admitted)
            raise
        return held

    async def _made(self, call: Call, quote: Quote) -> Result:
        """The call itself, its errors in our words; the one place where any exception is caught."""
        if call.fault is not None:
            raise injected_error(call.fault)
        seconds = min(call.timeout, self.deadline - self.clock())
        try:
            async with asyncio.timeout(seconds):
                injection = call.disturb() if call.disturb else None
                if injection is None:
                    return await call.work(quote)
                return await injected(injection, lambda: call.work(quote), _corrupted)
        except TimeoutError as error:
            problem = str(error) or f"no reply within {seconds:.3g} s"
            ours, partial = seconds < call.timeout, call.delivered()
            raise ProviderTimeout(problem, ours=ours, begun=had_begun(error), partial=partial) from error
        except (AttemptError, CallersFault, ReplayMismatch):
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ToolError("cancelled itself", broken=True) from error
        except Exception as error:
            raise ToolError(f"{type(error).__name__}: {error}", broken=True) from error

    def _settle(self, held: _Held, result: Result, seconds: float) -> None:
        if result.cost is None and held.reservation.usd is not None:  # nobody can say what it cost
            result = replace(result, cost=held.reservation.usd, exact=False)
        self._book(held, result, seconds)
        tokens = result.usage.output_tokens
        self._changed(self.health.succeeded(held.call.key, held.admitted, seconds, tokens))

    def _settle_failure(self, held: _Held, error: AttemptError, seconds: float) -> None:
        held.total.failed = error
        held.total.doubt = held.total.doubt or not error.undone
        self._book(held, _charge(held, error), seconds, error)
        self._changed(self.health.failed(held.call.key, held.admitted, error))

    def _settle_broken_off(self, held: _Held, seconds: float, *, sent: bool = True, begun: bool = False) -> None:
        """A try in flight when the run was stopped: charged its input, or the reserve where output had begun."""
        begun = begun or bool(held.call.delivered())
        charge = held.reservation.usd if begun else held.quote.input_cost if sent else Decimal(0)
        self._book(held, Result(None, cost=charge, exact=charge == 0), seconds, cancelled=True)
        self.health.breaker(held.call.key).abandoned(held.admitted)

    def _book(
        self,
        held: _Held,
        result: Result,
        seconds: float,
        error: AttemptError | None = None,
        *,
        cancelled: bool = False,
    ) -> None:
        """Settle a try and write it down."""
        self.ledger.settle(held.reservation, result.cost, result.usage, exact=result.exact)
        held.total.add(result.cost, result.usage)
        self.journal.write(
            TryEnded(
                attempt=held.call.attempt,
                purpose=held.call.purpose,
                number=held.total.tries,
                usd=result.cost,
                exact=result.exact,
                usage=result.usage,
                seconds=round(seconds, 6),
                kind=error.kind if error else None,
                error=str(error) if error else None,
                cancelled=cancelled,
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
        if isinstance(error, AttemptError) and error.kind == "malformed":
            return 0.0
        return self.random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (state.attempt_number - 1)))

    def _too_late(self, state: RetryCallState) -> bool:
        """Whether the next try would come after the deadline, or after longer than anybody should wait for it."""
        return state.upcoming_sleep > LONGEST_PATIENCE or self.clock() + state.upcoming_sleep >= self.deadline


def _begun(call: Call, number: int, quote: Quote) -> TryStarted:
    return TryStarted(
        attempt=call.attempt, purpose=call.purpose, model=call.model, number=number, reserved_usd=quote.reserve
    )


def _charge(held: _Held, error: AttemptError) -> Result:
    """What a failed try costs: what the server counted; else its input, or the reserve where output had begun.

    A try that is known never to have reached a server costs nothing.
    """
    if isinstance(error, ProviderError):
        if error.usage is not None:
            return _as_counted(held, error, error.usage)
        if not error.sent:
            return Result(None)
        if error.begun:
            return Result(None, cost=held.reservation.usd, exact=held.reservation.usd == 0)
    charge = held.quote.input_cost
    return Result(None, cost=charge, exact=charge == 0)


def _as_counted(held: _Held, error: ProviderError, usage: Usage) -> Result:
    """A failed try whose usage is known; at the reserve where nobody can say what it cost."""
    cost = error.cost if error.cost is not None else held.call.bill(usage)
    if cost is None:
        return Result(None, usage, held.reservation.usd, exact=False)
    return Result(None, usage, cost)


def _corrupted(result: Result, instead: object) -> Result:
    """The result with another value of the same kind in its place."""
    value = result.value
    return replace(result, value=replace(value, text=str(instead)) if isinstance(value, Completion) else instead)


def injected_error(kind: FailureKind) -> AttemptError:
    """The error of an injected fault; it never reaches a server and costs nothing."""
    return ProviderError("injected fault", kind=kind, sent=False)


def _again(call: Call, total: _Sum, error: BaseException | None) -> bool:
    """Whether a try that failed is followed by another: a malformed reply by its repair, once (SEMANTICS §5)."""
    if not isinstance(error, AttemptError) or not call.may_repeat(error):
        return False
    if error.kind == "malformed" and total.repairs < call.repairs:
        total.repairs += 1
        return True
    return error.retryable
