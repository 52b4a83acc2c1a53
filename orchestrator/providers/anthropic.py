"""Anthropic's models, and those of every server that speaks its messages protocol."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from orchestrator.messages import Message, Usage
from orchestrator.pool import Model
from orchestrator.providers.answers import (
    STALL_SECONDS,
    Answer,
    CallDraft,
    Exchange,
    as_json,
    count,
    rows,
    sound_arguments,
    table,
    text_of,
)
from orchestrator.providers.base import Completion, Finish, OnText, Request, ToolSpec
from orchestrator.providers.clients import CONNECT_SECONDS, Clients, ambient_headers, key_for, posted, trust
from orchestrator.providers.faults import connection_fault, place_of, status_fault, transport_errors

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

__all__ = ["AnthropicProvider"]

KEY_ENV = "ANTHROPIC_API_KEY"

OUT_OF_ROOM = frozenset({"max_tokens", "model_context_window_exceeded"})


def _sdk() -> object:
    import anthropic

    return anthropic


_clients: Clients[AsyncAnthropic] = Clients(_sdk)


class AnthropicProvider:
    """Asks through Anthropic's SDK; `stall` is the silence in a stream, in seconds, after which it is given up."""

    def __init__(self, *, stall: float = STALL_SECONDS) -> None:
        self._stall = stall

    async def prepare(self, model: Model) -> None:
        """Import the SDK and build the client; raises `ProviderError` where the model could not be asked anyway."""
        key = key_for(model, KEY_ENV)
        await _clients.prepare()
        import anthropic

        with suppress(anthropic.AnthropicError, *transport_errors()):  # which the try will meet, and tell of
            await _clients.get(model.base_url, key, lambda: _client(model, key))

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """Ask the model, once; with `on_text` the answer is streamed. Raises `ProviderError`."""
        key = key_for(model, KEY_ENV)
        exchange = Exchange(key=key, on_text=on_text, stall=self._stall)
        await _clients.prepare()
        import anthropic

        try:
            client = await _clients.get(model.base_url, key, lambda: _client(model, key))
            exchange.place = place_of(str(client.base_url))
            body = _body(model, request, stream=on_text is not None)
            headers = {"X-Api-Key": key}
            response = await posted(client.post, "/v1/messages", body, headers, anthropic.AsyncStream[object])
            async with aclosing(response):
                return await exchange.read(response, MessageAnswer())
        except anthropic.APIStatusError as error:
            fault = status_fault(error.status_code, error.response.headers, error.response.content)
            raise exchange.failed(fault) from None  # the SDK's error may repeat the key
        except (anthropic.AnthropicError, *transport_errors()) as error:
            raise exchange.failed(connection_fault(error, exchange.place)) from error


class MessageAnswer(Answer):
    """An answer in Anthropic's messages protocol, as Anthropic and all who imitate it write it."""

    def __init__(self) -> None:
        super().__init__()
        self._usage: dict[str, int] = {}
        self._counted = False
        self._at: dict[object, CallDraft] = {}

    def whole(self, body: dict[str, object]) -> bool:
        """Take a whole answer; False where it is none."""
        if not isinstance(body.get("content"), list):
            return False
        for number, block in enumerate(rows(body.get("content"))):
            self._block(table(block), number)
        self._ended(body)
        return True

    def event(self, data: dict[str, object]) -> str:
        """Take an event of a stream; the text that it adds."""
        match data.get("type"):
            case "message_start":
                self._count(table(table(data.get("message")).get("usage")))
            case "content_block_start":
                return self._block(table(data.get("content_block")), data.get("index"))
            case "content_block_delta":
                return self._delta(table(data.get("delta")), data.get("index"))
            case "message_delta":
                self._ended(table(data.get("delta")) | {"usage": data.get("usage")})
            case _:  # block ends, message_stop, pings, and what is yet to be invented
                pass
        return ""

    def finish(self) -> Finish:
        """Why the model stopped; a call that the length limit cut stays `length`."""
        if self.reason == "refusal":
            return "refusal"
        if self.reason in OUT_OF_ROOM:
            return "length"
        return "calls" if self.calls or self.reason == "tool_use" else "stop"

    def usage(self) -> Usage | None:
        """Tokens as the server counted them at the end; it counts what its cache read and wrote beside the input."""
        found = self._usage if self._counted else {}
        read, written = found.get("cache_read_input_tokens", 0), found.get("cache_creation_input_tokens", 0)
        input_tokens, output = found.get("input_tokens", 0) + read + written, found.get("output_tokens", 0)
        if not input_tokens and not output:
            return None
        return Usage(input_tokens, output, read, written, min(found.get("thinking_tokens", 0), output))

    def completion(self) -> Completion:
        """The answer; a call that streamed no arguments has none."""
        for call in self.calls:
            call.arguments = call.arguments or "{}"
        return super().completion()

    def _block(self, block: dict[str, object], index: object) -> str:
        """Take a block of a whole answer, or the start of one in a stream; the text in it."""
        match block.get("type"):
            case "text":
                return self._delta(block, index)
            case "thinking":
                self._delta(block, index)
            case "tool_use":
                given = block.get("input")
                call = CallDraft(text_of(block.get("id")), text_of(block.get("name")), as_json(given) if given else "")
                self._at[index] = call
                self.calls.append(call)
            case _:  # redacted thoughts, and tools that the vendor runs itself
                pass
        return ""

    def _delta(self, delta: dict[str, object], index: object) -> str:
        text, thoughts = text_of(delta.get("text")), text_of(delta.get("thinking"))
        if text:
            self.text.append(text)
        if thoughts:
            self.reasoning.append(thoughts)
        if (call := self._at.get(index)) is not None:
            call.arguments += text_of(delta.get("partial_json"))
        return text

    def _ended(self, message: dict[str, object]) -> None:
        self.reason = text_of(message.get("stop_reason")) or self.reason
        self._counted = self._count(table(message.get("usage"))) or self._counted

    def _count(self, usage: dict[str, object]) -> bool:
        """Take usage, if there is any; later counts win, but none is taken back."""
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        counts = {name: count(usage.get(name)) for name in names}
        counts["thinking_tokens"] = count(table(usage.get("output_tokens_details")).get("thinking_tokens"))
        self._usage |= {name: number for name, number in counts.items() if number}
        return any(counts.values())


