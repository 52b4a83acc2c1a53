"""Tables: candidates of a choice, lists of runs, agents and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from decimal import Decimal
from math import isclose, log

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.planner import Choice
from orchestrator.render.columns import Folded, Rows
from orchestrator.render.screen import Screen, money, plain, seconds
from orchestrator.render.story import status_style
from orchestrator.trace import Trace
from orchestrator.trace.events import Candidate, Paused, RunEnded, RunStarted
from orchestrator.weights import CANNOT_TAKE, Rates

__all__ = [
    "Parts",
    "candidates_table",
    "choices_table",
    "formula",
    "list_traces",
    "parts_of",
    "rows_table",
    "trace_row",
]

PARTS = ("-ln(p)", "money", "time")
"""What the weight of a way is the sum of."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The weight of a way, in what probability, money and time add to it; weights as they are, not percentages."""

    chance: float
    money: float
    time: float


def parts_of(candidate: Candidate, rates: Rates) -> Parts | None:
    """What the way through a candidate is made of, stages before it included; None where there is none."""
    if candidate.parts is not None:
        return Parts(*candidate.parts)
    if not candidate.p or candidate.weight is None or candidate.through is None:
        return None
    if not isclose(candidate.weight, candidate.through, abs_tol=1e-12):  # of a trace that tells no parts
        return None
    usd, seconds = float(candidate.usd or 0), candidate.seconds or 0.0
    return Parts(-log(candidate.p) + 0.0, rates.cost_weight * usd, rates.time_weight * seconds)


def candidates_table(
    candidates: Sequence[Candidate], steps: Sequence[str], title: str, rates: Rates | None = None
) -> Group:
    """Every expert that was considered: its weight, what a plan through it would cost, and the verdict on it.

    With `rates` the weight of a way is split into its parts, where these are known. Those that have nothing to do
    with the question share one line.
    """
    cheapest = {c.artifact: c.through for c in candidates if c.agent in steps and c.through is not None}
    strangers = [c.agent for c in candidates if c.why_not == CANNOT_TAKE]
    shown = [c for c in sorted(candidates, key=_by_cost) if c.why_not != CANNOT_TAKE]
    drawn: list[RenderableType] = [Folded(Text(title, "head"))]
    if shown:
        drawn.append(_candidate_rows(shown, [_verdict(c, steps, cheapest) for c in shown], rates))
    if strangers:
        drawn.append(Folded(Text(f"not for this question: {', '.join(sorted(strangers))}", "quiet")))
    return Group(*drawn)


def _candidate_rows(shown: Sequence[Candidate], verdicts: Sequence[tuple[str, str]], rates: Rates | None) -> Rows:
    """The rows of candidates; what they all share, and what is said twice, may be left out where it is narrow."""
    known = {c.agent: parts for c in shown if rates and (parts := parts_of(c, rates))}
    numbers = ("p", "USD", "sec", "weight", "way", *(PARTS if known else ()))
    spare = ["gives"] if len({c.artifact for c in shown}) == 1 else []
    if all(c.weight == c.through for c in shown):
        spare.append("weight")
    return Rows(
        ("expert", "gives", *numbers, ""),
        [_row(c, verdict, _split(known, c.agent)) for c, verdict in zip(shown, verdicts, strict=True)],
        right=numbers,
        spare=spare,
        beside="",
    )


def _split(known: Mapping[str, Parts], agent: str) -> list[Text]:
    """The parts of a way; no cells at all where they are known of none."""
    parts = known.get(agent)
    split = astuple(parts) if parts else [None] * len(PARTS)
    return [Text(_number(part)) for part in split] if known else []


def _row(candidate: Candidate, verdict: tuple[str, str], split: Sequence[Text]) -> list[Text]:
    told, style = verdict
    return [
        Text(candidate.agent, "agent" if style == "ok" else style),
        Text(candidate.artifact, "quiet"),
        Text(_number(candidate.p)),
        Text(money(candidate.usd)),
        Text("?" if candidate.seconds is None else f"{candidate.seconds:.2f}"),
        Text(_number(candidate.weight)),
        Text(_number(candidate.through)),
        *split,
        Text(told, style),
    ]


def choices_table(choice: Choice, screen: Screen, rates: Rates | None = None) -> None:
    """Print a choice with every rejected way; with `rates`, what each is made of."""
    plan = choice.plan
    slot = f", analysis {choice.goal.slot}" if choice.goal.slot > 1 else ""
    title = f"no way to {choice.goal.artifact}{slot}"
    if plan is not None:
        way = " → ".join(step.agent for step in plan.steps)
        shared = f", {plan.shared_weight:.4f} with shared stages once" if plan.shared_weight != plan.weight else ""
        title = f"{choice.goal.artifact}{slot}: {way} (weight {plan.weight:.4f}{shared})"
    steps = [step.agent for step in plan.steps] if plan else []
    screen.show(candidates_table(choice.candidates, steps, title, rates))


def formula(rates: Rates) -> str:
    """How the weight of an expert comes about."""
    return f"weight = -ln(p) + {rates.cost_weight:g} × USD + {rates.time_weight:g} × seconds"


def list_traces(traces: Sequence[Trace], screen: Screen) -> None:
    """Print a line for each run, newest first."""
    rows: list[list[Text]] = []
    for trace in traces:
        row = trace_row(trace)
        status, cost, took = str(row["status"]), row["cost_usd"], row["seconds"]
        rows.append(
            [
                Text(str(row["run_id"])),
                Text(status, status_style(status)),
                Text(money(cost if isinstance(cost, Decimal) else None)),
                Text(seconds(took if isinstance(took, float) else None)),
                Text(plain(str(row["question"] or ""), width=80)),
            ]
        )
    header = ("run", "status", "cost", "seconds", "question")
    screen.show(Rows(header, rows, right=("cost", "seconds"), beside="status", cut=True))


def trace_row(trace: Trace) -> dict[str, object]:
    """What a list says of a run."""
    first = trace.events[0] if trace.events else None
    last = trace.events[-1] if trace.events else None
    decision = last.decision if isinstance(last, RunEnded) else None
    how = last.how if isinstance(last, RunEnded) else "paused" if isinstance(last, Paused) else "not ended"
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


def rows_table(
    rows: Sequence[Sequence[str]], screen: Screen, *, header: Sequence[str] = (), spare: Sequence[str] = ()
) -> None:
    """Print rows of text in columns; those in `spare` only where there is room for them."""
    names = header or [""] * max(map(len, rows), default=1)
    cells = [[Text(cell, "agent" if index == 0 else "") for index, cell in enumerate(row)] for row in rows]
    screen.show(Rows(names, cells, spare=spare, named=bool(header)))


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
