"""Durable runs in one process: the saver's kinds, a person's word, what a resume refuses, and the state in JSON."""
# langgraph leaves parameters of its own types open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from orchestrator import Agent, Budget, ConfigError, Decision, Orchestrator, Pool, ToolError, expert
from orchestrator.errors import FailureKind
from orchestrator.keeping import Keeping, as_json
from orchestrator.messages import Failed, Goal, Message, Question, Reply, ToolCall, Usage
from orchestrator.pipeline.storage import Checkpointer, opened, thread
from orchestrator.pool.registry import Member
from orchestrator.protocol import Route
from orchestrator.runtime import Clocks
from orchestrator.state import Detour, Exchange, Failure, RunState, Underway
from orchestrator.tools import bind
from orchestrator.trace import read_trace, verify
from orchestrator.trace.events import Event, Paused, Resumed, RunEnded, TryEnded
from tests.fake_clock import FakeClock

QUESTION = "What is it?"


@expert(skill=0.9)
def plain(question: str) -> str:
    """Says it."""
    return f"plain {question}"


def echoed(question: str):  # noqa: ANN201 - it declares nothing
    """Says what it is asked."""
    return question


class Moody:
    """An expert that fails until it is well."""

    def __init__(self) -> None:
        self.well = False
        self.calls = 0

    def agent(self, **more: object) -> Agent:
        """The expert."""

        def moody(question: str) -> str:
            self.calls += 1
            if self.well:
                return f"well: {question}"
            raise ToolError("not today")

        return Agent.model_validate({"name": "moody", "tool": moody, **more})


def durable(members: list[Member], folder: Path, saver: Checkpointer | None = None, **more: object) -> Orchestrator:
    """An orchestrator whose runs are kept in `folder`."""
    return Orchestrator(members, trace=folder, checkpointer=saver or InMemorySaver(), **cast("Any", more))


def resumed(orchestrator: Orchestrator, run_id: str, **word: object) -> Decision:
    """The decision after a resume."""
    return asyncio.run(orchestrator.resume(run_id, **cast("Any", word)))


def events(folder: Path, decision: Decision) -> tuple[Event, ...]:
    """The events of a run, once its trace holds."""
    trace = read_trace(folder / f"{decision.run_id}.jsonl")
    verdict = verify(trace, head=decision.head)
    assert verdict.passed, verdict.faults
    return trace.events


@pytest.mark.parametrize("kind", ["memory", "file", "sync sqlite"])
def test_any_saver_keeps_a_run_that_waits(kind: str, tmp_path: Path) -> None:
    moody = Moody()

    def through(saver: Checkpointer) -> None:
        first = durable([moody.agent()], tmp_path, saver).run_sync(QUESTION)
        assert first.status == "escalated"
        assert isinstance(events(tmp_path, first)[-1], Paused)
        moody.well = True
        second = resumed(durable([moody.agent()], tmp_path, saver), first.run_id, retry=True)
        assert (second.status, second.answer, moody.calls) == ("answered", f"well: {QUESTION}", 2)
        assert [failed.agent for failed in second.failed] == ["moody"]
        assert isinstance(events(tmp_path, second)[-1], RunEnded)

    if kind == "sync sqlite":
        with SqliteSaver.from_conn_string(str(tmp_path / "sync.sqlite")) as saver:
            through(saver)
    else:
        through(InMemorySaver() if kind == "memory" else tmp_path / "kept.sqlite")


