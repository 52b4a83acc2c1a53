"""Server-sent events, from bytes as they arrive."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EventReader", "ServerEvent"]


class ServerEvent(NamedTuple):
    """One event of a stream."""

    name: str
    data: str


class EventReader:
    """Cuts a stream into events; lines end at line feeds only, since JSON text may hold every other separator."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that these bytes complete."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        events = [self._line(line.removesuffix(b"\r").decode("utf-8", "replace")) for line in lines]
        return [event for event in events if event is not None]

    def end(self) -> list[ServerEvent]:
        """The event that the stream ended in the midst of, if any."""
        return self.feed(b"\n\n")

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            event = ServerEvent(self._name, "\n".join(self._data)) if self._data else None
            self._name, self._data = "", []
            return event
        field, _, value = line.partition(":")
        match field:
            case "event":
                self._name = value.removeprefix(" ")
            case "data":
                self._data.append(value.removeprefix(" "))
            case _:  # a comment, which keeps a silent connection alive, or a field that nobody needs
                pass
        return None
