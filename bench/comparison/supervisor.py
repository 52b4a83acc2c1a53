"""Three specialists, a stand-in for one, a supervisor and a money limit, with langgraph-supervisor."""
# langgraph-supervisor is installed in an environment of its own, which no checker sees:
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUntypedBaseClass=false, reportDeprecated=false

from __future__ import annotations

from decimal import Decimal
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_openai import ChatOpenAI
from langgraph_supervisor import create_supervisor

PRICES = {"gpt-4.1": (2.0, 8.0), "gpt-4.1-mini": (0.4, 1.6), "gpt-4.1-nano": (0.1, 0.4)}
STRONG, MINI, NANO = (ChatOpenAI(model=name, max_tokens=500) for name in PRICES)
SPECIALISTS = [
    create_agent(MINI, name="law", system_prompt="You are the law specialist."),
    create_agent(MINI, name="money", system_prompt="You are the money specialist."),
    create_agent(
        STRONG,
        name="press",
        system_prompt="You are the press specialist.",
        middleware=[ModelFallbackMiddleware(NANO)],
    ),
]


class Limit(BaseCallbackHandler):
    """Stops before the next call once the limit is spent; LangGraph knows no money."""

    raise_error = True

    def __init__(self, limit: Decimal) -> None:
        self.left = float(limit)

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Before a call."""
        if self.left <= 0:
            raise RuntimeError("the money is spent")

    def on_llm_end(self, response: Any, **_: Any) -> None:  # noqa: ANN401
        """After a call."""
        message = response.generations[0][0].message
        price_in, price_out = PRICES[message.response_metadata["model_name"]]
        usage = message.usage_metadata
        self.left -= (usage["input_tokens"] * price_in + usage["output_tokens"] * price_out) / 1e6


async def report(question: str, limit: Decimal) -> str:
    """The last message."""
    prompt = "You are the editor. Ask all specialists, then join the findings into one report."
    graph = create_supervisor(SPECIALISTS, model=MINI, prompt=prompt).compile()
    asked = {"messages": [{"role": "user", "content": question}]}
    ended = await graph.ainvoke(asked, {"callbacks": [Limit(limit)]})
    return ended["messages"][-1].content
