"""The baselines that come along with every eval, computed from an outcome matrix without asking anybody.

What is known beforehand comes from train, results from test (SEMANTICS §10).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from orchestrator.errors import ConfigError, nearest
from orchestrator.evals.curves import Point, aiq, aiq_tr, hull
from orchestrator.evals.matrix import Asked, Matrix, Outcome
from orchestrator.evals.metrics import cost_per_question
from orchestrator.evals.placebo import placebo_system
from orchestrator.evals.predictions import PREDICTORS, Swept, chosen_results, mixed_results, swept
from orchestrator.evals.systems import LeftOut, Result, System
from orchestrator.merge import voted
from orchestrator.messages import Goal, Reply

__all__ = ["BASELINES", "Baselines", "Curve"]

BASELINES: tuple[str, ...] = (
    "cheapest",
    "dearest",
    "best-single",
    "best-single-hindsight",
    "random",
    "zero-router",
    "train-means",
    "task-means",
    "vote",
    "knn",
    "oracle",
)
"""Names of the baselines, beside `model:NAME` for a single model and `placebo:ROUTER`."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What a knob comes to on test, and its two figures."""

    points: tuple[Point, ...]
    """The settings taken from train, from cheap to good."""
    aiq_tr: float | None
    """Mean height without hindsight: the figure to compare by; None where costs are unknown."""
    aiq: float | None
    """Mean height of the hull over the whole grid on test: a bound that rewards noise."""


