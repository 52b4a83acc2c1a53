"""Runs that are cut short: killed, interrupted in a pipe, interrupted in a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.trace import read_trace, verify
from orchestrator.trace.events import AttemptCancelled, AttemptStarted, RunEnded, TryStarted
from tests.conftest import COMMAND

if TYPE_CHECKING:
    from orchestrator.trace import Trace
    from tests.conftest import Cli

QUESTION = "What is 17% of 2,340?"
PATIENCE = 60.0
LOGIN = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"
"""Gives a command a session whose terminal is its standard input, so that Ctrl-C reaches it."""

OWN_TOML = """
[agents.thread]
tool = "own.py:thread"
produces = "by_thread"

[agents.task]
tool = "own.py:task"
produces = "by_task"
"""

OWN_PY = """
import asyncio
import time
from pathlib import Path


def thread(question: str) -> str:
    Path("started").touch()
    time.sleep(60)
    return "too late"


async def task(question: str) -> str:
    Path("started").touch()
    await asyncio.sleep(60)
    return "too late"
"""

either_tool = pytest.mark.parametrize("goal", ["by_thread", "by_task"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a run is made: with two slow tools that leave a file `started` behind when they are called."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "own.toml").write_text(OWN_TOML, encoding="utf-8")
    (own / "own.py").write_text(OWN_PY, encoding="utf-8")
    return tmp_path


def arguments(goal: str) -> list[str]:
    """The command of a run that is still under way when it is looked at."""
    return [str(COMMAND), "run", QUESTION, "--agents", "own", "--goal", goal, "--trace", "run.jsonl"]


def started(goal: str, env: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    """A run whose slow tool has begun."""
    process = subprocess.Popen(
        arguments(goal), env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    await_file(folder / "started")
    return process


def await_file(path: Path) -> None:
    """Wait until a file is there."""
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.02)


def assert_cancelled(trace: Trace) -> None:
    """The trace ends as that of an interrupted run, with nothing left open."""
    ended = trace.events[-1]
    assert isinstance(ended, RunEnded)
    assert (ended.how, ended.decision) == ("cancelled", None)
    assert any(isinstance(event, AttemptCancelled) for event in trace.events)
    assert verify(trace, head=trace.head).passed


@either_tool
def test_what_a_killed_run_had_done_can_be_read(cli: Cli, child_env: dict[str, str], folder: Path, goal: str) -> None:
    with started(goal, child_env, folder) as process:
        process.kill()
        process.communicate()
    trace = read_trace(folder / "run.jsonl")
    verdict = verify(trace, head=trace.head)
    assert (trace.torn, trace.damage, verdict.passed, verdict.ended) == (b"", None, True, False)
    assert [type(event) for event in trace.events[-2:]] == [AttemptStarted, TryStarted]
    shown = cli("trace", "show", "run.jsonl")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"did not end: the last whole step is {len(trace.events)} (try_started)" in shown.stdout
    verified = json.loads(cli("trace", "verify", "run.jsonl", "--json").stdout)
    assert (verified["consistent"], verified["ended"], verified["torn"]) == (True, False, False)


@either_tool
def test_an_interrupted_run_says_so_and_leaves_a_whole_trace(
    cli: Cli, child_env: dict[str, str], folder: Path, goal: str
) -> None:
    with started(goal, child_env, folder) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err == "interrupted; the trace up to here is whole\n"
    assert out.splitlines()[-1].split() == ["cancelled", "#1", goal.removeprefix("by_")]
    assert_cancelled(read_trace(folder / "run.jsonl"))
    shown = cli("trace", "show", "run.jsonl")
    assert shown.returncode == 0
    assert "ended: cancelled: the run was cancelled" in shown.stdout


def test_an_interrupted_run_in_quiet_and_json_prints_no_answer(child_env: dict[str, str], folder: Path) -> None:
    command = [*arguments("by_task"), "--json"]
    with subprocess.Popen(command, env=child_env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        await_file(folder / "started")
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=PATIENCE)
    assert (run.returncode, out, b"Traceback" in err) == (130, b"", False)


class Terminal:
    """A command in a pseudo-terminal of its own, with what it printed so far."""

    def __init__(self, command: list[str], env: dict[str, str], folder: Path) -> None:
        self.shown = ""
        self._end, screen = pty.openpty()
        termios.tcsetwinsize(screen, (40, 100))
        self._process = subprocess.Popen([sys.executable, "-c", LOGIN, *command], env=env, cwd=folder, stdin=screen)
        os.close(screen)

    def read_until(self, pattern: str) -> None:
        """Read on until the screen shows a pattern."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.shown):
            assert time.monotonic() < end, self.shown
            assert self._read(), self.shown

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._end, keys)

    def close(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        os.close(self._end)
        return self._process.wait(PATIENCE)

    def _read(self) -> bool:
        if not select.select([self._end], [], [], PATIENCE)[0]:
            return False
        try:
            piece = os.read(self._end, 65536)
        except OSError:  # Linux says so when the other end was closed
            return False
        self.shown += piece.decode("utf-8", "replace")
        return bool(piece)


@pytest.fixture
def terminal_env(child_env: dict[str, str]) -> dict[str, str]:
    """The environment of a colour terminal that is as wide as it says itself."""
    env = {name: value for name, value in child_env.items() if name not in {"NO_COLOR", "COLUMNS"}}
    return {**env, "TERM": "xterm-256color"}


def test_a_terminal_shows_spinner_and_stops_at_ctrl_c(terminal_env: dict[str, str], folder: Path) -> None:
    terminal = Terminal(arguments("by_thread"), terminal_env, folder)
    terminal.read_until(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]\S* .*thread.*0\.\d\d s")
    terminal.read_until(r"0\.[3-9]\d s")  # the seconds go on
    await_file(folder / "started")
    terminal.type(b"\x03")
    assert terminal.close() == 130
    assert "\x1b[36m" in terminal.shown or "\x1b[1;36m" in terminal.shown  # in colour
    assert "interrupted; the trace up to here is whole" in terminal.shown
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l")  # the cursor is back
    assert "Traceback" not in terminal.shown
    assert_cancelled(read_trace(folder / "run.jsonl"))


def test_a_terminal_is_not_waited_at_for_a_question(terminal_env: dict[str, str], folder: Path) -> None:
    terminal = Terminal([str(COMMAND), "run"], terminal_env, folder)
    assert terminal.close() == 2
    assert "no question: give it as an argument" in terminal.shown


def test_a_terminal_shows_the_decision_in_a_panel(terminal_env: dict[str, str], folder: Path) -> None:
    command = [str(COMMAND), "run", QUESTION, "--fail", "algebra"]
    terminal = Terminal(command, {**terminal_env, "NO_COLOR": "1"}, folder)
    assert terminal.close() == 0
    lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", terminal.shown).replace("\r", "\n").splitlines()
    assert any(line.startswith("╭─ answered ─") for line in lines)
    assert any("replaced by arithmetic" in line for line in lines)
    assert any(line.startswith("│ decision   397.8  (answered)") for line in lines)
    assert max(map(len, lines)) <= 100
    assert not re.search(r"\x1b\[[\d;]*3[0-7]m", terminal.shown)  # NO_COLOR
