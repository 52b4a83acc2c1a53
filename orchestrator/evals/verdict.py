"""Whether to route, in plain words: by intervals beside the best single model and the zero router, and the placebo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import fsum

from orchestrator.evals.baselines import Baselines
from orchestrator.evals.comparison import ALPHA, Comparison, compare, corrected
from orchestrator.evals.curves import Point, aiq, aiq_tr, quality_at, zero_router
from orchestrator.evals.extra import need_extra
from orchestrator.evals.matrix import Matrix
from orchestrator.evals.metrics import percentile
from orchestrator.evals.placebo import Placebo, lookup, placebo
from orchestrator.evals.predictions import Choice, Swept, chosen_results, prices_for
from orchestrator.evals.stats import SAMPLES, Interval, mean
from orchestrator.evals.systems import Result, System

__all__ = [
    "Evidence",
    "Gain",
    "Rival",
    "Verdict",
    "as_good",
    "evidence",
    "gain_over_zero",
    "gain_over_zero_curve",
    "gain_over_zero_hull",
    "rival_of",
    "verdict",
]


@dataclass(frozen=True, slots=True)
class Gain:
    """A difference in score to the zero router, with its paired bootstrap interval."""

    value: float
    ci: Interval


@dataclass(frozen=True, slots=True)
class Rival:
    """A baseline that costs measurably less than a router and scores not measurably lower."""

    beside: Comparison
    """The baseline and the router."""
    share: float
    """Its cost as a share of the router's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a verdict on one router rests on."""

    router: str
    best_single: str
    beside_best: Comparison
    """The router and the single model that was best on train."""
    over_zero: Gain | None
    """Its score less that of the zero router at its cost; None where costs are unknown."""
    over_zero_curve: Gain | None
    """The same in AIQ_tr, where the router has a knob and costs are known."""
    placebo: Placebo | None
    placebo_in_task: Placebo | None
    """None where cases carry no task label, or choices are unknown."""
    no_placebo: str = ""
    """Why there is no placebo at all."""
    rival: Rival | None = None
    """The cheapest baseline that is as good; None where there is none, or costs are unknown."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A sentence that begins with `route` or `do not route`, and what it rests on."""

    route: bool
    router: str | None
    """Whom to route by."""
    text: str
    reasons: tuple[str, ...]


def evidence(
    router: System,
    baselines: Baselines,
    *,
    by: Swept | Choice | None = None,
    seed: int = 0,
    level: float = 0.95,
    no_placebo: str = "",
    rivals: Sequence[System] = (),
) -> Evidence:
    """Weigh a router's results on the test cases of `baselines`.

    `by` is its knob, or whom it chose for each test case; without it there is no placebo, and `no_placebo` says why.
    `rivals` are baselines that might be as good for less. Raises `ConfigError` where the router and the best single
    model share no case.
    """
    test = baselines.test
    best = baselines.train.best_single()
    results = chosen_results([best] * len(test.cases), test)
    alone = System(name=best, kind="baseline", results=tuple(each for each in results if each.asked))
    swept = by if isinstance(by, Swept) or by is None else lookup(by, test)
    known = test.priced and all(each.cost is not None for each in router.results)
    knob = swept is not None and len(swept.settings) > 1 and known
    return Evidence(
        router=router.name,
        best_single=best,
        beside_best=compare(router, alone, seed=seed),
        over_zero=gain_over_zero(router.results, test, seed=seed, level=level) if known else None,
        over_zero_curve=gain_over_zero_curve(swept, baselines, seed=seed, level=level) if swept and knob else None,
        placebo=swept and placebo(swept, test, "all", seed=seed),
        placebo_in_task=swept and placebo(swept, test, "task", seed=seed),
        no_placebo=no_placebo if swept is None else "",
        rival=rival_of(router, rivals, seed=seed),
    )


def rival_of(router: System, rivals: Sequence[System], *, seed: int = 0) -> Rival | None:
    """The cheapest of some systems that costs measurably less than the router and scores not measurably lower.

    Those that only hindsight could have chosen, and those that are a draw, do not count.
    """
    costs = {each.name: _total(each) for each in rivals if not (each.hindsight or each.expected)}
    whole, named = _total(router), {each.name: each for each in reversed(rivals)}
    if whole is None:
        return None
    order = list(costs)
    less = {name: cost for name, cost in costs.items() if cost is not None and cost < whole}
    for name in sorted(less, key=lambda each: (less[each], order.index(each))):
        found = compare(named[name], router, seed=seed)
        if found.cheaper:
            return Rival(found, less[name] / whole)
    return None


