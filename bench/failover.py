"""What a failing first model costs: time to the second one's answer, requests wasted on the first, who is told of them.

All ask the same servers on loopback: the first answers with HTTP 500, refuses connections, or takes a question and
never answers, and the second answers at once. Single questions are asked each by one that has learned nothing yet;
in a row of 100 one asks them all, and a breaker pays. Ours runs with trace, budget and breakers on. Beside it stand a
loop over two clients written by hand and, where asked for with `--peers`, LiteLLM's Router and pydantic-ai's
`FallbackModel`, each as it comes and set up to be fast, in environments of their own.

Imports and first clients, which cost 40 ms, count for nobody: each asks twice before it is measured. Wasted requests
are counted by the servers; where connections are refused, which no server sees, each process counts those it tries to
open. Whoever waits rather than works makes its row at the same time as the others that do: with peers all takes some
twenty minutes, with `--row 10` a few.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Literal, NamedTuple
from urllib.request import urlopen

from overhead import CONTESTANTS, QUESTION, child, spread
from startup import ROOT, clean_env, peer_python, peer_version

Fault = Literal["500", "refused", "hang"]
FAULTS: tuple[Fault, ...] = ("500", "refused", "hang")
SYSTEM = "You know physics."
TIMEOUT = 1.0
TURN_SECONDS = 1.0
"""How long one may ask single questions before it is the next one's turn."""
WAITING = 0.5
"""Seconds to an answer from which most of them must have been waiting."""
BY_HAND, OURS = "two clients by hand", "orchestrator"
LITELLM, PYDANTIC_AI = "litellm", "pydantic-ai-slim"


class Entry(NamedTuple):
    """Who competes, and how."""

    name: str
    python: Path | str
    script: str
    tuned: bool = False


class Asked(NamedTuple):
    """One question: seconds to its answer by wall clock and of CPU, and how many failed requests were shown."""

    wall: float
    cpu: float
    shown: int


@dataclass(frozen=True, slots=True)
class Turn:
    """Questions asked one after the other, and the requests that they wasted on the first model."""

    asked: list[Asked]
    wasted: int

    @property
    def wall_ms(self) -> float:
        """The median of the questions."""
        return median(each.wall for each in self.asked) * 1000

    @property
    def cpu_ms(self) -> float:
        """The median of the questions."""
        return median(each.cpu for each in self.asked) * 1000

    @property
    def shown(self) -> int:
        """Failed requests that were shown."""
        return sum(each.shown for each in self.asked)


@dataclass(slots=True)
class Contestant:
    """One way to fail over, from one fault, in a process that waits for its turns."""

    name: str
    fault: Fault
    process: subprocess.Popen[str]
    key: str
    """Under which the servers count its wasted requests."""
    counts: str
    """Where they tell."""
    singles: list[Turn] = field(default_factory=list[Turn])
    row: Turn | None = None
    _before: int = 0

    def begin(self, questions: int, seconds: float | None) -> None:
        """Ask so many questions as if each were the first, for so long; without limit a row."""
        self._before = self._counted()
        if self.process.stdin is None:
            raise RuntimeError("a pipe was asked for and not given")
        print(json.dumps([questions, seconds]), file=self.process.stdin, flush=True)

    def end(self) -> Turn:
        """Wait for the answers."""
        told = self.process.stdout.readline() if self.process.stdout else ""
        if not told:
            raise SystemExit(f"{self.name}, {self.fault}, ended with exit code {self.process.wait()}")
        report = json.loads(told)
        wasted = report["tried"] if self.fault == "refused" else self._counted() - self._before
        return Turn([Asked(*each) for each in report["asked"]], wasted)

    def _counted(self) -> int:
        with urlopen(self.counts) as told:  # noqa: S310 - the server is our own
            return int(json.load(told).get(self.key, 0))


