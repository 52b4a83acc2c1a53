"""Suites: what is asked of whom, how it is scored, which systems run, and what has to come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from orchestrator.confidence import Calibration
from orchestrator.content import builtin, read_toml, shown
from orchestrator.errors import ConfigError, nearest
from orchestrator.evals.candidates import Candidate, Confidence, Line, placed, placed_file
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.code import Code
from orchestrator.evals.judge import Judge
from orchestrator.evals.loaders import CASE_LOADERS, OUTCOME_LOADERS, load_outcomes
from orchestrator.evals.matrix import Split
from orchestrator.evals.named import located, own_object
from orchestrator.evals.scorers import SCORERS, Scorer, as_scorer, scorer_named
from orchestrator.pool import Pool, load_folder, load_pool
from orchestrator.pool.descriptors import checked
from orchestrator.providers import RecordedFile, join_recorded
from orchestrator.tools import Resources

__all__ = [
    "Candidate",
    "Gates",
    "Limit",
    "Suite",
    "find_suite",
    "load_suite",
    "recorded_suite",
    "suite_over",
    "suite_schema",
]

Texts = Annotated[tuple[str, ...], Field(strict=False)]
Read = TypeVar("Read")
RECORDED = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".json", ".json.gz")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Gates(_Table):
    """What has to come of an eval; one that does not hold makes it exit with 3."""

    fail_under: float | None = Field(default=None, ge=0, le=1)
    """Every router scores at least so much."""
    max_cost_per_question: float | None = Field(default=None, ge=0)
    """USD."""
    no_worse_than: str | None = None
    """A baseline that no router may score significantly below."""


class Limit(_Table):
    """How fast a model may be asked."""

    per_minute: int | None = Field(default=None, ge=1)
    """Calls that may begin within any sixty seconds."""
    concurrency: int | None = Field(default=None, ge=1)
    """Calls under way at the same time."""


class _Head(_Table):
    name: str = ""
    description: str = ""
    data: Texts = ()
    """Files of cases: JSON lines or CSV."""
    recorded: Texts = ()
    """Files of recorded outcomes: their models are the pool, the recorded score is the scorer."""
    pool: str = "local"
    """A named pool, or a folder of descriptors beside the suite."""
    docs: str | None = None
    """Folder of documents that tools may search."""
    tables: Texts = ()
    """CSV files that tools may total."""
    loader: str | None = None
    """What reads the files of `data` or `recorded`: a layout by name, or one's own; by their endings where left out."""
    scorer: str | dict[str, JsonValue] = "exact"
    """A scorer by name, or a table of its name and settings."""
    budget: float | None = Field(default=None, ge=0)
    """USD that a question may cost."""
    seconds: float | None = Field(default=None, gt=0)
    """Seconds that a question may take."""
    confidence: Confidence | None = None
    """Of every system that names none of its own: a file of `orchestrator eval calibrate`, `fit`, or `none`."""
    abstain_below: Line | None = None
    """Of every system that names none of its own: a decision of lower confidence becomes an escalation."""


