"""Cassettes of runs over the wire that did not go smoothly: cut tries, and runs that were stopped."""

from __future__ import annotations

import asyncio
import importlib
import json
from pathlib import Path

import pytest

from orchestrator.errors import ProviderError
from orchestrator.providers import RecordingProvider, ReplayProvider
from orchestrator.providers.replay import CUT_OFF, read_cassette
from orchestrator.trace.events import TryEnded
from tests.runs import Ran
from tests.wire.house import House
from tests.wire.outcomes import ASKED, model_at, provider_of
from tests.wire.server import JSON, End, Script, WireServer, head, stream
from tests.wire.speech import VENDORS, Said
from tests.wire.vendors import chunk, event

both = pytest.mark.parametrize("vendor", VENDORS)

BEGUN = {
    "openai": stream(chunk({"content": "I will"}), End.HANG),
    "anthropic": stream(
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "I will"}), End.HANG
    ),
}
"""A stream that begins, and then nothing more."""
HALF = Script((head(200, {"Content-Type": JSON, "Content-Length": "99"}) + b'{"id": "x", ', End.HANG))
"""An answer of which a part comes, and then nothing more."""
SILENT = Script((End.HANG,))
LIMIT = 0.25


def compared(ran: Ran) -> list[str]:
    """Events as JSON, without times and ids; of an error of time only that there was one."""
    bare = [each.model_dump(mode="json", exclude={"time", "run_id", "prev"}) for each in ran.events]
    for each in bare:
        each["decision"] = {**(each.get("decision") or {}), "run_id": "", "head": ""}
    return [json.dumps(each).replace(f"no reply within {LIMIT} s", CUT_OFF) for each in bare]


@pytest.fixture(autouse=True)
def _sdk(vendor: str) -> None:
    """An import takes longer than the limits below."""
    importlib.import_module(vendor)


@both
def test_tries_that_their_time_limit_cut_replay_as_they_were(vendor: str, tmp_path: Path) -> None:
    cassette = tmp_path / "run.cassette"
    live = House(
        vendor,
        tmp_path,
        {"router": [BEGUN[vendor]], "sage": [SILENT], "spare": [Said("Rome.")]},
        streamed=True,
        timeouts={"router": LIMIT, "sage": LIMIT},
        door=lambda provider: RecordingProvider(provider, cassette),
    )
    first = live.run()
    assert (first.decision.answer, first.outcomes()) == ("Rome.", [("sage", "rerouted")])
    assert [each.kind for each in first.of(TryEnded)] == ["timeout", "timeout", None]

    replay = ReplayProvider(cassette)
    second_house = House(vendor, tmp_path, {}, streamed=True, door=lambda _: replay)
    second = second_house.run()  # at its usual limits of a minute: nothing is waited for
    replay.finish()
    assert second_house.seen == []
    assert (second_house.heard, live.heard) == (["I will"], ["I will"])
    assert compared(second) == compared(first)


@both
@pytest.mark.parametrize("came", ["nothing", "a part", "text"])
def test_a_call_that_is_stopped_from_outside_is_written_down(vendor: str, came: str, tmp_path: Path) -> None:
    streamed = came == "text"
    cassette, heard = tmp_path / "run.cassette", list[str]()
    on_text = heard.append if streamed else None

    async def stopped(provider: RecordingProvider, server: WireServer) -> None:
        await provider.prepare(model_at(vendor, server))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LIMIT):
                await provider.complete(model_at(vendor, server), ASKED, on_text)

    with WireServer() as server:
        server.script({"nothing": SILENT, "a part": HALF, "text": BEGUN[vendor]}[came])
        asyncio.run(stopped(RecordingProvider(provider_of(vendor), cassette), server))
        model = model_at(vendor, server)
    (entry,) = read_cassette(cassette)
    assert entry.model == "some-model"
    again: list[str] = []
    with pytest.raises(ProviderError) as raised:
        asyncio.run(ReplayProvider(cassette).complete(model, ASKED, again.append if streamed else None))
    error = raised.value
    assert (error.kind, error.sent, error.begun, error.retryable) == ("timeout", True, came != "nothing", not streamed)
    assert error.partial == "".join(again) == ("I will" if streamed else "")
