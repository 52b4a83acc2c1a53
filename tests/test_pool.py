"""Pools made in Python: functions, agents and models as members, and what goes wrong with them."""
# ruff: noqa: ARG001 - experts of tests need not look at what they are given

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from orchestrator import (
    Agent,
    Claim,
    ConfigError,
    Model,
    Orchestrator,
    Pool,
    Price,
    Resources,
    ToolError,
    Usage,
    expert,
    load_folder,
)
from orchestrator.pool import as_agent, priced
from orchestrator.pool.descriptors import Descriptor
from tests.runs import ask

if TYPE_CHECKING:
    from fractions import Fraction

GPT = Model(name="openai:gpt-4o")


@expert
def plain(question: str) -> str:
    """Says it back.

    More of this is not for routers.
    """
    return question


@expert(name="loud", produces="shout", skill=0.9, skills={"math": 0.2}, retries=1, timeout=5.0)
async def shouted(question: str) -> str:
    return question.upper()


@expert(produces="song")
def chorus(shout: str, question: str) -> str:
    return shout + question


def str_of(question: str) -> str:
    return str(question)


def echo(shout: str) -> str:
    return shout


def fields(agent: Agent) -> dict[str, object]:
    """An agent's fields, but for where it was read."""
    return {name: value for name, value in agent if name != "source"}


def told_of(*members: object, goals: list[str] | None = None) -> list[str]:
    """What is said of members that make no pool."""
    with pytest.raises(ConfigError) as caught:
        Orchestrator(Pool(members, goals=goals), trace=False)  # pyright: ignore[reportArgumentType]
    return lines(caught.value)


def lines(error: ConfigError) -> list[str]:
    """The text of an error, in lines."""
    return wrap(str(error), width=96, break_on_hyphens=False)


def test_a_function_says_what_the_agent_is() -> None:
    assert fields(as_agent(plain)) == fields(Agent(name="plain", role="Says it back.", tool=plain))


def test_arguments_say_the_rest() -> None:
    assert fields(as_agent(shouted)) == {
        **fields(Agent(name="loud", tool=shouted)),
        "produces": "shout",
        "skill": 0.9,
        "skills": {"math": 0.2},
        "retries": 1,
        "timeout": 5.0,
    }


def test_an_undecorated_function_is_an_expert_too() -> None:
    def bare(question: str) -> str:
        return question

    assert fields(as_agent(bare)) == fields(Agent(name="bare", tool=bare))
    assert list(Pool([bare, plain]).agents) == ["bare", "plain"]


def test_parameters_are_named_after_artifacts() -> None:
    with pytest.raises(ConfigError, match="two different artifacts"):
        expert(produces="question")(str_of)

    assert as_agent(chorus).consumes == ("shout", "question")


def test_a_decorated_function_can_still_be_called() -> None:
    assert plain("hello") == "hello"
    assert chorus("A", question="b") == "Ab"


def test_async_and_plain_functions_answer_alike(tmp_path: Path) -> None:
    pool = Pool([shouted], goals=["shout"])
    assert ask(Orchestrator(pool, trace=tmp_path), tmp_path, "hello").decision.answer == "HELLO"
    assert ask(Orchestrator([plain], trace=tmp_path), tmp_path, "hello").decision.answer == "hello"


def test_resources_are_injected_and_no_artifact(tmp_path: Path) -> None:
    def reads(question: str, places: Resources) -> str:
        return f"{question} {places.docs}"

    assert as_agent(reads).consumes == ("question",)
    asked = Orchestrator([reads], resources=Resources(docs=tmp_path), trace=tmp_path)
    assert ask(asked, tmp_path, "in").decision.answer == f"in {tmp_path}"


