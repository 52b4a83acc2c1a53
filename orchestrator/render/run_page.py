"""Tells a run on one page of HTML that asks for nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from html import escape

from rich.text import Text

from orchestrator.render.screen import visible
from orchestrator.render.story import decision_lines, story_line
from orchestrator.trace import Trace, verify
from orchestrator.trace.events import RunEnded, RunStarted

__all__ = ["run_page"]

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
body{color:#222;background:#fff}
h1{font-size:1.3rem;white-space:pre-wrap}ol,pre{font:13px/1.6 ui-monospace,monospace}ol{padding-left:3rem}
li,pre{white-space:pre-wrap;overflow-wrap:anywhere}time{color:#777}.think{color:#555;font-style:italic}.ok{color:#176c2c}
.agent{color:#0b5e80;font-weight:600}.bad{color:#a01212}.detour{color:#8a5a00}.quiet{color:#777}.value,.head{font-weight:600}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1a1a1a}.ok{color:#7ccf8f}.agent{color:#7cc5e6}
.bad{color:#f08a8a}.detour{color:#e0b050}.think{color:#aaa}}"""
_NOTHING_ELSE = "default-src 'none'; style-src 'unsafe-inline'"
"""What the page may load: nothing."""


def run_page(trace: Trace) -> str:
    """The page of a run: what was asked, each step, the decision, and whether the trace holds together."""
    first = trace.events[0] if trace.events else None
    asked = first.question[-1].content if isinstance(first, RunStarted) and first.question else "(question left out)"
    title = escape(f"run {trace.run_id}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        f'content="{_NOTHING_ELSE}">\n<style>{_STYLE}</style></head>\n<body><p class="quiet">{title}</p>\n'
        f"<h1>{escape(visible(asked))}</h1>\n<ol>\n{_steps(trace)}</ol>\n<pre>{_marked(_ending(trace))}</pre>\n"
        "</body></html>\n"
    )


def _steps(trace: Trace) -> str:
    names: dict[int, str] = {}
    found = [(event, story_line(event, names)) for event in trace.events]
    return "".join(
        f'<li value="{event.seq}"><time>{escape(event.time[11:23])}</time> {_marked(line)}</li>\n'
        for event, line in found
        if line is not None
    )


def _ending(trace: Trace) -> Text:
    last, verdict = trace.events[-1] if trace.events else None, verify(trace)
    text = Text()
    if isinstance(last, RunEnded) and last.decision:
        text.append_text(decision_lines(last.decision))
    elif isinstance(last, RunEnded):
        text.append(f"ended: {last.how}: {visible(last.error or '')}\n", "bad")
    else:
        text.append("did not end\n", "bad")
    state = "consistent" if verdict.consistent else "; ".join(verdict.faults)
    return text.append(f"trace      {state} · head {trace.head}", "ok" if verdict.consistent else "bad")


def _marked(text: Text) -> str:
    """A text with its styles as classes; every character that HTML knows is escaped."""
    marks = sorted((span.start, span.end, str(span.style)) for span in text.spans)
    shown, at = list[str](), 0
    for start, end, style in marks:
        if start < at:
            continue
        shown += [escape(text.plain[at:start]), f'<span class="{escape(style)}">{escape(text.plain[start:end])}</span>']
        at = end
    return "".join([*shown, escape(text.plain[at:])])
