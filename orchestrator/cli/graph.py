"""`graph` shows who gives what to whom, and the way to a goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import (
    ESCALATED,
    AgentsOption,
    JsonOption,
    PoolOption,
    flags_of,
    known_expert,
    pool_of,
    silence_warnings,
)

if TYPE_CHECKING:
    from orchestrator.pool import Pool
    from orchestrator.render import Screen

__all__ = ["app"]

app = typer.Typer(help="The capability graph: who gives what, and the way to a goal.", no_args_is_help=True)

MermaidOption = Annotated[bool, typer.Option("--mermaid", help="Print mermaid text.")]


@app.command()
def show(
    *, pool: PoolOption = None, agents: AgentsOption = None, mermaid: MermaidOption = False, json: JsonOption = False
) -> None:
    """Show every expert with what it consumes and produces."""
    from orchestrator.planner import graph_of
    from orchestrator.render import Screen, rows_table

    screen, members = Screen(json=json), pool_of(pool, agents)
    graph = graph_of(members)
    if mermaid:
        screen.answer(graph.to_mermaid())
    elif json:
        screen.data({"goals": members.goals, "experts": graph.experts})
    else:
        rows = [(expert.name, " + ".join(expert.consumes), "→", expert.produces) for expert in graph.experts]
        rows_table(rows, screen, header=("expert", "consumes", "", "produces"))


@app.command()
def path(
    goal: Annotated[str | None, typer.Argument(help="Artifact that is wanted.", show_default=False)] = None,
    *,
    pool: PoolOption = None,
    agents: AgentsOption = None,
    have: Annotated[
        list[str] | None, typer.Option("--have", help="Artifact that is there already; repeatable.", metavar="ARTIFACT")
    ] = None,
    fail: Annotated[
        list[str] | None,
        typer.Option("--fail", help="Leave an expert out; '*' is every expert; repeatable.", metavar="AGENT"),
    ] = None,
    mermaid: MermaidOption = False,
    json: JsonOption = False,
) -> None:
    """Show the cheapest way to a goal by descriptors alone, and what every other way would cost."""
    from orchestrator.graph import CapabilityGraph, Capable
    from orchestrator.pipeline import Orchestrator
    from orchestrator.render import Screen, choices_table, formula
    from orchestrator.weights import Rates

    screen, members = Screen(json=json), pool_of(pool, agents)
    known = list(members.agents)
    lost = {known_expert(name, known, f"--fail {name}") for name in fail or ()}
    silence_warnings()
    choice = Orchestrator(members, trace=False).path(goal, have=have or (), without=known if "*" in lost else lost)
    if json:
        screen.data(choice)
    elif mermaid:
        steps = choice.plan.steps if choice.plan else ()
        way = CapabilityGraph(Capable(step.agent, step.consumes, step.produces) for step in steps)
        screen.answer(way.to_mermaid())
    else:
        choices_table(choice, screen, Rates())
        screen.note(formula(Rates()))
        _say_what_is_left_out(screen, members, flags_of(pool, agents))
    raise typer.Exit(0 if choice.plan else ESCALATED)


@app.command()
def weak(
    goal: Annotated[str | None, typer.Argument(help="Artifact that is wanted.", show_default=False)] = None,
    *,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only for this kind of question.", metavar="KIND", show_default=False)
    ] = None,
    pool: PoolOption = None,
    agents: AgentsOption = None,
    json: JsonOption = False,
) -> None:
    """Show per goal and kind of question what one failure makes unreachable, and what is left then."""
    from orchestrator.render import Screen, rows_table
    from orchestrator.weak import weaknesses

    screen, members = Screen(json=json), pool_of(pool, agents)
    found = weaknesses(members, goal=goal, kind=kind)
    if json:
        screen.data(found)
    elif found:
        rows = [
            (
                each.goal,
                each.kind or "any",
                each.without or "nobody gives it",
                ", ".join(each.takes),
                each.instead or "",
            )
            for each in found
        ]
        rows_table(rows, screen, header=("goal", "kind", "hangs on", "takes with it", "left then"))
    else:
        screen.answer("no single failure makes a goal unreachable")
    if not json and any(agent.tool is not None for agent in members.agents.values()):
        screen.note("by descriptors alone: what a tool can do with one question is not looked at")


def _say_what_is_left_out(screen: Screen, members: Pool, flags: str) -> None:
    """Tools look at the question that they are asked; here there was none to look at."""
    if any(agent.tool is not None for agent in members.agents.values()):
        told = "no question was given, so every tool counts as able to take it; with a question: "
        screen.note(f'{told}orchestrator route --explain "…"{flags}')
