"""Takes a router's turn: asks for it, writes it down, places its routes; a router that fails is taken over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from orchestrator.errors import AttemptError, ConfigError, nearest
from orchestrator.merge import canonical
from orchestrator.messages import Goal
from orchestrator.pool import Agent
from orchestrator.protocol import Route, Turn
from orchestrator.routers import PlanRouter, Routing, View, routing_of
from orchestrator.runtime import RunContext
from orchestrator.state import Exchange, RunState
from orchestrator.tools import Misfit, fitted
from orchestrator.trace.events import BadTurn, NameResolved, TakenOver, TurnTaken

__all__ = ["meanwhile", "take_turn"]

BAD_TURNS = 2
"""Bad turns in a row after which the plan router takes over (DESIGN §4)."""
_PLAN = PlanRouter()


async def take_turn(state: RunState, context: RunContext) -> RunState:
    """The state after the router's next turn: what to consult, or the end.

    Raises `ConfigError` where a router of the caller's own gives no turn, or names an expert that is not there.
    """
    router = _PLAN if state.takeover else context.router
    try:
        routing = routing_of(cast("object", await router.decide(_view(state, context))), router.name)
    except AttemptError as error:
        limits = (str(error),) if error.kind == "budget" and str(error).startswith("limit:") else ()
        return _taken_over(state, context, f"the router's model failed ({error.kind}): {error}", limits)
    turn = routing.turn
    fault = turn.fault or _misfit(turn, state, context)
    if fault is not None:
        return _bad(turn, fault, state, context)
    if turn.routes and turn.answer:
        raise ConfigError("a turn holds routes or an answer, not both", field=f"router {router.name}")
    return _good(routing, state, context, router.name)


def _misfit(turn: Turn, state: RunState, context: RunContext) -> str | None:
    """How a router's own answer is not of the kind that is wanted, if it is not."""
    kind = context.facilities.kinds.of(state.goal)
    if kind is None or turn.answer is None or not turn.answer.text:
        return None
    try:
        fitted(turn.answer.text, kind)
    except Misfit as error:
        return f"the answer {error}"
    return None


def meanwhile(state: RunState, context: RunContext) -> RunState:
    """The state with the steps of the plan that can be taken while others are still being made, if there are any."""
    planning = state.takeover or isinstance(context.router, PlanRouter)
    if not planning or state.open or state.concluded:
        return state
    routing = _PLAN.steps(_view(state, context))
    routing = replace(routing, choices=tuple(choice for choice in routing.choices if choice.plan is not None))
    asked = replace(state, routes=routing.turn.routes)
    if not asked.routes or context.waiting(asked):  # whoever needs a person's leave comes between two rounds
        return state
    return _good(routing, state, context, _PLAN.name)


def _view(state: RunState, context: RunContext) -> View:
    pool = context.facilities.pool
    return View(
        state,
        tuple(pool.agents.values()),
        context.planner,
        models=pool.models,
        ask=context.asking("router"),
        turns=context.turns,
        last=_last(state, context),
        kind=context.facilities.kinds.of(state.goal),
        label_of=canonical,
    )


def _last(state: RunState, context: RunContext) -> str | None:
    """Why the router must answer now, if it must: turns are over with this one, or no expert can be paid."""
    if context.turns is not None and state.turns + 1 >= context.turns:
        return f"limit:turns: {context.turns} turns"
    limits: list[str] = []
    for agent in context.facilities.pool.agents.values():
        why_not = context.weigher.weigh(agent).why_not
        if why_not is None or not why_not.startswith("limit:"):
            return None
        limits.append(why_not)
    return limits[0]


def _bad(turn: Turn, fault: str, state: RunState, context: RunContext) -> RunState:
    """A turn that cannot be read is answered with what is wrong with it; a second one in a row ends the router."""
    number = state.turns + 1
    said = turn.said.content if turn.said else None
    context.journal.write(BadTurn(turn=number, fault=fault, said=said))
    exchanges = (*state.exchanges, Exchange(turn.said, fault=fault)) if turn.said else state.exchanges
    bad = state.bad_turns + 1
    state = replace(state, turns=number, bad_turns=bad, exchanges=exchanges, routes=(), thinking=True)
    return _taken_over(state, context, f"{bad} bad turns in a row: {fault}") if bad >= BAD_TURNS else state


def _taken_over(state: RunState, context: RunContext, reason: str, limits: tuple[str, ...] = ()) -> RunState:
    """The plan router decides from here on; `limits` are those of the run that stood in the router's way."""
    context.journal.write(TakenOver(reason=reason))
    return replace(
        state,
        takeover=True,
        routes=(),
        thinking=True,
        reasons=(*state.reasons, f"takeover: {reason}"),
        shortfalls=(*state.shortfalls, *limits),
    )


