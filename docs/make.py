"""Makes the pictures of the README and its cassette anew: `make docs`."""

from __future__ import annotations

import io
import json
import tempfile
from decimal import Decimal
from pathlib import Path

from rich.console import Console

from orchestrator import Budget, Completion, Orchestrator, ScriptProvider, ToolCall, Usage, load_pool
from orchestrator.cli.wanted import Wanted, composed
from orchestrator.errors import FailureKind
from orchestrator.providers import RecordingProvider
from orchestrator.render import LiveRun, Screen, why_trace
from orchestrator.render.screen import THEME
from orchestrator.runtime import Clocks
from orchestrator.trace import read_trace

HERE = Path(__file__).parent
QUESTION = "What is 17% of 2,340?"
LARGER, ROUTER = "Which is larger, 3/7 or 2/5?", "openai:gpt-6.1-terra"
CASSETTE = HERE.parent / "examples" / "data" / "larger.jsonl"
STARTED = 1_795_219_200.0


class Ticking:
    """A clock that moves on by the same step whenever it is read, so that pictures change only with the product."""

    def __init__(self, step: float) -> None:
        self._now, self._step = 0.0, step

    def __call__(self) -> float:
        """Seconds since the first reading."""
        self._now += self._step
        return self._now


def failing(agent: str, attempt: int, case: str | None) -> FailureKind | None:
    """Break the first choice for the question of the pictures."""
    del attempt, case
    return "timeout" if agent == "algebra" else None


def recording(width: int = 104) -> Screen:
    """A screen that remembers what it was shown."""
    screen = Screen()
    screen.out = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, theme=THEME, highlight=False
    )
    return screen


def save(screen: Screen, name: str, command: str) -> None:
    """Write what a screen was shown as an SVG picture."""
    screen.out.save_svg(str(HERE / f"{name}.svg"), title=command, unique_id=name)


def record() -> None:
    """Write the cassette that the README replays: what a router model might say to its question."""
    CASSETTE.parent.mkdir(parents=True, exist_ok=True)
    CASSETTE.unlink(missing_ok=True)
    CASSETTE.touch()
    wanted = Wanted(question=LARGER, router_model=ROUTER, budget="0.05", cassette=CASSETTE)
    asks = ToolCall("call_1", "algebra", json.dumps({"query": "3/7 - 2/5"}))
    thinks = Completion("The sign of the difference tells; algebra is exact.", (asks,), "calls", Usage(1310, 34))
    answers = Completion("3/7 is larger, by 1/35.", usage=Usage(1398, 12))
    script = ScriptProvider({ROUTER.partition(":")[2]: [thinks, answers]})
    Orchestrator(
        composed(wanted).pool,
        router=ROUTER,
        providers={"openai": RecordingProvider(script, CASSETTE)},
        budget=Budget(usd=Decimal("0.05")),
        trace=False,
    ).run_sync(LARGER)
    script.finish()


def main() -> None:
    """Run, draw, explain, record."""
    record()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.jsonl"
        clock = Ticking(0.002)
        orchestrator = Orchestrator(
            load_pool("local", plugins=False),
            faults=failing,
            trace=file,
            clocks=Clocks(clock, lambda: STARTED + clock()),
            new_id=lambda: "20261121-093000-1a2b3c4d",
        )
        screen = recording()
        with LiveRun(screen, streaming=True) as live:  # no spinner, whose frames would hang on how busy we are
            decision = orchestrator.run_sync(QUESTION, listeners=[live])
        live.decided(decision, "~/.local/state/orchestrator/runs/20261121-093000-1a2b3c4d.jsonl")
        save(screen, "run", f'orchestrator run "{QUESTION}" --fail algebra=timeout')
        screen = recording()
        why_trace(read_trace(file), screen)
        save(screen, "why", "orchestrator trace why last")


if __name__ == "__main__":
    main()
