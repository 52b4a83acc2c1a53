"""A run as it happens, for one who may be slow: its events, and between them the final answer piece by piece."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from threading import get_ident

from pydantic import BaseModel, ConfigDict

from orchestrator.messages import Decision
from orchestrator.pipeline.assembly import Settings, Wishes
from orchestrator.pipeline.wording import Reading, of_merge, of_router
from orchestrator.runtime import ControlPurpose, OnStream
from orchestrator.trace.events import BadTurn, Event, Paused, RunEnded, TakenOver, TryEnded, TryStarted
from orchestrator.trace.plain import plain

__all__ = ["MOST_WAITING", "AnswerText", "Streamed", "streamed"]

MOST_WAITING = 256
"""Items that wait for a slow consumer before the run waits, too."""


class AnswerText(BaseModel):
    """A piece of the final answer, as it arrives; no event: it is neither in the trace nor in its hashes.

    All pieces since the last one with `restart` make up the answer so far, and once the run has ended
    `Decision.answer`: nothing, where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    """Never a thought, and never the JSON of a tool call."""
    restart: bool = False
    """All pieces before this one are void: what was being written has failed, or is not what was decided."""


Streamed = Event | AnswerText
"""What a stream gives."""


async def streamed(
    settings: Settings, wishes: Wishes, run: Callable[[Wishes], Awaitable[Decision]]
) -> AsyncGenerator[Streamed, None]:
    """The items of a run; whoever turns away cancels it, and it has tidied up before this returns."""
    waiting = _Waiting()
    telling = _Telling(settings, waiting.put, wishes.on_text)
    wishes = replace(
        wishes,
        listeners=(*wishes.listeners, telling.event),
        on_text=telling.text,
        on_call=telling.call,
        room=waiting.room,
    )
    running = asyncio.ensure_future(run(wishes))
    running.add_done_callback(lambda _: waiting.end())
    try:
        while (item := await waiting.take()) is not None:
            yield item
        await running
    finally:
        waiting.end()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class _Waiting:
    """Items that were not taken yet; the loop of whoever takes them is the one it is made in.

    Runs nested in an attempt may put items, and wait for room, from threads and loops of their own.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._items: deque[Streamed] = deque()
        self._more = asyncio.Event()
        self._less = asyncio.Event()
        self._over = False

    def put(self, item: Streamed) -> None:
        """Add an item, whether there is room or not."""
        if self._over:
            return
        self._items.append(item)
        if get_ident() == self._thread:
            self._more.set()
        else:
            self._loop.call_soon_threadsafe(self._more.set)

    async def take(self) -> Streamed | None:
        """The next item; None when the run is over and all are taken."""
        while not self._items:
            if self._over:
                return None
            self._more.clear()
            await self._more.wait()
        item = self._items.popleft()
        if not self._full:
            self._less.set()
        return item

    async def room(self) -> None:
        """Wait until there is room."""
        if not self._full:
            return
        if get_ident() == self._thread:
            await self._drained()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._drained(), self._loop))

    def end(self) -> None:
        """No item comes any more, and nobody waits for room."""
        self._over = True
        self._more.set()
        self._less.set()

    @property
    def _full(self) -> bool:
        return len(self._items) >= MOST_WAITING and not self._over

    async def _drained(self) -> None:
        while self._full:
            self._less.clear()
            await self._less.wait()


class _Telling:
    """Hears a run, and tells the pieces of its answer from all else that router and merge agent write."""

    def __init__(self, settings: Settings, put: Callable[[Streamed], None], on_text: OnStream | None) -> None:
        self._settings = settings
        self._put = put
        self._on_text = on_text
        self._reading: Reading | None = None
        self._told = ""
        self._held = ""
        """Space after what was told: part of the answer only where more follows."""

    def event(self, event: Event) -> None:
        """Hand an event on; first what it says of the pieces before it."""
        match event:
            case TryStarted(purpose="router" | "merge"):
                self._begin(event.purpose)
            case BadTurn() | TakenOver() | TryEnded(purpose="router" | "merge", error=str()):
                self._void()
            case RunEnded(decision=Decision()) | Paused(decision=Decision()):
                self._settle(event.decision.answer or "" if event.decision else "")
            case _:
                pass
        self._put(event)

    def text(self, purpose: ControlPurpose, piece: str) -> None:
        """Take what a model writes."""
        if self._on_text is not None:
            self._on_text(purpose, piece)
        if self._reading is not None:
            self._tell(self._reading.text(piece))

    def call(self, purpose: ControlPurpose, name: str, arguments: str) -> None:
        """Take a call that a model writes."""
        del purpose
        if self._reading is not None:
            self._tell(self._reading.call(name, arguments))

    def _begin(self, purpose: str) -> None:
        self._void()
        settings = self._settings
        pool = settings.facilities.pool
        self._reading = (
            of_merge(settings.merge) if purpose == "merge" else of_router(settings.router, settings.merge, pool)
        )

    def _tell(self, text: str) -> None:
        """Give a piece, without the space round the whole."""
        written = self._held + text if self._told else text.lstrip()
        piece = written.rstrip()
        self._held = written[len(piece) :]
        if piece:
            self._give(piece)

    def _give(self, text: str, *, restart: bool = False) -> None:
        text = str(plain(text))
        self._told = text if restart else self._told + text
        self._put(AnswerText(text=text, restart=restart))

    def _void(self) -> None:
        """What was told is no answer."""
        self._reading, self._held = None, ""
        if self._told:
            self._give("", restart=True)

    def _settle(self, answer: str) -> None:
        """Give what is still missing of the answer; all of it where something else was told."""
        self._reading = None
        if not answer.startswith(self._told):
            self._give(answer, restart=True)
        elif answer != self._told:
            self._give(answer[len(self._told) :])
