"""What happened: the events of a run, their file, and its verification."""

from orchestrator.trace.audit import Verdict, silent_failures, verify
from orchestrator.trace.difference import Change, Difference, Fork, difference
from orchestrator.trace.journal import Journal, Listener, Trace, find_trace, read_trace, runs_folder, trace_files
from orchestrator.trace.past import Past, Tried
from orchestrator.trace.record import Fared, fared

__all__ = [
    "Change",
    "Difference",
    "Fared",
    "Fork",
    "Journal",
    "Listener",
    "Past",
    "Trace",
    "Tried",
    "Verdict",
    "difference",
    "fared",
    "find_trace",
    "read_trace",
    "runs_folder",
    "silent_failures",
    "trace_files",
    "verify",
]
