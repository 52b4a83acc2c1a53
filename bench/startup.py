"""How long a person waits: `--help` against a minimal Typer app, a first line of output beside what peers only import.

All commands run as whole processes, interleaved round by round, so that a busy machine slows them alike. Peers are
installed, each into an environment of its own, only when asked for: `python bench/startup.py --peers`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

ROOT = Path(__file__).parents[1]
QUESTION = "What is 17% of 2,340?"
PEERS = {"litellm": "litellm", "agents": "openai-agents"}
"""Import name -> distribution."""

TYPER_APP = '''
import typer

app = typer.Typer()

@app.command()
def greet(name: str, loud: bool = False) -> None:
    """Say hello."""

@app.command()
def leave(name: str) -> None:
    """Say goodbye."""

app()
'''


@dataclass(kw_only=True)
class Subject:
    """One command that is timed."""

    name: str
    command: list[str]
    until: Literal["exit", "first byte"] = "exit"
    seconds: list[float] = field(default_factory=list[float])

    @property
    def median_ms(self) -> float:
        """The median of the rounds so far, in milliseconds."""
        return median(self.seconds) * 1000


def clean_env(home: Path) -> dict[str, str]:
    """No keys, no tracing, no colour; runs are kept in `home`."""
    dropped = ("ORCHESTRATOR_", "LANGSMITH_", "LANGCHAIN_", "COVERAGE_")
    kept = {n: v for n, v in os.environ.items() if not n.startswith(dropped) and not n.endswith("_API_KEY")}
    return {**kept, "ORCHESTRATOR_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "120"}


def time_once(subject: Subject, env: dict[str, str]) -> float:
    """Seconds of wall clock from the start of the process to its exit, or to its first byte of output."""
    started = time.perf_counter()
    with subprocess.Popen(
        subject.command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        if process.stdout is None:
            raise RuntimeError("a pipe was asked for and not given")
        output = os.read(process.stdout.fileno(), 65536)
        first = time.perf_counter() - started
        output += process.stdout.read()
        code = process.wait()
        whole = time.perf_counter() - started
    if code:
        raise SystemExit(f"{subject.name} failed with exit code {code}:\n{output.decode(errors='replace')}")
    return first if subject.until == "first byte" else whole


def peer_python(distribution: str, cache: Path, *wanted: str) -> Path:
    """The interpreter of an environment that holds one peer, made at the first asking; `wanted` is for pip, too."""
    home = cache / distribution
    python = home / "bin" / "python"
    if not (home / ".ready").exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", distribution, *wanted], check=True)
        (home / ".ready").touch()
    return python


def peer_version(python: Path, distribution: str) -> str:
    """The installed version of a peer."""
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def subjects(folder: Path, *, cache: Path | None) -> list[Subject]:
    """What is timed: ours, the minimal Typer app and, where a cache folder is given, the peers."""
    app = folder / "minimal.py"
    app.write_text(TYPER_APP, encoding="utf-8")
    command = str(Path(sys.executable).with_name("orchestrator"))
    run = [sys.executable, command, "run", QUESTION]
    found = [
        Subject(name="python -c pass", command=[sys.executable, "-c", "pass"]),
        Subject(name="minimal Typer app --help", command=[sys.executable, str(app), "--help"]),
        Subject(name="orchestrator --help", command=[sys.executable, command, "--help"]),
        Subject(name="orchestrator run, first output", command=run, until="first byte"),
        Subject(name="orchestrator run, whole", command=run),
    ]
    for module, distribution in PEERS.items() if cache else ():
        python = peer_python(distribution, cache or folder)
        name = f"import {module} ({distribution} {peer_version(python, distribution)})"
        found.append(Subject(name=name, command=[str(python), "-c", f"import {module}"]))
    return found


def measure(timed: list[Subject], *, rounds: int, env: dict[str, str]) -> None:
    """Run all commands in turn, once unmeasured to fill the caches, then `rounds` times."""
    for subject in timed:
        time_once(subject, env)
    for _ in range(rounds):
        for subject in timed:
            subject.seconds.append(time_once(subject, env))


def report(timed: list[Subject], *, rounds: int) -> None:
    """Print medians, spreads and the ratios that the issue asks for."""
    by_name = {subject.name: subject for subject in timed}
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, median of {rounds} interleaved rounds")
    for subject in timed:
        low, high = min(subject.seconds) * 1000, max(subject.seconds) * 1000
        print(f"  {subject.name:<44} {subject.median_ms:8.0f} ms   ({low:.0f} to {high:.0f})")
    ours, bare = by_name["orchestrator --help"], by_name["minimal Typer app --help"]
    print(f"ratio of --help to a minimal Typer app: {ours.median_ms / bare.median_ms:.2f} (goal: at most 1.25)")
    first = by_name["orchestrator run, first output"]
    peers = [subject for subject in timed if subject.name.startswith("import ")]
    for peer in peers:
        print(f"ratio of first output to `{peer.name}`: {first.median_ms / peer.median_ms:.2f}")
    if not peers:
        print(f"peers {', '.join(PEERS.values())}: skipped, they are installed only with --peers")


def main() -> None:
    """Parse the flags, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="measured runs of each command")
    parser.add_argument("--peers", action="store_true", help="install and time the peers too (needs a package index)")
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="where peers are installed")
    options = parser.parse_args()
    rounds: int = options.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed = subjects(folder, cache=options.cache if options.peers else None)
        measure(timed, rounds=rounds, env=clean_env(folder / "home"))
    report(timed, rounds=rounds)


if __name__ == "__main__":
    main()
