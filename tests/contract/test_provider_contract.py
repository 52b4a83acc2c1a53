"""What every provider keeps to; a new one is a new row."""
# ruff: noqa: ARG001 - not every row needs a folder

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Literal, get_args

import pytest

from orchestrator import Message, Model, Usage, read_recorded
from orchestrator.errors import AttemptError, FailureKind, ProviderError, ReplayMismatch
from orchestrator.messages import ToolCall
from orchestrator.providers import (
    Completion,
    Provider,
    RecordingProvider,
    ReplayProvider,
    Request,
    ScriptProvider,
    as_provider,
)
from orchestrator.providers.base import Finish, Preparing
from tests.wire import vendors
from tests.wire.outcomes import model_at, provider_of
from tests.wire.server import Script, WireServer, stream, whole

Scene = Literal["said", "streamed", "failed"]
"""The model answers `Paris.`; it does so in a stream; it cannot answer."""

REQUEST = Request((Message("system", "Be brief."), Message("user", "Which city?")), max_output=64, case="q1")
SAID = Completion("Paris.", usage=Usage(30, 2))
DOWN = ProviderError("is down", kind="server")


@dataclass(frozen=True)
class Door:
    """A provider with a model behind it."""

    provider: Provider
    model: Model


Row = Callable[[Path, Scene], AbstractContextManager[Door]]

MODEL = Model(name="script:m", free=True)


def script(folder: Path, scene: Scene) -> AbstractContextManager[Door]:
    """The public test double."""
    return nullcontext(Door(ScriptProvider({"m": [DOWN if scene == "failed" else SAID]}), MODEL))


def recording(folder: Path, scene: Scene) -> AbstractContextManager[Door]:
    """One that writes what passes."""
    inner = ScriptProvider({"m": [DOWN if scene == "failed" else SAID]})
    return nullcontext(Door(RecordingProvider(inner, folder / "c.jsonl"), MODEL))


def replay(folder: Path, scene: Scene) -> AbstractContextManager[Door]:
    """One that reads it again."""
    with recording(folder, scene) as door:
        answered(door, ignore=True)
    return nullcontext(Door(ReplayProvider(folder / "c.jsonl"), MODEL))


def recorded(folder: Path, scene: Scene) -> AbstractContextManager[Door]:
    """Recorded outcomes of real models."""
    outcome = {"score": 1, "cost_usd": 0.5, "response": "Paris.", "input_tokens": 30, "output_tokens": 2}
    record = {"id": "q2" if scene == "failed" else "q1", "question": "Which city?", "outcomes": {"m": outcome}}
    (folder / "made.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    file = read_recorded(folder / "made.jsonl")
    (model,) = file.pool.models.values()
    return nullcontext(Door(file.provider(), model))


def function(folder: Path, scene: Scene) -> AbstractContextManager[Door]:
    """A plain function."""

    def say(model: Model, request: Request) -> Completion:
        assert (model, request) == (MODEL, REQUEST)
        if scene == "failed":
            raise DOWN
        return SAID

    return nullcontext(Door(as_provider(say, "script"), MODEL))


def async_function(folder: Path, scene: Scene) -> AbstractContextManager[Door]:
    """A plain function that waits."""

    async def say(model: Model, request: Request) -> Completion:
        await asyncio.sleep(0)
        if scene == "failed":
            raise DOWN
        return SAID

    return nullcontext(Door(as_provider(say, "script"), MODEL))


@contextmanager
def wire(vendor: str, played: dict[Scene, Script], scene: Scene) -> Generator[Door]:
    """A vendor's SDK against a server on loopback."""
    with WireServer() as server:
        server.script(played[scene])
        yield Door(provider_of(vendor), model_at(vendor, server))


BROKEN = whole({"error": {"message": "is down"}}, status=500)


def openai(folder: Path, scene: Scene) -> AbstractContextManager[Door]:
    """OpenAI's protocol."""
    streamed = stream(*vendors.chat_chunks("Par", "is."), vendors.DONE)
    return wire("openai", {"said": whole(vendors.chat("Paris.")), "streamed": streamed, "failed": BROKEN}, scene)


def anthropic(folder: Path, scene: Scene) -> AbstractContextManager[Door]:
    """Anthropic's protocol."""
    streamed = stream(*vendors.message_events("Par", "is."))
    return wire("anthropic", {"said": whole(vendors.message("Paris.")), "streamed": streamed, "failed": BROKEN}, scene)


ROWS: tuple[Row, ...] = (script, recording, replay, recorded, function, async_function, openai, anthropic)
each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)


