"""The runner of evals: killed, interrupted, shuffled, side by side; nothing is done twice, nothing hangs on luck."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.evals.calls import Pace
from orchestrator.evals.suite import Limit
from orchestrator.trace import read_trace, verify
from tests.eval_world import (
    KEY,
    CountingServer,
    Lab,
    asking_suite,
    plain,
    recorded_file,
    row,
    suite_folder,
    write_lines,
)

PATIENCE = 60.0

TOOL = """
import os
import time
from pathlib import Path


def slow(question: str) -> str:
    time.sleep(0.05)
    with Path(os.environ["CALLS"]).open("a") as calls:
        calls.write(question + "\\\\n")
    return question.split()[-1].strip("?")


def other(question: str) -> str:
    return "7"
""".replace("\\\\n", "\\n")

TOOLS = """
[pool]
goals = ["answer"]

[agents.slow]
tool = "tools.py:slow"
produces = "answer"
skill = 0.9

[agents.other]
tool = "tools.py:other"
produces = "answer"
skill = 0.2
"""


@pytest.fixture
def lab(child_env: dict[str, str], tmp_path: Path) -> Lab:
    """The command over an empty folder."""
    return Lab({**child_env, "SUMS_KEY": KEY, "CALLS": str(tmp_path / "calls.txt")}, tmp_path)


def tool_suite(folder: Path, cases: int = 40) -> Path:
    """A suite over two tools of which one writes down that it was called."""
    asked = [{"id": f"q{n}", "question": f"Say {n}", "reference": str(n)} for n in range(cases)]
    head = '[suite]\nname = "tools"\ndata = ["cases.jsonl"]\npool = "pool"\n'
    return suite_folder(folder, head, asked, pool_in_pool__toml=TOOLS, pool_in_tools__py=TOOL)


def finished(run: Path) -> int:
    """Cases that are on disk."""
    path = run / "results.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def stopped(lab: Lab, how: signal.Signals, when: Callable[[], bool], *args: str) -> tuple[int, str]:
    """A command that is sent a signal once something holds; its exit code and what it said on stderr."""
    with lab.started(*args) as process:
        end = time.monotonic() + PATIENCE
        while not when() and process.poll() is None:
            assert time.monotonic() < end, "it never comes so far"
            time.sleep(0.002)
        process.send_signal(how)
        _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said


def kept_calls(run: Path) -> Counter[str]:
    """Calls whose end is on disk, by question."""
    lines = [line for path in run.glob("calls/*.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
    return Counter(json.loads(line)["request"]["messages"][-1]["content"] for line in lines)


def killed_until_done(lab: Lab, draw: Random, start: list[str], at_end: Callable[[], None], times: int = 3) -> int:
    """Kill a run at random moments and go on with it, at last to its end; how often it was killed."""
    run, kills = lab.folder / "run", 0
    args = start
    while True:
        target = finished(run) + draw.randint(1, 6) if kills < times else 1_000_000
        wait = draw.uniform(0, 0.04)

        def due(target: int = target, wait: float = wait) -> bool:
            if finished(run) < target:
                return False
            time.sleep(wait)
            return True

        code, said = stopped(lab, signal.SIGKILL, due, *args)
        at_end()
        if code == 0:
            return kills
        assert code == -signal.SIGKILL, said
        kills += 1
        args = ["resume", str(run)]


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_over_tools_and_resumed_it_comes_to_the_same(lab: Lab, seed: int) -> None:
    suite, calls = tool_suite(lab.folder / "suite"), lab.folder / "calls.txt"
    calm = lab.report("run", str(suite), "--out", "calm", "-j", "3")
    assert Counter(calls.read_text(encoding="utf-8").splitlines()).most_common(1)[0][1] == 2  # router, and by itself
    calls.unlink()
    kills = killed_until_done(lab, Random(seed), ["run", str(suite), "--out", "run", "-j", "3"], lambda: None)
    assert kills == 3
    assert plain(lab.report("report", "run")) == plain(calm)
    again = Counter(calls.read_text(encoding="utf-8").splitlines())
    assert sum(again.values()) <= 80 + 3 * kills  # what was in flight, and no more
    assert {key for key, times in again.items() if times >= 2} == {f"Say {n}" for n in range(40)}
    assert lab.run("verify", "run").stdout == "consistent\n"


def test_no_finished_call_of_a_model_is_made_again(lab: Lab) -> None:
    with CountingServer(delay=0.03) as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=16)
        calm = lab.report("run", str(suite), "--out", "calm", "-j", "4", "--max-cost", "5")
        asked, server.requests = Counter(server.requests), Counter()
        assert asked == dict.fromkeys((f"What is 7 times {n}?" for n in range(16)), 2)
        over: list[Counter[str]] = []

        def note() -> None:
            kept = kept_calls(lab.folder / "run")
            over.append(kept)

        start = ["run", str(suite), "--out", "run", "-j", "4", "--max-cost", "5"]
        kills = killed_until_done(lab, Random(7), start, note)
        assert kills == 3
        assert over[-1] == dict.fromkeys(asked, 2)
        repeated = sum(server.requests.values()) - 32
        assert 0 <= repeated <= 4 * kills
        begun = Counter(
            json.loads(line)["key"]
            for path in (lab.folder / "run" / "calls").glob("*.begun")
            for line in path.read_text(encoding="utf-8").splitlines()
        )
        assert sum(begun.values()) - 32 >= repeated  # every call that was made twice had begun and not ended
        found = lab.report("report", "run")
    for name in ("sums", "model:sums"):
        one, other = (row(each, "plan" if name == "sums" else name) for each in (calm, found))
        assert (one["score"], one["n"], one["shares"]) == (other["score"], other["n"], other["shares"])
    lost = sum(lost_in(each) for each in lab.results("run"))
    assert total(found) == pytest.approx(total(calm) + lost)


def lost_in(done: Mapping[str, Any]) -> float:
    """USD of calls that were lost in a crash."""
    return float(done["apart"].get("lost", 0))


def total(report: Mapping[str, Any]) -> float:
    """USD of all systems."""
    return sum(each["cost_usd"] for each in report["systems"])


def test_interrupted_it_says_how_to_go_on(lab: Lab) -> None:
    suite = tool_suite(lab.folder / "suite")
    run = lab.folder / "run"
    code, said = stopped(lab, signal.SIGINT, lambda: finished(run) >= 5, "run", str(suite), "--out", "run", "-j", "3")
    assert code == 130
    assert said.splitlines()[-1] == "interrupted; go on with: orchestrator eval resume run"
    assert 5 <= finished(run) < 80
    calls = Counter((lab.folder / "calls.txt").read_text(encoding="utf-8").splitlines())
    assert "is not finished" in lab.run("report", "run", code=2).stderr
    report = lab.report("resume", "run")
    assert (row(report, "plan")["n"], row(report, "plan")["score"], report["verdict"][:5]) == (40, 1.0, "do no")
    after = Counter((lab.folder / "calls.txt").read_text(encoding="utf-8").splitlines())
    assert sum(after.values()) <= 80 + 3
    assert after >= calls


def test_a_torn_last_line_is_done_again(lab: Lab) -> None:
    recorded_file(lab.folder / "rec.jsonl")
    calm = lab.report("run", "rec.jsonl", "--out", "run")
    path = lab.folder / "run" / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    (lab.folder / "run" / "choices.jsonl").unlink()
    assert plain(lab.report("resume", "run")) == plain(calm)
    path.write_bytes(whole[:200] + b"#" + whole[200:])
    assert "results.jsonl: `line 1`: is no result" in lab.run("resume", "run", code=2).stderr


def test_resuming_what_is_finished_changes_nothing(lab: Lab) -> None:
    recorded_file(lab.folder / "rec.jsonl")
    first = lab.report("run", "rec.jsonl", "--out", "run")
    assert lab.report("resume", "run") == first
    assert lab.report("rescore", "run") == first


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report on a recorded file, one case after the other in the file's own order."""
    return {"folder": tmp_path_factory.mktemp("orders")}


