"""Shortest paths by networkx, rustworkx and scipy, for `reroute.py`: tools are nodes, edges weigh what they lead to."""
# rustworkx and scipy are installed in an environment of their own, which no checker sees:
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from math import inf
from typing import Any, Protocol

import networkx as nx

__all__ = ["GOAL", "START", "Contestant", "Edge", "peers"]

Edge = tuple[str, str, float]
"""From, to, and the weight of the tool that it leads to."""
START, GOAL = "question", "answer"


class Contestant(Protocol):
    """Somebody who knows the graph, and can lose a tool and take it back."""

    name: str

    def reroute(self, tool: str) -> object:
        """What is timed: lose a tool, find the way without it."""
        ...

    def tools(self, found: Any) -> list[str]:  # noqa: ANN401 - what `reroute` gave, of whichever type
        """The tools on a way that was found."""
        ...

    def restore(self, tool: str) -> None:
        """Take the tool back."""
        ...


class Networkx:
    """`dijkstra_path` after `remove_node`."""

    name = f"networkx {version('networkx')}"

    def __init__(self, edges: Sequence[Edge]) -> None:
        self.graph: nx.DiGraph[str] = nx.DiGraph()
        self.graph.add_weighted_edges_from(edges)
        self.edges = by_tool(edges)

    def reroute(self, tool: str) -> list[str]:
        """The path as nodes."""
        self.graph.remove_node(tool)
        return nx.dijkstra_path(self.graph, START, GOAL)

    def tools(self, found: list[str]) -> list[str]:
        """All but the ends."""
        return found[1:-1]

    def restore(self, tool: str) -> None:
        """Its edges."""
        self.graph.add_weighted_edges_from(self.edges[tool])


class Rustworkx:
    """`dijkstra_shortest_paths` after `remove_node`; weights are read by `float`, which is no Python function."""

    def __init__(self, edges: Sequence[Edge]) -> None:
        import rustworkx

        self.name = f"rustworkx {rustworkx.__version__}"
        self.search = rustworkx.dijkstra_shortest_paths
        self.whole = rustworkx.PyDiGraph()
        self.nodes = [*dict.fromkeys(node for edge in edges for node in edge[:2])]
        self.number = dict(zip(self.nodes, self.whole.add_nodes_from(self.nodes), strict=True))
        self.whole.add_edges_from([(self.number[one], self.number[other], weight) for one, other, weight in edges])
        self.graph = self.whole.copy()
        self.start, self.goal = self.number[START], self.number[GOAL]

    def reroute(self, tool: str) -> Sequence[int]:
        """The path as numbers of nodes."""
        self.graph.remove_node(self.number[tool])
        return self.search(self.graph, self.start, target=self.goal, weight_fn=float)[self.goal]

    def tools(self, found: Sequence[int]) -> list[str]:
        """The names of all but the ends."""
        return [self.nodes[number] for number in found][1:-1]

    def restore(self, tool: str) -> None:
        """By a fresh copy, since a node added again would get another number."""
        del tool
        self.graph = self.whole.copy()


class RustworkxGuided(Rustworkx):
    """`astar_shortest_path` with the exact costs to go of the whole graph as its estimates."""

    def __init__(self, edges: Sequence[Edge]) -> None:
        import rustworkx

        super().__init__(edges)
        self.name = "  its A*, given costs to go"
        self.guided = rustworkx.digraph_astar_shortest_path
        turned = self.whole.copy()
        turned.reverse()
        lengths = dict(rustworkx.dijkstra_shortest_path_lengths(turned, self.goal, float))
        self.to_go = {node: lengths.get(number, inf) for node, number in self.number.items()} | {GOAL: 0.0}

    def reroute(self, tool: str) -> Sequence[int]:
        """The path as numbers of nodes."""
        self.graph.remove_node(self.number[tool])
        return self.guided(self.graph, self.start, GOAL.__eq__, float, self.to_go.__getitem__)


class Scipy:
    """`dijkstra` with predecessors after the edges into the node got infinite weights, and the path walked back."""

    def __init__(self, edges: Sequence[Edge]) -> None:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import dijkstra

        self.name = f"scipy {version('scipy')}"
        self.search = dijkstra
        self.nodes = [*dict.fromkeys(node for edge in edges for node in edge[:2])]
        self.number = {node: number for number, node in enumerate(self.nodes)}
        ends = [self.number[edge[0]] for edge in edges], [self.number[edge[1]] for edge in edges]
        self.graph = csr_array(([edge[2] for edge in edges], ends), shape=(len(self.nodes),) * 2)
        self.start, self.goal = self.number[START], self.number[GOAL]
        self.slots = {node: (self.graph.indices == number).nonzero()[0] for node, number in self.number.items()}
        self.weights = {node: self.graph.data[slots] for node, slots in self.slots.items()}

    def reroute(self, tool: str) -> list[int]:
        """The path as numbers of nodes, last first."""
        self.graph.data[self.slots[tool]] = inf
        _, before = self.search(self.graph, indices=self.start, return_predecessors=True)
        path = [self.goal]
        while path[-1] != self.start:
            path.append(int(before[path[-1]]))
        return path

    def tools(self, found: list[int]) -> list[str]:
        """The names of all but the ends."""
        return [self.nodes[number] for number in reversed(found)][1:-1]

    def restore(self, tool: str) -> None:
        """The weights of the edges into it."""
        self.graph.data[self.slots[tool]] = self.weights[tool]


def by_tool(edges: Sequence[Edge]) -> Mapping[str, list[Edge]]:
    """All edges into and out of each node."""
    found: dict[str, list[Edge]] = {}
    for edge in edges:
        for node in edge[:2]:
            found.setdefault(node, []).append(edge)
    return found


def peers(edges: Sequence[Edge]) -> list[Contestant]:
    """Those that are installed."""
    found: list[Contestant] = [Networkx(edges)]
    if find_spec("rustworkx"):
        found += [Rustworkx(edges), RustworkxGuided(edges)]
    if find_spec("scipy"):
        found.append(Scipy(edges))
    return found
