"""Money and tokens: reserved before a try, settled after it, never over the limit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from threading import RLock
from typing import TypeVar

from orchestrator.errors import BudgetExceeded, ConfigError, LimitName
from orchestrator.messages import Usage

__all__ = ["UNLIMITED", "Budget", "Ledger", "Left", "Reservation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of a run; None means unlimited. `turns` bounds the router, `seconds` the whole run."""

    usd: Decimal | None = None
    tokens: int | None = None
    turns: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits that are not positive numbers."""
        for name, value in (
            ("usd", self.usd),
            ("tokens", self.tokens),
            ("turns", self.turns),
            ("seconds", self.seconds),
        ):
            if value is not None and (value != value or value < 0):  # noqa: PLR0124 - only what is no number differs from itself
                raise ConfigError(
                    f"{value} is no limit", field=f"budget.{name}", expected="a number that is not negative"
                )
        if self.usd is not None:
            object.__setattr__(self, "usd", Decimal(str(self.usd)))


@dataclass(frozen=True, slots=True)
class Left:
    """What can still be reserved; None where there is no limit."""

    usd: Decimal | None = None
    tokens: int | None = None

    def share(self, number: int) -> Left:
        """One of so many equal parts."""
        tokens = self.tokens
        return Left(self.usd and self.usd / number, tokens and tokens // number)

    def without(self, limit: LimitName | None) -> Left:
        """The same but for one limit."""
        return Left(None if limit == "usd" else self.usd, None if limit == "tokens" else self.tokens)


UNLIMITED = Left()

Number = TypeVar("Number", Decimal, int)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Worst case of one try, held until it is settled or released."""

    number: int
    usd: Decimal | None
    """None: the price is unknown; only possible without a money budget."""
    tokens: int
    outer: Reservation | None = None
    """The same, held in the ledger that this one lies within."""


