"""Every error the framework raises, drawn as a tree.

OrchestratorError
├── ConfigError            the caller's files, flags or objects are wrong
├── BudgetExceeded         a limit of the run would be broken
├── ActionError            a router's words are no turn; the text is the repair prompt
├── NoDecision             the typed output of a run that came to none was asked for
├── ReplayMismatch         a script or cassette was asked what it does not hold, or holds what nobody asked
└── AttemptError           one try of an expert failed
    ├── ProviderError      a model or its server failed
    │   ├── ProviderTimeout
    │   └── RateLimited
    ├── RecalledError      a failure that a trace tells of, or a try cut off with its process
    └── ToolError          a tool could not give a reply
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from orchestrator.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

__all__ = [
    "ActionError",
    "ActionFault",
    "AttemptError",
    "BudgetExceeded",
    "ConfigError",
    "FailureKind",
    "LimitName",
    "NoDecision",
    "OrchestratorError",
    "ProviderError",
    "ProviderTimeout",
    "RateLimited",
    "RecalledError",
    "ReplayMismatch",
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

UNDONE: frozenset[FailureKind] = frozenset(
    {"auth", "invalid_request", "rate_limited", "refusal", "budget", "breaker_open", "injected"}
)
"""Kinds that say that what was asked for was not done."""

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
    """A reservation did not fit; `limit` names which limit stood in the way.

    `passing` says that it would fit if others, who share the limit, had settled what they hold.
    """

    def __init__(self, limit: LimitName, detail: str, *, passing: bool = False) -> None:
        self.limit: LimitName = limit
        self.passing = passing
        super().__init__(f"limit:{limit}: {detail}")


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
    TOO_MANY = "too_many_routes"


class ActionError(OrchestratorError):
    """A router's words are no turn; the message tells the model what to write instead."""

    def __init__(self, message: str, fault: ActionFault) -> None:
        self.fault = fault
        super().__init__(message)


class NoDecision(OrchestratorError):
    """Somebody asked for the output of a decision that has none; the text says why."""


class ReplayMismatch(OrchestratorError):
    """A script or cassette was asked what it does not hold, or holds what nobody asked; never passed over."""


class AttemptError(OrchestratorError):
    """One try failed; `kind` is the public word for why, `retry_after` the seconds that a server asked for."""

    def __init__(self, message: str, *, kind: FailureKind, retry_after: float | None = None) -> None:
        self.kind: FailureKind = kind
        self.retry_after = retry_after
        self.ours = False
        """Whether it was the run itself that cut the try, by its deadline."""
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
    def undone(self) -> bool:
        """Whether it is sure that what was asked for has not been done."""
        return self.kind in UNDONE


class ProviderError(AttemptError):
    """A model or its server failed.

    `sent` is false where the request never reached the server; `begun` is true where output had begun, so that its
    usage is lost; `partial` is the text that was delivered before a stream broke, after which no try is repeated;
    `usage` is what the server counted all the same, and `cost` what that came to where it is known.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: FailureKind,
        sent: bool = True,
        begun: bool = False,
        partial: str = "",
        usage: Usage | None = None,
        cost: Decimal | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.usage = usage
        self.cost = cost
        self.sent = sent
        self.begun = begun or bool(partial)
        self.partial = partial
        super().__init__(message, kind=kind, retry_after=retry_after)

    @property
    def retryable(self) -> bool:
        """Whether another try may succeed; never once text was delivered."""
        return super().retryable and not self.partial

    @property
    def undone(self) -> bool:
        """What never reached the server has not been done."""
        return not self.sent or super().undone


class ProviderTimeout(ProviderError):
    """No reply within the time that the try was given; `ours` where it was the run's own deadline that cut it."""

    def __init__(
        self, message: str, *, sent: bool = True, ours: bool = False, begun: bool = False, partial: str = ""
    ) -> None:
        super().__init__(message, kind="timeout", sent=sent, begun=begun, partial=partial)
        self.ours = ours

    @property
    def sick(self) -> bool:
        """A server that the run's deadline cut off is not to blame."""
        return not self.ours


class RateLimited(ProviderError):
    """The server asked for patience."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, kind="rate_limited", retry_after=retry_after)


class ToolError(AttemptError):
    """A tool could not give a reply; its text says why. `broken` where it did not say so itself, but broke down."""

    def __init__(self, message: str, *, broken: bool = False) -> None:
        self.broken = broken
        super().__init__(message, kind="tool")

    @property
    def sick(self) -> bool:
        """A tool that declines a question is well; one that broke down is not."""
        return self.broken

    @property
    def undone(self) -> bool:
        """A tool that says that it could not do it has not done it."""
        return not self.broken


class RecalledError(AttemptError):
    """A failure that a trace tells of, or a try that was cut off with its process: then nobody knows what it did."""

    def __init__(self, message: str, *, kind: FailureKind, doubt: bool) -> None:
        self.doubt = doubt
        super().__init__(message, kind=kind)

    @property
    def undone(self) -> bool:
        """As the trace says."""
        return not self.doubt


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, or None where none comes close."""
    found = get_close_matches(name, list(names), n=1, cutoff=0.6)
    return found[0] if found else None
