"""How sure we are: intervals, paired tests, corrections for many comparisons; scipy's only door.

Every function is pure. What draws at random takes a seed and gives the same figures for it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import ceil, fsum, sqrt
from typing import Any, Literal, TypeAlias

from orchestrator.evals.extra import need_extra

__all__ = [
    "Interval",
    "Tested",
    "bootstrap_interval",
    "cases_needed",
    "clustered_interval",
    "holm",
    "mcnemar",
    "mean",
    "mean_interval",
    "paired_interval",
    "paired_test",
    "permutation_p",
    "wilson",
]

EXACT_BELOW = 25
"""Discordant pairs from which the chi-square form of McNemar's test is good enough."""
SAMPLES = 2_000
"""Bootstrap samples and permutations, unless asked otherwise."""
CELLS_AT_ONCE = 4_000_000
"""Numbers that scipy's bootstrap may hold at a time."""

Method = Literal["percentile", "BCa"]

Scipy: TypeAlias = Any
"""scipy is untyped: the one seam where Any is let in."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval and the level at which it covers."""

    low: float
    high: float
    level: float = 0.95

    def holds(self, value: float) -> bool:
        """Whether the value lies in it, its ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Tested:
    """A two-sided p-value and the test that gave it."""

    p: float
    test: str
    statistic: float | None = None


def mean(values: Sequence[float]) -> float:
    """The mean, summed without rounding; raises `ValueError` of nothing."""
    if not values:
        raise ValueError("there is nothing to take the mean of")
    return fsum(values) / len(values)


def wilson(right: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share `right / n`, without continuity correction.

    E. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22(158), 1927. Raises
    `ValueError` unless 0 <= right <= n and n > 0.
    """
    if not 0 <= right <= n or n == 0:
        raise ValueError(f"{right} of {n} is no share")
    found = _scipy_stats().binomtest(right, n).proportion_ci(confidence_level=level, method="wilson")
    return Interval(float(found.low), float(found.high), level)


def mean_interval(scores: Sequence[float], *, seed: int = 0, level: float = 0.95) -> Interval:
    """The interval of a mean score: Wilson's where every score is 0 or 1, else a percentile bootstrap."""
    if all(score in (0, 1) for score in scores):
        return wilson(round(fsum(scores)), len(scores), level=level)
    return bootstrap_interval(scores, seed=seed, level=level)


def mcnemar(only_first: int, only_second: int) -> Tested:
    """Whether two systems are right equally often, from the cases that only one of them got right.

    Exact (binomial) below 25 such cases, else chi-square with Edwards' correction, (|b - c| - 1)² / (b + c), which
    is 0 where b = c. Q. McNemar, Psychometrika 12(2), 1947; A. Edwards, Psychometrika 13(3), 1948.
    """
    discordant = only_first + only_second
    if discordant == 0:
        return Tested(1.0, "mcnemar-exact")
    if discordant < EXACT_BELOW:
        return Tested(float(_scipy_stats().binomtest(only_first, discordant).pvalue), "mcnemar-exact")
    statistic = max(abs(only_first - only_second) - 1, 0) ** 2 / discordant
    return Tested(float(_scipy_stats().chi2.sf(statistic, 1)), "mcnemar-chi2", statistic)


def paired_test(first: Sequence[float], second: Sequence[float], *, seed: int = 0, samples: int = SAMPLES) -> Tested:
    """Whether the scores of two systems on the same cases differ.

    McNemar's test where all scores are 0 or 1; else differences with their signs drawn anew (R. Fisher, "The Design
    of Experiments", 1935, §21), p by the add-one rule.
    """
    pairs = list(zip(first, second, strict=True))
    if all(a in (0, 1) and b in (0, 1) for a, b in pairs):
        return mcnemar(sum(a > b for a, b in pairs), sum(a < b for a, b in pairs))
    differences = [a - b for a, b in pairs if a != b]
    if not differences:
        return Tested(1.0, "sign-flip")
    need_extra()
    from orchestrator.evals.arrays import flipped_sums

    observed = abs(fsum(differences))
    drawn = flipped_sums(differences, samples=samples, seed=seed)
    return Tested(permutation_p(observed, [abs(each) for each in drawn]), "sign-flip", observed / len(pairs))


