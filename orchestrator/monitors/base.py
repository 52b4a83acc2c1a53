"""What a monitor is: the run before its next step in, a signal with a priority out."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast, runtime_checkable

from pydantic import JsonValue

from orchestrator.budget import Ledger
from orchestrator.errors import ConfigError
from orchestrator.health import Health
from orchestrator.pool import Agent, Pool
from orchestrator.protocol import Route
from orchestrator.state import RunState
from orchestrator.weights import health_key

__all__ = ["Asks", "Monitor", "MonitorFunction", "Signal", "Watch", "as_monitor"]

Asks = Literal["go_on", "avoid", "stop"]
"""Go on, leave experts alone, stop for a person."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What a monitor says; of several the one of the highest priority is followed, ties go by the monitor's name."""

    priority: float
    """In [0, 1]."""
    asks: Asks = "go_on"
    why: str = ""
    """For a person to read."""
    avoid: tuple[str, ...] = ()
    """Experts to leave alone for the rest of the run, where that is what it asks for."""
    payload: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """Figures behind it."""

    def __post_init__(self) -> None:
        """Refuse what cannot be followed."""
        if not 0 <= self.priority <= 1:
            raise ConfigError(f"cannot be {self.priority}", field="signal.priority", expected="a number from 0 to 1")
        if (self.asks == "avoid") != bool(self.avoid):
            raise ConfigError(
                f"asks to `{self.asks}` {list(self.avoid)}",
                field="signal",
                expected="`avoid` with the experts to avoid",
            )


@dataclass(frozen=True, slots=True)
class Watch:
    """The run as a monitor sees it, before its next step."""

    state: RunState
    routes: tuple[Route, ...]
    """Who is about to be consulted."""
    pool: Pool
    ledger: Ledger
    health: Health
    seconds: float
    """Since the run began."""
    seconds_left: float | None
    """To its deadline; None without one."""

    def next_agents(self) -> tuple[Agent, ...]:
        """The experts about to be consulted."""
        return tuple(self.pool.agents[route.agent] for route in self.routes)

    def is_open(self, agent: Agent) -> bool:
        """Whether an expert's breaker lets no try through now."""
        return self.health.breaker(health_key(agent, self.pool.model_of(agent))).closed_to()


@runtime_checkable
class Monitor(Protocol):
    """Watches a run; all monitors look at the same time, before every step."""

    @property
    def name(self) -> str:
        """The word that traces use for it."""
        ...

    async def watch(self, watch: Watch) -> Signal | None:
        """A signal, or None where there is nothing to say."""
        ...


MonitorFunction = Callable[[Watch], "Signal | Awaitable[Signal | None] | None"]
"""A plain function that watches, async or not."""


@dataclass(frozen=True, slots=True)
class _FunctionMonitor:
    function: MonitorFunction
    name: str

    async def watch(self, watch: Watch) -> Signal | None:
        said = self.function(watch)
        return await said if inspect.isawaitable(said) else said


def as_monitor(given: Monitor | MonitorFunction) -> Monitor:
    """A monitor from an object with `watch` or from a plain function; raises `ConfigError` on anything else."""
    found = cast("object", given)
    if isinstance(found, Monitor) and not isinstance(found, type):
        return found
    if callable(given) and not isinstance(given, type):
        return _FunctionMonitor(given, getattr(given, "__name__", type(given).__name__))
    raise ConfigError(
        f"{given!r} is no monitor",
        field="monitors",
        expected="an object with a name and an async `watch`, or a function",
    )
