"""What evals say of their figures: no word beyond what interval and test show, and what a newcomer has to be told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.confidence import way_named
from orchestrator.evals.comparison import compare
from orchestrator.evals.stats import Interval
from orchestrator.evals.systems import Result, System
from orchestrator.evals.verdict import Evidence, rival_of, verdict
from tests.commands import orchestrate
from tests.eval_world import KEY, PRICE, Lab, row, suite_folder
from tests.wire.server import WireServer, whole
from tests.wire.vendors import call, chat


@pytest.fixture
def lab(child_env: dict[str, str], tmp_path: Path) -> Lab:
    """The command over an empty folder."""
    return Lab(child_env, tmp_path)


def ran(name: str, right: range, cost: float = 0.001, cases: int = 40, **more: Any) -> System:  # noqa: ANN401 - fields
    """A system that is right on these cases and wrong on the others."""
    results = [
        Result(case=f"{n:03}", score=float(n in right), cost=cost * (1 + n % 3 / 10), asked={name: 1.0})
        for n in range(cases)
    ]
    return System(name=name, kind="router", results=tuple(results), **more)


def beside(gained: int) -> Evidence:
    """A router that is right where the best single model is, and on a few cases more."""
    found = compare(ran("mine", range(20 + gained)), ran("best", range(20)))
    return Evidence(
        router="mine",
        best_single="best",
        beside_best=found,
        over_zero=None,
        over_zero_curve=None,
        placebo=None,
        placebo_in_task=None,
    )


@pytest.mark.parametrize(("gained", "route"), [(0, False), (3, False), (4, False), (5, False), (6, True), (12, True)])
def test_higher_is_said_where_test_and_interval_agree(gained: int, route: bool) -> None:
    found = beside(gained)
    said = verdict([found])
    assert said.route is route
    assert ("scores higher than" in said.text) is route
    assert f"p {found.beside_best.p:.3f}" in said.text
    if gained == 5:
        assert found.beside_best.ci.low > 0
        assert found.beside_best.p == 0.0625
        assert said.text.startswith("do not route: mine does not score measurably higher than best, the best single")
        assert found.beside_best.words.startswith("mine and best are not distinguishable on 40 cases")


def test_a_test_that_goes_beyond_its_interval_names_no_winner() -> None:
    found = compare(ran("mine", range(26)), ran("best", range(20)))
    assert found.winner == "mine"
    doubted = replace(found, ci=Interval(-0.01, found.ci.high))
    assert doubted.winner is None
    assert "not distinguishable" in doubted.words


def test_several_routers_are_judged_with_the_p_that_the_report_shows() -> None:
    assert verdict([beside(6)]).route
    several = verdict([beside(6), beside(0), beside(0)])
    assert not several.route
    assert "p 0.094" in several.text


def test_fewer_cases_than_there_were_are_never_said_to_be_needed() -> None:
    found = compare(ran("mine", range(25)), ran("best", range(20)))
    assert found.winner is None
    assert found.needed is not None
    assert (f"{found.needed} cases would show" in found.words) is (found.needed > found.n)


def test_the_cheapest_baseline_that_is_as_good_is_the_rival() -> None:
    router = ran("mine", range(30), cost=0.01)
    good, dear = ran("good", range(29), cost=0.004), ran("dear", range(30), cost=0.009)
    bad, draw = ran("bad", range(5), cost=0.001), ran("draw", range(30), cost=0.0001, expected=True)
    known = ran("known", range(30), cost=0.0002, hindsight=True)
    found = rival_of(router, [draw, known, dear, bad, good])
    assert found is not None
    assert found.beside.a == "good"
    assert found.share == pytest.approx(0.4)  # pyright: ignore[reportUnknownMemberType]
    assert rival_of(router, [bad, draw, known, ran("same", range(30), cost=0.01)]) is None
    unpriced = System(name="u", kind="router", results=tuple(Result(case="001", score=1.0, cost=None) for _ in "a"))
    assert rival_of(unpriced, [good]) is None
    assert rival_of(router, [unpriced]) is None


def test_a_verdict_claims_no_more_than_the_table_above_it(lab: Lab) -> None:
    found = lab.report("run", "recorded_demo", "--analyses", "auto", "--confidence", "fit", "--out", "run")
    assert row(found, "plan+xauto+fitted")["sureness"]["auroc"] < 0.5
    worse = "plan+xauto+fitted: its confidence ranks worse than chance (AUROC 0."
    assert worse in lab.run("report", "run", "--markdown", "report.md").stderr
    assert worse in (lab.folder / "report.md").read_text("utf-8").replace("\\", "")
    (beside_best,) = (each for each in found["comparisons"] if each["b"] == "best-single")
    assert 0.05 < beside_best["p"] < 0.07
    assert beside_best["ci"]["low"] > 0
    assert found["verdict"].startswith(
        "do not route: plan+xauto+fitted does not score measurably higher than demo-large"
    )
    ours, theirs = row(found, "plan+xauto+fitted"), row(found, "task-means")
    share = theirs["cost_usd"] / ours["cost_usd"]
    assert (
        f"; task-means is not measurably worse than plan+xauto+fitted at {share:.0%} of its price: " in found["verdict"]
    )


def test_a_baseline_that_scores_higher_for_less_is_called_that() -> None:
    found = replace(beside(6), rival=rival_of(ran("mine", range(10), cost=0.01), [ran("good", range(30))]))
    assert "; good scores higher than mine at 10% of its price: score +0.5000" in verdict([found]).text


MIND = """
[pool]
goals = ["answer"]
router = "mind"
"""
STEPS = {"mind": ("2.0", None), "small": ("0.1", 0.6), "large": ("5.0", 0.9)}
"""USD per million tokens, and how often an expert of the model is right."""


def stepped_suite(folder: Path, url: str, more: str = "") -> Path:
    """A suite over a model that routes, and a cheap and a dear expert."""
    pool = MIND
    for name, (usd, skill) in STEPS.items():
        price, server = PRICE.replace("2.0", usd), f'base_url = "{url}"\nkey_env = "SUMS_KEY"'
        pool += f'\n[models.{name}]\nid = "{name}"\nprovider = "openai"\n{server}\nmax_output = 64\n{price}\n'
        pool += f'[agents.{name}]\nmodel = "{name}"\nskill = {skill}\n' if skill else ""
    cases = [{"id": "q", "question": "What is 7 times 6?", "reference": "42"}]
    suite = f'[suite]\nname = "steps"\ndata = ["cases.jsonl"]\npool = "pool"\nscorer = "number"\n{more}'
    return suite_folder(folder, suite, cases, pool_in_pool__toml=pool)


def scripted(server: WireServer) -> None:
    """The model asks for the dear expert; the cheap one is there."""
    asks = call("c1", "large", '{"query": "7 times 6"}')
    server.script(whole(chat(calls=[asks], finish="tool_calls")), whole(chat("42")), model="mind")
    server.script(whole(chat("42")), model="small")


@pytest.mark.parametrize("router", ["llm+cascade:0.5", "mind+cascade:0.5"])
@pytest.mark.parametrize("told", ["--router", "systems"])
def test_a_cascade_serves_the_steps_of_a_model(lab: Lab, router: str, told: str) -> None:
    lab = replace(lab, env={**lab.env, "SUMS_KEY": KEY})
    with WireServer() as server:
        scripted(server)
        given = ["--router", router] if told == "--router" else []
        more = "" if given else f'[[systems]]\nrouter = "{router}"\n'
        suite = stepped_suite(lab.folder / "suite", server.openai_url, more)
        report = lab.report("run", str(suite), *given, "--no-singles", "--max-cost", "1", "--out", "run")
    (done,) = lab.results("run")
    assert (done["system"], done["consulted"], done["control_calls"]) == (router, ["small"], 2)
    assert row(report, router)["score"] == 1.0
    assert row(lab.report("report", "run"), router)["score"] == 1.0


def test_a_cascade_without_a_model_is_refused_as_the_model_is(lab: Lab) -> None:
    for router in ("llm", "llm+cascade", "llm+cascade:0.5"):
        refused = lab.run("run", "recorded_demo", "--router", router, code=2).stderr
        assert "`systems[0].router`: the pool `outcomes.jsonl` names no model for it" in refused
    assert "cannot be 2; expected" in lab.run("run", "recorded_demo", "--router", "llm+cascade:2", code=2).stderr
    unknown = lab.run("run", "recorded_demo", "--router", "recorded:demo-larg+cascade", code=2).stderr
    assert "did you mean `recorded:demo-large`?" in unknown


def test_a_way_is_called_the_same_however_its_line_is_written() -> None:
    assert way_named("llm+cascade:0.50") == "llm+cascade:0.5 x1"
    assert way_named("recorded:large+cascade") == "large+cascade x1"
    assert way_named("cascade:.50") == "cascade:0.5 x1"


SLOW = """
from orchestrator import expert


