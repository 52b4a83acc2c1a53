"""Comparisons and verdicts: what is there is found, what is not there is not."""

# pytest leaves the types of `approx` open: pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from orchestrator.errors import ConfigError
from orchestrator.evals.baselines import Baselines
from orchestrator.evals.comparison import compare, compare_each
from orchestrator.evals.matrix import Matrix, matrix_of
from orchestrator.evals.predictions import Choice, Swept, chosen_results
from orchestrator.evals.stats import Interval
from orchestrator.evals.systems import Result, System, pooled, summarise
from orchestrator.evals.verdict import (
    Evidence,
    Verdict,
    evidence,
    gain_over_zero_curve,
    gain_over_zero_hull,
    verdict,
)
from orchestrator.providers import tile_recorded
from tests.planted import planted, planted_file


def ran(name: str, scores: Sequence[float], costs: Sequence[float | None] | None = None) -> System:
    """A system with these scores on as many cases."""
    prices = costs or [0.001] * len(scores)
    results = [
        Result(case=f"case-{number:05}", score=score, cost=cost, asked={name: 1.0}, seconds=number / 10)
        for number, (score, cost) in enumerate(zip(scores, prices, strict=True))
    ]
    return System(name=name, kind="router", results=tuple(results))


def answers(n: int, p: float, seed: int = 0) -> list[float]:
    """Right and wrong answers."""
    draw = Random(seed)
    return [float(draw.random() < p) for _ in range(n)]


def spoilt(scores: Sequence[float], count: int, seed: int = 1) -> list[float]:
    """A copy with so many right answers made wrong."""
    right = [place for place, score in enumerate(scores) if score]
    hit = set(Random(seed).sample(right, count))
    return [0.0 if place in hit else score for place, score in enumerate(scores)]


def test_a_system_is_not_better_than_itself() -> None:
    system = ran("one", answers(2_000, 0.8))
    found = compare(system, replace(system, name="two"))
    assert (found.p, found.delta, found.winner, found.needed) == (1.0, 0.0, None, None)
    assert found.ci == Interval(0.0, 0.0)
    assert found.words == "one and two are not distinguishable on 2000 cases"


def test_sixty_of_two_thousand_are_found() -> None:
    scores = answers(2_000, 0.8)
    found = compare(ran("copy", spoilt(scores, 60)), ran("first", scores))
    assert (found.winner, found.test) == ("first", "mcnemar-chi2")
    assert found.p < 1e-12
    assert found.ci.high < 0
    assert found.words == "first scores 0.0300 higher than copy on 2000 cases"


def test_three_of_a_hundred_are_not_distinguishable() -> None:
    scores = answers(100, 0.8)
    found = compare(ran("copy", spoilt(scores, 3)), ran("first", scores))
    assert (found.winner, found.p, found.test) == (None, 0.25, "mcnemar-exact")
    assert found.words == (
        "copy and first are not distinguishable on 100 cases; 257 cases would show a difference of 0.0300"
    )


def test_only_shared_cases_are_compared() -> None:
    one, other = ran("one", [1.0] * 40), ran("other", [0.0] * 30)
    assert compare(one, other).n == 30
    with pytest.raises(ConfigError, match="share no case"):
        compare(one, replace(other, results=tuple(replace(each, case=f"x{each.case}") for each in other.results)))


def test_costs_are_compared_where_they_are_known() -> None:
    one = ran("one", [1.0] * 40, [0.002 + 0.0001 * (place % 3) for place in range(40)])
    found = compare(one, ran("other", [1.0] * 40))
    assert found.cost_delta == pytest.approx(0.001 + 0.0001 * 39 / 40)
    assert found.cost_ci
    assert found.cost_ci.low > 0.001
    unknown = compare(one, ran("other", [1.0] * 40, [None] * 40))
    assert (unknown.cost_delta, unknown.cost_ci) == (None, None)


def test_several_comparisons_are_corrected_together() -> None:
    scores = answers(400, 0.8)
    baseline = ran("first", scores)
    copies = [ran(f"copy {count}", spoilt(scores, count)) for count in (6, 7, 20)]
    found = compare_each(copies, baseline)
    assert [each.p for each in found] == pytest.approx([2 / 2**6, 2 / 2**7, 2 / 2**20])
    assert [each.p_adjusted for each in found] == pytest.approx([2 / 2**6, 4 / 2**7, 6 / 2**20])
    assert [each.winner for each in found] == ["first", "first", "first"]
    assert [each.winner for each in compare_each([*copies, *copies], baseline)] == [None, None, "first"] * 2


