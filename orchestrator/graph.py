"""The capability graph: the cheapest way through artifacts (OR) and experts (AND), found without asking an LLM."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["CapabilityGraph", "Capable", "Plan", "Step", "Ways"]

WeightOf = Callable[[str], "float | None"]
"""Weight of an expert by name, None (or infinite) where it cannot be used."""

NOTHING = ""
"""What an expert without inputs consumes: always there."""


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


@dataclass(slots=True)
class Ways:
    """What one search found: the cost of each artifact that was reached, and who produces it cheapest."""

    have: frozenset[str]
    cost: dict[str, float]
    producer: dict[str, Capable]
    weight: dict[str, float] = field(default_factory=dict)
    """Weight of each expert that the search met."""
    rank: dict[str, tuple[float, int, str]] = field(default_factory=dict)
    """The order in which artifacts were reached: by cost, then stages, then the name of who produces them."""

    def inputs(self, expert: Capable) -> tuple[str, ...] | None:
        """The cheapest inputs that do for an expert, as it names them; None where too few can be reached."""
        reached = [artifact for artifact in expert.consumes if artifact in self.rank]
        if len(reached) < expert.least:
            return None
        chosen = sorted(reached, key=self.rank.__getitem__)[: expert.least]
        return tuple(artifact for artifact in reached if artifact in chosen)

    def through(self, expert: Capable, weight: float | None) -> float | None:
        """What the goal would cost with this expert as the one that produces it; None where that cannot be."""
        inputs = self.inputs(expert)
        if weight is None or inputs is None:
            return None
        for artifact in inputs:
            weight += self.cost[artifact]
        return weight

    def plan(self, goal: str) -> Plan | None:
        """The cheapest plan for an artifact that the search reached, else None."""
        if goal not in self.cost:
            return None
        steps: dict[str, Step] = {}
        self._collect(goal, steps)
        shared = sum(self.weight[step.agent] for step in steps.values())
        return Plan(goal, tuple(steps.values()), self.cost[goal], shared)

    def _collect(self, goal: str, steps: dict[str, Step]) -> None:
        stack: list[tuple[str, tuple[str, ...] | None]] = [(goal, None)]
        while stack:
            artifact, inputs = stack.pop()
            if artifact in self.have or artifact in steps:
                continue
            expert = self.producer[artifact]
            if inputs is not None:
                steps[artifact] = Step(expert.name, inputs, artifact)
                continue
            inputs = self.inputs(expert) or ()
            stack.append((artifact, inputs))
            stack.extend((needed, None) for needed in reversed(inputs))


class CapabilityGraph:
    """Experts by what they consume and produce; knows neither health nor budget, only weights it is given.

    Search is Dijkstra's algorithm in Knuth's generalisation to AND/OR graphs (D. Knuth, "A Generalization of
    Dijkstra's Algorithm", Information Processing Letters 6(1), 1977), with a heap: O((V + E) log V). Artifacts are
    reached in order of cost, so the first k inputs of a join that are reached are its k cheapest. Equal costs are
    broken by fewer stages, then by the agent's name.
    """

    def __init__(self, experts: Iterable[Capable]) -> None:
        self.experts: tuple[Capable, ...] = tuple(sorted(experts, key=lambda expert: expert.name))
        for one, other in pairwise(self.experts):
            if one.name == other.name:
                raise ValueError(f"two experts are called {one.name}")
        self._producers: dict[str, list[Capable]] = {}
        self._consumers: dict[str, list[int]] = {}
        for index, expert in enumerate(self.experts):
            self._producers.setdefault(expert.produces, []).append(expert)
            for artifact in expert.consumes or (NOTHING,):
                self._consumers.setdefault(artifact, []).append(index)

    def producers(self, artifact: str) -> Sequence[Capable]:
        """Experts that produce an artifact, by name."""
        return self._producers.get(artifact, ())

    def plan(self, goal: str, have: Collection[str], weight: WeightOf) -> Plan | None:
        """The cheapest plan for `goal` from the artifacts in `have`, or None where there is no path."""
        return self.search(have, weight, until=goal).plan(goal)

    def search(self, have: Collection[str], weight: WeightOf, *, until: str | None = None) -> Ways:
        """Costs and cheapest producers of all artifacts that can be reached, or up to `until`.

        Raises ValueError on a negative weight, for which the search would be wrong.
        """
        ways = Ways(frozenset(have), dict.fromkeys(have, 0.0), {})
        ways.rank = {artifact: (0.0, 0, artifact) for artifact in ways.have}
        missing = [expert.least or 1 for expert in self.experts]
        heap: list[tuple[float, int, int]] = []
        for artifact in (NOTHING, *sorted(ways.have)):
            self._offer(artifact, ways, missing, heap, weight)
        while heap and until not in ways.cost:
            cost, stages, index = heappop(heap)
            expert = self.experts[index]
            if expert.produces in ways.cost:
                continue
            ways.cost[expert.produces] = cost
            ways.producer[expert.produces] = expert
            ways.rank[expert.produces] = (cost, stages, expert.name)
            self._offer(expert.produces, ways, missing, heap, weight)
        return ways

    def _offer(
        self, artifact: str, ways: Ways, missing: list[int], heap: list[tuple[float, int, int]], weight: WeightOf
    ) -> None:
        """Put on the heap every expert whose last missing input this artifact was."""
        for index in self._consumers.get(artifact, ()):
            missing[index] -= 1
            expert = self.experts[index]
            if missing[index] or expert.produces in ways.cost:
                continue
            own = weight(expert.name)
            if own is None or own == float("inf"):
                continue
            if not own >= 0:
                raise ValueError(f"weight of {expert.name} is {own}, must not be negative")
            ways.weight[expert.name] = own
            cost, inputs = ways.through(expert, own), ways.inputs(expert)
            if cost is not None and inputs is not None:
                stages = 1 + max((ways.rank[needed][1] for needed in inputs), default=0)
                heappush(heap, (cost, stages, index))

    def to_networkx(self) -> nx.DiGraph[str]:
        """Artifacts and experts as nodes (`kind`), edges from what is consumed and to what is produced."""
        import networkx as nx

        drawn: nx.DiGraph[str] = nx.DiGraph()
        for expert in self.experts:
            drawn.add_node(f"expert:{expert.name}", kind="expert", label=expert.name)
            for artifact in (*expert.consumes, expert.produces):
                drawn.add_node(f"artifact:{artifact}", kind="artifact", label=artifact)
            for artifact in expert.consumes:
                drawn.add_edge(f"artifact:{artifact}", f"expert:{expert.name}")
            drawn.add_edge(f"expert:{expert.name}", f"artifact:{expert.produces}")
        return drawn

    def to_mermaid(self) -> str:
        """The graph as mermaid text: artifacts round, experts square."""
        names = {
            artifact: f"a{number}"
            for number, artifact in enumerate(
                sorted({artifact for expert in self.experts for artifact in (*expert.consumes, expert.produces)})
            )
        }
        lines = ["flowchart LR", *(f'  {key}(["{artifact}"])' for artifact, key in names.items())]
        for number, expert in enumerate(self.experts):
            lines.append(f'  e{number}["{expert.name}"]')
            lines += [f"  {names[artifact]} --> e{number}" for artifact in expert.consumes]
            lines.append(f"  e{number} --> {names[expert.produces]}")
        return "\n".join(lines)
