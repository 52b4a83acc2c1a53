"""Scores made into probabilities: isotonic regression and Platt's sigmoid, fitted on pairs of score and right."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby
from math import exp, fsum, log
from typing import Literal

__all__ = ["Knots", "Method", "at", "isotonic", "platt", "sigmoid"]

Method = Literal["isotonic", "platt"]
Knots = tuple[tuple[float, float], ...]
"""Points of a rising curve: a score, and the probability of being right there."""

NEWTON_STEPS = 60
STEEPEST = 30.0


def isotonic(pairs: Sequence[tuple[float, float]]) -> Knots:
    """The rising curve nearest to the pairs, by squares: pool adjacent violators.

    M. Ayer et al., Annals of Mathematical Statistics 26(4), 1955; for probabilities B. Zadrozny and C. Elkan, KDD
    2002. Each block is held at its ends, between blocks the curve is straight. Blocks at the ends are pulled towards
    the middle by one pair (Laplace), so that nothing is ever certain. Raises `ValueError` of no pairs.
    """
    if not pairs:
        raise ValueError("there are no pairs to fit")
    blocks: list[_Block] = []
    for score, group in groupby(sorted(pairs), key=lambda pair: pair[0]):
        rights = [right for _, right in group]
        blocks.append((score, score, fsum(rights), len(rights)))
        while len(blocks) > 1 and _level(blocks[-2]) >= _level(blocks[-1]):
            (low, _, sum_, n), (_, high, more, m) = blocks[-2:]
            blocks[-2:] = [(low, high, sum_ + more, n + m)]
    knots: list[tuple[float, float]] = []
    for low, high, sum_, n in blocks:
        level = sum_ / n if 0 < sum_ < n else (sum_ + 0.5) / (n + 1)
        knots += [(low, level)] if low == high else [(low, level), (high, level)]
    return _rising(knots)


_Block = tuple[float, float, float, int]


def _level(block: _Block) -> float:
    return block[2] / block[3]


def _rising(knots: Sequence[tuple[float, float]]) -> Knots:
    """The knots as a curve that never falls: what pulling the ends may have crossed is levelled."""
    top, found = 0.0, list[tuple[float, float]]()
    for score, level in knots:
        top = max(top, level)
        found.append((score, top))
    return tuple(found)


def at(knots: Knots, score: float) -> float:
    """The height of a curve: straight between its knots, flat beyond them."""
    scores = [knot[0] for knot in knots]
    place = bisect_right(scores, score)
    if place == 0:
        return knots[0][1]
    if place == len(knots):
        return knots[-1][1]
    (left, low), (right, high) = knots[place - 1], knots[place]
    return low + (high - low) * (score - left) / (right - left)


def platt(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and offset of the sigmoid of least log loss, a slope below 0 being none.

    J. Platt, "Probabilistic outputs for support vector machines", 1999, with his targets (n+1)/(n+2) and 1/(n+2);
    Newton's method with halved steps as H. Lin, C. Lin and R. Weng, Machine Learning 68(3), 2007. Raises `ValueError`
    of no pairs.
    """
    if not pairs:
        raise ValueError("there are no pairs to fit")
    good = fsum(right for _, right in pairs)
    bad = len(pairs) - good
    high, low = (good + 1) / (good + 2), 1 / (bad + 2)
    aims = [(score, right * high + (1 - right) * low) for score, right in pairs]
    slope, offset = 0.0, log((good + 1) / (bad + 1))
    loss = _loss(aims, slope, offset)
    for _ in range(NEWTON_STEPS):
        step = _step(aims, slope, offset)
        size = 1.0
        while size > 1e-9:
            new_slope, new_offset = slope - size * step[0], offset - size * step[1]
            new = _loss(aims, new_slope, new_offset)
            if new < loss:
                break
            size /= 2
        else:
            break
        slope, offset, loss = new_slope, new_offset, new
    return (slope, offset) if slope > 0 else (0.0, log((good + 1) / (bad + 1)))


def sigmoid(slope: float, offset: float, score: float) -> float:
    """A probability by slope and offset."""
    return 1 / (1 + exp(-max(-STEEPEST, min(STEEPEST, slope * score + offset))))


def _loss(aims: Sequence[tuple[float, float]], slope: float, offset: float) -> float:
    return -fsum(aim * log(p) + (1 - aim) * log(1 - p) for score, aim in aims for p in (sigmoid(slope, offset, score),))


def _step(aims: Sequence[tuple[float, float]], slope: float, offset: float) -> tuple[float, float]:
    """Newton's step: the gradient over the curvature, a little ridge added."""
    rows = [(score, sigmoid(slope, offset, score), aim) for score, aim in aims]
    g1, g2 = fsum((p - aim) * x for x, p, aim in rows), fsum(p - aim for _, p, aim in rows)
    h11 = fsum(p * (1 - p) * x * x for x, p, _ in rows) + 1e-9
    h22 = fsum(p * (1 - p) for _, p, _ in rows) + 1e-9
    h12 = fsum(p * (1 - p) * x for x, p, _ in rows)
    det = h11 * h22 - h12 * h12
    return (h22 * g1 - h12 * g2) / det, (h11 * g2 - h12 * g1) / det
