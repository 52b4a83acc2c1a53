"""The world of a suite: time that leaps, experts that are simulated, faults by the clock and by the call."""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import sha256
from typing import cast

from pydantic import JsonValue

from orchestrator.chaos.suite import Case, Suite, Trouble
from orchestrator.errors import ProviderTimeout
from orchestrator.messages import Usage, as_text
from orchestrator.pool import Agent, Model, Pool
from orchestrator.providers import Completion, Injection, OnText, Request
from orchestrator.providers.injection import injected
from orchestrator.tools import IdempotencyKey

__all__ = ["LeapingLoop", "World", "simulated"]

WORK_IS_DONE = ("slow", "corrupt", "lost_reply")
"""Faults round a call that is made all the same."""

_TRIED: ContextVar[str | None] = ContextVar("tried", default=None)
"""The agent whose try is being made: several may stand over one model, and a provider is told of the model alone."""


class _Leaping(selectors.DefaultSelector):
    """Waits for nothing: where nobody has anything to do, its clock goes to when somebody has."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; time passes at once."""
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout:
            self.now += timeout
        return ready


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose sleeps take no time."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        """Seconds since the loop was made, as it sees them."""
        return self._leaping.now


@dataclass(slots=True)
class World:
    """What happens in one case: calls are counted where they are made, effects by their keys."""

    suite: Suite
    case: Case
    clock: Callable[[], float]
    """Seconds since the case began."""
    live: bool = False
    """The pool's own experts are called: who is reached is known by what does not keep the call from being made."""
    calls: Counter[str] = field(default_factory=Counter[str])
    """Calls by agent that reached it; those that a fault kept from being made are not among them."""
    tries: Counter[str] = field(default_factory=Counter[str])
    """The same, with those that a fault kept from being made."""
    effects: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """How often each effect was had: artifact and key."""
    control_calls: int = 0
    """Calls of models that are nobody's expert: the demoter's."""
    questions: int = 0
    """How many were asked so far."""
    _acted: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Agent and key of every effect."""

    def disturb(self, agent: str) -> Injection | None:
        """What goes wrong with the next call of an agent."""
        _TRIED.set(agent)
        self.tries[agent] += 1
        injection = self._injection(agent, self.tries[agent], self.clock())
        if self.live and (injection is None or injection.fault in WORK_IS_DONE):
            self.calls[agent] += 1
        return injection

    def _injection(self, agent: str, number: int, now: float) -> Injection | None:
        for index, trouble in enumerate(self.case.trouble):
            if trouble.agent in (agent, "*") and self._holds(trouble, index, agent, number, now):
                return Injection(trouble.fault, trouble.seconds, trouble.retry_after, trouble.instead)
        return None

    def _holds(self, trouble: Trouble, index: int, agent: str, number: int, now: float) -> bool:
        """Whether a trouble holds for an agent's call of this number at this time."""
        if trouble.calls and number not in trouble.calls:
            return False
        if now < trouble.after or (trouble.until is not None and now >= trouble.until):
            return False
        if trouble.flapping is not None and (number - 1) // trouble.flapping % 2:
            return False
        return trouble.probability >= 1 or self._drawn(index, agent, number) < trouble.probability

    def _drawn(self, index: int, agent: str, number: int) -> float:
        """A number in [0, 1) that hangs on seed, case, agent and call alone."""
        text = f"{self.suite.seed}:{self.case.name}:{index}:{agent}:{number}"
        return int.from_bytes(sha256(text.encode()).digest()[:6]) / 2**48

    def reply(self, agent: Agent) -> JsonValue:
        """What an agent gives when it is well."""
        for replies in (self.case.replies, self.suite.replies):
            if agent.name in replies:
                return replies[agent.name]
        return f"{agent.produces} by {agent.name}"

    def act(self, agent: Agent, key: str) -> None:
        """An expert was reached; an idempotent one knows the keys that it was asked under, and those alone."""
        self.calls[agent.name] += 1
        if agent.effects and not (agent.idempotent and (agent.name, key) in self._acted):
            self._acted.add((agent.name, key))
            self.effects[agent.produces, key] += 1

    async def work(self, agent: Agent, key: str) -> JsonValue:
        """What an expert takes, does and gives when it is well."""
        if agent.seconds:
            await asyncio.sleep(agent.seconds)
        self.act(agent, key)
        return self.reply(agent)

    async def call(self, name: str, key: str) -> JsonValue:
        """Ask an expert directly, as a system other than ours does: raises `AttemptError` where its trouble says so."""
        agent = self.suite.pool.agents[name]
        injection = self.disturb(name) or Injection("slow")
        try:
            async with asyncio.timeout(agent.timeout):
                return await injected(injection, lambda: self.work(agent, key), _instead)
        except TimeoutError as error:
            raise ProviderTimeout(f"no reply within {agent.timeout:g} s") from error

    @property
    def doubled(self) -> int:
        """Effects that were had more than once."""
        return sum(times - 1 for times in self.effects.values() if times > 1)

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """What a model behind an agent says; asked for a lower goal, the demoter's choice."""
        del on_text
        asked = self.suite.pool.agents.get(_TRIED.get() or "")
        if asked is not None and asked.model == model.name:
            self.act(asked, f"question {self.questions}")
            said = as_text(self.reply(asked))
        else:
            self.control_calls += 1
            said = self.suite.demotes_to if self.case.demotes_to is None else self.case.demotes_to
        tokens = sum(len(message.content) for message in request.messages) // 4 + 1
        return Completion(said, usage=Usage(tokens, len(said) // 4 + 1))


def _instead(_: JsonValue, instead: object) -> JsonValue:
    return cast("JsonValue", instead)


def simulated(world: World) -> Pool:
    """The suite's pool with simulated tools in the place of its own."""
    pool = world.suite.pool
    agents = [_simulated(agent, world) for agent in pool.agents.values()]
    members = [*pool.models.values(), *agents, *pool.risks.values()]
    return Pool(members, goals=pool.goals, name=pool.name, router=pool.router, merger=pool.merger)


def _simulated(agent: Agent, world: World) -> Agent:
    if agent.model is not None:
        return agent

    async def tool(key: IdempotencyKey, **inputs: object) -> object:
        del inputs
        return await world.work(agent, key)

    fields: Mapping[str, object] = {name: getattr(agent, name) for name in Agent.model_fields}
    return Agent.model_validate({**fields, "tool": tool, "claim": None})
