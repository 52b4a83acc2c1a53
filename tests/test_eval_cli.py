"""`orchestrator eval` as its users meet it: reports, gates, leaks, errors that are no failures, tampering."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from orchestrator.evals.cases import EvalCase
from orchestrator.evals.code import Code
from tests.eval_world import (
    KEY,
    PRICE,
    CountingServer,
    Lab,
    asking_suite,
    plain,
    record,
    recorded_file,
    row,
    suite_folder,
    write_lines,
)

SYSTEM = [
    *("name", "kind", "n", "errors", "score", "score_ci", "cost_usd", "cost_exact", "cost_per_question"),
    "cost_per_correct",
    *("control_calls", "reroutes", "latency_p50", "latency_p95", "shares"),
]

POOL = """
[pool]
goals = ["answer"]

[agents.good]
tool = "tools.py:good"
produces = "answer"
skill = 0.9

[agents.poor]
tool = "tools.py:poor"
produces = "answer"
skill = 0.4
"""
TOOLS = """
def good(question: str) -> str | None:
    return None if "riddle" in question else question.split()[-1]


def poor(question: str) -> str | None:
    return None if "riddle" in question else "2"
"""
CASES = [
    *({"id": f"q{n}", "question": f"Say {n}", "reference": str(n)} for n in range(6)),
    {"id": "r", "question": "a riddle", "expect": {"status": "escalated"}},
]
HEAD = '[suite]\nname = "own"\ndata = ["cases.jsonl"]\npool = "pool"\n'

ROUTERS = '''
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.matrix import Outcome
from orchestrator.evals.scorers import Scored
from orchestrator.protocol import Answer, Route, Turn
from orchestrator.providers import RecordedFile
from orchestrator.routers import View
from tests.runs import everything_in


def first(view: View) -> Turn:
    """Asks whoever comes first by name."""
    if view.replies:
        return Turn((Answer(),))
    return Turn((Route(sorted(each.name for each in view.experts)[0]),))


def broken(view: View) -> Turn:
    """Fails on some questions."""
    if view.question.text.endswith(("3", "3?")):
        raise ZeroDivisionError("a bug of the caller's")
    return first(view)


def several(view: View) -> Turn:
    """Asks everybody at once."""
    if view.replies:
        return Turn((Answer(),))
    return Turn(tuple(Route(each.name) for each in view.experts))


def peeking(view: View) -> Turn:
    """Looks for a score in everything that it can reach."""
    everything = list(everything_in(view))
    assert len(everything) > 100
    for each in everything:
        assert not isinstance(each, (RecordedFile, EvalCase, Outcome, Scored)), each
        names = {slot for kind in type(each).__mro__ for slot in getattr(kind, "__slots__", ())} | {*vars(type(each))}
        names |= {*getattr(each, "__dict__", {})}
        assert not names & {"score", "scores", "reference", "references"}, each
    return first(view)
'''


@pytest.fixture
def lab(child_env: dict[str, str], tmp_path: Path) -> Lab:
    """The command over an empty folder."""
    return Lab({**child_env, "SUMS_KEY": KEY}, tmp_path)


@pytest.fixture
def recorded(lab: Lab) -> Path:
    """A recorded file of sixty cases, twenty of them for training."""
    return recorded_file(lab.folder / "rec.jsonl", 60)


@pytest.fixture
def routers(lab: Lab) -> str:
    """A file with routers."""
    (lab.folder / "mine.py").write_text(ROUTERS, encoding="utf-8")
    return "mine.py"


def own_suite(lab: Lab, more: str = "", cases: list[dict[str, Any]] | None = None, head: str = HEAD) -> str:
    """A suite over two tools, of which one is right; its last case is for nobody."""
    files = {"pool_in_pool__toml": POOL, "pool_in_tools__py": TOOLS}
    suite_folder(lab.folder / "own", head + more, CASES if cases is None else cases, **files)
    return "own"


def test_json_has_the_fields_that_were_promised(lab: Lab, recorded: Path) -> None:
    report = lab.report("run", recorded.name, "--out", "run")
    assert list(report) == ["run", "head", "suite", "systems", "comparisons", "verdict"]
    assert all(list(each) == SYSTEM for each in report["systems"])
    assert {tuple(each) for each in report["comparisons"]} == {("a", "b", "delta", "ci", "p", "test")}
    assert (report["run"], report["suite"]) == ("run", "rec")
    assert report["verdict"].startswith(("route", "do not route"))
    assert {
        "cheapest",
        "dearest",
        "best-single",
        "best-single-hindsight",
        "random",
        "zero-router",
        "train-means",
        "vote",
        "knn",
        "oracle",
        "model:small",
        "placebo:plan",
        "plan",
    } <= {e["name"] for e in report["systems"]}


def test_the_terminal_ends_in_the_verdict(lab: Lab, recorded: Path) -> None:
    done = lab.run("run", recorded.name)
    assert done.stdout.splitlines()[-1].startswith(("route", "do not route"))
    assert "left out: task-means: no case carries a task label" in done.stderr
    assert "· head " in done.stderr


def test_failed_rows_stay_in_the_denominator(lab: Lab, recorded: Path, routers: str) -> None:
    report = lab.report("run", recorded.name, "--router", f"{routers}:broken", "--out", "run", code=1)
    found = row(report, "mine.py:broken")
    results = lab.results("run")
    failed = [each for each in results if each["error"]]
    assert {each["error"] for each in failed} == {"ZeroDivisionError: a bug of the caller's"}
    assert (found["n"], found["errors"]) == (40, len(failed)) == (len(results), 4)
    right = {each["case"]: each["answer"] for each in results if not each["error"]}
    by_hand = sum(answer == str(int(case[1:]) * 7) for case, answer in right.items())
    assert found["score"] == by_hand / 40
    allowed = lab.report("rescore", "run", "--allow-errors")
    assert plain(allowed) == plain(report)


def test_errors_and_failures_are_shown_apart(lab: Lab) -> None:
    limited = own_suite(lab, cases=[*CASES, {"id": "late", "question": "Say a riddle", "reference": "x"}])
    report = lab.report("run", limited)
    assert (row(report, "plan")["errors"], row(report, "plan")["score"]) == (0, 7 / 8)  # FAIL: nobody could
    own_suite(lab, head=HEAD + "seconds = 0.000001\n")
    late = lab.report("run", "own", code=1)
    assert (row(late, "plan")["errors"], row(late, "plan")["score"], row(late, "plan")["n"]) == (7, 0.0, 7)


def test_one_beats_three(lab: Lab, recorded: Path, routers: str) -> None:
    gate = ("--fail-under", "1")
    assert "gate: plan scores" in lab.run("run", recorded.name, *gate, code=3).stderr
    lab.run("run", recorded.name, "--router", f"{routers}:broken", *gate, code=1)
    lab.run("run", recorded.name, "--router", f"{routers}:broken", *gate, "--allow-errors", code=3)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (("--max-cost-per-question", "0.0001"), "gate: small costs $0.0005"),
        (("--no-worse-than", "best-single"), "gate: small scores below best-single"),
        (("--no-worse-than", "dearest"), "gate: small scores below dearest"),
        (("--no-worse-than", "cheapest"), ""),
        (("--no-worse-than", "nobody"), "gate: nothing was compared with nobody"),
    ],
)
def test_gates(lab: Lab, routers: str, gate: tuple[str, ...], said: str) -> None:
    recorded_file(lab.folder / "rec.jsonl", 150)
    source = ROUTERS.replace("[0]),))", "[-1]),))").replace("def first", "def small")
    (lab.folder / routers).write_text(source.replace("first(view)", "small(view)"), encoding="utf-8")
    done = lab.run("run", "rec.jsonl", "--router", "mine.py:small", *gate, code=3 if said else 0)
    assert said.replace("small", "mine.py:small") in done.stderr


def test_a_suites_own_gates_hold(lab: Lab) -> None:
    suite = own_suite(lab, "[gates]\nfail_under = 1.0\nno_worse_than = 'best-single'\n[[systems]]\nrouter = 'plan'\n")
    lab.run("run", suite)
    own_suite(lab, "[gates]\nfail_under = 1.0\n", [*CASES, {"id": "hard", "question": "Say 7", "reference": "8"}])
    lab.run("run", suite, code=3)
    lab.run("run", suite, "--fail-under", "0.5")


def test_a_baseline_that_was_better_is_a_gate(lab: Lab, routers: str) -> None:
    recorded_file(lab.folder / "rec.jsonl", 150)
    lab.run("run", "rec.jsonl", "--out", "before")
    lab.run("run", "rec.jsonl", "--baseline", "before")
    (lab.folder / routers).write_text(ROUTERS.replace("[0]),))", "[-1]),))"), encoding="utf-8")
    worse = ("run", "rec.jsonl", "--router", f"{routers}:first", "--baseline", "before")
    assert "below before:plan" in lab.run(*worse, code=3).stderr
    lab.run(*worse, "--alpha", "0")


def test_zero_and_missing_prices_are_told_apart(lab: Lab) -> None:
    draw = Random("prices")
    rows = [record(n, draw) for n in range(30)]
    for each in rows:
        each["outcomes"]["small"]["cost_usd"] = 0
    write_lines(lab.folder / "free.jsonl", rows)
    assert row(lab.report("run", "free.jsonl"), "cheapest")["cost_per_question"] == 0
    for each in rows:
        each["outcomes"]["small"]["cost_usd"] = None
    write_lines(lab.folder / "unknown.jsonl", rows)
    report = lab.report("run", "unknown.jsonl")
    assert row(report, "model:small")["cost_per_question"] is None
    assert row(report, "cheapest")["shares"] == {"medium": 1.0}
    assert row(report, "plan")["errors"] == 0
    assert "hold no costs" in lab.run("run", "unknown.jsonl", "--max-cost", "1", code=2).stderr


def test_a_model_without_a_price_is_not_free(lab: Lab) -> None:
    with CountingServer() as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=2, price="")
        report = lab.report("run", str(suite), code=1)
        assert sum(server.requests.values()) == 0
        assert (row(report, "plan")["errors"], row(report, "plan")["score"]) == (2, 0.0)
        free = asking_suite(lab.folder / "suite", server.url, cases=2, price="free = true")
        found = row(lab.report("run", str(free)), "plan")
    assert (found["errors"], found["score"], found["cost_usd"]) == (0, 1.0, 0.0)


PLUGGED = '''
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.scorers import Scored
from orchestrator.messages import Analysis
from orchestrator.protocol import Answer, Route, Turn


def last(view):
    """Asks whoever comes last by name."""
    return Turn((Answer(),)) if view.replies else Turn((Route(sorted(each.name for each in view.experts)[-1]),))


def longest(question, replies):
    """The longest reply."""
    return Analysis(answer=max((each.text for each in replies), key=len), support=("poor",))


class Half:
    name = "half"

    def score(self, answer, case):
        return Scored(0.5, "half of everything")


half = Half()


def lines(path):
    """A case in each line: question, bar, answer."""
    rows = [line.split("|") for line in path.read_text().splitlines()]
    return tuple(EvalCase(id=f"l{n}", question=asked, reference=(right,)) for n, (asked, right) in enumerate(rows))


number = 7
broken_loader = lambda path: ["no cases"]
'''
POINTS = """
[orchestrator.routers]
last = plugged:last
broken = plugged:not_there
[orchestrator.merges]
longest = plugged:longest
[orchestrator.scorers]
half = plugged:half
seven = plugged:number
[orchestrator.loaders]
lines = plugged:lines
"""


@pytest.fixture
def plugged(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that offers a router, a merge, scorers and a loader."""
    site = lab.folder / "site"
    info = site / "plugged-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "plugged.py").write_text(PLUGGED, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(POINTS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))  # pyright: ignore[reportUnknownMemberType] - pytest leaves it untyped
    return site


