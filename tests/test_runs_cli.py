"""`orchestrator runs list|show|resume|abort` as processes: exit codes, JSON, and what they say when they will not."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.trace import read_trace, verify
from orchestrator.trace.events import Resumed, RunEnded
from tests.commands import MAIN, orchestrate
from tests.conftest import ROOT

QUESTION = "What is 2+2?"
USAGE, ESCALATED = 2, 5

SLOW = """
import os, time

def wait(question: str) -> str:
    open(os.environ["BEGUN"], "w").close()
    while not os.path.exists(os.environ["GO_ON"]):
        time.sleep(0.02)
    return "done"
"""


@dataclass(frozen=True)
class Desk:
    """Where commands are given, and where their runs are kept."""

    place: Path

    @property
    def env(self) -> dict[str, str]:
        """Their environment."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.place),
            "ORCHESTRATOR_HOME": str(self.place / "home"),
        }

    def says(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """A finished command, with the exit code that it should have."""
        done = orchestrate(*args, env=self.env, cwd=self.place)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def waiting(self) -> str:
        """The id of a new run that waits for a person."""
        done = self.says("run", QUESTION, "--durable", "--fail", "*=error", "--json", code=ESCALATED)
        run_id = str(json.loads(done.stdout)["run_id"])
        assert f"it waits: orchestrator runs resume {run_id} --answer" in done.stderr
        return run_id

    def listed(self) -> list[dict[str, Any]]:
        """What `runs list --json` gives."""
        return json.loads(self.says("runs", "list", "--json").stdout)

    def trace(self, run_id: str) -> Path:
        """The file of a run."""
        return self.place / "home" / "runs" / f"{run_id}.jsonl"

    def kept(self) -> set[str]:
        """Runs that checkpoints are kept of."""
        with closing(sqlite3.connect(self.place / "home" / "checkpoints.sqlite")) as held:
            return {str(name) for (name,) in held.execute("SELECT DISTINCT thread_id FROM checkpoints")}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk without any run."""
    return Desk(tmp_path)


def test_without_a_run_there_is_nothing_to_do(desk: Desk) -> None:
    assert desk.listed() == []
    assert "no durable run is left to do" in desk.says("runs", "list").stderr
    for command in ("show", "resume"):
        assert "there is no run `last`" in desk.says("runs", command, code=USAGE).stderr
    desk.says("runs", "abort", code=USAGE)
    desk.says("runs", "end", code=USAGE)


def test_a_run_that_waits_is_listed_shown_and_answered(desk: Desk) -> None:
    run_id = desk.waiting()
    (found,) = desk.listed()
    assert (found["run_id"], found["stands"], found["question"]) == (run_id, "waiting", QUESTION)
    assert found["why"].startswith("escalated: nobody is left")
    table = desk.says("runs", "list").stdout
    assert run_id in table
    assert "waiting" in table
    shown = desk.says("runs", "show", run_id[:-3]).stdout
    assert f"orchestrator runs resume {run_id} goes on" in shown
    assert "trace      consistent" in shown
    assert desk.kept() == {run_id}

    done = desk.says("runs", "resume", run_id, "--answer", "4", "--json")
    decision = json.loads(done.stdout)
    assert (decision["answer"], decision["status"], decision["support"]) == ("4", "answered", ["person"])
    assert "resumed" in done.stderr
    trace = read_trace(desk.trace(run_id))
    assert verify(trace, head=decision["head"]).passed
    assert isinstance(trace.events[-1], RunEnded)
    assert (desk.listed(), desk.kept()) == ([], set())
    assert "paused" in desk.says("runs", "show", run_id).stdout


def test_a_resume_that_comes_to_nothing_waits_again(desk: Desk) -> None:
    run_id = desk.waiting()
    done = desk.says("runs", "resume", run_id, "--retry", "--json", code=ESCALATED)
    assert len(json.loads(done.stdout)["failed"]) == 4
    assert [found["stands"] for found in desk.listed()] == ["waiting"]
    quiet = desk.says("runs", "resume", "last", "--answer", "4", "--quiet")
    assert quiet.stdout == "4\n"


def test_a_word_that_cannot_be_is_refused_and_the_run_still_waits(desk: Desk) -> None:
    run_id = desk.waiting()
    before = desk.trace(run_id).read_bytes()
    assert "the answer is empty" in desk.says("runs", "resume", run_id, "--answer", " ", code=USAGE).stderr
    desk.says("runs", "resume", run_id, "--budget", "much", code=USAGE)
    told = desk.says("runs", "resume", run_id, "--allow", "algebar", code=USAGE).stderr
    assert "there is no agent `algebar`" in told
    assert "did you mean `algebra`?" in " ".join(told.split())
    assert desk.trace(run_id).read_bytes() == before
    assert [found["stands"] for found in desk.listed()] == ["waiting"]


@pytest.mark.parametrize("command", ["show", "resume", "abort"])
def test_an_unknown_run_is_told_with_the_nearest_one(command: str, desk: Desk) -> None:
    run_id = desk.waiting()
    other = run_id[:-1] + ("0" if run_id[-1] != "0" else "1")
    told = desk.says("runs", command, other, code=USAGE).stderr
    assert f"there is no run `{other}`" in told
    assert f"did you mean `{run_id}`?" in told


def test_a_run_that_has_ended_is_neither_resumed_nor_aborted(desk: Desk) -> None:
    run_id = desk.waiting()
    assert f"{run_id} has ended" in desk.says("runs", "abort", run_id).stderr
    before = desk.trace(run_id).read_bytes()
    ended = read_trace(desk.trace(run_id)).events[-1]
    assert isinstance(ended, RunEnded)
    assert (ended.how, ended.error) == ("cancelled", "aborted by a person")
    assert (desk.listed(), desk.kept()) == ([], set())
    for again in (("abort", run_id), ("resume", run_id), ("resume", run_id, "--answer", "4")):
        assert "has come to its end" in desk.says("runs", *again, code=USAGE).stderr
    assert desk.trace(run_id).read_bytes() == before


def test_a_run_that_is_not_durable_is_left_alone(desk: Desk) -> None:
    run_id = json.loads(desk.says("run", QUESTION, "--json").stdout)["run_id"]
    assert desk.listed() == []
    for command in ("resume", "abort"):
        told = desk.says("runs", command, run_id, code=USAGE).stderr
        assert "durable" in told or "cannot be resumed from the command line" in told


@pytest.mark.parametrize("command", ["list", "resume", "abort"])
def test_checkpoints_that_a_killed_process_left_are_tidied_up(command: str, desk: Desk) -> None:
    """The store as it stood before the run's end: what a kill between trace and checkpoints leaves behind."""
    run_id, store = desk.waiting(), desk.place / "home" / "checkpoints.sqlite"
    shutil.copy(store, desk.place / "before.sqlite")
    desk.says("runs", "resume", run_id, "--answer", "4")
    for left in store.parent.glob("checkpoints.sqlite*"):
        left.unlink()
    shutil.copy(desk.place / "before.sqlite", store)
    assert desk.kept() == {run_id}
    if command == "list":
        assert desk.listed() == []
    else:
        assert "has come to its end" in desk.says("runs", command, run_id, code=USAGE).stderr
    assert desk.kept() == set()


def slow_run(desk: Desk, *more: str) -> subprocess.Popen[bytes]:
    """A durable run whose expert has begun, and ends once the file `go_on` is there."""
    (desk.place / "slowpoke.py").write_text(SLOW, encoding="utf-8")
    folder = desk.place / "mine"
    folder.mkdir()
    (folder / "slow.toml").write_text('[agents.slow]\nrole = "waits"\ntool = "slowpoke:wait"\nproduces = "answer"\n')
    begun, env = desk.place / "begun", {**desk.env, **slow_env(desk)}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), env["PYTHONPATH"]])
    asked = ["run", "What is it?", "--agents", str(folder), "--pool", "mine", "--durable", "--json", *more]
    run = subprocess.Popen(
        [sys.executable, "-c", MAIN, *asked], env=env, cwd=desk.place, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not begun.exists() and run.poll() is None:
        time.sleep(0.02)
    return run


def slow_env(desk: Desk) -> dict[str, str]:
    """Where the slow expert looks for its files."""
    return {"BEGUN": str(desk.place / "begun"), "GO_ON": str(desk.place / "go_on")}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_interrupted_run_says_how_it_goes_on_and_the_resumed_one_who_replies(elsewhere: bool, desk: Desk) -> None:
    with slow_run(desk, *(["--trace", "my run.jsonl"] if elsewhere else [])) as first:
        first.send_signal(signal.SIGINT)
        _, told = first.communicate(timeout=60)
    assert first.returncode == 130
    name = "my run.jsonl" if elsewhere else desk.listed()[0]["run_id"]
    command = f"orchestrator runs resume {shlex.quote(name)}"
    assert told.decode().endswith(f"interrupted; the trace up to here is whole; go on with: {command}\n")
    (desk.place / "go_on").touch()
    done = orchestrate("runs", "resume", name, "--json", env=desk.env, cwd=desk.place, **slow_env(desk))
    assert (done.returncode, json.loads(done.stdout)["answer"]) == (0, "done")
    assert "reply      #1 slow done" in done.stderr


def test_a_second_process_keeps_off_a_run_that_one_is_at(desk: Desk) -> None:
    with slow_run(desk) as first:
        try:
            assert first.poll() is None, first.communicate()
            (found,) = desk.listed()
            run_id = found["run_id"]
            assert found["stands"] == "running"
            before = desk.trace(run_id).read_bytes()
            for word in (("resume", run_id), ("resume", run_id, "--retry"), ("abort", run_id)):
                assert "another process is writing it" in desk.says("runs", *word, code=USAGE).stderr
            assert "What is it?" in desk.says("runs", "show", run_id).stdout
            assert desk.trace(run_id).read_bytes() == before
        finally:
            (desk.place / "go_on").touch()
        told, faults = first.communicate(timeout=60)
    assert first.returncode == 0, faults
    assert json.loads(told)["answer"] == "done"
    assert not any(isinstance(event, Resumed) for event in read_trace(desk.trace(run_id)).events)
    assert (desk.listed(), desk.kept()) == ([], set())
