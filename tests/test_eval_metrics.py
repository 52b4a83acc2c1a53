"""Metrics against the figures that papers print, a second piece of code, and properties."""

# pytest leaves the types of `approx` open: pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.evals.curves import (
    Point,
    aiq,
    aiq_published,
    aiq_tr,
    cost_save,
    hull,
    perf_gain,
    quality_at,
    zero_router,
)
from orchestrator.evals.metrics import (
    Graded,
    Optimality,
    accuracy,
    apgr,
    arena_score,
    auroc,
    brier,
    calibration_error,
    cost_per_correct,
    cost_per_question,
    cpt,
    gap_closed,
    optimality,
    percentile,
    robustness,
    shares,
)

DEFINITIONS = Path(__file__).parents[1] / "bench" / "definitions.py"

A = [Point(1, 0.5), Point(2, 0.7), Point(3, 0.65), Point(4, 0.8)]
B = [Point(1, 0.6), Point(2, 0.62), Point(3, 0.64)]
ROUTELLM = [(0.0, 0.5), (0.25, 0.7), (0.5, 0.8), (0.75, 0.87), (1.0, 0.9)]

costs = st.integers(0, 40).map(lambda number: number / 8)
points = st.builds(Point, costs, st.integers(0, 16).map(lambda number: number / 16))
curves = st.lists(points, min_size=1, max_size=8)


def test_the_published_aiq_gives_its_codes_figures() -> None:
    assert aiq_published(A, 4) == pytest.approx(0.525)
    assert aiq_published(B, 4) == pytest.approx(0.47)


def test_the_papers_aiq_is_a_mean_height() -> None:
    singles = [Point(1, 0.5), Point(4, 0.8)]
    assert aiq(A, singles) == pytest.approx(2.1 / 3)
    assert aiq(B, singles) == pytest.approx((0.61 + 0.63 + 0.64) / 3)
    assert aiq([Point(1, 0.4)], singles) == pytest.approx(0.4)


def test_what_lies_outside_the_single_models_costs() -> None:
    singles = [Point(1, 0.5), Point(3, 0.7)]
    assert aiq([Point(0.2, 0.1), Point(0.5, 0.6)], singles) == pytest.approx(0.6)  # counts at c_min, flat from there
    assert aiq([Point(2, 0.9)], singles) == pytest.approx((0.7 + 0.9) / 2)  # a line from the cheapest model, then flat
    assert aiq([Point(2, 0.3)], singles) == pytest.approx((0.4 + 0.3) / 2)
    assert aiq([Point(1, 0.5), Point(5, 0.9)], singles) == pytest.approx(0.6)  # cut at c_max: 0.7 there
    assert aiq([Point(0.5, 0.4), Point(2, 0.7)], singles) == pytest.approx((0.55 + 0.7) / 2)
    assert aiq(A, [Point(1, 0.5), Point(1, 0.7)]) is None
    assert aiq([], singles) is None


def test_aiq_tr_counts_every_setting() -> None:
    singles = [Point(1, 0.5), Point(3, 0.7)]
    up_and_down = [Point(1, 0.5), Point(2, 0.9), Point(3, 0.5)]
    assert aiq_tr(up_and_down, singles) == pytest.approx(0.7)
    assert aiq(up_and_down, singles) == pytest.approx((0.7 + 0.9) / 2)
    assert aiq_tr([Point(2, 0.6), Point(2, 0.8)], singles) == pytest.approx((0.6 + 0.7) / 2)
    assert aiq_tr([Point(0.5, 0.9), Point(0.8, 0.3)], singles) == pytest.approx(0.3)


@given(curves, curves)
def test_a_hull_never_does_worse_than_its_points(router: list[Point], singles: list[Point]) -> None:
    with_hull, without = aiq(router, singles), aiq_tr(hull(router), singles)
    assert with_hull == without
    path = hull(router)
    assert path == sorted(path)
    assert all(quality_at(path, point.cost) >= point.quality - 1e-12 for point in router)
    slopes = [(b.quality - a.quality) / (b.cost - a.cost) for a, b in pairwise(path)]
    assert all(slope > 0 for slope in slopes)
    assert slopes == sorted(slopes, reverse=True)


@given(curves)
def test_the_zero_router_reaches_every_single_model(singles: list[Point]) -> None:
    floor = zero_router(singles)
    assert all(quality_at(floor, point.cost) >= point.quality - 1e-12 for point in singles)
    assert set(floor) <= set(singles)


def test_a_curve_is_flat_beyond_its_ends() -> None:
    assert [quality_at(B, cost) for cost in (0, 1, 1.5, 3, 9)] == pytest.approx([0.6, 0.6, 0.61, 0.64, 0.64])