def bootstrap_interval(
    values: Sequence[float],
    *,
    seed: int = 0,
    samples: int = SAMPLES,
    level: float = 0.95,
    method: Method = "percentile",
) -> Interval:
    """A bootstrap interval of the mean; where all values are equal it is that value.

    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, §13.3 (percentile) and §14.3 (BCa).
    """
    if len(set(values)) < 2:
        return Interval(values[0], values[0], level)
    found = _scipy_stats().bootstrap(
        (values,),
        _means,
        n_resamples=samples,
        batch=max(1, CELLS_AT_ONCE // len(values)),
        confidence_level=level,
        method=method,
        rng=seed,
    )
    return Interval(float(found.confidence_interval.low), float(found.confidence_interval.high), level)


def paired_interval(
    first: Sequence[float],
    second: Sequence[float],
    *,
    seed: int = 0,
    samples: int = SAMPLES,
    level: float = 0.95,
    method: Method = "percentile",
) -> Interval:
    """A bootstrap interval of `mean(first) - mean(second)` over the same cases, scores or dollars alike."""
    differences = [a - b for a, b in zip(first, second, strict=True)]
    return bootstrap_interval(differences, seed=seed, samples=samples, level=level, method=method)


def clustered_interval(values: Sequence[float], clusters: Sequence[str], *, level: float = 0.95) -> Interval:
    """An interval of the mean where values of one cluster (the repeats of a case) are not independent.

    The sandwich estimator of a mean, sum over clusters of their squared sums of residuals over n², times G / (G - 1),
    with Student's t on G - 1 degrees of freedom (K. Liang and S. Zeger, Biometrika 73(1), 1986). Raises `ValueError`
    where there are fewer than two clusters.
    """
    centre, sums = mean(values), dict.fromkeys(clusters, 0.0)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - centre
    groups = len(sums)
    if groups < 2:
        raise ValueError("an interval needs two clusters or more")
    error = sqrt(fsum(each * each for each in sums.values()) * groups / (groups - 1)) / len(values)
    reach = float(_scipy_stats().t.ppf((1 + level) / 2, groups - 1)) * error
    return Interval(centre - reach, centre + reach, level)


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """p-values of several comparisons, adjusted so that one false alarm among them has the stated chance.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2), 1979.
    """
    adjusted: dict[str, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(ps, key=lambda each: (ps[each], each))):
        least = max(least, min(1.0, (len(ps) - rank) * ps[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in ps}


def permutation_p(observed: float, permuted: Sequence[float]) -> float:
    """The one-sided p-value of a statistic among its permuted values, each at least as large counting against it.

    (1 + count) / (1 + permutations), so that it is never 0: B. Phipson and G. Smyth, "Permutation p-values should
    never be zero", Statistical Applications in Genetics and Molecular Biology 9(1), 2010.
    """
    slack = 1e-12 * max(1.0, abs(observed))  # the same sum in another order is the same value
    return (1 + sum(each >= observed - slack for each in permuted)) / (1 + len(permuted))


def cases_needed(differences: Sequence[float], *, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """How many cases would show the mean difference seen, two-sided at `alpha`; None where none was seen.

    The normal approximation for paired differences, ((z_alpha + z_power) * sd / mean)² (J. Cohen, "Statistical Power
    Analysis for the Behavioral Sciences", 1988, §2.4).
    """
    if len(differences) < 2:
        return None
    centre = mean(differences)
    if abs(centre) < 1e-12:
        return None
    variance = fsum((each - centre) ** 2 for each in differences) / (len(differences) - 1)
    normal = _scipy_stats().norm
    reach = float(normal.ppf(1 - alpha / 2) + normal.ppf(power))
    return max(2, ceil(reach * reach * variance / (centre * centre)))


def _means(sample: Scipy, axis: int) -> Scipy:
    """The means of an array of scipy's, along an axis."""
    return sample.mean(axis=axis)


def _scipy_stats() -> Scipy:
    """`scipy.stats`; raises `ConfigError` where the extra `eval` is missing."""
    need_extra()
    return import_module("scipy.stats")
