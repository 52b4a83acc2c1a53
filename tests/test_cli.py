"""`orchestrator run` as a real process: answers, failures, limits, files, streams and exit codes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from orchestrator.trace import read_trace, verify
from tests.conftest import COMMAND, ROOT

if TYPE_CHECKING:
    from tests.conftest import Cli

QUESTION = "What is 17% of 2,340?"
SALES = ROOT / "examples" / "data" / "sales.csv"
DOCS = ROOT / "examples" / "data" / "docs"
ARC = ROOT.parent / "shared" / "data" / "routerbench_arc.jsonl.gz"
MONEY = (int, float)
UNKNOWN = type(None)

FIELDS: dict[str, tuple[type, ...]] = {
    "answer": (str, UNKNOWN),
    "status": (str,),
    "goal": (str,),
    "method": (str, UNKNOWN),
    "confidence": (float, UNKNOWN),
    "support": (list,),
    "dissent": (list,),
    "failed": (list,),
    "reasons": (list,),
    "cost_usd": (*MONEY, UNKNOWN),
    "cost_exact": (bool,),
    "usage": (dict,),
    "turns": (int,),
    "control_calls": (int,),
    "merge_calls": (int,),
    "expert_calls": (int,),
    "reroutes": (int,),
    "seconds": (float,),
    "run_id": (str,),
    "head": (str, UNKNOWN),
    "trace": (str, UNKNOWN),
}
"""The fields of SEMANTICS §3."""

OWN_TOML = """
[agents.echo]
role = "says it again"
tool = "own.py:echo"
skill = 0.9

[agents.slow]
tool = "own.py:slow"

[agents.draft]
tool = "own.py:draft"
produces = "draft"

[agents.letter]
tool = "own.py:letter"
consumes = ["draft"]
produces = "letter"
"""

OWN_PY = """
import time

from orchestrator import expert


def begins(word):
    return lambda question: float(question.startswith(word))


@expert(claim=begins("echo "))
def echo(question: str) -> str:
    return question[5:]


@expert(claim=begins("slow "))
def slow(question: str) -> str:
    time.sleep(60)
    return "too late"


def draft(question: str) -> int:
    return 10**30


def letter(draft: int) -> str:
    return f"Dear Sir, {draft}"