def peers(cache: Path | None) -> Iterator[Entry]:
    """The peers that can compete, each as it comes and tuned; says which cannot, and why."""
    for distribution, wanted, script, name, tuning in (
        (PYDANTIC_AI, "pydantic-ai-slim[openai]", "pydantic_ai_fallback.py", "pydantic-ai", "no retries"),
        (LITELLM, LITELLM, "litellm_router.py", "LiteLLM", "no retries, cooldown"),
    ):
        if cache is None:
            print(f"{distribution}: skipped, it is installed only with --peers", file=sys.stderr)
            continue
        try:
            python = peer_python(distribution, cache, wanted)
        except subprocess.CalledProcessError as error:
            print(f"{distribution}: skipped, pip could not install it ({error.returncode})", file=sys.stderr)
            continue
        versions = ", ".join(f"{each} {peer_version(python, each)}" for each in (distribution, "openai"))
        print(versions, file=sys.stderr)
        yield Entry(f"{name}, as it comes", python, script)
        yield Entry(f"{name}, {tuning}", python, script, tuned=True)


def entries(cache: Path | None) -> list[Entry]:
    """Who competes."""
    own = Entry(BY_HAND, sys.executable, "two_clients.py"), Entry(OURS, sys.executable, "pool_of_two.py")
    return [*own, *peers(cache)]


def start(found: list[Entry], folder: Path, processes: ExitStack) -> list[Contestant]:
    """A process of each for each fault, all warm."""
    env = clean_env(folder) | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else LiteLLM fetches its prices at import
    server = processes.enter_context(child([sys.executable, str(CONTESTANTS / "failing_server.py")], env))
    ports = json.loads(server.stdout.readline() if server.stdout else "")
    started: list[Contestant] = []
    for fault in FAULTS:
        for number, entry in enumerate(found):
            first, second = (f"http://127.0.0.1:{ports[place]}" for place in (fault, "second"))
            task = {
                "first": f"{first}/{number}/v1",
                "second": f"{second}/{number}/v1",
                "question": QUESTION,
                "system": SYSTEM,
                "timeout": TIMEOUT,
                "folder": str(folder / f"{number}-{fault}"),
                "tuned": entry.tuned,
            }
            command = [str(entry.python), str(CONTESTANTS / entry.script), json.dumps(task)]
            process = processes.enter_context(child(command, env))
            started.append(Contestant(entry.name, fault, process, f"{fault} {number}", second))
    for contestant in started:
        contestant.end()
    return started


def measure(contestants: list[Contestant], *, questions: int, repeats: int, row: int) -> None:
    """Single questions in turn, round by round; then a row of each, alone where it works and at once where it waits."""
    for number in range(repeats):
        print(f"single questions, round {number + 1} of {repeats}", file=sys.stderr)
        for contestant in contestants:
            contestant.begin(questions, TURN_SECONDS)
            contestant.singles.append(contestant.end())
    waiting = [each for each in contestants if each.singles[-1].wall_ms > WAITING * 1000]
    print(f"rows of {row}, {len(waiting)} of {len(contestants)} at once", file=sys.stderr)
    for contestant in contestants:
        if contestant not in waiting:
            contestant.begin(row, None)
            contestant.row = contestant.end()
    for contestant in waiting:
        contestant.begin(row, None)
    for contestant in waiting:
        contestant.row = contestant.end()


def compared(one: Contestant, hand: Contestant) -> list[float]:
    """Of each round: the ratio to the loop by hand; where the first model hangs, milliseconds above the timeout."""
    if one.fault == "hang":
        return [turn.wall_ms - TIMEOUT * 1000 for turn in one.singles]
    return [turn.wall_ms / by_hand.wall_ms for turn, by_hand in zip(one.singles, hand.singles, strict=True)]


def per_question(turns: list[Turn]) -> tuple[float, float]:
    """Requests wasted by a question, and those of them that its caller is shown."""
    asked = sum(len(turn.asked) for turn in turns)
    return sum(turn.wasted for turn in turns) / asked, sum(turn.shown for turn in turns) / asked


