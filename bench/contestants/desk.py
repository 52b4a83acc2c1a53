"""What both baselines of `self_healing.py` are given and give back."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import JsonValue

from orchestrator.chaos.world import World
from orchestrator.messages import Status


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, as its caller is told."""

    status: Status
    goal: str
    said: str = ""
    """All that it says of what went wrong."""


@dataclass(slots=True)
class Desk:
    """A system's way to the tools of one case, with what it did on the way counted where it does it."""

    world: World
    llm_calls: int = 0
    reroutes: int = 0
    values: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """What tools gave, by artifact."""

    async def use(self, tool: str) -> JsonValue:
        """Call a tool, under a key that stays the same for what it gives; raises `AttemptError`."""
        produces = self.world.suite.pool.agents[tool].produces
        self.values[produces] = await self.world.call(tool, f"{self.world.case.name}: {produces}")
        return self.values[produces]


def amount(value: JsonValue, name: str) -> float:
    """A number in what a tool gave; 0 where there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return float(found) if isinstance(found, (int, float)) else 0.0
