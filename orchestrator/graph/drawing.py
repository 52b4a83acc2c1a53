"""The graph for other eyes: as a networkx graph, and as mermaid text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.graph.plans import Capable

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["as_mermaid", "as_networkx"]


def as_networkx(experts: Sequence[Capable]) -> nx.DiGraph[str]:
    """Artifacts and experts as nodes, edges from what is consumed and to what is produced.

    Nodes have `kind` and `label`, experts also `needs` (None: all inputs); edges into experts say whether they are
    `optional`.
    """
    import networkx as nx

    drawn: nx.DiGraph[str] = nx.DiGraph()
    for expert in experts:
        node = f"expert:{expert.name}"
        drawn.add_node(node, kind="expert", label=expert.name, needs=expert.needs)
        for artifact in (*expert.consumes, *expert.optional, expert.produces):
            drawn.add_node(f"artifact:{artifact}", kind="artifact", label=artifact)
        drawn.add_edges_from((f"artifact:{artifact}", node, {"optional": False}) for artifact in expert.consumes)
        drawn.add_edges_from((f"artifact:{artifact}", node, {"optional": True}) for artifact in expert.optional)
        drawn.add_edge(node, f"artifact:{expert.produces}")
    return drawn


def as_mermaid(experts: Sequence[Capable]) -> str:
    """Artifacts round, experts square, with how many inputs a join needs; dashed what is optional."""
    artifacts = sorted({a for expert in experts for a in (*expert.consumes, *expert.optional, expert.produces)})
    names = {artifact: f"a{number}" for number, artifact in enumerate(artifacts)}
    lines = ["flowchart LR", *(f'  {key}(["{artifact}"])' for artifact, key in names.items())]
    for number, expert in enumerate(experts):
        needs = "" if expert.needs is None else f" ({expert.needs} of {len(expert.consumes)})"
        lines.append(f'  e{number}["{expert.name}{needs}"]')
        lines += [f"  {names[artifact]} --> e{number}" for artifact in expert.consumes]
        lines += [f"  {names[artifact]} -.-> e{number}" for artifact in expert.optional]
        lines.append(f"  e{number} --> {names[expert.produces]}")
    return "\n".join(lines)
