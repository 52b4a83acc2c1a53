"""How sure a model is of a reply: the probability with which it would say yes to it."""

from __future__ import annotations

from math import fsum

from orchestrator.content import load_prompt
from orchestrator.errors import AttemptError
from orchestrator.messages import Message
from orchestrator.providers import Ask, Completion, Request

__all__ = ["YES_NO", "said_yes", "share_of_yes"]

YES_NO = "yes_no"
"""The prompt that asks for it."""
ALTERNATIVES = 5
"""Tokens that are asked for; some servers tell no more."""


async def said_yes(ask: Ask, model: str, question: str, answer: str) -> float | None:
    """The probability, from 0 to 1, with which a model says that an answer is right; None where it does not tell.

    P(True) of S. Kadavath et al., "Language Models (Mostly) Know What They Know", arXiv 2207.05221, §3, read off the
    first token of a reply of one token. It is a score; what it is worth only a calibration says.
    """
    asked = load_prompt(YES_NO).fill(question=question, answer=answer)
    request = Request((Message("user", asked),), max_output=1, temperature=0.0, first_tokens=ALTERNATIVES)
    try:
        return share_of_yes(await ask(model, request))
    except AttemptError:  # the trace has the try, and a confidence that is missing counts as none
        return None


def share_of_yes(completion: Completion) -> float | None:
    """The share of yes among what a completion could have begun with that is yes or no; None where neither is."""
    found = {"yes": list[float](), "no": list[float]()}
    for token, probability in completion.first_tokens:
        found.get(token.strip(" \t\n\"'*.,").casefold(), list[float]()).append(probability)
    yes, no = fsum(found["yes"]), fsum(found["no"])
    return yes / (yes + no) if yes + no > 0 else None
