"""Money and tokens: reserved before a try, settled after it, never over the limit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from threading import RLock

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


UNLIMITED = Left()


@dataclass(frozen=True, slots=True)
class Reservation:
    """Worst case of one try, held until it is settled or released."""

    number: int
    usd: Decimal | None
    """None: the price is unknown; only possible without a money budget."""
    tokens: int


class Ledger:
    """What a run has spent and holds reserved; safe to share between tasks and threads."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self._lock = RLock()
        self._open: dict[int, Reservation] = {}
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
        with self._lock:
            return sum((r.usd for r in self._open.values() if r.usd), Decimal(0))

    @property
    def in_flight(self) -> int:
        """Reservations that are neither settled nor released."""
        return len(self._open)

    @property
    def remaining_usd(self) -> Decimal | None:
        """USD that can still be reserved; None without a money limit."""
        if self.budget.usd is None:
            return None
        with self._lock:
            left = self.budget.usd - self._spent - self.held
        return Decimal(0) if "usd" in self._overdrawn else max(Decimal(0), left)

    @property
    def remaining_tokens(self) -> int | None:
        """Tokens that can still be reserved; None without a token limit."""
        if self.budget.tokens is None:
            return None
        with self._lock:
            left = self.budget.tokens - self._usage.total - sum(r.tokens for r in self._open.values())
        return 0 if "tokens" in self._overdrawn else max(0, left)

    @property
    def left(self) -> Left:
        """What can still be reserved."""
        return Left(self.remaining_usd, self.remaining_tokens)

    def obstacle(self, usd: Decimal | None, tokens: int) -> BudgetExceeded | None:
        """Why a try of this worst case cannot be paid now, or None if it can; reserves nothing."""
        left = self.remaining_usd
        if left is not None and usd is None:
            return BudgetExceeded("usd", "the price is unknown, and there is a money budget")
        if left is not None and usd is not None and usd > left:
            return BudgetExceeded("usd", f"a try may cost ${usd:f}, ${left:f} of ${self.budget.usd:f} are left")
        left_tokens = self.remaining_tokens
        if left_tokens is not None and tokens > left_tokens:
            return BudgetExceeded("tokens", f"a try may take {tokens} tokens, {left_tokens} are left")
        return None

    def reserve(self, usd: Decimal | None, tokens: int = 0) -> Reservation:
        """Hold the worst case of a try; raises `BudgetExceeded` where it does not fit."""
        with self._lock:
            if obstacle := self.obstacle(usd, tokens):
                raise obstacle
            self._next += 1
            reservation = Reservation(self._next, usd, tokens)
            self._open[reservation.number] = reservation
            return reservation

    def settle(self, reservation: Reservation, usd: Decimal | None, usage: Usage, *, exact: bool = True) -> None:
        """Bill what the try really cost; more than was reserved is booked in full and closes the budget.

        Where nobody can say what it cost, the reserve is booked, if that is known.
        """
        with self._lock:
            self._close(reservation)
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

    def release(self, reservation: Reservation) -> None:
        """Give back a reservation of which nothing was spent."""
        with self._lock:
            self._close(reservation)

    def give_back(self, reservation: Reservation) -> None:
        """Release a reservation if it is still held."""
        with self._lock:
            self._open.pop(reservation.number, None)

    def _close(self, reservation: Reservation) -> None:
        if self._open.pop(reservation.number, None) is None:
            raise ValueError(f"reservation {reservation.number} is not open")
