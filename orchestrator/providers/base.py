"""What a model is asked, what it gives back, and what the asking may cost."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Literal, Protocol, cast, runtime_checkable

from orchestrator.budget import UNLIMITED, Left
from orchestrator.messages import Message, ToolCall, Usage
from orchestrator.pool import Model

__all__ = [
    "IMAGE_TOKENS",
    "Ask",
    "CallersFault",
    "Completion",
    "Finish",
    "Hearing",
    "OnCall",
    "OnText",
    "Preparing",
    "Provider",
    "Quote",
    "Quoting",
    "Request",
    "Room",
    "ToolSpec",
    "estimated_tokens",
    "list_price_quote",
    "quoted",
    "unfit",
]

Finish = Literal["stop", "length", "calls", "refusal"]
"""Why a model stopped: it was done, out of room, wants tools called, or declines."""
OnText = Callable[[str], None]
"""Is told each piece of text as it arrives."""
OnCall = Callable[[str, str], None]
"""Is told the name of the tool call that is being written, and its arguments so far."""
Room = Callable[[], Awaitable[None]]
"""Comes back when there is room for more: what a slow listener makes a run wait for."""

CHARACTERS_PER_TOKEN = 2
"""Estimates go upward: tokenizers take about four characters of English to a token."""
IMAGE_TOKENS = 5_000
"""Tokens that an image counts for, whatever its size; Anthropic's high-resolution models count at most 4,784."""
SMALLEST_OUTPUT = 256
"""Tokens of output below which a clipped request is not worth sending."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as it is offered to a model."""

    name: str
    description: str
    parameters: Mapping[str, object]
    """JSON Schema of the arguments."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_output: int = 4096
    temperature: float | None = None
    case: str | None = None
    """Id of the recorded case, on recorded outcomes."""
    schema: Mapping[str, object] | None = None
    """JSON Schema for the text of the reply. Not every server keeps to it, so whoever asks checks the reply."""
    first_tokens: int = 0
    """How many tokens that the reply could begin with are wanted, with their probabilities."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model gave."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    usage: Usage | None = None
    """None where the server told nothing."""
    cost: Decimal | None = None
    """USD as recorded; None leaves it to the model's price."""
    reasoning: str = ""
    first_tokens: tuple[tuple[str, float], ...] = ()
    """What the reply could have begun with, the likeliest first, and the probability of each, where that was asked."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What one try would take, before it is made."""

    expected: Decimal | None = Decimal(0)
    """USD on average; None where the price is unknown."""
    reserve: Decimal | None = Decimal(0)
    """USD at worst."""
    input_cost: Decimal | None = Decimal(0)
    """USD of the input alone: the charge of a try that failed without a word on its usage."""
    tokens: int = 0
    """Input and output at worst."""
    input_tokens: int = 0
    """Estimated upward."""
    max_output: int = 0
    """Tokens of output that the reserve pays for."""
    why_not: str | None = None
    """Why the model cannot take the question at all."""


Ask = Callable[[str, Request], Awaitable[Completion]]
"""Calls a model of the pool by name, through the gate; raises `AttemptError`."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """An `OnText` that is told of tool calls, too, and that a stream waits for; providers may take it for any other."""

    on_text: OnText
    on_call: OnCall
    room: Room

    def __call__(self, text: str) -> None:
        """Hear a piece of text."""
        self.on_text(text)


class CallersFault(Exception):
    """On its way past those who would take it for a failure of the model's: what a function of the caller's raised."""

    def __init__(self, raised: Exception) -> None:
        self.raised = raised
        super().__init__(f"{type(raised).__name__}: {raised}")


class Provider(Protocol):
    """The way to a family of models."""

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """Ask the model; with `on_text` the answer is streamed. Raises `ProviderError`."""
        ...


@runtime_checkable
class Quoting(Protocol):
    """A provider that knows better than list prices what a try will take."""

    def quote(self, model: Model, request: Request) -> Quote:
        """What asking would take; asks nobody."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A provider with something to do before its first call that should not count as the model's time."""

    async def prepare(self, model: Model) -> None:
        """Do it without holding up the event loop; once it is done, there is nothing to do."""
        ...


