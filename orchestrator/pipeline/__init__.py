"""The way of a question: the LangGraph, and the front door to it."""

from orchestrator.pipeline.conversation import Conversation
from orchestrator.pipeline.durable import Pending
from orchestrator.pipeline.front import Explanation, Orchestrator
from orchestrator.pipeline.nesting import runnable_expert
from orchestrator.pipeline.streaming import AnswerText

__all__ = ["AnswerText", "Conversation", "Explanation", "Orchestrator", "Pending", "runnable_expert"]
