"""The only module that imports numpy: resampling, and choices over whole tables of predictions at once.

Tables come in and go out as plain lists, rows first, so that no other module handles an array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Table", "chosen", "dealt_means", "flipped_sums", "resampled_means", "swept_means"]

Table: TypeAlias = Sequence[Sequence[float]]
"""One row for each case."""

Allowed: TypeAlias = Sequence[Sequence[bool]]
"""Per case and column whether that column may be chosen."""

CELLS_AT_ONCE = 4_000_000
"""Numbers held at a time while resampling: 32 MB."""

Floats: TypeAlias = "NDArray[np.float64]"
Indices: TypeAlias = "NDArray[np.int64]"


def resampled_means(rows: Table, *, samples: int, seed: int, groups: Sequence[int] | None = None) -> list[list[float]]:
    """Column means of `samples` bootstrap samples of the rows, one list of means for each sample.

    Columns are resampled together, so that differences between them stay paired. With `groups`, whole groups of rows
    are drawn (a cluster bootstrap); a mean is then the drawn sum over the number of rows drawn. The nonparametric
    bootstrap of Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), 1979.
    """
    sums, sizes = _summed(np.asarray(rows, dtype=np.float64), groups)
    found: list[list[float]] = []
    for weights in _weights(len(sums), samples, seed):
        means: Floats = (weights @ sums) / (weights @ sizes)[:, None]
        found.extend(means.tolist())
    return found


def _summed(table: Floats, groups: Sequence[int] | None) -> tuple[Floats, Floats]:
    """Sums of the rows of each group, and how many rows it has."""
    if groups is None:
        return table, np.ones(len(table))
    numbers, index = np.unique(np.asarray(groups), return_inverse=True)
    sums: Floats = np.zeros((len(numbers), table.shape[1]))
    np.add.at(sums, index, table)
    return sums, np.bincount(index).astype(np.float64)


def _weights(n: int, samples: int, seed: int) -> Iterator[Floats]:
    """How often each of `n` things is in each bootstrap sample, a batch of samples at a time."""
    draw = np.random.default_rng(seed)
    batch = max(1, min(samples, CELLS_AT_ONCE // n))
    for start in range(0, samples, batch):
        size = min(batch, samples - start)
        drawn = draw.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def flipped_sums(values: Sequence[float], *, samples: int, seed: int) -> list[float]:
    """Sums of the values with each sign drawn anew, `samples` times."""
    draw, table = np.random.default_rng(seed), np.asarray(values, dtype=np.float64)
    batch = max(1, CELLS_AT_ONCE // len(table))
    found: list[float] = []
    for start in range(0, samples, batch):
        signs = draw.integers(0, 2, size=(min(batch, samples - start), len(table))) * 2 - 1
        found.extend((signs @ table).tolist())
    return found


def chosen(
    scores: Table, dollars: Table, prices: Sequence[float], allowed: Sequence[Sequence[bool]]
) -> list[list[int]]:
    """Per case the column of the highest `score - price * dollars` at each price of money, -1 where none is allowed.

    Ties go to the column that comes first.
    """
    found = _chosen(np.asarray(scores), np.asarray(dollars), prices, np.asarray(allowed, dtype=np.bool_))
    return found.tolist()


def _chosen(scores: Floats, dollars: Floats, prices: Sequence[float], allowed: NDArray[np.bool_]) -> Indices:
    best = np.full((len(scores), len(prices)), -1, dtype=np.int64)
    some = allowed.any(axis=1)
    for index, price in enumerate(prices):
        utility = np.where(allowed, scores - price * dollars, -np.inf)
        best[some, index] = utility.argmax(axis=1)[some]
    return best


def swept_means(
    predicted: tuple[Table, Table], outcomes: tuple[Table, Table], allowed: Allowed, prices: Sequence[float]
) -> list[tuple[float, float]]:
    """Mean score and mean dollars of the choices at each price; where nobody is allowed, 0 at no cost."""
    scores, dollars, won, paid = (np.asarray(table, dtype=np.float64) for table in (*predicted, *outcomes))
    choice = _chosen(scores, dollars, prices, np.asarray(allowed, dtype=np.bool_))
    return list(zip(_at(won, choice), _at(paid, choice), strict=True))


def dealt_means(
    predicted: tuple[Table, Table],
    outcomes: tuple[Table, Table],
    allowed: Allowed,
    prices: Sequence[float],
    groups: Sequence[int],
    *,
    samples: int,
    seed: int,
) -> list[list[tuple[float, float]]]:
    """Mean score and mean dollars at each price when each case is given the predictions of another of its group.

    One list for each of `samples` permutations, drawn uniformly within the groups. A case where nobody is allowed
    scores 0 at no cost.
    """
    scores, dollars = (np.asarray(table, dtype=np.float64) for table in predicted)
    won, paid = (np.asarray(table, dtype=np.float64) for table in outcomes)
    dealt = _dealing(scores, dollars, np.asarray(allowed, dtype=np.bool_), prices)
    members = [np.flatnonzero(np.asarray(groups) == group) for group in sorted(set(groups))]
    draw = np.random.default_rng(seed)
    found: list[list[tuple[float, float]]] = []
    for _ in range(samples):
        order = np.arange(len(scores))
        for rows in members:
            order[rows] = draw.permutation(rows)
        choice = dealt(order)
        found.append(list(zip(_at(won, choice), _at(paid, choice), strict=True)))
    return found


def _dealing(
    scores: Floats, dollars: Floats, allowed: NDArray[np.bool_], prices: Sequence[float]
) -> Callable[[Indices], Indices]:
    """The choices when each case is given the predictions of the row that an order names for it.

    Most tables have few kinds of cases by who is allowed, so that all choices can be made beforehand.
    """
    open_to, kinds = np.unique(allowed, axis=0, return_inverse=True)
    if len(open_to) * len(scores) * len(prices) > CELLS_AT_ONCE:
        return lambda order: _chosen(scores[order], dollars[order], prices, allowed)
    ready = np.stack([_chosen(scores, dollars, prices, np.tile(kind, (len(scores), 1))) for kind in open_to])
    return lambda order: ready[kinds, order]


def _at(table: Floats, choice: Indices) -> list[float]:
    """Column means of the values at the chosen columns."""
    values = np.take_along_axis(table, np.maximum(choice, 0), axis=1)
    return np.where(choice < 0, 0.0, values).mean(axis=0).tolist()
