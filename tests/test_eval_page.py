"""The HTML page of an eval as a reader meets it, in a real browser; and the same report in Markdown."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.evals.report import report_of
from orchestrator.evals.store import Store
from orchestrator.evals.suite import load_suite
from orchestrator.render.page import Shown, page
from orchestrator.render.page.labels import Anchor, Box, place
from orchestrator.render.page.scale import cost_scale, dollars, score_scale
from orchestrator.render.page.telling import MOST, told
from orchestrator.trace import read_trace
from tests.browser import Browser, Tab, chromium
from tests.conftest import ROOT
from tests.eval_world import Lab, lured, record, recorded_file, suite_folder, write_lines

HOSTILE = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>&lt;b&gt;'
CHOOSE = (
    "(() => {{ const e = document.querySelector('#{0}'); e.value = '{1}';"
    " e.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
)
"""Picks an option, as a reader would."""
READY = "document.documentElement.dataset.ready === 'yes'"


@pytest.fixture
def lab(tmp_path: Path, near_only: Path) -> Lab:
    folder = tmp_path / "lab"
    folder.mkdir()
    return Lab({"PYTHONPATH": str(near_only), "ORCHESTRATOR_HOME": str(tmp_path / "home")}, folder)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(chromium(), tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def opened(lab: Lab, browser: Browser) -> Opened:
    return Opened(lab, browser)


class Opened:
    """Makes pages of suites and opens them; whatever they did is held to the rules afterwards."""

    def __init__(self, lab: Lab, browser: Browser) -> None:
        self.lab, self.browser = lab, browser

    def page(self, *args: str, fragment: str = "", width: int = 1280, code: int = 0) -> Tab:
        """The page of an eval that is run with these arguments."""
        self.lab.run("run", *args, "--out", "run", "--html", "page.html", code=code)
        return self.again(fragment, width=width)

    def again(self, fragment: str = "", *, width: int = 1280) -> Tab:
        """The page that is there already."""
        tab = self.browser.open((self.lab.folder / "page.html").as_uri() + fragment, width=width)
        tab.until(READY)
        return tab

    def quiet(self, tab: Tab) -> bool:
        """Whether the page asked for nothing but itself and complained of nothing."""
        tab.js("new Promise((done) => setTimeout(done, 50))")
        here = (self.lab.folder / "page.html").as_uri()
        assert {url.partition("#")[0] for url in tab.requests} == {here}
        assert tab.complaints == []
        return True


def shown_count(tab: Tab) -> str:
    """What the page says of how many cases are shown."""
    return str(tab.js("document.querySelector('#count').textContent"))


def packed(page: str, *, index: bool) -> Any:  # noqa: ANN401 - JSON
    """What a page holds packed: its list of cases, or the first packet of whole ones."""
    mark = 'id="index"' if index else 'class="packet"'
    (text, *_) = re.findall(rf'<script type="text/plain" {mark}>([^<]*)</script>', page)
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_the_page_asks_for_nothing_and_draws_every_system(opened: Opened) -> None:
    tab = opened.page(str(ROOT / "evals" / "recorded_demo" / "suite.toml"))
    systems = opened.lab.report("report", "run")["systems"]
    for plot in ("wide.log", "wide.linear", "narrow.log", "narrow.linear"):
        assert tab.js(f"document.querySelectorAll('.plot.{plot} .point').length") == len(systems)
    assert tab.js("document.querySelectorAll('.plot.wide.log .ci').length") >= len(systems)
    assert tab.js("document.querySelectorAll('.systems tbody tr').length") == len(systems)
    assert tab.js("document.querySelector('h1').textContent") == "Do not route"
    visible = (
        "[...document.querySelectorAll('.plot')].filter((e) => e.getClientRects().length).map((e) => e.classList[2])"
    )
    assert tab.js(visible) == ["log"]
    tab.click("label[for=axis-linear]")
    assert tab.js(visible) == ["linear"]
    assert tab.js("[...document.querySelectorAll('#domains caption')].map((e) => e.textContent.split(' ')[0])") == [
        "spelling",
        "sums",
    ]
    assert tab.js("document.querySelector('#shares .card tr td:last-child').textContent") == "100.0%"
    assert opened.quiet(tab)


def test_a_point_tells_its_figures(opened: Opened) -> None:
    tab = opened.page(str(ROOT / "evals" / "recorded_demo" / "suite.toml"))
    tab.js("[...document.querySelectorAll('.plot.wide.log .point.router[tabindex]')].at(-1).focus()")
    tab.until("!document.querySelector('#tip').hidden")
    assert "plan: score 0.7812" in tab.js("document.querySelector('#tip').textContent")
    tab.press("Escape")
    tab.until("document.querySelector('#tip').hidden")
    assert opened.quiet(tab)


def test_a_case_opens_its_trace_by_a_click_and_by_its_address(opened: Opened) -> None:
    tab = opened.page(str(ROOT / "evals" / "recorded_demo" / "suite.toml"))
    tab.click("#rows tr:nth-child(3) a")
    tab.until("document.querySelector('#case').open")
    assert tab.js("location.hash") == "#case=spelling-test-03"
    steps = tab.js("[...document.querySelectorAll('.trace li')].map((e) => e.textContent)")
    (trace,) = (each["trace"] for each in opened.lab.results("run") if each["case"] == "spelling-test-03")
    assert len(steps) == len(told(read_trace(opened.lab.folder / "run" / trace).events))
    assert steps[0].startswith("runpool")
    assert any(step.startswith("reply") and "$0.000606" in step for step in steps)
    assert any(step.startswith("choice") and "before" in step for step in steps)
    assert steps[-1].startswith("ledger")
    assert tab.js("document.querySelectorAll('.models tbody tr').length") == 4
    tab.click("#later")
    tab.until("document.querySelector('#case-title').textContent === 'spelling-test-04'")
    tab.press("Escape")
    tab.until("!document.querySelector('#case').open && !location.hash.includes('case=')")
    assert opened.quiet(tab)
    linked = opened.again("#case=sums-test-07")
    assert linked.js("document.querySelector('#case').open")
    assert linked.js("document.querySelector('#case-title').textContent") == "sums-test-07"
    assert linked.js("document.querySelectorAll('.trace li').length") > 5
    assert opened.quiet(linked)
    gone = opened.again("#case=no%20such%2")
    assert "no such case" in gone.js("document.querySelector('#case-body').textContent")
    assert opened.quiet(gone)


def test_filters_leave_what_they_say(opened: Opened) -> None:
    tab = opened.page(str(ROOT / "evals" / "recorded_demo" / "suite.toml"))
    right = sum(each["score"] == 1 for each in json.loads(opened.lab.run("show", "run", "--json").stdout))
    assert shown_count(tab) == f"32 shown · {right} right"
    tab.write("#search", "CARPET backwards")
    assert shown_count(tab).startswith("1 of 32 shown")
    assert tab.js("document.querySelectorAll('#rows tr').length") == 1
    tab.js("document.querySelector('#search').value = ''")
    tab.js(CHOOSE.format("outcome", "wrong"))
    assert shown_count(tab) == f"{32 - right} of 32 shown · 0 right"
    tab.js(CHOOSE.format("outcome", "all"))
    tab.js(CHOOSE.format("task", "sums"))
    assert shown_count(tab).startswith("16 of 32 shown")
    tab.click("[data-sort=cost]")
    costs = tab.js("[...document.querySelectorAll('#rows td:nth-child(3)')].map((e) => Number(e.textContent.slice(1)))")
    assert costs == sorted(costs, reverse=True)
    assert tab.js("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "descending"
    assert opened.quiet(tab)


def test_hostile_text_is_shown_as_text(opened: Opened) -> None:
    draw = Random("hostile")
    rows = [record(n, draw) for n in range(9)]
    for each in rows[:5]:
        each.update(id=f"{HOSTILE}{each['id']}", question=f"{HOSTILE} {each['question']}", split="test", task=HOSTILE)
        for outcome in each["outcomes"].values():
            outcome["response"] = HOSTILE
    for each in rows:
        each["outcomes"]["&lt;img src=x onerror=alert(3)&gt; model"] = {**each["outcomes"]["large"], "cost_usd": 1e-9}
    write_lines(opened.lab.folder / "<b>hostile.jsonl", rows)
    tab = opened.page("<b>hostile.jsonl")
    assert tab.js("document.images.length") == 0
    assert tab.js("[...document.scripts].filter((e) => !e.type).length") == 1
    tab.write("#search", HOSTILE)
    assert shown_count(tab).startswith("5 ")
    tab.click("#rows a")
    tab.until("document.querySelector('#case').open")
    assert tab.js("document.querySelector('#case-title').textContent").startswith(HOSTILE)
    assert tab.js("document.querySelector('#case-body .quote').textContent").startswith(HOSTILE)
    assert HOSTILE in tab.js("document.querySelector('.trace').textContent")
    assert tab.js("document.images.length") == 0
    assert opened.quiet(tab)


@pytest.mark.parametrize("suite", ["evals/recorded_demo/suite.toml", "hostile", "sure"])
def test_nothing_is_wider_than_a_phone(opened: Opened, suite: str) -> None:
    if suite == "hostile":
        rows = [record(n, Random(n)) for n in range(12)]
        for each in rows:
            each.update(id="x" * 300 + each["id"], question="y" * 900, task="z" * 90)
            each["outcomes"] = {f"{'m' * 80}-{name}": got for name, got in each["outcomes"].items()}
        tab = opened.page(str(write_lines(opened.lab.folder / "wide.jsonl", rows)), width=390)
    elif suite == "sure":
        sure = 'confidence = "fit"\nabstain_below = 0.4\n[[systems]]\nanalyses = 3\n'
        folder = suite_folder(opened.lab.folder / "sure", f'[suite]\nrecorded = ["lured.jsonl"]\n{sure}', [])
        write_lines(folder / "lured.jsonl", lured(120, seed=5))
        tab = opened.page("sure", width=390)
        assert "ECE" in tab.js("document.querySelector('#confidence').textContent")
    else:
        tab = opened.page(str(ROOT / suite), width=390)
    assert tab.js("[document.documentElement.scrollWidth, innerWidth]") == [390, 390]
    assert tab.js("getComputedStyle(document.querySelector('.plot.wide')).display") == "none"
    tab.click("#rows a")
    tab.until("document.querySelector('#case').open")
    assert tab.js("document.querySelector('#case-body').scrollWidth <= 390")
    assert opened.quiet(tab)


def crowded(path: Path, models: int) -> Path:
    """A file of so many models, whose costs and scores lie all over the plot, some of them close together."""
    draw = Random("crowded")
    known = {
        f"provider/model-{n:02}-chat": (draw.uniform(0.4, 0.95), 10 ** draw.uniform(-5, -2)) for n in range(models)
    }

    def outcomes() -> dict[str, Any]:
        return {name: {"score": float(draw.random() < p), "cost_usd": usd} for name, (p, usd) in known.items()}

    rows = [{"id": f"c{n}", "question": f"What is {n}?", "outcomes": outcomes()} for n in range(80)]
    return write_lines(path, rows)


BOXES = """[...document.querySelectorAll('.plot')].filter((plot) => plot.getClientRects().length).flatMap((plot) => {
  const frame = plot.getBoundingClientRect();
  return [...plot.querySelectorAll('text')].map((text) => {
    const box = text.getBoundingClientRect();
    return [text.textContent, box.left - frame.left, box.top - frame.top, frame.right - box.right,
      frame.bottom - box.bottom, box.left, box.top, box.right, box.bottom];
  });
})"""
"""Every text of the plot that shows: its distances to the edges, and where it stands."""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("models", [4, 16])
def test_no_word_of_the_plot_is_cut_or_lies_over_another(opened: Opened, models: int, width: int) -> None:
    tab = opened.page(str(crowded(opened.lab.folder / "crowded.jsonl", models)), width=width)
    for axis in ("log", "linear"):
        tab.click(f"label[for=axis-{axis}]")
        found = tab.js(BOXES)
        assert [text for text, *edges in found if min(edges[:4]) < 0] == []
        boxes = [(text, Box(*edges[4:])) for text, *edges in found]
        assert [
            (text, other) for n, (text, box) in enumerate(boxes) for other, beside in boxes[:n] if box.touches(beside)
        ] == []
    assert opened.quiet(tab)


def test_light_and_dark_are_two_pictures(opened: Opened) -> None:
    opened.page(str(ROOT / "evals" / "recorded_demo" / "suite.toml"))
    address = (opened.lab.folder / "page.html").as_uri()
    for width in (1280, 390):
        pictures: list[bytes] = []
        for dark in (False, True):
            tab = opened.browser.open(address, width=width, dark=dark)
            tab.until(READY)
            tab.shot(opened.lab.folder / "shot.png")
            pictures.append((opened.lab.folder / "shot.png").read_bytes())
            assert int.from_bytes(pictures[-1][16:20], "big") == width
            lightness = "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)"
            assert (max(tab.js(lightness)) < 60) == dark
        assert pictures[0] != pictures[1]


def test_a_long_list_is_drawn_in_parts(opened: Opened) -> None:
    recorded_file(opened.lab.folder / "long.jsonl", 700)
    tab = opened.page("long.jsonl", "--no-traces", "--split", "all")
    assert shown_count(tab).startswith("700 shown")
    drawn = "document.querySelectorAll('#rows tr').length"
    before = tab.js(drawn)
    assert before < 700
    tab.js("document.querySelector('#more').scrollIntoView({behavior: 'instant'})")
    tab.until(f"{drawn} > {before}")
    assert "No traces were kept." in tab.js("document.querySelector('#cases').textContent")
    linked = opened.again("#case=c699")
    assert "No trace was kept of this run." in linked.js("document.querySelector('#case-body').textContent")
    assert opened.quiet(tab)
    assert opened.quiet(linked)


POOL = """
[pool]
goals = ["answer"]

