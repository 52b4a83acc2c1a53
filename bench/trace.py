"""What one event of a trace costs: built, chained by its hash, written and flushed, beside a bare line of JSON.

Both write lines of at most 200 bytes into files of one folder, round by round, so that a busy machine slows them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, time
from typing import TextIO

from orchestrator.trace import Journal
from orchestrator.trace.events import AttemptCancelled

RUN_ID = "20261121-235959-0a1b2c3d"
MOST_BYTES = 200


def seconds_of_journal(path: Path, count: int) -> float:
    """Seconds that so many events take, all that the journal does included."""
    journal = Journal(RUN_ID, path, now=time)
    started = perf_counter()
    for _ in range(count):
        journal.write(AttemptCancelled(attempt=1))
    taken = perf_counter() - started
    journal.close()
    return taken


def seconds_of_bare_lines(file: TextIO, fields: dict[str, object], count: int) -> float:
    """Seconds that as many lines of the same fields take with the standard library, unchained."""
    started = perf_counter()
    for _ in range(count):
        file.write(json.dumps(fields) + "\n")
        file.flush()
    return perf_counter() - started


def measure(folder: Path, *, rounds: int, count: int) -> tuple[list[float], list[float], int]:
    """Microseconds per line by round, ours and bare, and the bytes of our longest line."""
    ours, bare, longest = list[float](), list[float](), 0
    for turn in range(rounds + 1):
        path = folder / f"{turn}.jsonl"
        taken = seconds_of_journal(path, count)
        lines = path.read_bytes().splitlines()
        longest = max(longest, *map(len, lines))
        with (folder / f"{turn}.bare").open("w", encoding="utf-8") as file:
            taken_bare = seconds_of_bare_lines(file, json.loads(lines[-1]), count)
        if turn:  # the first round only warms up
            ours.append(taken / count * 1e6)
            bare.append(taken_bare / count * 1e6)
        path.unlink()
    return ours, bare, longest


def main() -> None:
    """Parse the flags, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--events", type=int, default=2_000, help="events of each round")
    options = parser.parse_args()
    rounds: int = options.rounds
    count: int = options.events
    with tempfile.TemporaryDirectory() as name:
        ours, bare, longest = measure(Path(name), rounds=rounds, count=count)
    if longest > MOST_BYTES:
        raise SystemExit(f"a line has {longest} bytes, more than the {MOST_BYTES} that the goal is set for")
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, median of {rounds} rounds of {count:,} lines")
    for what, times in (("chained, flushed event", ours), ("bare json.dumps, write, flush", bare)):
        print(f"  {what:<30} {median(times):6.2f} µs   ({min(times):.2f} to {max(times):.2f}), up to {longest} bytes")
    print(f"one event: {median(ours):.1f} µs (goal: at most 10)")
    print(f"ratio to a bare line: {median(ours) / median(bare):.2f}")


if __name__ == "__main__":
    main()
