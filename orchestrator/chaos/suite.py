"""Reads chaos suites: a pool, what its experts give, cases with faults over time and what must come of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from orchestrator.content import builtin, read_toml, shown
from orchestrator.errors import ConfigError, nearest
from orchestrator.messages import Status
from orchestrator.pool import Pool, load_folder, load_pool
from orchestrator.pool.descriptors import checked
from orchestrator.pool.files import load_tables, pool_names
from orchestrator.providers import FaultName

__all__ = ["Case", "Expect", "Suite", "Trouble", "find_suites", "load_suite", "suite_schema"]

Names = Annotated[tuple[str, ...], Field(strict=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Trouble(_Table):
    """A fault of one agent, or of every agent (`*`): always, at calls, in a span of time, by chance, or on and off."""

    agent: str
    fault: FaultName = "error"
    calls: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = ()
    """Which calls of the agent fail, from 1; all of them where left out."""
    after: float = Field(default=0.0, ge=0)
    """Seconds since the case began from which on it holds."""
    until: float | None = Field(default=None, gt=0)
    """Seconds at which it is over."""
    probability: float = Field(default=1.0, ge=0, le=1)
    """Chance at each call, drawn from the suite's seed."""
    flapping: int | None = Field(default=None, ge=1)
    """So many calls fail, so many go well, and so on."""
    seconds: float = Field(default=0.0, ge=0)
    """How long the fault takes to show; of a slow reply, how much later it comes."""
    retry_after: float | None = Field(default=None, ge=0)
    """Of a rate limit: what the server asks for."""
    instead: JsonValue = "corrupt"
    """Of a corrupt reply: what stands in its place."""

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.until is not None and self.until <= self.after:
            problem = {"problem": f"is over at {self.until:g} s, before it begins at {self.after:g} s"}
            raise PydanticCustomError("span", "`until` later than `after`", problem)
        return self


class Expect(_Table):
    """What must come of a case; what is left out may be anything. No failure may be silent, no effect doubled."""

    status: Status | None = None
    goal: str | None = None
    """The artifact that was reached."""
    called: Names = ()
    never_called: Names = ()
    reasons: Names = ()
    """Texts that must stand in the decision's reasons."""
    control_calls: int | None = None
    """At most so many."""
    reroutes: int | None = None
    """Exactly so many."""
    seconds: float | None = None
    """At most so many, on the suite's clock."""
    waits: bool | None = None
    """Whether the run waits for experts that cool down."""


class Case(_Table):
    """One question under faults."""

    name: str
    question: str | None = None
    goal: str | None = None
    times: int = Field(default=1, ge=1)
    """How often it is asked, one after the other; what must come of it is held against the last."""
    analyses: int = Field(default=1, ge=1)
    deadline: float | None = Field(default=None, gt=0)
    budget: float | None = Field(default=None, ge=0)
    replies: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    """What agents give in this case, by name."""
    demotes_to: str | None = None
    """What the demoter says in this case."""
    trouble: Annotated[tuple[Trouble, ...], Field(strict=False)] = ()
    expect: Expect = Expect()


class _Head(_Table):
    name: str = ""
    description: str = ""
    question: str = "What is to be done?"
    """Asked where a case asks nothing of its own."""
    seed: int = 0
    pool: str | None = None
    """A named pool, or a folder of descriptors beside the suite; by default the tables of the suite itself."""
    demoter: str | None = None
    """Agent's model that chooses among several lower goals."""
    demotes_to: str = ""
    """What the demoter says."""


