"""Runs within runs: one ledger, one deadline, one tree of traces, bounded depth, and many at once under one budget."""
# ruff: noqa: ARG001 - experts of tests need not look at what they are given

# langgraph and langchain leave parameters of their own types open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, StateGraph

from orchestrator import (
    Agent,
    Answer,
    Budget,
    ConfigError,
    Decision,
    IdempotencyKey,
    Orchestrator,
    ProviderError,
    Route,
    Think,
    Turn,
    Usage,
    View,
    runnable_expert,
)
from orchestrator.pipeline.nesting import DEEPEST
from orchestrator.trace import read_trace, verify
from orchestrator.trace.events import Event, Nested, RunStarted, TryEnded
from tests.experts import Sold, Vendor, failing, giving, sold
from tests.runs import QUESTION, ask, hold_to_the_rules

CENT = Decimal("0.01")


def selling(**settings: object) -> tuple[Vendor, Orchestrator]:
    """An orchestrator whose only expert is a model at a cent a reply."""
    vendor = Vendor({"m": Sold("42", CENT, Usage(3, 4))})
    return vendor, sold(vendor, {"m": 0.9}, **{"budget": Budget(usd=Decimal(10)), **settings})


def traces(folder: Path) -> dict[str, tuple[Event, ...]]:
    """The events of every run in a folder, each trace verified."""
    found = {path: read_trace(path) for path in folder.glob("*.jsonl")}
    for trace in found.values():
        hold_to_the_rules(trace)
    return {trace.run_id: trace.events for trace in found.values()}


