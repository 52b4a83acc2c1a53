"""Deals with failed attempts: reroute, supersede or return, all without asking a model; what is left goes lower."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace
from math import ceil

from orchestrator.lower import conclude_on_limit, halt_in_doubt, lower
from orchestrator.messages import Goal, Reply
from orchestrator.planner import Choice
from orchestrator.protocol import Route
from orchestrator.routers import PlanRouter
from orchestrator.runtime import RunContext
from orchestrator.state import Detour, Failure, RunState, alike
from orchestrator.trace.events import Escalated, Rerouted, Returned, Superseded, Waited

__all__ = ["begun", "conclude_on_limit", "heal", "heal_meanwhile", "late_failures", "taken_in"]

PATIENCE = 60.0
"""Seconds that a run without a deadline waits for experts that cool down before it gives up on them."""


@dataclass(slots=True)
class _Pass:
    """One pass over the open failures."""

    state: RunState
    context: RunContext
    routes: dict[tuple[str, str], Route] = field(default_factory=dict[tuple[str, str], Route])
    experts: dict[Goal, str] = field(default_factory=dict[Goal, str])
    """Who was chosen in this pass to give which goal."""
    detours: list[Detour] = field(default_factory=list[Detour])
    shortfalls: list[str] = field(default_factory=list[str])

    def choose(self, goal: Goal, *, patience: float = 0.0) -> Choice:
        """A plan for a goal by experts that serve no other slot of it."""
        chosen = {agent for other, agent in self.experts.items() if alike(other, goal) and other.slot != goal.slot}
        taken = self.state.serving(goal) | chosen
        return self.context.planner.choose(goal, self.state, taken=taken, patience=patience)

    def take(self, choice: Choice) -> None:
        """Consult the first steps of a choice next."""
        for route in choice.routes:
            self.routes.setdefault((route.agent, route.query), route)
        if choice.expert is not None:
            self.experts[choice.goal] = choice.expert

    def alive(self, goal: Goal) -> bool:
        """Whether another slot of a goal is reached or on its way."""
        others = [*(r.goal for r in self.state.replies), *(u.goal for u in self.state.underway), *self.experts]
        return any(alike(other, goal) for other in others)


async def heal(state: RunState, context: RunContext) -> RunState:
    """Say for every open failure what is to be consulted next, or give it its outcome where that is nobody.

    Called without open failures where the goal has no path, or where a detour goes on. Where everybody who could
    give a goal cools down it waits for the first of them, if the run's time allows.
    """
    if (halted := halt_in_doubt(state, context)) is not None:
        return halted
    before, state = state, await _cooled(state, context)
    if limit := context.limit_hit():
        return conclude_on_limit(state, context, limit)
    if not (state.open or state.pursued) and ((state.thinking and not before.thinking) or _free_again(state, context)):
        return replace(state, thinking=True)  # somebody can be asked again: the router decides
    work = _Pass(state, context)
    stuck = [pair for failure in state.open if (pair := _reroute(failure, work)) is not None]
    _go_on(work, {failure.route.toward or failure.goal for failure, _ in stuck})
    lost = [pair for pair in stuck if not _let_go(*pair, work)]
    healed = _healed(work, still_open=())
    if lost or not (state.open or state.pursued or healed.routes):
        return await lower(healed.standing(), lost, context)
    return healed


def heal_meanwhile(state: RunState, context: RunContext) -> RunState:
    """Reroute what failed where the way round can begin at once, while other attempts are still being made."""
    if any(failure.in_doubt for failure in state.open) or context.limit_hit():
        return state
    work, left = _Pass(state, context), list[Failure]()
    for failure in state.open:
        goal = failure.route.toward or failure.goal
        choice = work.choose(goal)
        free = choice.routes and not context.waiting(replace(state, routes=choice.routes))
        at_once = state.reached(goal) is not None or (choice.plan is not None and free)
        if not at_once or _reroute(failure, work) is not None:
            left.append(failure)
    return _healed(work, still_open=tuple(left))


def _healed(work: _Pass, *, still_open: tuple[Failure, ...]) -> RunState:
    """The state after a pass over its failures."""
    state, wanted = work.state, _pursued(work.state)
    pursued = [goal for goal in work.experts if goal in wanted]
    if state.underway:  # a pass between two rounds has looked at them all
        pursued = [*state.pursued, *pursued]
    return replace(
        state,
        open=still_open,
        routes=tuple(work.routes.values()),
        detours=tuple(work.detours),
        pursued=tuple(dict.fromkeys(pursued)),
        shortfalls=(*state.shortfalls, *work.shortfalls),
    )


async def _cooled(state: RunState, context: RunContext) -> RunState:
    """The state after waiting until somebody who could give a goal may be asked again."""
    while (waited := _to_wait_for(state, context)) is not None:
        context.journal.write(waited)
        await context.gate.sleep(waited.seconds)
        kept = tuple(pair for pair in state.avoided if pair[0] not in waited.agents)
        state = replace(state, avoided=kept, waited=state.waited + waited.seconds, thinking=True)
    return state


def _free_again(state: RunState, context: RunContext) -> bool:
    """Whether a breaker let go just after the plan router found no way."""
    planning = state.takeover or isinstance(context.router, PlanRouter)
    return planning and any(context.planner.choose(goal, state).routes for goal in _wanted(state))


def _to_wait_for(state: RunState, context: RunContext) -> Waited | None:
    """The shortest wait that gives a goal without any way one again, if the run's time allows it."""
    left = context.seconds_left()
    patience = PATIENCE - state.waited if left is None else left
    work = _Pass(state, context)
    waits = [wait for goal in _wanted(state) if (wait := _wait_for(goal, work, patience)) is not None]
    waits = waits or [wait for goal in _lower(work) if (wait := _wait_for(goal, work, patience)) is not None]
    shortest = min(waits, key=lambda wait: wait.seconds, default=None)
    return shortest if shortest and shortest.seconds < patience else None


