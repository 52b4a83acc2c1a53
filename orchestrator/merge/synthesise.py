"""The merge agent: a model decides on one answer from anonymous analyses in a fixed order (ORCH, arXiv 2602.01797)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from orchestrator.merge.asking import PanelMerge
from orchestrator.merge.base import sided
from orchestrator.merge.canonical import canonical
from orchestrator.messages import Analysis, Question, Reply

__all__ = ["NOTHING", "Synthesise"]

NOTHING = "NONE"
"""What a model writes where no analysis answers the question."""


@dataclass(frozen=True, slots=True)
class Synthesise(PanelMerge):
    """The model's own answer, drawn from the analyses; one of the choices where the question lists any."""

    prompt: ClassVar[str] = "synthesise"

    @property
    def name(self) -> str:
        """The word that traces and decisions use for it."""
        return "synthesise"

    def read(self, text: str, question: Question, replies: Sequence[Reply]) -> Analysis | None:
        """The answer, with equal replies as support; None where it is no choice, or says that there is none."""
        answer = canonical(text, question) if question.choices else text
        return sided(answer, question, replies) if answer and text != NOTHING else None
