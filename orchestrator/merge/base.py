"""What a merge is: replies in, one analysis out."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from orchestrator.errors import ConfigError
from orchestrator.merge.canonical import same
from orchestrator.messages import Analysis, Dissent, Question, Reply

__all__ = ["MergeFunction", "MergeRule", "as_merge", "sided"]


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


MergeFunction = Callable[[Question, Sequence[Reply]], "str | Analysis | Awaitable[str | Analysis]"]
"""A plain function that merges, async or not; of a plain text, support and dissent are worked out."""


@dataclass(frozen=True, slots=True)
class _FunctionMerge:
    function: MergeFunction
    name: str

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        made = self.function(question, replies)
        merged = await made if inspect.isawaitable(made) else made
        return merged if isinstance(merged, Analysis) else sided(merged, question, replies)


def as_merge(given: MergeRule | MergeFunction) -> MergeRule:
    """A merge from an object with `merge` or from a plain function; raises `ConfigError` on anything else."""
    if isinstance(given, MergeRule):
        return given
    if callable(given):
        return _FunctionMerge(given, getattr(given, "__name__", type(given).__name__))
    raise ConfigError(
        f"{given!r} is no merge", field="merge", expected="an object with a name and an async `merge`, or a function"
    )


def sided(answer: str, question: Question, replies: Sequence[Reply]) -> Analysis:
    """An answer with the replies that equal it as support and the others as dissent."""
    return Analysis(
        answer,
        support=tuple(reply.agent for reply in replies if same(reply.text, answer, question)),
        dissent=tuple(Dissent(reply.agent, reply.text) for reply in replies if not same(reply.text, answer, question)),
    )
