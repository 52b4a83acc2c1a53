"""The commands beside `run`, as real processes: route, graph, agents, trace, doctor, help and usage errors."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli.doctor import doctor
from tests.conftest import ROOT

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.conftest import Cli

QUESTION = "What is 17% of 2,340?"
LOCAL = ["algebra", "arithmetic", "calendar", "scan", "search", "totals", "unit_table", "units"]
KEY = "sk-canary-0b9d"


def document(done: CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON document on stdout; `json.loads` refuses anything beside it."""
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def rows_of(done: CompletedProcess[str]) -> list[dict[str, Any]]:
    """The same where the document is a list."""
    made: list[dict[str, Any]] = json.loads(done.stdout)
    return made


def straight_run(cli: Cli, *options: str) -> dict[str, Any]:
    """A run with its trace, as the command reports it."""
    return document(cli("run", QUESTION, "--json", *options))


def test_route_says_what_would_be_done_and_leaves_no_trace(cli: Cli, tmp_path: Path) -> None:
    assert cli("route", QUESTION, "--analyses", "3").stdout == "algebra\narithmetic\nno way to answer\n"
    told = cli("route", QUESTION, "--explain").stdout
    assert "answer: algebra (weight " in told
    assert "arithmetic" in told
    assert "dearer" in told
    assert "not for this question: calendar, scan" in told
    assert list(tmp_path.iterdir()) == []


def test_route_as_json_holds_every_weight(cli: Cli) -> None:
    made = document(cli("route", "--json", stdin=QUESTION))
    assert (made["goal"], made["cost_weight"], made["time_weight"]) == ("answer", 20.0, 0.01)
    (choice,) = made["choices"]
    assert [step["agent"] for step in choice["plan"]["steps"]] == ["algebra"]
    assert sorted(candidate["agent"] for candidate in choice["candidates"]) == LOCAL
    weights = {candidate["agent"]: candidate["weight"] for candidate in choice["candidates"]}
    assert 0 < weights["algebra"] < weights["arithmetic"]
    assert weights["units"] is None


def test_route_of_what_nobody_can_take(cli: Cli) -> None:
    done = cli("route", "Who wrote Hamlet?", "--explain")
    assert done.returncode == 5
    assert done.stdout.startswith("no way to answer\nexpert")
    assert "--docs DIR" in done.stdout


def test_graph_show_in_three_forms(cli: Cli) -> None:
    assert [line.split()[0] for line in cli("graph", "show").stdout.splitlines()] == ["expert", *LOCAL]
    assert cli("graph", "show", "--mermaid").stdout.startswith("flowchart LR\n")
    made = document(cli("graph", "show", "--json"))
    assert made["goals"] == ["answer"]
    kinds = {"consumes": ["question"], "produces": "answer", "optional": [], "needs": None}
    assert made["experts"][0] == {"name": "algebra", **kinds}


def test_graph_path_goes_round_what_fails(cli: Cli) -> None:
    made = document(cli("graph", "path", "answer", "--fail", "algebra", "--fail", "calendar", "--json"))
    assert [step["agent"] for step in made["plan"]["steps"]] == ["search"]
    assert 'e0["algebra"]' in cli("graph", "path", "--mermaid").stdout


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_tables_stay_readable_where_it_is_narrow(cli: Cli, columns: int) -> None:
    cli("run", QUESTION, "--quiet", "--fail", "algebra")
    env = {"COLUMNS": str(columns)}
    for command, words in {
        ("trace", "why"): ["algebra", "arithmetic", "taken", "dearer", "failed", "0.0305", "-ln(p)", "money", "time"],
        ("graph", "path"): [*LOCAL, "0.1054", "taken", "-ln(p)", "money", "time"],
        ("agents", "list"): [*LOCAL, "0.99", "role", "conversion", "expansions"],
        ("models", "list"): ["openai:gpt-6.1-terra", "1,050,000", "0.05", "OPENAI_API_KEY"],
    }.items():
        lines = cli(*command, env=env).stdout.splitlines()
        wide = [line for line in lines if len(line.rstrip()) > columns]
        assert {line.split()[0] for line in wide} <= {"think", "failed", "reroute", "merge", "because", "ledger"}
        assert not [line for line in lines if "…" in line]
        assert {word for word in words if not any(word in line.replace("·", " ").split() for line in lines)} == set()


