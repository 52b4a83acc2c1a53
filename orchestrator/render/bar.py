"""A bar on stderr for long work: done, errors, dollars, time left."""

from __future__ import annotations

from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from orchestrator.render.screen import Screen

__all__ = ["Bar"]


class Bar:
    """A bar on stderr: done, errors, dollars, time left."""

    def __init__(self, name: str, total: int, screen: Screen) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
            console=screen.err,
            disable=screen.quiet,
        )
        self._task = self._progress.add_task(name, total=total, told="")
        self._errors, self._usd = 0, 0.0

    def __enter__(self) -> Self:
        """Show it."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave it as it stands."""
        self._progress.stop()

    def count(self, *, failed: bool, cost: Decimal | None) -> None:
        """Count something that is done."""
        self._errors += failed
        self._usd += float(cost or 0)
        self._progress.update(self._task, advance=1, told=f"{self._errors} errors · ${self._usd:.4f}")
