"""Two hundred questions to two servers that are killed, restarted, frozen, silent, rate-limiting, cutting and slow."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from orchestrator import Agent, Budget, Decision, Message, Model, Orchestrator, Price, Question, Usage
from orchestrator.runtime import Clocks
from orchestrator.trace.events import AttemptStarted, BreakerChanged, TryEnded, TryStarted
from tests.runs import Ran, checked
from tests.wire.model_process import ModelProcess, Request
from tests.wire.server import Seen
from tests.wire.speech import estimate

QUESTIONS = 200
FIRST = (998, 999)
"""Questions asked before the others, with all the time there is: a first client takes longer than a try has."""
AT_ONCE = 4
PACE = 0.08
"""Seconds between two questions."""
SPEED = 30.0
"""How much faster the runs' clock goes than ours, so that breakers cool down within the test."""
RUN_SECONDS = 50.0
"""Time of a run, by its own clock: more than a breaker's first cooldown, less than its second."""
PATIENCE = 0.5
"""Seconds that a try may take, by ours."""
AROUND_A_KILL = 1.0
"""Seconds before and after it in which a request may be lost that the server had no time to write down."""
LATE = 0.02
"""Seconds by which a timeout comes late where our own process was held up, so that it may not have sent a thing."""
MAX_OUTPUT = 300
PRICES: Mapping[str, Price] = {
    name: Price(input=Decimal(given), output=Decimal(taken), as_of=date(2026, 1, 1), source="a test")
    for name, given, taken in (("oak", "3.19", "17.3"), ("elm", "0.71", "2.93"))
}

Act = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Try:
    """A try as the trace has it, with seconds of the epoch."""

    ended: TryEnded
    model: str
    since: float
    until: float

    @property
    def told(self) -> bool:
        """Whether an answer came."""
        return self.ended.kind is None

    @property
    def refused(self) -> bool:
        """Whether it is booked as one that never reached the server."""
        return self.ended.kind == "connection" and self.ended.exact

    def near(self, since: float, until: float) -> bool:
        """Whether it was under way in a span of time."""
        return self.since <= until and since <= self.until


@dataclass(frozen=True, slots=True)
class Charge:
    """What a try of a model costs whose usage was never told, by our own rule over what the server was sent."""

    input: Decimal
    reserve: Decimal


@dataclass(frozen=True, slots=True)
class Books:
    """What the servers wrote down."""

    requests: Mapping[tuple[str, str], Sequence[Request]]
    """By question and model."""
    charges: Mapping[str, Charge]
    away: Mapping[str, Sequence[tuple[float, float]]]

    @classmethod
    def of(cls, servers: Mapping[str, ModelProcess]) -> Books:
        """The books of all servers, by model."""
        requests: dict[tuple[str, str], list[Request]] = defaultdict(list)
        charges: dict[str, Charge] = {}
        for model, server in servers.items():
            for request in server.requests():
                assert request.model == model
                requests[request.question, model].append(request)
                charge = charge_of(request)
                assert charges.setdefault(model, charge) == charge
        return cls(requests, charges, {model: server.away for model, server in servers.items()})

    def compare(self, number: str, ran: Ran) -> list[Try]:
        """Hold a run to the books; its tries that were cut, whose usage nobody was told."""
        cut: list[Try] = []
        cost = Decimal(0)
        for model in PRICES:
            left = list(self.requests.get((number, model), ()))
            tries = [each for each in tries_of(ran) if each.model == model]
            for each in tries:
                if each.told:
                    cost += self._settled(each, left, ran.decision)
            here = [each for each in tries if not (each.told or each.refused)]
            self._cut(model, here, left)
            self._refused(model, [each for each in tries if each.refused])
            cut += here
        assert ran.decision.cost_usd == cost + sum((each.ended.usd or Decimal(0) for each in cut), Decimal(0))
        assert ran.decision.cost_exact == (cut == [])
        return cut

    def _settled(self, told: Try, left: list[Request], decision: Decision) -> Decimal:
        """The bill of an answer that came; its request is taken from those left."""
        usage = told.ended.usage
        (request,) = [each for each in left if each.used == (usage.input_tokens, usage.output_tokens)]
        left.remove(request)
        bill = PRICES[told.model].cost(usage)
        assert (told.ended.usd, told.ended.exact) == (bill, True)
        assert decision.answer == request.did["told"]["text"]
        return bill

    def _cut(self, model: str, cut: Sequence[Try], left: Sequence[Request]) -> None:
        """Every request without an answer is a try that failed; one that no server saw fell to a kill."""
        charge, reserves = self.charges[model], 0
        for each in cut:
            assert (each.ended.exact, each.ended.usage) == (False, Usage())
            assert each.ended.usd in (charge.input, charge.reserve)
            reserves += each.ended.usd == charge.reserve
        kills = [at for at, _ in self.away[model]]
        near = [each for each in cut if any(each.near(at - AROUND_A_KILL, at + AROUND_A_KILL) for at in kills)]
        held_up = [each for each in cut if each.ended.kind == "timeout" and each.until - each.since > PATIENCE + LATE]
        assert 0 <= len(cut) - len(left) <= len({*map(id, near), *map(id, held_up)}), (model, cut, left)
        if not (near or any(each.ended.kind == "timeout" for each in cut)):
            assert reserves == sum("begun" in request.did for request in left)

    def _refused(self, model: str, refused: Iterable[Try]) -> None:
        """A connection is refused only while nobody listens, and costs nothing."""
        for each in refused:
            assert each.ended.usd == 0
            assert any(each.near(since, until) for since, until in self.away[model])


