"""The models of `bench/comparison`: one loopback server that speaks OpenAI's chat protocol and keeps the bill.

Who is asked is read from the system prompt. A specialist gives its finding. Whoever has tools calls those that it has
not called yet, all at once, or one at a time where it is asked to; whoever has none left writes the report, and says
in it whose findings it was given. `gpt-4.1` always fails in the scenario `failure`. Prints its port; a POST at
`/scenario` begins a new one, a GET tells what was asked and what it costs at list price.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any

from server import listen, response

PRICES = {
    "gpt-4.1": (2, 8),
    "gpt-4.1-mini": (Decimal("0.4"), Decimal("1.6")),
    "gpt-4.1-nano": (Decimal("0.1"), Decimal("0.4")),
}
"""USD for a million tokens, in and out, as the vendor listed them and `genai-prices` knows them."""
FINDING, REPORT = 400, 300
"""Tokens of what a specialist and an editor say."""
BROKEN: dict[str, object] = {"error": {"message": "the model fell over", "type": "server_error", "code": None}}
ASKS = json.dumps({"input": "May we end the contract?"})
SPECIALIST = re.compile(r"the (law|money|press) specialist", re.IGNORECASE)


def text_of(message: dict[str, Any]) -> str:
    """The text of a message, whichever way it is written."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


class Desk:
    """Answers, counts, adds up."""

    def __init__(self) -> None:
        self.scenario = "well"
        self.asked: list[str] = []
        self.failed = 0
        self.bill = Decimal(0)

    def __call__(self, head: bytes, body: bytes) -> bytes:
        """The answer to a request."""
        path = head.split(b" ", maxsplit=2)[1]
        if path == b"/scenario":
            self.__init__()
            self.scenario = json.loads(body)
            return response({})
        if not body:
            return response({"asked": dict(Counter(self.asked)), "failed": self.failed, "usd": str(self.bill)})
        return self._answer(json.loads(body))

    def _answer(self, asked: dict[str, Any]) -> bytes:
        model = asked["model"]
        if self.scenario == "failure" and model == "gpt-4.1":
            self.failed += 1
            return response(BROKEN, "500 Internal Server Error")
        messages: list[dict[str, Any]] = asked["messages"]
        system = " ".join(text_of(each) for each in messages if each["role"] in {"system", "developer"})
        found = SPECIALIST.search(system)
        self.asked.append(found[1] if found else "editor")
        left = self._left(asked)
        message, tokens = self._finding(found[1]) if found else self._calling(left) if left else self._report(messages)
        return self._reply(asked, message, tokens)

    def _left(self, asked: dict[str, Any]) -> list[str]:
        """The tools that are to be called now."""
        called = {c["function"]["name"] for each in asked["messages"] for c in each.get("tool_calls") or ()}
        offered = [each["function"]["name"] for each in asked.get("tools") or ()]
        left = sorted(name for name in offered if name not in called)  # in whichever order they were offered
        return left[:1] if asked.get("parallel_tool_calls") is False else left

    def _finding(self, who: str) -> tuple[dict[str, Any], int]:
        said = f"{who.upper()} FINDING: nothing speaks against it. " + "Details follow. " * 90
        return {"role": "assistant", "content": said[: FINDING * 4]}, FINDING

    def _calling(self, tools: list[str]) -> tuple[dict[str, Any], int]:
        functions = [{"name": name, "arguments": "{}" if name.startswith("transfer_to") else ASKS} for name in tools]
        calls = [
            {"id": f"call_{len(self.asked)}_{number}", "type": "function", "function": function}
            for number, function in enumerate(functions)
        ]
        return {"role": "assistant", "content": None, "tool_calls": calls}, 20 * len(calls)

    def _report(self, messages: list[dict[str, Any]]) -> tuple[dict[str, Any], int]:
        given = " ".join(text_of(each) for each in messages)
        had = [who for who in ("law", "money", "press") if f"{who.upper()} FINDING" in given]
        return {"role": "assistant", "content": f"Report on {', '.join(had) or 'nothing'}."}, REPORT

    def _reply(self, asked: dict[str, Any], message: dict[str, Any], tokens: int) -> bytes:
        most = asked.get("max_completion_tokens") or asked.get("max_tokens") or tokens
        tokens_in = len(json.dumps([asked["messages"], asked.get("tools", [])])) // 4
        out = min(tokens, most)
        price_in, price_out = PRICES[asked["model"]]
        self.bill += (tokens_in * Decimal(price_in) + out * Decimal(price_out)) / 1_000_000
        reason = "length" if out < tokens else "tool_calls" if message.get("tool_calls") else "stop"
        if reason == "length" and message["content"]:
            message["content"] = message["content"][: out * 4]
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        usage = {"prompt_tokens": tokens_in, "completion_tokens": out, "total_tokens": tokens_in + out}
        kind = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": asked["model"]}
        return response({**kind, "choices": [choice], "usage": usage})


async def serve() -> None:
    """Answer until the process is ended."""
    print(await listen(Desk()), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
