"""The actions of a router: think, route, answer; a turn is what it decides at once."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.messages import Goal

__all__ = ["Action", "Answer", "Route", "Think", "Turn"]


@dataclass(frozen=True, slots=True)
class Think:
    """A thought: kept in the trace, never acted upon."""

    text: str


@dataclass(frozen=True, slots=True)
class Route:
    """Consult one expert; several routes in one turn are consulted side by side."""

    agent: str
    query: str = ""
    """What to ask it; empty for the run's own question."""
    slot: int = 1
    toward: Goal | None = None
    """The goal that a failure of this route is healed for; None for what the expert itself produces."""


@dataclass(frozen=True, slots=True)
class Answer:
    """End the run; an empty text leaves the answer to the merge."""

    text: str = ""


Action = Think | Route | Answer


@dataclass(frozen=True, slots=True)
class Turn:
    """One decision of a router: routes or an answer, with its thoughts."""

    actions: tuple[Action, ...]

    @property
    def thought(self) -> str:
        """The thoughts of the turn in one text."""
        return "\n".join(action.text for action in self.actions if isinstance(action, Think))

    @property
    def routes(self) -> tuple[Route, ...]:
        """The experts to consult."""
        return tuple(action for action in self.actions if isinstance(action, Route))

    @property
    def answer(self) -> Answer | None:
        """The answer, if the turn gives one."""
        return next((action for action in self.actions if isinstance(action, Answer)), None)
