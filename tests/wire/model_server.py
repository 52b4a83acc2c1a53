"""A model's server as a process that can be killed: `python -m tests.wire.model_server PROTOCOL PORT FOLDER`.

It prints its port. How it behaves stands in `FOLDER/mood`, one of `MOODS`, with the seconds of a `Retry-After` after
`limited`; it is read anew for each request. What it saw and did it appends to `FOLDER/book`, a JSON object a line,
written before the bytes are sent that it tells of: a kill loses nothing, and a usage that was told stands there.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from tests.wire.server import Script, stream, whole
from tests.wire.vendors import DONE, chat, chat_chunks, message, message_events

__all__ = ["LATE", "MOODS", "NUMBER", "Deed"]

MOODS = ("well", "slow", "hang", "limited", "cut")
NUMBER = re.compile(r"Question (\d{3}):")
"""How a question says which one it is."""
LATE = 1.5
"""Seconds after which every third answer of a slow server comes; the others take a tenth of it."""

Deed = dict[str, Any]
"""A line of the book: the number of the request it is about, `did` with what was done about it, and more."""


class ModelServer:
    """Answers one protocol as its mood has it."""

    def __init__(self, protocol: str, folder: Path) -> None:
        self._openai = protocol == "openai"
        self._mood = folder / "mood"
        self._book = os.open(folder / "book", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        written = (folder / "book").read_text(encoding="utf-8").splitlines()
        self._requests = sum(json.loads(line)["did"] == "seen" for line in written)

    async def serve(self, port: int) -> None:
        """Listen until the process ends."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", port)
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (body := await _body(reader)) is not None:
                if not await self._answered(body, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()

    async def _answered(self, body: Deed, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Deal with a request; whether the connection is fit for another."""
        self._requests += 1
        number = self._requests
        self._note(number, "seen", question=_question(body), model=body["model"], body=body)
        mood, _, seconds = self._mood.read_text(encoding="utf-8").partition(" ")
        match mood:
            case "hang":
                self._note(number, "hung")
                await reader.read()
                return False
            case "limited":
                self._note(number, "limited")
                refused = whole({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": seconds})
                await _play(refused, writer)
                return True
            case "cut":
                await self._cut(number, writer)
                return False
            case _:
                await asyncio.sleep(0.0 if mood == "well" else LATE if number % 3 == 0 else LATE / 10)
                await self._tell(number, body, writer)
                return True

    async def _tell(self, number: int, body: Deed, writer: asyncio.StreamWriter) -> None:
        """A whole answer, in one piece or as a stream; no two have the same usage."""
        used = (20 + number % 31, 1 + number % 97)
        text = f"{body['model']} {_question(body)} {number}"
        self._note(number, "told", used=used, text=text)
        await _play((self._streamed if number % 2 else self._whole)(text, *used), writer)

    async def _cut(self, number: int, writer: asyncio.StreamWriter) -> None:
        """An answer that breaks off: by turns a stream before its first text or after it, or a whole one near its end.

        Every other stream is ended in good order all the same.
        """
        half, end = "half of it", (b"0\r\n\r\n",) if number % 2 else ()
        if number % 3 == 0:
            sent = (*self._streamed(half, 30, 20).steps[:1], *end)
        else:
            self._note(number, "begun")
            steps = (self._streamed if number % 3 == 1 else self._whole)(half, 30, 20).steps
            text = next(place for place, step in enumerate(steps) if isinstance(step, bytes) and half.encode() in step)
            whole_one = tuple(step[:-10] for step in steps if isinstance(step, bytes))
            sent = (*steps[: text + 1], *end) if len(steps) > 1 else whole_one
        await _play(Script(sent), writer)
        self._note(number, "cut")

    def _whole(self, text: str, given: int, taken: int) -> Script:
        if self._openai:
            return whole(chat(text, usage={"prompt_tokens": given, "completion_tokens": taken}))
        return whole(message(text, usage={"input_tokens": given, "output_tokens": taken}))

    def _streamed(self, text: str, given: int, taken: int) -> Script:
        if self._openai:
            return stream(*chat_chunks(text, usage={"prompt_tokens": given, "completion_tokens": taken}), DONE)
        start, end = {"input_tokens": 0, "output_tokens": 0}, {"input_tokens": given, "output_tokens": taken}
        return stream(*message_events(text, start=start, end=end))

    def _note(self, number: int, did: str, **more: object) -> None:
        line = json.dumps({"number": number, "did": did, "at": time.time(), **more})
        os.write(self._book, f"{line}\n".encode())


async def _body(reader: asyncio.StreamReader) -> Deed | None:
    """The body of the next request; None where the connection ends."""
    if not (await reader.readline()).strip():
        return None
    length = 0
    while line := (await reader.readline()).strip().lower():
        name, _, value = line.partition(b":")
        length = int(value) if name == b"content-length" else length
    return json.loads(await reader.readexactly(length))


def _question(body: Deed) -> str:
    found = NUMBER.search(json.dumps(body["messages"]))
    return found[1] if found else ""


async def _play(script: Script, writer: asyncio.StreamWriter) -> None:
    for step in script.steps:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(ModelServer(sys.argv[1], Path(sys.argv[3])).serve(int(sys.argv[2])))