def _client(model: Model, key: str) -> AsyncAnthropic:
    """A new client; to a base URL it takes along nothing that the environment holds for Anthropic."""
    import anthropic

    omitted: Any = anthropic.omit
    headers: dict[str, Any] = (
        dict.fromkeys(ambient_headers("ANTHROPIC_CUSTOM_HEADERS"), omitted) if model.base_url else {}
    )
    return anthropic.AsyncAnthropic(
        api_key=key,
        base_url=model.base_url,
        max_retries=0,
        default_headers=headers,
        timeout=anthropic.Timeout(None, connect=CONNECT_SECONDS),
        http_client=anthropic.DefaultAioHttpClient(verify=trust(), follow_redirects=False),
    )


def _body(model: Model, request: Request, *, stream: bool) -> dict[str, object]:
    """The request in Anthropic's words."""
    temperature = model.temperature if request.temperature is None else request.temperature
    system = "\n\n".join(m.content for m in request.messages if m.role == "system" and m.content.strip())
    body: dict[str, object] = {
        "model": model.id,
        "messages": _messages(request.messages),
        "max_tokens": min(request.max_output, model.max_output),
    }
    if system:
        body["system"] = system
    if temperature is not None:
        body["temperature"] = temperature
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["tool_choice"] = {"type": "auto"}
    if request.schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": _schema(dict(request.schema))}}
    if stream:
        body["stream"] = True
    return body


def _messages(messages: Sequence[Message]) -> list[dict[str, object]]:
    """The conversation in turns of user and assistant; results of tools are the user's."""
    turns: list[tuple[str, list[dict[str, object]]]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [] if message.role == "system" else _blocks(message)
        if blocks and turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, blocks))
    return [{"role": role, "content": blocks} for role, blocks in turns]


def _blocks(message: Message) -> list[dict[str, object]]:
    """The parts of a message, images first, as is advised; blank text is left out, since Anthropic refuses it."""
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": _fit(message.call_id), "content": message.content}]
    blocks: list[dict[str, object]] = [{"type": "image", "source": _source(image)} for image in message.images]
    if message.content.strip():
        blocks.append({"type": "text", "text": message.content})
    blocks.extend(
        {"type": "tool_use", "id": _fit(call.id), "name": call.name, "input": sound_arguments(call)}
        for call in message.calls
    )
    return blocks


def _source(image: str) -> dict[str, object]:
    kind, held, data = image.removeprefix("data:").partition(";base64,")
    return {"type": "base64", "media_type": kind, "data": data} if held else {"type": "url", "url": image}


def _schema(schema: dict[str, object]) -> dict[str, object]:
    """The schema in Anthropic's words, as its SDK translates it; what that cannot translate, the server may judge."""
    import anthropic

    try:
        return anthropic.transform_schema(schema)
    except (AssertionError, AttributeError, TypeError, ValueError):
        return schema


def _fit(call_id: str) -> str:
    """A call's id in the letters that Anthropic allows; other servers' ids may hold more."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", call_id)


def _tool(tool: ToolSpec) -> dict[str, object]:
    return {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
