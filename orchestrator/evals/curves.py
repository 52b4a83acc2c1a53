"""Cost against quality: hulls, the zero router, and the figures read off a curve (AIQ, PerfGain, CostSave).

A point is a mean cost in USD per question and a mean score. Nothing here knows where points come from; what may be
drawn over which cases is for the caller to keep (SEMANTICS §10: the best points of a curve are never picked on test).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import fsum
from typing import NamedTuple

__all__ = [
    "Point",
    "aiq",
    "aiq_published",
    "aiq_tr",
    "cost_save",
    "hull",
    "perf_gain",
    "quality_at",
    "zero_router",
]


class Point(NamedTuple):
    """What a system costs per question, in USD, and how well it does."""

    cost: float
    quality: float


def hull(points: Iterable[Point]) -> list[Point]:
    """The non-decreasing upper hull: from the cheapest point to the best one, no dearer than it need be.

    RouterBench (Hu et al., arXiv 2403.12031), §4: any two points can be mixed at random, so a line between them is
    reached; no point is worth having that costs more and does worse.
    """
    best: dict[float, float] = {}
    for cost, quality in points:
        best[cost] = max(quality, best.get(cost, quality))
    kept: list[Point] = []
    for cost in sorted(best):
        point = Point(cost, best[cost])
        while len(kept) > 1 and _not_above(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    top = max(point.quality for point in kept) if kept else 0.0
    last = next((index for index, point in enumerate(kept) if point.quality == top), -1)
    return kept[: last + 1]


def _not_above(left: Point, middle: Point, right: Point) -> bool:
    """Whether the middle point lies on or under the line between the others."""
    rise = (right.quality - left.quality) * (middle.cost - left.cost)
    return (middle.quality - left.quality) * (right.cost - left.cost) <= rise


def zero_router(singles: Iterable[Point]) -> list[Point]:
    """The hull of the single models: what drawing between two of them at random reaches, knowing no question.

    RouterBench (arXiv 2403.12031), §4.2; the floor that every router has to beat.
    """
    return hull(singles)


def quality_at(curve: Sequence[Point], cost: float) -> float:
    """The quality of a curve at a cost: straight between its points, flat beyond either end."""
    if cost <= curve[0].cost:
        return max(point.quality for point in curve if point.cost == curve[0].cost)
    for left, right in pairwise(curve):
        if left.cost < cost <= right.cost:
            return left.quality + (right.quality - left.quality) * (cost - left.cost) / (right.cost - left.cost)
    return curve[-1].quality


def aiq(points: Iterable[Point], singles: Sequence[Point]) -> float | None:
    """Average improvement in quality: the mean height of a router's hull between cheapest and dearest single model.

    RouterBench (arXiv 2403.12031), §4.3: 1 / (c_max - c_min) times the area under the non-decreasing upper hull of
    the router's points, c_min and c_max the mean costs of the cheapest and the dearest single model. Hull points
    below c_min count at c_min; left of the router's cheapest point its quality is that of the straight line from the
    cheapest single model; right of its best point it is flat. None where all models cost the same.

    A hull over test results rewards noise; `aiq_tr` is the figure to compare routers by.
    """
    return _mean_height(hull(points), singles)


def aiq_tr(points: Iterable[Point], singles: Sequence[Point]) -> float | None:
    """AIQ without hindsight: `points` are the test results of settings that were taken from train, and all count.

    No hull is drawn: the curve goes through every point in the order of cost, by their mean where costs are equal,
    and stays flat right of the dearest. Below c_min the dearest setting counts, at c_min. Else as `aiq`
    (SEMANTICS §10).
    """
    qualities: dict[float, list[float]] = {}
    for cost, quality in points:
        qualities.setdefault(cost, []).append(quality)
    return _mean_height(
        [Point(cost, fsum(qualities[cost]) / len(qualities[cost])) for cost in sorted(qualities)], singles
    )


def _mean_height(curve: Sequence[Point], singles: Sequence[Point]) -> float | None:
    """The mean height of a curve, in the order of cost, over the costs of the single models."""
    if not curve or not singles:
        return None
    cheapest = min(singles, key=lambda point: (point.cost, -point.quality))
    end = max(point.cost for point in singles)
    if end <= cheapest.cost:
        return None
    below = [point for point in curve if point.cost <= cheapest.cost]
    start = Point(cheapest.cost, below[-1].quality) if below else cheapest
    path = [start, *(point for point in curve if point.cost > cheapest.cost)]
    return _area(path, end) / (end - cheapest.cost)


def _area(path: Sequence[Point], end: float) -> float:
    """The area under a path from its first point to a cost, flat after its last point."""
    strips: list[float] = []
    for left, right in zip(path, [*path[1:], Point(end, path[-1].quality)], strict=True):
        if left.cost >= end:
            break
        stop = right if right.cost <= end else Point(end, quality_at([left, right], end))
        strips.append((stop.cost - left.cost) * (left.quality + stop.quality) / 2)
    return fsum(strips)


def aiq_published(points: Iterable[Point], max_cost: float) -> float:
    """AIQ as RouterBench's published code has it, which is not the paper's: see `aiq`.

    The area under the hull from the router's own cheapest point to `max_cost`, the highest cost of all routers,
    divided by `max_cost` (repository withmartian/routerbench, `evaluation/AIQ.py`): whoever starts dear loses the
    strip at the left.
    """
    curve = hull(points)
    return _area(curve, max_cost) / max_cost


def perf_gain(points: Iterable[Point], best_single: Point) -> float | None:
    """The largest gain in quality over the best single model, as a share of that model's quality.

    LLMRouterBench (arXiv 2601.07206); None where there is no point, or nothing to compare with.
    """
    best = max((point.quality for point in points), default=None)
    return None if best is None or best_single.quality == 0 else best / best_single.quality - 1


def cost_save(points: Iterable[Point], best_single: Point) -> float | None:
    """The largest share of the best single model's cost saved by a point at least as good; negative where dearer.

    LLMRouterBench (arXiv 2601.07206); None where no point is as good, or that model costs nothing.
    """
    good = [point.cost for point in points if point.quality >= best_single.quality]
    return 1 - min(good) / best_single.cost if good and best_single.cost > 0 else None
