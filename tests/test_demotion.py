"""Lower goals: taken in order, chosen among by one call at most, and told with the first cause before later ones."""

from __future__ import annotations

from collections.abc import Sequence
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
    Pool,
    ProviderError,
    ScriptProvider,
    ToolError,
)
from orchestrator.errors import AttemptError
from orchestrator.pool.registry import Member
from orchestrator.providers import Request
from orchestrator.providers.script import Line
from orchestrator.routers import PlanRouter
from orchestrator.trace.events import Demoted, TryStarted
from tests.experts import at_once
from tests.routing import DEAR, answers, routes, scripted
from tests.runs import Ran, ask
from tests.staff import Book

ILL = ToolError("ill")
GOALS = ("report", "summary", "outline", "title")
DOWN = ProviderError("HTTP 500", kind="server")


def _experts(book: Book, *broken: str, goals: Sequence[str] = GOALS) -> list[Agent]:
    """One expert for each goal, `r`, `s`, `o`, `t`; those named are ill."""
    return [book.expert(goal[0], *([ILL] if goal[0] in broken else [goal]), produces=goal) for goal in goals]


def _demoting(
    folder: Path, members: Sequence[Member], *said: Line, goals: Sequence[str] = GOALS
) -> tuple[Ran, list[Request]]:
    """A run whose model may choose among lower goals, and what that was asked."""
    provider = ScriptProvider({"chooser": list(said)})
    orchestrator = Orchestrator(
        Pool([Model(name="script:chooser", free=True), *members], goals=goals),
        router=PlanRouter(demoter="script:chooser"),
        providers={"script": provider},
        trace=folder,
        sleep=at_once,
        seed=1,
    )
    ran = ask(orchestrator, folder)
    provider.finish()
    asked = [request for _, request in provider.requests]
    assert ran.decision.control_calls == len({event.seq for event in ran.of(TryStarted) if _first_of_router(event)})
    return ran, asked


def _first_of_router(event: TryStarted) -> bool:
    return event.purpose == "router" and event.number == 1


def _plain(folder: Path, members: Sequence[Member], goals: Sequence[str] = GOALS) -> Ran:
    return ask(Orchestrator(Pool(members, goals=goals), trace=folder, sleep=at_once), folder)


def test_without_a_model_to_ask_the_highest_goal_that_can_be_had_is_taken(tmp_path: Path) -> None:
    book = Book()
    ran = _plain(tmp_path, _experts(book, "r"))
    assert (ran.decision.answer, ran.decision.goal, ran.decision.status) == ("summary", "summary", "degraded")
    assert ran.decision.reasons[0] == "demoted: report → summary"
    assert ran.outcomes() == [("r", "demoted")]
    assert (ran.decision.control_calls, book.calls) == (0, {"r": 1, "s": 1})


def test_lower_goals_are_gone_down_in_order(tmp_path: Path) -> None:
    book = Book()
    ran = _plain(tmp_path, _experts(book, "r", "s", "o"))
    assert (ran.decision.goal, ran.called()) == ("title", ["r", "s", "o", "t"])
    assert [(event.from_goal, event.to_goal) for event in ran.of(Demoted)] == [
        ("report", "summary"),
        ("summary", "outline"),
        ("outline", "title"),
    ]


def test_with_the_last_goal_lost_too_the_run_escalates(tmp_path: Path) -> None:
    ran = _plain(tmp_path, _experts(Book(), "r", "s", "o", "t"))
    assert (ran.decision.answer, ran.decision.status) == (None, "escalated")
    assert [outcome for _, outcome in ran.outcomes()] == ["demoted"] * 3 + ["escalated"]


def test_a_goal_below_the_one_that_was_asked_for_is_no_way_up(tmp_path: Path) -> None:
    book = Book()
    orchestrator = Orchestrator(Pool(_experts(book, "o"), goals=GOALS), trace=tmp_path)
    ran = ask(orchestrator, tmp_path, goal="outline")
    assert (ran.decision.goal, ran.called()) == ("title", ["o", "t"])


