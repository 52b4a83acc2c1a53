"""Decisions on a pydantic model: through a schema, mended, merged, or escalated; seen by type checkers."""
# ruff: noqa: ARG001 - experts of tests need not look at what they are given

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from orchestrator import (
    Agent,
    Answer,
    ConfigError,
    Decision,
    LLMRouter,
    Model,
    NoDecision,
    Orchestrator,
    Pool,
    Question,
    Reply,
    Route,
    ScriptProvider,
    Turn,
    View,
    expert,
)
from orchestrator.merge import Synthesise
from orchestrator.providers import call
from orchestrator.trace import read_trace
from orchestrator.trace.events import BadTurn, Merged, Noted, RunEnded, RunStarted
from tests.experts import giving
from tests.routing import scripted
from tests.runs import Ran, checked


class City(BaseModel):
    """A place."""

    name: str
    people: int = Field(ge=0)


BERN = City(name="Bern", people=134_000)
JSON = BERN.model_dump_json()


def asked(orchestrator: Orchestrator, folder: Path) -> tuple[Decision[City], Ran]:
    """A run that is to end in a city."""
    decision = orchestrator.run_sync("Which city?", output=City)
    return decision, checked(decision, folder)


@expert(skill=0.9)
def atlas(question: str) -> City:
    """Knows cities."""
    return BERN


@pytest.mark.parametrize("value", [BERN, JSON, {"name": "Bern", "people": 134_000}])
def test_a_tool_that_gives_it_ends_in_it(value: object, tmp_path: Path) -> None:
    decision, ran = asked(Orchestrator([giving("a", value)], trace=tmp_path), tmp_path)
    assert (decision.output, decision.answer, decision.value) == (BERN, JSON, BERN.model_dump())
    assert decision.status == "answered"
    (ended,) = ran.of(RunEnded)
    assert ended.decision is not None
    assert (ended.decision.value, ended.decision.instance) == (BERN.model_dump(), None)
    assert "output" not in json.loads(decision.model_dump_json())
    assert "instance" not in json.loads(decision.model_dump_json())


def by_model(*lines: str, structured: bool = True) -> tuple[ScriptProvider, list[Model | Agent]]:
    """An expert that is a model, and what it says."""
    model = Model(name="script:m", free=True, structured=structured)
    return ScriptProvider({"m": lines}), [model, Agent(name="m", model="script:m", skill=0.9)]


@pytest.mark.parametrize("structured", [True, False])
def test_a_model_is_asked_for_it_and_mended(structured: bool, tmp_path: Path) -> None:
    said, members = by_model("Bern", JSON, structured=structured)
    made = Orchestrator(members, providers={"script": said}, trace=tmp_path)
    decision, ran = asked(made, tmp_path)
    assert decision.output == BERN
    assert [(request.schema is not None) for _, request in said.requests] == [structured] * 2
    assert ran.of(RunStarted)[0].prompts["typed"]


def test_where_it_cannot_be_had_the_run_escalates(tmp_path: Path) -> None:
    said, members = by_model("Bern", "Bern!")
    decision, ran = asked(
        Orchestrator([*members, giving("b", "Bern")], providers={"script": said}, trace=tmp_path), tmp_path
    )
    assert (decision.status, decision.answer, decision.instance) == ("escalated", None, None)
    assert [failed.kind for failed in decision.failed] == ["malformed", "malformed"]
    assert ran.outcomes() == [("m", "rerouted"), ("b", "escalated")]
    with pytest.raises(NoDecision, match="escalated: "):
        _ = decision.output


def test_another_expert_that_can_give_it_is_asked(tmp_path: Path) -> None:
    said, members = by_model("Bern", "Bern!")
    slow = Pool([*members, atlas]).with_("atlas", skill=0.1)
    decision, ran = asked(Orchestrator(slow, providers={"script": said}, trace=tmp_path), tmp_path)
    assert (decision.output, decision.support) == (BERN, ("atlas",))
    assert ran.outcomes() == [("m", "rerouted")]


