"""The terminal: live runs, traces, tables and machine-readable documents."""

from orchestrator.render.differences import show_difference, show_replay
from orchestrator.render.documents import document, line
from orchestrator.render.live import LiveRun
from orchestrator.render.mermaid import mermaid
from orchestrator.render.requests import show_request
from orchestrator.render.run_page import run_page
from orchestrator.render.screen import OutputFailed, Screen
from orchestrator.render.story import show_trace, story_lines
from orchestrator.render.tables import choices_table, formula, list_traces, rows_table, trace_row
from orchestrator.render.why import why_trace

__all__ = [
    "LiveRun",
    "OutputFailed",
    "Screen",
    "choices_table",
    "document",
    "formula",
    "line",
    "list_traces",
    "mermaid",
    "rows_table",
    "run_page",
    "show_difference",
    "show_replay",
    "show_request",
    "show_trace",
    "story_lines",
    "trace_row",
    "why_trace",
]