[agents.first]
tool = "tools.py:first"
produces = "answer"
skill = 0.9

[agents.second]
tool = "tools.py:second"
produces = "answer"
skill = 0.4
"""
TOOLS = f"""
def first(question: str) -> str | None:
    if "break" in question:
        raise RuntimeError({HOSTILE!r})
    return None if "riddle" in question else "1"


def second(question: str) -> str | None:
    return None if "riddle" in question else "2"
"""
SUITE = '[suite]\nname = "own"\ndata = ["cases.jsonl"]\npool = "pool"\nscorer = "exact"\n'


def test_failures_ways_round_and_gates_are_told(opened: Opened) -> None:
    cases = [
        {"id": "plain", "question": "Say it", "reference": "1", "kind": "saying"},
        {"id": "broken", "question": "break it", "reference": "2", "kind": "saying"},
        {"id": "riddle", "question": "a riddle", "reference": "3", "kind": "riddle"},
    ]
    files = {"pool_in_pool__toml": POOL, "pool_in_tools__py": TOOLS}
    suite = suite_folder(opened.lab.folder / "own", SUITE, cases, **files)
    tab = opened.page(str(suite), "--fail-under", "0.9", code=3)
    assert "plan scores 0.6667, under 0.9" in tab.js("document.querySelector('.broken').textContent")
    assert "best-single: needs an outcome matrix" in tab.js("document.querySelector('#notes').textContent")
    broken = opened.again("#case=broken")
    steps = broken.js("[...document.querySelectorAll('.trace li')].map((e) => e.textContent)")
    assert any(step.startswith("failed") and HOSTILE in step for step in steps)
    assert any(step.startswith("reroute") and "second" in step for step in steps)
    riddle = opened.again("#case=riddle")
    assert "escalated" in riddle.js("document.querySelector('.trace').textContent")
    assert all(opened.quiet(each) for each in (tab, broken, riddle))


ROUTER = """
from orchestrator.protocol import Answer, Route, Turn
from orchestrator.routers import View