def charge_of(request: Request) -> Charge:
    """What a request costs whose usage nobody tells."""
    price = PRICES[request.model]
    tokens = estimate(Seen("POST", "/", {}, request.body, 1))
    assert request.body["max_tokens"] == MAX_OUTPUT
    return Charge(price.cost(Usage(tokens)), price.cost(Usage(tokens)) + price.cost(Usage(0, MAX_OUTPUT)))


def tries_of(ran: Ran) -> Iterator[Try]:
    """The tries of a run, in the order in which they ended."""
    models = {event.attempt: str(event.model) for event in ran.of(AttemptStarted)}
    begun = {(event.attempt, event.number): moment(event.time) for event in ran.of(TryStarted)}
    for event in ran.of(TryEnded):
        assert event.attempt is not None
        yield Try(event, models[event.attempt], begun[event.attempt, event.number], moment(event.time))


def moment(time_of_event: str) -> float:
    """Seconds of the epoch."""
    return datetime.fromisoformat(time_of_event).timestamp()


def question(number: int) -> Question:
    """A question that says which one it is; odd ones are the oak's strength, even ones the elm's."""
    kind = "oaks" if number % 2 else "elms"
    return Question((Message("user", f"Question {number:03}: how old does this tree become?"),), kind=kind)


def orchestrator_over(servers: Mapping[str, ModelProcess], folder: Path, *, seconds: float) -> Orchestrator:
    """Two experts, each better at its own kind of question and tried for so long, and a clock in a hurry."""
    members: list[Model | Agent] = []
    for name, server in servers.items():
        members.append(
            Model(
                name=name, provider=server.protocol, base_url=server.base_url, price=PRICES[name], max_output=MAX_OUTPUT
            )
        )
        skills = {f"{name}s": 0.9}
        members.append(Agent(name=name, role=f"knows {name}s", model=name, skill=0.5, skills=skills, timeout=seconds))

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)

    clocks = Clocks(lambda: time.monotonic() * SPEED, time.time)
    budget = Budget(usd=Decimal("0.10"), seconds=seconds / PATIENCE * RUN_SECONDS)
    return Orchestrator(members, budget=budget, trace=folder, clocks=clocks, sleep=sleep, seed=7)


async def decisions_of(orchestrator: Orchestrator, acts: Mapping[int, Act]) -> dict[str, Decision]:
    """All questions asked, a few at a time; before some of them an act is set going, one after the other."""
    room, asked = asyncio.Semaphore(AT_ONCE), dict[str, asyncio.Task[Decision]]()
    doing: asyncio.Task[None] | None = None
    for number in range(1, QUESTIONS + 1):
        if number in acts:
            doing = asyncio.create_task(done(acts[number], doing))
        await room.acquire()
        asking = asyncio.create_task(orchestrator.run(question(number)))
        asking.add_done_callback(lambda _: room.release())
        asked[f"{number:03}"] = asking
        await asyncio.sleep(PACE)
    if doing is not None:
        await doing
    return {number: await asking for number, asking in asked.items()}


async def done(act: Act, before: asyncio.Task[None] | None) -> None:
    """Do an act after the one before it."""
    if before is not None:
        await before
    await asyncio.to_thread(act)


