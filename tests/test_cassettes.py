"""Cassettes: what was recorded once is had again without the provider; what was not is loud."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import ConfigError, Message, Model, Orchestrator, ProviderError, Usage
from orchestrator.errors import AttemptError, FailureKind, RateLimited, ReplayMismatch
from orchestrator.messages import ToolCall
from orchestrator.providers import (
    Completion,
    Provider,
    RecordingProvider,
    ReplayProvider,
    Request,
    ScriptProvider,
    ToolSpec,
)
from orchestrator.providers.script import Line
from orchestrator.routers import LLMRouter
from orchestrator.runtime import Clocks
from orchestrator.trace.events import Event
from tests.fake_clock import FakeClock
from tests.routing import DEAR, ENCODINGS, Adder, Encoding, answers, routes, sage, says, scripted
from tests.runs import QUESTION, Ran, ask

CANARY = "sk-canary-0123456789"
MODEL = Model(name="script:m", free=True)


def run(provider: Provider, folder: Path, encoding: Encoding = "tools", question: str = QUESTION) -> Ran:
    """A run of a router with an expert and a tool, over any provider."""
    clock = FakeClock()
    orchestrator = Orchestrator(
        [
            scripted("router", encoding=encoding),
            scripted("sage", DEAR),
            Model(name="script:spare", id="spare", key_env="SPARE_API_KEY", free=True),
            sage(),
            sage("spare", skill=0.1),
            Adder().agent(skill=0.05),
        ],
        router=LLMRouter("script:router"), providers={"script": provider}, trace=folder,
        clocks=Clocks(clock, clock), sleep=clock.sleep, seed=3,
    )  # fmt: skip
    return ask(orchestrator, folder, question)


def script(encoding: Encoding) -> ScriptProvider:
    """A failed try of the router, parallel routes of which one is rerouted, an answer."""
    lines: dict[str, list[Line]] = {
        "router": [
            RateLimited("slower", retry_after=2.5),
            routes(encoding, ("sage", "what is 2+2?"), ("adder", "2+2"), thought="both – \u2028 may know"),
            answers(encoding, "4"),
        ],
        "sage": [ProviderError("cut", kind="cut_stream", partial="It i", usage=Usage(50, 3))],
        "spare": [says("It is 4.")],
    }
    return ScriptProvider(lines)


def comparable(events: tuple[Event, ...]) -> list[dict[str, object]]:
    """Events without times, ids and hashes."""
    return [bare(event) for event in events]


def bare(event: Event) -> dict[str, object]:
    """One event without them, its decision's included."""
    fields = event.model_dump(mode="json", exclude={"time", "run_id", "prev"})
    if isinstance(decision := fields.get("decision"), dict):
        fields["decision"] = {**decision, "run_id": "", "head": ""}
    return fields


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_replay_is_the_same_run(encoding: Encoding, tmp_path: Path) -> None:
    cassette = tmp_path / "deep" / "down" / "run.jsonl"
    first = run(RecordingProvider(script(encoding), cassette), tmp_path, encoding)
    assert first.outcomes() == [("sage", "rerouted")]
    replay = ReplayProvider(cassette)
    second = run(replay, tmp_path, encoding)
    replay.finish()
    same = {"run_id": "", "head": ""}
    assert second.decision.model_copy(update=same) == first.decision.model_copy(update=same)
    assert comparable(second.events) == comparable(first.events)
    assert first.decision.cost_usd == Decimal("0.00018") * 2 + Decimal("0.00062") + charge_of_the_limited_try(first)


def charge_of_the_limited_try(ran: Ran) -> Decimal:
    """What the try that the server turned away was charged."""
    return next(event.usd or Decimal(0) for event in ran.events if event.type == "try_ended" and event.kind)


