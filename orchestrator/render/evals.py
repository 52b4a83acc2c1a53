"""Evals in the terminal: the bar while they run, the table of systems, comparisons and the verdict."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

from orchestrator.render.bar import Bar
from orchestrator.render.tables import rows_table

if TYPE_CHECKING:
    from orchestrator.evals.judge import Judgement
    from orchestrator.evals.report import Report
    from orchestrator.evals.store import Done
    from orchestrator.evals.systems import Summary, Sureness
    from orchestrator.render.screen import Screen

__all__ = ["EvalBar", "apart_lines", "report_table", "sure_lines"]

WENT_TO = {
    "expert": "for experts",
    "failed": "for tries that failed",
    "lost": "for tries lost or made again",
    "merge": "for merging",
    "router": "for the router",
}


class EvalBar(Bar):
    """The bar of an eval."""

    def __init__(self, total: int, screen: Screen, *, name: str = "eval") -> None:
        super().__init__(name, total, screen)

    def __call__(self, done: Done | Judgement) -> None:
        """Count a finished case, or a judged answer."""
        self.count(failed=done.error is not None, cost=done.cost_usd)


def report_table(report: Report, screen: Screen, *, why: str | None = None) -> None:
    """Print a report: systems from routers to baselines, comparisons, what was left out, and the verdict.

    `why` says why the command fails although nobody asked for a gate.
    """
    header = (
        "system",
        "kind",
        "n",
        "errors",
        "score",
        "95 %",
        "USD each",
        "USD per right",
        "control",
        "reroutes",
        "p95",
    )
    if not screen.json:
        rows_table([_row(each) for each in report.systems], screen, header=header)
        for each in report.comparisons:
            interval = f"[{each.ci.low:+.4f}, {each.ci.high:+.4f}]"
            screen.answer(f"{each.a} − {each.b}: {each.delta:+.4f} {interval}, p {each.p_adjusted:.3f} ({each.test})")
        for line in sure_lines(report.systems):
            screen.answer(line)
    for left in report.left_out:
        screen.note(f"left out: {left.name}: {left.reason}")
    for note in report.notes:
        screen.note(note)
    for gate in report.gates:
        screen.fail(f"gate: {gate}")
    screen.note(f"run {report.run} · head {report.head}")
    if why is not None:
        screen.fail(why)
    if not screen.json:
        screen.answer(report.verdict)


def sure_lines(systems: Iterable[Summary]) -> list[str]:
    """How sure each system is of its decisions and what that is worth, in words; nothing of those who do not say."""
    return [f"{each.name}: {_sure(each.sureness, each.n)}" for each in systems if each.sureness is not None]


def _sure(found: Sureness, n: int) -> str:
    right = "" if found.score_answered is None else f", score {found.score_answered:.4f} among these"
    told = f"abstained {found.abstained}; answered {found.answered} of {n} (coverage {found.coverage:.4f}){right}"
    if found.ece is None:
        return told
    ranked = "not defined, all or none are right" if found.auroc is None else f"{found.auroc:.4f}"
    return f"{told}; confidence of {found.n}: ECE {found.ece:.4f}, AUROC {ranked}"


def apart_lines(done: Iterable[Done]) -> list[str]:
    """Where each system's money went, in words; nothing of systems that were paid for experts' answers only."""
    sums: dict[str, dict[str, Decimal]] = {}
    for each in done:
        into = sums.setdefault(each.system, {})
        for name, usd in each.apart.items():
            into[name] = into.get(name, Decimal(0)) + usd
    return [
        f"{system}: of its cost USD "
        + ", ".join(f"{usd:f} {WENT_TO[name]}" for name, usd in sorted(parts.items()) if usd)
        for system, parts in sorted(sums.items())
        if any(usd for name, usd in parts.items() if name != "expert")
    ]


def _row(each: Summary) -> tuple[str, ...]:
    low, high = each.score_ci.low, each.score_ci.high
    return (
        each.name,
        each.kind,
        str(each.n),
        str(each.errors),
        f"{each.score:.4f}",
        f"{low:.3f}-{high:.3f}",
        _usd(each.cost_per_question, exact=each.cost_exact),
        _usd(each.cost_per_correct, exact=each.cost_exact),
        str(each.control_calls),
        str(each.reroutes),
        "" if each.latency_p95 is None else f"{each.latency_p95:.3f} s",
    )


def _usd(cost: float | None, *, exact: bool) -> str:
    return "?" if cost is None else f"{cost:.6f}" if exact else f"~{cost:.6f}"
