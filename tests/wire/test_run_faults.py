"""Every fault of a server at every place of a run: the router's call, an expert's, the last expert's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from orchestrator.errors import FailureKind
from orchestrator.messages import Failed
from orchestrator.trace.events import TakenOver, TryEnded
from tests.runs import Ran
from tests.wire.house import House
from tests.wire.server import JSON, End, Script, head, refused_url, stream, whole
from tests.wire.speech import VENDORS, Said, answers, routes, spoken
from tests.wire.vendors import chunk, event, message

HALF = b'{"id": "x", "choices": [{"index": 0, "mess'
PROMISED = head(200, {"Content-Type": JSON, "Content-Length": "99"})
HTML = "<html><head><title>Bad Gateway</title></head><body>nginx</body></html>"
CALL = routes(("sage", "Which city?"))
ROME = Said("Rome.")
FIRST_WAITS = (0.5, 1.0)
"""Seconds that the first and the second wait may take at most, where the server asks for none."""

both = pytest.mark.parametrize("vendor", VENDORS)
either_way = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])

Charge = Literal["nothing", "input", "reserve", "usage"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a server does instead of an answer, and what we must make of it."""

    id: str
    script: Callable[[str], Script]
    """By vendor."""
    kind: FailureKind
    again: bool
    """Whether another try is worth while."""
    charge: Charge = "input"
    wait: float | None = None
    """Seconds that the server asks for."""

    @property
    def tries(self) -> int:
        """How often whoever is the last resort is tried, where it never gets better."""
        return 3 if self.again else self.tries_with_another

    @property
    def tries_with_another(self) -> int:
        """The same while somebody else could step in: once, and once more to mend what is malformed."""
        return 2 if self.kind == "malformed" else 1

    def patience(self, who: str, *, recovers: bool = False) -> dict[str, Any]:
        """Little time for what does not come; somewhat more where an answer is to come in the end."""
        seconds = 0.4 if recovers else 0.12
        return {"timeout": {"timeouts": {who: seconds}}, "stalled": {"stall": seconds}}.get(self.kind, {})


