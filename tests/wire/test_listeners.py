"""Those who listen to a stream: what they raise is theirs, and no failure of the model's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrator.budget import UNLIMITED
from orchestrator.providers import ModelCall, RecordingProvider
from orchestrator.providers.base import CallersFault
from tests.wire.outcomes import ASKED, model_at, provider_of
from tests.wire.server import WireServer, stream
from tests.wire.speech import VENDORS, Said, spoken
from tests.wire.vendors import DONE, chat_chunks, message_events

STREAMS = {
    "openai": stream(*chat_chunks("Par", "is."), DONE),
    "anthropic": stream(*message_events("Par", "is.")),
}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "fault",
    [BrokenPipeError("gone"), TimeoutError(), UnicodeError("no letter"), AssertionError(), ValueError("no")],
    ids=repr,
)
def test_what_a_listener_raises_comes_out_as_the_callers(
    vendor: str, streamed: bool, fault: Exception, tmp_path: Path
) -> None:
    heard: list[str] = []

    def listen(text: str) -> None:
        heard.append(text)
        raise fault

    async def ask(server: WireServer) -> None:
        door = RecordingProvider(provider_of(vendor), tmp_path / "run.cassette")
        call = ModelCall(door, model_at(vendor, server, free=True), ASKED, on_text=listen)
        with pytest.raises(CallersFault) as raised:
            await call.work(call.quote(UNLIMITED))
        assert raised.value.raised is fault
        assert call.heard == heard
        again = ModelCall(door, call.model, ASKED)
        assert (await again.work(again.quote(UNLIMITED))).usage.output_tokens == 20

    with WireServer() as server:
        server.script(STREAMS[vendor] if streamed else spoken(vendor, Said("Paris.")), spoken(vendor, Said("Paris.")))
        asyncio.run(ask(server))
    assert heard == (["Par"] if streamed else ["Paris."])
