"""A report of an eval as `--json` gives it: the fields that the issue names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.evals.comparison import Comparison
    from orchestrator.evals.report import Report
    from orchestrator.evals.systems import Summary

__all__ = ["SYSTEM_FIELDS", "compared", "figures_of"]

SYSTEM_FIELDS = (
    "name",
    "kind",
    "n",
    "errors",
    "score",
    "score_ci",
    "cost_usd",
    "cost_exact",
    "cost_per_question",
    "cost_per_correct",
    "control_calls",
    "reroutes",
    "latency_p50",
    "latency_p95",
    "shares",
)


def compared(each: Comparison) -> dict[str, object]:
    """A comparison as the issue names its fields."""
    return {"a": each.a, "b": each.b, "delta": each.delta, "ci": each.ci, "p": each.p_adjusted, "test": each.test}


def figures_of(found: Report) -> dict[str, object]:
    """A report as the issue names its fields; what else there is to say goes to stderr and into the eval's folder."""
    figures: dict[str, object] = {
        "run": found.run,
        "head": found.head,
        "suite": found.suite,
        "systems": [_row_of(each) for each in found.systems],
        "comparisons": [compared(each) for each in found.comparisons],
        "verdict": found.verdict,
    }
    return figures if found.judge is None else {**figures, "judge": found.judge}


def _row_of(each: Summary) -> dict[str, object]:
    """A system as the issue names its fields, and where it can be said, how sure it is and what that is worth."""
    row = {name: getattr(each, name) for name in SYSTEM_FIELDS}
    return row if each.sureness is None else {**row, "sureness": each.sureness}
