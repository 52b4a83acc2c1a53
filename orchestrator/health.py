"""What was seen of models and tools: circuit breakers, moving averages of success, seconds and tokens."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, assert_never

from orchestrator.errors import AttemptError

__all__ = ["TOOL", "Breaker", "BreakerChange", "BreakerState", "Clock", "Health", "NestedHealth"]

Clock = Callable[[], float]
"""Seconds that never go backwards, such as `time.monotonic`."""
BreakerState = Literal["closed", "open", "half_open"]

FAILURES_TO_OPEN = 5
TRIES_WATCHED = 20
SECONDS_WATCHED = 60.0
COOLDOWN = 30.0
LONGEST_COOLDOWN = 300.0
PRIOR_SUCCESSES = 20
SECONDS_OF_A_PROBE = 1.0
TOOL = "tool:"
"""How keys of tools begin."""
TRIES_REMEMBERED = 100
"""How many tries the moving averages look back over."""


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """A breaker went from one state to another; `until` is on the breaker's clock."""

    key: str
    before: BreakerState
    after: BreakerState
    until: float | None = None


@dataclass(slots=True)
class Breaker:
    """Circuit breaker of one server (SEMANTICS §5); a longer cooldown wins over a shorter one."""

    key: str
    clock: Clock
    state: BreakerState = "closed"
    until: float = 0.0
    """When an open breaker lets one try through; infinite after an authentication failure."""
    _cooldown: float = COOLDOWN
    _probe: int | None = None
    """The try that holds the half-open place, until it ends: also where the breaker opened again meanwhile."""
    _epoch: int = 0
    """Number of the last try before the breaker last opened or closed; what it found out is known already."""
    _next: int = 0
    _tries: deque[tuple[float, bool]] = field(default_factory=lambda: deque[tuple[float, bool]](maxlen=TRIES_WATCHED))

    def closed_to(self) -> bool:
        """Whether a try would be refused now; asks without taking the place of the half-open try."""
        match self.state:
            case "closed":
                return False
            case "open":
                return self.clock() < self.until or self._probe is not None
            case "half_open":
                return self._probe is not None
            case _:
                assert_never(self.state)

    def seconds_closed(self) -> float:
        """Seconds until it may let a try through: 0 now, infinite never; a guess where a try finds out just now."""
        if not self.closed_to():
            return 0.0
        left = max(0.0, self.until - self.clock()) if self.state == "open" else 0.0
        return left or SECONDS_OF_A_PROBE

    def admit(self) -> int | None:
        """Leave for one try, as its number; None where it is refused. Half-open, one try at a time has the place."""
        if self.closed_to():
            return None
        self._next += 1
        if self.state != "closed":
            self.state, self._probe = "half_open", self._next
        return self._next

    def succeeded(self, number: int) -> None:
        """A try went well: the one in the half-open place closes the breaker."""
        probing = self._probes(number)
        self.abandoned(number)
        if probing:
            self.state, self._cooldown, self._epoch = "closed", COOLDOWN, number
            self._tries.clear()
        elif self.state == "closed" and number > self._epoch:
            self._tries.append((self.clock(), True))

    def abandoned(self, number: int) -> None:
        """A try ended without a verdict: where it had the half-open place, that is free again."""
        if number == self._probe:
            self._probe = None

    def failed(self, number: int, error: AttemptError) -> None:
        """A try failed: open at once for authentication and rate limits, else after too many."""
        now, probing = self.clock(), self._probes(number)
        self.abandoned(number)
        if error.kind == "auth":
            self._open(float("inf"))
        elif error.retry_after is not None:
            if error.sick and self.state == "closed" and number > self._epoch:
                self._count(now)  # as the fifth failure it opens for the longer of the two
            self._open(now + error.retry_after)
        elif error.sick and probing:
            self._cooldown = min(self._cooldown * 2, LONGEST_COOLDOWN)
            self._open(now + self._cooldown)
        elif error.sick and self.state == "closed" and number > self._epoch:
            self._count(now)

    def _probes(self, number: int) -> bool:
        """Whether the breaker waits for what a try finds out; not where it opened again meanwhile."""
        return number == self._probe and number > self._epoch

    def _count(self, now: float) -> None:
        self._tries.append((now, False))
        recent = [ok for at, ok in self._tries if now - at <= SECONDS_WATCHED]
        if recent.count(False) >= FAILURES_TO_OPEN:
            self._open(now + self._cooldown)

    def _open(self, until: float) -> None:
        self.until = max(self.until, until)
        self.state, self._epoch = "open", self._next
        self._tries.clear()