class Ledger:
    """What a run has spent and holds reserved; safe to share between tasks and threads.

    One that lies `within` another reserves and settles there too, so that many runs, side by side or inside each
    other, keep to one limit; `name` says in errors whose limit it is.
    """

    def __init__(self, budget: Budget | None = None, *, name: str = "", within: Ledger | None = None) -> None:
        self.budget = budget or Budget()
        self.name = name
        self._within = within
        self.lock: RLock = within.lock if within else RLock()
        """One for all levels, which are changed together."""
        self._open: dict[int, Reservation] = {}
        self._held, self._held_tokens = Decimal(0), 0
        self._next = 0
        self._spent = Decimal(0)
        self._usage = Usage()
        self._unknown = False
        self._exact = True
        self._overdrawn: set[LimitName] = set()

    @property
    def spent(self) -> Decimal | None:
        """USD billed so far; None once a try of unknown price was billed."""
        return None if self._unknown else self._spent

    @property
    def usage(self) -> Usage:
        """Tokens billed so far."""
        return self._usage

    @property
    def exact(self) -> bool:
        """Whether every charge is the vendor's own figure."""
        return self._exact

    @property
    def held(self) -> Decimal:
        """USD reserved by tries in flight."""
        return self._held

    @property
    def overrun(self) -> str | None:
        """The limit, of this level or of one around it, that is closed since a try took more than was reserved."""
        own = {"usd": self.budget.usd, "tokens": self.budget.tokens}
        for name, limit in own.items():
            if name in self._overdrawn and limit is not None:
                whose = f" of {self.name}" if self.name else ""
                return f"a try took more {name} than were reserved for it, which closes the budget{whose}"
        return self._within.overrun if self._within else None

    @property
    def in_flight(self) -> int:
        """Reservations that are neither settled nor released."""
        return len(self._open)

    @property
    def remaining_usd(self) -> Decimal | None:
        """USD that can still be reserved, at the level that has least; None without a money limit."""
        with self.lock:
            return _least(self._own_usd(), self._within.remaining_usd if self._within else None)

    @property
    def remaining_tokens(self) -> int | None:
        """Tokens that can still be reserved, at the level that has least; None without a token limit."""
        with self.lock:
            return _least(self._own_tokens(), self._within.remaining_tokens if self._within else None)

    @property
    def left(self) -> Left:
        """What can still be reserved."""
        return Left(self.remaining_usd, self.remaining_tokens)

    def obstacle(
        self, usd: Decimal | None, tokens: int, *, lifted: LimitName | None = None, nested: bool = False
    ) -> BudgetExceeded | None:
        """Why a try of this worst case cannot be paid now, or None if it can; reserves nothing.

        `lifted` is a limit that is not looked at. Of `nested` runs it says at which level it cannot.
        """
        with self.lock:
            nested = nested or self._within is not None
            whose = f" for {self.name or 'the outermost run'}" if nested else ""
            own = self._own_obstacle(usd, tokens, Left(self._own_usd(), self._own_tokens()).without(lifted), whose)
            if own or self._within is None:
                return own
            return self._within.obstacle(usd, tokens, lifted=lifted, nested=True)

    def _own_usd(self) -> Decimal | None:
        if self.budget.usd is None:
            return None
        return Decimal(0) if "usd" in self._overdrawn else max(Decimal(0), self.budget.usd - self._spent - self._held)

    def _own_tokens(self) -> int | None:
        if self.budget.tokens is None:
            return None
        left = self.budget.tokens - self._usage.total - self._held_tokens
        return 0 if "tokens" in self._overdrawn else max(0, left)

    def _own_obstacle(self, usd: Decimal | None, tokens: int, free: Left, whose: str) -> BudgetExceeded | None:
        left, left_tokens = free.usd, free.tokens
        if left is not None and usd is None:
            return BudgetExceeded("usd", f"the price is unknown, and there is a money budget{whose}")
        if left is not None and usd is not None and usd > left:
            return BudgetExceeded("usd", f"a try may cost ${usd:f}, ${left:f} of ${self.budget.usd:f} are left{whose}")
        if left_tokens is not None and tokens > left_tokens:
            return BudgetExceeded("tokens", f"a try may take {tokens} tokens, {left_tokens} are left{whose}")
        return None

    def reserve(self, usd: Decimal | None, tokens: int = 0) -> Reservation:
        """Hold the worst case of a try; raises `BudgetExceeded` where it does not fit."""
        with self.lock:
            if obstacle := self.obstacle(usd, tokens):
                raise obstacle
            self._next += 1
            outer = self._within.reserve(usd, tokens) if self._within else None
            reservation = Reservation(self._next, usd, tokens, outer)
            self._open[reservation.number] = reservation
            self._held += usd or 0
            self._held_tokens += tokens
            return reservation

    def settle(self, reservation: Reservation, usd: Decimal | None, usage: Usage, *, exact: bool = True) -> None:
        """Bill what the try really cost; more than was reserved is booked in full and closes the budget.

        Where nobody can say what it cost, the reserve is booked, if that is known.
        """
        with self.lock:
            self._close(reservation)
            if self._within and reservation.outer:
                self._within.settle(reservation.outer, usd, usage, exact=exact)
            self._usage += usage
            if usd is None and reservation.usd is not None:
                usd, exact = reservation.usd, False
            self._exact = self._exact and exact
            self._unknown = self._unknown or usd is None
            self._spent += usd or 0
            if usd is not None and reservation.usd is not None and usd > reservation.usd:
                self._overdrawn.add("usd")
            if usage.total > reservation.tokens:
                self._overdrawn.add("tokens")

    def recall(self, usd: Decimal | None, usage: Usage, *, exact: bool, reserved: Decimal | None) -> None:
        """Book what a try of this run cost before the run was interrupted; it was reserved and settled then."""
        with self.lock:
            self._exact = self._exact and exact
            self._unknown = self._unknown or usd is None
            self._usage += usage
            self._spent += usd or 0
            if usd is not None and reserved is not None and usd > reserved:
                self._overdrawn.add("usd")

    def release(self, reservation: Reservation) -> None:
        """Give back a reservation of which nothing was spent."""
        with self.lock:
            self._close(reservation)
            if self._within and reservation.outer:
                self._within.release(reservation.outer)

    def give_back(self, reservation: Reservation) -> None:
        """Release a reservation if it is still held."""
        with self.lock:
            if reservation.number in self._open:
                self.release(reservation)

    def _close(self, reservation: Reservation) -> None:
        if self._open.pop(reservation.number, None) is None:
            raise ValueError(f"reservation {reservation.number} is not open")
        self._held = self._held - (reservation.usd or 0) if self._open else Decimal(0)
        self._held_tokens -= reservation.tokens


def _least(own: Number | None, outer: Number | None) -> Number | None:
    if own is None or outer is None:
        return outer if own is None else own
    return min(own, outer)
