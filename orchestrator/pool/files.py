"""Reads pools from TOML folders and from what other packages plug in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from orchestrator.content import builtin_agents, load_prompt, own_agents, pool_files, read_toml, shown, toml_tables
from orchestrator.errors import ConfigError, nearest
from orchestrator.pool.descriptors import NOT_IN_TABLES, Agent, Model, Price, checked, unknown_key
from orchestrator.pool.experts import as_agent
from orchestrator.pool.meanings import meanings
from orchestrator.pool.modules import experts_in
from orchestrator.pool.plugins import Plugin, plugins
from orchestrator.pool.prices import listed_model
from orchestrator.pool.registry import Member, Pool
from orchestrator.pool.risks import Risk

__all__ = [
    "descriptor_schema",
    "known_models",
    "load_folder",
    "load_pool",
    "load_tables",
    "load_text",
    "pool_names",
    "pools_beside",
]

TEXT = "pool.toml"
"""What a text is called that is read as if it were a file."""


PROMPT_TEXT: Mapping[str, JsonValue] = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
"""JSON Schema of a prompt that is written out where it is used."""

Described = TypeVar("Described", Model, Agent, Risk)


class PoolTable(BaseModel):
    """The `[pool]` table: what holds for the pool as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    goals: Annotated[list[str], Field(min_length=1)]
    """Artifacts that a run may end in, best first."""
    description: str = ""
    """What the pool is for, for people."""
    router: str | None = None
    """Model that an LLM router asks unless told otherwise."""
    merger: str | None = None
    """Model that merges replies where the merge needs one."""


class PoolFile(BaseModel):
    """A descriptor file: models, agents and risk rules by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    pool: PoolTable | None = None
    """What holds for the pool as a whole; in one file of a folder."""
    models: dict[str, dict[str, object]] = Field(default_factory=dict)
    """Models by name: `[models."provider:id"]`, or any name with `provider`, `id` and, for a server, `base_url`."""
    agents: dict[str, dict[str, object]] = Field(default_factory=dict)
    """Agents by name, each over a model or a tool."""
    risks: dict[str, dict[str, object]] = Field(default_factory=dict)
    """Rules by name that stop a run for a person."""


_TABLES = (PoolTable, Model, Price, Agent, Risk)
"""The kinds of tables that a descriptor file holds."""


@dataclass(slots=True)
class _Found:
    """What descriptor files and plug-ins gave so far."""

    members: list[Member] = field(default_factory=list[Member])
    goals: tuple[str, ...] | None = None
    router: str | None = None
    merger: str | None = None
    source: str | None = None
    """The file that states the goals."""

    def read(self, path: Path, *, pool: bool = True) -> None:
        """Add a file; what its [pool] table states replaces what files before it did, unless `pool` is false."""
        self.read_tables(read_toml(path), path, pool=pool)

    def read_tables(self, content: Mapping[str, object], path: Path, *, pool: bool = True) -> None:
        """Add the tables of a file."""
        file = shown(path)
        tables = checked(PoolFile, content, file=file, where="")
        self.members += [_described(Model, name, table, file) for name, table in tables.models.items()]
        self.members += [_agent(name, table, path) for name, table in tables.agents.items()]
        self.members += [_described(Risk, name, table, file) for name, table in tables.risks.items()]
        if tables.pool is not None and pool:
            self._take(_Found([], tuple(tables.pool.goals), tables.pool.router, tables.pool.merger, file))

    def add(self, other: _Found, *, pool: bool) -> None:
        """Add what a plug-in or folder offers, with its goals and roles where it is the pool that was asked for."""
        self.members += other.members
        if pool:
            self._take(other)

    def lay_over(self, other: _Found) -> None:
        """Add a folder whose models replace those of the same name from folders before it."""
        anew = {member.name for member in other.members if isinstance(member, Model)}
        self.members = [each for each in self.members if not (isinstance(each, Model) and each.name in anew)]
        self.add(other, pool=True)

    def tools_named(self) -> set[tuple[str, str]]:
        """(file, function) of every tool that a descriptor names by its file."""
        tools = [member.tool for member in self.members if isinstance(member, Agent) and isinstance(member.tool, str)]
        return {(Path(where).name, name) for where, _, name in (tool.rpartition(":") for tool in tools)}

    def pool(self, name: str) -> Pool:
        """All of it as a pool; a vendor's model that only an agent names is described by its list price."""
        described = {member.name for member in self.members if isinstance(member, Model)}
        named = {member.model for member in self.members if isinstance(member, Agent) and member.model}
        listed = [model for name in sorted(named - described) if (model := listed_model(name)) is not None]
        return Pool(
            [*self.members, *listed],
            goals=self.goals,
            name=name,
            source=self.source,
            router=self.router,
            merger=self.merger,
        )

    def _take(self, other: _Found) -> None:
        if other.goals is not None:
            self.goals, self.source = other.goals, other.source
        self.router, self.merger = other.router or self.router, other.merger or self.merger


