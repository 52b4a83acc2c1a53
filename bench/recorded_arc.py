"""Decides the recorded ARC questions through `Orchestrator.run`, straight and with a share of all attempts failing.

The way of `orchestrator run --recorded FILE --case ID`: prices and probabilities come from the train split, routers
and merges see no score, health starts fresh for each question (SEMANTICS §10). Every trace is verified.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from orchestrator import Orchestrator, Pool, read_recorded
from orchestrator.health import Health
from orchestrator.trace import read_trace, silent_failures, verify

if TYPE_CHECKING:
    from orchestrator import Decision
    from orchestrator.errors import FailureKind
    from orchestrator.providers.recorded import Case, RecordedFile
    from orchestrator.runtime import Faults
    from orchestrator.weights import Preference

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "routerbench_arc.jsonl.gz"
REFERENCE = "reference: single best expert without faults, score 0.9567 at $0.0050"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One way to decide: which pool, how many analyses, what money is worth, which share of attempts fails."""

    name: str
    pool: Pool
    analyses: int
    prefer: Preference
    rate: float


@dataclass(slots=True, kw_only=True)
class Row:
    """What a system came to; sums become means when the row is shown."""

    system: str
    prefer: str
    faults: float
    questions: int = 0
    score: float = 0.0
    cost: Decimal = Decimal(0)
    expert_calls: int = 0
    reroutes: int = 0
    degraded: int = 0
    escalated: int = 0
    seconds: float = 0.0
    silent: int = 0
    faulty_traces: int = 0

    def add(self, decision: Decision, score: float) -> None:
        """Count a decision; `score` is that of the experts who support it."""
        self.questions += 1
        self.score += score
        self.cost += decision.cost_usd or 0  # every cost of this file is recorded
        self.expert_calls += decision.expert_calls
        self.reroutes += decision.reroutes
        self.degraded += decision.status == "degraded"
        self.escalated += decision.status == "escalated"
        self.seconds += decision.seconds

    def means(self) -> dict[str, object]:
        """The row for readers: score, cost and calls per question, the rest as totals."""
        n = max(self.questions, 1)
        per_question = {"score": self.score / n, "cost": float(self.cost / n), "expert_calls": self.expert_calls / n}
        return {**asdict(self), **per_question}


def drawn_faults(seed: int, rate: float) -> Faults:
    """Faults by the hash of (seed, case, agent, attempt): the same ones whatever the order of the questions."""

    def fault(agent: str, attempt: int, case: str | None) -> FailureKind | None:
        digest = sha256(f"{seed}\0{case}\0{agent}\0{attempt}".encode()).digest()
        return "injected" if int.from_bytes(digest[:8]) / 2**64 < rate else None

    return fault


def systems(recorded: RecordedFile, rate: float) -> list[System]:
    """Every system, first without faults and then with them."""
    best = max(recorded.pool.agents.values(), key=lambda agent: (agent.skill, agent.name))
    alone = Pool([*recorded.pool.models.values(), best], name="best alone")
    found: list[System] = []
    for share in (0.0, rate):
        found.append(System(name=f"{best.name} alone", pool=alone, analyses=1, prefer="quality", rate=share))
        for prefer in ("quality", "balanced"):
            found += [
                System(name=name, pool=recorded.pool, analyses=analyses, prefer=prefer, rate=share)
                for name, analyses in (("lowest weight", 1), ("3 analyses + vote", 3))
            ]
    return found


async def decided(system: System, recorded: RecordedFile, case: Case, *, seed: int, folder: Path) -> Decision:
    """The system's decision on one question, by a fresh orchestrator."""
    orchestrator = Orchestrator(
        system.pool,
        providers={"recorded": recorded.provider()},
        merge="vote" if system.analyses > 1 else None,
        analyses=system.analyses,
        prefer=system.prefer,
        health=Health(monotonic),
        faults=drawn_faults(seed, system.rate) if system.rate else None,
        trace=folder,
    )
    return await orchestrator.run(case.question)


async def measured(system: System, recorded: RecordedFile, cases: Iterable[Case], *, seed: int) -> Row:
    """A system over all questions, every trace of it verified."""
    row = Row(system=system.name, prefer=system.prefer, faults=system.rate)
    with tempfile.TemporaryDirectory() as name:
        for case in cases:
            decision = await decided(system, recorded, case, seed=seed, folder=Path(name))
            row.add(decision, recorded.scores[case.id][decision.support[0]] if decision.support else 0.0)
            trace = read_trace(Path(name) / f"{decision.run_id}.jsonl")
            row.silent += len(silent_failures(trace.events))
            row.faulty_traces += not verify(trace, head=decision.head).passed
    return row


def say(rows: list[Row]) -> None:
    """Print the table and what the traces came to."""
    names = "system", "prefer", "faults", "score", "cost USD", "calls", "reroutes", "degraded", "escalated", "seconds"
    shape = "{:<26} {:<9} {:>6} {:>7} {:>9} {:>6} {:>8} {:>8} {:>9} {:>7}"
    print(shape.format(*names))
    for row in rows:
        n = max(row.questions, 1)
        means = f"{row.score / n:.4f}", f"{row.cost / n:.6f}", f"{row.expert_calls / n:.3f}"
        totals = row.reroutes, row.degraded, row.escalated, f"{row.seconds:.2f}"
        print(shape.format(row.system, row.prefer, f"{row.faults:.0%}", *means, *totals))
    runs = sum(row.questions for row in rows)
    print(f"{REFERENCE}; score, cost and calls are per question, the rest totals over {rows[0].questions} questions")
    print(f"silent failures: {sum(row.silent for row in rows)} in {runs} traces", end="; ")
    print(f"traces that do not verify: {sum(row.faulty_traces for row in rows)}")


async def table(recorded: RecordedFile, *, seed: int, rate: float, limit: int | None) -> list[Row]:
    """One row for each system."""
    cases = [case for case in recorded.cases.values() if case.split == "test"][:limit]
    return [await measured(system, recorded, cases, seed=seed) for system in systems(recorded, rate)]


def main() -> None:
    """Parse the flags, decide, report; exit with 1 where a failure was silent or a trace does not verify."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="seed of the faults")
    parser.add_argument("--rate", type=float, default=0.2, help="share of attempts that fail (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="questions at most")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    options = parser.parse_args()
    if not DATA.exists():
        print(f"there is no {DATA}: nothing is measured", file=sys.stderr)
        return
    rows = asyncio.run(table(read_recorded(DATA), seed=options.seed, rate=options.rate, limit=options.limit))
    if options.json:
        print(json.dumps([row.means() for row in rows], indent=2, default=float))
    else:
        say(rows)
    sys.exit(any(row.silent or row.faulty_traces for row in rows))


if __name__ == "__main__":
    main()