def broken(view: View) -> Turn:
    if view.question.text.endswith("3?"):
        raise ZeroDivisionError("a bug of the caller's")
    return Turn((Answer(),)) if view.replies else Turn(tuple(Route(each.name) for each in view.experts))
"""


def test_several_routers_their_repetitions_and_errors(opened: Opened) -> None:
    recorded_file(opened.lab.folder / "rec.jsonl", 40)
    (opened.lab.folder / "mine.py").write_text(ROUTER, encoding="utf-8")
    systems = ("--router", "plan", "--router", "mine.py:broken", "--repeat", "2")
    tab = opened.page("rec.jsonl", *systems, code=1)
    results = opened.lab.results("run")
    errors = [each for each in results if each["error"]]
    assert shown_count(tab).startswith(f"{len(results)} shown")
    assert len(errors) > 0
    tab.js(CHOOSE.format("system", "mine.py:broken"))
    assert shown_count(tab).startswith(f"{len(results) // 2} of {len(results)} shown")
    tab.js(CHOOSE.format("outcome", "error"))
    assert shown_count(tab) == f"{len(errors)} of {len(results)} shown · 0 right"
    assert set(tab.js("[...document.querySelectorAll('#rows .badge')].map((e) => e.textContent)")) == {"error"}
    tab.click("#rows a")
    tab.until("document.querySelector('#case').open")
    names = tab.js("[...document.querySelectorAll('.run > h3:first-child')].map((e) => e.textContent)")
    assert names == ["mine.py:broken", "mine.py:broken #2", "plan", "plan #2"]
    assert "ZeroDivisionError" in tab.js("document.querySelector('#case-body .run').textContent")
    assert opened.quiet(tab)


class Tags(HTMLParser):
    """What a page holds beside text: its tags, and every address in it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(  # noqa: D102 - HTMLParser's
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "poster", "data")]


