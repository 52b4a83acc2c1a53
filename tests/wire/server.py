"""A real HTTP server on loopback that plays scripts, one for each request, and records what it was asked.

    with WireServer() as server:
        server.script(whole({"error": "slow down"}, status=429, headers={"Retry-After": "1"}), whole(chat("Paris.")))
        server.script(stream(*chat_chunks("Rome."), DONE), model="expert-b")  # for requests to this model only
        model = Model(name="expert-a", provider="openai", base_url=server.openai_url)
        ...
        assert [seen.model for seen in server.requests] == ["expert-a", "expert-a", "expert-b"]

It lives in a thread with an event loop of its own, so that code under test may run and end loops as it likes. Leaving
the block fails if a request came that nothing was scripted for, or a script was left over. What the vendors' servers
say is in `tests.wire.vendors`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Self, cast

__all__ = ["End", "Pause", "Script", "Seen", "WireServer", "head", "refused_url", "stream", "whole"]

JSON = "application/json"
EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence before the next step."""

    seconds: float


class End(Enum):
    """How a script may leave the connection, other than fit for the next request."""

    CLOSE = auto()
    """Close it in good order, whatever was promised."""
    RESET = auto()
    """Tear it down, so that the client sees a reset."""
    HANG = auto()
    """Say nothing more until the client goes away."""


Step = bytes | Pause | End


@dataclass(frozen=True, slots=True)
class Script:
    """What to do about one request."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: Mapping[str, object]
    connection: int
    """The number of its connection, the first is 1."""

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.body.get("model", ""))

    @property
    def key(self) -> str:
        """The key that was sent, of either vendor's header."""
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")


def whole(
    body: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    kind: str = JSON,
    then: End | None = None,
) -> Script:
    """A whole answer: a string as it is, anything else as JSON."""
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    sent = head(status, {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}) + content
    return Script((sent,) if then is None else (sent, then))


def stream(*parts: str | Pause | End, status: int = 200, kind: str = EVENTS) -> Script:
    """An answer in parts, each sent on its own; ended in good order unless an `End` stands among them."""
    steps: list[Step] = [head(status, {"Content-Type": kind, "Transfer-Encoding": "chunked"})]
    steps.extend(_chunk(part) if isinstance(part, str) else part for part in parts)
    if not any(isinstance(part, End) for part in parts):
        steps.append(b"0\r\n\r\n")
    return Script(tuple(steps))


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Status line and headers."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def refused_url() -> str:
    """An address on loopback where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


class WireServer:
    """Plays scripts in the order in which requests come; see the module."""

    def __init__(self, *, cut_short: bool = False) -> None:
        self._cut_short = cut_short
        """Whoever asks may be stopped before all that is scripted was asked for."""
        self.requests: list[Seen] = []
        self.asked = threading.Event()
        """Set once the first request has come."""
        self.unexpected: list[Seen] = []
        """Requests that nothing was scripted for; they got a 500."""
        self._scripts: dict[str | None, deque[Script]] = {None: deque()}
        self._connections = 0
        self._open: list[tuple[asyncio.StreamWriter, asyncio.Task[None]]] = []
        """Every connection, with the task that serves it."""
        self._port = 0
        self._ready = threading.Event()
        self._over: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens; the base URL for Anthropic's SDK."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI's SDK."""
        return f"{self.url}/v1"

    def script(self, *scripts: Script, model: str | None = None) -> None:
        """Append scripts for requests to come; with `model`, for those to this model, which no others then serve."""
        self._scripts.setdefault(model, deque()).extend(scripts)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(5):
            raise RuntimeError("the wire server does not start")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(5)
        if kind is None:
            left = {model: len(scripts) for model, scripts in self._scripts.items() if scripts}
            assert self.unexpected == [], f"nothing was scripted for {self.unexpected}"
            assert self._cut_short or left == {}, f"scripts were left over: {left}"

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._let_in, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        for listening in server.sockets:
            self._loop.remove_reader(listening.fileno())
        for _ in range(5):  # a server that is closed leaves open what it is just letting in
            await asyncio.sleep(0)
        server.close()
        for writer, serving in self._open:
            serving.cancel()
            writer.transport.abort()  # what was written may never be read
        await asyncio.gather(*(serving for _, serving in self._open), return_exceptions=True)
        await asyncio.sleep(0)

    def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection, known from its first moment: a task that is cancelled before it begins closes nothing."""
        self._open.append((writer, asyncio.ensure_future(self._connection(reader, writer))))

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number = self._connections
        try:
            while (seen := await _request(reader, number)) is not None:
                self.requests.append(seen)
                self.asked.set()
                if not await self._play(self._next(seen), reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the server is over
        finally:
            writer.close()

    def _next(self, seen: Seen) -> Script:
        scripts = self._scripts.get(seen.model, self._scripts[None])
        if scripts:
            return scripts.popleft()
        self.unexpected.append(seen)
        return whole({"error": {"message": "nothing is scripted for this request"}}, status=500)

    async def _play(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection is fit for another request."""
        for step in script.steps:
            match step:
                case bytes():
                    writer.write(step)
                    await writer.drain()
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case End.HANG:
                    await reader.read()
                    return False
                case End.RESET:
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                    return False
                case End.CLOSE:
                    return False
        return True


async def _request(reader: asyncio.StreamReader, connection: int) -> Seen | None:
    """The next request of a connection; None where it ends."""
    first = (await reader.readline()).decode("latin-1")
    if not first.strip():
        return None
    method, path, _ = first.split(" ", 2)
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body: object = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))) or b"{}")
    return Seen(method, path, headers, cast("dict[str, object]", body), connection)


def _chunk(part: str) -> bytes:
    content = part.encode()
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"
