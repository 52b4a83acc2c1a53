"""Systems and their results: what a router or a baseline came to on every case, and the figures of a report's row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Literal

from orchestrator.evals.metrics import auroc, calibration_error, cost_per_correct, cost_per_question, percentile
from orchestrator.evals.stats import Interval, clustered_interval, mean, mean_interval

__all__ = ["Kind", "LeftOut", "Result", "Summary", "Sureness", "System", "pooled", "summarise"]

Kind = Literal["router", "baseline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One case by one system; an error has a score of 0 and stays in the count.

    A case that was run several times has several results of the same `case`.
    """

    case: str
    score: float
    cost: float | None
    """USD, everything that was paid for it; None where unknown."""
    exact: bool = True
    """Whether that is the vendors' own figure, not an estimate."""
    asked: Mapping[str, float] = field(default_factory=dict[str, float])
    """Who answered, and how many times, or with which probability."""
    repeats: str = ""
    """Id of the case that its case is a copy of; empty where it is none."""
    error: bool = False
    """Whether there is no result: an exception, or a limit of the run's own."""
    seconds: float | None = None
    control_calls: int = 0
    reroutes: int = 0
    answered: bool = True
    """Whether there is a decision: no error, and no escalation."""
    abstained: bool = False
    """Whether there was a decision that was not sure enough to be given."""
    confidence: float | None = None
    """How sure it is of its decision; None where nothing is known of that."""

    @property
    def cluster(self) -> str:
        """What is the same for all results that are not independent."""
        return self.repeats or self.case


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A way to answer, and what it came to."""

    name: str
    kind: Kind
    results: tuple[Result, ...]
    expected: bool = False
    """Whether the results are expectations over draws, so that no single run has these scores."""
    hindsight: bool = False
    """Whether it was chosen knowing the results; no rival, a bound."""
    note: str = ""
    """What a reader has to know of it, in plain words."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A baseline that cannot be worked out, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sureness:
    """How sure a system is of its decisions, and what that is worth."""

    abstained: int
    """Decisions that were not sure enough to be given; each is a failure, unless the case asks to be escalated."""
    answered: int
    coverage: float
    """Share of all results that are a decision."""
    score_answered: float | None
    """Mean score of the decisions alone; None where there is none."""
    n: int
    """Decisions that carry a confidence; the two figures below are over these."""
    ece: float | None
    """Expected calibration error."""
    auroc: float | None
    """The chance that a right decision is surer than a wrong one; None where all or none are right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The row of a report; costs are USD, None where unknown."""

    name: str
    kind: Kind
    n: int
    errors: int
    score: float
    score_ci: Interval
    cost_usd: float | None
    cost_exact: bool
    """Whether the cost of every case is known, and the vendors' own figure."""
    cost_per_question: float | None
    cost_per_correct: float | None
    control_calls: int
    reroutes: int
    latency_p50: float | None
    latency_p95: float | None
    shares: Mapping[str, float]
    """How often each model answered, as shares that add up to 1."""
    note: str = ""
    sureness: Sureness | None = None
    """None where no decision carries a confidence, and none was held back."""


def summarise(system: System, *, seed: int = 0, level: float = 0.95) -> Summary:
    """The figures of a system; raises `ValueError` where it has no results."""
    results = system.results
    costs, scores = [each.cost for each in results], [each.score for each in results]
    seconds = [each.seconds for each in results if each.seconds is not None]
    per_question = cost_per_question(costs)
    return Summary(
        name=system.name,
        kind=system.kind,
        n=len(results),
        errors=sum(each.error for each in results),
        score=mean(scores),
        score_ci=_interval(results, seed, level),
        cost_usd=None if per_question is None else fsum(cost or 0.0 for cost in costs),
        cost_exact=all(each.exact and each.cost is not None for each in results),
        cost_per_question=per_question,
        cost_per_correct=cost_per_correct(costs, scores),
        control_calls=sum(each.control_calls for each in results),
        reroutes=sum(each.reroutes for each in results),
        latency_p50=percentile(seconds, 0.5),
        latency_p95=percentile(seconds, 0.95),
        shares=_shares(results),
        note=system.note,
        sureness=_sureness(results),
    )


def _sureness(results: Sequence[Result]) -> Sureness | None:
    abstained = sum(each.abstained for each in results)
    given = [each for each in results if each.answered]
    sure = [(each.confidence, each.score) for each in given if each.confidence is not None]
    if not (abstained or sure):
        return None
    stated, right = [p for p, _ in sure], [score for _, score in sure]
    return Sureness(
        abstained=abstained,
        answered=len(given),
        coverage=len(given) / len(results),
        score_answered=mean([each.score for each in given]) if given else None,
        n=len(sure),
        ece=calibration_error(stated, right) if sure else None,
        auroc=auroc(stated, right),
    )


def pooled(results: Iterable[Result]) -> dict[str, tuple[float, float | None]]:
    """Mean score and cost of each case, its copies and repetitions taken together."""
    found: dict[str, list[Result]] = {}
    for each in results:
        found.setdefault(each.cluster, []).append(each)
    return {
        case: (mean([each.score for each in group]), cost_per_question([each.cost for each in group]))
        for case, group in found.items()
    }


def _interval(results: Sequence[Result], seed: int, level: float) -> Interval:
    """Wilson's or a bootstrap; cluster-robust where cases repeat."""
    scores, clusters = [each.score for each in results], [each.cluster for each in results]
    if 1 < len(set(clusters)) < len(clusters):
        return clustered_interval(scores, clusters, level=level)
    return mean_interval(scores, seed=seed, level=level)


def _shares(results: Sequence[Result]) -> dict[str, float]:
    counts: dict[str, float] = {}
    for each in results:
        for name, times in each.asked.items():
            counts[name] = counts.get(name, 0.0) + times
    total = fsum(counts.values())
    return {name: counts[name] / total for name in sorted(counts, key=lambda name: (-counts[name], name)) if total}
