"""What plans of random worlds must cost: over all derivation trees, or by a search that is not the planner's own."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import inf
from statistics import median

from orchestrator.graph import Capable
from orchestrator.trace.events import BreakerChanged, TryEnded
from tests.random_worlds import Drawn
from tests.test_graph import trees

__all__ = ["FEW", "NEAR", "Averages", "Weights", "cheapest", "cost_of"]

NEAR = 1e-9
FEW = 8
"""Experts up to which every derivation tree is looked at."""

Weights = Mapping[str, "float | None"]


def cheapest(experts: Collection[Drawn], have: Collection[str], weights: Weights) -> dict[str, float]:
    """The least cost of every artifact that can be had, found by going over all experts until nothing gets cheaper."""
    cost = dict.fromkeys(have, 0.0)
    usable = [(drawn, own) for drawn in experts if (own := weights[drawn.name]) is not None]
    better = True
    while better:
        better = False
        for drawn, own in usable:
            known = sorted(cost[name] for name in drawn.consumes if name in cost)
            if len(known) < drawn.least:
                continue
            total = own + sum(known[: drawn.least])
            if total < cost.get(drawn.produces, inf) - NEAR / 100:
                cost[drawn.produces] = total
                better = True
    return cost


def cost_of(goal: str, experts: Collection[Drawn], have: Collection[str], weights: Weights) -> float | None:
    """The least cost of a goal: over all derivation trees where the experts are few, else by a search from scratch."""
    if len(experts) > FEW:
        return cheapest(experts, have, weights).get(goal)
    capable = [Capable(d.name, d.consumes, d.produces, (), d.needs) for d in experts]
    return min(trees(goal, frozenset(have), capable, weights), default=None)


@dataclass(slots=True)
class Averages:
    """What the tries of all runs of a world said of the health of its experts."""

    successes: dict[str, deque[bool]] = field(default_factory=dict[str, "deque[bool]"])
    seconds: dict[str, deque[float]] = field(default_factory=dict[str, "deque[float]"])
    breakers: dict[str, tuple[str, float]] = field(default_factory=dict[str, "tuple[str, float]"])
    """States that breakers were said to be in, and until when at least."""
    probes: Counter[str] = field(default_factory=Counter[str])
    """Tries under way that began while a breaker was half open."""

    def begin(self, key: str, now: float) -> str | None:
        """What is wrong with a try that begins now, by what was said of its breaker."""
        state, until = self.breakers.get(key, ("closed", 0.0))
        self.probes[key] += state == "half_open"
        if state == "open" and now < until - 0.001:  # said in milliseconds
            return f"at {now:.3f}: a try of {key}, whose breaker is open until {until:.3f}"
        if state == "half_open" and self.probes[key] > 1:
            return f"at {now:.3f}: a second try of {key}, whose breaker is half open"
        return None

    def change(self, event: BreakerChanged, now: float) -> None:
        """Take in what was said of a breaker."""
        self.breakers[event.key] = (event.after, inf if event.seconds is None else now + event.seconds)

    def note(self, key: str, event: TryEnded) -> None:
        """Take in how a try ended."""
        self.successes.setdefault(key, deque(maxlen=100)).append(event.kind is None)
        if event.kind is None:
            self.seconds.setdefault(key, deque(maxlen=100)).append(event.seconds)

    def rate(self, key: str) -> float:
        """Share of tries that went well, with twenty before the first."""
        seen = self.successes.get(key, ())
        return (20 + sum(seen)) / (20 + len(seen))

    def typical(self, key: str, prior: float) -> float:
        """The median of the seconds of those that went well."""
        return median(self.seconds[key]) if key in self.seconds else prior
