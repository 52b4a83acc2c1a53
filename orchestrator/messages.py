"""The words everybody uses: questions, goals, replies, failures and the decision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Generic, Literal, TypeGuard, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from typing_extensions import TypeVar

from orchestrator.errors import ConfigError, FailureKind, NoDecision
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
    "Output",
    "Question",
    "Reply",
    "Role",
    "Status",
    "ToolCall",
    "Usage",
    "as_question",
    "as_text",
]

_IMAGE = re.compile(r"https://[^\s/]+\S*|data:image/[a-z0-9.+-]+;base64,[A-Za-z0-9+/]+={0,2}")
_LONGEST_SHOWN = 120
"""Characters of odd input that an error repeats; an image may have millions."""

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
    images: tuple[str, ...] = ()
    """Of a user: `https://…` addresses, or `data:image/…;base64,…` URIs that hold the images themselves."""


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

    @property
    def images(self) -> tuple[str, ...]:
        """All images that came with it, in order."""
        return tuple(image for message in self.messages for image in message.images)


Asked = str | Question | Sequence[Message | Mapping[str, object]]
"""What callers may hand over as a question; messages may be as OpenAI writes them, their content text or parts."""


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
    """Stated by the expert itself, from 0 to 1, if it did."""
    evidence: tuple[str, ...] = ()
    """What it rests on, where the expert was asked for an analysis."""
    eliminated: tuple[str, ...] = ()
    """Answers that the expert ruled out."""

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


Output = TypeVar("Output", default=Any)


class Decision(BaseModel, Generic[Output]):
    """The typed result of a run; every run returns one (SEMANTICS §3).

    `Decision[Report]` is what `run(…, output=Report)` gives: its `output` is a `Report`, its `answer` the JSON of it.
    """

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
    instance: Output | None = Field(default=None, exclude=True, repr=False)
    """What `output` asked for; None where there is no decision, or a trace was read. JSON holds it as `value`."""

    @property
    def output(self) -> Output:
        """What `run(…, output=…)` asked for, else None; raises `NoDecision` where the run came to none."""
        if self.answer is None:
            raise NoDecision(f"{self.status}: " + ("; ".join(self.reasons) or "there is no decision"))
        return cast("Output", self.instance)

    def __eq__(self, other: object) -> bool:
        """Whether the other one says the same; a decision read from a trace has a `value` and no `instance`."""
        if not isinstance(other, Decision):
            return False
        return {**vars(self), "instance": None} == {**vars(other), "instance": None}

    def __hash__(self) -> int:
        return hash((self.run_id, self.answer, self.status))


def as_text(value: object) -> str:
    """An artifact as a person would read it; a pydantic model as its JSON."""
    if isinstance(value, str):
        return value
    return value.model_dump_json() if isinstance(value, BaseModel) else str(value)


def as_question(asked: Asked) -> Question:
    """Any accepted form of a question as a `Question`; raises `ConfigError` on an empty one, or odd messages in it."""
    match asked:
        case Question():
            question = asked
        case str():
            question = Question((Message("user", asked),))
        case _:
            question = Question(tuple(_as_message(entry, index) for index, entry in enumerate(_listed(asked))))
    if not question.text.strip():
        raise ConfigError("the question is empty", field="question", expected="some text from a user")
    for index, message in enumerate(question.messages):
        _check_images(message, f"messages[{index}]")
    return replace(question, choices=tuple(question.choices))


def _listed(asked: object) -> Iterable[object]:
    """The messages, where they are a list; raises `ConfigError` for anything else."""
    if isinstance(asked, Iterable) and not isinstance(asked, (bytes, Mapping)):
        return cast("Iterable[object]", asked)
    expected = 'a text, a `Question`, or a list of messages such as {"role": "user", "content": "…"}'
    raise ConfigError(f"cannot be {_brief(cast('object', asked))}", field="question", expected=expected)


def _as_message(entry: object, index: int) -> Message:
    if isinstance(entry, Message):
        return entry
    given: Mapping[str, object] = entry if _is_table(entry) else {}
    role, content, field = given.get("role"), given.get("content"), f"messages[{index}]"
    if role in ("system", "user", "assistant") and isinstance(content, str):
        return Message(role, content)
    if role in ("system", "user", "assistant") and isinstance(content, Sequence):
        found = cast("Sequence[object]", content)
        parts = [_part(part, f"{field}.content[{number}]") for number, part in enumerate(found)]
        images = tuple(url for kind, url in parts if kind == "image")
        return Message(role, "\n".join(text for kind, text in parts if kind == "text"), images=images)
    raise ConfigError(
        f"not a message: {_brief(entry)}",
        field=field,
        expected='{"role": "system" | "user" | "assistant", "content": text or a list of parts}',
    )


def _part(part: object, field: str) -> tuple[Literal["text", "image"], str]:
    """Text or an image's address, out of one part of a message's content."""
    given: Mapping[str, object] = part if _is_table(part) else {}
    match given.get("type"), given.get("text"), given.get("image_url"):
        case "text", str(text), _:
            return "text", text
        case "image_url", _, held if _is_table(held):
            url = held.get("url")
            if isinstance(url, str) and held.get("detail", "auto") == "auto":  # no other would be kept to
                return "image", url
        case _:
            pass
    expected = '{"type": "text", "text": …} or {"type": "image_url", "image_url": {"url": …}}'
    raise ConfigError(f"not a part of a message: {_brief(part)}", field=field, expected=expected)


def _is_table(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping)


def _check_images(message: Message, field: str) -> None:
    if message.images and message.role != "user":
        raise ConfigError(f"an image from the {message.role}", field=field, expected="images from a user only")
    for image in message.images:
        if not _IMAGE.fullmatch(image):
            expected = "https://… or data:image/…;base64,…"
            raise ConfigError(f"not the address of an image: {_brief(image)}", field=field, expected=expected)


def _brief(value: object) -> str:
    """A value as Python writes it, its beginning only where it is long."""
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "…"
