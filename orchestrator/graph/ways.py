"""What a search found: the cost of every artifact and the cheapest plan for it, kept while weights change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from orchestrator.graph.arrays import Arrays
from orchestrator.graph.bounds import Bounds
from orchestrator.graph.plans import Capable, Plan, Step, WeightOf
from orchestrator.graph.values import Values

__all__ = ["Ways"]


class Ways:
    """The cheapest ways from the artifacts that are there.

    Changes are only noted. The next question repairs the costs that they touch and no others (see `Values`); a plan
    for the goal that was aimed at is found without that (see `Bounds`). All answers are those of a new search. Experts
    not asked before may be asked then; after an error in asking, the ways are of no more use.
    """

    def __init__(self, arrays: Arrays, have: Collection[str], weight: WeightOf, *, until: str | None = None) -> None:
        self._arrays = arrays
        self._have = {*have}
        self._bounds: Bounds | None = None

        def ask(index: int) -> int:
            return arrays.added(index, weight(arrays.experts[index].name))

        self._values = Values(arrays, self._numbers(self._have), ask)
        self._values.search(arrays.number.get(until) if until is not None else None)

    def change(self, weights: Mapping[str, float | None]) -> None:
        """Give experts other weights, None where they cannot be used any more.

        Raises KeyError where there is no such expert, ValueError on a negative weight.
        """
        arrays, values = self._arrays, self._values
        for name, weight in weights.items():
            index = arrays.index[name]
            added = arrays.added(index, weight)
            values.change(index, added)
            if self._bounds is not None and not self._bounds.hold(index, added):
                self._bounds = None

    def add(self, artifacts: Iterable[str]) -> None:
        """Have more artifacts: what is there costs nothing."""
        new = {*artifacts} - self._have
        if new:
            self._have |= new
            self._bounds = None
            for artifact in self._numbers(new):
                self._values.have(artifact)

    def aim(self, goal: str) -> None:
        """Keep bounds toward a goal: plans for it are then found without repairing what they cannot hold.

        They end with a weight below the present one and with a new artifact. Every expert whose inputs can be reached
        is asked its weight.
        """
        self._values.repair()
        number = self._arrays.number.get(goal)
        self._bounds = None if number is None or goal in self._have else Bounds(self._values, number)

    def cost(self, artifact: str) -> float | None:
        """What an artifact costs, None where it cannot be reached."""
        if artifact in self._have:
            return 0.0
        self._values.repair()
        number = self._arrays.number.get(artifact)
        value = self._arrays.never if number is None else self._values.value[number]
        return None if value >= self._arrays.never else self._arrays.cost(value)

    def through(self, expert: Capable, weight: float | None) -> float | None:
        """What its product would cost with this expert as the one that produces it; None where that cannot be."""
        self._values.repair()
        arrays = self._arrays
        index = arrays.index[expert.name]
        inputs = arrays.inputs_of(index, self._values.value)
        offer = (inputs | arrays.mask) + arrays.added(index, weight)
        return None if offer >= arrays.never else arrays.cost(offer)

    def inputs(self, expert: Capable) -> tuple[str, ...] | None:
        """The cheapest inputs that do for an expert; None where too few can be reached."""
        if self.through(expert, 0.0) is None:
            return None
        arrays = self._arrays
        step = arrays.step(arrays.index[expert.name], arrays.chosen(arrays.index[expert.name], self._values.value))
        return step.consumes

    def plan(self, goal: str) -> Plan | None:
        """The cheapest plan for an artifact, None where it cannot be reached."""
        if goal in self._have:
            return Plan(goal, (), 0.0, 0.0)
        number = self._arrays.number.get(goal)
        if number is None:
            return None
        if self._bounds is not None and self._bounds.goal == number and not self._values.exact:
            value = self._bounds.values()
        else:
            self._values.repair()
            value = self._values.value
        return None if value[number] >= self._arrays.never else self._plan(number, value)

    def _plan(self, goal: int, value: list[int]) -> Plan:
        """The derivation of an artifact as a plan: every stage once, and after its inputs."""
        arrays, of = self._arrays, value.__getitem__
        mask, least, inputs, made = arrays.mask, arrays.least, arrays.inputs, arrays.steps
        tail: list[Step] = []
        artifact = goal
        while (here := value[artifact]) > mask and least[index := here & mask] == 1:
            artifact = min(inputs[index], key=of)
            step = made[index].get(artifact)
            if step is None:
                step = made[index][artifact] = arrays.step(index, (artifact,))
            tail.append(step)
        tail.reverse()
        weight = shared = arrays.cost(value[goal])
        if here > mask:
            branches, added = self._branches(artifact, value), self._values.added
            shared = arrays.cost(value[goal] - here + sum(added[value[stage] & mask] for stage in branches))
            tail[:0] = branches.values()
        return Plan(arrays.artifacts[goal], tuple(tail), weight, shared)

    def _branches(self, artifact: int, value: list[int]) -> dict[int, Step]:
        """The derivation of an artifact that a join produces, by product."""
        arrays = self._arrays
        steps = dict[int, Step]()
        stack: list[tuple[int, Step | None]] = [(artifact, None)]
        while stack:
            artifact, step = stack.pop()
            if step is not None:
                steps[artifact] = step
            elif value[artifact] > arrays.mask and artifact not in steps:
                index = value[artifact] & arrays.mask
                chosen = arrays.chosen(index, value)
                stack.append((artifact, arrays.step(index, chosen)))
                stack.extend((needed, None) for needed in reversed(chosen))
        return steps

    def _numbers(self, artifacts: Iterable[str]) -> list[int]:
        """Those of the artifacts that the graph knows, by number."""
        known = self._arrays.number
        return [known[artifact] for artifact in artifacts if artifact in known]