def test_apgr_and_cpt_give_routellms_figures() -> None:
    assert apgr(ROUTELLM, weak=0.5, strong=0.9) == pytest.approx(0.66875)
    assert cpt(ROUTELLM, 0.5, weak=0.5, strong=0.9) == pytest.approx(0.25)
    assert cpt(ROUTELLM, 0.8, weak=0.5, strong=0.9) == pytest.approx(0.5714, abs=5e-5)
    assert apgr(ROUTELLM[1:-1], weak=0.5, strong=0.9) == pytest.approx(0.66875)
    assert cpt(ROUTELLM, 0.0, weak=0.5, strong=0.9) == 0.0
    assert apgr(ROUTELLM, weak=0.9, strong=0.9) is None
    assert cpt(ROUTELLM, 0.5, weak=0.9, strong=0.5) is None
    assert cpt([(1.0, 0.7)], 0.8, weak=0.5, strong=0.9) is None


def test_no_gain_recovers_half_the_gap_on_average() -> None:
    assert apgr([(0.3, 0.53)], weak=0.5, strong=0.6) == pytest.approx(0.5)
    assert apgr([(0.5, 0.5)], weak=0.5, strong=0.6) == pytest.approx(0.25)
    assert apgr([(0.0, 0.5), (1.0, 0.5)], weak=0.5, strong=0.6) == 0.0


@pytest.mark.parametrize(
    ("score", "cost", "arena"),
    [
        (0.7814, 0.27, 76.28),
        (0.7396, 10.02, 64.32),
        (0.4704, 0.27, 48.07),
        (0.7123, 0.06, 71.61),
        (0.7976, 0.70, 76.21),
        (0.6688, 0.15, 66.90),
    ],
)
def test_the_arena_score_gives_the_boards_figures(score: float, cost: float, arena: float) -> None:
    found = arena_score(score, cost)
    assert found is not None
    assert 100 * found == pytest.approx(arena, abs=0.03)


