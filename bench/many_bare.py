"""What `many.py` measures against: LangGraphs of four nodes that do the same work and nothing else."""
# langgraph leaves parameters of its own types open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypedDict

from langgraph.graph import END, START, StateGraph

from orchestrator import Message, Model
from orchestrator.providers import Provider, Request

__all__ = ["Waiting", "bare_chain", "bare_model", "bare_waiting", "read", "reckon", "reply", "tell", "weigh"]

SMALL = Model(name="script:small", free=True)


class Turn(Protocol):
    """Answers so many questions, so many at a time."""

    def __call__(self, questions: Sequence[str], *, concurrency: int) -> Awaitable[None]: ...


class State(TypedDict, total=False):
    """What nodes hand on."""

    question: str
    request: Request
    facts: list[str]
    weights: list[int]
    total: int
    text: str
    answer: str


def reply(question: str) -> str:
    """What the model says."""
    return f"About {question}: yes."


async def read(question: str) -> list[str]:
    """The first stage of the chain."""
    return question.split()


async def weigh(facts: list[str]) -> list[int]:
    """The second."""
    return [len(fact) for fact in facts]


async def reckon(weights: list[int]) -> int:
    """The third."""
    return sum(weights)


async def tell(total: int) -> str:
    """The fourth."""
    return str(total)


def in_a_row(**nodes: Any) -> Turn:  # noqa: ANN401 - whatever LangGraph takes as a node
    """A graph of nodes that follow each other; all it is asked must end in an answer."""
    graph = StateGraph(State)
    before = START
    for name, does in nodes.items():
        graph.add_node(name, does)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    compiled = graph.compile()

    async def turn(questions: Sequence[str], *, concurrency: int) -> None:
        left = iter(questions)
        answers: list[str] = []

        async def work() -> None:
            for question in left:
                ended = await compiled.ainvoke({"question": question})
                answers.append(ended["answer"])

        await asyncio.gather(*(work() for _ in range(concurrency)))
        if len(answers) != len(questions) or not all(answers):
            raise SystemExit("not all were answered")

    return turn


def bare_model(provider: Provider) -> Turn:
    """Choose, ask the model, look at what it said, answer."""

    async def decide(state: State) -> State:
        return {"request": Request((Message("user", state.get("question", "")),), max_output=50)}

    async def consult(state: State) -> State:
        asked = state.get("request") or Request(())
        return {"text": (await provider.complete(SMALL, asked)).text}

    async def look(state: State) -> State:
        return {"text": state.get("text", "").strip()}

    async def merge(state: State) -> State:
        return {"answer": state.get("text", "")}

    return in_a_row(decide=decide, consult=consult, look=look, merge=merge)


def bare_chain() -> Turn:
    """The four functions of the chain; coroutines, since plain functions run in threads, here and in ours."""

    async def first(state: State) -> State:
        return {"facts": await read(state.get("question", ""))}

    async def second(state: State) -> State:
        return {"weights": await weigh(state.get("facts", []))}

    async def third(state: State) -> State:
        return {"total": await reckon(state.get("weights", []))}

    async def fourth(state: State) -> State:
        return {"answer": await tell(state.get("total", 0))}

    return in_a_row(first=first, second=second, third=third, fourth=fourth)


class Waiting:
    """A place where so many wait until they may go on."""

    def __init__(self, number: int) -> None:
        self._missing = number
        self.full = asyncio.Event()
        self.go = asyncio.Event()

    async def wait(self, question: str) -> str:
        """Wait; `full` is set by the last one to come."""
        del question
        self._missing -= 1
        if not self._missing:
            self.full.set()
        await self.go.wait()
        return "went on"


async def bare_waiting(waiting: Waiting, questions: Sequence[str]) -> None:
    """Bare runs whose second node waits."""

    async def decide(state: State) -> State:
        return {"text": state.get("question", "")}

    async def consult(state: State) -> State:
        return {"text": await waiting.wait(state.get("text", ""))}

    async def look(state: State) -> State:
        return {"text": state.get("text", "").strip()}

    async def merge(state: State) -> State:
        return {"answer": state.get("text", "")}

    turn = in_a_row(decide=decide, consult=consult, look=look, merge=merge)
    await turn(questions, concurrency=len(questions))
