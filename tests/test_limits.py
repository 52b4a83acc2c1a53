"""Whole runs under limits of money, tokens and time: what they cut, clip, share and keep back adds up in the trace."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import (
    Agent,
    Analysis,
    Budget,
    Completion,
    LLMRouter,
    Message,
    Model,
    Orchestrator,
    ProviderError,
    Question,
    Reply,
    ScriptProvider,
    Turn,
    Usage,
    View,
)
from orchestrator.budget import Ledger
from orchestrator.content import load_prompt
from orchestrator.merge import MergeFunction, MergeRule
from orchestrator.messages import Decision, Encoding
from orchestrator.pool.registry import Member
from orchestrator.providers import Ask, OnText, Provider, Request, call
from orchestrator.providers.base import estimated_tokens
from orchestrator.routers import PlanRouter, Router, RouterFunction
from orchestrator.runtime import Clocks
from orchestrator.trace import read_trace, verify
from orchestrator.trace.events import (
    AttemptStarted,
    BadTurn,
    Event,
    RunEnded,
    RunStarted,
    TryEnded,
    TryStarted,
    TurnTaken,
)
from tests.commands import orchestrate
from tests.experts import at_once, giving
from tests.fake_clock import FakeClock
from tests.routing import (
    CHEAP,
    DEAR,
    ENCODINGS,
    SAGE_COST,
    SPENT,
    TURN_COST,
    Script,
    Stage,
    answers,
    routes,
    sage,
    says,
    scripted,
)
from tests.runs import QUESTION, Ran, ask, hold_to_the_rules, only_trace, reachable
from tests.traces import Folder

MICRO = Decimal("0.000001")
QUESTION_TOKENS = 6
"""What `QUESTION` is estimated at: a token for each two of its eleven characters."""
DOWN = ProviderError("down", kind="server", retry_after=0.0)

each_encoding = pytest.mark.parametrize("encoding", ENCODINGS)
streamed_or_not = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@dataclass(frozen=True, slots=True)
class Cut:
    """A request that was broken off before its reply was whole."""

    model: str
    request: Request
    written: bool
    """Whether some of the reply had been handed on."""

    @property
    def charge(self) -> Decimal:
        """What it costs by list price: the whole reserve where output had begun, else the input."""
        price_in, price_out = CHEAP if self.model == "router" else DEAR
        return (price_in * estimated_tokens(self.request) + (price_out * 300 if self.written else 0)) * MICRO


@dataclass
class Shop:
    """A vendor that dawdles over its lines and writes some words before each; past the last one it never ends."""

    lines: Mapping[str, list[Completion | ProviderError]]
    random: Random
    words: int
    asked: list[str] = field(default_factory=list[str])
    cut: list[Cut] = field(default_factory=list[Cut])
    busy: asyncio.Event = field(default_factory=asyncio.Event)

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """The model's next line, at some time or other."""
        self.asked.append(model.id)
        self.busy.set()
        written = 0
        try:
            await self._dawdle()
            while on_text is not None and written < self.words:
                on_text("word ")
                written += 1
                await self._dawdle()
            if not self.lines[model.id]:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cut.append(Cut(model.id, request, written > 0))
            raise
        line = self.lines[model.id].pop(0)
        if isinstance(line, ProviderError):
            raise line
        return line

    async def _dawdle(self) -> None:
        await asyncio.sleep(self.random.uniform(0, 0.003))


def shop_of(seed: int) -> Shop:
    """A vendor whose router answers some requests, fails some, and then falls silent."""
    random = Random(seed)
    said = [random.choice((routes("tools", ("sage", f"q{n}")), DOWN)) for n in range(random.randrange(3))]
    return Shop({"router": said, "sage": [says("4"), says("5"), says("6")]}, random, random.randrange(4))


def dealing(shop: Shop, router: Router | RouterFunction, budget: Budget, clocks: Clocks, folder: Path) -> Orchestrator:
    """An orchestrator that asks a router's model and an expert's at that vendor."""
    members: list[Member] = [scripted("router"), scripted("sage", DEAR), sage()]
    return Orchestrator(
        members,
        router=router,
        budget=budget,
        providers={"script": shop},
        clocks=clocks,
        sleep=at_once,
        trace=folder,
        seed=1,
    )


def unheard(who: str, text: str) -> None:
    """Nobody reads what a stream brings; it is a stream all the same."""
    del who, text


def broken_off(events: Sequence[Event], shop: Shop) -> list[TryEnded]:
    """Ends of the tries that were broken off, once every try has one end and each cut request its charge."""
    begun = [event for event in events if isinstance(event, TryStarted)]
    ended = [event for event in events if isinstance(event, TryEnded)]
    assert Counter(map(whose, begun)) == Counter(map(whose, ended))
    assert len(begun) == len(shop.asked)
    broken = [event for event in ended if event.cancelled or event.kind == "timeout"]
    assert [event.usd for event in broken] == [cut.charge for cut in shop.cut]
    assert all((event.exact, event.usage) == (False, Usage()) for event in broken)
    return broken


def whose(event: TryStarted | TryEnded) -> tuple[int | None, str, int]:
    """Which try an event is about."""
    return event.attempt, event.purpose, event.number