def failing(status: int, **headers: str) -> Callable[[str], Script]:
    """An error status, whoever is asked."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: whole({"error": {"message": "no"}}, status=status, headers=sent)


def plays(script: Script) -> Callable[[str], Script]:
    """The same, whoever is asked."""
    return lambda _: script


def says(said: Said, *, streamed: bool = False) -> Callable[[str], Script]:
    """An answer in the words of whoever is asked."""
    return lambda vendor: spoken(vendor, said, streamed=streamed)


def begins(text: str, end: End | None) -> Callable[[str], Script]:
    """A stream that begins, perhaps with text, and then comes to no good end."""

    def script(vendor: str) -> Script:
        if vendor == "openai":
            parts = [chunk({"role": "assistant", "content": None}), *([chunk({"content": text})] if text else [])]
        else:
            block = [event("content_block_start", index=0, content_block={"type": "text", "text": text})]
            opened = message(usage={"input_tokens": 0, "output_tokens": 0}, stop=None)
            parts = [event("message_start", message=opened), *(block if text else [])]
        return stream(*parts, *([] if end is None else [end]))

    return script


def thinks(vendor: str) -> Script:
    """A stream of thoughts, which nobody is handed, that comes to no end."""
    if vendor == "openai":
        return stream(chunk({"reasoning_content": "Hm."}), End.HANG)
    block = {"type": "thinking", "thinking": "Hm."}
    return stream(event("content_block_start", index=0, content_block=block), End.HANG)


ANYWHERE = (
    Fault("429 with Retry-After", failing(429, Retry_After="7"), "rate_limited", again=True, wait=7.0),
    Fault("429 without", failing(429), "rate_limited", again=True),
    Fault("500", failing(500), "server", again=True),
    Fault("hang", plays(Script((End.HANG,))), "timeout", again=True),
    Fault("hang after the head", plays(Script((PROMISED, End.HANG))), "timeout", again=True),
    Fault("hang in mid-answer", plays(Script((PROMISED + HALF, End.HANG))), "timeout", again=True, charge="reserve"),
    Fault("connection reset", plays(Script((End.RESET,))), "connection", again=True),
    Fault("HTML error page", plays(whole(HTML, status=502, kind="text/html")), "server", again=True),
    Fault("HTML page with 200", plays(whole(HTML, kind="text/html")), "malformed", again=False),
    Fault("malformed body", plays(whole('{"choices": [{"mess')), "malformed", again=False, charge="reserve"),
    Fault("400", failing(400), "invalid_request", again=False),
    Fault("401", failing(401), "auth", again=False),
)
"""Faults below the protocols: they look the same to a router and to an expert, whole or streamed."""
ANSWERED_WHOLE = (
    Fault("refusal", says(Said("I cannot.", finish="refusal")), "refusal", again=False, charge="usage"),
    Fault("no finish_reason", says(replace(ROME, finish="absent")), "cut_stream", again=True, charge="usage"),
)
OF_EXPERTS = (
    Fault("length stop", says(Said("Rom", finish="length")), "malformed", again=False, charge="usage"),
    Fault("empty content", says(Said("")), "malformed", again=False, charge="usage"),
    Fault("blank content", says(Said(" \n")), "malformed", again=False, charge="usage"),
    Fault("a call that nobody offered", says(CALL), "malformed", again=False, charge="usage"),
)
UNENDED = replace(ROME, finish="absent")
STREAMED = (
    Fault("refusal", says(Said("", finish="refusal"), streamed=True), "refusal", again=False, charge="usage"),
    Fault("no finish_reason", says(UNENDED, streamed=True), "cut_stream", again=False, charge="usage"),
    Fault(
        "no finish_reason of calls",
        says(replace(CALL, finish="absent"), streamed=True),
        "cut_stream",
        again=True,
        charge="usage",
    ),
    Fault("cut before the text", begins("", None), "cut_stream", again=True),
    Fault("cut after text", begins("Ro", None), "cut_stream", again=False, charge="reserve"),
    Fault("reset after text", begins("Ro", End.RESET), "connection", again=False, charge="reserve"),
    Fault("thoughts without end", thinks, "timeout", again=True, charge="reserve"),
    Fault("out of time after text", begins("Ro", End.HANG), "timeout", again=False, charge="reserve"),
    Fault("stalled before the text", begins("", End.HANG), "stalled", again=True),
    Fault("stalled after text", begins("Ro", End.HANG), "stalled", again=False, charge="reserve"),
)

Place = tuple[Fault, bool]
"""A fault, and whether it is a stream that it is met in."""
OF_ROUTERS: tuple[Place, ...] = (
    *((fault, False) for fault in (*ANYWHERE, *ANSWERED_WHOLE)),
    *((fault, True) for fault in (*ANYWHERE, *STREAMED)),
)


def named(*faults: Fault) -> pytest.MarkDecorator:
    """A test for each fault, called after it."""
    return pytest.mark.parametrize("fault", faults, ids=[fault.id for fault in faults])


def placed(*places: Place) -> pytest.MarkDecorator:
    """A test for each fault of a router, called after it."""
    ids = [f"{fault.id}, {'streamed' if streamed else 'whole'}" for fault, streamed in places]
    return pytest.mark.parametrize(("fault", "streamed"), places, ids=ids)


def charged(fault: Fault, house: House, model: str, tries: int) -> Decimal:
    """What so many tries of a model cost that all met the fault; they were the first."""
    match fault.charge:
        case "nothing":
            return Decimal(0)
        case "input":
            return sum((house.charge(model, number) for number in range(tries)), Decimal(0))
        case "reserve":
            return sum((house.reserve(model, number) for number in range(tries)), Decimal(0))
        case "usage":
            return house.bill(**{model: tries})


def hold_to_the_fault(fault: Fault, ran: Ran, purpose: str, tries: int) -> None:
    """So many tries met the fault, each charged as it should be, and booked as exact or not."""
    failed = [event for event in ran.of(TryEnded) if event.kind is not None and event.purpose == purpose]
    assert [event.kind for event in failed] == [fault.kind] * tries
    assert [event.exact for event in failed] == [fault.charge in ("nothing", "usage")] * tries
    assert ran.decision.cost_exact == (fault.charge in ("nothing", "usage"))


def hold_to_the_waits(fault: Fault, waits: Sequence[float], number: int) -> None:
    """So many waits, as long as the server asked for or as the rule says."""
    assert len(waits) == number
    if fault.wait is not None:
        assert waits == [fault.wait] * number
    assert fault.wait is not None or all(0 <= w <= most for w, most in zip(waits, FIRST_WAITS, strict=False))


@both
@placed(*((fault, streamed) for fault, streamed in OF_ROUTERS if fault.again))
def test_a_router_is_asked_again(vendor: str, fault: Fault, streamed: bool, tmp_path: Path) -> None:
    script = {"router": [fault.script(vendor), CALL, answers("Rome.")], "sage": [ROME]}
    house = House(vendor, tmp_path, script, streamed, **fault.patience("router", recovers=True))
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"router": 3, "sage": 1}
    assert (decision.answer, decision.status, decision.method) == ("Rome.", "answered", "router")
    assert (decision.reasons, decision.failed, decision.support) == ((), (), ("sage",))
    assert (decision.turns, decision.control_calls, decision.expert_calls, decision.reroutes) == (2, 2, 1, 0)
    assert decision.cost_usd == charged(fault, house, "router", 1) + house.bill(router=2, sage=1)
    hold_to_the_fault(fault, ran, "router", 1)
    hold_to_the_waits(fault, house.clock.waits, 1)


@both
@placed(*OF_ROUTERS)
def test_a_router_that_fails_for_good_is_taken_over(vendor: str, fault: Fault, streamed: bool, tmp_path: Path) -> None:
    tries = fault.tries
    script = {"router": [fault.script(vendor)] * tries, "sage": [ROME]}
    house = House(vendor, tmp_path, script, streamed, **fault.patience("router"))
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"router": tries, "sage": 1}
    (taken,) = ran.of(TakenOver)
    assert taken.reason.startswith(f"the router's model failed ({fault.kind}): ")
    assert (decision.answer, decision.status, decision.method) == ("Rome.", "answered", "first")
    assert (decision.reasons, decision.failed) == ((f"takeover: {taken.reason}",), ())
    assert (decision.turns, decision.control_calls, decision.expert_calls, decision.reroutes) == (1, 1, 1, 0)
    assert decision.cost_usd == charged(fault, house, "router", tries) + house.bill(sage=1)
    hold_to_the_waits(fault, house.clock.waits, tries - 1)
    if fault.kind != "refusal":  # a router that declines was asked in vain, but no try failed
        hold_to_the_fault(fault, ran, "router", tries)


@both
@named(*ANYWHERE, *ANSWERED_WHOLE, *OF_EXPERTS)
def test_an_expert_that_fails_is_replaced_at_once(vendor: str, fault: Fault, tmp_path: Path) -> None:
    tries = fault.tries_with_another
    script = {"router": [CALL, answers("Rome.")], "sage": [fault.script(vendor)] * tries, "spare": [ROME]}
    house = House(vendor, tmp_path, script, **fault.patience("sage"))
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"router": 2, "sage": tries, "spare": 1}
    assert (decision.answer, decision.status, decision.support) == ("Rome.", "answered", ("spare",))
    assert decision.reasons == (f"rerouted: sage → spare ({fault.kind})",)
    assert (decision.turns, decision.control_calls, decision.expert_calls, decision.reroutes) == (2, 2, 2, 1)
    assert decision.failed == (Failed("sage", fault.kind, decision.failed[0].error, tries),)
    assert decision.cost_usd == charged(fault, house, "sage", tries) + house.bill(router=2, spare=1)
    assert house.clock.waits == [0.0] * (tries - 1)
    assert "sage could not reply; spare did in its place." in str(house.seen[-1].body)
    hold_to_the_fault(fault, ran, "expert", tries)


@both
@named(*(fault for fault in (*ANYWHERE, *ANSWERED_WHOLE) if fault.again))
def test_the_last_expert_is_asked_again(vendor: str, fault: Fault, tmp_path: Path) -> None:
    script = {"router": [CALL, answers("Rome.")], "sage": [fault.script(vendor), ROME]}
    house = House(vendor, tmp_path, script, experts=["sage"], **fault.patience("sage", recovers=True))
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"router": 2, "sage": 2}
    assert (decision.answer, decision.status, decision.reasons, decision.failed) == ("Rome.", "answered", (), ())
    assert (decision.turns, decision.control_calls, decision.expert_calls, decision.reroutes) == (2, 2, 1, 0)
    assert decision.cost_usd == charged(fault, house, "sage", 1) + house.bill(router=2, sage=1)
    hold_to_the_fault(fault, ran, "expert", 1)
    hold_to_the_waits(fault, house.clock.waits, 1)


@both
@named(*ANYWHERE, *ANSWERED_WHOLE, *OF_EXPERTS)
def test_a_route_that_nobody_can_serve_is_returned_to_the_router(vendor: str, fault: Fault, tmp_path: Path) -> None:
    tries = fault.tries
    script = {"router": [CALL, answers("I do not know.")], "sage": [fault.script(vendor)] * tries}
    house = House(vendor, tmp_path, script, experts=["sage"], **fault.patience("sage"))
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"router": 2, "sage": tries}
    assert (decision.answer, decision.status, decision.support) == ("I do not know.", "degraded", ())
    assert decision.reasons == ("returned: nobody can serve the route to sage",)
    assert ran.outcomes() == [("sage", "returned")]
    assert (decision.turns, decision.control_calls, decision.expert_calls, decision.reroutes) == (2, 2, 1, 0)
    assert decision.failed == (Failed("sage", fault.kind, decision.failed[0].error, tries),)
    assert decision.cost_usd == charged(fault, house, "sage", tries) + house.bill(router=2)
    hold_to_the_waits(fault, house.clock.waits, tries - 1)
    hold_to_the_fault(fault, ran, "expert", tries)


@both
@either_way
def test_a_router_that_refuses_connections_costs_nothing(vendor: str, streamed: bool, tmp_path: Path) -> None:
    house = House(vendor, tmp_path, {"sage": [ROME]}, streamed, elsewhere={"router": refused_url()})
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"sage": 1}
    assert [(event.kind, event.usd) for event in ran.of(TryEnded)[:3]] == [("connection", 0)] * 3
    assert (decision.answer, decision.status, decision.method) == ("Rome.", "answered", "first")
    assert decision.reasons[0].startswith("takeover: the router's model failed (connection): ")
    assert (decision.cost_usd, decision.cost_exact) == (house.bill(sage=1), True)
    assert (decision.control_calls, decision.expert_calls, len(house.clock.waits)) == (1, 1, 2)


@both
def test_an_expert_that_refuses_connections_is_replaced(vendor: str, tmp_path: Path) -> None:
    script = {"router": [CALL, answers("Rome.")], "spare": [ROME]}
    house = House(vendor, tmp_path, script, elsewhere={"sage": refused_url()})
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"router": 2, "spare": 1}
    assert (decision.answer, decision.status) == ("Rome.", "answered")
    assert decision.reasons == ("rerouted: sage → spare (connection)",)
    assert (decision.cost_usd, decision.cost_exact) == (house.bill(router=2, spare=1), True)
    assert (decision.expert_calls, decision.reroutes, decision.failed[0].tries) == (2, 1, 1)


@both
def test_a_last_expert_that_refuses_connections_is_tried_three_times(vendor: str, tmp_path: Path) -> None:
    script = {"router": [CALL, answers("Nobody knows.")]}
    house = House(vendor, tmp_path, script, experts=["sage"], elsewhere={"sage": refused_url()})
    ran = house.run()
    decision = ran.decision
    assert house.asked() == {"router": 2}
    assert (decision.answer, decision.status) == ("Nobody knows.", "degraded")
    assert (decision.cost_usd, decision.cost_exact) == (house.bill(router=2), True)
    assert (decision.expert_calls, decision.failed[0].tries, len(house.clock.waits)) == (1, 3, 2)
    assert ran.outcomes() == [("sage", "returned")]


@both
@pytest.mark.parametrize("begun", [False, True])
def test_a_call_under_way_when_its_run_is_given_up_costs_the_reserve_once_output_has_begun(
    vendor: str, begun: bool, tmp_path: Path
) -> None:
    house = House(vendor, tmp_path, {"router": [Script((PROMISED + HALF if begun else PROMISED, End.HANG))]})
    (ended,) = house.broken_off(0.2)
    assert (ended.cancelled, ended.exact) == (True, False)
    assert ended.usd == (house.reserve("router") if begun else house.charge("router"))
