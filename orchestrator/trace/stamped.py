"""What every event carries, and the events of durable runs: a step that is done, a pause, a resume."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from orchestrator.messages import Decision

__all__ = ["Paused", "Resumed", "Stamped", "Stepped"]


class Stamped(BaseModel):
    """Place, time, run and chain of an event."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    seq: int = 0
    """Place in the trace, from 1."""
    time: str = ""
    """UTC, ISO 8601, milliseconds."""
    run_id: str = ""
    prev: str = ""
    """SHA-256 of the line before, 64 zeros in the first."""


class Stepped(Stamped):
    """What a step decided stands in the events before this one, and what it made of the run's state in it.

    Both are written at once, so that a kill loses the whole of a step's decisions or nothing of them.
    """

    type: Literal["stepped"] = "stepped"
    step: int
    """Number of the node's turn in the run, from 1."""
    node: str
    done: bool
    """The node has ended; False where it goes on, with attempts under way."""
    changed: dict[str, JsonValue] = Field(default_factory=dict)
    """Fields of the state with their new values."""
    grown: dict[str, list[JsonValue]] = Field(default_factory=dict)
    """Lists of the state with what was added to their ends."""
    decision: Decision | None = None


class Paused(Stamped):
    """The run stands still and can be resumed: it waits for a person, was cancelled, or something raised."""

    type: Literal["paused"] = "paused"
    how: Literal["person", "cancelled", "error"]
    why: str
    approve: tuple[str, ...] = ()
    """Agents that wait for a person's leave."""
    decision: Decision | None = None
    """What the caller was told meanwhile."""


class Resumed(Stamped):
    """The run is taken up again, perhaps with a person's word."""

    type: Literal["resumed"] = "resumed"
    seconds: float
    """Seconds that the run had used; the time in which it stood still does not count."""
    torn: int = 0
    """Bytes of a torn last line that were put aside."""
    changed: tuple[str, ...] = ()
    """Parts that are not what they were when the run began."""
    answer: str | None = None
    retry: bool = False
    allow: tuple[str, ...] = ()