@dataclass(slots=True)
class _Seen:
    successes: deque[bool] = field(default_factory=lambda: deque[bool](maxlen=TRIES_REMEMBERED))
    seconds: deque[float] = field(default_factory=lambda: deque[float](maxlen=TRIES_REMEMBERED))
    typical: float | None = None
    """Their median, found when one is added: it is asked for far more often."""
    output_tokens: deque[int] = field(default_factory=lambda: deque[int](maxlen=TRIES_REMEMBERED))


class Health:
    """Breakers and moving averages by key: a model at its base URL, or a tool."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._breakers: dict[str, Breaker] = {}
        self._seen: dict[str, _Seen] = {}

    def breaker(self, key: str) -> Breaker:
        """The breaker of a key, closed where nothing was seen yet."""
        if key not in self._breakers:
            self._breakers[key] = Breaker(key, self.clock)
        return self._breakers[key]

    def success_rate(self, key: str) -> float:
        """Share of successes over the last 100 tries, with a prior of 20 successes of 20."""
        seen = self._seen.get(key)
        if seen is None:
            return 1.0
        return (PRIOR_SUCCESSES + sum(seen.successes)) / (PRIOR_SUCCESSES + len(seen.successes))

    def typical_seconds(self, key: str, prior: float) -> float:
        """Moving median of the seconds that successful tries took."""
        seen = self._seen.get(key)
        return prior if seen is None or seen.typical is None else seen.typical

    def mean_output(self, key: str) -> float | None:
        """Moving mean of output tokens, None where none were seen."""
        seen = self._seen.get(key)
        return sum(seen.output_tokens) / len(seen.output_tokens) if seen and seen.output_tokens else None

    def admit(self, key: str) -> tuple[int | None, BreakerChange | None]:
        """Leave for one try as its number, or None; and what asking changed of the breaker."""
        breaker = self.breaker(key)
        before = breaker.state
        number = breaker.admit()
        return number, self._changed(breaker, before)

    def succeeded(self, key: str, number: int, seconds: float, output_tokens: int = 0) -> BreakerChange | None:
        """Record a try that went well, by the number it was admitted under; returns what it changed of the breaker."""
        seen = self._seen.setdefault(key, _Seen())
        seen.successes.append(True)
        seen.seconds.append(seconds)
        seen.typical = median(seen.seconds)
        seen.output_tokens.append(output_tokens)
        breaker = self.breaker(key)
        before = breaker.state
        breaker.succeeded(number)
        return self._changed(breaker, before)

    def failed(self, key: str, number: int, error: AttemptError) -> BreakerChange | None:
        """Record a try that failed, by the number it was admitted under; returns what it changed of the breaker."""
        if error.kind not in ("budget", "breaker_open") and not error.ours:
            self._seen.setdefault(key, _Seen()).successes.append(False)
        breaker = self.breaker(key)
        before = breaker.state
        breaker.failed(number, error)
        return self._changed(breaker, before)

    @staticmethod
    def _changed(breaker: Breaker, before: BreakerState) -> BreakerChange | None:
        if breaker.state == before:
            return None
        return BreakerChange(breaker.key, before, breaker.state, breaker.until if breaker.state == "open" else None)


class NestedHealth(Health):
    """The health that a nested run sees: of tools its own, of models that of the run around it.

    One server is as well for both; a tool's name may mean another tool in another pool.
    """

    def __init__(self, own: Health, outer: Health) -> None:
        super().__init__(own.clock)
        self._own = own
        self._outer = outer

    def _home(self, key: str) -> Health:
        return self._own if key.startswith(TOOL) else self._outer

    def breaker(self, key: str) -> Breaker:
        """As in `Health`."""
        return self._home(key).breaker(key)

    def success_rate(self, key: str) -> float:
        """As in `Health`."""
        return self._home(key).success_rate(key)

    def typical_seconds(self, key: str, prior: float) -> float:
        """As in `Health`."""
        return self._home(key).typical_seconds(key, prior)

    def mean_output(self, key: str) -> float | None:
        """As in `Health`."""
        return self._home(key).mean_output(key)

    def admit(self, key: str) -> tuple[int | None, BreakerChange | None]:
        """As in `Health`."""
        return self._home(key).admit(key)

    def succeeded(self, key: str, number: int, seconds: float, output_tokens: int = 0) -> BreakerChange | None:
        """As in `Health`."""
        return self._home(key).succeeded(key, number, seconds, output_tokens)

    def failed(self, key: str, number: int, error: AttemptError) -> BreakerChange | None:
        """As in `Health`."""
        return self._home(key).failed(key, number, error)
