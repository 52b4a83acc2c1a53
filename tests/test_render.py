"""What the terminal shows: story, tree, why, tables and documents of real runs, held by snapshots."""

from __future__ import annotations

import asyncio
import io
import json
import re
from contextlib import suppress
from dataclasses import astuple, dataclass
from datetime import date
from decimal import Decimal
from math import log
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from orchestrator import Agent, Budget, Model, Orchestrator, Pool, Price, ScriptProvider, ToolError, Usage, expert
from orchestrator.messages import Failed
from orchestrator.render import (
    LiveRun,
    Screen,
    choices_table,
    document,
    list_traces,
    rows_table,
    show_trace,
    story_lines,
    trace_row,
    why_trace,
)
from orchestrator.render.columns import Rows
from orchestrator.render.screen import THEME, money, plain, seconds, visible
from orchestrator.render.tables import parts_of
from orchestrator.runtime import Clocks
from orchestrator.trace import read_trace
from orchestrator.trace.events import BreakerChanged, Event, Returned, Superseded, TryStarted
from orchestrator.weights import Rates
from tests.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.pool.registry import Member
    from orchestrator.runtime import Faults
    from orchestrator.trace import Trace

MARKUP = "[bold]loud[/bold] [/x] [link=a]b"
MARKUP_NAME = "[a]gent[/b]"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is drawn for 100 columns, without colour."""
    monkeypatch.setenv("COLUMNS", "100")


@dataclass
class Stage:
    """Makes runs whose times and ids are always the same."""

    folder: Path
    clock: FakeClock

    def says(self, name: str, reply: object, *, skill: float = 0.9, produces: str = "answer") -> Agent:
        """An expert that takes a quarter of a second; a `ToolError` among replies is raised."""

        async def tool(question: str) -> object:  # in no thread, so that the clock goes in one order
            self.clock.pass_by(0.25)
            if isinstance(reply, ToolError):
                raise reply
            return f"{question}: {reply}" if reply == "echo" else reply

        return Agent(name=name, tool=tool, skill=skill, produces=produces)

    def orchestrator(
        self, members: Pool | list[Member], *, analyses: int = 1, faults: Faults | None = None, content: bool = True
    ) -> Orchestrator:
        """An orchestrator by this stage's clock, writing `run-1.jsonl`."""
        return Orchestrator(
            members,
            analyses=analyses,
            faults=faults,
            content=content,
            trace=self.folder,
            clocks=Clocks(self.clock, lambda: 1_800_000_000.0),
            new_id=lambda: "run-1",
            sleep=self.clock.sleep,
        )

    def trace(self) -> Trace:
        """What was written."""
        return read_trace(self.folder / "run-1.jsonl")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A fresh stage."""
    return Stage(tmp_path, FakeClock())


def straight(stage: Stage) -> Trace:
    stage.orchestrator([stage.says("clever", "42")]).run_sync("What is it?")
    return stage.trace()


def rerouted(stage: Stage) -> Trace:
    members: list[Member] = [stage.says("clever", ToolError("out of order")), stage.says("slow", "42", skill=0.6)]
    stage.orchestrator(members).run_sync("What is it?")
    return stage.trace()


def demoted(stage: Stage) -> Trace:
    members = [stage.says("librarian", "42 [1]", produces="cited_answer"), stage.says("clever", "42")]
    pool = Pool(members, goals=["cited_answer", "answer"])
    stage.orchestrator(pool, faults=lambda agent, _, __: "refusal" if agent == "librarian" else None).run_sync("What?")
    return stage.trace()


def escalated(stage: Stage) -> Trace:
    members: list[Member] = [stage.says("clever", "42"), stage.says("slow", ToolError("too\nhard"), skill=0.6)]
    stage.orchestrator(members, faults=lambda agent, _, __: "injected" if agent == "clever" else None).run_sync("What?")
    return stage.trace()


def cancelled(stage: Stage) -> Trace:
    @expert
    async def sleeper(question: str) -> str:
        await asyncio.sleep(60)
        return question

    async def run() -> None:
        began = asyncio.Event()

        def watch(event: Event) -> None:
            if isinstance(event, TryStarted):
                began.set()

        task = asyncio.create_task(stage.orchestrator([sleeper]).run("What?", listeners=[watch]))
        await began.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
    return stage.trace()


def split(stage: Stage) -> Trace:
    members: list[Member] = [stage.says(name, reply) for name, reply in (("a", "42"), ("b", "41"), ("c", "42"))]
    stage.orchestrator(members, analyses=3).run_sync("What?")
    return stage.trace()


def rhyme(question: str) -> str:
    return question


def used(stage: str) -> str:
    return stage


def never(question: str) -> float:
    return 0.0 * len(question)


def list_one(trace: Trace, screen: Screen) -> None:
    list_traces([trace], screen)


def told(trace: Trace) -> str:
    """The story of a run as text."""
    return "\n".join(line.plain.rstrip() for line in story_lines(trace.events))


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without hashes and trailing blanks."""
    shown = re.sub(r"[0-9a-f]{64}", "HASH", capsys.readouterr().out)
    return "\n".join(line.rstrip() for line in shown.splitlines())


