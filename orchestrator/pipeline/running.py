"""Takes a run from its question, or from where it was interrupted, to its decision or to a person."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

from orchestrator.errors import ConfigError
from orchestrator.messages import Decision
from orchestrator.pipeline.assembly import Settings, Wishes, context_of, started, trace_path, typed
from orchestrator.pipeline.durable import HasEnded, as_kept, forgotten, taken_up, went
from orchestrator.pipeline.ending import Ending
from orchestrator.pipeline.nesting import Mirror, check_depth, nested_trace
from orchestrator.pipeline.nodes import walk
from orchestrator.pipeline.parts import check_responses
from orchestrator.runtime import Enclosing, RunContext, Tally, enclosing_attempt
from orchestrator.state import RunState
from orchestrator.trace import Journal, Past
from orchestrator.trace.events import Resumed, RunEnded

__all__ = ["check_no_loop", "ran", "resumed"]


async def ran(settings: Settings, state: RunState, wishes: Wishes) -> Decision[Any]:
    """The decision of a run from its beginning; the trace is ended, or paused, whatever is raised."""
    within = enclosing_attempt()
    check_depth(within)
    settings = typed(settings, wishes.output, state.goals)
    context, state = _begun(settings, state, wishes, within)

    def begin() -> None:
        context.journal.write(started(settings, state, context, wishes.note))

    if context.keeper is not None:
        return _handed_out(await went(settings, state, context, begin), context)
    with Ending(context):
        begin()
        decision = await walk(state, context, langsmith=settings.langsmith)
        context.journal.raise_fault()
        context.journal.commit(RunEnded(how="decided", decision=decision))
    return _handed_out(decision, context)


async def resumed(
    settings: Settings, run_id: str, word: Resumed, wishes: Wishes, *, changed: bool = False
) -> Decision[Any]:
    """The decision of a durable run that is taken up again; raises `ConfigError` where it cannot be."""
    try:
        context, state = taken_up(settings, run_id, word, wishes, changed=changed)
    except HasEnded:  # its process may have been killed before it could tidy up
        await forgotten(run_id, settings.checkpointer)
        raise
    return _handed_out(await went(settings, state, context), context)


def _handed_out(decision: Decision[Any], context: RunContext) -> Decision[Any]:
    context.journal.raise_fault()
    return decision.model_copy(update={"head": context.journal.head})


def _begun(
    settings: Settings, state: RunState, wishes: Wishes, within: Enclosing | None
) -> tuple[RunContext, RunState]:
    """The context of a run with its trace open; one within another is no durable run: that one is resumed whole."""
    check_responses(settings.facilities.providers)
    tally, run_id, durable = Tally(), settings.new_id(), settings.checkpointer is not None and within is None
    path = trace_path(nested_trace(settings.trace, within), run_id)
    try:
        journal = Journal(
            run_id,
            path,
            now=settings.clocks.wall,
            content=settings.content and (within is None or within.context.journal.content),
            listeners=(*settings.listeners, *wishes.listeners, *([Mirror(within)] if within else [])),
            tally=tally,
            holding=durable,
        )
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
        expected = "a place for a new file, since a trace is never written over"
        raise ConfigError(problem, file=str(path), field="trace", expected=expected) from error
    context = context_of(settings, state, journal, tally, wishes, past=Past() if durable else None)
    with ExitStack() as undone:
        undone.callback(context.ledger.end)  # nothing is promised to a run that does not begin
        state = as_kept(state, context)
        undone.pop_all()
    return context, state


def check_no_loop(door: str, instead: str) -> None:
    """Refuse a door for callers without an event loop where one is running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigError("an event loop is running here", field=door, expected=instead)
