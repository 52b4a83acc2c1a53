"""thinkroute: an LLM as router over a graph of experts, with cost-weighted detours round failures."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from orchestrator.version import __version__

if TYPE_CHECKING:
    from orchestrator.budget import Budget
    from orchestrator.errors import ConfigError, NoDecision, OrchestratorError, ProviderError, ToolError
    from orchestrator.messages import Analysis, Decision, Dissent, Goal, Message, Question, Reply, ToolCall, Usage
    from orchestrator.monitors import Signal, Watch
    from orchestrator.pipeline import AnswerText, Conversation, Explanation, Orchestrator, Pending, runnable_expert
    from orchestrator.pool import Agent, Model, Pool, Price, Risk, expert, load_folder, load_pool
    from orchestrator.protocol import Answer, Route, Think, Turn
    from orchestrator.providers import Completion, ScriptProvider, read_recorded
    from orchestrator.retrace import Replay, replayed
    from orchestrator.routers import LLMRouter, PlanRouter, View
    from orchestrator.tools import Claim, IdempotencyKey, Resources

__all__ = [
    "Agent",
    "Analysis",
    "Answer",
    "AnswerText",
    "Budget",
    "Claim",
    "Completion",
    "ConfigError",
    "Conversation",
    "Decision",
    "Dissent",
    "Explanation",
    "Goal",
    "IdempotencyKey",
    "LLMRouter",
    "Message",
    "Model",
    "NoDecision",
    "Orchestrator",
    "OrchestratorError",
    "Pending",
    "PlanRouter",
    "Pool",
    "Price",
    "ProviderError",
    "Question",
    "Replay",
    "Reply",
    "Resources",
    "Risk",
    "Route",
    "ScriptProvider",
    "Signal",
    "Think",
    "ToolCall",
    "ToolError",
    "Turn",
    "Usage",
    "View",
    "Watch",
    "__version__",
    "expert",
    "load_folder",
    "load_pool",
    "read_recorded",
    "replayed",
    "runnable_expert",
]

_HOMES = {
    "budget": ("Budget",),
    "errors": ("ConfigError", "NoDecision", "OrchestratorError", "ProviderError", "ToolError"),
    "messages": ("Analysis", "Decision", "Dissent", "Goal", "Message", "Question", "Reply", "ToolCall", "Usage"),
    "monitors": ("Signal", "Watch"),
    "pipeline": ("AnswerText", "Conversation", "Explanation", "Orchestrator", "Pending", "runnable_expert"),
    "pool": ("Agent", "Model", "Pool", "Price", "Risk", "expert", "load_folder", "load_pool"),
    "protocol": ("Answer", "Route", "Think", "Turn"),
    "providers": ("Completion", "ScriptProvider", "read_recorded"),
    "retrace": ("Replay", "replayed"),
    "routers": ("LLMRouter", "PlanRouter", "View"),
    "tools": ("Claim", "IdempotencyKey", "Resources"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that importing the package stays cheap."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All public names, also those that are not imported yet, so that completion finds them."""
    return sorted({*globals(), *__all__})
