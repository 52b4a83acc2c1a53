"""Search in a folder of documents with SQLite's full-text index, ranked by bm25."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from orchestrator.errors import ToolError
from orchestrator.tools.base import Claim, Resources
from orchestrator.tools.documents import best, claim_search, passages, quotation, search_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.tools.documents import Passage

__all__ = ["answer", "claim"]

CANDIDATES = 50
TABLE = "CREATE VIRTUAL TABLE passages USING fts5(heading, body, tokenize = 'porter unicode61')"


def claim(question: str, resources: Resources) -> Claim:
    """Fairly sure of a question in words, where there is a folder; whether a passage matches is seen later."""
    said = claim_search(question, resources)
    return Claim(0.65) if said.p else said


def answer(question: str, resources: Resources) -> str:
    """The best passage with its file and line."""
    wanted = search_words(question)
    if resources.docs is None or not wanted:
        raise ToolError("no folder of documents: --docs DIR" if wanted else "there is no word to look up")
    return quotation(wanted, best(wanted, _ranked(wanted, passages(resources.docs))))


def _ranked(wanted: Mapping[str, str], found: Sequence[Passage]) -> list[Passage]:
    """The passages that hold any of the words, best first."""
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            database.execute(TABLE)
        except sqlite3.OperationalError as error:
            raise ToolError(f"this Python's SQLite has no full-text index: {error}") from error
        rows = ((number, each.heading, "\n".join(each.lines)) for number, each in enumerate(found))
        database.executemany("INSERT INTO passages (rowid, heading, body) VALUES (?, ?, ?)", rows)
        # Stems are letters and digits alone, and quoted: nothing in a question can be read as an operator.
        query = " OR ".join(f'"{word}"*' for word in wanted)
        ranked = database.execute(
            "SELECT rowid FROM passages WHERE passages MATCH ? ORDER BY bm25(passages, 0.5, 1.0), rowid LIMIT ?",
            (query, CANDIDATES),
        )
        return [found[row] for (row,) in ranked]
