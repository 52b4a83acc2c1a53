"""The way of a question: the LangGraph, and the front door to it."""

from orchestrator.pipeline.front import Explanation, Orchestrator
from orchestrator.pipeline.nesting import runnable_expert

__all__ = ["Explanation", "Orchestrator", "runnable_expert"]