def test_what_a_checkpoint_holds_is_text_and_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "kept.sqlite"

    def noting(question: str) -> str:
        return f"plain {question}"

    def writing(notes: str) -> str:
        raise ToolError(notes)

    members: list[Member] = [
        Agent(name="noting", tool=noting, produces="notes"),
        Agent(name="writing", tool=writing, consumes=("notes",)),
    ]
    decision = durable(members, tmp_path, place).run_sync(QUESTION)
    assert decision.status == "escalated"  # which waits: of a run that has ended nothing is kept

    async def values() -> dict[str, Any]:
        async with opened(place) as saver:
            found = await saver.aget_tuple(thread(decision.run_id))
            assert found is not None
            return found.checkpoint["channel_values"]

    held = asyncio.run(values())
    assert {name: type(held[name]) for name in ("run", "step", "decision")} == {
        "run": str,
        "step": int,
        "decision": str,
    }
    assert json.loads(held["run"])["replies"][0]["value"] == f"plain {QUESTION}"
    assert caplog.records == []


def test_a_person_gives_leave_before_an_agent_is_asked(tmp_path: Path) -> None:
    moody = Moody()
    moody.well = True

    def editor(answer: str) -> str:
        return answer

    unwanted = Agent(name="editor", tool=editor, consumes=("answer",), produces="comment")
    orchestrator = durable([moody.agent(approve=True), unwanted], tmp_path)
    first = orchestrator.run_sync(QUESTION)
    assert first.status == "escalated"
    assert first.reasons == ("approval: moody may not be asked without a person's leave",)
    (pending,) = orchestrator.pending()
    assert (pending.run_id, pending.stands, pending.approve) == (first.run_id, "waiting", ("moody",))
    still = resumed(orchestrator, first.run_id, allow=["editor"])
    assert (still.status, moody.calls) == ("escalated", 0)
    second = resumed(orchestrator, first.run_id, allow=["moody"])
    assert (second.status, second.answer, moody.calls) == ("answered", f"well: {QUESTION}", 1)
    assert orchestrator.pending() == []


