"""Functions over a custom artifact, a failure on the way, inside a LangGraph of one's own.

Prints:
    A circuit breaker keeps a broken server from being asked again.
"""

# langgraph leaves types of its own open:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from typing import TypedDict

from langgraph.graph import START, StateGraph

from orchestrator import Orchestrator, expert


class State(TypedDict, total=False):
    question: str
    answer: str


@expert(produces="passages", skill=0.9)
def archive(question: str) -> list[str]:
    raise ConnectionError("the archive is down")


@expert(produces="passages", skill=0.7)
def shelf(question: str) -> list[str]:
    return ["A circuit breaker keeps a broken server from being asked again."]


def quote(passages: list[str]) -> str:
    return passages[0]


graph = StateGraph(State).add_node("ask", Orchestrator([archive, shelf, quote]).as_node()).add_edge(START, "ask")
print(graph.compile().invoke({"question": "What is a circuit breaker?"})["answer"])
