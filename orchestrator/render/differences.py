"""Says in words how two runs differ, and what a replay came to."""

from __future__ import annotations

from decimal import Decimal
from typing import cast

from rich.text import Text

from orchestrator.messages import Dissent, Message, Usage
from orchestrator.render.columns import Folded
from orchestrator.render.screen import Screen, money, plain, seconds
from orchestrator.render.story import WHOLE, decision_lines
from orchestrator.retrace import Replay
from orchestrator.trace import Change, Difference, Fork

__all__ = ["show_difference", "show_replay"]

_WORDS = {
    "cost_usd": "cost",
    "usage": "tokens",
    "expert_calls": "expert calls",
    "control_calls": "control calls",
    "merge_calls": "merge calls",
}


def show_difference(found: Difference, names: tuple[str, str], screen: Screen) -> None:
    """Say where two runs part, what they ended in and what they took; `names` are theirs."""
    screen.show(Folded(Text.assemble(("A ", "head"), (names[0], "agent"), ("   B ", "head"), (names[1], "agent"))))
    _show_changes("asked", found.asked, screen)
    _show_fork(found.routing, screen)
    if not found.outcome:
        screen.show(Text.assemble(("outcome   ", "head"), ("the same decision", "ok")))
    _show_changes("outcome", found.outcome, screen)
    _show_changes("took", found.figures, screen)


def show_replay(replay: Replay, screen: Screen) -> None:
    """Say what a replay decided, and in what that differs from what was recorded."""
    screen.show(decision_lines(replay.decision))
    for told in replay.taken:
        screen.show(Folded(Text.assemble(("taken     ", "head"), (told, "detour"))))
    _show_changes("differs", replay.changes, screen)
    if replay.same:
        screen.show(Text.assemble(("replayed  ", "head"), ("the same decision, from the trace alone", "ok")))


def _show_fork(fork: Fork | None, screen: Screen) -> None:
    if fork is None:
        screen.show(Text.assemble(("routing   ", "head"), ("the same way", "ok")))
        return
    after = f", after “{plain(fork.after)}”" if fork.after else ""
    screen.show(Folded(Text.assemble(("routing   ", "head"), (f"the ways part at step {fork.step}{after}", "detour"))))
    for name, step in (("A", fork.one), ("B", fork.other)):
        screen.show(
            Folded(Text.assemble((f"  {name} ", "head"), plain(step, width=WHOLE) if step else "no further step"))
        )


def _show_changes(heading: str, changes: tuple[Change, ...], screen: Screen) -> None:
    for change in changes:
        word = _WORDS.get(change.field, change.field)
        told = Text.assemble((f"{heading:<9} ", "head"), (f"{word} ", "quiet"), _told(change.one, change.field))
        screen.show(Folded(told.append(" → ", "quiet").append(_told(change.other, change.field))))


def _told(value: object, field: str) -> str:
    """A value of a field for people."""
    match value:
        case Decimal() | None if field == "cost_usd":
            return money(value)
        case float() if field == "seconds":
            return seconds(value)
        case None:
            return "none"
        case Usage():
            return f"{value.total:,}"
        case Message():
            return plain(value.content, width=WHOLE)
        case Dissent():
            return f"{value.agent}: {plain(value.answer, width=WHOLE)}"
        case tuple():
            return ", ".join(_told(each, "") for each in cast("tuple[object, ...]", value)) or "none"
        case dict():
            table = cast("dict[str, object]", value)
            return ", ".join(f"{key} {_told(each, '')}" for key, each in table.items()) or "none"
        case _:
            return plain(str(value), width=WHOLE)