def _wanted(state: RunState) -> list[Goal]:
    """Goals that a pass is about: those of failures and detours, else what the run is for."""
    goals = [failure.route.toward or failure.goal for failure in state.open] + list(state.pursued)
    return goals or ([] if state.gives(state.goal) else [Goal(state.goal)])


def _lower(work: _Pass) -> list[Goal]:
    """Lower goals that are left to wait for: the one aimed at is lost, and none is there or can be had at once."""
    state = work.state
    aims = [Goal(name) for name in state.goals]
    routers = any(_is_routers(failure, state) for failure in state.open)  # which decides itself what then
    if not aims[1:] or routers or state.pursued:
        return []
    return [] if any(state.gives(aim.artifact) or work.choose(aim).plan for aim in aims) else aims[1:]


def _wait_for(goal: Goal, work: _Pass, patience: float) -> Waited | None:
    """How long until somebody could give a goal, where nobody can now and open breakers are all that is in the way.

    Whoever cools down for longer than anybody waits is left out, or a cheap way behind it would hide one that comes.
    """
    if work.state.reached(goal) is not None or work.choose(goal).plan is not None:
        return None
    plan = work.choose(goal, patience=patience).plan
    agents = [work.context.facilities.pool.agents[step.agent] for step in plan.steps] if plan else []
    closed = {agent.name: seconds for agent in agents if (seconds := work.context.weigher.cooling(agent)) > 0}
    return Waited(goal=goal, agents=tuple(closed), seconds=ceil(max(closed.values()) * 1000) / 1000) if closed else None


def _go_on(work: _Pass, stuck: set[Goal]) -> None:
    """Take the next steps of detours that did not fail."""
    for goal in work.state.pursued:
        new = work.state.reached(goal) is None and not work.state.busy_with(goal)
        if new and goal not in work.experts and goal not in stuck:
            choice = work.choose(goal)
            work.context.journal.write(choice.event())
            work.take(choice)
            if choice.plan is None:
                work.shortfalls += [f"the way round to `{goal.artifact}` led nowhere", *choice.limits]


def _pursued(state: RunState) -> set[Goal]:
    """Goals of a router's own routes that are reached another way."""
    return {*state.pursued, *(failure.goal for failure in state.open if failure.route.toward is None)}