def test_story_of_a_straight_run(stage: Stage) -> None:
    assert told(straight(stage)) == snapshot("""\
think      cheapest way to answer: clever (weight 0.1054)
route      #1 clever → answer
reply      #1 clever 42 · $0 · 0.25 s
merge      first: supported by clever\
""")


def test_story_of_a_rerouted_run(stage: Stage) -> None:
    assert told(rerouted(stage)) == snapshot("""\
think      cheapest way to answer: clever (weight 0.1054)
route      #1 clever → answer
failed     #1 clever tool: out of order · 1 try
reroute    #1 clever replaced by slow
route      #2 slow → answer
reply      #2 slow 42 · $0 · 0.25 s
merge      first: supported by slow\
""")


def test_story_of_a_demoted_run(stage: Stage) -> None:
    assert told(demoted(stage)) == snapshot("""\
think      cheapest way to cited_answer: librarian (weight 0.1054)
route      #1 librarian → cited_answer
failed     #1 librarian refusal: injected fault · 1 try
demoted    cited_answer → answer
think      cheapest way to answer: clever (weight 0.1054)
route      #2 clever → answer
reply      #2 clever 42 · $0 · 0.25 s
merge      first: supported by clever\
""")


def test_story_of_an_escalated_run(stage: Stage) -> None:
    assert told(escalated(stage)) == snapshot("""\
think      cheapest way to answer: clever (weight 0.1054)
route      #1 clever → answer
failed     #1 clever injected: injected fault · 1 try
reroute    #1 clever replaced by slow
route      #2 slow → answer
failed     #2 slow tool: too hard · 1 try
escalated  nobody is left who can give `answer`\
""")


def test_story_of_a_cancelled_run(stage: Stage) -> None:
    assert told(cancelled(stage)) == snapshot("""\
think      cheapest way to answer: sleeper (weight 0.6931)
route      #1 sleeper → answer
cancelled  #1 sleeper\
""")