def test_one_changed_character_is_told_with_the_nearest_call_and_the_difference(tmp_path: Path) -> None:
    cassette = tmp_path / "run.jsonl"
    run(RecordingProvider(script("tools"), cassette), tmp_path)
    with pytest.raises(ReplayMismatch) as raised:
        run(ReplayProvider(cassette), tmp_path, question="What is it!")
    told = str(raised.value)
    assert "this call of script:router was not recorded; the nearest recorded one differs" in told
    changed = [line for line in told.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert [line.strip("+- ") for line in changed] == ['"content": "What is it?",', '"content": "What is it!",']


def test_an_unsaid_line_and_an_unexpected_call_are_loud() -> None:
    provider = ScriptProvider({"m": ["one", "two"]})
    assert complete(provider, "q").text == "one"
    with pytest.raises(ReplayMismatch, match="lines were left unsaid: 1 of m"):
        provider.finish()
    complete(provider, "q")
    provider.finish()
    with pytest.raises(ReplayMismatch, match="the script has no line for call 3 of `m`"):
        complete(provider, "q")


def complete(provider: Provider, text: str, *, model: Model = MODEL) -> Completion:
    """What a provider gives for one message."""
    return asyncio.run(provider.complete(model, Request((Message("user", text),))))


def recorded(path: Path, *lines: Line, text: str = "q") -> Path:
    """A cassette of calls that are all asked the same."""
    recording = RecordingProvider(ScriptProvider({"m": lines}), path)
    for line in lines:
        if isinstance(line, AttemptError):
            with pytest.raises(AttemptError):
                complete(recording, text)
        else:
            complete(recording, text)
    return path


def test_equal_calls_are_answered_in_their_order(tmp_path: Path) -> None:
    replay = ReplayProvider(recorded(tmp_path / "c.jsonl", "one", "two", ProviderError("no", kind="server"), "four"))
    assert [complete(replay, "q").text for _ in range(2)] == ["one", "two"]
    with pytest.raises(ProviderError, match="no"):
        complete(replay, "q")
    assert complete(replay, "q").text == "four"
    replay.finish()
    with pytest.raises(ReplayMismatch, match="was not recorded, and all recorded calls are used up"):
        complete(replay, "q")


def test_calls_that_are_not_made_are_told_at_the_end(tmp_path: Path) -> None:
    path = recorded(tmp_path / "c.jsonl", "one", "two", text="a rare question")
    replay = ReplayProvider(path)
    complete(replay, "a rare question")
    with pytest.raises(ReplayMismatch, match="1 recorded calls were not made") as raised:
        replay.finish()
    assert "a rare question" in str(raised.value)


def test_another_model_is_another_call(tmp_path: Path) -> None:
    replay = ReplayProvider(recorded(tmp_path / "c.jsonl", "one"))
    with pytest.raises(ReplayMismatch, match=r'(?s)- "model": "script:m",.*\+ "model": "script:n",'):
        complete(replay, "q", model=Model(name="script:n", free=True))


@pytest.mark.parametrize("kind", get_args(FailureKind))
def test_a_failure_is_had_again_as_it_was(kind: FailureKind, tmp_path: Path) -> None:
    error = ProviderError("oh – no", kind=kind, sent=False, begun=True, partial="some", usage=Usage(3, 1))
    if kind == "rate_limited":
        error = RateLimited("oh – no", retry_after=7.25)
    replay = ReplayProvider(recorded(tmp_path / "c.jsonl", error))
    with pytest.raises(ProviderError, match="oh – no") as raised:
        complete(replay, "q")
    again = raised.value
    assert (again.kind, again.retry_after, again.retryable) == (kind, error.retry_after, error.retryable)
    assert (again.sent, again.begun, again.partial, again.usage) == (
        error.sent,
        error.begun,
        error.partial,
        error.usage,
    )


def test_a_failure_that_is_no_providers_is_had_again(tmp_path: Path) -> None:
    replay = ReplayProvider(recorded(tmp_path / "c.jsonl", AttemptError("broken", kind="malformed")))
    with pytest.raises(AttemptError, match="broken") as raised:
        complete(replay, "q")
    assert raised.value.kind == "malformed"


GOOD = json.dumps({"key": "k", "model": "m", "request": {}, "completion": {"text": "t"}}).encode()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (GOOD[:-9], 1),
        (GOOD + b"\n" + GOOD[:20], 2),
        (GOOD + b"\n\n" + GOOD, 2),
        (b"not JSON", 1),
        (b"[]", 1),
        (b"5", 1),
        (b"\xff\xfe\x00", 1),
        (b"[" * 200_000, 1),
        (GOOD.replace(b'"t"', b"5"), 1),
        (GOOD.replace(b'"completion"', b'"complaint"'), 1),
        (json.dumps({"key": "k", "model": "m", "request": {}}).encode(), 1),
        (json.dumps({"key": "k", "model": "m", "request": {}, "failure": {"kind": "x", "error": ""}}).encode(), 1),
    ],
)
def test_a_damaged_cassette_is_refused_with_file_and_line(content: bytes, line: int, tmp_path: Path) -> None:
    path = tmp_path / "torn.jsonl"
    path.write_bytes(content + b"\n")
    with pytest.raises(ConfigError, match=rf"torn\.jsonl: `line {line}`: is no recorded call"):
        ReplayProvider(path)


def test_a_cassette_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.jsonl: cannot be read"):
        ReplayProvider(tmp_path / "nowhere.jsonl")


def test_no_key_and_no_address_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARE_API_KEY", CANARY)
    path = tmp_path / "c.jsonl"
    model = Model(name="m", provider="script", base_url="http://key:secret@127.0.0.1/v1", key_env="SPARE_API_KEY")
    recording = RecordingProvider(ScriptProvider({"m": ["one"]}), path)
    complete(recording, "q", model=model)
    run(RecordingProvider(script("tools"), path), tmp_path)
    written = path.read_text(encoding="utf-8")
    assert CANARY not in written
    assert "secret" not in written
    assert "API_KEY" not in written


