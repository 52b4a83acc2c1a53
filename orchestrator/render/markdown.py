"""A report in Markdown, for pull requests and wikis: verdict, systems, comparisons, gates, notes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.evals.comparison import Comparison
    from orchestrator.evals.report import Report
    from orchestrator.evals.systems import Summary

__all__ = ["markdown"]

_MARKS = re.compile(r"([\\`*_\[\]|~#!])")
"""Characters that Markdown takes for marks, wherever they stand in a line."""


def markdown(report: Report) -> str:
    """The document, its verdict first; whatever it quotes is shown as it is and marks up nothing."""
    parts = [
        f"# {_plain(report.suite)}",
        f"**{_plain(report.verdict)}**",
        *_listed("Gates that do not hold", report.gates),
        "## Systems",
        _table(_SYSTEMS, [_system(each) for each in report.systems]),
    ]
    sure = [_sure(each) for each in report.systems if each.sureness is not None]
    parts += ["## Confidence", _table(_SURE, sure)] if sure else []
    if report.comparisons:
        parts += ["## Comparisons", _table(_COMPARISONS, [_compared(each) for each in report.comparisons])]
    parts += _listed("Reasons", report.reasons)
    parts += _listed("Notes", report.notes)
    parts += _listed("Left out", [f"{each.name}: {each.reason}" for each in report.left_out])
    parts.append(f"Run {_plain(report.run)}, head `{report.head}`")
    return "\n\n".join(parts) + "\n"


_SYSTEMS = (
    *("system", "kind", "n", "errors", "score", "95 %", "USD per question", "USD per correct"),
    *("control calls", "reroutes", "p50", "p95", "answered by"),
)
_COMPARISONS = ("a", "b", "score", "95 %", "p", "test", "USD per question", "in words")
_SURE = ("system", "abstained", "answered", "coverage", "score of the answered", "with confidence", "ECE", "AUROC")
SHARES = 3
"""Models that are named in a cell."""


def _system(each: Summary) -> tuple[str, ...]:
    shares = [f"{name} {share:.0%}" for name, share in each.shares.items()]
    more = f" and {len(shares) - SHARES} more" if len(shares) > SHARES else ""
    return (
        each.name,
        each.kind,
        str(each.n),
        str(each.errors),
        f"{each.score:.4f}",
        f"{each.score_ci.low:.3f} to {each.score_ci.high:.3f}",
        _number(each.cost_per_question, ".6f"),
        _number(each.cost_per_correct, ".6f"),
        str(each.control_calls),
        str(each.reroutes),
        _number(each.latency_p50, ".3f", " s", unknown=""),
        _number(each.latency_p95, ".3f", " s", unknown=""),
        ", ".join(shares[:SHARES]) + more,
    )


def _sure(each: Summary) -> tuple[str, ...]:
    found = each.sureness
    if found is None:
        return ()
    return (
        each.name,
        str(found.abstained),
        str(found.answered),
        f"{found.coverage:.4f}",
        _number(found.score_answered, ".4f", unknown=""),
        str(found.n),
        _number(found.ece, ".4f", unknown=""),
        _number(found.auroc, ".4f", unknown=""),
    )


def _compared(each: Comparison) -> tuple[str, ...]:
    return (
        each.a,
        each.b,
        f"{each.delta:+.4f}",
        f"{each.ci.low:+.4f} to {each.ci.high:+.4f}",
        f"{each.p_adjusted:.3f}",
        each.test,
        _number(each.cost_delta, "+.6f"),
        each.words,
    )


def _number(value: float | None, form: str, unit: str = "", *, unknown: str = "?") -> str:
    return unknown if value is None else f"{value:{form}}{unit}"


def _listed(title: str, lines: Iterable[str]) -> list[str]:
    """A section with a list; nothing where there is nothing to say."""
    items = [f"- {_plain(line)}" for line in lines]
    return [f"## {title}", "\n".join(items)] if items else []


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text in one line that Markdown shows as it is; half surrogates, which no UTF-8 can hold, as question marks."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return _MARKS.sub(r"\\\1", escape(line, quote=False))