def test_graph_path_says_that_it_was_asked_no_question(cli: Cli, tmp_path: Path) -> None:
    done = cli("graph", "path")
    told = "no question was given, so every tool counts as able to take it; with a question: "
    assert done.stderr == (f'weight = -ln(p) + 20 × USD + 0.01 × seconds\n{told}orchestrator route --explain "…"\n')
    assert "no question" not in cli("graph", "path", "--pool", "cloud").stderr
    assert cli("graph", "path", "--json").stderr == ""
    own = tmp_path / "my own" / "mine"
    own.mkdir(parents=True)
    (own / "a.toml").write_text('[agents.a]\ntool = "algebra"\n', encoding="utf-8")
    asked = cli("graph", "path", "--pool", "mine", "--agents", str(own.parent)).stderr
    assert f"""orchestrator route --explain "…" --pool mine --agents '{own.parent}'\n""" in asked


def test_the_weight_of_every_way_is_split_into_its_parts(cli: Cli) -> None:
    shown = cli("graph", "path", "--pool", "cloud").stdout
    header, *rows = [line.split() for line in shown.splitlines()[1:]]
    assert header[-4:] == ["way", "-ln(p)", "money", "time"]
    place = header.index("way")
    assert len(rows) == 4
    for row in rows:
        way, *parts = map(float, row[place : place + 4])
        assert sum(parts) == pytest.approx(way, abs=0.0002)
        assert all(part > 0 for part in parts)
    why = cli("route", QUESTION, "--explain")
    assert "-ln(p)   money    time" in why.stdout
    assert why.stderr == "weight = -ln(p) + 20 × USD + 0.01 × seconds\n"


def test_graph_path_without_anybody_is_no_path(cli: Cli) -> None:
    done = cli("graph", "path", "--fail", "*")
    assert (done.returncode, done.stdout.splitlines()[0]) == (5, "no way to answer")
    wrong = cli("graph", "path", "--fail", "algebra=error", env={"COLUMNS": "400"})
    assert (wrong.returncode, "no expert `algebra=error`" in wrong.stderr) == (2, True)


def test_agents_are_listed_and_shown(cli: Cli) -> None:
    assert [line.split()[0] for line in cli("agents", "list").stdout.splitlines()] == ["agent", *LOCAL]
    assert [agent["name"] for agent in rows_of(cli("agents", "list", "--json"))] == LOCAL
    shown = cli("agents", "show", "algebra").stdout
    assert {line.split()[0] for line in shown.splitlines()} >= {"name", "role", "consumes", "skill", "tool", "source"}
    assert "None" not in shown
    made = document(cli("agents", "show", "arithmetic", "--json"))
    assert (made["skill"], made["tool"], made["retries"]) == (0.99, "arithmetic", None)
    wrong = cli("agents", "show", "algebar")
    assert (wrong.returncode, "did you mean `algebra`?" in wrong.stderr) == (2, True)


def test_agents_schema_describes_a_descriptor_file(cli: Cli) -> None:
    made = document(cli("agents", "schema"))
    assert set(made["properties"]) == {"pool", "models", "agents", "risks"}
    assert "skill" in made["$defs"]["Agent"]["properties"]
    tables = {name: table["properties"] for name, table in made["$defs"].items()} | {"": made["properties"]}
    assert {"Agent", "Model", "PoolTable", "Price", "Risk", ""} == set(tables)
    bare = [
        f"{table}.{name}" for table, fields in tables.items() for name in fields if not fields[name].get("description")
    ]
    assert bare == []
    assert made["$defs"]["Model"]["properties"]["id"]["description"].startswith("What its server calls it")
    assert made["$defs"]["Agent"]["properties"]["timeout"]["description"] == "Seconds that one try may take."


