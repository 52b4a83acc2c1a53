"""Random pools, and random troubles over time, from one seed: experts that are simulated, effects that are counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import cast

from orchestrator import Agent, Completion, Goal, IdempotencyKey, Model, Pool, ProviderError, ToolError, Usage
from orchestrator.pool.registry import Member
from orchestrator.providers import FaultName, Injection, OnText, Quote, Request
from orchestrator.weights import Preference

__all__ = ["HANDED", "QUESTION", "Bought", "Drawn", "Trouble", "World", "draw_world"]

QUESTION = "What?"
HANDED: ContextVar[Callable[[str, Mapping[str, object]], tuple[int, Goal]]] = ContextVar("HANDED")
"""Is told, in each run, who is given what, and says for which goal of which run."""

OUTSIDE: tuple[FaultName, ...] = (
    "rate_limit",
    "rate_limit",
    "error",
    "timeout",
    "hang",
    "connection",
    "malformed",
    "rate_limit",
    "auth",
    "refusal",
    "cut_stream",
    "slow",
    "lost_reply",
)
"""Faults that are played around an expert's call."""
INSIDE = ("declines", "breaks", "empty")
"""Ways in which an expert itself fails, after it did what it does."""
PREFERENCES: tuple[Preference, ...] = ("quality", "balanced", "cheap")
SKILLS = (0.2, 0.5, 0.5, 0.8, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of one expert, or of all (`*`): from a time on, until a time, at calls, by chance."""

    agent: str
    fault: str
    after: float = 0.0
    until: float = float("inf")
    calls: frozenset[int] = frozenset()
    probability: float = 1.0
    seconds: float = 0.0
    retry_after: float | None = None

    def holds(self, agent: str, number: int, now: float, random: Random) -> bool:
        """Whether it strikes an expert's call of this number at this time."""
        if self.agent not in ("*", agent) or not self.after <= now < self.until:
            return False
        return (not self.calls or number in self.calls) and random.random() < self.probability


@dataclass(frozen=True, slots=True)
class Bought:
    """What a model of a world costs."""

    name: str
    usd: Decimal
    reserve: Decimal


@dataclass(frozen=True, slots=True)
class Drawn:
    """An expert as it was drawn."""

    name: str
    consumes: tuple[str, ...]
    produces: str
    optional: tuple[str, ...]
    needs: int | None
    skill: float
    claim: float | None
    """Probability that it states of the question, where it looks at that."""
    effects: bool
    idempotent: bool
    retries: int | None
    timeout: float
    told: float | None
    """Typical seconds by its descriptor."""
    takes: float
    """Seconds that it takes in truth."""
    early: bool
    """Whether it does its work before it takes its time."""
    model: str | None

    @property
    def least(self) -> int:
        """How many of its inputs it needs."""
        return len(self.consumes) if self.needs is None else self.needs


@dataclass(slots=True)
class World:
    """Everything that was drawn for one seed, and what happened in it."""

    seed: int
    experts: dict[str, Drawn]
    goals: tuple[str, ...]
    models: dict[str, Bought]
    analyses: int
    deadline: float | None
    usd: Decimal | None
    preference: Preference
    asked: int
    """How often the question is put."""
    side_by_side: bool
    """Whether all at once, or one after the other."""
    troubles: tuple[Trouble, ...]
    clock: Callable[[], float] = field(default=float)
    random: Random = field(default_factory=Random)
    calls: Counter[str] = field(default_factory=Counter[str])
    effects: Counter[tuple[int, Goal]] = field(default_factory=Counter["tuple[int, Goal]"])
    """How often each effect was had: which run wanted it, and for which goal."""
    keys: set[tuple[str, str]] = field(default_factory=set["tuple[str, str]"])
    """Artifacts and keys of effects that were had."""

    def disturb(self, agent: str) -> Injection | None:
        """What goes wrong around the next call of an expert."""
        self.calls[agent] += 1
        trouble = self._trouble(agent, OUTSIDE)
        if trouble is None:
            return None
        return Injection(cast("FaultName", trouble.fault), trouble.seconds, trouble.retry_after)

    def _trouble(self, agent: str, among: Collection[str]) -> Trouble | None:
        number, now = self.calls[agent], self.clock()
        found = (t for t in self.troubles if t.fault in among and t.holds(agent, number, now, self.random))
        return next(found, None)

    def act(self, drawn: Drawn, key: str, wanted: tuple[int, Goal]) -> None:
        """An expert had its effect; an idempotent one has it once for each key."""
        done = (drawn.produces, key)
        if drawn.effects and not (drawn.idempotent and done in self.keys):
            self.keys.add(done)
            self.effects[wanted] += 1

    async def work(self, drawn: Drawn, key: str = "", wanted: tuple[int, Goal] = (0, Goal(""))) -> str:
        """What an expert does: takes its time, has its effect, gives its artifact or fails in its own way."""
        trouble = self._trouble(drawn.name, INSIDE)
        if trouble is not None and trouble.fault == "declines":
            raise ToolError("not mine")
        if drawn.early:
            self.act(drawn, key, wanted)
        if drawn.takes:
            await asyncio.sleep(drawn.takes)
        if not drawn.early:
            self.act(drawn, key, wanted)
        if trouble is not None and trouble.fault == "breaks":
            raise ValueError("broken")
        return " " if trouble is not None else f"{drawn.produces} by {drawn.name}"

    def quote(self, model: Model, request: Request) -> Quote:
        """What a model takes, whatever it is asked."""
        del request
        bought = self.models[model.name]
        return Quote(bought.usd, bought.reserve, Decimal(0), 10)

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """What the expert behind a request says; its prompt is its name."""
        del on_text
        name = next(message.content for message in request.messages if message.role == "system")
        try:
            said = await self.work(self.experts[name])
        except ToolError as error:
            raise ProviderError(str(error), kind="refusal") from error
        return Completion(said, usage=Usage(3, 2), cost=self.models[model.name].usd)

    def pool(self) -> Pool:
        """The experts and models as a pool."""
        members: list[Member] = [Model(name=name, provider="openai") for name in self.models]
        members += [self._agent(drawn) for drawn in self.experts.values()]
        return Pool(members, goals=self.goals)

    def _agent(self, drawn: Drawn) -> Agent:
        def claim(question: str) -> float:
            assert question == QUESTION
            return drawn.claim or 0.0

        async def tool(key: IdempotencyKey, **inputs: object) -> str:
            return await self.work(drawn, key, HANDED.get()(drawn.name, inputs))

        return Agent(
            name=drawn.name,
            tool=None if drawn.model else tool,
            model=drawn.model,
            prompt=drawn.name if drawn.model else None,
            claim=None if drawn.claim is None else claim,
            consumes=drawn.consumes,
            produces=drawn.produces,
            optional=drawn.optional,
            needs=drawn.needs,
            skill=drawn.skill,
            effects=drawn.effects,
            idempotent=drawn.idempotent,
            retries=drawn.retries,
            timeout=drawn.timeout,
            seconds=drawn.told,
        )


def draw_world(seed: int, *, most: int = 40) -> World:
    """The world of a seed; the same each time."""
    random = Random(seed)
    number = random.choice((random.randint(1, 8), random.randint(4, 14), random.randint(9, most)))
    analyses = random.choice((1, 1, 1, 1, 2, 3))
    names = ["question", *(f"a{n}" for n in range(1, max(2, round(number / random.uniform(1.5, 3.5)) + 1)))]
    models = _models(random)
    acts = {name for name in names if random.random() < random.choice((0.0, 0.1, 0.3))}
    experts = {
        drawn.name: drawn
        for n in range(number)
        for drawn in [_expert(f"e{n:02}", _product(n, names, analyses, random), names, models, acts, random)]
    }
    produced = {drawn.produces for drawn in experts.values()}
    names = [name for name in names if name == "question" or name in produced]
    experts = {name: drawn for name, drawn in experts.items() if {*drawn.consumes, *drawn.optional} <= {*names}}
    while (names_left := {"question", *(d.produces for d in experts.values())}) != {*names}:
        names = [name for name in names if name in names_left]
        experts = {name: d for name, d in experts.items() if {*d.consumes, *d.optional} <= {*names}}
    if not experts:
        return draw_world(seed + 1_000_003, most=most)
    lower = random.sample(names[1:-1], min(len(names) - 2, random.choice((0, 0, 1, 2))))
    return World(
        seed,
        experts,
        (names[-1], *sorted(lower, reverse=True)),
        {model.name: model for model in models},
        analyses,
        random.choice((None, None, None, None, 2.0, 10.0, 40.0, 150.0)),
        Decimal(random.choice((1, 2, 4, 100))) / 100 if models else None,
        random.choice(PREFERENCES),
        random.choice((1, 1, 1, 1, 1, 3)),
        random.random() < 0.3,
        _troubles(tuple(experts), random),
        random=Random(seed),
    )


def _models(random: Random) -> list[Bought]:
    """Up to three models, which experts share."""
    count = random.choice((0, 0, 0, 1, 2, 3))
    prices = [Decimal(random.choice((0, 1, 2, 5))) / 1000 for _ in range(count)]
    return [Bought(f"openai:m{n}", usd, usd * random.choice((1, 2))) for n, usd in enumerate(prices)]


def _product(number: int, names: list[str], analyses: int, random: Random) -> str:
    """Every artifact has somebody who gives it; the goal has more of them where several are asked for."""
    if 1 <= number + 1 < len(names):
        return names[number + 1]
    return names[-1] if random.random() < 0.1 * analyses else random.choice(names[1:])


def _expert(  # noqa: PLR0917 - one private call
    name: str, produces: str, names: list[str], models: list[Bought], acts: set[str], random: Random
) -> Drawn:
    place = names.index(produces)
    among = names[max(0, place - random.choice((1, 3, 40))) : place]
    if random.random() < 0.1:  # circles
        among = [other for other in names if other != produces]
    consumes = tuple(random.sample(among, min(len(among), random.choice((1, 1, 1, 2, 2, 3, 4)))))
    spare = [other for other in names if other not in (*consumes, produces)]
    effects = produces in acts or random.random() < 0.03
    model = random.choice(models).name if models and not effects and random.random() < 0.6 else None
    looks = model is None and "question" in consumes
    takes = random.choice((0.0, round(random.uniform(0.01, 1), 3), round(random.uniform(0.5, 8), 3)))
    return Drawn(
        name,
        consumes,
        produces,
        tuple(random.sample(spare, min(len(spare), random.choice((0, 0, 0, 0, 1, 2))))),
        random.randint(1, len(consumes)) if random.random() < 0.4 else None,
        random.choice((*SKILLS, round(random.uniform(0.01, 1), 4), round(random.uniform(0.3, 1), 4))),
        random.choice((None, None, 0.0, 0.7)) if looks else None,
        effects,
        random.random() < 0.6,
        random.choice((None, None, 0, 1, 3)),
        random.choice((0.5, 5.0, 5.0, 20.0)),
        random.choice((None, takes, round(random.uniform(0, 5), 2))),
        takes,
        random.random() < 0.5,
        model,
    )


def _troubles(agents: tuple[str, ...], random: Random) -> tuple[Trouble, ...]:
    """How many experts are struck differs from world to world; now and then all are for a while."""
    share = random.choice((0.1, 0.2, 0.3, 0.5, 0.8))
    struck = [agent for agent in agents if random.random() < share]
    found = [_trouble(agent, random) for agent in struck for _ in range(random.choice((1, 1, 2, 3)))]
    if random.random() < 0.15:
        began = random.uniform(0, 10)
        found.append(_trouble("*", random, after=began, until=began + random.uniform(0.5, 20)))
    return tuple(found)


def _trouble(agent: str, random: Random, *, after: float | None = None, until: float | None = None) -> Trouble:
    begins = random.choice((0.0, 0.0, 0.0, random.uniform(0, 10))) if after is None else after
    ends = begins + random.uniform(0.5, 40) if random.random() < 0.3 else float("inf")
    return Trouble(
        agent,
        random.choice((*OUTSIDE, *INSIDE)),
        begins,
        ends if until is None else until,
        frozenset(random.sample(range(1, 6), random.choice((1, 2)))) if random.random() < 0.2 else frozenset(),
        random.choice((1.0, 1.0, 0.7, 0.3)),
        random.choice((0.0, 0.0, round(random.uniform(0, 6), 3))),
        random.choice((None, 0.0, round(random.uniform(0, 20), 3), round(random.uniform(0, 200), 3))),
    )