@pytest.mark.usefixtures("plugged")
def test_what_a_package_plugs_in_is_known_by_its_name(lab: Lab) -> None:
    suite = own_suite(lab, head=HEAD + 'scorer = "half"\nloader = "lines"\n')
    (lab.folder / suite / "cases.jsonl").write_text("Say 1|1\nSay 2|2\n", encoding="utf-8")
    report = lab.report("run", suite, "--router", "last", "--router", "plan", "--merge", "longest", "--out", "run")
    for name in ("last+longest", "plan+longest"):
        assert (row(report, name)["n"], row(report, name)["score"], row(report, name)["errors"]) == (2, 0.5, 0)
    asked = {(each["system"], each["case"]): each["consulted"] for each in lab.results("run")}
    assert (asked["last+longest", "l0"], asked["plan+longest", "l0"]) == (["poor"], ["good"])


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize(
    ("head", "options", "said"),
    [
        (
            "",
            ["--router", "lats"],
            "there is no router `lats`; expected one of plan, llm, cascade, llm+cascade, broken, last, or",
        ),
        ("", ["--router", "lats"], "did you mean `last`?"),
        ("", ["--router", "broken"], "entry point `broken` (plugged:not_there): cannot be loaded: AttributeError"),
        ("", ["--merge", "longst"], "did you mean `longest`?"),
        ('scorer = "haf"', [], "did you mean `half`?"),
        ('scorer = "seven"', [], "7 is no scorer; expected an object with a name"),
        ('loader = "line"', [], "`suite.loader`: there is no loader `line`"),
        ('loader = "plugged:nothing"', [], "`plugged:nothing` cannot be loaded"),
        ('loader = "plugged:number"', [], "`plugged:number` is no loader; expected a function of a path"),
        ('loader = "plugged:broken_loader"', [], "gave ['no cases']; expected a tuple of `EvalCase`"),
    ],
)
def test_a_plugged_in_name_that_does_not_work_is_told(lab: Lab, head: str, options: list[str], said: str) -> None:
    suite = own_suite(lab, head=f"{HEAD}{head}\n")
    assert said in lab.run("run", suite, *options, code=2).stderr


