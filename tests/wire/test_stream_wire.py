"""Streams of runs whose router and merge agent live at a real server, in either vendor's words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import AnswerText, Model, Orchestrator, Pool
from orchestrator.messages import Encoding
from orchestrator.pipeline.streaming import Streamed
from orchestrator.providers.anthropic import AnthropicProvider
from orchestrator.providers.openai import OpenAIProvider
from orchestrator.trace.events import RunEnded, TryEnded
from tests.experts import at_once, giving
from tests.runs import QUESTION, hold_to_the_rules, only_trace
from tests.test_streaming import all_of, answer_of, decision_of, pieces_of
from tests.wire.server import End, Script, WireServer, stream, whole
from tests.wire.speech import VENDORS, Said, answers, parts_of, routes, spoken

both = pytest.mark.parametrize("vendor", VENDORS)
ASKED = routes(("left", "where?"), ("right", "where?"), text="Which of them?")
WISE = 'Rome, "the eternal"\nand no\\where else: é 😀'


def orchestrator_at(
    server: WireServer,
    vendor: str,
    folder: Path | bool,
    *,
    encoding: Encoding = "tools",
    merge: str | None = None,
    steps: str = "",
    stall: float = 30.0,
) -> Orchestrator:
    """A router and a merge agent at a server, and two experts that differ."""
    url = server.openai_url if vendor == "openai" else server.url
    models = [
        Model(name=name, provider=vendor, base_url=url, free=True, encoding=encoding) for name in ("router", "merger")
    ]
    pool = Pool([*models, giving("left", "Oslo"), giving("right", "Rome")], merger="merger")
    doors = {"openai": OpenAIProvider(stall=stall), "anthropic": AnthropicProvider(stall=stall)}
    return Orchestrator(
        pool, router=f"router{steps}", merge=merge, trace=folder, sleep=at_once, seed=1, analyses=2, providers=doors
    )


def heard(
    vendor: str,
    script: Mapping[str, Sequence[Script]],
    folder: Path | bool,
    *,
    encoding: Encoding = "tools",
    merge: str | None = None,
    steps: str = "",
) -> list[Streamed]:
    """The items of a run."""
    with WireServer(cut_short=True) as server:
        for name, scripts in script.items():
            server.script(*scripts, model=name)
        orchestrator = orchestrator_at(server, vendor, folder, encoding=encoding, merge=merge, steps=steps)
        return asyncio.run(all_of(orchestrator.stream(QUESTION)))


def said(vendor: str, *lines: Said, pieces: int = 5) -> list[Script]:
    """Lines as they are streamed."""
    return [spoken(vendor, line, streamed=True, pieces=pieces) for line in lines]


@both
@pytest.mark.parametrize("steps", ["", "+cascade"])
def test_the_answer_is_read_out_of_the_call_while_it_is_written(vendor: str, steps: str, tmp_path: Path) -> None:
    items = heard(vendor, {"router": said(vendor, ASKED, answers(WISE), pieces=12)}, tmp_path, steps=steps)
    pieces = pieces_of(items)
    assert decision_of(items).answer == answer_of(items) == WISE
    assert len(pieces) > 5
    assert not any(restart for _, restart in pieces)
    assert [item for item in items if not isinstance(item, AnswerText)] == list(only_trace(tmp_path).events)


@both
def test_the_answer_is_read_out_of_its_tags(vendor: str, tmp_path: Path) -> None:
    text = "<think>The answer is not <answer>Oslo</answer></think>\n<answer>\nRome, of course\n</answer>"
    items = heard(vendor, {"router": said(vendor, Said(text), pieces=40)}, tmp_path, encoding="tags")
    assert decision_of(items).answer == answer_of(items) == "Rome, of course"
    assert len(pieces_of(items)) > 3
    assert not any(restart for _, restart in pieces_of(items))


@both
@pytest.mark.parametrize("merge", ["synthesise", "refine"])
def test_a_merge_agent_is_heard(vendor: str, merge: str, tmp_path: Path) -> None:
    script = {"router": said(vendor, ASKED, answers("Bern")), "merger": said(vendor, Said(" Rome, not Oslo. "))}
    items = heard(vendor, script, tmp_path, merge=merge)
    assert decision_of(items).answer == answer_of(items) == "Rome, not Oslo."
    assert len(pieces_of(items)) > 2


@both
def test_thoughts_of_a_reasoning_model_are_no_answer(vendor: str, tmp_path: Path) -> None:
    line = Said("<answer>Rome</answer>", reasoning="<answer>Oslo</answer> or Rome?")
    items = heard(vendor, {"router": said(vendor, line)}, tmp_path, encoding="tags")
    assert "".join(text for text, _ in pieces_of(items)) == "Rome"


@both
def test_a_stream_that_breaks_is_taken_back(vendor: str, tmp_path: Path) -> None:
    """It broke after its first delivered token: no try begins anew, the plan router decides."""
    parts = parts_of(vendor, Said("<answer>Madrid it is"), 4)[:4]
    items = heard(vendor, {"router": [stream(*parts, End.RESET)]}, tmp_path, encoding="tags")
    assert ("", True) in pieces_of(items)
    assert answer_of(items) == decision_of(items).answer == "Oslo"
    failed = [item for item in items if isinstance(item, TryEnded) and item.error]
    assert [item.purpose for item in failed] == ["router"]


@both
def test_pieces_come_before_the_answer_is_at_its_end(vendor: str, tmp_path: Path) -> None:
    """The server never ends its answer; whoever has heard enough leaves, and the run is cancelled and settled."""
    parts = parts_of(vendor, answers("Rome is where it is"), 6)[:6]

    async def until_text(orchestrator: Orchestrator) -> str:
        items, got = orchestrator.stream(QUESTION), ""
        async for item in items:
            if isinstance(item, AnswerText):
                got += item.text
            if got:
                break
        await items.aclose()
        return got

    with WireServer() as server:
        server.script(stream(*parts, End.HANG), model="router")
        got = asyncio.run(until_text(orchestrator_at(server, vendor, tmp_path)))
    assert "Rome is where it is".startswith(got)
    trace = only_trace(tmp_path)
    hold_to_the_rules(trace)
    ended = trace.events[-1]
    assert isinstance(ended, RunEnded)
    assert ended.how == "cancelled"
    assert any(isinstance(event, TryEnded) and event.cancelled for event in trace.events)


@both
def test_a_slow_consumer_stops_the_reading_and_no_server_is_blamed(vendor: str, tmp_path: Path) -> None:
    """Two thousand pieces: while the consumer rests, no more of them are taken in than the bound and a chunk."""
    text = "Rome! " * 2_000
    most: list[int] = []

    async def rest(orchestrator: Orchestrator) -> list[Streamed]:
        heard: list[str] = []
        items: list[Streamed] = []
        async for item in orchestrator.stream(QUESTION, on_text=lambda _, piece: heard.append(piece)):
            if isinstance(item, AnswerText) and len(pieces_of(items)) in (1, 900):
                await asyncio.sleep(0.5)
                most.append(len(heard) - len(pieces_of(items)))
            items.append(item)
        return items

    with WireServer() as server:
        server.script(*said(vendor, Said(f"<answer>{text}</answer>"), pieces=2_000), model="router")
        items = asyncio.run(rest(orchestrator_at(server, vendor, tmp_path, encoding="tags", stall=0.2)))
    assert answer_of(items) == decision_of(items).answer == text.strip()
    assert [item.error for item in items if isinstance(item, TryEnded)] == [None]
    assert max(most) < 1_200  # a chunk of the connection holds at most 64 kB, some 600 pieces here


TEXT = st.text('Rome <>/anserthik\n é😀"\\', min_size=1, max_size=20)
LINES = st.one_of(
    TEXT.map(answers),
    TEXT.map(Said),
    TEXT.map(lambda text: Said(f"<think>{text}</think><answer>{text[::-1]}</answer>")),
    TEXT.map(lambda text: Said(f"<answer>{text}</answer>", finish="length")),
    st.just(ASKED),
    st.just(Said('<route agent="left">a</route><route agent="right">b</route>')),
    TEXT.map(lambda text: Said(text, (("1", "answer", '{"answer": "no'), ("2", "left", "{}")))),
    st.sampled_from([Said("NONE"), Said("NONE\nSorry."), Said("Rome", finish="refusal"), Said("Ro", finish="absent")]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    vendor=st.sampled_from(VENDORS),
    router=st.lists(LINES, min_size=1, max_size=4),
    merger=st.lists(LINES, min_size=1, max_size=2),
    way=st.tuples(st.sampled_from(["tags", "tools"]), st.integers(1, 30)),
    merge=st.sampled_from([None, "synthesise", "refine", "vote"]),
)
def test_the_pieces_since_the_last_restart_are_the_answer(
    vendor: str, router: list[Said], merger: list[Said], way: tuple[Encoding, int], merge: str | None
) -> None:
    encoding, pieces = way
    end = whole({"error": {"message": "no more"}}, status=400)
    script = {
        "router": [*said(vendor, *router, pieces=pieces), *[end] * 14],
        "merger": [*said(vendor, *merger, pieces=pieces), *[end] * 4],
    }
    items = heard(vendor, script, False, encoding=encoding, merge=merge)
    assert answer_of(items) == (decision_of(items).answer or "")
