"""The model of all contestants: HTTP/1.1 on loopback, no delay, a call of the first tool or else a fixed text.

Prints its port; a GET tells how many questions it has answered.
"""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any

USAGE = {"prompt_tokens": 420, "completion_tokens": 24, "total_tokens": 444}


class ChatServer(asyncio.Protocol):
    """One connection."""

    answered = 0
    """Questions of all connections."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._received += data
        while self._transport and (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, start = self._received[:end].lower(), end + 4
            length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
            stop = start + int(length or 0)
            if len(self._received) < stop:
                return
            body, self._received = self._received[start:stop], self._received[stop:]
            self._transport.write(reply_to(body) if body else response({"answered": ChatServer.answered}))


def reply_to(body: bytes) -> bytes:
    """A call of the first tool, unless a tool has just replied; a text where no tool is offered."""
    ChatServer.answered += 1
    asked: dict[str, Any] = json.loads(body)
    tools, last = asked.get("tools"), asked["messages"][-1]
    return calling(tools[0]["function"]["name"]) if tools and last["role"] != "tool" else saying()


@cache
def calling(tool: str) -> bytes:
    """The answer of a model that calls a tool."""
    function = {"name": tool, "arguments": '{"query": "What is the boiling point of water on Everest?"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    return chat_response({"role": "assistant", "content": "The expert knows.", "tool_calls": [call]}, "tool_calls")


@cache
def saying() -> bytes:
    """The answer of a model that just answers."""
    return chat_response({"role": "assistant", "content": "At about 71 °C."}, "stop")


def chat_response(message: dict[str, object], reason: str) -> bytes:
    """A message in OpenAI's chat protocol."""
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    kind = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": "loopback"}
    return response({**kind, "choices": [choice], "usage": USAGE})


def response(body: dict[str, object]) -> bytes:
    """A whole response of HTTP."""
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def serve() -> None:
    """Listen until the process is ended."""
    server = await asyncio.get_running_loop().create_server(ChatServer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
