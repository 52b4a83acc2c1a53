"""Images in questions: how they come in, what they weigh, and who is not asked because of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import Agent, Budget, ConfigError, Message, Model, Orchestrator, Price, Question
from orchestrator.messages import as_question
from orchestrator.providers import Completion, OnText, Quote, Request, ScriptProvider, ToolSpec
from orchestrator.providers.base import IMAGE_TOKENS, estimated_tokens, list_price_quote, quoted, unfit
from orchestrator.providers.script import Line
from orchestrator.requests import expert_request
from orchestrator.routers import LLMRouter
from tests.routing import answers, routes, says
from tests.runs import ask

CAT = "https://pictures.example/cat.png"
DOT = "data:image/png;base64,iVBORw0KGgo="
WHAT = "What is this?"
TOOLS = (ToolSpec("look", "", {"type": "object"}),)
SCHEMA: Mapping[str, object] = {"type": "object", "properties": {"animal": {"type": "string"}}}


def text(said: str) -> dict[str, str]:
    """A part of a message as OpenAI writes it."""
    return {"type": "text", "text": said}


def image(url: str, **more: str) -> dict[str, object]:
    """Another."""
    return {"type": "image_url", "image_url": {"url": url, **more}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([text(WHAT), image(CAT)], Message("user", WHAT, images=(CAT,))),
        (
            (image(DOT), text("One."), image(CAT, detail="auto"), text(WHAT)),
            Message("user", f"One.\n{WHAT}", images=(DOT, CAT)),
        ),
        ([text(WHAT)], Message("user", WHAT)),
        (WHAT, Message("user", WHAT)),
        ([{**text(WHAT), "annotations": [1]}], Message("user", WHAT)),
    ],
)  # fmt: skip
def test_a_message_may_be_in_parts(content: object, expected: Message) -> None:
    said: list[Mapping[str, object]] = [
        {"role": "system", "content": [text("Be brief.")]},
        {"role": "user", "content": content},
    ]
    assert as_question(said).messages == (Message("system", "Be brief."), expected)
    assert as_question(said).images == expected.images


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"role": "user", "content": [text(WHAT), {"type": "input_audio", "input_audio": 1}]},
         "`messages[0].content[1]`: not a part of a message: {'type': 'input_audio', 'input_audio': 1}; expected {"),
        ({"role": "user", "content": [text(WHAT), image(CAT, detail="low")]}, "not a part of a message"),
        ({"role": "user", "content": [text(WHAT), {"type": "image_url", "image_url": CAT}]}, "not a part of a message"),
        ({"role": "user", "content": [text(WHAT), image("")]}, "not the address of an image: ''"),
        ({"role": "user", "content": ["What?"]}, "`messages[0].content[0]`: not a part of a message: 'What?'"),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, "not a part of a message"),
        ({"role": "user", "content": {"type": "text", "text": WHAT}}, "`messages[0]`: not a message"),
        ({"role": "user", "content": b"What?"}, "not a part of a message: 87"),
        ({"role": "tool", "content": [text(WHAT)]}, "`messages[0]`: not a message"),
        ("What?", "`messages[0]`: not a message: 'What?'"),
        ({"role": "user", "content": [image(CAT)]}, "the question is empty"),
        ({"role": "user", "content": [text(WHAT), image("http://pictures.example/cat.png")]},
         "`messages[0]`: not the address of an image: 'http://pictures.example/cat.png'; expected https://… or data:"),
        ({"role": "user", "content": [text(WHAT), image("file:///etc/passwd")]}, "not the address of an image"),
        ({"role": "user", "content": [text(WHAT), image("https://")]}, "not the address of an image"),
        ({"role": "user", "content": [text(WHAT), image("https://a.example/b c")]}, "not the address of an image"),
        ({"role": "user", "content": [text(WHAT), image("data:text/html;base64,aGk=")]}, "not the address of an image"),
        ({"role": "user", "content": [text(WHAT), image("data:image/png,raw")]}, "not the address of an image"),
        ({"role": "user", "content": [text(WHAT), image("data:image/png;base64,")]}, "not the address of an image"),
        (Message("user", WHAT, images=("cat.png",)), "`messages[0]`: not the address of an image: 'cat.png'"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_told_with_its_place(message: object, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        as_question([cast("Message", message)])
    assert problem in str(raised.value)


def test_images_come_from_users_only() -> None:
    for role in ("system", "assistant"):
        with pytest.raises(ConfigError, match=rf"`messages\[0\]`: an image from the {role}"):
            as_question([{"role": role, "content": [image(CAT)]}, Message("user", WHAT)])
    with pytest.raises(ConfigError, match="an image from the system"):
        as_question(Question((Message("system", "", images=(CAT,)), Message("user", WHAT))))


def test_a_complaint_does_not_repeat_a_whole_image() -> None:
    huge = DOT + "A" * 1_000_000 + "!"
    with pytest.raises(ConfigError) as raised:
        as_question([Message("user", WHAT, images=(huge,))])
    assert len(str(raised.value)) < 300


@given(said=st.text(max_size=50), images=st.lists(st.sampled_from([CAT, DOT, DOT + "A" * 4_000]), max_size=4))
def test_an_image_weighs_the_same_whatever_its_size(said: str, images: list[str]) -> None:
    plain = estimated_tokens(Request((Message("user", said),)))
    assert (
        estimated_tokens(Request((Message("user", said, images=tuple(images)),))) == plain + len(images) * IMAGE_TOKENS
    )


def test_a_schema_weighs_what_is_sent_of_it() -> None:
    asked = Request((Message("user", WHAT),))
    held = Request(asked.messages, schema=SCHEMA)
    assert estimated_tokens(held) >= estimated_tokens(asked) + len(json.dumps(SCHEMA)) // 2


def model(**fields: object) -> Model:
    """A model that is free and takes everything, but for what is said of it."""
    able = {"name": "script:m", "free": True, "modalities": ["text", "image"]}
    return Model.model_validate({**able, **fields})


SEEN = Request((Message("system", "Look."), Message("user", WHAT, images=(CAT,)), Message("assistant", "A cat.")))
TOOLED = Request((Message("user", WHAT),), tools=TOOLS)
HELD = Request((Message("user", WHAT),), schema=SCHEMA)
EVERYTHING = Request(SEEN.messages, tools=TOOLS, schema=SCHEMA)


@pytest.mark.parametrize(
    ("request_", "fields", "why_not"),
    [
        (SEEN, {"modalities": ["text"]}, "it takes no images"),
        (TOOLED, {"tools": False}, "it calls no tools"),
        (HELD, {"structured": False}, "it keeps to no JSON Schema"),
        (EVERYTHING, {"modalities": ["text"], "tools": False, "structured": False}, "it takes no images"),
        (EVERYTHING, {}, None),
        (Request((Message("user", WHAT),)), {"modalities": ["text"], "tools": False, "structured": False}, None),
    ],
)
def test_what_a_model_lacks(request_: Request, fields: dict[str, object], why_not: str | None) -> None:
    assert unfit(model(**fields), request_) == why_not
    quote = quoted(ScriptProvider({}), model(**fields), request_)
    assert quote.why_not == why_not
    assert (quote.reserve is None) == (why_not is not None)


def test_abilities_come_before_the_context_window_and_that_before_the_price() -> None:
    lacking: dict[str, object] = {
        "free": False,
        "context_window": 300,
        "modalities": ["text"],
    }  # and its price is unknown
    assert list_price_quote(model(**lacking), SEEN).why_not == "it takes no images"
    lacking["modalities"] = ["text", "image"]
    assert (list_price_quote(model(**lacking), SEEN).why_not or "").startswith("needs about 5,")
    lacking["context_window"] = None
    unpriced = list_price_quote(model(**lacking), SEEN)
    assert (unpriced.why_not, unpriced.reserve) == (None, None)


class Quoter:
    """A provider with prices of its own."""

    def __init__(self) -> None:
        self.asked = 0

    def quote(self, model: Model, request: Request) -> Quote:
        """The same for everybody."""
        self.asked += 1
        return Quote(expected=Decimal(len(request.messages)), why_not=f"{model.id} is asleep")

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """Never asked."""
        raise NotImplementedError


def test_a_provider_that_quotes_itself_is_not_asked_about_the_unfit() -> None:
    provider = Quoter()
    assert quoted(provider, model(modalities=["text"]), SEEN).why_not == "it takes no images"
    assert provider.asked == 0
    assert quoted(provider, model(), SEEN).why_not == "m is asleep"


def seeing(name: str, **fields: object) -> list[Model | Agent]:
    """A model and an expert over it."""
    return [model(name=f"script:{name}", **fields), Agent(name=name, model=f"script:{name}", skill=0.5)]


def test_a_question_with_an_image_goes_to_whom_it_can_go(tmp_path: Path) -> None:
    provider = ScriptProvider({"eagle": ["A cat."]})
    price = Price(input=Decimal(1), output=Decimal(1), as_of=date(2026, 1, 1), source="a test")
    members = [*seeing("mole", modalities=["text"]), *seeing("eagle", free=False, price=price)]
    orchestrator = Orchestrator(members, providers={"script": provider}, trace=tmp_path, budget=Budget(usd=Decimal(1)))
    asked: list[Mapping[str, object]] = [{"role": "user", "content": [text(WHAT), image(CAT)]}]
    causes = {each.agent: each.why_not for choice in orchestrator.explain(asked).choices for each in choice.candidates}
    assert causes == {"mole": "it takes no images", "eagle": None}
    ran = ask(orchestrator, tmp_path, asked)
    assert (ran.decision.answer, ran.called()) == ("A cat.", ["eagle"])
    ((_, request),) = provider.requests
    assert request.messages[-1] == Message("user", WHAT, images=(CAT,))


def test_where_nobody_sees_the_run_says_so(tmp_path: Path) -> None:
    orchestrator = Orchestrator(
        seeing("mole", modalities=["text"]), providers={"script": ScriptProvider({})}, trace=tmp_path
    )
    ran = ask(orchestrator, tmp_path, [Message("user", WHAT, images=(DOT,))])
    assert (ran.decision.status, ran.called()) == ("escalated", [])
    assert any("mole" in reason and "it takes no images" in reason for reason in ran.decision.reasons)


def test_a_routed_query_takes_the_images_to_whom_takes_them(tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {
        "router": [
            routes("tools", ("mole", "Do cats purr?"), ("eagle", "Which animal is it?")),
            answers("tools", "A cat."),
        ],
        "mole": [says("They do.")],
        "eagle": [says("A cat.")],
    }
    provider = ScriptProvider(script)
    members = [*seeing("mole", modalities=["text"]), *seeing("eagle"), model(name="script:router")]
    orchestrator = Orchestrator(
        members, router=LLMRouter("script:router"), providers={"script": provider}, trace=tmp_path
    )
    ran = ask(orchestrator, tmp_path, [Message("user", WHAT, images=(CAT,))])
    assert ran.decision.answer == "A cat."
    carried = {name: request.messages[-1].images for name, request in provider.requests if name != "router"}
    assert carried == {"mole": (), "eagle": (CAT,)}
    assert [m.images for m in provider.requests[0][1].messages] == [(), (CAT,)]


def test_inputs_are_added_to_a_question_without_losing_its_images() -> None:
    expert = Agent(name="reader", model="script:m", consumes=("question", "passages"))
    question = Question((Message("user", WHAT, images=(CAT,)),))
    asked = expert_request(expert, model(), question, "", {"passages": "Cats purr."})
    assert asked.messages == (Message("user", f"{WHAT}\n\npassages:\nCats purr.", images=(CAT,)),)


def test_a_router_that_sees_nothing_hands_over_to_the_plan(tmp_path: Path) -> None:
    members = [*seeing("eagle"), model(name="script:router", modalities=["text"])]
    provider = ScriptProvider({"eagle": ["A cat."]})
    router = LLMRouter("script:router")
    orchestrator = Orchestrator(members, router=router, providers={"script": provider}, trace=tmp_path)
    ran = ask(orchestrator, tmp_path, [Message("user", WHAT, images=(CAT,))])
    assert ran.decision.answer == "A cat."
    assert ran.decision.reasons == ("takeover: the router's model failed (invalid_request): it takes no images",)
