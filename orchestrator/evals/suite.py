"""Suites: what is asked of whom, how it is scored, which systems run, and what has to come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from orchestrator.content import builtin, read_toml, shown
from orchestrator.errors import ConfigError, nearest
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.loaders import load_cases, load_outcomes
from orchestrator.evals.matrix import Split
from orchestrator.evals.scorers import Scorer, scorer_named
from orchestrator.pool import Pool, load_folder, load_pool
from orchestrator.pool.descriptors import checked
from orchestrator.providers import RecordedFile, join_recorded
from orchestrator.tools import Resources

__all__ = ["Candidate", "Gates", "Suite", "find_suite", "load_suite", "recorded_suite", "suite_schema"]

Texts = Annotated[tuple[str, ...], Field(strict=False)]
RECORDED = (".jsonl", ".jsonl.gz", ".csv")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Candidate(_Table):
    """A way to decide that an eval runs: a router, a merge and how many analyses."""

    router: str = "plan"
    """`plan`, `llm`, the name of a model, or `package.module:attribute`."""
    merge: str | None = None
    """A merge by name or `package.module:attribute`; the router's own where left out."""
    analyses: int = Field(default=1, ge=1)
    prefer: Literal["quality", "balanced", "cheap"] = "balanced"

    @property
    def name(self) -> str:
        """How reports call it."""
        parts = [self.router, *([self.merge] if self.merge else [])]
        parts += [f"x{self.analyses}"] if self.analyses > 1 else []
        parts += [self.prefer] if self.prefer != "balanced" else []
        return "+".join(parts)


class Gates(_Table):
    """What has to come of an eval; one that does not hold makes it exit with 3."""

    fail_under: float | None = Field(default=None, ge=0, le=1)
    """Every router scores at least so much."""
    max_cost_per_question: float | None = Field(default=None, ge=0)
    """USD."""
    no_worse_than: str | None = None
    """A baseline that no router may score significantly below."""


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
    scorer: str | dict[str, JsonValue] = "exact"
    """A scorer by name, or a table of its name and settings."""
    budget: float | None = Field(default=None, ge=0)
    """USD that a question may cost."""
    seconds: float | None = Field(default=None, gt=0)
    """Seconds that a question may take."""


class _File(_Table):
    suite: _Head
    systems: Annotated[tuple[Candidate, ...], Field(strict=False)] = ()
    gates: Gates = Gates()


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
    resources: Resources = field(default_factory=Resources)
    budget: Decimal | None = None
    seconds: float | None = None

    def part(self, split: Split) -> tuple[EvalCase, ...]:
        """The cases of a split; raises `ConfigError` where there are none."""
        found = tuple(case for case in self.cases if split in (case.split, "all"))
        if not found:
            raise ConfigError(f"holds no {split} cases", file=self.path, field="split", expected="another --split")
        return found

    def with_candidates(self, candidates: Sequence[Candidate]) -> Suite:
        """The suite with other systems."""
        return replace(self, candidates=tuple(candidates)) if candidates else self


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


def load_suite(path: Path, data: Sequence[Path] = ()) -> Suite:
    """Read a suite, or a file of recorded outcomes as one; `data` stands in for its own cases.

    Raises `ConfigError` naming file, field, what was expected and the nearest valid name.
    """
    if path.name.endswith(RECORDED):
        return recorded_suite([path])
    file = shown(path)
    read = checked(_File, read_toml(path), file=file, where="")
    head, here = read.suite, path.parent
    if head.recorded:
        suite = recorded_suite([here / name for name in head.recorded], name=head.name or here.name)
    else:
        paths = list(data) or [here / name for name in head.data]
        if not paths:
            raise ConfigError("names no cases", file=file, field="suite.data", expected="`data` or `recorded`")
        suite = Suite(
            file, head.name or here.name, head.description, _pool(head.pool, here), _cases(paths), _scorer(head)
        )
    docs = here / head.docs if head.docs else None
    return replace(
        suite,
        path=file,
        description=head.description,
        candidates=read.systems or (Candidate(),),
        gates=read.gates,
        resources=Resources(docs=docs, tables=tuple(here / name for name in head.tables)),
        budget=None if head.budget is None else Decimal(str(head.budget)),
        seconds=head.seconds,
    )


def recorded_suite(paths: Sequence[Path], *, name: str | None = None) -> Suite:
    """Files of recorded outcomes as a suite: their models are the pool, the recorded score is the scorer."""
    files = [load_outcomes(path) for path in paths]
    file = files[0] if len(files) == 1 else join_recorded(files)
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
    shown_name = name or "+".join(path.name.split(".")[0] for path in paths)
    return Suite(file.path, shown_name, "recorded outcomes", file.pool, cases, None, file)


def named_object(name: str, field: str) -> object:
    """What stands at `package.module:attribute`; raises `ConfigError`."""
    module, _, attribute = name.rpartition(":")
    try:
        return cast("object", getattr(import_module(module), attribute))
    except (ImportError, AttributeError, ValueError) as error:
        problem = f"`{name}` cannot be loaded: {error}"
        raise ConfigError(problem, field=field, expected="`package.module:attribute`") from error


def suite_schema() -> dict[str, JsonValue]:
    """JSON Schema of a suite file."""
    return cast("dict[str, JsonValue]", _File.model_json_schema())


def _pool(name: str, here: Path) -> Pool:
    return load_folder(here / name) if (here / name).is_dir() else load_pool(name)


def _cases(paths: Sequence[Path]) -> tuple[EvalCase, ...]:
    found: dict[str, EvalCase] = {}
    for path in paths:
        for case in load_cases(path):
            if case.id in found:
                raise ConfigError(f"the id `{case.id}` stands twice", file=shown(path), field="id")
            found[case.id] = case
    return tuple(found.values())


def _scorer(head: _Head) -> Scorer:
    if isinstance(head.scorer, str):
        given: Mapping[str, object] = {"name": head.scorer}
    else:
        given = head.scorer
    name = str(given.get("name", ""))
    if ":" in name:
        return cast("Scorer", named_object(name, "suite.scorer"))
    return scorer_named(name, {key: value for key, value in given.items() if key != "name"})
