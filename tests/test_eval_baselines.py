"""Baselines, knobs and placebos on outcomes small enough to work out by hand."""

# pytest leaves the types of `approx` open: pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import ConfigError
from orchestrator.evals.baselines import BASELINES, Baselines
from orchestrator.evals.matrix import Asked, Matrix, Outcome, matrix_of
from orchestrator.evals.placebo import lookup, placebo, placebo_system
from orchestrator.evals.predictions import (
    PREDICTORS,
    Predictions,
    fold_of,
    neighbour_means,
    out_of_fold,
    point_of,
    prices_for,
    task_means,
    train_means,
)
from orchestrator.evals.systems import LeftOut, System, summarise
from orchestrator.providers import RecordedFile, join_recorded, recorded_from, tile_recorded
from tests.planted import planted, planted_file
from tests.runs import reachable

Got = tuple[float, float | None] | tuple[float, float | None, str]


def record(name: str, split: str, task: str | None = None, text: str = "", /, **got: Got) -> dict[str, object]:
    """One record; a model's outcome is its score, its cost and perhaps its reply."""
    outcomes = {
        model: {"score": each[0], "cost_usd": each[1], "response": each[2] if len(each) > 2 else None}
        for model, each in got.items()
    }
    return {"id": name, "question": text or f"Which is {name}?", "split": split, "task": task, "outcomes": outcomes}


def made(*records: Mapping[str, object]) -> Matrix:
    """The matrix of some records."""
    return matrix_of(recorded_from("made.jsonl", ((f"record {n}", each) for n, each in enumerate(records))))


def over(matrix: Matrix) -> Baselines:
    """Its baselines."""
    return Baselines(matrix.part("train"), matrix.part("test"))


def system(matrix: Matrix, name: str) -> System:
    """A baseline that is there."""
    found = over(matrix).system(name)
    assert isinstance(found, System)
    return found


SMALL = made(
    record("t1", "train", "a", big=(1, 4.0), mid=(1, 2.0), low=(0, 1.0)),
    record("t2", "train", "a", big=(1, 4.0), mid=(0, 2.0), low=(0, 1.0)),
    record("t3", "train", "b", big=(0, 4.0), mid=(0, 2.0), low=(1, 1.0)),
    record("t4", "train", "b", big=(1, 4.0), mid=(1, 2.0), low=(1, 1.0)),
    record("q1", "test", "a", big=(0, 5.0, "A"), mid=(1, 3.0, "B"), low=(1, 1.0, "B")),
    record("q2", "test", "b", big=(1, 3.0, "B"), mid=(1, 1.0, "C"), low=(0, 2.0, "A")),
    record("q3", "test", None, big=(0.5, 4.0, "D"), low=(0, 3.0, "D")),
    record("q4", "test", "b", big=(0, 4.0, "E"), mid=(0, 2.0, "F"), low=(0, 3.0, "G")),
)


def figures(each: System) -> tuple[int, float, float | None]:
    """Records, score and cost per question."""
    row = summarise(each)
    return row.n, row.score, row.cost_per_question


@pytest.mark.parametrize(
    ("name", "n", "score", "cost"),
    [
        ("cheapest", 4, 0.25, 2.25),  # low, by train cost
        ("dearest", 4, 0.375, 4.0),
        ("best-single", 4, 0.375, 4.0),  # big: 0.75 on train
        ("best-single-hindsight", 4, 0.375, 4.0),  # big: mid has no record for q3
        ("random", 4, (2 / 3 + 2 / 3 + 0.25) / 4, (3 + 2 + 3.5 + 3) / 4),
        ("zero-router", 4, 0.375, 4.0),
        ("oracle", 4, 2.5 / 4, (1 + 1 + 4 + 2) / 4),
        ("task-means", 4, (0 + 0 + 0.5 + 0) / 4, (5 + 2 + 4 + 3) / 4),  # a: big; b: low; none: big
        ("vote", 4, (1 + 1 + 0.5 + 0) / 4, (9 + 6 + 7 + 9) / 4),  # B; B by p; D; E by p
        ("model:mid", 3, 2 / 3, 2.0),
    ],
)
def test_a_baseline_by_hand(name: str, n: int, score: float, cost: float) -> None:
    assert figures(system(SMALL, name)) == (n, pytest.approx(score), pytest.approx(cost))