def unfit(model: Model, request: Request) -> str | None:
    """Why a model lacks what a request takes, whatever the price; None where it lacks nothing."""
    if "image" not in model.modalities and any(message.images for message in request.messages):
        return "it takes no images"
    if request.tools and not model.tools:
        return "it calls no tools"
    if request.schema is not None and not model.structured:
        return "it keeps to no JSON Schema"
    if request.first_tokens and not model.logprobs:
        return "it tells no probabilities of tokens"
    return None


def quoted(
    provider: Provider,
    model: Model,
    request: Request,
    *,
    mean_output: float | None = None,
    left: Left = UNLIMITED,
) -> Quote:
    """What a try takes: as the provider says, else at list price; nobody is asked of what the model is unfit for."""
    # not `isinstance`: what a protocol takes to be checked is as long as all the rest of a quote
    if hasattr(provider, "quote") and unfit(model, request) is None:
        return cast("Quoting", provider).quote(model, request)
    return list_price_quote(model, request, mean_output=mean_output, left=left)


def estimated_tokens(request: Request) -> int:
    """Tokens of a request's input, estimated upward from its characters and the number of its images."""
    characters = sum(
        len(m.content) + sum(len(call.name) + len(call.arguments) for call in m.calls) for m in request.messages
    )
    if request.tools:
        characters += sum(len(t.name) + len(t.description) + len(json.dumps(dict(t.parameters))) for t in request.tools)
    if request.schema is not None:
        characters += len(json.dumps(dict(request.schema)))
    images = sum(len(message.images) for message in request.messages)
    return ceil(characters / CHARACTERS_PER_TOKEN) + images * IMAGE_TOKENS


def list_price_quote(
    model: Model, request: Request, *, mean_output: float | None = None, left: Left = UNLIMITED
) -> Quote:
    """What a try takes at list price; the output is clipped to what `left` pays for, not below 256 tokens.

    `mean_output` are the output tokens seen on average, a quarter of the maximum where none were seen. What a model is
    unfit for, or has no room for, has no price.
    """
    tokens_in, most = estimated_tokens(request), min(request.max_output, model.max_output)
    if (why_not := unfit(model, request) or _too_long(model, tokens_in, most)) is not None:
        return Quote(None, None, None, tokens_in + most, tokens_in, most, why_not)
    if model.context_window is not None:
        most = min(most, model.context_window - tokens_in)
    if left.tokens is not None:
        most = _clipped(most, left.tokens - tokens_in)
    usual = ceil(mean_output if mean_output is not None else most / 4)
    if model.free:
        return Quote(tokens=tokens_in + most, input_tokens=tokens_in, max_output=most)
    if model.price is None:
        return Quote(None, None, None, tokens_in + most, tokens_in, most)
    price = model.price
    input_cost = price.cost(Usage(tokens_in))
    if left.usd is not None and price.output > 0:
        most = _clipped(most, int((left.usd - input_cost) * 1_000_000 / price.output))
    reserve = input_cost + price.cost(Usage(0, most))
    expected = input_cost + price.cost(Usage(0, min(usual, most)))
    return Quote(expected, reserve, input_cost, tokens_in + most, tokens_in, most)


def _clipped(most: int, affordable: int) -> int:
    """Tokens of output that can be paid for; all of them where so few could be that it is not worth asking."""
    return min(most, affordable) if affordable >= min(SMALLEST_OUTPUT, most) else most


def _too_long(model: Model, tokens_in: int, most: int) -> str | None:
    """Why a context window cannot hold so many tokens and an answer."""
    if model.context_window is None or model.context_window - tokens_in >= min(SMALLEST_OUTPUT, most):
        return None
    return f"needs about {tokens_in:,} tokens and room to answer, it holds {model.context_window:,}"