def bill(events: Sequence[Event]) -> tuple[Decimal, Usage]:
    """What the tries of a trace cost and used, added up."""
    ended = [event for event in events if isinstance(event, TryEnded)]
    usd = [cast("Decimal", event.usd) for event in ended]
    return sum(usd, Decimal(0)), sum((event.usage for event in ended), Usage())


def cut_by_the_deadline(seed: int, clocks: Clocks, folder: Path, *, streamed: bool) -> list[TryEnded]:
    """Ends of the tries that a run's deadline broke off, once the decision is the sum of all tries."""
    shop, seconds = shop_of(seed), round(Random(seed).uniform(0.05, 0.09), 3)
    budget = Budget(usd=Decimal(1), seconds=seconds)
    orchestrator = dealing(shop, LLMRouter("script:router"), budget, clocks, folder)
    decision = orchestrator.run_sync(QUESTION, on_text=unheard if streamed else None)
    trace = only_trace(folder)
    hold_to_the_rules(trace, head=decision.head)
    broken = broken_off(trace.events, shop)
    assert (decision.cost_usd, decision.usage) == bill(trace.events)
    assert f"limit:seconds: {seconds:g} s are over" in decision.reasons
    assert decision.status == ("degraded" if decision.answer else "escalated")
    assert decision.cost_exact == all(event.exact for event in trace.events if isinstance(event, TryEnded))
    return broken


@streamed_or_not
@pytest.mark.parametrize("seed", range(16))
def test_a_deadline_that_cuts_the_routers_model_leaves_a_trace_that_adds_up(
    seed: int, streamed: bool, tmp_path: Path
) -> None:
    standing = FakeClock()  # so that the limit of the turn, which began first, is always the first to strike
    broken = cut_by_the_deadline(seed, Clocks(standing, standing), tmp_path, streamed=streamed)
    assert [event.cancelled for event in broken if event.purpose == "router"] == [True]


@streamed_or_not
@pytest.mark.parametrize("seed", range(16, 24))
def test_a_deadline_that_strikes_anywhere_leaves_a_trace_that_adds_up(
    seed: int, streamed: bool, tmp_path: Path
) -> None:
    assert len(cut_by_the_deadline(seed, Clocks(), tmp_path, streamed=streamed)) <= 1


@streamed_or_not
@pytest.mark.parametrize("seed", range(16))
def test_a_caller_that_cancels_leaves_a_trace_that_adds_up(seed: int, streamed: bool, tmp_path: Path) -> None:
    shop, ledgers = shop_of(seed), list[Ledger]()

    async def spy(view: View) -> Turn:
        ledgers.extend(reachable(view, Ledger))
        return await LLMRouter("script:router").decide(view)

    async def cancelled() -> None:
        orchestrator = dealing(shop, spy, Budget(usd=Decimal(1)), Clocks(), tmp_path)
        running = asyncio.create_task(orchestrator.run(QUESTION, on_text=unheard if streamed else None))
        await shop.busy.wait()
        await asyncio.sleep(Random(seed).uniform(0, 0.03))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    trace = only_trace(tmp_path)
    hold_to_the_rules(trace)
    assert cast("RunEnded", trace.events[-1]).how == "cancelled"
    assert all(event.cancelled and event.kind is None for event in broken_off(trace.events, shop))
    assert (ledgers[0].spent, ledgers[0].usage) == bill(trace.events)
    exact = all(event.exact for event in trace.events if isinstance(event, TryEnded))
    assert (ledgers[0].in_flight, ledgers[0].exact) == (0, exact)


@pytest.fixture
def told(tmp_path: Path) -> tuple[Event, ...]:
    """A whole run: the router is asked, then the sage twice, for free the first time, then the router again."""
    unsent = ProviderError("no way there", kind="connection", sent=False)
    script: Script = {
        "router": [routes("tools", ("sage", "q")), answers("tools", "4")],
        "sage": [unsent, says("4")],
    }
    ran = Stage(tmp_path / "told", script, members=[sage()]).run()
    assert [(event.type, *whose(event)) for event in ran.events if isinstance(event, (TryStarted, TryEnded))] == [
        ("try_started", None, "router", 1),
        ("try_ended", None, "router", 1),
        ("try_started", 1, "expert", 1),
        ("try_ended", 1, "expert", 1),
        ("try_started", 1, "expert", 2),
        ("try_ended", 1, "expert", 2),
        ("try_started", None, "router", 1),
        ("try_ended", None, "router", 1),
    ]
    return ran.events


Edit = Callable[[list[Event]], list[Event]]


def without(kind: type[TryStarted | TryEnded], place: int) -> Edit:
    """Leave out the event of a kind at a place, counted from 0."""

    def edit(events: list[Event]) -> list[Event]:
        left_out = [event for event in events if isinstance(event, kind)][place]
        return [event for event in events if event is not left_out]

    return edit


def with_end(place: int, **fields: object) -> Edit:
    """Say something else of the end of a try."""

    def edit(events: list[Event]) -> list[Event]:
        meant = [event for event in events if isinstance(event, TryEnded)][place]
        return [event.model_copy(update=fields) if event is meant else event for event in events]

    return edit