def test_a_case_without_any_record_is_wrong_for_all() -> None:
    matrix = made(
        record("t1", "train", "a", big=(1, 2.0, "A")),
        record("q1", "test", "a", big=(1, 2.0, "A")),
        record("q2", "test", "a"),
    )
    for name in ("random", "oracle", "vote", "knn", "zero-router", "placebo:knn"):
        assert figures(system(matrix, name)) == (2, 0.5, 1.0)
    assert figures(system(matrix, "best-single")) == (1, 1.0, 2.0)


def test_the_placebo_of_a_baseline_goes_by_its_name() -> None:
    found = system(SMALL, "placebo:task-means")
    assert (found.name, found.expected, summarise(found).shares) == (
        "placebo:task-means",
        True,
        pytest.approx({"low": 0.5, "big": 0.5}),
    )


def test_a_model_tried_on_easy_cases_only_stands_in_for_nobody() -> None:
    easy = [record(f"t{n}", "train", None, all=(n % 2, 2.0), some=(1, 1.0)) for n in range(4)]
    hard = [record(f"h{n}", "train", None, all=(0.25, 2.0)) for n in range(4)]
    asked = [record(f"q{n}", "test", None, all=(n % 2, 2.0), some=(1, 1.0)) for n in range(4)]
    matrix = made(*easy, *hard, *asked)
    assert matrix.part("train").covering == ("all",)
    assert [system(matrix, name).note for name in ("best-single", "cheapest", "dearest")] == ["all"] * 3
    assert over(matrix).zero_models() == ["all"]
    without = made(record("t", "train", None, a=(1, 1.0)), record("q", "test", None, b=(1, 1.0)))
    assert over(without).system("zero-router") == LeftOut("zero-router", "no model has records for both train and test")
    assert over(without).system("best-single") == LeftOut("best-single", "a has no record in these cases")


def test_every_baseline_comes_along() -> None:
    names = [each.name for each in over(SMALL).every()]
    assert names == ["model:big", "model:low", "model:mid", *BASELINES]
    assert not [each for each in over(SMALL).every() if isinstance(each, LeftOut)]


def test_bounds_and_expectations_are_marked() -> None:
    marked = {each.name: (each.hindsight, each.expected) for each in over(SMALL).every() if isinstance(each, System)}
    assert {name for name, (hindsight, _) in marked.items() if hindsight} == {"best-single-hindsight", "oracle"}
    assert {name for name, (_, expected) in marked.items() if expected} == {"random", "zero-router"}


def test_a_model_with_few_records_says_so() -> None:
    assert system(SMALL, "model:mid").note == "mid, which has a record for 3 of 4 cases"
    assert system(SMALL, "best-single").note == "big"


@pytest.mark.parametrize(("name", "near"), [("bestsingle", "best-single"), ("model:bigg", "big"), ("knnn", "knn")])
def test_a_wrong_name_gets_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        over(SMALL).system(name)
    assert caught.value.suggestion == near


def test_the_zero_router_mixes_two_models_at_a_cost() -> None:
    found = over(SMALL).zero_router(2.5)  # halfway between low at 1 and big at 4 on train
    assert isinstance(found, System)
    assert figures(found)[1:] == (pytest.approx((0.25 + 0.375) / 2), pytest.approx((2.25 + 4.0) / 2))
    assert summarise(found).shares == pytest.approx({"big": 0.5, "low": 0.5})
    for cost, expected in ((0.1, 0.25), (99.0, 0.375)):
        mixed = over(SMALL).zero_router(cost)
        assert isinstance(mixed, System)
        assert figures(mixed)[1] == pytest.approx(expected)


UNPRICED = made(
    record("t1", "train", None, big=(1, None), low=(0, None)),
    record("t2", "train", None, big=(1, None), low=(1, None)),
    record("q1", "test", None, big=(1, None), low=(0, None)),
    record("q2", "test", None, big=(0, None), low=(1, None)),
)


def test_what_cannot_be_worked_out_is_left_out_with_the_reason() -> None:
    left = {each.name: each.reason for each in over(UNPRICED).every() if isinstance(each, LeftOut)}
    assert left == {
        "cheapest": "costs are not recorded",
        "dearest": "costs are not recorded",
        "zero-router": "costs are not recorded",
        "task-means": "no case carries a task label",
        "vote": "responses are not recorded",
    }
    assert figures(system(UNPRICED, "best-single")) == (2, 0.5, None)
    assert figures(system(UNPRICED, "oracle")) == (2, 1.0, None)
    assert over(UNPRICED).curve("knn").aiq_tr is None


