"""A typed node in a LangGraph of the user's own, with a checkpointer that reads back what it wrote."""
# langgraph leaves parameters of its own types open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

from orchestrator import Agent, Decision, Orchestrator
from orchestrator.pipeline.storage import Checkpointer


class City(BaseModel):
    """A place."""

    name: str
    people: int


class Trip(TypedDict, total=False):
    """The state of a graph of the user's own."""

    question: str
    answer: City | None
    made: Decision[City]
    told: str


BERN = City(name="Bern", people=134_000)


def atlas(question: str) -> str:
    """Knows one city, as JSON."""
    if "city" not in question:
        raise ValueError(question)
    return BERN.model_dump_json()


def tell(state: Trip) -> Trip:
    """Goes on with the instance that the node wrote."""
    city = state.get("answer")
    return {"told": "nowhere" if city is None else f"{city.name} has {city.people}"}


def graph_of(folder: Path) -> StateGraph[Trip]:
    """A graph that asks, and tells of what it was given."""
    asked = Orchestrator([Agent(name="atlas", tool=atlas)], trace=folder)
    graph = StateGraph(Trip)
    graph.add_node("ask", asked.as_node(output=City, decision="made"))
    graph.add_node("tell", tell)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "tell")
    graph.add_edge("tell", END)
    return graph


THREAD: Any = {"configurable": {"thread_id": "1"}}


def went(saver: Any, folder: Path, *, waits: bool) -> None:  # noqa: ANN401 - a saver of whichever kind
    """Two runs of the graph; the second part of each begins from what the checkpoint holds."""
    graph = graph_of(folder)
    stops: Any = graph.compile(checkpointer=saver, interrupt_before=["tell"])
    for question, told in (("Which city?", "Bern has 134000"), ("Who?", "nowhere")):
        if waits:
            asyncio.run(stops.ainvoke({"question": question}, THREAD))
            ended = asyncio.run(stops.ainvoke(None, THREAD))
        else:
            stops.invoke({"question": question}, THREAD)
            ended = stops.invoke(None, THREAD)
        assert ended["told"] == told
        assert ended["answer"] == (BERN if question == "Which city?" else None)
        assert ended["made"].status == ("answered" if question == "Which city?" else "escalated")


@pytest.mark.parametrize("waits", [False, True])
def test_the_node_writes_an_instance_that_a_checkpoint_gives_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, waits: bool
) -> None:
    allowed = [(kind.__module__, kind.__name__) for kind in (City, Decision)]
    went(InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=allowed)), tmp_path, waits=waits)
    assert caplog.records == []


def test_and_so_does_a_file(tmp_path: Path) -> None:
    place: Checkpointer = tmp_path / "outer.sqlite"
    with SqliteSaver.from_conn_string(str(place)) as saver:
        went(saver, tmp_path / "runs", waits=False)
    with SqliteSaver.from_conn_string(str(place)) as saver:  # as another process would find it
        held = graph_of(tmp_path / "runs").compile(checkpointer=saver).get_state_history(THREAD)
        assert BERN in [each.values.get("answer") for each in held]


def test_without_a_type_the_node_writes_text_as_ever(tmp_path: Path) -> None:
    node = Orchestrator([Agent(name="atlas", tool=atlas)], trace=tmp_path).as_node(answer="said")
    assert node.invoke({"question": "Which city?"}) == {"said": BERN.model_dump_json()}


SNIPPET = """
from typing import TypedDict

from langgraph.graph import StateGraph
from pydantic import BaseModel

from orchestrator import Orchestrator


class City(BaseModel):
    name: str


class Trip(TypedDict):
    question: str
    answer: City | None


def build(orchestrator: Orchestrator) -> None:
    node = orchestrator.as_node(output=City, decision="made")
    reveal_type(node.invoke({"question": "Which?"}))
    reveal_type(orchestrator.as_node().invoke({"question": "Which?"}))
    StateGraph(Trip).add_node("ask", node)
    orchestrator.as_node(output=int)
    orchestrator.as_node(output=City, wrong="key")
"""


def test_type_checkers_see_it(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(SNIPPET, encoding="utf-8")
    settings = {"include": ["user.py"], "typeCheckingMode": "standard", "extraPaths": [str(Path(__file__).parents[1])]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson", "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    told = [each["message"].split(" is ", 1)[1] for each in found if each["severity"] == "information"]
    assert told == ['"dict[str, City | Decision[City] | None]"', '"dict[str, object]"']
    wrong = {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}
    assert wrong == {24, 25}
