"""Says what a run would do before anybody is asked: the way to a goal, what it costs, and the ways not taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from orchestrator.budget import Ledger
from orchestrator.errors import AttemptError, ConfigError, nearest
from orchestrator.merge import canonical
from orchestrator.messages import Failed, Goal, Reply
from orchestrator.pipeline.assembly import TURNS_OF_A_ROUTER, Settings
from orchestrator.planner import Choice, Planner
from orchestrator.pool import Pool
from orchestrator.protocol import Route
from orchestrator.providers import Completion, Request
from orchestrator.routers import BallotRouter, CascadeRouter, LLMRouter, SteppedRouter, View, WidthRouter, innermost
from orchestrator.state import Failure, RunState
from orchestrator.weights import Rates, Weigher

__all__ = ["Explanation", "as_if", "explained", "way"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would be done, at what weights; nobody is called to find out."""

    goal: str
    choices: tuple[Choice, ...]
    """One for each analysis asked for; the last has no plan where experts run out."""
    rates: Rates
    request: Request | None = None
    """What the model of an LLM router would be asked first, word for word."""
    thought: str | None = None
    """What a cascade or a width of its own would do first, and why."""


def explained(settings: Settings, state: RunState) -> Explanation:
    """What a run would do first from a state, and what every rejected way would have cost."""
    planner = _planner(settings, state)
    request, thought = _first_request(settings, state, planner), _first_thought(settings, state, planner)
    return Explanation(state.goal, planner.slots(state), settings.facilities.rates, request, thought)


def way(settings: Settings, state: RunState) -> Choice:
    """The cheapest way from a state to its goal."""
    return _planner(settings, state).choose(Goal(state.goal), state)


def as_if(state: RunState, pool: Pool, have: Iterable[str], without: Iterable[str]) -> RunState:
    """The state as it would be with some artifacts there and some experts failed."""
    have, without = tuple(have), tuple(without)
    for kind, names, known in (("have", have, pool.artifacts), ("without", without, pool.agents)):
        for name in names:
            if name not in known:
                hint = nearest(name, known)
                expected = "one of " + ", ".join(sorted(known))
                raise ConfigError(f"there is no `{name}`", field=kind, expected=expected, suggestion=hint)
    given = tuple(Reply(0, "given", Goal(name), "") for name in have)
    return replace(state, replies=given, failures=tuple(_left_out(name) for name in without))


def _planner(settings: Settings, state: RunState) -> Planner:
    return settings.planning(Weigher(settings.facilities, state.question, Ledger(settings.budget)))


def _first_request(settings: Settings, state: RunState, planner: Planner) -> Request | None:
    """What an LLM router's model would be asked first; None for other routers."""
    router, pool = settings.router, settings.facilities.pool
    speaker = innermost(router)
    if not isinstance(speaker, LLMRouter):
        return None

    async def nobody(name: str, request: Request) -> Completion:
        raise AttemptError(f"{name} is not asked for {len(request.messages)} messages", kind="invalid_request")

    turns = settings.budget.turns or TURNS_OF_A_ROUTER
    view = View(state, tuple(pool.agents.values()), planner, pool.models, nobody, turns=turns)
    return speaker.request(router.seen(view) if isinstance(router, SteppedRouter) else view)


def _first_thought(settings: Settings, state: RunState, planner: Planner) -> str | None:
    """What a router that goes step by step would do first, and why; None for other routers."""
    router, pool = settings.router, settings.facilities.pool
    if not isinstance(router, (BallotRouter, CascadeRouter, WidthRouter)):
        return None

    async def nobody(name: str, request: Request) -> Completion:
        raise AttemptError(f"{name} is not asked for {len(request.messages)} messages", kind="invalid_request")

    view = View(state, tuple(pool.agents.values()), planner, pool.models, nobody, label_of=canonical)
    return router.step(view, state.goal).thought or None


def _left_out(agent: str) -> Failure:
    return Failure(0, Route(agent), Goal(""), Failed(agent, "injected", "left out", 0))
