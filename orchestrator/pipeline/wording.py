"""Tells the words of an answer from a model's thoughts and calls while they are still being written."""

from __future__ import annotations

import json
import re
from typing import Protocol

from orchestrator.merge import MergeRule
from orchestrator.pool import Pool
from orchestrator.protocol import ACTS, ANSWER_TOOL, CLOSING, TAG
from orchestrator.routers import LLMRouter, Router, innermost

__all__ = ["Reading", "of_merge", "of_router"]


class Reading(Protocol):
    """One try of a model, as it is written."""

    def text(self, piece: str) -> str:
        """What a piece of text adds to the answer."""
        ...

    def call(self, name: str, arguments: str) -> str:
        """What a call adds to it, as far as it has come."""
        ...


def of_router(router: Router, merge: MergeRule | None, pool: Pool) -> Reading | None:
    """How the words of a router's model are read; None where they are not the final answer, or nobody knows."""
    router = innermost(router)
    if not isinstance(router, LLMRouter) or (merge is not None and merge.name != "router"):
        return None
    encoding = router.encoding or pool.models[router.model].encoding
    return _Tags() if encoding == "tags" else _Calls()


def of_merge(merge: MergeRule | None) -> Reading | None:
    """How the words of a merge agent are read; None where it does not write the answer itself."""
    return _Plain() if getattr(merge, "writes", False) else None


class _Plain:
    """Every word is the answer's."""

    def text(self, piece: str) -> str:
        """The piece."""
        return piece

    def call(self, name: str, arguments: str) -> str:
        """Nothing: no tool was offered."""
        del name, arguments
        return ""


class _Calls:
    """The answer is the argument of a call; text beside it is a thought, or known as the answer only at its end."""

    _BEGIN = re.compile(rf'\s*\{{\s*"{ANSWER_TOOL}"\s*:\s*"')
    _UNITS = re.compile(
        r"""(?:[^"\\]+|\\["\\/bfnrt]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}"""
        r"""|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4})*"""
    )
    """Whole characters of a JSON text; of a pair that make one, both or none."""

    def __init__(self) -> None:
        self._at = 0
        """How far the arguments were read."""
        self._other = False
        """Something else was called."""

    def text(self, piece: str) -> str:
        """Nothing yet."""
        del piece
        return ""

    def call(self, name: str, arguments: str) -> str:
        """What is new of the answer."""
        self._other = self._other or name != ANSWER_TOOL or len(arguments) < self._at
        if self._other:
            return ""
        if not self._at and (begin := self._BEGIN.match(arguments)) is not None:
            self._at = begin.end()
        new = self._UNITS.match(arguments, self._at) if self._at else None
        if new is None:
            return ""
        self._at = new.end()
        return str(json.loads(f'"{new.group()}"', strict=False))


class _Tags:
    """The answer stands between its tags, on its own: not within a thought, and not beside a route."""

    def __init__(self) -> None:
        self._written = ""
        self._place: int = 0
        """Up to where it was read."""
        self._seen: int = 0
        """Up to where no tag begins."""
        self._within: str = ""
        """The tag that is open."""
        self._over: bool = False
        """Nothing of it can be the answer any more."""

    def call(self, name: str, arguments: str) -> str:
        """Nothing: no tool was offered."""
        del name, arguments
        return ""

    def text(self, piece: str) -> str:
        """What is new between the answer's tags."""
        self._written += piece
        new = ""
        while not self._over:
            added = self._closed() if self._within else self._opened()
            if added is None:
                break
            new += added
        return new

    def _opened(self) -> str | None:
        """Go into the next tag; None where there is none yet."""
        tag = TAG.search(self._written, self._seen)
        if tag is None:
            self._seen = self._last_mark(self._seen)
            return None
        self._within = tag.group(1).lower()
        self._place = self._seen = tag.end()
        self._over = self._within in ACTS and self._within != "answer"
        return ""

    def _closed(self) -> str | None:
        """What is new in the tag that is open, out of which it goes where that is closed; None where nothing is."""
        closing, before = CLOSING[self._within].search(self._written, self._seen), self._place
        self._seen = self._last_mark(self._seen)
        self._place = closing.start() if closing else max(before, self._safe())
        new = self._written[before : self._place] if self._within == "answer" else ""
        if closing is None:
            return new or None
        self._over = self._within == "answer"
        self._within, self._place, self._seen = "", closing.end(), closing.end()
        return new

    def _last_mark(self, since: int) -> int:
        """Where a tag may have begun that is not whole yet; the end where none has."""
        found = self._written.rfind("<", since)
        return len(self._written) if found < 0 else found

    def _safe(self) -> int:
        """Up to where nothing can turn out to be the closing tag."""
        mark = self._last_mark(self._place)
        tail, closing = self._written[mark:].lower(), f"</{self._within}"
        may_close = closing.startswith(tail) or (tail.startswith(closing) and ">" not in tail)
        return mark if may_close else len(self._written)