def test_a_goal_outside_the_order_is_not_demoted(tmp_path: Path) -> None:
    book = Book()
    pool = Pool([*_experts(book), book.expert("x", ILL, produces="extra")], goals=GOALS)
    ran = ask(Orchestrator(pool, trace=tmp_path), tmp_path, goal="extra")
    assert (ran.decision.status, ran.called()) == ("escalated", ["x"])


def test_with_one_lower_goal_in_reach_nobody_is_asked(tmp_path: Path) -> None:
    """Two stand below, but the writer of the one needs what nobody gives any more."""
    book = Book()
    members = [
        book.expert("search", ILL, produces="passages"),
        book.expert("r", consumes=("passages",), produces="report"),
        book.expert("s", consumes=("passages",), produces="summary"),
        book.expert("t", produces="title"),
    ]
    ran, asked = _demoting(tmp_path, members, goals=("report", "summary", "title"))
    assert (ran.decision.goal, ran.decision.status) == ("title", "degraded")
    assert (asked, ran.decision.control_calls) == ([], 0)


def test_a_lower_goal_that_is_there_already_needs_no_call(tmp_path: Path) -> None:
    """The outline was made on the way to the report, and is the highest that can be had."""
    book = Book()
    members = [
        book.expert("o", produces="outline"),
        book.expert("r", ILL, consumes=("outline",), produces="report"),
        book.expert("t", produces="title"),
    ]
    ran, asked = _demoting(tmp_path, members, goals=("report", "outline", "title"))
    assert (ran.decision.answer, ran.decision.goal, asked) == ("o", "outline", [])
    assert book.calls == {"o": 1, "r": 1}


def test_nobody_is_asked_where_nothing_fails(tmp_path: Path) -> None:
    ran, asked = _demoting(tmp_path, _experts(Book()))
    assert (ran.decision.status, asked, ran.decision.control_calls) == ("answered", [], 0)


@pytest.mark.parametrize("goal", ["summary", "outline", "title"])
def test_of_several_the_model_chooses_with_one_call(goal: str, tmp_path: Path) -> None:
    book = Book()
    ran, asked = _demoting(tmp_path, _experts(book, "r"), goal)
    assert (ran.decision.goal, ran.decision.answer, ran.decision.status) == (goal, goal, "degraded")
    assert (len(asked), ran.decision.control_calls) == (1, 1)
    assert book.calls == {"r": 1, goal[0]: 1}
    assert f"demoted: report → {goal}" in ran.decision.reasons
    assert f"demotion: script:chooser chose {goal}" in ran.decision.reasons


def test_the_model_is_told_what_it_has_to_know(tmp_path: Path) -> None:
    _, (request,) = _demoting(tmp_path, _experts(Book(), "r"), "outline")
    told = "\n".join(message.content for message in request.messages)
    for word in ("What is it?", "report", "summary", "outline", "title", "r: tool", "given by s", "given by t"):
        assert word in told


def test_goals_out_of_reach_are_not_offered(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("search", ILL, produces="passages"),
        book.expert("r", consumes=("passages",), produces="report"),
        book.expert("s", consumes=("passages",), produces="summary"),
        book.expert("o", produces="outline"),
        book.expert("t", produces="title"),
    ]
    ran, (request,) = _demoting(tmp_path, members, "summary", goals=GOALS)
    assert "- summary" not in request.messages[-1].content
    assert (ran.decision.goal, book.calls["s"]) == ("outline", 0)


@pytest.mark.parametrize(
    "said", ["outline", " outline\n", "`outline`", '"outline".', "'outline'", "**outline**", "Outline"]
)
def test_a_name_is_read_whatever_stands_round_it(said: str, tmp_path: Path) -> None:
    ran, _ = _demoting(tmp_path, _experts(Book(), "r"), said)
    assert ran.decision.goal == "outline"


