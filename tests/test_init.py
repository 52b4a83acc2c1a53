"""`init` writes a starter folder that validates and runs, and overwrites nothing."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from orchestrator import load_pool
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
