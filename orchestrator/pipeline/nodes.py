"""The LangGraph of a run: decide, consult, heal, merge."""
# langgraph leaves parameters of its own types open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
from functools import cache
from typing import Literal, NotRequired, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langsmith.run_helpers import tracing_context

from orchestrator.consult import consult
from orchestrator.decision import conclude
from orchestrator.heal import conclude_on_limit, heal
from orchestrator.messages import Decision
from orchestrator.routers import PlanRouter
from orchestrator.runtime import RunContext
from orchestrator.state import RunState
from orchestrator.trace.events import Noted
from orchestrator.turns import take_turn

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
    """The compiled graph; one serves all runs, since what differs between them is in state and context.

    What follows a node is decided by coroutines, since LangGraph runs plain functions in a thread.
    """
    graph = StateGraph(Channels, context_schema=RunContext)
    graph.add_node("decide", _decide)
    graph.add_node("consult", _consult)
    graph.add_node("heal", _heal)
    graph.add_node("merge", _merge)
    graph.add_edge(START, "decide")
    graph.add_conditional_edges("decide", _after_decide, ["decide", "consult", "heal", "merge"])
    graph.add_conditional_edges("consult", _after_consult, ["decide", "heal", "merge"])
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
    context.journal.raise_fault()
    return _noted(run, await _decided(run, context), context)


async def _decided(run: RunState, context: RunContext) -> RunState:
    """The state after the next turn, or with the limit that stands in its way."""
    ending = run.complete and (run.takeover or isinstance(context.router, PlanRouter))  # its end is no further turn
    turns = None if run.takeover else run.turns  # a plan ends by itself, and the turns were the router's
    if not ending and (limit := context.limit_hit(turns)):
        return conclude_on_limit(run, context, limit)
    until = asyncio.timeout(context.seconds_left())
    try:
        async with until:
            return await take_turn(run, context)
    except TimeoutError:
        if until.expired():
            return conclude_on_limit(run, context, context.late())
        raise


async def _consult(state: Channels, runtime: Runtime[RunContext]) -> dict[str, RunState]:
    run, context = state["run"], runtime.context
    context.journal.raise_fault()
    return _noted(run, await consult(run, context), context)


async def _heal(state: Channels, runtime: Runtime[RunContext]) -> dict[str, RunState]:
    run, context = state["run"], runtime.context
    return _noted(run, await heal(run, context), context)


def _noted(before: RunState, after: RunState, context: RunContext) -> dict[str, RunState]:
    """The state after a node, with what it adds to the decision's reasons written down: both lists only grow."""
    reasons, shortfalls = after.reasons[len(before.reasons) :], after.shortfalls[len(before.shortfalls) :]
    if reasons or shortfalls:
        context.journal.write(Noted(reasons=reasons, shortfalls=shortfalls, halted=after.halted))
    return {"run": after}


async def _merge(state: Channels, runtime: Runtime[RunContext]) -> dict[str, Decision]:
    runtime.context.journal.raise_fault()
    return {"decision": await conclude(state["run"], runtime.context)}


async def _after_decide(state: Channels) -> NextNode:
    run = state["run"]
    if run.concluded:
        return "merge"
    if run.routes:
        return "consult"
    return "decide" if run.thinking else "heal"


async def _after_consult(state: Channels) -> NextNode:
    run = state["run"]
    if run.concluded:
        return "merge"
    return "heal" if run.open or run.pursued else "decide"


async def _after_heal(state: Channels) -> NextNode:
    run = state["run"]
    if run.concluded:
        return "merge"
    return "consult" if run.routes else "decide"
