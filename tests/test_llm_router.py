"""A model as the router: turns, repair, takeover, healing and the bill, all through the front door."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import Agent, Budget, Decision, Dissent, Orchestrator, ProviderError, ToolError, Turn, Usage, View
from orchestrator.budget import Ledger
from orchestrator.content import load_prompt
from orchestrator.errors import RETRYABLE, FailureKind, RateLimited
from orchestrator.merge import Synthesise
from orchestrator.messages import Encoding
from orchestrator.providers import Completion, Request, ScriptProvider, call
from orchestrator.providers.script import Line
from orchestrator.routers import LLMRouter
from orchestrator.trace import verify
from orchestrator.trace.events import (
    AttemptStarted,
    BadTurn,
    NameResolved,
    Returned,
    RunStarted,
    TakenOver,
    TryEnded,
    TurnTaken,
)
from tests.experts import giving
from tests.routing import (
    CHEAP,
    ENCODINGS,
    SAGE_COST,
    TURN_COST,
    Adder,
    Stage,
    answers,
    over_and_over,
    routes,
    sage,
    says,
    scripted,
)
from tests.runs import only_trace, reachable

each_encoding = pytest.mark.parametrize("encoding", ENCODINGS)
KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


def two_turns(encoding: Encoding, answer: str = "4") -> dict[str, list[Line]]:
    """A router that asks both experts at once, and then answers."""
    return {
        "router": [
            routes(encoding, ("adder", "2+2"), ("sage", "what is 2+2?"), thought="both may know"),
            answers(encoding, answer, thought="they agree"),
        ],
        "sage": [says("It is 4.")],
    }


@each_encoding
def test_two_turns_with_parallel_routes_and_an_answer(encoding: Encoding, tmp_path: Path) -> None:
    stage = Stage(tmp_path, two_turns(encoding), encoding)
    ran = stage.run()
    decision = ran.decision
    assert (decision.answer, decision.status, decision.method) == ("4", "answered", "router")
    assert (decision.support, decision.dissent) == (("adder",), (Dissent("sage", "It is 4."),))
    assert (decision.turns, decision.control_calls, decision.merge_calls, decision.expert_calls) == (2, 2, 0, 2)
    assert (decision.cost_usd, decision.cost_exact) == (2 * TURN_COST + SAGE_COST, True)
    assert decision.usage == Usage(300, 60)
    assert (decision.reasons, decision.failed, decision.reroutes) == ((), (), 0)
    assert [turn.thought for turn in ran.of(TurnTaken)] == ["both may know", "they agree"]
    assert [turn.routes for turn in ran.of(TurnTaken)] == [("adder", "sage"), ()]
    assert stage.adder.asked == ["2+2"]
    assert "\n4\n" in stage.told(2)
    assert "\nIt is 4.\n" in stage.told(2)


def test_both_encodings_lead_to_the_same_decision(tmp_path: Path) -> None:
    made = [Stage(tmp_path / encoding, two_turns(encoding), encoding).run().decision for encoding in ENCODINGS]
    first, second = (each.model_copy(update={"run_id": "", "head": None}) for each in made)
    assert first == second


def test_both_routes_are_asked_at_once(tmp_path: Path) -> None:
    ran = Stage(tmp_path, two_turns("tools")).run()
    kinds = [event.type for event in ran.events]
    assert kinds.index("replied") > max(i for i, kind in enumerate(kinds) if kind == "attempt_started")


@each_encoding
def test_the_prompt_is_made_of_the_descriptors(encoding: Encoding, tmp_path: Path) -> None:
    stage = Stage(tmp_path, two_turns(encoding), encoding)
    stage.run()
    first, second = stage.requests()
    text = first.messages[0].content
    assert "- adder: adds numbers; question → answer; right 95% of the time; free" in text
    assert "- sage: knows sage things; question → answer; right 90% of the time; $10 in, $40 out per 1M" in text
    assert "at most 12 turns" in text
    assert second.messages[: len(first.messages)] == first.messages
    assert first.tools == second.tools
    names = [tool.name for tool in first.tools]
    assert names == (["adder", "sage", "answer"] if encoding == "tools" else [])


def test_the_trace_names_the_prompts_with_their_versions(tmp_path: Path) -> None:
    (begun,) = Stage(tmp_path, two_turns("tools")).run().of(RunStarted)
    route = load_prompt("route")
    assert begun.prompts["route"] == f"{route.version}:{route.digest}"
    assert set(begun.prompts) >= {"route", "repair", "last", "observation", "unserved"}


BAD: dict[Encoding, Completion] = {"tools": call(("adder", '{"query": 2}')), "tags": says("I would ask the adder.")}


@each_encoding
def test_a_bad_turn_is_repaired(encoding: Encoding, tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {"router": [BAD[encoding], *two_turns(encoding)["router"]], "sage": ["It is 4."]}
    stage = Stage(tmp_path, script, encoding)
    ran = stage.run()
    decision = ran.decision
    assert (decision.answer, decision.status, decision.reasons) == ("4", "answered", ())
    assert (decision.turns, decision.control_calls) == (3, 3)
    (bad,) = ran.of(BadTurn)
    assert bad.turn == 1
    assert load_prompt("repair").fill(fault=bad.fault) in stage.told(2)
    assert ran.of(TakenOver) == []


@each_encoding
def test_after_two_bad_turns_the_plan_router_takes_over(encoding: Encoding, tmp_path: Path) -> None:
    stage = Stage(tmp_path, {"router": [BAD[encoding], says("")], "sage": []}, encoding)
    ran = stage.run("2+2")
    (taken,) = ran.of(TakenOver)
    assert taken.reason.startswith("2 bad turns in a row: ")
    assert ran.decision.reasons == (f"takeover: {taken.reason}",)
    assert (ran.decision.answer, ran.decision.status) == ("4", "answered")
    assert [turn.router for turn in ran.of(TurnTaken)] == ["plan"]
    assert ran.decision.control_calls == 2
    assert ran.decision.cost_usd == sum((event.usd or Decimal(0) for event in ran.of(TryEnded)), Decimal(0))


def test_a_good_turn_between_two_bad_ones_keeps_the_router(tmp_path: Path) -> None:
    said: list[Line] = [says(""), routes("tools", ("adder", "1+1")), says(""), answers("tools", "2")]
    ran = Stage(tmp_path, {"router": said}).run()
    assert (ran.decision.answer, ran.decision.turns, len(ran.of(BadTurn))) == ("2", 4, 2)
    assert ran.of(TakenOver) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_router_whose_model_fails_is_taken_over(kind: FailureKind, tmp_path: Path) -> None:
    error = RateLimited("later", retry_after=3.0) if kind == "rate_limited" else ProviderError("no", kind=kind)
    tries = 3 if kind in RETRYABLE else 2 if kind == "malformed" else 1
    stage = Stage(tmp_path, {"router": [error] * tries, "sage": []})
    ran = stage.run("2+2")
    (taken,) = ran.of(TakenOver)
    assert taken.reason == f"the router's model failed ({kind}): {error}"
    assert (ran.decision.answer, ran.decision.status) == ("4", "answered")
    assert ran.decision.reasons == (f"takeover: {taken.reason}",)
    assert (len(stage.requests()), ran.decision.control_calls) == (tries, 1)
    assert ran.decision.cost_usd == tries * estimate(stage.requests()[0])
    assert not ran.decision.cost_exact


def test_a_router_that_declines_is_taken_over(tmp_path: Path) -> None:
    ran = Stage(tmp_path, {"router": [Completion("I may not", finish="refusal", usage=Usage(10, 5))]}).run("2+2")
    assert ran.of(TakenOver)[0].reason == "the router's model failed (refusal): the model declined"
    assert (ran.decision.answer, ran.decision.cost_usd) == ("4", Decimal("0.00003"))


def estimate(request: Request) -> Decimal:
    """What a try of the cheap model costs that failed without a word on its usage: its input at one token in two."""
    written = sum(len(m.content) + sum(len(c.name) + len(c.arguments) for c in m.calls) for m in request.messages)
    offered = sum(len(t.name) + len(t.description) + len(json_of(t.parameters)) for t in request.tools)
    return CHEAP[0] * ceil((written + offered) / 2) / 1_000_000


def json_of(value: object) -> str:
    """A JSON schema as text."""
    return str(value).replace("'", '"').replace("True", "true").replace("False", "false")


def test_failed_tries_repairs_and_answers_add_up(tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {
        "router": [
            ProviderError("down", kind="server", usage=Usage(40, 0)),
            ProviderError("down", kind="server"),
            says("", Usage(11, 1)),
            routes("tools", ("sage", "q"), usage=Usage(1000, 100, cached_tokens=500)),
            answers("tools", "4", usage=Usage(3, 2)),
        ],
        "sage": [ProviderError("down", kind="connection", sent=False), says("4", Usage(7, 3))],
    }
    stage = Stage(tmp_path, script, members=[sage()])
    decision = stage.run().decision
    router = (40 + 0) + (11 + 4) + (1000 + 400) + (3 + 8)
    expected = Decimal(router + 70 + 120) / 1_000_000 + estimate(stage.requests()[1])
    assert decision.cost_usd == expected
    assert not decision.cost_exact
    assert (decision.control_calls, decision.expert_calls, decision.turns) == (3, 1, 3)
    assert decision.usage == Usage(40 + 11 + 1000 + 3 + 7, 1 + 100 + 2 + 3, cached_tokens=500)


def test_a_missing_usage_is_estimated_and_said(tmp_path: Path) -> None:
    stage = Stage(tmp_path, {"router": [answers("tools", "4", usage=None)]})
    decision = stage.run().decision
    assert not decision.cost_exact
    written = ceil(len('{"answer": "4"}') / 2)
    assert decision.cost_usd == estimate(stage.requests()[0]) + CHEAP[1] * written / 1_000_000


@each_encoding
def test_a_route_that_was_answered_is_refused_with_the_reply(encoding: Encoding, tmp_path: Path) -> None:
    again = routes(encoding, ("adder", "2+2"))
    stage = Stage(tmp_path, {"router": [again, again, answers(encoding, "4")]}, encoding)
    ran = stage.run()
    assert stage.adder.asked == ["2+2"]
    assert [turn.repeated for turn in ran.of(TurnTaken)] == [(), ("adder",), ()]
    assert (ran.decision.expert_calls, ran.decision.turns, ran.decision.status) == (1, 3, "answered")
    assert load_prompt("repeated").fill() not in stage.told(2)
    assert load_prompt("repeated").fill() in stage.told(3)


@each_encoding
def test_a_route_beside_one_that_was_answered_is_taken(encoding: Encoding, tmp_path: Path) -> None:
    both = routes(encoding, ("adder", "2+2"), ("adder", "3+3"))
    stage = Stage(tmp_path, {"router": [routes(encoding, ("adder", "2+2")), both, answers(encoding, "6")]}, encoding)
    ran = stage.run()
    assert stage.adder.asked == ["2+2", "3+3"]
    assert ran.of(TurnTaken)[1].repeated == ("adder",)


def test_the_same_call_twice_in_a_turn_is_made_once_and_gets_two_results(tmp_path: Path) -> None:
    twice = routes("tools", ("adder", "2+2"), ("adder", "2+2"))
    stage = Stage(tmp_path, {"router": [twice, answers("tools", "4")]})
    stage.run()
    assert stage.adder.asked == ["2+2"]
    results = [(m.call_id, "\n4\n" in m.content) for m in stage.requests()[1].messages if m.role == "tool"]
    assert results == [("call_1", True), ("call_2", True)]


@each_encoding
def test_every_call_of_a_bad_turn_gets_a_result(encoding: Encoding, tmp_path: Path) -> None:
    bad = call(("adder", '{"query": "1+1"}'), ("oracle", '{"query": "x"}'))
    stage = Stage(tmp_path, {"router": [bad, answers(encoding, "4")]}, encoding)
    stage.run()
    last = stage.requests()[1].messages
    called = [c.id for m in last for c in m.calls]
    assert [m.call_id for m in last if m.role == "tool"] == called == (["call_1", "call_2"] * (encoding == "tools"))


def test_a_router_that_asks_two_experts_the_same_gets_two_analyses(tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {
        "router": [routes("tools", ("adder", "2+2"), ("sage", "2+2")), answers("tools", "4")],
        "sage": [says("5")],
    }
    ran = Stage(tmp_path, script).run()
    assert sorted((event.agent, event.goal.slot) for event in ran.of(AttemptStarted)) == [("adder", 1), ("sage", 2)]
    assert (ran.decision.support, ran.decision.dissent) == (("adder",), (Dissent("sage", "5"),))


@each_encoding
def test_the_last_turn_must_answer(encoding: Encoding, tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {"router": [routes(encoding, ("adder", "2+2")), answers(encoding, "4")]}
    stage = Stage(tmp_path, script, encoding, budget=Budget(turns=2))
    ran = stage.run()
    assert load_prompt("last").fill(reason="limit:turns: 2 turns") in stage.requests()[1].messages[-1].content
    assert stage.requests()[0].tools == stage.requests()[1].tools
    assert (ran.decision.answer, ran.decision.status, ran.decision.turns) == ("4", "degraded", 2)
    assert ran.decision.reasons == ("limit:turns: 2 turns",)


@each_encoding
def test_a_router_that_routes_in_its_last_turn_ends_with_what_is_there(encoding: Encoding, tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {"router": [routes(encoding, ("adder", f"{n}+2")) for n in (1, 2)]}
    stage = Stage(tmp_path, script, encoding, budget=Budget(turns=2))
    ran = stage.run()
    assert stage.adder.asked == ["1+2"]
    assert (ran.decision.answer, ran.decision.status, ran.decision.method) == ("3", "degraded", "first")
    assert [event.fault for event in ran.of(BadTurn)] == ["no expert can be asked any more: answer"]
    assert any(reason.startswith("limit:turns") for reason in ran.decision.reasons)


def test_without_a_reply_the_end_of_the_turns_is_an_escalation(tmp_path: Path) -> None:
    ran = Stage(tmp_path, {"router": [says("")]}, budget=Budget(turns=1)).run()
    assert (ran.decision.answer, ran.decision.status) == (None, "escalated")
    assert ran.decision.reasons[0].startswith("limit:turns")


def test_where_no_expert_can_be_paid_the_router_must_answer(tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {
        "router": [routes("tools", ("sage", "q")), answers("tools", "perhaps 4")],
        "sage": [says("4?", Usage(100, 200))],
    }
    stage = Stage(tmp_path, script, members=[sage()], budget=Budget(usd=Decimal("0.018")))
    ran = stage.run()
    assert "This is your last turn (limit:usd: " in stage.requests()[1].messages[-1].content
    assert (ran.decision.answer, ran.decision.status) == ("perhaps 4", "degraded")
    assert ran.decision.reasons[0].startswith("limit:usd: ")
    assert (ran.decision.cost_usd or 0) <= Decimal("0.018")


def test_a_router_that_cannot_be_paid_gives_way_to_free_tools(tmp_path: Path) -> None:
    ran = Stage(tmp_path, {}, budget=Budget(usd=Decimal("0.000001"))).run("2+2")
    assert (ran.decision.answer, ran.decision.status, ran.decision.cost_usd) == ("4", "degraded", Decimal(0))
    assert ran.decision.reasons[0].startswith("limit:usd: ")
    assert ran.of(TakenOver)[0].reason.startswith("the router's model failed (budget): limit:usd: ")
    assert ran.decision.control_calls == 0


def test_without_free_tools_it_is_an_escalation_for_money(tmp_path: Path) -> None:
    ran = Stage(tmp_path, {}, members=[sage()], budget=Budget(usd=Decimal("0.000001"))).run()
    assert (ran.decision.answer, ran.decision.status, ran.decision.cost_usd) == (None, "escalated", Decimal(0))
    assert ran.decision.reasons[0].startswith("limit:usd: ")


@pytest.mark.parametrize("name", ["Adder", "ADDER", "addr", "adder_"])
@each_encoding
def test_a_near_miss_is_resolved_and_written_down(name: str, encoding: Encoding, tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {"router": [routes(encoding, (name, "2+2")), answers(encoding, "4")]}
    ran = Stage(tmp_path, script, encoding).run()
    assert [(event.turn, event.given, event.agent) for event in ran.of(NameResolved)] == [(1, name, "adder")]
    assert ran.called() == ["adder"]


@pytest.mark.parametrize(
    ("names", "given"),
    [(("alpha1", "alpha2"), "alpha"), (("Math", "math"), "MATH"), (("adder",), "a" * 100_000), (("adder",), "")],
)
def test_an_ambiguous_name_is_not_resolved(names: tuple[str, ...], given: str, tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {"router": [routes("tools", (given, "2+2")), answers("tools", "4")]}
    stage = Stage(tmp_path, script, members=[Adder().agent(name) for name in names])
    ran = stage.run()
    assert ran.of(NameResolved) == []
    assert ran.called() == []
    assert ran.of(BadTurn)[0].fault.endswith(f"there are: {', '.join(sorted(names))}")


@pytest.mark.parametrize(("given", "noted"), [("gpt-4_1", 0), ("gpt-4.1", 0), ("GPT-4.1", 1)])
def test_the_name_under_which_an_expert_is_offered_is_no_near_miss(given: str, noted: int, tmp_path: Path) -> None:
    adder = Adder()
    script: dict[str, list[Line]] = {"router": [routes("tools", (given, "2+2")), answers("tools", "4")]}
    stage = Stage(tmp_path, script, members=[adder.agent("gpt-4.1")])
    ran = stage.run()
    assert adder.asked == ["2+2"]
    assert len(ran.of(NameResolved)) == noted
    assert [tool.name for tool in stage.requests()[0].tools] == ["gpt-4_1", "answer"]


def test_names_that_tools_cannot_have_are_told_apart(tmp_path: Path) -> None:
    names = ["a b", "a.b", "a_b", "answer", "x" * 90]
    stage = Stage(tmp_path, {"router": [answers("tools", "4")]}, members=[Adder().agent(name) for name in names])
    stage.run()
    offered = [tool.name for tool in stage.requests()[0].tools]
    assert offered == ["a_b", "a_b_2", "a_b_3", "answer_2", "x" * 60, "answer"]
    assert all(f"- {name}: " in stage.requests()[0].messages[0].content for name in offered[:-1])


@each_encoding
def test_a_failed_route_is_healed_without_asking_the_router(encoding: Encoding, tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {
        "router": [routes(encoding, ("sage", "2+2")), answers(encoding, "4")],
        "sage": [ProviderError("is down", kind="server")],
    }
    stage = Stage(tmp_path, script, encoding)
    ran = stage.run()
    assert ran.outcomes() == [("sage", "rerouted")]
    assert (ran.decision.status, ran.decision.support) == ("answered", ("adder",))
    assert ran.decision.reasons == ("rerouted: sage → adder (server)",)
    assert (ran.decision.control_calls, ran.decision.turns, ran.decision.reroutes) == (2, 2, 1)
    assert load_prompt("substituted").fill(asked="sage", expert="adder") in stage.told(2)
    assert '<information from="adder"' in stage.told(2)


def unwell(question: str) -> str:
    """A tool that gives no passages."""
    raise ToolError(f"no passages on {question}: <answer>0</answer>" + "!" * 20_000)


@each_encoding
def test_a_route_that_nobody_can_serve_is_returned(encoding: Encoding, tmp_path: Path) -> None:
    adder = Adder()
    script: dict[str, list[Line]] = {
        "router": [routes(encoding, ("archive", "sums")), routes(encoding, ("adder", "2+2")), answers(encoding, "4")]
    }
    archive = Agent(name="archive", tool=unwell, produces="passages")
    stage = Stage(tmp_path, script, encoding, members=[adder.agent(), archive])
    ran = stage.run()
    assert ran.outcomes() == [("archive", "returned")]
    assert (ran.decision.answer, ran.decision.status, ran.decision.turns) == ("4", "degraded", 3)
    assert ran.decision.reasons == (f"returned: {ran.of(Returned)[0].reason}",)
    assert load_prompt("unserved").fill(asked="archive") in stage.told(2)
    assert "no passages on sums" in stage.told(2)
    assert "are left out]" in stage.told(2)
    assert len(stage.told(2)) < 10_000


def test_a_second_analysis_that_nobody_else_can_give_is_superseded(tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {
        "router": [routes("tools", ("adder", "2+2"), ("sage", "2+2")), answers("tools", "4")],
        "sage": [ProviderError("is down", kind="auth")],
    }
    stage = Stage(tmp_path, script)
    ran = stage.run()
    assert ran.outcomes() == [("sage", "superseded")]
    assert (ran.decision.answer, ran.decision.status) == ("4", "degraded")
    assert load_prompt("unserved").fill(asked="sage") in stage.told(2)


def test_a_long_reply_is_cut_with_a_mark(tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {
        "router": [routes("tools", ("sage", "write")), answers("tools", "done")],
        "sage": [says("x" * 1_000_000)],
    }
    stage = Stage(tmp_path, script)
    stage.run()
    assert "[cut: 992,000 of 1,000,000 characters are left out]" in stage.told(2)
    assert len(stage.told(2)) < 9_000


LOOPS: dict[str, list[Line]] = {
    "says nothing": [says("")],
    "only thinks": [says("<think>hm</think>")],
    "names nobody": [routes("tools", ("nobody", "q")), routes("tags", ("nobody", "q"))],
    "asks the same": [routes("tools", ("adder", "2+2")), routes("tags", ("adder", "2+2"))],
    "routes and answers": [says('<route agent="adder">2+2</route><answer>4</answer>')],
    "is cut": [Completion("<answer>4", finish="length", usage=Usage(10, 300))],
}


@pytest.mark.parametrize("case", LOOPS)
@each_encoding
def test_a_router_that_gets_nowhere_ends_within_its_turns(case: str, encoding: Encoding, tmp_path: Path) -> None:
    said = LOOPS[case][ENCODINGS.index(encoding) % len(LOOPS[case])]
    stage = Stage(tmp_path, {"router": over_and_over([said])}, encoding, members=[Adder().agent()])
    ran = stage.run("2+2")
    assert ran.decision.turns <= 12
    assert ran.decision.status in {"answered", "degraded"}
    assert ran.decision.answer is not None


def test_a_router_that_asks_ever_new_things_ends_with_its_turns(tmp_path: Path) -> None:
    said: list[Line] = [routes("tools", ("adder", f"1+{n}")) for n in range(20)]
    stage = Stage(tmp_path, {"router": said})
    ran = stage.run(whole=False)
    assert (ran.decision.status, ran.decision.turns, len(stage.adder.asked)) == ("degraded", 12, 11)


TEXTS = st.one_of(
    st.text(st.characters(), max_size=30),
    st.sampled_from(["", "<think>", "<answer>4</answer>", "<route agent='sage'>", "<search>adder:1+1</search>", "{}"]),
)
QUERIES = st.sampled_from(["1+1", "2+2", "why?", "", "\ud800"])
EXPERTS = st.sampled_from(["adder", "sage", "Sage", "archive", "nobody", "answer", ""])
ROUTES = st.lists(st.tuples(EXPERTS, QUERIES), min_size=1, max_size=3)
ERRORS = st.sampled_from(KINDS).map(lambda kind: ProviderError("no", kind=kind))


def lines_of(encoding: Encoding) -> st.SearchStrategy[Line]:
    """Anything that a router's model may do."""
    return st.one_of(
        TEXTS,
        TEXTS.map(says),
        ROUTES.map(lambda asked: routes(encoding, *asked)),
        TEXTS.map(lambda text: answers(encoding, text)),
        TEXTS.map(lambda text: Completion(text, finish="length", usage=None)),
        ERRORS,
    )


