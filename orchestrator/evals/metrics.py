"""What a system came to, as pure functions with their sources; curves have a module of their own.

Scores lie between 0 and 1, costs are USD, None where unknown. An error is a score of 0 that stays in the count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, fsum, log2

from orchestrator.evals.stats import mean

__all__ = [
    "Graded",
    "Optimality",
    "accuracy",
    "apgr",
    "arena_score",
    "auroc",
    "brier",
    "calibration_error",
    "cost_per_correct",
    "cost_per_question",
    "cpt",
    "gap_closed",
    "optimality",
    "percentile",
    "robustness",
    "shares",
]

ARENA_CHEAPEST, ARENA_DEAREST = 0.0044, 200.0
"""Bounds of cost in RouterArena's score, USD per 1,000 questions."""
ARENA_BETA = 0.1

Graded = tuple[float, float | None]
"""A score and what it cost, USD."""


def accuracy(scores: Sequence[float]) -> float:
    """The mean score over all cases, errors included as 0."""
    return mean(scores)


def cost_per_question(costs: Sequence[float | None]) -> float | None:
    """The mean cost, USD; None where any is unknown."""
    known = [cost for cost in costs if cost is not None]
    return mean(known) if len(known) == len(costs) else None


def cost_per_correct(costs: Sequence[float | None], scores: Sequence[float]) -> float | None:
    """All that was paid over all that was scored, USD; None where a cost is unknown or nothing was right."""
    each, right = cost_per_question(costs), fsum(scores)
    return None if each is None or right == 0 else each * len(costs) / right


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that a share of all lies below, straight between neighbours (R. Hyndman and Y. Fan, type 7, 1996)."""
    if not values:
        return None
    ranked = sorted(values)
    place = share * (len(ranked) - 1)
    low, high = ranked[floor(place)], ranked[ceil(place)]
    return low + (high - low) * (place - floor(place))


def shares(choices: Iterable[str]) -> dict[str, float]:
    """How often each model was chosen, most often first, as shares that add up to 1."""
    counts = Counter(choices)
    return {
        name: count / counts.total() for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    }


def gap_closed(system: float, baseline: float, oracle: float) -> float | None:
    """How much of the way from a baseline's score to the oracle's a system goes; None where there is no gap."""
    return None if oracle <= baseline else (system - baseline) / (oracle - baseline)


def apgr(curve: Iterable[tuple[float, float]], *, weak: float, strong: float) -> float | None:
    """Average performance gap recovered: the mean of (score - weak) / (strong - weak) over the share of strong calls.

    RouteLLM (Ong et al., arXiv 2406.18665), §3. `curve` holds (share of strong calls, score); the ends, all weak and
    all strong, are added where they are missing. None unless strong beats weak.
    """
    recovered = _recovered(curve, weak, strong)
    if recovered is None:
        return None
    return fsum((z - x) * (before + after) / 2 for (x, before), (z, after) in pairwise(recovered))


def cpt(curve: Iterable[tuple[float, float]], recovered: float, *, weak: float, strong: float) -> float | None:
    """The smallest share of strong calls at which so much of the gap is recovered, straight between points.

    RouteLLM (arXiv 2406.18665), §3, call-performance threshold: `recovered` 0.5 and 0.8 in the paper. None unless
    strong beats weak.
    """
    path = _recovered(curve, weak, strong) or []
    if path and path[0][1] >= recovered:
        return path[0][0]
    for (x, before), (z, after) in pairwise(path):
        if before < recovered <= after:
            return x + (z - x) * (recovered - before) / (after - before)
    return None


def _recovered(curve: Iterable[tuple[float, float]], weak: float, strong: float) -> list[tuple[float, float]] | None:
    if strong <= weak:
        return None
    scores = {0.0: weak, 1.0: strong, **dict(curve)}
    return [(share, (scores[share] - weak) / (strong - weak)) for share in sorted(scores)]


def arena_score(score: float, cost_per_1000: float | None) -> float | None:
    """RouterArena's score, 0 to 1: accuracy and log cost as a weighted harmonic mean, beta = 0.1.

    RouterArena (Lu et al., arXiv 2510.00202), §4: C = (log2 200 - log2 c) / (log2 200 - log2 0.0044) with c in USD
    per 1,000 questions, held between those bounds; S = (1 + beta) A C / (beta A + C). None where the cost is unknown
    or 0, as the board refuses it: a router that seems to cost nothing is one whose prices are missing.
    """
    if not cost_per_1000:
        return None
    cost = min(max(cost_per_1000, ARENA_CHEAPEST), ARENA_DEAREST)
    cheap = (log2(ARENA_DEAREST) - log2(cost)) / (log2(ARENA_DEAREST) - log2(ARENA_CHEAPEST))
    weight = ARENA_BETA * score + cheap
    return (1 + ARENA_BETA) * score * cheap / weight if weight else 0.0


@dataclass(frozen=True, slots=True)
class Optimality:
    """RouterArena's three columns, over the questions that some model answers right."""

    selection: float
    """Opt.Sel: share of them for which the cheapest right model was chosen."""
    cost: float | None
    """Opt.Cost: what the cheapest right models cost, over what was paid; None where a cost is unknown."""
    accuracy: float
    """Opt.Acc: what was scored, over what could have been."""
    n: int
    """How many such questions there are."""