def test_copies_of_a_case_count_once() -> None:
    once, again = ran("one", answers(60, 0.7)), ran("two", answers(60, 0.6, 4))
    tiled = [
        replace(
            system,
            results=tuple(
                replace(each, case=f"{each.case}~{copy}", repeats=each.case)
                for copy in range(5)
                for each in system.results
            ),
        )
        for system in (once, again)
    ]
    assert compare(*tiled) == compare(once, again)
    assert pooled(tiled[0].results).keys() == {each.case for each in once.results}


def test_a_row_of_the_report() -> None:
    system = ran("mine", [1.0, 0.0, 0.5, 0.5], [0.001, 0.003, 0.002, 0.002])
    spoiled = replace(system.results[1], error=True, asked={}, control_calls=2, reroutes=1, seconds=None)
    row = summarise(replace(system, results=(system.results[0], spoiled, *system.results[2:])))
    assert (row.n, row.errors, row.score) == (4, 1, 0.5)
    assert (row.cost_usd, row.cost_per_question, row.cost_per_correct) == pytest.approx((0.008, 0.002, 0.004))
    assert (row.control_calls, row.reroutes, row.shares) == (2, 1, {"mine": 1.0})
    assert (row.latency_p50, row.latency_p95) == pytest.approx((0.2, 0.29))
    assert row.score_ci.holds(0.5)


def test_repeated_cases_widen_the_interval_of_a_row() -> None:
    matrix = matrix_of(tile_recorded(planted_file(2, informed=False, cases=100), 400))
    tiled = chosen_results(["large"] * 400, matrix)
    found = summarise(System(name="t", kind="router", results=tiled))
    naive = summarise(System(name="n", kind="router", results=tuple(replace(each, repeats="") for each in tiled)))
    assert found.score == naive.score
    assert found.score_ci.high - found.score_ci.low > 1.8 * (naive.score_ci.high - naive.score_ci.low)


def judged(matrix: Matrix, seed: int = 0) -> tuple[Evidence, Verdict]:
    """What is found of the neighbours' router."""
    baselines = Baselines(matrix.part("train"), matrix.part("test"), seed)
    system = baselines.system("knn")
    assert isinstance(system, System)
    found = evidence(system, baselines, by=baselines.swept("knn"), seed=seed)
    return found, verdict([found])


def right(seeds: range, *, informed: bool) -> int:
    """For how many seeds the verdict is as it should be."""
    return sum(judged(planted(seed, informed=informed), seed)[1].route is informed for seed in seeds)


@pytest.mark.parametrize("informed", [True, False])
def test_the_verdict_on_planted_cases(informed: bool) -> None:
    assert right(range(100, 110), informed=informed) >= 9


@pytest.mark.slow
@pytest.mark.parametrize("informed", [True, False])
def test_the_verdict_on_a_hundred_planted_cases(informed: bool) -> None:
    assert right(range(100), informed=informed) >= 95


def test_what_a_verdict_says() -> None:
    found, said = judged(planted(1, informed=True))
    assert said.text.startswith("route: knn scores higher than large, the best single model on train: score +0.")
    assert "beats the zero router at its cost: +0." in said.text
    assert said.text.endswith("the cases carry no task label to compare with")
    assert found.over_zero_curve
    assert found.over_zero_curve.ci.low > 0
    noisy, refused = judged(planted(1, informed=False))
    assert refused.text.startswith(
        "do not route: knn does not beat the zero router, a random mix of single models at its"
    )
    assert (refused.route, refused.router) == (False, None)
    assert noisy.placebo
    assert noisy.placebo.p > 0.05


def test_a_router_that_knows_the_task_label_only_is_told_so() -> None:
    text = judged(planted(2, informed=True, labelled=True))[1].text
    assert "it knows no more than the task label: a table of means per task would do (p 0." in text


def by_label(matrix: Matrix, label: str) -> Matrix:
    """The same cases, all with one label."""
    return replace(matrix, cases=tuple(replace(case, task=label) for case in matrix.cases))


def test_a_router_that_knows_more_than_the_label_is_told_so() -> None:
    text = judged(by_label(planted(2, informed=True), "everything"))[1].text
    assert text.endswith("it knows more than the task label (p 0.001)")


def given(matrix: Matrix, choice: Choice, by: Swept | Choice | None = None) -> Evidence:
    """The evidence on a router that chose so."""
    test = matrix.part("test")
    router = System(name="mine", kind="router", results=chosen_results(choice, test))
    return evidence(router, Baselines(matrix.part("train"), test), by=by)


