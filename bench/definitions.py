"""AIQ, APGR, CPT and RouterArena's score once more, from their definitions alone: standard library, exact fractions.

Reads a JSON list of sets on stdin, each {"router": [[cost, quality]], "singles": [[cost, quality]], "calls":
[[strong share, score]], "weak": w, "strong": s, "score": a, "cost_per_1000": c}, and prints one line of figures for
each. It imports nothing of ours, so that two pieces of code have to agree (tests/test_eval_metrics.py).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypeAlias, cast

Pair: TypeAlias = tuple[Fraction, Fraction]


def exact(pairs: list[list[float]]) -> list[Pair]:
    """Pairs of floats as the fractions that they are."""
    return [(Fraction(x), Fraction(y)) for x, y in pairs]


def reached(points: list[Pair], cost: Fraction) -> Fraction:
    """The best quality for at most this cost that one point, or a random mix of two, reaches."""
    found = [quality for spent, quality in points if spent <= cost]
    for left, low in points:
        for right, high in points:
            if left <= cost < right:
                found.append(low + (high - low) * (cost - left) / (right - left))
    return max(found)


def corners(points: list[Pair]) -> list[Pair]:
    """The points that no other point, and no mix of two others, equals or beats at their cost."""
    distinct = sorted(set(points))
    return [each for each in distinct if not beats([other for other in distinct if other != each], each)]


def beats(others: list[Pair], point: Pair) -> bool:
    """Whether the others reach as much for no more."""
    cost, quality = point
    affordable = [each for each in others if each[0] <= cost]
    return bool(affordable) and reached(others, cost) >= quality


def aiq(router: list[Pair], singles: list[Pair]) -> Fraction:
    """The mean over all costs between cheapest and dearest model of what the router's hull has there."""
    start, end = min(cost for cost, _ in singles), max(cost for cost, _ in singles)
    kept = corners(router)
    below = [quality for cost, quality in kept if cost <= start]
    first = max(below) if below else max(quality for cost, quality in singles if cost == start)
    above = [each for each in kept if each[0] > start]
    path = [(start, first), *above]

    def height(cost: Fraction) -> Fraction:
        for (left, low), (right, high) in pairwise(path):
            if left <= cost <= right:
                return low + (high - low) * (cost - left) / (right - left)
        return path[-1][1]

    stops = sorted({start, end, *(cost for cost, _ in above if cost < end)})
    area = sum(((b - a) * (height(a) + height(b)) / 2 for a, b in pairwise(stops)), Fraction(0))
    return area / (end - start)


def gap_curve(calls: list[Pair], weak: Fraction, strong: Fraction) -> list[Pair]:
    """The recovered share of the gap by share of strong calls, from none to all."""
    return [(share, (score - weak) / (strong - weak)) for share, score in sorted(calls)]


def apgr(curve: list[Pair]) -> Fraction:
    """The area under the recovered gap."""
    return sum(((b - a) * (low + high) / 2 for (a, low), (b, high) in pairwise(curve)), Fraction(0))


def cpt(curve: list[Pair], wanted: Fraction) -> Fraction:
    """The first share at which the straight lines between points come to the wanted height."""
    crossings = [curve[0][0]] if curve[0][1] >= wanted else []
    for (a, low), (b, high) in pairwise(curve):
        if low < wanted <= high:
            crossings.append(a + (b - a) * (wanted - low) / (high - low))
    return min(crossings)


def arena(score: float, cost: float) -> float:
    """RouterArena's score."""
    held = max(0.0044, min(200.0, cost))
    cheap = math.log(200.0 / held) / math.log(200.0 / 0.0044)
    return 1.1 * score * cheap / (0.1 * score + cheap)


def figures(each: dict[str, Any]) -> dict[str, float]:
    """All figures of one set."""
    curve = gap_curve(exact(each["calls"]), Fraction(each["weak"]), Fraction(each["strong"]))
    return {
        "aiq": float(aiq(exact(each["router"]), exact(each["singles"]))),
        "apgr": float(apgr(curve)),
        "cpt50": float(cpt(curve, Fraction(1, 2))),
        "cpt80": float(cpt(curve, Fraction(8, 10))),
        "arena": arena(each["score"], each["cost_per_1000"]),
    }


def sets_of(text: str) -> list[dict[str, Any]]:
    """The sets that were piped in; raises `TypeError` where it is none."""
    given: object = json.loads(text)
    if not isinstance(given, list):
        raise TypeError("it is no list")
    return cast("list[dict[str, Any]]", given)


def main() -> None:
    """From stdin to stdout; says how it is used where nothing that it can read is piped in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    if sys.stdin.isatty():
        parser.error("it reads a JSON list of sets on stdin, and nothing is piped in")
    try:
        lines = [json.dumps(figures(each)) for each in sets_of(sys.stdin.read())]
    except (KeyError, TypeError, ValueError) as error:
        parser.error(f"stdin holds no JSON list of such sets as `--help` shows: {type(error).__name__}: {error}")
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