def faults(oak: ModelProcess, elm: ModelProcess) -> dict[int, Act]:
    """Who does what before which question; twice both are in trouble at a time."""
    return {
        8: lambda: oak.mood("slow"),
        18: lambda: oak.mood("hang"),
        28: lambda: oak.well_after("hung"),
        34: lambda: elm.mood("limited 30"),
        42: lambda: elm.well_after("limited"),
        60: oak.kill,
        70: oak.restart,
        74: lambda: elm.mood("cut"),
        84: lambda: elm.well_after("cut", "begun"),
        90: lambda: oak.mood("limited 40"),
        92: lambda: elm.mood("limited 30"),
        98: lambda: oak.well_after("limited"),
        100: lambda: elm.mood("well"),
        118: elm.kill,
        122: oak.freeze,
        132: oak.thaw,
        134: elm.restart,
        146: lambda: oak.mood("cut"),
        156: lambda: oak.well_after("cut", "begun"),
        160: lambda: elm.mood("slow"),
        168: lambda: elm.mood("hang"),
        176: lambda: elm.well_after("hung"),
        184: oak.kill,
        190: oak.restart,
    }


def test_two_hundred_questions_under_real_faults(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with ModelProcess("openai", tmp_path / "oak") as oak, ModelProcess("anthropic", tmp_path / "elm") as elm:
        servers = {"oak": oak, "elm": elm}
        patient = orchestrator_over(servers, tmp_path / "first", seconds=60.0)
        orchestrator = orchestrator_over(servers, runs, seconds=PATIENCE)

        async def all_of_it() -> dict[str, Decision]:
            for number in FIRST:
                assert (await patient.run(question(number))).status == "answered"
            decisions = await decisions_of(orchestrator, faults(oak, elm))
            for server in servers.values():
                await asyncio.to_thread(server.wait_for_rest)
            return decisions

        decisions = asyncio.run(all_of_it())
        books = Books.of(servers)
    ran = {number: checked(decision, runs) for number, decision in decisions.items()}
    assert len(ran) == len(list(runs.glob("*.jsonl"))) == QUESTIONS
    assert {number for number, _ in books.requests} - set(ran) == {f"{number:03}" for number in FIRST}
    cut = [each for number, each_run in ran.items() for each in books.compare(number, each_run)]
    for each in ran.values():
        hold_to_its_word(each)
    hold_to_the_total(list(ran.values()), cut)
    hold_to_the_faults(list(ran.values()), books, cut)


def hold_to_its_word(ran: Ran) -> None:
    """A decision is an answer that a server gave, or says of each expert why it could not be had."""
    decision = ran.decision
    came = [each for each in tries_of(ran) if each.told]
    assert decision.status == ("answered" if came else "escalated")
    assert len(came) == (decision.answer is not None)
    if came:
        return
    for name in PRICES:
        told = [reason for reason in decision.reasons if reason.startswith((f"tried: {name} ", f"{name}: "))]
        assert told or decision.reasons[0].startswith("limit:seconds"), decision.reasons
    for seconds in re.findall(r"its circuit breaker is open, for (\S+) s more", "\n".join(decision.reasons)):
        assert float(seconds) > RUN_SECONDS - decision.seconds - 0.1, "there was time to wait for it"


def hold_to_the_total(ran: Sequence[Ran], cut: Sequence[Try]) -> None:
    """All decisions together cost what the servers were heard to count, and what was charged for lost usage."""
    costs = [each.decision.cost_usd for each in ran]
    counted = [PRICES[each.model].cost(each.ended.usage) for one in ran for each in tries_of(one)]
    charged = [each.ended.usd for each in cut]
    assert sum(filter(None, costs)) == sum(counted) + sum(filter(None, charged))
    assert None not in (*costs, *charged)


def hold_to_the_faults(ran: Sequence[Ran], books: Books, cut: Sequence[Try]) -> None:
    """Nothing was spared: each fault was met, from both servers; breakers opened and closed again."""
    tries = [each for one in ran for each in tries_of(one)]
    changes = {(each.key[:3], each.after) for one in ran for each in one.of(BreakerChanged)}
    for model, charge in books.charges.items():
        requests = [each for (_, name), found in books.requests.items() if name == model for each in found]
        deeds = Counter(did for request in requests for did in request.did)
        assert {"told", "limited", "hung", "begun", "cut"} <= set(deeds), (model, deeds)
        kinds = {each.ended.kind for each in tries if each.model == model}
        assert {None, "timeout", "rate_limited", "connection"} <= kinds, (model, kinds)
        assert any(each.refused for each in tries if each.model == model)
        assert any(each.ended.usd == charge.reserve for each in cut if each.model == model)
        assert {(model, "open"), (model, "half_open"), (model, "closed")} <= changes, (model, changes)
        assert len(books.away[model]) > 0
    answered = sum(one.decision.status == "answered" for one in ran)
    assert QUESTIONS / 2 < answered < QUESTIONS
    assert sum(one.decision.reroutes for one in ran) > 0
