"""Every built-in tool over one table of questions, and what all of them have in common."""

from __future__ import annotations

import ast
import contextlib
import importlib
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.errors import ToolError
from orchestrator.tools.base import Claim, Resources
from tests.tools_cases import CASES, DATA, NOBODY, RESOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULES = {
    "algebra": "algebra",
    "arithmetic": "arithmetic",
    "calendar": "dates",
    "scan": "scan",
    "search": "search",
    "totals": "totals",
    "unit_table": "unit_table",
    "units": "units",
}
NOTHING = Resources()
TWINS = (("algebra", "arithmetic"), ("units", "unit_table"), ("search", "scan"))


class ToolModule(Protocol):
    """The public seam of a built-in tool."""

    def claim(self, question: str, resources: Resources) -> Claim:
        """How surely it can take the question."""
        ...

    def answer(self, question: str, resources: Resources) -> str:
        """The answer."""
        ...


def tool(name: str) -> ToolModule:
    return cast("ToolModule", importlib.import_module(f"orchestrator.tools.{MODULES[name]}"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.question)
def test_case_is_answered_by_every_tool_that_can_take_it(case: tuple[str, str, tuple[str, ...]]) -> None:
    question, answer, able = case
    assert {name: tool(name).answer(question, RESOURCES) for name in able} == dict.fromkeys(able, answer)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.question)
def test_case_is_claimed_by_exactly_these_tools(case: tuple[str, str, tuple[str, ...]]) -> None:
    question, _, able = case
    sure = {name for name in MODULES if tool(name).claim(question, RESOURCES).p > 0.9}
    assert sure == set(able) - {"search", "scan"}
    if "search" in able:
        assert all(tool(name).claim(question, RESOURCES).p > 0 for name in able)


@pytest.mark.parametrize("twins", TWINS)
def test_first_of_two_ways_is_preferred(twins: tuple[str, str]) -> None:
    first, second = twins
    claims = [
        (tool(first).claim(case.question, RESOURCES).p, tool(second).claim(case.question, RESOURCES).p)
        for case in CASES
        if second in case.tools
    ]
    assert claims
    assert all(preferred > other > 0 for preferred, other in claims)


@pytest.mark.parametrize("question", NOBODY, ids=lambda question: repr(question[:30]))
@pytest.mark.parametrize("name", sorted(MODULES))
def test_nobody_claims_what_nobody_can_answer(name: str, question: str) -> None:
    module = tool(name)
    started = time.process_time()
    assert module.claim(question, NOTHING).p == 0
    assert time.process_time() - started < 0.25


