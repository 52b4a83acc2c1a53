"""A LangGraph of one's own as an expert, and a tool beside it that takes over when the graph gives up.

Prints:
    cascade ()
    tide ('rerouted: longest_word → echo (tool)',)
"""

# langgraph leaves types of its own open:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from typing import TypedDict

from langgraph.graph import START, StateGraph

from orchestrator import Orchestrator, expert, runnable_expert


class State(TypedDict):
    question: str
    words: list[str]


def split(state: State) -> dict[str, object]:
    return {"words": state["question"].split()}


def longest(state: State) -> dict[str, object]:
    if len(state["words"]) < 2:
        raise ValueError("one word has no longest")
    return {"words": [max(state["words"], key=len)]}


@expert(skill=0.3)
def echo(question: str) -> str:
    return question


graph = StateGraph(State).add_node("split", split).add_node("longest", longest)
built = graph.add_edge(START, "split").add_edge("split", "longest").compile()
desk = Orchestrator([runnable_expert(built, "longest_word", skill=0.9, taken=lambda state: state["words"][0]), echo])
for asked in ("a cascade of routers", "tide"):
    decision = desk.run_sync(asked)
    print(decision.answer, decision.reasons)
