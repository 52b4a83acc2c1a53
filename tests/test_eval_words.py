"""What evals say of their figures: no word beyond what interval and test show, and what a newcomer has to be told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.evals.comparison import compare
from orchestrator.evals.stats import Interval
from orchestrator.evals.systems import Result, System
from orchestrator.evals.verdict import Evidence, rival_of, verdict
from tests.eval_world import Lab, row


@pytest.fixture
def lab(child_env: dict[str, str], tmp_path: Path) -> Lab:
    """The command over an empty folder."""
    return Lab(child_env, tmp_path)


def ran(name: str, right: range, cost: float = 0.001, cases: int = 40, **more: Any) -> System:  # noqa: ANN401 - fields
    """A system that is right on these cases and wrong on the others."""
    results = [
        Result(case=f"{n:03}", score=float(n in right), cost=cost * (1 + n % 3 / 10), asked={name: 1.0})
        for n in range(cases)
    ]
    return System(name=name, kind="router", results=tuple(results), **more)


def beside(gained: int) -> Evidence:
    """A router that is right where the best single model is, and on a few cases more."""
    found = compare(ran("mine", range(20 + gained)), ran("best", range(20)))
    return Evidence(
        router="mine",
        best_single="best",
        beside_best=found,
        over_zero=None,
        over_zero_curve=None,
        placebo=None,
        placebo_in_task=None,
    )


@pytest.mark.parametrize(("gained", "route"), [(0, False), (3, False), (4, False), (5, False), (6, True), (12, True)])
def test_higher_is_said_where_test_and_interval_agree(gained: int, route: bool) -> None:
    found = beside(gained)
    said = verdict([found])
    assert said.route is route
    assert ("scores higher than" in said.text) is route
    assert f"p {found.beside_best.p:.3f}" in said.text
    if gained == 5:
        assert found.beside_best.ci.low > 0
        assert found.beside_best.p == 0.0625
        assert said.text.startswith("do not route: mine does not score measurably higher than best, the best single")
        assert found.beside_best.words.startswith("mine and best are not distinguishable on 40 cases")


def test_a_test_that_goes_beyond_its_interval_names_no_winner() -> None:
    found = compare(ran("mine", range(26)), ran("best", range(20)))
    assert found.winner == "mine"
    doubted = replace(found, ci=Interval(-0.01, found.ci.high))
    assert doubted.winner is None
    assert "not distinguishable" in doubted.words


def test_several_routers_are_judged_with_the_p_that_the_report_shows() -> None:
    assert verdict([beside(6)]).route
    several = verdict([beside(6), beside(0), beside(0)])
    assert not several.route
    assert "p 0.094" in several.text


def test_fewer_cases_than_there_were_are_never_said_to_be_needed() -> None:
    found = compare(ran("mine", range(25)), ran("best", range(20)))
    assert found.winner is None
    assert found.needed is not None
    assert (f"{found.needed} cases would show" in found.words) is (found.needed > found.n)


def test_the_cheapest_baseline_that_is_as_good_is_the_rival() -> None:
    router = ran("mine", range(30), cost=0.01)
    good, dear = ran("good", range(29), cost=0.004), ran("dear", range(30), cost=0.009)
    bad, draw = ran("bad", range(5), cost=0.001), ran("draw", range(30), cost=0.0001, expected=True)
    known = ran("known", range(30), cost=0.0002, hindsight=True)
    found = rival_of(router, [draw, known, dear, bad, good])
    assert found is not None
    assert found.beside.a == "good"
    assert found.share == pytest.approx(0.4)  # pyright: ignore[reportUnknownMemberType]
    assert rival_of(router, [bad, draw, known, ran("same", range(30), cost=0.01)]) is None
    unpriced = System(name="u", kind="router", results=tuple(Result(case="001", score=1.0, cost=None) for _ in "a"))
    assert rival_of(unpriced, [good]) is None
    assert rival_of(router, [unpriced]) is None


def test_a_verdict_claims_no_more_than_the_table_above_it(lab: Lab) -> None:
    found = lab.report("run", "recorded_demo", "--analyses", "auto", "--confidence", "fit", "--out", "run")
    (beside_best,) = (each for each in found["comparisons"] if each["b"] == "best-single")
    assert 0.05 < beside_best["p"] < 0.07
    assert beside_best["ci"]["low"] > 0
    assert found["verdict"].startswith(
        "do not route: plan+xauto+fitted does not score measurably higher than demo-large"
    )
    ours, theirs = row(found, "plan+xauto+fitted"), row(found, "task-means")
    share = theirs["cost_usd"] / ours["cost_usd"]
    assert (
        f"; task-means is not measurably worse than plan+xauto+fitted at {share:.0%} of its price: " in found["verdict"]
    )
