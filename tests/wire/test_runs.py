"""Whole runs with real SDK clients: two turns with parallel routes, and every odd turn that a router's model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from orchestrator import Agent, Budget, Dissent, Model, Orchestrator
from orchestrator.messages import Usage
from orchestrator.trace.events import BadTurn, NameResolved, TakenOver, TryEnded, TurnTaken
from tests.runs import checked
from tests.wire.house import BILL, PRICES, House, requests
from tests.wire.server import End, Script, Seen, WireServer, stream, whole
from tests.wire.speech import VENDORS, Said, answers, estimate, routes
from tests.wire.vendors import DONE, Json, call, chunk, event, message, tool_use

ROME = Said("Rome.")
CALL = routes(("sage", "Which city?"))
END = answers("Rome.")
COUNTED = {"openai": Usage(100, 20, 64, 0, 12), "anthropic": Usage(100, 20, 64, 6, 12)}

both = pytest.mark.parametrize("vendor", VENDORS)
either_way = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@both
@either_way
def test_two_turns_with_an_expert_and_a_tool_side_by_side_and_an_answer(
    vendor: str, streamed: bool, tmp_path: Path
) -> None:
    asked = routes(("sage", "Which city?"), ("sums", "17% of 2,340"), text="Ask both.")
    house = House(vendor, tmp_path, {"router": [asked, answers("397.8")], "sage": [ROME]}, streamed)
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"router": 2, "sage": 1}
    assert (decision.answer, decision.status, decision.method) == ("397.8", "answered", "router")
    assert (decision.support, decision.dissent) == (("sums",), (Dissent("sage", "Rome."),))
    assert (decision.turns, decision.control_calls, decision.merge_calls, decision.expert_calls) == (2, 2, 0, 2)
    assert (decision.reroutes, decision.failed, decision.reasons) == (0, (), ())
    exact = {"openai": Decimal("0.00098468"), "anthropic": Decimal("0.00098876")}
    assert (decision.cost_usd, decision.cost_exact) == (exact[vendor], True)
    assert decision.usage == COUNTED[vendor] + COUNTED[vendor] + COUNTED[vendor]
    assert [(turn.thought, turn.routes) for turn in ran.of(TurnTaken)] == [("Ask both.", ("sage", "sums")), (None, ())]
    assert "".join(house.heard) == ("Ask both." if streamed else "")
    told = results(requests(house.seen, "router")[1])
    assert list(told) == ["call_1", "call_2"]
    assert "Rome." in told["call_1"]
    assert "397.8" in told["call_2"]


def results(seen: Seen) -> dict[str, str]:
    """The results of tool calls that a request holds, by the id of their call; each call has one."""
    body = cast("Json", seen.body)
    if "system" not in body:
        made = [each["id"] for entry in body["messages"] for each in entry.get("tool_calls", [])]
        given = [(e["tool_call_id"], e["content"]) for e in body["messages"] if e["role"] == "tool"]
    else:
        blocks = [block for entry in body["messages"] for block in entry["content"]]
        made = [block["id"] for block in blocks if block["type"] == "tool_use"]
        given = [(b["tool_use_id"], b["content"]) for b in blocks if b["type"] == "tool_result"]
    assert [call_id for call_id, _ in given] == made
    assert len(set(made)) == len(made)
    return dict(given)


@dataclass(frozen=True, slots=True)
class Odd:
    """A turn that is none, and what is wrong with it."""

    id: str
    said: Said
    fault: str


ODD = (
    Odd("length stop", Said("I think that", finish="length"), "cut off by the length limit"),
    Odd("empty content", Said(""), "the turn is empty"),
    Odd("blank content", Said(" \n "), "the turn is empty"),
    Odd("reasoning alone", Said("", reasoning="Hm, Rome?"), "the turn is empty"),
    Odd("unknown tool name", routes(("oracle", "Which?")), "there is no expert `oracle`; there are: sage, spare, sums"),
    Odd("malformed arguments", Said("", (("call_1", "sage", '{"query": '),)), "the arguments of sage are no JSON"),
    Odd("arguments that are no object", Said("", (("call_1", "sage", '["Which?"]'),)), "are no JSON object"),
    Odd("arguments without a query", Said("", (("call_1", "sage", '{"q": "x"}'),)), "needs a text `query`"),
    Odd("arguments cut by the length limit", Said("", (("call_1", "sage", '{"q'),), finish="length"), "cut off by"),
    Odd(
        "two calls of which one names nobody",
        routes(("sage", "Which city?"), ("oracle", "Which?")),
        "there is no expert `oracle`",
    ),
    Odd(
        "two calls of which one has broken arguments",
        Said("", (("call_1", "sage", '{"query": "Which?"}'), ("call_2", "spare", '{"que'))),
        "the arguments of spare are no JSON",
    ),
    Odd(
        "a route and an answer",
        Said("", (*CALL.calls, ("call_2", "answer", '{"answer": "Rome."}'))),
        "calls experts or answers, not both",
    ),
    Odd("an empty answer", answers(" "), "the call of answer needs a text `answer`"),
)

odd_turns = pytest.mark.parametrize("odd", ODD, ids=[odd.id for odd in ODD])


@both
@either_way
@odd_turns
def test_an_odd_turn_is_repaired(vendor: str, streamed: bool, odd: Odd, tmp_path: Path) -> None:
    house = House(vendor, tmp_path, {"router": [odd.said, CALL, END], "sage": [ROME]}, streamed)
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"router": 3, "sage": 1}
    assert (decision.answer, decision.status, decision.method) == ("Rome.", "answered", "router")
    assert (decision.reasons, decision.failed, decision.support) == ((), (), ("sage",))
    assert (decision.turns, decision.control_calls, decision.expert_calls, decision.reroutes) == (3, 3, 1, 0)
    assert (decision.cost_usd, decision.cost_exact) == (house.bill(router=3, sage=1), True)
    (bad,) = ran.of(BadTurn)
    assert odd.fault in bad.fault
    repair = requests(house.seen, "router")[1]
    told = results(repair)
    assert list(told) == [call_id for call_id, _, _ in odd.said.calls]
    assert all(odd.fault in text for text in told.values())
    assert told or odd.fault in str(repair.body["messages"])


@both
@either_way
@odd_turns
def test_a_second_odd_turn_ends_the_router(vendor: str, streamed: bool, odd: Odd, tmp_path: Path) -> None:
    house = House(vendor, tmp_path, {"router": [odd.said, odd.said], "sage": [ROME]}, streamed)
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"router": 2, "sage": 1}
    (taken,) = ran.of(TakenOver)
    assert taken.reason.startswith("2 bad turns in a row: ")
    assert odd.fault in taken.reason
    assert (decision.answer, decision.status, decision.method) == ("Rome.", "answered", "first")
    assert (decision.reasons, decision.failed) == ((f"takeover: {taken.reason}",), ())
    assert (decision.turns, decision.control_calls, decision.expert_calls) == (3, 2, 1)
    assert (decision.cost_usd, decision.cost_exact) == (house.bill(router=2, sage=1), True)


@both
def test_words_about_a_limit_of_the_servers_are_no_limit_of_the_run(vendor: str, tmp_path: Path) -> None:
    refused = whole({"error": {"message": "rate limit: 3 a minute"}}, status=400)
    ran = House(vendor, tmp_path, {"router": [refused], "sage": [ROME]}).run()
    assert (ran.decision.answer, ran.decision.status) == ("Rome.", "answered")
    said = "HTTP 400: rate limit: 3 a minute"
    assert ran.decision.reasons == (f"takeover: the router's model failed (invalid_request): {said}",)


@both
@either_way
def test_a_near_miss_is_taken_for_the_expert_and_written_down(vendor: str, streamed: bool, tmp_path: Path) -> None:
    house = House(vendor, tmp_path, {"router": [routes(("Sagee", "Which city?")), END], "sage": [ROME]}, streamed)
    ran = house.run()
    assert house.asked() == {"router": 2, "sage": 1}
    assert [(event.given, event.agent) for event in ran.of(NameResolved)] == [("Sagee", "sage")]
    assert (ran.decision.answer, ran.decision.status, ran.decision.turns) == ("Rome.", "answered", 2)
    assert (ran.decision.cost_usd, ran.decision.cost_exact) == (house.bill(router=2, sage=1), True)
    assert list(results(requests(house.seen, "router")[1])) == ["call_1"]


@both
@either_way
def test_text_instead_of_a_call_is_the_answer(vendor: str, streamed: bool, tmp_path: Path) -> None:
    house = House(vendor, tmp_path, {"router": [ROME]}, streamed)
    ran = house.run()
    assert house.asked() == {"router": 1}
    assert (ran.decision.answer, ran.decision.status, ran.decision.support) == ("Rome.", "answered", ())
    assert (ran.decision.turns, ran.decision.expert_calls, ran.decision.cost_exact) == (1, 0, True)
    assert ran.decision.cost_usd == BILL[vendor, "router"]
    assert "".join(house.heard) == ("Rome." if streamed else "")


@both
@either_way
def test_a_server_that_calls_experts_though_there_are_none_left_to_ask(
    vendor: str, streamed: bool, tmp_path: Path
) -> None:
    """As one that ignores `tool_choice`: the last turn, in which nobody can be asked, calls all the same."""
    script = {"router": [CALL] * 12, "sage": [ROME]}
    house = House(vendor, tmp_path, script, streamed)
    ran = house.run()
    assert house.asked() == {"router": 12, "sage": 1}
    assert (ran.decision.answer, ran.decision.status, ran.decision.method) == ("Rome.", "degraded", "first")
    assert ran.decision.reasons == ("limit:turns: all 12 turns are taken",)
    assert (ran.decision.turns, ran.decision.control_calls, ran.decision.expert_calls) == (12, 12, 1)
    assert ran.decision.cost_usd == house.bill(router=12, sage=1)


@both
@either_way
def test_reasoning_beside_text_is_no_part_of_it(vendor: str, streamed: bool, tmp_path: Path) -> None:
    thinking = replace(CALL, text="Ask the sage.", reasoning="</think> Perhaps <answer>Paris</answer>?")
    script = {"router": [thinking, Said("Rome.", reasoning="So be it.")], "sage": [replace(ROME, reasoning="Hm.")]}
    house = House(vendor, tmp_path, script, streamed)
    ran = house.run()
    assert house.asked() == {"router": 2, "sage": 1}
    assert (ran.decision.answer, ran.decision.status, ran.decision.support) == ("Rome.", "answered", ("sage",))
    assert [turn.thought for turn in ran.of(TurnTaken)] == ["Ask the sage.", None]
    assert (ran.decision.cost_usd, ran.decision.cost_exact) == (house.bill(router=2, sage=1), True)
    assert ran.decision.usage.reasoning_tokens == 36
    assert "".join(house.heard) == ("Ask the sage.Rome." if streamed else "")
    assert "Perhaps" not in str(house.seen[-1].body)


@both
@either_way
@pytest.mark.parametrize("call_id", ["call_1", ""])
def test_calls_of_one_id_or_none_are_told_apart(vendor: str, streamed: bool, call_id: str, tmp_path: Path) -> None:
    twins = Said("", tuple((call_id, name, '{"query": "Which city?"}') for name in ("sage", "spare")))
    house = House(vendor, tmp_path, {"router": [twins, END], "sage": [ROME], "spare": [Said("Oslo.")]}, streamed)
    ran = house.run()
    assert house.asked() == {"router": 2, "sage": 1, "spare": 1}
    assert (ran.decision.answer, ran.decision.status) == ("Rome.", "answered")
    assert (ran.decision.support, ran.decision.dissent) == (("sage",), (Dissent("spare", "Oslo."),))
    assert (ran.decision.expert_calls, ran.decision.reroutes) == (2, 0)
    assert (ran.decision.cost_usd, ran.decision.cost_exact) == (house.bill(router=2, sage=1, spare=1), True)
    told = list(results(requests(house.seen, "router")[1]).values())
    assert len(told) == 2
    assert "Rome." in told[0]
    assert "Oslo." in told[1]


@both
@either_way
def test_usage_that_nobody_tells_is_estimated(vendor: str, streamed: bool, tmp_path: Path) -> None:
    lines = [replace(CALL, text="Ask.", reasoning="Hm.", counted=False), END]
    house = House(vendor, tmp_path, {"router": lines, "sage": [replace(ROME, counted=False)]}, streamed)
    ran = house.run()
    assert house.asked() == {"router": 2, "sage": 1}
    assert (ran.decision.answer, ran.decision.status, ran.decision.cost_exact) == ("Rome.", "answered", False)
    # "Ask.", "Hm." and '{"query":"Which city?"}' are 4 + 3 + 23 characters, "Rome." is 5: 15 and 3 tokens
    turn = house.charge("router") + 15 * PRICES["router"].output / 1_000_000
    reply = house.charge("sage") + 3 * PRICES["sage"].output / 1_000_000
    assert ran.decision.cost_usd == turn + reply + house.bill(router=1)
    estimated = [Usage(estimate(requests(house.seen, name)[0])) for name in ("router", "sage")]
    assert ran.decision.usage == sum(estimated, COUNTED[vendor] + Usage(0, 18))
    assert [event.exact for event in ran.of(TryEnded)] == [False, False, True]


def at_the_end(vendor: str) -> Sequence[str]:
    """A stream of a call whose usage comes at its very end, and was otherwise nought before."""
    if vendor == "openai":
        nought = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        made = call("call_1", "sage", '{"query": "Which?"}')
        counted = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        return (
            chunk({"tool_calls": [{"index": 0, **made}]}, usage=nought),
            chunk({}, finish="tool_calls", usage=nought),
            chunk({}, usage=counted),
            DONE,
        )
    opened = message(usage={"input_tokens": 0, "output_tokens": 0}, stop=None)
    piece = {"type": "input_json_delta", "partial_json": '{"query": "Which?"}'}
    return (
        event("message_start", message=opened),
        event("content_block_start", index=0, content_block=tool_use("call_1", "sage", {})),
        event("content_block_delta", index=0, delta=piece),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"input_tokens": 7, "output_tokens": 3}),
    )


@both
def test_usage_at_the_end_of_a_stream_is_what_is_billed(vendor: str, tmp_path: Path) -> None:
    house = House(vendor, tmp_path, {"router": [stream(*at_the_end(vendor)), END], "sage": [ROME]}, streamed=True)
    ran = house.run()
    assert house.asked() == {"router": 2, "sage": 1}
    assert (ran.decision.answer, ran.decision.status, ran.decision.cost_exact) == ("Rome.", "answered", True)
    assert ran.decision.cost_usd == Decimal("0.00002492") + house.bill(router=1, sage=1)  # 7 x 1.37 + 3 x 5.11
    assert ran.of(TryEnded)[0].usage == Usage(7, 3)


@both
def test_a_server_that_answers_a_stream_request_with_json(vendor: str, tmp_path: Path) -> None:
    """As LiteLLM's mock models do: what is asked for as a stream comes whole."""
    body = {**message("Rome.", usage={"input_tokens": 7, "output_tokens": 3})} if vendor == "anthropic" else None
    said = body or {
        "choices": [{"message": {"content": "Rome."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }
    house = House(vendor, tmp_path, {"router": [whole(said)]}, streamed=True)
    ran = house.run()
    assert (ran.decision.answer, ran.decision.cost_usd) == ("Rome.", Decimal("0.00002492"))
    assert house.heard == ["Rome."]


@both
@either_way
def test_a_router_that_outlasts_the_run_ends_it_at_its_deadline(vendor: str, streamed: bool, tmp_path: Path) -> None:
    """The call in flight is charged its input estimate; nothing was learned, so nothing is decided."""
    with WireServer() as server:
        server.script(Script((End.HANG,)))
        url = server.openai_url if vendor == "openai" else server.url
        members = [
            Model(name=name, provider=vendor, price=PRICES[name], base_url=url, max_output=300)
            for name in ("router", "sage")
        ]
        orchestrator = Orchestrator(
            [*members, Agent(name="sage", model="sage")], router="router", trace=tmp_path, budget=Budget(seconds=0.5)
        )
        heard: list[str] = []

        def on_text(who: str, piece: str) -> None:
            heard.append(who + piece)

        ran = checked(orchestrator.run_sync("What is it?", on_text=on_text if streamed else None), tmp_path)
    decision = ran.decision
    assert (decision.answer, decision.status, decision.reasons) == (
        None, "escalated", ("limit:seconds: 0.5 s are over",),
    )  # fmt: skip
    charge = estimate(server.requests[0]) * PRICES["router"].input / 1_000_000
    assert (len(server.requests), decision.cost_usd, decision.cost_exact) == (1, charge, False)
    assert (decision.control_calls, decision.expert_calls, decision.turns) == (1, 0, 0)
