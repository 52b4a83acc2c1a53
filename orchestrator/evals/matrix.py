"""Outcome matrices: what every model scored and cost on every case, and apart from it what a router may see of a case.

Costs are floats here, in USD: they are averaged, not billed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from orchestrator.errors import ConfigError, nearest
from orchestrator.evals.curves import Point
from orchestrator.evals.metrics import cost_per_question
from orchestrator.evals.stats import mean
from orchestrator.messages import Question
from orchestrator.providers import RecordedFile

__all__ = ["Asked", "Known", "Matrix", "Outcome", "Split", "TextOf", "matrix_of"]

Split = Literal["train", "test", "all"]
TextOf = Literal["query", "question"]
"""What a router reads: the last question alone where the source records it, or the whole prompt."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a router may see of a case: neither score nor cost nor reply, by type."""

    id: str
    question: Question
    text: str
    """The question as a router reads it."""
    split: Literal["train", "test"]
    task: str | None
    """Label of its kind of task, where cases carry one."""
    models: frozenset[str]
    """Who has a record for it; nobody else can be chosen."""
    repeats: str
    """Id of the case that it is a copy of; its own where it is none."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one model gave on one case."""

    score: float
    cost: float | None
    response: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a model did on average over the cases where it has a record."""

    score: float
    cost: float | None
    """USD; None where any is unknown."""
    n: int


@dataclass(frozen=True)
class Matrix:
    """Cases by models. Cases stand in the order of their ids, models in that of their names."""

    name: str
    cases: tuple[Asked, ...]
    outcomes: Mapping[str, Mapping[str, Outcome]]
    """By case and model; for what is worked out afterwards, never for who chooses."""
    own_split: bool = True
    """False where a source has no split and one was drawn from the hash of the id."""

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Every model that has a record."""
        return tuple(sorted({name for case in self.cases for name in self.outcomes[case.id]}))

    @cached_property
    def means(self) -> Mapping[str, Known]:
        """Mean score and cost of every model over these cases."""
        return {name: self._known(name) for name in self.models}

    @cached_property
    def priced(self) -> bool:
        """Whether every cost is recorded."""
        return all(got.cost is not None for case in self.cases for got in self.outcomes[case.id].values())

    @cached_property
    def by_cost(self) -> tuple[str, ...]:
        """Models from the cheapest to the dearest by mean cost, the unpriced last, ties by name."""
        costs = {name: known.cost for name, known in self.means.items()}
        return tuple(sorted(costs, key=lambda name: (costs[name] is None, costs[name] or 0.0, name)))

    @cached_property
    def covering(self) -> tuple[str, ...]:
        """The models with the most records, in most files all: only these can stand in for a router.

        The mean of a model that was only tried on easy cases is not to be compared with one over all.
        """
        most = max((known.n for known in self.means.values()), default=0)
        return tuple(name for name in self.models if self.means[name].n == most)

    @property
    def points(self) -> list[Point]:
        """Mean cost and score of every covering model whose costs are known."""
        known = [self.means[name] for name in self.covering]
        return [Point(each.cost, each.score) for each in known if each.cost is not None]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The labels of its cases."""
        return tuple(sorted({case.task for case in self.cases if case.task is not None}))

    def part(self, split: Split) -> Matrix:
        """The cases of one split; raises `ConfigError` where there are none."""
        kept = tuple(case for case in self.cases if split in (case.split, "all"))
        if not kept:
            raise ConfigError(f"holds no {split} cases", file=self.name, expected="another --split")
        return replace(self, cases=kept)

    def only(self, ids: Iterable[str]) -> Matrix:
        """The cases of these ids."""
        wanted = frozenset(ids)
        return replace(self, cases=tuple(case for case in self.cases if case.id in wanted))

    def best_single(self) -> str:
        """The covering model of the highest mean score; of equal ones the cheaper, then by name."""
        places = {name: place for place, name in enumerate(self.by_cost)}
        return min(self.covering, key=lambda name: (-round(self.means[name].score, 12), places[name]))

    def found(self, model: str) -> str:
        """The model of that name; raises `ConfigError` with the nearest name where there is none."""
        if model in self.models:
            return model
        raise ConfigError(
            f"there is no model `{model}`",
            file=self.name,
            field="model",
            expected="one of " + ", ".join(self.models),
            suggestion=nearest(model, self.models),
        )

    def leaks(self) -> list[tuple[str, str]]:
        """Test cases whose text also stands in train: pairs of test id and train id."""
        train = {case.text.strip(): case.id for case in reversed(self.cases) if case.split == "train"}
        pairs = [(case, train.get(case.text.strip())) for case in self.cases if case.split == "test"]
        return [(case.id, twin) for case, twin in pairs if twin is not None]

    def _known(self, model: str) -> Known:
        got = [found for case in self.cases if (found := self.outcomes[case.id].get(model))]
        return Known(mean([each.score for each in got]), cost_per_question([each.cost for each in got]), len(got))


def matrix_of(file: RecordedFile, *, text: TextOf = "query") -> Matrix:
    """The matrix of a file of recorded outcomes, or of several joined ones."""
    return Matrix(
        file.path,
        tuple(_asked(file, name, text) for name in sorted(file.cases)),
        {name: _outcomes(file, name) for name in file.cases},
        file.own_split,
    )


def _asked(file: RecordedFile, name: str, text: TextOf) -> Asked:
    case = file.cases[name]
    read = case.query if text == "query" and case.query else case.question.text
    return Asked(name, case.question, read, case.split, case.task, frozenset(case.takes), case.repeats or name)


def _outcomes(file: RecordedFile, name: str) -> dict[str, Outcome]:
    scores: Mapping[str, float] = file.scores[name]
    return {
        model: Outcome(scores[model], None if take.cost is None else float(take.cost), take.response)
        for model, take in file.cases[name].takes.items()
    }
