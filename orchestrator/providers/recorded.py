"""Recorded outcomes: a pool that behaves as real models did, at their recorded prices, calling none."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.content import shown
from orchestrator.errors import ConfigError, ProviderError, nearest
from orchestrator.messages import Message, Question, Usage
from orchestrator.pool import Agent, Model, Pool
from orchestrator.pool.descriptors import Price, config_error
from orchestrator.providers.base import Completion, OnText, Quote, Request

__all__ = [
    "Case",
    "RecordedFile",
    "RecordedProvider",
    "Take",
    "join_recorded",
    "read_recorded",
    "recorded_from",
    "repriced",
    "tile_recorded",
]

Money = Annotated[Decimal, Field(ge=0)]
Split = Literal["train", "test"]
RECORD = "a record of outcomes on a line of its own"
STAND_IN = "(not recorded)"
"""What is handed on in place of a response that was not recorded, where only the choice counts."""


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
    reference: str | None = None
    task: str | None = None
    subject: str | None = None
    benchmark: str | None = None
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
    task: str | None = None
    """Label of its kind of task: the record's `task`, else its `subject`, else its `benchmark`."""
    repeats: str | None = None
    """Id of the case that it is a copy of."""


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
    references: Mapping[str, str]
    """The right answer by case, where it is recorded; for evals only, like the scores."""

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

    def with_stand_ins(self) -> RecordedFile:
        """The file with a mark in place of every response, for routing by score alone."""
        cases = {
            name: replace(case, takes={who: replace(take, response=STAND_IN) for who, take in case.takes.items()})
            for name, case in self.cases.items()
        }
        return replace(self, cases=cases)

    @property
    def answers(self) -> bool:
        """Whether any response is recorded."""
        return any(take.response is not None for case in self.cases.values() for take in case.takes.values())


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
    return _collected(shown(Path(path)), _records(Path(path)))


def recorded_from(file: str, tables: Iterable[tuple[str, object]]) -> RecordedFile:
    """Recorded outcomes out of tables as a line of a file holds them, each with the place where it was found.

    For loaders of other layouts; raises `ConfigError` naming `file` and that place.
    """
    return _collected(file, ((where, _validated(table, file, where)) for where, table in tables))


def join_recorded(files: Sequence[RecordedFile]) -> RecordedFile:
    """Several files as one, each with its own split; raises `ConfigError` where an id stands in two of them."""
    cases: dict[str, Case] = {}
    for file in files:
        if twice := next((name for name in file.cases if name in cases), None):
            raise ConfigError(f"the id `{twice}` stands in another file, too", file=file.path)
        cases.update(file.cases)
    return _assemble(
        " + ".join(file.path for file in files),
        cases,
        {name: scores for file in files for name, scores in file.scores.items()},
        {name: answer for file in files for name, answer in file.references.items()},
        own_split=all(file.own_split for file in files),
    )


def repriced(file: RecordedFile, prices: Mapping[str, Price]) -> RecordedFile:
    """The file as it would be at other prices, by model; an outcome that counts no tokens then has no known cost."""
    cases = {
        name: replace(case, takes={who: _billed(take, prices.get(who)) for who, take in case.takes.items()})
        for name, case in file.cases.items()
    }
    return _assemble(file.path, cases, file.scores, file.references, own_split=file.own_split)


def _billed(take: Take, price: Price | None) -> Take:
    if price is None:
        return take
    return replace(take, cost=price.cost(take.usage) if take.usage.total else None)


def tile_recorded(file: RecordedFile, cases: int) -> RecordedFile:
    """So many cases: those of the file, over and over; a copy has an id of its own and names what it repeats."""
    copies = list(islice(_copies(file), cases))
    return _assemble(
        file.path,
        {copy.id: copy for copy in copies},
        {copy.id: file.scores[copy.repeats or copy.id] for copy in copies},
        {copy.id: file.references[name] for copy in copies if (name := copy.repeats or copy.id) in file.references},
        own_split=file.own_split,
    )


def _copies(file: RecordedFile) -> Iterator[Case]:
    yield from file.cases.values()
    number = 1
    while True:
        number += 1
        for case in file.cases.values():
            name = f"{case.id}~{number}"
            question = replace(case.question, case=name)
            yield replace(case, id=name, question=question, repeats=case.repeats or case.id)


def _collected(file: str, found: Iterable[tuple[str, _Record]]) -> RecordedFile:
    records: dict[str, _Record] = {}
    for where, record in found:
        if record.id in records:
            raise ConfigError(f"the id `{record.id}` stands twice", file=file, field=where)
        records[record.id] = record
    if not records:
        raise ConfigError("holds no records", file=file, expected="one JSON record per line")
    own_split = any(record.split == "train" for record in records.values())
    return _assemble(
        file,
        {name: _case(each, each.split if own_split else _drawn_split(name)) for name, each in records.items()},
        {name: {model: got.score for model, got in each.outcomes.items()} for name, each in records.items()},
        {name: each.reference for name, each in records.items() if each.reference is not None},
        own_split=own_split,
    )


def _records(path: Path) -> Iterator[tuple[str, _Record]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"line {number}", _record(line, shown(path), f"line {number}")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"cannot be read: {problem}", file=shown(path), expected="JSON lines in UTF-8, plain or gzip"
        ) from error


def _record(line: str, file: str, where: str) -> _Record:
    try:
        table: object = json.loads(line, parse_float=Decimal)
    except json.JSONDecodeError as error:
        problem = f"is no JSON: {error.msg} at column {error.colno}"
        raise ConfigError(problem, file=file, field=where, expected=RECORD) from error
    except RecursionError as error:
        raise ConfigError("is nested too deeply", file=file, field=where, expected=RECORD) from error
    if not isinstance(table, dict):
        raise ConfigError("is no JSON object", file=file, field=where, expected=RECORD)
    return _validated(table, file, where)  # pyright: ignore[reportUnknownArgumentType]


def _validated(table: object, file: str, where: str) -> _Record:
    try:
        return _Record.model_validate(table)
    except ValidationError as error:
        raise config_error(error, _Record, where, file) from error


def _assemble(
    file: str,
    cases: Mapping[str, Case],
    scores: Mapping[str, Mapping[str, float]],
    references: Mapping[str, str],
    *,
    own_split: bool,
) -> RecordedFile:
    names = sorted({name for case in cases.values() for name in case.takes})
    train = [case for case in cases.values() if case.split == "train"] or list(cases.values())
    means = {name: _means(name, train, scores) for name in names}
    agents = [_agent(name, means[name][0]) for name in names]
    models = [Model(name=f"recorded:{name}") for name in names]
    return RecordedFile(
        file,
        cases,
        Pool([*models, *agents], name=Path(file).name),
        {name: cost for name, (_, cost) in means.items()},
        own_split,
        scores,
        references,
    )


def _drawn_split(case: str) -> Split:
    """Train where the first byte of the id's SHA-256 is even (SEMANTICS §10)."""
    return "train" if sha256(case.encode()).digest()[0] % 2 == 0 else "test"


def _means(name: str, cases: Sequence[Case], scores: Mapping[str, Mapping[str, float]]) -> tuple[float, Decimal | None]:
    found = [case for case in cases if name in case.takes]
    if not found:
        return 0.5, None
    costs = [case.takes[name].cost for case in found]
    known = [cost for cost in costs if cost is not None]
    mean = sum(known, Decimal(0)) / len(known) if len(known) == len(costs) else None
    return sum(scores[case.id][name] for case in found) / len(found), mean


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
    return Case(record.id, split, question, record.query, takes, record.task or record.subject or record.benchmark)