@expert(produces="answer")
def slow(question: str) -> str:
    \"\"\"Says the last word.\"\"\"
    return question.split()[-1]
"""
SAID = [{"id": f"q{n}", "question": f"Say {n}", "reference": str(n)} for n in range(3)]


def named_pool(folder: Path, pool: str) -> Path:
    """A suite that names its pool."""
    return suite_folder(folder, f'[suite]\nname = "own"\ndata = ["cases.jsonl"]\npool = "{pool}"\n', SAID)


@pytest.mark.parametrize("told", ["--agents", "ORCHESTRATOR_AGENTS"])
def test_a_suite_finds_its_pool_where_run_finds_it(lab: Lab, told: str) -> None:
    place = lab.folder / "ok" / "words"
    place.mkdir(parents=True)
    (place / "pool.toml").write_text('[pool]\ngoals = ["answer"]\n', encoding="utf-8")
    (place / "slow.py").write_text(SLOW, encoding="utf-8")
    suite = named_pool(lab.folder / "suite", "words")
    given = ["--agents", "ok"] if told == "--agents" else []
    there = lab if given else replace(lab, env={**lab.env, told: "ok"})
    assert there.run("validate", str(suite), *given).stdout == "own: valid: 3 test cases, systems plan\n"
    report = there.report("run", str(suite), *given, "--limit", "2", "--out", "run")
    assert (row(report, "plan")["score"], row(report, "model:slow")["n"]) == (1.0, 2)
    assert row(lab.report("resume", "run"), "plan")["score"] == 1.0  # found again without the option
    assert row(lab.report("rescore", "run"), "plan")["score"] == 1.0


def test_a_pool_that_is_not_there_is_told_with_what_works(lab: Lab) -> None:
    suite = named_pool(lab.folder / "suite", "words")
    told = lab.run("validate", str(suite), code=2).stderr
    assert "suite.toml: `suite.pool`: there is no pool `words`; expected one of cloud, local" in told
    assert "--agents DIR, or a folder by its path from the suite" in told


@pytest.mark.parametrize("inside", ["pool", "../slow"])
def test_a_suites_folder_of_functions_is_a_pool(lab: Lab, inside: str) -> None:
    suite = named_pool(lab.folder / "suite", inside)
    place = suite / inside
    place.mkdir()
    (place / "slow.py").write_text(SLOW, encoding="utf-8")
    report = lab.report("run", str(suite), "--out", "run")
    assert (row(report, "plan")["score"], row(report, "model:slow")["score"]) == (1.0, 1.0)


def test_a_function_that_a_table_names_is_there_once(lab: Lab) -> None:
    suite = named_pool(lab.folder / "suite", "pool")
    (suite / "pool").mkdir()
    (suite / "pool" / "slow.py").write_text(SLOW, encoding="utf-8")
    table = '[agents.said]\ntool = "slow.py:slow"\nproduces = "answer"\n'
    (suite / "pool" / "pool.toml").write_text(table, encoding="utf-8")
    report = lab.report("run", str(suite), "--out", "run")
    assert [each["name"] for each in report["systems"]] == ["plan", "model:said"]


BROKEN = """
from orchestrator.protocol import Route, Turn