def test_leave_for_an_agent_that_there_is_not_is_refused_and_nothing_written(tmp_path: Path) -> None:
    moody = Moody()
    orchestrator = durable([moody.agent(approve=True)], tmp_path)
    first = orchestrator.run_sync(QUESTION)
    before = (tmp_path / f"{first.run_id}.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"`allow`: there is no agent `mody`; .*did you mean `moody`\?"):
        resumed(orchestrator, first.run_id, allow=["moody", "mody"])
    assert (tmp_path / f"{first.run_id}.jsonl").read_bytes() == before
    assert [(each.run_id, each.stands) for each in orchestrator.pending()] == [(first.run_id, "waiting")]


def test_without_a_checkpointer_an_agent_that_needs_leave_is_not_asked(tmp_path: Path) -> None:
    moody = Moody()
    decision = Orchestrator([moody.agent(approve=True)], trace=tmp_path).run_sync(QUESTION)
    assert (decision.status, moody.calls) == ("escalated", 0)
    assert decision.reasons[0].startswith("approval: moody")
    events(tmp_path, decision)


def test_a_way_round_that_needs_leave_waits_for_it_too(tmp_path: Path) -> None:
    moody, spare = Moody(), Agent(name="spare", tool=echoed, skill=0.1, approve=True)
    orchestrator = durable([moody.agent(skill=0.9), spare], tmp_path)
    first = orchestrator.run_sync(QUESTION)
    assert (first.status, moody.calls) == ("escalated", 1)
    second = resumed(orchestrator, first.run_id, allow=["spare"])
    assert (second.status, second.answer, second.reroutes) == ("answered", QUESTION, 1)
    assert moody.calls == 1
    events(tmp_path, second)


def test_a_persons_answer_is_a_reply(tmp_path: Path) -> None:
    orchestrator = durable([Moody().agent()], tmp_path)
    first = orchestrator.run_sync(QUESTION)
    second = resumed(orchestrator, first.run_id, answer="It is tea.")
    assert (second.status, second.answer, second.support, second.method) == (
        "answered", "It is tea.", ("person",), "person",
    )  # fmt: skip
    assert "a person answered" in second.reasons
    assert any(reason.startswith("tried: moody") for reason in second.reasons)


def test_an_answer_over_a_limit_stays_degraded(tmp_path: Path) -> None:
    clock = FakeClock()

    async def slow(question: str) -> str:
        await clock.sleep(20)
        raise ToolError(question)

    orchestrator = durable(
        [Agent(name="slow", tool=slow), Agent(name="late", tool=slow, skill=0.2)], tmp_path,
        budget=Budget(seconds=10), clocks=Clocks(clock, clock), sleep=clock.sleep,
    )  # fmt: skip
    first = orchestrator.run_sync(QUESTION)
    assert first.reasons[0].startswith("limit:seconds")
    second = resumed(orchestrator, first.run_id, answer="Tea.")
    assert (second.status, second.answer) == ("degraded", "Tea.")


def test_time_in_which_a_run_stood_still_does_not_count(tmp_path: Path) -> None:
    clock, moody = FakeClock(), Moody()
    orchestrator = durable(
        [moody.agent()], tmp_path, budget=Budget(seconds=100), clocks=Clocks(clock, clock), sleep=clock.sleep
    )
    first = orchestrator.run_sync(QUESTION)
    asyncio.run(clock.sleep(86_400))
    moody.well = True
    second = resumed(orchestrator, first.run_id, retry=True)
    assert second.status == "answered"
    assert second.seconds < 100


def test_words_that_nobody_waits_for_are_refused(tmp_path: Path) -> None:
    orchestrator = durable([plain], tmp_path)
    done = orchestrator.run_sync(QUESTION)
    before = (tmp_path / f"{done.run_id}.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="has come to its end"):
        resumed(orchestrator, done.run_id)
    with pytest.raises(ConfigError, match="there is no run `nowhere`"):
        resumed(orchestrator, "nowhere")
    ordinary = Orchestrator([plain], trace=tmp_path).run_sync(QUESTION)
    with pytest.raises(ConfigError, match="is no durable run"):
        resumed(orchestrator, ordinary.run_id)
    with pytest.raises(ConfigError, match="`checkpointer`: there is none"):
        resumed(Orchestrator([plain], trace=tmp_path), done.run_id)
    assert (tmp_path / f"{done.run_id}.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "field"),
    [({"trace": False}, "trace"), ({"content": False}, "content"), ({"checkpointer": 7}, "checkpointer")],
)
def test_what_cannot_be_kept_is_said_beforehand(given: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"`{field}`"):
        Orchestrator([plain], **cast("Any", {"trace": tmp_path, "checkpointer": InMemorySaver(), **given}))


def test_a_pool_that_is_another_is_named_and_refused(tmp_path: Path) -> None:
    saver, moody = InMemorySaver(), Moody()
    first = durable([moody.agent(), Agent(name="gone", tool=plain, produces="x")], tmp_path, saver)
    run = first.run_sync(QUESTION)
    moody.well = True
    second = durable([moody.agent(skill=0.7), Agent(name="new", tool=plain, produces="y")], tmp_path, saver)
    with pytest.raises(ConfigError, match="agent gone is gone; agent moody has changed; agent new is new"):
        resumed(second, run.run_id, retry=True)
    decision = resumed(second, run.run_id, retry=True, changed=True)
    assert decision.status == "answered"
    (event,) = (event for event in events(tmp_path, decision) if isinstance(event, Resumed))
    assert event.changed == ("agent gone is gone", "agent moody has changed", "agent new is new")


def test_a_router_with_another_threshold_is_another(tmp_path: Path) -> None:
    saver, moody = InMemorySaver(), Moody()
    first = durable([moody.agent()], tmp_path, saver, router="cascade:0.9")
    run = first.run_sync(QUESTION)
    second = durable([moody.agent()], tmp_path, saver, router="cascade:0.5")
    with pytest.raises(ConfigError, match="router has changed"):
        resumed(second, run.run_id, retry=True)
    moody.well = True
    assert resumed(first, run.run_id, retry=True).status == "answered"


def test_a_cancelled_run_goes_on_with_what_it_was_at(tmp_path: Path) -> None:
    begun, calls = asyncio.Event(), list[str]()

    async def slow(question: str) -> str:
        calls.append(question)
        if len(calls) == 1:
            begun.set()
            await asyncio.Event().wait()
        return "at last"

    orchestrator = durable([Agent(name="slow", tool=slow)], tmp_path, new_id=lambda: "one")

    async def cancelled() -> None:
        running = asyncio.create_task(orchestrator.run(QUESTION))
        await begun.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(cancelled())
    assert [each.stands for each in orchestrator.pending()] == ["cancelled"]
    decision = resumed(orchestrator, "one")
    assert (decision.status, decision.answer, decision.expert_calls, len(calls)) == ("answered", "at last", 1, 2)
    ends = [event for event in events(tmp_path, decision) if isinstance(event, TryEnded)]
    assert [event.cancelled for event in ends] == [True, False]


def test_a_torn_line_is_put_aside(tmp_path: Path) -> None:
    moody = Moody()
    orchestrator = durable([moody.agent()], tmp_path)
    first = orchestrator.run_sync(QUESTION)
    path = tmp_path / f"{first.run_id}.jsonl"
    with path.open("ab") as file:
        file.write(b'{"seq": 99, "ti')
    moody.well = True
    decision = resumed(orchestrator, first.run_id, retry=True)
    assert path.with_name(path.name + ".torn").read_bytes() == b'{"seq": 99, "ti'
    (event,) = (event for event in events(tmp_path, decision) if isinstance(event, Resumed))
    assert event.torn == 15


def test_two_cannot_be_at_one_run(tmp_path: Path) -> None:
    async def twice(question: str) -> str:
        with pytest.raises(ConfigError, match="another process is writing it"):
            await orchestrator.resume("one")
        assert [each.stands for each in orchestrator.pending()] == ["running"]
        return question

    orchestrator = durable([Agent(name="twice", tool=twice)], tmp_path, new_id=lambda: "one")
    assert orchestrator.run_sync(QUESTION).status == "answered"


def test_a_checkpoint_that_knows_more_than_the_trace_is_refused(tmp_path: Path) -> None:
    saver = InMemorySaver()
    orchestrator = durable([Moody().agent()], tmp_path, saver)
    first = orchestrator.run_sync(QUESTION)
    path = tmp_path / f"{first.run_id}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]))
    with pytest.raises(ConfigError, match="the checkpoint knows 4 steps of the run, its trace 1"):
        resumed(orchestrator, first.run_id)


def test_the_trace_alone_is_enough_where_the_checkpoints_are_lost(tmp_path: Path) -> None:
    moody = Moody()
    first = durable([moody.agent(), plain], tmp_path, analyses=2).run_sync(QUESTION)
    assert first.status == "degraded"
    only = durable([moody.agent()], tmp_path).run_sync(QUESTION)
    moody.well = True
    again = resumed(durable([moody.agent()], tmp_path, InMemorySaver()), only.run_id, retry=True)
    assert again.status == "answered"
    assert moody.calls == 3
    events(tmp_path, again)


def test_an_aborted_run_has_ended(tmp_path: Path) -> None:
    orchestrator = durable([Moody().agent()], tmp_path)
    first = orchestrator.run_sync(QUESTION)
    asyncio.run(orchestrator.abort(first.run_id))
    trace = read_trace(tmp_path / f"{first.run_id}.jsonl")
    assert verify(trace).consistent
    assert isinstance(trace.events[-1], RunEnded)
    assert orchestrator.pending() == []
    with pytest.raises(ConfigError, match="has come to its end"):
        resumed(orchestrator, first.run_id, retry=True)


class Outer(TypedDict, total=False):
    """The state of a graph of the user's own."""

    question: str
    answer: str | None


def test_a_durable_run_inside_a_graph_with_checkpoints_of_its_own(tmp_path: Path) -> None:
    moody = Moody()
    orchestrator = durable([moody.agent()], tmp_path, new_id=lambda: "inner")
    graph = StateGraph(Outer)
    graph.add_node("ask", orchestrator.as_node())
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    outer = graph.compile(checkpointer=InMemorySaver())
    ended = asyncio.run(outer.ainvoke({"question": QUESTION}, {"configurable": {"thread_id": "1"}}))
    assert ended["answer"] is None
    moody.well = True
    assert resumed(orchestrator, "inner", retry=True).answer == f"well: {QUESTION}"


@dataclass(frozen=True)
class Passage:
    """What a tool of a user's own may give."""

    text: str
    page: Decimal
    day: date


def found(question: str) -> list[Passage]:
    """Passages."""
    return [Passage(question, Decimal("1.50"), date(2026, 1, 2))]


def test_an_artifact_comes_back_as_its_function_declares_it() -> None:
    keeping = Keeping(bind(Pool([Agent(name="found", tool=found), Agent(name="loose", tool=echoed)])))
    value, goal = found("?"), Goal("answer")
    assert keeping.recall("found", goal, json.loads(json.dumps(keeping.keep("found", goal, value)))) == value
    assert keeping.recall("loose", goal, keeping.keep("loose", goal, (1, "a"))) == [1, "a"]
    assert keeping.recall("found", goal, keeping.keep("found", goal, "other than declared")) == "other than declared"


texts = st.sampled_from(["", "a", "é\n", "\u2028{}"])
some = st.sampled_from([(), ("a",), ("b", "a")])
goals = st.builds(Goal, texts, texts, st.integers(1, 5))
routes = st.builds(Route, texts, texts, texts, st.integers(1, 3), st.none() | goals, texts)
values: st.SearchStrategy[object] = st.sampled_from([None, True, 2**70, 0.5, "x", [1, ["a"]], {"a": {"b": None}}])
money = st.none() | st.decimals(min_value=0, max_value=10, places=7)


def tuples(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Tuples of one or two at most."""
    return st.just(()) | st.tuples(of) | st.tuples(of, of)


messages = st.builds(
    Message, st.sampled_from(["user", "assistant", "tool"]), texts, tuples(st.builds(ToolCall, texts, texts, texts))
)
kinds: st.SearchStrategy[FailureKind] = st.sampled_from(["timeout", "tool", "budget"])
failed = st.builds(Failed, texts, kinds, texts, st.integers(0))
failures = st.builds(Failure, st.integers(1), routes, goals, failed, st.booleans())
usages = st.builds(Usage, st.integers(0), st.integers(0))
replies = st.builds(Reply, st.integers(1), texts, goals, values, st.floats(0, 1), money, usages, st.floats(0, 99))
underway = st.builds(Underway, texts, goals, st.integers(1), routes, some, st.integers(1))
exchanges = st.builds(Exchange, messages, tuples(routes), tuples(routes), st.none() | texts)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(Question, tuples(messages), st.none() | texts, some),
    tuples(replies),
    tuples(failures),
    tuples(underway),
    tuples(exchanges),
)
def test_a_state_comes_back_as_it_was(
    question: Question,
    given_replies: tuple[Reply, ...],
    given_failures: tuple[Failure, ...],
    at_work: tuple[Underway, ...],
    said: tuple[Exchange, ...],
) -> None:
    routed = tuple(each.route for each in given_failures)
    ways_round = tuple(Detour(each, "b", ("b", "c"), 0.5) for each in given_failures)
    state = RunState(
        question, ("answer",), "answer", replies=given_replies, failures=given_failures, open=given_failures[:1],
        routes=routed, underway=at_work, exchanges=said, avoided=(("a", "b"),), pursued=(Goal("x", "y"),), answer="a",
        detours=ways_round, again=given_failures[1:],
    )  # fmt: skip
    keeping = Keeping({})
    assert keeping.load(json.loads(as_json(keeping.dump(state)))) == state