def test_the_file_itself_names_nothing_outside(lab: Lab) -> None:
    lab.run("run", str(ROOT / "evals" / "recorded_demo" / "suite.toml"), "--out", "run", "--html", "page.html")
    page = (lab.folder / "page.html").read_text(encoding="utf-8")
    assert re.findall(r"\burl\(|@import|\bfetch\(|XMLHttpRequest|https?://", page) == []
    seen = Tags()
    seen.feed(page)
    assert set(seen.addresses) == {"data:,", "#cases"}
    assert seen.tags.count("h1") == 1
    assert {"iframe", "img", "object", "embed", "form action"} & set(seen.tags) == set()
    lab.run("report", "run", "--html", "again.html")
    assert (lab.folder / "again.html").read_text(encoding="utf-8") == page


def test_a_trace_that_is_gone_and_texts_that_are_long_are_said_to_be(lab: Lab) -> None:
    rows = [record(n, Random(n)) for n in range(3)]
    rows[0]["question"] = "long " * 4_000
    for outcome in rows[1]["outcomes"].values():
        outcome["response"] = "word " * 3_000
    write_lines(lab.folder / "long.jsonl", rows)
    lab.run("run", "long.jsonl", "--out", "run", "--split", "all")
    results = {each["case"]: each for each in lab.results("run")}
    lab.run("report", "run", "--html", "page.html")
    (first, second, third) = packed((lab.folder / "page.html").read_text(encoding="utf-8"), index=False)
    assert first["question"].endswith("more characters)")
    assert second["runs"][0]["answer"].endswith("more characters)")
    assert sum(len(step[2]) for step in second["runs"][0]["trace"]) < 2 * MOST
    assert third["runs"][0]["said"] == ""
    (lab.folder / "run" / results["c002"]["trace"]).unlink()
    assert "the trace is gone" in lab.run("report", "run", "--html", "page.html", code=2).stderr
    store, suite = Store(lab.folder / "run"), load_suite(lab.folder / "long.jsonl")
    done = list(store.done().values())
    shown = Shown(report_of(suite, done, run="run", head="", split="all"), suite, done, store.folder)
    third = packed(page(shown), index=False)[2]
    assert third["runs"][0]["said"] == f"The trace {results['c002']['trace']} is no longer there."