def test_missing_usage_is_charged_and_marked(lab: Lab) -> None:
    with CountingServer(counted=False) as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=2)
        found = row(lab.report("run", str(suite), "--out", "run"), "plan")
        shown = lab.run("report", "run").stdout
    assert (found["cost_usd"] > 0, found["cost_exact"]) == (True, False)
    assert f"~{found['cost_per_question']:.6f}" in shown
    assert all(not each["cost_exact"] for each in lab.results("run"))


def test_a_sum_is_exact_only_if_every_case_is(lab: Lab) -> None:
    with CountingServer() as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=3)
        assert row(lab.report("run", str(suite), "--out", "run"), "plan")["cost_exact"] is True
        server.counted = False
        lab.run("run", str(suite), "--out", "other", "--sample-id", "q1", "--no-singles")
    one = next(each for each in lab.results("other") if each["case"] == "q1")
    results = lab.folder / "run" / "results.jsonl"
    kept = [each for each in lab.results("run") if (each["system"], each["case"]) != ("plan", "q1")]
    write_lines(results, [*kept, {**one, "trace": None, "head": None}])
    (lab.folder / "run" / "choices.jsonl").unlink()
    report = lab.report("resume", "run")
    assert (row(report, "plan")["cost_exact"], row(report, "model:sums")["cost_exact"]) == (False, True)


