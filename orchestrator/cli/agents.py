"""`agents` lists, shows, validates and adds descriptors, and prints their schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from orchestrator.cli.adding import add
from orchestrator.cli.options import AgentsOption, JsonOption, PoolOption, pool_of

if TYPE_CHECKING:
    from orchestrator.pool import Agent

__all__ = ["app"]

app = typer.Typer(help="The agents of a pool and their descriptors.", no_args_is_help=True)
app.command("add")(add)


@app.command("list")
def list_agents(*, pool: PoolOption = "local", agents: AgentsOption = None, json: JsonOption = False) -> None:
    """List the agents of a pool."""
    from orchestrator.render import Screen, rows_table

    screen, members = Screen(json=json), pool_of(pool, agents)
    found = sorted(members.agents.values(), key=lambda agent: agent.name)
    if json:
        screen.data([_fields(agent) for agent in found])
        return
    rows = [
        (agent.name, f"{' + '.join(agent.consumes)} → {agent.produces}", f"{agent.skill:g}", _behind(agent), agent.role)
        for agent in found
    ]
    rows_table(rows, screen, header=("agent", "gives", "skill", "behind it", "role"))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of an agent.")],
    *,
    pool: PoolOption = "local",
    agents: AgentsOption = None,
    json: JsonOption = False,
) -> None:
    """Show everything that is known of an agent."""
    from orchestrator.errors import ConfigError, nearest
    from orchestrator.render import Screen, rows_table

    screen, members = Screen(json=json), pool_of(pool, agents)
    if name not in members.agents:
        known = sorted(members.agents)
        raise ConfigError(
            f"there is no agent `{name}`", field="name", expected=", ".join(known), suggestion=nearest(name, known)
        )
    fields = _fields(members.agents[name])
    if json:
        screen.data(fields)
    else:
        rows_table([(key, _cell(value)) for key, value in fields.items() if value not in (None, {})], screen)


@app.command()
def validate(
    folder: Annotated[Path | None, typer.Argument(help="Folder of descriptors; the pool where left out.")] = None,
    *,
    pool: PoolOption = "local",
    agents: AgentsOption = None,
    json: JsonOption = False,
) -> None:
    """Check descriptors, and that every tool they name is there."""
    from orchestrator.pool import load_folder
    from orchestrator.render import Screen
    from orchestrator.tools import bind

    screen = Screen(json=json)
    members = load_folder(folder) if folder is not None else pool_of(pool, agents)
    bind(members)
    if json:
        screen.data(
            {"valid": True, "agents": sorted(members.agents), "models": sorted(members.models), "goals": members.goals}
        )
    else:
        counts = f"{len(members.agents)} agents, {len(members.models)} models, goals {', '.join(members.goals)}"
        screen.answer(f"{members.name}: valid: {counts}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a descriptor file."""
    from orchestrator.pool import descriptor_schema
    from orchestrator.render import Screen

    Screen(json=True).data(descriptor_schema())


def _fields(agent: Agent) -> dict[str, object]:
    fields = agent.model_dump(exclude={"tool"})
    return {**fields, "tool": _behind(agent) if agent.model is None else None, "source": agent.source}


def _behind(agent: Agent) -> str:
    """The model or tool of an agent; a function by its name."""
    tool: object = agent.tool
    return agent.model or (tool if isinstance(tool, str) else str(getattr(tool, "__name__", tool)))


def _cell(value: object) -> str:
    return ", ".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)
