"""A server of models and of one act that counts what it is asked, and kills whoever asks when it is told to."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.wire.vendors import chat

__all__ = ["KillingServer"]

SAID = {"router": "left right", "left": "Rome", "right": "Romulus", "merger": "Rome"}
USED = {"prompt_tokens": 20, "completion_tokens": 5}


class KillingServer:
    """What each model says is fixed; an act is done once for each key."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        """Requests that came, by model, and `act`."""
        self.answered: Counter[str] = Counter()
        """Those that were answered whole."""
        self.keys: list[str] = []
        """Idempotency keys as they came; a key that came before is not acted upon again."""
        self.victim = 0
        """The process that asks."""
        self.deadly: str | None = None
        """Whose next request is the death of the process that sends it, once it has been seen, or acted upon."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"house": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def acts(self) -> int:
        """How often it acted."""
        return len(set(self.keys))

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def seen(self, who: str, key: str | None) -> bool:
        """Take note of a request; whether whoever sent it is dead now."""
        self.asked[who] += 1
        if key is not None:
            self.keys.append(key)
        if self.deadly != who:
            return False
        self.deadly = None
        os.kill(self.victim, signal.SIGKILL)
        time.sleep(0.05)
        return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    house: KillingServer

    def do_POST(self) -> None:
        """Answer, unless that comes too late."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        who = "act" if self.path == "/act" else str(json.loads(body)["model"])
        if self.house.seen(who, self.headers.get("Idempotency-Key")):
            self.close_connection = True
            return
        said = "done" if who == "act" else json.dumps(chat(SAID[who], usage=USED))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain" if who == "act" else "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())
        self.house.answered[who] += 1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Say nothing."""