def _total(system: System) -> float | None:
    """Mean cost of a system's results; None where one is unknown, or there are none."""
    costs = [each.cost for each in system.results if each.cost is not None]
    return fsum(costs) / len(costs) if costs and len(costs) == len(system.results) else None


def gain_over_zero(results: Sequence[Result], test: Matrix, *, seed: int = 0, level: float = 0.95) -> Gain:
    """A router's mean score less that of the zero router at its mean cost, cases resampled together.

    In each sample the hull of the single models is drawn anew over the sampled test cases, so that it has hindsight
    and the router has none. A router that costs less than every single model is held to the cheapest one.
    """
    runs: dict[str, list[Result]] = {}
    for each in results:
        runs.setdefault(each.case, []).append(each)
    rows = {
        case: [mean([each.score for each in group]), mean([each.cost or 0.0 for each in group])]
        for case, group in runs.items()
    }
    cases = [case.id for case in test.cases if case.id in rows]

    def gain(means: Sequence[float]) -> float:
        return means[0] - quality_at(zero_router(_singles(means[2:])), means[1])

    return _resampled(gain, test.only(cases), [rows[case] for case in cases], seed, level)


def gain_over_zero_curve(router: Swept, baselines: Baselines, *, seed: int = 0, level: float = 0.95) -> Gain:
    """The router's AIQ_tr less the zero router's, whose corners are taken from train too, cases resampled together."""
    corners = [baselines.test.covering.index(model) for model in baselines.zero_models()]

    def gain(ours: list[Point], singles: list[Point]) -> float:
        floor = aiq_tr([singles[place] for place in corners], singles)
        return (aiq_tr(ours, singles) or 0.0) - (floor or 0.0)

    return _of_curves(gain, router.choices, baselines.test, seed, level)


def gain_over_zero_hull(router: Swept, baselines: Baselines, *, seed: int = 0, level: float = 0.95) -> Gain:
    """The router's AIQ less the zero router's, both with a hull over the test results: see `aiq` on what that rewards.

    The router's knob takes every setting of the grid that makes another choice.
    """
    settings = router.predictions.chosen(prices_for(baselines.train))
    choices = list(dict.fromkeys(tuple(choice) for choice in settings))

    def gain(ours: list[Point], singles: list[Point]) -> float:
        return (aiq(ours, singles) or 0.0) - (aiq(singles, singles) or 0.0)

    return _of_curves(gain, choices, baselines.test, seed, level)


def _of_curves(
    gain: Callable[[list[Point], list[Point]], float],
    choices: Sequence[Choice],
    test: Matrix,
    seed: int,
    level: float,
) -> Gain:
    """A figure of the points of several choices, and of those of the single models."""
    results = [chosen_results(choice, test) for choice in choices]
    rows = [[value for each in row for value in (each.score, each.cost or 0.0)] for row in zip(*results, strict=True)]

    def of_means(means: Sequence[float]) -> float:
        ours = [Point(means[place + 1], means[place]) for place in range(0, 2 * len(choices), 2)]
        return gain(ours, _singles(means[2 * len(choices) :]))

    return _resampled(of_means, test, rows, seed, level)


def _resampled(
    gain: Callable[[Sequence[float]], float], test: Matrix, rows: Sequence[list[float]], seed: int, level: float
) -> Gain:
    """A figure of column means and its percentile interval; the columns of the single models follow the given ones."""
    need_extra()
    from orchestrator.evals.arrays import resampled_means

    table = [[*row, *_columns(test, case.id)] for row, case in zip(rows, test.cases, strict=True)]
    clusters = {name: place for place, name in enumerate(dict.fromkeys(case.repeats for case in test.cases))}
    groups = [clusters[case.repeats] for case in test.cases]
    count = len(table)
    drawn = [gain(means) for means in resampled_means(table, samples=SAMPLES, seed=seed, groups=groups)]
    low, high = (percentile(drawn, share) or 0.0 for share in ((1 - level) / 2, (1 + level) / 2))
    return Gain(gain([sum(column) / count for column in zip(*table, strict=True)]), Interval(low, high, level))


def _columns(test: Matrix, case: str) -> list[float]:
    """Whether each covering model has a record, its score and its cost, so that means count only what is there."""
    got = [test.outcomes[case].get(model) for model in test.covering]
    return [value for each in got for value in ((1.0, each.score, each.cost or 0.0) if each else (0.0, 0.0, 0.0))]


def _singles(means: Sequence[float]) -> list[Point]:
    """The single models' points from the means of their columns; one that no sampled case has a record of scores 0."""
    triples = zip(means[::3], means[1::3], means[2::3], strict=True)
    return [Point(cost / share, score / share) if share else Point(0.0, 0.0) for share, score, cost in triples]


