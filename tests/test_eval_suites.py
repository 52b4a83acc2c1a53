"""The suites that ship: made anew they are the same, and the pool `local` does what its suite expects of it."""

from __future__ import annotations

import ast
import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from orchestrator import Orchestrator
from orchestrator.chaos.suite import find_suites
from orchestrator.errors import ConfigError
from orchestrator.evals.baselines import Baselines
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.matrix import matrix_of
from orchestrator.evals.suite import Suite, find_suite, load_suite
from orchestrator.evals.systems import LeftOut, summarise
from orchestrator.messages import Decision

ROOT = Path(__file__).parents[1]
MAKER = ROOT / "docs" / "make_local_cases.py"
PARTS = ("make_local_cases", "local_forms", "local_numbers", "local_texts", "demo_outcomes")
MADE = ("local/cases.jsonl", "recorded_demo/outcomes.jsonl")


@pytest.fixture(scope="module")
def local() -> Suite:
    return load_suite(find_suite("local"))


@pytest.fixture(scope="module")
def demo() -> Suite:
    return load_suite(find_suite("recorded_demo"))


def test_the_files_are_what_their_maker_makes(tmp_path: Path, child_env: dict[str, str]) -> None:
    command = [sys.executable, str(MAKER), str(tmp_path)]
    subprocess.run(command, env=child_env, check=True, timeout=60)
    for name in MADE:
        assert (tmp_path / name).read_bytes() == (ROOT / "evals" / name).read_bytes()


@pytest.mark.parametrize("name", PARTS)
def test_references_are_worked_out_without_our_tools(name: str) -> None:
    tree = ast.parse((MAKER.parent / f"{name}.py").read_text(encoding="utf-8"))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    given = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {each.split(".")[0] for each in plain | given}
    assert roots <= {*PARTS, *sys.stdlib_module_names}


def test_the_local_suite_is_large_and_mixed(local: Suite) -> None:
    left_alone = [case for case in local.cases if case.expect.status == "escalated"]
    answerable = [case for case in local.cases if case.expect.status is None]
    tasks = Counter(case.task for case in local.cases)
    assert len(local.cases) == len(left_alone) + len(answerable) >= 200
    assert tasks["unanswerable"] >= 20
    assert {case.task for case in left_alone} == {"unanswerable", "elsewhere"}
    assert all(case.reference for case in answerable)
    assert len({case.id for case in local.cases}) == len({case.question for case in local.cases}) == len(local.cases)
    assert min(tasks[case.task] for case in answerable) >= 20


def fault(suite: Suite, case: EvalCase, decision: Decision) -> str | None:
    """What is wrong with a decision on a case; None where it is as expected."""
    if case.expect.status:
        return None if decision.status == case.expect.status else f"{case.id}: answered {decision.answer}"
    assert suite.scorer
    if decision.status != "answered":
        return f"{case.id}: {decision.status}: {'; '.join(decision.reasons)}"
    scored = suite.scorer.score(str(decision.answer), case)
    return None if scored.score == 1 else f"{case.id}: {scored.why}"


async def faults(suite: Suite) -> list[str]:
    """What is wrong, case by case."""
    orchestrator = Orchestrator(suite.pool, resources=suite.resources, trace=False)
    found = [fault(suite, case, await orchestrator.run(case.asked)) for case in suite.cases]
    return [each for each in found if each]


def test_the_local_pool_answers_what_can_be_answered_and_nothing_else(local: Suite) -> None:
    assert asyncio.run(faults(local)) == []


def test_a_wrong_answer_would_be_seen(local: Suite) -> None:
    assert local.scorer
    for case in local.cases:
        others = [other.reference[0] for other in local.cases if other.reference and other.task != case.task]
        if case.reference:
            right = {local.scorer.score(answer, case).score for answer in case.reference}
            assert right == {1.0}
            assert local.scorer.score(f"{case.reference[0]} or so", case).score == 0
            assert sum(local.scorer.score(answer, case).score for answer in others) < len(others) / 10


def test_the_demo_is_labelled_as_made_up(demo: Suite) -> None:
    assert demo.recorded
    head = (ROOT / "evals" / "recorded_demo" / "suite.toml").read_text(encoding="utf-8")
    assert head.startswith("# SYNTHETIC.")
    assert demo.description.startswith("synthetic")
    assert sorted(agent.name for agent in demo.recorded.pool.agents.values()) == [
        "demo-large",
        "demo-medium",
        "demo-small",
        "demo-speller",
    ]


def test_the_demos_scores_are_those_of_its_answers() -> None:
    lines = (ROOT / "evals" / "recorded_demo" / "outcomes.jsonl").read_text(encoding="utf-8").splitlines()
    for record in map(json.loads, lines):
        for outcome in record["outcomes"].values():
            assert outcome["score"] == float(outcome["response"] == record["reference"])
            assert outcome["cost_usd"] > 0


def score(baselines: Baselines, name: str) -> float:
    """What a baseline scores on test."""
    system = baselines.system(name)
    assert not isinstance(system, LeftOut)
    return summarise(system).score


def test_evals_and_chaos_do_not_offer_each_others_suites() -> None:
    with pytest.raises(ConfigError) as chaos:
        find_suites("local")
    with pytest.raises(ConfigError) as evals:
        find_suite("self_healing")
    assert "or one of self_healing" in str(chaos.value)
    assert "or one of local, recorded_demo" in str(evals.value)


def test_routing_pays_in_the_demo_and_the_task_is_all_there_is_to_know(demo: Suite) -> None:
    assert demo.recorded
    matrix = matrix_of(demo.recorded)
    baselines = Baselines(matrix.part("train"), matrix.part("test"))
    best, tasks, oracle = (score(baselines, name) for name in ("best-single", "task-means", "oracle"))
    assert best < score(baselines, "knn") == tasks < oracle
    assert len({case.task for case in demo.cases}) == 2