def test_an_untyped_run_of_the_same_orchestrator_stays_untyped() -> None:
    made = Orchestrator([giving("a", "Bern")], trace=False)
    assert made.run_sync("Which city?", output=City).status == "escalated"
    fresh = Orchestrator([giving("a", "Bern")], trace=False).run_sync("Which city?")
    assert (fresh.answer, fresh.output, fresh.value) == ("Bern", None, None)


def router(*lines: object) -> tuple[ScriptProvider, Orchestrator]:
    """An LLM router over one expert that knows no types."""
    said = ScriptProvider({"router": lines})  # pyright: ignore[reportArgumentType]
    members = [giving("a", "Bern, with 134,000 people"), scripted("router")]
    return said, Orchestrator(members, router=LLMRouter("script:router"), providers={"script": said}, trace=FOLDER[0])


FOLDER: list[Path] = []


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    FOLDER[:] = [tmp_path]


def test_an_answer_of_a_router_must_fit_and_is_mended(tmp_path: Path) -> None:
    said, made = router(call(("a", '{"query": "Which?"}')), "It is Bern.", JSON)
    decision, ran = asked(made, tmp_path)
    assert (decision.output, decision.method, decision.status) == (BERN, "router", "answered")
    (bad,) = ran.of(BadTurn)
    assert "the answer is no City" in bad.fault
    assert "JSON Schema" in said.requests[0][1].messages[0].content
    said.finish()


def test_an_answer_of_a_router_is_put_into_the_words_of_its_type(tmp_path: Path) -> None:
    spaced = json.dumps({"people": "134000", "name": "Bern"}, indent=2)
    _, made = router(call(("a", '{"query": "Which?"}')), spaced)
    decision, ran = asked(made, tmp_path)
    assert (decision.output, decision.answer) == (BERN, JSON)
    (merged,) = ran.of(Merged)
    assert JSON in [text for _, text in merged.forms]


def test_replies_of_which_none_fits_are_no_decision_and_that_is_written(tmp_path: Path) -> None:
    _, made = router(call(("a", '{"query": "Which?"}')), "It is Bern.", "Bern!")
    decision, ran = asked(made, tmp_path)
    assert decision.status == "escalated"
    assert "no reply is a City" in decision.reasons
    assert "no reply is a City" in [reason for noted in ran.of(Noted) for reason in noted.reasons]


def test_a_router_that_never_fits_is_taken_over_and_the_typed_expert_decides(tmp_path: Path) -> None:
    said = ScriptProvider({"router": ["Bern", "Bern!"]})
    made = Orchestrator(
        [atlas, scripted("router")], router=LLMRouter("script:router"), providers={"script": said}, trace=tmp_path
    )
    decision, _ = asked(made, tmp_path)
    assert decision.output == BERN
    assert "takeover" in decision.reasons[0]


def test_a_function_that_routes_is_held_to_it_too(tmp_path: Path) -> None:
    def routes(view: View) -> Turn:
        assert view.kind is City
        return Turn((Answer(JSON if view.replies else "Bern"),)) if view.replies else Turn((Route("atlas", "q"),))

    decision, _ = asked(Orchestrator([atlas], router=routes, trace=tmp_path), tmp_path)
    assert decision.output == BERN

    def stubborn(view: View) -> Turn:
        return Turn((Answer("Bern"),))

    wrong, _ = asked(Orchestrator([giving("a", "x")], router=stubborn, trace=tmp_path), tmp_path)
    assert wrong.status == "escalated"


def panel(*values: object) -> list[Agent]:
    """Experts of falling skill, each with a value."""
    return [giving(f"e{at}", value, skill=0.9 - at / 10) for at, value in enumerate(values)]


def test_equal_json_votes_together_however_it_was_written(tmp_path: Path) -> None:
    other = City(name="Basel", people=1)
    members = panel(other, {"people": 134_000.0, "name": "Bern"}, '{ "name": "Bern", "people": 134000 }')
    decision, _ = asked(Orchestrator(members, analyses=3, merge="vote", trace=tmp_path), tmp_path)
    assert (decision.output, decision.support) == (BERN, ("e1", "e2"))
    assert decision.dissent[0].answer == other.model_dump_json()