def with_decision(**fields: object) -> Edit:
    """Say something else of the decision."""

    def edit(events: list[Event]) -> list[Event]:
        *others, last = events
        decision = cast("Decision", cast("RunEnded", last).decision)
        return [*others, last.model_copy(update={"decision": decision.model_copy(update=fields)})]

    return edit


def end_first(events: list[Event]) -> list[Event]:
    """The free try ends before it begins."""
    places = [place for place, event in enumerate(events) if whose_free(event)]
    first, second = places
    events[first], events[second] = events[second], events[first]
    return events


def whose_free(event: Event) -> bool:
    """Whether an event is about the try that cost nothing."""
    return isinstance(event, (TryStarted, TryEnded)) and whose(event) == (1, "expert", 1)


COST = 2 * TURN_COST + SAGE_COST
FORGERIES: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "nothing was done": (list, ()),
    "a try without an end": (without(TryEnded, 1), ("try 1 of attempt 1 was begun and never settled",)),
    "an end without a start": (without(TryStarted, 1), ("try 1 of attempt 1 ended without having been begun",)),
    "an end before its start": (end_first, ("try 1 of attempt 1 ended without having been begun",)),
    "an end of another try": (
        with_end(1, number=3),
        ("try 3 of attempt 1 ended without having been begun", "try 1 of attempt 1 was begun and never settled"),
    ),
    "an end of another attempt": (
        with_end(1, attempt=2),
        ("try 1 of attempt 2 ended without having been begun", "try 1 of attempt 1 was begun and never settled"),
    ),
    "an end of another purpose": (
        with_end(0, purpose="merge"),
        ("try 1 of the merge ended without having been begun", "try 1 of the router was begun and never settled"),
    ),
    "a control try without an end": (
        without(TryEnded, 3),
        (
            "try 1 of the router was begun and never settled",
            f"the decision cost {COST} USD, its tries {COST - TURN_COST}",
            "the decision used other tokens than its tries",
        ),
    ),
    "a try that cost more": (
        with_end(2, usd=SAGE_COST + MICRO),
        (f"the decision cost {COST} USD, its tries {COST + MICRO}",),
    ),
    "a try that nobody can price": (with_end(1, usd=None), (f"the decision cost {COST} USD, its tries None",)),
    "a try that used more": (
        with_end(0, usage=replace(SPENT, cached_tokens=1)),
        ("the decision used other tokens than its tries",),
    ),
    "a decision that cost more": (
        with_decision(cost_usd=COST + MICRO),
        (f"the decision cost {COST + MICRO} USD, its tries {COST}",),
    ),
    "a decision of unknown cost": (
        with_decision(cost_usd=None),
        (f"the decision cost None USD, its tries {COST}",),
    ),
    "a decision that used as many tokens, but others": (
        with_decision(usage=Usage(3 * SPENT.output_tokens, 3 * SPENT.input_tokens)),
        ("the decision used other tokens than its tries",),
    ),
}


@pytest.mark.parametrize("case", FORGERIES)
def test_verify_finds_money_that_does_not_add_up(case: str, told: tuple[Event, ...], tmp_path: Path) -> None:
    edit, faults = FORGERIES[case]
    verdict = verify(read_trace(Folder(tmp_path / "forged").write(edit(list(told)))))
    assert (verdict.faults, verdict.passed, verdict.ended) == (faults, not faults, True)


def test_a_run_that_did_not_end_may_have_a_try_in_flight(told: tuple[Event, ...], tmp_path: Path) -> None:
    killed = list(told[: told.index([event for event in told if isinstance(event, TryEnded)][-1])])
    verdict = verify(read_trace(Folder(tmp_path / "killed").write(killed)))
    assert (verdict.faults, verdict.ended) == ((), False)


def test_the_command_tells_what_does_not_add_up(
    told: tuple[Event, ...], tmp_path: Path, child_env: dict[str, str]
) -> None:
    folder = Folder(tmp_path)
    whole, forged = folder.write(list(told)), folder.write(without(TryEnded, 1)(list(told)))
    done = orchestrate("trace", "verify", str(whole), env=child_env, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"consistent: {len(told)} events")
    done = orchestrate("trace", "verify", str(forged), env=child_env, cwd=tmp_path)
    assert done.returncode != 0
    assert "try 1 of attempt 1 was begun and never settled" in done.stdout + done.stderr


class Busy(ScriptProvider):
    """A script whose models all have been asked before the first of them answers."""

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """The model's next line, after everybody else had their turn."""
        await asyncio.sleep(0)
        return await super().complete(model, request, on_text)


