"""Money and tokens: reserved before a try, settled after it, never over the limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from threading import RLock
from typing import NamedTuple, TypeVar

from orchestrator.errors import BudgetExceeded, ConfigError, LimitName
from orchestrator.messages import Usage
from orchestrator.waiting import Line

__all__ = ["ALL_TOGETHER", "UNLIMITED", "Budget", "Ledger", "Left", "Reservation"]

ALL_TOGETHER = "all runs together"
"""What the ledger that many runs share is called in errors."""


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
EXACT = Context(prec=100)
"""What is held is given back to the last digit, however many runs hold something in between."""


class Amount(NamedTuple):
    """USD and tokens that are held."""

    usd: Decimal = Decimal(0)
    tokens: int = 0

    def plus(self, other: Amount) -> Amount:
        """Both together."""
        if other is NOTHING or self is NOTHING:
            return self if other is NOTHING else other
        return Amount(EXACT.add(self.usd, other.usd), self.tokens + other.tokens)

    def minus(self, other: Amount) -> Amount:
        """This one without the other."""
        return Amount(EXACT.subtract(self.usd, other.usd), self.tokens - other.tokens)


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Reservation:
    """Worst case of one try, held until it is settled or released."""

    number: int
    usd: Decimal | None
    """None: the price is unknown; only possible without a money budget."""
    tokens: int
    outer: Reservation | None = None
    """The same, held in the ledger that this one lies within."""
    kept: bool = False
    """Whether it is held for later: runs that share a ledger with this one may take it meanwhile."""


class _Level(NamedTuple):
    """A ledger on the way outwards from a run's, as the run sees it."""

    ledger: Ledger
    held: Amount
    """By everybody, and what the run keeps for later."""
    mine: Amount
    """Without what other runs of a share hold for tries in flight: that will be settled, and is waited for."""
    promised: Amount
    """What runs of a share that began earlier keep for later: it is left to them until they end."""

    def now(self) -> Left:
        """What can be reserved at once."""
        return self.ledger.free_of(self.held.plus(self.promised))

    def then(self) -> Left:
        """What can be reserved now, or when others have settled."""
        return self.ledger.free_of(self.mine)


