"""Three specialists as tools of an editor, a stand-in for one and a money limit, with pydantic-ai."""
# pydantic-ai is installed in an environment of its own, which no checker sees:
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUntypedFunctionDecorator=false, reportUnknownParameterType=false

from __future__ import annotations

from decimal import Decimal

from pydantic_ai import Agent, ModelSettings, RunContext, UsageLimits
from pydantic_ai.models.fallback import FallbackModel

MINI, SETTINGS = "openai-chat:gpt-4.1-mini", ModelSettings(max_tokens=500)
PRESS = FallbackModel("openai-chat:gpt-4.1", "openai-chat:gpt-4.1-nano")
law_agent = Agent(MINI, instructions="You are the law specialist.", model_settings=SETTINGS)
money_agent = Agent(MINI, instructions="You are the money specialist.", model_settings=SETTINGS)
press_agent = Agent(PRESS, instructions="You are the press specialist.", model_settings=SETTINGS)
editor = Agent(
    MINI,
    instructions="You are the editor. Ask all specialists, then join the findings into one report.",
    model_settings=SETTINGS,
    deps_type=UsageLimits,
)


@editor.tool
async def law(ctx: RunContext[UsageLimits], input: str) -> str:  # noqa: A002
    """Knows the law."""
    return (await law_agent.run(input, usage=ctx.usage, usage_limits=ctx.deps)).output


@editor.tool
async def money(ctx: RunContext[UsageLimits], input: str) -> str:  # noqa: A002
    """Knows the money."""
    return (await money_agent.run(input, usage=ctx.usage, usage_limits=ctx.deps)).output


@editor.tool
async def press(ctx: RunContext[UsageLimits], input: str) -> str:  # noqa: A002
    """Knows the press."""
    return (await press_agent.run(input, usage=ctx.usage, usage_limits=ctx.deps)).output


async def report(question: str, limit: Decimal) -> str:
    """The output."""
    limits = UsageLimits(cost_limit=limit)
    return (await editor.run(question, usage_limits=limits, deps=limits)).output