def load_pool(
    name: str = "local",
    folders: Sequence[str | Path] = (),
    *,
    plugins: bool = True,
    own: bool = True,
    whole: bool = False,
) -> Pool:
    """The pool `name` from the package, the user's own folder, `folders` and plug-ins; raises `ConfigError`.

    Each folder may describe a model anew that one before it described. With `own=False` the user's own folder, where
    `agents add` writes (see `own_agents`), is left out, with `plugins=False` what other packages offer. With
    `whole=True` every other pool in `folders` joins, but for its [pool] table.
    """
    roots, given = _roots(folders, own=own), set(map(_root, folders))
    offered = _plugged_in() if plugins else {}
    if not (_holds(name, roots, given) or name in offered):
        known = pool_names(folders, plugins=plugins, own=own)
        hint, expected = nearest(name, known), f"one of {', '.join(known)}"
        expected += "" if hint else ", or the folder that holds it: --agents DIR"
        raise ConfigError(f"there is no pool `{name}`", field="pool", expected=expected, suggestion=hint)
    found = _Found()
    for root in roots:
        found.lay_over(_in_root(root, name, given=root in given, whole=whole))
    for point, plugged in offered.items():
        found.add(plugged, pool=point == name)
    return found.pool(name)


def pools_beside(name: str, folders: Sequence[str | Path]) -> dict[str, list[PoolTable]]:
    """The other pools in `folders`, which join with `whole=True`, with the [pool] tables that then do not count."""
    found: dict[str, list[PoolTable]] = {}
    for root in map(_root, folders):
        for other in _pools_in(root):
            if other != name:
                files = sorted((root / other).glob("*.toml"))
                tables = [checked(PoolFile, read_toml(file), file=shown(file), where="").pool for file in files]
                found.setdefault(other, []).extend(table for table in tables if table is not None)
    return found


def load_folder(folder: str | Path) -> Pool:
    """A folder as a pool of its own, with descriptors in subfolders and Python beside them; raises `ConfigError`."""
    root = _folder(folder)
    found = _Found(source=str(folder))
    tables = sorted(root.rglob("*.toml"))
    for file in tables:
        found.read(file)
    places = sorted({root, *(file.parent for file in tables)})
    scripts = [file for place in places for file in sorted(place.glob("*.py"))]
    found.members += experts_in(scripts, found.tools_named())
    return found.pool(root.name)


def load_tables(tables: Mapping[str, object], path: Path) -> Pool:
    """The tables of a file, read already, as a pool of their own; raises `ConfigError`."""
    found = _Found(source=shown(path))
    found.read_tables(tables, path)
    return found.pool(path.stem)


def load_text(text: str, folder: Path) -> Pool:
    """The text of a descriptor file as a pool of its own, as if it stood in a folder; raises `ConfigError`."""
    return load_tables(toml_tables(text, TEXT), folder / TEXT)


def pool_names(folders: Sequence[str | Path] = (), *, plugins: bool = True, own: bool = True) -> list[str]:
    """Names of all pools that can be loaded."""
    named = {name for root in _roots(folders, own=own) for name in _pools_in(root)}
    return sorted(named | set(_plugged_in() if plugins else ()))


def known_models(folders: Sequence[str | Path] = (), *, own: bool = True) -> dict[str, Model]:
    """Every model that a table describes in the package, the user's own folder and `folders`, by name."""
    found: dict[str, Model] = {}
    for root in _roots(folders, own=own):
        for path in sorted(root.rglob("*.toml")):
            file = shown(path)
            tables = checked(PoolFile, read_toml(path), file=file, where="").models
            found |= {name: _described(Model, name, table, file) for name, table in tables.items()}
    return found


def descriptor_schema() -> dict[str, JsonValue]:
    """JSON Schema of a descriptor file."""
    schema = PoolFile.model_json_schema()
    for tables, kind in (("models", Model), ("agents", Agent), ("risks", Risk)):
        table = kind.model_json_schema()
        for hidden in NOT_IN_TABLES:
            table["properties"].pop(hidden, None)
        table["required"] = [key for key in table.get("required", []) if key != "name"]
        if "prompt" in table["properties"]:
            table["properties"]["prompt"]["anyOf"].append(PROMPT_TEXT)
        schema.setdefault("$defs", {}).update(table.pop("$defs", {}))
        schema["$defs"][kind.__name__] = table
        schema["properties"][tables]["additionalProperties"] = {"$ref": f"#/$defs/{kind.__name__}"}
    for kind, table in ((PoolFile, schema), *((kind, schema["$defs"][kind.__name__]) for kind in _TABLES)):
        for name, meaning in meanings(kind).items():
            if name in table["properties"]:
                table["properties"][name]["description"] = meaning
    return cast("dict[str, JsonValue]", schema)


