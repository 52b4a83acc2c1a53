"""The way of a question, through the front door: straight, rerouted, demoted, escalated, and every trace verified."""
# ruff: noqa: ARG001 - experts of tests need not look at what they are given

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from orchestrator import (
    Agent,
    Answer,
    Budget,
    ConfigError,
    Goal,
    Model,
    Orchestrator,
    Pool,
    ProviderError,
    Route,
    Turn,
    Usage,
    View,
    expert,
)
from orchestrator.errors import FailureKind, RateLimited
from orchestrator.trace.events import Planned, Rerouted
from tests.experts import Sold, Vendor, at_once, chain, failing, giving, sold
from tests.runs import QUESTION, ask, hold_to_the_rules, only_trace


def never(question: str) -> float:
    """The claim of a tool that takes no question."""
    return 0.0


def test_a_question_goes_straight(tmp_path: Path) -> None:
    ran = ask(Orchestrator([giving("a", "42"), giving("b", "43", skill=0.4)], trace=tmp_path), tmp_path)
    decision = ran.decision
    assert (decision.answer, decision.status, decision.goal, decision.method) == ("42", "answered", "answer", "first")
    assert (decision.support, decision.dissent, decision.failed, decision.reasons) == (("a",), (), (), ())
    assert (decision.cost_usd, decision.cost_exact, decision.usage) == (Decimal(0), True, Usage())
    assert (decision.turns, decision.expert_calls, decision.reroutes) == (1, 1, 0)
    assert (decision.control_calls, decision.merge_calls) == (0, 0)
    assert [event.type for event in ran.events] == snapshot(
        [
            "run_started",
            "turn",
            "planned",
            "attempt_started",
            "try_started",
            "try_ended",
            "replied",
            "merged",
            "run_ended",
        ]
    )


