"""Anthropic's protocol as Anthropic and other servers speak it: what is sent, and what comes of every answer."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from types import MappingProxyType

import pytest

from orchestrator.messages import Message, ToolCall, Usage
from orchestrator.providers.answers import as_json
from orchestrator.providers.base import Completion, Request, ToolSpec
from tests.wire.outcomes import ASKED, Bad, Case, asked, cases, model_at, outcome
from tests.wire.server import End, Pause, WireServer, stream, whole
from tests.wire.vendors import COUNT, Json, event, message, message_events, sse, tool_use

COUNTED = Usage(100, 20, cached_tokens=64, cache_write_tokens=6, reasoning_tokens=12)
PARIS = Completion("Paris.", usage=COUNTED)
UNCOUNTED = Completion("Paris.")
WEATHER = ToolCall("toolu_a", "weather", '{"city":"Paris"}')
CLOCK = ToolCall("toolu_b", "clock", "{}")
BOTH = Completion("", (WEATHER, CLOCK), "calls", COUNTED)
SENT_CALLS = (tool_use("toolu_a", "weather", {"city": "Paris"}), tool_use("toolu_b", "clock", {}))
CUT = Bad("cut_stream", retryable=True)
CUT_LATER = Bad("cut_stream", retryable=True, begun=True)
CUT_AFTER_TEXT = Bad("cut_stream", retryable=False, begun=True, partial="Pa")
RESET_AFTER_TEXT = Bad("connection", retryable=False, begun=True, partial="Pa")
START = "".join(message_events()[:2])
BIT = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Pa"})


def piece(index: int, arguments: str) -> str:
    """A piece of a call's arguments."""
    return event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": arguments})


def opening(index: int, call_id: str, name: str) -> str:
    """The start of a call."""
    return event("content_block_start", index=index, content_block=tool_use(call_id, name, {}))


def ending(stop: str | None, usage: Json | None = COUNT) -> str:
    """The end of a stream."""
    return event("message_delta", delta={"stop_reason": stop}, usage=usage) + event("message_stop")


