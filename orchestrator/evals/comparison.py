"""Two systems on the cases they share: how far apart, how sure, and how many cases it would take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.errors import ConfigError
from orchestrator.evals.stats import Interval, cases_needed, holm, mean, paired_interval, paired_test
from orchestrator.evals.systems import System, pooled

__all__ = ["ALPHA", "Comparison", "compare", "compare_each", "corrected"]

ALPHA = 0.05
"""How often two systems that are alike may be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What sets `a` apart from `b`; differences are a minus b."""

    a: str
    b: str
    n: int
    """Cases that both have a result for, copies and repetitions taken together."""
    delta: float
    ci: Interval
    p: float
    """Two-sided, of the difference in score."""
    p_adjusted: float
    """The same after Holm's correction for all comparisons made together."""
    test: str
    cost_delta: float | None
    """USD per question; None where a cost is unknown."""
    cost_ci: Interval | None
    needed: int | None
    """How many cases would show the difference seen, at 80 % power; None where there is none."""

    @property
    def winner(self) -> str | None:
        """Who scores higher, if test and interval both tell the two apart at 5 %."""
        if self.p_adjusted >= ALPHA or self.ci.holds(0.0):
            return None
        return self.a if self.delta > 0 else self.b

    @property
    def cheaper(self) -> bool:
        """Whether `a` costs measurably less than `b` and scores not measurably lower."""
        less = self.cost_ci is not None and self.cost_ci.high < 0
        return less and self.ci.high >= 0 and self.winner != self.b

    @property
    def words(self) -> str:
        """The result in plain words."""
        if self.winner is None:
            more = self.needed is not None and self.needed > self.n  # an estimate, which fewer cases would belie
            hint = f"; {self.needed} cases would show a difference of {abs(self.delta):.4f}" if more else ""
            return f"{self.a} and {self.b} are not distinguishable on {self.n} cases{hint}"
        loser = self.b if self.winner == self.a else self.a
        return f"{self.winner} scores {abs(self.delta):.4f} higher than {loser} on {self.n} cases"


def compare(a: System, b: System, *, seed: int = 0) -> Comparison:
    """Compare on shared cases; raises `ConfigError` where there are none."""
    first, second = pooled(a.results), pooled(b.results)
    shared = sorted(first.keys() & second.keys())
    if not shared:
        raise ConfigError(f"`{a.name}` and `{b.name}` share no case", expected="two runs over some of the same cases")
    ours, theirs = [first[case][0] for case in shared], [second[case][0] for case in shared]
    tested = paired_test(ours, theirs, seed=seed)
    our_costs = [cost for case in shared if (cost := first[case][1]) is not None]
    their_costs = [cost for case in shared if (cost := second[case][1]) is not None]
    priced = len(our_costs) == len(their_costs) == len(shared)
    return Comparison(
        a=a.name,
        b=b.name,
        n=len(shared),
        delta=mean(ours) - mean(theirs),
        ci=paired_interval(ours, theirs, seed=seed),
        p=tested.p,
        p_adjusted=tested.p,
        test=tested.test,
        cost_delta=mean(our_costs) - mean(their_costs) if priced else None,
        cost_ci=paired_interval(our_costs, their_costs, seed=seed) if priced else None,
        needed=cases_needed([x - y for x, y in zip(ours, theirs, strict=True)]),
    )


def compare_each(systems: Sequence[System], baseline: System, *, seed: int = 0) -> list[Comparison]:
    """Each system with the baseline, p-values corrected for there being several."""
    return corrected([compare(system, baseline, seed=seed) for system in systems])


def corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """Comparisons that are made together, their p-values adjusted for that."""
    adjusted = holm({str(place): each.p for place, each in enumerate(found)})
    return [replace(each, p_adjusted=adjusted[str(place)]) for place, each in enumerate(found)]