@settings(max_examples=6)
@given(order=st.permutations(range(24)), jobs=st.sampled_from([1, 3, 16]))
def test_neither_order_nor_jobs_change_a_result(reference: dict[str, Any], order: list[int], jobs: int) -> None:
    folder: Path = reference["folder"]
    whole = recorded_file(folder / "rec.jsonl", 24).read_text(encoding="utf-8").splitlines()
    lab = Lab({"ORCHESTRATOR_HOME": str(folder / "home")}, folder)

    def report(jobs: int) -> dict[str, Any]:
        options = ["-j", str(jobs), "--router", "plan", "--analyses", "2", "--max-cost", "1", "--repeat", "2"]
        return plain(lab.report("run", "rec.jsonl", *options))

    if "plain" not in reference:
        reference["plain"] = report(1)
    write_lines(folder / "rec.jsonl", [json.loads(whole[place]) for place in order])
    assert report(jobs) == reference["plain"]


def test_an_eval_never_spends_more_than_it_may_however_many_run(lab: Lab) -> None:
    with CountingServer(delay=0.02) as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=30)
        report = lab.report("run", str(suite), "--out", "run", "-j", "16", "--max-cost", "0.003", code=1)
        assert 0 < total(report) <= 0.003
        errors = [each for each in lab.results("run") if each["error"]]
        assert {each["error"].partition(":")[0] for each in errors} == {"limit"}
        assert (row(report, "plan")["n"], row(report, "plan")["errors"] > 0) == (30, True)
        made = sum(server.requests.values())
        more = lab.report("retry", "run", "--max-cost", "5")
        assert [each["errors"] for each in more["systems"]] == [0, 0]
        assert sum(server.requests.values()) - made == len(errors)  # errors only, and each once
        assert total(more) == pytest.approx(60 * (50 * 2 + 5 * 10) / 1e6)


