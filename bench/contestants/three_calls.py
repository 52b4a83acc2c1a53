"""A run by hand: the router names a query, the expert answers it, the router concludes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from openai import AsyncOpenAI

if TYPE_CHECKING:
    from openai.types.chat import (
        ChatCompletionMessageFunctionToolCallParam,
        ChatCompletionMessageParam,
        ChatCompletionToolParam,
    )
    from pace import Task

__all__ = ["ThreeCalls"]

QUERY = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "expert", "description": "knows physics", "parameters": dict(QUERY)},
}


class ThreeCalls:
    """The three calls, over one client as `AsyncOpenAI` makes it by itself."""

    def __init__(self, task: Task) -> None:
        self._client = AsyncOpenAI(base_url=task.base_url, api_key="no-key", max_retries=0)
        self.asked: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": task.system},
            {"role": "user", "content": task.question},
        ]

    async def route(self) -> tuple[str, str]:
        """What the router wants to know, and the id of its call."""
        said = await self._client.chat.completions.create(
            model="router", messages=self.asked, tools=[TOOL], max_tokens=4096
        )
        call = (said.choices[0].message.tool_calls or [])[0]
        if call.type != "function":
            raise TypeError(f"a call of type {call.type}")
        return json.loads(call.function.arguments)["query"], call.id

    async def consult(self, query: str) -> str:
        """The expert's reply."""
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": "You know physics."},
            {"role": "user", "content": query},
        ]
        said = await self._client.chat.completions.create(model="expert", messages=messages, max_tokens=4096)
        return said.choices[0].message.content or ""

    async def conclude(self, query: str, call_id: str, reply: str) -> str:
        """The router's answer."""
        call: ChatCompletionMessageFunctionToolCallParam = {
            "id": call_id,
            "type": "function",
            "function": {"name": "expert", "arguments": json.dumps({"query": query})},
        }
        messages: list[ChatCompletionMessageParam] = [
            *self.asked,
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": reply},
        ]
        said = await self._client.chat.completions.create(
            model="router", messages=messages, tools=[TOOL], max_tokens=4096
        )
        return said.choices[0].message.content or ""
