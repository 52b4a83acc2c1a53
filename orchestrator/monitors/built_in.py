"""The monitors that watch every run: health, budget, deadline, progress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal

from orchestrator.monitors.base import Monitor, Signal, Watch
from orchestrator.monitors.risk import RiskMonitor
from orchestrator.pool import Agent, Pool

__all__ = ["BudgetMonitor", "DeadlineMonitor", "HealthMonitor", "ProgressMonitor", "built_in"]

Probe = Callable[[Agent], Awaitable[bool]]
"""Asks, outside of any question, whether an expert is there."""

HEALTH_PRIORITY = 0.99
PROGRESS_PRIORITY = 0.5
"""Priorities of the signals as published (PAPERS A1: tool health .99, progress .50)."""
WORTH_SAYING = 0.8
"""Share of a limit from which on it is said."""
TURNS_WITHOUT_PROGRESS = 12
SECONDS_BETWEEN_PROBES = 5.0


@dataclass(slots=True)
class HealthMonitor:
    """Asks to leave experts alone whose breaker is open, or that do not answer a probe of the caller's own."""

    probe: Probe | None = None
    every: float = SECONDS_BETWEEN_PROBES
    """Seconds for which a probe's result holds."""
    name: str = "health"
    _probed: dict[str, tuple[float, bool]] = field(default_factory=dict[str, tuple[float, bool]])

    async def watch(self, watch: Watch) -> Signal | None:
        """Experts about to be consulted that are not well."""
        agents = watch.next_agents()
        down = [agent.name for agent in agents if watch.is_open(agent) or not await self._there(agent, watch)]
        if not down:
            return None
        names = tuple(dict.fromkeys(down))
        return Signal(HEALTH_PRIORITY, "avoid", f"{', '.join(names)} cannot be reached now", names, {"down": [*names]})

    async def _there(self, agent: Agent, watch: Watch) -> bool:
        if self.probe is None:
            return True
        now = watch.health.clock()
        at, there = self._probed.get(agent.name, (float("-inf"), True))
        if now - at >= self.every:
            (said,) = await asyncio.gather(self.probe(agent), return_exceptions=True)
            if isinstance(said, asyncio.CancelledError):
                raise said
            there = said is True  # a probe that breaks down has found nobody
            self._probed[agent.name] = (now, there)
        return there


@dataclass(frozen=True, slots=True)
class BudgetMonitor:
    """Says how much of the money and the tokens is spent; asks to stop from `stop_at` on, where that is given."""

    stop_at: float | None = None
    """Share of the budget."""
    name: str = "budget"

    async def watch(self, watch: Watch) -> Signal | None:
        """The larger of the two shares."""
        budget, ledger = watch.ledger.budget, watch.ledger
        shares = {"usd": _share(ledger.spent, budget.usd), "tokens": _share(ledger.usage.total, budget.tokens)}
        limit = max(shares, key=shares.__getitem__)
        return _of_share(shares[limit], limit, self.stop_at)


@dataclass(frozen=True, slots=True)
class DeadlineMonitor:
    """Says how much of the time is gone; asks to stop from `stop_at` on, where that is given."""

    stop_at: float | None = None
    """Share of the time."""
    name: str = "deadline"

    async def watch(self, watch: Watch) -> Signal | None:
        """The share of the seconds that is gone."""
        return _of_share(_share(watch.seconds, watch.ledger.budget.seconds), "seconds", self.stop_at)


@dataclass(frozen=True, slots=True)
class ProgressMonitor:
    """Asks to stop where a number of turns brought no new artifact."""

    turns: int = TURNS_WITHOUT_PROGRESS
    name: str = "progress"

    async def watch(self, watch: Watch) -> Signal | None:
        """How many turns ago the last artifact came."""
        idle = watch.state.turns - watch.state.fresh_at
        if idle < self.turns:
            return None
        why = f"{idle} turns have brought nothing new"
        return Signal(PROGRESS_PRIORITY, "stop", why, payload={"turns": idle})


def built_in(pool: Pool) -> tuple[Monitor, ...]:
    """The monitors of a run whose caller names none: the four, and one for every risk rule of the pool."""
    risks = tuple(RiskMonitor(risk) for risk in pool.risks.values())
    return (HealthMonitor(), BudgetMonitor(), DeadlineMonitor(), ProgressMonitor(), *risks)


def _share(used: Decimal | float | None, limit: Decimal | float | None) -> float:
    return float(used) / float(limit) if used is not None and limit else 0.0


def _of_share(share: float, limit: str, stop_at: float | None) -> Signal | None:
    payload = {"limit": limit, "share": round(share, 4)}
    if stop_at is not None and share >= stop_at:
        return Signal(min(1.0, share), "stop", f"{share:.0%} of the {limit} are used up", payload=payload)
    if share >= WORTH_SAYING:
        return Signal(min(1.0, share) / 2, why=f"{share:.0%} of the {limit} are used up", payload=payload)
    return None
