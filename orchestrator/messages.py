"""The words everybody uses: questions, goals, replies, failures and the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from orchestrator.errors import ConfigError, FailureKind
from orchestrator.usage import Usage

__all__ = [
    "Analysis",
    "Asked",
    "Decision",
    "Dissent",
    "Encoding",
    "Failed",
    "Goal",
    "Message",
    "Question",
    "Reply",
    "Role",
    "Status",
    "ToolCall",
    "Usage",
    "as_question",
    "as_text",
]

Role = Literal["system", "user", "assistant", "tool"]
Encoding = Literal["tools", "tags"]
"""How a router's model writes its actions: as tool calls, or as tags in its text."""
Status = Literal["answered", "degraded", "escalated"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to call a tool."""

    id: str
    name: str
    arguments: str
    """JSON as the model wrote it, whole or broken."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str
    calls: tuple[ToolCall, ...] = ()
    """Of an assistant: the tools it wants called."""
    call_id: str = ""
    """Of a tool: the call that this is the result of."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a run is asked: messages, of which the last of a user is the question itself."""

    messages: tuple[Message, ...]
    kind: str | None = None
    """Kind of task where the caller knows it (`multiple_choice`, `math`, …); it selects an agent's skill."""
    choices: tuple[str, ...] = ()
    """The letters or words among which the answer is to be found."""
    case: str | None = None
    """Id of the recorded case, on recorded outcomes."""

    @property
    def text(self) -> str:
        """The last thing a user said."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


Asked = str | Question | Sequence[Message | Mapping[str, str]]
"""What callers may hand over as a question."""


@dataclass(frozen=True, slots=True)
class Goal:
    """An artifact wanted for a query; slots are separate analyses by distinct experts."""

    artifact: str
    query: str = ""
    """Empty for the run's own question."""
    slot: int = 1


@dataclass(frozen=True, slots=True)
class Reply:
    """What a successful attempt gave."""

    attempt: int
    agent: str
    goal: Goal
    value: object
    """The artifact; text unless the expert's artifact is typed."""
    p: float = 0.5
    """Probability of being right that was expected of the expert beforehand."""
    cost: Decimal | None = Decimal(0)
    """USD, all tries of the attempt; None where the price is unknown."""
    usage: Usage = Usage()
    seconds: float = 0.0
    confidence: float | None = None
    """Stated by the expert itself, if it did."""

    @property
    def text(self) -> str:
        """The artifact as text."""
        return as_text(self.value)


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed attempt: who, why, after how many tries."""

    agent: str
    kind: FailureKind
    error: str
    tries: int


@dataclass(frozen=True, slots=True)
class Dissent:
    """An expert whose reply differs from the decision, and what it said."""

    agent: str
    answer: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a merge made of the replies."""

    answer: str
    support: tuple[str, ...] = ()
    """Agents whose reply equals the answer."""
    dissent: tuple[Dissent, ...] = ()
    confidence: float | None = None
    reasons: tuple[str, ...] = ()


class Decision(BaseModel):
    """The typed result of a run; every run returns one (SEMANTICS §3)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: str | None
    status: Status
    goal: str
    """The artifact that the answer is."""
    method: str | None
    """The merge that decided; None where nothing was merged."""
    confidence: float | None
    support: tuple[str, ...]
    dissent: tuple[Dissent, ...]
    failed: tuple[Failed, ...]
    reasons: tuple[str, ...]
    cost_usd: Decimal | None
    """USD of all calls; None where a price is unknown."""
    cost_exact: bool
    """False where a charge had to be estimated."""
    usage: Usage
    turns: int
    control_calls: int
    merge_calls: int
    expert_calls: int
    """Attempts, failed ones included."""
    reroutes: int
    seconds: float
    run_id: str
    head: str | None = None
    """SHA-256 of the last line of the trace; None without a trace."""
    value: JsonValue = None
    """The artifact itself where it is not text."""


def as_text(value: object) -> str:
    """An artifact as a person would read it."""
    return value if isinstance(value, str) else str(value)


def as_question(asked: Asked) -> Question:
    """Any accepted form of a question as a `Question`; raises `ConfigError` on an empty one."""
    match asked:
        case Question():
            question = asked
        case str():
            question = Question((Message("user", asked),))
        case _:
            question = Question(tuple(_as_message(entry, index) for index, entry in enumerate(asked)))
    if not question.text.strip():
        raise ConfigError("the question is empty", field="question", expected="some text from a user")
    return replace(question, choices=tuple(question.choices))


def _as_message(entry: Message | Mapping[str, str], index: int) -> Message:
    if isinstance(entry, Message):
        return entry
    role, content = entry.get("role"), entry.get("content")
    if role not in ("system", "user", "assistant") or not isinstance(content, str):
        raise ConfigError(
            f"not a message: {dict(entry)!r}",
            field=f"messages[{index}]",
            expected='{"role": "system" | "user" | "assistant", "content": text}',
        )
    return Message(role, content)
