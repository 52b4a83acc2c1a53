"""A model that routes while a cascade does the steps, over a loopback server: what is sent, to whom, for what money."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from orchestrator import Budget
from orchestrator.testing import assert_no_silent_failure
from orchestrator.trace.events import Rerouted, RunStarted, TryStarted, TurnTaken
from tests.runs import Ran
from tests.wire.house import House, Line, requests
from tests.wire.server import Seen, whole
from tests.wire.speech import VENDORS, Said, answers, routes
from tests.wire.test_runs import results
from tests.wire.vendors import Json

BLUE, RED, END = Said("Blue."), Said("Red."), answers("That colour.")
ASK_THE_DEAR = routes(("sage", "Which colour?"))
CONTENT, UNSURE = "router+cascade:0.5", "router+cascade"
"""Enough for the cheap expert, who is right six times of ten; and what weighs the dear one's price."""

both = pytest.mark.parametrize("vendor", VENDORS)


def house(vendor: str, folder: Path, router: str, said: Sequence[Line], **experts: Sequence[Line]) -> House:
    """A house whose router says some lines, as the experts do."""
    return House(vendor, folder, {"router": said, **experts}, router=router)


def offered(seen: Seen) -> set[str]:
    """Names of the tools that a request offers."""
    tools = cast("list[Json]", seen.body.get("tools", []))
    return {tool.get("function", tool)["name"] for tool in tools}


def turns(ran: Ran) -> list[tuple[str, ...]]:
    """Whom each turn of a run asked."""
    return [turn.routes for turn in ran.of(TurnTaken)]


@both
def test_who_is_named_is_not_asked_where_a_cheaper_one_is_sure_enough(vendor: str, tmp_path: Path) -> None:
    place = house(vendor, tmp_path, CONTENT, [ASK_THE_DEAR, END], spare=[BLUE])
    ran = place.run()
    assert place.asked() == {"router": 2, "spare": 1}
    assert (ran.decision.answer, ran.decision.status, ran.decision.control_calls) == ("That colour.", "answered", 2)
    assert turns(ran) == [("spare",), ()]
    (told,) = results(requests(place.seen, "router")[1]).values()
    assert told.startswith("spare replied in place of sage")
    assert "could not" not in told
    assert "Blue." in told
    assert "dealt" in ran.of(RunStarted)[0].prompts


@both
@pytest.mark.parametrize(("named", "lead"), [("sage", "<information"), ("spare", "sage replied in place of spare")])
def test_the_dear_one_is_deferred_to_before_the_model_is_told_anything(
    vendor: str, named: str, lead: str, tmp_path: Path
) -> None:
    place = house(vendor, tmp_path, UNSURE, [routes((named, "Which colour?")), END], spare=[BLUE], sage=[RED])
    ran = place.run()
    assert [seen.model for seen in place.seen] == ["router", "spare", "sage", "router"]
    assert turns(ran) == [("spare",), ("sage",), ()]
    assert (ran.decision.turns, ran.decision.control_calls, ran.decision.expert_calls) == (3, 2, 2)
    assert ran.decision.cost_usd == place.bill(router=2, spare=1, sage=1)
    (told,) = results(requests(place.seen, "router")[1]).values()
    assert told.startswith(lead)
    assert "Red." in told
    assert "Blue." not in told
    thoughts = [turn.thought or "" for turn in ran.of(TurnTaken)]
    assert "spare is 0.6" in thoughts[1]
    assert "ask sage: +0." in thoughts[1]


@both
def test_all_that_one_turn_asks_for_is_stepped_side_by_side(vendor: str, tmp_path: Path) -> None:
    asked = routes(("sage", "Which colour?"), ("spare", "Which size?"), ("sums", "17% of 2,340"))
    place = house(vendor, tmp_path, UNSURE, [asked, END], spare=[BLUE, BLUE], sage=[RED, RED])
    ran = place.run()
    assert turns(ran) == [("spare", "spare", "sums"), ("sage", "sage"), ()]
    told = results(requests(place.seen, "router")[1])
    assert list(told) == ["call_1", "call_2", "call_3"]
    assert ["Red." in told["call_1"], "Red." in told["call_2"], "397.8" in told["call_3"]] == [True, True, True]