@pytest.mark.parametrize("name", ["search", "scan"])
@pytest.mark.parametrize("question", ["Who wrote Hamlet?", "What is the capital of France?", "What is love?"])
def test_documents_that_do_not_say_are_not_quoted(name: str, question: str) -> None:
    assert tool(name).claim(question, RESOURCES).p > 0
    with pytest.raises(ToolError, match="nothing in the documents"):
        tool(name).answer(question, RESOURCES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_answer_refuses_what_it_did_not_claim(name: str) -> None:
    with pytest.raises(ToolError):
        tool(name).answer("?!", NOTHING)


VOCABULARY = (
    "what|is|solve|x|2|+|-|/|%|of|in|to|km|miles|days|from|and|(|)|!|2026-12-25|2026-02-30|where|=|sum|sales.csv|region"
    '|as|a|fraction|^|°F|½|²|1,000|sqrt|per|square|how many|1e9|0|per cent|"|*|amount|after|between'
)
WORDS = st.sampled_from(VOCABULARY.split("|"))


@given(st.one_of(st.text(max_size=300), st.lists(WORDS, max_size=25).map(" ".join)))
@example("2^9999999999999999999999")
@example("٣ + ٤")
@example("1e400^1e400")
@settings(max_examples=400)
def test_claims_are_total(question: str) -> None:
    for name in MODULES:
        for resources in (NOTHING, RESOURCES):
            claim = tool(name).claim(question, resources)
            assert 0 <= claim.p <= 1


@given(st.lists(WORDS, max_size=12).map(" ".join))
@settings(max_examples=400)
def test_answers_are_texts_or_tool_errors(question: str) -> None:
    for name in MODULES:
        if tool(name).claim(question, RESOURCES).p > 0:
            with contextlib.suppress(ToolError):
                assert tool(name).answer(question, RESOURCES)


PIECES = (
    "1 |1,|a |in |to | and |sqrt |-|(|1/|%|!|^|½|²|x|= |.,|how many |1 ft |per |where a = b and |sum of |add |@ "
    "|2026-01-01 |1 day and |of |/-|1 dozen |a half of a |1 percent |split 1 |1 and a half |'|\" |total of a b "
)
ADVERSARIAL = [piece * (990 // len(piece)) for piece in PIECES.split("|")]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_claims_take_bounded_time(name: str) -> None:
    for text in ADVERSARIAL:
        for question in (text, f"how many {text} in {text}"[:999], f"what is {text}?"[:999], f"sum of {text}"[:499]):
            assert min(claim_seconds(name, question) for _ in range(3)) < 0.3, question[:40]


def claim_seconds(name: str, question: str) -> float:
    """Processor time of one claim; what the collector of a long session adds to one, it does not add to three."""
    started = time.process_time()
    tool(name).claim(question, RESOURCES)
    return time.process_time() - started


def test_claims_are_quick() -> None:
    started = time.process_time()
    for case in CASES:
        for name in MODULES:
            tool(name).claim(case.question, RESOURCES)
    assert (time.process_time() - started) / (len(CASES) * len(MODULES)) < 0.002


LIGHT = """
import importlib, sys
from orchestrator.tools.base import Resources
for name in sys.argv[1:]:
    importlib.import_module(f"orchestrator.tools.{name}").claim("solve 2x = 4 km to miles", Resources())
    importlib.import_module(f"orchestrator.tools.{name}").claim("5 km to miles", Resources())
sys.exit(", ".join({"sympy", "pint", "numpy"} & set(sys.modules)) or 0)
"""


def test_claims_import_nothing_heavy(child_env: dict[str, str]) -> None:
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", LIGHT, *MODULES.values()]
    done = subprocess.run(command, env=child_env, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def sources() -> Iterator[Path]:
    yield from (Path(__file__).parents[1] / "orchestrator" / "tools").glob("*.py")


def called(tree: ast.AST) -> set[str]:
    """Names of the functions and methods that a module calls."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {func.id for func in calls if isinstance(func, ast.Name)} | {
        func.attr for func in calls if isinstance(func, ast.Attribute)
    }


@pytest.mark.parametrize("path", sorted(sources()), ids=lambda path: path.stem)
def test_no_code_is_executed(path: Path) -> None:
    names = called(ast.parse(path.read_text(encoding="utf-8")))
    assert not names & {
        "eval",
        "exec",
        "sympify",
        "parse_expr",
        "S",
        "literal_eval",
        "system",
        "lambdify",
        "__import__",
    }


@pytest.mark.parametrize("name", ["algebra", "units"])
def test_missing_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"orchestrator.tools.{name}.find_spec", dict[str, object]().get)
    question = {"algebra": "solve 2x = 4", "units": "3 hours in minutes"}[name]
    assert tool(name).claim(question, NOTHING) == Claim(0.0, "needs the extra `local`: pip install 'thinkroute[local]'")
    assert tool(name).claim("Who wrote Hamlet?", NOTHING) == Claim(0.0)
    with pytest.raises(ToolError, match="extra `local`"):
        tool(name).answer(question, NOTHING)


def test_examples_have_the_data_that_they_name() -> None:
    assert len(list((DATA / "docs").iterdir())) == 5
    assert (DATA / "sales.csv").is_file()
