"""What a router would come to if it knew the models but not the question: its own predictions, dealt to other cases.

A gain counts when it beats the router's placebo (SEMANTICS §10). Dealt over all cases, the placebo knows how often to
take whom; dealt within each task, it knows the task label as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.evals.curves import Point, aiq_tr, quality_at, zero_router
from orchestrator.evals.extra import need_extra
from orchestrator.evals.matrix import Matrix
from orchestrator.evals.metrics import shares
from orchestrator.evals.predictions import Choice, Predictions, Swept, mixed_results, point_of
from orchestrator.evals.stats import mean, permutation_p
from orchestrator.evals.systems import LeftOut, System

__all__ = ["Dealing", "Placebo", "lookup", "placebo", "placebo_system"]

Dealing = Literal["all", "task"]
PERMUTATIONS = 1_000


@dataclass(frozen=True, slots=True)
class Placebo:
    """A router's figure beside those of its dealt predictions."""

    dealing: Dealing
    observed: float
    """AIQ_tr where there is a knob; else the gain over the zero router at its cost, or the score without prices."""
    dealt: float
    """The mean figure of the placebos."""
    p: float
    """One-sided, by permutation: how often knowing nothing more does at least as well."""


def lookup(choice: Choice, test: Matrix) -> Swept:
    """Choices that were made once, without a knob, in the form in which knobs are judged.

    A model that was dealt a case it has no record for is replaced by the cheapest that has one.
    """
    models = test.by_cost
    scores = tuple(tuple(float(model == chosen) for model in models) for chosen in choice)
    predictions = Predictions(models, test.cases, scores, tuple((0.0,) * len(models) for _ in choice))
    point = point_of(choice, test)
    return Swept((0.0,), (point,), (point,), (tuple(choice),), predictions, (point,))


def placebo(
    router: Swept, test: Matrix, dealing: Dealing, *, seed: int = 0, samples: int = PERMUTATIONS
) -> Placebo | None:
    """The router beside its placebos; None within tasks where no case carries a label."""
    groups = _groups(test, dealing)
    if groups is None:
        return None
    need_extra()
    from orchestrator.evals.arrays import dealt_means

    made = router.predictions
    dealt = dealt_means(
        (made.scores, made.dollars),
        made.outcomes(test),
        made.allowed,
        router.settings,
        groups,
        samples=samples,
        seed=seed,
    )
    observed = figure(router.points, test)
    figures = [figure([Point(cost, score) for score, cost in each], test) for each in dealt]
    return Placebo(dealing, observed, mean(figures), permutation_p(observed, figures))


def figure(points: Sequence[Point], test: Matrix) -> float:
    """The one number by which a router and its placebos are compared."""
    best = points[-1]
    if not test.priced:
        return best.quality
    if len(points) > 1 and (height := aiq_tr(points, test.points)) is not None:
        return height
    return best.quality - quality_at(zero_router(test.points), best.cost)


def placebo_system(name: str, choice: Choice, test: Matrix, dealing: Dealing = "all") -> System | LeftOut:
    """The placebo of a router's choices as a system: expected results when they are dealt to other cases."""
    groups = _groups(test, dealing)
    label = f"placebo:{name}"
    if groups is None:
        return LeftOut(label, "no case carries a task label")
    members: dict[int, list[str]] = {}
    for group, model in zip(groups, choice, strict=True):
        members.setdefault(group, []).extend([model] if model else [])
    mixes = {group: shares(models) for group, models in members.items()}
    results = tuple(mixed_results(case, test, mixes[group]) for case, group in zip(test.cases, groups, strict=True))
    return System(name=label, kind="baseline", results=results, expected=True, note=f"dealt over {dealing} cases")


def _groups(test: Matrix, dealing: Dealing) -> list[int] | None:
    if dealing == "all":
        return [0] * len(test.cases)
    places = {task: place for place, task in enumerate(test.tasks)}
    return [places.get(case.task or "", len(places)) for case in test.cases] if places else None
