"""Where output goes: answers to stdout, everything else to stderr where a machine reads along."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from decimal import Decimal
from types import TracebackType
from typing import TextIO, cast

from rich.console import Console, RenderableType
from rich.text import Text
from rich.theme import Theme

from orchestrator.render.documents import document

__all__ = ["THEME", "OutputFailed", "Screen", "money", "plain", "seconds", "visible"]

THEME = Theme(
    {
        "think": "dim italic",
        "agent": "bold cyan",
        "ok": "green",
        "bad": "red",
        "detour": "yellow",
        "quiet": "dim",
        "value": "bold",
        "head": "bold",
    }
)


PIPE_WIDTH = 140
"""Columns of output that goes to a pipe or file."""
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


class OutputFailed(OSError):
    """Standard output or standard error cannot be written, for a reason of the system's; not a reader that went."""


class Screen:
    """The two streams of a command; with `json` nothing but one document reaches stdout."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self.out = _console(sys.stdout, "standard output")
        self.err = _console(sys.stderr, "standard error")

    @property
    def talk(self) -> Console:
        """Where progress and explanations go."""
        return self.err if self.json or self.quiet else self.out

    def show(self, drawn: RenderableType) -> None:
        """Print something for people."""
        self.talk.print(drawn)

    def answer(self, text: str) -> None:
        """Print a bare result line to stdout."""
        self.out.print(Text(visible(text) if self.out.is_terminal else text), soft_wrap=True)

    def data(self, value: object) -> None:
        """Print the one JSON document of the command."""
        self.out.out(document(value), highlight=False)

    def note(self, text: str) -> None:
        """Say something beside the result, on stderr."""
        self.err.print(Text(text), style="quiet", soft_wrap=True)

    def next(self, steps: Iterable[str]) -> None:
        """Say what to type now, on stderr."""
        for step in steps:
            self.err.print(Text.assemble(("next: ", "head"), step), soft_wrap=True)

    def fail(self, text: str) -> None:
        """Say what went wrong, on stderr."""
        self.err.print(Text.assemble(("error: ", "bad"), text), soft_wrap=True)


class _Output:
    """A stream that says which one it is where it cannot be written: a full disk may be the trace's as well."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self:
            return self._stream.write(text)

    def flush(self) -> None:
        with self:
            self._stream.flush()

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell an error of this stream from others; a reader that went away has its own end."""
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise OutputFailed(error.errno, f"{self._name} cannot be written: {error.strerror or error}") from error


def _console(stream: TextIO, name: str) -> Console:
    """A console on a stream; what is no terminal gets room for tables instead of eighty columns."""
    width = None if stream.isatty() or os.environ.get("COLUMNS") else PIPE_WIDTH
    file = cast("TextIO", _Output(stream, name))
    return Console(file=file, theme=THEME, highlight=False, soft_wrap=not stream.isatty(), width=width)


def money(usd: Decimal | None) -> str:
    """Dollars for people; unknown is not zero, and neither is what is too little to show."""
    if usd is None:
        return "$?"
    if not usd:
        return "$0"
    whole, _, rest = f"{usd:,.6f}".partition(".")
    if whole == "0" and not rest.strip("0"):
        return "<$0.000001"
    return f"${whole}.{rest.rstrip('0'):0<2}"


def seconds(value: float | None) -> str:
    """Seconds for people."""
    if value is None:
        return "? s"
    return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def visible(text: str) -> str:
    """A text whose control characters are written out: what an expert says must not steer the terminal."""
    return text.translate(_CONTROLS)


def plain(text: str, *, width: int = 160) -> str:
    """A text in one line, cut with a mark."""
    flat = visible(" ".join(text.split()))
    return flat if len(flat) <= width else flat[: width - 1] + "…"