def broken(view):
    if view.question.text.endswith(("0", "1")):
        raise RuntimeError("no")
    return Turn(()) if view.replies else Turn((Route("slow"),))
"""


GATE = "1 gate does not hold either, which alone is exit 3"


@pytest.mark.parametrize(
    ("gates", "told"),
    [
        ((), "exit 1: 2 cases ended in an error (--allow-errors lets them pass)\n"),
        (("--limit", "1"), "exit 1: 1 case ended in an error (--allow-errors lets it pass)\n"),
        (
            ("--fail-under", "0.9", "--max-cost-per-question", "0"),
            f"exit 1: 2 cases ended in an error (--allow-errors lets them pass); {GATE}\n",
        ),
    ],
)
def test_an_eval_says_why_it_exits_with_1(lab: Lab, gates: tuple[str, ...], told: str) -> None:
    suite = named_pool(lab.folder / "suite", "pool")
    (suite / "pool").mkdir()
    (suite / "pool" / "slow.py").write_text(SLOW, encoding="utf-8")
    (lab.folder / "own.py").write_text(BROKEN, encoding="utf-8")
    run = ("run", str(suite), "--router", "own.py:broken", *gates)
    found = lab.run(*run, "--out", "run", code=1)
    assert found.stderr.endswith(told)
    assert found.stdout.splitlines()[-1].startswith("do not route")
    assert lab.run("rescore", "run", code=1).stderr.endswith(told)
    assert "exit 1" not in lab.run("report", "run").stderr
    code = 3 if "--fail-under" in gates else 0
    passed = lab.run(*run, "--allow-errors", "--json", code=code)
    assert "exit 1" not in passed.stderr
    assert ("gate: " in passed.stderr) is bool(code)


VOTERS = """
from orchestrator import expert

