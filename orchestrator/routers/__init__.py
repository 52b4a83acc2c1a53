"""Who decides what happens next."""

from orchestrator.routers.base import Router, RouterFunction, Routing, Settling, View, as_router, routing_of
from orchestrator.routers.cascade import CascadeRouter, cascade_named
from orchestrator.routers.llm import LLMRouter
from orchestrator.routers.plan import PlanRouter
from orchestrator.routers.stepped import SteppedRouter, innermost
from orchestrator.routers.width import BallotRouter, WidthRouter

__all__ = [
    "BallotRouter",
    "CascadeRouter",
    "LLMRouter",
    "PlanRouter",
    "Router",
    "RouterFunction",
    "Routing",
    "Settling",
    "SteppedRouter",
    "View",
    "WidthRouter",
    "as_router",
    "cascade_named",
    "innermost",
    "routing_of",
]
