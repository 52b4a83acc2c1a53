"""The stream of a run: pieces of the answer that add up, and a run that waits for a slow consumer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from orchestrator import (
    Agent,
    Answer,
    AnswerText,
    Budget,
    Decision,
    Model,
    Orchestrator,
    Pool,
    ProviderError,
    Route,
    Think,
    Turn,
    View,
)
from orchestrator.errors import FailureKind
from orchestrator.messages import Encoding, ToolCall
from orchestrator.pipeline.streaming import MOST_WAITING, Streamed
from orchestrator.providers import Completion, OnText, Request
from orchestrator.trace.events import BadTurn, Event, Paused, RunEnded, RunStarted
from tests.experts import at_once, giving
from tests.runs import QUESTION, hold_to_the_rules, only_trace
from tests.test_confidence import fitted

CLOSING = (RunEnded, Paused)


@dataclass(frozen=True, slots=True)
class Told:
    """One answer of a model: its pieces, and how it ends."""

    pieces: tuple[str, ...]
    error: ProviderError | None = None
    calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"


@dataclass(slots=True)
class Speaker:
    """A provider whose models say what they are told to, in order, the last line for ever."""

    lines: dict[str, list[Told]]
    asked: list[str] = field(default_factory=list[str])

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """The next line, piece by piece."""
        del request
        self.asked.append(model.id)
        left = self.lines[model.id]
        line = left.pop(0) if len(left) > 1 else left[0]
        for piece in line.pieces:
            await asyncio.sleep(0)
            if on_text is not None:
                on_text(piece)
        if line.error is not None:
            raise line.error
        finish = "calls" if line.calls else line.finish
        return Completion("".join(line.pieces), line.calls, finish)  # pyright: ignore[reportArgumentType]


async def all_of(stream: AsyncGenerator[Streamed, None]) -> list[Streamed]:
    """Every item."""
    async with aclosing(stream) as items:
        return [item async for item in items]


def answer_of(items: Sequence[Streamed]) -> str:
    """The pieces since the last restart."""
    text = ""
    for item in items:
        if isinstance(item, AnswerText):
            text = item.text if item.restart else text + item.text
    return text


def decision_of(items: Sequence[Streamed]) -> Decision:
    """What the closing event holds."""
    closing = items[-1]
    assert isinstance(closing, CLOSING)
    assert closing.decision is not None
    return closing.decision


def asked(
    speaker: Speaker, folder: Path | bool, *, encoding: Encoding = "tags", merge: str | None = None
) -> Orchestrator:
    """A router, a merger, and two experts that differ."""
    models = [Model(name=f"openai:{name}", free=True, encoding=encoding) for name in ("router", "merger")]
    pool = Pool([*models, giving("left", "Oslo"), giving("right", "Rome")], merger="openai:merger")
    return Orchestrator(
        pool,
        router="openai:router",
        merge=merge,
        providers={"openai": speaker},
        trace=folder,
        analyses=2,
        sleep=at_once,
        seed=1,
    )


def streamed(orchestrator: Orchestrator, **more: Any) -> list[Streamed]:  # noqa: ANN401 - what `stream` takes
    """Every item of one run."""
    return asyncio.run(all_of(orchestrator.stream(QUESTION, **more)))


def pieces_of(items: Sequence[Streamed]) -> list[tuple[str, bool]]:
    """The pieces alone."""
    return [(item.text, item.restart) for item in items if isinstance(item, AnswerText)]


def cut(text: str, *lengths: int) -> tuple[str, ...]:
    """A text in pieces of these lengths, and the rest."""
    pieces: list[str] = []
    for length in lengths:
        pieces.append(text[:length])
        text = text[length:]
    return (*pieces, text)


def test_an_answer_in_tags_arrives_without_its_thoughts(tmp_path: Path) -> None:
    said = ("<think>is it <answer>Oslo</answer>?", "</think><ans", "wer>It is ", "Rome", " <b>", " \n</answ", "er>")
    items = streamed(asked(Speaker({"router": [Told(said)]}), tmp_path))
    # the first `<answer>` stands within a thought
    assert pieces_of(items) == [("It is", False), (" Rome", False), (" <b>", False)]
    assert decision_of(items).answer == answer_of(items) == "It is Rome <b>"
    events = [item for item in items if not isinstance(item, AnswerText)]
    assert events == list(only_trace(tmp_path).events)
    hold_to_the_rules(only_trace(tmp_path))


def test_what_a_failed_try_told_is_void(tmp_path: Path) -> None:
    """A malformed reply is repaired once; what it had told by then is no part of the answer."""
    broken = Told(("<answer>Par", "is"), ProviderError("no", kind="malformed", begun=True, partial="<answer>Paris"))
    items = streamed(asked(Speaker({"router": [broken, Told(("<answer>Rome</answer>",))]}), tmp_path))
    assert pieces_of(items) == [("Par", False), ("is", False), ("", True), ("Rome", False)]


def test_a_stream_that_breaks_after_its_first_token_is_not_begun_anew(tmp_path: Path) -> None:
    """DESIGN §5: it is a typed error, so the plan router takes over, and what was told is void."""
    broken = Told(("<answer>Par", "is"), ProviderError("reset", kind="cut_stream", begun=True, partial="<answer>Paris"))
    speaker = Speaker({"router": [broken, Told(("<answer>Rome</answer>",))]})
    items = streamed(asked(speaker, tmp_path))
    assert pieces_of(items) == [("Par", False), ("is", False), ("", True), (decision_of(items).answer, False)]
    assert speaker.asked == ["router"]


def test_a_bad_turn_is_void_at_once(tmp_path: Path) -> None:
    both = Told(("<answer>Oslo</answer>", '<route agent="left">where?</route>'))
    items = streamed(asked(Speaker({"router": [both, Told(("<answer>Rome</answer>",))]}), tmp_path))
    assert pieces_of(items) == [("Oslo", False), ("", True), ("Rome", False)]
    void = next(n for n, item in enumerate(items) if isinstance(item, AnswerText) and item.restart)
    assert isinstance(items[void + 1], BadTurn)


def test_a_router_that_is_taken_over_leaves_no_word(tmp_path: Path) -> None:
    cut_off = Told(("<answer>Oslo is",), finish="length")
    items = streamed(asked(Speaker({"router": [cut_off]}), tmp_path))
    assert pieces_of(items)[-1] == (decision_of(items).answer, False)
    assert decision_of(items).answer == answer_of(items)
    assert answer_of(items) in ("Oslo", "Rome")


def test_the_text_beside_tools_comes_whole_and_a_thought_never(tmp_path: Path) -> None:
    thinks = Told(("I ask ", "left."), calls=(ToolCall("1", "left", json.dumps({"query": "where?"})),))
    plain = Told(("It is ", "Rome."))
    items = streamed(asked(Speaker({"router": [thinks, plain]}), tmp_path, encoding="tools"))
    assert pieces_of(items) == [("It is Rome.", False)]


@pytest.mark.parametrize("merge", ["synthesise", "refine"])
def test_a_merge_agent_is_heard_and_the_router_before_it_is_not(merge: str, tmp_path: Path) -> None:
    router = [Told(('<route agent="left">a</route><route agent="right">b</route>',)), Told(("<answer>Bern</answer>",))]
    speaker = Speaker({"router": router, "merger": [Told(("Rome, ", "not Oslo", "\n"))]})
    items = streamed(asked(speaker, tmp_path, merge=merge))
    assert pieces_of(items) == [("Rome,", False), (" not Oslo", False)]
    assert decision_of(items).method == merge


def test_a_merge_that_gives_way_takes_its_words_back(tmp_path: Path) -> None:
    router = [Told(('<route agent="left">a</route><route agent="right">b</route>',)), Told(("<answer>Bern</answer>",))]
    broken = Told(("Ro", "me"), ProviderError("no", kind="invalid_request", begun=True, partial="Rome"))
    items = streamed(asked(Speaker({"router": router, "merger": [broken]}), tmp_path, merge="synthesise"))
    assert pieces_of(items)[:3] == [("Ro", False), ("me", False), ("", True)]
    decision = decision_of(items)
    assert (decision.answer, decision.method) == (answer_of(items), "synthesise")
    assert any("synthesise" in reason for reason in decision.reasons)


def test_an_answer_below_the_confidence_asked_for_is_taken_back(tmp_path: Path) -> None:
    speaker = Speaker({"router": [Told(("<answer>Rome</answer>",))]})
    model = Model(name="openai:router", free=True, encoding="tags")
    orchestrator = Orchestrator(
        [model, giving("left")], router="openai:router", providers={"openai": speaker}, trace=tmp_path,
        abstain_below=0.8, confidence=fitted(),
    )  # fmt: skip
    items = streamed(orchestrator)
    assert pieces_of(items) == [("Rome", False), ("", True)]
    assert (decision_of(items).answer, decision_of(items).status) == (None, "escalated")


class City(BaseModel):
    """Where."""

    name: str


def test_a_typed_answer_arrives_as_the_decision_has_it() -> None:
    speaker = Speaker({"router": [Told(('<answer>{"name": ', '"Rome"}</answer>'))]})
    items = streamed(asked(speaker, False), output=City)
    assert decision_of(items).output == City(name="Rome")
    assert answer_of(items) == decision_of(items).answer


@pytest.mark.parametrize("merge", ["vote", "first", "weighted"])
def test_what_nobody_writes_comes_whole(merge: str, tmp_path: Path) -> None:
    orchestrator = Orchestrator([giving("a", "Rome"), giving("b", "Rome")], merge=merge, analyses=2, trace=tmp_path)
    items = streamed(orchestrator)
    assert pieces_of(items) == [("Rome", False)]
    assert items[-2:] == [AnswerText(text="Rome"), items[-1]]


def test_nobody_answers_nothing_is_told(tmp_path: Path) -> None:
    def ill(question: str) -> str:
        raise ValueError(question)

    items = streamed(Orchestrator([Agent(name="a", tool=ill)], trace=tmp_path, sleep=at_once))
    assert (pieces_of(items), decision_of(items).answer) == ([], None)


TEXTS = st.text('Rome <>/anserthik\n é😀"\\', max_size=30)
TAGGED = st.one_of(
    TEXTS,
    TEXTS.map(lambda text: f"<think>{text}</think>"),
    TEXTS.map(lambda text: f"<answer>{text}</answer>"),
    TEXTS.map(lambda text: f'<route agent="left">{text}</route>'),
    TEXTS.map(lambda text: f"<search>right:{text}</search>"),
    st.sampled_from(["<think>", "</answer >", "<ANSWER>Rome</Answer>", "<answer x='1'>Oslo</answer>", "NONE"]),
)
KINDS: tuple[FailureKind, ...] = ("cut_stream", "server", "invalid_request", "malformed", "refusal")
FAULTS = st.one_of(st.none(), st.none(), st.sampled_from(KINDS))


@st.composite
def lines(draw: st.DrawFn) -> Told:
    """What a model may say, in pieces cut anywhere, and how that ends."""
    text = "".join(draw(st.lists(TAGGED, max_size=4)))
    pieces = cut(text, *draw(st.lists(st.integers(0, 9), max_size=8)))
    kind = draw(FAULTS)
    error = None if kind is None else ProviderError("ill", kind=kind, begun=True, partial=text)
    called = draw(st.sampled_from([(), (), ("left",), ("answer",), ("answer", "right")]))
    keys = {"answer": "answer"}
    calls = tuple(
        ToolCall(str(n), name, json.dumps({keys.get(name, "query"): draw(TEXTS)})) for n, name in enumerate(called)
    )
    return Told(pieces, error, calls, draw(st.sampled_from(["stop", "stop", "length"])))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    router=st.lists(lines(), min_size=1, max_size=5),
    merger=st.lists(lines(), min_size=1, max_size=3),
    encoding=st.sampled_from(["tags", "tools"]),
    merge=st.sampled_from([None, "router", "vote", "synthesise", "refine", "best"]),
)
def test_the_pieces_since_the_last_restart_are_the_answer(
    router: list[Told], merger: list[Told], encoding: Encoding, merge: str | None
) -> None:
    speaker = Speaker({"router": [*router, Told(("<answer>Rome</answer>",))], "merger": merger})
    items = streamed(asked(speaker, False, encoding=encoding, merge=merge))
    assert answer_of(items) == (decision_of(items).answer or "")
    assert sum(isinstance(item, CLOSING) for item in items) == 1
    assert all(item.text or item.restart for item in items if isinstance(item, AnswerText))


@settings(max_examples=200, deadline=None)
@given(said=st.lists(TAGGED, max_size=5).map("".join), lengths=st.lists(st.integers(1, 7), max_size=30))
def test_a_turn_that_is_one_answer_is_told_right_however_it_is_cut(said: str, lengths: list[int]) -> None:
    """Where the first turn is the answer, nothing of it is ever taken back."""
    speaker = Speaker({"router": [Told(cut(said, *lengths)), Told(("<answer>else</answer>",))]})
    items = streamed(asked(speaker, False))
    if speaker.asked == ["router"] and answer_of(items) == decision_of(items).answer:
        assert [restart for _, restart in pieces_of(items) if restart] == []


def thinker(turns: int) -> Orchestrator:
    """A run of so many turns that calls nobody."""

    def router(view: View) -> Turn:
        if view.state.turns >= turns:
            return Turn((Answer("done"),))
        return Turn((Think("hm"), Route("echo", f"query {view.state.turns}")))

    async def echo(question: str) -> str:
        return question

    return Orchestrator([Agent(name="echo", tool=echo)], router=router, budget=Budget(turns=turns + 1), trace=False)


def most_ahead(orchestrator: Orchestrator) -> tuple[int, int]:
    """Items of a run, and by how many of its events it was ahead at most of a consumer who stops now and then."""
    written: list[Event] = []

    async def consume() -> tuple[int, int]:
        taken, most = 0, 0
        async for _ in orchestrator.stream(QUESTION, listeners=[written.append]):
            most = max(most, len(written) - taken)
            taken += 1
            if taken % 1000 == 1:
                await _still(written)
        return taken, most

    return asyncio.run(consume())


async def _still(written: list[Event]) -> None:
    """Rest until the run has come to rest."""
    before = -1
    while before < len(written):
        before = len(written)
        await asyncio.sleep(0.15)


def test_a_slow_consumer_slows_the_run_down() -> None:
    """Of thousands of events no more wait than the bound, and what one step has in flight."""
    items, most = most_ahead(thinker(600))
    assert items > 3000
    assert MOST_WAITING <= most <= MOST_WAITING + 16


def test_rounds_of_attempts_wait_as_well() -> None:
    """Sixteen side by side, whose tries wait at the gate."""

    def router(view: View) -> Turn:
        if view.state.turns >= 60:
            return Turn((Answer("done"),))
        return Turn(tuple(Route("echo", f"{view.state.turns}.{n}") for n in range(16)))

    async def echo(question: str) -> str:
        await asyncio.sleep(0)
        return question

    orchestrator = Orchestrator([Agent(name="echo", tool=echo)], router=router, budget=Budget(turns=61), trace=False)
    items, most = most_ahead(orchestrator)
    assert items > 3000
    assert (
        MOST_WAITING <= most <= MOST_WAITING + 16 * 5
    )  # what a round has in flight: each attempt and each try, begun and ended


def test_runs_within_the_run_wait_as_well() -> None:
    """Tries of a nested run stand in the stream, too: it waits in whichever thread it is made."""
    inner = thinker(300)

    def outer(question: str) -> str:
        return str(inner.run_sync(question).answer)

    items, most = most_ahead(Orchestrator([Agent(name="outer", tool=outer)], trace=False))
    assert items > 600
    assert MOST_WAITING <= most <= MOST_WAITING + 16


def test_leaving_ends_a_nested_run_that_waits_for_room() -> None:
    inner = thinker(300)

    def outer(question: str) -> str:
        return str(inner.run_sync(question).answer)

    async def leave() -> int:
        stream = Orchestrator([Agent(name="outer", tool=outer)], trace=False).stream(QUESTION)
        async for _ in stream:
            await asyncio.sleep(0.3)
            break
        await stream.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(leave()) == 1


def test_the_deadline_goes_on_while_nobody_takes() -> None:
    orchestrator = thinker(100_000)
    late = Orchestrator(
        orchestrator.pool, router=lambda _: Turn((Think("hm"),)), budget=Budget(seconds=0.3, turns=10**6)
    )

    async def consume() -> list[Streamed]:
        items: list[Streamed] = []
        async for item in late.stream(QUESTION):
            if not items:
                await asyncio.sleep(0.5)
            items.append(item)
        return items

    items = asyncio.run(consume())
    assert len(items) <= MOST_WAITING + 32
    assert any(reason.startswith("limit:seconds") for reason in decision_of(items).reasons)


def test_options_of_a_run_are_options_of_a_stream(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    events: list[Event] = []
    orchestrator = asked(Speaker({"router": [Told(("<think>a</think>", "<answer>Rome</answer>"))]}), tmp_path)

    def hear(who: str, piece: str) -> None:
        heard.append((who, piece))

    items = streamed(orchestrator, goal="answer", listeners=[events.append], note={"who": "me"}, on_text=hear)
    assert heard == [("router", "<think>a</think>"), ("router", "<answer>Rome</answer>")]
    assert events == [item for item in items if not isinstance(item, AnswerText)]
    first = only_trace(tmp_path).events[0]
    assert isinstance(first, RunStarted)
    assert first.note == {"who": "me"}


def test_a_piece_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        AnswerText(text="a").text = "b"  # pyright: ignore[reportAttributeAccessIssue]


def test_an_option_that_there_is_not_is_refused_at_once() -> None:
    made = Orchestrator([giving("a", "x")], trace=False)
    with pytest.raises(TypeError, match="outptu"):
        made.stream("q", outptu=int)  # pyright: ignore[reportCallIssue]
