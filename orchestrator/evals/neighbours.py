"""The only module that imports scikit-learn: which train texts are nearest to a text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TypeAlias

from orchestrator.evals.extra import need_extra

__all__ = ["nearest_rows"]

Sklearn: TypeAlias = Any
"""scikit-learn is untyped: the one seam where Any is let in."""

WORDS = (r"(?u)\b\w\w+\b", r"(?u)\S+")
"""What counts as a word: scikit-learn's own pattern, or anything at all where no train text has such a word."""
WORKING_MEGABYTES = 64
"""What scikit-learn may hold of the table of distances at a time."""


def nearest_rows(train: Sequence[str], texts: Sequence[str], *, k: int) -> list[list[int]]:
    """For each text the rows of the `k` nearest train texts, nearest first; of all where there are fewer.

    TF-IDF over words and pairs of words, sublinear term frequencies, fitted on the train texts; distance is the
    cosine's. A text that shares no word with train is equally far from all of it: all rows are its neighbours.
    """
    need_extra()
    everybody = list(range(len(train)))
    words = next((each for each in WORDS if any(re.search(each, text) for text in train)), None)
    if words is None:
        return [everybody for _ in texts]
    vectors: Sklearn = import_module("sklearn.feature_extraction.text").TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=words
    )
    index: Sklearn = import_module("sklearn.neighbors").NearestNeighbors(metric="cosine", algorithm="brute")
    index.fit(vectors.fit_transform(train))
    asked = vectors.transform(texts)
    with _sklearn().config_context(working_memory=WORKING_MEGABYTES):
        found: list[list[int]] = index.kneighbors(asked, min(k, len(train)), return_distance=False).tolist()
    shared: list[int] = asked.getnnz(axis=1).tolist()
    return [rows if words else everybody for rows, words in zip(found, shared, strict=True)]


def _sklearn() -> Sklearn:
    return import_module("sklearn")
