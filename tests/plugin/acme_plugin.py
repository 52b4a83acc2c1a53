"""A package that plugs one of each kind into the orchestrator; tests install it."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator import Agent, Answer, Model, Question, Reply, Route, Turn, View, expert
from orchestrator.monitors import Signal, Watch
from orchestrator.providers import Request


@expert(skill=0.6)
def echo(question: str) -> str:
    """Says it back."""
    return question


@expert(skill=0.5)
def stretched(question: str) -> str:
    """Says it back, longer."""
    return f"{question} Indeed."


agents = [echo, stretched, Model(name="acme:bird", free=True), Agent(name="bird", model="acme:bird", skill=0.4)]


def first_expert(view: View) -> Turn:
    """Asks the expert whose name comes first, and is content."""
    return Turn((Answer(),)) if view.replies else Turn((Route(min(each.name for each in view.experts)),))


def longest(question: Question, replies: Sequence[Reply]) -> str:
    """The longest reply."""
    del question
    return max((reply.text for reply in replies), key=len)


class Calm:
    """Never objects."""

    name = "calm"

    async def watch(self, watch: Watch) -> Signal | None:
        """Nothing."""
        del watch


def parrot(model: Model, request: Request) -> str:
    """A model that says its own name and what it was asked."""
    return f"{model.id}: {request.messages[-1].content}"


def polite(answer: str) -> float:
    """Whether somebody says thanks."""
    return float("thanks" in answer)