"""


class Outcome(NamedTuple):
    """One recorded answer of a model."""

    score: float
    cost: float
    response: str | None


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of experts of one's own: one TOML table and one function each."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.toml").write_text(OWN_TOML, encoding="utf-8")
    (folder / "own.py").write_text(OWN_PY, encoding="utf-8")
    return folder


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Recorded outcomes of two models: a dear one that is right, a cheap one that is mostly right."""
    right, wrong = Outcome(1, 0.010, "B"), Outcome(0, 0.001, "A")
    rows = [
        record("t1", "train", big=right, small=wrong),
        record("t2", "train", big=right, small=right._replace(cost=0.001)),
        record("q1", "test", big=right, small=wrong),
        record("mute", "test", big=right._replace(response=None), small=wrong._replace(response=None)),
    ]
    path = tmp_path / "recorded.jsonl"
    lines = [json.dumps(row).replace(" 0.01,", " 0.010,") for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def record(case: str, split: str, **outcomes: Outcome) -> dict[str, object]:
    """One line of a recorded file."""
    return {
        "id": case,
        "split": split,
        "question": f"Which letter is asked for in {case}?",
        "choices": ["A", "B"],
        "outcomes": {
            name: {"score": o.score, "cost_usd": o.cost, "response": o.response, "input_tokens": 20, "output_tokens": 1}
            for name, o in outcomes.items()
        },
    }


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON document on stdout; `json.loads` refuses anything beside it."""
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def trace_of(made: dict[str, Any]) -> list[dict[str, Any]]:
    """The events in the trace file that a document names."""
    return [json.loads(line) for line in Path(made["trace"]).read_text(encoding="utf-8").splitlines()]


def test_a_run_as_json_has_the_public_fields_and_nothing_else_on_stdout(cli: Cli) -> None:
    done = cli("run", QUESTION, "--json")
    made = document(done)
    assert done.returncode == 0, done.stderr
    assert {name: type(value) for name, value in made.items() if not isinstance(value, FIELDS.get(name, ()))} == {}
    assert list(made) == list(FIELDS)
    assert (made["answer"], made["status"], made["goal"]) == ("397.8", "answered", "answer")
    assert (made["method"], made["support"], made["reasons"]) == ("first", ["algebra"], [])
    assert (made["cost_usd"], made["cost_exact"], made["control_calls"], made["merge_calls"]) == (0, True, 0, 0)
    assert (made["turns"], made["expert_calls"], made["reroutes"]) == (1, 1, 0)
    assert made["usage"].keys() >= {"input_tokens", "output_tokens"}
    assert set(made["usage"].values()) == {0}
    assert "algebra" in done.stderr  # what is told meanwhile goes there
    assert trace_of(made)[-1]["type"] == "run_ended"


def test_a_run_in_plain_lines_reads_standard_input(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", stdin=QUESTION + "\n", env={"NO_COLOR": ""})
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    words = [line.split()[0] for line in done.stdout.splitlines()]
    assert words == ["think", "route", "reply", "merge", "decision", "support", "ledger", "trace", "head"]
    assert [path.name for path in (tmp_path / "home" / "runs").iterdir()] == [f"{Path(done.stdout.split()[-3]).name}"]


def test_the_first_choice_failed_gives_the_same_answer_by_another_way(cli: Cli) -> None:
    made = document(done := cli("run", QUESTION, "--fail", "algebra", "--json"))
    assert (done.returncode, made["answer"], made["status"], made["reroutes"]) == (0, "397.8", "answered", 1)
    assert made["failed"] == [{"agent": "algebra", "kind": "injected", "error": "injected fault", "tries": 1}]
    assert made["support"] == ["arithmetic"]
    told = cli("trace", "why", "last").stdout
    assert "algebra injected: injected fault" in told
    assert "replaced by arithmetic" in told
    assert "failed in this run" in told


def test_a_failure_has_the_kind_that_was_asked_for(cli: Cli) -> None:
    made = document(cli("run", QUESTION, "--fail", "algebra=timeout:1", "--json"))
    assert [(failed["agent"], failed["kind"]) for failed in made["failed"]] == [("algebra", "timeout")]
    assert (made["answer"], made["reroutes"]) == ("397.8", 1)
    made = document(cli("run", QUESTION, "--fail", "algebra=refusal", "--fail", "arithmetic=malformed:9", "--json"))
    assert [failed["kind"] for failed in made["failed"]] == ["refusal", "malformed"]


def test_all_experts_failed_is_an_escalation_without_an_answer(cli: Cli) -> None:
    made = document(done := cli("run", QUESTION, "--fail", "*", "--json"))
    assert (done.returncode, made["status"], made["answer"], made["support"]) == (5, "escalated", None, [])
    assert [failed["agent"] for failed in made["failed"]] == ["algebra", "arithmetic"]
    assert any("tried: algebra failed after 1 try (injected)" in reason for reason in made["reasons"])
    assert {event["type"] for event in trace_of(made)} >= {"rerouted", "escalated"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fail", "algebar"], ["no expert `algebar`", "did you mean `algebra`"]),
        (["--fail", "algebra=boom"], ["'boom' is no failure", "timeout, refusal, malformed"]),
        (["--fail", "[/x]"], ["no expert `[/x]`"]),
        (["--fail", "algebra:0"], ["--fail algebra:0: it would fail no attempt"]),
        (["--fail", "algebra=error:0"], ["--fail algebra=error:0: it would fail no attempt"]),
        (["--fail", "*=timeout:00"], ["--fail *=timeout:00: it would fail no attempt"]),
        (["--fail", "=error:1"], ["there is no expert ``"]),
        (["--fail", "algebra:²"], ["no expert `algebra:²`", "did you mean `algebra`"]),
        (["--budget", "much"], ["'much' is no amount of dollars"]),
        (["--budget", "-1"], ["'-1' is no amount that can be spent"]),
        (["--case", "a"], ["--case goes with --recorded"]),
        (["--trace", "a.jsonl", "--no-trace"], ["exclude each other"]),
        (["--trace", "folder"], ["ends in .jsonl"]),
        (["--goal", "anwser"], ["nothing produces the goal `anwser`", "did you mean `answer`"]),
        (["--pool", "lokal"], ["no pool `lokal`", "did you mean `local`"]),
    ],
    ids=lambda value: value[-1],
)
def test_a_wrong_option_is_a_usage_error_with_the_nearest_name(cli: Cli, options: list[str], said: list[str]) -> None:
    done = cli("run", QUESTION, *options, env={"COLUMNS": "400"})
    assert (done.returncode, done.stdout) == (2, "")
    assert [part for part in said if part not in done.stderr] == []
    assert "Traceback" not in done.stderr


def test_an_empty_question_is_a_usage_error(cli: Cli) -> None:
    done = cli("run", stdin=" \n")
    assert done.returncode == 2
    assert "the question is empty" in done.stderr


def test_two_analyses_vote(cli: Cli) -> None:
    made = document(cli("run", QUESTION, "--analyses", "2", "--json"))
    assert (made["answer"], made["method"], made["support"]) == ("397.8", "vote", ["algebra", "arithmetic"])
    assert (made["status"], made["expert_calls"]) == ("answered", 2)


def test_fewer_analyses_than_asked_is_degraded_and_strict_says_so(cli: Cli) -> None:
    made = document(done := cli("run", QUESTION, "--analyses", "3", "--strict", "--json"))
    assert (done.returncode, made["status"], made["answer"]) == (6, "degraded", "397.8")
    assert "analyses: 2 of 3" in made["reasons"]


def test_what_nobody_can_take_is_escalated_with_what_would_help(cli: Cli) -> None:
    done = cli("run", "Who wrote Hamlet?", "--quiet")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("error: nobody is left who can give `answer`; ")
    helps = ("no folder of documents: --docs DIR", "OPENAI_API_KEY", "Ollama")
    assert [text for text in helps if text not in done.stderr] == []


@pytest.mark.parametrize(
    ("question", "answer", "options"),
    [
        ("3/7 + 2/5 as a fraction", "29/35", ()),
        ("solve x^2 - 5x + 6 = 0", "x = 2 or x = 3", ()),
        ("Convert 26.2 miles to km", "42.1648128 km", ()),
        ("72 °F in Celsius", "22.2222222222 °C", ()),
        ("How many days from 2024-02-29 to 2026-11-21?", "996 days", ()),
        ("What weekday is 2026-12-25?", "Friday", ()),
        ("What date is 90 days after 2026-11-21?", "2027-02-19", ()),
        ("sum of amount in sales.csv where region = north", "2960.7", ("--table", str(SALES))),
    ],
)
def test_an_example_of_the_manual_is_answered(cli: Cli, question: str, answer: str, options: tuple[str, ...]) -> None:
    done = cli("run", question, "--quiet", *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, answer + "\n", "")


def test_documents_are_quoted_with_their_place(cli: Cli) -> None:
    done = cli("run", "How many days of annual leave does an employee have?", "--docs", str(DOCS), "--quiet")
    assert "27 days of annual leave" in done.stdout
    assert "(leave.md:5)" in done.stdout


def test_experts_of_ones_own_come_from_a_folder_and_say_things_literally(cli: Cli, own: Path) -> None:
    told = cli("run", "echo [bold]loud[/bold] [/x] \x1b[31mred", "--agents", str(own))
    assert told.returncode == 0, told.stderr
    assert "#1 echo [bold]loud[/bold] [/x] \\x1b[31mred" in told.stdout
    assert "decision   [bold]loud[/bold] [/x] \\x1b[31mred" in told.stdout
    assert "\x1b" not in told.stdout
    made = document(cli("run", "write", "--goal", "letter", "--json", env={"ORCHESTRATOR_AGENTS": str(own)}))
    assert (made["answer"], made["goal"], made["turns"]) == (f"Dear Sir, {10**30}", "letter", 2)
    shown = json.loads(cli("trace", "show", "last", "--json").stdout)
    assert next(event["value"] for event in shown["events"] if event["type"] == "replied") == 10**30


def test_limits_end_a_run_with_exit_4(cli: Cli, own: Path, recorded: Path) -> None:
    file = ("--recorded", str(recorded), "--case", "q1")
    for options, limit in (
        ((*file, "--budget", "0.0005"), "limit:usd"),
        ((*file, "--max-tokens", "20"), "limit:tokens"),
        (("write", "--agents", str(own), "--goal", "letter", "--max-turns", "1"), "limit:turns"),
        (("slow one", "--agents", str(own), "--deadline", "0.3"), "limit:seconds"),
    ):
        made = document(done := cli("run", *options, "--json"))
        assert (done.returncode, made["status"], made["answer"]) == (4, "escalated", None), limit
        assert any(reason.startswith(limit) for reason in made["reasons"]), (limit, made["reasons"])


def test_recorded_outcomes_answer_at_their_price_and_keep_their_scores(cli: Cli, recorded: Path) -> None:
    made = document(done := cli("run", "--recorded", str(recorded), "--case", "q1", "--json"))
    assert (made["answer"], made["support"], made["cost_usd"]) == ("B", ["big"], 0.01)
    assert '"cost_usd": 0.010,' in done.stdout  # with the digits of the record
    assert (made["usage"]["input_tokens"], made["usage"]["output_tokens"]) == (20, 1)
    assert "score" not in Path(made["trace"]).read_text(encoding="utf-8")
    by_text = cli("run", "Which letter is asked for in q1?", "--recorded", str(recorded), "-q", "--fail", "big:1")
    assert by_text.stdout == "A\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--case", "q2"], "no case `q2`"),
        (["Which is not there?"], "none of its cases asks this"),
        (["--case", "mute"], "records no responses"),
        (["--case", "q1", "--budget", "1"], "records no costs"),
    ],
)
def test_what_is_not_recorded_is_a_configuration_error(cli: Cli, recorded: Path, options: list[str], said: str) -> None:
    if "--budget" in options:
        recorded.write_text(recorded.read_text(encoding="utf-8").replace("0.010", "null"), encoding="utf-8")
    done = cli("run", "--recorded", str(recorded), *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.skipif(not ARC.exists(), reason="the recorded outcomes are not beside this checkout")
def test_eleven_recorded_models_decide(cli: Cli) -> None:
    options = ("--recorded", str(ARC), "--case", "routerbench/arc-challenge.val.136", "--prefer", "quality")
    made = document(cli("run", *options, "--analyses", "3", "--fail", "gpt-4-1106-preview", "--json"))
    assert (made["status"], made["expert_calls"], made["reroutes"]) == ("answered", 4, 1)
    assert made["answer"] in {"A", "B", "C", "D"}
    assert len(made["support"]) + len(made["dissent"]) == 3


def test_a_flag_beats_the_environment_and_that_the_default(cli: Cli) -> None:
    env = {"ORCHESTRATOR_RUN_ANALYSES": "2", "ORCHESTRATOR_RUN_FAIL": "algebra", "ORCHESTRATOR_RUN_JSON": "1"}
    from_environment = document(cli("run", QUESTION, env={**env, "ORCHESTRATOR_RUN_TRACE": "mine.jsonl"}))
    assert (from_environment["method"], from_environment["support"]) == ("vote", ["arithmetic"])
    assert (from_environment["status"], from_environment["trace"]) == ("degraded", "mine.jsonl")
    from_flags = document(cli("run", QUESTION, "--analyses", "1", "--fail", "arithmetic", env=env))
    assert (from_flags["method"], from_flags["support"]) == ("first", ["algebra"])


def test_no_content_leaves_question_and_answer_out_of_the_trace(cli: Cli, own: Path) -> None:
    canary = "canary-5f3a"
    made = document(cli("run", f"echo {canary}", "--agents", str(own), "--no-content", "--json"))
    assert made["answer"] == canary
    assert canary not in Path(made["trace"]).read_text(encoding="utf-8")
    shown = cli("trace", "show", "last").stdout
    assert "(question left out)" in shown
    assert "(left out)" in shown


def test_no_trace_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    made = document(cli("run", QUESTION, "--no-trace", "--json"))
    assert (made["answer"], made["trace"], made["head"]) == ("397.8", None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_trace_is_written_where_told_and_never_over_another(cli: Cli, tmp_path: Path) -> None:
    there = tmp_path / "there.jsonl"
    there.write_text("mine\n", encoding="utf-8")
    done = cli("run", QUESTION, "--trace", str(there))
    assert (done.returncode, there.read_text(encoding="utf-8")) == (2, "mine\n")
    assert done.stderr.startswith(f"error: {there}: `trace`: cannot be written: File exists")
    made = document(cli("run", QUESTION, "--trace", "new.jsonl", "--json"))
    assert made["trace"] == "new.jsonl"
    assert cli("trace", "verify", "new.jsonl", "--head", made["head"]).returncode == 0


def test_a_home_that_cannot_be_written_is_said(cli: Cli, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    done = cli("run", QUESTION, env={"ORCHESTRATOR_HOME": str(blocked / "home")})
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be written: Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_fills_up_is_said(child_env: dict[str, str], tmp_path: Path) -> None:
    env = {name: value for name, value in child_env.items() if not name.startswith("COVERAGE")}
    command = f"ulimit -f 2; exec {COMMAND} run '{QUESTION}' --quiet"  # two blocks of 512 or 1,024 bytes
    done = subprocess.run(
        ["sh", "-c", command], env=env, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the trace cannot be written: File too large; --no-trace runs without one\n"


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("options", ["", "--quiet", "--json", "--stream", "--no-trace"])
def test_a_standard_output_that_is_full_is_not_blamed_on_the_trace(
    child_env: dict[str, str], tmp_path: Path, options: str, *, buffered: bool
) -> None:
    command = f"exec {COMMAND} run '{QUESTION}' {options} > /dev/full"
    done = subprocess.run(
        ["sh", "-c", command],
        env=child_env if buffered else {**child_env, "PYTHONUNBUFFERED": "1"},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: standard output cannot be written: No space left on device")
    assert "trace cannot" not in done.stderr
    assert "Traceback" not in done.stderr
    runs = list((tmp_path / "home" / "runs").glob("*.jsonl")) if options != "--no-trace" else []
    for path in runs:
        verdict = verify(read_trace(path))
        assert (verdict.consistent, verdict.ended) == (True, True)
    assert len(runs) == (options != "--no-trace")
    assert ("the trace up to here is whole" in last) == (options in {"", "--stream"})


@pytest.mark.parametrize("closed", [1, 2])
def test_a_stream_that_is_closed_keeps_nobody_from_the_answer(
    child_env: dict[str, str], tmp_path: Path, closed: int
) -> None:
    command = f"exec {COMMAND} run '{QUESTION}' --json {closed}>&-"
    done = subprocess.run(
        ["sh", "-c", command],
        env=child_env,
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert ("397.8" in done.stdout) == (closed == 2)
    [path] = (tmp_path / "home" / "runs").glob("*.jsonl")
    assert verify(read_trace(path)).passed


def test_a_question_that_is_no_utf8_is_asked_all_the_same(child_env: dict[str, str], tmp_path: Path) -> None:
    command = [str(COMMAND).encode(), b"run", b"--json", b"what is \xff\xfe?"]
    done = subprocess.run(command, env=child_env, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == 5
    made: dict[str, Any] = json.loads(done.stdout)
    assert trace_of(made)[0]["question"][0]["content"] == "what is \ufffd\ufffd?"
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["run", QUESTION], ["agents", "schema"]])
def test_a_reader_that_goes_away_is_no_traceback(
    child_env: dict[str, str], tmp_path: Path, arguments: list[str]
) -> None:
    with subprocess.Popen(
        [str(COMMAND), *arguments], env=child_env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(60) == 1
    assert b"Traceback" not in told
    assert b"Exception ignored" not in told
