"""Says beforehand what one failure makes unreachable: per goal and kind of question."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import log

from orchestrator.graph import CapabilityGraph
from orchestrator.planner import graph_of
from orchestrator.pool import Agent, Pool
from orchestrator.providers import key_of

__all__ = ["Weakness", "weaknesses"]


@dataclass(frozen=True, slots=True)
class Weakness:
    """One failure after which a goal cannot be reached any more."""

    goal: str
    kind: str | None
    """Kind of question, None for those of no known kind."""
    without: str | None
    """The agent or the server whose failure it is; None where the goal cannot be reached at all."""
    takes: tuple[str, ...] = ()
    """Agents that fail with it."""
    instead: str | None = None
    """The lower goal that is left, if one is."""

    def __str__(self) -> str:
        """The weakness in a sentence."""
        of = f" for `{self.kind}`" if self.kind else ""
        left = f"`{self.instead}` is left" if self.instead else "nothing is left"
        if self.without is None:
            return f"`{self.goal}`{of} cannot be reached; {left}"
        return f"`{self.goal}`{of} hangs on {self.without} alone; without it {left}"


def weaknesses(pool: Pool, *, goal: str | None = None, kind: str | None = None) -> tuple[Weakness, ...]:
    """Every single failure, of an agent or of a server that several depend on, that makes a goal unreachable.

    By descriptors alone: what a tool would say of one question is not asked.
    """
    graph = graph_of(pool)
    kinds: list[str | None] = [kind] if kind else [None, *sorted({k for a in pool.agents.values() for k in a.skills})]
    goals = pool.goals_from(goal)
    return tuple(found for each in kinds for aim in goals for found in _of_goal(pool, graph, aim, each))


def _of_goal(pool: Pool, graph: CapabilityGraph, goal: str, kind: str | None) -> list[Weakness]:
    def weight(name: str, without: Collection[str]) -> float | None:
        skill = pool.agents[name].skill_for(kind)
        return None if name in without or skill <= 0 else -log(skill)

    def reachable(artifact: str, without: Collection[str]) -> bool:
        return graph.plan(artifact, {"question"}, lambda name: weight(name, without)) is not None

    def instead(without: Collection[str]) -> str | None:
        lower = pool.goals[pool.goals.index(goal) + 1 :] if goal in pool.goals else ()
        return next((artifact for artifact in lower if reachable(artifact, without)), None)

    plan = graph.plan(goal, {"question"}, lambda name: weight(name, ()))
    if plan is None:
        return [Weakness(goal, kind, None, instead=instead(()))]
    shared = _shared_fates(pool)
    suspects: dict[str, tuple[str, ...]] = {step.agent: (step.agent,) for step in plan.steps}
    for step in plan.steps:  # what no way can do without is on the cheapest way, too
        fate = _fate(pool.agents[step.agent], pool)
        suspects |= {fate: shared[fate]} if fate in shared else {}
    return [
        Weakness(goal, kind, name, lost, instead(lost))
        for name, lost in sorted(suspects.items())
        if not reachable(goal, lost)
    ]


def _shared_fates(pool: Pool) -> Mapping[str, tuple[str, ...]]:
    """Agents by the server that several of them depend on."""
    found: dict[str, list[str]] = {}
    for agent in pool.agents.values():
        found.setdefault(_fate(agent, pool), []).append(agent.name)
    return {fate: tuple(sorted(agents)) for fate, agents in found.items() if len(agents) > 1}


def _fate(agent: Agent, pool: Pool) -> str:
    """What an agent goes down with: its model's server, or itself."""
    model = pool.model_of(agent)
    return agent.name if model is None else key_of(model)
