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
    RecalledError,
    ReplayMismatch,
    ToolError,
)
from orchestrator.health import BreakerChange, Clock, Health
from orchestrator.messages import Usage
from orchestrator.providers.base import CallersFault, Completion, Quote, Room
from orchestrator.providers.faults import had_begun
from orchestrator.providers.injection import injected
from orchestrator.providers.line import InLine
from orchestrator.providers.tries import Call, Paid, Result
from orchestrator.trace import Journal, Past, Tried
from orchestrator.trace.events import BreakerChanged, TryEnded, TryStarted

__all__ = ["Call", "Gate", "Paid", "Result", "injected_error", "nobody_waits"]

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
LONGEST_PATIENCE = 60.0
"""Seconds of a server's `Retry-After` beyond which no further try is made; the breaker stays open as long."""


async def nobody_waits() -> None:
    """There is room at once: nobody follows the run."""


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

    before: int = 0
    """Tries that failed before the run was interrupted."""
    seconds: float = 0.0
    """Seconds of all tries before that."""

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
    past: Past | None = None
    """Of a durable run: what its trace says of the calls that were made before it was interrupted."""
    room: Room = nobody_waits
    """What every try waits for, for the sake of whoever follows the run."""

    async def attempt(self, call: Call) -> Paid:
        """Try until it works, until it is pointless, or until the retries are used up.

        In a durable run what was tried before counts, and what was given is not asked for again.
        Raises nothing of ours but `ReplayMismatch`, and what a listener of the caller's own raises.
        """
        started = self.clock()
        total, known = self._before(call)
        result: Result | None = known if isinstance(known, Result) else None
        error = known if isinstance(known, AttemptError) else None
        try:
            if known is None:
                await call.prepare()
                result = await self._tried(call, total)
        except AttemptError as failure:
            refused = failure.kind in ("breaker_open", "budget")  # of a further try: the cause is what failed before it
            error = total.failed if refused and total.failed else failure
        seconds = total.seconds + self.clock() - started
        return Paid(result, error, total.tries, total.cost, total.usage, seconds, total.doubt)

    def _before(self, call: Call) -> tuple[_Sum, Result | AttemptError | None]:
        """What a call came to before the run was interrupted; None where it is to be tried, or tried again."""
        tried = self.past.tried(call.attempt, call.name) if self.past is not None else None
        if tried is None:
            return _Sum(), None
        total = _Sum(tried.begun, cost=tried.cost, usage=tried.usage, doubt=tried.doubt, seconds=tried.seconds)
        if tried.gave is not None:
            gave = tried.gave
            return total, Result(call.recall(gave.gave), gave.usage, gave.usd, exact=gave.exact)
        return total, _pointless(call, tried, total)

    async def _tried(self, call: Call, total: _Sum) -> Result:
        """What the first try gives; tenacity takes over where it failed, and finds that failure as its own first."""
        try:
            return await self._try(call, total)
        except AttemptError as error:
            failed = [error]

        async def further() -> Result:
            if failed:
                raise failed.pop()
            return await self._try(call, total)

        retrying = AsyncRetrying(
            stop=lambda state: stop_after_attempt(_allowed(call, total))(state) or self._too_late(state),
            wait=self._wait,
            retry=lambda state: state.outcome is not None and _again(call, total, state.outcome.exception()),
            sleep=self.sleep,
            reraise=True,
        )
        return await retrying(further)

    async def _try(self, call: Call, total: _Sum) -> Result:
        await self.room()
        held = await self._in_turn(call, total)
        started = self.clock()
        try:
            result = await self._made(call, held.quote)
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

    async def _in_turn(self, call: Call, total: _Sum) -> _Held:
        """The try, begun, when what other runs hold of a shared budget leaves room for it."""
        with InLine(self.ledger) as line:
            while True:
                if self.clock() >= self.deadline:
                    raise _over()
                quote = call.quote()
                if quote.why_not is not None:
                    raise AttemptError(quote.why_not, kind="invalid_request")
                if not line.has_to_wait(quote.reserve, quote.tokens) and (held := self._begun(call, quote, total)):
                    return held
                left = None if self.deadline == float("inf") else self.deadline - self.clock()
                try:
                    async with asyncio.timeout(left):
                        await line.change()
                except TimeoutError as error:
                    raise _over() from error

    def _admitted(self, call: Call, quote: Quote, total: _Sum) -> _Held | None:
        """Leave of the breaker and of the ledger; raises `AttemptError` where either refuses.

        None where another thread has just taken what there was, for the time being.
        """
        number, change = self.health.admit(call.key)
        self._changed(change)
        if number is None:
            raise AttemptError(f"the circuit breaker of {call.key} is open", kind="breaker_open")
        try:
            return _Held(call, quote, self.ledger.reserve(quote.reserve, quote.tokens), total, number)
        except BudgetExceeded as error:
            self.health.breaker(call.key).abandoned(number)
            if error.passing:
                return None
            raise AttemptError(str(error), kind="budget") from error

    def _begun(self, call: Call, quote: Quote, total: _Sum) -> _Held | None:
        """The try, admitted, paid for and written down; where it cannot be written nothing is held."""
        held = self._admitted(call, quote, total)
        if held is None:
            return None
        total.tries += 1
        try:
            self.journal.write(_begun(call, total.tries, quote, durable=self.past is not None))
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
                    return self._as_kept(call, await call.work(quote))
                return self._as_kept(call, await injected(injection, lambda: call.work(quote), _corrupted))
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

    def _as_kept(self, call: Call, result: Result) -> Result:
        """In a durable run a value as its trace gives it back: the run goes the same way, interrupted or not."""
        return result if self.past is None else replace(result, value=call.recall(call.keep(result.value)))

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
        durable, whole = self.past is not None, error is None and not cancelled
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
                doubt=durable and error is not None and not error.undone,
                call=held.call.name,
                gave=held.call.keep(result.value) if durable and whole else None,
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


def _over() -> ProviderTimeout:
    return ProviderTimeout("the time of the run is over", sent=False, ours=True)


def _begun(call: Call, number: int, quote: Quote, *, durable: bool) -> TryStarted:
    return TryStarted(
        attempt=call.attempt,
        purpose=call.purpose,
        model=call.model,
        number=number,
        reserved_usd=quote.reserve,
        input_usd=quote.input_cost if durable else None,
        call=call.name,
    )


def _allowed(call: Call, total: _Sum) -> int:
    """Tries that are left to a call."""
    return 1 + call.retries() + total.repairs - total.before


def _pointless(call: Call, tried: Tried, total: _Sum) -> AttemptError | None:
    """Why a call that was interrupted is not tried again, if it is not."""
    if tried.failed:
        last = tried.failed[-1]
        total.before = len(tried.failed)
        total.repairs = sum(each.kind == "malformed" for each in tried.failed[:-1])
        total.failed = RecalledError(last.error or "", kind=last.kind or "tool", doubt=last.doubt)
    if tried.lost:
        lost = RecalledError("the run was stopped while it was at work", kind="connection", doubt=True)
        return None if call.may_repeat(lost) else lost
    if total.failed is None or (_again(call, total, total.failed) and _allowed(call, total) > 0):
        return None
    return total.failed


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
