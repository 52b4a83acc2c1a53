"""Takes up a durable run where its trace and its checkpoint say that it stands; lists and ends such runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from orchestrator.decision import undecided
from orchestrator.errors import ConfigError, nearest
from orchestrator.messages import Decision, Question
from orchestrator.pipeline.assembly import OUTPUT, Settings, Wishes, context_of, digests_of, trace_path, typed
from orchestrator.pipeline.ending import Ending, break_off
from orchestrator.pipeline.kept import Stood, walk_kept
from orchestrator.pipeline.storage import Checkpointer, checked, forget, opened, threads
from orchestrator.runtime import RunContext, Tally, enclosing_attempt
from orchestrator.state import RunState
from orchestrator.tools import Kinds, Misfit, fitted
from orchestrator.trace import Journal, Past, read_trace, runs_folder, trace_files
from orchestrator.trace.events import Paused, Resumed, RunEnded, RunStarted, TryEnded, TryStarted
from orchestrator.trace.journal import in_use
from orchestrator.usage import Usage

__all__ = [
    "HasEnded",
    "Pending",
    "aborted",
    "as_kept",
    "checked_checkpointer",
    "forgotten",
    "path_of",
    "pending_runs",
    "swept",
    "taken_up",
    "went",
]

EventKind = TypeVar("EventKind", Resumed, TryEnded)


class HasEnded(ConfigError):
    """Nothing of a run is left to do."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A durable run that has not come to its end."""

    run_id: str
    path: Path
    since: str
    """When its last event was written, UTC."""
    question: str
    stands: Literal["running", "waiting", "cancelled", "error", "interrupted"]
    """Whether a process is at it, it waits for a person, was cancelled, something raised, or its process died."""
    why: str = ""
    approve: tuple[str, ...] = ()
    """Agents that wait for a person's leave."""


def checked_checkpointer(given: object, trace: Path | str | bool, *, content: bool) -> Checkpointer:
    """The checkpointer, where a run can be durable at all; raises `ConfigError` where it cannot."""
    if trace is False:
        expected = "a trace, which is what a resume goes by"
        raise ConfigError("a durable run cannot be without one", field="trace", expected=expected)
    if not content:
        expected = "content in the trace, or no checkpointer"
        raise ConfigError("a durable run cannot be resumed from a trace without it", field="content", expected=expected)
    return checked(given)


def as_kept(state: RunState, context: RunContext) -> RunState:
    """The state as a durable run has it after a resume: with what no JSON can hold replaced from the start."""
    if context.keeper is None:
        return state
    keeping = context.keeper.keeping
    return keeping.load(keeping.dump(state))


async def went(
    settings: Settings, state: RunState, context: RunContext, begin: Callable[[], None] = lambda: None
) -> Decision:
    """The decision of a durable run, or what is told of it while it waits for a person; the trace is ended so.

    Once the trace is ended for good nobody needs the checkpoints: they are deleted, and what a store does not delete
    then is left to the next who comes across it.
    """
    async with AsyncExitStack() as opening:
        with Ending(context):
            begin()
            if settings.checkpointer is None:
                raise _no_checkpointer()
            saver = await opening.enter_async_context(opened(settings.checkpointer))
            stood = await walk_kept(state, context, saver, langsmith=settings.langsmith)
            decision = _told(stood, context)
        if stood["why"] is None and stood["decision"] is not None:
            await asyncio.gather(forget(saver, context.journal.run_id), return_exceptions=True)
    return decision


def _told(stood: Stood, context: RunContext) -> Decision:
    """The decision, or what is told while a person is waited for; written down as the end, or as a pause."""
    context.journal.raise_fault()
    why, decision = stood["why"], stood["decision"]
    if why is None and decision is not None:
        decision = _typed(decision, context.facilities.kinds)
        context.journal.commit(RunEnded(how="decided", decision=decision))
        return decision
    if decision is None or stood["approve"]:
        decision = undecided(stood["state"], context, why or "")
    context.journal.commit(Paused(how="person", why=why or "", approve=stood["approve"], decision=decision))
    return decision


def _typed(decision: Decision[Any], kinds: Kinds) -> Decision[Any]:
    """The decision with the instance that no JSON holds."""
    if kinds.asked is None or decision.answer is None or decision.instance is not None:
        return decision
    return decision.model_copy(update={"instance": fitted(decision.answer, kinds.asked)})