def test_a_case_that_nobody_has_a_record_for_counts_as_wrong() -> None:
    matrix = made(
        record("t1", "train", "a", big=(1, 2.0, "A")),
        record("q1", "test", "a", big=(1, 2.0, "A")),
        {**record("q2", "test", "a"), "outcomes": {"other": {"score": 1, "cost_usd": 1.0, "response": None}}},
    )
    assert figures(system(matrix, "knn")) == (2, 0.5, 1.0)
    assert figures(system(matrix, "vote")) == (2, 0.5, 1.0)
    assert figures(system(matrix, "zero-router")) == (2, 0.5, 1.0)


def test_no_score_is_within_reach_of_a_predictor() -> None:
    names = {field.name for field in fields(Asked)}
    assert names == {"id", "question", "text", "split", "task", "models", "repeats"}
    assert reachable(SMALL, Outcome)
    assert reachable(SMALL.cases, Outcome) == []
    assert reachable(SMALL.cases, Matrix) == []


def test_a_predictor_sees_questions_only() -> None:
    handed: list[object] = []

    def spy(train: Matrix, asked: Sequence[Asked]) -> Predictions:
        handed.extend(asked)
        return train_means(train, asked)

    out_of_fold(spy, SMALL.part("train"))
    assert {type(each) for each in handed} == {Asked}


def test_means_over_train_are_the_same_for_every_question() -> None:
    found = train_means(SMALL.part("train"), SMALL.part("test").cases)
    assert set(found.scores) == {(0.5, 0.5, 0.75)}
    assert set(found.dollars) == {(1.0, 2.0, 4.0)}
    assert found.chosen([0.0, 1.0]) == [["big"] * 4, ["low"] * 4]


def test_means_over_tasks_fall_back_on_all() -> None:
    train, test = SMALL.part("train"), SMALL.part("test")
    found = task_means(train, test.cases)
    assert found.models == ("low", "mid", "big")
    assert found.scores == ((0.0, 0.5, 1.0), (1.0, 0.5, 0.5), (0.5, 0.5, 0.75), (1.0, 0.5, 0.5))
    assert found.dollars[0] == (1.0, 2.0, 4.0)


def test_neighbours_are_told_by_their_words() -> None:
    birds = [record(f"b{n}", "train", None, f"heron nest {n}0", x=(1, 1.0), y=(0, 1.0)) for n in range(60)]
    laws = [record(f"l{n}", "train", None, f"court clause {n}1", x=(0, 1.0), y=(1, 1.0)) for n in range(60)]
    asked = [
        record("q1", "test", None, "a heron in its nest", x=(1, 1.0), y=(0, 1.0)),
        record("q2", "test", None, "the clause of a court", x=(0, 1.0), y=(1, 1.0)),
        record("q3", "test", None, "zzz", x=(0, 1.0), y=(1, 1.0)),
    ]
    matrix = made(*birds, *laws, *asked)
    found = neighbour_means(matrix.part("train"), matrix.part("test").cases)
    assert found.scores == ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5))


@pytest.mark.parametrize("texts", [["?", "!"], ["a", "b"]])
def test_neighbours_without_words(texts: list[str]) -> None:
    train = [record(f"t{n}", "train", None, text, x=(1, 1.0)) for n, text in enumerate(texts)]
    matrix = made(*train, record("q", "test", None, "?", x=(1, 1.0)))
    assert neighbour_means(matrix.part("train"), matrix.part("test").cases).scores == ((1.0,),)


def test_folds_come_from_ids_and_keep_copies_together() -> None:
    file = planted_file(1, informed=True, cases=60)
    train = matrix_of(tile_recorded(file, 150)).part("train")
    folds = {case.id: fold_of(case) for case in train.cases}
    assert all(folds[case.id] == folds[case.repeats] for case in train.cases)
    assert set(folds.values()) == {0, 1, 2, 3, 4}
    assert {fold_of(case, seed=1) != folds[case.id] for case in train.cases} == {True, False}


