"""The LangGraph of a run: decide, consult, heal, merge, and a node where it waits for a person."""
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
from orchestrator.person import not_allowed
from orchestrator.routers import PlanRouter
from orchestrator.runtime import RunContext
from orchestrator.state import RunState
from orchestrator.trace.events import Noted
from orchestrator.turns import take_turn

__all__ = [
    "NEXT",
    "STEPS",
    "Channels",
    "NextNode",
    "PipelineGraph",
    "compiled_graph",
    "consulted",
    "decided",
    "following",
    "healed",
    "walk",
]

STEPS = 1_000_000
"""LangGraph's own limit, out of the way: turns, money and the failure of experts bound a run."""


class Channels(TypedDict):
    """What the graph carries: the run's state, and at the end its decision."""

    run: RunState
    decision: NotRequired[Decision]


PipelineGraph = CompiledStateGraph[Channels, RunContext, Channels, Channels]
NextNode = Literal["decide", "consult", "heal", "merge", "person"]

NEXT: dict[str, list[str]] = {
    "decide": ["decide", "consult", "heal", "merge", "person"],
    "consult": ["decide", "heal", "merge"],
    "heal": ["decide", "consult", "merge", "person"],
    "person": ["decide", "consult", "merge"],
}
"""What may follow each node."""


@cache
def compiled_graph() -> PipelineGraph:
    """The compiled graph; one serves all runs, since what differs between them is in state and context.

    What follows a node is decided by coroutines, since LangGraph runs plain functions in a thread.
    """
    graph = StateGraph(Channels, context_schema=RunContext)
    graph.add_node("decide", _decide)
    graph.add_node("consult", _consult)
    graph.add_node("heal", _heal)
    graph.add_node("person", _person)
    graph.add_node("merge", _merge)
    graph.add_edge(START, "decide")
    graph.add_conditional_edges("decide", _after_decide, NEXT["decide"])
    graph.add_conditional_edges("consult", _after_consult, NEXT["consult"])
    graph.add_conditional_edges("heal", _after_heal, NEXT["heal"])
    graph.add_edge("person", "merge")
    graph.add_edge("merge", END)
    return graph.compile(checkpointer=False, name="thinkroute")


async def walk(state: RunState, context: RunContext, *, langsmith: bool = False) -> Decision:
    """Take a run from its state to its decision; LangSmith's tracing is off unless asked for.

    Where it is, and in durable runs, LangGraph walks the graph; else we go the same nodes by the same edges ourselves,
    at half the time of a run.
    """
    if langsmith:
        ended = await compiled_graph().ainvoke({"run": state}, {"recursion_limit": STEPS}, context=context)
        return ended["decision"]
    with tracing_context(enabled=False):
        return await _on_foot(state, context)


async def _on_foot(run: RunState, context: RunContext) -> Decision:
    node: NextNode = "decide"
    while node != "merge":
        await asyncio.sleep(0)  # a router that never waits must not keep the loop from others
        run = _noted(run, await _step(node, run, context), context)["run"]
        node = "merge" if node == "person" else following(node, run, context)
    context.journal.raise_fault()
    return await conclude(run, context)


async def _step(node: NextNode, run: RunState, context: RunContext) -> RunState:
    match node:
        case "decide":
            return await decided(run, context)
        case "consult":
            return await consulted(run, context)
        case "heal":
            return await healed(run, context)
        case _:
            return not_allowed(run, context)


async def decided(run: RunState, context: RunContext) -> RunState:
    """The state after a turn, or after the limit that forbids one."""
    await context.gate.room()
    context.journal.raise_fault()
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


async def consulted(run: RunState, context: RunContext) -> RunState:
    """The state after a round of attempts."""
    await context.gate.room()
    context.journal.raise_fault()
    return await consult(run, context)


async def healed(run: RunState, context: RunContext) -> RunState:
    """The state after failures were dealt with."""
    return await heal(run, context)


def following(node: str, run: RunState, context: RunContext) -> NextNode:
    """Which node is next; whoever may not be asked without a person's leave is asked for it first."""
    if run.concluded:
        return "merge"
    if node == "consult":
        return "heal" if run.open or run.pursued else "decide"
    if run.routes:
        return "person" if context.waiting(run) else "consult"
    return "heal" if node == "decide" and not run.thinking else "decide"


async def _decide(state: Channels, runtime: Runtime[RunContext]) -> dict[str, RunState]:
    run, context = state["run"], runtime.context
    return _noted(run, await decided(run, context), context)


async def _consult(state: Channels, runtime: Runtime[RunContext]) -> dict[str, RunState]:
    run, context = state["run"], runtime.context
    return _noted(run, await consulted(run, context), context)


async def _heal(state: Channels, runtime: Runtime[RunContext]) -> dict[str, RunState]:
    run, context = state["run"], runtime.context
    return _noted(run, await healed(run, context), context)


async def _person(state: Channels, runtime: Runtime[RunContext]) -> dict[str, RunState]:
    run, context = state["run"], runtime.context
    return _noted(run, not_allowed(run, context), context)


def _noted(before: RunState, after: RunState, context: RunContext) -> dict[str, RunState]:
    """The state after a node, with what it adds to the decision's reasons written down: both lists only grow."""
    reasons, shortfalls = after.reasons[len(before.reasons) :], after.shortfalls[len(before.shortfalls) :]
    if reasons or shortfalls:
        context.journal.write(Noted(reasons=reasons, shortfalls=shortfalls, halted=after.halted))
    return {"run": after}


async def _merge(state: Channels, runtime: Runtime[RunContext]) -> dict[str, Decision]:
    runtime.context.journal.raise_fault()
    return {"decision": await conclude(state["run"], runtime.context)}


async def _after_decide(state: Channels, runtime: Runtime[RunContext]) -> NextNode:
    return following("decide", state["run"], runtime.context)


async def _after_consult(state: Channels, runtime: Runtime[RunContext]) -> NextNode:
    return following("consult", state["run"], runtime.context)


async def _after_heal(state: Channels, runtime: Runtime[RunContext]) -> NextNode:
    return following("heal", state["run"], runtime.context)
