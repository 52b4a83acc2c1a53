"""Effects: one key for one effect, nothing done twice, and a person where nobody can know whether it was done."""
# ruff: noqa: ARG001 - experts of tests need not look at what they are given

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from orchestrator import (
    Agent,
    Budget,
    Completion,
    IdempotencyKey,
    Model,
    Orchestrator,
    Pool,
    ProviderError,
    Resources,
    Route,
    ScriptProvider,
    ToolError,
    Turn,
    View,
    expert,
    load_folder,
)
from orchestrator.errors import FailureKind, ProviderTimeout, RateLimited
from orchestrator.messages import Encoding
from orchestrator.trace.events import AttemptCancelled, AttemptStarted, BreakerChanged
from tests.experts import at_once
from tests.fake_clock import FakeClock
from tests.routing import ENCODINGS, Stage, answers, routes
from tests.runs import Ran, ask, only_trace
from tests.staff import Book, conduct, forever, until

CUT = ProviderError("the connection was cut", kind="connection")
REFUSED = ProviderError("connection refused", kind="connection", sent=False)
DOUBTS: dict[str, tuple[object, FailureKind]] = {
    "hangs": (forever, "timeout"),
    "says it timed out": (ProviderTimeout("no reply within 3 s"), "timeout"),
    "raises TimeoutError": (TimeoutError("read"), "timeout"),
    "breaks down": (ValueError("broken"), "tool"),
    "cuts the connection": (CUT, "connection"),
    "raises ConnectionResetError": (ConnectionResetError("reset by peer"), "tool"),
    "answers 500": (ProviderError("HTTP 500", kind="server"), "server"),
    "cuts the stream": (ProviderError("ended early", kind="cut_stream", begun=True), "cut_stream"),
    "stalls": (ProviderError("nothing for 30 s", kind="stalled", begun=True), "stalled"),
    "gives nothing": (lambda: None, "malformed"),
    "gives blanks": ("  ", "malformed"),
}
SURE: dict[str, tuple[object, FailureKind]] = {
    "says that it could not": (ToolError("the account is closed"), "tool"),
    "is not there": (REFUSED, "connection"),
    "could not connect in time": (ProviderTimeout("no connection", sent=False), "timeout"),
    "is rate limited": (RateLimited("later"), "rate_limited"),
    "lets nobody in": (ProviderError("HTTP 401", kind="auth"), "auth"),
    "finds the request invalid": (ProviderError("HTTP 400", kind="invalid_request"), "invalid_request"),
    "declines": (ProviderError("no", kind="refusal"), "refusal"),
}


def conduct_pool(pool: Pool, folder: Path) -> Orchestrator:
    """An orchestrator over a pool that sleeps at once."""
    return Orchestrator(pool, trace=folder, sleep=at_once, seed=1)


def _keys(ran: Ran) -> list[str | None]:
    return [event.idempotency_key for event in ran.of(AttemptStarted)]


def _senders(
    book: Book, first: object, *, idempotent: bool = False, retries: int | None = None, lower: bool = True
) -> Pool:
    """Two experts with the same effect, the first of which does an act, and a lower goal."""
    members = [
        book.expert(
            "send",
            first,
            skill=0.9,
            effects=True,
            idempotent=idempotent,
            retries=retries,
            timeout=0.05,
            produces="sent",
        ),
        book.expert("post", skill=0.5, effects=True, idempotent=idempotent, produces="sent"),
        book.expert("draft", produces="letter"),
    ]
    return Pool(members, goals=["sent", "letter"] if lower else ["sent"])


def test_an_expert_with_effects_is_given_the_key_that_stands_in_the_trace(tmp_path: Path) -> None:
    book = Book()
    ran = ask(conduct([book.expert("send", effects=True)], tmp_path), tmp_path)
    (key,) = book.keys["send"]
    assert isinstance(key, IdempotencyKey)
    assert len(key) == 32
    assert _keys(ran) == [key]


