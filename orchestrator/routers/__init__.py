"""Who decides what happens next."""

from orchestrator.routers.base import Router, RouterFunction, Routing, View, as_router
from orchestrator.routers.llm import LLMRouter
from orchestrator.routers.plan import PlanRouter

__all__ = ["LLMRouter", "PlanRouter", "Router", "RouterFunction", "Routing", "View", "as_router"]