def test_the_routers_own_calls_are_on_the_bill(lab: Lab) -> None:
    with CountingServer() as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=3)
        pool = suite / "pool" / "pool.toml"
        own = pool.read_text(encoding="utf-8").replace('goals = ["answer"]', 'goals = ["answer"]\nrouter = "sums"')
        pool.write_text(own, encoding="utf-8")
        report = lab.report("run", str(suite), "--router", "llm", "--max-cost", "5", "--out", "run")
        apart = lab.run("report", "run").stderr
    found, single = row(report, "llm"), row(report, "model:sums")
    assert (found["control_calls"], found["score"]) == (3, 1.0)
    assert found["cost_usd"] == pytest.approx(single["cost_usd"])  # the router answered by itself, and was paid for it
    assert "llm: of its cost USD" in apart
    assert "for the router" in apart


def tampered(path: Path, before: str, after: str) -> None:
    """Exchange something in a file."""
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (("results.jsonl", '"consulted":["large"]', '"consulted":["small"]'), "the choice was changed"),
        (("results.jsonl", '"support":["large"]', '"support":["small"]'), "the result was changed"),
        (("results.jsonl", '"cost_usd":"0.004"', '"cost_usd":"0.001"'), "the result was changed"),
        (("choices.jsonl", '"consulted":["large"]', '"consulted":["small"]'), "does not follow"),
    ],
)
def test_what_is_changed_after_the_outcome_shows(
    lab: Lab, recorded: Path, what: tuple[str, str, str], said: str
) -> None:
    head = lab.report("run", recorded.name, "--out", "run", "--prefer", "quality")["head"]
    assert lab.run("verify", "run", "--head", head).stdout == "consistent and anchored\n"
    name, before, after = what
    tampered(lab.folder / "run" / name, before, after)
    for args in (("verify", "run"), ("verify", "run", "--head", head)):
        assert said in lab.run(*args, code=1).stderr
    assert "eval verify" in lab.run("rescore", "run", code=2).stderr  # scoring anew launders nothing
    assert said in lab.run("verify", "run", code=1).stderr


def test_a_whole_new_chain_is_told_by_its_head_only(lab: Lab, recorded: Path) -> None:
    head = lab.report("run", recorded.name, "--out", "run")["head"]
    results = lab.folder / "run" / "results.jsonl"
    tampered(results, '"consulted":["large"]', '"consulted":["small"]')
    (lab.folder / "run" / "choices.jsonl").unlink()
    lab.run("resume", "run")
    assert lab.run("verify", "run").stdout == "consistent\n"
    assert "the head of the choices is" in lab.run("verify", "run", "--head", head, code=1).stderr


@pytest.mark.parametrize("place", [0, 2, -1])
def test_an_edited_trace_shows(lab: Lab, recorded: Path, place: int) -> None:
    lab.run("run", recorded.name, "--out", "run")
    trace = min((lab.folder / "run" / "traces").glob("*.jsonl"))
    lines = trace.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[place] = lines[place].replace('"time":"20', '"time":"19')
    trace.write_text("".join(lines), encoding="utf-8")
    assert "the trace was changed" in lab.run("verify", "run", code=1).stderr
    trace.unlink()
    assert "the trace is gone" in lab.run("verify", "run", code=1).stderr


def test_a_train_case_in_test_is_warned_of(lab: Lab) -> None:
    draw = Random("leak")
    rows = [record(n, draw) for n in range(30)]
    rows[1]["question"] = rows[0]["question"]
    write_lines(lab.folder / "rec.jsonl", rows)
    assert "the test case c001 asks what the train case c000 asks" in lab.run("run", "rec.jsonl").stderr
    cases = [*CASES, {"id": "t", "question": "Say 1", "reference": "1", "split": "train"}]
    assert "the test case q1 asks what the train case t asks" in lab.run("run", own_suite(lab, cases=cases)).stderr


