"""What a merge is: replies in, one analysis out."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

from orchestrator.errors import ConfigError
from orchestrator.merge.canonical import same
from orchestrator.messages import Analysis, Dissent, Question, Reply
from orchestrator.providers import Ask

__all__ = ["AskingMerge", "MergeFunction", "MergeRule", "as_merge", "in_order", "sided"]


@runtime_checkable
class MergeRule(Protocol):
    """Makes one analysis of one or more replies."""

    @property
    def name(self) -> str:
        """The word that traces and decisions use for it."""
        ...

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The answer, who supports it and who dissents."""
        ...


@runtime_checkable
class AskingMerge(Protocol):
    """A merge that asks a model of the pool; what its call may cost is kept back for it."""

    @property
    def name(self) -> str:
        """The word that traces and decisions use for it."""
        ...

    @property
    def model(self) -> str:
        """Name of the model."""
        ...

    async def merge(self, question: Question, replies: Sequence[Reply], ask: Ask | None = None) -> Analysis:
        """The answer, who supports it and who dissents; `ask` calls the model."""
        ...


MergeFunction = Callable[[Question, Sequence[Reply]], "str | Analysis | Awaitable[str | Analysis]"]
"""A plain function that merges, async or not; of a plain text, support and dissent are worked out."""


@dataclass(frozen=True, slots=True)
class _FunctionMerge:
    function: MergeFunction
    name: str

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        made = self.function(question, replies)
        merged = cast("object", await made if inspect.isawaitable(made) else made)
        if isinstance(merged, Analysis):
            return merged
        if isinstance(merged, str):
            return sided(merged, question, replies)
        raise ConfigError(f"gave {merged!r}", field=f"merge {self.name}", expected="a text or an `Analysis`")


def as_merge(given: MergeRule | MergeFunction) -> MergeRule:
    """A merge from an object with `merge` or from a plain function; raises `ConfigError` on anything else."""
    if isinstance(given, MergeRule) and not isinstance(given, type):
        return given
    if callable(given) and not isinstance(given, type):
        return _FunctionMerge(given, getattr(given, "__name__", type(given).__name__))
    raise ConfigError(
        f"{given!r} is no merge", field="merge", expected="an object with a name and an async `merge`, or a function"
    )


def in_order(replies: Sequence[Reply]) -> list[Reply]:
    """The replies by slot, then by attempt: in an order that does not hang on who was faster."""
    return sorted(replies, key=lambda reply: (reply.goal.slot, reply.attempt))


def sided(answer: str, question: Question, replies: Sequence[Reply]) -> Analysis:
    """An answer with the replies that equal it as support and the others as dissent."""
    sides = [(reply, same(reply.text, answer, question)) for reply in in_order(replies)]
    return Analysis(
        answer,
        support=tuple(reply.agent for reply, agrees in sides if agrees),
        dissent=tuple(Dissent(reply.agent, reply.text) for reply, agrees in sides if not agrees),
    )
