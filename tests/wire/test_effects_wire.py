"""Effects over the wire: a server that dies between doing and answering does each thing once, or a person is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep

import pytest

from orchestrator import Agent, Budget, Orchestrator, Pool
from orchestrator.pool.registry import Member
from orchestrator.trace.events import AttemptCancelled, AttemptStarted, Replied, RunEnded
from tests.experts import at_once
from tests.routing import Stage, answers, routes
from tests.runs import Ran, ask, checked, hold_to_the_rules, only_trace
from tests.wire.acting_process import ActingProcess

DEATHS = ("dies", "resets", "closes", "hangs")
"""What a server does after the act, other than answering."""

TRIES = [(0, "alone", 1), (2, "alone", 3), (None, "alone", 3), (0, "same", 2), (None, "same", 4), (2, "same", 6)]
"""Retries of an expert, whether it has a sibling, and how often their server is tried then at most."""

awaiting = pytest.mark.parametrize("awaits", [False, True], ids=["thread", "task"])
either = pytest.mark.parametrize("idempotent", [False, True], ids=["doubles", "dedupes"])
each_death = pytest.mark.parametrize("death", DEATHS)


@dataclass(frozen=True)
class Town:
    """Two servers that act on one world."""

    one: ActingProcess
    two: ActingProcess

    def acts(self) -> Counter[str]:
        """How often each key was acted on."""
        world = self.one.worlds / self.one.world
        return Counter(world.read_text().split()) if world.exists() else Counter()

    def hold(self, ran: Ran) -> None:
        """Each key was acted on once at most; what was acted on without a reply is told to a person."""
        keys = {event.attempt: event.idempotency_key for event in ran.of(AttemptStarted) if event.idempotency_key}
        replied = {keys[event.attempt] for event in ran.of(Replied) if event.attempt in keys}
        acts = self.acts()
        assert set(acts) <= set(keys.values())
        assert set(acts.values()) <= {1}
        assert replied <= set(acts)
        if set(acts) - replied:
            assert ran.decision.status != "answered"
            assert any("may have done it" in reason for reason in ran.decision.reasons), ran.decision.reasons

    def asked(self) -> tuple[int, int]:
        """How many requests each server saw."""
        return len(self.one.seen), len(self.two.seen)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ActingProcess, ActingProcess]]:
    """Two processes for all tests here."""
    folder = tmp_path_factory.mktemp("acting")
    worlds = folder / "worlds"
    worlds.mkdir()
    with ActingProcess(folder / "one", worlds) as one, ActingProcess(folder / "two", worlds) as two:
        yield one, two


@pytest.fixture
def town(servers: tuple[ActingProcess, ActingProcess], request: pytest.FixtureRequest) -> Town:
    """A world of its own in which nothing was done yet; its servers answer."""
    for server in servers:
        server.world = sha256(request.node.name.encode()).hexdigest()
        server.plan("answers")
    return Town(*servers)


def over(members: Sequence[Member], folder: Path, *, analyses: int = 1, budget: Budget | None = None) -> Orchestrator:
    """An orchestrator that waits for nobody between two tries."""
    return Orchestrator(members, trace=folder, sleep=at_once, seed=1, analyses=analyses, budget=budget)


def read_of(sent: str) -> str:
    """What was sent."""
    return f"read: {sent}"


def both(sent: str, booked: str) -> str:
    """Both things that were done."""
    return f"{sent}, {booked}"


def senders(town: Town, sibling: str, *, idempotent: bool = False, retries: int | None = None) -> list[Member]:
    """An expert over the first server, and perhaps a sibling over the same or over the other one."""
    careful = idempotent  # who may be asked again says what went wrong, so that it is
    found: list[Member] = [town.one.agent("send", skill=0.9, idempotent=idempotent, retries=retries, careful=careful)]
    if sibling != "alone":
        server = town.one if sibling == "same" else town.two
        found.append(server.agent("post", idempotent=idempotent, retries=retries, careful=careful))
    return found


@pytest.mark.parametrize("sibling", ["alone", "same", "other"])
@pytest.mark.parametrize("retries", [0, 2])
@each_death
def test_a_server_that_dies_on_every_try_does_it_once(
    death: str, retries: int, sibling: str, town: Town, tmp_path: Path
) -> None:
    town.one.plan(death)
    ran = ask(over(senders(town, sibling, retries=retries), tmp_path), tmp_path)
    town.hold(ran)
    assert (town.asked(), town.acts().total()) == ((1, 0), 1)
    assert ran.decision.status == "escalated"
    assert ran.decision.reasons[0].startswith("in doubt: send may have done it")


@pytest.mark.parametrize("sibling", ["alone", "same", "other"])
@pytest.mark.parametrize("retries", [0, 2])
@each_death
def test_a_server_that_knows_its_keys_may_be_asked_again(
    death: str, retries: int, sibling: str, town: Town, tmp_path: Path
) -> None:
    town.one.plan(death, dedupes=True)
    town.two.plan("answers", dedupes=True)
    ran = ask(over(senders(town, sibling, idempotent=True, retries=retries), tmp_path), tmp_path)
    town.hold(ran)
    tries = 1 + retries
    expected = {"alone": (tries, 0), "same": (2 * tries, 0), "other": (tries, 1)}[sibling]
    assert (town.asked(), town.acts().total()) == (expected, 1)
    assert len({*town.one.seen, *town.two.seen}) == 1
    assert ran.decision.status == ("answered" if sibling == "other" else "escalated")


@pytest.mark.parametrize("asking", TRIES, ids=str)
@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_server_that_comes_back_says_that_it_was_done(
    deaths: int, asking: tuple[int | None, str, int], town: Town, tmp_path: Path
) -> None:
    retries, sibling, tries = asking
    town.one.plan(*["dies", "resets", "closes"][:deaths], "answers", dedupes=True)
    ran = ask(over(senders(town, sibling, idempotent=True, retries=retries), tmp_path), tmp_path)
    town.hold(ran)
    assert town.acts().total() == 1
    assert len(town.one.seen) == min(tries, deaths + 1)
    assert ran.decision.status == ("answered" if tries > deaths else "escalated")
    assert ran.decision.answer in {None, *(f"done {key}" for key in town.acts())}


@pytest.mark.parametrize("retries", [0, 2, None])
def test_a_server_that_died_before_it_did_it_looks_the_same(retries: int | None, town: Town, tmp_path: Path) -> None:
    town.one.plan("dies first", "answers")
    ran = ask(over(senders(town, "other", retries=retries), tmp_path), tmp_path)
    assert (town.asked(), town.acts().total(), ran.decision.status) == ((1, 0), 0, "escalated")
    assert ran.decision.reasons[0].startswith("in doubt: send may have done it")


def test_a_server_that_says_no_is_gone_round(town: Town, tmp_path: Path) -> None:
    town.one.plan("refuses")
    ran = ask(over(senders(town, "other"), tmp_path), tmp_path)
    town.hold(ran)
    assert (town.asked(), town.acts().total(), ran.decision.status) == ((1, 1), 1, "answered")


@either
@each_death
def test_whoever_does_not_know_its_keys_is_not_asked_in_place_of_one_who_does(
    death: str, idempotent: bool, town: Town, tmp_path: Path
) -> None:
    """The sibling is the other kind: one that would double it may not follow, one that knows keys does not help."""
    town.one.plan(death, dedupes=idempotent)
    members: list[Member] = [
        town.one.agent("send", skill=0.9, idempotent=idempotent, retries=0),
        town.two.agent("post", idempotent=not idempotent),
    ]
    ran = ask(over(members, tmp_path), tmp_path)
    town.hold(ran)
    assert (town.asked(), town.acts().total(), ran.decision.status) == ((1, 0), 1, "escalated")


@each_death
def test_no_lower_goal_hides_a_doubt(death: str, town: Town, tmp_path: Path) -> None:
    town.one.plan(death)
    members = [town.one.agent("send", produces="sent"), town.two.agent("draft", produces="letter")]
    ran = ask(Orchestrator(Pool(members, goals=["sent", "letter"]), trace=tmp_path, sleep=at_once), tmp_path)
    town.hold(ran)
    assert (town.asked(), ran.decision.status) == ((1, 0), "escalated")


@either
@pytest.mark.parametrize("ending", ["answers", "dies"])
def test_several_analyses_do_it_once(ending: str, idempotent: bool, town: Town, tmp_path: Path) -> None:
    """Two analyses are asked for: an effect is no opinion."""
    town.one.plan(ending, dedupes=idempotent)
    town.two.plan(ending, dedupes=idempotent)
    ran = ask(over(senders(town, "other", idempotent=idempotent, retries=0), tmp_path, analyses=2), tmp_path)
    town.hold(ran)
    assert town.acts().total() == 1
    assert (ran.decision.answer is not None) == (ending == "answers")


@pytest.mark.parametrize("ending", ["answers", "dies"])
def test_several_analyses_of_what_was_done_share_it(ending: str, town: Town, tmp_path: Path) -> None:
    town.one.plan(ending)
    members: list[Member] = [
        town.one.agent("send", produces="sent", skill=0.9),
        town.two.agent("post", produces="sent"),
        *(Agent(name=name, tool=read_of, consumes=("sent",)) for name in ("a", "b", "c")),
    ]
    ran = ask(over(members, tmp_path, analyses=3), tmp_path)
    town.hold(ran)
    assert (town.asked(), town.acts().total()) == ((1, 0), 1)
    assert ran.decision.status == ("answered" if ending == "answers" else "escalated")


@either
@pytest.mark.parametrize("ending", ["answers", "dies"])
def test_a_router_that_asks_both_and_asks_again_has_it_done_once(
    ending: str, idempotent: bool, town: Town, tmp_path: Path
) -> None:
    """Two experts with one effect in one turn, and both again in the next."""
    town.one.plan(ending, dedupes=idempotent)
    town.two.plan("answers", dedupes=idempotent)
    asked = routes("tools", ("send", "to Ann"), ("post", "to Ann"))
    stage = Stage(
        tmp_path,
        {"router": [asked, asked, answers("tools", "Ann knows.")]},
        members=senders(town, "other", idempotent=idempotent, retries=0),
    )
    ran = stage.run(whole=False)
    town.hold(ran)
    assert town.acts().total() == 1
    assert len({*town.one.seen, *town.two.seen}) == 1
    doubtful = ending == "dies" and not idempotent
    assert ran.decision.status == ("escalated" if doubtful else "answered")


def test_a_router_that_is_told_of_a_doubt_cannot_hide_it(town: Town, tmp_path: Path) -> None:
    town.one.plan("dies", dedupes=True)
    said = [routes("tools", ("send", "to Ann")), answers("tools", "I sent it to Ann.")]
    stage = Stage(tmp_path, {"router": said}, members=senders(town, "alone", idempotent=True, retries=0))
    ran = stage.run()
    town.hold(ran)
    assert (town.acts().total(), ran.decision.status) == (1, "degraded")


def test_a_router_may_have_two_things_done(town: Town, tmp_path: Path) -> None:
    """What is asked of one expert twice is two effects, each with a key of its own; the one in doubt ends the run."""
    town.one.plan("answers", "dies", "answers")
    said = [
        routes("tools", ("send", "to Ann")),
        routes("tools", ("send", "to Bob")),
        routes("tools", ("send", "to Cid")),
        answers("tools", "All know."),
    ]
    stage = Stage(tmp_path, {"router": said}, members=senders(town, "other"))
    ran = stage.run(whole=False)
    town.hold(ran)
    assert (town.asked(), town.acts().total(), ran.decision.status) == ((2, 0), 2, "escalated")
    assert len(stage.requests()) == 2


@awaiting
@pytest.mark.parametrize(
    ("sending", "booking"), [("dies", "answers"), ("answers", "dies"), ("dies", "dies"), ("hangs", "resets")]
)
def test_branches_side_by_side_do_their_own_thing_once(
    sending: str, booking: str, awaits: bool, town: Town, tmp_path: Path
) -> None:
    """Both are under way when one of them is lost: neither is done again, and what needs both is never begun."""
    town.one.plan(sending)
    town.two.plan(booking)
    members: list[Member] = [
        town.one.agent("send", produces="sent", skill=0.9, retries=2, awaits=awaits),
        town.two.agent("send2", produces="sent", retries=2, awaits=awaits),
        town.two.agent("book", produces="booked", skill=0.9, retries=2, awaits=awaits),
        town.one.agent("book2", produces="booked", retries=2, awaits=awaits),
        Agent(name="both", tool=both, consumes=("sent", "booked")),
    ]
    ran = ask(over(members, tmp_path), tmp_path)
    town.hold(ran)
    assert (town.asked(), len(town.acts())) == ((1, 1), 2)
    assert (ran.decision.status, sorted(ran.called())) == ("escalated", ["book", "send"])


def test_branches_that_both_go_well_are_joined(town: Town, tmp_path: Path) -> None:
    members: list[Member] = [
        town.one.agent("send", produces="sent"),
        town.two.agent("book", produces="booked"),
        Agent(name="both", tool=both, consumes=("sent", "booked")),
    ]
    ran = ask(over(members, tmp_path), tmp_path)
    town.hold(ran)
    assert (town.asked(), town.acts().total(), ran.decision.status) == ((1, 1), 2, "answered")


@awaiting
@either
def test_a_run_that_is_cancelled_does_it_once_and_leaves_the_key(
    idempotent: bool, awaits: bool, town: Town, tmp_path: Path
) -> None:
    town.one.plan("hangs", dedupes=idempotent)
    members: list[Member] = [
        town.one.agent("send", skill=0.9, idempotent=idempotent, timeout=30, retries=2, awaits=awaits),
        town.two.agent("post", idempotent=idempotent),
    ]
    orchestrator = over(members, tmp_path)

    async def cancelled() -> None:
        running = asyncio.create_task(orchestrator.run("Send it."))
        await asyncio.to_thread(until_acted, town)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    trace = only_trace(tmp_path)
    hold_to_the_rules(trace)
    keys = [event.idempotency_key for event in trace.events if isinstance(event, AttemptStarted)]
    assert [event.attempt for event in trace.events if isinstance(event, AttemptCancelled)] == [1]
    assert [event.how for event in trace.events if isinstance(event, RunEnded)] == ["cancelled"]
    assert (town.asked(), town.acts()) == ((1, 0), Counter(keys))


@awaiting
@either
def test_a_deadline_in_the_middle_does_it_once_and_tells(
    idempotent: bool, awaits: bool, town: Town, tmp_path: Path
) -> None:
    town.one.plan("hangs", dedupes=idempotent)
    members: list[Member] = [
        town.one.agent("send", skill=0.9, idempotent=idempotent, timeout=30, retries=2, awaits=awaits),
        town.two.agent("post", idempotent=idempotent),
    ]
    ran = ask(over(members, tmp_path, budget=Budget(seconds=0.5)), tmp_path)
    town.hold(ran)
    assert (town.asked(), town.acts().total(), ran.decision.status) == ((1, 0), 1, "escalated")


@each_death
def test_runs_at_the_same_time_have_keys_of_their_own(death: str, town: Town, tmp_path: Path) -> None:
    """Every other request dies: whoever met that escalates, nobody's effect is doubled, and the breaker may open."""
    town.one.plan(*["answers", death] * 8)
    orchestrator = over(senders(town, "other"), tmp_path)

    async def at_once_all() -> list[Ran]:
        decisions = await asyncio.gather(*(orchestrator.run(f"Send {number}.") for number in range(12)))
        return [checked(decision, tmp_path) for decision in decisions]

    everyone = asyncio.run(at_once_all())
    acts, keys = town.acts(), dict[str, Ran]()
    for ran in everyone:
        keys |= dict.fromkeys((event.idempotency_key or "" for event in ran.of(AttemptStarted)), ran)
    assert set(acts) <= set(keys)
    assert set(acts.values()) == {1}
    for key, ran in keys.items():
        sure = ran.decision.status == "answered"
        assert ran.decision.answer == (f"done {key}" if sure else None)
        assert sure or ran.decision.reasons[0].startswith("in doubt: send may have done it")
    assert Counter(ran.decision.status for ran in everyone)["escalated"] > 0


def until_acted(town: Town) -> None:
    """Come back when something was done."""
    patience = monotonic() + 10
    while not town.acts():
        assert monotonic() < patience, "nothing was done"
        sleep(0.01)
