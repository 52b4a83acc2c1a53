"""What the vendors' servers say: whole answers as JSON objects, streams as text ready for `server.stream`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

__all__ = [
    "DONE",
    "Json",
    "call",
    "chat",
    "chat_chunks",
    "chunk",
    "event",
    "message",
    "message_events",
    "sse",
    "tool_use",
]

Json = dict[str, Any]

DONE = "data: [DONE]\n\n"
"""How OpenAI ends a stream."""

USAGE: Json = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 12},
}
"""OpenAI's count."""

COUNT: Json = {
    "input_tokens": 30,
    "output_tokens": 20,
    "cache_read_input_tokens": 64,
    "cache_creation_input_tokens": 6,
    "output_tokens_details": {"thinking_tokens": 12},
}
"""Anthropic's count; its input leaves out what the cache gave and took."""


def sse(data: Json | str, name: str | None = None) -> str:
    """One event."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (f"event: {name}\n" if name else "") + f"data: {text}\n\n"


def call(call_id: str | None, name: str, arguments: str, **more: object) -> Json:
    """A tool call in OpenAI's protocol."""
    entry: Json = {"type": "function", "function": {"name": name, "arguments": arguments}, **more}
    return entry if call_id is None else {"id": call_id, **entry}


def chat(
    text: str | list[Json] | None = None,
    *,
    calls: Sequence[Json] = (),
    usage: Json | None = USAGE,
    finish: str | None = "stop",
    model: str = "some-model",
    **more: object,
) -> Json:
    """A whole answer in OpenAI's protocol; `more` goes into its message."""
    said: Json = {"role": "assistant", "content": text, **more}
    if calls:
        said["tool_calls"] = list(calls)
    body: Json = {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": said, "finish_reason": finish}],
    }
    return body if usage is None else {**body, "usage": usage}


def chunk(delta: Json | None = None, *, finish: str | None = None, **more: object) -> str:
    """One chunk of a stream in OpenAI's protocol; without a delta it has no choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "chatcmpl-0123456789", "object": "chat.completion.chunk", "created": 1, "model": "some-model"}
    return sse({**body, "choices": choices, **more})


def chat_chunks(*texts: str, usage: Json | None = USAGE, finish: str = "stop") -> list[str]:
    """A stream in OpenAI's protocol, its end `DONE` excepted."""
    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": text}) for text in texts)]
    chunks.append(chunk({}, finish=finish))
    return chunks if usage is None else [*chunks, chunk(usage=usage)]


def tool_use(call_id: str, name: str, given: Json) -> Json:
    """A tool call in Anthropic's protocol."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


def message(
    *blocks: Json | str, usage: Json | None = COUNT, stop: str | None = "end_turn", model: str = "some-model"
) -> Json:
    """A whole answer in Anthropic's protocol."""
    content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
    body: Json = {"id": "msg_01", "type": "message", "role": "assistant", "model": model, "content": content}
    return {**body, "stop_reason": stop, "stop_sequence": None} | ({} if usage is None else {"usage": usage})


def event(kind: str, **fields: object) -> str:
    """One event of a stream in Anthropic's protocol."""
    return sse({"type": kind, **fields}, kind)


def message_events(
    *texts: str, start: Json | None = None, end: Json | None = COUNT, stop: str | None = "end_turn"
) -> list[str]:
    """A stream in Anthropic's protocol; usage at its start and its end as told."""
    first = {**message(usage=start or {"input_tokens": 30, "output_tokens": 1}, stop=None)}
    return [
        event("message_start", message=first),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
        *(event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in texts),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=end),
        event("message_stop"),
    ]
