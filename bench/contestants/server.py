"""The model of all contestants: HTTP/1.1 on loopback, no delay, a call of the first tool or else a fixed text.

Prints its port; a GET tells how many questions it has answered.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import cache
from typing import Any

ANSWER = "At about 71 °C."
"""What the model says when it just answers."""
Answering = Callable[[bytes, bytes], bytes | None]
"""Head, in lower case, and body of a request to what is written back; None leaves the caller waiting."""
USAGE = {"prompt_tokens": 420, "completion_tokens": 24, "total_tokens": 444}


class ChatServer(asyncio.Protocol):
    """One connection."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
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
            if (written := self._answer(head, body)) is not None:
                self._transport.write(written)


class Answers:
    """The model, which counts what it is asked."""

    def __init__(self) -> None:
        self._given = 0

    def __call__(self, head: bytes, body: bytes) -> bytes:
        """The answer to a question, or to a GET how many there were."""
        del head
        if not body:
            return response({"answered": self._given})
        self._given += 1
        return reply_to(body)


def reply_to(body: bytes) -> bytes:
    """A call of the first tool, unless a tool has just replied; a text where no tool is offered."""
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
    return chat_response({"role": "assistant", "content": ANSWER}, "stop")


def chat_response(message: dict[str, object], reason: str) -> bytes:
    """A message in OpenAI's chat protocol."""
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    kind = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": "loopback"}
    return response({**kind, "choices": [choice], "usage": USAGE})


def response(body: dict[str, object], status: str = "200 OK") -> bytes:
    """A whole response of HTTP."""
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def listen(answer: Answering) -> int:
    """Listen on a free port for as long as the loop runs; the port."""
    server = await asyncio.get_running_loop().create_server(lambda: ChatServer(answer), "127.0.0.1", 0, backlog=1024)
    port: int = server.sockets[0].getsockname()[1]
    return port


async def serve() -> None:
    """Answer until the process is ended."""
    print(await listen(Answers()), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
