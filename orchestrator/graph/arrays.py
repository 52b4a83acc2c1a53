"""The graph as numbers: artifacts and experts numbered by name, and the value of an artifact as one whole number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf

from orchestrator.graph.plans import Capable, Step

__all__ = ["Arrays"]

UNITS = 2.0**100
"""Costs are whole numbers of 2**-100: exact for every weight above 1e-14, and so is every sum of them."""
LARGEST = 1023
"""Costs of more bits are infinite: a float could not hold them."""


class Arrays:
    """The experts of a graph, compiled for searching.

    A *value* says what an artifact costs, after how many stages it comes, and who produces it: three fields of one
    whole number, the most significant first. Comparing two values therefore breaks equal costs by fewer stages, then
    by name, and since whole numbers add up exactly, neither the order of a sum nor that of a search shows in them.
    What is there has cost 0, stage 0 and its own number. Raises ValueError where two experts have one name.
    """

    def __init__(self, experts: Iterable[Capable]) -> None:
        self.experts: tuple[Capable, ...] = tuple(sorted(experts, key=lambda expert: expert.name))
        for one, other in pairwise(self.experts):
            if one.name == other.name:
                raise ValueError(f"two experts are called {one.name}")
        self.artifacts: list[str] = sorted({a for e in self.experts for a in (*e.consumes, e.produces)})
        self.number: dict[str, int] = {artifact: number for number, artifact in enumerate(self.artifacts)}
        self.index: dict[str, int] = {expert.name: index for index, expert in enumerate(self.experts)}
        self.inputs: list[tuple[int, ...]] = [tuple(map(self.number.__getitem__, e.consumes)) for e in self.experts]
        self.least: list[int] = [expert.least for expert in self.experts]
        self.product: list[int] = [self.number[expert.produces] for expert in self.experts]
        self.free: list[int] = [index for index, inputs in enumerate(self.inputs) if not inputs]
        self.producers: list[list[int]] = [[] for _ in self.artifacts]
        self.consumers: list[list[int]] = [[] for _ in self.artifacts]
        for index, inputs in enumerate(self.inputs):
            self.producers[self.product[index]].append(index)
            for artifact in inputs:
                self.consumers[artifact].append(index)
        self.bits: int = (len(self.experts) + len(self.artifacts)).bit_length()
        self.mask: int = (1 << self.bits) - 1
        """Of the lowest field."""
        self.below: int = 2 * self.bits
        """Bits below the cost."""
        self.never: int = 1 << (LARGEST + self.below)
        """More than any value: what cannot be reached."""
        self.steps: list[dict[int, Step]] = [{} for _ in self.experts]
        """Steps of experts to whom one input does, by that input, made when first planned."""

    def added(self, index: int, weight: float | None) -> int:
        """What an expert adds to the value of its inputs, the name of who produced them overwritten by its own.

        That is, the value of its product is `(value | mask) + added`, infinite from `never` on. Raises ValueError on
        a negative weight, for which every search would be wrong.
        """
        if weight is None:
            return self.never
        units = weight * UNITS
        if 0 <= units < inf:
            return (round(units) << self.below) + (1 << self.bits) + index - self.mask
        if units == inf:
            return self.never
        raise ValueError(f"weight of {self.experts[index].name} is {weight}, must not be negative")

    def cost(self, value: int) -> float:
        """The cost in a value, rounded to the nearest float."""
        return (value >> self.below) / UNITS

    def together(self, values: Sequence[int]) -> int:
        """The value of several inputs taken together: their costs added up, the latest stage of them."""
        low = (1 << self.below) - 1
        return sum(value & ~low for value in values) + max((value & low for value in values), default=0)

    def inputs_of(self, index: int, value: list[int]) -> int:
        """The value of the cheapest inputs that do for an expert, `never` where too few are reached."""
        inputs, least = self.inputs[index], self.least[index]
        if least == 1:
            return min(map(value.__getitem__, inputs))
        chosen = sorted(map(value.__getitem__, inputs))[:least]
        return self.never if chosen and chosen[-1] >= self.never else self.together(chosen)

    def chosen(self, index: int, value: list[int]) -> tuple[int, ...]:
        """The cheapest inputs that do for an expert, in the order in which it names them."""
        inputs, least = self.inputs[index], self.least[index]
        if least == len(inputs):
            return inputs
        cheapest = {*sorted(inputs, key=value.__getitem__)[:least]}
        return tuple(artifact for artifact in inputs if artifact in cheapest)

    def step(self, index: int, chosen: tuple[int, ...]) -> Step:
        """An expert as a step with chosen inputs."""
        expert = self.experts[index]
        return Step(expert.name, tuple(map(self.artifacts.__getitem__, chosen)), expert.produces)
