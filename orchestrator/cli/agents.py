"""`agents` lists, shows, validates and adds descriptors, and prints their schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from orchestrator.cli.adding import add
from orchestrator.cli.options import AgentsOption, JsonOption, PoolOption, pool_of

if TYPE_CHECKING:
    from orchestrator.pool import Agent
    from orchestrator.trace import Fared

__all__ = ["app"]

app = typer.Typer(help="The agents of a pool and their descriptors.", no_args_is_help=True)
app.command("add")(add)

MOST_WARNINGS = 8


@app.command("list")
def list_agents(*, pool: PoolOption = None, agents: AgentsOption = None, json: JsonOption = False) -> None:
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
    pool: PoolOption = None,
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
    pool: PoolOption = None,
    agents: AgentsOption = None,
    json: JsonOption = False,
) -> None:
    """Check descriptors, and that every tool they name is there."""
    from orchestrator.pool import load_folder
    from orchestrator.render import Screen
    from orchestrator.tools import bind
    from orchestrator.weak import weaknesses

    screen = Screen(json=json)
    members = load_folder(folder) if folder is not None else pool_of(pool, agents)
    bind(members)
    weak = weaknesses(members)
    if json:
        names = {"agents": sorted(members.agents), "models": sorted(members.models), "risks": sorted(members.risks)}
        screen.data({"valid": True, **names, "goals": members.goals, "weak": weak})
    else:
        for each in weak[:MOST_WARNINGS]:
            screen.note(f"warning: {each}")
        if len(weak) > MOST_WARNINGS:
            screen.note(f"warning: {len(weak) - MOST_WARNINGS} more; see: orchestrator graph weak")
        counts = f"{len(members.agents)} agents, {len(members.models)} models, goals {', '.join(members.goals)}"
        screen.answer(f"{members.name}: valid: {counts}")


@app.command()
def health(
    *,
    last: Annotated[
        int, typer.Option("--last", help="How many stored runs to look at, newest first.", min=1, metavar="N")
    ] = 200,
    json: JsonOption = False,
) -> None:
    """Sum up from stored traces how agents fared: tries, failures, seconds, breakers.

    Breakers live in a process and start fresh with it; this is what they have seen so far.
    """
    from orchestrator.render import Screen, rows_table
    from orchestrator.trace import fared, read_trace, runs_folder, trace_files

    screen, folder = Screen(json=json), runs_folder()
    files = trace_files(folder)[:last] if folder.is_dir() else []
    found = fared(read_trace(path).events for path in files)
    if json:
        screen.data([_figures(each) for each in found])
    elif found:
        header = ("agent", "model", "runs", "tries", "well", "failures", "median", "opened", "last failure")
        rows_table([_health_row(each) for each in found], screen, header=header)
        screen.note(f"from {len(files)} runs in {folder}")
    else:
        screen.note(f"no runs in {folder}")


def _figures(each: Fared) -> dict[str, object]:
    told = {"agent": each.agent, "model": each.model, "runs": each.runs, "tries": each.tries}
    rates = {"success_rate": each.success_rate, "failures": dict(each.failures), "seconds": each.typical_seconds}
    return {**told, **rates, "opened": each.opened, "last_failure": each.last_failure}


def _health_row(each: Fared) -> tuple[str, ...]:
    failures = ", ".join(f"{number} {kind}" for kind, number in each.failures.most_common())
    well = "" if each.success_rate is None else f"{each.success_rate:.0%}"
    typical = "" if each.typical_seconds is None else f"{each.typical_seconds:.2f} s"
    counts = (str(each.runs), str(each.tries), well, failures, typical, str(each.opened))
    return (each.agent, each.model or "", *counts, each.last_failure or "")


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
