"""The way of a question: the LangGraph, and the front door to it."""

from orchestrator.pipeline.front import Explanation, Orchestrator

__all__ = ["Explanation", "Orchestrator"]