@dataclass
class Panel:
    """Experts over models of one price, asked side by side."""

    folder: Path | bool
    names: str
    script: Script
    budget: Budget
    price: tuple[Decimal, Decimal] | None = DEAR
    max_output: int = 4000
    merge: MergeRule | MergeFunction | str | None = None
    heard: list[Event] = field(default_factory=list[Event])

    def __post_init__(self) -> None:
        self.provider = Busy(self.script)

    def run(self) -> Decision:
        """The decision, with one analysis of each expert wanted."""
        members: list[Member] = [scripted("merger", self.price and CHEAP)]
        members += [scripted(name, self.price, max_output=self.max_output) for name in self.names]
        members += [sage(name) for name in self.names]
        orchestrator = Orchestrator(
            members,
            analyses=len(self.names),
            budget=self.budget,
            merge=self.merge,
            providers={"script": self.provider},
            trace=self.folder,
        )
        return orchestrator.run_sync(QUESTION, listeners=[self.heard.append])

    def allowed(self) -> list[tuple[str, int]]:
        """Who was asked, and how many tokens each request left for the answer."""
        return [(name, request.max_output) for name, request in self.provider.requests]


LIMITS: dict[str, Callable[[int], Budget]] = {
    "tokens": lambda room: Budget(tokens=QUESTION_TOKENS + room),
    "usd": lambda room: Budget(usd=(DEAR[0] * QUESTION_TOKENS + DEAR[1] * room) * MICRO),
}
"""Budgets that pay for the question and so many tokens of output."""


@pytest.mark.parametrize(
    ("most", "room", "sent"),
    [(1000, 5000, 1000), (1000, 1000, 1000), (1000, 999, 999), (1000, 257, 257), (1000, 256, 256), (100, 100, 100)],
)
@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_clips_what_a_model_may_write(limit: str, most: int, room: int, sent: int, tmp_path: Path) -> None:
    panel = Panel(tmp_path, "a", {"a": [says("4", Usage(QUESTION_TOKENS, 1))]}, LIMITS[limit](room), max_output=most)
    decision = panel.run()
    hold_to_the_rules(only_trace(tmp_path), head=decision.head)
    assert panel.allowed() == [("a", sent)]
    assert (decision.answer, decision.status, decision.failed) == ("4", "answered", ())


@pytest.mark.parametrize(("most", "room"), [(1000, 255), (1000, 0), (100, 99), (257, 255)])
@pytest.mark.parametrize("limit", LIMITS)
def test_what_is_not_worth_asking_is_not_asked(limit: str, most: int, room: int, tmp_path: Path) -> None:
    panel = Panel(tmp_path, "a", {"a": []}, LIMITS[limit](room), max_output=most)
    decision = panel.run()
    hold_to_the_rules(only_trace(tmp_path), head=decision.head)
    assert (panel.allowed(), decision.status, decision.expert_calls) == ([], "escalated", 0)
    assert decision.reasons[0].startswith(f"limit:{limit}: a try may ")


def test_the_tighter_of_two_limits_clips(tmp_path: Path) -> None:
    for tokens, usd, sent in ((400, 300, 300), (300, 400, 300)):
        budget = Budget(tokens=LIMITS["tokens"](tokens).tokens, usd=LIMITS["usd"](usd).usd)
        panel = Panel(tmp_path, "a", {"a": [says("4", Usage(QUESTION_TOKENS, 1))]}, budget)
        assert (panel.run().status, panel.allowed()) == ("answered", [("a", sent)])


def test_tokens_that_were_used_are_gone_for_the_next(tmp_path: Path) -> None:
    members: list[Member] = [scripted(name, None, max_output=4000) for name in ("find", "write")]
    members += [
        Agent(name="find", model="script:find", produces="passages"),
        Agent(name="write", model="script:write", consumes=("question", "passages")),
    ]
    provider = ScriptProvider({"find": [says("P")], "write": [says("42")]})
    orchestrator = Orchestrator(members, budget=Budget(tokens=1000), providers={"script": provider}, trace=tmp_path)
    ran = ask(orchestrator, tmp_path)
    (_, found), (_, written) = provider.requests
    assert found.max_output == 1000 - estimated_tokens(found)
    assert written.max_output == 1000 - SPENT.total - estimated_tokens(written)
    assert (ran.decision.answer, ran.decision.status, ran.decision.usage) == ("42", "answered", SPENT + SPENT)


@pytest.mark.parametrize(("room", "sent"), [(5000, 300), (299, 299), (256, 256)])
def test_tokens_clip_the_router_too(room: int, sent: int, tmp_path: Path) -> None:
    request = Stage(tmp_path, {}).orchestrator.explain(QUESTION).request
    assert request is not None
    budget = Budget(tokens=estimated_tokens(request) + room)
    stage = Stage(tmp_path, {"router": [answers("tools", "4")]}, budget=budget)
    assert (stage.run().decision.answer, stage.requests()[0].max_output) == ("4", sent)


def test_a_router_that_tokens_cannot_pay_gives_way(tmp_path: Path) -> None:
    request = Stage(tmp_path, {}).orchestrator.explain("2+2").request
    assert request is not None
    stage = Stage(tmp_path, {}, budget=Budget(tokens=estimated_tokens(request) + 255))
    decision = stage.run("2+2").decision
    assert (decision.answer, decision.status, stage.requests()) == ("4", "degraded", [])
    assert decision.reasons[0].startswith("limit:tokens: a try may take ")


def frugal(request: Request) -> Completion:
    """A short answer, whatever is allowed."""
    return Completion("4", usage=Usage(QUESTION_TOKENS, min(20, request.max_output)))


