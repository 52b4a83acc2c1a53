"""The graph itself: who gives what to whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from orchestrator.graph.arrays import Arrays
from orchestrator.graph.drawing import as_mermaid, as_networkx
from orchestrator.graph.plans import Capable, Plan, WeightOf
from orchestrator.graph.ways import Ways

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["CapabilityGraph"]


class CapabilityGraph:
    """Experts by what they consume and produce; knows neither health nor budget, only weights it is given.

    Equal costs are broken by fewer stages, then by the agent's name. Raises ValueError where two experts have one name.
    """

    def __init__(self, experts: Iterable[Capable]) -> None:
        self._arrays = Arrays(experts)

    @property
    def experts(self) -> tuple[Capable, ...]:
        """All experts, by name."""
        return self._arrays.experts

    def producers(self, artifact: str) -> Sequence[Capable]:
        """Experts that produce an artifact, by name."""
        arrays = self._arrays
        number = arrays.number.get(artifact)
        return () if number is None else tuple(arrays.experts[index] for index in arrays.producers[number])

    def plan(self, goal: str, have: Collection[str], weight: WeightOf) -> Plan | None:
        """The cheapest plan for `goal` from the artifacts in `have`, or None where there is no path.

        Raises ValueError on a negative weight, for which the search would be wrong.
        """
        return Ways(self._arrays, have, weight, until=goal).plan(goal)

    def search(self, have: Collection[str], weight: WeightOf) -> Ways:
        """The cheapest ways to all artifacts that can be reached, to be asked and to be kept over changes.

        An expert is asked its weight at most once, and only when its inputs are reached; `Ways` may ask later, of
        those whose inputs or rivals changed. Raises ValueError on a negative weight.
        """
        return Ways(self._arrays, have, weight)

    def to_networkx(self) -> nx.DiGraph[str]:
        """The graph as networkx has it: see `drawing.as_networkx`."""
        return as_networkx(self.experts)

    def to_mermaid(self) -> str:
        """The graph as mermaid text: see `drawing.as_mermaid`."""
        return as_mermaid(self.experts)