@both
def test_what_was_asked_before_is_answered_with_what_was_kept(vendor: str, tmp_path: Path) -> None:
    again = routes(("spare", "Which colour?"), ("sage", "Which colour?"))
    place = house(vendor, tmp_path, UNSURE, [ASK_THE_DEAR, again, END], spare=[BLUE], sage=[RED])
    ran = place.run()
    assert place.asked() == {"router": 3, "sage": 1, "spare": 1}
    assert [turn.repeated for turn in ran.of(TurnTaken)][2] == ("sage", "sage")
    told = [
        each["content"] for each in cast("list[Json]", requests(place.seen, "router")[2].body["messages"])
        if each["role"] == ("tool" if vendor == "openai" else "user")
    ]  # fmt: skip
    assert str(told).count("You asked this before") == 2
    assert "Blue." not in str(told)


@both
def test_whom_the_budget_cannot_pay_is_neither_offered_nor_asked(vendor: str, tmp_path: Path) -> None:
    lines = [routes(("spare", "Which colour?")), END]
    place = house(vendor, tmp_path, UNSURE, lines, spare=[BLUE])
    place.budget = Budget(usd=Decimal("0.0044"))  # 256 tokens of the dear one cost more
    ran = place.run()
    assert [offered(seen) for seen in requests(place.seen, "router")] == [{"spare", "sums", "answer"}] * 2
    assert "knows sage things" not in str([seen.body for seen in place.seen])
    assert (ran.decision.answer, ran.decision.status) == ("That colour.", "answered")
    assert ran.called() == ["spare"]
    assert ran.decision.cost_usd == place.bill(router=2, spare=1) < Decimal("0.0044")
    assert {event.model for event in ran.of(TryStarted)} == {"router", "spare"}


@both
def test_an_expert_that_becomes_too_dear_on_the_way_is_no_longer_offered(vendor: str, tmp_path: Path) -> None:
    place = house(vendor, tmp_path, "router+cascade:1", [ASK_THE_DEAR, END], spare=[BLUE], sage=[RED])
    place.budget = Budget(usd=Decimal("0.0051"))
    ran = place.run()
    before, after = (offered(seen) for seen in requests(place.seen, "router"))
    assert (before - after, ran.called()) == ({"sage"}, ["spare", "sage"])
    assert ran.decision.answer == "That colour."


@both
def test_a_cheap_expert_that_fails_is_gone_round_and_what_came_counts(vendor: str, tmp_path: Path) -> None:
    broken = whole({"error": {"message": "no"}}, status=401)
    place = house(vendor, tmp_path, CONTENT, [ASK_THE_DEAR, END], spare=[broken], sage=[RED])
    ran = place.run()
    assert [event.to for event in ran.of(Rerouted)] == ["sage"]
    assert place.asked() == {"router": 2, "sage": 1, "spare": 1}
    (told,) = results(requests(place.seen, "router")[1]).values()
    assert "Red." in told
    assert "could not reply" not in told  # it was sage that was asked for
    assert_no_silent_failure(ran.decision, folder=tmp_path)


@both
def test_a_dear_expert_that_fails_leaves_what_the_cheap_one_gave(vendor: str, tmp_path: Path) -> None:
    broken = whole({"error": {"message": "no"}}, status=401)
    place = house(vendor, tmp_path, UNSURE, [ASK_THE_DEAR, END], spare=[BLUE], sage=[broken])
    ran = place.run()
    (told,) = results(requests(place.seen, "router")[1]).values()
    assert told.startswith("sage could not reply; spare did")
    assert ran.outcomes() == [("sage", "superseded")]
    assert ran.decision.answer == "That colour."
    assert_no_silent_failure(ran.decision, folder=tmp_path)


@both
def test_two_bad_turns_of_the_model_lead_to_the_plan_router(vendor: str, tmp_path: Path) -> None:
    place = house(
        vendor, tmp_path, UNSURE, [ASK_THE_DEAR, Said(""), Said("")], spare=[BLUE], sage=[RED, Said("Green.")]
    )
    ran = place.run()
    assert any(reason.startswith("takeover: 2 bad turns") for reason in ran.decision.reasons)
    assert ran.decision.answer == "Green."  # to the question itself
    assert {turn.router for turn in ran.of(TurnTaken)} == {"plan", "llm+cascade"}
