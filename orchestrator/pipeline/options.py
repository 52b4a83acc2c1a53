"""What a caller may tell a run, a resume, or a node of a LangGraph, besides what it is asked and its type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

from pydantic import JsonValue

from orchestrator.runtime import OnStream
from orchestrator.trace import Listener

__all__ = ["Keys", "Options", "Taking", "options_of"]


class Options(TypedDict, total=False):
    """What a run may be told besides its question and output; see `Orchestrator.run`."""

    goal: str | None
    listeners: Iterable[Listener]
    on_text: OnStream | None
    note: Mapping[str, JsonValue] | None


def options_of(
    *,
    goal: str | None = None,
    listeners: Iterable[Listener] = (),
    on_text: OnStream | None = None,
    note: Mapping[str, JsonValue] | None = None,
) -> Options:
    """All options with their values; raises TypeError for one that there is not."""
    return Options(goal=goal, listeners=listeners, on_text=on_text, note=note)


class Taking(TypedDict, total=False):
    """What a resume may be told besides the run and its output; see `Orchestrator.resume`."""

    answer: str | None
    retry: bool
    allow: Iterable[str]
    changed: bool
    listeners: Iterable[Listener]
    on_text: OnStream | None


class Keys(TypedDict, total=False):
    """Under which keys a node reads its graph's state and writes to it; see `Orchestrator.as_node`."""

    question: str
    answer: str | None
    decision: str | None