class _File(_Table):
    suite: _Head
    systems: Annotated[tuple[Candidate, ...], Field(strict=False)] = ()
    gates: Gates = Gates()
    limits: dict[str, Limit] = Field(default_factory=dict[str, Limit])


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite, read and checked."""

    path: str
    name: str
    description: str
    pool: Pool
    cases: tuple[EvalCase, ...]
    scorer: Scorer | None
    """None where the recorded score is looked up."""
    recorded: RecordedFile | None = None
    candidates: tuple[Candidate, ...] = (Candidate(),)
    gates: Gates = field(default_factory=Gates)
    limits: Mapping[str, Limit] = field(default_factory=dict[str, Limit])
    """By the name of the model."""
    resources: Resources = field(default_factory=Resources)
    budget: Decimal | None = None
    seconds: float | None = None
    confidence: str | None = None
    """Of every system that names none of its own: `fit`, `none`, or a file by its whole path."""
    abstain_below: float | None = None
    fits: Mapping[str, Calibration] = field(default_factory=dict[str, Calibration])
    """What systems go by, by their names."""

    def part(self, split: Split) -> tuple[EvalCase, ...]:
        """The cases of a split; raises `ConfigError` where there are none."""
        found = tuple(case for case in self.cases if split in (case.split, "all"))
        if not found:
            raise ConfigError(f"holds no {split} cases", file=self.path, field="split", expected="another --split")
        return found

    def sure_by(self, confidence: str | None, abstain_below: float | None) -> Suite:
        """The suite with this in the place of what it and its systems say of confidence; None changes nothing."""
        given = {"confidence": confidence, "abstain_below": abstain_below}
        wanted = {name: value for name, value in given.items() if value is not None}
        candidates = tuple(each.model_copy(update=wanted) for each in self.candidates)
        return replace(
            self,
            candidates=candidates,
            confidence=confidence or self.confidence,
            abstain_below=self.abstain_below if abstain_below is None else abstain_below,
        )

    def with_candidates(self, candidates: Sequence[Candidate]) -> Suite:
        """The suite with other systems; what they do not say of confidence the suite says."""
        found = [
            each.model_copy(
                update={
                    "confidence": each.confidence or self.confidence,
                    "abstain_below": self.abstain_below if each.abstain_below is None else each.abstain_below,
                }
            )
            for each in candidates
        ]
        return replace(self, candidates=tuple(found)) if found else self


def find_suite(name: str) -> Path:
    """The file that a name stands for: a suite, a folder with one, one that ships, or a file of recorded outcomes."""
    path = Path(name).expanduser()
    for place in (path, builtin("evals") / name):
        if (place / "suite.toml").is_file():
            return place / "suite.toml"
        if place.is_file():
            return place
    known = sorted(folder.parent.name for folder in builtin("evals").glob("*/suite.toml"))
    expected = "a suite (suite.toml), a file of recorded outcomes, or one of " + ", ".join(known)
    raise ConfigError("does not exist", file=name, field="suite", expected=expected, suggestion=nearest(name, known))


def load_suite(
    path: Path, data: Sequence[Path] = (), *, agents: Sequence[Path] = (), allow_code: bool = False
) -> Suite:
    """Read a suite, or a file of recorded outcomes as one; `data` stands in for its own cases.

    A pool that is named is also looked for in the folders `agents`. Code in answers is run only with `allow_code`.

    Raises `ConfigError` naming file, field, what was expected and the nearest valid name.
    """
    file = shown(path)
    if path.name.endswith(RECORDED):
        if data:
            raise ConfigError("is a file of outcomes, its own data", file=file, field="data", expected="a suite.toml")
        return recorded_suite([path])
    read = checked(_File, read_toml(path), file=file, where="")
    head, here = read.suite, path.parent
    if head.recorded:
        files = list(data) or [here / name for name in head.recorded]
        read_file = _loader(head.loader, OUTCOME_LOADERS, RecordedFile, here, file)
        suite = recorded_suite(files, name=head.name or here.resolve().name, loader=read_file)
    else:
        paths = list(data) or [here / name for name in head.data]
        if not paths:
            raise ConfigError("names no cases", file=file, field="suite.data", expected="`data` or `recorded`")
        name, pool = head.name or here.resolve().name, _pool(head.pool, here, agents, file)
        cases = _cases(paths, _loader(head.loader, CASE_LOADERS, tuple, here, file))
        suite = Suite(file, name, head.description, pool, cases, _scorer(head, here, file, allow_code=allow_code))
        _check_judge(suite)
        _check_references(suite, paths)
    _check_limits(read.limits, suite)
    docs = here / head.docs if head.docs else None
    return replace(
        suite,
        path=file,
        description=head.description,
        gates=read.gates,
        limits=read.limits,
        resources=Resources(docs=docs, tables=tuple(here / name for name in head.tables)),
        budget=None if head.budget is None else Decimal(str(head.budget)),
        seconds=head.seconds,
        confidence=placed_file(head.confidence, here),
        abstain_below=head.abstain_below,
    ).with_candidates(placed(read.systems, here) or (Candidate(),))


def recorded_suite(
    paths: Sequence[Path], *, name: str | None = None, loader: Callable[[Path], RecordedFile] = load_outcomes
) -> Suite:
    """Files of recorded outcomes as a suite: their models are the pool, the recorded score is the scorer."""
    files = [loader(path) for path in paths]
    shown_name = name or "+".join(path.name.split(".")[0] for path in paths)
    return suite_over(files[0] if len(files) == 1 else join_recorded(files), shown_name)


def suite_over(file: RecordedFile, name: str) -> Suite:
    """Recorded outcomes as a suite."""
    cases = tuple(
        EvalCase(
            id=case.id,
            question=case.question.text,
            choices=case.question.choices,
            kind=case.question.kind,
            task=case.task,
            split=case.split,
        )
        for case in file.cases.values()
    )
    return Suite(file.path, name, "recorded outcomes", file.pool, cases, None, file)


def suite_schema() -> dict[str, JsonValue]:
    """JSON Schema of a suite file."""
    return cast("dict[str, JsonValue]", _File.model_json_schema())


def _pool(name: str, here: Path, agents: Sequence[Path], file: str) -> Pool:
    """The folder of that name beside the suite, else the pool; raises `ConfigError` where there is neither."""
    if (here / name).is_dir():
        return load_folder(here / name)
    try:
        return load_pool(name, agents)
    except ConfigError as error:
        if error.field != "pool":
            raise
        expected = f"{error.expected}, or a folder by its path from the suite"
        hint = error.suggestion
        raise ConfigError(error.problem, file=file, field="suite.pool", expected=expected, suggestion=hint) from error


def _loader(
    name: str | None, known: Mapping[str, Callable[[Path], Read]], kind: type[Read], here: Path, file: str
) -> Callable[[Path], Read]:
    """What reads a suite's files, by its name; raises `ConfigError` where it is none, or gives something else."""
    if name is None:
        return known[""]
    if name in known:
        return known[name]
    try:
        own = own_object(located(name, here), "loader", [each for each in known if each])
    except ConfigError as error:
        raise ConfigError(
            error.problem, file=file, field="suite.loader", expected=error.expected, suggestion=error.suggestion
        ) from error
    if not callable(own):
        raise ConfigError(f"`{name}` is no loader", file=file, field="suite.loader", expected="a function of a path")

    def read(path: Path) -> Read:
        found: object = own(path)
        if not isinstance(found, kind):
            expected = "a tuple of `EvalCase`" if kind is tuple else f"a `{kind.__name__}`"
            raise ConfigError(f"`{name}` gave {found!r:.80}", file=file, field="suite.loader", expected=expected)
        return found

    return read