class _File(_Table):
    suite: _Head = _Head()
    pool: dict[str, Any] | None = None
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    agents: dict[str, dict[str, Any]] = Field(default_factory=dict)
    risks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    replies: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    """What agents give when they are well, by name."""
    case: Annotated[tuple[Case, ...], Field(strict=False, min_length=1)]


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite, checked against its pool."""

    path: Path
    name: str
    description: str
    question: str
    seed: int
    pool: Pool
    demoter: str | None
    demotes_to: str
    replies: dict[str, JsonValue]
    cases: tuple[Case, ...]


def load_suite(path: Path) -> Suite:
    """Read a suite; raises `ConfigError` naming file, field, what was expected and the nearest valid name."""
    file = shown(path)
    table = read_toml(path)
    read = checked(_File, table, file=file, where="")
    pool = _pool(read, path, file)
    _check(read, pool, file)
    head = read.suite
    return Suite(
        path,
        head.name or path.stem,
        head.description,
        head.question,
        head.seed,
        pool,
        head.demoter,
        head.demotes_to,
        read.replies,
        read.case,
    )


def find_suites(name: str) -> list[Path]:
    """The suites that a name stands for: a file, a folder of them, or one that ships; raises `ConfigError`."""
    path, known = Path(name).expanduser(), _shipped()
    if not path.exists() and name in known:
        path = builtin("evals") / name
    if path.is_file():
        return [path]
    found = sorted(path.glob("*.toml")) if path.is_dir() else []
    if found:
        return found
    problem = "holds no suite" if path.is_dir() else "does not exist"
    expected = "a file or folder of suites (*.toml), or one of " + ", ".join(known)
    raise ConfigError(problem, file=name, field="suite", expected=expected, suggestion=nearest(name, known))


def _shipped() -> list[str]:
    """Folders that ship and hold suites; one with a `suite.toml` is an eval's."""
    files = builtin("evals").glob("*/*.toml")
    return sorted({file.parent.name for file in files if not file.with_name("suite.toml").is_file()})


def suite_schema() -> dict[str, JsonValue]:
    """JSON Schema of a suite file."""
    return cast("dict[str, JsonValue]", _File.model_json_schema())


def _pool(read: _File, path: Path, file: str) -> Pool:
    named = read.suite.pool
    tables: dict[str, object] = {"models": read.models, "agents": read.agents, "risks": read.risks}
    if read.pool is not None:
        tables["pool"] = read.pool
    if named is None:
        return load_tables(tables, path)
    if any(tables.values()):
        expected = "either `suite.pool` or tables of the suite's own"
        raise ConfigError("names a pool beside agents of its own", file=file, field="suite.pool", expected=expected)
    folder = path.parent / named
    if folder.is_dir():
        return load_folder(folder)
    if named not in (known := pool_names()):
        expected = f"a folder beside the suite, or one of {', '.join(known)}"
        hint = nearest(named, known)
        raise ConfigError(f"there is no `{named}`", file=file, field="suite.pool", expected=expected, suggestion=hint)
    return load_pool(named)


def _check(read: _File, pool: Pool, file: str) -> None:
    """Refuse names of agents, goals and models that are not in the pool, and cases of one name."""
    if read.suite.demoter is not None:
        _known(read.suite.demoter, pool.models, file, "suite.demoter")
    names = [case.name for case in read.case]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        expected = "a name of its own for each case"
        raise ConfigError("stands twice", file=file, field=f"case.{twice[0]}.name", expected=expected)
    for name in read.replies:
        _known(name, pool.agents, file, "replies")
    for case in read.case:
        for field, name, known in _named(case, pool):
            _known(name, known, file, f"case.{case.name}.{field}")


def _named(case: Case, pool: Pool) -> Iterator[tuple[str, str, Iterable[str]]]:
    """Every name that a case says, with the field that it stands in and the names that there are."""
    yield from (("trouble.agent", each.agent, pool.agents) for each in case.trouble if each.agent != "*")
    yield from (("expect.called", name, pool.agents) for name in case.expect.called)
    yield from (("expect.never_called", name, pool.agents) for name in case.expect.never_called)
    yield from (("replies", name, pool.agents) for name in case.replies)
    goals = (("goal", case.goal), ("expect.goal", case.expect.goal))
    yield from ((field, goal, pool.artifacts) for field, goal in goals if goal is not None)


def _known(name: str, names: Iterable[str], file: str, field: str) -> None:
    known = sorted(names)
    if name not in known:
        expected = "one of " + ", ".join(known) if known else "nothing: the pool has none"
        raise ConfigError(
            f"there is no `{name}`", file=file, field=field, expected=expected, suggestion=nearest(name, known)
        )
