"""What a router is, and what it sees when it decides."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

from orchestrator.confidence import LabelOf
from orchestrator.errors import ConfigError
from orchestrator.messages import Goal, Question, Reply
from orchestrator.planner import Choice, Planner
from orchestrator.pool import Agent, Model
from orchestrator.protocol import Turn
from orchestrator.providers import Ask
from orchestrator.state import Failure, RunState

__all__ = ["Router", "RouterFunction", "Routing", "Settling", "View", "as_router", "routing_of"]


def _as_written(text: str, question: Question) -> str | None:  # noqa: ARG001 - a `LabelOf`
    return text


@dataclass(frozen=True, slots=True)
class View:
    """The run as a router sees it."""

    state: RunState
    experts: tuple[Agent, ...]
    planner: Planner
    models: Mapping[str, Model]
    """The pool's models by name."""
    ask: Ask
    """Calls one of them through the gate, billed like any other."""
    turns: int | None = None
    """Turns that the run may take at most."""
    last: str | None = None
    """Why the router must answer now, if it must."""
    kind: type[BaseModel] | None = None
    """What an answer of the router's own has to be the JSON of, if anything."""
    label_of: LabelOf = _as_written
    """The form in which answers are compared."""

    @property
    def question(self) -> Question:
        """What the run was asked."""
        return self.state.question

    @property
    def goal(self) -> str:
        """The artifact wanted now."""
        return self.state.goal

    @property
    def replies(self) -> tuple[Reply, ...]:
        """What experts gave so far."""
        return self.state.replies

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Attempts that failed so far."""
        return self.state.failures

    def plan(self, artifact: str | None = None, query: str = "") -> Choice:
        """The cheapest plan for an artifact, without taking it."""
        return self.planner.choose(Goal(artifact or self.goal, query), self.state)


@dataclass(frozen=True, slots=True)
class Routing:
    """A turn, with the choices that led to it where the router weighed any."""

    turn: Turn
    choices: tuple[Choice, ...] = ()
    limits: tuple[str, ...] = ()
    """Limits of the run that ended it before its time; they make the decision degraded."""


@runtime_checkable
class Router(Protocol):
    """Decides what happens next."""

    @property
    def name(self) -> str:
        """The word that traces and decisions use for it."""
        ...

    async def decide(self, view: View) -> Turn | Routing:
        """Routes or an answer; an empty turn says that the router sees no way."""
        ...


@runtime_checkable
class Settling(Protocol):
    """A router that also says which of the replies is the decision, where no merge is asked for."""

    def settled(self, question: Question, replies: Sequence[Reply], label_of: LabelOf) -> Reply:
        """One of the replies, of which there is at least one."""
        ...


def routing_of(decided: object, router: str) -> Routing:
    """What a router decided, if it is a turn at all; raises `ConfigError` where it is none."""
    if isinstance(decided, Turn):
        return Routing(decided)
    if isinstance(decided, Routing):
        return decided
    raise ConfigError(f"decided {decided!r}", field=f"router {router}", expected="a `Turn` of actions")


RouterFunction = Callable[[View], Turn | Awaitable[Turn]]
"""A plain function that decides, async or not."""


@dataclass(frozen=True, slots=True)
class _FunctionRouter:
    function: RouterFunction
    name: str

    async def decide(self, view: View) -> Turn:
        decided = self.function(view)
        return await decided if inspect.isawaitable(decided) else decided


def as_router(given: Router | RouterFunction) -> Router:
    """A router from an object with `decide` or from a plain function; raises `ConfigError` on anything else."""
    if isinstance(given, Router) and not isinstance(given, type):
        return given
    if callable(given) and not isinstance(given, type):
        return _FunctionRouter(given, getattr(given, "__name__", type(given).__name__))
    raise ConfigError(
        f"{given!r} is no router", field="router", expected="an object with a name and an async `decide`, or a function"
    )
