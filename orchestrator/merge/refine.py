"""The refining agent: one text of all replies, with every conflict between them told (TCAndon-Router, 2601.04544)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from orchestrator.merge.asking import PanelMerge
from orchestrator.merge.base import sided
from orchestrator.merge.canonical import canonical
from orchestrator.merge.synthesise import NOTHING
from orchestrator.messages import Analysis, Question, Reply

__all__ = ["Refine"]


@dataclass(frozen=True, slots=True)
class Refine(PanelMerge):
    """Keeps what is strong in each reply, tells and explains every conflict, and declines politely where all failed."""

    prompt: ClassVar[str] = "refine"

    @property
    def name(self) -> str:
        """The word that traces and decisions use for it."""
        return "refine"

    def read(self, text: str, question: Question, replies: Sequence[Reply]) -> Analysis | None:
        """The refined text; where no reply was of use the model's polite refusal, and the reasons say so."""
        first, _, rest = text.partition("\n")
        refused = first.strip(" .*`") == NOTHING
        answer = rest.strip() if refused else text
        if question.choices:
            answer = "" if refused else canonical(text, question) or ""
        if not answer:
            return None
        merged = sided(answer, question, replies)
        return replace(merged, reasons=("refine: no reply answers the question",)) if refused else merged
