"""The judge: a model picks one reply, which is the answer word for word (xRouter's selection, arXiv 2510.08439)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from orchestrator.merge.asking import PanelMerge, candidates, unanimous
from orchestrator.merge.base import sided
from orchestrator.messages import Analysis, Question, Reply

__all__ = ["Best"]

_NUMBER = re.compile(r"(?<![\w.-])\d{1,6}(?![\w]|\.\d)")


@dataclass(frozen=True, slots=True)
class Best(PanelMerge):
    """The judge reads the analyses without their authors' names and says the number of one; 0 is none of them."""

    prompt: ClassVar[str] = "best"
    writes: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The word that traces and decisions use for it."""
        return "best"

    def settled(self, question: Question, replies: Sequence[Reply]) -> bool:
        """Among replies that all give the same answer there is nothing to pick."""
        return unanimous(question, replies)

    def read(self, text: str, question: Question, replies: Sequence[Reply]) -> Analysis | None:
        """The reply of the one number that the judge wrote first; None where that is the number of none."""
        first = next((line for line in text.splitlines() if line.strip()), "")
        numbers = {int(found) for found in _NUMBER.findall(first)}
        among = candidates(replies)
        if len(numbers) != 1 or not 1 <= (number := numbers.pop()) <= len(among):
            return None
        return sided(among[number - 1].text, question, replies)
