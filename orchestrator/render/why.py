"""Explains a run: who was considered, at what weight, who was taken, what each rejected way would have cost."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.merge import Attribution, Member, attributed
from orchestrator.render.columns import Folded, Rows
from orchestrator.render.screen import Screen, money, plain
from orchestrator.render.story import decision_lines, story_line
from orchestrator.render.tables import candidates_table, formula
from orchestrator.trace import Trace
from orchestrator.trace.events import (
    AttemptFailed,
    AttemptStarted,
    BadTurn,
    Demoted,
    Escalated,
    Event,
    Merged,
    Monitored,
    Planned,
    Rerouted,
    Returned,
    RunEnded,
    RunStarted,
    Superseded,
    TakenOver,
    TurnTaken,
    Waited,
)
from orchestrator.weights import Rates

__all__ = ["why_trace"]

CELL = 40
"""Columns of an answer in the table of members."""
_SIDE = {"support": "ok", "dissent": "detour", "decided": "ok", "failed": "bad"}

_TOLD = (
    AttemptFailed,
    BadTurn,
    Demoted,
    Escalated,
    Merged,
    Monitored,
    Rerouted,
    Returned,
    Superseded,
    TakenOver,
    TurnTaken,
    Waited,
)


def why_trace(trace: Trace, screen: Screen) -> None:
    """Print the choices of a run in order, with what followed from each."""
    names = {event.attempt: event.agent for event in trace.events if isinstance(event, AttemptStarted)}
    started = next((event for event in trace.events if isinstance(event, RunStarted)), None)
    rates = Rates(started.cost_weight, started.time_weight) if started is not None else None
    if rates is not None:
        screen.show(Folded(Text(f"{formula(rates)}; the cheapest way is taken, ties by name", "quiet")))
    for event in trace.events:
        for drawn in _told(event, names, rates):
            screen.show(drawn)
    found = attributed(trace.events)
    if found is not None and sum(member.changes is not None for member in found.members) > 1:
        screen.show(_members(found))


def _members(found: Attribution) -> Group:
    """Who made the decision what it is, and what it would have been without each."""
    heading = "Members, and what would have been decided without each"
    if not found.exact:
        heading += " (by majority or the highest p: the merge was not asked again)"
    header = ("expert", "side", "said", "p", "USD", "without it")
    rows = [
        [
            Text(member.agent, "agent"),
            Text(member.side, _SIDE.get(member.side, "quiet")),
            Text("-" if member.said is None else plain(member.said, width=CELL)),
            Text("-" if member.p is None else f"{member.p:.4f}"),
            Text(money(member.usd)),
            _without(member),
        ]
        for member in found.members
    ]
    return Group(Folded(Text(heading, "head")), Rows(header, rows, right=("p", "USD"), beside="side"))


def _without(member: Member) -> Text:
    if member.changes is None:
        return Text("-")
    if member.without is None:
        return Text("no decision", "bad")
    told = plain(member.without, width=CELL)
    return Text(told, "detour") if member.changes else Text(f"the same: {told}", "quiet")


def _told(event: Event, names: dict[int, str], rates: Rates | None) -> list[RenderableType]:
    if isinstance(event, Planned):
        return [Group("", candidates_table(event.candidates, event.steps, _heading(event), rates))]
    if isinstance(event, RunEnded) and event.decision:
        return [Text(), decision_lines(event.decision)]
    line = story_line(event, names) if isinstance(event, _TOLD) else None
    return [line] if line is not None else []


def _heading(event: Planned) -> str:
    goal = event.goal
    slot = f", analysis {goal.slot}" if goal.slot > 1 else ""
    query = f" for “{goal.query}”" if goal.query else ""
    if not event.steps:
        return f"no way to {goal.artifact}{query}{slot}"
    way = " → ".join(event.steps)
    shared = f", {event.shared_weight:.4f} with shared stages once" if event.shared_weight != event.weight else ""
    return f"{goal.artifact}{query}{slot}: {way} (weight {event.weight:.4f}{shared})"
