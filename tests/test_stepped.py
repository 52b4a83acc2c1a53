"""A router whose steps a cascade serves: names, explanations, inputs, effects, resumes; whatever comes, a run ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer import BadParameter
from typer.testing import CliRunner

from orchestrator import (
    Agent,
    Answer,
    Budget,
    ConfigError,
    Message,
    Model,
    Orchestrator,
    Pool,
    Question,
    Route,
    ToolError,
    Turn,
    Usage,
    View,
    replayed,
)
from orchestrator.cli.main import app
from orchestrator.cli.run_options import router_name
from orchestrator.errors import AttemptError
from orchestrator.pool.registry import Member
from orchestrator.providers import Completion, Request, ScriptProvider
from orchestrator.providers.script import Line
from orchestrator.routers import CascadeRouter, LLMRouter, PlanRouter, Router, SteppedRouter, as_router
from orchestrator.testing import assert_no_silent_failure
from orchestrator.trace import read_trace
from orchestrator.trace.events import AttemptFailed, AttemptStarted, RunStarted, TurnTaken
from tests.experts import at_once, giving
from tests.routing import CHEAP, DEAR, answers, routes, sage, says, scripted
from tests.runs import ask, checked

SKILLS = {"small": 0.6, "large": 0.95}
MODELS = (scripted("router"), scripted("small", CHEAP), scripted("large", DEAR))
ASKED, END = routes("tools", ("large", "Which colour?")), answers("tools", "That colour.")


def members(*more: Agent) -> list[Member]:
    """A cheap expert, a dear one and a router's model, and more."""
    return [*MODELS, *(sage(name, skill=skill) for name, skill in SKILLS.items()), *more]


def stepped(threshold: float | None = None) -> SteppedRouter:
    """The script's router with its steps served by a cascade."""
    return SteppedRouter(LLMRouter("script:router"), CascadeRouter(threshold))


