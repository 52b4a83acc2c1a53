"""What kNN routing comes to on ARC and MBPP beside the zero router, means per task, and its own placebo.

The knob's settings come from out-of-fold predictions on train (AIQ_tr); AIQ draws a hull over the test results and is
shown for comparison. Differences are to the zero router, with paired bootstrap intervals over the test questions.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.evals.baselines import Baselines
from orchestrator.evals.matrix import matrix_of
from orchestrator.evals.placebo import placebo
from orchestrator.evals.systems import System
from orchestrator.evals.verdict import evidence, gain_over_zero_curve, gain_over_zero_hull, verdict
from orchestrator.providers import join_recorded, read_recorded

if TYPE_CHECKING:
    from orchestrator.evals.matrix import TextOf
    from orchestrator.evals.stats import Interval

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FILES = "routerbench_arc.jsonl.gz", "routerbench_mbpp.jsonl.gz"
REFERENCE = "reference: zero router 0.8463; kNN 0.857 (+0.010) on `query`, 0.878 on `question`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One router on one text."""

    text: TextOf
    router: str
    aiq: float
    aiq_gain: float
    aiq_ci: Interval
    aiq_tr: float
    aiq_tr_gain: float
    aiq_tr_ci: Interval
    placebo: float
    placebo_p: float
    placebo_in_task: float
    placebo_in_task_p: float


def measured(name: str, text: TextOf, baselines: Baselines) -> Row:
    """The figures of a predicting baseline."""
    router, curve = baselines.swept(name), baselines.curve(name)
    hull, path = gain_over_zero_hull(router, baselines), gain_over_zero_curve(router, baselines)
    everywhere = placebo(router, baselines.test, "all", seed=baselines.seed)
    within = placebo(router, baselines.test, "task", seed=baselines.seed)
    if curve.aiq is None or curve.aiq_tr is None or everywhere is None or within is None:
        raise SystemExit("these files record costs and benchmarks, but some are missing")
    return Row(
        text=text,
        router=name,
        aiq=curve.aiq,
        aiq_gain=hull.value,
        aiq_ci=hull.ci,
        aiq_tr=curve.aiq_tr,
        aiq_tr_gain=path.value,
        aiq_tr_ci=path.ci,
        placebo=everywhere.dealt,
        placebo_p=everywhere.p,
        placebo_in_task=within.dealt,
        placebo_in_task_p=within.p,
    )


def say(rows: list[Row], floor: str, verdicts: list[str]) -> None:
    """Print the table and the verdicts."""
    shape = "{:<9} {:<11} {:>6} {:>8} {:<18} {:>6} {:>8} {:<18} {:>8} {:>6} {:>8} {:>6}"
    print(shape.format("text", "router", "AIQ", "to zero", "", "AIQ_tr", "to zero", "", "placebo", "p", "in task", "p"))
    for row in rows:
        ends = [f"[{each.low:+.4f}, {each.high:+.4f}]" for each in (row.aiq_ci, row.aiq_tr_ci)]
        hull = f"{row.aiq:.4f}", f"{row.aiq_gain:+.4f}", ends[0]
        path = f"{row.aiq_tr:.4f}", f"{row.aiq_tr_gain:+.4f}", ends[1]
        dealt = (
            f"{row.placebo:.4f}",
            f"{row.placebo_p:.3f}",
            f"{row.placebo_in_task:.4f}",
            f"{row.placebo_in_task_p:.3f}",
        )
        print(shape.format(row.text, row.router, *hull, *path, *dealt))
    print(f"{floor}; {REFERENCE}")
    for text in verdicts:
        print(text)


def main() -> None:
    """Parse the flags, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="seed of folds, samples and permutations")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    options = parser.parse_args()
    if not all((DATA / name).exists() for name in FILES):
        print(f"the files are not at {DATA}: nothing is measured", file=sys.stderr)
        return
    file = join_recorded([read_recorded(DATA / name) for name in FILES])
    rows: list[Row] = []
    verdicts: list[str] = []
    floor = ""
    for text in ("query", "question"):
        matrix = matrix_of(file, text=text)
        baselines = Baselines(matrix.part("train"), matrix.part("test"), options.seed)
        rows += [measured(name, text, baselines) for name in ("knn", "task-means")]
        zero, near = baselines.curve("zero-router"), baselines.system("knn")
        floor = f"zero router: AIQ {zero.aiq:.4f}, AIQ_tr {zero.aiq_tr:.4f}"
        if isinstance(near, System):
            found = evidence(near, baselines, by=baselines.swept("knn"), seed=options.seed)
            verdicts.append(f"{text}: {verdict([found]).text}")
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "verdicts": verdicts}, indent=2))
    else:
        say(rows, floor, verdicts)


if __name__ == "__main__":
    main()
