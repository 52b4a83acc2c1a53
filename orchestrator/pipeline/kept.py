"""The same graph for durable runs: its state is text, and a step that the trace knows is not done again."""
# langgraph leaves parameters of its own types open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, NotRequired, Protocol, TypedDict, cast

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from langsmith.run_helpers import tracing_context

from orchestrator.decision import conclude
from orchestrator.errors import ConfigError
from orchestrator.keeping import Keeper, as_json
from orchestrator.messages import Decision
from orchestrator.person import heeded, wanted_of
from orchestrator.pipeline.nodes import NEXT, STEPS, consulted, decided, following, healed
from orchestrator.pipeline.storage import thread
from orchestrator.runtime import RunContext
from orchestrator.state import RunState
from orchestrator.trace.past import StateTable

__all__ = ["Stood", "walk_kept"]


class Kept(TypedDict):
    """What a checkpoint holds: plain text and a number, so that reading it makes nothing but text and a number."""

    run: str
    """The run's state as JSON."""
    step: int
    """Steps that are done."""
    then: NotRequired[str]
    """The node that is next."""
    decision: NotRequired[str]


class Stood(TypedDict):
    """How far a walk came: to its decision, or to a person who is asked for something."""

    state: RunState
    decision: Decision | None
    why: str | None
    """What a person is asked for; None where the run is at its end."""
    approve: tuple[str, ...]


Inner = Callable[[RunState, RunContext], Awaitable[RunState]]


class Node(Protocol):
    """A node as LangGraph calls it."""

    async def __call__(self, state: Kept, *, runtime: Runtime[RunContext]) -> dict[str, Any]:
        """What it changes."""
        ...


async def walk_kept(
    state: RunState, context: RunContext, saver: BaseCheckpointSaver[Any], *, langsmith: bool = False
) -> Stood:
    """Take a durable run from where its trace and its checkpoint say it stands to its end, or to a person.

    Raises `ConfigError` where the checkpoint knows of steps that the trace does not.
    """
    keeper = _keeper(context)
    graph, config = _graph().compile(checkpointer=saver, name="thinkroute"), thread(context.journal.run_id)
    found = await saver.aget_tuple(config)
    known = cast("int", found.checkpoint["channel_values"].get("step", 0)) if found else 0
    if known > keeper.past.steps:
        problem = f"the checkpoint knows {known} steps of the run, its trace {keeper.past.steps}"
        raise ConfigError(problem, file=str(context.journal.path), expected="the whole trace of the run")
    begin = None if found else Kept(run=as_json(keeper.keeping.dump(state)), step=0)
    var_child_runnable_config.set(None)  # inside a graph of the caller's own this one keeps its own checkpoints
    with tracing_context(enabled=None if langsmith else False):
        await graph.ainvoke(
            begin, {**config, "recursion_limit": STEPS}, context=context, durability="sync", output_keys=["step"]
        )
    stands = await graph.aget_state(config)
    return _stood(cast("Kept", stands.values), [each.value for each in stands.interrupts], keeper)


def _stood(values: Kept, interrupts: list[Any], keeper: Keeper) -> Stood:
    decision = values.get("decision")
    asked: dict[str, Any] = interrupts[0] if interrupts else {}
    return Stood(
        state=keeper.keeping.load(json.loads(values["run"])),
        decision=Decision.model_validate_json(decision) if decision else None,
        why=asked.get("why"),
        approve=tuple(asked.get("approve", ())),
    )


@cache
def _graph() -> StateGraph[Kept, RunContext, Kept, Kept]:
    graph = StateGraph(Kept, context_schema=RunContext)
    inner: dict[str, Inner] = {"decide": decided, "consult": consulted, "heal": healed, "person": _person}
    for name, work in inner.items():
        graph.add_node(name, _node(name, work))
        graph.add_conditional_edges(name, _then, NEXT[name])
    graph.add_node("merge", _merge)
    graph.add_edge(START, "decide")
    graph.add_conditional_edges("merge", _then, ["person", END])
    return graph


def _node(name: str, work: Inner) -> Node:
    """A node that does its work unless the trace says that it is done, and writes down that it is."""

    async def node(state: Kept, *, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context, step = runtime.context, state["step"] + 1
        keeper = _keeper(context)
        if name != "person":  # graphs that experts run in here keep none of their state among these checkpoints
            var_child_runnable_config.set(None)
        done = keeper.past.after(step)
        if done is None:
            after = await work(_entered(state, step, name, keeper), context)
            text = keeper.commit(after, done=True)
        else:
            after, text = keeper.keeping.load(done), as_json(done)
        then = _after_person(after) if name == "person" else following(name, after, context)
        return {"run": text, "step": step, "then": then}

    return node


async def _merge(state: Kept, *, runtime: Runtime[RunContext]) -> dict[str, Any]:
    context, step = runtime.context, state["step"] + 1
    context.journal.raise_fault()
    var_child_runnable_config.set(None)
    keeper = _keeper(context)
    decision = keeper.past.decision(step)
    if decision is None:
        run = _entered(state, step, "merge", keeper)
        decision = await conclude(run, context)
        keeper.commit(run, done=True, decision=decision)
    then = "person" if decision.status == "escalated" else END
    return {"step": step, "then": then, "decision": decision.model_dump_json()}


async def _person(run: RunState, context: RunContext) -> RunState:
    """Wait for a person's word, or go on with it."""
    word = _keeper(context).spoken()
    after = heeded(run, word, context) if word is not None else None
    if after is not None:
        return after
    why, approve = wanted_of(run, context) or ("nothing", ())
    interrupt({"why": why, "approve": list(approve)})
    return run


async def _then(kept: Kept) -> str:
    return kept.get("then", END)


def _after_person(run: RunState) -> str:
    if run.concluded:
        return "merge"
    return "consult" if run.routes else "decide"


def _entered(kept: Kept, step: int, name: str, keeper: Keeper) -> RunState:
    """The state in which a step begins, or goes on where it was interrupted after something was decided in it."""
    table: StateTable = json.loads(kept["run"])
    inside = keeper.past.within(step)
    keeper.enter(step, name, inside or (table if step > 1 else {}))
    return keeper.keeping.load(inside or table)


def _keeper(context: RunContext) -> Keeper:
    if context.keeper is None:
        raise TypeError("the run is not a durable one")
    return context.keeper