def built(
    folder: Path, script: dict[str, list[Line]], *more: Agent, router: Router | str | None = None, **how: object
) -> Orchestrator:
    """An orchestrator over scripted models."""
    return Orchestrator(
        members(*more), router=router or stepped(), providers={"script": ScriptProvider(script)}, trace=folder, **how,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "calls"), [("llm+cascade", 2), ("llm+cascade:0.5", 1), ("script:router+cascade:0.8", 2)]
)
def test_it_goes_by_the_names_of_both(given: str, calls: int, tmp_path: Path) -> None:
    pool = Pool(members(), router="script:router")
    script = ScriptProvider({"router": [ASKED, END], "small": [says("blue")], "large": [says("red")]})
    ran = ask(Orchestrator(pool, router=given, providers={"script": script}, trace=tmp_path), tmp_path)
    assert ran.of(RunStarted)[0].router == "llm+cascade"
    assert {turn.router for turn in ran.of(TurnTaken)} == {"llm+cascade"}
    assert ran.decision.expert_calls == calls


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("plan+cascade", "weighs experts itself"),
        ("cascade+cascade", "weighs experts itself"),
        ("llm+cascade+cascade", "weighs experts itself"),
        ("llm+cascade:2", "cannot be 2"),
        ("llm+cascade:x", "cannot be `cascade:x`"),
        ("script:ruter+cascade", "did you mean `script:router`"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_meant(given: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Orchestrator(Pool(members(), router="script:router"), router=given, providers={"script": ScriptProvider({})})


def test_a_plan_is_refused_in_python_too() -> None:
    with pytest.raises(ConfigError, match="weighs experts itself"):
        SteppedRouter(PlanRouter(), CascadeRouter())


@pytest.mark.parametrize("given", ["llm+cascade", "llm+cascade:0.8", "cascade:1"])
def test_the_command_line_takes_the_names(given: str) -> None:
    assert router_name(given) == given


@pytest.mark.parametrize("given", ["llm+cascade:2", "plan+cascade", "llm+plan", "+cascade", "llm+cascde"])
def test_the_command_line_refuses_others(given: str) -> None:
    with pytest.raises(BadParameter, match=r"llm\+cascade:P"):
        router_name(given)


def test_who_is_right_more_often_gives_what_others_work_with(tmp_path: Path) -> None:
    facts = [sage("notes", skill=0.5, produces="facts"), sage("study", skill=0.95, produces="facts")]
    writer = Agent(name="writer", model="script:large", consumes=("question", "facts"), skill=0.99)
    lines = [routes("tools", ("notes", "Who?")), routes("tools", ("writer", "Who?")), answers("tools", "She.")]
    script: dict[str, list[Line]] = {
        "router": list(lines), "notes": [says("he did")], "study": [says("she did")], "large": [says("She did.")],
    }  # fmt: skip
    provider = ScriptProvider(script)
    models = [scripted("router"), scripted("notes", CHEAP), scripted("study", DEAR), scripted("large", DEAR)]
    ran = ask(
        Orchestrator([*models, *facts, writer], router=stepped(), providers={"script": provider}, trace=tmp_path),
        tmp_path,
    )
    assert ran.called() == ["notes", "study", "writer"]
    (asked,) = [str(request.messages) for name, request in provider.requests if name == "large"]
    assert "she did" in asked
    assert "he did" not in asked.replace("she did", "")


def test_analyses_that_the_plan_asks_for_after_a_takeover_are_voted_on(tmp_path: Path) -> None:
    ill = AttemptError("no", kind="auth")
    script: dict[str, list[Line]] = {"router": [ill], "small": [says("blue")], "large": [says("blue")]}
    ran = ask(built(tmp_path, script, analyses=2), tmp_path)
    assert (ran.decision.method, ran.decision.support) == ("vote", ("large", "small"))


def test_effects_are_asked_as_the_model_says_and_had_once(tmp_path: Path) -> None:
    done: list[str] = []

    def book(question: str) -> str:
        done.append(question)
        return "booked"

    booker = Agent(name="booker", tool=book, skill=0.5, effects=True)
    table = routes("tools", ("booker", "a table"))
    again = routes("tools", ("booker", "a table"), ("large", "a table"))
    ran = ask(built(tmp_path / "once", {"router": [table, table, END]}, booker), tmp_path / "once")
    assert (done, ran.called()) == (["a table"], ["booker"])
    script: dict[str, list[Line]] = {"router": [table, again, END], "large": [says("no table")]}
    ran = ask(built(tmp_path / "beside", script, booker), tmp_path / "beside")
    assert (done, ran.called()) == (["a table"] * 2, ["booker", "large"])


def test_what_was_done_is_told_as_it_was_beside_what_was_kept(tmp_path: Path) -> None:
    def book(question: str) -> str:
        return f"booked: {question}"

    booker = Agent(name="booker", tool=book, skill=0.5, effects=True)
    table = routes("tools", ("booker", "Which colour?"))
    provider = ScriptProvider({"router": [ASKED, table, END], "small": [says("blue")], "large": [says("red")]})
    ask(Orchestrator([*members(), booker], router=stepped(), providers={"script": provider}, trace=tmp_path), tmp_path)
    told = [message.content for message in provider.requests[-1][1].messages if message.role == "tool"]
    assert ["red" in told[0], "booked: Which colour?" in told[1]] == [True, True]


def test_inputs_that_the_model_did_not_ask_for_are_the_plans(tmp_path: Path) -> None:
    """Somebody dearer would have been likelier right on the notes, but the way to the reader was chosen by weight."""
    notes = [sage("draft", skill=0.5, produces="notes"), sage("study", skill=0.52, produces="notes")]
    reader = giving("reader", "read", consumes=("question", "notes"), skill=0.99)
    provider = ScriptProvider({"router": [routes("tools", ("reader", "Who?")), END], "draft": [says("he")]})
    models = [scripted("router"), scripted("draft", CHEAP), scripted("study", DEAR)]
    ran = ask(
        Orchestrator([*models, *notes, reader], router=stepped(1), providers={"script": provider}, trace=tmp_path),
        tmp_path,
    )
    assert ran.called() == ["draft", "reader"]


def test_nobody_is_deferred_to_whose_input_is_an_effect(tmp_path: Path) -> None:
    done: list[str] = []

    def book(question: str) -> str:
        done.append(question)
        return "booked"

    booker = Agent(name="booker", tool=book, skill=0.99, produces="booking", effects=True)
    clerk = giving("clerk", "it is booked", skill=0.99, consumes=("booking",))
    script: dict[str, list[Line]] = {"router": [ASKED, END], "small": [says("blue")], "large": [says("red")]}
    ran = ask(built(tmp_path, script, booker, clerk), tmp_path)
    assert (ran.called(), done) == (["small", "large"], [])


def test_nobody_is_deferred_to_who_waits_for_a_persons_leave(tmp_path: Path) -> None:
    chief = giving("chief", "green", skill=0.99).model_copy(update={"approve": True})
    cheap = giving("clerk", "grey", skill=0.5).model_copy(update={"approve": True})
    script: dict[str, list[Line]] = {"router": [ASKED, END], "small": [says("blue")], "large": [says("red")]}
    ran = ask(built(tmp_path, script, chief, cheap), tmp_path)
    assert (ran.called(), ran.decision.status) == (["small", "large"], "answered")


def test_a_query_is_no_choice_among_those_of_the_question(tmp_path: Path) -> None:
    asked = Question((Message("user", "Which?"),), kind="math", choices=("A", "B"))
    script: dict[str, list[Line]] = {"router": [ASKED, answers("tools", "A")], "small": [says("blue")]}
    ran = ask(built(tmp_path, script, router=stepped(0.5)), tmp_path, asked)
    assert (ran.called(), ran.decision.answer) == (["small"], "A")


def test_where_no_turn_of_the_model_can_be_paid_any_more_what_was_kept_is_the_decision(tmp_path: Path) -> None:
    dear = says("red", Usage(100, 255))
    script: dict[str, list[Line]] = {"router": [ASKED], "small": [says("blue")], "large": [dear]}
    ran = ask(built(tmp_path, script, budget=Budget(usd=Decimal("0.0125"))), tmp_path)
    assert ran.called() == ["small", "large"]
    assert (ran.decision.answer, ran.decision.status, ran.decision.method) == ("red", "degraded", "llm+cascade")


def test_it_serves_inside_another_run_and_its_traces_are_told_and_decided_anew(tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {"router": [ASKED, END], "small": [says("blue")], "large": [says("red")]}
    outer = Orchestrator([built(tmp_path, script).as_expert("team")], trace=tmp_path)
    assert ask(outer, tmp_path).decision.answer == "That colour."
    (inner,) = [
        trace for path in tmp_path.rglob("*.jsonl")
        if isinstance(first := (trace := read_trace(path)).events[0], RunStarted) and first.within
    ]  # fmt: skip
    assert_no_silent_failure(inner)
    assert asyncio.run(replayed(inner)).same
    told = " ".join(CliRunner().invoke(app, ["trace", "why", str(inner.path)], env={"COLUMNS": "200"}).output.split())
    assert "small is asked before large" in told
    assert "ask large: +0." in told


def test_a_function_is_served_so_too(tmp_path: Path) -> None:
    def once(view: View) -> Turn:
        return Turn((Answer(),)) if view.replies else Turn((Route("large"),))

    script: dict[str, list[Line]] = {"small": [says("blue")], "large": [says("red")]}
    ran = ask(built(tmp_path, script, router=SteppedRouter(as_router(once), CascadeRouter())), tmp_path)
    assert (ran.called(), ran.decision.answer, ran.decision.method) == (["small", "large"], "red", "once+cascade")
    assert ran.decision.turns == 3


def test_what_is_explained_is_what_is_sent(tmp_path: Path) -> None:
    provider = ScriptProvider({"router": [routes("tools", ("small", "Which colour?")), END], "small": [says("blue")]})
    tight = Budget(usd=DEAR[1] * 256 / 1_000_000)  # what the dear one may cost at least, but for its input
    orchestrator = Orchestrator(
        members(), router=stepped(), providers={"script": provider}, budget=tight, trace=tmp_path
    )
    said = orchestrator.explain("What is it?").request
    assert ask(orchestrator, tmp_path, "What is it?").called() == ["small"]
    assert said is not None
    assert {tool.name for tool in said.tools} == {"small", "answer"}
    assert (said.messages, said.tools) == (provider.requests[0][1].messages, provider.requests[0][1].tools)


def test_whoever_needs_what_no_budget_pays_is_not_offered_either(tmp_path: Path) -> None:
    study = Agent(name="study", model="script:large", produces="facts", skill=0.9)
    writer = Agent(name="writer", model="script:small", consumes=("facts",), skill=0.9)
    tight, ample = (built(tmp_path, {}, study, writer, budget=Budget(usd=Decimal(usd))) for usd in ("0.01", "1"))
    offered = [
        {tool.name for tool in request.tools} for each in (tight, ample) if (request := each.explain("?").request)
    ]
    assert offered == [{"small", "answer"}, {"small", "large", "study", "writer", "answer"}]


def test_models_that_nobody_asks_give_a_run_no_budget() -> None:
    asked, unasked = Model(name="openai:asked", price=MODELS[2].price), Model(name="openai:dear", price=MODELS[2].price)
    experts = [giving("a"), asked, unasked]
    by_model = SteppedRouter(LLMRouter("openai:asked"), CascadeRouter())
    assert Orchestrator(experts, router=by_model, trace=False).payable == [asked]
    by_hand = SteppedRouter(as_router(lambda _: Turn((Answer(),))), CascadeRouter())
    assert Orchestrator(experts, router=by_hand, trace=False).payable == [asked, unasked]


def test_a_run_that_was_stopped_between_two_steps_goes_on_with_the_second(tmp_path: Path) -> None:
    place = tmp_path / "kept.sqlite"

    def hang(_: Request) -> str:
        raise KeyboardInterrupt

    def durable(script: dict[str, list[Line]]) -> Orchestrator:
        return built(tmp_path, script, checkpointer=place, new_id=lambda: "one")

    with pytest.raises(KeyboardInterrupt):
        durable({"router": [ASKED], "small": [says("blue")], "large": [hang]}).run_sync("What is it?")
    decision = asyncio.run(durable({"router": [END], "large": [says("red")]}).resume("one"))
    ran = checked(decision, tmp_path)
    assert (decision.answer, decision.expert_calls, decision.control_calls) == ("That colour.", 2, 2)
    assert ran.called() == ["small", "large"]


def test_a_run_is_not_resumed_with_another_model_in_its_router(tmp_path: Path) -> None:
    def hang(_: Request) -> str:
        raise KeyboardInterrupt

    def durable(model: str) -> Orchestrator:
        router = SteppedRouter(LLMRouter(model), CascadeRouter())
        script: dict[str, list[Line]] = {"router": [hang]}
        return built(tmp_path, script, router=router, checkpointer=tmp_path / "kept.sqlite", new_id=lambda: "one")

    with pytest.raises(KeyboardInterrupt):
        durable("script:router").run_sync("What is it?")
    with pytest.raises(ConfigError, match="router"):
        asyncio.run(durable("script:small").resume("one"))


NAMES = ("a", "b", "c", "d")
PLANNED = st.lists(
    st.one_of(
        st.lists(
            st.tuples(st.sampled_from([*NAMES, "nobody"]), st.sampled_from(["one?", "two?"])), min_size=1, max_size=4
        ),
        st.sampled_from(["", "It is so."]),
    ),
    max_size=6,
)
"""What a model does in its turns: asks experts, says nothing, or answers."""
EXPERTS = st.fixed_dictionaries(
    {
        "skill": st.sampled_from([0.3, 0.6, 0.8, 0.95]),
        "price": st.sampled_from([None, CHEAP, DEAR]),
        "says": st.sampled_from(["blue", "red", " ", None]),
        "effects": st.booleans(),
    }
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(EXPERTS, min_size=1, max_size=4),
    PLANNED,
    st.sampled_from([None, 0.5, 0.9, 1.0]),
    st.sampled_from([None, Decimal("0.003"), Decimal("0.012"), Decimal("0.03")]),
    st.sampled_from([None, 1, 3, 6]),
)
def test_whatever_comes_a_run_ends_in_its_budget_and_asks_nobody_twice(
    experts: list[dict[str, Any]], planned: list[Any], threshold: float | None, usd: Decimal | None, turns: int | None
) -> None:
    done: Counter[str] = Counter()
    with TemporaryDirectory() as place:
        orchestrator = Orchestrator(
            [scripted("router"), *(part for pair in map(drawn, NAMES, experts, repeat(done)) for part in pair)],
            router=stepped(threshold),
            providers={"script": ScriptProvider(lines(experts, planned))},
            budget=Budget(usd=usd, turns=turns),
            trace=Path(place),
            sleep=at_once,
            seed=1,
        )
        ran = ask(orchestrator, Path(place))
        assert_no_silent_failure(ran.decision, folder=place)
    assert ran.decision.cost_usd is not None
    assert usd is None or ran.decision.cost_usd <= usd
    refused = {event.attempt for event in ran.of(AttemptFailed) if event.kind in ("budget", "breaker_open")}
    asked = Counter((e.agent, e.goal.query) for e in ran.of(AttemptStarted) if e.attempt not in refused)
    assert [pair for pair, times in asked.items() if times > 1] == []
    assert [query for query, times in done.items() if times > 1] == []
    counted = [turn for turn in ran.of(TurnTaken) if turn.router == "llm+cascade"]
    assert turns is None or len(counted) <= turns


def drawn(name: str, traits: dict[str, Any], done: Counter[str]) -> list[Member]:
    """An expert as it was drawn: a tool that has an effect, or a model."""

    def act(question: str) -> str:
        if traits["says"] is None:
            raise ToolError(f"{name} is ill")
        done[question] += bool(traits["says"].strip())  # a blank reply is a failure, and nothing was done
        return traits["says"]

    if traits["effects"]:
        return [Agent(name=name, tool=act, skill=traits["skill"], effects=True, idempotent=True)]
    return [scripted(name, traits["price"]), sage(name, skill=traits["skill"])]


def lines(experts: list[dict[str, Any]], planned: list[Any]) -> dict[str, Callable[[Request], str | Completion]]:
    """What each model says, over and over; the router's answers in the end."""
    left = list(planned)

    def decide(_: Request) -> Completion:
        turn = left.pop(0) if left else "That is all."
        return says(turn) if isinstance(turn, str) else routes("tools", *turn)

    def saying(traits: dict[str, Any]) -> Callable[[Request], Completion]:
        def say(_: Request) -> Completion:
            if traits["says"] is None:
                raise AttemptError("no", kind="refusal")
            return says(traits["says"])

        return say

    return {"router": decide, **{name: saying(each) for name, each in zip(NAMES, experts, strict=False)}}
