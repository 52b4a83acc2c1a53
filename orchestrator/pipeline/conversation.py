"""Conversations: a follow-up question sees what was decided before, within so many tokens."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from orchestrator.content import shown
from orchestrator.errors import ConfigError
from orchestrator.messages import Asked, Decision, Message, Question, Status, as_question
from orchestrator.pipeline.front import Orchestrator
from orchestrator.providers.base import CHARACTERS_PER_TOKEN
from orchestrator.runtime import OnStream
from orchestrator.trace import Listener, runs_folder
from orchestrator.trace.plain import plain

__all__ = ["Conversation", "Said"]

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
UNDECIDED = "(No decision was reached on this.)"


class Said(BaseModel):
    """One question of a conversation, and what was decided on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    answer: str | None
    status: Status
    run_id: str

    def messages(self) -> tuple[Message, Message]:
        """As a model is shown it."""
        return Message("user", self.question), Message("assistant", self.answer or UNDECIDED)


class Conversation:
    """Asks an orchestrator one question after the other; each sees the decisions before it, not how they came about.

    Of earlier questions and decisions the latest are shown, as many whole ones as `tokens` hold. With a `name` they
    are kept, content and all, in `threads/NAME.jsonl` beside the folder of runs (or in `folder`), and the conversation
    goes on there; without one they are kept in memory. Raises `ConfigError` for a name that cannot be one of a file.
    """

    def __init__(
        self, orchestrator: Orchestrator, name: str | None = None, *, tokens: int = 2_000, folder: Path | None = None
    ) -> None:
        if name is not None and not NAME.fullmatch(name):
            expected = "up to 64 letters, digits, `_`, `-` and `.`, not beginning with `-` or `.`"
            raise ConfigError(f"`{name}` names no conversation", field="thread", expected=expected)
        if tokens < 0:
            raise ConfigError(f"cannot be {tokens}", field="tokens", expected="a whole number of at least 0")
        self._orchestrator = orchestrator
        self._tokens = tokens
        self._path = None if name is None else (folder or runs_folder().parent / "threads") / f"{name}.jsonl"
        self._said: list[Said] = [] if self._path is None else _kept(self._path)
        self._turn = asyncio.Lock()

    @property
    def said(self) -> tuple[Said, ...]:
        """What was asked and decided so far, oldest first."""
        return tuple(self._said)

    def asked(self, asked: Asked) -> Question:
        """A question as it is asked: after what is shown of the earlier ones, behind the system's words."""
        question = as_question(asked)
        at = next((place for place, each in enumerate(question.messages) if each.role != "system"), 0)
        earlier = tuple(message for said in self._shown() for message in said.messages())
        return replace(question, messages=(*question.messages[:at], *earlier, *question.messages[at:]))

    async def run(
        self,
        asked: Asked,
        *,
        goal: str | None = None,
        listeners: Iterable[Listener] = (),
        on_text: OnStream | None = None,
        note: Mapping[str, JsonValue] | None = None,
    ) -> Decision:
        """The decision on a follow-up question; questions asked at the same time wait for each other."""
        async with self._turn:
            question = self.asked(asked)
            decision = await self._orchestrator.run(
                question, goal=goal, listeners=listeners, on_text=on_text, note=note
            )
            self._keep(
                Said(question=question.text, answer=decision.answer, status=decision.status, run_id=decision.run_id)
            )
            return decision

    def run_sync(self, asked: Asked, *, goal: str | None = None) -> Decision:
        """`run` for callers without an event loop."""
        return asyncio.run(self.run(asked, goal=goal))

    def _shown(self) -> list[Said]:
        left, found = self._tokens, list[Said]()
        for said in reversed(self._said):
            left -= ceil(sum(len(message.content) for message in said.messages()) / CHARACTERS_PER_TOKEN)
            if left < 0:
                break
            found.append(said)
        return found[::-1]

    def _keep(self, said: Said) -> None:
        self._said.append(said)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            line = Said.model_validate(plain(said)).model_dump_json().encode() + b"\n"
            with self._path.open("ab") as file:
                file.write(line)


def _kept(path: Path) -> list[Said]:
    """What a file holds; a torn last line, of a crash, is dropped, and anything else that is no line of it an error."""
    if not path.exists():
        return []
    *lines, torn = path.read_bytes().split(b"\n")
    found: list[Said] = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(Said.model_validate_json(line))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"]
            raise ConfigError(
                f"is no line of a conversation: {problem}", file=shown(path), field=f"line {number}"
            ) from error
    if torn:
        path.write_bytes(b"".join(line + b"\n" for line in lines))
    return found