def cells(one: Contestant, hand: Contestant) -> list[str]:
    """A contestant's line of the table."""
    wasted, shown = per_question(one.singles)
    against = compared(one, hand)
    digits = 2 if one.fault != "hang" and median(against) < 10 else 0
    found = [
        one.fault,
        one.name,
        spread([turn.wall_ms for turn in one.singles], 1),
        f"+{spread(against, digits)} ms" if one.fault == "hang" else spread(against, digits),
        f"{median(turn.cpu_ms for turn in one.singles):.1f}",
        f"{wasted:.3g}",
        f"{shown:.3g}",
    ]
    if one.row is None:
        return found
    each_ms = mean(each.wall for each in one.row.asked) * 1000
    return [*found, str(one.row.wasted), str(one.row.shown), f"{each_ms:.1f}"]


def say(contestants: list[Contestant], *, repeats: int, row: int) -> None:
    """Print the table, and what the issue asks for."""
    hands = {each.fault: each for each in contestants if each.name == BY_HAND}
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, medians of {repeats} interleaved rounds (spread)")
    print(
        "wasted: requests to the first model by one question; shown: those that its caller is told of, with the error;"
    )
    print(f"right of the bar: the same of a whole row of {row} questions, and milliseconds to an answer there")
    shape = "{:<9}{:<31}{:>25}{:>23}{:>8}{:>8}{:>7} |{:>8}{:>7}{:>9}"
    titles = "first", "", "ms to the answer", "to by hand", "CPU ms", "wasted", "shown", "wasted", "shown", "ms each"
    print(shape.format(*titles))
    for one in contestants:
        print(shape.format(*cells(one, hands[one.fault])))
    for one in contestants:
        if one.name == OURS:
            say_goals(one, hands[one.fault])


def say_goals(ours: Contestant, hand: Contestant) -> None:
    """What the issue asks of us, for one fault."""
    what, goal = ("ms above the timeout", 50) if ours.fault == "hang" else ("times the loop by hand", 3)
    cpu = [mine.cpu_ms / theirs.cpu_ms for mine, theirs in zip(ours.singles, hand.singles, strict=True)]
    print(f"{ours.fault}: {spread(compared(ours, hand))} {what} (goal: at most {goal}); {spread(cpu)} times its CPU")
    print(f"  {per_question(ours.singles)[0]:.3g} requests wasted by a single question (goal: 1)")
    turns = ours.singles
    if ours.row is not None:
        turns = [*turns, ours.row]
        last = max((place for place, each in enumerate(ours.row.asked, start=1) if each.shown), default=0)
        print(f"  {ours.row.wasted} by the row, the last at question {last} (goal: none once the breaker is open)")
    shown, wasted = sum(turn.shown for turn in turns), sum(turn.wasted for turn in turns)
    print(f"  {shown} of {wasted} wasted requests shown, in decision and trace (goal: all)")


def main() -> None:
    """Parse the flags, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--questions", type=int, default=25, help="single questions of each turn, as far as time allows"
    )
    parser.add_argument("--repeats", type=int, default=11, help="measured rounds")
    parser.add_argument("--row", type=int, default=100, help="questions of the row")
    parser.add_argument(
        "--peers", action="store_true", help="install and measure the peers too (needs a package index)"
    )
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="where they are installed")
    parser.add_argument("--json", action="store_true", help="print every question as JSON instead of the table")
    options = parser.parse_args()
    found = entries(options.cache if options.peers else None)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as processes:
        contestants = start(found, Path(folder), processes)
        measure(contestants, questions=options.questions, repeats=options.repeats, row=options.row)
    if options.json:
        told = [
            {"name": each.name, "first": each.fault, "singles": [asdict(turn) for turn in each.singles]}
            | {"row": asdict(each.row) if each.row else None}
            for each in contestants
        ]
        print(json.dumps(told, indent=2))
    else:
        say(contestants, repeats=options.repeats, row=options.row)


if __name__ == "__main__":
    main()
