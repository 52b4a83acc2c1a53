"""The router that asks nobody: it takes the next steps of the cheapest plan."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.planner import Choice
from orchestrator.protocol import Answer, Route, Think, Turn
from orchestrator.routers.base import Routing, View

__all__ = ["PlanRouter"]


class PlanRouter:
    """Walks the cheapest plans for all analyses at once; ends when every slot is reached or nobody is left."""

    name = "plan"

    async def decide(self, view: View) -> Routing:
        """The steps that can be taken now; an answer when all is there; an empty turn where there is no path."""
        choices = view.planner.slots(view.state)
        routes = _distinct(route for choice in choices for route in choice.routes)
        if routes:
            return Routing(Turn((Think(_thought(choices)), *routes)), choices)
        return Routing(Turn((Answer(),) if view.state.gives(view.goal) else ()), choices)


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
