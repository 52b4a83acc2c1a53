"""Cases of a suite: what is asked, what is right, and what the route to the answer has to be like."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.messages import Message, Question, Status, as_question

__all__ = ["EvalCase", "Expect"]


class Expect(BaseModel):
    """What a run has to look like, beside its answer; what is left out is not asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status | None = None
    """`escalated` for a question that nobody should answer."""
    routed_to: tuple[str, ...] = ()
    """Agents that have to be consulted, each at least once."""
    never_called: tuple[str, ...] = ()
    """Agents that may not be."""
    max_turns: int | None = Field(default=None, ge=0)
    reroutes: int | None = Field(default=None, ge=0)
    """How many reroutes there are to be, no more and no fewer."""
    max_cost_usd: Annotated[Decimal, Field(ge=0)] | None = None


class Said(BaseModel):
    """One message of a conversation, as a file holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class EvalCase(BaseModel):
    """One question of a suite."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    question: str | tuple[Said, ...]
    reference: tuple[str, ...] = ()
    """The right answers, any of which will do; a single text in a file is one of them."""
    choices: tuple[str, ...] = ()
    kind: str | None = None
    """Kind of task (`multiple_choice`, `math`, …); it selects an agent's skill."""
    task: str | None = None
    """Label by which a report is broken down, and placebos are dealt."""
    split: Literal["train", "test"] = "test"
    expect: Expect = Expect()

    @property
    def asked(self) -> Question:
        """The question as a run takes it; raises `ConfigError` where it is empty."""
        said = self.question if isinstance(self.question, str) else [Message(m.role, m.content) for m in self.question]
        plain = as_question(said)
        return Question(plain.messages, kind=self.kind, choices=self.choices, case=self.id)
