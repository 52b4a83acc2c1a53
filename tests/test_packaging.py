"""What is in the wheel and the sdist, and whether a stranger's empty environment can run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

QUESTION = "What is 17% of 2,340?"


def call(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expected_content() -> set[str]:
    """Every file that a person edits, as it is called in the checkout."""
    files = [path for folder in ("agents", "evals", "prompts", "starter") for path in (ROOT / folder).rglob("*")]
    return {path.relative_to(ROOT).as_posix() for path in files if path.is_file() and "__pycache__" not in path.parts}


def expected_code() -> set[str]:
    """Every source file of the package: Python, and the parts of the HTML page."""
    files = [path for kind in ("py", "css", "js", "html") for path in (ROOT / "orchestrator").rglob(f"*.{kind}")]
    return {path.relative_to(ROOT).as_posix() for path in files}


def wheel_names(wheel: Path) -> set[str]:
    """The paths in a wheel."""
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def check_wheel(wheel: Path) -> None:
    """The wheel holds all code, all content under our own name, the typing mark, and no foreign top level."""
    names = wheel_names(wheel)
    assert {f"orchestrator/_content/{path}" for path in expected_content()} <= names
    assert expected_code() | {"orchestrator/py.typed"} <= names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"orchestrator"}


def check_sdist(sdist: Path) -> None:
    """The sdist holds all that is needed to build, test and read the project."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers()}
    wanted = {"pyproject.toml", "constraints.txt", "Makefile", "README.md", "CHANGELOG.md", "AGENTS.md", "LICENSE"}
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    examples = {path.relative_to(ROOT).as_posix() for path in (ROOT / "examples").rglob("*.py")}
    assert wanted | tests | examples | expected_code() | expected_content() <= names


def test_the_wheel_holds_code_and_content(tmp_path: Path) -> None:
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    check_wheel(wheel)


def test_the_sdist_holds_the_project(tmp_path: Path) -> None:
    call(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path)
    (sdist,) = tmp_path.glob("*.tar.gz")
    check_sdist(sdist)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stranger_installs_the_wheel_and_asks(tmp_path: Path) -> None:
    """Sdist from the checkout, wheel from the sdist, an empty environment elsewhere: without extras, then with."""
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    check_wheel(wheel)
    venv.create(tmp_path / "venv", with_pip=True)
    python, command = tmp_path / "venv/bin/python", tmp_path / "venv/bin/orchestrator"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}

    def ask(extra: str, *flags: str) -> dict[str, object]:
        call(python, "-m", "pip", "install", "-q", f"{wheel}{extra}", "-c", ROOT / "constraints.txt", env=env)
        return json.loads(call(command, "run", QUESTION, "--json", *flags, cwd=elsewhere, env=env))

    bare = ask("")
    assert (bare["answer"], bare["status"], bare["cost_usd"]) == ("397.8", "answered", 0)
    healed = ask("[local]", "--fail", "algebra")
    assert (healed["answer"], healed["status"], healed["reroutes"]) == ("397.8", "answered", 1)
