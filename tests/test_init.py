"""`init` writes a starter folder that validates and runs, and overwrites nothing."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from orchestrator import load_pool
from orchestrator.pool.files import pool_names
from tests.commands import orchestrate
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FILES = ["agents/mine/hello.toml", "agents/mine/pool.toml", "agents/mine/tools.py", "prompts/guide.md"]


def written(folder: Path) -> list[str]:
    """The files of a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["start", "with a blank", "."])
def test_the_starter_validates_and_runs_by_the_commands_it_prints(
    name: str, child_env: dict[str, str], tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    done = orchestrate("init", *([] if name == "." else [name]), env=child_env, cwd=here)
    assert done.returncode == 0, done.stderr
    assert written(here / name) == FILES
    validate, run = (shlex.split(line)[1:] for line in done.stdout.splitlines())
    checked = orchestrate(*validate, env=child_env, cwd=here)
    assert "mine: valid: 1 agents" in checked.stdout, checked.stderr
    answered = orchestrate(*run, "--json", env=child_env, cwd=here)
    decision = json.loads(answered.stdout)
    assert (decision["answer"], decision["status"], decision["support"]) == ("3", "answered", ["letters"])


def test_what_the_starter_leaves_commented_works_too(child_env: dict[str, str], tmp_path: Path) -> None:
    orchestrate("init", env=child_env, cwd=tmp_path)
    for path in (tmp_path / "agents/mine").glob("*.toml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        bare = [line[2:] if line.startswith("# ") and ("[" in line[:4] or " = " in line) else line for line in lines]
        path.write_text("\n".join(bare), encoding="utf-8")
    pool = load_pool("mine", [tmp_path / "agents"], plugins=False)
    assert set(pool.agents) == {"guide", "letters"}
    assert (pool.agents["guide"].prompt or "").startswith('You are the expert "guide" (general questions).')
    assert (pool.router, pool.merger) == ("openai:gpt-6.1-terra", "openai:gpt-6.1-terra")
    assert pool.models["ollama:qwen3:8b"].free


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_overwritten(file: str, child_env: dict[str, str], tmp_path: Path) -> None:
    mine = tmp_path / "start" / file
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = orchestrate("init", "start", env=child_env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"start/{file}: is there already, so nothing was written" in done.stderr
    assert written(tmp_path / "start") == [file]
    assert mine.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_said(child_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = orchestrate("init", "file", env=child_env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: Not a directory: file")


def test_the_starter_is_as_it_is_in_the_checkout(child_env: dict[str, str], tmp_path: Path) -> None:
    orchestrate("init", env=child_env, cwd=tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (ROOT / "starter" / name).read_bytes()


ASKED = "How many r are in strawberry?"


@pytest.mark.parametrize(
    "flags",
    [
        ["--agents", "start"],
        ["--agents", "start/agents"],
        ["--agents", "start/agents/mine"],
        ["--pool", "mine", "--agents", "start"],
        ["--pool", "mine", "--agents", "start/agents"],
        ["--pool", "mine", "--agents", "start/agents/mine"],
    ],
    ids=" ".join,
)
def test_the_starter_is_found_however_its_folder_is_named(
    flags: list[str], child_env: dict[str, str], tmp_path: Path
) -> None:
    orchestrate("init", "start", env=child_env, cwd=tmp_path)
    done = orchestrate("run", ASKED, *flags, "--json", env=child_env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["support"] == ["letters"]
    assert done.stderr.count("[pool]") == 0, "its table says nothing that the local pool does not"
    listed = orchestrate("agents", "list", *flags, "--json", env=child_env, cwd=tmp_path)
    agents = {agent["name"] for agent in json.loads(listed.stdout)}
    assert agents == {"letters"} if "--pool" in flags else agents > {"letters", "algebra", "totals"}


def test_the_pools_of_a_folder_join_the_local_one_but_for_their_goals(
    child_env: dict[str, str], tmp_path: Path
) -> None:
    orchestrate("init", "start", env=child_env, cwd=tmp_path)
    table = tmp_path / "start/agents/mine/pool.toml"
    table.write_text('[pool]\ngoals = ["letter", "answer"]\n', encoding="utf-8")
    (tmp_path / "start/agents/mine/tools.py").write_text(SECOND, encoding="utf-8")
    joined = orchestrate("graph", "show", "--agents", "start", "--json", env=child_env, cwd=tmp_path)
    assert json.loads(joined.stdout)["goals"] == ["answer"]
    assert {"letters", "draft", "units"} < {each["name"] for each in json.loads(joined.stdout)["experts"]}
    assert joined.stderr == "the [pool] table of `mine` counts with --pool mine only\n"
    alone = orchestrate("graph", "show", "--agents", "start", "--pool", "mine", "--json", env=child_env, cwd=tmp_path)
    assert json.loads(alone.stdout)["goals"] == ["letter", "answer"]
    assert {each["name"] for each in json.loads(alone.stdout)["experts"]} == {"letters", "draft"}
    assert alone.stderr == ""


SECOND = """
from orchestrator import expert


@expert(skill=0.9)
def letters(question: str) -> str:
    return "3"


@expert(produces="letter", skill=0.1)
def draft(answer: str) -> str:
    return f"Dear Sir, {answer}"
"""


def test_a_pool_that_is_nowhere_is_said_with_how_to_name_its_folder(child_env: dict[str, str], tmp_path: Path) -> None:
    orchestrate("init", "start", env=child_env, cwd=tmp_path)
    done = orchestrate("run", ASKED, "--pool", "mine", env=child_env, cwd=tmp_path)
    told = "there is no pool `mine`; expected one of cloud, local, or the folder that holds it: --agents DIR"
    assert (done.returncode, told in done.stderr) == (2, True)


def test_two_experts_of_one_name_are_said_and_none_is_passed_over(child_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "start/house").mkdir(parents=True)
    (tmp_path / "start/house/a.toml").write_text('[agents.search]\ntool = "scan"\n', encoding="utf-8")
    done = orchestrate("run", ASKED, "--agents", "start", env=child_env, cwd=tmp_path)
    assert (done.returncode, "search" in done.stderr, "house/a.toml" in done.stderr) == (2, True, True)


@pytest.mark.parametrize("extra", ["top.toml", "house/a.toml"])
def test_a_folder_that_holds_more_than_a_starter_is_read_as_it_stands(extra: str, tmp_path: Path) -> None:
    for name in ("agents/mine/a.toml", extra):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'[agents.{path.stem}_{path.parent.name[0]}]\ntool = "algebra"\n', encoding="utf-8")
    assert "mine" not in pool_names([tmp_path], plugins=False, own=False)