def test_agents_validate_says_what_is_there_or_what_is_wrong(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.py").write_text("def echo(question: str) -> str:\n    return question\n", encoding="utf-8")
    file = folder / "own.toml"
    file.write_text('[agents.echo]\ntool = "own.py:echo"\n', encoding="utf-8")
    assert cli("agents", "validate", "own").stdout == "own: valid: 1 agents, 0 models, goals answer\n"
    assert document(cli("agents", "validate", "--agents", "own", "--json"))["agents"] == sorted([*LOCAL, "echo"])
    for text, said in (
        ('[agents.echo]\ntool = "own.py:ecko"\n', "did you mean `echo`?"),
        ('[agents.echo]\ntool = "own.py:echo"\nskil = 1.0\n', "did you mean `skill`?"),
        ("[agents.echo\n", "is not TOML"),
    ):
        file.write_text(text, encoding="utf-8")
        done = cli("agents", "validate", "own")
        assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False)
        assert done.stderr.startswith("error: own/own.toml")
        assert said in done.stderr


def test_traces_are_listed_newest_first(cli: Cli) -> None:
    nothing = cli("trace", "list")
    assert (nothing.returncode, nothing.stdout, "no runs in" in nothing.stderr) == (0, "", True)
    first, second = straight_run(cli), straight_run(cli, "--fail", "*")
    rows = rows_of(cli("trace", "list", "--json"))
    assert [(row["run_id"], row["status"]) for row in rows] == [
        (second["run_id"], "escalated"),
        (first["run_id"], "answered"),
    ]
    told = cli("trace", "list", "--limit", "1").stdout
    assert second["run_id"] in told
    assert first["run_id"] not in told
    assert QUESTION in told


def test_a_trace_is_shown_explained_and_verified(cli: Cli) -> None:
    made = straight_run(cli, "--fail", "algebra")
    shown = cli("trace", "show", made["run_id"][-8:]).stdout
    assert shown.splitlines()[1] == QUESTION
    assert "failed     #1 algebra injected: injected fault" in shown
    assert f"consistent · head {made['head']}" in shown
    assert [event["type"] for event in rows_of(cli("trace", "why", "--json"))] == [
        "planned", "planned", "rerouted", "merged", "members",
    ]  # fmt: skip
    anchored = cli("trace", "verify", "--head", made["head"])
    assert (anchored.returncode, "anchored: the last line is the given head" in anchored.stdout) == (0, True)
    wrong = cli("trace", "verify", "last", "--head", "0" * 64)
    assert (wrong.returncode, f"the head is {made['head']}" in wrong.stderr) == (1, True)


def test_a_torn_trace_is_read_as_far_as_it_is_whole(cli: Cli) -> None:
    file = Path(straight_run(cli)["trace"])
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    done = cli("trace", "verify")
    assert done.returncode == 0
    assert f"consistent: {len(lines) - 1} events, the run did not end" in done.stdout
    assert "the last line is torn: 40 bytes" in done.stderr
    shown = cli("trace", "show").stdout
    assert f"did not end: the last whole step is {len(lines) - 1} (merged)" in shown
    assert rows_of(cli("trace", "list", "--json"))[0]["status"] == "not ended"


def test_a_changed_trace_is_found_out(cli: Cli) -> None:
    file = Path(straight_run(cli)["trace"])
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"p":0.99', '"p":0.98'), encoding="utf-8")
    verdict = document(done := cli("trace", "verify", "--json"))
    assert (done.returncode, verdict["consistent"]) == (1, False)
    assert any("does not follow the line before it" in fault for fault in verdict["faults"])
    file.write_text(text.replace('"type":"replied"', '"type":"repleid"'), encoding="utf-8")
    shown = cli("trace", "show")
    assert (shown.returncode, "what follows is left out" in shown.stderr) == (0, True)
    broken = cli("trace", "verify")
    assert (broken.returncode, "is no event" in broken.stderr) == (1, True)