def test_out_of_fold_predictions_do_not_know_their_own_case() -> None:
    train = SMALL.part("train")
    whole, held = train_means(train, train.cases), out_of_fold(train_means, train)
    assert held.cases == whole.cases
    for case, row in zip(held.cases, held.scores, strict=True):
        own = fold_of(case)
        rest = train.only(each.id for each in train.cases if fold_of(each) != own)
        assert dict(zip(held.models, row, strict=True)) == {n: known.score for n, known in rest.means.items()}


def test_the_knob_runs_from_the_cheapest_to_the_best() -> None:
    matrix = planted(3, informed=True)
    swept = over(matrix).swept("knn")
    assert list(swept.train_points) == sorted(swept.train_points)
    assert list(swept.settings) == sorted(swept.settings, reverse=True)
    test = matrix.part("test")
    for choice, point in zip(swept.choices, swept.points, strict=True):
        assert point_of(choice, test) == pytest.approx(point)
    assert set(swept.choices[0]) == {"small"}


def test_prices_are_scaled_to_the_dearest_model() -> None:
    prices = prices_for(SMALL.part("train"))
    assert (prices[0], prices[1], prices[-1]) == (0.0, pytest.approx(1e-3 / 4), pytest.approx(1e4 / 4))
    assert prices_for(UNPRICED.part("train")) == [0.0]


def table_of(name: str, file: RecordedFile) -> dict[str, object]:
    """The record that a case was read from."""
    case = file.cases[name]
    return {
        "id": name,
        "question": case.question.text,
        "split": case.split,
        "task": case.task,
        "outcomes": {
            model: {"score": file.scores[name][model], "cost_usd": take.cost, "response": take.response}
            for model, take in case.takes.items()
        },
    }


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000))
def test_the_order_of_records_changes_nothing(seed: int) -> None:
    file = planted_file(seed % 3, informed=True, cases=80, labelled=True)
    names = sorted(file.cases)
    Random(seed).shuffle(names)
    halves = [
        recorded_from("half", ((name, table_of(name, file)) for name in part)) for part in (names[:40], names[40:])
    ]
    one, other = matrix_of(file), matrix_of(join_recorded(halves))
    for name in ("random", "vote", "knn", "task-means", "oracle", "zero-router"):
        assert system(one, name).results == system(other, name).results
    assert {each: over(one).curve(each) for each in PREDICTORS} == {
        each: over(other).curve(each) for each in PREDICTORS
    }


def test_the_placebo_of_what_knows_the_question_is_worse() -> None:
    matrix = planted(5, informed=True, labelled=True)
    baselines, test = over(matrix), matrix.part("test")
    everywhere, within = (placebo(baselines.swept("knn"), test, how) for how in ("all", "task"))
    assert everywhere
    assert within
    assert (everywhere.p, everywhere.observed - everywhere.dealt > 0.05) == (1 / 1001, True)
    assert within.p > 0.05
    assert within.observed == everywhere.observed


def test_the_placebo_of_a_constant_choice_is_the_choice() -> None:
    test = SMALL.part("test")
    found = placebo(lookup(["big"] * 4, test), test, "all")
    assert found
    assert (found.p, found.dealt) == (1.0, found.observed)


def test_without_labels_there_is_no_placebo_within_tasks() -> None:
    test = UNPRICED.part("test")
    assert placebo(lookup(["big", "low"], test), test, "task") is None
    assert placebo_system("r", ["big", "low"], test, "task") == LeftOut("placebo:r", "no case carries a task label")
    dealt = placebo(lookup(["big", "low"], test), test, "all", samples=2_000)
    assert dealt
    assert (dealt.observed, dealt.dealt, dealt.p) == (1.0, pytest.approx(0.5, abs=0.04), pytest.approx(0.5, abs=0.04))


def test_a_placebo_is_a_system_with_expected_results() -> None:
    test = SMALL.part("test")
    found = placebo_system("mine", ["low", "big", "big", "big"], test)
    assert isinstance(found, System)
    assert (found.name, found.expected) == ("placebo:mine", True)
    assert figures(found)[1] == pytest.approx((0.25 * 0.25) + 0.75 * 0.375)
    within = placebo_system("mine", ["low", "big", "big", None], test, "task")
    assert isinstance(within, System)
    assert [each.score for each in within.results] == pytest.approx([1.0, 1.0, 0.5, 0.0])
