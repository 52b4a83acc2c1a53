"""A provider that says what it is told: the public test double for models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from orchestrator.errors import AttemptError, ReplayMismatch
from orchestrator.messages import ToolCall, Usage
from orchestrator.pool import Model
from orchestrator.providers.base import Completion, OnText, Request

__all__ = ["Line", "ScriptProvider", "call"]

Line = str | Completion | AttemptError | Callable[[Request], "str | Completion"]
"""What a model says next: text, a whole completion, a failure, or something worked out from the request."""


class ScriptProvider:
    """Models `script:NAME` that say their lines in order; an unexpected call is an error, and so is an unsaid line.

    `lines` are by model id. A single line that is a function answers every call of its model.
    """

    def __init__(self, lines: Mapping[str, Sequence[Line] | Callable[[Request], str | Completion]]) -> None:
        self._lines = {name: list(said) if not callable(said) else said for name, said in lines.items()}
        self.requests: list[tuple[str, Request]] = []
        """Every call: model id and request, oldest first."""

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """The model's next line; raises `ReplayMismatch` where the script has none."""
        self.requests.append((model.id, request))
        line = self._next(model.id)
        if isinstance(line, AttemptError):
            raise line
        said = line(request) if callable(line) else line
        completion = said if isinstance(said, Completion) else Completion(said, usage=_counted(request, said))
        if on_text is not None and completion.text:
            on_text(completion.text)
        return completion

    def finish(self) -> None:
        """Raise `ReplayMismatch` where lines were left unsaid."""
        unsaid = {name: len(lines) for name, lines in self._lines.items() if not callable(lines) and lines}
        if unsaid:
            raise ReplayMismatch("lines were left unsaid: " + ", ".join(f"{n} of {name}" for name, n in unsaid.items()))

    def _next(self, model: str) -> Line:
        lines = self._lines.get(model)
        if callable(lines):
            return lines
        if not lines:
            number = sum(name == model for name, _ in self.requests)
            raise ReplayMismatch(f"the script has no line for call {number} of `{model}`")
        return lines.pop(0)


def call(*calls: tuple[str, str], text: str = "") -> Completion:
    """A completion that calls tools: (name, JSON arguments) each."""
    made = tuple(ToolCall(f"call_{number}", name, arguments) for number, (name, arguments) in enumerate(calls, start=1))
    return Completion(text, made, "calls", Usage(10, 10))


def _counted(request: Request, said: str) -> Usage:
    """A usage as a server might count it: a token per four characters."""
    return Usage(sum(len(message.content) for message in request.messages) // 4 + 1, len(said) // 4 + 1)