def _is_routers(failure: Failure, state: RunState) -> bool:
    """Whether a failure belongs to a route that the router chose itself, or to a detour of one."""
    return failure.route.toward is None or failure.route.toward in state.pursued


def _reroute(failure: Failure, work: _Pass) -> tuple[Failure, Choice] | None:
    """Choose another expert, or find the goal reached; what is left comes back with the choice that found no path."""
    goal = failure.route.toward or failure.goal
    if work.state.reached(goal) is not None:
        _supersede(failure, goal, work.context)
        return None
    choice = work.choose(goal)
    work.context.journal.write(choice.event())
    if choice.plan is None or not choice.routes:
        return failure, choice
    agents = work.context.facilities.pool.agents
    same = [route.agent for route in choice.routes if agents[route.agent].produces == failure.goal.artifact]
    to = (same or [choice.routes[0].agent])[0]
    steps = tuple(step.agent for step in choice.plan.steps)
    work.detours.append(Detour(failure, to, steps, choice.plan.weight))
    work.take(choice)
    return None


def begun(state: RunState, goals: Container[tuple[str, str]], context: RunContext) -> RunState:
    """The state once its routes are taken; `goals` are the experts at work, each with its query.

    Only now a failure is rerouted: before, whoever was to take its place could still be withdrawn. An expert that was
    refused and is asked again takes nobody's place.
    """
    if not state.detours:
        return state
    reasons, again, left = list[str](), list[Failure](), list[Failure]()
    for detour in state.detours:
        failure, to = detour.failure, detour.to
        if (to, failure.goal.query) not in goals:
            left.append(failure)
        elif to == failure.failed.agent:
            again.append(failure)
        else:
            steps, weight = detour.steps, detour.weight
            context.journal.write(Rerouted(attempt=failure.attempt, to=to, steps=steps, weight=weight))
            reasons.append(f"rerouted: {failure.failed.agent} → {to} ({failure.failed.kind})")
    return replace(
        state,
        detours=(),
        open=(*state.open, *left),
        again=(*state.again, *again),
        reasons=(*state.reasons, *reasons),
    )


def taken_in(result: Reply | Failure, goal: Goal, state: RunState, context: RunContext) -> RunState:
    """The state once an attempt at a goal has ended: it is under way no more, refusals are over or as open as it."""
    before = [failure for failure in state.again if failure.goal == goal]
    again = tuple(failure for failure in state.again if failure.goal != goal)
    underway = tuple(each for each in state.underway if each.attempt != result.attempt)
    if isinstance(result, Failure):
        failures, still_open = (*state.failures, result), (*state.open, *before, result)
        return replace(state, again=again, underway=underway, waited=0.0, failures=failures, open=still_open)
    for failure in before:
        _supersede(failure, goal, context)
    replies = (*state.replies, result)
    return replace(state, again=again, underway=underway, waited=0.0, replies=replies, fresh_at=state.turns)


def late_failures(state: RunState, context: RunContext) -> RunState:
    """The state once nothing is being made: what failed after the end of the run had been decided ends with it."""
    if not state.concluded:
        return state
    for failure in state.open:
        context.journal.write(Escalated(attempt=failure.attempt, reason=state.ending))
    return replace(state, open=())


def _supersede(failure: Failure, goal: Goal, context: RunContext) -> None:
    reason = f"{goal.artifact} had been reached by a sibling"
    context.journal.write(Superseded(attempt=failure.attempt, reason=reason))


def _let_go(failure: Failure, choice: Choice, work: _Pass) -> bool:
    """Close a failure whose slot or route can be given up without losing the goal."""
    goal = failure.route.toward or failure.goal
    limits = "".join(f"; {limit}" for limit in choice.limits)
    if work.alive(goal):
        reason = f"no further distinct expert for analysis {goal.slot}{limits}"
        work.context.journal.write(Superseded(attempt=failure.attempt, reason=reason))
        work.shortfalls += [reason, *choice.limits]
        return True
    if _is_routers(failure, work.state):
        reason = f"nobody can serve the route to {failure.failed.agent}{limits}"
        work.context.journal.write(Returned(attempt=failure.attempt, reason=reason))
        work.shortfalls += [f"returned: {reason}", *choice.limits]
        return True
    return False