@pytest.mark.parametrize(
    "said",
    [
        "",
        "  ",
        "I cannot say.",
        "42",
        "report",
        Completion("", finish="refusal"),
        Completion("x" * 5000),
    ],
)
def test_what_names_none_of_them_leaves_the_highest(said: str | Completion, tmp_path: Path) -> None:
    """The lost goal is none of them, and half a reply names nothing."""
    ran, asked = _demoting(tmp_path, _experts(Book(), "r"), said)
    assert (ran.decision.goal, ran.decision.status) == ("summary", "degraded")
    assert (len(asked), ran.decision.control_calls) == (1, 1)
    assert any(reason.startswith("demotion: script:chooser") for reason in ran.decision.reasons)


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (ProviderError("HTTP 401", kind="auth"), 1),
        (ProviderError("HTTP 400", kind="invalid_request"), 1),
        (ProviderError("refused", kind="connection", sent=False), 3),
        (DOWN, 3),
    ],
)
def test_a_model_that_fails_leaves_the_highest(error: AttemptError, tries: int, tmp_path: Path) -> None:
    ran, asked = _demoting(tmp_path, _experts(Book(), "r"), *[error] * tries)
    assert (ran.decision.goal, ran.decision.status) == ("summary", "degraded")
    assert (len(asked), ran.decision.control_calls) == (tries, 1)
    assert any("could not be asked" in reason and error.kind in reason for reason in ran.decision.reasons), (
        ran.decision.reasons
    )


def test_a_model_that_cannot_be_paid_leaves_the_highest(tmp_path: Path) -> None:
    book = Book()
    provider = ScriptProvider({})
    model = scripted("chooser", DEAR, max_output=300)
    orchestrator = Orchestrator(
        Pool([model, *_experts(book, "r")], goals=GOALS),
        router=PlanRouter(demoter="script:chooser"),
        providers={"script": provider},
        trace=tmp_path,
        budget=Budget(usd=Decimal("0.000001")),
    )
    ran = ask(orchestrator, tmp_path)
    assert (ran.decision.goal, provider.requests) == ("summary", [])


def test_a_model_is_asked_once_in_a_run(tmp_path: Path) -> None:
    book = Book()
    ran, asked = _demoting(tmp_path, _experts(book, "r", "s"), "summary")
    assert len(asked) == 1
    assert (ran.decision.goal, ran.called()) == ("outline", ["r", "s", "o"])
    assert [(event.from_goal, event.to_goal) for event in ran.of(Demoted)] == [
        ("report", "summary"),
        ("summary", "outline"),
    ]


def test_the_one_call_is_kept_for_where_there_is_a_choice(tmp_path: Path) -> None:
    """The first time there is one way down only, so that nobody was asked; the second time there are two."""
    book = Book()
    members = [
        book.expert("base", produces="base"),
        book.expert("r", ILL, produces="report"),
        book.expert("s", ILL, consumes=("base",), produces="summary"),
        book.expert("o", consumes=("base",), produces="outline"),
        book.expert("t", consumes=("base",), produces="title"),
    ]
    ran, asked = _demoting(tmp_path, members, "title", goals=("report", "summary", "outline", "title"))
    assert len(asked) == 1
    assert ran.decision.control_calls == 1


def test_a_choice_costs_what_its_model_takes(tmp_path: Path) -> None:
    ran, _ = _demoting(tmp_path, _experts(Book(), "r"), "title")
    assert ran.decision.usage.total > 0
    assert ran.decision.cost_usd == 0


def test_what_was_made_already_serves_the_lower_goal(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("search", produces="passages"),
        book.expert("r", ILL, consumes=("passages",), produces="report"),
        book.expert("s", consumes=("passages",), produces="summary"),
        book.expert("t", produces="title"),
    ]
    ran, _ = _demoting(tmp_path, members, "summary", goals=("report", "summary", "title"))
    assert (ran.decision.goal, book.calls["search"]) == ("summary", 1)


@pytest.mark.parametrize("given", ["script:choser", "nobody"])
def test_a_model_that_is_not_there_is_named_before_any_run(given: str) -> None:
    members = [Model(name="script:chooser", free=True), *_experts(Book())]
    with pytest.raises(ConfigError, match="there is no model"):
        Orchestrator(Pool(members, goals=GOALS), router=PlanRouter(demoter=given), trace=False)


