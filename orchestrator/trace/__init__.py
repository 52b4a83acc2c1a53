"""What happened: the events of a run, their file, and its verification."""

from orchestrator.trace.audit import Verdict, silent_failures, verify
from orchestrator.trace.journal import Journal, Listener, Trace, find_trace, read_trace, runs_folder, trace_files

__all__ = [
    "Journal",
    "Listener",
    "Trace",
    "Verdict",
    "find_trace",
    "read_trace",
    "runs_folder",
    "silent_failures",
    "trace_files",
    "verify",
]