def optimality(
    chosen: Mapping[str, str | None], outcomes: Mapping[str, Mapping[str, Graded]], *, right: float = 1.0
) -> Optimality | None:
    """Opt.Sel, Opt.Cost and Opt.Acc (RouterArena, arXiv 2510.00202, §4) of one choice per case; None: nothing to hit.

    A model is right from a score of `right`. Every question that somebody answers right counts, also where the choice
    was wrong. Not to be compared with the board's columns: its code (commit 0d783fa1) leaves such questions out, so
    that its Opt.Acc is always 100 % and the others hold given success.
    """
    hits, best, paid, won, could = 0, [0.0], [0.0], [0.0], [0.0]
    unknown, n = False, 0
    for case, choice in chosen.items():
        solvers = {name: each for name, each in outcomes[case].items() if each[0] >= right}
        if not solvers:
            continue
        n += 1
        costs = [cost for _, cost in solvers.values() if cost is not None]
        score, price = outcomes[case].get(choice or "", (0.0, 0.0))
        unknown = unknown or len(costs) < len(solvers) or price is None
        hits += choice in solvers and price is not None and price <= min(costs, default=price)
        best.append(min(costs, default=0.0))
        paid.append(price or 0.0)
        won.append(score)
        could.append(max(score for score, _ in solvers.values()))
    if n == 0:
        return None
    spent = fsum(paid)
    return Optimality(hits / n, None if unknown or spent == 0 else fsum(best) / spent, fsum(won) / fsum(could), n)


def robustness(plain: Mapping[str, str], reworded: Mapping[str, str]) -> float | None:
    """One minus the share of reworded questions for which another model was chosen; None where none is shared.

    RouterArena (arXiv 2510.00202), §4. Keys are ids of cases, values the models chosen.
    """
    shared = plain.keys() & reworded.keys()
    return 1 - sum(plain[case] != reworded[case] for case in shared) / len(shared) if shared else None


def calibration_error(stated: Sequence[float], right: Sequence[float], *, bins: int = 10) -> float:
    """Expected calibration error: the mean distance of stated probability and score over bins of equal width.

    C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, §3; a bin holds its upper end.
    """
    members: dict[int, list[tuple[float, float]]] = {}
    for p, score in zip(stated, right, strict=True):
        members.setdefault(max(1, ceil(round(p * bins, 9))), []).append((p, score))
    return fsum(abs(fsum(p - score for p, score in each)) for each in members.values()) / len(stated)


def brier(stated: Sequence[float], right: Sequence[float]) -> float:
    """The mean squared distance of stated probability and score (G. Brier, Monthly Weather Review 78(1), 1950)."""
    return mean([(p - score) ** 2 for p, score in zip(stated, right, strict=True)])


def auroc(stated: Sequence[float], right: Sequence[float]) -> float | None:
    """The chance that a right answer was stated with more confidence than a wrong one, ties counting half.

    J. Hanley and B. McNeil, Radiology 143(1), 1982. Right is a score of 1; None where all or none are right.
    """
    marks = sorted(zip(stated, (score >= 1 for score in right), strict=True))
    good = sum(mark for _, mark in marks)
    bad = len(marks) - good
    if not good or not bad:
        return None
    below, wins = 0, 0.0
    ties: dict[float, list[bool]] = {}
    for p, mark in marks:
        ties.setdefault(p, []).append(mark)
    for group in ties.values():
        wrong = group.count(False)
        wins += group.count(True) * (below + wrong / 2)
        below += wrong
    return wins / (good * bad)