def test_a_budget_that_suffices_gives_every_case_its_share_with_many_at_work(lab: Lab) -> None:
    with CountingServer(delay=0.01) as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=20)
        report = lab.report("run", str(suite), "-j", "16", "--max-cost", "0.25")
    assert [each["errors"] for each in report["systems"]] == [0, 0]


def test_models_are_asked_no_faster_than_the_suite_allows(lab: Lab) -> None:
    with CountingServer(delay=0.05) as server:
        limits = "[limits.sums]\nconcurrency = 2\n"
        suite = asking_suite(lab.folder / "suite", server.url, cases=10, more=limits)
        report = lab.report("run", str(suite), "-j", "16", "--max-cost", "5")
        assert (server.most, row(report, "plan")["score"]) == (2, 1.0)


def test_a_suite_that_can_spend_says_what_it_may(lab: Lab) -> None:
    with CountingServer() as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=2)
        done = lab.run("run", str(suite))
    assert "no --max-cost was given: the whole eval spends at most $0.10" in done.stderr


def test_every_case_has_a_trace_that_verifies(lab: Lab) -> None:
    recorded_file(lab.folder / "rec.jsonl", 12)
    lab.run("run", "rec.jsonl", "--out", "run")
    results = lab.results("run")
    assert len(results) == 8
    for each in results:
        assert verify(read_trace(lab.folder / "run" / each["trace"]), head=each["head"]).passed


async def paced(limit: Limit, calls: int, seconds: float) -> list[float]:
    """When each of so many calls began that were all wanted at once and take so long; time is simulated."""
    time_ = FakeTime()
    pace = Pace(limit, time_.now, time_.sleep)
    began: list[float] = []

    async def one() -> None:
        await pace.turn()
        await pace.begin()
        began.append(time_.now())
        await time_.sleep(seconds)
        pace.end()

    await asyncio.gather(*(one() for _ in range(calls)))
    return began


@dataclass(slots=True)
class FakeTime:
    """Time that passes only while everybody sleeps."""

    at: float = 0.0

    def now(self) -> float:
        """Seconds."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Come back when so much has passed."""
        end = self.at + seconds
        while self.at < end:
            for _ in range(50):  # whoever can go on does
                await asyncio.sleep(0)
            self.at = min(end, self.at + 1.0)


@pytest.mark.parametrize(("per_minute", "calls"), [(3, 10), (1, 4), (10, 10)])
def test_no_minute_holds_more_calls_than_allowed(per_minute: int, calls: int) -> None:
    began = asyncio.run(paced(Limit(per_minute=per_minute), calls, 0.0))
    assert len(began) == calls
    assert all(later - first >= 60 for first, later in zip(began, began[per_minute:], strict=False))
    assert began[-1] <= 60 * ((calls - 1) // per_minute) + calls  # and nobody waits longer than that


def test_both_limits_hold_together() -> None:
    began = asyncio.run(paced(Limit(per_minute=4, concurrency=2), 8, 10.0))
    assert len(began) == 8
    assert all(later - first >= 10 for first, later in zip(began, began[2:], strict=False))
    assert all(later - first >= 60 for first, later in zip(began, began[4:], strict=False))