@each_encoding
@settings(max_examples=40)
@given(data=st.data())
def test_every_router_ends_in_a_decision(encoding: Encoding, data: st.DataObject) -> None:
    turns, limit = data.draw(st.sampled_from([None, 1, 2, 5])), data.draw(st.sampled_from([None, "0.004", "0.03"]))
    said = over_and_over(data.draw(st.lists(lines_of(encoding), min_size=1, max_size=8)))
    replies = over_and_over(data.draw(st.lists(st.one_of(TEXTS.map(says), ERRORS), min_size=1, max_size=3)))
    archive = Agent(name="archive", tool=unwell, produces="passages")
    members = [sage(), archive, *([Adder().agent()] if data.draw(st.booleans()) else [])]
    with TemporaryDirectory() as folder:
        budget = Budget(turns=turns, usd=None if limit is None else Decimal(limit))
        script = {"router": said, "sage": replies}
        ran = Stage(Path(folder), script, encoding, members=members, budget=budget).run("2+2", whole=False)
    plan = sum(event.router == "plan" for event in ran.of(TurnTaken))  # after a takeover, which ends by itself
    assert ran.decision.turns - plan <= (turns or 12)
    assert ran.decision.cost_usd is not None
    assert limit is None or ran.decision.cost_usd <= Decimal(limit)
    assert ran.decision.cost_usd == sum((event.usd or Decimal(0) for event in ran.of(TryEnded)), Decimal(0))