@cases(
    Case("plain answer", whole(message("Paris.")), PARIS),
    Case("text in two blocks", whole(message("Par", "is.")), PARIS),
    Case("two calls in parallel", whole(message(*SENT_CALLS, stop="tool_use")), BOTH),
    Case("text and calls together", whole(message("Hm.", *SENT_CALLS, stop="tool_use")), replace(BOTH, text="Hm.")),
    Case(
        "thoughts beside text",
        whole(message({"type": "thinking", "thinking": "France.", "signature": "x"}, "Paris.")),
        replace(PARIS, reasoning="France."),
    ),
    Case("redacted thoughts", whole(message({"type": "redacted_thinking", "data": "x"}, "Paris.")), PARIS),
    Case(
        "repeated call ids",
        whole(message(tool_use("x", "a", {}), tool_use("x", "b", {}))),
        Completion("", (ToolCall("x", "a", "{}"), ToolCall("x_2", "b", "{}")), "calls", COUNTED),
    ),
    Case("length stop", whole(message("Par", stop="max_tokens")), Completion("Par", finish="length", usage=COUNTED)),
    Case(
        "context window full",
        whole(message("Par", stop="model_context_window_exceeded")),
        Completion("Par", finish="length", usage=COUNTED),
    ),
    Case("stop sequence", whole(message("Paris.", stop="stop_sequence")), PARIS),
    Case("refusal", whole(message("No.", stop="refusal")), Completion("No.", finish="refusal", usage=COUNTED)),
    Case("empty content", whole(message()), Completion("", usage=COUNTED)),
    Case("no usage", whole(message("Paris.", usage=None)), UNCOUNTED),
    Case("usage all zero", whole(message("Paris.", usage={"input_tokens": 0, "output_tokens": 0})), UNCOUNTED),
    Case("model echo differs", whole(message("Paris.", model="another-model@main")), PARIS),
    Case("stop_reason null", whole(message("Paris.", stop=None)), replace(CUT_LATER, usage=COUNTED)),
    Case("an event stream, unasked", stream(*message_events("Par", "is.")), PARIS),
    Case("no content", whole({"id": "x"}), Bad("malformed", retryable=False, begun=True)),
    Case(
        "an error with status 200",
        whole({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
        Bad("server", retryable=True),
    ),
    Case("an empty body", whole(""), CUT),
)
def test_a_whole_answer(case: Case) -> None:
    seen, _ = asked("anthropic", case)
    assert (seen.method, seen.path) == ("POST", "/v1/messages")
    assert "stream" not in seen.body


@cases(
    Case("plain answer", stream(*message_events("Par", "is.")), PARIS),
    Case("one byte a packet", stream(*"".join(message_events("Par", "is."))), PARIS),
    Case("all in one packet", stream("".join(message_events("Par", "is."))), PARIS),
    Case(
        "calls in pieces",
        stream(
            START,
            opening(1, "toolu_a", "weather"),
            piece(1, ""),
            piece(1, '{"city":'),
            piece(1, '"Paris"}'),
            event("content_block_stop", index=1),
            opening(2, "toolu_b", "clock"),
            event("content_block_stop", index=2),
            ending("tool_use"),
        ),
        BOTH,
    ),
    Case(
        "a call all at once",
        stream(START, event("content_block_start", index=1, content_block=SENT_CALLS[0]), ending("tool_use")),
        Completion("", (WEATHER,), "calls", COUNTED),
    ),
    Case(
        "arguments cut by the length limit",
        stream(START, opening(1, "toolu_a", "weather"), piece(1, '{"city": "Par'), ending("max_tokens")),
        Completion("", (ToolCall("toolu_a", "weather", '{"city": "Par'),), "length", COUNTED),
    ),
    Case(
        "thoughts beside text",
        stream(
            message_events()[0],
            event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
            event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "France."}),
            event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "x"}),
            event("content_block_delta", index=1, delta={"type": "text_delta", "text": "Paris."}),
            ending("end_turn"),
        ),
        replace(PARIS, reasoning="France."),
    ),
    Case(
        "length stop",
        stream(*message_events("Par", stop="max_tokens")),
        Completion("Par", finish="length", usage=COUNTED),
    ),
    Case("refusal", stream(*message_events("No.", stop="refusal")), Completion("No.", finish="refusal", usage=COUNTED)),
    Case("empty content", stream(*message_events()), Completion("", usage=COUNTED)),
    Case(
        "usage at the start, output alone at the end",
        stream(*message_events("Paris.", start={"input_tokens": 9, "output_tokens": 1}, end={"output_tokens": 5})),
        Completion("Paris.", usage=Usage(9, 5)),
    ),
    Case(
        "usage at the end with a zero input",
        stream(
            *message_events(
                "Paris.", start={"input_tokens": 9, "output_tokens": 1}, end={"input_tokens": 0, "output_tokens": 5}
            )
        ),
        Completion("Paris.", usage=Usage(9, 5)),
    ),
    Case("never usage", stream(event("message_start", message={}), BIT, ending("end_turn", None)), Completion("Pa")),
    Case("stop_reason and usage, then news without", stream(*message_events("Paris."), ending(None, None)), PARIS),
    Case("usage at the start only", stream(*message_events("Paris.", end=None)), UNCOUNTED),
    Case("unknown events", stream(event("news"), *message_events("Paris.")), PARIS),
    Case("events without names", stream(*(part.split("\n", 1)[1] for part in message_events("Paris."))), PARIS),
    Case("no message_stop", stream(*message_events("Paris.")[:-1]), PARIS),
    Case("JSON instead of events, unfinished", whole(message("Paris.", stop=None, usage=None)), CUT_LATER),
    Case("an empty stream", stream(), CUT),
    Case("only pings", stream(event("ping"), event("ping")), CUT),
    Case("cut before the first token", stream(START), CUT),
    Case("cut after the first token", stream(START, BIT), CUT_AFTER_TEXT),
    Case("no stop_reason", stream(*message_events("Pa", stop=None)), replace(CUT_AFTER_TEXT, usage=COUNTED)),
    Case("closed before the first token", stream(START, End.CLOSE), Bad("connection", retryable=True)),
    Case("closed after the first token", stream(START, BIT, End.CLOSE), RESET_AFTER_TEXT),
    Case("reset before the first token", stream(START, Pause(0.05), End.RESET), Bad("connection", retryable=True)),
    Case("reset after the first token", stream(START, BIT, Pause(0.05), End.RESET), RESET_AFTER_TEXT),
    Case("reset after the stop reason", stream(*message_events("Paris.")[:-1], Pause(0.05), End.RESET), PARIS),
    Case("stalled before the first event", stream(End.HANG), Bad("stalled", retryable=True)),
    Case("stalled before the first token", stream(START, End.HANG), Bad("stalled", retryable=True)),
    Case(
        "stalled after the first token",
        stream(START, BIT, End.HANG),
        Bad("stalled", retryable=False, begun=True, partial="Pa"),
    ),
    Case(
        "pings while it thinks", stream(START, *[Pause(0.15), event("ping")] * 4, *message_events("Paris.")[2:]), PARIS
    ),
    Case(
        "no JSON in an event",
        stream(START, "event: message_delta\ndata: {nonsense\n\n"),
        Bad("malformed", retryable=False),
    ),
    Case(
        "overloaded in the midst",
        stream(START, BIT, event("error", error={"type": "overloaded_error", "message": "Overloaded"})),
        Bad("server", retryable=False, begun=True, partial="Pa"),
    ),
    Case(
        "a rate limit before the first token",
        stream(START, event("error", error={"type": "rate_limit_error", "message": "slow down"})),
        Bad("rate_limited", retryable=True),
    ),
)
def test_a_streamed_answer(case: Case) -> None:
    seen, _ = asked("anthropic", replace(case, streamed=True))
    assert seen.body["stream"] is True


