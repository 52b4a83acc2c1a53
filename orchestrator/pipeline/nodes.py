"""The LangGraph of a run: decide, consult, heal, merge."""
# langgraph leaves parameters of its own types open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from typing import Literal, NotRequired, TypedDict, cast

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langsmith.run_helpers import tracing_context

from orchestrator.consult import consult
from orchestrator.decision import conclude
from orchestrator.errors import ConfigError
from orchestrator.heal import conclude_on_limit, heal
from orchestrator.messages import Decision
from orchestrator.protocol import Turn
from orchestrator.routers import PlanRouter, Routing, View
from orchestrator.runtime import RunContext
from orchestrator.state import RunState
from orchestrator.trace.events import TurnTaken

__all__ = ["Channels", "PipelineGraph", "compiled_graph", "walk"]

STEPS = 1_000_000
"""LangGraph's own limit, out of the way: turns, money and the failure of experts bound a run."""


class Channels(TypedDict):
    """What the graph carries: the run's state, and at the end its decision."""

    run: RunState
    decision: NotRequired[Decision]


PipelineGraph = CompiledStateGraph[Channels, RunContext, Channels, Channels]
NextNode = Literal["decide", "consult", "heal", "merge"]


@cache
def compiled_graph() -> PipelineGraph:
    """The compiled graph; one serves all runs, since what differs between them is in state and context."""
    graph = StateGraph(Channels, context_schema=RunContext)
    graph.add_node("decide", _decide)
    graph.add_node("consult", _consult)
    graph.add_node("heal", _heal)
    graph.add_node("merge", _merge)
    graph.add_edge(START, "decide")
    graph.add_conditional_edges("decide", _after_decide, ["decide", "consult", "heal", "merge"])
    graph.add_conditional_edges("consult", _after_consult, ["decide", "heal"])
    graph.add_conditional_edges("heal", _after_heal, ["decide", "consult", "merge"])
    graph.add_edge("merge", END)
    return graph.compile(checkpointer=False, name="thinkroute")


async def walk(state: RunState, context: RunContext, *, langsmith: bool = False) -> Decision:
    """Take a run from its state to its decision; LangSmith's tracing is off unless asked for."""
    graph = compiled_graph()
    with tracing_context(enabled=None if langsmith else False):
        ended = await graph.ainvoke({"run": state}, {"recursion_limit": STEPS}, context=context)
    return ended["decision"]


async def _decide(state: Channels, runtime: Runtime[RunContext]) -> dict[str, RunState]:
    run, context = state["run"], runtime.context
    done = run.complete and isinstance(context.router, PlanRouter)  # its end is no further turn
    if not done and (limit := context.limit_hit(run.turns)):
        return {"run": conclude_on_limit(run, context, limit)}
    until = asyncio.timeout(context.seconds_left())
    try:
        async with until:
            routing = await _decided(run, context)
    except TimeoutError:
        if until.expired():
            return {"run": conclude_on_limit(run, context, context.late())}
        raise
    return {"run": _taken(routing, run, context)}


async def _decided(run: RunState, context: RunContext) -> Routing:
    """What the router decided, if it is a turn at all."""
    view = View(run, tuple(context.facilities.pool.agents.values()), context.planner)
    decided = cast("object", await context.router.decide(view))
    if isinstance(decided, Turn):
        return Routing(decided)
    if isinstance(decided, Routing):
        return decided
    raise ConfigError(f"decided {decided!r}", field=f"router {context.router.name}", expected="a `Turn` of actions")


def _taken(routing: Routing, state: RunState, context: RunContext) -> RunState:
    """The state after a turn: what to consult, or the end."""
    turn = routing.turn
    answer = turn.answer
    if turn.routes and answer:
        raise ConfigError("a turn holds routes or an answer, not both", field=f"router {context.router.name}")
    state = replace(state, routes=turn.routes, shortfalls=(*state.shortfalls, *_limits(routing)))
    if _counts(turn):
        state = replace(state, turns=state.turns + 1)
        _record(turn, state.turns, context)
    for choice in routing.choices:
        if choice.plan is not None:
            context.journal.write(choice.event())
    something = state.gives(state.goal)
    if answer is not None:
        return replace(state, answer=answer.text or None, concluded=bool(answer.text) or something, thinking=False)
    return replace(state, thinking=bool(turn.thought), concluded=not turn.actions and something)


def _counts(turn: Turn) -> bool:
    """A bare end of the plan router is no step."""
    return bool(turn.routes or turn.thought or (turn.answer and turn.answer.text))


def _record(turn: Turn, number: int, context: RunContext) -> None:
    context.journal.write(
        TurnTaken(
            turn=number,
            router=context.router.name,
            thought=turn.thought or None,
            routes=tuple(route.agent for route in turn.routes),
            answer=turn.answer.text if turn.answer else None,
        )
    )


def _limits(routing: Routing) -> tuple[str, ...]:
    """Limits that alone keep a slot from being served."""
    return tuple(limit for choice in routing.choices if choice.plan is None for limit in choice.limits[:1])


async def _consult(state: Channels, runtime: Runtime[RunContext]) -> dict[str, RunState]:
    return {"run": await consult(state["run"], runtime.context)}


async def _heal(state: Channels, runtime: Runtime[RunContext]) -> dict[str, RunState]:
    return {"run": heal(state["run"], runtime.context)}


async def _merge(state: Channels, runtime: Runtime[RunContext]) -> dict[str, Decision]:
    return {"decision": await conclude(state["run"], runtime.context)}


def _after_decide(state: Channels) -> NextNode:
    run = state["run"]
    if run.concluded:
        return "merge"
    if run.routes:
        return "consult"
    return "decide" if run.thinking else "heal"


def _after_consult(state: Channels) -> NextNode:
    run = state["run"]
    return "heal" if run.open or run.pursued else "decide"


def _after_heal(state: Channels) -> NextNode:
    run = state["run"]
    if run.concluded:
        return "merge"
    return "consult" if run.routes else "decide"
