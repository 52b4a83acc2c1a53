"""Evals of cascades, adaptive width, confidence and abstaining: fitted on train alone, kept, resumed, told."""

# pytest leaves the types of `approx` open: pyright: reportUnknownMemberType=false

from __future__ import annotations

import importlib.util
import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from math import log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import Orchestrator
from orchestrator.confidence import Calibration, calibrated, read_calibration, way_named
from orchestrator.evals.calibrating import Way, calibrate, decide, learnt
from orchestrator.evals.curves import Point, hull, quality_at
from orchestrator.evals.systems import Result, System, summarise
from orchestrator.providers import read_recorded
from orchestrator.routers import CascadeRouter, WidthRouter
from tests.commands import orchestrate
from tests.conftest import ROOT
from tests.eval_world import KEY, Lab, asking_suite, lured, plain, recorded_file, row, suite_folder, write_lines
from tests.experts import giving
from tests.wire.server import WireServer, whole
from tests.wire.vendors import Json, chat

ARC = ROOT.parent / "shared" / "data" / "routerbench_arc.jsonl.gz"
PATIENCE = 60.0
WAYS = {
    "cascade": (["--router", "cascade"], Way(router="cascade")),
    "plan+xauto": (["--analyses", "auto"], Way(analyses="auto")),
}


@pytest.fixture
def lab(child_env: dict[str, str], tmp_path: Path) -> Lab:
    """The command over an empty folder."""
    return Lab(child_env, tmp_path)


@pytest.fixture
def world(lab: Lab) -> Path:
    """Recorded answers of models that err together."""
    return write_lines(lab.folder / "lured.jsonl", lured(120, seed=5))


def kept_fits(lab: Lab, run: str) -> dict[str, dict[str, Any]]:
    """What the settings of an eval say of the confidence of its systems."""
    settings = json.loads((lab.folder / run / "settings.json").read_text(encoding="utf-8"))
    return dict(settings.get("fits") or {})


def fit_of(lab: Lab, run: str, name: str) -> Calibration:
    """The confidence that is kept with an eval."""
    return read_calibration(lab.folder / run / kept_fits(lab, run)[name]["file"])


def only_joint(file: Path) -> Calibration:
    """The joint model of train, and nothing else."""
    recorded = read_recorded(file)
    known = [name for name, case in recorded.cases.items() if case.split == "train"]
    return calibrated([("", 0.5, 0.5)], "p", posterior=learnt(recorded, known))


@pytest.mark.parametrize("name", WAYS)
def test_an_eval_decides_as_the_same_way_fitted_by_hand(lab: Lab, world: Path, name: str) -> None:
    options, way = WAYS[name]
    lab.run("run", world.name, *options, "--out", "run", "--no-traces")
    recorded = read_recorded(world)
    held = [case for case, each in recorded.cases.items() if each.split == "test"]
    by_hand = {each.case: each.decision for each in decide(recorded, way, held, only_joint(world))}
    done = {each["case"]: each for each in lab.results("run")}
    assert set(done) == set(held)
    for case, decision in by_hand.items():
        found = done[case]
        assert (found["answer"], found["support"], found["expert_calls"]) == (
            *(decision.answer, list(decision.support)),
            decision.expert_calls,
        )
        assert float(found["cost_usd"]) == pytest.approx(float(decision.cost_usd or 0))
    assert len({each["expert_calls"] for each in done.values()}) > 1
    fitted = fit_of(lab, "run", name)
    assert fitted.posterior == only_joint(world).posterior
    assert fitted.system == way.name
    assert all(0 <= each["confidence"] <= 1 for each in done.values())


