"""The events that hold the money: tries that were begun and settled, and runs that took place within an attempt."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import JsonValue

from orchestrator.errors import FailureKind
from orchestrator.trace.stamped import Stamped
from orchestrator.usage import Usage

__all__ = ["Nested", "Purpose", "TryEnded", "TryStarted"]

Purpose = Literal["expert", "router", "merge"]
"""What a call is made for."""


class TryStarted(Stamped):
    """A request is about to be sent; its worst case is reserved."""

    type: Literal["try_started"] = "try_started"
    attempt: int | None
    """None for a call of the router's model or of the merge agent's."""
    purpose: Purpose = "expert"
    model: str | None = None
    number: int
    reserved_usd: Decimal | None
    nested: str | None = None
    """Where it was made inside a nested run: `RUN/ATTEMPT`, or `RUN/PURPOSE`."""
    input_usd: Decimal | None = None
    """Of a durable run: what is charged if nobody hears of the try again."""
    call: str | None = None
    """Of a durable run: what a call of the router's or the merge agent's is found again by."""


class TryEnded(Stamped):
    """A try was settled, before its reply is used."""

    type: Literal["try_ended"] = "try_ended"
    attempt: int | None
    purpose: Purpose = "expert"
    number: int
    usd: Decimal | None
    exact: bool = True
    usage: Usage
    seconds: float
    kind: FailureKind | None = None
    """None: it went well, or was cancelled."""
    error: str | None = None
    cancelled: bool = False
    """The run was stopped, or its time was over, while the try was in flight."""
    nested: str | None = None
    """Where it was made inside a nested run, as in `TryStarted`."""
    lost: bool = False
    """The process was killed while it was in flight; a resume charged its input."""
    doubt: bool = False
    """Of a durable run: it failed, but what was asked for may have been done."""
    call: str | None = None
    gave: JsonValue = None
    """Of a durable run: what it gave, so that it is not made again."""


class Nested(Stamped):
    """A run took place within an attempt; its own trace tells the rest."""

    type: Literal["nested"] = "nested"
    attempt: int
    nested_id: str
    usd: Decimal | None
    usage: Usage
    nested_head: str | None
    """Hash of the last line of its trace; None where none was written."""
