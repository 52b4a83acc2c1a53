"""The way of a question: the LangGraph, and the front door to it."""

from orchestrator.pipeline.conversation import Conversation
from orchestrator.pipeline.durable import Pending
from orchestrator.pipeline.front import Explanation, Orchestrator
from orchestrator.pipeline.nesting import runnable_expert

__all__ = ["Conversation", "Explanation", "Orchestrator", "Pending", "runnable_expert"]