def test_an_id_that_stands_twice_is_an_error(lab: Lab, recorded: Path) -> None:
    rows = recorded.read_text(encoding="utf-8").splitlines(keepends=True)
    recorded.write_text("".join([*rows, rows[3]]), encoding="utf-8")
    assert "the id `c003` stands twice" in lab.run("run", recorded.name, code=2).stderr
    twice = own_suite(lab, cases=[*CASES, CASES[2]])
    assert "the id `q2` stands twice" in lab.run("run", twice, code=2).stderr


def test_no_router_can_see_a_score(lab: Lab, recorded: Path, routers: str) -> None:
    report = lab.report("run", recorded.name, "--router", f"{routers}:peeking", "--limit", "3")
    assert row(report, "mine.py:peeking")["errors"] == 0


def test_a_router_that_asks_several_has_a_row_and_a_verdict(lab: Lab, recorded: Path, routers: str) -> None:
    report = lab.report("run", recorded.name, "--router", f"{routers}:several", "--router", f"{routers}:broken", code=1)
    assert row(report, "mine.py:several")["cost_per_question"] == pytest.approx(0.0065)
    assert {"placebo:mine.py:several", "placebo:mine.py:broken"} <= {each["name"] for each in report["systems"]}
    lab.report("run", recorded.name, "--analyses", "3", "--merge", "vote")


def test_single_experts_run_beside_the_router(lab: Lab) -> None:
    report = lab.report("run", own_suite(lab))
    assert {each["name"]: each["score"] for each in report["systems"]} == {
        "plan": 1.0,  # an escalation that was expected counts as right
        "model:good": 1.0,
        "model:poor": 2 / 7,
    }
    assert [(each["a"], each["b"], each["p"]) for each in report["comparisons"]] == [("plan", "model:good", 1.0)]
    assert report["verdict"].startswith("do not route: plan and model:good are not distinguishable on 7 cases")
    assert "left out: oracle: needs an outcome matrix of recorded replies" in lab.run("run", "own").stderr
    assert [each["name"] for each in lab.report("run", "own", "--no-singles")["systems"]] == ["plan"]


def test_without_responses_routing_is_by_score_alone(lab: Lab, routers: str) -> None:
    recorded_file(lab.folder / "mute.jsonl", 30, responses=False, split="test")
    report = lab.report("run", "mute.jsonl", "--router", "plan", "--router", f"{routers}:first", "--out", "run")
    assert row(report, "plan")["score"] == row(report, f"model:{next(iter(row(report, 'plan')['shares']))}")["score"]
    assert row(report, "mine.py:first")["shares"] == {"large": 1.0}
    assert {each["answer"] for each in lab.results("run")} == {None}
    assert lab.run("verify", "run").stdout == "consistent\n"
    for args in (("--merge", "vote"), ("--analyses", "2"), ("--merge", "synthesise")):
        assert "`systems[0].merge`" in lab.run("run", "mute.jsonl", *args, code=2).stderr
    assert "`systems[0].router`: `llm` needs texts" in lab.run("run", "mute.jsonl", "--router", "llm", code=2).stderr
    assert "an even first byte of SHA-256(id) is train" in lab.run("report", "run").stderr


def test_a_file_without_a_split_is_drawn_one(lab: Lab) -> None:
    recorded_file(lab.folder / "rec.jsonl", 40, split="test")
    lab.run("run", "rec.jsonl", "--out", "run")
    drawn = {f"c{n:03}" for n in range(40) if sha256(f"c{n:03}".encode()).digest()[0] % 2}
    assert {each["case"] for each in lab.results("run")} == drawn


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (HEAD.replace("pool =", "pol ="), "own/suite.toml: `suite.pol`: unknown key `pol`"),
        (HEAD + 'scorer = "exakt"\n', "own/suite.toml: `suite.scorer`: there is no scorer `exakt`"),
        (HEAD + 'scorer = { name = "number", tolerence = 1 }\n', "unknown key `tolerence`"),
        (HEAD + 'scorer = "choice"\n', "cases.jsonl: `choices`: case `q0` has no choices"),
        (HEAD + 'scorer = "nothing.here:x"\n', "own/suite.toml: `suite.scorer`: `nothing.here:x` cannot be loaded"),
        (HEAD + '[[systems]]\nrouter = "plann"\n', "own/suite.toml: `systems[0].router`: there is no router `plann`"),
        (HEAD + '[[systems]]\nmerge = "wote"\n', "own/suite.toml: `systems[0].merge`"),
        (HEAD + '[[systems]]\nrouter = "no.py:such"\n', "own/suite.toml: `systems[0].router`"),
        (HEAD + "[gates]\nfail_under = 2\n", "own/suite.toml: `gates.fail_under`: cannot be 2"),
        (HEAD + "[limits.gpt]\nper_minute = 2\n", "own/suite.toml: `limits.gpt`: there is no model `gpt`"),
        ('[suite]\nname = "x"\n', "own/suite.toml: `suite.data`: names no cases"),
        ("[suite\n", "own/suite.toml"),
    ],
)
def test_what_is_wrong_with_a_suite_is_said_before_anything_runs(lab: Lab, head: str, said: str) -> None:
    suite = own_suite(lab, head=head)
    for command in ("validate", "run"):
        assert said in lab.run(command, suite, code=2).stderr
    assert json.loads(lab.run("list", "--json").stdout) == []


