"""A LangGraph of one's own as an expert, with a tool beside it that takes over when the graph gives up.

Prints:
    cascade ()
    tide ('rerouted: longest_word → echo (tool)',)
"""

from typing import TypedDict

from langgraph.graph import START, StateGraph

from orchestrator import Orchestrator, expert, runnable_expert


class State(TypedDict, total=False):
    question: str
    words: list[str]
    answer: str


def split(state: State) -> State:
    return {"words": state.get("question", "").split()}


def longest(state: State) -> State:
    if len(words := state.get("words", [])) < 2:
        raise ValueError("one word has no longest")
    return {"answer": max(words, key=len)}


@expert(skill=0.3)
def echo(question: str) -> str:
    return question


graph = StateGraph(State).add_node("split", split).add_node("longest", longest)
graph = graph.add_edge(START, "split").add_edge("split", "longest").compile()
desk = Orchestrator([runnable_expert(graph, "longest_word", skill=0.9), echo])
for question in ("a cascade of routers", "tide"):
    print((decision := desk.run_sync(question)).answer, decision.reasons)
