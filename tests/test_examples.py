"""Runs what the documentation shows: every example, every code block of README and AGENTS.md."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.examples import EXAMPLES, promised

ROOT = Path(__file__).parents[1]
SHORT = {"01_hello.py": 30, "02_compose.py": 30}
RAN = {"sh", "python", "toml"}


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    file: str
    line: int
    language: str
    text: str


def blocks(name: str) -> list[Block]:
    """The fenced blocks of a document."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(name, text.count("\n", 0, m.start()) + 1, m.group(1), m.group(2)) for m in found]


def of_language(language: str) -> list[object]:
    """The blocks of one language, as test parameters."""
    every = [block for name in ("README.md", "AGENTS.md", "CHANGELOG.md") for block in blocks(name)]
    return [pytest.param(b, id=f"{b.file}:{b.line}") for b in every if b.language == language]


def python(code: str, cwd: Path, env: dict[str, str]) -> str:
    """What a program prints; it must succeed and warn of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=cwd,
        env=env,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_is_run() -> None:
    languages = {block.language for name in ("README.md", "AGENTS.md") for block in blocks(name)}
    assert languages <= RAN


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_prints_what_its_docstring_promises(path: Path, child_env: dict[str, str]) -> None:
    source = path.read_text(encoding="utf-8")
    assert python(source, ROOT, child_env).splitlines() == promised(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_short(path: Path) -> None:
    """What it promises to print is not counted, nor what only a type checker reads."""
    source = path.read_text(encoding="utf-8")
    besides = re.findall(r"^# .*:\n# pyright: .*\n\n|^\nPrints:\n(?: +.*\n)+\"\"\"\n", source, re.MULTILINE)
    assert source.count("\n") - sum(text.count("\n") for text in besides) <= SHORT.get(path.name, 40)


def test_hello_gives_the_same_answer_twice() -> None:
    first, second = promised(ROOT / "examples/01_hello.py")
    assert first.startswith("397.8 ('algebra',)")
    assert second.startswith("397.8 ('arithmetic',) rerouted: algebra → arithmetic")


@pytest.mark.parametrize("block", of_language("python"))
def test_python_block_prints_what_it_says(block: Block, child_env: dict[str, str]) -> None:
    promised = re.findall(r"^# prints: (.*)$", block.text, re.MULTILINE)
    assert python(block.text, ROOT, child_env).splitlines() == promised


@pytest.mark.parametrize("block", of_language("sh"))
def test_shell_block_exits_as_it_says(block: Block, cli: Cli) -> None:
    for line in block.text.splitlines():
        command, _, remark = line.partition("  # exits with ")
        words = shlex.split(command)
        if words[0] == "make":
            subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
            continue
        assert words[0] == "orchestrator"
        done = cli(*words[1:], cwd=ROOT)
        assert done.returncode == int(remark or 0), f"{line}\n{done.stdout}{done.stderr}"


def test_the_section_on_evals_ends_in_a_verdict(cli: Cli) -> None:
    (block,) = (each for each in blocks("README.md") if "eval run recorded_demo" in each.text)
    last = [cli(*shlex.split(line)[1:], cwd=ROOT).stdout for line in block.text.splitlines()][-1]
    assert re.match(r"(do not )?route: ", last.splitlines()[-1])


@pytest.mark.parametrize("block", of_language("toml"))
def test_toml_block_is_a_descriptor(block: Block, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "shown.toml").write_text(block.text, encoding="utf-8")
    (tmp_path / "shout.py").write_text("def shout(question: str) -> str:\n    return question.upper()\n")
    done = cli("run", "hello there", "--agents", str(tmp_path), "--quiet")
    assert (done.returncode, done.stdout.strip()) == (0, "HELLO THERE")


def test_help_of_every_command_can_be_read(cli: Cli) -> None:
    for words in ([], ["run"], ["route"], ["graph"], ["agents"], ["trace"], ["doctor"]):
        done = cli(*words, "--help")
        assert done.returncode == 0
        assert "Usage: orchestrator" in done.stdout


def test_pictures_are_those_of_the_product(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    subprocess.run([sys.executable, str(docs / "make.py")], check=True, env=os.environ)
    for name in ("run.svg", "why.svg"):
        assert (docs / name).read_text(encoding="utf-8") == (ROOT / "docs" / name).read_text(encoding="utf-8")