def test_a_failure_is_rerouted(tmp_path: Path) -> None:
    ran = ask(Orchestrator([failing("a"), giving("b", "42")], trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("42", "answered")
    assert ran.decision.reasons == ("rerouted: a → b (tool)",)
    assert [(failed.agent, failed.kind, failed.error, failed.tries) for failed in ran.decision.failed] == [
        ("a", "tool", "a is ill", 1)
    ]
    assert ran.outcomes() == [("a", "rerouted")]
    assert (ran.of(Rerouted)[0].to, ran.decision.turns) == ("b", 1)


def test_equal_weights_go_by_name(tmp_path: Path) -> None:
    members = [giving("c"), giving("a"), giving("b")]
    assert ask(Orchestrator(members, trace=tmp_path), tmp_path).called() == ["a"]
    assert ask(Orchestrator(members, analyses=2, trace=tmp_path), tmp_path).called() == ["a", "b"]


@pytest.mark.parametrize(
    ("broken", "answer", "calls"),
    [
        ((), "write(Q, search(Q))", {"search": 1, "write": 1}),
        (("search",), "write(Q, scan(Q))", {"search": 1, "scan": 1, "write": 1}),
        (("write",), "draft(search(Q))", {"search": 1, "write": 1, "draft": 1}),
        (("search", "write"), "draft(scan(Q))", {"search": 1, "scan": 1, "write": 1, "draft": 1}),
        (("search", "scan"), None, {"search": 1, "scan": 1}),
        (("write", "draft"), None, {"search": 1, "write": 1, "draft": 1}),
    ],
)
def test_a_chain_recovers_from_what_is_there(
    broken: tuple[str, ...], answer: str | None, calls: dict[str, int], tmp_path: Path
) -> None:
    counts: Counter[str] = Counter()
    ran = ask(Orchestrator(chain(counts, broken), trace=tmp_path), tmp_path, "Q")
    assert ran.decision.answer == answer
    assert ran.decision.status == ("answered" if answer else "escalated")
    assert counts == calls
    assert len(ran.decision.failed) == len(broken)


def test_a_join_waits_for_both_inputs_and_asks_for_them_side_by_side(tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=5)

    def met(text: str) -> Callable[[], str]:
        def wait() -> str:
            together.wait()
            return text

        return wait

    def both(left: str, right: str) -> str:
        return left + right

    members = [
        giving("one", met("4"), produces="left"),
        giving("other", met("2"), produces="right"),
        Agent(name="both", tool=both, consumes=("left", "right")),
    ]
    ran = ask(Orchestrator(members, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.turns) == ("42", 2)
    assert ran.called() == ["one", "other", "both"]


def test_a_join_whose_inputs_both_fail_is_rerouted_twice(tmp_path: Path) -> None:
    members = [
        failing("one", produces="left"),
        failing("other", produces="right"),
        giving("second", "4", produces="left", skill=0.2),
        giving("spare", "2", produces="right", skill=0.2),
        giving("both", "42", consumes=("left", "right")),
    ]
    ran = ask(Orchestrator(members, trace=tmp_path), tmp_path)
    assert ran.decision.answer == "42"
    assert ran.outcomes() == [("one", "rerouted"), ("other", "rerouted")]
    assert [event.to for event in ran.of(Rerouted)] == ["second", "spare"]


def test_a_direct_way_replaces_a_broken_chain(tmp_path: Path) -> None:
    search = failing("search", produces="passages")
    members = [search, giving("write", consumes=("passages",)), giving("guess", skill=0.1)]
    ran = ask(Orchestrator(members, trace=tmp_path), tmp_path)
    assert ran.called() == ["search", "guess"]
    assert ran.decision.status == "answered"


CITED = Pool(
    [
        giving("answer", "42", skill=0.9),
        failing("cite", produces="cited_answer", consumes=("answer",)),
    ],
    goals=["cited_answer", "answer"],
)


def test_a_lost_goal_is_demoted_and_the_decision_degraded(tmp_path: Path) -> None:
    ran = ask(Orchestrator(CITED, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status, ran.decision.goal) == ("42", "degraded", "answer")
    assert ran.decision.reasons == ("demoted: cited_answer → answer",)
    assert ran.outcomes() == [("cite", "demoted")]
    assert ran.called() == ["answer", "cite"], "what is there is not produced again"


def test_an_asked_goal_is_never_raised(tmp_path: Path) -> None:
    ran = ask(Orchestrator(CITED, trace=tmp_path), tmp_path, goal="answer")
    assert (ran.decision.status, ran.called()) == ("answered", ["answer"])
    with pytest.raises(ConfigError, match="did you mean `cited_answer`"):
        Orchestrator(CITED, trace=False).run_sync(QUESTION, goal="cited_anser")


def test_a_goal_without_a_path_is_demoted_before_anybody_is_called(tmp_path: Path) -> None:
    cite = giving("cite", produces="cited_answer").model_copy(update={"claim": never})
    pool = Pool([cite, giving("a", "42")], goals=["cited_answer", "answer"])
    ran = ask(Orchestrator(pool, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("42", "degraded")
    assert [event.type for event in ran.events][1:5] == ["demoted", "noted", "turn", "planned"]


def test_what_is_there_serves_a_lower_goal_that_can_no_longer_be_paid(tmp_path: Path) -> None:
    pool = Pool(
        [
            Model(name="openai:m"),
            Agent(name="a", model="openai:m"),
            failing("cite", produces="cited_answer", consumes=("answer",)),
        ],
        goals=["cited_answer", "answer"],
    )
    vendor, budget = Vendor({"m": Sold("42", usd=Decimal(6))}), Budget(usd=Decimal(10))
    ran = ask(Orchestrator(pool, providers={"openai": vendor}, budget=budget, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status, ran.decision.goal) == ("42", "degraded", "answer")
    assert ran.outcomes() == [("cite", "demoted")]


def test_nothing_left_is_escalated_with_what_was_tried(tmp_path: Path) -> None:
    ran = ask(Orchestrator([failing("a"), failing("b", skill=0.3)], trace=tmp_path), tmp_path)
    decision = ran.decision
    assert (decision.answer, decision.status, decision.method, decision.support) == (None, "escalated", None, ())
    assert decision.reasons == snapshot(
        (
            "nobody is left who can give `answer`",
            "tried: a failed after 1 try (tool): a is ill",
            "tried: b failed after 1 try (tool): b is ill",
            "rerouted: a → b (tool)",
        )
    )
    assert ran.outcomes() == [("a", "rerouted"), ("b", "escalated")]


def test_a_question_nobody_takes_says_what_would_help(tmp_path: Path) -> None:
    @expert(claim=never)
    def sums(question: str) -> str:
        return ""

    ran = ask(Orchestrator([sums], trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.called()) == ("escalated", [])
    nobody, no_model = ran.decision.reasons
    assert nobody == "nobody is left who can give `answer`"
    assert no_model.startswith("no language model is in this pool: ")


def test_three_analyses_by_distinct_experts_vote(tmp_path: Path) -> None:
    members = [giving("a", "41"), giving("b", "42.0", skill=0.4), giving("c", "42", skill=0.3), giving("d", skill=0.1)]
    ran = ask(Orchestrator(members, analyses=3, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status, ran.decision.method) == ("42.0", "answered", "vote")
    assert ran.decision.support == ("b", "c")
    assert [(one.agent, one.answer) for one in ran.decision.dissent] == [("a", "41")]
    assert (ran.called(), ran.decision.turns) == (["a", "b", "c"], 1)


def test_a_failed_analysis_is_replaced_by_another_expert(tmp_path: Path) -> None:
    members = [giving("a", "42"), failing("b", skill=0.4), giving("c", "42", skill=0.3), giving("d", "42", skill=0.1)]
    ran = ask(Orchestrator(members, analyses=3, trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.decision.support) == ("answered", ("a", "d", "c"))
    assert ran.outcomes() == [("b", "rerouted")]


def test_an_analysis_nobody_is_left_for_is_given_up(tmp_path: Path) -> None:
    members = [giving("a", "42"), failing("b", skill=0.4), giving("c", "42", skill=0.3)]
    ran = ask(Orchestrator(members, analyses=3, trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.decision.support) == ("degraded", ("a", "c"))
    assert ran.outcomes() == [("b", "superseded")]
    assert ran.decision.reasons == ("no further distinct expert for analysis 2", "analyses: 2 of 3")


def test_more_analyses_than_experts(tmp_path: Path) -> None:
    ran = ask(Orchestrator([giving("a")], analyses=3, trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.decision.reasons) == ("degraded", ("analyses: 1 of 3",))


def test_all_analyses_failed(tmp_path: Path) -> None:
    ran = ask(Orchestrator([failing("a"), failing("b")], analyses=2, trace=tmp_path), tmp_path)
    assert ran.decision.status == "escalated"
    assert ran.outcomes() == [("a", "escalated"), ("b", "escalated")]


def test_analyses_share_the_stages_before_them(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    ran = ask(Orchestrator(chain(counts), analyses=2, trace=tmp_path), tmp_path, "Q")
    assert counts == {"search": 1, "write": 1, "draft": 1}
    assert (ran.decision.status, ran.decision.turns) == ("answered", 2)


def test_a_direct_analysis_may_take_over_a_chain_that_broke_for_another(tmp_path: Path) -> None:
    members = [
        failing("guess", skill=1.0),
        giving("search", "P", produces="passages", skill=0.5),
        giving("write", "42", consumes=("passages",), skill=0.5),
    ]
    ran = ask(Orchestrator(members, analyses=2, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("42", "degraded")
    assert ran.called() == ["guess", "search", "write"]


@pytest.mark.parametrize("usd", ["0.5", "0"])
def test_money_that_pays_for_nobody_escalates(usd: str, tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(usd=Decimal(1)), "b": Sold(usd=Decimal(2))})
    ran = ask(sold(vendor, {"a": 0.5, "b": 0.9}, budget=Budget(usd=Decimal(usd)), trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.called()) == ("escalated", [])
    assert ran.decision.reasons[0] == f"limit:usd: a try may cost $1, ${usd} of ${usd} are left"
    assert ran.decision.cost_usd == 0


def dear(name: str, *, consumes: tuple[str, ...], skill: float = 0.5, produces: str = "answer") -> list[Model | Agent]:
    """An expert that is sold for more than there is."""
    agent = Agent(name=name, model=f"openai:{name}", consumes=consumes, skill=skill, produces=produces)
    return [Model(name=f"openai:{name}"), agent]


@pytest.mark.parametrize(
    ("members", "limit"),
    [
        pytest.param(
            [failing("find", skill=0.0, produces="passages"), *dear("write", consumes=("passages",))],
            False,
            id="inputs",
        ),
        pytest.param([failing("a"), *dear("b", consumes=("question",), skill=0.0)], False, id="p = 0"),
        pytest.param(
            [failing("find", produces="passages"), failing("write", consumes=("passages",)),
             *dear("scan", consumes=("question",), produces="notes")],
            False,
            id="nobody needs it",
        ),
        pytest.param(
            [failing("find", produces="passages"), *dear("scan", consumes=("question",), produces="passages"),
             *dear("write", consumes=("passages",))],
            True,
            id="two stages",
        ),
        pytest.param([failing("a"), *dear("b", consumes=("question",))], True, id="the other one"),
    ],
)  # fmt: skip
def test_money_is_the_cause_only_where_more_of_it_would_help(
    members: list[Model | Agent], limit: bool, tmp_path: Path
) -> None:
    vendor = Vendor(
        {each.name.removeprefix("openai:"): Sold(usd=Decimal(1)) for each in members if isinstance(each, Model)}
    )
    budget = Budget(usd=Decimal("0.5"))
    ran = ask(Orchestrator(members, providers={"openai": vendor}, budget=budget, trace=tmp_path), tmp_path)
    assert (ran.decision.status, sum(vendor.tries.values())) == ("escalated", 0)
    assert any(reason.startswith("limit:") for reason in ran.decision.reasons) == limit, ran.decision.reasons
    assert ran.decision.reasons[0].startswith("limit:usd: a try may cost $1, " if limit else "nobody is left")


def test_where_two_limits_stand_in_the_way_neither_alone_is_the_cause(tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(usd=Decimal(1), usage=Usage(60, 40))})
    budget = Budget(usd=Decimal("0.5"), tokens=99)
    ran = ask(sold(vendor, {"a": 0.9}, budget=budget, trace=tmp_path), tmp_path)
    assert ran.decision.status == "escalated"
    assert "a: limit:usd: a try may cost $1, $0.5 of $0.5 are left" in ran.decision.reasons


def test_money_that_pays_for_two_of_three_degrades(tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(usd=Decimal(1)), "b": Sold(usd=Decimal(1)), "c": Sold(usd=Decimal(1))})
    budget = Budget(usd=Decimal("2.5"))
    ran = ask(sold(vendor, {"a": 0.9, "b": 0.8, "c": 0.7}, analyses=3, budget=budget, trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.decision.answer, ran.decision.cost_usd) == ("degraded", "42", Decimal(2))
    assert any(reason.startswith("limit:usd: ") for reason in ran.decision.reasons)
    assert "analyses: 2 of 3" in ran.decision.reasons


def test_money_spent_on_the_way_ends_a_chain(tmp_path: Path) -> None:
    vendor = Vendor({"find": Sold("P", usd=Decimal(6)), "write": Sold(usd=Decimal(6))})
    members = [
        *(Model(name=f"openai:{name}") for name in vendor.sold),
        Agent(name="find", model="openai:find", produces="passages"),
        Agent(name="write", model="openai:write", consumes=("passages",)),
    ]
    budget = Budget(usd=Decimal(10))
    ran = ask(Orchestrator(members, providers={"openai": vendor}, budget=budget, trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.decision.cost_usd, ran.called()) == ("escalated", Decimal(6), ["find"])
    assert ran.decision.reasons[0] == "limit:usd: a try may cost $6, $4 of $10 are left"


def test_an_unpriced_model_is_no_choice_under_a_money_budget(tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(usd=None), "b": Sold("43", usd=Decimal("0.1"))})
    free = ask(sold(vendor, {"a": 0.9, "b": 0.2}, trace=tmp_path), tmp_path)
    assert (free.decision.answer, free.decision.cost_usd) == ("42", None)
    budget = Budget(usd=Decimal(1))
    ran = ask(sold(vendor, {"a": 0.9, "b": 0.2}, budget=budget, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status, ran.decision.cost_usd) == ("43", "answered", Decimal("0.1"))
    alone = ask(sold(Vendor({"a": Sold(usd=None)}), {"a": 0.9}, budget=budget, trace=tmp_path), tmp_path)
    assert alone.decision.status == "escalated"
    assert alone.decision.reasons[0] == "limit:usd: the price is unknown, and there is a money budget"


def test_tokens_are_a_limit_too(tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(usage=Usage(60, 40))})
    short = ask(sold(vendor, {"a": 0.9}, budget=Budget(tokens=99), trace=tmp_path), tmp_path)
    assert short.decision.status == "escalated"
    assert short.decision.reasons[0] == "limit:tokens: a try may take 100 tokens, 99 are left"
    enough = ask(sold(vendor, {"a": 0.9}, budget=Budget(tokens=100), trace=tmp_path), tmp_path)
    assert (enough.decision.status, enough.decision.usage) == ("answered", Usage(60, 40))


def test_side_by_side_calls_do_not_overdraw(tmp_path: Path) -> None:
    vendor = Vendor({name: Sold(usd=Decimal(6), seconds=0.01) for name in "ab"})
    budget = Budget(usd=Decimal(10))
    ran = ask(sold(vendor, {"a": 0.9, "b": 0.8}, analyses=2, budget=budget, trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.decision.cost_usd) == ("degraded", Decimal(6))
    assert sum(vendor.tries.values()) == 1
    assert any(reason.startswith("limit:usd: ") for reason in ran.decision.reasons)


def test_turns_of_the_plan_router_are_its_steps(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    enough = ask(Orchestrator(chain(counts), budget=Budget(turns=2), trace=tmp_path), tmp_path)
    assert (enough.decision.status, enough.decision.turns) == ("answered", 2)
    short = ask(Orchestrator(chain(counts), budget=Budget(turns=1), trace=tmp_path), tmp_path)
    assert (short.decision.status, short.decision.reasons) == ("escalated", ("limit:turns: the one turn is taken",))


def test_a_reroute_takes_no_turn(tmp_path: Path) -> None:
    ran = ask(Orchestrator([failing("a"), giving("b")], budget=Budget(turns=1), trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.decision.turns) == ("answered", 1)


def test_a_hanging_tool_meets_the_deadline(tmp_path: Path) -> None:
    free = threading.Event()
    slow = giving("slow", lambda: free.wait(20), skill=0.9)
    began = time.monotonic()
    ran = ask(Orchestrator([slow, giving("b")], budget=Budget(seconds=0.1), trace=tmp_path), tmp_path)
    free.set()
    assert time.monotonic() - began < 5
    assert (ran.decision.status, ran.called()) == ("escalated", ["slow"])
    assert ran.decision.reasons[0] == "limit:seconds: 0.1 s are over"
    assert ran.decision.reasons[1].startswith("tried: slow failed after 1 try (timeout): no reply within 0.")
    assert ran.outcomes() == [("slow", "escalated")]


def test_the_deadline_takes_what_is_there_for_a_lower_goal(tmp_path: Path) -> None:
    hanging = giving("cite", lambda: time.sleep(1), produces="cited_answer", consumes=("answer",))
    pool = Pool([giving("a", "42"), hanging], goals=["cited_answer", "answer"])
    ran = ask(Orchestrator(pool, budget=Budget(seconds=0.2), trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status, ran.decision.goal) == ("42", "degraded", "answer")
    assert ran.decision.reasons == ("limit:seconds: 0.2 s are over", "demoted: cited_answer → answer")
    assert ran.outcomes() == [("cite", "demoted")]


def test_a_hanging_router_meets_the_deadline(tmp_path: Path) -> None:
    async def thinks(view: View) -> Turn:
        if view.replies:
            await asyncio.sleep(20)
        return Turn((Route("a"),))

    ran = ask(Orchestrator([giving("a", "42")], router=thinks, budget=Budget(seconds=0.1), trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("42", "degraded")
    assert ran.decision.reasons == ("limit:seconds: 0.1 s are over",)


def test_a_router_that_times_out_by_itself_is_an_error_of_its_own(tmp_path: Path) -> None:
    async def hasty(view: View) -> Turn:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(1)
        return Turn(())

    with pytest.raises(TimeoutError):
        Orchestrator([giving("a")], router=hasty, budget=Budget(seconds=10), trace=tmp_path).run_sync(QUESTION)
    hold_to_the_rules(only_trace(tmp_path))


def test_a_slow_expert_is_given_up_for_another(tmp_path: Path) -> None:
    slow = giving("slow", lambda: time.sleep(0.5), skill=0.9, timeout=0.05)
    ran = ask(Orchestrator([slow, giving("b")], trace=tmp_path), tmp_path)
    assert [(failed.kind, failed.error) for failed in ran.decision.failed] == [("timeout", "no reply within 0.05 s")]
    assert ran.decision.support == ("b",)


@pytest.mark.parametrize("kind", ["timeout", "connection", "server", "stalled", "cut_stream"])
def test_the_last_expert_is_tried_again(kind: FailureKind, tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(error=ProviderError("down", kind=kind))})
    ran = ask(sold(vendor, {"a": 0.9}, sleep=at_once, trace=tmp_path), tmp_path)
    assert (vendor.tries["a"], ran.decision.failed[0].tries) == (3, 3)
    assert ran.decision.status == "escalated"


def test_a_malformed_reply_is_repaired_once(tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(error=ProviderError("no", kind="malformed")), "b": Sold()})
    ran = ask(sold(vendor, {"a": 0.9, "b": 0.5}, sleep=at_once, trace=tmp_path), tmp_path)
    assert vendor.tries == {"a": 2, "b": 1}
    assert (ran.decision.failed[0].kind, ran.decision.failed[0].tries) == ("malformed", 2)
    assert ran.outcomes() == [("a", "rerouted")]


@pytest.mark.parametrize("kind", ["auth", "invalid_request", "refusal"])
def test_what_another_try_cannot_cure_is_not_tried_again(kind: FailureKind, tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(error=ProviderError("no", kind=kind))})
    ran = ask(sold(vendor, {"a": 0.9}, sleep=at_once, trace=tmp_path), tmp_path)
    assert (vendor.tries["a"], ran.decision.failed[0].kind) == (1, kind)


def test_while_another_expert_is_left_nobody_is_tried_again(tmp_path: Path) -> None:
    down = ProviderError("down", kind="server")
    vendor = Vendor({"a": Sold(error=down), "b": Sold(error=down)})
    ran = ask(sold(vendor, {"a": 0.9, "b": 0.5}, sleep=at_once, trace=tmp_path), tmp_path)
    assert vendor.tries == {"a": 1, "b": 3}
    assert ran.outcomes() == [("a", "rerouted"), ("b", "escalated")]


def test_an_expert_of_another_analysis_is_no_replacement_to_spare_tries_for(tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(error=ProviderError("down", kind="server")), "b": Sold()})
    ask(sold(vendor, {"a": 0.9, "b": 0.5}, analyses=2, sleep=at_once, trace=tmp_path), tmp_path)
    assert vendor.tries == {"a": 3, "b": 1}


def test_an_agents_own_retries_hold(tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(error=ProviderError("down", kind="server")), "b": Sold()})
    members = [
        *(Model(name=f"openai:{name}") for name in "ab"),
        Agent(name="a", model="openai:a", skill=0.9, retries=1),
        Agent(name="b", model="openai:b"),
    ]
    ask(Orchestrator(members, providers={"openai": vendor}, sleep=at_once, trace=tmp_path), tmp_path)
    assert vendor.tries == {"a": 2, "b": 1}


def test_a_server_is_left_alone_as_long_as_it_asked(tmp_path: Path) -> None:
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)

    vendor = Vendor({"a": Sold(error=RateLimited("slow down", retry_after=0.001))})
    ask(sold(vendor, {"a": 0.9}, sleep=note, trace=tmp_path), tmp_path)
    assert set(waited) <= {0.001}


def test_an_open_breaker_rules_an_expert_out(tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(error=ProviderError("who are you", kind="auth"))})
    orchestrator = sold(vendor, {"a": 0.9}, trace=tmp_path)
    first = ask(orchestrator, tmp_path)
    assert (first.decision.failed[0].kind, first.outcomes()) == ("auth", [("a", "escalated")])
    again = ask(orchestrator, tmp_path)
    assert (again.called(), vendor.tries["a"]) == ([], 1)
    assert "a: its circuit breaker is open for good" in again.decision.reasons


def test_a_context_window_that_is_too_small_rules_a_model_out(tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold(usage=Usage(60, 41))})
    members = [Model(name="openai:a", context_window=100), Agent(name="a", model="openai:a"), giving("b", skill=0.1)]
    ran = ask(Orchestrator(members, providers={"openai": vendor}, trace=tmp_path), tmp_path)
    assert ran.called() == ["b"]
    candidates = {each.agent: each.why_not for each in ran.of(Planned)[0].candidates}
    assert candidates == {"a": "needs 101 tokens, its context window holds 100", "b": None}


def test_a_model_is_told_its_prompt_then_the_question_or_the_routes_query(tmp_path: Path) -> None:
    vendor = Vendor({"a": Sold()})
    members = [Model(name="openai:a"), Agent(name="a", model="openai:a", prompt="Be brief.")]
    turns = [Turn((Route("a"),)), Turn((Route("a", "Shorter?"),)), Turn((Answer(),))]
    orchestrator = Orchestrator(members, router=lambda _: turns.pop(0), providers={"openai": vendor}, trace=tmp_path)
    ask(orchestrator, tmp_path, [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "I."}])
    told = [[(message.role, message.content) for message in question.messages] for question in vendor.asked]
    assert told == [
        [("system", "Be brief."), ("user", "Who?"), ("assistant", "I.")],
        [("system", "Be brief."), ("user", "Shorter?")],
    ]


def test_a_goal_that_two_are_sent_to_is_left_to_one_and_then_to_the_other(tmp_path: Path) -> None:
    goal = Goal("answer")
    turns = [Turn((Route("a", toward=goal), Route("b", toward=goal))), Turn((Answer(),))]
    ran = ask(Orchestrator([failing("a"), giving("b")], router=lambda _: turns.pop(0), trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("b", "answered")
    assert ran.outcomes() == [("a", "rerouted")], "one expert at a time for one goal"


Given = Callable[[], object]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (lambda: None, "gave an empty reply"),
        (lambda: "", "gave an empty reply"),
        (lambda: " \n", "gave an empty reply"),
        (lambda: 10**5000, "ValueError: Exceeds the limit"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: sys.exit(3), "RuntimeError: SystemExit: 3"),
        (lambda: next(iter(())), "RuntimeError: StopIteration"),
    ],
)
def test_a_tool_that_gives_nothing_usable_failed(value: Given, error: str, tmp_path: Path) -> None:
    def plain(question: str) -> object:
        return value()

    async def later(question: str) -> object:
        return value()

    for tool in (plain, later):
        ran = ask(Orchestrator([Agent(name="a", tool=tool, skill=0.9), giving("b")], trace=tmp_path), tmp_path)
        assert ran.decision.support == ("b",)
        told = ran.decision.failed[0].error
        assert told.replace("coroutine raised ", "").startswith(error)


def test_an_async_tool_that_cancels_itself_failed(tmp_path: Path) -> None:
    async def lost(question: str) -> str:
        inner = asyncio.create_task(asyncio.sleep(9))
        inner.cancel()
        await inner
        return ""

    ran = ask(Orchestrator([Agent(name="a", tool=lost, skill=0.9), giving("b")], trace=tmp_path), tmp_path)
    assert (ran.decision.support, ran.decision.failed[0].kind) == (("b",), "tool")


class Odd:
    """A value of a class of one's own."""

    def __repr__(self) -> str:
        return "<odd>"


@dataclass(frozen=True)
class Pair:
    """A typed artifact."""

    one: int
    other: Odd


@pytest.mark.parametrize(
    ("value", "answer", "typed"),
    [
        (Odd(), "<odd>", "<odd>"),
        (float("nan"), "nan", None),
        (Decimal("1.10"), "1.10", "1.10"),
        (["a", {"b": (1, 2)}], "['a', {'b': (1, 2)}]", ["a", {"b": [1, 2]}]),
        (b"\xff", r"b'\xff'", None),
        (0, "0", 0),
        (False, "False", False),
        ("\ud800", r"\ud800", None),
        (Pair(1, Odd()), "Pair(one=1, other=<odd>)", {"one": 1, "other": "<odd>"}),
    ],
)
def test_an_artifact_may_be_anything_that_reads_as_text(
    value: object, answer: str, typed: object, tmp_path: Path
) -> None:
    decision = Orchestrator([giving("a", lambda: value)], trace=tmp_path).run_sync(QUESTION)
    hold_to_the_rules(only_trace(tmp_path), head=decision.head)
    assert (decision.answer, decision.status) == (answer, "answered")
    assert typed is None or decision.value == typed


def test_an_artifact_that_holds_itself_does_no_harm(tmp_path: Path) -> None:
    ring: list[object] = []
    ring.append(ring)
    decision = Orchestrator([giving("a", lambda: ring)], trace=tmp_path).run_sync(QUESTION)
    hold_to_the_rules(only_trace(tmp_path), head=decision.head)
    assert decision.answer == "[[...]]"


def test_the_next_expert_gets_the_artifact_itself(tmp_path: Path) -> None:
    odd = Odd()
    got: list[object] = []

    def take(thing: Odd) -> str:
        got.append(thing)
        return "taken"

    members = [giving("make", lambda: odd, produces="thing"), Agent(name="take", tool=take, consumes=("thing",))]
    assert ask(Orchestrator(members, trace=tmp_path), tmp_path).decision.answer == "taken"
    assert got == [odd]


def test_langgraph_and_we_go_the_same_way(tmp_path: Path) -> None:
    """LangGraph walks the graph where LangSmith may trace it; else we go the same nodes by the same edges."""
    ways: list[list[str]] = []
    for langsmith in (True, False):
        members = [*chain(Counter(), broken=["search", "write"]), giving("spare", "7", skill=0.1)]
        folder = tmp_path / str(langsmith)
        ran = ask(Orchestrator(members, trace=folder, langsmith=langsmith), folder)
        ways.append([event.type for event in ran.events])
        assert [name for name, _ in ran.outcomes()] == ["search", "write"]
    assert ways[0] == ways[1]
