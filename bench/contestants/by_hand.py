"""The three calls as a LangGraph written by hand: a node each, and nothing that counts, retries or records."""
# langgraph leaves parameters of its own types open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from pace import Task, compete
from three_calls import ThreeCalls


class State(TypedDict, total=False):
    """What the nodes hand on."""

    query: str
    call_id: str
    reply: str
    answer: str


def by_hand(task: Task) -> Callable[[], Awaitable[object]]:
    """A run: the graph from its start to its end."""
    calls = ThreeCalls(task)

    async def router(state: State) -> State:
        del state
        query, call_id = await calls.route()
        return {"query": query, "call_id": call_id}

    async def expert(state: State) -> State:
        return {"reply": await calls.consult(state.get("query", ""))}

    async def merge(state: State) -> State:
        query, call_id, reply = state.get("query", ""), state.get("call_id", ""), state.get("reply", "")
        return {"answer": await calls.conclude(query, call_id, reply)}

    graph = StateGraph(State)
    graph.add_node("router", router)
    graph.add_node("expert", expert)
    graph.add_node("merge", merge)
    graph.add_edge(START, "router")
    graph.add_edge("router", "expert")
    graph.add_edge("expert", "merge")
    graph.add_edge("merge", END)
    compiled = graph.compile()

    async def run() -> object:
        return (await compiled.ainvoke({}))["answer"]

    return run


if __name__ == "__main__":
    compete(by_hand)
