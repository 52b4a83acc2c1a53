"""The front door: routers and merges of one's own, streams, cancelling, a foreign LangGraph, runs side by side."""
# ruff: noqa: ARG001, ARG002 - experts, routers and merges of tests need not look at what they are given
# langgraph leaves parameters of its own types open:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from textwrap import wrap
from typing import Any, TypedDict, cast

import pytest
from inline_snapshot import snapshot
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from orchestrator import (
    Agent,
    Analysis,
    Answer,
    Budget,
    ConfigError,
    Decision,
    Message,
    Model,
    Orchestrator,
    Pool,
    Question,
    Reply,
    Route,
    Think,
    ToolError,
    Turn,
    View,
)
from orchestrator.budget import Ledger
from orchestrator.errors import FailureKind
from orchestrator.health import Health
from orchestrator.merge import Vote
from orchestrator.pipeline.streaming import AnswerText, Streamed
from orchestrator.routers import PlanRouter, Routing
from orchestrator.trace import read_trace
from orchestrator.trace.events import AttemptStarted, Event, Replied, RunEnded, RunStarted, TryStarted, TurnTaken
from tests.experts import Sold, Vendor, failing, giving
from tests.runs import QUESTION, ask, checked, hold_to_the_rules, only_trace, reachable


def scripted(*turns: Turn) -> Callable[[View], Turn]:
    """A router that takes these turns, then answers with nothing of its own."""
    left = list(turns)

    def router(view: View) -> Turn:
        return left.pop(0) if left else Turn((Answer(),))

    return router


def test_a_router_of_ones_own_as_a_function(tmp_path: Path) -> None:
    seen: list[tuple[str, str, int, int, list[str], str | None]] = []

    def router(view: View) -> Turn:
        names = [agent.name for agent in view.experts]
        seen.append((view.question.text, view.goal, len(view.replies), len(view.failures), names, view.plan().expert))
        if not view.replies:
            return Turn((Think("b, I trust"), Route("b")))
        return Turn((Answer("I say " + view.replies[0].text),))

    ran = ask(Orchestrator([giving("a"), giving("b", "42")], router=router, trace=tmp_path), tmp_path)
    decision = ran.decision
    assert (decision.answer, decision.status, decision.method) == ("I say 42", "answered", "router")
    assert (decision.support, [one.agent for one in decision.dissent], decision.turns) == ((), ["b"], 2)
    assert seen == [(QUESTION, "answer", 0, 0, ["a", "b"], "a"), (QUESTION, "answer", 1, 0, ["a", "b"], "a")]
    assert ran.of(TurnTaken)[0].thought == "b, I trust"
    assert ran.of(RunStarted)[0].router == "router"