def script(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - what stands in a file
    """A script as a module, for the time of a test."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec.loader.exec_module(module)
    return module


FEW = """
from dataclasses import replace

from orchestrator.providers import read_recorded, repriced


def few(path):
    whole = read_recorded(path)
    names = sorted(whole.cases)
    train = [name for name in names if whole.cases[name].split == "train"][:150]
    test = [name for name in names if whole.cases[name].split == "test"][:40]
    return repriced(replace(whole, cases={name: whole.cases[name] for name in (*train, *test)}), {})
"""


@pytest.mark.skipif(not ARC.is_file(), reason=f"the recorded outcomes are not at {ARC}")
def test_real_answers_are_decided_on_as_the_bench_decides(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lab.folder / "arc"
    head = f'[suite]\nrecorded = ["{ARC}"]\nloader = "few.py:few"\n[[systems]]\nrouter = "cascade"\n'
    suite_folder(folder, head + '[[systems]]\nanalyses = "auto"\n', [], few__py=FEW)
    lab.run("run", "arc", "--out", "run", "--no-traces")
    bench = script(ROOT / "bench" / "merging.py", monkeypatch)
    recorded = script(folder / "few.py", monkeypatch).few(ARC)
    known = [name for name, case in recorded.cases.items() if case.split == "train"]
    fit = calibrated([("", 0.5, 0.5)], "p", posterior=learnt(recorded, known))
    made = bench.Bench(recorded, [bench.Fold(recorded, fit, ())] * 5)
    ways: dict[str, Callable[[Calibration], object]] = {
        "cascade": lambda fitted: CascadeRouter(None, fitted),
        "plan+xauto": WidthRouter,
    }
    for name, make in ways.items():
        figures = bench.routed(made, name, make, 20.0)
        at = {case: place for place, case in enumerate(figures.cases)}
        done = [each for each in lab.results("run") if each["system"] == name]
        assert len(done) == 40
        for each in done:
            place = at[each["case"]]
            assert bench.label(each["answer"], recorded.cases[each["case"]].question) == bench.label(
                figures.answers[place], recorded.cases[each["case"]].question
            )
            assert each["expert_calls"] == figures.calls[place]
            assert float(each["cost_usd"]) == pytest.approx(figures.costs[place])


def test_no_outcome_of_test_reaches_what_is_fitted(lab: Lab) -> None:
    rows = lured(120, seed=3)
    blind = [
        {**each, "outcomes": {who: {**got, "score": 1 - got["score"]} for who, got in each["outcomes"].items()}}
        if each["split"] == "test"
        else each
        for each in rows
    ]
    fits: list[Mapping[str, Any]] = []
    choices: list[list[tuple[object, ...]]] = []
    for name, found in (("seen", rows), ("blind", blind)):
        (lab.folder / name).mkdir()
        file = write_lines(lab.folder / name / "same.jsonl", found)
        lab.run("run", str(file), "--router", "cascade", "--out", f"{name}-run", "--no-traces", "--limit", "30")
        (fit,) = kept_fits(lab, f"{name}-run").values()
        fits.append({part: fit[part] for part in ("data_sha256", "n")})
        done = sorted(lab.results(f"{name}-run"), key=lambda each: each["case"])
        choices.append([(each["case"], each["answer"], each["consulted"], each["confidence"]) for each in done])
    assert fits[0] == fits[1]
    assert choices[0] == choices[1]
    assert fits[0]["n"] == 60


def gain(report: Mapping[str, Any], name: str) -> float:
    """How far a system is above the mixes of single models at its cost."""
    singles = [each for each in report["systems"] if each["name"].startswith("model:")]
    corners = hull([Point(each["cost_per_question"], each["score"]) for each in singles])
    ours = row(report, name)
    return float(ours["score"]) - quality_at(corners, ours["cost_per_question"])


def test_shuffled_train_labels_bring_the_gain_to_nothing(lab: Lab) -> None:
    suite = '[suite]\nrecorded = ["world.jsonl"]\n[[systems]]\nrouter = "cascade"\n[[systems]]\nanalyses = "auto"\n'
    gains: list[dict[str, float]] = []
    for deal in (None, 0, 1):
        folder = suite_folder(lab.folder / f"deal-{deal}", suite, [])
        write_lines(folder / "world.jsonl", lured(400, seed=5, shuffled=deal))
        report = lab.report("run", folder.name, "--out", f"run-{deal}", "--no-traces")
        gains.append({name: gain(report, name) for name in WAYS})
        if deal is None:
            assert report["verdict"].startswith("route: ")
            assert "it has no placebo: it goes by the replies" in report["verdict"]
    for name in WAYS:
        assert gains[0][name] > 0.02
        assert (gains[1][name] + gains[2][name]) / 2 < 0.005


def killed(lab: Lab, when: Callable[[], bool], *args: str) -> int:
    """A command that is killed once something holds; its exit code."""
    with lab.started(*args) as process:
        end = time.monotonic() + PATIENCE
        while not when() and process.poll() is None:
            assert time.monotonic() < end, "it never comes so far"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    return process.returncode


def lines_of(path: Path) -> int:
    """Lines that are on disk."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_and_resumed_it_goes_by_what_was_fitted_first(lab: Lab, world: Path) -> None:
    args = ("run", world.name, "--router", "cascade:0.9", "--abstain-below", "0.6")
    name = "cascade:0.9+abstain:0.6"
    whole = lab.report(*args, "--out", "whole")
    run = lab.folder / "run"
    assert killed(lab, (run / "settings.json").exists, *args, "--out", "run") == -signal.SIGKILL
    assert not lines_of(run / "results.jsonl")
    assert killed(lab, lambda: lines_of(run / "results.jsonl") > 4, "resume", "run") == -signal.SIGKILL
    before = kept_fits(lab, "run")[name]
    text = (run / before["file"]).read_bytes()
    ended = lab.run("resume", "run", "--json")
    assert "fitting" not in ended.stderr
    assert kept_fits(lab, "run")[name] == before == kept_fits(lab, "whole")[name]
    assert (run / before["file"]).read_bytes() == text
    assert plain(json.loads(ended.stdout)) == plain(whole)


def test_a_confidence_that_was_changed_is_noticed(lab: Lab, world: Path) -> None:
    lab.run("run", world.name, "--router", "cascade", "--out", "run", "--no-traces", "--limit", "5")
    (fit,) = kept_fits(lab, "run").values()
    path = lab.folder / "run" / fit["file"]
    lab.run("verify", "run")
    path.write_text(path.read_text(encoding="utf-8").replace('"n": 60', '"n": 61'), encoding="utf-8")
    assert "its confidence" in lab.run("verify", "run", code=1).stderr
    for command_ in (["resume", "run"], ["replay", "run", "--out", "again"]):
        assert "was changed, or is gone" in lab.run(*command_, code=2).stderr
    assert "was changed" in lab.run("report", "run", code=2).stderr
    path.unlink()
    assert "was changed, or is gone" in lab.run("retry", "run", code=2).stderr


def test_a_replay_goes_by_the_same_confidence(lab: Lab, world: Path) -> None:
    lab.run("run", world.name, "--router", "cascade", "--out", "run", "--no-traces")
    again = lab.run("replay", "run", "--out", "again")
    assert "fitting" not in again.stderr
    assert kept_fits(lab, "again") == kept_fits(lab, "run")
    before, after = ({each["case"]: each["answer"] for each in lab.results(run)} for run in ("run", "again"))
    assert before == after
    other = lab.run("replay", "run", "--router", "cascade:0.5", "--out", "other")
    assert "fitting cascade:0.5 x1 on 60 train cases" in other.stderr
    assert set(kept_fits(lab, "other")) >= {"cascade:0.5"}
    for command_ in (["report", "again"], ["rescore", "again"], ["show", "again"], ["compare", "run", "again"]):
        lab.run(*command_)


HEAD = '[suite]\nrecorded = ["lured.jsonl"]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[systems]]\nanalyses = "auto:0"\n', "`systems.0.analyses`: cannot be 'auto:0'; expected a whole number"),
        ("[[systems]]\nanalyses = 0\n", "`systems.0.analyses`: cannot be 0"),
        ("[[systems]]\nanalyses = true\n", "`systems.0.analyses`: cannot be True"),
        ("[[systems]]\nanalyses = 1.5\n", "`systems.0.analyses`: cannot be 1.5"),
        ('[[systems]]\nanalyses = "many"\n', "expected a whole number of at least 1, auto, or auto:K"),
        (
            '[[systems]]\nrouter = "llm"\nanalyses = "auto"\n',
            "`systems[0].analyses`: `auto` goes with the router `plan`",
        ),
        ('[[systems]]\nrouter = "cascade:2"\n', "cannot be 2; expected a number from 0 to 1"),
        ('[[systems]]\nrouter = "casade"\n', "did you mean `cascade`?"),
        ("[[systems]]\nabstain_below = 2\n", "`systems.0.abstain_below`: cannot be"),
        ("[[systems]]\nabstain_below = 0.5\n", "`systems[0].abstain_below`: there is no confidence to go by"),
        ('confidence = "none"\nabstain_below = 0.5\n', "`systems[0].abstain_below`: there is no confidence to go by"),
        ('[[systems]]\nconfidense = "fit"\n', "did you mean `confidence`?"),
        ('confidence = "no.json"\n', "no.json: cannot be read: No such file"),
        ('confidence = ""\n', "`suite.confidence`: cannot be ''"),
        ("[[systems]]\n[[systems]]\n", "`systems[1]`: two systems are called `plan`"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(lab: Lab, world: Path, text: str, said: str) -> None:
    suite_folder(lab.folder / "own", HEAD + text, [])
    (lab.folder / "own" / "lured.jsonl").write_bytes(world.read_bytes())
    for command_ in (["validate", "own"], ["run", "own", "--out", "run"]):
        found = lab.run(*command_, code=2).stderr
        assert said in found
        assert "own/" in found
    assert not (lab.folder / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--split", "all", "--router", "cascade"],
            "is fitted on the train split, and --split all would hold it to that",
        ),
        (["--split", "train", "--analyses", "auto"], "and --split train would hold it to that"),
        (["--split", "all", "--confidence", "fit"], "expected --split test"),
        (["--abstain-below", "0.5"], "`systems[0].abstain_below`: there is no confidence to go by"),
        (["--analyses", "some"], "'some' is no whole number of at least 1, 'auto' or 'auto:K'"),
        (["--router", "cascade:x"], "expected cascade, or cascade:P, P 0 to 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(lab: Lab, world: Path, options: list[str], said: str) -> None:
    assert said in lab.run("run", world.name, *options, "--out", "run", code=2).stderr
    assert not (lab.folder / "run").exists()


@pytest.mark.parametrize("options", [["--router", "cascade"], ["--analyses", "auto"], ["--analyses", "auto:3"]])
def test_where_no_responses_are_recorded_nobody_goes_by_replies(lab: Lab, options: list[str]) -> None:
    file = recorded_file(lab.folder / "rec.jsonl", 12, responses=False)
    assert "needs texts: the recorded outcomes hold no responses" in lab.run("run", file.name, *options, code=2).stderr


def test_nothing_fitted_is_said_to_be_nothing(lab: Lab, world: Path) -> None:
    ended = lab.run("run", world.name, "--router", "cascade", "--confidence", "none", "--split", "all", "--out", "run")
    assert "cascade+unfitted: nothing is fitted, it goes by skills alone" in ended.stderr
    assert kept_fits(lab, "run") == {}
    assert all(each["confidence"] is None for each in lab.results("run"))


TOOLS = """
def one(question: str) -> str:
    return question.split()[-1]


def two(question: str) -> str:
    return question.split()[-1] if "odd" in question else "2"


def three(question: str) -> str:
    return "2"
"""
POOL = "[pool]\ngoals = ['answer']\n" + "".join(
    f"[agents.{name}]\ntool = 'tools.py:{name}'\nproduces = 'answer'\nskill = {skill}\n"
    for name, skill in (("one", 0.9), ("two", 0.7), ("three", 0.4))
)


def test_experts_that_are_really_asked_go_by_skills_and_it_is_said(lab: Lab) -> None:
    cases = [{"id": f"q{n}", "question": f"{('even', 'odd')[n % 2]} {n}", "reference": f"{n}"} for n in range(8)]
    text = '[suite]\ndata = ["cases.jsonl"]\npool = "pool"\n[[systems]]\nrouter = "cascade"\n'
    text += '[[systems]]\nrouter = "cascade:0.95"\n[[systems]]\nanalyses = "auto"\n[[systems]]\nanalyses = "auto:3"\n'
    suite_folder(lab.folder / "own", text, cases, pool_in_pool__toml=POOL, pool_in_tools__py=TOOLS)
    names = ["cascade", "cascade:0.95", "plan+xauto", "plan+xauto:3"]
    assert json.loads(lab.run("validate", "own", "--json").stdout)["systems"] == names
    ended = lab.run("run", "own", "--out", "run")
    for name in names[:3]:
        assert f"{name}: nothing is fitted, it goes by skills alone" in ended.stderr
    done = {(each["system"], each["case"]): each for each in lab.results("run")}
    assert all(each["error"] is None for each in done.values())
    asked = {name: [done[name, case["id"]]["expert_calls"] for case in cases] for name in names}
    assert asked["plan+xauto:3"] == [2 if n % 2 or n == 2 else 3 for n in range(8)]
    refused = lab.run("run", "own", "--confidence", "fit", code=2).stderr
    assert "there are no recorded outcomes to fit it on; expected a file that `eval calibrate` wrote" in refused


def brute_auroc(pairs: list[tuple[float, float]]) -> float | None:
    """The share of pairs of right and wrong in which right is surer, ties counting half."""
    good, bad = [p for p, score in pairs if score >= 1], [p for p, score in pairs if score < 1]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in good for b in bad]
    return sum(wins) / len(wins) if wins else None


def test_abstaining_is_failing_and_is_counted(lab: Lab, world: Path) -> None:
    files = ["--markdown", "r.md", "--html", "r.html", "--junit", "r.xml"]
    args = ["--analyses", "3", "--prefer", "cheap", "--confidence", "fit", "--abstain-below", "0.35"]
    ended = lab.run("run", world.name, *args, "--out", "run", "--no-traces", *files)
    name = "plan+x3+cheap+fitted+abstain:0.35"
    report = lab.report("report", "run")
    ours, done = row(report, name), lab.results("run")
    shown = json.loads(lab.run("show", "run", "--json").stdout)
    scores = {each["case"]: each["score"] for each in shown}
    held_back = [each for each in done if each["abstained"]]
    given_ = [each for each in done if not each["abstained"]]
    assert 0 < len(held_back) < len(done)
    assert all(each["confidence"] < 0.35 and each["status"] == "escalated" for each in held_back)
    assert all(each["confidence"] >= 0.35 and each["status"] == "answered" for each in given_)
    assert all(scores[each["case"]] == 0 for each in held_back)
    assert all("escalated: abstained" in each["why"] for each in shown if each["abstained"])
    sure = ours["sureness"]
    assert (sure["abstained"], sure["answered"], sure["n"]) == (len(held_back), len(given_), len(given_))
    assert sure["coverage"] == pytest.approx(len(given_) / len(done))
    assert ours["score"] == pytest.approx(sure["coverage"] * sure["score_answered"])
    pairs = [(each["confidence"], scores[each["case"]]) for each in given_]
    assert sure["auroc"] == pytest.approx(brute_auroc(pairs))
    assert 0 <= sure["ece"] <= 1
    assert ours["errors"] == 0
    told = f"abstained {len(held_back)}; answered {len(given_)} of {len(done)}"
    assert f"{name}: {told}" in ended.stdout
    figures = [f"{sure[part]:.4f}" for part in ("score_answered", "ece", "auroc")]
    assert all(each in ended.stdout for each in figures)
    pages = {file: (lab.folder / file).read_text(encoding="utf-8") for file in ("r.md", "r.html", "r.xml")}
    assert "## Confidence" in pages["r.md"]
    assert 'id="confidence"' in pages["r.html"]
    assert all(each in pages[file] for file in ("r.md", "r.html") for each in figures)
    assert pages["r.xml"].count("escalated: abstained") >= len(held_back)
    plain_ = lab.report("run", world.name, "--analyses", "3", "--out", "plain", "--no-traces")
    assert all("sureness" not in each for each in plain_["systems"])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["answered", "abstained", "error", "escalated"]),
            st.floats(0, 1),
            st.none() | st.floats(0, 1),
        ),
        min_size=1,
    )
)
def test_figures_of_sureness_hang_together(rows: list[tuple[str, float, float | None]]) -> None:
    results = tuple(
        Result(
            case=f"{n}",
            score=score if kind == "answered" else 0.0,
            cost=0.0,
            error=kind == "error",
            answered=kind == "answered",
            abstained=kind == "abstained",
            confidence=None if kind == "error" else sure,
        )
        for n, (kind, score, sure) in enumerate(rows)
    )
    found = summarise(System(name="s", kind="router", results=results))
    says = [each for each in results if each.answered and each.confidence is not None]
    assert (found.sureness is None) == (not says and not any(each.abstained for each in results))
    if found.sureness is not None:
        sure = found.sureness
        assert found.score == pytest.approx(sure.coverage * (sure.score_answered or 0.0), abs=1e-9)
        assert sure.n == len(says)
        assert sure.abstained + sure.answered <= len(results)
        assert sure.ece is None or 0 <= sure.ece <= 1
        assert sure.auroc == pytest.approx(brute_auroc([(each.confidence or 0.0, each.score) for each in says]))


