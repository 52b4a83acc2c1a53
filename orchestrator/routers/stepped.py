"""The router whose steps are served by a cascade: one decides what is asked, experts from cheap to dear do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from orchestrator.confidence import LabelOf
from orchestrator.content import Prompt, load_prompt
from orchestrator.errors import ConfigError
from orchestrator.messages import Goal, Question, Reply
from orchestrator.pool import Agent
from orchestrator.protocol import Action, Route, Think, Turn
from orchestrator.routers.base import Router, Routing, View, routing_of
from orchestrator.routers.cascade import CascadeRouter
from orchestrator.routers.llm import LLMRouter
from orchestrator.routers.plan import PlanRouter
from orchestrator.routers.width import BallotRouter, WidthRouter

__all__ = ["SteppedRouter", "innermost"]

_Asked = tuple[str, str]
"""An artifact, and the query that it is wanted for."""


@dataclass(frozen=True, slots=True)
class SteppedRouter:
    """Has the routes of a router served by a cascade before the router is told anything.

    The router inside decides what is asked; who does it is chosen step by step, as in "Budget-Aware Agentic Routing",
    arXiv 2602.21227: the cheapest expert first, a better one where that is worth its price. An expert that no budget
    of the run pays is masked: neither offered to the router nor asked. Experts with effects, and those that wait for a
    person's leave, are asked as the router says and stand in for nobody: such a thing is done by whom it was wanted
    from, and only then. Raises `ConfigError` for a router that weighs experts itself.
    """

    inner: Router
    steps: CascadeRouter

    def __post_init__(self) -> None:
        """Refuse a router that would choose between the same experts once more."""
        if isinstance(self.inner, (BallotRouter, CascadeRouter, PlanRouter, SteppedRouter, WidthRouter)):
            problem = f"cannot be `{self.name}`: `{self.inner.name}` weighs experts itself"
            raise ConfigError(problem, field="router", expected="`llm`, a model, or a router of your own before the +")

    @property
    def name(self) -> str:
        """Both names, as traces and decisions use them."""
        return f"{self.inner.name}+{self.steps.name}"

    async def decide(self, view: View) -> Routing:
        """Deferrals of the cascade, if any is worth its price; else the router's own turn, dealt to first choices."""
        found = [self.steps.step(_harmless(view, query), artifact, query) for artifact, query in _served(view)]
        if deferred := [turn for turn in found if turn.routes]:
            return Routing(Turn(tuple(action for turn in deferred for action in turn.actions)))
        routing = routing_of(cast("object", await self.inner.decide(self.seen(view))), self.inner.name)
        if not routing.turn.actions:  # an end, or a bad turn
            return routing
        kept = tuple(Think(turn.thought) for turn in found if turn.thought)
        return replace(routing, turn=self._dealt(routing.turn, view, kept))

    def seen(self, view: View) -> View:
        """The run as the router inside sees it: without experts that a limit of the run keeps from being asked."""
        limited = _limited(view)
        there = {"question", *view.state.values("")}
        whole = there | {agent.produces for agent in view.experts}
        offered = [agent for agent in view.experts if agent.name not in limited]
        while True:
            left = there | {agent.produces for agent in offered}
            served = [agent for agent in offered if not agent.lacks(left) or agent.lacks(whole)]
            if len(served) == len(offered):
                return replace(view, experts=tuple(served) or view.experts)
            offered = served

    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts that a model inside may be sent."""
        return (*self.inner.prompts(), load_prompt("dealt")) if isinstance(self.inner, LLMRouter) else ()

    def settled(self, question: Question, replies: Sequence[Reply], label_of: LabelOf) -> Reply:
        """What the cascade kept of the first thing that was asked."""
        first = min(replies, key=lambda reply: reply.attempt)
        return self.steps.settled(question, [r for r in replies if r.goal.query == first.goal.query], label_of)

    def _dealt(self, turn: Turn, view: View, thoughts: tuple[Think, ...]) -> Turn:
        """The turn with each route at the expert that is to begin, and with what that was thought for."""
        actions: list[Action] = []
        for action in turn.actions:
            dealt = self._to_first(action, view) if isinstance(action, Route) else action
            if isinstance(dealt, Route) and dealt.asked:
                thoughts += (Think(f"cascade: {dealt.agent} is asked before {dealt.asked}"),)
            actions.append(dealt)
        return replace(turn, actions=(*dict.fromkeys(thoughts), *actions))

    def _to_first(self, route: Route, view: View) -> Route:
        """The route at the cascade's first choice, or at whoever gave what is kept; as it is where there is nobody."""
        agents = _by_name(view)
        agent = agents.get(route.agent)
        if agent is None or _named_only(agent) or route.toward is not None:
            return route
        given = [r for r in view.replies if (r.goal.artifact, r.goal.query) == (agent.produces, route.query)]
        if any(_bound(reply, agents) for reply in given):
            return route
        if given:
            chosen = max(given, key=lambda reply: reply.attempt).agent
        else:
            first = self.steps.step(_harmless(view, route.query), agent.produces, route.query)
            chosen = first.routes[0].agent if first.routes else route.agent
        return route if chosen == route.agent else replace(route, agent=chosen, asked=route.agent)


def innermost(router: Router) -> Router:
    """The router that decides what is asked: the one inside, where a cascade serves its steps."""
    return router.inner if isinstance(router, SteppedRouter) else router


def _served(view: View) -> list[_Asked]:
    """What the newest turn asked for and was given, and a cascade may go on with; all that was, where none was said."""
    agents, exchanges = _by_name(view), view.state.exchanges
    given = {(reply.goal.artifact, reply.goal.query): None for reply in view.replies}
    bound = {(r.goal.artifact, r.goal.query) for r in view.replies if _bound(r, agents)}
    newest = {(route.artifact, route.query): None for route in exchanges[-1].routes} if exchanges else given
    return [asked for asked in newest if asked in given and asked not in bound]


def _harmless(view: View, query: str) -> View:
    """The view without experts that are asked by name only, and without those that would need what one gives."""
    there = {"question", *view.state.values(query)}
    left, before = tuple(agent for agent in view.experts if not _named_only(agent)), -1
    while len(left) != before:
        before = len(left)
        names = {agent.name for agent in left}
        barred = {agent.produces for agent in view.experts if agent.name not in names}
        left = tuple(agent for agent in left if barred.isdisjoint(agent.lacks(there)))
    return replace(view, experts=left)


def _limited(view: View) -> set[str]:
    """Experts that cannot be asked for a limit of the run."""
    artifacts = {agent.produces for agent in view.experts}
    candidates = [c for name in sorted(artifacts) for c in view.planner.choose(Goal(name), view.state).candidates]
    return {each.agent for each in candidates if (each.why_not or "").startswith("limit:")}


def _by_name(view: View) -> Mapping[str, Agent]:
    return {agent.name: agent for agent in view.experts}


def _bound(reply: Reply, agents: Mapping[str, Agent]) -> bool:
    return reply.agent in agents and _named_only(agents[reply.agent])


def _named_only(agent: Agent) -> bool:
    """Whether nobody but the router says that an expert is asked: it does something, or waits for a person's leave."""
    return agent.effects or agent.approve