def taken_up(
    settings: Settings,
    run_id: str,
    word: Resumed,
    wishes: Wishes,
    *,
    changed: bool,
) -> tuple[RunContext, RunState]:
    """The context of a run that goes on, with all that its trace holds in it; raises `ConfigError` where it cannot."""
    if settings.checkpointer is None:
        raise _no_checkpointer()
    tally, path = Tally(), path_of(settings, run_id)
    listeners = (*settings.listeners, *wishes.listeners)
    journal, trace = Journal.again(path, now=settings.clocks.wall, listeners=listeners, tally=tally)
    with ExitStack() as left_alone:
        left_alone.callback(journal.close)
        if enclosing_attempt() is not None:  # whose money is it, and in whose trace?
            expected = "a call outside of every expert"
            raise ConfigError("a run cannot be resumed within another", field="resume", expected=expected)
        past = Past(trace.events)
        first = _first(past, path)
        settings = typed(settings, wishes.output, first.goals)
        others = _changes(first.digests, digests_of(settings, settings.facilities.kinds))
        _check_output(first, word, settings.facilities.kinds, path)
        _check(past, word, path, settings.facilities.pool.agents, () if changed else others)
        for event in trace.events:
            tally(event)
        word = word.model_copy(update={"seconds": past.seconds, "torn": len(trace.torn), "changed": others})
        journal.write(word)
        past = Past((*trace.events, _at(past, word), *_settled(past, journal)))
        state = _asked(first)
        context = context_of(settings, state, journal, tally, wishes, past=past)
        left_alone.pop_all()
    return context, state


def pending_runs(trace: Path | bool) -> list[Pending]:
    """Durable runs that have not come to their end, newest first."""
    place = runs_folder() if isinstance(trace, bool) else trace
    files = [place] if place.suffix == ".jsonl" else trace_files(place) if place.is_dir() else []
    return [found for path in files if (found := _pending(path)) is not None]


async def aborted(path: Path, checkpointer: Checkpointer | None, now: Callable[[], float], why: str) -> None:
    """Close a run's trace for good and forget its checkpoints; raises `HasEnded` where it has ended already."""
    tally = Tally()
    journal, trace = Journal.again(path, now=now, tally=tally)
    try:
        past = Past(trace.events)
        _first(past, path)
        for event in trace.events:
            tally(event)
        _settled(past, journal)
        break_off(journal, tally, "cancelled", why)
    except HasEnded:
        await forgotten(trace.run_id, checkpointer)
        raise
    finally:
        journal.close()
    await forgotten(trace.run_id, checkpointer)


async def forgotten(run_id: str, checkpointer: Checkpointer | None) -> None:
    """Forget the checkpoints of a run whose trace has ended."""
    if checkpointer is not None:
        async with opened(checkpointer) as saver:
            await forget(saver, run_id)


async def swept(folder: Path, checkpointer: Checkpointer) -> None:
    """Forget the checkpoints of all runs whose traces in a folder have ended: their process was killed before it did.

    What the store does not delete now is left to the next time.
    """

    async def sweep() -> None:
        async with opened(checkpointer) as saver:
            held = await threads(saver)
            for path in trace_files(folder) if held else []:
                if path.stem in held and _has_ended(path):
                    await forget(saver, path.stem)

    await asyncio.gather(sweep(), return_exceptions=True)


def _has_ended(path: Path) -> bool:
    return not in_use(path) and Past(read_trace(path).events).ended


def _no_checkpointer() -> ConfigError:
    expected = "the saver, SQLite file or database that the run was begun with"
    return ConfigError("there is none, so no run can be resumed", field="checkpointer", expected=expected)


def path_of(settings: Settings, run_id: str) -> Path:
    """The trace of a run; raises `ConfigError` where there is none."""
    path = trace_path(settings.trace, run_id)
    if path is not None and path.is_file():
        return path
    place = runs_folder() if isinstance(settings.trace, bool) else settings.trace
    known = [found.stem for found in trace_files(place)] if place.is_dir() else []
    expected = "the id of a run, as `runs list` shows it"
    raise ConfigError(
        f"there is no run `{run_id}`", file=str(path), expected=expected, suggestion=nearest(run_id, known)
    )