def test_unknown_options_and_names(lab: Lab, recorded: Path) -> None:
    assert "no case `c999`" in lab.run("run", recorded.name, "--sample-id", "c999", code=2).stderr
    assert "cannot be `tset`" in lab.run("run", recorded.name, "--split", "tset", code=2).stderr
    lab.run("run", recorded.name, "--prefer", "cheep", code=2)
    lab.run("run", recorded.name, "--fail-under", "2", code=2)
    assert "there is no eval `gone`" in lab.run("show", "gone", code=2).stderr
    assert "does not exist" in lab.run("run", "nothing", code=2).stderr


def test_which_cases_are_run(lab: Lab, recorded: Path) -> None:
    lab.run("run", recorded.name, "--limit", "3", "--repeat", "2", "--out", "few")
    keys = [(each["case"], each["repeat"]) for each in lab.results("few")]
    assert sorted(keys) == [(case, n) for case in ("c001", "c002", "c004") for n in (0, 1)]
    lab.run("run", recorded.name, "--sample-id", "c005", "--sample-id", "c001", "--out", "two")
    assert sorted(each["case"] for each in lab.results("two")) == ["c001", "c005"]
    train = lab.report("run", recorded.name, "--split", "train")
    assert row(train, "plan")["n"] == 20
    assert row(lab.report("run", recorded.name, "--split", "all"), "plan")["n"] == 60
    seeds = [lab.report("run", recorded.name, "--limit", "9", "--seed", seed) for seed in ("1", "1", "2")]
    assert plain(seeds[0]) == plain(seeds[1])


def test_other_cases_in_the_place_of_a_suites(lab: Lab, recorded: Path) -> None:
    suite = own_suite(lab)
    for name, numbers in (("more.jsonl", range(2)), ("most.jsonl", range(7, 10))):
        write_lines(lab.folder / name, [{"id": f"d{n}", "question": f"Say {n}", "reference": str(n)} for n in numbers])
    report = lab.report("run", suite, "--data", "more.jsonl", "--data", "most.jsonl", "--out", "run")
    assert (row(report, "plan")["n"], row(report, "plan")["score"]) == (5, 1.0)
    assert lab.report("rescore", "run") == report
    told = lab.run("run", suite, "--data", "more.jsonl", "--data", "more.jsonl", code=2).stderr
    assert "the id `d0` stands twice" in told
    told = lab.run("run", recorded.name, "--data", "more.jsonl", code=2).stderr
    assert "rec.jsonl: `data`: is a file of outcomes, its own data; expected a suite.toml" in told


def test_a_suites_own_scorer_and_resumption_from_elsewhere(lab: Lab, tmp_path: Path) -> None:
    scorer = (
        "from orchestrator.evals.scorers import Scored\n\n\nclass Half:\n    name = 'half'\n\n"
        "    def score(self, answer, case):\n        return Scored(0.5, 'by halves')\n\n\nhalf = Half()\n"
    )
    own_suite(lab, head=HEAD + 'scorer = "half.py:half"\n')
    (lab.folder / "own" / "half.py").write_text(scorer, encoding="utf-8")
    report = lab.report("run", "own", "--out", "run")
    assert row(report, "plan")["score"] == pytest.approx(4 / 7)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert plain(Lab(lab.env, elsewhere).report("rescore", str(lab.folder / "run"))) == plain(report)


def test_scoring_anew_calls_nobody(lab: Lab) -> None:
    with CountingServer() as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=4)
        first = lab.report("run", str(suite), "--out", "run")
        asked = sum(server.requests.values())
        tampered(suite / "cases.jsonl", '"reference": "7"', '"reference": "8"')
        anew = lab.report("rescore", "run")
        assert sum(server.requests.values()) == asked == 8
    assert (row(first, "plan")["score"], row(anew, "plan")["score"]) == (1.0, 0.75)
    assert anew["head"] == first["head"]


