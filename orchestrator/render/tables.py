"""Tables: candidates of a choice, lists of runs, agents and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.planner import Choice
from orchestrator.render.screen import Screen, money, plain, seconds
from orchestrator.render.story import status_style
from orchestrator.trace import Trace
from orchestrator.trace.events import Candidate, RunEnded, RunStarted
from orchestrator.weights import CANNOT_TAKE

__all__ = ["candidates_table", "choices_table", "list_traces", "rows_table", "trace_row"]


def candidates_table(candidates: Sequence[Candidate], steps: Sequence[str], title: str) -> Group:
    """Every expert that was considered: its weight, what a plan through it would cost, and the verdict on it.

    Those that have nothing to do with the question share one line.
    """
    table = Table(title=Text(title, "head"), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("expert", "gives"):
        table.add_column(name, header_style="quiet", no_wrap=True)
    for name in ("p", "USD", "seconds", "weight", "way"):
        table.add_column(name, header_style="quiet", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    cheapest = {c.artifact: c.through for c in candidates if c.agent in steps and c.through is not None}
    strangers = [c.agent for c in candidates if c.why_not == CANNOT_TAKE]
    for candidate in sorted(candidates, key=_by_cost):
        if candidate.why_not != CANNOT_TAKE:
            table.add_row(*_row(candidate, steps, cheapest))
    if not strangers:
        return Group(table)
    told = Text(f"not for this question: {', '.join(sorted(strangers))}", "quiet")
    return Group(table if table.row_count else Text(title, "head"), told)


def _row(candidate: Candidate, steps: Sequence[str], cheapest: Mapping[str, float]) -> list[RenderableType]:
    verdict, style = _verdict(candidate, steps, cheapest)
    return [
        Text(candidate.agent, "agent" if style == "ok" else style),
        Text(candidate.artifact, "quiet"),
        _number(candidate.p),
        money(candidate.usd),
        "?" if candidate.seconds is None else f"{candidate.seconds:.2f}",
        _number(candidate.weight),
        _number(candidate.through),
        Text(verdict, style),
    ]


def choices_table(choice: Choice, screen: Screen) -> None:
    """Print a choice with every rejected way."""
    plan = choice.plan
    slot = f", analysis {choice.goal.slot}" if choice.goal.slot > 1 else ""
    title = f"no way to {choice.goal.artifact}{slot}"
    if plan is not None:
        way = " → ".join(step.agent for step in plan.steps)
        shared = f", {plan.shared_weight:.4f} with shared stages once" if plan.shared_weight != plan.weight else ""
        title = f"{choice.goal.artifact}{slot}: {way} (weight {plan.weight:.4f}{shared})"
    steps = [step.agent for step in plan.steps] if plan else []
    screen.show(candidates_table(choice.candidates, steps, title))


def list_traces(traces: Sequence[Trace], screen: Screen) -> None:
    """Print a line for each run, newest first."""
    table = Table(box=None, pad_edge=False, header_style="quiet", padding=(0, 2, 0, 0))
    for name in ("run", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("cost", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("question", overflow="ellipsis", no_wrap=True)
    for trace in traces:
        row = trace_row(trace)
        status, cost, took = str(row["status"]), row["cost_usd"], row["seconds"]
        table.add_row(
            str(row["run_id"]),
            Text(status, status_style(status)),
            money(cost if isinstance(cost, Decimal) else None),
            seconds(took if isinstance(took, float) else None),
            Text(plain(str(row["question"] or ""), width=80)),
        )
    screen.show(table)


def trace_row(trace: Trace) -> dict[str, object]:
    """What a list says of a run."""
    first = trace.events[0] if trace.events else None
    last = trace.events[-1] if trace.events else None
    decision = last.decision if isinstance(last, RunEnded) else None
    how = last.how if isinstance(last, RunEnded) else "not ended"
    asked = first.question[-1].content if isinstance(first, RunStarted) and first.question else None
    return {
        "run_id": trace.run_id,
        "time": first.time if first else None,
        "status": decision.status if decision else how,
        "cost_usd": decision.cost_usd if decision else None,
        "seconds": decision.seconds if decision else None,
        "question": asked,
        "file": str(trace.path),
    }


def rows_table(rows: Sequence[Sequence[str]], screen: Screen, *, header: Sequence[str] = ()) -> None:
    """Print rows of text in columns."""
    table = Table(box=None, pad_edge=False, show_header=bool(header), header_style="quiet", padding=(0, 2, 0, 0))
    for index in range(max(map(len, rows), default=len(header))):
        name = header[index] if index < len(header) else ""
        table.add_column(name, style="agent" if index == 0 else "", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    screen.show(table)


def _verdict(candidate: Candidate, steps: Sequence[str], cheapest: Mapping[str, float]) -> tuple[str, str]:
    if candidate.agent in steps:
        return "taken", "ok"
    if candidate.through is None:
        return candidate.why_not or "out of reach", "quiet"
    extra = candidate.through - cheapest.get(candidate.artifact, candidate.through)
    return (f"{extra:.4f} dearer" if extra > 0 else "as cheap, later by name"), ""


def _by_cost(candidate: Candidate) -> tuple[str, bool, float, str]:
    through = candidate.through
    return candidate.artifact, through is None, through or 0.0, candidate.agent


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
