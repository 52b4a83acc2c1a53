"""A server that acts, and may die before it says so: `python -m tests.wire.acting_server FOLDER WORLDS`.

It prints its port. Each request has a process of its own, which can die without taking the server along. A request
names a world and carries an `Idempotency-Key`; to act is to append the key to the file of that name in `WORLDS`, which
several servers may share. How requests end stands in `FOLDER/plan`: first whether the server acts only once for each
key (`dedupes`, `doubles`), then a word of `ENDINGS` for each request of a world in order, the last for all after it.
What it saw for a world, key for key, is in the file of that name in `FOLDER`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import sys
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ForkingMixIn, TCPServer

__all__ = ["ENDINGS"]

ENDINGS = ("answers", "dies", "resets", "closes", "hangs", "refuses", "dies first")
"""What comes after the act: an answer, or the process is killed, or its connection reset, closed or left silent.

Or there is no act: the server refuses with 409, or is killed before it acts.
"""


class Forking(ForkingMixIn, TCPServer):
    """A process for each connection."""

    allow_reuse_address = True


class Acting(BaseHTTPRequestHandler):
    """One request."""

    folder = Path()
    worlds = Path()

    def do_POST(self) -> None:
        """Act as planned."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        key = self.headers["Idempotency-Key"]
        world = self.worlds / self.path.strip("/")
        with locked(world):
            mode, ending = self._planned(key)
            if ending == "dies first":
                os.kill(os.getpid(), signal.SIGKILL)
            if ending != "refuses" and (mode == "doubles" or key not in world.read_text().split()):
                append(world, key)
        self._end(ending, key)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Say nothing."""

    def _planned(self, key: str) -> tuple[str, str]:
        """Whether keys count, and how this request ends."""
        seen = self.folder / self.path.strip("/")
        append(seen, key)
        number = len(seen.read_text().split()) - 1
        mode, *endings = (self.folder / "plan").read_text().splitlines()
        return mode, endings[min(number, len(endings) - 1)]

    def _end(self, ending: str, key: str) -> None:
        match ending:
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            case "resets":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                os.kill(os.getpid(), signal.SIGKILL)
            case "hangs":
                self.connection.recv(1)  # until the client goes away
            case "answers" | "refuses":
                body = f"done {key}".encode()
                self.send_response(200 if ending == "answers" else 409)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            case _:  # closes
                pass


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Nobody else acts meanwhile; the lock ends with the process."""
    with path.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def append(path: Path, line: str) -> None:
    """Add a line, at once."""
    with path.open("a") as file:
        file.write(f"{line}\n")


if __name__ == "__main__":
    Acting.folder, Acting.worlds = Path(sys.argv[1]), Path(sys.argv[2])
    with Forking(("127.0.0.1", 0), Acting) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever(0.05)