def test_the_best_single_model_is_no_reason_to_route() -> None:
    matrix = planted(4, informed=True)
    best = matrix.part("train").best_single()
    found = given(matrix, [best] * 250, [best] * 250)
    said = verdict([found])
    assert not said.route
    assert said.reasons[0].startswith("mine does not beat the zero router, a random mix of single models at its cost: ")
    assert f"mine does not beat {best}, the best single model on train: score +0.0000" in said.reasons[1]
    assert said.reasons[2] == ("mine does no better than its own predictions dealt to the wrong questions (p 1.000)")


def test_as_good_and_cheaper_is_a_reason_to_route() -> None:
    matrix = planted(4, informed=True)
    test = matrix.part("test")
    oracle = Baselines(matrix.part("train"), test).system("oracle")
    assert isinstance(oracle, System)
    choice = [next(iter(each.asked)) for each in oracle.results]
    wrong = [name if place % 4 else "small" for place, name in enumerate(choice)]
    found = given(matrix, wrong, wrong)
    assert verdict([found]).route
    dearer = replace(
        found, beside_best=replace(found.beside_best, ci=Interval(-0.01, 0.03), cost_ci=Interval(0.1, 0.2))
    )
    assert not verdict([dearer]).route
    cheaper = replace(found, beside_best=replace(found.beside_best, ci=Interval(-0.01, 0.03), cost_ci=Interval(-2, -1)))
    assert "costs less and is not measurably worse than" in verdict([cheaper]).text


def test_running_a_case_again_is_no_further_evidence() -> None:
    matrix = planted(4, informed=True)
    once = given(matrix, ["small"] * 250)
    results = chosen_results(["small"] * 250, matrix.part("test"))
    thrice = System(name="mine", kind="router", results=results * 3)
    again = evidence(thrice, Baselines(matrix.part("train"), matrix.part("test")))
    assert again.over_zero
    assert once.over_zero
    assert again.over_zero.value == pytest.approx(once.over_zero.value)
    assert again.over_zero.ci == once.over_zero.ci
    assert again.beside_best == once.beside_best


def test_without_choices_there_is_no_placebo() -> None:
    matrix = planted(4, informed=True)
    found = given(matrix, ["small"] * 250)
    assert (found.placebo, found.placebo_in_task, found.over_zero_curve) == (None, None, None)


def test_of_several_routers_the_one_that_gains_most_is_named() -> None:
    matrix = planted(4, informed=True)
    baselines = Baselines(matrix.part("train"), matrix.part("test"))
    near = baselines.system("knn")
    assert isinstance(near, System)
    one = evidence(near, baselines, by=baselines.swept("knn"))
    said = verdict([given(matrix, ["small"] * 250), one])
    assert (said.route, said.router) == (True, "knn")


def test_a_curve_that_pays_where_money_is_short_is_mentioned() -> None:
    matrix = planted(4, informed=True)
    baselines = Baselines(matrix.part("train"), matrix.part("test"))
    near = baselines.system("knn")
    assert isinstance(near, System)
    found = evidence(near, baselines, by=baselines.swept("knn"))
    worse = replace(found, beside_best=replace(found.beside_best, delta=-0.1, ci=Interval(-0.2, -0.05)))
    said = verdict([worse])
    assert said.text.startswith("do not route: knn does not beat")
    assert said.reasons[-1].endswith("in AIQ_tr all the same: it may pay where money is short")


def test_a_hull_over_test_gains_no_less_than_settings_from_train() -> None:
    matrix = planted(4, informed=False)
    baselines = Baselines(matrix.part("train"), matrix.part("test"))
    router = baselines.swept("knn")
    assert gain_over_zero_hull(router, baselines).value >= gain_over_zero_curve(router, baselines).value


def test_nothing_to_judge() -> None:
    assert verdict([]).text == "do not route: there is no router to judge"


def unpriced(matrix: Matrix) -> Matrix:
    """The same outcomes at unknown costs."""
    free = {
        case: {model: replace(each, cost=None) for model, each in got.items()} for case, got in matrix.outcomes.items()
    }
    return replace(matrix, outcomes=free)


def test_without_prices_scores_decide() -> None:
    said = judged(unpriced(planted(2, informed=True)))[1]
    assert said.route
    assert "costs are not recorded, so nothing is said of the zero router" in said.text
    assert not judged(unpriced(planted(2, informed=False)))[1].route
