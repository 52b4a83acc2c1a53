"""`agents add` writes the descriptor of an expert over a model."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.missing import named_model, priced_name
from orchestrator.cli.options import AgentsOption

if TYPE_CHECKING:
    from orchestrator.pool import Agent, Model, Price

__all__ = ["add"]

_HERE = Path("agents")
_NOT_IN_FILES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where descriptors go, and what a command needs to find them there."""

    folder: Path
    pool: str
    agents: tuple[Path, ...]

    @property
    def readable(self) -> list[Path]:
        """Those of the folders to name that hold descriptors already."""
        return [path for path in self.agents if next(path.rglob("*.toml"), None)]

    @property
    def flags(self) -> str:
        """Options that make a run use the pool with what was written."""
        return " ".join(["--pool", shlex.quote(self.pool), *(f"--agents {shlex.quote(str(a))}" for a in self.agents)])


def add(
    model: Annotated[str, typer.Argument(help="The model, as provider:id.", metavar="PROVIDER:ID")],
    *,
    name: Annotated[
        str | None, typer.Option("--as", help="Name of the agent; the model's id unless told.", metavar="AGENT")
    ] = None,
    skill: Annotated[float, typer.Option("--skill", help="Probability of a right reply.", min=0, max=1)] = 0.5,
    role: Annotated[str, typer.Option("--role", help="What it is good at, for routers and people.")] = "",
    pool: Annotated[str, typer.Option("--pool", help="Pool that it joins.", metavar="NAME")] = "cloud",
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Where to write; ./agents, else the user's own folder.", metavar="DIR"),
    ] = None,
    agents: AgentsOption = None,
) -> None:
    """Write the descriptor of an expert over a model, with the model's list price; overwrites nothing."""
    from orchestrator.errors import ConfigError
    from orchestrator.pool import Agent, known_models
    from orchestrator.pool.ad_hoc import agent_name
    from orchestrator.render import Screen

    place = _place(folder, pool, agents or [])
    described = known_models(place.readable)
    found = named_model(model, described, field="model")
    agent = Agent(
        name=agent_name(found) if name is None else name, role=role, model=found.name, prompt="expert", skill=skill
    )
    path = place.folder / pool / f"{_NOT_IN_FILES.sub('-', agent.name).strip('-.') or 'agent'}.toml"
    if taken := _taken(agent.name, place) or (str(path) if path.exists() else None):
        raise ConfigError(f"the name `{agent.name}` is taken", file=taken, expected="another name: --as AGENT")
    tables = ([] if found.name in described else [_model_table(found)]) + [_agent_table(agent)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write("\n".join(tables))
    screen = Screen()
    if found.price is None and not found.free:
        screen.note(_unpriced(found))
    screen.answer(f'wrote {path}: `{agent.name}` over {found.name}; use it: orchestrator run "…" {place.flags}')


def _place(folder: Path | None, pool: str, agents: list[Path]) -> _Place:
    """The folder that was named, else ./agents, else the user's own, which every command reads by itself."""
    from orchestrator.content import own_agents
    from orchestrator.errors import ConfigError

    if pool != Path(pool).name:
        raise ConfigError(f"`{pool}` is no name of a pool", field="pool", expected="a name without slashes")
    own = own_agents()
    chosen = folder or (_HERE if _HERE.is_dir() else own)
    if chosen.resolve() == own.resolve():
        return _Place(chosen, pool, tuple(agents))
    return _Place(chosen, pool, tuple(dict.fromkeys([*agents, chosen])))


def _taken(name: str, place: _Place) -> str | None:
    """Where the pool has an agent of this name already."""
    from orchestrator.pool import load_pool
    from orchestrator.pool.files import pool_names

    if place.pool not in pool_names(place.readable):
        return None
    other = load_pool(place.pool, place.readable).agents.get(name)
    return None if other is None else other.source or f"the pool `{place.pool}`"


def _model_table(model: Model) -> str:
    from orchestrator.content import toml_string

    lines = [f"[models.{toml_string(model.name)}]"]
    if model.price is not None:
        lines.append(f"price = {_price(model.price)}")
    if model.context_window is not None:
        lines.append(f"context_window = {model.context_window}")
    return "\n".join(lines) + "\n"


def _price(price: Price) -> str:
    from orchestrator.content import toml_string

    amounts = [(key, getattr(price, key)) for key in ("input", "output", "cached", "cache_write")]
    stated = [f"{key} = {amount.normalize():f}" for key, amount in amounts if amount is not None]
    return "{ " + ", ".join([*stated, f"as_of = {price.as_of}", f"source = {toml_string(price.source)}"]) + " }"


def _agent_table(agent: Agent) -> str:
    from orchestrator.content import toml_string

    fields = {"role": agent.role, "model": agent.model, "prompt": agent.prompt}
    lines = [f"{key} = {toml_string(value)}" for key, value in fields.items() if value]
    return "\n".join([f"[agents.{toml_string(agent.name)}]", *lines, f"skill = {float(agent.skill)}"]) + "\n"


def _unpriced(model: Model) -> str:
    """What to do about a price that nobody knows."""
    hint = priced_name(model.name)
    text = f"the price of {model.name} is unknown: under a budget it is not asked until its table states a `price`"
    return text + (f"; or did you mean {hint}?" if hint else "")
