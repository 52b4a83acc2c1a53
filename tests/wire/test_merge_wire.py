"""Experts of both vendors over loopback, one failing in the middle, a judge and a synthesis: to the last digit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from orchestrator import Agent, Model, Orchestrator, Pool, Price
from orchestrator.merge import attributed
from orchestrator.render import Screen, why_trace
from orchestrator.runtime import Clocks
from orchestrator.trace import read_trace, verify
from orchestrator.trace.events import Replied
from tests.fake_clock import FakeClock
from tests.runs import QUESTION, Ran, checked
from tests.wire.house import requests
from tests.wire.server import End, Seen, WireServer, stream
from tests.wire.speech import Said, estimate, spoken
from tests.wire.vendors import event, message

WHOLE = '{"answer": "Rome", "evidence": ["it is on the Tiber"], "eliminated": ["Milan: no Tiber"], "confidence": 0.9}'
PRICES = {
    "left": (Decimal("1.37"), Decimal("5.11")),
    "right": (Decimal("3.19"), Decimal("17.3")),
    "third": (Decimal("0.71"), Decimal("2.93")),
    "judge": (Decimal("2.03"), Decimal("9.7")),
}
BROKEN = (
    event("message_start", message=message(usage={"input_tokens": 30, "output_tokens": 1}, stop=None)),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "It must be Mi"}),
)
"""How Anthropic's answer begins that never ends."""


def bill(name: str, times: int = 1) -> Decimal:
    """What counted answers of a model cost, by hand: 100 tokens in, 20 out."""
    price_in, price_out = PRICES[name]
    return times * (100 * price_in + 20 * price_out) / 1_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """A run, what the server saw of it, and what `why` says."""

    ran: Ran
    seen: list[Seen]


def run(merge: str, folder: Path, said: str) -> Told:
    """Two experts of different vendors, one of which breaks off, a third that steps in, and a merge agent."""
    clock = FakeClock()
    with WireServer() as server:
        server.script(spoken("openai", Said(WHOLE)), model="left")
        server.script(stream(*BROKEN, End.RESET), model="right")
        server.script(spoken("openai", Said("Milan")), model="third")
        server.script(spoken("anthropic", Said(said)), model="judge")
        members: list[Model | Agent] = []
        for name, (price_in, price_out) in PRICES.items():
            vendor = "anthropic" if name in ("right", "judge") else "openai"
            members.append(
                Model(
                    name=name, provider=vendor, max_output=300,
                    base_url=server.url if vendor == "anthropic" else server.openai_url,
                    price=Price(input=price_in, output=price_out, as_of=date(2026, 1, 1), source="a test"),
                )
            )  # fmt: skip
        members += [
            Agent(name="left", model="left", skill=0.9, reply="analysis"),
            Agent(name="right", model="right", skill=0.8),
            Agent(name="third", model="third", skill=0.5),
        ]
        orchestrator = Orchestrator(
            Pool(members, merger="judge"), merge=merge, analyses=2, trace=folder, clocks=Clocks(clock, clock),
            sleep=clock.sleep, seed=1, new_id=lambda: "run",
        )  # fmt: skip
        ran = checked(orchestrator.run_sync(QUESTION), folder)
        return Told(ran, server.requests)


@pytest.mark.parametrize(("merge", "said"), [("best", "2"), ("synthesise", "Rome"), ("refine", "Rome")])
def test_a_panel_of_both_vendors_loses_a_member_and_decides(merge: str, said: str, tmp_path: Path) -> None:
    told = run(merge, tmp_path, said)
    decision = told.ran.decision
    assert {name: len(requests(told.seen, name)) for name in PRICES} == dict.fromkeys(PRICES, 1)
    assert (decision.status, decision.method, decision.merge_calls, decision.expert_calls) == ("answered", merge, 1, 3)
    assert [one.agent for one in decision.failed] == ["right"]
    assert decision.reroutes == 1
    assert {*decision.support, *(one.agent for one in decision.dissent)} == {"left", "third"}
    price_in, price_out = PRICES["right"]
    lost = (estimate(requests(told.seen, "right")[0]) * price_in + 300 * price_out) / 1_000_000
    assert decision.cost_usd == bill("left") + lost + bill("third") + bill("judge")
    assert decision.cost_exact is False
    assert verify(read_trace(tmp_path / "run.jsonl"), head=decision.head).anchored
    assert '"json_schema"' in json.dumps(requests(told.seen, "left")[0].body)
    assert "it is on the Tiber" in json.dumps(requests(told.seen, "judge")[0].body)
    assert told.ran.of(Replied)[0].confidence == 0.9


def test_why_tells_who_made_the_decision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    run("best", tmp_path, "2")
    trace = read_trace(tmp_path / "run.jsonl")
    why_trace(trace, Screen())
    printed = capsys.readouterr().out
    assert printed[printed.index("merge      ") :] == snapshot("""\
merge      best: supported by third; 1 dissent

decision   Milan  (answered)
support    third
dissent    left: Rome
because    rerouted: right → third (connection)
ledger     $0.005975 (estimated in part) · 360 tokens · 1 turn · 3 expert calls · 0 control calls · 1 reroute · 0.00 s

Members, and what would have been decided without each (by majority or the highest p: the merge was not asked again)
expert  side     said        p        USD  without it     \n\
left    dissent  Rome   0.9000  $0.000239  the same: Milan
third   support  Milan  0.5000   $0.00013  Rome           \n\
right   failed   -           -  $0.005209  -              \n\
""")
    found = attributed(trace.events)
    assert found is not None
    assert (found.rule, found.exact) == ("fallback", False)
    assert {member.agent: member.usd for member in found.members if member.agent != "right"} == {
        "left": bill("left"),
        "third": bill("third"),
    }
