"""An eval that is killed with -9 at random moments, one after the other, and then resumed: nothing shows of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.eval_world import KEY, CountingServer, Lab, asking_suite, plain

KILLS = int(os.environ.get("EVAL_KILLS", "6"))
"""Kills in a row; the gate of the eval issue asks for twenty."""
CASES = 4 * KILLS
JOBS = 3
PATIENCE = 60.0
OPTIONS = ["-j", str(JOBS), "--max-cost", "5", "--no-traces"]


@pytest.fixture
def lab(child_env: dict[str, str], tmp_path: Path) -> Lab:
    """The command over an empty folder."""
    return Lab({**child_env, "SUMS_KEY": KEY}, tmp_path)


def ended_calls(run: Path) -> Counter[str]:
    """Calls whose end is on disk, by question."""
    lines = [line for path in run.glob("calls/*.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
    return Counter(json.loads(line)["request"]["messages"][-1]["content"] for line in lines)


def killed(process: subprocess.Popen[str], server: CountingServer, draw: Random) -> bool:
    """Kill it some time after it asked its first question; whether it had not ended by itself."""
    before, end = sum(server.requests.values()), time.monotonic() + PATIENCE
    more = draw.randint(1, 5)
    while sum(server.requests.values()) < before + more and process.poll() is None:
        assert time.monotonic() < end, "it asks nothing"
        time.sleep(0.002)
    time.sleep(draw.uniform(0, 0.05))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    return process.returncode == -signal.SIGKILL


def uncharged(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what calls in flight were charged, and what follows from their charges."""
    bare = plain(report)
    charged = {"cost_usd", "cost_exact", "cost_per_question", "cost_per_correct"}
    systems = [{name: value for name, value in each.items() if name not in charged} for each in bare["systems"]]
    return {**bare, "systems": systems}


@pytest.mark.timeout(900)
def test_killed_again_and_again_it_ends_in_the_same_table(lab: Lab) -> None:
    with CountingServer(delay=0.02) as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=CASES)
        calm = lab.report("run", str(suite), "--out", "calm", *OPTIONS)
        asked = Counter(server.requests)
        server.requests.clear()
        draw, kills, args = Random(41), 0, ["run", str(suite), "--out", "run", *OPTIONS]
        ended = Counter[str]()
        for _ in range(KILLS):
            with lab.started(*args) as process:
                kills += killed(process, server, draw)
            args = ["resume", "run"]
            now = ended_calls(lab.folder / "run")
            assert now >= ended  # what had ended stays
            ended = now
        assert kills == KILLS
        report = lab.report("resume", "run")
        made = sum(server.requests.values())
    assert ended_calls(lab.folder / "run") == asked  # every call ended once, and none twice
    files = [path.read_text(encoding="utf-8").splitlines() for path in (lab.folder / "run" / "calls").glob("*.begun")]
    begun = [[Decimal(json.loads(line)["usd"]) for line in lines] for lines in files]  # a file holds one call's tries
    repeated = sum(len(tries) - 1 for tries in begun)
    assert len(begun) == sum(asked.values())
    assert made <= len(begun) + repeated  # nobody was asked but what is written down as begun
    assert repeated <= JOBS * KILLS
    assert uncharged(report) == uncharged(calm)
    lost = sum((Decimal(each["apart"].get("lost", "0")) for each in lab.results("run")), Decimal(0))
    spent, usual = (sum(each["cost_usd"] for each in one["systems"]) for one in (report, calm))
    assert spent == pytest.approx(usual + float(lost))
    assert lost == sum(sum(tries[1:], Decimal(0)) for tries in begun)  # each in flight at its input estimate, once
    assert lab.run("verify", "run").stdout == "consistent\n"
