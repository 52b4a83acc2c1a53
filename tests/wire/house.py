"""A router, two experts and a tool over a loopback server, at prices of which every digit counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator import Agent, Budget, Model, Orchestrator, Price
from orchestrator.pool.registry import Member
from orchestrator.providers import Provider
from orchestrator.providers.anthropic import AnthropicProvider
from orchestrator.providers.openai import OpenAIProvider
from orchestrator.runtime import Clocks, ControlPurpose
from orchestrator.trace.events import TryEnded
from tests.fake_clock import FakeClock
from tests.runs import QUESTION, Ran, checked, only_trace
from tests.wire.server import Script, Seen, WireServer
from tests.wire.speech import Said, estimate, spoken

__all__ = ["BILL", "PRICES", "House", "Line", "requests"]

MAX_OUTPUT = 300
PRICES: Mapping[str, Price] = {
    name: Price(input=i, output=o, cached=c, cache_write=w, as_of=date(2026, 1, 1), source="a test")
    for name, i, o, c, w in (
        ("router", Decimal("1.37"), Decimal("5.11"), Decimal("0.13"), Decimal("1.71")),
        ("sage", Decimal("3.19"), Decimal("17.3"), None, None),
        ("spare", Decimal("0.71"), Decimal("2.93"), Decimal("0.07"), None),
    )
}
BILL: Mapping[tuple[str, str], Decimal] = {
    ("openai", "router"): Decimal("0.00015984"),  # 36 x 1.37 + 64 x 0.13 + 20 x 5.11
    ("anthropic", "router"): Decimal("0.00016188"),  # 30 x 1.37 + 64 x 0.13 + 6 x 1.71 + 20 x 5.11
    ("openai", "sage"): Decimal("0.000665"),  # 100 x 3.19 + 20 x 17.3
    ("anthropic", "sage"): Decimal("0.000665"),
    ("openai", "spare"): Decimal("0.00008864"),  # 36 x 0.71 + 64 x 0.07 + 20 x 2.93
    ("anthropic", "spare"): Decimal("0.00008864"),  # what the cache took has no price of its own here
}
"""What an answer costs that was counted, by hand, from the counts of `tests.wire.vendors`."""

Line = Said | Script


@dataclass(slots=True)
class House:
    """Runs one question against what the server's models are told to say, and holds the run to all rules."""

    vendor: str
    folder: Path
    script: Mapping[str, Sequence[Line]]
    """What each model says, in order."""
    streamed: bool = False
    experts: Sequence[str] = ("sage", "spare")
    elsewhere: Mapping[str, str] = field(default_factory=dict[str, str])
    """Base URLs of models that live at another server."""
    stall: float = 30.0
    """Seconds of silence that are borne in a stream."""
    timeouts: Mapping[str, float] = field(default_factory=dict[str, float])
    """Seconds that a try of a model may take, where it is not the usual minute."""
    door: Callable[[Provider], Provider] = lambda provider: provider
    """What stands before the vendors' doors."""
    router: str = "router"
    """Who decides: the model `router`, or more that its name says."""
    budget: Budget | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    seen: list[Seen] = field(default_factory=list[Seen])
    heard: list[str] = field(default_factory=list[str])
    """Pieces of what the router wrote, as they came."""

    def run(self, question: str = QUESTION) -> Ran:
        """The checked run."""
        with WireServer() as server:
            for name in ("router", *self.experts):
                server.script(*(self._played(name, line) for line in self.script.get(name, ())), model=name)
            orchestrator = self._orchestrator(server)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("orchestrator.providers.calls.CONTROL_TIMEOUT", self.timeouts.get("router", 60.0))
                ran = checked(
                    orchestrator.run_sync(question, on_text=self._hear if self.streamed else None), self.folder
                )
            self.seen = server.requests
        booked = sum((event.usd or Decimal(0) for event in ran.of(TryEnded)), Decimal(0))
        assert ran.decision.cost_usd == booked
        assert ran.decision.cost_exact == all(event.exact for event in ran.of(TryEnded))
        return ran

    def broken_off(self, seconds: float) -> list[TryEnded]:
        """Tries of a run that is given up so many seconds after the first request came."""
        with WireServer() as server:
            for name, lines in self.script.items():
                server.script(*(self._played(name, line) for line in lines), model=name)
            orchestrator = self._orchestrator(server)

            async def given_up() -> None:
                run = asyncio.create_task(orchestrator.run(QUESTION))
                assert await asyncio.to_thread(server.asked.wait, 10)
                await asyncio.sleep(seconds)
                run.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await run

            asyncio.run(given_up())
            self.seen = server.requests
        return [event for event in only_trace(self.folder).events if isinstance(event, TryEnded)]

    def charge(self, model: str, number: int = 0) -> Decimal:
        """What a request to a model costs whose answer told no usage: its input, estimated by what was sent."""
        return estimate(requests(self.seen, model)[number]) * PRICES[model].input / 1_000_000

    def reserve(self, model: str, number: int = 0) -> Decimal:
        """What a request to a model may cost at most, by what was sent."""
        sent = requests(self.seen, model)[number].body["max_tokens"]
        assert sent == MAX_OUTPUT
        return self.charge(model, number) + MAX_OUTPUT * PRICES[model].output / 1_000_000

    def bill(self, **times: int) -> Decimal:
        """What so many counted answers of each model cost."""
        return sum((BILL[self.vendor, name] * number for name, number in times.items()), Decimal(0))

    def asked(self) -> dict[str, int]:
        """Requests that came, by model."""
        return {name: len(requests(self.seen, name)) for name in sorted({seen.model for seen in self.seen})}

    def _hear(self, purpose: ControlPurpose, piece: str) -> None:
        assert purpose == "router"
        self.heard.append(piece)

    def _played(self, name: str, line: Line) -> Script:
        streamed = self.streamed and name == "router"
        return spoken(self.vendor, line, streamed=streamed) if isinstance(line, Said) else line

    def _orchestrator(self, server: WireServer) -> Orchestrator:
        url = server.openai_url if self.vendor == "openai" else server.url
        members: list[Member] = [
            Model(
                name=name, provider=self.vendor, price=PRICES[name], max_output=MAX_OUTPUT,
                base_url=self.elsewhere.get(name, url),
            )
            for name in ("router", *self.experts)
        ]  # fmt: skip
        for name in self.experts:
            skill, timeout = {"sage": 0.9, "spare": 0.6}[name], self.timeouts.get(name, 60.0)
            members.append(Agent(name=name, role=f"knows {name} things", model=name, skill=skill, timeout=timeout))
        members.append(Agent(name="sums", role="computes", tool="arithmetic", skill=0.99))
        vendors = {"openai": OpenAIProvider(stall=self.stall), "anthropic": AnthropicProvider(stall=self.stall)}
        doors = {name: self.door(provider) for name, provider in vendors.items()}
        return Orchestrator(
            members, router=self.router, budget=self.budget, providers=doors, trace=self.folder,
            clocks=Clocks(self.clock, self.clock), sleep=self.clock.sleep, seed=5,
        )  # fmt: skip


def requests(seen: Sequence[Seen], model: str) -> list[Seen]:
    """Requests that came for one model, in order."""
    return [each for each in seen if each.model == model]
