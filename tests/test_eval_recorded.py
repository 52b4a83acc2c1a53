"""The figures of the recorded outcomes: every number of the data's own README, and the curves over ARC and MBPP."""

# pytest leaves the types of `approx` open: pyright: reportUnknownMemberType=false

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from orchestrator.evals.baselines import Baselines
from orchestrator.evals.curves import aiq
from orchestrator.evals.matrix import Matrix, matrix_of
from orchestrator.evals.systems import LeftOut, Summary, summarise
from orchestrator.providers import join_recorded, read_recorded, tile_recorded

DATA = Path(__file__).parents[2] / "shared" / "data"
NAMES = ("routerbench_arc", "routerbench_mbpp", "routellm_gsm8k")
pytestmark = pytest.mark.skipif(
    not (DATA / "README.md").is_file(), reason=f"the recorded outcomes and their README are not at {DATA}"
)


@cache
def file_matrix(name: str) -> Matrix:
    """The matrix of one of the files."""
    return matrix_of(read_recorded(DATA / f"{name}.jsonl.gz"))


@cache
def arc_and_mbpp() -> Matrix:
    """Both RouterBench files as one."""
    return matrix_of(join_recorded([read_recorded(DATA / f"{name}.jsonl.gz") for name in NAMES[:2]]))


def section(name: str) -> list[list[str]]:
    """The rows of all tables that the README prints under the heading of a file."""
    text = (DATA / "README.md").read_text(encoding="utf-8")
    parts = re.split(r"^#{2,3} ", text, flags=re.MULTILINE)
    lines = [line for part in parts if part.startswith(f"{name}.jsonl.gz\n") for line in part.splitlines()]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def row(name: str, over: Matrix) -> Summary:
    """The summary of a baseline that sees and is held to the same cases, as the README's tables are."""
    system = Baselines(over, over).system(name)
    assert not isinstance(system, LeftOut)
    return summarise(system)


def shown(summary: Summary) -> list[str]:
    """Records, score and cost with the digits that the README prints."""
    assert summary.cost_per_question is not None
    return [str(summary.n), f"{summary.score:.4f}", f"{summary.cost_per_question:.6f}"]


@pytest.mark.parametrize("name", NAMES)
def test_the_figures_of_whole_files_are_the_readmes(name: str) -> None:
    rows = [cells for cells in section(name) if len(cells) == 4 and cells[1].isdigit()]
    over = file_matrix(name)
    names = {"oracle": "oracle", "random": "random"}
    told: dict[str, list[str]] = {}
    for label, *figures in rows:
        bold = re.match(r"\*\*(best single|oracle|random)\*\*", label)
        system = "best-single-hindsight" if bold and bold[1] == "best single" else names.get(bold[1] if bold else "")
        told[label] = figures
        assert shown(row(system or f"model:{label}", over)) == figures
    assert len(told) == len(over.models) + 3
    assert f"**best single**: {over.best_single()}" in told


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize("split", ["test", "train"])
def test_the_figures_of_splits_are_the_readmes(name: str, split: str) -> None:
    (cells,) = [cells for cells in section(name) if len(cells) == 8 and cells[0] == split]
    part = file_matrix(name).part("test" if split == "test" else "train")
    best, oracle, chance = row("best-single-hindsight", part), row("oracle", part), row("random", part)
    _, best_score, best_cost = shown(best)
    _, oracle_score, oracle_cost = shown(oracle)
    assert [split, str(best.n), best.note, best_score, best_cost, oracle_score, oracle_cost, shown(chance)[1]] == cells


def test_the_zero_routers_aiq_on_567_questions() -> None:
    test = arc_and_mbpp().part("test")
    assert len(test.cases) == 567
    assert f"{aiq(test.points, test.points):.4f}" == "0.8463"


def test_neighbours_reach_the_reference_and_means_per_task_more() -> None:
    whole = arc_and_mbpp()
    baselines = Baselines(whole.part("train"), whole.part("test"))
    floor, near, tasks = (baselines.curve(name) for name in ("zero-router", "knn", "task-means"))
    assert near.aiq == pytest.approx(0.857, abs=0.001)
    assert (near.aiq or 0) - (floor.aiq or 0) == pytest.approx(0.010, abs=0.001)
    assert (near.aiq_tr or 0) < (near.aiq or 0)
    assert (tasks.aiq_tr or 0) > (near.aiq_tr or 0)


def test_two_questions_of_train_stand_in_test() -> None:
    assert len(arc_and_mbpp().leaks()) == 2


def test_a_file_without_a_split_is_drawn_one() -> None:
    gsm8k = file_matrix("routellm_gsm8k")
    assert not gsm8k.own_split
    assert len(gsm8k.part("train").cases) == pytest.approx(660, abs=60)


def test_files_are_joined_and_tiled() -> None:
    joined = join_recorded([read_recorded(DATA / f"{name}.jsonl.gz") for name in NAMES])
    tiled = matrix_of(tile_recorded(joined, 15_000))
    assert (len(joined.cases), len(tiled.cases)) == (3_216, 15_000)
    assert len({case.repeats for case in tiled.cases}) == 3_216
    splits = {case.id: case.split for case in tiled.cases}
    assert all(case.split == splits[case.repeats] for case in tiled.cases)
    expert = Baselines(tiled.part("train"), tiled.part("test")).system("model:zero-one-ai/Yi-34B-Chat")
    assert not isinstance(expert, LeftOut)
    assert expert.note.endswith(
        f"which has a record for {len(expert.results)} of {len(tiled.part('test').cases)} cases"
    )