@dataclass(slots=True)
class Baselines:
    """The baselines of a matrix: `train` is what they may know, `test` what they are held to."""

    train: Matrix
    test: Matrix
    seed: int = 0
    _swept: dict[str, Swept] = field(default_factory=dict[str, Swept])

    def system(self, name: str) -> System | LeftOut:
        """A baseline by name, or why there is none; raises `ConfigError` for a name that is no baseline's.

        The placebo of a router that is no baseline is `placebo.placebo_system` of its choices.
        """
        if name.startswith("model:"):
            return self._model(name, self.test.found(name.removeprefix("model:")))
        if (router := name.removeprefix("placebo:")) in PREDICTORS and router != name:
            return placebo_system(router, self.swept(router).best, self.test)
        makers: Mapping[str, Callable[[], System | LeftOut]] = {
            "cheapest": partial(self._priced, "cheapest", 0),
            "dearest": partial(self._priced, "dearest", -1),
            "best-single": lambda: self._model("best-single", self.train.best_single()),
            "best-single-hindsight": lambda: self._model("best-single-hindsight", self.test.best_single()),
            "random": self._random,
            "zero-router": self.zero_router,
            "vote": self._vote,
            "oracle": self._oracle,
            **{each: partial(self._predicted, each) for each in PREDICTORS},
        }
        if name in makers:
            return makers[name]()
        raise ConfigError(
            f"there is no baseline `{name}`",
            field="baseline",
            expected="one of " + ", ".join((*BASELINES, "model:NAME", "placebo:ROUTER")),
            suggestion=nearest(name, BASELINES),
        )

    def every(self) -> list[System | LeftOut]:
        """Each single model, then all baselines but the placebos."""
        return [self.system(name) for name in (*(f"model:{each}" for each in self.test.models), *BASELINES)]

    def swept(self, name: str) -> Swept:
        """A predicting baseline over its knob, worked out once; raises `KeyError` where it does not predict."""
        if name not in self._swept:
            self._swept[name] = swept(PREDICTORS[name], self.train, self.test, seed=self.seed)
        return self._swept[name]

    def curve(self, name: str) -> Curve:
        """The curve of the zero router or of a predicting baseline."""
        if name == "zero-router":
            models = self.zero_models()
            points = [_point(self.test, model) for model in models]
            return self._curve(points, self.test.points)
        over = self.swept(name)
        return self._curve(over.points, over.grid)

    def zero_models(self) -> list[str]:
        """The single models at the corners of the hull over train, from cheap to good."""
        able = [name for name in self.train.by_cost if name in self.train.covering and name in self.test.covering]
        points = {_point(self.train, name): name for name in reversed(able)}
        return [points[corner] for corner in hull(points)]

    def zero_router(self, cost: float | None = None) -> System | LeftOut:
        """The mix of two single models that costs so much on train, in USD; the best corner without a cost.

        Results are expectations over the draw.
        """
        if not (self.train.priced and self.test.priced):
            return LeftOut("zero-router", "costs are not recorded")
        models = self.zero_models()
        if not models:
            return LeftOut("zero-router", "no model has records for both train and test")
        share = _mix([_point(self.train, name) for name in models], cost)
        results = tuple(
            mixed_results(case, self.test, {name: p for name, p in zip(models, share, strict=True) if p})
            for case in self.test.cases
        )
        return System(name="zero-router", kind="baseline", results=results, expected=True)

    def _curve(self, points: list[Point] | tuple[Point, ...], grid: list[Point] | tuple[Point, ...]) -> Curve:
        if not self.test.priced:
            return Curve(tuple(points), None, None)
        return Curve(tuple(points), aiq_tr(points, self.test.points), aiq(grid, self.test.points))

    def _model(self, name: str, model: str) -> System | LeftOut:
        cases = [case for case in self.test.cases if model in case.models]
        if not cases:
            return LeftOut(name, f"{model} has no record in these cases")
        few = f", which has a record for {len(cases)} of {len(self.test.cases)} cases"
        return System(
            name=name,
            kind="baseline",
            results=tuple(_result(case, model, self.test.outcomes[case.id][model]) for case in cases),
            hindsight=name == "best-single-hindsight",
            note=f"{model}{few if len(cases) < len(self.test.cases) else ''}",
        )

    def _priced(self, name: str, place: int) -> System | LeftOut:
        able = [each for each in self.train.by_cost if each in self.train.covering]
        priced = [each for each in able if self.train.means[each].cost is not None]
        return self._model(name, priced[place]) if priced else LeftOut(name, "costs are not recorded")

    def _random(self) -> System:
        results = tuple(
            mixed_results(case, self.test, dict.fromkeys(sorted(case.models), 1.0)) for case in self.test.cases
        )
        return System(name="random", kind="baseline", results=results, expected=True, note="expectation")

    def _predicted(self, name: str) -> System | LeftOut:
        if name == "task-means" and not self.train.tasks:
            return LeftOut(name, "no case carries a task label")
        over = self.swept(name)
        return System(name=name, kind="baseline", results=chosen_results(over.best, self.test))

    def _oracle(self) -> System:
        results: list[Result] = []
        for case in self.test.cases:
            got = self.test.outcomes[case.id]
            if not got:
                results.append(mixed_results(case, self.test, {}))
                continue
            model = min(got, key=lambda name: (-got[name].score, _dollars(got[name]), name))
            top = [each for each in got.values() if each.score == got[model].score]
            cost = got[model].cost if all(each.cost is not None for each in top) else None
            results.append(_result(case, model, Outcome(got[model].score, cost)))
        return System(name="oracle", kind="baseline", results=tuple(results), hindsight=True, note="a bound, no rival")

    def _vote(self) -> System | LeftOut:
        results = [self._voted(case) for case in self.test.cases]
        if all(each is None for each in results):
            return LeftOut("vote", "responses are not recorded")
        kept = [
            each or Result(case=case.id, score=0.0, cost=0.0)
            for case, each in zip(self.test.cases, results, strict=True)
        ]
        return System(name="vote", kind="baseline", results=tuple(kept), note="every model is asked and paid")

    def _voted(self, case: Asked) -> Result | None:
        """The score of the likeliest of those who agree; ties as the merge `vote` breaks them."""
        got = self.test.outcomes[case.id]
        replies = [
            Reply(place, name, Goal("answer"), each.response, p=self._skill(name), cost=_decimal(each.cost))
            for place, (name, each) in enumerate(sorted(got.items()), start=1)
            if each.response is not None
        ]
        if not replies:
            return None
        support = voted(case.question, replies).support
        spokesman = min(support, key=lambda name: (-self._skill(name), name))
        cost = cost_per_question([got[reply.agent].cost for reply in replies])
        return Result(
            case=case.id,
            score=got[spokesman].score,
            cost=None if cost is None else cost * len(replies),
            asked={reply.agent: 1.0 for reply in replies},
            repeats=case.repeats,
        )

    def _skill(self, model: str) -> float:
        return self.train.means[model].score if model in self.train.means else 0.5


def _mix(points: list[Point], cost: float | None) -> list[float]:
    """With which probability each of these points is taken, so that the mean cost is the one wanted."""
    shares = [0.0] * len(points)
    if cost is None or cost >= points[-1].cost:
        shares[-1] = 1.0
        return shares
    place = next(place for place, point in enumerate(points) if point.cost >= cost)
    if place == 0:
        shares[0] = 1.0
        return shares
    low, high = points[place - 1].cost, points[place].cost
    shares[place] = (cost - low) / (high - low)
    shares[place - 1] = 1 - shares[place]
    return shares


def _point(matrix: Matrix, model: str) -> Point:
    return Point(matrix.means[model].cost or 0.0, matrix.means[model].score)


def _result(case: Asked, model: str, got: Outcome) -> Result:
    return Result(case=case.id, score=got.score, cost=got.cost, asked={model: 1.0}, repeats=case.repeats)


def _dollars(got: Outcome) -> float:
    return got.cost or 0.0


def _decimal(cost: float | None) -> Decimal | None:
    return None if cost is None else Decimal(cost)