@pytest.mark.parametrize(("run", "said"), [("nobody", "there is no run `nobody`"), ("a.jsonl", "No such file")])
def test_a_missing_trace_is_said(cli: Cli, run: str, said: str) -> None:
    done = cli("trace", "show", run)
    assert (done.returncode, done.stdout, said in done.stderr) == (2, "", True)


def test_doctor_names_keys_and_never_prints_one(cli: Cli, tmp_path: Path) -> None:
    done = cli("doctor", env={"OPENAI_API_KEY": KEY})
    assert (done.returncode, KEY in done.stdout + done.stderr) == (0, False)
    assert "OPENAI_API_KEY" in done.stdout
    assert "sympy (extra local)" in done.stdout
    assert all(f"{name} (extra eval)" in done.stdout for name in ("numpy", "scikit-learn", "scipy"))
    made = document(plain := cli("doctor", "--json", env={"ANTHROPIC_API_KEY": KEY}))
    assert KEY not in plain.stdout
    assert (made["keys"], made["pools"]) == (["ANTHROPIC_API_KEY"], ["cloud", "local"])
    assert (made["state"], made["state_writable"]) == (str(tmp_path / "home" / "runs"), True)
    assert made["versions"]["thinkroute"]


def test_doctor_lists_every_extra_with_its_packages(cli: Cli) -> None:
    """All that the project offers, but what its own developers need."""
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    extras = {
        extra: {re.split(r"[\[>=<]", package)[0] for package in packages}
        for extra, packages in offered.items()
        if extra != "dev"
    }
    listed = document(cli("doctor", "--json"))["extras"]
    assert {extra: set(packages) for extra, packages in listed.items()} == extras


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["run", QUESTION], "--budget"),
        (["batch", "questions.jsonl", "--out", "out.jsonl"], "--budget"),
        (["batch", "questions.jsonl", "--out", "out.jsonl"], "--budget-each"),
        (["eval", "run", "local"], "--max-cost"),
    ],
)
def test_what_is_no_amount_of_money_is_told_with_its_option(
    cli: Cli, tmp_path: Path, command: list[str], option: str
) -> None:
    (tmp_path / "questions.jsonl").write_text('"1 + 1"\n', encoding="utf-8")
    for amount, problem in (("abc", "'abc' is no amount of dollars"), ("-1", "'-1' is no amount that can be spent")):
        done = cli(*command, option, amount, env={"COLUMNS": "400"})
        assert (done.returncode, done.stdout) == (2, "")
        assert f"Invalid value for {option}: {problem}" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("orchestrator.cli.doctor._EXTRAS", {"eval": ("sympy", "none"), "local": ("no-such-package",)})
    doctor()
    told = " ".join(capsys.readouterr().out.split())
    assert "no-such-package (extra local) not installed" in told
    assert "pip install 'thinkroute[local]'" in told
    assert "none (extra eval) not installed" in told
    assert "pip install 'thinkroute[eval]': evals need none" in told


def test_what_the_system_refuses_is_an_error_and_no_traceback(cli: Cli) -> None:
    done = cli("trace", "list", env={"ORCHESTRATOR_HOME": "x" * 300})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: File name too long: xxx")


def test_version_and_help(cli: Cli) -> None:
    said = cli("--version", env={"ORCHESTRATOR_VERSION": "1.2"})
    assert (said.returncode, said.stdout.count(".")) == (0, 2)
    assert cli("agents", "list", env={"ORCHESTRATOR_VERSION": "1.2"}).returncode == 0
    told = cli("--help")
    assert [name for name in ("run", "route", "graph", "agents", "trace", "doctor") if name not in told.stdout] == []
    assert "130 interrupted" in " ".join(told.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "No such command"),
        (["run", QUESTION, "--loud"], "No such option"),
        (["doctor", "--agents", "nowhere"], "does not exist"),
    ],
    ids=["command", "option", "folder"],
)
def test_a_usage_error_exits_with_2(cli: Cli, arguments: list[str], said: str) -> None:
    done = cli(*arguments)
    assert (done.returncode, done.stdout, said in done.stderr) == (2, "", True)