def _good(routing: Routing, state: RunState, context: RunContext, router: str) -> RunState:
    turn = routing.turn
    placed = _placed(turn.routes, state, context, router)
    repeated = tuple(route for route in placed if _settled(route, state) or _doubled(route, placed, state, context))
    fresh: dict[tuple[str, Goal], Route] = {}
    for route in placed:
        if route not in repeated:
            fresh.setdefault((route.agent, state.goal_of(route)), route)
    forced = _last(state, context) if turn.said and turn.answer else None
    ways = {route: _way(route, state, context) for route in fresh.values()}
    if counts := _counts(turn):
        _record(turn, repeated, state.turns + 1, context, router)
    for choice in routing.choices:
        if choice.plan is not None:
            context.journal.write(choice.event())
    routes = _distinct(step for way in ways.values() for step in way)
    return replace(
        state,
        turns=state.turns + counts,
        bad_turns=0,
        routes=routes,
        pursued=(*state.pursued, *(state.goal_of(route) for route, way in ways.items() if way != (route,))),
        instead=(*state.instead, *(state.goal_of(route) for route in fresh.values() if route.instead)),
        exchanges=(*state.exchanges, Exchange(turn.said, placed, repeated)) if turn.said else state.exchanges,
        shortfalls=(*state.shortfalls, *_limits(routing), *routing.limits, *((forced,) if forced else ())),
        answer=state.answer if turn.answer is None else turn.answer.text or None,
        thinking=_goes_on(turn, routes),
        concluded=_concludes(turn, state),
    )


def _way(route: Route, state: RunState, context: RunContext) -> tuple[Route, ...]:
    """The route itself; or, where its expert still lacks inputs, the first steps of the way that leads to it."""
    agents = context.facilities.pool.agents
    if route.toward is not None or not agents[route.agent].lacks({"question", *state.values(route.query)}):
        return (route,)
    others = {agent.name for agent in agents.values() if agent.produces == route.artifact} - {route.agent}
    return context.planner.choose(state.goal_of(route), state, taken=others).routes or (route,)


def _distinct(routes: Iterable[Route]) -> tuple[Route, ...]:
    """Each expert once for each query and slot: ways to several experts may share their first steps."""
    return tuple({(route.agent, route.query, route.slot): route for route in routes}.values())


def _settled(route: Route, state: RunState) -> bool:
    """Whether a route was answered before, or its expert failed at it: neither is asked again."""
    own = route.toward is None and state.has_failed(route.agent, route.query)
    return state.reached(state.goal_of(route)) is not None or own


def _doubled(route: Route, placed: tuple[Route, ...], state: RunState, context: RunContext) -> bool:
    """Whether another route of the turn is to have the same effect."""
    agents, goal = context.facilities.pool.agents, state.goal_of(route)
    first = next(other for other in placed if state.goal_of(other) == goal)
    return agents[route.agent].effects and route.agent != first.agent


def _goes_on(turn: Turn, routes: tuple[Route, ...]) -> bool:
    """Whether the router is asked again: it gave thoughts, or nobody is left to consult of those it named."""
    return turn.answer is None and bool(turn.thought or (turn.routes and not routes))


def _concludes(turn: Turn, state: RunState) -> bool:
    """Whether the run ends with a turn: by an answer, or since nothing is wanted beyond what is there."""
    if turn.answer is not None and turn.answer.text:
        return True
    return (turn.answer is not None or not turn.actions) and state.gives(state.goal)


def _placed(routes: tuple[Route, ...], state: RunState, context: RunContext, router: str) -> tuple[Route, ...]:
    """The routes with what each asks for: a router that asks several experts the same wants an analysis of each.

    One that is there twice stays so, since each call of a model is owed a result.
    """
    placed: list[Route] = []
    for route in routes:
        agent = _expert(route.agent, context, router)
        found = replace(route, artifact=agent.produces)
        if route.toward is None:
            found = replace(found, slot=_slot(agent, route.query, state, placed, context))
        placed.append(found)
    return tuple(placed)


def _expert(name: str, context: RunContext, router: str) -> Agent:
    agents = context.facilities.pool.agents
    if name not in agents:
        raise ConfigError(
            f"there is no expert `{name}`",
            field=f"router {router}",
            expected="one of " + ", ".join(sorted(agents)),
            suggestion=nearest(name, agents),
        )
    return agents[name]


def _slot(agent: Agent, query: str, state: RunState, placed: list[Route], context: RunContext) -> int:
    """The slot in which the agent already gave this, else the next free one; an effect has one slot, whoever has it."""
    given = [(reply.agent, reply.goal) for reply in state.replies]
    given += [(route.agent, state.goal_of(route)) for route in placed]
    alike = {name: goal.slot for name, goal in given if goal == Goal(agent.produces, query, goal.slot)}
    agents = context.facilities.pool.agents
    had = [slot for name, slot in alike.items() if agent.effects and name in agents and agents[name].effects]
    return alike.get(agent.name, had[0] if had else max(alike.values(), default=0) + 1)


def _counts(turn: Turn) -> bool:
    """A bare end of the plan router is no step."""
    return bool(turn.routes or turn.thought or (turn.answer and turn.answer.text))


def _record(turn: Turn, repeated: tuple[Route, ...], number: int, context: RunContext, router: str) -> None:
    for given, agent in turn.resolved:
        context.journal.write(NameResolved(turn=number, given=given, agent=agent))
    context.journal.write(
        TurnTaken(
            turn=number,
            router=router,
            thought=turn.thought or None,
            routes=tuple(route.agent for route in turn.routes),
            repeated=tuple(route.agent for route in repeated),
            answer=turn.answer.text if turn.answer else None,
        )
    )


def _limits(routing: Routing) -> tuple[str, ...]:
    """Limits that alone keep a slot from being served."""
    return tuple(limit for choice in routing.choices if choice.plan is None for limit in choice.limits[:1])
