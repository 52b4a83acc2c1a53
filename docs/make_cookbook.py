"""Draws the pool of every example as a graph: `make docs` writes them into `cookbook.md`."""

from __future__ import annotations

import ast
import io
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from orchestrator import Orchestrator, Pool
from orchestrator.planner import graph_of
from orchestrator.pool.registry import Member

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
PAGE = HERE / "cookbook.md"
INTRODUCTION = """# Cookbook

Every pattern is a file that runs without a key and without a network. A graph shows who gives what to whom: artifacts
are round, experts square, dashed is what an expert can do without. Written by `docs/make_cookbook.py`.
"""


def noting(seen: dict[str, None]) -> Callable[..., None]:
    """What makes an orchestrator as ever, and draws its pool; each drawing is kept once."""
    make = Orchestrator.__init__

    def noted(made: Orchestrator, pool: Pool | Iterable[Member], **more: Any) -> None:  # noqa: ANN401 - as they come
        make(made, pool, **more)
        seen[drawn(made.pool, more)] = None

    return noted


def drawn(pool: Pool, more: Mapping[str, object]) -> str:
    """A graph, and beneath it what decides over it where that is not the default."""
    told = [f"{key}: `{named(more[key])}`" for key in ("router", "merge", "analyses") if more.get(key)]
    if len(pool.goals) > 1:
        told.append(f"goals: {', then '.join(f'`{goal}`' for goal in pool.goals)}")
    graph = f"```mermaid\n{graph_of(pool).to_mermaid()}\n```\n"
    return graph + (f"\n{' · '.join(told)}\n" if told else "")


def named(part: object) -> object:
    """A router or merge by the name that its author knows it by."""
    return part if isinstance(part, (str, int)) else getattr(part, "__name__", type(part).__name__)


def recipe(path: Path) -> str:
    """The section of one example: what it shows, its graphs, what it prints where it says so."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    title, _, promised = text.partition("\n\nPrints:\n")
    seen: dict[str, None] = {}
    with patch.object(Orchestrator, "__init__", noting(seen)), redirect_stdout(io.StringIO()):
        runpy.run_path(str(path), run_name="__main__")
    head = f"## [{path.name}](../examples/{path.name})\n\n{title}\n"
    printed = "\n".join(line.strip() for line in promised.splitlines())
    return "\n".join([head, *seen, *([f"It prints:\n\n```text\n{printed}\n```\n"] if printed else [])])


def page() -> str:
    """All examples, in their order."""
    return "\n".join([INTRODUCTION, *(recipe(path) for path in sorted(EXAMPLES.glob("[0-9]*.py")))])


def main() -> None:
    """Write it where the first argument says, or beside this file; keys of the shell play no part."""
    file = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else PAGE
    for name in [name for name in os.environ if name.endswith("_API_KEY") or name.startswith("ORCHESTRATOR_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ORCHESTRATOR_HOME"] = folder
        made = page()
    file.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