def lavish(request: Request) -> Completion:
    """An answer that takes all that is allowed."""
    return Completion("4", usage=Usage(QUESTION_TOKENS, request.max_output))


@given(
    count=st.integers(2, 6), each=st.integers(257, 3999), limit=st.sampled_from(sorted(LIMITS)), spends=st.booleans()
)
def test_each_of_several_dear_experts_gets_its_share(count: int, each: int, limit: str, spends: bool) -> None:
    names = "abcdef"[:count]
    one = LIMITS[limit](each)
    budget = Budget(usd=one.usd and one.usd * count, tokens=one.tokens and one.tokens * count)
    panel = Panel(False, names, dict.fromkeys(names, lavish if spends else frugal), budget)
    decision = panel.run()
    assert (decision.status, decision.support, decision.failed) == ("answered", tuple(names), ())
    assert [name for name, _ in panel.allowed()] == list(names)
    assert all(abs(allowed - each) <= 1 for _, allowed in panel.allowed()), panel.allowed()
    reserved = [event.reserved_usd for event in panel.heard if isinstance(event, TryStarted)]
    assert budget.usd is None or sum(usd or 0 for usd in reserved) <= budget.usd
    assert budget.tokens is None or decision.usage.total <= budget.tokens


def test_what_the_first_does_not_need_of_its_share_is_for_the_others(tmp_path: Path) -> None:
    provider = Busy({"a": frugal, "b": frugal})
    members: list[Member] = [scripted("a", DEAR, max_output=500), scripted("b", DEAR, max_output=9000)]
    members += [sage("a"), sage("b", skill=0.8)]
    budget = Budget(usd=(2 * DEAR[0] * QUESTION_TOKENS + DEAR[1] * 6000) * MICRO)
    orchestrator = Orchestrator(members, analyses=2, budget=budget, providers={"script": provider}, trace=tmp_path)
    assert ask(orchestrator, tmp_path).called() == ["a", "b"]
    assert [request.max_output for _, request in provider.requests] == [500, 5500]


@pytest.mark.parametrize("limit", LIMITS)
def test_an_expert_that_was_refused_while_others_held_the_budget_is_asked_again(limit: str, tmp_path: Path) -> None:
    panel = Panel(tmp_path, "abc", dict.fromkeys("abc", frugal), LIMITS[limit](400))
    decision = panel.run()
    trace = only_trace(tmp_path)
    hold_to_the_rules(trace, head=decision.head)
    ran = Ran(decision, trace.events)
    assert (decision.status, decision.support) == ("answered", ("a", "b", "c"))
    assert ran.called() == ["a", "b", "c", "b", "c", "c"]
    assert ran.outcomes() == [("b", "superseded"), ("c", "superseded"), ("c", "superseded")]
    assert decision.reroutes == 0, "whoever is asked again takes nobody's place"
    assert [name for name, _ in panel.allowed()] == ["a", "b", "c"]
    assert {(failed.kind, failed.tries) for failed in decision.failed} == {("budget", 0)}
    assert (decision.cost_usd, decision.usage) == bill(trace.events)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_refusal_long_before_is_not_why_a_run_escalates(limit: str, tmp_path: Path) -> None:
    """`b` was refused while `a` held the budget; asked again, both are down: money is not what would help."""
    panel = Panel(tmp_path, "ab", {"a": [DOWN] * 3, "b": [DOWN] * 3}, LIMITS[limit](400))
    decision = panel.run()
    assert decision.status == "escalated"
    assert {failed.kind for failed in decision.failed} >= {"budget", "server"}
    assert [reason for reason in decision.reasons if reason.startswith("limit:")] == []


def test_an_expert_that_cannot_be_paid_when_the_others_have_settled_is_given_up(tmp_path: Path) -> None:
    panel = Panel(tmp_path, "ab", {"a": lavish, "b": []}, LIMITS["usd"](400))
    decision = panel.run()
    hold_to_the_rules(only_trace(tmp_path), head=decision.head)
    assert (decision.answer, decision.status, decision.support) == ("4", "degraded", ("a",))
    assert panel.allowed() == [("a", 256)], "no more than it needs, where its share is too small to be asked for"
    assert "analyses: 1 of 2" in decision.reasons


@dataclass
class Chair:
    """A merge that shows all replies to a model of the pool."""

    model: str = "script:merger"
    name: str = "chair"

    async def merge(self, question: Question, replies: Sequence[Reply], ask: Ask | None = None) -> Analysis:
        """What the model makes of them."""
        assert ask is not None
        shown = "\n".join(reply.text for reply in replies)
        completion = await ask(self.model, Request((*question.messages, Message("user", shown)), max_output=300))
        return Analysis(completion.text, support=tuple(reply.agent for reply in replies))


def wordy(request: Request) -> Completion:
    """A long answer that takes all that is allowed."""
    return Completion("4" * 8000, usage=Usage(QUESTION_TOKENS, request.max_output))


