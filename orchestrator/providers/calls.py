"""Calls of models as the gate wants them: what a try takes, what it gives, what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from math import ceil
from urllib.parse import urlsplit

from pydantic import JsonValue, TypeAdapter

from orchestrator.budget import Left
from orchestrator.messages import Usage
from orchestrator.pool import Model
from orchestrator.providers.base import (
    CHARACTERS_PER_TOKEN,
    CallersFault,
    Completion,
    Hearing,
    OnText,
    Preparing,
    Provider,
    Quote,
    Request,
    quoted,
)
from orchestrator.providers.gate import Call, Result
from orchestrator.trace.events import Purpose

__all__ = ["REPAIRS", "ModelCall", "billed", "key_of"]

CONTROL_RETRIES = 2
CONTROL_TIMEOUT = 60.0
REPAIRS = 1
"""Further tries of a model that gave something malformed (SEMANTICS §5)."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A model, the door to it, and what it is asked."""

    provider: Provider
    model: Model
    request: Request
    mean_output: float | None = None
    on_text: OnText | None = None
    heard: list[str] = field(default_factory=list[str])
    """What was handed on of the try under way."""

    def quote(self, left: Left) -> Quote:
        """What a try takes, with so much left."""
        return quoted(self.provider, self.model, self.request, mean_output=self.mean_output, left=left)

    def bill(self, usage: Usage) -> Decimal | None:
        """USD for a usage; None where the price is unknown."""
        if self.model.free:
            return Decimal(0)
        return None if self.model.price is None else self.model.price.cost(usage)

    async def prepare(self) -> None:
        """What there is to do before the first call, such as importing an SDK; no part of a try's time."""
        if isinstance(self.provider, Preparing):
            await self.provider.prepare(self.model)

    async def work(self, quote: Quote) -> Result:
        """One try; its value is the completion. Raises `CallersFault` where `on_text` does not bear what it hears."""
        request = replace(self.request, max_output=quote.max_output) if quote.max_output else self.request
        self.heard.clear()
        return billed(await self.provider.complete(self.model, request, self._heard()), quote, self.bill)

    def _heard(self) -> OnText | None:
        """Who is told of the try: nobody, where nobody listens."""
        if isinstance(self.on_text, Hearing):
            return replace(self.on_text, on_text=self._hand_on)
        return self._hand_on if self.on_text else None

    def _hand_on(self, text: str) -> None:
        self.heard.append(text)
        if self.on_text is not None:
            with _Blamed():
                self.on_text(text)

    def control(self, purpose: Purpose, left: Callable[[], Left], name: str | None = None) -> Call:
        """The call of a router or merge agent: no attempt, two retries; `name` is what durable runs know it by."""
        return Call(
            key=key_of(self.model),
            work=self.work,
            quote=lambda: self.quote(left()),
            timeout=CONTROL_TIMEOUT,
            retries=lambda: CONTROL_RETRIES,
            repairs=REPAIRS,
            prepare=self.prepare,
            purpose=purpose,
            model=self.model.name,
            bill=self.bill,
            delivered=lambda: "".join(self.heard),
            name=name,
            recall=completion_of,
        )


class _Blamed:
    """Whoever hears a model's words may fail, too; none of the model's handlers is to see that."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Let a fault pass as the caller's; raises `CallersFault`."""
        if isinstance(error, Exception):
            raise CallersFault(error) from error


def billed(completion: Completion, quote: Quote, bill: Callable[[Usage], Decimal | None]) -> Result:
    """A completion with its cost: recorded, by the vendor's usage, or estimated where the server told none."""
    usage, exact = completion.usage, True
    if usage is None:
        written = len(completion.text) + len(completion.reasoning) + sum(len(c.arguments) for c in completion.calls)
        usage, exact = Usage(quote.input_tokens, ceil(written / CHARACTERS_PER_TOKEN)), False
    cost = completion.cost if completion.cost is not None else bill(usage)
    return Result(completion, usage, cost, exact=exact or cost == 0)


@cache
def _completions() -> TypeAdapter[Completion]:
    return TypeAdapter(Completion)


def completion_of(kept: JsonValue) -> Completion:
    """The completion that a trace holds."""
    return _completions().validate_python(kept)


def key_of(model: Model) -> str:
    """Whose health a call of the model marks: the model at its base URL."""
    if not model.base_url:
        return model.name
    place = urlsplit(model.base_url)  # without user, password and query, which may be secret
    return f"{model.name}@{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path}"
