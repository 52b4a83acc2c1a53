"""OpenAI's protocol as OpenAI and other servers speak it: what is sent, and what comes of every answer."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from types import MappingProxyType

import pytest

from orchestrator.messages import Message, ToolCall, Usage
from orchestrator.providers import answers
from orchestrator.providers.base import Completion, Request, ToolSpec
from tests.wire.outcomes import ASKED, STALL, Bad, Case, asked, cases, model_at, outcome
from tests.wire.server import End, Pause, WireServer, stream, whole
from tests.wire.vendors import DONE, USAGE, Json, call, chat, chat_chunks, chunk, sse

COUNTED = Usage(100, 20, cached_tokens=64, reasoning_tokens=12)
PARIS = Completion("Paris.", usage=COUNTED)
UNCOUNTED = Completion("Paris.")
WEATHER = ToolCall("call_a", "weather", '{"city":"Paris"}')
CLOCK = ToolCall("call_b", "clock", "{}")
BOTH = Completion("", (WEATHER, CLOCK), "calls", COUNTED)
SENT_CALLS = (call("call_a", "weather", '{"city":"Paris"}'), call("call_b", "clock", "{}"))
CUT_CALL = '{"city": "Par'
CUT = Bad("cut_stream", retryable=True)
CUT_LATER = Bad("cut_stream", retryable=True, begun=True)
CUT_AFTER_TEXT = Bad("cut_stream", retryable=False, begun=True, partial="Pa")
RESET_AFTER_TEXT = Bad("connection", retryable=False, begun=True, partial="Pa")
PARTS: list[Json] = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Paris."}]
ROLE = chunk({"role": "assistant", "content": ""})
BIT = chunk({"content": "Pa"})


def piece(index: int | None, call_id: str | None = None, name: str | None = None, arguments: str | None = None) -> str:
    """A chunk with a piece of a tool call, of which only what is given is told."""
    function = {key: told for key, told in (("name", name), ("arguments", arguments)) if told is not None}
    entry: Json = {"function": function, "type": "function"}
    entry |= {key: told for key, told in (("index", index), ("id", call_id)) if told is not None}
    return chunk({"tool_calls": [entry]})


@cases(
    Case("plain answer", whole(chat("Paris.")), PARIS),
    Case("two calls in parallel", whole(chat(calls=SENT_CALLS, finish="tool_calls")), BOTH),
    Case("calls, but finish `stop`", whole(chat(calls=SENT_CALLS)), BOTH),
    Case(
        "text and calls together",
        whole(chat("Let me see.", calls=SENT_CALLS, finish="tool_calls")),
        replace(BOTH, text="Let me see."),
    ),
    Case(
        "legacy function_call",
        whole(chat(finish="function_call", function_call={"name": "weather", "arguments": "{}"})),
        Completion("", (ToolCall("call_1", "weather", "{}"),), "calls", COUNTED),
    ),
    Case(
        "arguments as an object",
        whole(chat(calls=[{"id": "call_a", "function": {"name": "weather", "arguments": {"city": "Paris"}}}])),
        Completion("", (WEATHER,), "calls", COUNTED),
    ),
    Case(
        "repeated call ids",
        whole(chat(calls=[call("x", "a", "{}"), call("x", "b", "{}"), call("x", "c", "{}")])),
        Completion(
            "", (ToolCall("x", "a", "{}"), ToolCall("x_2", "b", "{}"), ToolCall("x_3", "c", "{}")), "calls", COUNTED
        ),
    ),
    Case(
        "missing call ids",
        whole(chat(calls=[call(None, "a", "{}"), call("", "b", "{}")])),
        Completion("", (ToolCall("call_1", "a", "{}"), ToolCall("call_2", "b", "{}")), "calls", COUNTED),
    ),
    Case(
        "arguments cut by the length limit",
        whole(chat(calls=[call("call_a", "weather", CUT_CALL)], finish="length")),
        Completion("", (ToolCall("call_a", "weather", CUT_CALL),), "length", COUNTED),
    ),
    Case("length stop", whole(chat("Par", finish="length")), Completion("Par", finish="length", usage=COUNTED)),
    Case("empty content", whole(chat("")), Completion("", usage=COUNTED)),
    Case("content null", whole(chat(None)), Completion("", usage=COUNTED)),
    Case("content in parts", whole(chat(PARTS)), PARIS),
    Case(
        "refusal",
        whole(chat(None, refusal="I cannot help with that.")),
        Completion("I cannot help with that.", finish="refusal", usage=COUNTED),
    ),
    Case("content_filter", whole(chat("", finish="content_filter")), Completion("", finish="refusal", usage=COUNTED)),
    Case(
        "reasoning_content beside text",
        whole(chat("Paris.", reasoning_content="France, so …")),
        replace(PARIS, reasoning="France, so …"),
    ),
    Case("reasoning beside text", whole(chat("Paris.", reasoning="Hm.")), replace(PARIS, reasoning="Hm.")),
    Case("no usage", whole(chat("Paris.", usage=None)), UNCOUNTED),
    Case("usage null", whole({**chat("Paris."), "usage": None}), UNCOUNTED),
    Case("usage all zero", whole(chat("Paris.", usage={"prompt_tokens": 0, "completion_tokens": 0})), UNCOUNTED),
    Case(
        "thoughts left out of the output",
        whole(chat("Paris.", usage={**USAGE, "total_tokens": 132})),
        Completion("Paris.", usage=Usage(100, 32, cached_tokens=64, reasoning_tokens=12)),
    ),
    Case("model echo differs", whole(chat("Paris.", model="another-model@main")), PARIS),
    Case("id is a bare uuid", whole({**chat("Paris."), "id": "6f1c9b0e-4c6c-4f0e-9f4e-0d7a3c1d2e3f"}), PARIS),
    Case("unknown fields", whole({**chat("Paris.", provider_specific_fields={}), "timings": {"cache_n": 1}}), PARIS),
    Case("unknown finish reason", whole(chat("Paris.", finish="eos_token")), PARIS),
    Case("finish_reason null", whole(chat("Paris.", finish=None)), replace(CUT_LATER, usage=COUNTED)),
    Case("finish_reason null, no usage", whole(chat("Paris.", finish=None, usage=None)), CUT_LATER),
    Case("finish_reason `error`", whole(chat("Par", finish="error", usage=None)), CUT_LATER),
    Case("an event stream, unasked", stream(*chat_chunks("Par", "is."), DONE), PARIS),
    Case("no choices", whole({"id": "x", "choices": []}), Bad("malformed", retryable=False, begun=True)),
    Case("detail with status 200", whole({"detail": "no"}), Bad("malformed", retryable=False, begun=True)),
    Case(
        "an error with status 200",
        whole({"error": {"code": 429, "message": "slow down"}}),
        Bad("rate_limited", retryable=True),
    ),
    Case("an empty body", whole(""), Bad("cut_stream", retryable=True)),
)
def test_a_whole_answer(case: Case) -> None:
    seen, _ = asked("openai", case)
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
    assert "stream" not in seen.body


@cases(
    Case("plain answer", stream(*chat_chunks("Par", "is."), DONE), PARIS),
    Case("one chunk, one event, many packets", stream(*"".join([*chat_chunks("Par", "is."), DONE])), PARIS),
    Case("all in one packet", stream("".join([*chat_chunks("Par", "is."), DONE])), PARIS),
    Case("comments between", stream(": processing\n\n", *chat_chunks("Paris."), ": bye\n\n", DONE), PARIS),
    Case("line ends CRLF", stream(*(part.replace("\n", "\r\n") for part in [*chat_chunks("Paris."), DONE])), PARIS),
    Case("U+2028 in the text", stream(*chat_chunks("a\u2028b\x85c"), DONE), replace(PARIS, text="a\u2028b\x85c")),
    Case(
        "calls in pieces by index",
        stream(
            ROLE,
            piece(0, "call_a", "weather", ""),
            piece(1, "call_b", "clock", ""),
            piece(0, arguments='{"city":'),
            piece(1, arguments="{}"),
            piece(0, arguments='"Paris"}'),
            chunk({}, finish="tool_calls"),
            chunk(usage=USAGE),
            DONE,
        ),
        BOTH,
    ),
    Case(
        "calls all at index 0",
        stream(
            piece(0, "call_a", "weather", '{"city":"Paris"}'),
            piece(0, "call_b", "clock", "{}"),
            chunk({}, finish="tool_calls"),
            chunk(usage=USAGE),
        ),
        BOTH,
    ),
    Case(
        "calls without index",
        stream(
            piece(None, "call_a", "weather", '{"city":'),
            piece(None, None, None, '"Paris"}'),
            piece(None, "call_b", "clock", "{}"),
            chunk({}, finish="stop"),
            chunk(usage=USAGE),
        ),
        BOTH,
    ),
    Case(
        "id and name in every piece",
        stream(
            piece(0, "call_a", "weather", '{"city":'),
            piece(0, "call_a", "weather", '"Paris"}'),
            chunk({}, finish="tool_calls"),
        ),
        Completion("", (WEATHER,), "calls"),
    ),
    Case(
        "repeated call ids",
        stream(piece(0, "x", "a", "{}"), piece(1, "x", "b", "{}"), chunk({}, finish="tool_calls")),
        Completion("", (ToolCall("x", "a", "{}"), ToolCall("x_2", "b", "{}")), "calls"),
    ),
    Case(
        "arguments cut by the length limit",
        stream(piece(0, "call_a", "weather", CUT_CALL), chunk({}, finish="length"), chunk(usage=USAGE), DONE),
        Completion("", (ToolCall("call_a", "weather", CUT_CALL),), "length", COUNTED),
    ),
    Case(
        "length stop",
        stream(*chat_chunks("Par", finish="length"), DONE),
        Completion("Par", finish="length", usage=COUNTED),
    ),
    Case("empty content", stream(*chat_chunks(), DONE), Completion("", usage=COUNTED)),
    Case(
        "refusal in pieces",
        stream(ROLE, chunk({"refusal": "I can"}), chunk({"refusal": "not."}), chunk({}, finish="stop"), DONE),
        Completion("I cannot.", finish="refusal"),
    ),
    Case("content_filter", stream(ROLE, chunk({}, finish="content_filter"), DONE), Completion("", finish="refusal")),
    Case(
        "reasoning beside text",
        stream(chunk({"reasoning_content": "Fra"}), chunk({"reasoning": "nce."}), *chat_chunks("Paris."), DONE),
        replace(PARIS, reasoning="France."),
    ),
    Case("never usage", stream(*chat_chunks("Paris.", usage=None), DONE), UNCOUNTED),
    Case(
        "usage on the finish chunk",
        stream(ROLE, chunk({"content": "Paris."}), chunk({}, finish="stop", usage=USAGE)),
        PARIS,
    ),
    Case(
        "usage null in all other chunks",
        stream(
            chunk({"content": "Paris."}, usage=None),
            chunk({}, finish="stop"),
            chunk(usage=USAGE),
            chunk({}, usage=None),
        ),
        PARIS,
    ),
    Case("no [DONE]", stream(*chat_chunks("Paris.")), PARIS),
    Case(
        "no blank line after the last event",
        stream(*chat_chunks("Paris.", usage=None)[:-1], chunk({}, finish="stop").strip()),
        UNCOUNTED,
    ),
    Case(
        "last chunk with text and finish",
        stream(chunk({"content": "Pa"}), chunk({"content": "ris."}, finish="stop"), DONE),
        UNCOUNTED,
    ),
    Case("JSON instead of events", whole(chat("Paris.")), PARIS),
    Case("JSON instead of events, unfinished", whole(chat("Paris.", finish=None, usage=None)), CUT_LATER),
    Case("events that call themselves text", stream(*chat_chunks("Paris."), DONE, kind="text/plain"), PARIS),
    Case("an error with status 200 instead of events", whole({"error": "overloaded"}), Bad("server", retryable=True)),
    Case("an empty stream", stream(), CUT),
    Case("only [DONE]", stream(DONE), CUT),
    Case("an empty body", whole(""), CUT),
    Case("cut before the first token", stream(ROLE), CUT),
    Case("cut before the first token, with [DONE]", stream(ROLE, DONE), CUT),
    Case("cut among thoughts", stream(ROLE, chunk({"reasoning": "Hm"}), DONE), CUT_LATER),
    Case("cut after the first token", stream(ROLE, BIT, DONE), CUT_AFTER_TEXT),
    Case("finish reason `abort`", stream(ROLE, BIT, chunk({}, finish="abort"), DONE), CUT_AFTER_TEXT),
    Case("cut in the midst of an event", stream(ROLE, BIT, 'data: {"choices": [{"del'), CUT_AFTER_TEXT),
    Case("closed before the first token", stream(ROLE, End.CLOSE), Bad("connection", retryable=True)),
    Case("closed after the first token", stream(ROLE, BIT, End.CLOSE), RESET_AFTER_TEXT),
    Case("reset before the first token", stream(ROLE, Pause(0.05), End.RESET), Bad("connection", retryable=True)),
    Case("reset after the first token", stream(ROLE, BIT, Pause(0.05), End.RESET), RESET_AFTER_TEXT),
    Case("reset after the finish", stream(*chat_chunks("Paris."), Pause(0.05), End.RESET), PARIS),
    Case("silence after the finish", stream(*chat_chunks("Paris.", usage=None), End.HANG), UNCOUNTED),
    Case("stalled before the first chunk", stream(End.HANG), Bad("stalled", retryable=True)),
    Case("stalled before the first token", stream(ROLE, End.HANG), Bad("stalled", retryable=True)),
    Case(
        "stalled after the first token",
        stream(ROLE, BIT, End.HANG),
        Bad("stalled", retryable=False, begun=True, partial="Pa"),
    ),
    Case(
        "a silent model whose server is heard",
        stream(ROLE, *[Pause(0.15), ": alive\n\n"] * 4, *chat_chunks("Paris."), DONE),
        PARIS,
    ),
    Case("no JSON in an event", stream(ROLE, "data: {nonsense\n\n", DONE), Bad("malformed", retryable=False)),
    Case(
        "an error in the midst",
        stream(ROLE, BIT, sse({"error": {"code": 500, "message": "out of memory", "type": "server_error"}})),
        Bad("server", retryable=False, begun=True, partial="Pa"),
    ),
    Case(
        "a rate limit in the midst",
        stream(ROLE, sse({"error": {"code": "rate_limit_exceeded", "message": "slow down"}}), DONE),
        Bad("rate_limited", retryable=True),
    ),
    Case(
        "error null in every chunk",
        stream(*(part.replace("{", '{"error": null, ', 1) for part in chat_chunks("Paris.")), DONE),
        PARIS,
    ),
)
def test_a_streamed_answer(case: Case) -> None:
    seen, _ = asked("openai", replace(case, streamed=True))
    assert (seen.body["stream"], seen.body["stream_options"]) == (True, {"include_usage": True})


def test_what_may_follow_the_finish_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "TAIL_SECONDS", 0.05)
    with WireServer() as server:
        server.script(stream(*chat_chunks("Paris.", usage=None), End.HANG))
        started = monotonic()
        found, _, _ = outcome("openai", model_at("openai", server), streamed=True)
    assert found == UNCOUNTED
    assert monotonic() - started < STALL


TOOLS = (ToolSpec("weather", "The weather of a city.", {"type": "object", "properties": {"city": {"type": "string"}}}),)
HISTORY = (
    Message("system", "Be brief."),
    Message("user", "Is it raining in Paris?"),
    Message("assistant", "", (WEATHER, ToolCall("call_c", "weather", CUT_CALL))),
    Message("tool", "Rain.", call_id="call_a"),
    Message("tool", "Your arguments are no JSON.", call_id="call_c"),
    Message("assistant", "Yes."),
    Message("user", "Thanks."),
)


def test_a_request_in_openais_words() -> None:
    request = Request(HISTORY, tools=TOOLS, max_output=64, temperature=0.25)
    seen, _ = asked("openai", Case("", whole(chat("Paris.")), PARIS), request)
    assert seen.body == {
        "model": "some-model",
        "max_tokens": 64,
        "temperature": 0.25,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Is it raining in Paris?"},
            {"role": "assistant", "content": "", "tool_calls": [SENT_CALLS[0], call("call_c", "weather", "{}")]},
            {"role": "tool", "content": "Rain.", "tool_call_id": "call_a"},
            {"role": "tool", "content": "Your arguments are no JSON.", "tool_call_id": "call_c"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Thanks."},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "The weather of a city.",
                    "parameters": dict(TOOLS[0].parameters),
                },
            }
        ],
        "tool_choice": "auto",
    }


CAT, DOT = "https://pictures.example/cat.png", "data:image/png;base64,iVBORw0KGgo="


def test_images_are_sent_as_parts_and_all_else_stays_text() -> None:
    said = (Message("system", "Be brief."), Message("user", "What is this?", images=(CAT, DOT)))
    seen, _ = asked("openai", Case("", whole(chat("Paris.")), PARIS), Request((*said, Message("user", "Well?"))))
    assert seen.body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": CAT}},
                {"type": "image_url", "image_url": {"url": DOT}},
                {"type": "text", "text": "What is this?"},
            ],
        },
        {"role": "user", "content": "Well?"},
    ]


OPEN: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CITY = Completion('{"city": "Paris"}', usage=COUNTED)


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        (OPEN, {"schema": {**OPEN, "additionalProperties": False}, "strict": True}),
        ({**OPEN, "required": []}, {"schema": {**OPEN, "required": []}, "strict": False}),
    ],
    ids=["strict", "a wish"],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_schema_is_sent_as_the_form_of_the_reply(schema: Json, form: Json, streamed: bool) -> None:
    script = stream(*chat_chunks('{"city": ', '"Paris"}'), DONE) if streamed else whole(chat(CITY.text))
    request = replace(ASKED, schema=MappingProxyType(schema), tools=TOOLS)
    seen, _ = asked("openai", Case("", script, CITY, streamed), request)
    assert seen.body["response_format"] == {"type": "json_schema", "json_schema": {"name": "reply", **form}}
    assert "tools" in seen.body


@cases(
    Case("ignored", whole(chat("Paris.")), PARIS),
    Case(
        "refused",
        whole({"error": {"message": "Invalid schema for response_format", "param": "response_format"}}, status=400),
        Bad("invalid_request", retryable=False),
    ),
    Case("500 (llama-cpp-python)", whole({"error": {"message": ""}}, status=500), Bad("server", retryable=True)),
)
def test_a_server_that_knows_no_schemas_is_survived(case: Case) -> None:
    seen, _ = asked("openai", case, replace(ASKED, schema=OPEN))
    assert "response_format" in seen.body


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    seen, _ = asked("openai", Case("", whole(chat("Paris.")), PARIS))
    assert set(seen.body) == {"model", "messages", "max_tokens"}


def test_a_model_caps_the_output_and_sets_the_temperature() -> None:
    with WireServer() as server:
        server.script(whole(chat("Paris.")))
        model = model_at("openai", server, max_output=16, temperature=0.5)
        outcome("openai", model, replace(ASKED, tools=TOOLS))
    seen = server.requests[0].body
    assert (seen["max_tokens"], seen["temperature"], seen["tool_choice"]) == (16, 0.5, "auto")
