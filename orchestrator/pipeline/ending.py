"""Ends the trace of a run, whichever way it ends; a durable one is left as it can be taken up again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from orchestrator.pipeline.nesting import note_nested
from orchestrator.runtime import RunContext, Tally
from orchestrator.trace import Journal
from orchestrator.trace.events import AttemptCancelled, Escalated, Paused, RunEnded

__all__ = ["Ending", "break_off"]

How = Literal["cancelled", "error"]


@dataclass(frozen=True, slots=True)
class Ending:
    """Closes the trace of a run, whichever way it ends."""

    context: RunContext

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say how the run ended where it did not end with a decision; the error goes on its way."""
        if self.context.set_aside is not None:
            self.context.ledger.give_back(self.context.set_aside)
        self.context.ledger.end()
        try:
            if isinstance(error, asyncio.CancelledError):
                self._end("cancelled", "the run was cancelled")
            elif error is not None:
                self._end("error", f"{type(error).__name__}: {error}")
        finally:
            self.context.journal.close()
            note_nested(self.context)

    def _end(self, how: How, why: str) -> None:
        journal = self.context.journal
        if self.context.keeper is None:
            break_off(journal, self.context.tally, how, why)
        else:
            journal.drop()
            journal.commit(Paused(how=how, why=why))


def break_off(journal: Journal, tally: Tally, how: How, why: str) -> None:
    """Close what is open, so that the trace ends consistent."""
    for attempt in sorted(tally.in_flight):
        journal.write(AttemptCancelled(attempt=attempt))
    for attempt in sorted(tally.unresolved):
        journal.write(Escalated(attempt=attempt, reason=why))
    journal.commit(RunEnded(how=how, error=why))