@cases(
    Case(
        "input_tokens leaves out cached ones",
        whole(message("Paris.", usage={"input_tokens": 1, "output_tokens": 20, "cache_read_input_tokens": 39})),
        Completion("Paris.", usage=Usage(40, 20, cached_tokens=39)),
    ),
    Case(
        "a call cut by max_tokens comes as tool_use with input `{}`",
        whole(message(tool_use("x", "weather", {}), stop="max_tokens")),
        Completion("", (ToolCall("x", "weather", "{}"),), "length", COUNTED),
    ),
    Case(
        "message ids `chatcmpl-...`, tool ids without `toolu_`",
        whole({**message(tool_use("abc", "clock", {}), stop="tool_use"), "id": "chatcmpl-1"}),
        Completion("", (ToolCall("abc", "clock", "{}"),), "calls", COUNTED),
    ),
    Case(
        "errors in OpenAI's shape",
        whole({"error": {"code": 400, "message": "no", "type": "invalid_request_error"}}, status=400),
        Bad("invalid_request", retryable=False),
    ),
    Case(
        "bad JSON and missing messages are 500",
        whole({"error": {"code": 500, "message": "no", "type": "server_error"}}, status=500),
        Bad("server", retryable=True),
    ),
    Case(
        "LiteLLM: what max_tokens cut says `end_turn`",
        whole(message("Par", stop="end_turn")),
        Completion("Par", usage=COUNTED),
    ),
    Case(
        "LiteLLM: a cut call says `tool_use` with input `{}`",
        whole(message(tool_use("x", "weather", {}), stop="tool_use")),
        Completion("", (ToolCall("x", "weather", "{}"),), "calls", COUNTED),
    ),
    Case(
        "LiteLLM: message_start has zero usage, the truth comes in message_delta",
        stream(*message_events("Paris.", start={"input_tokens": 0, "output_tokens": 0})),
        PARIS,
        streamed=True,
    ),
    Case("LiteLLM: ids `resp_` + long base64", whole({**message("Paris."), "id": "resp_" + "bW9y" * 200}), PARIS),
    Case("LiteLLM mock: JSON though stream=true", whole(message("Paris.")), PARIS, streamed=True),
    Case("stubllm: stop_reason `stop` (no such value)", whole(message("Paris.", stop="stop")), PARIS),
    Case(
        "stubllm: streams without message_start",
        stream(*message_events("Paris.", stop="stop")[1:]),
        PARIS,
        streamed=True,
    ),
    Case("200 with an empty stream: bare AssertionError", stream(), CUT, streamed=True),
    Case(
        "close mid-stream: raw httpx2.RemoteProtocolError",
        stream(START, End.CLOSE),
        Bad("connection", retryable=True),
        streamed=True,
    ),
    Case(
        "silence mid-stream: raw httpx2.ReadTimeout",
        stream(START, End.HANG),
        Bad("stalled", retryable=True),
        streamed=True,
    ),
    Case("stream ends cleanly, but early: no error", stream(START, BIT), CUT_AFTER_TEXT, streamed=True),
    Case(
        "an error event without a name",
        stream(sse({"type": "error", "error": {"type": "api_error", "message": "no"}})),
        Bad("server", retryable=True),
        streamed=True,
    ),
)
def test_a_bold_cell_of_wires(case: Case) -> None:
    asked("anthropic", case)


SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = (ToolSpec("weather", "The weather of a city.", SCHEMA),)
HISTORY = (
    Message("system", "Be brief."),
    Message("user", "Is it raining in Paris?"),
    Message("user", "And what time is it?"),
    Message("assistant", "", (WEATHER, ToolCall("call é", "clock", '{"zone": "Eur'))),
    Message("tool", "Rain.", call_id="toolu_a"),
    Message("tool", "Your arguments are no JSON.", call_id="call é"),
    Message("user", "Well?"),
    Message("system", "Answer in French."),
    Message("assistant", " "),
)


def test_a_request_in_anthropics_words() -> None:
    request = Request(HISTORY, tools=TOOLS, max_output=64, temperature=0.25)
    seen, _ = asked("anthropic", Case("", whole(message("Paris.")), PARIS), request)
    assert seen.body == {
        "model": "some-model",
        "max_tokens": 64,
        "temperature": 0.25,
        "system": "Be brief.\n\nAnswer in French.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Is it raining in Paris?"},
                    {"type": "text", "text": "And what time is it?"},
                ],
            },
            {"role": "assistant", "content": [SENT_CALLS[0], tool_use("call__", "clock", {})]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_a", "content": "Rain."},
                    {"type": "tool_result", "tool_use_id": "call__", "content": "Your arguments are no JSON."},
                    {"type": "text", "text": "Well?"},
                ],
            },
        ],
        "tools": [{"name": "weather", "description": "The weather of a city.", "input_schema": SCHEMA}],
        "tool_choice": {"type": "auto"},
    }


CAT, DOT = "https://pictures.example/cat.png", "data:image/png;base64,iVBORw0KGgo="


def test_images_come_before_the_text() -> None:
    said = (Message("user", "What is this?", images=(CAT, DOT)), Message("user", " ", images=(CAT,)))
    seen, _ = asked("anthropic", Case("", whole(message("Paris.")), PARIS), Request(said))
    there = {"type": "image", "source": {"type": "url", "url": CAT}}
    here = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    assert seen.body["messages"] == [
        {"role": "user", "content": [there, here, {"type": "text", "text": "What is this?"}, there]}
    ]


CITY = Completion('{"city": "Paris"}', usage=COUNTED)
ODD: list[Json] = [
    {"type": ["object", "null"]},
    {"properties": {"n": True}},
    {"type": "object", "properties": []},
    {},
]
"""Schemas that the SDK cannot translate."""


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        (
            {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]},
            {
                "type": "object",
                "properties": {"n": {"type": "integer", "description": "{minimum: 1}"}},
                "required": ["n"],
                "additionalProperties": False,
            },
        ),
        *((odd, odd) for odd in ODD),
    ],
    ids=as_json,
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_schema_is_sent_as_the_form_of_the_reply(schema: Json, sent: Json, streamed: bool) -> None:
    """In the words that Anthropic knows; what its SDK cannot put into them goes as it is."""
    script = stream(*message_events('{"city": ', '"Paris"}')) if streamed else whole(message(CITY.text))
    request = replace(ASKED, schema=MappingProxyType(schema), tools=TOOLS)
    before = deepcopy(schema)
    seen, _ = asked("anthropic", Case("", script, CITY, streamed), request)
    assert seen.body["output_config"] == {"format": {"type": "json_schema", "schema": sent}}
    assert "tools" in seen.body
    assert schema == before


def test_a_server_that_refuses_a_schema_is_survived() -> None:
    refused = whole(
        {"type": "error", "error": {"type": "invalid_request_error", "message": "output_config"}}, status=400
    )
    asked("anthropic", Case("", refused, Bad("invalid_request", retryable=False)), replace(ASKED, schema=SCHEMA))


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    seen, _ = asked("anthropic", Case("", whole(message("Paris.")), PARIS))
    assert set(seen.body) == {"model", "messages", "max_tokens", "system"}


def test_a_model_caps_the_output_and_sets_the_temperature() -> None:
    with WireServer() as server:
        server.script(whole(message("Paris.")))
        model = model_at("anthropic", server, max_output=16, temperature=0.5)
        outcome("anthropic", model, replace(ASKED, tools=TOOLS))
    seen = server.requests[0].body
    assert (seen["max_tokens"], seen["temperature"], seen["tool_choice"]) == (16, 0.5, {"type": "auto"})
