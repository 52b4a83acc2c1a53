"""Rows in columns where the width allows it, else below each other; nothing is left out unsaid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

__all__ = ["Folded", "Rows"]

GAP = 2
INDENT = 2
LEAST_LAST, MOST_WORD = 16, 40
"""Columns that a last cell needs at least where it is wrapped between words, and of the word that it may not part."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A text that is wrapped between words, behind an indent, whatever the output is."""

    text: Text
    indent: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines of the text."""
        for line in self.text.wrap(console, max(options.max_width - self.indent, 1), overflow="fold", no_wrap=False):
            line.rstrip()
            yield Text(" " * self.indent) + line


@dataclass(frozen=True, slots=True)
class Rows:
    """Cells under a header.

    Where all columns are too wide, those in `spare` go, which say nothing that the rest does not; where that does
    not help, every row becomes a head line and its other cells by name below it. `beside` is a column that then
    stands in the head line; `cut` shortens the last cell with a mark instead of wrapping it.
    """

    header: Sequence[str]
    cells: Sequence[Sequence[Text]]
    right: Sequence[str] = ()
    """Columns that are set to the right."""
    spare: Sequence[str] = ()
    beside: str | None = None
    cut: bool = False
    named: bool = True
    """Whether the header is shown."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or the rows below each other."""
        every = range(len(self.header))
        needed = [index for index in every if self.header[index] not in self.spare]
        if self._width(every, whole=len(needed) < len(every)) <= options.max_width:
            yield self._table(every)
        elif self._width(needed) <= options.max_width:
            yield self._table(needed)
        else:
            for row in self.cells:
                yield from self._entry(row, needed, max(options.max_width - INDENT, 1))

    def _width(self, columns: Sequence[int], *, whole: bool = False) -> int:
        """Cells of the terminal that the columns take at least, the last of them wrapped or cut unless `whole`."""
        *firsts, last = ([self.header[c] * self.named, *(row[c].plain for row in self.cells)] for c in columns)
        widest = max(Text(text).cell_len for text in last)
        longest = 0 if self.cut else max(Text(word).cell_len for text in last for word in ("", *text.split()))
        tail = widest if whole else min(widest, max(min(longest, MOST_WORD), LEAST_LAST))
        return sum(max(Text(text).cell_len for text in column) + GAP for column in firsts) + tail

    def _table(self, columns: Sequence[int]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=self.named, header_style="quiet")
        for index in columns:
            name, last = self.header[index], index == columns[-1]
            table.add_column(
                name,
                justify="right" if name in self.right else "left",
                no_wrap=self.cut or not last,
                overflow="ellipsis" if self.cut else "fold",
            )
        for row in self.cells:
            table.add_row(*(row[index] for index in columns))
        return table

    def _entry(self, row: Sequence[Text], columns: Sequence[int], width: int) -> Iterator[Folded]:
        """A row below its head line."""
        first, *others = columns
        head = row[first].copy()
        pieces: list[Text] = []
        for index in others:
            name, cell = self.header[index], row[index]
            if not cell.plain:
                continue
            if name == self.beside:
                head = Text.assemble(head, "  ", cell)
            else:
                pieces.append(Text.assemble((f"{name} " if name and self.named else "", "quiet"), cell))
        yield Folded(head)
        for line in _flow(pieces, width):
            yield Folded(line, INDENT)


def _flow(pieces: Sequence[Text], width: int) -> Iterator[Text]:
    """The pieces with dots between them, as many in a line as fit."""
    line = Text()
    for piece in pieces:
        if line.plain and line.cell_len + len(" · ") + piece.cell_len > width:
            yield line
            line = Text()
        line = Text.assemble(line, (" · ", "quiet"), piece) if line.plain else piece.copy()
    if line.plain:
        yield line