def test_an_expert_without_effects_has_no_key_in_the_trace(tmp_path: Path) -> None:
    assert _keys(ask(conduct([Book().expert("look")], tmp_path), tmp_path)) == [None]


def test_a_function_asks_for_its_key_by_type_beside_other_things(tmp_path: Path) -> None:
    given: list[object] = []

    @expert(effects=True)
    def send(question: str, key: IdempotencyKey, resources: Resources) -> str:
        given.extend([key, resources])
        return "sent"

    ran = ask(Orchestrator([send], trace=tmp_path, resources=Resources(docs=tmp_path)), tmp_path)
    assert given == [_keys(ran)[0], Resources(docs=tmp_path)]


@pytest.mark.parametrize("idempotent", [False, True])
def test_an_effect_may_be_done_by_whoever_takes_no_key(idempotent: bool, tmp_path: Path) -> None:
    done: list[str] = []

    @expert(effects=True, idempotent=idempotent)
    def send(question: str) -> str:
        done.append(question)
        return "sent"

    assert ask(Orchestrator([send], trace=tmp_path), tmp_path).decision.status == "answered"
    assert len(done) == 1


def test_the_key_is_the_same_over_tries(tmp_path: Path) -> None:
    book = Book()
    send = book.expert("send", CUT, CUT, "sent", effects=True, idempotent=True, retries=2)
    ran = ask(conduct([send], tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("sent", "answered")
    assert (len(book.keys["send"]), len(set(book.keys["send"]))) == (3, 1)
    assert set(book.keys["send"]) == set(_keys(ran))


@pytest.mark.parametrize("doubt", DOUBTS)
def test_in_doubt_an_idempotent_sibling_is_asked_under_the_same_key(doubt: str, tmp_path: Path) -> None:
    book = Book()
    act, kind = DOUBTS[doubt]
    ran = ask(conduct_pool(_senders(book, act, idempotent=True), tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status, ran.decision.goal) == ("post", "answered", "sent")
    assert [(each.agent, each.kind) for each in ran.decision.failed] == [("send", kind)]
    assert book.keys["send"] == book.keys["post"]
    assert _keys(ran) == [*book.keys["send"], *book.keys["post"]]


def test_the_key_differs_between_runs(tmp_path: Path) -> None:
    book = Book()
    orchestrator = conduct([book.expert("send", effects=True)], tmp_path)
    for _ in range(3):
        ask(orchestrator, tmp_path)
    assert len(set(book.keys["send"])) == 3


def test_the_key_differs_between_goals(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("book", effects=True, produces="booking"),
        book.expert("pay", effects=True, consumes=("booking",)),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert ran.decision.status == "answered"
    assert len({*book.keys["book"], *book.keys["pay"]}) == 2


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_key_differs_between_queries(encoding: Encoding, tmp_path: Path) -> None:
    book = Book()
    send = book.expert("send", effects=True)
    said = [routes(encoding, ("send", "to Ann"), ("send", "to Bob")), answers(encoding, "done")]
    ran = Stage(tmp_path, {"router": said}, encoding=encoding, members=[send]).run()
    assert book.calls["send"] == 2
    assert len(set(book.keys["send"])) == 2
    assert sorted(book.keys["send"]) == sorted(str(key) for key in _keys(ran))


@pytest.mark.parametrize("retries", [None, 2])
@pytest.mark.parametrize("doubt", DOUBTS)
def test_in_doubt_nobody_is_asked_again_and_a_person_is_told(doubt: str, retries: int | None, tmp_path: Path) -> None:
    book = Book()
    act, kind = DOUBTS[doubt]
    ran = ask(conduct_pool(_senders(book, act, retries=retries), tmp_path), tmp_path)
    assert book.calls == {"send": 1}
    assert (ran.decision.answer, ran.decision.status) == (None, "escalated")
    assert [(each.agent, each.kind, each.tries) for each in ran.decision.failed] == [("send", kind, 1)]
    assert ran.outcomes() == [("send", "escalated")]
    told = " ".join(ran.decision.reasons)
    assert ran.decision.reasons[0].startswith("in doubt: send may have done it")
    assert f"({kind})" in ran.decision.reasons[0]
    assert "tried: send" in told
    assert "`sent`" in told
    assert "idempotency key stands in the trace" in told
    assert _keys(ran) == book.keys["send"]


@pytest.mark.parametrize("sure", SURE)
def test_what_surely_was_not_done_is_rerouted(sure: str, tmp_path: Path) -> None:
    book = Book()
    act, kind = SURE[sure]
    ran = ask(conduct_pool(_senders(book, act), tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("post", "answered")
    assert [(each.agent, each.kind) for each in ran.decision.failed] == [("send", kind)]
    assert book.calls == {"send": 1, "post": 1}


def test_what_surely_was_not_done_is_tried_again_where_that_may_help(tmp_path: Path) -> None:
    book = Book()
    send = book.expert("send", REFUSED, REFUSED, "sent", effects=True, retries=2)
    ran = ask(conduct([send], tmp_path), tmp_path)
    assert (ran.decision.answer, book.calls["send"]) == ("sent", 3)
    assert len(set(book.keys["send"])) == 1


def test_tries_end_where_one_leaves_a_doubt(tmp_path: Path) -> None:
    book = Book()
    send = book.expert("send", REFUSED, CUT, "sent", effects=True, retries=5)
    ran = ask(conduct([send], tmp_path), tmp_path)
    assert (ran.decision.status, book.calls["send"]) == ("escalated", 2)
    assert ran.decision.reasons[0].startswith("in doubt: send")


def test_a_doubt_of_an_earlier_try_is_not_forgotten(tmp_path: Path) -> None:
    """An idempotent expert may have done it in its first try: whoever is not idempotent must not do it again."""
    book = Book()
    members = [
        book.expert("send", CUT, REFUSED, skill=0.9, effects=True, idempotent=True, retries=1),
        book.expert("post", skill=0.5, effects=True),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert book.calls == {"send": 2}
    assert ran.decision.status == "escalated"


def test_a_doubt_about_an_idempotent_expert_keeps_others_from_doing_it_too(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("send", CUT, skill=0.9, effects=True, idempotent=True, retries=0),
        book.expert("post", skill=0.5, effects=True),
        book.expert("wire", skill=0.2, effects=True, idempotent=True),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert ran.called() == ["send", "wire"]
    assert (ran.decision.answer, ran.decision.status) == ("wire", "answered")
    assert book.keys["send"] == book.keys["wire"]


def test_a_doubt_without_an_idempotent_way_left_does_not_go_lower_in_silence(tmp_path: Path) -> None:
    """Only somebody who is not idempotent is left: that it may have been done already is what a person has to know."""
    book = Book()
    members = [
        book.expert("send", CUT, skill=0.9, effects=True, idempotent=True, retries=0, produces="sent"),
        book.expert("post", skill=0.5, effects=True, produces="sent"),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert book.calls == {"send": 1}
    assert ran.decision.status == "escalated"
    assert any("send may have done it" in reason for reason in ran.decision.reasons)


@pytest.mark.parametrize("sibling", [True, False])
def test_a_lower_goal_does_not_hide_that_an_idempotent_expert_may_have_done_it(sibling: bool, tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("send", CUT, skill=0.9, effects=True, idempotent=True, retries=1, produces="sent"),
        book.expert("draft", produces="letter"),
        *([book.expert("post", effects=True, produces="sent")] if sibling else []),
    ]
    ran = ask(conduct_pool(Pool(members, goals=["sent", "letter"]), tmp_path), tmp_path)
    assert (book.calls["send"], book.calls["post"]) == (2, 0)
    assert ran.decision.status != "answered"
    assert any("send may have done it" in reason for reason in ran.decision.reasons), ran.decision.reasons


@pytest.mark.parametrize("injected", ["injected", "timeout", "connection"])
def test_an_injected_fault_is_rerouted(injected: FailureKind, tmp_path: Path) -> None:
    book = Book()

    def faults(agent: str, number: int, case: str | None) -> FailureKind | None:
        return injected if agent == "send" else None

    ran = ask(Orchestrator(_senders(book, "sent"), trace=tmp_path, sleep=at_once, faults=faults), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("post", "answered")
    assert book.calls == {"post": 1}


def test_an_open_breaker_is_rerouted(tmp_path: Path) -> None:
    book, clock = Book(), FakeClock()
    members = [
        book.expert("send", REFUSED, skill=0.9, effects=True, retries=0),
        book.expert("post", skill=0.5, effects=True),
    ]
    orchestrator = conduct(members, tmp_path, clock=clock)
    for _ in range(6):
        ran = ask(orchestrator, tmp_path)
        assert (ran.decision.answer, ran.decision.status) == ("post", "answered")
    assert book.calls == {"send": 5, "post": 6}


def test_a_breaker_that_opens_meanwhile_leaves_no_doubt(tmp_path: Path) -> None:
    """Two routes to one expert at a time: the first opens the breaker, the second was never sent."""
    book = Book()
    closed = ProviderError("HTTP 401", kind="auth")

    def twice(view: View) -> Turn:
        return Turn(()) if view.replies or view.failures else Turn((Route("send", "x"), Route("wait", "y")))

    async def later() -> str:
        await until(book.ends("send"))
        return "waited"

    members = [
        book.expert("send", closed, effects=True, produces="sent", skill=0.9),
        book.expert("post", effects=True, produces="sent", skill=0.5),
        book.expert("wait", later, produces="waited"),
    ]
    ran = ask(Orchestrator(Pool(members, goals=["sent"]), router=twice, trace=tmp_path, sleep=at_once), tmp_path)
    assert ran.of(BreakerChanged)[0].key == "tool:send"
    assert ran.decision.answer == "post"


def test_time_that_runs_out_over_an_effect_leaves_a_doubt(tmp_path: Path) -> None:
    """The run's own deadline cut the try: whether it was done nobody knows, so the reasons say so."""
    book = Book()
    pool = Pool(
        [book.expert("send", forever, effects=True, produces="sent"), book.expert("draft", produces="letter")],
        goals=["sent", "letter"],
    )
    ran = ask(Orchestrator(pool, trace=tmp_path, budget=Budget(seconds=0.1)), tmp_path)
    assert ran.decision.status == "escalated"
    assert any(reason.startswith("in doubt: send") for reason in ran.decision.reasons)


def test_an_effect_in_doubt_ends_the_run_whatever_its_sibling_gives(tmp_path: Path) -> None:
    """A branch beside it goes on to its end, and nothing new is begun."""
    book = Book()

    async def slow() -> str:
        await until(book.ends("send"))
        return "slow"

    members = [
        book.expert("slow", slow, produces="left"),
        book.expert("after", consumes=("left",), produces="more"),
        book.expert("send", CUT, produces="sent", effects=True),
        book.expert("both", consumes=("more", "sent")),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert ran.decision.status == "escalated"
    assert book.calls == {"slow": 1, "send": 1}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_two_routes_to_one_effect_do_it_once(encoding: Encoding, tmp_path: Path) -> None:
    book = Book()
    members = [book.expert("send", effects=True), book.expert("post", effects=True)]
    said = [routes(encoding, ("send", "to Ann"), ("post", "to Ann")), answers(encoding, "done")]
    ran = Stage(tmp_path, {"router": said}, encoding=encoding, members=members).run()
    assert sum(book.calls.values()) == 1
    assert (ran.decision.answer, len(ran.called())) == ("done", 1)


def test_a_second_turn_does_not_do_an_effect_again(tmp_path: Path) -> None:
    book = Book()
    members = [book.expert("send", effects=True), book.expert("post", effects=True)]
    said = [
        routes("tools", ("send", "to Ann")),
        routes("tools", ("post", "to Ann")),
        routes("tools", ("send", "to Ann")),
        answers("tools", "done"),
    ]
    ran = Stage(tmp_path, {"router": said}, members=members).run()
    assert book.calls == {"send": 1}
    assert ran.decision.answer == "done"


def test_a_router_that_insists_does_not_get_an_effect_repeated_in_doubt(tmp_path: Path) -> None:
    book = Book()
    members = [book.expert("send", CUT, effects=True), book.expert("post", effects=True)]
    said = [routes("tools", ("send", "to Ann")), routes("tools", ("post", "to Ann")), answers("tools", "done")]
    stage = Stage(tmp_path, {"router": said}, members=members)
    ran = stage.run(whole=False)
    assert book.calls == {"send": 1}
    assert ran.decision.status == "escalated"
    assert len(stage.requests()) == 1


def test_a_stage_with_an_effect_is_done_once_though_the_router_asks_for_it_as_well(tmp_path: Path) -> None:
    """In one turn: `confirm`, whose way begins with `send`, and `post`, which has the same effect."""
    book = Book()
    members = [
        book.expert("send", effects=True, produces="sent", skill=0.9),
        book.expert("post", effects=True, produces="sent"),
        book.expert("confirm", consumes=("sent",)),
    ]
    said = [routes("tools", ("confirm", "to Ann"), ("post", "to Ann")), answers("tools", "done")]
    ran = Stage(tmp_path, {"router": said}, members=members).run()
    assert book.calls["send"] + book.calls["post"] == 1
    assert (ran.decision.answer, book.calls["confirm"]) == ("done", 1)


@pytest.mark.parametrize("first", ["look", "send"])
def test_an_effect_is_not_dropped_for_a_plain_expert_of_the_same_artifact(first: str, tmp_path: Path) -> None:
    """A route to somebody without effects is another analysis; it neither has the effect nor stands for it."""
    book = Book()
    members = [book.expert("send", effects=True), book.expert("look")]
    asked = sorted([("look", "to Ann"), ("send", "to Ann")], reverse=first == "send")
    stage = Stage(tmp_path, {"router": [routes("tools", *asked), answers("tools", "done")]}, members=members)
    stage.run()
    assert book.calls == {"look": 1, "send": 1}
    assert "asked this before" not in stage.told(2)


def test_several_analyses_are_no_reason_to_do_an_effect_several_times(tmp_path: Path) -> None:
    """Three analyses are asked for: an effect is no opinion, and is had once."""
    book = Book()
    members = [book.expert("send", effects=True), book.expert("post", effects=True), book.expert("wire", effects=True)]
    ran = ask(Orchestrator(members, analyses=3, trace=tmp_path), tmp_path)
    assert sum(book.calls.values()) == 1
    assert ran.decision.answer in {"send", "post", "wire"}


def test_analyses_over_an_effect_share_it(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("order", effects=True, produces="order"),
        book.expert("order2", effects=True, produces="order", skill=0.4),
        *(book.expert(name, consumes=("order",)) for name in ("a", "b", "c")),
    ]
    ran = ask(Orchestrator(members, analyses=3, trace=tmp_path), tmp_path)
    assert ran.decision.status == "answered"
    assert book.calls == {"order": 1, "a": 1, "b": 1, "c": 1}


def test_a_model_with_effects_is_not_asked_to_mend_what_it_said(tmp_path: Path) -> None:
    """An empty reply came after the request had been acted on, perhaps: it is no reason to send it again."""
    provider = ScriptProvider({"m": ["", "again"], "n": ["spare"]})
    members = [
        Model(name="script:m", free=True),
        Model(name="script:n", free=True),
        Agent(name="send", model="script:m", effects=True, skill=0.9, retries=2),
        Agent(name="post", model="script:n", effects=True, skill=0.5),
    ]
    ran = ask(Orchestrator(members, providers={"script": provider}, trace=tmp_path, sleep=at_once), tmp_path)
    assert [name for name, _ in provider.requests] == ["m"]
    assert (ran.decision.status, ran.decision.failed[0].kind) == ("escalated", "malformed")


@pytest.mark.parametrize(
    ("line", "calls"),
    [
        (CUT, ["m"]),
        (Completion("half an ans", finish="length"), ["m"]),
        (REFUSED, ["m", "n"]),
        (Completion("", finish="refusal"), ["m", "n"]),
    ],
)
def test_a_model_with_effects_is_as_careful(line: Completion | ProviderError, calls: list[str], tmp_path: Path) -> None:
    provider = ScriptProvider({"m": [line], "n": ["spare"]})
    members = [
        Model(name="script:m", free=True),
        Model(name="script:n", free=True),
        Agent(name="send", model="script:m", effects=True, skill=0.9),
        Agent(name="post", model="script:n", effects=True, skill=0.5),
    ]
    ran = ask(Orchestrator(members, providers={"script": provider}, trace=tmp_path, sleep=at_once), tmp_path)
    assert [name for name, _ in provider.requests] == calls
    assert ran.decision.status == ("answered" if "n" in calls else "escalated")


def test_a_run_that_is_stopped_over_an_effect_leaves_its_key_behind(tmp_path: Path) -> None:
    book = Book()
    orchestrator = conduct([book.expert("send", forever, effects=True)], tmp_path)

    async def stopped() -> None:
        running = asyncio.create_task(orchestrator.run("Send it."))
        await until(book.starts("send"))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(stopped())
    events = only_trace(tmp_path).events
    assert [event.idempotency_key for event in events if isinstance(event, AttemptStarted)] == book.keys["send"]
    assert [event.attempt for event in events if isinstance(event, AttemptCancelled)] == [1]


def test_a_plain_function_that_is_cut_off_is_in_doubt_although_its_thread_goes_on(tmp_path: Path) -> None:
    done: list[str] = []

    def send(question: str, key: IdempotencyKey) -> str:
        time.sleep(0.3)
        done.append(key)
        return "sent"

    members = [
        Agent(name="send", tool=send, effects=True, timeout=0.05, skill=0.9),
        Book().expert("post", effects=True, skill=0.5),
    ]
    ran = ask(Orchestrator(members, trace=tmp_path), tmp_path)
    assert (ran.decision.status, ran.called()) == ("escalated", ["send"])


POOL = """
[agents.send]
tool = "work.py:send"
effects = true
IDEMPOTENT
skill = 0.9

[agents.post]
tool = "work.py:post"
effects = true
IDEMPOTENT
skill = 0.5
"""
WORK = """
from orchestrator import IdempotencyKey


def send(question, key: IdempotencyKey):
    raise ConnectionResetError("cut off")


def post(question, key: IdempotencyKey):
    return key
"""


@pytest.mark.parametrize("idempotent", [False, True])
def test_a_pool_in_toml_keeps_to_it(idempotent: bool, tmp_path: Path) -> None:
    folder = tmp_path / "agents"
    folder.mkdir()
    (folder / "pool.toml").write_text(POOL.replace("IDEMPOTENT", "idempotent = true" if idempotent else ""))
    (folder / "work.py").write_text(WORK)
    ran = ask(Orchestrator(load_folder(folder), trace=tmp_path / "runs"), tmp_path / "runs")
    assert ran.called() == (["send", "post"] if idempotent else ["send"])
    assert ran.decision.status == ("answered" if idempotent else "escalated")
    assert {ran.decision.answer} <= {None, *_keys(ran)}
    assert len(set(_keys(ran))) == 1
