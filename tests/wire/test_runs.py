"""Whole runs with real SDK clients: two turns with parallel routes, and every fault at every place of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest

from orchestrator import Dissent
from orchestrator.errors import FailureKind
from orchestrator.messages import Usage
from orchestrator.trace.events import TakenOver, TryEnded
from tests.runs import Ran
from tests.wire.house import STALL, House, Line, money, requests
from tests.wire.server import End, Script, refused_url, stream, whole
from tests.wire.speech import VENDORS, Said, answers, routes, spoken
from tests.wire.vendors import chunk, event, message

COUNTED = {
    "openai": Usage(100, 20, 64, 0, 12),
    "anthropic": Usage(100, 20, 64, 6, 12),
}
HTML = "<html><head><title>Bad Gateway</title></head><body>nginx</body></html>"
TIMES = range(3)

both = pytest.mark.parametrize("vendor", VENDORS)
either_way = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routers are given no more time than experts."""
    monkeypatch.setattr("orchestrator.providers.calls.CONTROL_TIMEOUT", STALL)


@both
@either_way
def test_two_turns_with_an_expert_and_a_tool_side_by_side_and_an_answer(
    vendor: str, streamed: bool, tmp_path: Path
) -> None:
    both_routes = routes(("sage", "Which city?"), ("sums", "17% of 2,340"), text="Ask both.")
    script = {"router": [both_routes, answers("397.8")], "sage": [Said("Rome.")]}
    house = House(vendor, tmp_path, script, streamed)
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"router": 2, "sage": 1}
    assert (decision.answer, decision.status, decision.method) == ("397.8", "answered", "router")
    assert (decision.support, decision.dissent) == (("sums",), (Dissent("sage", "Rome."),))
    assert (decision.turns, decision.control_calls, decision.merge_calls, decision.expert_calls) == (2, 2, 0, 2)
    assert (decision.reroutes, decision.failed, decision.reasons) == (0, (), ())
    exact = {"openai": Decimal("0.00098468"), "anthropic": Decimal("0.00098876")}
    assert (decision.cost_usd, decision.cost_exact) == (exact[vendor], True)
    assert decision.cost_usd == house.bill(router=2, sage=1)
    assert decision.usage == COUNTED[vendor] + COUNTED[vendor] + COUNTED[vendor]
    assert "".join(house.heard) == ("Ask both." if streamed else "")
    told = str(requests(house.seen, "router")[1].body["messages"])
    assert "Rome." in told
    assert "397.8" in told


Charge = Literal["nothing", "input", "reserve", "usage"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a server does instead of an answer, and what we must make of it."""

    id: str
    script: Callable[[str], Script]
    kind: FailureKind
    again: bool
    """Whether another try is worth while."""
    charge: Charge = "input"
    wait: float | None = None
    """Seconds that the server asks for."""


def failing(status: int, **headers: str) -> Callable[[str], Script]:
    """An error status, whoever is asked."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: whole({"error": {"message": "no"}}, status=status, headers=sent)


def said(line: Said, *, streamed: bool = False) -> Callable[[str], Script]:
    """An answer in the words of whoever is asked."""
    return lambda vendor: spoken(vendor, line, streamed=streamed)


def begun(text: str, end: End | None) -> Callable[[str], Script]:
    """A stream that begins, perhaps with text, and then comes to no good end."""

    def script(vendor: str) -> Script:
        if vendor == "openai":
            parts = [chunk({"role": "assistant", "content": None}), *([chunk({"content": text})] if text else [])]
        else:
            block = [event("content_block_start", index=0, content_block={"type": "text", "text": text})]
            opened = message(usage={"input_tokens": 0, "output_tokens": 0}, stop=None)
            parts = [event("message_start", message=opened), *(block if text else [])]
        return stream(*parts, *([] if end is None else [end]))

    return script


CALL = routes(("sage", "Which city?"))
ANYWHERE = (
    Fault("429 with Retry-After", failing(429, Retry_After="7"), "rate_limited", again=True, wait=7.0),
    Fault("429 without", failing(429), "rate_limited", again=True),
    Fault("500", failing(500), "server", again=True),
    Fault("hang", lambda _: Script((End.HANG,)), "timeout", again=True),
    Fault("connection reset", lambda _: Script((End.RESET,)), "connection", again=True),
    Fault("HTML error page", lambda _: whole(HTML, status=502, kind="text/html"), "server", again=True),
    Fault("HTML page with 200", lambda _: whole(HTML, kind="text/html"), "malformed", again=False),
    Fault("malformed body", lambda _: whole('{"choices": [{"mess'), "malformed", again=False, charge="reserve"),
    Fault("400", failing(400), "invalid_request", again=False),
    Fault("401", failing(401), "auth", again=False),
)
"""Faults below the protocols: they look the same to a router and to an expert, whole or streamed."""
WHOLE = (
    Fault("refusal", said(Said("I cannot.", finish="refusal")), "refusal", again=False, charge="usage"),
    Fault("no finish_reason", said(Said("Rome.", finish="absent")), "cut_stream", again=True, charge="usage"),
)
STREAMED = (
    Fault("refusal", said(Said("", finish="refusal"), streamed=True), "refusal", again=False, charge="usage"),
    Fault("no finish_reason", said(Said("Ro", finish="absent"), streamed=True), "cut_stream", False, "usage"),
    Fault("no finish_reason of calls", said(replace_finish(CALL), streamed=True), "cut_stream", True, "usage"),
    Fault("cut before the text", begun("", None), "cut_stream", again=True),
    Fault("cut after text", begun("Ro", None), "cut_stream", again=False, charge="reserve"),
    Fault("reset after text", begun("Ro", End.RESET), "connection", again=False, charge="reserve"),
    Fault("stalled before the text", begun("", End.HANG), "stalled", again=True),
    Fault("stalled after text", begun("Ro", End.HANG), "stalled", again=False, charge="reserve"),
)
OF_EXPERTS = (
    Fault("length stop", said(Said("Rom", finish="length")), "malformed", again=False, charge="usage"),
    Fault("empty content", said(Said("")), "malformed", again=False, charge="usage"),
    Fault("blank content", said(Said(" \n")), "malformed", again=False, charge="usage"),
    Fault("a call that nobody asked for", said(CALL), "malformed", again=False, charge="usage"),
)