def test_tree_of_a_rerouted_run(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    show_trace(rerouted(stage), Screen())
    assert printed(capsys) == snapshot("""\
run run-1  pool pool · router plan · 1 analysis
What is it?
├── turn 1 cheapest way to answer: clever (weight 0.1054)
│   ├── route      #1 clever → answer
│   │   ├── failed     #1 clever tool: out of order · 1 try
│   │   └── reroute    #1 clever replaced by slow
│   └── route      #2 slow → answer
│       └── reply      #2 slow 42 · $0 · 0.25 s
└── merge      first: supported by slow
decision   42  (answered)
support    slow
because    rerouted: clever → slow (tool)
ledger     $0 · 0 tokens · 1 turn · 2 expert calls · 0 control calls · 1 reroute · 0.50 s
trace      consistent · head HASH\
""")


def test_tree_of_a_demoted_run(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    show_trace(demoted(stage), Screen())
    assert printed(capsys) == snapshot("""\
run run-1  pool pool · router plan · 1 analysis
What?
├── turn 1 cheapest way to cited_answer: librarian (weight 0.1054)
│   └── route      #1 librarian → cited_answer
│       ├── failed     #1 librarian refusal: injected fault · 1 try
│       └── demoted    cited_answer → answer
├── turn 2 cheapest way to answer: clever (weight 0.1054)
│   └── route      #2 clever → answer
│       └── reply      #2 clever 42 · $0 · 0.25 s
└── merge      first: supported by clever
decision   42  (degraded)
support    clever
because    demoted: cited_answer → answer
ledger     $0 · 0 tokens · 2 turns · 2 expert calls · 0 control calls · 0 reroutes · 0.25 s
trace      consistent · head HASH\
""")


def test_tree_of_a_divided_vote(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    show_trace(split(stage), Screen())
    assert printed(capsys) == snapshot("""\
run run-1  pool pool · router plan · 3 analyses
What?
├── turn 1 cheapest way to answer: a (weight 0.1054); b (weight 0.1054); c (weight 0.1054)
│   ├── route      #1 a → answer
│   │   └── reply      #1 a 42 · $0 · 0.25 s
│   ├── route      #2 b → answer
│   │   └── reply      #2 b 41 · $0 · 0.25 s
│   └── route      #3 c → answer
│       └── reply      #3 c 42 · $0 · 0.25 s
└── merge      vote: supported by a, c; 1 dissent
decision   42  (answered)
support    a, c
dissent    b: 41
ledger     $0 · 0 tokens · 1 turn · 3 expert calls · 0 control calls · 0 reroutes · 0.75 s
trace      consistent · head HASH\
""")


def test_tree_of_a_cancelled_run(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    show_trace(cancelled(stage), Screen())
    assert printed(capsys) == snapshot("""\
run run-1  pool pool · router plan · 1 analysis
What?
└── turn 1 cheapest way to answer: sleeper (weight 0.6931)
    └── route      #1 sleeper → answer
        └── cancelled  #1 sleeper
ended: cancelled: the run was cancelled
trace      consistent · head HASH\
""")


def test_why_of_a_rerouted_run(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    why_trace(rerouted(stage), Screen())
    assert printed(capsys) == snapshot("""\
weight = -ln(p) + 20 × USD + 0.01 × seconds; the cheapest way is taken, ties by name
think      cheapest way to answer: clever (weight 0.1054)

answer: clever (weight 0.1054)
expert  gives        p  USD   sec  weight     way  -ln(p)   money    time
clever  answer  0.9000   $0  0.00  0.1054  0.1054  0.1054  0.0000  0.0000  taken
slow    answer  0.6000   $0  0.00  0.5108  0.5108  0.5108  0.0000  0.0000  0.4055 dearer
failed     #1 clever tool: out of order · 1 try

answer: slow (weight 0.5108)
expert  gives        p  USD   sec  weight     way  -ln(p)   money    time
slow    answer  0.6000   $0  0.00  0.5108  0.5108  0.5108  0.0000  0.0000  taken
clever  answer  0.8571   $0  0.00       -       -       -       -       -  failed in this run
reroute    #1 clever replaced by slow
merge      first: supported by slow

decision   42  (answered)
support    slow
because    rerouted: clever → slow (tool)
ledger     $0 · 0 tokens · 1 turn · 2 expert calls · 0 control calls · 1 reroute · 0.50 s
""")


def test_why_of_an_escalated_run(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    why_trace(escalated(stage), Screen())
    assert printed(capsys) == snapshot("""\
weight = -ln(p) + 20 × USD + 0.01 × seconds; the cheapest way is taken, ties by name
think      cheapest way to answer: clever (weight 0.1054)

answer: clever (weight 0.1054)
expert  gives        p  USD   sec  weight     way  -ln(p)   money    time
clever  answer  0.9000   $0  0.00  0.1054  0.1054  0.1054  0.0000  0.0000  taken
slow    answer  0.6000   $0  0.00  0.5108  0.5108  0.5108  0.0000  0.0000  0.4055 dearer
failed     #1 clever injected: injected fault · 1 try

answer: slow (weight 0.5108)
expert  gives        p  USD   sec  weight     way  -ln(p)   money    time
slow    answer  0.6000   $0  0.00  0.5108  0.5108  0.5108  0.0000  0.0000  taken
clever  answer  0.8571   $0  0.00       -       -       -       -       -  failed in this run
reroute    #1 clever replaced by slow
failed     #2 slow tool: too hard · 1 try

no way to answer
expert  gives        p  USD   sec  weight  way
clever  answer  0.8571   $0  0.00       -    -  failed in this run
slow    answer  0.5714   $0  0.00       -    -  failed in this run
escalated  nobody is left who can give `answer`

decision   none  (escalated)
because    nobody is left who can give `answer`
because    tried: clever failed after 1 try (injected): injected fault
because    tried: slow failed after 1 try (tool): too hard
because    rerouted: clever → slow (injected)
ledger     $0 · 0 tokens · 1 turn · 2 expert calls · 0 control calls · 1 reroute · 0.25 s
""")


def test_why_of_a_divided_vote(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    why_trace(split(stage), Screen())
    assert printed(capsys) == snapshot("""\
weight = -ln(p) + 20 × USD + 0.01 × seconds; the cheapest way is taken, ties by name
think      cheapest way to answer: a (weight 0.1054); b (weight 0.1054); c (weight 0.1054)

answer: a (weight 0.1054)
expert  gives        p  USD   sec  weight     way  -ln(p)   money    time
a       answer  0.9000   $0  0.00  0.1054  0.1054  0.1054  0.0000  0.0000  taken
b       answer  0.9000   $0  0.00  0.1054  0.1054  0.1054  0.0000  0.0000  as cheap, later by name
c       answer  0.9000   $0  0.00  0.1054  0.1054  0.1054  0.0000  0.0000  as cheap, later by name

answer, analysis 2: b (weight 0.1054)
expert  gives        p  USD   sec  weight     way  -ln(p)   money    time
b       answer  0.9000   $0  0.00  0.1054  0.1054  0.1054  0.0000  0.0000  taken
c       answer  0.9000   $0  0.00  0.1054  0.1054  0.1054  0.0000  0.0000  as cheap, later by name
a       answer  0.9000   $0  0.00       -       -       -       -       -  serves another analysis

answer, analysis 3: c (weight 0.1054)
expert  gives        p  USD   sec  weight     way  -ln(p)   money    time
c       answer  0.9000   $0  0.00  0.1054  0.1054  0.1054  0.0000  0.0000  taken
a       answer  0.9000   $0  0.00       -       -       -       -       -  serves another analysis
b       answer  0.9000   $0  0.00       -       -       -       -       -  serves another analysis
merge      vote: supported by a, c; 1 dissent

decision   42  (answered)
support    a, c
dissent    b: 41
ledger     $0 · 0 tokens · 1 turn · 3 expert calls · 0 control calls · 0 reroutes · 0.75 s

Members, and what would have been decided without each
expert  side     said       p  USD  without it
a       support  42    0.9000   $0  41
b       dissent  41    0.9000   $0  the same: 42
c       support  42    0.9000   $0  the same: 42\
""")


def test_what_is_left_out_is_said_to_be(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.orchestrator([stage.says("clever", "42")], content=False).run_sync("What is it?")
    show_trace(stage.trace(), Screen())
    shown = printed(capsys)
    assert "(question left out)" in shown
    assert "#1 clever (left out)" in shown
    assert "42" not in shown.replace("HASH", "")


def test_table_of_choices(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    members: list[Member] = [
        stage.says("clever", "42"),
        stage.says("double", "42"),
        stage.says("slow", "42", skill=0.6),
        stage.says("builder", "42", produces="stage"),
        Agent(name="poet", tool=rhyme, claim=never),
        Agent(name="user", tool=used, consumes=("stage",), produces="other"),
    ]
    orchestrator = stage.orchestrator(members)
    for choice in orchestrator.explain("What?").choices:
        choices_table(choice, Screen(), Rates())
    choices_table(orchestrator.path("other"), Screen())
    choices_table(orchestrator.path("other"), Screen(), Rates())
    choices_table(orchestrator.path("other", without=["builder"]), Screen(), Rates())
    assert printed(capsys) == snapshot("""\
answer: clever (weight 0.1054)
expert  gives        p  USD   sec  weight     way  -ln(p)   money    time
clever  answer  0.9000   $0  0.00  0.1054  0.1054  0.1054  0.0000  0.0000  taken
double  answer  0.9000   $0  0.00  0.1054  0.1054  0.1054  0.0000  0.0000  as cheap, later by name
slow    answer  0.6000   $0  0.00  0.5108  0.5108  0.5108  0.0000  0.0000  0.4055 dearer
not for this question: poet
other: builder → user (weight 0.7985)
expert   gives       p  USD   sec  weight     way
user     other  0.5000   $0  0.00  0.6931  0.7985  taken
builder  stage  0.9000   $0  0.00  0.1054  0.1054  taken
other: builder → user (weight 0.7985)
expert   gives       p  USD   sec  weight     way  -ln(p)   money    time
user     other  0.5000   $0  0.00  0.6931  0.7985  0.7985  0.0000  0.0000  taken
builder  stage  0.9000   $0  0.00  0.1054  0.1054  0.1054  0.0000  0.0000  taken
no way to other
expert   gives       p  USD   sec  weight  way
user     other  0.5000   $0  0.00  0.6931    -  nobody can give it stage
builder  stage  0.9000   $0  0.00       -    -  left out\
""")


PRICED = Model(
    name="script:m", price=Price(input=Decimal(40), output=Decimal(200), as_of=date(2026, 11, 1), source="t")
)
PAID = Agent(name="paid", model="script:m", skill=0.8, seconds=12.0)


@pytest.mark.parametrize("rates", [Rates(), Rates.preferring("cheap"), Rates(0.0, 3.5)])
def test_the_parts_of_a_way_add_up_to_it(stage: Stage, rates: Rates) -> None:
    staged = (stage.says("builder", "42", produces="stage"), Agent(name="user", tool=used, consumes=("stage",)))
    members: list[Member] = [PRICED, PAID, stage.says("clever", "42"), *staged]
    budget, script = Budget(usd=Decimal(9)), {"script": ScriptProvider({})}
    choice = Orchestrator(members, prefer=rates, budget=budget, providers=script, trace=False).path()
    ways = {c.agent: (c, parts_of(c, rates)) for c in choice.candidates}
    for name, (chance, money_part, time_part) in {
        "clever": (-log(0.9), 0.0, 0.0),
        "paid": (-log(0.8), rates.cost_weight * float(ways["paid"][0].usd or 0), rates.time_weight * 12.0),
    }.items():
        candidate, parts = ways[name]
        assert parts is not None
        assert astuple(parts) == pytest.approx((chance, money_part, time_part))
        assert sum(astuple(parts)) == pytest.approx(candidate.through)
    assert float(ways["paid"][0].usd or 0) > 0.01
    user, split = ways["user"]
    assert split is not None
    assert sum(astuple(split)) == pytest.approx(user.through)
    assert split.chance > -log(user.p or 1), "the stage before it counts as well"


def test_choices_are_drawn_for_the_width_that_there_is(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    members: list[Member] = [
        PRICED,
        PAID,
        stage.says("a_rather_long_name_of_an_expert", "42"),
        Agent(name="poet", tool=rhyme),
    ]
    budget, script = Budget(usd=Decimal(9)), {"script": ScriptProvider({})}
    choice = Orchestrator(members, budget=budget, providers=script, trace=False).path()
    shown: dict[str, str] = {}
    for width in ("120", "100", "60", "40"):
        monkeypatch.setenv("COLUMNS", width)
        stream = io.StringIO()
        monkeypatch.setattr("sys.stdout", stream)
        choices_table(choice, Screen(), Rates())
        shown[width] = "\n".join(line.rstrip() for line in stream.getvalue().splitlines())
        assert max(map(len, shown[width].splitlines())) <= int(width)
    assert shown["120"] == snapshot("""\
answer: a_rather_long_name_of_an_expert (weight 0.1054)
expert                           gives        p      USD    sec  weight     way  -ln(p)   money    time
a_rather_long_name_of_an_expert  answer  0.9000       $0   0.00  0.1054  0.1054  0.1054  0.0000  0.0000  taken
poet                             answer  0.5000       $0   0.00  0.6931  0.6931  0.6931  0.0000  0.0000  0.5878 dearer
paid                             answer  0.8000  $0.2048  12.00  4.4391  4.4391  0.2231  4.0960  0.1200  4.3338 dearer\
""")
    assert shown["100"] == snapshot("""\
answer: a_rather_long_name_of_an_expert (weight 0.1054)
a_rather_long_name_of_an_expert  taken
  p 0.9000 · USD $0 · sec 0.00 · way 0.1054 · -ln(p) 0.1054 · money 0.0000 · time 0.0000
poet  0.5878 dearer
  p 0.5000 · USD $0 · sec 0.00 · way 0.6931 · -ln(p) 0.6931 · money 0.0000 · time 0.0000
paid  4.3338 dearer
  p 0.8000 · USD $0.2048 · sec 12.00 · way 4.4391 · -ln(p) 0.2231 · money 4.0960 · time 0.1200\
""")
    assert shown["60"] == snapshot("""\
answer: a_rather_long_name_of_an_expert (weight 0.1054)
a_rather_long_name_of_an_expert  taken
  p 0.9000 · USD $0 · sec 0.00 · way 0.1054 · -ln(p) 0.1054
  money 0.0000 · time 0.0000
poet  0.5878 dearer
  p 0.5000 · USD $0 · sec 0.00 · way 0.6931 · -ln(p) 0.6931
  money 0.0000 · time 0.0000
paid  4.3338 dearer
  p 0.8000 · USD $0.2048 · sec 12.00 · way 4.4391
  -ln(p) 0.2231 · money 4.0960 · time 0.1200\
""")
    assert shown["40"] == snapshot("""\
answer: a_rather_long_name_of_an_expert
(weight 0.1054)
a_rather_long_name_of_an_expert  taken
  p 0.9000 · USD $0 · sec 0.00
  way 0.1054 · -ln(p) 0.1054
  money 0.0000 · time 0.0000
poet  0.5878 dearer
  p 0.5000 · USD $0 · sec 0.00
  way 0.6931 · -ln(p) 0.6931
  money 0.0000 · time 0.0000
paid  4.3338 dearer
  p 0.8000 · USD $0.2048 · sec 12.00
  way 4.4391 · -ln(p) 0.2231
  money 4.0960 · time 0.1200\
""")


CELLS = st.text("ab 0é漢·-", max_size=30).map(Text)


@given(data=st.data(), columns=st.integers(1, 5), width=st.integers(8, 80), named=st.booleans())
def test_whatever_is_shown_in_rows_is_shown_whole(
    data: st.DataObject, columns: int, width: int, *, named: bool
) -> None:
    header = "vwxyz"[:columns]
    cells = data.draw(st.lists(st.lists(CELLS, min_size=columns, max_size=columns), min_size=1, max_size=4))
    console = Console(file=io.StringIO(), width=width, theme=THEME, soft_wrap=data.draw(st.booleans()))
    with console.capture() as shown:
        console.print(Rows(header, cells, right=header[:1], named=named))
    lines = shown.get().splitlines()
    assert all(cell_len(line.rstrip()) <= width for line in lines)
    for letter in "ab0é漢-":
        given_letters = sum(cell.plain.count(letter) for row in cells for cell in row)
        assert shown.get().count(letter) == given_letters


def test_nobody_to_choose_from_leaves_no_empty_table(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    poet = Agent(name="poet", tool=rhyme, claim=never)
    for choice in stage.orchestrator([poet]).explain("What?").choices:
        choices_table(choice, Screen())
    assert printed(capsys) == snapshot("""\
no way to answer
not for this question: poet\
""")


def test_table_of_runs(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    trace = rerouted(stage)
    cut = type(trace)(Path("cut.jsonl"), trace.events[:-1], trace.hashes[:-1])
    empty = type(trace)(Path("empty.jsonl"), (), ())
    list_traces([trace, cut, empty], Screen())
    assert printed(capsys) == snapshot("""\
run    status     cost  seconds  question
run-1  answered     $0   0.50 s  What is it?
run-1  not ended    $?      ? s  What is it?
empty  not ended    $?      ? s\
""")
    assert trace_row(empty)["status"] == "not ended"


def test_rows_without_a_header(capsys: pytest.CaptureFixture[str]) -> None:
    rows_table([("a", MARKUP), ("long", "2")], Screen())
    rows_table([], Screen(), header=("name", "value"))
    assert printed(capsys) == snapshot("""\
a     [bold]loud[/bold] [/x] [link=a]b
long  2
name  value\
""")


@pytest.mark.parametrize("draw", [show_trace, why_trace, list_one])
def test_markup_in_texts_is_shown_literally(
    stage: Stage, capsys: pytest.CaptureFixture[str], draw: Callable[[Trace, Screen], None]
) -> None:
    members: list[Member] = [stage.says(MARKUP_NAME, ToolError(MARKUP)), stage.says("b", "echo", skill=0.6)]
    with LiveRun(Screen()) as live:
        live.decided(stage.orchestrator(members).run_sync(MARKUP, listeners=[live]), None)
    shown = printed(capsys)
    assert f"#1 {MARKUP_NAME} tool: {MARKUP}" in shown
    assert f"decision   {MARKUP}: echo  (answered)" in shown
    draw(stage.trace(), Screen())
    assert MARKUP in printed(capsys)


def test_what_steers_a_terminal_is_written_out(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.orchestrator([stage.says("clever", "\x1b[2Jgone\x07\nnext \x9b31m")]).run_sync("\x1b]0;title\x07?")
    show_trace(stage.trace(), Screen())
    shown = capsys.readouterr().out
    assert not set(shown) & {"\x1b", "\x07", "\x9b"}
    assert "\\x1b]0;title\\x07?" in shown
    assert visible("a\tb\nc\r\x00") == "a\tb\nc\\x0d\\x00"


def test_a_quiet_or_json_screen_keeps_stdout_clean(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    for screen, told_on_stderr in ((Screen(quiet=True), False), (Screen(json=True), True)):
        (stage.folder / "run-1.jsonl").unlink(missing_ok=True)
        with LiveRun(screen) as live:
            decision = stage.orchestrator([stage.says("clever", "42")]).run_sync("What?", listeners=[live])
            live.decided(decision, "there.jsonl")
        out, err = capsys.readouterr()
        assert (out, bool(err)) == ("", told_on_stderr)
    Screen(quiet=True).answer(MARKUP)
    Screen().fail(MARKUP)
    Screen().note(MARKUP)
    assert capsys.readouterr() == (f"{MARKUP}\n", f"error: {MARKUP}\n{MARKUP}\n")


def test_rare_outcomes_have_a_line() -> None:
    events = (
        Superseded(attempt=1, reason="answer had been reached by a sibling"),
        Returned(attempt=2, reason="nobody can serve the route to poet"),
        BreakerChanged(key="openai:a", before="closed", after="open", seconds=30.0),
        BreakerChanged(key="openai:a", before="open", after="half_open"),
    )
    assert "\n".join(line.plain for line in story_lines(events)) == snapshot("""\
superseded #1 ? answer had been reached by a sibling
returned   #2 ? nobody can serve the route to poet
breaker    openai:a is open for 30 s
breaker    openai:a is half-open\
""")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.10"), "0.10"),
        (Decimal(0), "0"),
        (Decimal("1E-20"), "0.00000000000000000001"),
        (Decimal("1E+20"), "100000000000000000000"),
        (
            Decimal("123456789012345678901234567890.000000000000000001"),
            "123456789012345678901234567890.000000000000000001",
        ),
        (Decimal("NaN"), "null"),
        (None, "null"),
        (2**64, str(2**64)),
        (-(10**30), str(-(10**30))),
        (float("inf"), "null"),
        (True, "true"),
        ("half \ud800 a pair", '"half \\\\ud800 a pair"'),
        (Path("a/b"), '"a/b"'),
    ],
    ids=repr,
)
def test_a_document_keeps_the_digits_and_can_always_be_read(value: object, text: str) -> None:
    assert document(value) == text
    assert document({"in": [value]}) == f'{{\n  "in": [\n    {text}\n  ]\n}}'
    json.loads(document({"in": (value,), "half": "\udfff", "records": [Usage(1, 2), Failed("a", "tool", "e", 1)]}))


def test_a_document_refuses_what_is_no_data() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        document({"file": io.StringIO()})


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "$?"),
        ("0", "$0"),
        ("0.10", "$0.10"),
        ("0.0000123", "$0.000012"),
        ("0.0000001", "<$0.000001"),
        ("12345", "$12,345.00"),
        ("1E+30", "$1,000,000,000,000,000,000,000,000,000,000.00"),
    ],
)
def test_money_for_people(usd: str | None, text: str) -> None:
    assert money(None if usd is None else Decimal(usd)) == text


def test_seconds_and_lines_for_people() -> None:
    assert [seconds(value) for value in (None, 0.0, 0.004, 99.9, 1234.5)] == [
        "? s", "0.00 s", "0.00 s", "99.90 s", "1234 s",
    ]  # fmt: skip
    assert plain("a\n b\t c " + "d" * 200, width=12) == "a b c ddddd…"
