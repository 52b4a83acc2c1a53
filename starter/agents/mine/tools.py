"""Experts that are Python functions: typed parameters in, the answer out."""

from __future__ import annotations

import re

from orchestrator import expert

QUESTION = re.compile(r"how (?:many|often).*?\b([a-z])(?:['’]?s)?\b.*?\bin\W+(?:the word\W+)?(\w+)", re.IGNORECASE)


def can_count(question: str) -> float:
    """Say how surely `letters` can take a question: asked of every question, so it has to be quick."""
    return 1.0 if QUESTION.search(question) else 0.0


@expert(claim=can_count)
def letters(question: str) -> str:
    """Count how often a letter stands in a word."""
    found = QUESTION.search(question)
    if found is None:
        raise ValueError("I count letters in words: How many r are in strawberry?")
    letter, word = found.groups()
    return str(word.lower().count(letter.lower()))
