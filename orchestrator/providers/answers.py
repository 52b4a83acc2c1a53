"""Answers of models as they come over the wire, whole or as a stream, whatever the request asked for."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from orchestrator.errors import ProviderError
from orchestrator.messages import ToolCall, Usage
from orchestrator.providers.base import Completion, Finish, Hearing, OnText
from orchestrator.providers.faults import Fault, excerpt, is_table, parsed, told_fault, transport_errors
from orchestrator.providers.server_events import EventReader, ServerEvent

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "STALL_SECONDS",
    "Answer",
    "CallDraft",
    "Exchange",
    "as_json",
    "count",
    "rows",
    "sound_arguments",
    "table",
    "text_of",
]

STALL_SECONDS = 30.0
"""Silence in a stream, heartbeats not counted as silence, after which it is given up."""

TAIL_SECONDS = 2.0
"""Patience for what may follow the finish of a stream: the usage, and the end itself."""


@dataclass(slots=True)
class CallDraft:
    """A tool call as far as it has arrived."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class Answer(ABC):
    """What has come of an answer so far; each vendor's protocol fills it in its own way."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[CallDraft] = []
        self.reason = ""
        """Why the model stopped, in the vendor's word; an answer without one does not count."""
        self.first_tokens: tuple[tuple[str, float], ...] = ()
        """What the answer could have begun with, and how probable that was."""

    @property
    def begun(self) -> bool:
        """Whether any output has arrived."""
        return bool(self.text or self.reasoning or self.calls)

    @abstractmethod
    def whole(self, body: dict[str, object]) -> bool:
        """Take a whole answer; False where it is none."""

    @abstractmethod
    def event(self, data: dict[str, object]) -> str:
        """Take an event of a stream; the text that it adds."""

    @abstractmethod
    def finish(self) -> Finish:
        """Why the model stopped."""

    @abstractmethod
    def usage(self) -> Usage | None:
        """Tokens as the server counted them; None where it told nothing."""

    def completion(self) -> Completion:
        """The answer, its calls with an id each."""
        return Completion(
            "".join(self.text),
            _told_apart(self.calls),
            self.finish(),
            self.usage(),
            reasoning="".join(self.reasoning),
            first_tokens=self.first_tokens,
        )


class Exchange:
    """One request, and what of its answer was delivered."""

    def __init__(self, *, key: str, on_text: OnText | None, stall: float) -> None:
        self._key = key
        self._on_text = on_text
        self._stall = stall
        self.place = ""
        """Where the request goes, as far as an error may tell."""
        self._begun = False
        self._delivered: list[str] = []

    def failed(self, fault: Fault, usage: Usage | None = None) -> ProviderError:
        """The error to raise, with what was delivered, and without the key."""
        return fault.error(begun=self._begun, partial="".join(self._delivered), usage=usage, secret=self._key)

    async def read(self, response: httpx2.Response, answer: Answer) -> Completion:
        """The answer in a response with status 200; raises `ProviderError`, or the transport's own errors.

        A caller that breaks it off finds as cause of the cancellation what had come by then.
        """
        try:
            return await self._read(response, answer)
        except asyncio.CancelledError as cut:
            raise cut from self.failed(Fault("timeout", "broken off"))

    async def _read(self, response: httpx2.Response, answer: Answer) -> Completion:
        kind = response.headers.get("content-type", "").lower()
        if "event-stream" in kind or (self._on_text and "json" not in kind and "html" not in kind):
            await self._follow(response, answer)
            self._must_have_ended(answer)
        else:
            self._take(await self._body(response), answer)
            self._must_have_ended(answer)
            self._deliver("".join(answer.text))
        return answer.completion()

    async def _body(self, response: httpx2.Response) -> bytes:
        try:
            return await response.aread()
        finally:
            self._begun = response.num_bytes_downloaded > 0

    def _take(self, body: bytes, answer: Answer) -> None:
        data = parsed(body)
        if is_table(data) and data.get("error"):
            self._begun = False
            raise self.failed(told_fault(data["error"]))
        if not body.strip():
            raise self.failed(Fault("cut_stream", "the answer is empty"))
        if not is_table(data) or not answer.whole(data):
            self._begun = not body.lstrip().startswith(b"<")
            raise self.failed(Fault("malformed", f"no answer in the protocol, but: {excerpt(body) or 'other JSON'}"))

    async def _follow(self, response: httpx2.Response, answer: Answer) -> None:
        """Take a stream to its end; once the answer is complete, no end is too rough."""
        reader, clock = EventReader(), asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self._stall) as limit:
                async for chunk in response.aiter_bytes():
                    for event in reader.feed(chunk):
                        self._event(event, answer)
                    if isinstance(self._on_text, Hearing):
                        limit.reschedule(None)  # it is not the server who is slow
                        await self._on_text.room()
                    patience = min(self._stall, TAIL_SECONDS) if answer.reason else self._stall
                    limit.reschedule(clock() + patience)
            for event in reader.end():
                if parsed(event.data) is not None:
                    self._event(event, answer)
        except TimeoutError as error:
            if not answer.reason:
                raise self.failed(Fault("stalled", f"silent for {self._stall:g} s in mid-stream")) from error
        except transport_errors():
            if not answer.reason:
                raise

    def _event(self, event: ServerEvent, answer: Answer) -> None:
        if event.data.startswith("[DONE]") or not event.data.strip():
            return
        data = parsed(event.data)
        if not is_table(data):
            raise self.failed(Fault("malformed", "an event of the stream is no JSON object"))
        if data.get("error"):
            raise self.failed(told_fault(data["error"]))
        text = answer.event(data)
        self._begun = answer.begun
        self._deliver(text)
        if isinstance(self._on_text, Hearing) and answer.calls:
            self._on_text.on_call(answer.calls[-1].name, answer.calls[-1].arguments)

    def _deliver(self, text: str) -> None:
        if text and self._on_text:
            self._delivered.append(text)
            self._on_text(text)

    def _must_have_ended(self, answer: Answer) -> None:
        if not answer.reason:
            raise self.failed(Fault("cut_stream", "the answer broke off: it has no finish reason"), answer.usage())


def table(value: object) -> dict[str, object]:
    """A JSON object, empty where the value is none."""
    return value if is_table(value) else {}


def rows(value: object) -> list[object]:
    """A JSON array, empty where the value is none."""
    return cast("list[object]", value) if isinstance(value, list) else []


def count(value: object) -> int:
    """A number of tokens; 0 where the value is none."""
    return value if isinstance(value, int) and value > 0 else 0


def text_of(value: object) -> str:
    """Text, also where it comes in parts; empty where there is none."""
    if isinstance(value, str):
        return value
    return "".join(text_of(table(part).get("text")) for part in rows(value))


def sound_arguments(call: ToolCall) -> dict[str, object]:
    """A call's arguments as they may be sent back; empty where they are broken, over which servers fail."""
    return table(parsed(call.arguments))


def _told_apart(drafts: Sequence[CallDraft]) -> tuple[ToolCall, ...]:
    """The calls, a missing or repeated id made unique."""
    calls: list[ToolCall] = []
    seen: set[str] = set()
    for number, draft in enumerate(drafts, start=1):
        name = draft.id or f"call_{number}"
        while name in seen:
            name = f"{name}_{number}"
        seen.add(name)
        calls.append(ToolCall(name, draft.name, draft.arguments))
    return tuple(calls)


def as_json(value: object) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