def test_the_other_commands(lab: Lab, recorded: Path) -> None:
    lab.run("run", recorded.name)
    ((listed),) = json.loads(lab.run("list", "--json").stdout)
    assert (Path(listed["suite"]).name, listed["done"]) == ("rec.jsonl", "40")
    shown = json.loads(lab.run("show", "--json").stdout)
    assert len(shown) == 40
    assert {each["score"] for each in shown} == {0.0, 1.0}
    text = lab.run("case", "last", "c001").stdout
    assert "plan: 7" in text
    assert "no case `c0001`" in lab.run("case", "last", "c0001", code=2).stderr
    assert json.loads(lab.run("case", "last", "c001", "--json").stdout)[0]["case"] == "c001"
    assert json.loads(lab.run("report", "--json").stdout)["run"] == listed["run"]
    assert lab.run("validate", own_suite(lab)).stdout == "own: valid: 7 test cases, systems plan\n"
    assert json.loads(lab.run("validate", "--schema").stdout)["properties"].keys() >= {"suite", "systems", "limits"}


def test_an_eval_compared_with_itself_has_no_winner(lab: Lab, recorded: Path) -> None:
    lab.run("run", recorded.name, "--out", "one")
    (found,) = json.loads(lab.run("compare", "one", "one", "--json").stdout)
    assert (found["delta"], found["p"], found["a"], found["b"]) == (0.0, 1.0, "one:plan", "one:plan")
    assert "not distinguishable on 40 cases" in lab.run("compare", "one", "one").stdout
    lab.run("compare", "one", code=2)


def test_junit(lab: Lab, recorded: Path, routers: str) -> None:
    options = ("--router", f"{routers}:broken", "--fail-under", "1", "--junit", "out.xml")
    lab.run("run", recorded.name, *options, "--out", "run", code=1)
    cases, gates = ET.parse(lab.folder / "out.xml").getroot()  # noqa: S314 - our own file
    report = lab.report("report", "run")
    found = row(report, "mine.py:broken")
    assert (cases.get("tests"), cases.get("errors"), gates.get("failures")) == ("40", "4", "1")
    assert int(cases.get("failures") or 0) == 40 - 4 - round(found["score"] * 40)
    assert len(cases.findall("testcase")) == 40
    (broken,) = (each for each in cases if each.get("name") == "c013")
    assert [(each.tag, each.get("message")) for each in broken] == [
        ("error", "ZeroDivisionError: a bug of the caller's")
    ]


def test_junit_holds_whatever_an_answer_holds(lab: Lab) -> None:
    cases = [{"id": "<&\"'>", "question": "Say \x01\x0b]]>", "reference": "é"}]
    lab.run("run", own_suite(lab, cases=cases), "--junit", "out.xml")
    (test,) = ET.parse(lab.folder / "out.xml").getroot()[0]  # noqa: S314 - our own file
    assert test.get("name") == "<&\"'>"
    assert "]]>" in str(test[0].get("message"))


def names(report: Mapping[str, Any]) -> list[str]:
    """The systems of a report."""
    return [each["name"] for each in report["systems"]]


def test_prices_of_the_world_are_what_the_suite_bills(lab: Lab) -> None:
    assert "input = 2.0" in PRICE
    with CountingServer() as server:
        report = lab.report("run", str(asking_suite(lab.folder / "suite", server.url, cases=5)))
    assert names(report) == ["plan", "model:sums"]
    assert row(report, "plan")["cost_per_question"] == pytest.approx((50 * 2 + 5 * 10) / 1e6)


def test_recorded_outcomes_at_other_prices(lab: Lab, recorded: Path) -> None:
    lab.run("run", recorded.name, "--out", "run")
    (lab.folder / "prices.toml").write_text("[large]\ninput = 0.0\noutput = 0.1\n", encoding="utf-8")
    report = lab.report("replay", "run", "--prices", "prices.toml", "--out", "cheap")
    assert row(report, "model:large")["cost_per_question"] == pytest.approx(10 * 0.1 / 1e6)
    assert row(report, "cheapest")["shares"] == {"large": 1.0}
    assert row(report, "plan")["shares"] == {"large": 1.0}
    assert row(lab.report("rescore", "cheap"), "cheapest")["shares"] == {"large": 1.0}
    (lab.folder / "prices.toml").write_text("[larg]\ninput = 0.0\noutput = 0.1\n", encoding="utf-8")
    said = lab.run("replay", "run", "--prices", "prices.toml", code=2).stderr
    assert "prices.toml: `larg`: there is no model `larg`" in said
    assert "did you mean `large`?" in said


def test_another_router_and_another_budget(lab: Lab, recorded: Path, routers: str) -> None:
    lab.run("run", recorded.name, "--out", "run", "--limit", "10")
    report = lab.report("replay", "run", "--router", f"{routers}:first")
    assert (row(report, "mine.py:first")["n"], row(report, "mine.py:first")["shares"]) == (10, {"large": 1.0})
    tight = lab.report("replay", "run", "--budget", "0.001")
    assert row(tight, "plan")["shares"] == {"small": 1.0}


