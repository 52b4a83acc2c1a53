"""Starts, kills, freezes and restarts a model's server, and reads its book; see `tests.wire.model_server`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.conftest import ROOT
from tests.wire.model_server import Deed

__all__ = ["ModelProcess", "Request"]

PATIENCE = 10.0
"""Seconds in which something is to be done by it that was asked of it."""
IN_FLIGHT = 3.0
"""Seconds that a kill waits for a request that it can cut."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the server's book has it."""

    number: int
    model: str
    question: str
    body: Mapping[str, object]
    did: Mapping[str, Deed]
    """What was done about it, by word."""

    @property
    def used(self) -> tuple[int, int] | None:
        """Tokens in and out that the server counted and set out to tell."""
        told = self.did.get("told")
        return None if told is None else (told["used"][0], told["used"][1])


@dataclass
class ModelProcess:
    """One server, over all its lives; they share port and book."""

    protocol: str
    folder: Path
    port: int = 0
    away: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """When it was killed, and when it listened again, in seconds of the epoch."""
    _process: subprocess.Popen[str] | None = None

    @property
    def base_url(self) -> str:
        """What the vendor's SDK is told."""
        return f"http://127.0.0.1:{self.port}" + ("/v1" if self.protocol == "openai" else "")

    def __enter__(self) -> Self:
        self.folder.mkdir()
        self.mood("well")
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def mood(self, mood: str) -> None:
        """How it behaves from its next request on."""
        fresh = self.folder / "mood.new"
        fresh.write_text(mood, encoding="utf-8")
        fresh.replace(self.folder / "mood")

    def well_after(self, *deeds: str) -> None:
        """Well again once each of these was done, on a busy machine later than it was meant to be."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not {*deeds} <= {did for each in self.requests() for did in each.did}:
            time.sleep(0.05)
        self.mood("well")

    def kill(self) -> None:
        """End it with SIGKILL, if it can be had while it works on an answer."""
        self.mood("slow")
        seen, patience = len(self.requests()), time.monotonic() + IN_FLIGHT
        while not self._working(seen) and time.monotonic() < patience:
            time.sleep(0.01)
        self._end()
        self.away.append((time.time(), float("inf")))

    def restart(self) -> None:
        """Start it anew on its port, in a good mood."""
        self.mood("well")
        self._start()
        self.away[-1] = (self.away[-1][0], time.time())

    def freeze(self) -> None:
        """Freeze it: the kernel goes on taking connections for it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Thaw it."""
        self._signal(signal.SIGCONT)

    def wait_for_rest(self) -> None:
        """Come back when its book has not grown for a while."""
        size = -1
        while size != (size := (self.folder / "book").stat().st_size):
            time.sleep(0.3)

    def requests(self) -> list[Request]:
        """All that it saw, in order."""
        deeds: dict[int, dict[str, Deed]] = {}
        for line in (self.folder / "book").read_text(encoding="utf-8").splitlines():
            deed: Deed = json.loads(line)
            deeds.setdefault(deed["number"], {})[deed["did"]] = deed
        return [_request(number, did) for number, did in sorted(deeds.items())]

    def _working(self, seen: int) -> bool:
        """Whether there is a request after the first `seen` that nothing has been done about yet."""
        return any(len(request.did) == 1 for request in self.requests()[seen:])

    def _start(self) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        told = (self.protocol, str(self.port), str(self.folder))
        command = [sys.executable, "-m", "tests.wire.model_server", *told]
        self._process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, encoding="utf-8")
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def _request(number: int, did: Mapping[str, Deed]) -> Request:
    seen = did["seen"]
    return Request(number, seen["model"], seen["question"], seen["body"], did)
