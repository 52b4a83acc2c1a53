"""The world of a suite: time that leaps, experts that are simulated, faults by the clock and by the call."""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from pydantic import JsonValue

from orchestrator.chaos.suite import Case, Suite, Trouble
from orchestrator.messages import Usage
from orchestrator.pool import Agent, Model, Pool
from orchestrator.providers import Completion, Injection, OnText, Request
from orchestrator.tools import IdempotencyKey

__all__ = ["LeapingLoop", "World", "simulated"]


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
    calls: Counter[str] = field(default_factory=Counter[str])
    """Calls by agent, as experts saw them; those that a fault kept from being made are not among them."""
    tries: Counter[str] = field(default_factory=Counter[str])
    effects: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """How often each effect was had: artifact and key."""

    def disturb(self, agent: str) -> Injection | None:
        """What goes wrong with the next call of an agent."""
        self.tries[agent] += 1
        number, now = self.tries[agent], self.clock()
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
        """An expert was reached; an idempotent one has its effect once for each key."""
        self.calls[agent.name] += 1
        if agent.effects and not (agent.idempotent and self.effects[agent.produces, key]):
            self.effects[agent.produces, key] += 1

    @property
    def doubled(self) -> int:
        """Effects that were had more than once."""
        return sum(times - 1 for times in self.effects.values() if times > 1)

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """What a model behind an agent says; asked for a lower goal, the demoter's choice."""
        del on_text
        asked = next((a for a in self.suite.pool.agents.values() if a.model == model.name), None)
        demoting = model.name == self.suite.demoter
        if asked is not None and not demoting:
            self.act(asked, "")
        chosen = self.suite.demotes_to if self.case.demotes_to is None else self.case.demotes_to
        said = chosen if demoting or asked is None else str(self.reply(asked))
        tokens = sum(len(message.content) for message in request.messages) // 4 + 1
        return Completion(said, usage=Usage(tokens, len(said) // 4 + 1))


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
        if agent.seconds:
            await asyncio.sleep(agent.seconds)
        world.act(agent, key)
        return world.reply(agent)

    fields: Mapping[str, object] = {name: getattr(agent, name) for name in Agent.model_fields}
    return Agent.model_validate({**fields, "tool": tool, "claim": None})