def test_what_a_nested_run_costs_is_billed_and_written_in_the_run_around_it(tmp_path: Path) -> None:
    vendor, inner = selling()
    ran = ask(Orchestrator([inner.as_expert("deep")], trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.cost_usd, ran.decision.usage) == ("42", CENT, Usage(3, 4))
    assert (ran.decision.expert_calls, vendor.tries.total()) == (1, 1)
    (nested,) = ran.of(Nested)
    inside = read_trace(tmp_path / f"{nested.nested_id}.jsonl")
    assert verify(inside, head=nested.nested_head).passed
    assert inside.events[0].within == f"{ran.decision.run_id}/1" if isinstance(inside.events[0], RunStarted) else False
    assert [event.usd for event in ran.of(TryEnded)] == [CENT, Decimal(0)]
    (reply,) = [event for event in ran.events if event.type == "replied"]
    assert reply.usd == CENT


def levels(depth: int, inner: Orchestrator, **settings: object) -> Orchestrator:
    """So many orchestrators around one."""
    for level in range(depth):
        inner = Orchestrator([inner.as_expert(f"l{level}")], **settings)  # pyright: ignore[reportArgumentType]
    return inner


@pytest.mark.parametrize("binding", [0, 1, 2])
def test_a_limit_at_any_level_holds_and_is_named(tmp_path: Path, binding: int) -> None:
    tight = Budget(usd=CENT / 2)
    vendor, low = selling(budget=tight if binding == 0 else Budget(usd=Decimal(10)), trace=tmp_path)
    middle = Orchestrator([low.as_expert("low")], budget=tight if binding == 1 else None, trace=tmp_path)
    top = Orchestrator([middle.as_expert("middle")], budget=tight if binding == 2 else None, trace=tmp_path)
    decision = top.run_sync(QUESTION)
    assert (decision.status, vendor.tries.total(), decision.cost_usd) == ("escalated", 0, Decimal(0))
    whose = ("low (level 3)", "middle (level 2)", "the outermost run")[binding]
    assert f"limit:usd: a try may cost $0.01, $0.005 of $0.005 are left for {whose}" in "; ".join(decision.reasons)
    assert len(traces(tmp_path)) == 3


def test_64_runs_at_three_levels_share_one_limit_to_the_cent() -> None:
    vendor, low = selling(trace=False)
    top = levels(2, low, trace=False)
    found = asyncio.run(top.run_many([QUESTION] * 64, concurrency=64, budget=Budget(usd=CENT * 40)))
    decisions = [each for each in found if isinstance(each, Decision)]
    answered = [each for each in decisions if each.status == "answered"]
    assert (len(decisions), len(answered), vendor.tries.total()) == (64, 40, 40)
    assert sum(each.cost_usd or 0 for each in decisions) == CENT * 40
    for each in decisions:
        assert each.status == "answered" or "left for all runs together" in "; ".join(each.reasons)


def test_runs_within_a_run_cannot_outlast_it() -> None:
    vendor = Vendor({"m": Sold(seconds=30)})
    low = sold(vendor, {"m": 0.9}, trace=False)
    decision = levels(2, low, trace=False, budget=Budget(seconds=0.3)).run_sync(QUESTION)
    assert decision.status == "escalated"
    assert decision.seconds < 10
    assert any(reason.startswith("limit:seconds: 0.3 s") for reason in decision.reasons)


def test_endless_nesting_ends_at_a_depth(tmp_path: Path) -> None:
    async def again(question: str) -> str | None:
        return (await endless.run(question)).answer

    endless = Orchestrator([Agent(name="again", tool=again), giving("by_hand", "7", skill=0.1)], trace=tmp_path)
    decision = endless.run_sync(QUESTION)
    assert (decision.status, decision.answer) == ("answered", "7")
    runs = traces(tmp_path)
    assert len(runs) == DEEPEST
    said = [event.error for events in runs.values() for event in events if event.type == "attempt_failed"]
    assert said == [f"runs are nested {DEEPEST} deep already"]


def test_a_plain_function_that_runs_an_orchestrator_in_its_thread_nests_too(tmp_path: Path) -> None:
    _, inner = selling()

    def asks(question: str) -> str | None:
        return inner.run_sync(question).answer

    decision = ask(Orchestrator([Agent(name="asks", tool=asks)], trace=tmp_path), tmp_path).decision
    assert (decision.answer, decision.cost_usd) == ("42", CENT)


def test_a_nested_run_that_escalates_is_a_failed_attempt_and_is_gone_round(tmp_path: Path) -> None:
    inner = Orchestrator([failing("ill")])
    ran = ask(Orchestrator([inner.as_expert("deep", skill=0.9), giving("plain", "7")], trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.decision.answer, ran.outcomes()) == ("answered", "7", [("deep", "rerouted")])
    assert "ill failed after" in ran.decision.failed[0].error


def test_one_breaker_per_server_for_nested_runs_and_their_own() -> None:
    refusing = Vendor({"m": Sold(error=ProviderError("no key", kind="auth"))})
    low = sold(refusing, {"m": 0.9}, trace=False)
    top = Orchestrator([low.as_expert("deep")], trace=False)
    for _ in range(3):
        assert top.run_sync(QUESTION).status == "escalated"
    assert refusing.tries.total() == 1
    assert top.health.breaker("openai:m").state == "open"
    assert low.health.breaker("openai:m").state == "closed"


def test_the_key_of_a_nested_effect_is_that_of_the_attempt_around_it() -> None:
    keys: list[str] = []

    def order(question: str, key: IdempotencyKey) -> str:
        keys.append(key)
        return "done"

    low = Orchestrator([Agent(name="order", tool=order, effects=True, idempotent=True)], trace=False)
    deep = low.as_expert("deep")
    assert (deep.effects, deep.idempotent) == (True, True)

    async def twice(question: str) -> str | None:
        await low.run(question)
        return (await low.run(question)).answer

    assert Orchestrator([Agent(name="twice", tool=twice)], trace=False).run_sync(QUESTION).status == "answered"
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_no_content_of_a_nested_run_is_kept_where_the_run_around_it_keeps_none(tmp_path: Path) -> None:
    inner = Orchestrator([giving("a", "a secret")])
    Orchestrator([inner.as_expert("deep")], trace=tmp_path, content=False).run_sync("my secret?")
    texts = [path.read_text(encoding="utf-8") for path in tmp_path.glob("*.jsonl")]
    assert len(texts) == 2
    assert not any("secret" in text for text in texts)


class State(TypedDict, total=False):
    """What a graph of the caller's own carries."""

    question: str
    topic: str
    answer: str
    said: str


def test_a_graph_of_langgraphs_is_an_expert(tmp_path: Path) -> None:
    def shout(state: State) -> State:
        return {"answer": state.get("question", "").upper()}

    graph = StateGraph(State).add_node("work", shout)
    work = graph.add_edge(START, "work").compile()
    assert ask(Orchestrator([runnable_expert(work, "graph")], trace=tmp_path), tmp_path, "hi").decision.answer == "HI"
    mapped = runnable_expert(
        work, "graph", given=lambda have: {"question": f"{have['question']}!"}, taken=lambda state: state["answer"] * 2
    )
    assert Orchestrator([mapped], trace=False).run_sync("hi").answer == "HI!HI!"
    lost = runnable_expert(work, "graph", produces="report")
    (failed,) = Orchestrator([lost], trace=False).run_sync("hi").failed
    assert failed.error == "its state has no `report`; it has answer, question"


def test_another_runnable_is_given_the_artifact_itself() -> None:
    loud = RunnableLambda(lambda text: AIMessage(f"{text}!"))
    assert Orchestrator([runnable_expert(loud, "loud")], trace=False).run_sync("hi").answer == "hi!"
    with pytest.raises(ConfigError, match="a plain function is an expert as it is"):
        runnable_expert(print, "loud")


def test_a_node_in_a_graph_that_is_an_expert(tmp_path: Path) -> None:
    vendor, inner = selling()
    graph = StateGraph(State).add_node("ask", inner.as_node()).add_edge(START, "ask").compile()
    decision = ask(Orchestrator([runnable_expert(graph, "graph")], trace=tmp_path), tmp_path).decision
    assert (decision.answer, decision.cost_usd, vendor.tries.total()) == ("42", CENT, 1)


def test_many_are_given_back_in_order_and_failures_stand_in_their_places() -> None:
    top = Orchestrator([giving("a", "7")], trace=False)
    told: list[int] = []
    found = asyncio.run(
        top.run_many(["x", [{"role": "nobody", "content": "y"}], "z"], progress=lambda place, _: told.append(place))
    )
    assert [type(each) for each in found] == [Decision, ConfigError, Decision]
    assert sorted(told) == [0, 1, 2]


def test_many_keep_to_their_number_and_leaving_cancels_the_rest() -> None:
    at_work: list[int] = []
    most = 0

    async def busy(question: str) -> str:
        nonlocal most
        at_work.append(1)
        most = max(most, len(at_work))
        await asyncio.sleep(0.001)
        at_work.pop()
        return question

    async def some() -> list[int]:
        top = Orchestrator([Agent(name="busy", tool=busy)], trace=False)
        places: list[int] = []
        outcomes = top.each((str(number) for number in range(10**9)), concurrency=5)
        async for place, _ in outcomes:
            places.append(place)
            if len(places) == 20:
                break
        await outcomes.aclose()
        assert len(asyncio.all_tasks()) == 1
        return places

    assert len(set(asyncio.run(some()))) == 20
    assert most == 5


@pytest.mark.parametrize(("field", "options"), [("concurrency", {"concurrency": 0}), ("budget.turns", {"turns": 3})])
def test_many_refuse_what_cannot_be_meant(field: str, options: dict[str, int]) -> None:
    top = Orchestrator([giving("a")], trace=False)
    concurrency, turns = options.get("concurrency", 4), options.get("turns")
    with pytest.raises(ConfigError, match=field):
        asyncio.run(top.run_many(["x"], concurrency=concurrency, budget=Budget(turns=turns)))


actions = st.lists(st.sampled_from(["think", "again", "tool", "ill", "answer", "both"]), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=actions)
def test_random_routers_that_nest_themselves_come_to_an_end(script: list[str]) -> None:
    """Depth, turns or the detection of repeated routes stop them, with a decision or an escalation."""

    def route(view: View) -> Turn:
        match script[view.state.turns % len(script)]:
            case "think":
                return Turn((Think("hm"),))
            case "both":
                return Turn((Route("again"), Route("tool")))
            case "answer":
                return Turn((Answer("7"),))
            case name:
                return Turn((Route(name),))

    deep = Orchestrator([giving("tool", "7"), failing("ill"), giving("again", lambda: None)], router=route, trace=False)
    for _ in range(2):
        members = [giving("tool", "7"), failing("ill"), deep.as_expert("again")]
        deep = Orchestrator(members, router=route, budget=Budget(turns=5), trace=False)
    decision = deep.run_sync(QUESTION)
    assert decision.status in {"answered", "degraded", "escalated"}
    assert decision.turns <= 5
