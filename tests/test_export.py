"""`trace export`: a flow chart that no text can break, a page that asks for nothing and runs nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import Orchestrator, Pool, ToolError
from orchestrator.render import mermaid, run_page
from orchestrator.trace import Trace, read_trace
from orchestrator.trace.events import RunStarted
from tests.experts import failing, giving
from tests.runs import ask
from tests.traces import started

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli

ASKED = "What is 17% of 2,340?"
HOSTILE = '</pre><script>alert("1")</script> "] --> x; %% `b` <img src=//evil.example/x> & #quot; \\n end\x1b[31m'

LABEL = r'"[^"`<>\[\]{}|\n]*"'
NODE = rf"(?:\w+(?:\[{LABEL}\]|\(\[{LABEL}\]\)|\[\[{LABEL}\]\]|\{{\{{{LABEL}\}}\}}|\[/{LABEL}/\])?)"
STATEMENT = re.compile(rf"    {NODE}(?: (?:-->|-\.->\|{LABEL}\|) {NODE})?")
"""All that a line of a chart may be."""


def traced(pool: Pool, folder: Path, asked: str = ASKED) -> Trace:
    """The trace of a run over a pool."""
    return read_trace(folder / f"{ask(Orchestrator(pool, trace=folder), folder, asked).decision.run_id}.jsonl")


def hostile_run(folder: Path) -> Trace:
    """A run in which everybody says what might break a page or a chart."""
    bad = giving("bad", ToolError(HOSTILE), skill=0.9, produces="cited")
    return traced(Pool([bad, giving("good", HOSTILE)], goals=["cited", "answer"]), folder, HOSTILE)


def sound(chart: str) -> list[str]:
    """The lines of a chart that are no statements of the grammar."""
    head, *lines = chart.splitlines()
    return [line for line in [head] if line != "flowchart TD"] + [
        line for line in lines if not STATEMENT.fullmatch(line)
    ]


class Read(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what is opened, with what it says."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Keep what is shown."""
        self.text += data


def test_a_chart_has_reroutes_dashed_and_ends_in_the_decision(tmp_path: Path) -> None:
    pool = Pool([failing("first"), giving("second", "yes", skill=0.6)])
    assert mermaid(traced(pool, tmp_path)).splitlines() == [
        "flowchart TD",
        '    n1(["What is 17% of 2,340?"])',
        '    n2["turn 1: plan"]',
        "    n1 --> n2",
        '    a1["first → answer"]',
        "    n2 --> a1",
        '    a1 --> f1{{"failed: tool"}}',
        '    a2["second → answer"]',
        '    f1 -.->|"rerouted"| a2',
        '    n3[["merge: first"]]',
        "    a2 --> n3",
        '    n4(["answered: yes"])',
        "    n3 --> n4",
    ]


def test_what_anybody_says_stays_inside_its_label(tmp_path: Path) -> None:
    chart = mermaid(hostile_run(tmp_path))
    assert sound(chart) == []
    assert "demoted" in chart


@given(st.text(max_size=80))
def test_no_question_breaks_a_chart(tmp_path_factory: pytest.TempPathFactory, question: str) -> None:
    first = started(question)
    assert isinstance(first, RunStarted)
    folder = tmp_path_factory.getbasetemp()
    assert sound(mermaid(Trace(folder / "x.jsonl", (first,), ("0" * 64,)))) == []


def test_a_page_runs_nothing_asks_for_nothing_and_shows_everything(tmp_path: Path) -> None:
    page = run_page(hostile_run(tmp_path))
    read = Read()
    read.feed(page)
    assert set(read.tags) <= {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "p",
        "h1",
        "ol",
        "li",
        "time",
        "span",
        "pre",
    }
    assert not {name for name, _ in read.attributes} & {"src", "href", "srcset", "onload", "style"}
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert '</pre><script>alert("1")</script>' in read.text
    assert "\x1b" not in page
    for said in ("demoted: cited → answer", "consistent · head", "(degraded)"):
        assert said in read.text


def test_the_command_writes_a_chart_or_a_page(cli: Cli, tmp_path: Path) -> None:
    cli("run", ASKED, "--quiet", "--fail", "algebra")
    chart = cli("trace", "export", "--mermaid").stdout
    assert sound(chart) == []
    assert '-.->|"rerouted"|' in chart
    done = cli("trace", "export", "last", "--html", "run.html")
    assert (done.returncode, done.stdout) == (0, "")
    assert "replaced by arithmetic" in (tmp_path / "run.html").read_text(encoding="utf-8")
    for wrong in ((), ("--mermaid", "--html", "x.html"), ("--mermaid", "--content")):
        assert cli("trace", "export", *wrong).returncode == 2