def test_markdown_marks_up_nothing_that_it_quotes(lab: Lab) -> None:
    rows = [record(n, Random(n)) for n in range(12)]
    for each in rows:
        each["outcomes"]["a|b *bold* &lt;"] = each["outcomes"].pop("large")
    write_lines(lab.folder / "rec.jsonl", rows)
    lab.run("run", "rec.jsonl", "--out", "run", "--fail-under", "1", "--markdown", "out.md", code=3)
    text, report = (lab.folder / "out.md").read_text(encoding="utf-8"), lab.report("report", "run")
    assert text.splitlines()[2].startswith("**do not route: ")
    table = [line for line in text.partition("## Systems")[2].partition("\n\n## ")[0].splitlines() if line]
    assert len(table) == len(report["systems"]) + 2
    assert {len(re.split(r"(?<!\\)\|", line)) for line in table} == {15}
    assert r"model:a\|b \*bold\* &amp;lt;" in text
    for section in ("## Comparisons", "## Gates that do not hold", "## Left out"):
        assert section in text
    assert report["head"] in text


numbers = st.floats(1e-9, 1e4)


@given(st.lists(numbers, min_size=1, max_size=12), st.booleans())
def test_every_cost_has_a_place_on_its_axis(costs: list[float], log: bool) -> None:
    scale = cost_scale(costs, 40, 900, log=log)
    places = [scale.at(cost) for cost in sorted(costs)]
    assert places == sorted(places)
    assert all(40 <= each <= 900 for each in places)
    assert 1 <= len(scale.ticks) <= 9
    assert all(scale.low <= tick <= scale.high * (1 + 1e-9) for tick in scale.ticks)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_every_score_has_a_place_on_its_axis(scores: list[float]) -> None:
    scale = score_scale(scores, 400, 10)
    assert 0 <= scale.low < scale.high <= 1
    assert all(scale.low - 1e-9 <= score <= scale.high + 1e-9 for score in scores)
    assert 2 <= len(scale.ticks) <= 8


points = st.tuples(st.floats(40, 900), st.floats(20, 480), st.text("abcdefgh-", min_size=1, max_size=24))


@given(st.lists(points, min_size=1, max_size=14))
def test_names_that_may_be_left_out_never_touch(found: list[tuple[float, float, str]]) -> None:
    anchors = [Anchor(x, y, text, must=False) for x, y, text in found]
    taken = [Box(x - 8, y - 8, x + 8, y + 8) for x, y, _ in found]
    area = Box(0, 0, 980, 500)
    placed = place(anchors, taken, [], area, size=12)
    boxes = [each.box for each in placed]
    assert all(box.within(area) for box in boxes)
    assert not any(box.touches(other) for index, box in enumerate(boxes) for other in [*boxes[:index], *taken])


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (None, "?"),
        (0.0, "$0"),
        (0.0004, "$0.0004"),
        (0.000398, "$0.000398"),
        (0.5, "$0.50"),
        (1234.5, "$1,234.50"),
        (1e-12, "<$0.000000001"),
    ],
)
def test_dollars_keep_what_they_tell(usd: float | None, shown: str) -> None:
    assert dollars(usd) == shown
