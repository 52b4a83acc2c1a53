"""Cases at the edges of a run that a reviewer found: streams cut by the gate, windows, inputs, injected faults."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator import (
    Agent,
    Budget,
    Completion,
    ConfigError,
    LLMRouter,
    Model,
    Orchestrator,
    Price,
    ProviderError,
    ScriptProvider,
    expert,
    load_pool,
)
from orchestrator.errors import FailureKind
from orchestrator.providers import OnText, RecordingProvider, ReplayProvider, Request, call, key_of
from orchestrator.trace.events import AttemptFailed, TryEnded, TryStarted
from tests.runs import ask

PRICE = Price(input=Decimal(1), output=Decimal(2), as_of=date(2026, 11, 1), source="test")


@expert(produces="passages", skill=0.9)
def search(question: str) -> str:
    """Finds passages."""
    return f"the passage on {len(question)} letters"


@expert(skill=0.9)
def echo(question: str) -> str:
    """Says it again."""
    return question


def first_fails(agent: str, attempt: int, case: str | None) -> FailureKind | None:
    """Break the first attempt of every expert."""
    del agent, case
    return "injected" if attempt <= 1 else None


class Babbler:
    """A provider that begins to write and never ends."""

    def __init__(self) -> None:
        self.calls = 0

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """Write one word, then nothing."""
        del model, request
        self.calls += 1
        if on_text is not None:
            on_text("Hello ")
        await asyncio.sleep(60)
        return Completion("never")


def test_a_stream_that_the_deadline_cuts_is_charged_its_reserve_and_not_begun_anew(tmp_path: Path) -> None:
    heard: list[str] = []
    babbler = Babbler()
    orchestrator = Orchestrator(
        [Model(name="script:r", price=PRICE, max_output=1000), search, echo],
        router=LLMRouter("script:r"),
        providers={"script": babbler},
        budget=Budget(usd=Decimal(1), seconds=0.3),
        trace=tmp_path,
    )
    decision = orchestrator.run_sync("q", on_text=lambda _, text: heard.append(text))
    assert (babbler.calls, heard) == (1, ["Hello "])
    assert decision.cost_usd is not None
    assert decision.cost_usd > Decimal("0.002")  # a thousand tokens of output, though one word came
    assert not decision.cost_exact


def test_a_model_expert_gets_what_it_consumes(tmp_path: Path) -> None:
    script = ScriptProvider({"r": [call(("reader", '{"query": "capital?"}')), "Paris"], "reader": ["Paris"]})
    reader = Agent(name="reader", model="script:reader", consumes=("question", "passages"))
    models = [Model(name="script:r", free=True), Model(name="script:reader", free=True)]
    orchestrator = Orchestrator(
        [*models, search, reader], router=LLMRouter("script:r"), providers={"script": script}, trace=tmp_path
    )
    ran = ask(orchestrator, tmp_path, "Which city?")
    assert ran.called() == ["search", "reader"]
    sent = next(request for name, request in script.requests if name == "reader")
    assert sent.messages[-1].content == "capital?\n\npassages:\nthe passage on 8 letters"
    assert ran.decision.status == "answered"


def test_a_request_that_leaves_no_room_to_answer_is_not_sent(tmp_path: Path) -> None:
    script = ScriptProvider({"small": [], "large": ["fits"]})
    members = [
        Model(name="script:small", free=True, context_window=1000),
        Model(name="script:large", free=True, context_window=100_000),
        Agent(name="small", model="script:small", skill=0.99),
        Agent(name="large", model="script:large", skill=0.5),
    ]
    ran = ask(Orchestrator(members, providers={"script": script}, trace=tmp_path), tmp_path, "x" * 1900)
    assert (ran.decision.answer, ran.called(), ran.decision.failed) == ("fits", ["large"], ())
    script.finish()


def test_injected_faults_count_attempts_made_side_by_side(tmp_path: Path) -> None:
    script = ScriptProvider({"r": [call(("echo", '{"query": "a"}'), ("echo", '{"query": "b"}')), "done"]})
    orchestrator = Orchestrator(
        [Model(name="script:r", free=True), echo],
        router=LLMRouter("script:r"),
        providers={"script": script},
        faults=first_fails,
        trace=tmp_path,
    )
    ran = ask(orchestrator, tmp_path)
    assert [failed.attempt for failed in ran.of(AttemptFailed)] == [1]


def test_a_recorded_failure_keeps_the_servers_wish(tmp_path: Path) -> None:
    error = ProviderError("overloaded", kind="server", retry_after=30.0)
    model, request = Model(name="script:m", free=True), Request(())
    recording = RecordingProvider(ScriptProvider({"m": [error]}), tmp_path / "c.jsonl")
    with pytest.raises(ProviderError):
        asyncio.run(recording.complete(model, request))
    with pytest.raises(ProviderError) as caught:
        asyncio.run(ReplayProvider(tmp_path / "c.jsonl").complete(model, request))
    assert (caught.value.kind, caught.value.retry_after) == ("server", 30.0)


def test_nobody_waits_a_day_for_a_server(tmp_path: Path) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    script = ScriptProvider({"m": [ProviderError("later", kind="server", retry_after=86_400.0)]})
    members = [Model(name="script:m", free=True), Agent(name="m", model="script:m")]
    ran = ask(Orchestrator(members, providers={"script": script}, sleep=sleep, trace=tmp_path), tmp_path)
    assert (slept, ran.decision.status, len(ran.of(TryStarted)), len(ran.of(TryEnded))) == ([], "escalated", 1, 1)


def test_what_a_base_url_hides_is_in_no_key() -> None:
    model = Model(name="m", base_url="http://user:hunter2@host:8000/v1?token=hunter2")
    assert key_of(model) == "m@http://host:8000/v1"


def test_a_folder_of_decorated_functions_is_a_pool(tmp_path: Path) -> None:
    code = "@expert(skill=0.7)\ndef shout(question: str) -> str:\n    return question.upper()\n"
    (tmp_path / "shout.py").write_text("from orchestrator import expert\n\n" + code)
    pool = load_pool("local", [tmp_path], plugins=False, own=False)
    assert pool.agents["shout"].skill == 0.7


def test_run_sync_inside_a_loop_says_what_to_do() -> None:
    async def inside() -> None:
        Orchestrator([search], trace=False).run_sync("q")

    with pytest.raises(ConfigError, match=r"await orchestrator\.run"):
        asyncio.run(inside())
