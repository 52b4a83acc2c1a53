"""`batch`: a file of questions in, a file of decisions out, none lost and none asked twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from tests.commands import orchestrate
from tests.conftest import Cli
from tests.wire.server import WireServer, whole
from tests.wire.vendors import chat

COMMAND = Path(sys.executable).parent / "orchestrator"

COUNTED = """
from pathlib import Path
from orchestrator import expert

@expert(skill=0.99)
def counted(question: str) -> str:
    with (Path(__file__).parent / "asked.txt").open("a") as file:
        file.write(question + "\\n")
    return question.upper()
"""


def rows(path: Path) -> list[dict[str, object]]:
    """The lines of a file."""
    return [json.loads(line, parse_float=Decimal) for line in path.read_text(encoding="utf-8").splitlines()]


def questions(folder: Path, *lines: object) -> Path:
    """A file of questions."""
    path = folder / "questions.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def test_decisions_are_written_as_run_prints_them(cli: Cli, tmp_path: Path) -> None:
    given = questions(tmp_path, "3 + 4", {"id": "b", "question": "10% of 50"}, {"id": 7, "question": "Who wrote it?"})
    done = cli("batch", str(given), "--out", "out.jsonl", "--json", "--no-trace")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "answered": 2,
        "degraded": 0,
        "escalated": 1,
        "unpaid": 0,
        "error": 0,
        "before": 0,
        "out": "out.jsonl",
    }
    found = {row["id"]: (row["answer"], row["status"], row["cost_usd"]) for row in rows(tmp_path / "out.jsonl")}
    assert found == {"1": ("7", "answered", 0), "b": ("5", "answered", 0), "7": (None, "escalated", 0)}


def test_messages_kinds_and_choices_reach_the_run(cli: Cli, tmp_path: Path) -> None:
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 * 21"}]
    given = questions(tmp_path, {"messages": said, "kind": "math", "choices": ["42", "43"]})
    done = cli("batch", str(given), "--out", "out.jsonl", env={"ORCHESTRATOR_HOME": str(tmp_path / "home")})
    assert done.returncode == 0, done.stderr
    (trace,) = (tmp_path / "home" / "runs").glob("*.jsonl")
    started = rows(trace)[0]
    assert (started["kind"], started["choices"]) == ("math", ["42", "43"])
    assert [message["role"] for message in started["question"]] == ["system", "user"]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType, reportIndexIssue, reportArgumentType]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 2`: is no JSON"),
        ('{"question": "x", "messages": []}', "either `question` or `messages`"),
        ('{"quest": "x"}', "line 2.quest`"),
        ('{"question": ""}', "line 2`: the question is empty"),
        ('{"id": "1", "question": "x"}', "line 2`: the id `1` stands twice"),
        ("7", "line 2"),
    ],
)
def test_a_wrong_line_is_named_and_nobody_is_asked(cli: Cli, tmp_path: Path, line: str, problem: str) -> None:
    given = questions(tmp_path, "3 + 4")
    given.write_text(given.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    done = cli("batch", str(given), "--out", "out.jsonl", "--no-trace")
    assert done.returncode == 2
    assert problem in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_another_file_is_not_written_into(cli: Cli, tmp_path: Path) -> None:
    given = questions(tmp_path, "3 + 4")
    before = given.read_bytes()
    done = cli("batch", str(given), "--out", given.name, "--no-trace")
    assert done.returncode == 2
    assert "is no answer of a batch" in done.stderr
    assert given.read_bytes() == before


def test_a_torn_line_is_set_aside_and_asked_again(cli: Cli, tmp_path: Path) -> None:
    given = questions(tmp_path, "3 + 4", "3 + 5")
    assert cli("batch", str(given), "--out", "out.jsonl", "-j", "1", "--no-trace").returncode == 0
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").write_bytes(whole[:-9])
    again = cli("batch", str(given), "--out", "out.jsonl", "--json", "--no-trace")
    assert (json.loads(again.stdout)["answered"], json.loads(again.stdout)["before"]) == (1, 1)
    assert Counter(row["id"] for row in rows(tmp_path / "out.jsonl")) == {"1": 1, "2": 1}
    assert whole.splitlines()[1].startswith((tmp_path / "out.jsonl.torn").read_bytes())


B = {"id": "b", "question": "1 + 1"}
SAID = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1"}]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (["1 + 1", "2 + 2"], ["5 + 5", "1 + 1", "2 + 2"], (1, 1, "1")),
        (["1 + 1", "2 + 2"], ["1 + 1", "2 + 3"], (2, 2, "2")),
        (["1 + 1", "2 + 2"], ["2 + 2"], (1, 1, "1")),
        (["7", B], [{**B, "question": "1 + 2"}, {"id": 1, "question": "7"}], (1, 2, "b")),
        ([B], [{**B, "choices": ["2", "3"]}], (1, 1, "b")),
        ([B], [{**B, "kind": "math"}], (1, 1, "b")),
        ([B], [{"id": "b", "messages": SAID}], (1, 1, "b")),
    ],
)
def test_another_question_under_an_id_that_was_answered_is_refused(
    cli: Cli, tmp_path: Path, before: list[object], after: list[object], told: tuple[int, int, str]
) -> None:
    given = questions(tmp_path, *before)
    assert cli("batch", str(given), "--out", "out.jsonl", "-j", "1", "--no-trace").returncode == 0
    kept = (tmp_path / "out.jsonl").read_bytes()
    questions(tmp_path, *after)
    done = cli("batch", given.name, "--out", "out.jsonl", "--no-trace")
    assert done.returncode == 2
    said, (line, held, name) = " ".join(done.stderr.split()), told
    assert (
        f"`line {line}`: asks something else than what line {held} of out.jsonl answers under the id `{name}`" in said
    )
    assert "another --out" in said
    assert "--retry" not in said  # which would not ask again what was answered
    assert (tmp_path / "out.jsonl").read_bytes() == kept


def test_the_same_questions_written_otherwise_or_elsewhere_are_not_asked_again(cli: Cli, tmp_path: Path) -> None:
    given = questions(tmp_path, {"id": "a", "question": "1 + 1"}, "2 + 2")
    assert cli("batch", str(given), "--out", "out.jsonl", "--no-trace").returncode == 0
    questions(
        tmp_path,
        {"id": 2, "messages": [{"role": "user", "content": "2 + 2"}]},
        "5 + 5",
        {"id": "a", "question": "1 + 1"},
    )
    refused = cli("batch", str(given), "--out", "out.jsonl", "--no-trace")  # 5 + 5 stands in line 2, whose id is taken
    assert refused.returncode == 2
    assert "the id `2` stands twice" in refused.stderr
    questions(
        tmp_path,
        {"id": "2", "messages": [{"role": "user", "content": "2 + 2"}]},
        {"id": "a", "question": "1 + 1"},
        "5 + 5",
    )
    done = cli("batch", str(given), "--out", "out.jsonl", "--goal", "answer", "--json", "--no-trace")
    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["answered"], json.loads(done.stdout)["before"]) == (1, 2)
    assert {row["id"]: row["answer"] for row in rows(tmp_path / "out.jsonl")} == {"a": "2", "2": "4", "3": "10"}


def test_an_error_is_asked_again_with_the_question_that_stands_there_now(cli: Cli, tmp_path: Path) -> None:
    given = questions(tmp_path, "1 + 1")
    out = tmp_path / "out.jsonl"
    out.write_text('{"id": "1", "digest": "of another", "error": "OSError: it broke"}\n', encoding="utf-8")
    refused = cli("batch", given.name, "--out", "out.jsonl", "--no-trace")
    assert refused.returncode == 2
    assert "or --retry, which asks it now" in " ".join(refused.stderr.split())
    assert cli("batch", given.name, "--out", "out.jsonl", "--retry", "--no-trace").returncode == 0
    assert rows(out)[-1]["answer"] == "2"
    assert cli("batch", given.name, "--out", "out.jsonl", "--no-trace").returncode == 0
    assert len(rows(out)) == 2


def test_a_file_that_does_not_say_what_was_asked_goes_by_ids_and_that_is_said_once(cli: Cli, tmp_path: Path) -> None:
    given = questions(tmp_path, "1 + 1", "2 + 2", "3 + 3")
    out = tmp_path / "out.jsonl"
    out.write_text(
        "".join(f'{{"id": "{name}", "status": "answered", "cost_usd": 0}}\n' for name in "12"), encoding="utf-8"
    )
    done = cli("batch", given.name, "--out", "out.jsonl", "--no-trace")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("out.jsonl says of 2 answers not what was asked: they are taken by their ids") == 1
    assert [row["id"] for row in rows(out)] == ["1", "2", "3"]


def test_a_goal_that_nothing_produces_is_an_error_of_the_command(cli: Cli, tmp_path: Path) -> None:
    given = questions(tmp_path, "1 + 1")
    done = cli("batch", given.name, "--out", "out.jsonl", "--goal", "answr", "--no-trace")
    assert done.returncode == 2
    assert "did you mean `answer`?" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_what_was_spent_before_counts_against_the_budget_of_all(cli: Cli, tmp_path: Path) -> None:
    given = questions(tmp_path, "3 + 4")
    out = tmp_path / "out.jsonl"
    out.write_text('{"id": "0", "status": "answered", "cost_usd": 0.25}\n', encoding="utf-8")
    done = cli("batch", str(given), "--out", "out.jsonl", "--budget", "0.2", "--no-trace")
    assert done.returncode == 0, done.stderr
    assert rows(out)[-1]["answer"] == "7"  # what is free is paid by no budget


TABLES = """
[models."here"]
base_url = "{}"
max_output = 300
price = {{ input = 1, output = 100, as_of = 2026-11-22, source = "a contract" }}

