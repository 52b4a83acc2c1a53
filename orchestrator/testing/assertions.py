"""Holds a run to its trace: nothing failed without an outcome, the chain is whole, the money adds up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orchestrator.errors import ConfigError
from orchestrator.messages import Decision
from orchestrator.trace import Trace, find_trace, read_trace, runs_folder, silent_failures, verify
from orchestrator.trace.events import AttemptFailed, AttemptStarted, Event, RunEnded

__all__ = ["assert_no_silent_failure"]


def assert_no_silent_failure(
    run: Trace | Path | str | Decision[Any] | Iterable[Event], *, folder: Path | str | None = None
) -> None:
    """Hold that a run came to its end and hid nothing: raises AssertionError with every fault that its trace has.

    `run` is a trace or its file, a decision, whose trace is looked for in `folder` (the usual one unless told) and
    must end in that decision, or the events that a listener or `stream` was told. Of a trace that is told by events
    alone the hashes are not there to be checked. Raises `ConfigError` where there is no trace to look at.
    """
    __tracebackhide__ = True
    trace = _trace(run, folder)
    head = run.head if isinstance(run, Decision) else None
    faults = _faults(trace, head)
    if isinstance(run, Decision) and not _ends_in(trace, run):
        faults.append("the trace ends in another decision")
    if faults:
        raise AssertionError("\n  ".join([f"the run {trace.run_id} does not hold ({trace.path}):", *faults]))


def _faults(trace: Trace, head: str | None) -> list[str]:
    verdict = verify(trace, head=head)
    silent = silent_failures(trace.events)
    told = [fault for fault in verdict.faults if not any(fault.startswith(f"attempt {a} failed or") for a in silent)]
    faults = [_silence(trace.events, attempt) for attempt in silent] + told
    if verdict.anchored is False:
        faults.append(f"its last line is not the head {head}")
    if trace.torn:
        faults.append(f"its last line is torn: {len(trace.torn)} bytes of it are there")
    if trace.events and not verdict.ended:
        faults.append(f"the run did not end: its last event is {trace.events[-1].type}")
    return faults


def _silence(events: tuple[Event, ...], attempt: int) -> str:
    """An attempt that nothing came of, with who made it and how it failed."""
    agent = next(e.agent for e in events if isinstance(e, (AttemptStarted, AttemptFailed)) and e.attempt == attempt)
    failed = [event for event in events if isinstance(event, AttemptFailed) and event.attempt == attempt]
    how = f"failed ({failed[0].kind}: {failed[0].error}), and nothing came of it" if failed else "never ended"
    return f"attempt {attempt} at {agent} {how}"


def _trace(run: Trace | Path | str | Decision[Any] | Iterable[Event], folder: Path | str | None) -> Trace:
    if isinstance(run, Trace):
        return run
    if isinstance(run, (Path, str)):
        return read_trace(Path(run))
    if not isinstance(run, Decision):
        return _told(tuple(run))
    if run.head is None:
        expected = "a run that writes its trace, or the events that a listener was told"
        raise ConfigError("has no trace", field=f"decision {run.run_id}", expected=expected)
    return read_trace(find_trace(run.run_id, Path(folder) if folder else runs_folder()))


def _told(events: tuple[Event, ...]) -> Trace:
    """Events as a trace: each line's hash is what the next one says it is."""
    return Trace(Path("as it was told"), events, (*(event.prev for event in events[1:]), "")[: len(events)])


def _ends_in(trace: Trace, decision: Decision[Any]) -> bool:
    """Whether a trace ends in a decision; what is no JSON of it, the typed instance, is not compared."""
    last = trace.events[-1] if trace.events else None
    if not isinstance(last, RunEnded) or last.decision is None:
        return False
    return _plain(last.decision) == _plain(decision)


def _plain(decision: Decision[Any]) -> dict[str, object]:
    return decision.model_dump(mode="json", exclude={"head", "instance"})