@pytest.mark.parametrize(
    ("price", "budget"), [(DEAR, Budget(usd=Decimal("0.05"))), (None, Budget(tokens=14_000))], ids=["usd", "tokens"]
)
def test_what_a_callers_merge_needs_is_kept_from_experts_that_would_spend_everything(
    price: tuple[Decimal, Decimal] | None, budget: Budget, tmp_path: Path
) -> None:
    script: Script = {"a": wordy, "b": wordy, "merger": [says("both say 4")]}
    panel = Panel(tmp_path, "ab", script, budget, price, max_output=9000, merge=Chair())
    decision = panel.run()
    hold_to_the_rules(only_trace(tmp_path), head=decision.head)
    assert (decision.answer, decision.status, decision.method) == ("both say 4", "answered", "chair")
    assert (decision.merge_calls, decision.support, decision.failed) == (1, ("a", "b"), ())
    assert all(256 <= allowed < 900 for _, allowed in panel.allowed()[:2]), "the experts took what they were left"
    assert panel.allowed()[2] == ("merger", 300), "with both replies before it, its answer need not be clipped"
    assert budget.usd is None or (decision.cost_usd or 0) <= budget.usd
    assert budget.tokens is None or decision.usage.total <= budget.tokens


def test_a_callers_merge_without_a_model_keeps_nothing_back(tmp_path: Path) -> None:
    def longest(question: Question, replies: Sequence[Reply]) -> str:
        del question
        return max((reply.text for reply in replies), key=len)

    panel = Panel(tmp_path, "a", {"a": lavish}, LIMITS["usd"](900), merge=longest)
    assert (panel.run().method, panel.allowed()) == ("longest", [("a", 900)])


def ready(name: str, text: str) -> Agent:
    """An expert that answers on the spot, so that no deadline can come between."""

    async def answer(question: str) -> str:
        del question
        return text

    return Agent(name=name, tool=answer)


def merged_by(merge: MergeFunction, folder: Path) -> Ran:
    """A run with a deadline that only its merge can miss."""
    members, standing = [ready("a", "41"), ready("b", "42"), ready("c", "42")], FakeClock()
    orchestrator = Orchestrator(
        members,
        merge=merge,
        analyses=3,
        budget=Budget(seconds=0.1),
        clocks=Clocks(standing, standing),
        trace=folder,
    )
    return ask(orchestrator, folder)


def test_a_callers_merge_that_never_ends_gives_way_to_the_vote(tmp_path: Path) -> None:
    begun: list[int] = []

    async def endless(question: Question, replies: Sequence[Reply]) -> str:
        begun.append(len(replies))
        await asyncio.Event().wait()
        return question.text

    ran = merged_by(endless, tmp_path)
    assert begun == [3]
    assert (ran.decision.answer, ran.decision.status) == ("42", "degraded")
    assert (ran.decision.support, [one.agent for one in ran.decision.dissent]) == (("b", "c"), ["a"])
    assert ran.decision.reasons == ("limit:seconds: 0.1 s are over; endless gave way; decided by majority",)


def test_a_callers_merge_may_end_shortly_after_the_deadline(tmp_path: Path) -> None:
    async def late(question: Question, replies: Sequence[Reply]) -> str:
        await asyncio.sleep(0.2)
        return f"{question.text} {replies[0].text}!"

    ran = merged_by(late, tmp_path)
    assert (ran.decision.answer, ran.decision.status, ran.decision.method) == (f"{QUESTION} 41!", "answered", "late")


