"""Recorded outcomes: a pool that behaves as real models did, at their recorded prices, calling none."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.content import shown
from orchestrator.errors import ConfigError, ProviderError, nearest
from orchestrator.messages import Message, Question, Usage
from orchestrator.pool import Agent, Model, Pool
from orchestrator.pool.descriptors import config_error
from orchestrator.providers.base import Completion, OnText, Quote, Request

__all__ = ["Case", "RecordedFile", "RecordedProvider", "read_recorded"]

Money = Annotated[Decimal, Field(ge=0)]
Split = Literal["train", "test"]


class _Outcome(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    score: float = Field(ge=0, le=1)
    cost_usd: Money | None
    response: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    id: str
    question: str
    split: Split = "test"
    kind: str | None = None
    choices: tuple[str, ...] | None = None
    query: str | None = None
    outcomes: dict[str, _Outcome]


@dataclass(frozen=True, slots=True)
class Take:
    """What one model gave for one case; its score is not among it."""

    response: str | None
    cost: Decimal | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class Case:
    """A recorded question, without any score."""

    id: str
    split: Split
    question: Question
    query: str | None
    takes: Mapping[str, Take]


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file of recorded outcomes: its cases, its models as a pool, and the scores kept apart from both."""

    path: str
    cases: Mapping[str, Case]
    pool: Pool
    mean_costs: Mapping[str, Decimal | None]
    """Mean train cost by model, USD."""
    own_split: bool
    """False where no record says train and the split was drawn from the hash of the id."""
    scores: Mapping[str, Mapping[str, float]]
    """Score by case and model; for evals only, routers and merges never see it."""

    def provider(self) -> RecordedProvider:
        """The door to its models; it knows no score."""
        return RecordedProvider(self.cases, self.mean_costs)

    def find(self, *, case: str | None, question: str | None) -> Case:
        """The case of an id, or the one whose question this is; raises `ConfigError` where there is none."""
        if case is not None:
            if case in self.cases:
                return self.cases[case]
            raise ConfigError(
                f"there is no case `{case}`",
                file=self.path,
                field="case",
                expected=f"one of its {len(self.cases)} ids",
                suggestion=nearest(case, self.cases),
            )
        text = (question or "").strip()
        for found in self.cases.values():
            if text in (found.question.text.strip(), (found.query or "").strip()) and text:
                return found
        raise ConfigError(
            "none of its cases asks this",
            file=self.path,
            field="question",
            expected="a recorded question, or --case ID",
        )

    def priced(self) -> bool:
        """Whether every cost is recorded."""
        return self.provider().priced


class RecordedProvider:
    """Answers as the models of a file did."""

    def __init__(self, cases: Mapping[str, Case], mean_costs: Mapping[str, Decimal | None]) -> None:
        self._cases = cases
        self._mean_costs = mean_costs
        takes = [take for case in cases.values() for take in case.takes.values()]
        self.priced = all(take.cost is not None for take in takes)
        """Whether every cost is recorded."""
        self.answers = any(take.response is not None for take in takes)
        """Whether any response is recorded."""

    def quote(self, model: Model, request: Request) -> Quote:
        """Expected: the mean train cost; reserve: what was recorded for this case."""
        take = self._take(model, request)
        if take is None:
            return Quote(why_not="no outcome is recorded for this question")
        return Quote(self._mean_costs[model.id], take.cost, take.cost, take.usage.total)

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """The recorded response; raises `ProviderError` where none is recorded."""
        take = self._take(model, request)
        if take is None or take.response is None:
            raise ProviderError(f"no response of {model.id} is recorded", kind="invalid_request", sent=False)
        if on_text is not None:
            on_text(take.response)
        return Completion(take.response, usage=take.usage, cost=take.cost)

    def _take(self, model: Model, request: Request) -> Take | None:
        case = self._cases.get(request.case or "")
        return case.takes.get(model.id) if case else None


def read_recorded(path: str | Path) -> RecordedFile:
    """Read a `.jsonl` or `.jsonl.gz` file of recorded outcomes; raises `ConfigError` naming file and line."""
    records: dict[str, _Record] = {}
    for number, record in _records(Path(path)):
        if record.id in records:
            raise ConfigError(f"the id `{record.id}` stands twice", file=shown(Path(path)), field=f"line {number}")
        records[record.id] = record
    if not records:
        raise ConfigError("holds no records", file=shown(Path(path)), expected="one JSON record per line")
    return _assemble(shown(Path(path)), list(records.values()))


def _records(path: Path) -> Iterator[tuple[int, _Record]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _record(line, shown(path), number)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"cannot be read: {problem}", file=shown(path), expected="JSON lines in UTF-8, plain or gzip"
        ) from error


def _record(line: str, file: str, number: int) -> _Record:
    where, expected = f"line {number}", "a record of outcomes on a line of its own"
    try:
        table: object = json.loads(line, parse_float=Decimal)
    except json.JSONDecodeError as error:
        problem = f"is no JSON: {error.msg} at column {error.colno}"
        raise ConfigError(problem, file=file, field=where, expected=expected) from error
    except RecursionError as error:
        raise ConfigError("is nested too deeply", file=file, field=where, expected=expected) from error
    if not isinstance(table, dict):
        raise ConfigError("is no JSON object", file=file, field=where, expected=expected)
    try:
        return _Record.model_validate(table)
    except ValidationError as error:
        raise config_error(error, _Record, where, file) from error


def _assemble(file: str, records: list[_Record]) -> RecordedFile:
    own_split = any(record.split == "train" for record in records)
    splits: dict[str, Split] = {record.id: record.split if own_split else _drawn_split(record.id) for record in records}
    names = sorted({name for record in records for name in record.outcomes})
    train = [record for record in records if splits[record.id] == "train"] or records
    means = {name: _means(name, train) for name in names}
    agents = [_agent(name, means[name][0]) for name in names]
    models = [Model(name=f"recorded:{name}") for name in names]
    return RecordedFile(
        file,
        {record.id: _case(record, splits[record.id]) for record in records},
        Pool([*models, *agents], name=Path(file).name),
        {name: cost for name, (_, cost) in means.items()},
        own_split,
        {record.id: {name: outcome.score for name, outcome in record.outcomes.items()} for record in records},
    )


def _drawn_split(case: str) -> Split:
    """Train where the first byte of the id's SHA-256 is even (SEMANTICS §10)."""
    return "train" if sha256(case.encode()).digest()[0] % 2 == 0 else "test"


def _means(name: str, records: list[_Record]) -> tuple[float, Decimal | None]:
    found = [record.outcomes[name] for record in records if name in record.outcomes]
    if not found:
        return 0.5, None
    costs = [outcome.cost_usd for outcome in found]
    known = [cost for cost in costs if cost is not None]
    mean = sum(known, Decimal(0)) / len(known) if len(known) == len(costs) else None
    return sum(outcome.score for outcome in found) / len(found), mean


def _agent(name: str, skill: float) -> Agent:
    return Agent(name=name, model=f"recorded:{name}", role="answers as it was recorded", skill=skill, seconds=0.0)


def _case(record: _Record, split: Split) -> Case:
    question = Question(
        (Message("user", record.question),), kind=record.kind, choices=record.choices or (), case=record.id
    )
    takes = {
        name: Take(
            outcome.response,
            outcome.cost_usd,
            Usage(outcome.input_tokens or 0, outcome.output_tokens or 0),
        )
        for name, outcome in record.outcomes.items()
    }
    return Case(record.id, split, question, record.query, takes)
