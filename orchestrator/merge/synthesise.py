"""The merge agent: a model decides on one answer from anonymous analyses in a fixed order (ORCH, arXiv 2602.01797)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256
from math import ceil

from orchestrator.content import Prompt, load_prompt
from orchestrator.errors import AttemptError
from orchestrator.merge.base import sided
from orchestrator.merge.canonical import canonical
from orchestrator.merge.rules import Vote
from orchestrator.messages import Analysis, Goal, Message, Question, Reply, Usage
from orchestrator.pool import Model
from orchestrator.providers import Ask, Quote, Request
from orchestrator.providers.base import CHARACTERS_PER_TOKEN, estimated_tokens, list_price_quote

__all__ = ["Synthesise", "worst_of_asking"]

NOTHING = "NONE"
LONGEST_ANALYSIS = 8_000
"""Characters of an analysis that the merge agent is shown."""
FEWEST_ANALYSES = 3


@dataclass(frozen=True, slots=True)
class Synthesise:
    """Asks a model of the pool; what it gives must be one of the choices where the question lists any.

    A failed or unreadable merge falls back to the vote, and says so.
    """

    model: str
    max_output: int = 1024
    name: str = "synthesise"

    async def merge(self, question: Question, replies: Sequence[Reply], ask: Ask | None = None) -> Analysis:
        """The model's answer, with equal replies as support; one reply needs no call."""
        if len(replies) == 1:
            return sided(replies[0].text, question, replies)
        if ask is None:
            return await self._voted(question, replies, "there is no model to ask")
        try:
            completion = await ask(self.model, self.request(question, replies))
        except AttemptError as error:
            return await self._voted(question, replies, str(error))
        answer = completion.text.strip()
        choice = canonical(answer, question) if question.choices else answer
        if completion.finish not in ("stop", "calls") or not choice or answer == NOTHING:
            return await self._voted(question, replies, "it gave no answer that can be used")
        return sided(choice, question, replies)

    def request(self, question: Question, replies: Sequence[Reply]) -> Request:
        """What the model is asked; the order of the analyses hangs on their text alone."""
        texts = sorted(
            {reply.text[:LONGEST_ANALYSIS] for reply in replies}, key=lambda text: sha256(_bytes(text)).hexdigest()
        )
        analyses = "\n\n".join(_numbered(number, text) for number, text in enumerate(texts, start=1))
        asked = question.text + (f"\nChoices: {', '.join(question.choices)}" if question.choices else "")
        text = load_prompt("synthesise").fill(question=asked, analyses=analyses)
        return Request((Message("user", text),), max_output=self.max_output)

    def worst(self, model: Model, question: Question, analyses: int) -> Quote:
        """What the call may take: as many analyses as were asked for, three at least, each as long as one may be."""
        filler = Reply(0, "", Goal(""), "x" * LONGEST_ANALYSIS)
        tokens = estimated_tokens(self.request(question, [filler]))
        each = ceil(len("\n\n" + _numbered(analyses, filler.text)) / CHARACTERS_PER_TOKEN)
        usage = Usage(tokens + (max(analyses, FEWEST_ANALYSES) - 1) * each, self.max_output)
        cost = Decimal(0) if model.free else model.price.cost(usage) if model.price else None
        return Quote(cost, cost, cost, usage.total)

    def prompts(self) -> tuple[Prompt, ...]:
        """The prompt it sends."""
        return (load_prompt("synthesise"),)

    async def _voted(self, question: Question, replies: Sequence[Reply], why: str) -> Analysis:
        voted = await Vote().merge(question, replies)
        return replace(voted, reasons=(*voted.reasons, f"synthesise: {why}; decided by vote"))


def worst_of_asking(model: Model, question: Question, analyses: int) -> Quote:
    """What a call of another merge may take: the question, as many long analyses, the model's whole output."""
    shown = LONGEST_ANALYSIS * max(analyses, FEWEST_ANALYSES)
    asked = Request((*question.messages, Message("user", "x" * shown)), max_output=model.max_output)
    return list_price_quote(model, asked)


def _numbered(number: int, text: str) -> str:
    mark = sha256(_bytes(text)).hexdigest()[:12]
    return f'<analysis number="{number}" mark="{mark}">\n{text}\n</analysis mark="{mark}">'


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