def test_what_goes_by_replies_has_no_placebo(lab: Lab, world: Path) -> None:
    options = ["--router", "cascade", "--router", "plan", "--out", "run", "--no-traces", "--limit", "20"]
    ended = lab.run("run", world.name, *options)
    assert "left out: placebo:cascade: it goes by the replies that came" in ended.stderr
    names = {each["name"] for each in lab.report("report", "run")["systems"]}
    assert "placebo:plan" in names
    assert "placebo:cascade" not in names
    assert {"oracle", "best-single", "zero-router", "vote", "model:a"} <= names
    wide = lab.run("run", world.name, "--analyses", "3", "--out", "wide", "--no-traces", "--limit", "20")
    assert "left out: placebo:plan+x3: it asks several experts" in wide.stderr


def test_a_confidence_of_another_way_is_said_to_be_that(lab: Lab, world: Path) -> None:
    lab.run("calibrate", world.name, "--analyses", "3", "--merge", "vote", "--out", "x3.json")
    said = "the confidence was fitted for decisions of `plan x3`"
    run = ["run", world.name, "--confidence", "x3.json", "--no-traces", "--limit", "4"]
    assert said not in lab.run(*run, "--analyses", "3", "--out", "same").stderr
    other = lab.run(*run, "--router", "cascade", "--out", "other").stderr
    assert f"cascade+x3.json: {said}: in those of `cascade x1` it may be off" in other
    assert said in lab.run("report", "other").stderr
    told_by_an_eval = lab.run(
        "run", world.name, "--analyses", "2", "--split", "train", "--out", "train", "--limit", "9"
    )
    assert "fitting" not in told_by_an_eval.stderr
    lab.run("calibrate", "train", "--source", "agreement", "--out", "x2.json")
    assert read_calibration(lab.folder / "x2.json").system == "plan x2"
    (fit,) = kept_fits(lab, "other").values()
    assert (lab.folder / "other" / fit["file"]).read_bytes() == (lab.folder / "x3.json").read_bytes()
    asked = ["--recorded", str(world), "--case", "0", "--confidence", str(lab.folder / "x3.json"), "--no-trace"]
    for options, told in (
        (["--analyses", "3"], False),
        (["--analyses", "auto"], True),
        (["--router", "cascade:0.5"], True),
    ):
        ended = orchestrate("run", *asked, *options, env=lab.env, cwd=lab.folder)
        assert (said in ended.stderr) == told, ended.stderr
    (lab.folder / "x3.json").unlink()
    for command_ in (["resume", "other"], ["rescore", "other"], ["replay", "other", "--out", "again"]):
        lab.run(*command_)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"analyses": 3}, False),
        ({"analyses": 3, "merge": "vote", "router": "plan"}, False),
        ({"analyses": 2}, True),
        ({"analyses": "auto"}, True),
        ({"analyses": 3, "merge": "weighted"}, True),
        ({"router": CascadeRouter(0.5)}, True),
    ],
)
def test_an_orchestrator_warns_of_a_confidence_of_another_way(
    how: dict[str, Any], told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fitted = calibrated([("", 0.5, 0.5)], "agreement", system="plan x3")
    with caplog.at_level(logging.WARNING, logger="orchestrator"):
        made = Orchestrator([giving("a", "A"), giving("b", "A"), giving("c", "B")], confidence=fitted, **how)
    assert ("fitted for decisions of `plan x3`" in caplog.text) == told == (made.misfit is not None)


def test_a_confidence_that_knows_nobody_is_of_no_use(lab: Lab, world: Path) -> None:
    lab.run("calibrate", world.name, "--analyses", "3", "--out", "x3.json")
    strangers = recorded_file(lab.folder / "rec.jsonl", 12)
    refused = lab.run("run", strangers.name, "--analyses", "3", "--confidence", "x3.json", "--out", "r", code=2)
    assert "knows none of the experts" in refused.stderr
    asked = ["--recorded", str(strangers), "--case", "c001", "--confidence", str(lab.folder / "x3.json")]
    ended = orchestrate("run", *asked, env=lab.env, cwd=lab.folder)
    assert ended.returncode == 2
    assert "none of the experts is known to it" in ended.stderr


def test_a_threshold_is_fitted_over_decisions_that_keep_to_it(world: Path) -> None:
    recorded = read_recorded(world)
    never, always = (calibrate(recorded, Way(router=f"cascade:{line}"), "posterior") for line in ("0", "1"))
    assert never.data_sha256 != always.data_sha256
    assert (never.system, always.system) == ("cascade:0 x1", "cascade:1 x1")
    wide, named = (calibrate(recorded, Way(router=router, analyses=3), "agreement") for router in (None, "plan"))
    assert wide == named


@given(st.sampled_from(["plan", "cascade", "cascade:0.90", "mine.py:first"]), st.integers(1, 9))
def test_a_way_has_one_name_however_it_is_asked_for(router: str, width: int) -> None:
    usual = "first" if width == 1 else "vote"
    assert (way_named(router, None, width) == way_named(router, usual, width)) == (router == "plan")
    assert way_named(router, "weighted", width) != way_named(router, None, width)
    assert way_named("/somewhere/else/mine.py:first", None, width) == way_named("mine.py:first", None, width)
    assert way_named("cascade:0.9", None, width) == way_named("cascade:0.90", None, width)


def test_a_suites_table_speaks_for_its_systems(lab: Lab, world: Path) -> None:
    text = 'confidence = "fit"\nabstain_below = 0.5\n[[systems]]\nanalyses = 2\n'
    suite_folder(lab.folder / "own", HEAD + text + "[[systems]]\nabstain_below = 0.9\n", [])
    (lab.folder / "own" / "lured.jsonl").write_bytes(world.read_bytes())
    systems = json.loads(lab.run("validate", "own", "--json").stdout)["systems"]
    assert systems == ["plan+x2+fitted+abstain:0.5", "plan+fitted+abstain:0.9"]
    lab.run("run", "own", "--router", "cascade", "--out", "other", "--limit", "3")
    assert set(kept_fits(lab, "other")) == {"cascade+fitted+abstain:0.5"}
    lab.run("run", "own", "--abstain-below", "0.1", "--out", "low", "--limit", "3")
    assert set(kept_fits(lab, "low")) == {"plan+x2+fitted+abstain:0.1", "plan+fitted+abstain:0.1"}
    twice = HEAD + "".join(f'[[systems]]\nrouter = "cascade"\nabstain_below = {line}\n' for line in (0.2, 0.4))
    (lab.folder / "own" / "suite.toml").write_text(twice, encoding="utf-8")
    assert lab.run("run", "own", "--out", "twice", "--limit", "3").stderr.count("fitting") == 1
    assert len({fit["file"] for fit in kept_fits(lab, "twice").values()}) == 1 < len(kept_fits(lab, "twice"))
    schema = json.loads(lab.run("validate", "--schema").stdout)
    width = schema["$defs"]["Candidate"]["properties"]["analyses"]["anyOf"]
    assert [each["type"] for each in width] == ["integer", "string"]
    assert {"confidence", "abstain_below"} <= set(schema["$defs"]["_Head"]["properties"])


@pytest.mark.parametrize("asked", ['reply = "analysis"', 'confidence = "yes-no"'])
def test_what_experts_say_of_their_replies_is_calibrated_on_an_eval(asked: str, lab: Lab) -> None:
    sure, wrong = 0.9, 0.3
    lab.env = {**lab.env, "SUMS_KEY": KEY}
    with WireServer() as server:
        suite = asking_suite(lab.folder / "suite", server.openai_url, 12)
        pool, cases = suite / "pool" / "pool.toml", suite / "cases.jsonl"
        told = pool.read_text(encoding="utf-8").replace("[agents.sums]", f"logprobs = true\n\n[agents.sums]\n{asked}")
        pool.write_text(told, encoding="utf-8")
        lines = [{**json.loads(line), "split": "train"} for line in cases.read_text(encoding="utf-8").splitlines()]
        cases.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        for number in range(12):
            right = number % 2 == 0
            answer, share = str(7 * number + (not right)), sure if right else wrong
            if "analysis" in asked:
                stated: Json = {"answer": answer, "evidence": [], "eliminated": [], "confidence": share}
                server.script(whole(chat(json.dumps(stated))))
            else:
                told_yes = chat("Yes", finish="length")
                listed = [{"token": "Yes", "logprob": log(share)}, {"token": "No", "logprob": log(1 - share)}]
                told_yes["choices"][0]["logprobs"] = {"content": [{"token": "Yes", "top_logprobs": listed}]}
                server.script(whole(chat(answer)), whole(told_yes))
        options = ["--split", "train", "--out", "done", "--max-cost", "1", "-j", "1"]
        lab.run("run", str(suite), "--router", "plan", "--no-singles", *options)
    lab.run("calibrate", "done", "--source", "verbalised", "--out", "fit.json")
    fit = read_calibration(lab.folder / "fit.json")
    assert (fit.source, fit.n) == ("verbalised", 12)
    assert {round(each["stated"]["sums"], 6) for each in lab.results("done")} == {sure, wrong}
    worth = dict(fit.knots)
    assert worth[max(worth)] - worth[min(worth)] > 0.6
    assert [score for score, _ in sorted(fit.knots)] == pytest.approx([wrong, sure])
    refused = lab.run("calibrate", "done", "--source", "p", "--out", "no.json", code=2).stderr
    assert "--source agreement or --source verbalised" in refused
    assert "no decision has a score by `agreement`" in lab.run("calibrate", "done", "--out", "no.json", code=2).stderr