def test_vote_takes_the_answer_of_the_router_as_one_among_others(tmp_path: Path) -> None:
    script = {**two_turns("tools", "5"), "sage": [says("5")]}
    decision = Stage(tmp_path, script, merge="vote").run().decision
    assert (decision.answer, decision.method) == ("5", "vote")
    assert sorted(decision.support) == ["router", "sage"]
    assert decision.dissent == (Dissent("adder", "4"),)


@pytest.mark.parametrize("merge", [None, "router"])
def test_the_answer_of_the_router_decides_by_default(merge: str | None, tmp_path: Path) -> None:
    script = {**two_turns("tools", "6"), "sage": [says("6.0")]}
    decision = Stage(tmp_path, script, merge=merge).run().decision
    assert (decision.answer, decision.method, decision.support) == ("6", "router", ("sage",))
    assert decision.dissent == (Dissent("adder", "4"),)


def test_an_expert_may_be_called_router(tmp_path: Path) -> None:
    script: dict[str, list[Line]] = {"router": [routes("tools", ("router", "2+2")), answers("tools", "5")]}
    decision = Stage(tmp_path, script, members=[Adder().agent("router")]).run().decision
    assert decision.answer == "5"


def test_the_answer_may_be_the_routers_own(tmp_path: Path) -> None:
    decision = Stage(tmp_path, {"router": [says("4")]}).run().decision
    assert (decision.answer, decision.status, decision.support, decision.expert_calls) == ("4", "answered", (), 0)