def _roots(folders: Sequence[str | Path], *, own: bool) -> list[Path]:
    """The folders to read, each once: the package's, the user's own where there is one, those that were named."""
    mine = [own_agents()] if own and own_agents().is_dir() else []
    roots = [builtin_agents(), *mine, *map(_root, folders)]
    return list({root.resolve(): root for root in reversed(roots)}.values())[::-1]


def _root(folder: str | Path) -> Path:
    """The folder that holds the pools: this one, or its `agents` where `init` wrote it and nothing else is here."""
    path = _folder(folder)
    inner = path / "agents"
    nested = any(inner.glob("*/*.toml")) and not any((*path.glob("*.toml"), *path.glob("*.py")))
    return inner if nested and set(_pools_in(path)) <= {inner.name} else path


def _pools_in(root: Path) -> list[str]:
    """The names of the pools whose folders lie in this one."""
    return sorted({path.parent.name for path in root.glob("*/*.toml")})


def _holds(name: str, roots: Sequence[Path], given: Collection[Path]) -> bool:
    """Whether a folder has the pool inside, or is the pool's own folder and was named as such."""
    return any((root / name).is_dir() or (root in given and root.name == name) for root in roots)


def _in_root(root: Path, name: str, *, given: bool, whole: bool) -> _Found:
    """What a folder gives to a pool; Python files, and with `whole` the pools beside it, where it is given."""
    here, others = _Found(), [other for other in _pools_in(root) if given and whole and other != name]
    for file in pool_files(root, name):
        here.read(file)
    for other in others:
        for file in sorted((root / other).glob("*.toml")):
            here.read(file, pool=False)
    if given:
        scripts = [file for other in others for file in sorted((root / other).glob("*.py"))]
        here.members += experts_in([*pool_files(root, name, "py"), *scripts], here.tools_named())
    return here


def _folder(folder: str | Path) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ConfigError(
            "is not a folder" if path.exists() else "does not exist",
            file=str(folder),
            expected="a folder of descriptors (*.toml)",
        )
    if not any((*path.rglob("*.toml"), *path.glob("*.py"))):
        expected = "files that end in .toml, or Python files with `@expert` functions"
        raise ConfigError("holds no descriptors", file=str(folder), expected=expected)
    return path


def _described(kind: type[Described], name: str, table: Mapping[str, object], file: str) -> Described:
    where = f"{kind.__name__.lower()}s.{name}"
    for key in sorted(NOT_IN_TABLES & table.keys()):
        raise unknown_key(key, kind, f"{where}.{key}", file)
    return checked(kind, {**table, "name": name, "source": file}, file=file, where=where)


def _agent(name: str, table: Mapping[str, object], path: Path) -> Agent:
    file, written = shown(path), _written_out(table.get("prompt"))
    agent = _described(Agent, name, table if written is None else {**table, "prompt": written}, file)
    if agent.prompt is None or written is not None:
        return agent
    try:
        prompt = load_prompt(agent.prompt, path.parent)
    except ConfigError as error:
        raise ConfigError(
            error.problem,
            file=file,
            field=f"agents.{name}.prompt",
            expected=error.expected,
            suggestion=error.suggestion,
        ) from error
    told = prompt.fill_known(name=name, role=agent.role or "general questions")
    return agent.model_copy(update={"prompt": told})


def _written_out(prompt: object) -> str | None:
    """The text of `prompt = { text = "…" }`, which is taken as it is; None where a prompt's name is given, or none."""
    if not isinstance(prompt, Mapping):
        return None
    stated = cast("Mapping[str, object]", prompt)
    text = stated.get("text")
    return text if isinstance(text, str) and len(stated) == 1 else None


def _plugged_in() -> dict[str, _Found]:
    return {plugin.name: _offered(plugin) for plugin in plugins("agents")}


def _offered(plugin: Plugin) -> _Found:
    """What an entry point offers: a pool, a folder, one member or several."""
    offered, source = plugin.load(), plugin.source
    found = _Found(source=source)
    if isinstance(offered, (str, Path)) and Path(offered).is_dir():
        for file in sorted(_folder(offered).rglob("*.toml")):
            found.read(file)
    elif isinstance(offered, Pool):
        found.members += offered.members
        found.goals, found.router, found.merger = offered.goals, offered.router, offered.merger
    elif isinstance(offered, (list, tuple)):
        found.members += [_member(member, source) for member in cast("Iterable[object]", offered)]
    else:
        found.members.append(_member(offered, source))
    return found


def _member(offered: object, source: str) -> Member:
    """An agent or model as it is, and of a function the expert that it is."""
    if isinstance(offered, (Agent, Model, Risk)):
        return offered
    if callable(offered) and not isinstance(offered, type):
        return as_agent(offered)
    raise ConfigError(
        f"offers {offered!r}", file=source, expected="an `Agent`, a `Model`, a typed function, a `Pool` or a folder"
    )
