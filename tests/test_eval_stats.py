"""Intervals and tests against published figures, properties, and simulation."""

# pytest leaves the types of `approx` open: pyright: reportUnknownMemberType=false

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from random import Random
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import ConfigError
from orchestrator.evals.arrays import chosen, dealt_means, resampled_means
from orchestrator.evals.stats import (
    Interval,
    bootstrap_interval,
    cases_needed,
    clustered_interval,
    holm,
    mcnemar,
    mean,
    mean_interval,
    paired_interval,
    paired_test,
    permutation_p,
    wilson,
)

scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=40)


def ends(interval: Interval) -> tuple[float, float]:
    """Both ends."""
    return interval.low, interval.high


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [  # R. Newcombe, Statistics in Medicine 17, 1998, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson_gives_newcombes_figures(right: int, n: int, low: float, high: float) -> None:
    assert ends(wilson(right, n)) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 400), st.data())
def test_wilson_solves_its_equation(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    z = NormalDist().inv_cdf(0.975)
    for p in ends(wilson(right, n)):
        assert (right / n - p) ** 2 == pytest.approx(z * z * p * (1 - p) / n, abs=1e-9)


@pytest.mark.parametrize(("right", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_what_is_no_share_has_no_interval(right: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(right, n)


@pytest.mark.parametrize(
    ("b", "c", "p", "test"),
    [
        (0, 0, 1.0, "mcnemar-exact"),
        (3, 0, 0.25, "mcnemar-exact"),
        (10, 2, 158 / 4096, "mcnemar-exact"),  # 2 (1 + 12 + 66) / 2^12
        (12, 12, 1.0, "mcnemar-exact"),
        (13, 12, 1.0, "mcnemar-chi2"),
        (60, 0, 1.5e-14, "mcnemar-chi2"),
        (30, 12, 0.00871, "mcnemar-chi2"),  # 17² / 42 = 6.881
    ],
)
def test_mcnemar(b: int, c: int, p: float, test: str) -> None:
    for found in (mcnemar(b, c), mcnemar(c, b)):
        assert (found.p, found.test) == (pytest.approx(p, rel=2e-2 if p < 1e-9 else 1e-3), test)


def test_graded_scores_are_tested_by_flipping_signs() -> None:
    first, second = [0.5] * 8 + [0.0] * 4, [0.0] * 8 + [0.0] * 4
    found = paired_test(first, second, samples=20_000)
    assert found.test == "sign-flip"
    assert found.p == pytest.approx(2 / 2**8, abs=0.002)
    assert paired_test(first, first).p == 1.0


@given(scores, st.integers(0, 5))
def test_a_system_does_not_differ_from_itself(values: list[float], seed: int) -> None:
    assert paired_test(values, values, seed=seed).p == 1.0
    assert ends(paired_interval(values, values, seed=seed)) == (0.0, 0.0)


def test_the_same_seed_gives_the_same_interval() -> None:
    draw = Random(4)
    values = [draw.random() for _ in range(60)]
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_the_bootstrap_comes_near_the_normal_interval_of_a_mean(method: str) -> None:
    draw = Random(7)
    values = [draw.gauss(3, 2) for _ in range(400)]
    found = bootstrap_interval(values, samples=4_000, method="BCa" if method == "BCa" else "percentile")
    error = NormalDist.from_samples(values).stdev / 20
    assert ends(found) == pytest.approx((mean(values) - 1.96 * error, mean(values) + 1.96 * error), abs=0.03)


def test_a_mean_of_shares_has_wilsons_interval_and_one_of_grades_a_bootstrap() -> None:
    assert mean_interval([1.0] * 30 + [0.0] * 10) == wilson(30, 40)
    grades = mean_interval([1.0] * 30 + [0.5] * 10, seed=1)
    assert grades == bootstrap_interval([1.0] * 30 + [0.5] * 10, seed=1)
    assert grades.holds(0.875)


@given(scores, st.integers(1, 5))
def test_asking_again_with_the_same_result_tells_nothing_new(values: list[float], times: int) -> None:
    names = [f"case {number}" for number in range(len(values))]
    once = clustered_interval(values, names)
    again = clustered_interval(values * times, names * times)
    assert ends(again) == pytest.approx(ends(once), abs=1e-12)


def test_repeats_that_agree_widen_the_interval() -> None:
    draw = Random(1)
    values = [float(draw.random() < 0.7) for _ in range(80)]
    apart = clustered_interval(values * 4, [str(number) for number in range(320)])
    together = clustered_interval(values * 4, [str(number) for number in range(80)] * 4)
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(2.0, rel=0.02)


def test_one_cluster_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two clusters"):
        clustered_interval([1.0, 0.0], ["a", "a"])


def test_holm() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({}) == {}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_and_keeps_their_order(ps: dict[str, float]) -> None:
    found = holm(ps)
    assert list(found) == list(ps)
    assert all(ps[name] <= found[name] <= 1 for name in ps)
    ranked = sorted(ps, key=lambda name: ps[name])
    assert [found[name] for name in ranked] == sorted(found.values())


def test_a_permutation_p_is_never_zero_and_counts_ties_against() -> None:
    assert permutation_p(3.0, [1.0] * 99) == 0.01
    assert permutation_p(3.0, [3.0] * 99) == 1.0
    assert permutation_p(3.0, [1.0, 2.0, 3.0]) == 0.5


def test_the_cases_needed_would_show_the_difference() -> None:
    differences = [1.0] * 3 + [0.0] * 97
    needed = cases_needed(differences)
    assert needed == 257  # (1.960 + 0.842)² * 0.0294 / 0.03²
    assert cases_needed([0.0] * 9) is None
    assert cases_needed([1.0]) is None
    assert cases_needed([1.0] * 9) == 2


def test_resampling_keeps_columns_together_and_groups_whole() -> None:
    rows = [[float(number), 2.0 * number] for number in range(12)]
    for one, two in resampled_means(rows, samples=50, seed=1):
        assert two == pytest.approx(2 * one)
    halves = resampled_means([[0.0]] * 6 + [[1.0]] * 6, samples=200, seed=1, groups=[0] * 6 + [1] * 6)
    assert {share for (share,) in halves} == {0.0, 0.5, 1.0}


def test_many_rows_are_resampled_in_batches() -> None:
    found = resampled_means([[float(number % 2)] for number in range(30_000)], samples=300, seed=2)
    assert len(found) == 300
    assert max(abs(share - 0.5) for (share,) in found) < 0.02


def test_the_choice_weighs_dollars_and_leaves_out_who_may_not() -> None:
    predictions, dollars = [[0.9, 0.8, 0.8], [0.5, 0.5, 0.1]], [[0.4, 0.1, 0.1], [1.0, 1.0, 0.0]]
    everybody = [[True] * 3] * 2
    assert chosen(predictions, dollars, [0.0, 1.0, 10.0], everybody) == [[0, 1, 1], [0, 2, 2]]
    assert chosen(predictions, dollars, [0.0], [[False, False, True], [False] * 3]) == [[2], [-1]]


def test_dealing_stays_within_groups() -> None:
    right = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    free, everybody = [[0.0, 0.0]] * 4, [[True, True]] * 4
    within = dealt_means((right, free), (right, free), everybody, [0.0], [0, 0, 1, 1], samples=20, seed=1)
    assert {means[0] for means in within} == {(1.0, 0.0)}
    over = dealt_means((right, free), (right, free), everybody, [0.0], [0, 0, 0, 0], samples=200, seed=1)
    assert {means[0][0] for means in over} == {0.0, 0.5, 1.0}
    closed = [[True, True]] * 3 + [[False, False]]
    some = dealt_means((right, free), (right, free), closed, [0.0], [0, 0, 0, 0], samples=200, seed=1)
    assert max(means[0][0] for means in some) == 0.75


def test_dealing_is_the_same_however_many_kinds_of_cases_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Random(3)
    scores, dollars = ([[draw.random() for _ in range(4)] for _ in range(30)] for _ in range(2))
    allowed = [[draw.random() < 0.7 for _ in range(4)] for _ in range(30)]

    def dealt() -> list[list[tuple[float, float]]]:
        return dealt_means((scores, dollars), (dollars, scores), allowed, [0, 1], [0, 1] * 15, samples=9, seed=5)

    beforehand = dealt()
    monkeypatch.setattr("orchestrator.evals.arrays.CELLS_AT_ONCE", 1)
    assert dealt() == beforehand


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in ("scipy", "sklearn") else real(name, package)

    real = importlib.util.find_spec
    monkeypatch.setattr("orchestrator.evals.extra.find_spec", nowhere)
    with pytest.raises(ConfigError) as caught:
        wilson(1, 2)
    assert str(caught.value) == (
        "evals need scipy and sklearn; expected the extra `eval`: pip install 'thinkroute[eval]'"
    )


def covered(p: float, *, evals: int, n: int) -> tuple[float, float]:
    """The share of simulated evals whose intervals hold the truth: of a score, and of a difference of two."""
    draw = Random(f"coverage {p}")
    singles = pairs = 0
    for number in range(evals):
        first = [float(draw.random() < p) for _ in range(n)]
        second = [one if draw.random() < 0.8 else float(draw.random() < p - 0.1) for one in first]
        singles += mean_interval(first).holds(p)
        pairs += paired_interval(first, second, seed=number, samples=1_000).holds(0.2 * 0.1)
    return singles / evals, pairs / evals


def inside(shares: Sequence[float]) -> bool:
    """Whether all shares are as near to 95 % as is asked."""
    return all(0.935 <= share <= 0.965 for share in shares)


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.6, 0.8, 0.9])
def test_intervals_cover_as_often_as_they_say(p: float) -> None:
    assert inside(covered(p, evals=2_000, n=500))


@settings(max_examples=1)
@given(st.just(0.8))
def test_intervals_cover_in_a_short_simulation(p: float) -> None:
    single, pair = covered(p, evals=120, n=500)
    assert min(single, pair) > 0.88
