"""What a model is asked, what it gives back, and what the asking may cost."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from orchestrator.messages import Question, Usage
from orchestrator.pool import Model

__all__ = ["Completion", "Provider", "Quote"]


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model gave, as the vendor billed it."""

    text: str
    usage: Usage
    cost: Decimal | None
    """USD; None where the price is unknown."""
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Quote:
    """What one try would take, before it is made."""

    expected: Decimal | None = Decimal(0)
    """USD on average; None where the price is unknown."""
    reserve: Decimal | None = Decimal(0)
    """USD at worst."""
    input_cost: Decimal | None = Decimal(0)
    """USD of the input alone: the charge of a try that failed without a word on its usage."""
    tokens: int = 0
    """Input and output at worst."""
    why_not: str | None = None
    """Why the model cannot take the question at all."""


class Provider(Protocol):
    """The way to a family of models."""

    def quote(self, model: Model, question: Question) -> Quote:
        """What asking would take; asks nobody."""
        ...

    async def complete(self, model: Model, question: Question) -> Completion:
        """Ask the model; raises `ProviderError`."""
        ...
