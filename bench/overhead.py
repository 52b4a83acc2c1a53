"""What a run costs the client beside its calls: CPU and wall time, as ratios to the same three calls made otherwise.

A run is three calls of a model over a loopback server without delay: the router calls its expert, the expert replies,
the router's second turn answers, which is our default merge. The same three are made bare with `AsyncOpenAI`, by a
LangGraph written by hand, and by langgraph-supervisor, which is installed into an environment of its own only when
asked for: `python bench/overhead.py --peers`. Ours runs with trace, ledger, budget and breakers on. Each has a process
of its own, and all take turns round by round, so that a busy machine slows them alike; ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal
from urllib.request import urlopen

from startup import ROOT, clean_env, peer_python, peer_version

from orchestrator.content import load_prompt

CONTESTANTS = ROOT / "bench" / "contestants"
QUESTION = "At what temperature does water boil on the top of Mount Everest?"
AT_ONCE = 1, 32, 256
CALLS = 3
OURS, BARE, BY_HAND, SUPERVISOR = "orchestrator", "AsyncOpenAI, bare", "LangGraph by hand", "langgraph-supervisor"
Figure = Literal["cpu", "wall"]


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds per run, in one round."""

    cpu: float
    wall: float


@dataclass(slots=True)
class Contestant:
    """One way to make a run, in a process that waits for its turns."""

    name: str
    process: subprocess.Popen[str]
    rounds: dict[int, list[Took]] = field(default_factory=lambda: {at_once: [] for at_once in AT_ONCE})

    def compete(self, runs: int, at_once: int) -> Took:
        """Make so many runs, so many at once."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("pipes were asked for and not given")
        print(json.dumps([runs, at_once]), file=self.process.stdin, flush=True)
        told = self.process.stdout.readline()
        if not told:
            raise SystemExit(f"{self.name} ended with exit code {self.process.wait()}")
        cpu, wall = json.loads(told)
        return Took(cpu / runs * 1000, wall / runs * 1000)


@contextmanager
def child(command: list[str], env: dict[str, str]) -> Generator[subprocess.Popen[str]]:
    """A process that is ended with the block."""
    with subprocess.Popen(command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def supervisor_python(cache: Path | None) -> Path | str:
    """The interpreter that has langgraph-supervisor, all else in the versions that we use; or why there is none."""
    if cache is None:
        return "it is installed only with --peers"
    try:
        return peer_python(SUPERVISOR, cache, "langchain-openai", "--constraint", str(ROOT / "constraints.txt"))
    except subprocess.CalledProcessError as error:
        return f"pip could not install it (exit code {error.returncode})"


def commands(cache: Path | None) -> dict[str, list[str]]:
    """Who competes, and by which command; says who does not, and why."""
    found = {
        name: [sys.executable, str(CONTESTANTS / script)]
        for name, script in ((BARE, "bare.py"), (BY_HAND, "by_hand.py"), (OURS, "ours.py"))
    }
    python = supervisor_python(cache)
    if isinstance(python, str):
        print(f"{SUPERVISOR}: skipped, {python}", file=sys.stderr)
        return found
    print(f"{SUPERVISOR} {peer_version(python, SUPERVISOR)}", file=sys.stderr)
    return found | {SUPERVISOR: [str(python), str(CONTESTANTS / "supervisor.py")]}


def answered(url: str) -> int:
    """How many calls the server has answered so far."""
    with urlopen(url) as told:  # noqa: S310 - the server is our own
        return int(json.load(told)["answered"])


def measure(contestants: list[Contestant], url: str, *, runs: int, repeats: int) -> None:
    """Let all make their runs in turn, one round unmeasured and then `repeats`; each run must be three calls."""
    for turn in range(repeats + 1):
        for at_once in AT_ONCE:
            most = max(runs, 2 * at_once)
            for contestant in contestants:
                before = answered(url)
                took = contestant.compete(most, at_once)
                if (made := answered(url) - before) != CALLS * (most + at_once):
                    raise SystemExit(f"{contestant.name} made {made} calls in {most + at_once} runs")
                if turn:
                    contestant.rounds[at_once].append(took)


def compete(cache: Path | None, *, runs: int, repeats: int) -> list[Contestant]:
    """All contestants, measured against one server."""
    system = load_prompt("route").fill(
        turns="12", goal="answer", experts="- expert: knows physics; free", answer_tool="answer"
    )
    with tempfile.TemporaryDirectory() as folder, ExitStack() as processes:
        env = clean_env(Path(folder))
        server = processes.enter_context(child([sys.executable, str(CONTESTANTS / "server.py")], env))
        url = f"http://127.0.0.1:{server.stdout.readline().strip() if server.stdout else ''}/v1"
        task = json.dumps({"base_url": url, "question": QUESTION, "system": system, "folder": folder})
        contestants = [
            Contestant(name, processes.enter_context(child([*command, task], env)))
            for name, command in commands(cache).items()
        ]
        measure(contestants, url, runs=runs, repeats=repeats)
    return contestants


def figures(contestant: Contestant, at_once: int, figure: Figure) -> list[float]:
    """One figure of each round."""
    return [took.cpu if figure == "cpu" else took.wall for took in contestant.rounds[at_once]]


def ratios(one: Contestant, other: Contestant, at_once: int, figure: Figure) -> list[float]:
    """One figure of a contestant over that of another, of each round."""
    pairs = zip(figures(one, at_once, figure), figures(other, at_once, figure), strict=True)
    return [mine / theirs for mine, theirs in pairs]


def spread(values: list[float], digits: int = 2) -> str:
    """The median, and between what the rounds lie."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def say(contestants: list[Contestant], *, repeats: int) -> None:
    """Print the table, and what the issue asks for."""
    by_name = {contestant.name: contestant for contestant in contestants}
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, medians of {repeats} interleaved rounds (spread)")
    shape = "{:<10}{:<22}{:>22}{:>22}{:>8}{:>19}{:>19}"
    titles = "at once", "", "CPU ms/run", "wall ms/run", "runs/s", "CPU to bare", "CPU to by hand"
    print(shape.format(*titles))
    for at_once in AT_ONCE:
        for contestant in contestants:
            cpu, wall = figures(contestant, at_once, "cpu"), figures(contestant, at_once, "wall")
            to = [spread(ratios(contestant, by_name[name], at_once, "cpu")) for name in (BARE, BY_HAND)]
            rate = f"{1000 / median(wall):.0f}"
            print(shape.format(at_once, contestant.name, spread(cpu), spread(wall), rate, *to))
    ours = by_name[OURS]
    print(f"CPU to LangGraph by hand: {spread(ratios(ours, by_name[BY_HAND], 1, 'cpu'))} (goal: at most 1.25)")
    if SUPERVISOR in by_name:
        print(f"CPU to {SUPERVISOR}: {spread(ratios(ours, by_name[SUPERVISOR], 1, 'cpu'))} (goal: under 0.5)")
    faster = ratios(by_name[BARE], ours, AT_ONCE[-1], "wall")
    print(f"throughput at {AT_ONCE[-1]} at once to bare: {spread(faster)} (goal: at least 1.5)")


def main() -> None:
    """Parse the flags, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50, help="runs of each turn, or twice as many as are made at once")
    parser.add_argument("--repeats", type=int, default=5, help="measured rounds")
    parser.add_argument("--peers", action="store_true", help=f"install {SUPERVISOR} too (needs a package index)")
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="where it is installed")
    parser.add_argument("--json", action="store_true", help="print every round as JSON instead of the table")
    options = parser.parse_args()
    contestants = compete(options.cache if options.peers else None, runs=options.runs, repeats=options.repeats)
    if options.json:
        rounds = {each.name: {n: [asdict(took) for took in each.rounds[n]] for n in AT_ONCE} for each in contestants}
        print(json.dumps(rounds, indent=2))
    else:
        say(contestants, repeats=options.repeats)


if __name__ == "__main__":
    main()
