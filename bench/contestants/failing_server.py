"""The two models of the failover: the second answers, and the first fails in one of three ways.

Prints the port of each; a GET at any of them tells how many questions came to which, by the first part of their path.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter

from server import Answering, listen, reply_to, response

BROKEN: dict[str, object] = {"error": {"message": "the model fell over", "type": "server_error", "code": None}}


def counted(place: str, counts: Counter[str]) -> Answering:
    """What the server at a place does: answer, fail with status 500, or leave the caller waiting."""

    def answer(head: bytes, body: bytes) -> bytes | None:
        if not body:
            return response(dict(counts))
        whose = head.split(b" ", maxsplit=2)[1].split(b"/")[1].decode()
        counts[f"{place} {whose}"] += 1
        if place == "hang":
            return None
        return response(BROKEN, "500 Internal Server Error") if place == "500" else reply_to(body)

    return answer


async def serve() -> None:
    """Serve until the process is ended."""
    counts = Counter[str]()
    ports = {place: await listen(counted(place, counts)) for place in ("second", "500", "hang")}
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # bound so that nobody else gets it, and never listened at: it refuses
        print(json.dumps({**ports, "refused": silent.getsockname()[1]}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