[agents.clerk]
model = "here"
skill = 0.9
"""


def test_what_the_money_of_all_does_not_pay_for_is_told_apart_and_taken_up_with_more(
    child_env: dict[str, str], tmp_path: Path
) -> None:
    """At most three cents a question, one for what is written."""
    given = questions(tmp_path, "Who?", "When?", "Where?", "Why?")
    command = [
        "batch",
        str(given),
        "--out",
        "out.jsonl",
        "--agents",
        "mine",
        "--no-trace",
        "--router",
        "plan",
        "--json",
    ]
    (tmp_path / "mine").mkdir()
    with WireServer() as server:
        (tmp_path / "mine" / "clerk.toml").write_text(TABLES.format(server.openai_url), encoding="utf-8")
        usage = {"prompt_tokens": 20, "completion_tokens": 100, "total_tokens": 120}
        server.script(*[whole(chat("so", usage=usage))] * 4)
        short = orchestrate(*command, "--budget", "0.05", env=child_env, cwd=tmp_path)
        counts = {"answered": 3, "degraded": 0, "escalated": 0, "unpaid": 1, "error": 0, "before": 0}
        assert json.loads(short.stdout) == {**counts, "out": "out.jsonl"}, short.stderr
        assert short.returncode == 4
        same = orchestrate(*command, "--budget", "0.09", env=child_env, cwd=tmp_path)
        assert (same.returncode, json.loads(same.stdout)["before"]) == (0, 4), "only --retry asks again"
        more = orchestrate(*command, "--budget", "0.09", "--retry", env=child_env, cwd=tmp_path)
        counts |= {"answered": 1, "unpaid": 0, "before": 3}
        assert json.loads(more.stdout) == {**counts, "out": "out.jsonl"}, more.stderr
        assert more.returncode == 0
        assert len(server.requests) == 4
    reasons = [str(row["reasons"]) for row in rows(tmp_path / "out.jsonl") if row["status"] == "escalated"]
    assert len(reasons) == 1
    assert "limit:usd" in reasons[0]
    assert "left for all runs together" in reasons[0]


def test_ctrl_c_keeps_what_was_decided(child_env: dict[str, str], tmp_path: Path) -> None:
    given = questions(tmp_path, *[f"q{number}" for number in range(2_000)])
    assert killed(given, child_env, tmp_path, signal.SIGINT, after=20) == 130
    before = len(rows(tmp_path / "out.jsonl"))
    assert 20 <= before < 2_000


def killed(given: Path, env: dict[str, str], folder: Path, by: signal.Signals, *, after: int) -> int:
    """How a batch ends that is sent a signal once so many decisions are written."""
    (folder / "pool").mkdir(exist_ok=True)
    (folder / "pool" / "counted.py").write_text(COUNTED, encoding="utf-8")
    command = [COMMAND, "batch", given, "--out", "out.jsonl", "--agents", "pool", "--no-trace", "--quiet"]
    out = folder / "out.jsonl"
    with subprocess.Popen(command, env=env, cwd=folder, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < after):
            time.sleep(0.005)
        running.send_signal(by)
    return running.returncode


@pytest.mark.parametrize("number", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_killed_and_resumed_none_is_lost_and_none_repeated(
    child_env: dict[str, str], tmp_path: Path, number: int
) -> None:
    """What was decided and written is never asked again; what was in flight at a kill may be asked once more."""
    given = questions(tmp_path, *[f"q{each}" for each in range(number)])
    dice = random.Random(7)
    kills = 4
    for part in range(kills):
        at = number * (part + 1) // (kills + 2) + dice.randrange(20)
        assert killed(given, child_env, tmp_path, signal.SIGKILL, after=at) == -signal.SIGKILL
    assert killed(given, child_env, tmp_path, signal.SIGCONT, after=number) == 0
    out = tmp_path / "out.jsonl"
    answers = {str(row["id"]): row["answer"] for row in rows(out)}
    assert answers == {str(each + 1): f"Q{each}" for each in range(number)}
    assert len(rows(out)) == number
    asked = Counter((tmp_path / "pool" / "asked.txt").read_text(encoding="utf-8").splitlines())
    assert set(asked) == {f"q{each}" for each in range(number)}
    assert sum(asked.values()) - number <= kills * 8, "no more than were in flight"


@pytest.mark.slow
def test_memory_stays_flat(child_env: dict[str, str], tmp_path: Path) -> None:
    """Kilobytes at the end of 1,000 and of 10,000 questions."""
    most: list[int] = []
    for number in (1_000, 10_000):
        given = questions(tmp_path, *[f"{each} + 1" for each in range(number)])
        command = [COMMAND, "batch", given, "--out", f"out{number}.jsonl", "--no-trace", "--quiet"]
        with subprocess.Popen(command, env=child_env, cwd=tmp_path) as running:
            _, status, used = os.wait4(running.pid, 0)
            running.returncode = os.waitstatus_to_exitcode(status)
        assert running.returncode == 0
        most.append(used.ru_maxrss)
    assert most[1] < most[0] * 1.15
