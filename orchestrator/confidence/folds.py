"""Cross-fitting: what judges a question was fitted on the others, so that no choice has seen its outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TypeVar

__all__ = ["FOLDS", "crossfit", "fold_of"]

FOLDS = 5

Item = TypeVar("Item")
Fitted = TypeVar("Fitted")
Found = TypeVar("Found")


def fold_of(name: str, folds: int = FOLDS) -> int:
    """The fold of a question, by the SHA-256 of its id: order and company change nothing."""
    return int.from_bytes(sha256(name.encode("utf-8", "backslashreplace")).digest()[:8]) % folds


def crossfit(
    items: Sequence[Item],
    name: Callable[[Item], str],
    fit: Callable[[Sequence[Item]], Fitted],
    use: Callable[[Fitted, Item], Found],
    *,
    folds: int = FOLDS,
) -> list[Found]:
    """What `use` makes of each item with what `fit` made of the items of all other folds; in the order of the items.

    Items of one name stay together. Raises `ValueError` where there is nothing to fit on outside some fold.
    """
    places = [fold_of(name(item), folds) for item in items]
    fitted: dict[int, Fitted] = {}
    for fold in sorted(set(places)):
        others = [item for item, place in zip(items, places, strict=True) if place != fold]
        if not others:
            raise ValueError("all items are in one fold: there is nothing to fit on")
        fitted[fold] = fit(others)
    return [use(fitted[place], item) for item, place in zip(items, places, strict=True)]
