"""What a model says, put into either vendor's words: whole or streamed; and what a request weighs by our own rule."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Literal, cast

from orchestrator.providers.answers import as_json
from tests.wire.server import Script, Seen, stream, whole
from tests.wire.vendors import (
    COUNT,
    DONE,
    USAGE,
    Json,
    call,
    chat,
    chunk,
    event,
    message,
    tool_use,
)

__all__ = ["VENDORS", "Said", "answers", "estimate", "parts_of", "routes", "spoken"]

VENDORS = ("openai", "anthropic")

Finish = Literal["stop", "length", "refusal", "absent"]
REASONS: Mapping[str, Mapping[Finish, str | None]] = {
    "openai": {"stop": "stop", "length": "length", "refusal": "content_filter", "absent": None},
    "anthropic": {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal", "absent": None},
}
CALLED: Mapping[str, str] = {"openai": "tool_calls", "anthropic": "tool_use"}


@dataclass(frozen=True, slots=True)
class Said:
    """One answer of a model, in nobody's protocol yet."""

    text: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    """Id, name and arguments of each call."""
    finish: Finish = "stop"
    counted: bool = True
    """Whether the server says how many tokens it took: 100 in (64 of them cached), 20 out."""
    reasoning: str = ""


def routes(*asked: tuple[str, str], text: str = "") -> Said:
    """A router's turn that consults experts, each with a query."""
    calls = ((f"call_{n}", name, as_json({"query": query})) for n, (name, query) in enumerate(asked, start=1))
    return Said(text, tuple(calls))


def answers(text: str) -> Said:
    """A router's turn that answers by the tool for it."""
    return Said("", (("call_9", "answer", as_json({"answer": text})),))


def spoken(vendor: str, said: Said, *, streamed: bool = False, pieces: int = 2) -> Script:
    """The answer in a vendor's words; of a stream every text comes in so many pieces."""
    if not streamed:
        return whole(_chat(said) if vendor == "openai" else _message(said))
    return stream(*parts_of(vendor, said, pieces))


def parts_of(vendor: str, said: Said, pieces: int = 2) -> list[str]:
    """What a server sends of a streamed answer, each on its own."""
    return [*_chunks(said, pieces), DONE] if vendor == "openai" else list(_events(said, pieces))


def estimate(seen: Seen) -> int:
    """Tokens that a request is charged for where nobody counts: one for two characters (SEMANTICS §6)."""
    body = cast("Json", seen.body)
    characters = len(body.get("system", ""))
    for entry in body["messages"]:
        blocks = entry["content"] if isinstance(entry["content"], list) else [{"text": entry["content"]}]
        for block in [*blocks, *entry.get("tool_calls", [])]:
            characters += _characters(block)
    for tool in body.get("tools", []):
        offered = tool.get("function", tool)
        schema = offered.get("parameters") or offered["input_schema"]
        characters += len(offered["name"]) + len(offered["description"]) + len(json.dumps(schema))
    return ceil(characters / 2)


def _characters(block: Json) -> int:
    function = block.get("function", block)
    arguments = function.get("arguments", "") or (json.dumps(block["input"]) if "input" in block else "")
    return len(block.get("text", "") + block.get("content", "") + function.get("name", "") + arguments)


def _reason(vendor: str, said: Said) -> str | None:
    return CALLED[vendor] if said.calls and said.finish == "stop" else REASONS[vendor][said.finish]


def _chat(said: Said) -> Json:
    calls = [call(*each) for each in said.calls]
    more = {"reasoning_content": said.reasoning} if said.reasoning else {}
    usage = USAGE if said.counted else None
    return chat(said.text or None, calls=calls, usage=usage, finish=_reason("openai", said), **more)


def _chunks(said: Said, pieces: int) -> Iterator[str]:
    yield chunk({"role": "assistant", "content": None})
    for piece in _cut(said.reasoning, pieces):
        yield chunk({"reasoning_content": piece})
    for piece in _cut(said.text, pieces):
        yield chunk({"content": piece})
    for index, (call_id, name, arguments) in enumerate(said.calls):
        yield chunk({"tool_calls": [{"index": index, **call(call_id, name, "")}]})
        for piece in _cut(arguments, pieces):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    if said.finish != "absent":
        yield chunk({}, finish=_reason("openai", said))
    if said.counted:
        yield chunk(usage=USAGE)


def _message(said: Said) -> Json:
    blocks: list[Json | str] = [{"type": "thinking", "thinking": said.reasoning}] if said.reasoning else []
    blocks += [said.text] if said.text else []
    blocks += [tool_use(call_id, name, _input(arguments)) for call_id, name, arguments in said.calls]
    return message(*blocks, usage=COUNT if said.counted else None, stop=_reason("anthropic", said))


def _input(arguments: str) -> Json:
    """The arguments as a whole answer holds them: of broken ones a text, where an object belongs."""
    try:
        return json.loads(arguments)
    except ValueError:
        return cast("Json", arguments)


def _events(said: Said, pieces: int) -> Iterator[str]:
    """Usage comes at the end alone, as LiteLLM has it."""
    yield event("message_start", message=message(usage={"input_tokens": 0, "output_tokens": 0}, stop=None))
    started: list[tuple[Json, list[Json]]] = []
    if said.reasoning:
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in _cut(said.reasoning, pieces)]
        started.append(({"type": "thinking", "thinking": ""}, thoughts))
    if said.text:
        words: list[Json] = [{"type": "text_delta", "text": piece} for piece in _cut(said.text, pieces)]
        started.append(({"type": "text", "text": ""}, words))
    for call_id, name, arguments in said.calls:
        written: list[Json] = [{"type": "input_json_delta", "partial_json": p} for p in _cut(arguments, pieces)]
        started.append((tool_use(call_id, name, {}), written))
    for index, (block, deltas) in enumerate(started):
        yield event("content_block_start", index=index, content_block=block)
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    if said.finish != "absent" or said.counted:
        delta = {"stop_reason": _reason("anthropic", said), "stop_sequence": None}
        yield event("message_delta", delta=delta, usage=COUNT if said.counted else None)
    yield event("message_stop")


def _cut(text: str, pieces: int) -> list[str]:
    marks = [len(text) * number // pieces for number in range(pieces + 1)]
    return [text[begin:end] for begin, end in pairwise(marks) if begin < end]
