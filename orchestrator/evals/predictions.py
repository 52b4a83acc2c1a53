"""Routers that predict: what each model will score and cost on a question, learnt from train, and the knob between.

A predictor is handed the train part of a matrix and the questions to predict for, which by type hold no outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import fsum
from typing import TypeAlias

from orchestrator.evals.curves import Point, hull
from orchestrator.evals.extra import need_extra
from orchestrator.evals.matrix import Asked, Matrix, Outcome
from orchestrator.evals.systems import Result

__all__ = [
    "NEIGHBOURS",
    "PREDICTORS",
    "Choice",
    "Predictions",
    "Predictor",
    "Swept",
    "chosen_results",
    "fold_of",
    "mixed_results",
    "neighbour_means",
    "out_of_fold",
    "point_of",
    "prices_for",
    "swept",
    "task_means",
    "train_means",
]

NEIGHBOURS = 40
FOLDS = 5
STEPS_PER_DECADE = 50
DECADES = -3, 4
"""The grid of the knob, in powers of ten of one full score for what the dearest model costs."""

Choice: TypeAlias = Sequence[str | None]
"""The model chosen for each case; None where nobody has a record."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predicted score and dollars for each case (row) and model (column)."""

    models: tuple[str, ...]
    cases: tuple[Asked, ...]
    scores: tuple[tuple[float, ...], ...]
    dollars: tuple[tuple[float, ...], ...]
    """0 where costs are not recorded: money then decides nothing."""

    @property
    def allowed(self) -> list[list[bool]]:
        """Who has a record for which case."""
        return [[model in case.models for model in self.models] for case in self.cases]

    def chosen(self, prices: Sequence[float]) -> list[list[str | None]]:
        """The choice for all cases at each price of a dollar; of equal ones the model that comes first."""
        need_extra()
        from orchestrator.evals.arrays import chosen

        rows = chosen(self.scores, self.dollars, prices, self.allowed)
        names = [*self.models, None]  # -1 is nobody
        return [[names[row[place]] for row in rows] for place in range(len(prices))]

    def points(self, prices: Sequence[float], matrix: Matrix) -> list[Point]:
        """What the choices at each price come to on these cases of a matrix, as `point_of` would have it."""
        need_extra()
        from orchestrator.evals.arrays import swept_means

        found = swept_means((self.scores, self.dollars), self.outcomes(matrix), self.allowed, prices)
        return [Point(cost, score) for score, cost in found]

    def outcomes(self, matrix: Matrix) -> tuple[list[list[float]], list[list[float]]]:
        """Scores and dollars of these cases and models in a matrix; 0 where there is no record, or no cost."""
        got = [[matrix.outcomes[case.id].get(model) for model in self.models] for case in self.cases]
        return (
            [[each.score if each else 0.0 for each in row] for row in got],
            [[(each.cost or 0.0) if each else 0.0 for each in row] for row in got],
        )


Predictor: TypeAlias = Callable[[Matrix, Sequence[Asked]], Predictions]
"""Learns from the matrix, predicts for the questions."""


def train_means(train: Matrix, asked: Sequence[Asked]) -> Predictions:
    """The mean train score and cost of each model, whatever is asked."""
    row = _means(train.by_cost, _all(train), {})
    return _predictions(train, asked, [row] * len(asked))


def task_means(train: Matrix, asked: Sequence[Asked]) -> Predictions:
    """The means over the train cases of the same task label; over all where there are none."""
    overall = _means(train.by_cost, _all(train), {})
    rows = {
        task: _means(train.by_cost, [train.outcomes[case.id] for case in train.cases if case.task == task], overall)
        for task in train.tasks
    }
    return _predictions(train, asked, [rows.get(case.task or "", overall) for case in asked])


def neighbour_means(train: Matrix, asked: Sequence[Asked]) -> Predictions:
    """The means over the 40 train questions nearest in words, each counting alike.

    Averaged utility over neighbours as in arXiv 2505.12601, with TF-IDF in place of an embedding; neighbours without
    a record of a model do not count for it.
    """
    need_extra()
    from orchestrator.evals.neighbours import nearest_rows

    overall = _means(train.by_cost, _all(train), {})
    known = _all(train)
    nearest = nearest_rows([case.text for case in train.cases], [case.text for case in asked], k=NEIGHBOURS)
    rows = [_means(train.by_cost, [known[place] for place in places], overall) for places in nearest]
    return _predictions(train, asked, rows)


PREDICTORS: Mapping[str, Predictor] = {"knn": neighbour_means, "task-means": task_means, "train-means": train_means}
"""The baselines that predict, by name."""

Row: TypeAlias = Mapping[str, tuple[float, float]]


def _all(matrix: Matrix) -> list[Mapping[str, Outcome]]:
    return [matrix.outcomes[case.id] for case in matrix.cases]


def _means(models: Iterable[str], known: Sequence[Mapping[str, Outcome]], fallback: Row) -> Row:
    """Mean score and dollars of each model over some cases; an unknown cost counts as 0."""
    row: dict[str, tuple[float, float]] = {}
    for name in models:
        got = [each[name] for each in known if name in each]
        if got:
            row[name] = (fsum(each.score for each in got) / len(got), fsum(each.cost or 0.0 for each in got) / len(got))
        else:
            row[name] = fallback[name]
    return row