@pytest.mark.parametrize(
    ("lines", "reason"), [((JSON,), None), (("Bern", JSON), None), (("Bern", "Basel"), "decided by vote")]
)
def test_a_merge_agent_is_held_to_it(lines: tuple[str, ...], reason: str | None, tmp_path: Path) -> None:
    said = ScriptProvider({"merger": list(lines)})
    members = [*panel(BERN, City(name="Basel", people=1), BERN), scripted("merger")]
    made = Orchestrator(
        members, analyses=3, merge=Synthesise("script:merger"), providers={"script": said}, trace=tmp_path
    )
    decision, _ = asked(made, tmp_path)
    assert decision.output == BERN
    assert (reason is None) == (decision.reasons == ())
    assert all(request.schema is not None for _, request in said.requests)
    assert decision.merge_calls == len(lines)
    said.finish()


def test_a_merge_of_ones_own_that_gives_something_else_gives_way(tmp_path: Path) -> None:
    def shrug(question: Question, replies: Sequence[Reply]) -> str:
        return "a city"

    decision, _ = asked(Orchestrator(panel(BERN, BERN), analyses=2, merge=shrug, trace=tmp_path), tmp_path)
    assert (decision.output, decision.method, decision.status) == (BERN, "fallback", "degraded")
    assert "is no City" in decision.reasons[0]


def test_the_type_of_a_pools_goal_and_that_of_the_caller_must_agree() -> None:
    class Town(BaseModel):
        """Another."""

    made = Orchestrator([atlas], trace=False)
    assert made.run_sync("Which city?", output=City).output == BERN
    assert made.run_sync("Which city?").value == BERN.model_dump()
    with pytest.raises(ConfigError, match="`answer` is a City for the pool, a Town for the caller"):
        made.run_sync("Which city?", output=Town)
    with pytest.raises(ConfigError, match="`output`"):
        made.run_sync("Which city?", output=str)  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_a_lower_goal_must_be_of_the_type_as_well(tmp_path: Path) -> None:
    pool = Pool([giving("a", ValueError("ill"), produces="report"), giving("b", JSON)], goals=["report", "answer"])
    decision, _ = asked(Orchestrator(pool, trace=tmp_path), tmp_path)
    assert (decision.status, decision.goal, decision.output) == ("degraded", "answer", BERN)


def test_async_and_streamed(tmp_path: Path) -> None:
    made = Orchestrator([atlas], trace=tmp_path)

    async def all_of_it() -> None:
        assert (await made.run("Which city?", output=City)).output == BERN
        events = [event async for event in made.stream("Which city?", output=City)]
        assert isinstance(events[-1], RunEnded)
        assert events[-1].decision is not None
        assert events[-1].decision.output == BERN

    asyncio.run(all_of_it())
    for file in tmp_path.glob("*.jsonl"):
        assert read_trace(file).events[-1].type == "run_ended"


SNIPPET = """
from pydantic import BaseModel

from orchestrator import Decision, Orchestrator


class City(BaseModel):
    name: str


async def ask(orchestrator: Orchestrator) -> None:
    typed = await orchestrator.run("Which?", output=City)
    reveal_type(typed)
    reveal_type(typed.output)
    reveal_type(orchestrator.run_sync("Which?", output=City, goal="answer").output)
    reveal_type(orchestrator.run_sync("Which?"))
    anyhow: Decision = typed
    wrong: int = typed.output
    orchestrator.run_sync("Which?", output=int)
    print(anyhow, wrong)
"""


def test_type_checkers_see_it(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(SNIPPET, encoding="utf-8")
    settings = {"include": ["user.py"], "typeCheckingMode": "standard", "extraPaths": [str(Path(__file__).parents[1])]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson", "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    told = [each["message"].split(" is ", 1)[1] for each in found if each["severity"] == "information"]
    assert told == ['"Decision[City]"', '"City"', '"City"', '"Decision[None]"']
    wrong = {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}
    assert wrong == {18, 19}
