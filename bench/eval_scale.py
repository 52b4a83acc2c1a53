"""How an eval grows: ARC, MBPP and GSM8K tiled to 1,500 and 15,000 cases, all baselines, two routers, a process each.

    python bench/eval_scale.py

Prints for each size: cases of the test part, runs through `Orchestrator.run`, seconds for them and for the report, runs
a second, peak memory; then how much longer a run takes at the larger size, on the clock and on the processor, which
others on the machine do not change. Without `../shared/data` nothing is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from orchestrator.evals.report import report_of
from orchestrator.evals.runner import How, jobs_of, run_jobs
from orchestrator.evals.store import Store
from orchestrator.evals.suite import Candidate, suite_over
from orchestrator.protocol import Answer, Route, Turn
from orchestrator.providers import join_recorded, read_recorded
from orchestrator.providers.recorded import tile_recorded
from orchestrator.routers import View

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
FILES = ("routerbench_arc", "routerbench_mbpp", "routellm_gsm8k")
SIZES = (1_500, 15_000)
LONG = 300
"""Characters of a question that the second router calls long."""


def by_length(view: View) -> Turn:
    """Long questions go to whoever comes first by name, others to whoever comes last."""
    if view.replies:
        return Turn((Answer(),))
    names = sorted(each.name for each in view.experts)
    return Turn((Route(names[0 if len(view.question.text) > LONG else -1]),))


def measured(cases: int) -> dict[str, float]:
    """One eval of so many cases, in this process."""
    joined = join_recorded([read_recorded(DATA / f"{name}.jsonl.gz") for name in FILES])
    mixed = sorted(joined.cases.items(), key=lambda item: sha256(item[0].encode()).digest())  # each size alike
    file = tile_recorded(replace(joined, cases=dict(mixed)), cases)
    routers = [Candidate(), Candidate(router=f"{Path(__file__).resolve()}:by_length")]
    suite, how = suite_over(file, "tiled").with_candidates(routers), How()
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "run")
        store.begin({})
        jobs = jobs_of(suite, how, singles=False)
        begun, begun_cpu = perf_counter(), process_time()
        asyncio.run(run_jobs(jobs, suite, store, how))
        ran, ran_cpu = perf_counter(), process_time()
        done = list(store.done().values())
        report = report_of(suite, done, run=store.name, head=store.freeze(done))
        ended = perf_counter()
    return {
        "cases": len(suite.part("test")),
        "runs": len(jobs),
        "systems": len(report.systems),
        "seconds_runs": ran - begun,
        "processor_runs": ran_cpu - begun_cpu,
        "seconds_report": ended - ran,
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Measure each size in a process of its own and print the figures."""
    if not DATA.is_dir():
        print(f"{DATA} is not there: nothing is measured")
        return
    if sys.argv[1:]:
        print(json.dumps(measured(int(sys.argv[1]))))
        return
    each_run: list[float] = []
    each_processor: list[float] = []
    for cases in SIZES:
        done = subprocess.run([sys.executable, __file__, str(cases)], capture_output=True, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout)
        each_run.append(found["seconds_runs"] / found["runs"])
        each_processor.append(found["processor_runs"] / found["runs"])
        print(f"{cases} cases, {found['cases']:.0f} of them test; {found['systems']:.0f} systems; ", end="")
        print(f"{found['runs']:.0f} runs in {found['seconds_runs']:.1f} s, {1 / each_run[-1]:.0f} a second, ", end="")
        print(f"{1_000 * each_processor[-1]:.2f} ms of processor each; ", end="")
        print(f"report in {found['seconds_report']:.1f} s; {found['mebibytes']:.0f} MiB at most", flush=True)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    longer, busier = each_run[-1] / each_run[0], each_processor[-1] / each_processor[0]
    print(
        f"a run takes {longer:.2f} times as long, {busier:.2f} times the processor; load {load}, {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
