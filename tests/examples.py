"""The files of the cookbook, and what each of them promises to print."""

from __future__ import annotations

import ast
from pathlib import Path

__all__ = ["EXAMPLES", "promised"]

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def promised(path: Path) -> list[str]:
    """The lines under `Prints:` in a file's docstring, which tells beforehand what the file shows."""
    told, _, printed = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\nPrints:\n")
    assert told, f"{path.name} does not say what it shows"
    assert printed, f"{path.name} does not say what it prints"
    return [line.strip() for line in printed.splitlines()]
