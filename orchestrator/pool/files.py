"""Reads pools from TOML folders and from what other packages plug in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from orchestrator.content import builtin_agents, pool_files, read_prompt, read_toml, shown
from orchestrator.errors import ConfigError, nearest
from orchestrator.pool.descriptors import Agent, Model, checked
from orchestrator.pool.registry import Member, Pool

__all__ = ["ENTRY_POINTS", "descriptor_schema", "load_folder", "load_pool", "pool_names"]

ENTRY_POINTS = "orchestrator.agents"
"""Entry-point group under which other packages offer agents."""


class PoolTable(BaseModel):
    """The `[pool]` table: what holds for the pool as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    goals: Annotated[list[str], Field(min_length=1)]
    """Artifacts that a run may end in, best first."""
    description: str = ""


class PoolFile(BaseModel):
    """A descriptor file: models and agents by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    pool: PoolTable | None = None
    models: dict[str, dict[str, object]] = Field(default_factory=dict)
    agents: dict[str, dict[str, object]] = Field(default_factory=dict)


def load_pool(name: str = "local", folders: Sequence[str | Path] = (), *, plugins: bool = True) -> Pool:
    """The pool `name` from the package, from `folders` and from installed plug-ins; raises `ConfigError`."""
    roots = [builtin_agents(), *map(_folder, folders)]
    offered = _plugged_in() if plugins else {}
    if not any((root / name).is_dir() for root in roots) and name not in offered:
        known = pool_names(folders, plugins=plugins)
        raise ConfigError(
            f"there is no pool `{name}`",
            field="pool",
            expected="one of " + ", ".join(known),
            suggestion=nearest(name, known),
        )
    members: list[Member] = []
    goals: list[str] | None = None
    for file in (file for root in roots for file in pool_files(root, name)):
        found, stated = _read(file)
        members += found
        goals = stated or goals
    members += [member for plugged in offered.values() for member in plugged]
    return Pool(members, goals=goals, name=name)


def load_folder(folder: str | Path) -> Pool:
    """A folder of descriptors as a pool of its own, subfolders included; raises `ConfigError`."""
    root = _folder(folder)
    members: list[Member] = []
    goals: list[str] | None = None
    files = sorted(root.rglob("*.toml"))
    if not files:
        raise ConfigError("holds no descriptors", file=shown(root), expected="files that end in .toml")
    for file in files:
        found, stated = _read(file)
        members += found
        goals = stated or goals
    return Pool(members, goals=goals, name=root.name)


def pool_names(folders: Sequence[str | Path] = (), *, plugins: bool = True) -> list[str]:
    """Names of all pools that can be loaded."""
    roots = [builtin_agents(), *map(_folder, folders)]
    named = {path.parent.name for root in roots for path in root.glob("*/*.toml")}
    return sorted(named | set(_plugged_in() if plugins else ()))


def descriptor_schema() -> dict[str, JsonValue]:
    """JSON Schema of a descriptor file."""
    schema = PoolFile.model_json_schema()
    for field, kind in (("models", Model), ("agents", Agent)):
        table = kind.model_json_schema()
        for hidden in ("name", "source", "claim"):
            table["properties"].pop(hidden, None)
        table["required"] = [key for key in table.get("required", []) if key != "name"]
        schema.setdefault("$defs", {}).update(table.pop("$defs", {}))
        schema["$defs"][kind.__name__] = table
        schema["properties"][field]["additionalProperties"] = {"$ref": f"#/$defs/{kind.__name__}"}
    return cast("dict[str, JsonValue]", schema)


def _folder(folder: str | Path) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ConfigError(
            "is not a folder", file=str(folder), field="agents", expected="a folder of descriptors (*.toml)"
        )
    return path


def _read(path: Path) -> tuple[list[Member], list[str] | None]:
    file = shown(path)
    tables = checked(PoolFile, read_toml(path), file=file, where="")
    models = [_model(name, table, file) for name, table in tables.models.items()]
    agents = [_agent(name, table, path) for name, table in tables.agents.items()]
    return [*models, *agents], list(tables.pool.goals) if tables.pool else None


def _model(name: str, table: Mapping[str, object], file: str) -> Model:
    return checked(Model, {**table, "name": name, "source": file}, file=file, where=f"models.{name}")


def _agent(name: str, table: Mapping[str, object], path: Path) -> Agent:
    file = shown(path)
    agent = checked(Agent, {**table, "name": name, "source": file}, file=file, where=f"agents.{name}")
    if agent.prompt is None:
        return agent
    try:
        return agent.model_copy(update={"prompt": read_prompt(agent.prompt, path.parent)})
    except ConfigError as error:
        raise ConfigError(
            error.problem,
            file=file,
            field=f"agents.{name}.prompt",
            expected=error.expected,
            suggestion=error.suggestion,
        ) from error


def _plugged_in() -> dict[str, list[Member]]:
    return {point.name: _members(point) for point in entry_points(group=ENTRY_POINTS)}


def _members(point: EntryPoint) -> list[Member]:
    """What an entry point offers: a pool, a folder, one member or several."""
    try:
        offered: object = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"cannot be loaded: {error}", file=f"entry point {ENTRY_POINTS}", field=point.name) from error
    if isinstance(offered, (str, Path)):
        offered = load_folder(offered)
    if isinstance(offered, Pool):
        return [*offered.models.values(), *offered.agents.values()]
    if isinstance(offered, Iterable):
        return list(cast("Iterable[Member]", offered))
    return [cast("Member", offered)]
