"""Pieces of HTML: elements, tables and bars; text from outside comes in by `text` alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from orchestrator.evals.stats import Interval

__all__ = ["bar", "signed", "table", "tag", "text"]


def text(words: object) -> str:
    """Text as HTML shows it, in content and in attributes."""
    return escape(str(words))


def tag(name: str, content: str = "", /, **attributes: str | None) -> str:
    """An element around HTML; `cls` is its class, an underscore in a name a hyphen, None an attribute left out."""
    said = "".join(
        f' {"class" if key == "cls" else key.replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{said}>{content}</{name}>"


def table(caption: str, header: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], *, cls: str) -> str:
    """A table of HTML cells: the class of each row and its cells, the first of which names it."""
    head = "".join(tag("th", text(each), scope="col") for each in header)
    body = "".join(
        tag("tr", tag("th", cells[0], scope="row") + "".join(tag("td", cell) for cell in cells[1:]), cls=kind or None)
        for kind, cells in rows
    )
    inner = tag("caption", text(caption)) + tag("thead", tag("tr", head)) + tag("tbody", body)
    return tag("div", tag("table", inner, cls=cls), cls="scroll", role="region", aria_label=caption, tabindex="0")


def bar(share: float, role: str, *, ci: Interval | None = None, tick: float | None = None) -> str:
    """A bar from 0 to 1, with an interval or a mark; what it says stands beside it in words."""
    parts = tag("i", style=f"width:{100 * share:.2f}%", cls="fill")
    if ci is not None:
        low, high = max(0.0, ci.low), min(1.0, ci.high)
        parts += tag("b", style=f"left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%", cls="whisker")
    if tick is not None:
        parts += tag("b", style=f"left:{100 * tick:.2f}%", cls="mark")
    return tag("span", parts, cls=f"bar {role}", aria_hidden="true")


def signed(value: float, digits: int = 4) -> str:
    """A difference with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")