def _first(past: Past, path: Path) -> RunStarted:
    """The beginning of a durable run that has not ended; raises `ConfigError` for any other, `HasEnded` at its end."""
    first = past.started
    if first is None or not first.digests:
        raise ConfigError("is no durable run", file=str(path), expected="one that had a checkpointer")
    if past.ended:
        raise HasEnded("has come to its end", file=str(path), expected="a run that is left to do")
    return first


def _check(past: Past, word: Resumed, path: Path, agents: Collection[str], others: tuple[str, ...]) -> None:
    """Raise `ConfigError` where a word is given that nobody waits for, or to nobody, or the parts have changed."""
    given = word.answer is not None or word.retry or word.allow
    if given and past.waiting is None:
        expected = "a resume without answer, retry and allow"
        raise ConfigError("waits for no person's word", file=str(path), expected=expected)
    if word.answer is not None and not word.answer.strip():
        raise ConfigError("the answer is empty", field="answer", expected="some text")
    for name in word.allow:
        if name not in agents:
            expected, hint = "agents among " + ", ".join(sorted(agents)), nearest(name, agents)
            raise ConfigError(f"there is no agent `{name}`", field="allow", expected=expected, suggestion=hint)
    if others:
        expected = "the parts that it was begun with; `changed` (--changed) goes on with these"
        raise ConfigError("; ".join(others), file=str(path), expected=expected)


def _check_output(first: RunStarted, word: Resumed, kinds: Kinds, path: Path) -> None:
    """Raise `ConfigError` where a typed run is taken up without its type, or a person's answer is not of it."""
    wanted = [name.removeprefix(OUTPUT) for name in first.digests if name.startswith(OUTPUT)]
    given = kinds.asked
    if wanted != ([given.__name__] if given else []):
        problem = f"the run was begun with {wanted[0] if wanted else 'no output'}"
        expected = f"`output={wanted[0]}`" if wanted else "none"
        raise ConfigError(problem, file=str(path), field="output", expected=expected)
    if given is not None and word.answer is not None:
        try:
            fitted(word.answer, given)
        except Misfit as error:
            raise ConfigError(str(error), field="answer", expected=f"the JSON of a {given.__name__}") from error


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Which parts are not what they were, in words."""
    words = {name: "has changed" for name in before if name in now and before[name] != now[name]}
    words |= {name: "is gone" for name in before if name not in now}
    words |= {name: "is new" for name in now if name not in before}
    return tuple(f"{name} {words[name]}" for name in sorted(words))


def _asked(first: RunStarted) -> RunState:
    """The state in which the run began."""
    question = Question(first.question or (), first.kind, first.choices, first.case)
    return RunState(question, first.goals, first.goals[0], analyses=first.analyses)


def _at(past: Past, event: EventKind) -> EventKind:
    """An event at the time of the last one: it takes nothing of the run's own time."""
    return event.model_copy(update={"time": past.events[-1].time})


def _settled(past: Past, journal: Journal) -> list[TryEnded]:
    """Charge the tries that were in flight (SEMANTICS §8); nobody knows what came of them."""
    settled = [_lost(begun) for begun in past.in_flight()]
    for event in settled:
        journal.write(event)
    return [_at(past, event) for event in settled]


def _lost(begun: TryStarted) -> TryEnded:
    charge = begun.reserved_usd if begun.input_usd is None else begun.input_usd
    return TryEnded(
        attempt=begun.attempt,
        purpose=begun.purpose,
        number=begun.number,
        usd=charge,
        exact=charge == 0,
        usage=Usage(),
        seconds=0.0,
        cancelled=True,
        nested=begun.nested,
        lost=True,
        call=begun.call,
    )


def _pending(path: Path) -> Pending | None:
    past = Past(read_trace(path).events)
    first = past.started
    if first is None or not first.digests or past.ended:
        return None
    paused = past.events[-1] if isinstance(past.events[-1], Paused) else None
    stands = "interrupted" if paused is None else "waiting" if paused.how == "person" else paused.how
    return Pending(
        first.run_id,
        path,
        past.events[-1].time,
        Question(first.question or ()).text,
        "running" if in_use(path) else stands,
        paused.why if paused else "",
        paused.approve if paused else (),
    )
