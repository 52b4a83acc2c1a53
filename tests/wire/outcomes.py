"""One call of a provider against a script, and what must come of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from orchestrator.errors import FailureKind, ProviderError
from orchestrator.messages import Message, Usage
from orchestrator.pool import Model
from orchestrator.providers.anthropic import AnthropicProvider
from orchestrator.providers.base import Completion, Provider, Request
from orchestrator.providers.openai import OpenAIProvider
from tests.wire.server import Script, Seen, WireServer

__all__ = ["ASKED", "STALL", "Bad", "Case", "asked", "cases", "model_at", "outcome", "provider_of"]

ASKED = Request((Message("system", "Be brief."), Message("user", "What is the capital of France?")), max_output=64)

STALL = 0.3
"""Seconds of silence that the providers under test bear in a stream."""


@dataclass(frozen=True, slots=True)
class Bad:
    """The parts of a `ProviderError` that callers act upon."""

    kind: FailureKind
    retryable: bool
    retry_after: float | None = None
    sent: bool = True
    begun: bool = False
    partial: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A script, how the model is asked, and what must come of it."""

    id: str
    script: Script
    expected: Completion | Bad
    streamed: bool = False


def cases(*rows: Case) -> pytest.MarkDecorator:
    """A test for each row, named after it."""
    return pytest.mark.parametrize("case", rows, ids=[row.id for row in rows])


def provider_of(vendor: str) -> Provider:
    """A provider with little patience."""
    return OpenAIProvider(stall=STALL) if vendor == "openai" else AnthropicProvider(stall=STALL)


def model_at(vendor: str, server: WireServer, **fields: object) -> Model:
    """A model whose server is the scripted one."""
    url = server.openai_url if vendor == "openai" else server.url
    return Model.model_validate({"name": "some-model", "provider": vendor, "base_url": url, **fields})


def outcome(
    vendor: str, model: Model, request: Request = ASKED, *, streamed: bool = False
) -> tuple[Completion | Bad, list[str], str]:
    """Completion or error, the text as it was delivered, and the error's words."""
    pieces: list[str] = []

    async def ask() -> Completion:
        return await provider_of(vendor).complete(model, request, pieces.append if streamed else None)

    try:
        return asyncio.run(ask()), pieces, ""
    except ProviderError as error:
        bad = Bad(error.kind, error.retryable, error.retry_after, error.sent, error.begun, error.partial, error.usage)
        return bad, pieces, str(error)


def asked(vendor: str, case: Case, request: Request = ASKED) -> tuple[Seen, str]:
    """Play a case; the one request that was made for it, and the error's words."""
    with WireServer() as server:
        server.script(case.script)
        found, pieces, words = outcome(vendor, model_at(vendor, server), request, streamed=case.streamed)
    assert found == case.expected
    if case.streamed and not (isinstance(found, Completion) and found.finish == "refusal"):
        assert "".join(pieces) == (found.text if isinstance(found, Completion) else found.partial)
    assert len(words) <= 201
    (seen,) = server.requests
    return seen, words
