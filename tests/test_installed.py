"""What the wheel alone gives a user: the examples run beside it, and a strict type checker finds nothing in them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import orchestrator
import orchestrator.testing
from tests.conftest import ROOT
from tests.examples import EXAMPLES, promised
from tests.test_packaging import call

MISTAKES = """from orchestrator import Budget, Orchestrator


def shout(question: str) -> str:
    return question.upper()


decision = Orchestrator([shout], budget=Budget(turns="many")).run_sync("hello")
print(decision.cost_usd + 1)
print(f"{decision.anser}")
"""
"""A user's file whose mistakes only a checker that knows our types can find."""

FOUND = [
    (8, "reportArgumentType"),
    (9, "reportOptionalOperand"),
    (9, "reportUnknownArgumentType"),
    (10, "reportAttributeAccessIssue"),
    (10, "reportUnknownMemberType"),
]
"""What there is to find in it, by line."""

NEEDING_CONTENT = ("01_hello.py", "03_llm_router.py", "05_debate.py", "06_triage.py", "15_tests.py")
"""Examples that read agents or prompts of the package, and the one that uses what users test with."""


def every_member() -> str:
    """A user's file that names each public name and each public member of a public class."""
    homes = {name: each for each in (orchestrator.testing, orchestrator) for name in each.__all__ if name[0] != "_"}
    text = "".join(f"from {home.__name__} import {name}\nprint({name})\n" for name, home in homes.items())
    for name, home in homes.items():
        given = getattr(home, name)
        if isinstance(given, type):
            text += f"def use_{name}(given: {name}) -> None:\n    print(given)\n"
            text += "".join(f"    print(given.{member})\n" for member in members(given))
    return text


def members(kind: type) -> list[str]:
    """Public attributes of a class that our own classes give it."""
    ours = [each for each in kind.__mro__ if each.__module__.startswith("orchestrator")]
    names = {name for each in ours for name in (*vars(each), *vars(each).get("__annotations__", ()))}
    return sorted(name for name in names if not name.startswith("_"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel of this checkout and what the project needs, but not the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    venv.create(folder / "venv", symlinks=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    others = [each for each in sys.path if Path(each).name in {"site-packages", "dist-packages"}]
    (site / "others.pth").write_text("\n".join(others) + "\n", encoding="utf-8")  # read without their own .pth files
    return folder / "venv" / "bin" / "python"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The examples in a folder of the user's own."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for path in EXAMPLES:
        shutil.copy(path, folder)
    return folder


def faults(python: Path, folder: Path, env: dict[str, str]) -> tuple[int, Iterator[tuple[str, int, str]]]:
    """How many files a strict checker reads in a folder, and what it finds: file, line, rule; warnings too."""
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--pythonpath", str(python), "--outputjson"],
        cwd=folder,
        env=env,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    found = (
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each.get("rule", each["message"]))
        for each in told["generalDiagnostics"]
    )
    return told["summary"]["filesAnalyzed"], found


def test_nothing_comes_from_the_checkout(installed: Path, elsewhere: Path, child_env: dict[str, str]) -> None:
    code = "import json, sys, orchestrator; print(json.dumps([orchestrator.__file__, *sys.path]))"
    where, *paths = json.loads(call(installed, "-c", code, cwd=elsewhere, env=child_env))
    assert Path(where).is_relative_to(installed.parents[1])
    assert str(ROOT) not in paths


def test_a_strict_checker_finds_nothing_in_the_examples(
    installed: Path, elsewhere: Path, child_env: dict[str, str]
) -> None:
    """Nor in a file that names every public member; in a file of mistakes it finds them, so it is seen to look."""
    (elsewhere / "mistakes.py").write_text(MISTAKES, encoding="utf-8")
    (elsewhere / "members.py").write_text(every_member(), encoding="utf-8")
    number, found = faults(installed, elsewhere, child_env)
    assert {*found} == {("mistakes.py", line, rule) for line, rule in FOUND}
    assert number == len(EXAMPLES) + 2


@pytest.mark.parametrize("name", NEEDING_CONTENT)
def test_examples_run_beside_the_wheel(installed: Path, elsewhere: Path, child_env: dict[str, str], name: str) -> None:
    printed = call(installed, "-W", "error", name, cwd=elsewhere, env=child_env)
    assert printed.splitlines() == promised(elsewhere / name)


def test_suites_and_the_starter_are_in_the_wheel(installed: Path, elsewhere: Path, child_env: dict[str, str]) -> None:
    command = (installed, "-c", "from orchestrator.cli import main; main()")
    told = call(*command, "eval", "run", "recorded_demo", "--router", "plan", cwd=elsewhere, env=child_env)
    assert told.splitlines()[-1].startswith(("route: ", "do not route: "))
    call(*command, "init", "mine", cwd=elsewhere, env=child_env)
    assert (elsewhere / "mine").is_dir()
    assert {path.name for path in (elsewhere / "mine").iterdir()} >= {
        path.name for path in (ROOT / "starter").iterdir()
    }
