"""Three specialists as tools of an editor and a money limit, with the OpenAI Agents SDK, which has no stand-ins."""
# The Agents SDK is installed in an environment of its own, which no checker sees:
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUntypedBaseClass=false, reportAttributeAccessIssue=false

from __future__ import annotations

from decimal import Decimal
from typing import Any

from agents import Agent, ModelSettings, RunHooks, Runner, set_default_openai_api, set_tracing_disabled

set_default_openai_api("chat_completions")
set_tracing_disabled(disabled=True)
PRICES = {"gpt-4.1": (2.0, 8.0), "gpt-4.1-mini": (0.4, 1.6)}
SETTINGS = ModelSettings(max_tokens=500)
SPECIALISTS = [
    Agent(name=name, model=model, model_settings=SETTINGS, instructions=f"You are the {name} specialist.")
    for name, model in (("law", "gpt-4.1-mini"), ("money", "gpt-4.1-mini"), ("press", "gpt-4.1"))
]


class Limit(RunHooks):
    """Stops before the next call once the limit is spent; the SDK knows no money."""

    def __init__(self, limit: Decimal) -> None:
        self.left = float(limit)

    async def on_llm_start(self, *_: Any) -> None:  # noqa: ANN401
        """Before a call."""
        if self.left <= 0:
            raise RuntimeError("the money is spent")

    async def on_llm_end(self, _: Any, agent: Any, response: Any) -> None:  # noqa: ANN401
        """After a call."""
        price_in, price_out = PRICES[agent.model]
        self.left -= (response.usage.input_tokens * price_in + response.usage.output_tokens * price_out) / 1e6


async def report(question: str, limit: Decimal) -> str:
    """The final output."""
    hooks = Limit(limit)
    editor = Agent(
        name="editor",
        model="gpt-4.1-mini",
        model_settings=SETTINGS,
        instructions="You are the editor. Ask all specialists, then join the findings into one report.",
        tools=[
            each.as_tool(tool_name=each.name, tool_description=f"knows {each.name}", hooks=hooks)
            for each in SPECIALISTS
        ],
    )
    return (await Runner.run(editor, question, hooks=hooks)).final_output