def answered(door: Door, on_text: Callable[[str], None] | None = None, *, ignore: bool = False) -> Completion | None:
    """What it gives; None where it fails and that is to be ignored."""
    try:
        return asyncio.run(door.provider.complete(door.model, REQUEST, on_text))
    except AttemptError:
        if not ignore:
            raise
        return None


@each
def test_it_gives_a_completion_of_the_right_types(row: Row, tmp_path: Path) -> None:
    with row(tmp_path, "said") as door:
        completion = answered(door)
    assert isinstance(completion, Completion)
    assert (completion.text, completion.finish, completion.calls) == ("Paris.", "stop", ())
    assert completion.finish in get_args(Finish)
    assert isinstance(completion.usage, Usage)
    assert completion.usage.input_tokens > 0
    assert completion.cost is None or isinstance(completion.cost, Decimal)
    assert isinstance(completion.reasoning, str)


@each
def test_the_text_is_told_as_it_comes(row: Row, tmp_path: Path) -> None:
    pieces: list[str] = []
    with row(tmp_path, "streamed") as door:
        completion = answered(door, pieces.append)
    assert completion is not None
    assert "".join(pieces) == completion.text == "Paris."
    assert all(pieces)
    assert completion.finish == "stop"


@each
def test_images_and_a_schema_are_borne(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = (*REQUEST.messages[:-1], replace(REQUEST.messages[-1], images=("https://pictures.example/a.png",)))
    asked = replace(REQUEST, messages=said, schema={"type": "object", "properties": {}})
    monkeypatch.setattr(f"{__name__}.REQUEST", asked)
    with row(tmp_path, "said") as door:
        completion = answered(door)
    assert completion is not None
    assert completion.text == "Paris."


@each
def test_it_prepares_more_than_once_without_harm(row: Row, tmp_path: Path) -> None:
    async def both(provider: Preparing, model: Model) -> None:
        await asyncio.gather(provider.prepare(model), provider.prepare(model))
        await provider.prepare(model)

    with row(tmp_path, "said") as door:
        if isinstance(door.provider, Preparing):
            asyncio.run(both(door.provider, door.model))
        assert answered(door) is not None


@each
def test_it_fails_in_the_words_of_the_framework(row: Row, tmp_path: Path) -> None:
    told: list[str] = []
    with row(tmp_path, "failed") as door, pytest.raises((AttemptError, ReplayMismatch)) as raised:
        answered(door, told.append if row not in {openai, anthropic} else None)
    assert told == []
    assert str(raised.value)
    if isinstance(raised.value, AttemptError):
        assert raised.value.kind in get_args(FailureKind)


@pytest.mark.parametrize("row", [script, recording, replay], ids=lambda row: row.__name__)
def test_calls_of_tools_come_through(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = (ToolCall("c1", "math", '{"query": "2+2"}'), ToolCall("c2", "math", "{broken"))
    monkeypatch.setattr(f"{__name__}.SAID", Completion("", calls, "calls", Usage(1, 1)))
    pieces: list[str] = []
    with row(tmp_path, "said") as door:
        completion = answered(door, pieces.append)
    assert completion == Completion("", calls, "calls", Usage(1, 1))
    assert pieces == []


@pytest.mark.parametrize("row", [script, replay], ids=lambda row: row.__name__)
def test_a_call_too_many_is_a_mismatch(row: Row, tmp_path: Path) -> None:
    with row(tmp_path, "said") as door:
        answered(door)
        with pytest.raises(ReplayMismatch):
            answered(door)
