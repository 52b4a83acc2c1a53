"""Clients of the vendors' SDKs: one per base URL, key and event loop, closed with the loop; and the keys they carry."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from orchestrator.errors import ProviderError
from orchestrator.pool import Model
from orchestrator.providers.faults import transport_errors

if TYPE_CHECKING:
    import ssl

    from httpx2 import Response

__all__ = ["CONNECT_SECONDS", "NO_KEY", "Clients", "Closable", "ambient_headers", "key_for", "posted", "trust"]

CONNECT_SECONDS = 10.0
"""Patience for a connection; all other time limits are the gate's and the stall rule's."""

NO_KEY = "no-key"
"""What is sent as key to a server for which none is named: SDKs insist on one."""


class Closable(Protocol):
    """An SDK's client, as far as this module cares."""

    async def close(self) -> None:
        """Close its connections."""


C = TypeVar("C", bound=Closable)


@dataclass(slots=True)
class _Kept(Generic[C]):
    clients: dict[tuple[str | None, str], C] = field(default_factory=dict[tuple[str | None, str], C])
    keeper: AsyncGenerator[None] | None = None


_importing = threading.Lock()
"""The SDKs share modules, so only one of them is imported at a time."""


class Clients(Generic[C]):
    """The clients of one vendor, of all event loops; `sdk` imports what they are made of."""

    def __init__(self, sdk: Callable[[], object]) -> None:
        self._sdk = sdk
        self._imported = False
        self._loops: dict[asyncio.AbstractEventLoop, _Kept[C]] = {}

    async def prepare(self) -> None:
        """Import the SDK once, in a thread: it takes about a second, in which the event loop has others to serve."""
        if not self._imported:
            await asyncio.to_thread(self._import)

    def _import(self) -> None:
        with _importing:
            if not self._imported:
                self._sdk()
                transport_errors()
                trust()
                self._imported = True

    async def get(self, base_url: str | None, key: str, make: Callable[[], C]) -> C:
        """The running loop's client for a server and a key; `make` builds it where there is none yet."""
        loop = asyncio.get_running_loop()
        kept = self._loops.get(loop)
        if kept is None:
            kept = await self._kept_for(loop)
        if (base_url, key) not in kept.clients:
            kept.clients[base_url, key] = make()
        return kept.clients[base_url, key]

    async def _kept_for(self, loop: asyncio.AbstractEventLoop) -> _Kept[C]:
        for closed in [each for each in self._loops if each.is_closed()]:
            del self._loops[closed]
        kept = self._loops[loop] = _Kept[C]()
        kept.keeper = self._keeper(loop, kept)
        await anext(kept.keeper)
        return kept

    async def _keeper(self, loop: asyncio.AbstractEventLoop, kept: _Kept[C]) -> AsyncGenerator[None]:
        """Closes the clients when the loop, before it ends, closes the async generators that it has seen."""
        try:
            yield
        finally:
            self._loops.pop(loop, None)
            for client in kept.clients.values():
                await client.close()


def key_for(model: Model, vendor_env: str) -> str:
    """The key to send: of the model's own variable, or the vendor's, which no other base URL ever gets to see.

    Raises `ProviderError` where there is none, or where the base URL is to carry a password, which no SDK would send.
    """
    if model.base_url and "@" in model.base_url.partition("//")[2].partition("/")[0]:
        problem = f"the base URL of {model.name} holds a user; put its key into a variable, and name that in `key_env`"
        raise ProviderError(problem, kind="invalid_request", sent=False)
    variable = model.key_env or (None if model.base_url else vendor_env)
    if variable is None:
        return NO_KEY
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ProviderError(f"no key for {model.name}: set {variable}", kind="auth", sent=False)
    if not (key.isascii() and key.isprintable()):
        raise ProviderError(f"the key in {variable} has characters that no key has", kind="auth", sent=False)
    return key


def ambient_headers(variable: str) -> list[str]:
    """Names of the headers that an SDK would add to every request because a variable lists them, one a line."""
    lines = os.environ.get(variable, "").split("\n")
    return [line.split(":", maxsplit=1)[0].strip() for line in lines if ":" in line]


async def posted(
    post: Callable[..., Awaitable[object]],
    path: str,
    body: Mapping[str, object],
    headers: Mapping[str, str],
    stream: type[object],
) -> Response:
    """The response to a request that an SDK's client posts, its body yet to be read; `stream` is the SDK's own kind.

    The SDKs' typed methods check each part of a request and build models of an answer, which takes most of a call's
    time, and let no odd answer through as it came.
    """
    import httpx2

    options = {"headers": headers}
    response = await post(path, body=body, options=options, cast_to=httpx2.Response, stream=True, stream_cls=stream)
    return cast("Response", response)


@cache
def trust() -> ssl.SSLContext:
    """The certificates to trust, read once: that takes longer than all else about a new client."""
    import httpx2

    return httpx2.create_ssl_context()