def _cases(paths: Sequence[Path], loader: Callable[[Path], tuple[EvalCase, ...]]) -> tuple[EvalCase, ...]:
    found: dict[str, EvalCase] = {}
    for path in paths:
        for case in loader(path):
            if case.id in found:
                raise ConfigError(f"the id `{case.id}` stands twice", file=shown(path), field="id")
            found[case.id] = case
    return tuple(found.values())


def _scorer(head: _Head, here: Path, file: str, *, allow_code: bool) -> Scorer:
    given: Mapping[str, object] = {"name": head.scorer} if isinstance(head.scorer, str) else head.scorer
    name = str(given.get("name", ""))
    try:
        made_of = {key: value for key, value in given.items() if key != "name"}
        if name == Judge.name:
            return cast("Scorer", checked(Judge, made_of, file=file, where="suite.scorer"))
        if name == Code.name:
            if not allow_code:
                raise ConfigError("runs code that models wrote", expected="--allow-code on the command line")
            return cast("Scorer", checked(Code, made_of, file=file, where="suite.scorer"))
        if name in SCORERS:
            return scorer_named(name, made_of)
        made = own_object(located(name, here), "scorer", [*SCORERS, Code.name, Judge.name])
        return as_scorer(cast("Scorer", made))
    except ConfigError as error:
        field = f"suite.{error.field or 'scorer'}".replace("suite.scorer " + name, "suite.scorer")
        raise ConfigError(
            error.problem, file=file, field=field, expected=error.expected, suggestion=error.suggestion
        ) from error


def _check_references(suite: Suite, paths: Sequence[Path]) -> None:
    """Refuse cases that a rule could not score, before anything is paid for."""
    if not isinstance(suite.scorer, tuple(SCORERS.values())):
        return
    for case in suite.cases:
        try:
            if case.expect.status != "escalated":
                suite.scorer.score("", case)
        except ConfigError as error:
            file = " + ".join(shown(path) for path in paths)
            raise ConfigError(error.problem, file=file, field=error.field, expected=error.expected) from error


def _check_judge(suite: Suite) -> None:
    """Refuse a judge that is no model of the pool."""
    if isinstance(suite.scorer, Judge) and suite.scorer.model not in suite.pool.models:
        known, name = sorted(suite.pool.models), suite.scorer.model
        raise ConfigError(
            f"there is no model `{name}`",
            file=suite.path,
            field="suite.scorer.model",
            expected="one of " + ", ".join(known) if known else "a pool with models",
            suggestion=nearest(name, known),
        )


def _check_limits(limits: Mapping[str, Limit], suite: Suite) -> None:
    known = sorted(suite.pool.models)
    for name in limits:
        if name not in known:
            expected = "one of " + ", ".join(known) if known else "none: the pool has no models"
            problem, hint = f"there is no model `{name}`", nearest(name, known)
            raise ConfigError(problem, file=suite.path, field=f"limits.{name}", expected=expected, suggestion=hint)
