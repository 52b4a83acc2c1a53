"""Axes of the plot: where a value stands, and which values get a tick."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

__all__ = ["Scale", "cost_scale", "dollars", "score_scale"]

WIDE = 12.0
"""From this ratio of dearest to cheapest on, a linear axis hides the cheap ones."""

WAYS = ((8, (1,)), (4, (1,)), (2, (1,)), (1, (1,)), (1, (1, 3)), (1, (1, 2, 5)), (1, tuple(range(1, 10))))
"""Ways to choose ticks of a logarithmic axis: every how many powers of ten, and which multiples of these."""


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`, drawn from pixel `start` to pixel `end`."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value, kept inside the axis."""
        low, high, value = (log10(each) if self.log else each for each in (self.low, self.high, self._inside(value)))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def _inside(self, value: float) -> float:
        return min(max(value, self.low), self.high)


def score_scale(values: Iterable[float], start: float, end: float) -> Scale:
    """An axis of scores, as wide as they need, between 0 and 1."""
    found = list(values)
    low, high = min(found, default=0.0), max(found, default=1.0)
    step = _step(max(high - low, 0.05), 5)
    low = max(0.0, floor(round(low / step, 6)) * step)
    high = min(1.0, ceil(round(high / step, 6)) * step)
    high = high if low < high else min(1.0, low + step)
    low = low if low < high else high - step
    return Scale(low, high, start, end, _ticks(low, high, step))


def cost_scale(values: Iterable[float], start: float, end: float, *, log: bool) -> Scale:
    """An axis of costs; those of nothing stand left of a logarithmic one."""
    found = [each for each in values if each > 0]
    top = max(found, default=1.0)
    if not log:
        step = _step(top, 6 if end - start > 500 else 3)
        return Scale(0.0, top * 1.06, start, end, _ticks(0.0, top * 1.06, step))
    low, high = min(found, default=0.1) / 1.5, top * 1.5
    most = 9 if end - start > 500 else 4
    ways = [_marks(low, high, every, parts) for every, parts in WAYS]
    ticks = max((each for each in ways if len(each) <= most), key=len)
    return Scale(low, high, start, end, ticks, log=True)


def dollars(usd: float | None) -> str:
    """Dollars in as many digits as tell something."""
    if usd is None:
        return "?"
    if not usd:
        return "$0"
    digits = max(2, 2 - floor(log10(abs(usd)))) if abs(usd) < 1 else 2
    whole = f"{usd:,.{min(digits, 9)}f}"
    head, _, tail = whole.partition(".")
    return f"${head}.{tail.rstrip('0'):0<2}" if tail.strip("0") or head != "0" else "<$0.000000001"


def _marks(low: float, high: float, every: int, parts: Iterable[int]) -> tuple[float, ...]:
    """Multiples of every so many powers of ten."""
    decades = range(every * floor(log10(low) / every), ceil(log10(high)) + 1, every)
    ticks = [part * 10.0**decade for decade in decades for part in parts]
    return tuple(each for each in ticks if low <= each <= high)


def _step(span: float, parts: int) -> float:
    """A round step that cuts a span into about so many parts."""
    raw = span / parts
    size = 10.0 ** floor(log10(raw))
    return next(size * each for each in (1, 2, 2.5, 5, 10) if size * each >= raw * 0.999)


def _ticks(low: float, high: float, step: float) -> tuple[float, ...]:
    first, last = ceil(round(low / step, 6)), floor(round(high / step, 6))
    return tuple(place * step for place in range(first, last + 1))
