"""Draws a run as a flow chart in Mermaid's text: turns, attempts, reroutes dashed, merge and decision."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from orchestrator.render.screen import plain
from orchestrator.trace import Trace
from orchestrator.trace.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptStarted,
    BadTurn,
    Demoted,
    Escalated,
    Event,
    Merged,
    Replied,
    Rerouted,
    Returned,
    RunEnded,
    RunStarted,
    Superseded,
    TakenOver,
    TurnTaken,
)

__all__ = ["mermaid"]

_SPEAKING = re.compile(r"[^\w .,:()/?!+%→·$…-]")
"""Characters that might mean something to Mermaid; they are written as their numbers."""


def mermaid(trace: Trace) -> str:
    """The flow chart of a run, one statement on a line, all labels in quotes."""
    chart = _Chart()
    for event in trace.events:
        chart.add(event)
    return "\n".join(["flowchart TD", *(f"    {line}" for line in chart.lines)]) + "\n"


@dataclass(slots=True)
class _Chart:
    lines: list[str] = field(default_factory=list[str])
    at: str = ""
    """The node that the next one follows: the question, a turn, a change of course."""
    nodes: int = 0
    attempts: dict[int, AttemptStarted] = field(default_factory=dict[int, AttemptStarted])
    replied: list[int] = field(default_factory=list[int])
    waiting: list[Rerouted] = field(default_factory=list[Rerouted])
    """Reroutes whose expert has not been started yet."""

    def add(self, event: Event) -> None:
        match event:
            case RunStarted():
                asked = event.question[-1].content if event.question else "question left out"
                self.at = self._node(asked, "([", "])")
            case TurnTaken():
                self._next(f"turn {event.turn}: {event.router}" + (" answers" if event.answer else ""))
            case BadTurn():
                self._next(f"turn {event.turn} could not be read")
            case TakenOver():
                self._next("the plan router takes over")
            case AttemptStarted():
                self._start(event)
            case Replied():
                self.replied.append(event.attempt)
            case Merged():
                self._merge(event)
            case RunEnded():
                self._end(event)
            case _:
                self._failing(event)

    def _failing(self, event: Event) -> None:
        match event:
            case AttemptFailed():
                self.lines.append(f"a{event.attempt} --> f{event.attempt}{{{{{_label(f'failed: {event.kind}')}}}}}")
            case AttemptCancelled():
                self.lines.append(f"a{event.attempt} --> f{event.attempt}{{{{{_label('cancelled')}}}}}")
            case Rerouted():
                self.waiting.append(event)
            case Returned() | Superseded() | Escalated(attempt=int()) | Demoted(attempt=int()):
                node = self._node(event.to_goal if isinstance(event, Demoted) else event.type, "[/", "/]")
                self.lines.append(f"f{event.attempt} -.->|{_label(event.type)}| {node}")
            case _:
                pass

    def _start(self, event: AttemptStarted) -> None:
        self.attempts[event.attempt] = event
        query = f" ({plain(event.goal.query, width=40)})" if event.goal.query else ""
        self.lines.append(f"a{event.attempt}[{_label(f'{event.agent} → {event.goal.artifact}{query}')}]")
        before = [reroute for reroute in self.waiting if reroute.to == event.agent]
        for reroute in before:
            self.lines.append(f"f{reroute.attempt} -.->|{_label('rerouted')}| a{event.attempt}")
            self.waiting.remove(reroute)
        if not before:
            self.lines.append(f"{self.at} --> a{event.attempt}")

    def _next(self, text: str) -> None:
        node = self._node(text, "[", "]")
        for attempt in self.replied:
            self.lines.append(f"a{attempt} --> {node}")
        if not self.replied:
            self.lines.append(f"{self.at} --> {node}")
        self.at = node
        self.replied = []

    def _merge(self, event: Merged) -> None:
        node = self._node(f"merge: {event.method}", "[[", "]]")
        for attempt in self.replied:
            self.lines.append(f"a{attempt} --> {node}")
        if not self.replied:
            self.lines.append(f"{self.at} --> {node}")
        self.at = node

    def _end(self, event: RunEnded) -> None:
        decision = event.decision
        told = f"{decision.status}: {plain(decision.answer or 'no answer', width=80)}" if decision else event.how
        self.lines.append(f"{self.at} --> {self._node(told, '([', '])')}")

    def _node(self, text: str, left: str, right: str) -> str:
        self.nodes += 1
        self.lines.append(f"n{self.nodes}{left}{_label(plain(text, width=80))}{right}")
        return f"n{self.nodes}"


def _label(text: str) -> str:
    """A text in quotes that no parser can take for anything else."""
    safe = _SPEAKING.sub(lambda found: f"#{ord(found[0])};", plain(text, width=120))
    return f'"{safe}"'
