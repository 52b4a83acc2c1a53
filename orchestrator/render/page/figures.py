"""What the page draws: systems as points with their intervals, the hull of the single models, scores by domain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from orchestrator.evals.cases import EvalCase
from orchestrator.evals.curves import Point, zero_router
from orchestrator.evals.report import Report, Row, rows_of, scored
from orchestrator.evals.stats import Interval, clustered_interval
from orchestrator.evals.store import Done
from orchestrator.evals.suite import Suite
from orchestrator.evals.systems import Result, Summary, System, summarise

__all__ = ["Bar", "Domain", "Dot", "Role", "Shown", "model_of", "role_of"]

SINGLE = "model:"
BOUNDS = ("oracle", "best-single-hindsight")

Role = Literal["router", "single", "baseline", "placebo", "bound"]


@dataclass(frozen=True)
class Shown:
    """An eval as it lies in its folder: its report, and what that was made of."""

    report: Report
    suite: Suite
    done: Sequence[Done]
    folder: Path
    """The paths of traces begin here."""

    @cached_property
    def rows(self) -> list[Row]:
        """Every case as a router did it, with its score."""
        return rows_of(self.suite, self.done)

    @cached_property
    def cases(self) -> dict[str, EvalCase]:
        """The cases that were run, by id."""
        run = {row.done.case for row in self.rows}
        return {case.id: case for case in self.suite.cases if case.id in run}

    @property
    def routers(self) -> list[Summary]:
        """The routers of the report."""
        return [each for each in self.report.systems if each.kind == "router"]

    @cached_property
    def best(self) -> Summary | None:
        """The single model that routers are held to: the best on train, or the best of those that were run."""
        named = [each for each in self.report.systems if each.name == "best-single"]
        singles = [each for each in self.report.systems if each.name.startswith(SINGLE)]
        return named[0] if named else max(singles, key=lambda each: each.score, default=None)

    def dots(self) -> list[Dot]:
        """Every system as a point of cost and score."""
        known = {system.name: system.results for system in self._systems()}
        return [_dot(each, known.get(each.name, ())) for each in self.report.systems]

    def hull(self) -> list[Point]:
        """What drawing between single models at random reaches; nothing where costs are unknown."""
        singles = [each for each in self.report.systems if each.name.startswith(SINGLE)]
        most = max((each.n for each in singles), default=0)
        whole = [(each.cost_per_question, each.score) for each in singles if each.n == most]
        return zero_router(Point(cost, score) for cost, score in whole if cost is not None)

    def domains(self) -> list[Domain]:
        """Scores by label of task, the most frequent first; nothing where no case has a label."""
        labels = {case.id: _label(case) for case in self.cases.values()}
        if not any(labels.values()):
            return []
        beside = [system for system in self._systems() if self.best and system.name == _source(self.best)]
        compared = [*(each for each in self._systems() if each.kind == "router"), *beside]
        bars: dict[str, list[Bar]] = {}
        for system in compared:
            for label, results in _by_label(system.results, labels).items():
                found = summarise(System(name=system.name, kind=system.kind, results=tuple(results)))
                bars.setdefault(label, []).append(Bar(system.name, found.score, found.score_ci, found.n))
        counts = {label: sum(each == label for each in labels.values()) for label in bars}
        return [
            Domain(label, counts[label], tuple(bars[label])) for label in sorted(bars, key=lambda x: (-counts[x], x))
        ]

    def _systems(self) -> list[System]:
        """The systems of which each case is known."""
        return [*self._routed, *self._alone]

    @cached_property
    def _routed(self) -> list[System]:
        found: dict[str, list[Result]] = {}
        for row in self.rows:
            found.setdefault(row.done.system, []).append(self._result(row.done, row.score))
        return [System(name=name, kind="router", results=tuple(results)) for name, results in found.items()]

    @cached_property
    def _alone(self) -> list[System]:
        """The single models: as recorded, or as they were run; of these only the best is scored again."""
        recorded, found = self.suite.recorded, dict[str, list[Result]]()
        if recorded is not None:
            for case in self.cases:
                for model, take in recorded.cases[case].takes.items():
                    cost = None if take.cost is None else float(take.cost)
                    result = Result(
                        case=case,
                        score=recorded.scores[case][model],
                        cost=cost,
                        repeats=recorded.cases[case].repeats or "",
                    )
                    found.setdefault(SINGLE + model, []).append(result)
        best = self.best.name if self.best else ""
        for done in self.done:
            if done.system.startswith(SINGLE) and done.case in self.cases:
                score = scored(done, self.cases[done.case], self.suite).score if done.system == best else 0.0
                found.setdefault(done.system, []).append(self._result(done, score))
        return [System(name=name, kind="baseline", results=tuple(results)) for name, results in found.items()]

    def _result(self, done: Done, score: float) -> Result:
        recorded = self.suite.recorded
        repeats = (recorded.cases[done.case].repeats or "") if recorded else ""
        cost = None if done.cost_usd is None else float(done.cost_usd)
        return Result(case=done.case, score=score, cost=cost, repeats=repeats)


@dataclass(frozen=True, slots=True)
class Dot:
    """A system in the plane of cost and score."""

    name: str
    role: Role
    score: float
    ci: Interval
    cost: float | None
    """USD a question; None where unknown."""
    cost_ci: Interval | None
    """None where the costs of its cases are not known one by one."""
    note: str


@dataclass(frozen=True, slots=True)
class Bar:
    """The score of a system on the cases of a domain."""

    name: str
    score: float
    ci: Interval
    n: int


@dataclass(frozen=True, slots=True)
class Domain:
    """The cases of one label."""

    label: str
    cases: int
    bars: tuple[Bar, ...]


def role_of(summary: Summary) -> Role:
    """How a system is drawn."""
    if summary.kind == "router":
        return "router"
    if summary.name.startswith(SINGLE):
        return "single"
    if summary.name.startswith("placebo:"):
        return "placebo"
    return "bound" if summary.name in BOUNDS else "baseline"


def model_of(name: str) -> str:
    """A system's name as people read it: a single model by its own."""
    return name.removeprefix(SINGLE)


def _source(best: Summary) -> str:
    """The single model behind the best single."""
    return best.name if best.name.startswith(SINGLE) else SINGLE + next(iter(best.shares), "")


def _label(case: EvalCase) -> str | None:
    return case.task or case.kind


def _by_label(results: Iterable[Result], labels: dict[str, str | None]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for each in results:
        found.setdefault(labels[each.case] or "(no label)", []).append(each)
    return found


def _dot(summary: Summary, results: Sequence[Result]) -> Dot:
    return Dot(
        name=summary.name,
        role=role_of(summary),
        score=summary.score,
        ci=summary.score_ci,
        cost=summary.cost_per_question,
        cost_ci=_cost_interval(results),
        note=summary.note,
    )


def _cost_interval(results: Sequence[Result]) -> Interval | None:
    """The interval of a mean cost, that of repeated cases taken together."""
    costs = [each.cost for each in results if each.cost is not None]
    clusters = [each.cluster for each in results]
    if len(costs) < len(results) or len(set(clusters)) < 2:
        return None
    return clustered_interval(costs, clusters)