"""
VOTER = """
@expert(produces="answer", skill={skill})
def {name}(question: str) -> str:
    \"\"\"Says {answer}.\"\"\"
    return {answer!r}

"""


def voters(place: Path, answers: str) -> None:
    """A folder of experts who say these letters, the best first."""
    place.mkdir(parents=True)
    made = [VOTER.format(name=f"v{n}", answer=each, skill=0.9 - n / 100) for n, each in enumerate(answers)]
    (place / "voters.py").write_text(VOTERS + "".join(made), encoding="utf-8")


@pytest.mark.parametrize(
    ("answers", "width", "missing", "told"),
    [
        ("ABA", 5, "analyses: 3 of 5", "undecided, and nobody else can be asked"),
        ("AB", 3, "analyses: 2 of 3", "undecided, and nobody else can be asked"),
        ("AA", 5, "analyses: 2 of 5", "undecided, and nobody else can be asked"),
        ("AAA", 5, None, "3 of 5 asked, 0 votes spared"),
        ("AAAB", 5, None, "3 of 5 asked, 1 vote spared"),
        ("AAAAA", 5, None, "3 of 5 asked, 2 votes spared"),
        ("AB", 2, None, "2 of 2 asked, 0 votes spared"),
        ("ABAB", 4, None, "4 of 4 asked, 0 votes spared"),
    ],
)
def test_a_vote_that_runs_out_undecided_is_degraded(
    lab: Lab, answers: str, width: int, missing: str | None, told: str
) -> None:
    voters(lab.folder / "voters", answers)
    pool = ("--agents", "voters", "--pool", "voters")
    ran = orchestrate(
        *("run", "Which letter?", *pool, "--analyses", f"auto:{width}", "--json", "--trace", "t.jsonl"),
        env=lab.env,
        cwd=lab.folder,
    )
    decision = json.loads(ran.stdout)
    assert decision["status"] == ("degraded" if missing else "answered")
    assert [each for each in decision["reasons"] if each.startswith("analyses")] == ([missing] if missing else [])
    thoughts = [json.loads(line).get("thought") for line in (lab.folder / "t.jsonl").read_text("utf-8").splitlines()]
    assert any(told in thought for thought in thoughts if thought)
    replayed = orchestrate("trace", "replay", "t.jsonl", "--json", env=lab.env, cwd=lab.folder)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def test_a_vote_that_runs_out_is_degraded_in_evals_too(lab: Lab) -> None:
    suite = named_pool(lab.folder / "suite", "voters")
    voters(suite / "voters", "ABA")
    lab.run("run", str(suite), "--analyses", "auto:5", "--no-singles", "--out", "run")
    assert {(each["status"], *each["reasons"]) for each in lab.results("run")} == {("degraded", "analyses: 3 of 5")}


def test_a_confidence_that_ranks_as_chance_or_better_is_left_alone(lab: Lab) -> None:
    told = lab.run("run", "recorded_demo", "--router", "cascade", "--out", "run")
    assert "AUROC" in told.stdout
    ranked = row(lab.report("report", "run"), "cascade")["sureness"]["auroc"]
    assert ranked is None or ranked >= 0.5
    assert "worse than chance" not in told.stderr
