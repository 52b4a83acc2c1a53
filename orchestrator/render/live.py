"""A run while it happens: lines that stay, and spinners for what is under way."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.text import Text

from orchestrator.messages import Decision
from orchestrator.render.screen import Screen, money, seconds, visible
from orchestrator.render.story import decision_lines, status_style, story_line
from orchestrator.trace.events import AttemptCancelled, AttemptFailed, AttemptStarted, Event, Replied, TryStarted

__all__ = ["LiveRun"]


class LiveRun:
    """Shows the events of a run as they come; on something that is no terminal, as plain lines.

    `before` are the events of a run that is taken up: they are not shown, but say who makes its attempts.
    """

    def __init__(self, screen: Screen, *, streaming: bool = False, before: Iterable[Event] = ()) -> None:
        self.run_id = ""
        """Of the run that was shown last; empty before its first event."""
        self._screen = screen
        self._names = {event.attempt: event.agent for event in before if isinstance(event, AttemptStarted)}
        self._running: dict[int, tuple[Spinner, float]] = {}
        self._held: dict[int, str] = {}
        self._live: Live | None = None
        self._writing = False
        if screen.talk.is_terminal and not screen.quiet and not streaming:
            self._live = Live(console=screen.talk, get_renderable=self._drawn, transient=True, refresh_per_second=12)

    def __enter__(self) -> Self:
        """Start the display."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the spinners away."""
        if self._live is not None:
            self._live.stop()

    def text(self, who: str, piece: str) -> None:
        """Show a piece of what router or merge agent writes."""
        if self._screen.quiet:
            return
        if not self._writing:
            self._screen.talk.print(f"{who:<10} ", style="quiet", end="")
        self._writing = True
        self._screen.talk.print(Text(visible(piece)), end="", soft_wrap=True)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        self.run_id = event.run_id
        if self._writing:
            self._screen.talk.print()
            self._writing = False
        match event:
            case AttemptStarted():
                self._running[event.attempt] = (Spinner("dots"), monotonic())
            case TryStarted() if event.reserved_usd and event.attempt is not None:
                self._held[event.attempt] = f" · at most {money(event.reserved_usd)}"
            case Replied() | AttemptFailed() | AttemptCancelled():
                self._running.pop(event.attempt, None)
            case _:
                pass
        line = story_line(event, self._names)
        if line is not None and not self._screen.quiet:
            self._screen.show(line)

    def decided(self, decision: Decision, trace: str | None) -> None:
        """Show the decision and where its trace is."""
        if self._screen.quiet or self._screen.json:
            return
        shown = decision_lines(decision)
        shown.append("trace      ", "quiet").append(trace or "none", "quiet")
        if decision.head:
            shown.append(f"\nhead       {decision.head}", "quiet")
        if self._screen.talk.is_terminal:
            style = status_style(decision.status)
            self._screen.show(Panel(shown, title=decision.status, title_align="left", border_style=style))
        else:
            self._screen.show(shown)

    def _drawn(self) -> Group:
        rows: list[Spinner] = []
        for attempt, (spinner, since) in self._running.items():
            held = self._held.get(attempt, "")
            took = seconds(monotonic() - since)
            spinner.update(text=Text.assemble((self._names.get(attempt, ""), "agent"), (f"  {took}{held}", "quiet")))
            rows.append(spinner)
        return Group(*rows)