def verdict(found: Sequence[Evidence]) -> Verdict:
    """Route by the router that gains most over the zero router among those that pass every test, or do not route.

    A router passes if it beats the zero router at its cost, beats the best single model (scores higher by the paired
    test and by the interval, or costs less and is not measurably worse), and beats its own placebo. Give `evidence` a
    level of 1 - 0.05 / n for n routers; p-values are corrected here. A cheaper baseline that is as good is named.
    """
    if not found:
        return Verdict(route=False, router=None, text="do not route: there is no router to judge", reasons=())
    besides = corrected([each.beside_best for each in found])
    found = [replace(each, beside_best=beside) for each, beside in zip(found, besides, strict=True)]
    passed = [each for each in found if not _against(each)]
    if not passed:
        reasons = tuple(f"{each.router} {why}" for each in found for why in _against(each))
        reasons += tuple(_cheaply(each) for each in found if each.over_zero_curve and each.over_zero_curve.ci.low > 0)
        told = "; ".join((reasons[0], *as_good(found[0].rival)))
        reasons += tuple(line for each in found for line in as_good(each.rival))
        return Verdict(route=False, router=None, text=f"do not route: {told}", reasons=reasons)
    best = max(passed, key=lambda each: each.over_zero.value if each.over_zero else each.beside_best.delta)
    reasons = (*_in_favour(best), *as_good(best.rival))
    return Verdict(route=True, router=best.router, text=f"route: {best.router} {'; '.join(reasons)}", reasons=reasons)


def _against(each: Evidence) -> list[str]:
    """What a router fails, in plain words."""
    reasons: list[str] = []
    if each.over_zero and each.over_zero.ci.low <= 0:
        reasons.append(
            f"does not beat the zero router, a random mix of single models at its cost: {_signed(each.over_zero)}"
        )
    if not _better(each.beside_best) and not each.beside_best.cheaper:
        beats = "does not beat" if each.beside_best.delta <= 0 else "does not score measurably higher than"
        reasons.append(f"{beats} {each.best_single}, the best single model on train: {_beside(each.beside_best)}")
    if each.placebo and each.placebo.p >= ALPHA:
        reasons.append(f"does no better than its own predictions dealt to the wrong questions (p {each.placebo.p:.3f})")
    return reasons


def _cheaply(each: Evidence) -> str:
    """What is to be said for a router that does not replace the best single model but has a curve of its own."""
    gain = f" by {_signed(each.over_zero_curve)}" if each.over_zero_curve else ""
    return f"{each.router} beats the zero router{gain} in AIQ_tr all the same: it may pay where money is short"


def _in_favour(each: Evidence) -> list[str]:
    beside = "scores higher than" if _better(each.beside_best) else "costs less and is not measurably worse than"
    reasons = [f"{beside} {each.best_single}, the best single model on train: {_beside(each.beside_best)}"]
    if each.over_zero:
        reasons.append(f"beats the zero router at its cost: {_signed(each.over_zero)}")
    else:
        reasons.append("costs are not recorded, so nothing is said of the zero router")
    within = each.placebo_in_task
    if each.no_placebo:
        reasons.append(f"it has no placebo: {each.no_placebo}")
    elif within is None:
        reasons.append("the cases carry no task label to compare with")
    elif within.p < ALPHA:
        reasons.append(f"it knows more than the task label (p {within.p:.3f})")
    else:
        reasons.append(f"it knows no more than the task label: a table of means per task would do (p {within.p:.3f})")
    return reasons


def as_good(rival: Rival | None) -> list[str]:
    """What is to be said of a baseline that does with less; nothing where there is none."""
    if rival is None:
        return []
    beside, share = rival.beside, f"{rival.share:.0%}"
    words = "scores higher than" if _better(beside) else "is not measurably worse than"
    return [f"{beside.a} {words} {beside.b} at {share} of its price: {_beside(beside)}"]


def _better(beside: Comparison) -> bool:
    return beside.winner == beside.a


def _beside(beside: Comparison) -> str:
    """Differences in score and cost with their intervals, and how sure the test is of the first."""
    score = f"score {beside.delta:+.4f} [{beside.ci.low:+.4f}, {beside.ci.high:+.4f}], p {beside.p_adjusted:.3f}"
    if beside.cost_delta is None or beside.cost_ci is None:
        return score
    return f"{score}, USD {beside.cost_delta:+.6f} [{beside.cost_ci.low:+.6f}, {beside.cost_ci.high:+.6f}] a question"


def _signed(gain: Gain) -> str:
    return f"{gain.value:+.4f} [{gain.ci.low:+.4f}, {gain.ci.high:+.4f}]"