def test_a_callers_merge_that_times_out_by_itself_broke_down(tmp_path: Path) -> None:
    async def hasty(question: Question, replies: Sequence[Reply]) -> str:
        del question, replies
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()
        return "never"

    ran = ask(Orchestrator([giving("a", "4")], merge=hasty, budget=Budget(seconds=9), trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status, ran.decision.method) == ("4", "degraded", "fallback")
    assert ran.decision.reasons == ("the merge broke down: TimeoutError: ; hasty gave way; the one reply decides",)


@dataclass
class OwnDoor:
    """A provider of the caller's own: a plain class with nothing but the one method."""

    asked: list[Request] = field(default_factory=list[Request])

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """The same answer for everybody."""
        del model, on_text
        self.asked.append(request)
        return Completion("4", usage=Usage(QUESTION_TOKENS, 20))


def own_router(view: View) -> Turn:
    """A router of the caller's own, which might ask any model."""
    del view
    return Turn(())


SAFE = Decimal("0.10")
DEAR_SAGE: tuple[Model, Agent] = (scripted("sage", DEAR), sage())
UNUSED = (scripted("unused", DEAR), giving("a"))
VENDORS = (Model(name="openai:gpt-unused"), giving("a"))


@dataclass(frozen=True)
class Spending:
    """Who is in the pool, and what a run of it may spend."""

    members: tuple[Member, ...]
    usd: Decimal | None = SAFE
    router: Router | RouterFunction | str | None = None
    merge: MergeRule | None = None
    provider: Provider = field(default_factory=OwnDoor)


SPENDING: dict[str, Spending] = {
    "an expert with a price": Spending(DEAR_SAGE),
    "an expert without a price": Spending((Model(name="script:sage"), sage()), None),
    "a free expert": Spending((scripted("sage", None), sage()), None),
    "a free expert whose price is known all the same": Spending(
        (Model(name="script:sage", price=DEAR_SAGE[0].price, free=True), sage()), None
    ),
    "a script with a price": Spending(DEAR_SAGE, None, provider=ScriptProvider({})),
    "a price that nobody asks": Spending(UNUSED, None),
    "a price that the plan router cannot ask": Spending(UNUSED, None, router="plan"),
    "a price that a router's model has": Spending((scripted("router"), giving("a")), router="script:router"),
    "a price that an own router might ask": Spending(UNUSED, router=own_router),
    "a free model that an own router might ask": Spending((scripted("r", None), giving("a")), None, router=own_router),
    "a price that an own merge's model has": Spending((scripted("merger"), giving("a")), merge=Chair()),
    "a price that a plan router may ask where it goes lower": Spending(
        (scripted("router"), giving("a")), router=PlanRouter("script:router")
    ),
    "a vendor that nobody asks": Spending(VENDORS, None),
    "a vendor that an own router might ask": Spending(VENDORS, router=own_router),
    "a free server that an own router might ask": Spending(
        (Model(name="openai:gpt-own", base_url="http://localhost:9/v1", free=True), giving("a")),
        None,
        router=own_router,
    ),
}


@pytest.mark.parametrize("case", SPENDING)
def test_a_run_that_can_spend_has_a_budget(case: str, caplog: pytest.LogCaptureFixture) -> None:
    made = SPENDING[case]
    with caplog.at_level(logging.WARNING, "orchestrator"):
        orchestrator = Orchestrator(
            made.members, router=made.router, merge=made.merge, providers={"script": made.provider}, trace=False
        )
    assert orchestrator.budget == Budget(usd=made.usd)
    warned = ["no budget was given: this run spends at most $0.10"]
    assert [record.getMessage() for record in caplog.records] == (warned if made.usd else [])


def test_a_budget_of_the_callers_own_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    def given_budget(budget: Budget) -> Budget:
        return Orchestrator(DEAR_SAGE, budget=budget, providers={"script": OwnDoor()}, trace=False).budget

    assert given_budget(Budget(usd=Decimal(5), turns=3)) == Budget(usd=Decimal(5), turns=3)
    assert caplog.records == []
    others = Budget(tokens=1000, turns=3, seconds=9.0)
    assert given_budget(others) == Budget(usd=SAFE, tokens=1000, turns=3, seconds=9.0)
    assert len(caplog.records) == 1


def test_the_default_budget_holds_in_the_run(tmp_path: Path) -> None:
    door = OwnDoor()
    members: list[Member] = [scripted("sage", DEAR, max_output=100_000), sage()]
    ran = ask(Orchestrator(members, providers={"script": door}, trace=tmp_path), tmp_path)
    assert ran.of(RunStarted)[0].budget["usd"] == SAFE
    assert [request.max_output for request in door.asked] == [2498]
    assert DEAR[0] * QUESTION_TOKENS + DEAR[1] * 2498 <= SAFE / MICRO < DEAR[0] * QUESTION_TOKENS + DEAR[1] * 2499
    assert ran.decision.answer == "4"


SOME = Usage(6, 30)
SOME_COST = DEAR[0] * 6 * MICRO + DEAR[1] * 30 * MICRO
MALFORMED: dict[str, tuple[Completion, str]] = {
    "cut off": (Completion("It is fo", finish="length", usage=SOME), "cut off by the length limit"),
    "cut off before a word": (Completion("", finish="length", usage=SOME), "cut off by the length limit"),
    "empty": (Completion("", usage=SOME), "gave an empty reply"),
    "blank": (Completion(" \n", usage=SOME), "gave an empty reply"),
    "a call": (replace(call(("adder", "{}")), usage=SOME), "called a tool that nobody offered"),
}


def asked_sage(folder: Path, script: Script, *others: Member, budget: Budget | None = None) -> Stage:
    """A plan router's run over the sage, the best there is, and others."""
    return Stage(folder, script, members=[sage(), *others], router="plan", budget=budget)


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_reply_is_repaired(case: str, tmp_path: Path) -> None:
    said, problem = MALFORMED[case]
    stage = asked_sage(tmp_path, {"sage": [said, says("4")]})
    ran = stage.run()
    first, second = stage.requests("sage")
    own_words = (Message("assistant", said.text),) if said.text.strip() else ()
    repair = Message("user", load_prompt("repair_reply").fill(problem=problem))
    assert problem in repair.content
    assert second == replace(first, messages=(*first.messages, *own_words, repair))
    assert [(event.number, event.kind, event.usd) for event in ran.of(TryEnded)] == [
        (1, "malformed", SOME_COST),
        (2, None, SAGE_COST),
    ]
    decision = ran.decision
    assert (decision.answer, decision.status, decision.failed, decision.expert_calls) == ("4", "answered", (), 1)
    assert (decision.cost_usd, decision.cost_exact) == (SOME_COST + SAGE_COST, True)
    assert decision.usage == SOME + SPENT
    assert stage.orchestrator.health.success_rate("script:sage") == 21 / 22


@pytest.mark.parametrize("alone", [True, False])
def test_a_repair_that_is_malformed_again_is_the_end(alone: bool, tmp_path: Path) -> None:
    cut, empty = MALFORMED["cut off"][0], MALFORMED["empty"][0]
    others = () if alone else (giving("b", "42"),)
    stage = asked_sage(tmp_path, {"sage": [cut, empty]}, *others)
    ran = stage.run()
    (failed,) = ran.decision.failed
    assert (failed.agent, failed.kind, failed.error, failed.tries) == ("sage", "malformed", "gave an empty reply", 2)
    assert ran.outcomes() == [("sage", "escalated" if alone else "rerouted")]
    assert (ran.decision.answer, ran.decision.cost_usd) == (None if alone else "42", 2 * SOME_COST)
    assert stage.orchestrator.health.success_rate("script:sage") == 20 / 22


def test_a_repair_takes_nothing_from_the_retries(tmp_path: Path) -> None:
    down, cut = ProviderError("down", kind="server"), MALFORMED["cut off"][0]
    stage = asked_sage(tmp_path, {"sage": [down, cut, down, says("4")]})
    ran = stage.run()
    assert [event.kind for event in ran.of(TryEnded)] == ["server", "malformed", "server", None]
    first, second, third, fourth = stage.requests("sage")
    assert (first, third) == (second, fourth), "a retry asks what the try before it asked"
    assert len(third.messages) == len(first.messages) + 2
    assert ran.decision.answer == "4"


def test_a_repair_that_cannot_be_paid_leaves_the_malformed_reply_as_the_cause(tmp_path: Path) -> None:
    all_of_it = Completion("It is fo", finish="length", usage=Usage(QUESTION_TOKENS, 300))
    stage = asked_sage(tmp_path, {"sage": [all_of_it]}, budget=LIMITS["usd"](300))
    ran = stage.run()
    (failed,) = ran.decision.failed
    assert (failed.kind, failed.error, failed.tries) == ("malformed", "cut off by the length limit", 1)
    assert (ran.decision.status, ran.decision.cost_usd) == ("escalated", LIMITS["usd"](300).usd)


def test_a_model_with_effects_is_not_asked_to_repair(tmp_path: Path) -> None:
    for idempotent, tries in ((False, 1), (True, 2)):
        agent = Agent(name="sage", model="script:sage", skill=0.9, effects=True, idempotent=idempotent)
        stage = Stage(tmp_path, {"sage": [MALFORMED["empty"][0]] * tries}, members=[agent], router="plan")
        assert stage.run().decision.failed[0].tries == tries


@pytest.mark.parametrize("value", ["", " \n", None], ids=["empty", "blank", "none"])
def test_a_tool_is_not_asked_again_for_an_empty_reply(value: str | None, tmp_path: Path) -> None:
    asked: list[str] = []

    def silent(question: str) -> str | None:
        asked.append(question)
        return value

    ran = ask(Orchestrator([Agent(name="a", tool=silent)], trace=tmp_path), tmp_path)
    (failed,) = ran.decision.failed
    assert (failed.kind, failed.error, failed.tries) == ("malformed", "gave an empty reply", 1)
    assert (asked, ran.decision.status) == ([QUESTION], "escalated")


def sums(count: int) -> list[tuple[str, str]]:
    """So many different questions for the adder."""
    return [("adder", f"{number}+{number}") for number in range(1, count + 1)]


@each_encoding
def test_a_turn_of_sixteen_routes_is_taken(encoding: Encoding, tmp_path: Path) -> None:
    said = routes(encoding, *sums(16), thought="many at once")
    stage = Stage(tmp_path, {"router": [said, answers(encoding, "done")]}, encoding)
    ran = stage.run()
    assert (ran.decision.answer, ran.decision.status, ran.decision.turns) == ("done", "answered", 2)
    assert sorted(stage.adder.asked) == sorted(query for _, query in sums(16))
    assert (ran.of(BadTurn), len(ran.of(AttemptStarted))) == ([], 16)


@each_encoding
def test_a_turn_of_seventeen_routes_is_a_bad_turn(encoding: Encoding, tmp_path: Path) -> None:
    said = [routes(encoding, *sums(17)), routes(encoding, *sums(1)), answers(encoding, "2")]
    stage = Stage(tmp_path, {"router": said}, encoding)
    ran = stage.run()
    fault = "17 routes in one turn are too many: at most 16, the others in the next"
    assert [(event.turn, event.fault) for event in ran.of(BadTurn)] == [(1, fault)]
    assert fault in stage.told(2)
    assert (stage.adder.asked, [event.turn for event in ran.of(TurnTaken)]) == (["1+1"], [2, 3])
    assert (ran.decision.answer, ran.decision.status, ran.decision.turns) == ("2", "answered", 3)


@each_encoding
def test_seventeen_routes_twice_in_a_row_end_the_router(encoding: Encoding, tmp_path: Path) -> None:
    stage = Stage(tmp_path, {"router": [routes(encoding, *sums(17))] * 2}, encoding)
    ran = stage.run("2+2")
    assert (ran.decision.answer, ran.decision.expert_calls, len(ran.of(BadTurn))) == ("4", 1, 2)
    assert ran.decision.reasons[0].startswith("takeover: 2 bad turns in a row: 17 routes in one turn are too many")