def test_a_router_of_ones_own_as_an_object(tmp_path: Path) -> None:
    class Both:
        name = "both"

        async def decide(self, view: View) -> Turn:
            await asyncio.sleep(0)
            return Turn((Answer(),) if view.replies else (Route("a"), Route("b"), Route("c")))

    members = [giving("a", "41"), giving("b", "42"), giving("c", "42")]
    ran = ask(Orchestrator(members, router=Both(), merge="vote", trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.support) == ("42", ("b", "c"))
    assert [event.goal.slot for event in ran.of(AttemptStarted)] == [1, 2, 3]
    assert ran.of(RunStarted)[0].router == "both"


def test_an_async_function_routes_too(tmp_path: Path) -> None:
    async def router(view: View) -> Turn:
        return Turn((Answer(),) if view.replies else (Route("a"),))

    assert ask(Orchestrator([giving("a")], router=router, trace=tmp_path), tmp_path).decision.answer == "a"


def test_a_thought_alone_is_a_turn(tmp_path: Path) -> None:
    router = scripted(Turn((Think("hm"),)), Turn((Think("ah"), Route("a"))))
    ran = ask(Orchestrator([giving("a")], router=router, trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.decision.turns) == ("answered", 2)


def test_an_answer_without_asking_anybody(tmp_path: Path) -> None:
    ran = ask(Orchestrator([giving("a")], router=scripted(Turn((Answer("7"),))), trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status, ran.called()) == ("7", "answered", [])


def test_replies_equal_to_the_routers_answer_support_it(tmp_path: Path) -> None:
    router = scripted(Turn((Route("a"), Route("b"))), Turn((Answer("42"),)))
    ran = ask(Orchestrator([giving("a", "42.0"), giving("b", "41")], router=router, trace=tmp_path), tmp_path)
    assert (ran.decision.support, ran.decision.dissent[0].agent) == (("a",), "b")


def test_the_routers_answer_is_one_reply_among_others_for_any_other_merge(tmp_path: Path) -> None:
    router = scripted(Turn((Route("a"), Route("b"))), Turn((Answer("7"),)))
    members = [giving("a", "42"), giving("b", "42")]
    ran = ask(Orchestrator(members, router=router, merge="vote", trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.dissent[0].agent) == ("42", "router")


@pytest.mark.parametrize("twice", [(Route("a"), Route("a")), (Route("a"),)])
def test_a_repeated_route_is_not_taken_again(twice: tuple[Route, ...], tmp_path: Path) -> None:
    router = scripted(Turn(twice), Turn((Route("a"),)))
    ran = ask(Orchestrator([giving("a"), giving("b")], router=router, trace=tmp_path), tmp_path)
    assert (ran.called(), ran.decision.turns, ran.decision.status) == (["a"], 2, "answered")


def test_another_query_is_another_goal(tmp_path: Path) -> None:
    def echo(question: str) -> str:
        return question

    router = scripted(Turn((Route("e", "one"), Route("e", "two"))), Turn((Route("e", "one"), Route("e"))))
    ran = ask(Orchestrator([Agent(name="e", tool=echo)], router=router, trace=tmp_path), tmp_path, "Q")
    assert [event.value for event in ran.of(Replied)] == ["one", "two", "Q"]
    assert ran.decision.answer == "Q"


def test_replies_to_queries_alone_are_an_answer_too(tmp_path: Path) -> None:
    router = scripted(Turn((Route("a", "said otherwise"),)))
    ran = ask(Orchestrator([giving("a")], router=router, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("a", "answered")


def test_a_route_to_nobody_is_the_routers_mistake(tmp_path: Path) -> None:
    orchestrator = Orchestrator([giving("search")], router=scripted(Turn((Route("serch"),))), trace=tmp_path)
    with pytest.raises(ConfigError) as caught:
        orchestrator.run_sync(QUESTION)
    assert str(caught.value) == snapshot(
        "`router router`: there is no expert `serch`; expected one of search; did you mean `search`?"
    )
    hold_to_the_rules(only_trace(tmp_path))
    ended = only_trace(tmp_path).events[-1]
    assert isinstance(ended, RunEnded)
    assert (ended.how, ended.error) == ("error", f"ConfigError: {caught.value}")


def test_a_failing_route_is_healed_without_asking_the_router(tmp_path: Path) -> None:
    asked: list[int] = []

    def router(view: View) -> Turn:
        asked.append(len(view.replies))
        return Turn((Answer(),) if view.replies else (Route("a"),))

    ran = ask(Orchestrator([failing("a"), giving("b", "42")], router=router, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status, asked) == ("42", "answered", [0, 1])
    assert ran.outcomes() == [("a", "rerouted")]


def test_a_detour_of_several_steps_asks_the_router_at_its_end(tmp_path: Path) -> None:
    asked: list[int] = []

    def router(view: View) -> Turn:
        asked.append(len(view.replies))
        return Turn((Answer(),) if view.replies else (Route("a", "q"),))

    members = [
        failing("a"),
        giving("search", produces="passages"),
        failing("first", produces="notes", consumes=("passages",)),
        giving("second", produces="notes", consumes=("passages",), skill=0.4),
        giving("write", "42", consumes=("notes",)),
    ]
    ran = ask(Orchestrator(members, router=router, trace=tmp_path), tmp_path)
    assert ran.called() == ["a", "search", "first", "second", "write"]
    assert (ran.decision.answer, ran.decision.status, asked) == ("42", "answered", [0, 3])
    assert ran.outcomes() == [("a", "rerouted"), ("first", "rerouted")]


def test_a_route_nobody_can_serve_is_returned(tmp_path: Path) -> None:
    router = scripted(Turn((Route("find"),)), Turn((Route("a"),)))
    ran = ask(Orchestrator([failing("find", produces="facts"), giving("a")], router=router, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("a", "degraded")
    assert ran.outcomes() == [("find", "returned")]
    assert ran.decision.reasons == ("returned: nobody can serve the route to find",)


def test_a_detour_that_can_no_longer_be_paid_is_told(tmp_path: Path) -> None:
    vendor = Vendor({"find": Sold("P", usd=Decimal(6)), "write": Sold(usd=Decimal(6))})
    members = [
        failing("a"),
        *(Model(name=f"openai:{name}") for name in vendor.sold),
        Agent(name="find", model="openai:find", produces="passages"),
        Agent(name="write", model="openai:write", consumes=("passages",)),
    ]
    orchestrator = Orchestrator(
        members,
        router=scripted(Turn((Route("a", "q"),)), Turn((Answer("none"),))),
        providers={"openai": vendor},
        budget=Budget(usd=Decimal(10)),
        trace=tmp_path,
    )
    ran = ask(orchestrator, tmp_path)
    assert (ran.called(), ran.decision.status) == (["a", "find"], "degraded")
    assert ran.outcomes() == [("a", "rerouted")]
    assert ran.decision.reasons == (
        "the way round to `answer` led nowhere",
        "limit:usd: a try may cost $6, $4 of $10 are left",
        "rerouted: a → find (tool)",
    )


def test_a_route_to_an_expert_that_lacks_inputs_brings_them_first(tmp_path: Path) -> None:
    members = [giving("search", produces="passages"), giving("write", consumes=("passages",)), giving("a", skill=0.2)]
    ran = ask(Orchestrator(members, router=scripted(Turn((Route("write"),))), trace=tmp_path), tmp_path)
    assert (ran.called(), ran.decision.status, ran.decision.failed) == (["search", "write"], "answered", ())


@pytest.mark.parametrize(
    ("turns", "taken", "said"), [(None, 12, "all 12 turns are"), (5, 5, "all 5 turns are"), (1, 1, "the one turn is")]
)
def test_an_endless_router_is_stopped_by_its_turns(turns: int | None, taken: int, said: str, tmp_path: Path) -> None:
    for action, status in ((Route("a"), "degraded"), (Think("hm"), "escalated")):
        router = scripted(*[Turn((action,))] * 99)
        ran = ask(Orchestrator([giving("a")], router=router, budget=Budget(turns=turns), trace=tmp_path), tmp_path)
        assert (ran.decision.status, ran.decision.turns) == (status, taken)
        assert ran.decision.reasons == (f"limit:turns: {said} taken",)


@pytest.mark.parametrize("given_up", [Turn(()), Turn((Answer(),)), Turn((Think("no"), Answer()))])
def test_a_router_that_gives_up_says_so(given_up: Turn, tmp_path: Path) -> None:
    ran = ask(Orchestrator([giving("a")], router=scripted(given_up), trace=tmp_path), tmp_path)
    assert ran.decision.status == "escalated"
    assert ran.decision.reasons == ("the router router gave up, though a could give `answer`",)
    pool = Pool([giving("a"), giving("b", produces="partial_answer")], goals=["answer", "partial_answer"])
    after = scripted(Turn((Route("b"),)), given_up)
    lower = ask(Orchestrator(pool, router=after, trace=tmp_path), tmp_path)
    assert (lower.decision.answer, lower.decision.status, lower.decision.goal) == ("b", "degraded", "partial_answer")


@pytest.mark.parametrize("decided", [None, Route("a"), "a", Turn((Route("a"), Answer("42")))])
def test_what_is_no_turn_is_the_routers_mistake(decided: object, tmp_path: Path) -> None:
    def router(view: View) -> Turn:
        return cast("Turn", decided)

    with pytest.raises(ConfigError, match=r"^`router router`: (decided .*; expected a `Turn`|a turn holds routes or)"):
        Orchestrator([giving("a")], router=router, trace=tmp_path).run_sync(QUESTION)
    hold_to_the_rules(only_trace(tmp_path))


def test_what_a_router_raises_is_raised_and_the_trace_ended(tmp_path: Path) -> None:
    def router(view: View) -> Turn:
        if view.failures:
            raise LookupError("lost")
        return Turn((Route("a"),))

    with pytest.raises(LookupError, match="lost"):
        Orchestrator([failing("a")], router=router, trace=tmp_path).run_sync(QUESTION)
    trace = only_trace(tmp_path)
    hold_to_the_rules(trace)
    assert [event.type for event in trace.events][-3:] == ["returned", "noted", "run_ended"]


def test_a_merge_of_ones_own_as_a_function(tmp_path: Path) -> None:
    def longest(question: Question, replies: Sequence[Reply]) -> str:
        return max((reply.text for reply in replies), key=len)

    async def later(question: Question, replies: Sequence[Reply]) -> Analysis:
        return Analysis(question.text, support=("b",), confidence=0.3, reasons=("because",))

    members = [giving("a", "no"), giving("b", "yes!", skill=0.4)]
    ran = ask(Orchestrator(members, merge=longest, analyses=2, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.method, ran.decision.support) == ("yes!", "longest", ("b",))
    assert [one.agent for one in ran.decision.dissent] == ["a"]
    ran = ask(Orchestrator(members, merge=later, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.confidence, ran.decision.reasons) == (QUESTION, 0.3, ("because",))


def test_a_merge_of_ones_own_as_an_object(tmp_path: Path) -> None:
    class Last:
        name = "last"

        async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
            return Analysis(replies[-1].text)

    ran = ask(Orchestrator([giving("a"), giving("b")], merge=Last(), analyses=2, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.method) == ("b", "last")


@pytest.mark.parametrize("merged", [None, 42, Analysis(cast("str", None))])
def test_what_is_no_analysis_is_the_merges_mistake(merged: object, tmp_path: Path) -> None:
    def strange(question: Question, replies: Sequence[Reply]) -> str:
        return cast("str", merged)

    with pytest.raises(ConfigError, match="`merge strange`: gave "):
        Orchestrator([giving("a")], merge=strange, trace=tmp_path).run_sync(QUESTION)
    hold_to_the_rules(only_trace(tmp_path))


def test_parts_that_do_not_fit_are_told_at_once() -> None:
    wrong: list[dict[str, Any]] = [
        {"router": 42},
        {"router": PlanRouter},
        {"merge": Vote},
        {"merge": "vot"},
        {"analyses": 0},
        {"prefer": "cheep"},
    ]
    told: list[list[str]] = []
    for settings in wrong:
        with pytest.raises(ConfigError) as caught:
            Orchestrator([giving("a")], trace=False, **settings)
        told.append(wrap(str(caught.value), width=96))
    assert told == snapshot(
        [
            ["`router`: 42 is no router; expected an object with a name and an async `decide`, or a function"],
            [
                "`router`: <class 'orchestrator.routers.plan.PlanRouter'> is no router; expected an object with a",
                "name and an async `decide`, or a function",
            ],
            [
                "`merge`: <class 'orchestrator.merge.rules.Vote'> is no merge; expected an object with a name and",
                "an async `merge`, or a function",
            ],
            [
                "`merge`: there is no merge `vot`; expected one of best, first, refine, router, synthesise, vote,",
                "weighted, or `module:attribute` of your own; did you mean `vote`?",
            ],
            ["`analyses`: cannot be 0; expected a whole number of at least 1, or auto"],
            ["`prefer`: there is no preference `cheep`; expected quality, balanced, cheap"],
        ]
    )


def test_a_question_may_be_messages(tmp_path: Path) -> None:
    def echo(question: str) -> str:
        return question

    orchestrator = Orchestrator([Agent(name="echo", tool=echo)], trace=tmp_path)
    messages = [{"role": "system", "content": "be"}, {"role": "user", "content": "who?"}]
    assert ask(orchestrator, tmp_path, messages).decision.answer == "who?"
    ran = ask(orchestrator, tmp_path, Question((Message("user", "what?"), Message("assistant", "that")), kind="math"))
    assert ran.decision.answer == "what?"
    for wrong in ("", " ", [], [{"role": "tool", "content": "x"}], [{"role": "system", "content": "x"}]):
        with pytest.raises(ConfigError):
            orchestrator.run_sync(wrong)
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_a_stream_gives_the_events_in_order(tmp_path: Path) -> None:
    orchestrator = Orchestrator([failing("a"), giving("b")], trace=tmp_path)

    async def collected() -> list[Streamed]:
        return [item async for item in orchestrator.stream(QUESTION)]

    items = asyncio.run(collected())
    events = [item for item in items if not isinstance(item, AnswerText)]
    assert items[-2:] == [AnswerText(text="b"), events[-1]]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events == list(only_trace(tmp_path).events)
    hold_to_the_rules(only_trace(tmp_path))


def test_a_stream_raises_what_the_run_raises(tmp_path: Path) -> None:
    orchestrator = Orchestrator([giving("a")], router=scripted(Turn((Route("b"),))), trace=tmp_path)

    async def collected() -> None:
        async for _ in orchestrator.stream(QUESTION):
            pass

    with pytest.raises(ConfigError, match="there is no expert `b`"):
        asyncio.run(collected())
    with pytest.raises(ConfigError, match="the question is empty"):
        asyncio.run(anext(orchestrator.stream("")))


@pytest.mark.parametrize("leave_at", range(1, 12))
def test_leaving_a_stream_cancels_the_run_cleanly(leave_at: int, tmp_path: Path) -> None:
    async def dawdle(question: str) -> str:
        await asyncio.sleep(0.02)
        return "late"

    orchestrator = Orchestrator([failing("a"), Agent(name="b", tool=dawdle)], trace=tmp_path)

    async def left() -> set[asyncio.Task[Any]]:
        stream = orchestrator.stream(QUESTION)
        number = 0
        async for _ in stream:
            number += 1
            if number == leave_at:
                break
        await stream.aclose()
        return asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())}

    assert asyncio.run(left()) == set()
    hold_to_the_rules(only_trace(tmp_path))
    ended = only_trace(tmp_path).events[-1]
    assert isinstance(ended, RunEnded)
    assert ended.how in ("cancelled", "decided")


@pytest.mark.parametrize("seed", range(40))
def test_a_run_cancelled_at_any_moment_ends_its_trace(seed: int, tmp_path: Path) -> None:
    random, seen = Random(seed), list[View]()

    async def flaky(question: str) -> str:
        await asyncio.sleep(random.uniform(0, 0.004))
        if random.random() < 0.5:
            raise ToolError("ill")
        return "well"

    class Watched(PlanRouter):
        async def decide(self, view: View) -> Routing:
            seen.append(view)
            await asyncio.sleep(random.uniform(0, 0.001))
            return await super().decide(view)

    members = [Agent(name=f"e{n}", tool=flaky, produces=f"x{n % 3}", skill=0.5) for n in range(9)]
    members += [giving("join", consumes=("x0", "x1", "x2"))]
    orchestrator = Orchestrator(members, router=Watched(), budget=Budget(usd=Decimal(1)), trace=tmp_path)

    async def cancelled() -> None:
        running = asyncio.create_task(orchestrator.run(QUESTION))
        await asyncio.sleep(random.uniform(0, 0.02))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(cancelled())
    traces = [read_trace(path) for path in tmp_path.glob("*.jsonl")]
    for trace in traces:
        hold_to_the_rules(trace)
        ended = trace.events[-1]
        assert isinstance(ended, RunEnded)
        assert ended.how in ("cancelled", "decided")
    ledgers = reachable(seen, Ledger)
    assert [ledger.in_flight for ledger in ledgers] == [0] * len(ledgers)


def test_an_interrupted_run_raises_cancelled(tmp_path: Path) -> None:
    async def never(question: str) -> str:
        await asyncio.sleep(60)
        return ""

    async def cancelled() -> None:
        running = asyncio.create_task(Orchestrator([Agent(name="a", tool=never)], trace=tmp_path).run(QUESTION))
        await asyncio.sleep(0.05)
        running.cancel()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    trace = only_trace(tmp_path)
    hold_to_the_rules(trace)
    assert [event.type for event in trace.events][-2:] == ["attempt_cancelled", "run_ended"]


def test_a_listener_that_raises_stops_the_siblings_before_the_run_ends(tmp_path: Path) -> None:
    async def slow(question: str) -> str:
        await asyncio.sleep(0.05)
        return "slow"

    def listener(event: Event) -> None:
        if event.type == "replied":
            raise LookupError("nobody listens")

    async def left() -> None:
        orchestrator = Orchestrator([giving("a"), Agent(name="b", tool=slow)], analyses=2, trace=tmp_path)
        with pytest.raises(LookupError):
            await orchestrator.run(QUESTION, listeners=[listener])
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(left())
    hold_to_the_rules(only_trace(tmp_path))


def test_explain_calls_nobody(tmp_path: Path) -> None:
    def refuse() -> str:
        raise AssertionError("called")

    members = [giving("a", refuse, skill=0.9), giving("b", refuse), giving("w", refuse, consumes=("p",), skill=1.0)]
    members += [giving("p", refuse, produces="p", skill=0.8)]
    told = Orchestrator(members, analyses=4, trace=tmp_path).explain(QUESTION)
    assert [choice.plan and [step.agent for step in choice.plan.steps] for choice in told.choices] == [
        ["a"],
        ["p", "w"],
        ["b"],
        None,
    ]
    assert {each.agent: each.why_not for each in told.choices[2].candidates} == {
        "a": "serves another analysis",
        "b": None,
        "w": "serves another analysis",
    }
    assert list(tmp_path.iterdir()) == []
    lower = Orchestrator(members, trace=tmp_path).explain(QUESTION, goal="p")
    assert (lower.goal, lower.choices[0].expert) == ("p", "p")


class Outer(TypedDict, total=False):
    """The state of a foreign graph."""

    question: str
    answer: str
    verdict: str


class Mine(TypedDict):
    """The context of a foreign graph."""

    user: str


def test_as_node_in_a_foreign_graph_with_its_own_context_and_checkpointer(tmp_path: Path) -> None:
    orchestrator = Orchestrator([failing("a"), giving("b", "42")], trace=tmp_path)

    def judge(state: Outer, runtime: Runtime[Mine]) -> Outer:
        return {"verdict": f"{runtime.context['user']} got {state.get('answer')}"}

    graph = StateGraph(Outer, context_schema=Mine)
    graph.add_node("ask", orchestrator.as_node())
    graph.add_node("judge", judge)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "judge")
    graph.add_edge("judge", END)
    compiled = graph.compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}

    ended = compiled.invoke({"question": QUESTION}, thread, context={"user": "Ann"})
    assert ended == {"question": QUESTION, "answer": "42", "verdict": "Ann got 42"}
    again = asyncio.run(compiled.ainvoke({"question": "And?"}, thread, context={"user": "Bo"}))
    assert again["verdict"] == "Bo got 42"
    assert len(list(compiled.get_state_history(thread))) == 8
    for path in tmp_path.glob("*.jsonl"):
        hold_to_the_rules(read_trace(path))


def test_as_node_reads_messages_and_gives_the_decision(tmp_path: Path) -> None:
    def echo(question: str) -> str:
        return question

    orchestrator = Orchestrator([Agent(name="echo", tool=echo)], trace=tmp_path)
    node = orchestrator.as_node(question="messages", answer=None, decision="made")
    given = node.invoke({"messages": [HumanMessage("who?"), AIMessage("me"), HumanMessage("and you?")]})
    assert list(given) == ["made"]
    assert checked(cast("Decision", given["made"]), tmp_path).decision.answer == "and you?"
    assert cast("Decision", node.invoke({"messages": [Message("user", "plain")]})["made"]).answer == "plain"
    with pytest.raises(ConfigError, match="expected text or a list of messages"):
        node.invoke({"messages": 42})
    with pytest.raises(ConfigError, match=r"`messages`: the graph's state has no such key; .*`message`\?$"):
        node.invoke({"message": "who?"})
    with pytest.raises(ConfigError, match="expected some input of the graph"):
        node.invoke({})


def a(question: str) -> str:
    """An expert."""
    return question


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        (a, "`pool`: cannot be the function `a`; expected a `Pool`, or a list of members"),
        (Agent(name="a", tool=a), "`pool`: cannot be Agent(name='a'"),
        (None, "`pool`: cannot be None; expected a `Pool`, or a list of members"),
        ({"a": a}, "`pool`: cannot be {'a': "),
        ("local", "`load_pool('local')` loads the pool of that name"),
    ],
)
def test_what_is_no_list_of_members_is_told(pool: object, told: str) -> None:
    for build in (Orchestrator, Pool):
        with pytest.raises(ConfigError, match=re.escape(told)):
            build(cast("Any", pool))


@pytest.mark.parametrize("budget", [0.05, 1, Decimal("0.25"), True, "0.05", {"usd": 1}])
def test_what_is_no_budget_is_told(budget: object) -> None:
    with pytest.raises(
        ConfigError, match=r"`budget`: cannot be .*; expected a `Budget`, such as Budget\(usd="
    ) as caught:
        Orchestrator([a], budget=cast("Any", budget), trace=False)
    if not isinstance(budget, (bool, str, dict)):
        assert f'Budget(usd=Decimal("{budget}"))' in str(caught.value)
    with pytest.raises(ConfigError, match="`budget`: cannot be "):
        asyncio.run(Orchestrator([a], trace=False).run_many(["What?"], budget=cast("Any", budget)))


@pytest.mark.parametrize("asked", [None, 7, b"What?", {"role": "user", "content": "What?"}])
def test_what_is_no_question_is_told(asked: object) -> None:
    with pytest.raises(
        ConfigError, match=r"`question`: cannot be .*; expected a text, a `Question`, or a list of mess"
    ):
        Orchestrator([a], trace=False).run_sync(cast("Any", asked))


def test_the_graph_draws() -> None:
    drawn = Orchestrator([giving("a")], trace=False).graph.get_graph().draw_mermaid()
    assert all(node in drawn for node in ("decide", "consult", "heal", "merge"))


def test_content_stays_out_when_it_should(tmp_path: Path) -> None:
    members = [failing("a"), giving("b", "SECRET-ANSWER"), giving("c", "SECRET-DISSENT")]

    def router(view: View) -> Turn:
        if view.replies:
            return Turn((Answer("SECRET-ANSWER"),))
        return Turn((Think("SECRET-THOUGHT"), Route("a"), Route("c", "SECRET-QUERY")))

    orchestrator = Orchestrator(members, router=router, content=False, trace=tmp_path)
    decision = orchestrator.run_sync("SECRET-QUESTION")
    assert decision.answer == "SECRET-ANSWER"
    hold_to_the_rules(only_trace(tmp_path), head=decision.head)
    assert "SECRET" not in only_trace(tmp_path).path.read_text()


def test_without_a_trace_there_is_no_file_and_no_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    heard: list[str] = []
    decision = Orchestrator([giving("a")], trace=False).run_sync(
        QUESTION, listeners=[lambda event: heard.append(event.type)]
    )
    assert (decision.answer, decision.head) == ("a", None)
    assert (heard[0], heard[-1]) == ("run_started", "run_ended")
    assert list(tmp_path.rglob("*.jsonl")) == []


def test_where_a_trace_is_written(tmp_path: Path) -> None:
    home = Orchestrator([giving("a")]).run_sync(QUESTION)
    assert read_trace(tmp_path / "home" / "runs" / f"{home.run_id}.jsonl").head == home.head
    file = tmp_path / "deep" / "one.jsonl"
    orchestrator = Orchestrator([giving("a")], trace=str(file))
    assert orchestrator.run_sync(QUESTION).head == read_trace(file).head
    with pytest.raises(ConfigError, match=r"one\.jsonl: `trace`: cannot be written: File exists; expected a place for"):
        orchestrator.run_sync(QUESTION)


def test_runs_side_by_side_share_health_but_no_failures(tmp_path: Path) -> None:
    ill = threading.Event()
    ill.set()

    def moody() -> str:
        if ill.is_set():
            ill.clear()
            raise ToolError("ill once", broken=True)
        return "moody"

    health = Health(lambda: 0.0)
    orchestrator = Orchestrator([giving("a", moody, skill=0.9), giving("b", skill=0.8)], health=health, trace=tmp_path)

    async def both() -> list[Any]:
        return await asyncio.gather(*(orchestrator.run(QUESTION) for _ in range(8)))

    ran = [checked(decision, tmp_path) for decision in asyncio.run(both())]
    assert sorted(one.decision.answer or "" for one in ran) == ["b", *["moody"] * 7]
    assert sum(one.decision.reroutes for one in ran) == 1
    assert health.success_rate("tool:a") == 27 / 28
    assert orchestrator.health is health
    assert ask(orchestrator, tmp_path).called() == ["a"], "a failure of an earlier run is no obstacle in the next"


def test_what_fails_often_is_asked_less(tmp_path: Path) -> None:
    orchestrator = Orchestrator([failing("a", skill=0.6), giving("b")], trace=tmp_path)
    called = [ask(orchestrator, tmp_path).called() for _ in range(6)]
    assert called[0] == ["a", "b"]
    assert called[-1] == ["b"]


def test_a_query_goes_to_the_tool_and_a_fault_to_its_attempt(tmp_path: Path) -> None:
    asked: list[tuple[str, int, str | None]] = []

    def faults(agent: str, attempt: int, case: str | None) -> FailureKind | None:
        asked.append((agent, attempt, case))
        return "injected" if agent == "a" else None

    ran = ask(Orchestrator([giving("a"), giving("b")], faults=faults, trace=tmp_path), tmp_path)
    assert asked == [("a", 1, None), ("b", 1, None)]
    assert (ran.decision.answer, ran.decision.failed[0].kind) == ("b", "injected")
    assert len(ran.of(TryStarted)) == 2
