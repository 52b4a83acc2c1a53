"""The rules of the house, held over every file; AGENTS.md says them in words."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orchestrator
from orchestrator import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "orchestrator"
SOURCES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(path for folder in ("bench", "docs", "examples") for path in (ROOT / folder).rglob("*.py"))
DESCRIPTORS = sorted((ROOT / "agents").rglob("*.toml"))
BUILD_FILES = ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run", ".gitignore")

MAX_MODULE = 400
MAX_FUNCTION = 40
MAX_GUIDE = 60

DOORS = {
    "anthropic": "orchestrator.providers.anthropic",
    "click": "orchestrator.cli",
    "genai_prices": "orchestrator.pool",
    "langchain_core": "orchestrator.pipeline",
    "langgraph": "orchestrator.pipeline",
    "langsmith": "orchestrator.pipeline",
    "networkx": "orchestrator.graph",
    "numpy": "orchestrator.evals.arrays",
    "openai": "orchestrator.providers.openai",
    "opentelemetry": "orchestrator.otel",
    "pint": "orchestrator.tools",
    "pytest": "orchestrator.testing",
    "rich": "orchestrator.render",
    "scipy": "orchestrator.evals.stats",
    "sklearn": "orchestrator.evals.neighbours",
    "sympy": "orchestrator.tools",
    "tenacity": "orchestrator.providers.gate",
    "tomli_w": "orchestrator.pool.writing",
    "typer": "orchestrator.cli",
}
"""Dependency -> the one module or package that may import it."""

BROAD_HOME = "providers/gate.py"
"""The one place that catches any exception at all, and translates it."""

BROAD = {"Exception", "BaseException"}

CODE_RUNNERS = {"eval", "exec", "compile", "__import__", "sympify", "parse_expr", "lambdify"}
"""Calls that run text as code; sympy's three hand strings to `eval`."""

UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")

HOST = re.compile(r"https?://|\b[a-z0-9-]+(\.[a-z0-9-]+)*\.(com|org|net|io|dev)\b", re.IGNORECASE)
"""An address of a registry, a mirror or a machine of ours; none belongs into a build file."""


def short(path: Path) -> str:
    """A file's path inside its checkout, for test ids and messages."""
    return path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT).as_posix()


each_source = pytest.mark.parametrize("path", SOURCES, ids=short)
each_file = pytest.mark.parametrize("path", SOURCES + SCRIPTS, ids=short)


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_of(path: Path) -> str:
    """The dotted name under which Python imports a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every absolute import, wherever in the file it stands."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module or ""


def names_in(node: ast.expr | None) -> set[str]:
    """The plain and dotted names in an expression, each by its last part."""
    nodes = list(ast.walk(node)) if node else []
    plain = {each.id for each in nodes if isinstance(each, ast.Name)}
    return plain | {each.attr for each in nodes if isinstance(each, ast.Attribute)}


def broad_catches(path: Path) -> Iterator[int]:
    """Lines that catch, or suppress, any exception at all."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or names_in(node.type) & BROAD):
            yield node.lineno
        elif isinstance(node, ast.Call) and "suppress" in names_in(node.func):
            yield from (node.lineno for argument in node.args if names_in(argument) & BROAD)


def drawn_tree(text: str) -> set[tuple[str, str | None]]:
    """Pairs of class and parent, read from a tree drawn with box characters, four columns to a level."""
    pairs: set[tuple[str, str | None]] = set()
    above: list[str] = []
    for line in text.splitlines():
        found = re.match(r"(?P<stem>[│├└─ ]*)(?P<name>[A-Z]\w+)(\s{2,}\S.*)?$", line)
        if found is None or (not found["stem"] and above):
            continue
        level = len(found["stem"]) // 4
        pairs.add((found["name"], above[level - 1] if level else None))
        above[level:] = [found["name"]]
    return pairs


def listing_order(name: str) -> tuple[int, str]:
    """The order ruff's RUF022 keeps: constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@each_file
def test_a_module_fits_on_a_few_screens(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE


@each_file
def test_a_function_fits_on_one_screen(path: Path) -> None:
    sizes = {
        f"{node.name}:{node.lineno}": (node.end_lineno or node.lineno) - node.body[0].lineno + 1
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: size for name, size in sizes.items() if size > MAX_FUNCTION} == {}


@each_file
def test_a_module_says_first_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(('"""', "#!"))
    assert (ast.get_docstring(tree_of(path)) or "").strip()


@each_source
def test_all_is_sorted_and_importable(path: Path) -> None:
    module = importlib.import_module(module_of(path))
    names: list[str] = list(getattr(module, "__all__", []))
    assert names == sorted(set(names), key=listing_order)
    assert [name for name in names if not hasattr(module, name)] == []


def test_the_front_door_says_what_it_offers() -> None:
    assert orchestrator.__all__


@each_source
def test_one_door_per_dependency(path: Path) -> None:
    here = module_of(path)
    strays = [
        f"line {line}: {name} belongs in {door}"
        for line, name in imported(path)
        if (door := DOORS.get(name.split(".")[0])) and not f"{here}.".startswith(f"{door}.")
    ]
    assert strays == []


def test_only_the_gate_catches_everything() -> None:
    caught = [short(path) for path in SOURCES for _ in broad_catches(path)]
    assert caught in ([], [BROAD_HOME])


@each_source
def test_nothing_prints_and_no_text_is_run_as_code(path: Path) -> None:
    banned = CODE_RUNNERS | {"print"}
    calls = [node.func for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    plain = [f"line {func.lineno}: {func.id}" for func in calls if isinstance(func, ast.Name) and func.id in banned]
    dotted = [
        f"line {func.lineno}: {ast.unparse(func)}"
        for func in calls
        if isinstance(func, ast.Attribute) and func.attr in CODE_RUNNERS - {"compile"}
    ]
    assert plain + dotted == []


@each_file
def test_nothing_is_left_for_later(path: Path) -> None:
    assert UNFINISHED.findall(path.read_text(encoding="utf-8")) == []


def test_the_drawing_of_the_errors_is_their_tree() -> None:
    classes = {
        (name, None if each.__base__ is Exception else each.__base__.__name__)
        for name, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, Exception) and each.__module__ == errors.__name__ and each.__base__
    }
    assert drawn_tree(errors.__doc__ or "") == classes
    assert {name for name, _ in classes} <= set(errors.__all__)


@pytest.mark.parametrize("path", DESCRIPTORS, ids=short)
def test_a_descriptor_loads(path: Path) -> None:
    assert tomllib.loads(path.read_text(encoding="utf-8"))


def test_there_are_descriptors() -> None:
    assert DESCRIPTORS


def test_the_guide_stays_short() -> None:
    assert len((ROOT / "AGENTS.md").read_text(encoding="utf-8").splitlines()) <= MAX_GUIDE


def test_the_changelog_speaks_of_this_version() -> None:
    found = re.search(r"^## \[?v?(\d+\.\d+\.\d+\S*?)\]?(\s|$)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert found
    assert found[1] == orchestrator.__version__


@pytest.mark.parametrize("name", BUILD_FILES)
def test_no_build_file_names_a_host(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    if name == "pyproject.toml":  # where the project lives on the web may be said in its own table
        text = re.sub(r"^\[project\.urls\]\n(?:[^\[\n].*\n|\n)*", "", text, flags=re.MULTILINE)
    assert [found[0] for found in HOST.finditer(text)] == []


def test_versions_are_pinned_exactly() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line)] == []
