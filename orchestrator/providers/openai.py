"""OpenAI's models, and those of every server that speaks its chat protocol."""

from __future__ import annotations

from contextlib import aclosing, suppress
from math import exp, isnan
from typing import TYPE_CHECKING, Any

from orchestrator.messages import Message, ToolCall, Usage
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
from orchestrator.providers.faults import connection_fault, is_table, place_of, status_fault, transport_errors
from orchestrator.providers.schemas import strict_form

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["OpenAIProvider"]

KEY_ENV = "OPENAI_API_KEY"

BROKEN_OFF = frozenset({"abort", "error", "insufficient_system_resource"})
"""Finish reasons (of vLLM and SGLang, OpenRouter, DeepSeek) by which a server owns up to half an answer."""


def _sdk() -> object:
    import openai

    return openai


_clients: Clients[AsyncOpenAI] = Clients(_sdk)


class OpenAIProvider:
    """Asks through OpenAI's SDK; `stall` is the silence in a stream, in seconds, after which it is given up."""

    def __init__(self, *, stall: float = STALL_SECONDS) -> None:
        self._stall = stall

    async def prepare(self, model: Model) -> None:
        """Import the SDK and build the client; raises `ProviderError` where the model could not be asked anyway."""
        key = key_for(model, KEY_ENV)
        await _clients.prepare()
        import openai

        with suppress(openai.OpenAIError, *transport_errors()):  # which the try will meet, and tell of
            await _clients.get(model.base_url, key, lambda: _client(model, key))

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """Ask the model, once; with `on_text` the answer is streamed. Raises `ProviderError`."""
        key = key_for(model, KEY_ENV)
        exchange = Exchange(key=key, on_text=on_text, stall=self._stall)
        await _clients.prepare()
        import openai

        try:
            client = await _clients.get(model.base_url, key, lambda: _client(model, key))
            exchange.place = place_of(str(client.base_url))
            body = _body(client, model, request, stream=on_text is not None)
            headers = {"Authorization": f"Bearer {key}"}
            response = await posted(client.post, "/chat/completions", body, headers, openai.AsyncStream[object])
            async with aclosing(response):
                return await exchange.read(response, ChatAnswer())
        except openai.APIStatusError as error:
            fault = status_fault(error.status_code, error.response.headers, error.response.content)
            raise exchange.failed(fault) from None  # the SDK's error may repeat the key
        except (openai.OpenAIError, *transport_errors()) as error:
            raise exchange.failed(connection_fault(error, exchange.place)) from error


class ChatAnswer(Answer):
    """An answer in OpenAI's chat protocol, as OpenAI and all who imitate it write it."""

    def __init__(self) -> None:
        super().__init__()
        self._refusal: list[str] = []
        self._usage: dict[str, object] = {}
        self._at: dict[object, CallDraft] = {}

    @property
    def begun(self) -> bool:
        """Whether any output has arrived; words of refusal are output, too."""
        return bool(self._refusal) or super().begun

    def whole(self, body: dict[str, object]) -> bool:
        """Take a whole answer; False where it is none."""
        choice = _first_choice(body)
        message = table(choice.get("message"))
        if not message:
            return False
        self._usage = table(body.get("usage"))
        self.first_tokens = _first_tokens(choice)
        self._stopped(choice)
        for number, call in enumerate(rows(message.get("tool_calls"))):
            self._call(table(call), number)
        self._take(message)
        return True

    def event(self, data: dict[str, object]) -> str:
        """Take a chunk of a stream; the text that it adds."""
        self._usage = table(data.get("usage")) or self._usage
        choice = _first_choice(data)
        self._stopped(choice)
        delta = table(choice.get("delta"))
        for call in rows(delta.get("tool_calls")):
            self._call(table(call), table(call).get("index"))
        return self._take(delta)

    def finish(self) -> Finish:
        """Why the model stopped; a call that the length limit cut stays `length`."""
        if self.reason == "content_filter" or self._refusal:
            return "refusal"
        if self.reason == "length":
            return "length"
        return "calls" if self.calls or self.reason in {"tool_calls", "function_call"} else "stop"

    def usage(self) -> Usage | None:
        """Tokens as the server counted them; thoughts that it left out of the output are put back into it."""
        input_tokens, output = count(self._usage.get("prompt_tokens")), count(self._usage.get("completion_tokens"))
        if not input_tokens and not output:
            return None
        cached = count(table(self._usage.get("prompt_tokens_details")).get("cached_tokens"))
        thoughts = count(table(self._usage.get("completion_tokens_details")).get("reasoning_tokens"))
        if count(self._usage.get("total_tokens")) == input_tokens + output + thoughts:
            output += thoughts
        return Usage(input_tokens, output, min(cached, input_tokens), 0, min(thoughts, output))

    def completion(self) -> Completion:
        """The answer; of a refusal its own words."""
        if not self.text:
            self.text = self._refusal
        return super().completion()

    def _take(self, part: dict[str, object]) -> str:
        """The text, thoughts and refusal of a message or a delta; the text."""
        text, refusal = text_of(part.get("content")), text_of(part.get("refusal"))
        thoughts = text_of(part.get("reasoning_content")) or text_of(part.get("reasoning"))
        for heap, piece in ((self.text, text), (self._refusal, refusal), (self.reasoning, thoughts)):
            if piece:
                heap.append(piece)
        if function := table(part.get("function_call")):
            self._call({"function": function}, "function_call")
        return text

    def _call(self, piece: dict[str, object], index: object) -> None:
        """Take a call, or a piece of one: a new id at an old index starts a new call."""
        function, call_id = table(piece.get("function")), text_of(piece.get("id"))
        call = self._at.get(index)
        if call is None or (call_id and call.id and call_id != call.id):
            call = self._at[index] = CallDraft()
            self.calls.append(call)
        call.id = call.id or call_id
        call.name = call.name or text_of(function.get("name"))
        arguments = function.get("arguments")
        call.arguments += as_json(arguments) if is_table(arguments) else text_of(arguments)

    def _stopped(self, choice: dict[str, object]) -> None:
        reason = text_of(choice.get("finish_reason"))
        self.reason = self.reason or ("" if reason in BROKEN_OFF else reason)


