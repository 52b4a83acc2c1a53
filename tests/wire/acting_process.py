"""Starts a server that acts, tells it what to do, and reads what it saw; see `tests.wire.acting_server`."""

from __future__ import annotations

import asyncio
import http.client
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator import Agent, IdempotencyKey, ProviderError, ToolError
from tests.conftest import ROOT

__all__ = ["ActingProcess"]

SOCKET_SECONDS = 2.0
"""Patience of the tools' own client, longer than that of any agent here."""


@dataclass
class ActingProcess:
    """One server."""

    folder: Path
    worlds: Path
    world: str = "world"
    """Where the agents that are made next act."""
    port: int = 0
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        self.folder.mkdir()
        command = [sys.executable, "-m", "tests.wire.acting_server", str(self.folder), str(self.worlds)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def plan(self, *endings: str, dedupes: bool = False) -> None:
        """How requests end from now on, counted for each world."""
        (self.folder / "plan").write_text("\n".join(["dedupes" if dedupes else "doubles", *endings]))

    @property
    def seen(self) -> list[str]:
        """The keys of the requests that came for this world."""
        seen = self.folder / self.world
        return seen.read_text().split() if seen.exists() else []

    def agent(
        self,
        name: str,
        *,
        produces: str = "answer",
        consumes: tuple[str, ...] = ("question",),
        skill: float = 0.5,
        retries: int | None = None,
        idempotent: bool = False,
        timeout: float = 0.4,
        awaits: bool = False,
        careful: bool = False,
    ) -> Agent:
        """An expert whose effect is what this server does.

        It blocks in a thread, or `awaits`; what the connection raises it passes on, or is `careful` to say what it was.
        """
        world = self.world

        def post(*, key: IdempotencyKey, **inputs: object) -> str:
            try:
                return self.post(world, key, " ".join(map(str, inputs.values())))
            except OSError as error:
                if not careful:
                    raise
                raise ProviderError(f"lost the connection: {error}", kind="connection") from error

        async def post_and_await(*, key: IdempotencyKey, **inputs: object) -> str:
            return await self.post_and_await(world, key, " ".join(map(str, inputs.values())))

        tool = post_and_await if awaits else post
        return Agent(
            name=name, role="acts", tool=tool, consumes=consumes, produces=produces, skill=skill, retries=retries,
            timeout=timeout, effects=True, idempotent=idempotent,
        )  # fmt: skip

    def post(self, world: str, key: str, body: str) -> str:
        """The server's word that it is done; raises what the standard library raises, and `ToolError` on a refusal."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=SOCKET_SECONDS)) as connection:
            connection.request("POST", f"/{world}", body.encode(), {"Idempotency-Key": key})
            answer = connection.getresponse()
            said = answer.read().decode()
        if answer.status != http.HTTPStatus.OK:
            raise ToolError(f"HTTP {answer.status}: {said}")
        return said

    async def post_and_await(self, world: str, key: str, body: str) -> str:
        """The same over asyncio's streams."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            content = body.encode()
            head = f"POST /{world} HTTP/1.1\r\nIdempotency-Key: {key}\r\nContent-Length: {len(content)}\r\n\r\n"
            writer.write(head.encode() + content)
            status, _, said = (await reader.read()).decode().partition("\r\n")
        finally:
            writer.close()
        if " 200 " not in status:
            raise ToolError(said) if status else ConnectionResetError("no answer")
        return said.rpartition("\r\n")[2]