def test_what_counts_no_tokens_cannot_be_billed_anew(lab: Lab) -> None:
    draw = Random("tokens")
    rows = [record(n, draw) for n in range(12)]
    for each in rows[:5]:
        each["outcomes"]["small"].update(input_tokens=None, output_tokens=None)
    write_lines(lab.folder / "rec.jsonl", rows)
    lab.run("run", "rec.jsonl", "--out", "run")
    (lab.folder / "prices.toml").write_text("[small]\ninput = 1.0\noutput = 1.0\n", encoding="utf-8")
    done = lab.run("replay", "run", "--prices", "prices.toml", "--out", "anew")
    assert "5 of 12 records of small count no tokens: what they would cost is unknown" in done.stderr
    assert row(lab.report("report", "anew"), "model:small")["cost_per_question"] is None


def test_kept_calls_are_replayed_and_no_others_are_made(lab: Lab, routers: str) -> None:
    with CountingServer() as server:
        suite = asking_suite(lab.folder / "suite", server.url, cases=4)
        lab.run("run", str(suite), "--out", "run")
        asked = sum(server.requests.values())
        (lab.folder / "prices.toml").write_text("[sums]\ninput = 20\noutput = 100\n", encoding="utf-8")
        report = lab.report("replay", "run", "--router", f"{routers}:first", "--prices", "prices.toml")
        found = row(report, "mine.py:first")
        assert (found["score"], found["cost_per_question"]) == (1.0, pytest.approx(10 * (50 * 2 + 5 * 10) / 1e6))
        for path in sorted((lab.folder / "run" / "calls").glob("*.jsonl")):
            if "times 2?" in path.read_text(encoding="utf-8"):
                path.unlink()
        done = lab.run("replay", "run", code=1)
        assert "1 results could not be replayed, since a call was not made before; the first: q2" in done.stderr
        assert sum(server.requests.values()) == asked


SQUARE = ["assert square(3) == 9"]


@pytest.mark.parametrize(
    ("answer", "tests", "score", "why"),
    [
        ("def square(x): return x * x", SQUARE, 1.0, "the tests pass"),
        ("Sure:\n```python\ndef square(x):\n    return x * x\n```\nThat is it.", SQUARE, 1.0, "the tests pass"),
        ("def square(x): return x", SQUARE, 0.0, "AssertionError"),
        ("def square(x): return x * x", [*SQUARE, "assert square(2) == 5"], 0.0, "AssertionError"),
        ("I do not know", SQUARE, 0.0, "SyntaxError"),
        ("", SQUARE, 0.0, "NameError"),
        ("raise SystemExit(0)", SQUARE, 0.0, "ended by itself"),
        ("import os; os._exit(0)", SQUARE, 0.0, "ended by itself with 0"),
        ("while True: pass", SQUARE, 0.0, "the code takes more than 1 s"),
        ("import time; time.sleep(60)", SQUARE, 0.0, "the code takes more than 1 s"),
        ("x = 'x' * (1 << 30)", SQUARE, 0.0, "MemoryError"),
        ("open('big', 'w').write('x' * (1 << 22))", SQUARE, 0.0, "the tests fail"),
        ("import os; assert 'SUMS_KEY' not in os.environ\ndef square(x): return x * x", SQUARE, 1.0, "the tests pass"),
        (
            "import subprocess; subprocess.Popen(['sleep', '50'])\ndef square(x): return 9",
            SQUARE,
            1.0,
            "the tests pass",
        ),
    ],
)
def test_code_is_run_within_limits(answer: str, tests: list[str], score: float, why: str) -> None:
    case = EvalCase(id="c", question="Write square.", reference=tuple(tests))
    found = Code(seconds=1, megabytes=256).score(answer, case)
    assert (found.score, why in found.why) == (score, True), found.why


def test_code_sees_no_network_where_the_system_can_take_it_away() -> None:
    if subprocess.run(["unshare", "--map-root-user", "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody unshare the network")
    with CountingServer() as server:
        answer = f"import urllib.request as u\nu.urlopen('{server.url}', timeout=1)"
        found = Code(seconds=5).score(answer, EvalCase(id="c", question="?", reference=("pass",)))
    assert "Error" in found.why


def test_code_is_not_run_unless_asked_for(lab: Lab) -> None:
    cases = [{"id": "c", "question": "Say (lambda:0)()", "reference": "assert True"}]
    suite = own_suite(lab, head=HEAD + 'scorer = { name = "code", seconds = 5 }\n', cases=cases)
    said = "own/suite.toml: `suite.scorer`: runs code that models wrote; expected --allow-code on the command line"
    for command in ("validate", "run"):
        assert said in lab.run(command, suite, code=2).stderr
    assert row(lab.report("run", suite, "--allow-code"), "plan")["score"] == 1.0
    own_suite(lab, head=HEAD + 'scorer = { name = "code", second = 5 }\n', cases=cases)
    assert "unknown key `second`" in lab.run("validate", suite, "--allow-code", code=2).stderr