def _first_choice(data: dict[str, object]) -> dict[str, object]:
    return table(next(iter(rows(data.get("choices"))), None))


def _first_tokens(choice: dict[str, object]) -> tuple[tuple[str, float], ...]:
    """What a reply could have begun with, and the probability of each, as far as the server tells it."""
    first = table(next(iter(rows(table(choice.get("logprobs")).get("content"))), None))
    told = [(text_of(each.get("token")), each.get("logprob")) for each in map(table, rows(first.get("top_logprobs")))]
    sound = [(token, float(log)) for token, log in told if isinstance(log, (int, float)) and not isnan(log) and token]
    found = [(token, exp(min(0.0, log))) for token, log in sound]
    return tuple(sorted(found, key=lambda pair: -pair[1]))


def _client(model: Model, key: str) -> AsyncOpenAI:
    """A new client; to a base URL it takes along nothing that the environment holds for OpenAI."""
    import openai

    omitted: Any = openai.Omit()
    ambient = [*ambient_headers("OPENAI_CUSTOM_HEADERS"), "OpenAI-Organization", "OpenAI-Project"]
    headers: dict[str, Any] = dict.fromkeys(ambient, omitted) if model.base_url else {}
    return openai.AsyncOpenAI(
        api_key=key,
        base_url=model.base_url,
        max_retries=0,
        default_headers=headers,
        timeout=openai.Timeout(None, connect=CONNECT_SECONDS),
        http_client=openai.DefaultAioHttpClient(verify=trust(), follow_redirects=False),
    )


def _body(client: AsyncOpenAI, model: Model, request: Request, *, stream: bool) -> dict[str, object]:
    """The request in OpenAI's words."""
    # OpenAI's own reasoning models refuse `max_tokens`; some other servers ignore `max_completion_tokens`
    own = client.base_url.host.endswith((".openai.com", ".openai.azure.com"))
    temperature = model.temperature if request.temperature is None else request.temperature
    body: dict[str, object] = {
        "model": model.id,
        "messages": [_message(message) for message in request.messages],
        "max_completion_tokens" if own else "max_tokens": min(request.max_output, model.max_output),
    }
    if temperature is not None:
        body["temperature"] = temperature
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["tool_choice"] = "auto"
    if request.schema is not None:
        body["response_format"] = _format(dict(request.schema))
    if request.first_tokens:
        body |= {"logprobs": True, "top_logprobs": request.first_tokens}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _message(message: Message) -> dict[str, object]:
    """A message; its content is text even beside calls, since null breaks some servers and none needs it.

    Parts, which break some servers, are sent only where there are images.
    """
    entry: dict[str, object] = {"role": message.role, "content": message.content}
    if message.images:
        images = [{"type": "image_url", "image_url": {"url": image}} for image in message.images]
        entry["content"] = [*images, {"type": "text", "text": message.content}]
    if message.role == "tool":
        entry["tool_call_id"] = message.call_id
    if message.calls:
        entry["tool_calls"] = [_sent_call(call) for call in message.calls]
    return entry


def _sent_call(call: ToolCall) -> dict[str, object]:
    function = {"name": call.name, "arguments": as_json(sound_arguments(call))}
    return {"id": call.id, "type": "function", "function": function}


def _format(schema: dict[str, object]) -> dict[str, object]:
    """The form of the reply; where the schema is not one for strict mode, OpenAI takes it as a wish."""
    strict = strict_form(schema)
    form = {"name": "reply", "schema": strict or schema, "strict": strict is not None}
    return {"type": "json_schema", "json_schema": form}


def _tool(tool: ToolSpec) -> dict[str, object]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
