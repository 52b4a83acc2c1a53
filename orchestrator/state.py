"""The state of a run: small, frozen and serialisable; nodes return changed copies of it."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

from orchestrator.errors import FailureKind
from orchestrator.messages import Failed, Goal, Message, Question, Reply
from orchestrator.protocol import Route

__all__ = ["Detour", "Exchange", "Failure", "Grounds", "RunState", "Underway", "alike"]

REFUSALS: tuple[FailureKind, ...] = ("budget", "breaker_open")
"""Kinds of failures that an expert has no part in: it was not asked, and may be once money or breaker allow it."""
PATIENCE_WITH_REFUSALS = 2
"""Refusals of one expert after which it is left alone."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt: which route of whom it was, and why."""

    attempt: int
    route: Route
    goal: Goal
    """What the expert was to produce."""
    failed: Failed
    in_doubt: bool = False
    """It may have had its effect all the same."""


@dataclass(frozen=True, slots=True)
class Detour:
    """The way round a failure, chosen and not begun."""

    failure: Failure
    to: str
    """Who is to be started in place of the expert that failed."""
    steps: tuple[str, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn of a router's model, and what it led to."""

    said: Message
    routes: tuple[Route, ...] = ()
    repeated: tuple[Route, ...] = ()
    """Those of the routes that had been answered before."""
    fault: str | None = None
    """What was wrong with it, if it was no turn."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """On what a monitor stopped the run; other words or other figures are other grounds."""

    source: str
    why: str
    payload: str
    """As JSON."""


@dataclass(frozen=True, slots=True)
class Underway:
    """An attempt that is being made, as far as it takes to go on with it after a resume."""

    agent: str
    goal: Goal
    attempt: int = 0
    route: Route | None = None
    went_without: tuple[str, ...] = ()
    """Inputs that it has to do without, since those who give them failed."""
    ordinal: int = 1
    """The how-manieth attempt of its agent in the run."""


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands between two nodes."""

    question: Question
    goals: tuple[str, ...]
    """The goal aimed at, and the lower ones that may replace it."""
    asked: str
    """The goal that was asked for."""
    analyses: int = 1
    turns: int = 0
    attempts: int = 0
    replies: tuple[Reply, ...] = ()
    failures: tuple[Failure, ...] = ()
    """All failed attempts, oldest first."""
    open: tuple[Failure, ...] = ()
    """Those whose outcome is not decided yet."""
    routes: tuple[Route, ...] = ()
    """Whom to consult next."""
    detours: tuple[Detour, ...] = ()
    """Ways round failures that these routes begin; until they do, the failures have no outcome."""
    again: tuple[Failure, ...] = ()
    """Refusals of experts that are being asked again."""
    underway: tuple[Underway, ...] = ()
    """What is being made while the next steps are chosen."""
    avoided: tuple[tuple[str, str], ...] = ()
    """Experts that a monitor asked to leave alone, and why."""
    fresh_at: int = 0
    """The turn in which the last artifact came."""
    waited: float = 0.0
    """Seconds of waiting for experts that cool down, since an attempt last ended."""
    pursued: tuple[Goal, ...] = ()
    """Goals of a router's routes that are being reached another way."""
    instead: tuple[Goal, ...] = ()
    """Goals asked for in the place of those before them that differ only in slot: a better expert was deferred to."""
    reasons: tuple[str, ...] = ()
    """What a person should know of how the run went."""
    shortfalls: tuple[str, ...] = ()
    """The same, and it makes the decision degraded."""
    answer: str | None = None
    """The router's own answer."""
    exchanges: tuple[Exchange, ...] = ()
    """What the router's model said so far."""
    bad_turns: int = 0
    """Turns in a row that could not be read."""
    takeover: bool = False
    """The plan router has taken over for the rest of the run."""
    thinking: bool = False
    """The last turn was a thought alone: the router is asked again."""
    concluded: bool = False
    """Nothing more is to be asked: merge what is there."""
    ending: str = ""
    """Why, where that was decided before a step."""
    demoted: bool = False
    """A lower goal was taken up."""
    halted: bool = False
    """The run stops for a person, whatever is there."""
    allowed: tuple[str, ...] = ()
    """Agents that a person gave leave to ask."""
    stopped_on: Grounds | None = None
    """What a monitor stopped the run for, until a person lets it go on."""
    waved: tuple[Grounds, ...] = ()
    """What a person let it go on in spite of."""
    pardoned: int = 0
    """How many of the failures a person wants forgotten: those experts may be asked again."""

    @property
    def goal(self) -> str:
        """The artifact aimed at now."""
        return self.goals[0]

    @property
    def complete(self) -> bool:
        """Whether every analysis that was asked for is there."""
        return all(self.reached(Goal(self.goal, slot=slot)) for slot in range(1, self.analyses + 1))

    def gives(self, artifact: str) -> bool:
        """Whether an artifact is there, for whichever query."""
        return any(reply.goal.artifact == artifact for reply in self.replies)

    def goal_of(self, route: Route) -> Goal:
        """What a route asks for."""
        return Goal(route.artifact, route.query, route.slot)

    def reached(self, goal: Goal) -> Reply | None:
        """The reply that reached a goal, if one did."""
        return next((reply for reply in self.replies if reply.goal == goal), None)

    def kept(self, goal: Goal) -> Reply | None:
        """The reply that stands for a goal: its own, or that of an expert who was deferred to since."""
        own = self.reached(goal)
        return None if own is None else self._standing_for(own)

    def _standing_for(self, own: Reply) -> Reply:
        """What stands for a reply: itself, or that of an expert who was deferred to since."""
        instead = [r for r in self.replies if r.goal in self.instead and alike(r.goal, own.goal)]
        later = [reply for reply in instead if reply.attempt > own.attempt]
        return max(later, key=lambda reply: reply.attempt, default=own)

    def busy_with(self, goal: Goal) -> bool:
        """Whether an attempt at a goal is being made."""
        return any(each.goal == goal for each in self.underway)

    def serving(self, goal: Goal) -> set[str]:
        """Who gives, or is about to give, another slot of a goal."""
        pairs = [(reply.agent, reply.goal) for reply in self.replies]
        pairs += [(each.agent, each.goal) for each in self.underway]
        return {agent for agent, other in pairs if alike(other, goal) and other.slot != goal.slot}

    def in_doubt(self, goal: Goal) -> str | None:
        """Who may have had the effect that a goal stands for, although the attempt failed."""
        counted = self.failures[self.pardoned :]
        doubtful = (f.failed.agent for f in counted if f.in_doubt and alike(f.goal, goal))
        return next(doubtful, None)

    def withdrawn(self, agents: Container[str]) -> RunState:
        """The state without detours to some experts, which do not begin: their failures are open again."""
        kept = tuple(detour for detour in self.detours if detour.to not in agents)
        back = tuple(detour.failure for detour in self.detours if detour.to in agents)
        return replace(self, detours=kept, open=(*self.open, *back))

    def standing(self) -> RunState:
        """The state where nobody is to be consulted: no detour begins."""
        return replace(self.withdrawn({detour.to for detour in self.detours}), routes=())

    def values(self, query: str) -> dict[str, Reply]:
        """Artifacts that are there for a query, of each the first reply, or what stands for that."""
        found: dict[str, Reply] = {}
        for reply in self.replies:
            if reply.goal.query == query and reply.goal.artifact not in found:
                found[reply.goal.artifact] = self._standing_for(reply)
        return found

    def has_failed(self, agent: str, query: str) -> bool:
        """Whether an agent failed in this run for a query, in any slot; being refused is no failure of its own."""
        counted = self.failures[self.pardoned :]
        kinds = [f.failed.kind for f in counted if f.failed.agent == agent and f.goal.query == query]
        refused = sum(kind in REFUSALS for kind in kinds)
        return refused < len(kinds) or refused > PATIENCE_WITH_REFUSALS

    def refused_for(self, agent: str, query: str) -> str | None:
        """The limit of the run that an agent was refused for every time, in the words of the last."""
        own = [f.failed for f in self.failures if f.failed.agent == agent and f.goal.query == query]
        return own[-1].error if own and all(failed.kind == "budget" for failed in own) else None


def alike(one: Goal, other: Goal) -> bool:
    """Whether two goals are the same but for their slots."""
    return (one.artifact, one.query) == (other.artifact, other.query)