def _predictions(train: Matrix, asked: Sequence[Asked], rows: Sequence[Row]) -> Predictions:
    models, priced = train.by_cost, train.priced
    return Predictions(
        models,
        tuple(asked),
        tuple(tuple(row[name][0] for name in models) for row in rows),
        tuple(tuple(row[name][1] if priced else 0.0 for name in models) for row in rows),
    )


def fold_of(case: Asked, *, folds: int = FOLDS, seed: int = 0) -> int:
    """The fold of a case, from the hash of its id, so that no order changes it; copies share that of their case."""
    return int.from_bytes(sha256(f"{seed}\0{case.repeats}".encode()).digest()[:8]) % folds


def out_of_fold(predict: Predictor, train: Matrix, *, folds: int = FOLDS, seed: int = 0) -> Predictions:
    """Predictions for the train cases, each by what was learnt from the other folds."""
    found: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {}
    places = {case.id: fold_of(case, folds=folds, seed=seed) for case in train.cases}
    for fold in sorted(set(places.values())):
        held = [case for case in train.cases if places[case.id] == fold]
        rest = train.only(name for name, place in places.items() if place != fold)
        made = predict(rest if rest.cases else train, held)
        for case, scores, dollars in zip(held, made.scores, made.dollars, strict=True):
            found[case.id] = (_aligned(scores, made, train), _aligned(dollars, made, train))
    return Predictions(
        train.by_cost,
        train.cases,
        tuple(found[case.id][0] for case in train.cases),
        tuple(found[case.id][1] for case in train.cases),
    )


def _aligned(values: Sequence[float], made: Predictions, train: Matrix) -> tuple[float, ...]:
    """A row in the order of the whole train part; a model that a fold never saw has no prospects."""
    by_model = dict(zip(made.models, values, strict=True))
    return tuple(by_model.get(name, 0.0) for name in train.by_cost)


def prices_for(train: Matrix) -> list[float]:
    """The settings of the knob: what a dollar is worth in score, 0 and a log grid around the dearest model's cost."""
    dearest = max((point.cost for point in train.points), default=0.0)
    if not dearest:
        return [0.0]
    low, high = (place * STEPS_PER_DECADE for place in DECADES)
    return [0.0, *(10 ** (step / STEPS_PER_DECADE) / dearest for step in range(low, high + 1))]


@dataclass(frozen=True, slots=True)
class Swept:
    """A predictor over its knob: settings taken from train, results on test."""

    settings: tuple[float, ...]
    """Prices of a dollar at the corners of the train hull, by out-of-fold predictions, from cheap to good."""
    train_points: tuple[Point, ...]
    """What each setting came to on train, out of fold."""
    points: tuple[Point, ...]
    """What each came to on test."""
    choices: tuple[tuple[str | None, ...], ...]
    """Whom each chose on test."""
    predictions: Predictions
    """For the test cases, learnt from all of train."""
    grid: tuple[Point, ...]
    """Test points of the whole grid: for AIQ in hindsight only."""

    @property
    def best(self) -> tuple[str | None, ...]:
        """The choices at the setting that did best on train."""
        return self.choices[-1]


def swept(predict: Predictor, train: Matrix, test: Matrix, *, seed: int = 0) -> Swept:
    """Turn the knob on train, out of fold, keep the corners of the hull there, and see what they come to on test."""
    prices = prices_for(train)
    on_train = out_of_fold(predict, train, seed=seed).points(prices, train)
    first: dict[Point, int] = {}
    for place, point in enumerate(on_train):
        first.setdefault(point, place)
    kept = [first[point] for point in hull(on_train)]
    predictions = predict(train, test.cases)
    settings = [prices[place] for place in kept]
    grid = predictions.points(prices, test)
    return Swept(
        tuple(settings),
        tuple(on_train[place] for place in kept),
        tuple(grid[place] for place in kept),
        tuple(tuple(choice) for choice in predictions.chosen(settings)),
        predictions,
        tuple(grid),
    )


def point_of(choice: Choice, matrix: Matrix) -> Point:
    """Mean cost and score of a choice for every case; nobody scores 0 at no cost, an unknown cost counts as 0."""
    results = chosen_results(choice, matrix)
    n = len(results)
    return Point(fsum(each.cost or 0.0 for each in results) / n, fsum(each.score for each in results) / n)


def chosen_results(choice: Choice, matrix: Matrix) -> tuple[Result, ...]:
    """The results of a choice for every case, looked up; where nobody was chosen, a score of 0."""
    results: list[Result] = []
    for case, model in zip(matrix.cases, choice, strict=True):
        got = matrix.outcomes[case.id].get(model or "")
        results.append(
            Result(
                case=case.id,
                score=got.score if got else 0.0,
                cost=got.cost if got else 0.0,
                asked={model: 1.0} if model and got else {},
                repeats=case.repeats,
            )
        )
    return tuple(results)


def mixed_results(case: Asked, matrix: Matrix, shares: Mapping[str, float]) -> Result:
    """The expected result of a case whose model is drawn with these weights among those that have a record for it."""
    got = {name: matrix.outcomes[case.id][name] for name in shares if name in case.models}
    total = fsum(shares[name] for name in got)
    if not total:
        return Result(case=case.id, score=0.0, cost=0.0, repeats=case.repeats)
    asked = {name: shares[name] / total for name in got}
    costs = [p * cost for name, p in asked.items() if (cost := got[name].cost) is not None]
    return Result(
        case=case.id,
        score=fsum(p * got[name].score for name, p in asked.items()),
        cost=fsum(costs) if len(costs) == len(asked) else None,
        asked=asked,
        repeats=case.repeats,
    )