def test_the_arena_score_holds_costs_between_its_bounds_and_refuses_free_rides() -> None:
    assert arena_score(0.5, 1e-9) == arena_score(0.5, 0.0044) == pytest.approx(0.55 / 1.05)
    assert arena_score(0.5, 1e6) == arena_score(0.5, 200) == 0.0
    assert arena_score(0.0, 200) == 0.0
    assert arena_score(0.9, 0.0) is None
    assert arena_score(0.9, None) is None


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A made-up router, its single models, a curve over strong calls, and one result."""

    router: list[Point]
    singles: list[Point]
    calls: list[tuple[float, float]]
    weak: float
    strong: float
    score: float
    cost_per_1000: float


def synthetic(number: int) -> Synthetic:
    """The set of a seed."""
    draw = Random(f"synthetic {number}")
    weak, strong = draw.uniform(0.2, 0.5), draw.uniform(0.6, 0.95)
    inner = [(draw.random(), draw.uniform(weak - 0.05, strong + 0.05)) for _ in range(draw.randint(0, 9))]
    return Synthetic(
        router=[Point(draw.uniform(0.01, 6), draw.random()) for _ in range(draw.randint(1, 30))],
        singles=[Point(draw.uniform(0.1, 5), draw.random()) for _ in range(draw.randint(2, 11))],
        calls=[(0.0, weak), *inner, (1.0, strong)],
        weak=weak,
        strong=strong,
        score=draw.random(),
        cost_per_1000=10 ** draw.uniform(-3, 3),
    )


def ours(each: Synthetic) -> dict[str, float | None]:
    """The figures of a set by the code under test."""
    return {
        "aiq": aiq(each.router, each.singles),
        "apgr": apgr(each.calls, weak=each.weak, strong=each.strong),
        "cpt50": cpt(each.calls, 0.5, weak=each.weak, strong=each.strong),
        "cpt80": cpt(each.calls, 0.8, weak=each.weak, strong=each.strong),
        "arena": arena_score(each.score, each.cost_per_1000),
    }


def test_a_second_piece_of_code_agrees_on_twenty_sets() -> None:
    sets = [synthetic(number) for number in range(20)]
    told = subprocess.run(
        [sys.executable, "-I", str(DEFINITIONS)],
        input=json.dumps([asdict(each) for each in sets]),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(lines) == 20
    for each, line in zip(sets, lines, strict=True):
        assert ours(each) == pytest.approx(line, abs=1e-9)


@pytest.mark.parametrize("given", ["", "{}", "7", "[7]", "[{}]", "nonsense", '[{"router": [], "singles": []}]'])
def test_the_second_piece_of_code_says_how_it_is_used(given: str) -> None:
    told = subprocess.run(
        [sys.executable, "-I", str(DEFINITIONS)], input=given, capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("usage: definitions.py")
    assert "stdin holds no JSON list of such sets" in told.stderr


def test_means_and_costs() -> None:
    assert accuracy([1.0, 0.0, 0.5, 0.5]) == 0.5
    assert cost_per_question([1.0, 3.0]) == 2.0
    assert cost_per_question([1.0, None]) is None
    assert cost_per_correct([1.0, 3.0], [1.0, 0.0]) == 4.0
    assert cost_per_correct([1.0, 3.0], [0.0, 0.0]) is None
    assert cost_per_correct([1.0, None], [1.0, 0.0]) is None
    with pytest.raises(ValueError, match="nothing"):
        accuracy([])


def test_percentiles() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.95) == pytest.approx(3.85)
    assert percentile([7.0], 0.95) == 7.0
    assert percentile([], 0.5) is None


def test_shares_come_most_often_first() -> None:
    assert list(shares(["b", "a", "a", "c"]).items()) == [("a", 0.5), ("b", 0.25), ("c", 0.25)]
    assert shares([]) == {}


def test_the_gap_closed() -> None:
    assert gap_closed(0.8, 0.7, 0.9) == pytest.approx(0.5)
    assert gap_closed(0.6, 0.7, 0.9) == pytest.approx(-0.5)
    assert gap_closed(0.9, 0.9, 0.9) is None


OUTCOMES: dict[str, dict[str, Graded]] = {
    "easy": {"big": (1.0, 4.0), "small": (1.0, 1.0)},
    "hard": {"big": (1.0, 4.0), "small": (0.0, 1.0)},
    "lost": {"big": (0.0, 4.0), "small": (0.0, 1.0)},
}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"easy": "small", "hard": "big", "lost": "big"}, Optimality(1.0, 1.0, 1.0, 2)),
        ({"easy": "big", "hard": "big", "lost": "small"}, Optimality(0.5, 5 / 8, 1.0, 2)),
        ({"easy": "small", "hard": "small", "lost": "small"}, Optimality(0.5, 2.5, 0.5, 2)),
        ({"easy": "small", "hard": None}, Optimality(0.5, 5.0, 0.5, 2)),
        ({"lost": "big"}, None),
    ],
)
def test_optimality_counts_every_question_that_somebody_solves(
    chosen: dict[str, str | None], expected: Optimality | None
) -> None:
    assert optimality(chosen, OUTCOMES) == expected


def test_optimality_without_prices_has_no_cost() -> None:
    unpriced: dict[str, dict[str, Graded]] = {"q": {"big": (1.0, None), "small": (1.0, None)}}
    assert optimality({"q": "big"}, unpriced) == Optimality(0.0, None, 1.0, 1)


def test_gain_and_saving_beside_the_best_single_model() -> None:
    best = Point(4.0, 0.8)
    router = [Point(1.0, 0.6), Point(2.0, 0.8), Point(5.0, 0.84)]
    assert perf_gain(router, best) == pytest.approx(0.05)
    assert cost_save(router, best) == pytest.approx(0.5)
    assert cost_save(router[2:], best) == pytest.approx(-0.25)
    assert cost_save(router[:1], best) is None
    assert perf_gain(router[:1], best) == pytest.approx(-0.25)
    assert perf_gain([], best) is None


def test_robustness_counts_flips_on_shared_cases() -> None:
    plain = {"a": "x", "b": "y", "c": "x", "d": "x"}
    assert robustness(plain, {"a": "x", "b": "x", "c": "x", "e": "x"}) == pytest.approx(2 / 3)
    assert robustness(plain, {"e": "x"}) is None


def test_calibration() -> None:
    stated, right = [0.95, 0.95, 0.95, 0.95, 0.35, 0.35], [1.0, 1.0, 1.0, 0.0, 0.0, 1.0]
    assert calibration_error(stated, right) == pytest.approx((4 * 0.2 + 2 * 0.15) / 6)
    assert calibration_error([0.7, 0.7], [1.0, 0.0]) == pytest.approx(0.2)
    assert calibration_error([0.0, 1.0], [0.0, 1.0]) == 0.0
    assert brier(stated, right) == pytest.approx((3 * 0.0025 + 0.9025 + 0.1225 + 0.4225) / 6)
    assert auroc(stated, right) == pytest.approx((3 * (0.5 + 1) + 1 * (0 + 0.5)) / 8)
    assert auroc([0.1, 0.9], [0.0, 1.0]) == 1.0
    assert auroc([0.1, 0.9], [1.0, 1.0]) is None


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.3, 0.7, 1.0]), st.booleans()), min_size=2, max_size=20))
def test_auroc_is_the_share_of_pairs_in_order(marks: list[tuple[float, bool]]) -> None:
    pairs = [(p, q) for p, good in marks if good for q, other in marks if not other]
    found = auroc([p for p, _ in marks], [float(good) for _, good in marks])
    expected = sum((p > q) + (p == q) / 2 for p, q in pairs) / len(pairs) if pairs else None
    assert found == (None if expected is None else pytest.approx(expected))
