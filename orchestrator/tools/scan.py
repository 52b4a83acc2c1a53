"""Search in a folder of documents by reading all of it; no index."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.errors import ToolError
from orchestrator.tools.base import Claim, Resources
from orchestrator.tools.documents import best, claim_search, passages, quotation, search_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.tools.documents import Passage

__all__ = ["answer", "claim"]


def claim(question: str, resources: Resources) -> Claim:
    """Fairly sure of a question in words, where there is a folder; whether a passage matches is seen later."""
    return claim_search(question, resources)


def answer(question: str, resources: Resources) -> str:
    """The best passage with its file and line."""
    wanted = search_words(question)
    if resources.docs is None or not wanted:
        raise ToolError("no folder of documents: --docs DIR" if wanted else "there is no word to look up")
    return quotation(wanted, best(wanted, _ranked(wanted, passages(resources.docs))))


def _ranked(wanted: Mapping[str, str], found: Sequence[Passage]) -> list[Passage]:
    """The passages that hold any of the words; rare words count more, and short passages win."""
    held = [(passage, passage.words & wanted.keys()) for passage in found]
    seen = Counter(word for _, words in held for word in words)
    weights = {word: math.log(1 + len(found) / count) for word, count in seen.items()}
    scored = [(sum(map(weights.__getitem__, sorted(words))), passage) for passage, words in held if words]
    return [passage for _, passage in sorted(scored, key=lambda pair: (-pair[0], len(" ".join(pair[1].lines))))]