class Ledger:
    """What a run has spent and holds reserved; safe to share between tasks and threads.

    One that lies `within` another reserves and settles there too, so that many runs, side by side or inside each
    other, keep to one limit; `name` says in errors whose limit it is. To the runs right within one that is `shared`,
    what the others hold there is no hindrance, but something to wait for: what is left to a run counts what was spent
    and what it holds itself.
    """

    def __init__(
        self, budget: Budget | None = None, *, name: str = "", within: Ledger | None = None, shared: bool = False
    ) -> None:
        self.budget = budget or Budget()
        self.name = name
        self._within = within
        self.shared = shared
        self.lock: RLock = within.lock if within else RLock()
        """One for all levels, which are changed together."""
        self.line: Line = within.line if within else Line()
        """Tries that wait, at whatever level; under the lock."""
        self.rank: tuple[int, ...] = within.next_rank() if within else ()
        """Orders runs by when they began, those within a run with it."""
        self._inner = 0
        self._open: dict[int, Reservation] = {}
        self.holds, self.keeps = NOTHING, NOTHING
        """What is reserved, and what of it is kept for later and not held where this ledger shares one."""
        self._promises: dict[tuple[int, ...], Amount] = {}
        """What runs that share this ledger keep for later, by their ranks."""
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
        return self.holds.usd

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
        return self.left.usd

    @property
    def remaining_tokens(self) -> int | None:
        """Tokens that can still be reserved, at the level that has least; None without a token limit."""
        return self.left.tokens

    @property
    def left(self) -> Left:
        """What can still be reserved, now or when others have settled."""
        with self.lock:
            usd, tokens = None, None
            for free in (level.then() for level in self._levels()):
                usd, tokens = _least(usd, free.usd), _least(tokens, free.tokens)
            return Left(usd, tokens)

    def next_rank(self) -> tuple[int, ...]:
        """The rank of another ledger within this one."""
        with self.lock:
            self._inner += 1
            return (*self.rank, self._inner)

    def _levels(self) -> Iterator[_Level]:
        """This ledger and those around it, as a run of this one sees them."""
        level, below, mine, keeps, promised = self, None, self.holds, NOTHING, NOTHING
        while level is not None:
            if level.shared and below is not None:
                keeps, promised = keeps.plus(below.keeps), promised.plus(level.promised_before(below.rank))
            elif below is not None:
                mine = level.holds if mine is below.holds else level.holds.minus(below.holds).plus(mine)
            yield _Level(level, level.holds.plus(keeps), mine, promised)
            level, below = level._within, level

    def promised_before(self, rank: tuple[int, ...]) -> Amount:
        """What is kept for runs in here that began before the one of this rank."""
        total = NOTHING
        for whose, amount in self._promises.items():
            total = total.plus(amount) if whose[: len(rank)] < rank else total
        return total

    def obstacle(self, usd: Decimal | None, tokens: int, *, lifted: LimitName | None = None) -> BudgetExceeded | None:
        """Why a try of this worst case cannot be paid, or None if it can; reserves nothing.

        `lifted` is a limit that is not looked at. Of nested runs it says at which level it cannot. What other runs
        hold of what they share with this one is no obstacle.
        """
        with self.lock:
            for level in self._levels():
                if limit := _short(usd, tokens, level.then().without(lifted)):
                    return self._refusal(limit, usd, tokens, level)
        return None

    def has_to_wait(self, usd: Decimal | None, tokens: int) -> bool:
        """Whether a try of this worst case can be paid, but not before others have settled what they hold."""
        with self.lock:
            return not self._fits_now(usd, tokens) and self.obstacle(usd, tokens) is None

    def _fits_now(self, usd: Decimal | None, tokens: int) -> bool:
        return not any(_short(usd, tokens, level.now()) for level in self._levels())

    def free_of(self, held: Amount) -> Left:
        """What this ledger alone has left where so much of it is held."""
        usd, tokens = self.budget.usd, self.budget.tokens
        if usd is not None:
            usd = Decimal(0) if "usd" in self._overdrawn else max(Decimal(0), usd - self._spent - held.usd)
        if tokens is not None:
            tokens = 0 if "tokens" in self._overdrawn else max(0, tokens - self._usage.total - held.tokens)
        return Left(usd, tokens)

    def _refusal(self, limit: LimitName, usd: Decimal | None, tokens: int, level: _Level) -> BudgetExceeded:
        ledger, left, passing = level.ledger, level.then(), level.held.minus(level.mine)
        whose = "" if self._within is None else f" for {ledger.name or 'the outermost run'}"
        if limit == "tokens":
            flight = f", {passing.tokens} of them held by calls in flight" if passing.tokens and left.tokens else ""
            return BudgetExceeded(limit, f"a try may take {tokens} tokens, {left.tokens} are left{whose}{flight}")
        if usd is None:
            return BudgetExceeded(limit, f"the price is unknown, and there is a money budget{whose}")
        flight = f", ${passing.usd:f} of it held by calls in flight" if passing.usd and left.usd else ""
        there = f"${left.usd:f} of ${ledger.budget.usd:f} are left{whose}{flight}"
        return BudgetExceeded(limit, f"a try may cost ${usd:f}, {there}")

    def reserve(self, usd: Decimal | None, tokens: int = 0) -> Reservation:
        """Hold the worst case of a try; raises `BudgetExceeded` where it does not fit, or not yet (`passing`)."""
        with self.lock:
            if not self._fits_now(usd, tokens):
                raise self.obstacle(usd, tokens) or BudgetExceeded("usd", "others hold what is left", passing=True)
            return self.hold(usd, tokens)

    def keep(self, usd: Decimal | None, tokens: int = 0) -> Reservation:
        """Hold what a run needs later, against its own tries; raises `BudgetExceeded` where it does not fit.

        In a ledger that it shares it is no hold, which all might wait for when nobody is at work, but a promise: later
        runs leave it to this one until its `end`, who began first takes it.
        """
        with self.lock:
            if obstacle := self.obstacle(usd, tokens):
                raise obstacle
            for level in self._levels():
                level.ledger.promise(self.rank, Amount(usd or Decimal(0), tokens))
            return self.hold(usd, tokens, kept=True)

    def promise(self, rank: tuple[int, ...], amount: Amount | None) -> None:
        """Note what a run keeps for later, where runs share this ledger; None: nothing any more."""
        if amount is None:
            self._promises.pop(rank, None)
        elif self.shared:
            self._promises[rank] = self._promises.get(rank, NOTHING).plus(amount)

    def end(self) -> None:
        """The run is over: nothing is promised to it any more."""
        with self.lock:
            for level in self._levels():
                level.ledger.promise(self.rank, None)
            self.line.stir()

    def hold(self, usd: Decimal | None, tokens: int, *, kept: bool = False) -> Reservation:
        """Hold what is known to fit, here and in the ledgers around."""
        self._next += 1
        around = self._within
        outer = around.hold(usd, tokens, kept=kept) if around and not (kept and around.shared) else None
        reservation = Reservation(self._next, usd, tokens, outer, kept)
        self._open[reservation.number] = reservation
        amount = Amount(usd or Decimal(0), tokens)
        self.holds = self.holds.plus(amount)
        self.keeps = self.keeps.plus(amount) if kept else self.keeps
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
        amount = Amount(reservation.usd or Decimal(0), reservation.tokens)
        self.holds = self.holds.minus(amount) if self._open else NOTHING
        if reservation.kept:
            self.keeps = self.keeps.minus(amount) if self.keeps != amount else NOTHING
        if reservation.outer is None:
            self.line.stir()


def _short(usd: Decimal | None, tokens: int, free: Left) -> LimitName | None:
    """The limit that a try of this worst case would break."""
    if free.usd is not None and (usd is None or usd > free.usd):
        return "usd"
    return "tokens" if free.tokens is not None and tokens > free.tokens else None


def _least(own: Number | None, outer: Number | None) -> Number | None:
    if own is None or outer is None:
        return outer if own is None else own
    return min(own, outer)
