"""What real servers of OpenAI's protocol were seen to do: one row for each cell of WIRES.md, quoted in its id."""

from __future__ import annotations

from orchestrator.messages import ToolCall
from orchestrator.providers.base import Completion
from tests.wire.outcomes import Bad, Case, asked, cases, model_at, outcome
from tests.wire.server import End, WireServer, stream, whole
from tests.wire.test_openai_wire import BOTH, COUNTED, CUT, PARIS, ROLE, SENT_CALLS, UNCOUNTED
from tests.wire.vendors import DONE, USAGE, Json, call, chat, chat_chunks, chunk, sse


def bare(delta: Json) -> str:
    """A chunk whose choice has no key `finish_reason` at all."""
    return sse({"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]})


@cases(
    Case(
        "bare uuid",
        stream(*(part.replace("chatcmpl-0123456789", "6f1c9b0e-4c6c-4f0e") for part in chat_chunks("Paris."))),
        PARIS,
    ),
    Case("`NAME@main`", whole(chat("Paris.", model="some-model@main")), PARIS, streamed=True),
    Case("never, even if asked", stream(*chat_chunks("Paris.", usage=None), DONE), UNCOUNTED, streamed=True),
    Case(
        "always, on the finish chunk (choices not empty), asked or not",
        stream(ROLE, bare({"content": "Paris."}), chunk({}, finish="stop", usage=USAGE)),
        PARIS,
        streamed=True,
    ),
    Case(
        "choices [{delta: {}}]",
        stream(
            ROLE,
            bare({"content": "Paris."}),
            chunk({}, finish="stop"),
            sse({"choices": [{"index": 0, "delta": {}}], "usage": USAGE}),
            DONE,
        ),
        PARIS,
        streamed=True,
    ),
    Case("no [DONE]", stream(*chat_chunks("Paris.")), PARIS, streamed=True),
    Case(
        "role + content null",
        stream(chunk({"role": "assistant", "content": None}), *chat_chunks("Paris.")[1:], DONE),
        PARIS,
        streamed=True,
    ),
    Case(
        "role + text together",
        stream(chunk({"role": "assistant", "content": "Paris."}), *chat_chunks()[1:], DONE),
        PARIS,
        streamed=True,
    ),
    Case(
        "key absent",
        stream(bare({"role": "assistant"}), bare({"content": "Paris."}), *chat_chunks()[1:], DONE),
        PARIS,
        streamed=True,
    ),
    Case(
        "3 of 4 cut after the role chunk with [DONE], no finish_reason",
        stream(bare({"role": "assistant"}), DONE),
        CUT,
        streamed=True,
    ),
    Case("only a named tool calls; auto and required give text", whole(chat("Paris.")), PARIS),
    Case(
        "500 with an empty message",
        whole({"error": {"message": "", "type": "internal_server_error", "param": None, "code": None}}, status=500),
        Bad("server", retryable=True),
    ),
    Case("ignored: `none` still calls", whole(chat(calls=SENT_CALLS, finish="tool_calls")), BOTH),
    Case(
        "finish `length`, arguments are broken JSON",
        whole(chat(None, calls=[call("call_a", "weather", '{"a": ')], finish="length")),
        Completion("", (ToolCall("call_a", "weather", '{"a": '),), "length", COUNTED),
    ),
    Case(
        'the raw `<tool_call> {"na` is content',
        whole(chat('<tool_call> {"na', finish="length")),
        Completion('<tool_call> {"na', finish="length", usage=COUNTED),
    ),
    Case("200, answers anyway (unknown model)", whole(chat("Paris.", model="its-alias")), PARIS),
    Case(
        '400 `{"detail": "..."}`',
        whole({"detail": "no such model"}, status=400),
        Bad("invalid_request", retryable=False),
    ),
    Case(
        '422 `{"detail": [...]}`',
        whole({"detail": [{"loc": ["body"], "msg": "bad"}]}, status=422),
        Bad("invalid_request", retryable=False),
    ),
    Case(
        "500 text/plain", whole("Internal Server Error", status=500, kind="text/plain"), Bad("server", retryable=True)
    ),
    Case(
        'code "400"',
        whole({"error": {"code": "400", "message": "ContextWindowExceededError"}}, status=400),
        Bad("invalid_request", retryable=False),
    ),
    Case("200, empty body, no [DONE]", stream(End.CLOSE), Bad("connection", retryable=True), streamed=True),
    Case(
        "code is a number",
        whole(
            {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long", "n_ctx": 512}},
            status=400,
        ),
        Bad("invalid_request", retryable=False),
    ),
    Case(
        "400 'No connected db.': not 401",
        whole({"error": {"message": "No connected db.", "code": "400"}}, status=400),
        Bad("invalid_request", retryable=False),
    ),
    Case(
        "retry-after on 429 absent; type `throttling_error`",
        whole({"error": {"message": "slow", "type": "throttling_error", "code": "429"}}, status=429),
        Bad("rate_limited", retryable=True),
    ),
    Case(
        "stubllm: stream without a role delta, last chunk carries text",
        stream(bare({"content": "Pa"}), chunk({"content": "ris."}, finish="stop"), DONE),
        UNCOUNTED,
        streamed=True,
    ),
)
def test_a_cell(case: Case) -> None:
    asked("openai", case)


def test_a_kept_alive_connection_that_died_fails_the_next_call_only() -> None:
    """llama-cpp-python after a streamed context overflow: 200 with an empty body, then the connection is dead."""
    with WireServer() as server:
        server.script(whole("", kind="text/event-stream", then=End.RESET), whole(chat("Paris.")))
        model = model_at("openai", server)
        assert outcome("openai", model, streamed=True)[0] == CUT
        assert outcome("openai", model)[0] == PARIS
