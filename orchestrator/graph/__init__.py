"""The capability graph: the cheapest way through artifacts (OR) and experts (AND), found without asking an LLM."""

from orchestrator.graph.capabilities import CapabilityGraph
from orchestrator.graph.plans import Capable, Plan, Step, WeightOf
from orchestrator.graph.ways import Ways

__all__ = ["CapabilityGraph", "Capable", "Plan", "Step", "Ways", "WeightOf"]