def test_resources_are_injected_beside_a_type_that_only_checkers_know(tmp_path: Path) -> None:
    def sums(question: str, places: Resources) -> Fraction:
        return f"{question} {places.tables}"  # pyright: ignore[reportReturnType]

    assert as_agent(sums).consumes == ("question",)
    asked = Orchestrator([sums], trace=tmp_path)
    assert ask(asked, tmp_path, "of").decision.answer == "of ()"


def test_a_callable_object_is_an_expert_through_an_agent(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Suffix:
        ending: str

        def __call__(self, question: str, places: Resources) -> str:
            return question + self.ending + str(places.tables)

    @dataclass(frozen=True)
    class Later:
        async def __call__(self, question: str) -> str:
            return question + "…"

    def ended(question: str, ending: str) -> str:
        return question + ending

    for tool, answer in ((Suffix("!"), "hi!()"), (Later(), "hi…"), (functools.partial(ended, ending="?"), "hi?")):
        agents = [Agent(name="called", tool=tool)]
        assert ask(Orchestrator(agents, trace=tmp_path), tmp_path, "hi").decision.answer == answer


def test_a_parameter_with_a_default_is_filled_when_its_artifact_is_there(tmp_path: Path) -> None:
    def hint(question: str) -> str:
        return "look left"

    @expert
    def guess(question: str, hint: str = "none") -> str:
        return f"{question}: {hint}"

    assert as_agent(guess).consumes == ("question",)
    assert ask(Orchestrator([guess], trace=tmp_path), tmp_path, "Where").decision.answer == "Where: none"
    hinting = Agent(name="hint", tool=hint, produces="hint", skill=1.0)
    planned = ask(Orchestrator([guess, hinting], trace=tmp_path), tmp_path, "Where")
    assert planned.called() == ["guess"]

    def look(hint: str) -> str:
        raise ToolError("too dark")

    looking = Agent(name="look", tool=look, consumes=("hint",), skill=1.0)
    guessing = as_agent(guess).model_copy(update={"skill": 0.1})
    ran = ask(Orchestrator([guessing, hinting, looking], trace=tmp_path), tmp_path, "Where")
    assert ran.called() == ["hint", "look", "guess"]
    assert ran.decision.answer == "Where: look left"


def test_functions_agents_and_models_together() -> None:
    said = Agent(name="said", model="openai:gpt-4o")
    pool = Pool([plain, said, GPT, shouted], name="mixed")
    assert list(pool.agents) == ["plain", "said", "loud"]
    assert list(pool.models) == ["openai:gpt-4o"]
    assert (pool.model_of(said), pool.model_of(pool.agents["plain"])) == (priced(GPT), None)
    assert pool.artifacts == ("answer", "question", "shout")
    assert Pool([GPT, GPT, said]).models == {"openai:gpt-4o": priced(GPT)}


def test_the_goal_is_the_answer_or_what_nobody_consumes() -> None:
    assert Pool([plain, shouted]).goals == ("answer",)
    last = Agent(name="last", tool=echo, consumes=("shout",), produces="echo")
    assert Pool([shouted, last]).goals == ("echo",)
    assert Pool([shouted, last], goals=["shout"]).goals == ("shout",)


def test_goals_from_an_asked_one_downwards() -> None:
    pool = Pool([plain, shouted], goals=["shout", "answer"])
    assert pool.goals_from(None) == ("shout", "answer")
    assert pool.goals_from("shout") == ("shout", "answer")
    assert pool.goals_from("answer") == ("answer",)
    assert Pool([plain, shouted]).goals_from("shout") == ("shout",)
    with pytest.raises(ConfigError) as caught:
        pool.goals_from("shuot")
    assert str(caught.value) == snapshot(
        "`goal`: nothing produces the goal `shuot`; expected one of answer, shout; did you mean `shout`?"
    )


def test_what_makes_no_pool_says_why() -> None:
    def strange(questoin: str) -> str:
        return questoin

    def nothing() -> str:
        return ""

    def rigid(question: str, /) -> str:
        return question

    told = {
        "an unknown parameter": told_of(strange),
        "no parameter": told_of(nothing),
        "a parameter that has no name for callers": told_of(rigid),
        "a number": told_of(42),
        "a class": told_of(Resources),
        "nobody": told_of(),
        "a name twice": told_of(plain, plain),
        "a model nobody described": told_of(Agent(name="a", model="openai:gpt-4"), GPT),
        "another model of the same name": told_of(plain, GPT, Model(name="openai:gpt-4o", free=True)),
        "a goal nobody produces": told_of(plain, goals=["anwser"]),
        "a tool that takes something else": told_of(Agent(name="a", tool=strange)),
    }
    assert told == snapshot(
        {
            "an unknown parameter": [
                "`agents.strange.consumes`: nothing produces `questoin`; expected artifacts among answer,",
                "question; did you mean `question`?",
            ],
            "no parameter": [
                "`nothing`: consumes nothing; expected a parameter named after an artifact, such as `question`"
            ],
            "a parameter that has no name for callers": [
                "`agents.rigid.consumes`: the tool's parameter `question` cannot be given by name; expected no",
                "`/` after it",
            ],
            "a number": ["`pool`: 42 is no member of a pool; expected an `Agent`, a `Model` or a typed function"],
            "a class": [
                "`pool`: <class 'orchestrator.tools.base.Resources'> is no member of a pool; expected an `Agent`,",
                "a `Model` or a typed function",
            ],
            "nobody": ["the pool `pool` has no agents; expected at least one agent"],
            "a name twice": ["`agents.plain`: the name `plain` is taken; expected a name of its own"],
            "a model nobody described": [
                "`agents.a.model`: there is no model `openai:gpt-4`; expected one of openai:gpt-4o; did you mean",
                "`openai:gpt-4o`?",
            ],
            "another model of the same name": [
                "`models.openai:gpt-4o`: the model `openai:gpt-4o` is described twice; expected one description"
            ],
            "a goal nobody produces": [
                "`pool.goals`: nothing produces the goal `anwser`; expected one of answer; did you mean `answer`?"
            ],
            "a tool that takes something else": [
                "`agents.a.consumes`: the tool's parameter `questoin` is no artifact that the agent consumes;",
                "expected parameters among question; did you mean `question`?",
            ],
        }
    )


def test_what_has_no_name_asks_for_one() -> None:
    for member in (functools.partial(plain), lambda: ""):
        told = " ".join(told_of(member))
        assert "has no name; expected `Agent(name=…, tool=…)`, or a function" in told


def test_wrong_fields_say_so_without_a_file() -> None:
    told: list[list[str]] = []
    wrong: list[dict[str, object]] = [
        {"name": "a", "tool": plain, "skill": 2},
        {"name": "a"},
        {"name": "a", "tool": plain, "skil": 1},
        {"tool": plain},
        {"name": " a", "tool": plain},
    ]
    for each in wrong:
        with pytest.raises(ConfigError) as caught:
            Agent(**each)  # pyright: ignore[reportArgumentType]
        told.append(lines(caught.value))
    with pytest.raises(ConfigError) as caught:
        expert(skill=1.5)(plain)
    assert [*told, lines(caught.value)] == snapshot(
        [
            ["`a.skill`: cannot be 2; expected a number of at most 1"],
            ["`a`: names neither a model nor a tool; expected either `model` or `tool`"],
            [
                "`a.skil`: unknown key `skil`; expected one of approve, claim, confidence, consumes, effects,",
                "idempotent, model, name, needs, optional, output, produces, prompt, reply, retries, role,",
                "samples, seconds, skill, skills, source, timeout, tool; did you mean `skill`?",
            ],
            ["`Agent.name`: is missing; expected a value for `name`"],
            ["` a.name`: cannot be ' a'; expected a name without quotes, commas, brackets or outer blanks"],
            ["`plain.skill`: cannot be 1.5; expected a number of at most 1"],
        ]
    )


def test_python_says_what_toml_says(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "brief.md").write_text("Be brief: ${x} { }")
    (tmp_path / "a.toml").write_text(
        """
        [pool]
        goals = ["verdict", "answer"]

        [models."openai:gpt-4o"]
        price = { input = 2.5, output = 10, as_of = 2026-11-21, source = "list" }
        context_window = 128000
        max_output = 1000
        seconds = 1.5

        [models.near]
        base_url = "http://localhost:8000/v1"
        provider = "openai"
        id = "llama"
        free = true

        [agents.judge]
        role = "weighs"
        model = "openai:gpt-4o"
        prompt = "brief"
        consumes = ["question", "answer"]
        produces = "verdict"
        skill = 0.8
        skills = { math = 0.9, code = 1 }
        retries = 0
        timeout = 30
        seconds = 2

        [agents.sums]
        tool = "arithmetic"
        """
    )
    price = Price(input=Decimal("2.5"), output=Decimal(10), as_of=date(2026, 11, 21), source="list")
    members: list[Model | Agent] = [
        Model(name="openai:gpt-4o", price=price, context_window=128000, max_output=1000, seconds=1.5),
        Model(name="near", provider="openai", id="llama", base_url="http://localhost:8000/v1", free=True),
        Agent(
            name="judge",
            role="weighs",
            model="openai:gpt-4o",
            prompt="Be brief: ${x} { }",
            consumes=("question", "answer"),
            produces="verdict",
            skill=0.8,
            skills={"math": 0.9, "code": 1.0},
            retries=0,
            timeout=30.0,
            seconds=2.0,
        ),
        Agent(name="sums", tool="arithmetic"),
    ]
    read, made = load_folder(tmp_path), Pool(members, goals=["verdict", "answer"])
    for one, other in ((read.agents, made.agents), (read.models, made.models)):
        assert {name: table_of(each) for name, each in one.items()} == {
            name: table_of(each) for name, each in other.items()
        }
    assert read.goals == made.goals


def table_of(member: Descriptor) -> dict[str, object]:
    """All fields of a model or agent, but for where it was read."""
    return {name: value for name, value in member if name != "source"}


@given(st.floats(0, 1), st.dictionaries(st.text(min_size=1), st.floats(0, 1)), st.text())
def test_the_skill_for_a_kind_is_its_own_or_the_general_one(skill: float, skills: dict[str, float], kind: str) -> None:
    agent = Agent(name="a", tool=plain, skill=skill, skills=skills)
    assert agent.skill_for(kind) == skills.get(kind, skill)
    assert agent.skill_for(None) == skill


def test_a_claim_decides_who_is_asked(tmp_path: Path) -> None:
    def cannot(question: str) -> Claim:
        return Claim(0.0, "needs a folder: --docs DIR")

    def half(question: str, resources: Resources) -> float:
        return 0.5 if resources.docs is None else 1.0

    @expert(claim=cannot, skill=1.0)
    def first(question: str) -> str:
        return "first"

    @expert(claim=half, skill=0.8)
    def second(question: str) -> str:
        return "second"

    @expert(skill=0.5)
    def third(question: str) -> str:
        return "third"

    members = [first, second, third]
    assert ask(Orchestrator(members, trace=tmp_path), tmp_path).called() == ["third"]
    with_docs = Orchestrator(members, resources=Resources(docs=tmp_path), trace=tmp_path)
    assert ask(with_docs, tmp_path).called() == ["second"]
    alone = ask(Orchestrator([first], trace=tmp_path), tmp_path)
    assert alone.decision.status == "escalated"
    assert "first: needs a folder: --docs DIR" in alone.decision.reasons


def test_cost_of_a_price_is_exact() -> None:
    price = Price(input=Decimal("0.15"), output=Decimal("0.6"), as_of=date(2026, 11, 21), source="list")
    assert price.cost(Usage(1_000_000, 1)) == Decimal("0.1500006")