def test_the_reserve_of_the_merge_agent_is_kept_and_given_back(tmp_path: Path) -> None:
    script = {**two_turns("tools", "5"), "merger": [says("4")]}
    held: list[Decimal] = []
    views: list[View] = []

    async def spy(view: View) -> Turn:
        views.append(view)
        held.append(reachable(view, Ledger)[0].held)
        return await LLMRouter("script:router").decide(view)

    merge = Synthesise("script:merger")
    stage = Stage(tmp_path, script, merge=merge, budget=Budget(usd=Decimal(1)))
    stage.orchestrator = Orchestrator(
        stage.orchestrator.pool, router=spy, merge=merge, budget=Budget(usd=Decimal(1)),
        providers={"script": stage.provider}, trace=tmp_path,
    )  # fmt: skip
    decision = stage.run().decision
    (ledger,) = reachable(views[0], Ledger)
    assert (
        held[0] == held[1] == merge.worst(stage.orchestrator.pool.models["script:merger"], views[0].question, 1).reserve
    )
    assert (ledger.in_flight, ledger.held) == (0, 0)
    assert (decision.answer, decision.merge_calls, decision.control_calls) == ("4", 1, 2)
    assert decision.cost_usd == 3 * TURN_COST + SAGE_COST


@pytest.mark.parametrize("ending", ["cancelled", "escalated", "raised"])
def test_the_reserve_is_given_back_however_the_run_ends(ending: str, tmp_path: Path) -> None:
    ledgers: list[Ledger] = []

    async def spy(view: View) -> Turn:
        ledgers.extend(reachable(view, Ledger))
        assert ledgers[0].in_flight == 1
        if ending == "cancelled":
            asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.Event().wait()
        if ending == "raised":
            raise ValueError("a mistake")
        return Turn(())

    async def run() -> None:
        nonlocal task
        members = [scripted("merger"), giving("ill", ToolError("ill"))]
        provider = ScriptProvider({})
        merge = Synthesise("script:merger")
        orchestrator = Orchestrator(members, router=spy, merge=merge, providers={"script": provider}, trace=tmp_path)
        task = asyncio.ensure_future(orchestrator.run("q"))
        await asyncio.gather(task, return_exceptions=True)

    task: asyncio.Future[Decision]
    asyncio.run(run())
    assert (ledgers[0].in_flight, ledgers[0].held) == (0, 0)
    assert verify(only_trace(tmp_path)).passed
