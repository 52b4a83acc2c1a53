"""The written-out documentation: the cookbook is that of the examples, the reference holds every public name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator

ROOT = Path(__file__).parents[1]


def made(script: str, page: Path, env: dict[str, str] | None = None) -> str:
    """What a script of `docs/` writes."""
    subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "docs" / script), str(page)], check=True, env=env or {**os.environ}
    )
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The reference as it is made now."""
    return made("make_api.py", tmp_path_factory.mktemp("api") / "deep" / "README.md")


def section(page: str, title: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}$\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"{title} is missing; `make docs` writes it"
    return found[1]


def test_the_cookbook_is_that_of_the_examples(tmp_path: Path) -> None:
    kept = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
    assert made("make_cookbook.py", tmp_path / "cookbook.md") == kept, "`make docs` writes it anew"


def test_keys_of_the_shell_play_no_part_in_the_cookbook(tmp_path: Path) -> None:
    env = {**os.environ, "OPENAI_API_KEY": "none", "ANTHROPIC_API_KEY": "none"}
    kept = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
    assert made("make_cookbook.py", tmp_path / "cookbook.md", env) == kept


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("[0-9]*.py")), ids=lambda path: path.name)
def test_every_example_stands_in_the_cookbook_with_its_graph(path: Path) -> None:
    kept = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
    recipe = section(kept, f"[{path.name}](../examples/{path.name})")
    if "Orchestrator(" in path.read_text(encoding="utf-8"):
        assert "```mermaid\nflowchart LR\n" in recipe
        assert "-->" in recipe


@pytest.mark.parametrize("name", [name for name in orchestrator.__all__ if name != "__version__"])
def test_every_public_name_stands_in_the_reference_with_its_docstring(reference: str, name: str) -> None:
    told = section(reference, name)
    (first, *_) = (getattr(orchestrator, name).__doc__ or "").strip().splitlines()
    assert first
    assert f"\n{first}" in told
    assert f"[{name}](#{name.lower()})" in reference


def test_the_reference_tells_of_methods_and_attributes(reference: str) -> None:
    told = section(reference, "Orchestrator")
    for method in ("run", "run_sync", "run_many", "stream", "explain", "as_node", "as_expert"):
        assert f"### Orchestrator.{method}\n" in told
    assert "async run(\n    asked: Asked,\n    *,\n" in told
    assert "- `cost_usd: Decimal | None`: USD of all calls" in section(reference, "Decision")


def test_the_reference_is_the_same_every_time(reference: str, tmp_path: Path) -> None:
    assert made("make_api.py", tmp_path / "again.md") == reference
    assert " at 0x" not in reference


def test_a_name_without_a_docstring_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import orchestrator\norchestrator.Budget.__doc__ = None\n")
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_api.py"), str(tmp_path / "page.md")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (1, "Budget has no docstring")
    assert not (tmp_path / "page.md").exists()


@pytest.mark.slow
def test_our_rows_of_the_comparison_are_what_the_bench_prints() -> None:
    command = [sys.executable, str(ROOT / "bench" / "comparison" / "run.py")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    ours, told = rows_of_ours(printed), rows_of_ours(kept)
    assert len(ours) == 5
    assert ours == told


def rows_of_ours(text: str) -> list[list[str]]:
    """Our rows; what is told of calls side by side comes in the order in which they ended, so it is sorted."""
    rows = [line.strip("| ") for line in text.splitlines() if line.startswith("| thinkroute |")]
    return [sorted(re.split(r"; (?:it is told: )?", row)) for row in rows]
