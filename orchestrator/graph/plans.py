"""What goes into the graph, experts by their inputs and product, and what comes out of it, plans by their steps."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

__all__ = ["Capable", "Plan", "Step", "WeightOf"]

WeightOf = Callable[[str], "float | None"]
"""Weight of an expert by name, None (or infinite) where it cannot be used."""


@dataclass(frozen=True, slots=True)
class Capable:
    """An expert as the graph sees it; raises ValueError where its inputs make no sense."""

    name: str
    consumes: tuple[str, ...]
    """What it works on: all of them are needed, unless `needs` says how many."""
    produces: str
    optional: tuple[str, ...] = ()
    """What it also takes when it is there; never planned for, so it changes neither costs nor what can be reached."""
    needs: int | None = None
    """Any so many of `consumes` do."""

    def __post_init__(self) -> None:
        """Refuse inputs named twice and a number of needed inputs that cannot be."""
        named = (*self.consumes, *self.optional)
        if len(set(named)) < len(named):
            raise ValueError(f"{self.name} names an input twice: {', '.join(named)}")
        if self.needs is not None and not 1 <= self.needs <= len(self.consumes):
            raise ValueError(f"{self.name} needs {self.needs} of its {len(self.consumes)} inputs")

    @property
    def least(self) -> int:
        """How many inputs it takes at least."""
        return len(self.consumes) if self.needs is None else self.needs


@dataclass(frozen=True, slots=True)
class Step:
    """One expert of a plan."""

    agent: str
    consumes: tuple[str, ...]
    """The inputs it was planned with: of a join that needs only some of its inputs, the cheapest."""
    produces: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The cheapest way to a goal, in an order in which it can be walked."""

    goal: str
    steps: tuple[Step, ...]
    weight: float
    """Knuth's cost: the sum over the derivation tree, a shared stage counted at each use."""
    shared_weight: float
    """The sum with each stage counted once, as it is executed."""

    def ready(self, have: Collection[str]) -> tuple[Step, ...]:
        """Steps whose inputs are all there, and whose product is not."""
        return tuple(
            step
            for step in self.steps
            if step.produces not in have and all(artifact in have for artifact in step.consumes)
        )