EARLIER = """\
{"key": "3826915e31408758f6a7ff8c45567e2c77de1e5a78de6fca651af3b82986db05", "model": "script:m", "request": {\
"messages": [{"role": "system", "content": "Be brief.", "calls": [], "call_id": ""}, {"role": "user", "content": \
"What is it?", "calls": [], "call_id": ""}, {"role": "assistant", "content": "", "calls": [{"id": "c1", "name": \
"math", "arguments": "{\\"query\\": \\"2+2\\"}"}], "call_id": ""}, {"role": "tool", "content": "4", "calls": [], \
"call_id": "c1"}], "tools": [{"name": "math", "description": "sums", "parameters": {"type": "object"}}], "must_call": \
false, "max_output": 64, "temperature": 0.5, "case": "q1"}, "completion": {"text": "four"}, "failure": null}
"""
"""A line as it was recorded before requests lost and gained fields."""


def test_a_cassette_of_an_earlier_day_still_answers(tmp_path: Path) -> None:
    said = (
        Message("system", "Be brief."),
        Message("user", "What is it?"),
        Message("assistant", "", (ToolCall("c1", "math", '{"query": "2+2"}'),)),
        Message("tool", "4", call_id="c1"),
    )
    request = Request(said, (ToolSpec("math", "sums", {"type": "object"}),), 64, 0.5, "q1")
    (tmp_path / "c.jsonl").write_text(EARLIER, encoding="ascii")
    replay = ReplayProvider(tmp_path / "c.jsonl")
    with pytest.raises(ReplayMismatch) as raised:
        asyncio.run(replay.complete(MODEL, replace(request, case="q2")))
    changed = [line for line in str(raised.value).splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == ['- "case": "q1",', '+ "case": "q2",']
    assert asyncio.run(replay.complete(MODEL, request)).text == "four"
    replay.finish()


def test_an_image_and_a_schema_make_another_call(tmp_path: Path) -> None:
    plain = Request((Message("user", "q"),))
    shown = [replace(plain, messages=(Message("user", "q", images=(f"https://a.example/{n}",)),)) for n in range(2)]
    held = [replace(plain, schema=schema) for schema in ({}, {"type": "object"})]
    requests = [plain, *shown, *held]
    path = tmp_path / "c.jsonl"
    recording = RecordingProvider(ScriptProvider({"m": [str(n) for n in range(5)]}), path)
    for request in requests:
        asyncio.run(recording.complete(MODEL, request))
    replay = ReplayProvider(path)
    replies = [asyncio.run(replay.complete(MODEL, request)).text for request in reversed(requests)]
    assert replies == ["4", "3", "2", "1", "0"]
    replay.finish()


def test_a_difference_is_told_without_a_whole_image(tmp_path: Path) -> None:
    path = recorded(tmp_path / "c.jsonl", "one")
    huge = Message("user", "q", images=("data:image/png;base64," + "A" * 100_000,))
    with pytest.raises(ReplayMismatch, match="images") as raised:
        asyncio.run(ReplayProvider(path).complete(MODEL, Request((huge,))))
    assert len(str(raised.value)) < 5_000


ANY = st.text(st.characters(), max_size=20)
USAGES = st.none() | st.builds(Usage, *([st.integers(0, 10**9)] * 5))
COMPLETIONS = st.builds(
    Completion, ANY, st.lists(st.builds(ToolCall, ANY, ANY, ANY), max_size=2).map(tuple),
    st.sampled_from(["stop", "length", "calls", "refusal"]), USAGES,
    st.none() | st.decimals(0, 1, places=9), ANY,
)  # fmt: skip
IMAGES = st.lists(st.sampled_from(["https://a.example/b", "data:image/png;base64,AAAA"]), max_size=2).map(tuple)
MESSAGES = st.builds(Message, st.sampled_from(["system", "user", "tool"]), ANY, images=IMAGES)
REQUESTS = st.builds(
    Request,
    st.lists(MESSAGES, max_size=3).map(tuple),
    st.just(()) | st.just((ToolSpec("t", "", {"type": "object", "é": [1, None]}),)),
    st.integers(1, 9), st.none() | st.floats(0, 2), st.none() | ANY, st.none() | st.just({"é": [None]}),
)  # fmt: skip


@given(request=REQUESTS, completion=COMPLETIONS)
def test_whatever_was_said_comes_back_word_for_word(
    request: Request, completion: Completion, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cassette") / "c.jsonl"

    async def both() -> Completion:
        await RecordingProvider(ScriptProvider({"m": [completion]}), path).complete(MODEL, request)
        return await ReplayProvider(path).complete(MODEL, request)

    assert asyncio.run(both()) == completion
