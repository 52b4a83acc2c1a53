"""Every error the framework raises, drawn as a tree.

OrchestratorError
├── ConfigError            the caller's files, flags or objects are wrong
├── BudgetExceeded         a limit of the run would be broken
├── ActionError            a router's words are no turn; the text is the repair prompt
├── NoRoute                nobody can serve a goal
└── AttemptError           one try of an expert failed
    ├── ProviderError      a model or its server failed
    │   ├── ProviderTimeout
    │   └── RateLimited
    └── ToolError          a tool could not give a reply
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ActionError",
    "ActionFault",
    "AttemptError",
    "BudgetExceeded",
    "ConfigError",
    "FailureKind",
    "LimitName",
    "NoRoute",
    "OrchestratorError",
    "ProviderError",
    "ProviderTimeout",
    "RateLimited",
    "ToolError",
    "nearest",
]

FailureKind = Literal[
    "timeout",
    "connection",
    "rate_limited",
    "server",
    "auth",
    "invalid_request",
    "refusal",
    "malformed",
    "stalled",
    "cut_stream",
    "tool",
    "budget",
    "breaker_open",
    "injected",
]
"""Why a try failed, in the words that decisions and traces use."""

LimitName = Literal["usd", "tokens", "turns", "seconds"]
"""The four limits a budget can set."""

RETRYABLE: frozenset[FailureKind] = frozenset(
    {"timeout", "connection", "rate_limited", "server", "stalled", "cut_stream"}
)
"""Kinds that a second try may cure; all others fail the attempt at once."""

SICK: frozenset[FailureKind] = RETRYABLE | frozenset[FailureKind]({"auth", "injected"})
"""Kinds that speak against the server; with the others it answered, or was not asked."""


class OrchestratorError(Exception):
    """Anything the framework raises on purpose."""


class ConfigError(OrchestratorError):
    """A descriptor, a flag or an argument is wrong: where, what was expected, the nearest valid name."""

    def __init__(
        self,
        problem: str,
        *,
        file: str | None = None,
        field: str | None = None,
        expected: str | None = None,
        suggestion: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = file
        self.field = field
        self.expected = expected
        self.suggestion = suggestion
        place = ": ".join(part for part in (file, f"`{field}`" if field else None) if part)
        text = f"{place}: {problem}" if place else problem
        if expected:
            text += f"; expected {expected}"
        if suggestion:
            text += f"; did you mean `{suggestion}`?"
        super().__init__(text)


class BudgetExceeded(OrchestratorError):
    """A reservation did not fit; `limit` names which limit stood in the way."""

    def __init__(self, limit: LimitName, detail: str) -> None:
        self.limit: LimitName = limit
        super().__init__(f"limit:{limit}: {detail}")


class NoRoute(OrchestratorError):
    """No expert can serve the goal; `reasons` says why each was ruled out."""

    def __init__(self, goal: str, reasons: tuple[str, ...] = ()) -> None:
        self.goal = goal
        self.reasons = reasons
        super().__init__(f"no path to `{goal}`" + "".join(f"; {reason}" for reason in reasons))


class ActionFault(StrEnum):
    """What is wrong with a router's words; the first five are Router-R1's outcomes (its generation loop)."""

    NONE = "no_action"
    PLACEHOLDER = "placeholder"
    NO_NAME = "no_name"
    EMPTY = "empty"
    UNKNOWN_NAME = "unknown_name"
    BOTH = "routes_and_answer"
    ARGUMENTS = "arguments"
    CUT = "cut"


class ActionError(OrchestratorError):
    """A router's words are no turn; the message tells the model what to write instead."""

    def __init__(self, message: str, fault: ActionFault) -> None:
        self.fault = fault
        super().__init__(message)


class AttemptError(OrchestratorError):
    """One try failed; `kind` is the public word for why."""

    def __init__(self, message: str, *, kind: FailureKind) -> None:
        self.kind: FailureKind = kind
        super().__init__(message)

    @property
    def retryable(self) -> bool:
        """Whether another try of the same expert may succeed."""
        return self.kind in RETRYABLE

    @property
    def sick(self) -> bool:
        """Whether the failure speaks against the server or tool, and so counts towards its breaker."""
        return self.kind in SICK

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asked to be left alone, if it did."""
        return None


class ProviderError(AttemptError):
    """A model or its server failed; `sent` is false where the request never reached the server."""

    def __init__(self, message: str, *, kind: FailureKind, sent: bool = True) -> None:
        self.sent = sent
        super().__init__(message, kind=kind)


class ProviderTimeout(ProviderError):
    """No reply within the time that the try was given."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message, kind="timeout", sent=sent)


class RateLimited(ProviderError):
    """The server asked for patience."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self._retry_after = retry_after
        super().__init__(message, kind="rate_limited")

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asked to be left alone, if it did."""
        return self._retry_after


class ToolError(AttemptError):
    """A tool could not give a reply; its text says why. `broken` where it did not say so itself, but broke down."""

    def __init__(self, message: str, *, broken: bool = False) -> None:
        self.broken = broken
        super().__init__(message, kind="tool")

    @property
    def sick(self) -> bool:
        """A tool that declines a question is well; one that broke down is not."""
        return self.broken


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, or None where none comes close."""
    found = get_close_matches(name, list(names), n=1, cutoff=0.6)
    return found[0] if found else None