def test_a_model_that_costs_gives_a_run_its_budget() -> None:
    members = [Model(name="openai:gpt-4o-mini"), *_experts(Book())]
    router = PlanRouter(demoter="openai:gpt-4o-mini")
    orchestrator = Orchestrator(Pool(members, goals=GOALS), router=router, trace=False)
    assert (orchestrator.budget.usd, len(orchestrator.payable)) == (Decimal("0.10"), 1)


def _routed(folder: Path, members: Sequence[Member], *said: Line) -> tuple[Ran, ScriptProvider]:
    provider = ScriptProvider({"router": list(said)})
    orchestrator = Orchestrator(
        Pool([Model(name="script:router", free=True), *members], goals=GOALS),
        router=LLMRouter("script:router"),
        providers={"script": provider},
        trace=folder,
        sleep=at_once,
    )
    ran = ask(orchestrator, folder)
    provider.finish()
    return ran, provider


def test_a_router_that_is_a_model_decides_itself_what_to_do_without(tmp_path: Path) -> None:
    """It is told that nobody can write the report, and settles for the outline: no call is made but its turns."""
    book = Book()
    said = [routes("tools", ("r", "write it")), routes("tools", ("o", "outline it")), answers("tools", "so it goes")]
    ran, provider = _routed(tmp_path, _experts(book, "r"), *said)
    assert ran.outcomes() == [("r", "returned")]
    assert (ran.decision.answer, ran.decision.status) == ("so it goes", "degraded")
    assert (ran.decision.control_calls, len(provider.requests), ran.of(Demoted)) == (3, 3, [])


def test_what_took_over_from_a_router_asks_it_no_more(tmp_path: Path) -> None:
    """The router's model failed: it is not the one to choose a lower goal."""
    book = Book()
    down = [ProviderError("HTTP 401", kind="auth")]
    ran, provider = _routed(tmp_path, _experts(book, "r"), *down)
    assert (ran.decision.goal, len(provider.requests)) == ("summary", 1)


def test_an_escalation_tells_the_first_cause_first(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("first", DOWN, skill=0.9, retries=0),
        book.expert("second", ToolError("not mine"), skill=0.6),
        book.expert("third", ProviderError("HTTP 401", kind="auth"), skill=0.3),
    ]
    ran = _plain(tmp_path, members, ("answer",))
    assert ran.decision.status == "escalated"
    tried = [reason for reason in ran.decision.reasons if reason.startswith("tried: ")]
    assert [reason.split()[1] for reason in tried] == ["first", "second", "third"]
    assert [failed.agent for failed in ran.decision.failed] == ["first", "second", "third"]
    assert "HTTP 500" in tried[0]
    assert "after 1 try (server)" in tried[0]
    first, last = " ".join(ran.decision.reasons).index("first"), " ".join(ran.decision.reasons).index("third")
    assert first < last


def test_the_causes_of_a_demotion_stand_in_their_order(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("first", DOWN, skill=0.9, retries=0, produces="report"),
        book.expert("second", ToolError("not mine"), skill=0.6, produces="report"),
        book.expert("s", produces="summary"),
    ]
    ran = _plain(tmp_path, members, ("report", "summary"))
    assert ran.outcomes() == [("first", "rerouted"), ("second", "demoted")]
    assert ran.decision.reasons == ("demoted: report → summary", "rerouted: first → second (server)")
    assert [failed.agent for failed in ran.decision.failed] == ["first", "second"]


def test_what_nobody_could_be_asked_for_is_demoted_with_its_reason(tmp_path: Path) -> None:
    """No attempt was made at all: the event stands without one."""

    def never(question: str) -> float:
        return 0.0 if question else 1.0

    book = Book()
    members = [
        book.expert("r", produces="report").model_copy(update={"claim": never}),
        book.expert("s", produces="summary"),
    ]
    ran = _plain(tmp_path, members, ("report", "summary"))
    assert [(event.attempt, event.to_goal) for event in ran.of(Demoted)] == [(None, "summary")]
    assert (ran.decision.status, ran.called()) == ("degraded", ["s"])
