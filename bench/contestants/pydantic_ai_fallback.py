"""The failover by pydantic-ai's `FallbackModel`, behind an agent."""
# pydantic-ai is installed in an environment of its own, which no checker sees:
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from pydantic_ai import Agent, ModelSettings
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from rescue import Fresh, Rescued, Task, compete


def pydantic_ai_fallback(task: Task) -> Fresh:
    """An agent over two models; it remembers nothing from run to run."""
    models = [
        OpenAIChatModel(name, provider=OpenAIProvider(base_url=url, api_key="no-key"))
        for name, url in (("first", task.first), ("second", task.second))
    ]
    settings = ModelSettings(timeout=task.timeout)
    if task.tuned:
        settings["max_retries"] = 0
    agent = Agent(FallbackModel(*models), instructions=task.system, model_settings=settings)

    async def ask() -> Rescued:
        result = await agent.run(task.question)
        return Rescued(result.output, lambda: len(result.response.failed_attempts or []))

    return lambda: ask


if __name__ == "__main__":
    compete(pydantic_ai_fallback)
