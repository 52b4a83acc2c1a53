"""Calls of evals: put on a cassette and played from it, timed out, in flight at a kill; each is paid for once."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.eval_world import KEY, CountingServer, Lab, asking_suite, plain, recorded_file, row

ONE = Decimal(50 * 2 + 5 * 10) / 1_000_000
"""USD of a call that went well."""


@pytest.fixture
def lab(child_env: dict[str, str], tmp_path: Path) -> Lab:
    """The command over an empty folder."""
    return Lab({**child_env, "SUMS_KEY": KEY}, tmp_path)


def results(lab: Lab, run: str = "run", system: str = "plan") -> dict[str, dict[str, Any]]:
    """What a system came to, by case; the last word on each."""
    return {each["case"]: each for each in lab.results(run) if each["system"] == system}


def cut(path: Path, lines: int = 1) -> list[str]:
    """Take the last lines from a file, as if they had never been written."""
    kept = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(kept[:-lines]), encoding="utf-8")
    return kept[-lines:]


def unfinished(lab: Lab, case: str, run: str = "run") -> None:
    """An eval as it stands where a kill came just before a result of the plan router was written."""
    path = lab.folder / run / "results.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text(
        "".join(line for line in lines if (json.loads(line)["system"], json.loads(line)["case"]) != ("plan", case)),
        encoding="utf-8",
    )
    (lab.folder / run / "choices.jsonl").unlink()


def calls_of(lab: Lab, question: str, run: str = "run") -> list[Path]:
    """The files of calls in which a question was asked, of both systems."""
    found = sorted((lab.folder / run / "calls").glob("*.jsonl"))
    return [path for path in found if question in path.read_text(encoding="utf-8")]


def test_what_is_recorded_plays_without_a_server_however_many_run_at_once(lab: Lab) -> None:
    with CountingServer(delay=0.005) as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=6)
        options = ["--cassette", "calls.jsonl", "--repeat", "2"]
        first = lab.report("run", str(suite), *options, "--record", "-j", "5", "--max-cost", "1")
        asked = sum(server.requests.values())
        assert asked == 6 * 2 * 2
    lines = (lab.folder / "calls.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == asked
    assert KEY not in "".join(lines)
    for jobs in ("1", "7"):
        assert plain(lab.report("run", str(suite), *options, "-j", jobs, "--max-cost", "1")) == plain(first)


def test_repeats_play_the_reply_that_they_had(lab: Lab) -> None:
    with CountingServer() as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=3)
        options = ["--cassette", "calls.jsonl", "--repeat", "3", "--no-singles"]
        lab.run("run", str(suite), *options, "--record")
    cassette = lab.folder / "calls.jsonl"
    calls = [json.loads(line) for line in cassette.read_text(encoding="utf-8").splitlines()]
    for number, each in enumerate(calls):  # nine replies that can be told apart
        each["completion"]["text"] = f"reply {number}"
    cassette.write_text("".join(json.dumps(each) + "\n" for each in calls), encoding="utf-8")
    said: list[dict[Any, str]] = []
    for run, jobs in (("one", "1"), ("many", "6")):
        lab.run("run", str(suite), *options, "--out", run, "-j", jobs)
        said.append({(each["case"], each["repeat"]): each["answer"] for each in lab.results(run)})
    assert said[0] == said[1]
    assert len(set(said[0].values())) == 9


def test_a_call_that_was_not_recorded_is_an_error_of_its_case(lab: Lab) -> None:
    with CountingServer() as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=3)
        lab.run("run", str(suite), "--cassette", "calls.jsonl", "--record")
        asked = sum(server.requests.values())
        cases = suite / "cases.jsonl"
        cases.write_text(cases.read_text(encoding="utf-8").replace("times 2?", "times 9?"), encoding="utf-8")
        report = lab.report("run", str(suite), "--cassette", "calls.jsonl", "--out", "run", code=1)
        assert sum(server.requests.values()) == asked
    assert (row(report, "plan")["n"], row(report, "plan")["errors"]) == (3, 1)
    assert "was not asked this before" in results(lab)["q2"]["error"]


def test_a_cassette_is_not_written_over_and_not_made_by_mistake(lab: Lab) -> None:
    with CountingServer() as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=1)
        missing = lab.run("run", str(suite), "--cassette", "calls.jsonl", code=2).stderr
        assert "calls.jsonl: `cassette`: does not exist; expected a file of recorded calls; --record makes them" in (
            missing.replace(f"{lab.folder}/", "")
        )
        lab.run("run", str(suite), "--cassette", "calls.jsonl", "--record")
        assert (
            "holds calls already" in lab.run("run", str(suite), "--cassette", "calls.jsonl", "--record", code=2).stderr
        )
        assert "--record goes with --cassette" in lab.run("run", str(suite), "--record", code=2).stderr
        assert sum(server.requests.values()) == 2
    recorded_file(lab.folder / "rec.jsonl", 6)
    told = lab.run("run", "rec.jsonl", "--cassette", "calls.jsonl", code=2).stderr
    assert "recorded outcomes are looked up, not asked for" in told


def test_a_try_that_timed_out_is_charged_once_and_not_made_again(lab: Lab) -> None:
    with CountingServer(stalls={"What is 7 times 1?": [1.0]}) as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=3)
        pool = suite / "pool" / "pool.toml"
        pool.write_text(pool.read_text(encoding="utf-8") + "timeout = 0.3\n", encoding="utf-8")
        lab.run("run", str(suite), "--out", "run", "-j", "1", "--no-singles")
        first = results(lab)["q1"]
        assert server.requests["What is 7 times 1?"] == 2
        assert (first["answer"], first["cost_exact"], "lost" in first["apart"]) == ("7", False, False)
        input_cost = Decimal(first["apart"]["failed"])
        assert Decimal(first["cost_usd"]) == ONE + input_cost
        assert 0 < input_cost < ONE
        unfinished(lab, "q1")
        lab.run("resume", "run")
        assert server.requests["What is 7 times 1?"] == 2  # both tries had ended, one of them in vain
    again = results(lab)["q1"]
    assert {name: again[name] for name in ("answer", "cost_usd", "cost_exact", "apart")} == {
        name: first[name] for name in ("answer", "cost_usd", "cost_exact", "apart")
    }


def test_a_try_in_flight_at_a_kill_is_charged_its_input_once_and_made_again(lab: Lab) -> None:
    with CountingServer() as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=3)
        lab.run("run", str(suite), "--out", "run", "-j", "1", "--no-singles")
        (calls,) = calls_of(lab, "times 1?")
        (begun,) = calls.with_suffix(".begun").read_text(encoding="utf-8").splitlines()
        input_cost = Decimal(json.loads(begun)["usd"])
        unfinished(lab, "q1")
        cut(calls)
        for times in (1, 2):  # killed once, and once more while it was made again
            report = lab.report("resume", "run")
            found = results(lab)["q1"]
            assert server.requests["What is 7 times 1?"] == 1 + times
            assert Decimal(found["cost_usd"]) == ONE + times * input_cost
            assert (Decimal(found["apart"]["lost"]), found["cost_exact"]) == (times * input_cost, False)
            assert lab.report("resume", "run") == report
            if times == 1:
                unfinished(lab, "q1")
                cut(calls)
        assert sum(server.requests.values()) == 5


def test_a_retry_that_was_killed_goes_on_and_stays_on_the_bill(lab: Lab) -> None:
    with CountingServer() as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=2)
        lab.report("run", str(suite), "--out", "run", "-j", "1", "--no-singles", "--max-cost", "0.0001", code=1)
        failed = {case for case, each in results(lab).items() if each["error"]}
        assert failed == {"q0", "q1"}
        lab.run("retry", "run", "--max-cost", "1")
        assert sum(server.requests.values()) == 2
        cut(lab.folder / "run" / "results.jsonl", 2)  # a kill came when both calls had ended, but no case
        (lab.folder / "run" / "choices.jsonl").unlink()
        report = lab.report("resume", "run")
        assert sum(server.requests.values()) == 2
    assert (row(report, "plan")["errors"], row(report, "plan")["cost_usd"]) == (0, pytest.approx(float(2 * ONE)))
