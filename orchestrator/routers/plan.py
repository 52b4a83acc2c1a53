"""The router that asks nobody: it takes the next steps of the cheapest plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.planner import Choice
from orchestrator.protocol import Answer, Route, Think, Turn
from orchestrator.routers.base import Routing, View

__all__ = ["PlanRouter"]


@dataclass(frozen=True, slots=True)
class PlanRouter:
    """Walks the cheapest plans for all analyses at once; ends when every slot is reached or nobody is left."""

    demoter: str | None = None
    """Name of a model that is asked which of several lower goals to take up; without it the highest that can be had."""
    name: str = field(default="plan", init=False)

    async def decide(self, view: View) -> Routing:
        """The steps that can be taken now; an answer when all is there; an empty turn where there is no path."""
        routing = self.steps(view)
        if routing.turn.routes:
            return routing
        return Routing(Turn((Answer(),) if view.state.gives(view.goal) else ()), routing.choices)

    def steps(self, view: View) -> Routing:
        """The steps that can be taken now, on what is there and beside what is being made."""
        choices = view.planner.slots(view.state)
        routes = _distinct(route for choice in choices for route in choice.routes)
        return Routing(Turn((Think(_thought(choices)), *routes) if routes else ()), choices)


def _distinct(routes: Iterable[Route]) -> tuple[Route, ...]:
    """Each expert once: analyses share the stages before them."""
    found: dict[tuple[str, str], Route] = {}
    for route in routes:
        found.setdefault((route.agent, route.query), route)
    return tuple(found.values())


def _thought(choices: tuple[Choice, ...]) -> str:
    plans = [choice.plan for choice in choices if choice.plan]
    told = "; ".join(
        " → ".join(step.agent for step in plan.steps) + f" (weight {plan.shared_weight:.4f})" for plan in plans
    )
    return f"cheapest way to {choices[0].goal.artifact}: {told}"
