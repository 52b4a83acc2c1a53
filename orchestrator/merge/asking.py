"""Merges that ask a model of the pool: anonymous analyses in a fixed order, data between marks, room kept for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from math import ceil
from typing import ClassVar

from orchestrator.content import Prompt, load_prompt
from orchestrator.errors import AttemptError
from orchestrator.merge.base import sided
from orchestrator.merge.canonical import grouped
from orchestrator.merge.rules import fallen_back, voted
from orchestrator.messages import Analysis, Message, Question, Reply, Usage
from orchestrator.pool import Model
from orchestrator.providers import Ask, Quote, Request
from orchestrator.providers.base import CHARACTERS_PER_TOKEN, estimated_tokens, list_price_quote

__all__ = ["PanelMerge", "worst_of_asking"]

LONGEST_ANALYSIS = 8_000
"""Characters of an analysis that the model is shown, where there are no more than a few."""
FEWEST_ANALYSES = 3
"""Analyses, each of the greatest length, that there is always room for; more of them share it."""
FRAME = 200
"""Characters of the marks round an analysis, at most."""


@dataclass(frozen=True, slots=True)
class PanelMerge(ABC):
    """A model of the pool reads all analyses and decides; what it cannot do is decided without it, and said.

    `model` is its name in the pool, `max_output` what it may write, in tokens.
    """

    model: str
    max_output: int = 1024

    prompt: ClassVar[str]
    """The prompt that asks for it, which takes `$question` and `$analyses`."""
    writes: ClassVar[bool] = True
    """Whether the model writes the answer itself, and has to be told what a typed one looks like."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The word that traces and decisions use for it."""

    @abstractmethod
    def read(self, text: str, question: Question, replies: Sequence[Reply]) -> Analysis | None:
        """What the model's words decide; None where they decide nothing."""

    async def merge(self, question: Question, replies: Sequence[Reply], ask: Ask | None = None) -> Analysis:
        """What the model decides; replies that are one and the same need no call."""
        if len({reply.text for reply in replies}) == 1:
            return sided(replies[0].text, question, replies)
        if self.settled(question, replies):
            return voted(question, replies)
        if ask is None:
            return self._without(question, replies, "there is no model to ask")
        try:
            completion = await ask(self.model, self.request(question, replies))
        except AttemptError as error:
            return self._without(question, replies, str(error))
        said = completion.text.strip()
        decided = self.read(said, question, replies) if said and completion.finish in ("stop", "calls") else None
        return decided or self._without(question, replies, "it gave no answer that can be used")

    def settled(self, question: Question, replies: Sequence[Reply]) -> bool:
        """Whether replies that differ in words alone leave nothing to decide."""
        del question, replies
        return False

    def request(self, question: Question, replies: Sequence[Reply]) -> Request:
        """What the model is asked; the order of the analyses hangs on their texts alone."""
        texts = shown(replies, LONGEST_ANALYSIS * FEWEST_ANALYSES)
        analyses = "\n\n".join(_numbered(number, text) for number, text in enumerate(texts, start=1))
        asked = question.text + (f"\nChoices: {', '.join(question.choices)}" if question.choices else "")
        text = load_prompt(self.prompt).fill(question=asked, analyses=analyses)
        return Request((Message("user", text),), max_output=self.max_output)

    def worst(self, model: Model, question: Question, analyses: int) -> Quote:
        """What the call may take, however long the analyses are and however many come of so many."""
        del analyses  # more of them share the same room
        tokens = estimated_tokens(self.request(question, ()))
        tokens += ceil(LONGEST_ANALYSIS * FEWEST_ANALYSES / CHARACTERS_PER_TOKEN) + 1
        usage = Usage(tokens, self.max_output)
        cost = Decimal(0) if model.free else model.price.cost(usage) if model.price else None
        return Quote(cost, cost, cost, usage.total)

    def prompts(self) -> tuple[Prompt, ...]:
        """The prompt it sends."""
        return (load_prompt(self.prompt),)

    def _without(self, question: Question, replies: Sequence[Reply], why: str) -> Analysis:
        return fallen_back(question, replies, f"{self.name}: {why}")


def candidates(replies: Sequence[Reply]) -> list[Reply]:
    """One reply for each text, in the order in which the model is shown them."""
    distinct = {analysis_text(reply): reply for reply in sorted(replies, key=lambda each: (each.agent, each.attempt))}
    return [distinct[text] for text in sorted(distinct, key=_digest)]


def shown(replies: Sequence[Reply], room: int) -> list[str]:
    """Texts of the analyses in their order, cut so that with their marks they fit into so many characters."""
    texts = [analysis_text(reply) for reply in candidates(replies)]
    most = room // max(FEWEST_ANALYSES, len(texts)) - FRAME
    return [text[: max(0, most)] for text in texts]


def analysis_text(reply: Reply) -> str:
    """A reply as a judge reads it: the answer, and what its expert stated besides."""
    stated = [f"evidence: {each}" for each in reply.evidence] + [f"ruled out: {each}" for each in reply.eliminated]
    if reply.confidence is not None:
        stated.append(f"stated confidence: {reply.confidence:g}")
    return "\n".join([reply.text, *stated])


def unanimous(question: Question, replies: Sequence[Reply]) -> bool:
    """Whether all replies are one and the same answer."""
    groups = grouped(replies, lambda reply: reply.text, question)
    return len(groups) == 1 and len(groups[0][1]) == len(replies)


def worst_of_asking(model: Model, question: Question, analyses: int) -> Quote:
    """What a call of another merge may take: the question, as many long analyses, the model's whole output."""
    longest = LONGEST_ANALYSIS * max(analyses, FEWEST_ANALYSES)
    asked = Request((*question.messages, Message("user", "x" * longest)), max_output=model.max_output)
    return list_price_quote(model, asked)


def _numbered(number: int, text: str) -> str:
    mark = _digest(text)[:12]
    return f'<analysis number="{number}" mark="{mark}">\n{text}\n</analysis mark="{mark}">'


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
