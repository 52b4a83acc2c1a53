"""Whatever an expert gives or a model says can be written into a trace and read again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from orchestrator.messages import Dissent, Goal, Usage
from orchestrator.trace import (
    read_trace,
    verify,
)
from orchestrator.trace.events import (
    AttemptFailed,
    Event,
    Merged,
    Planned,
    Replied,
    RunEnded,
    TryEnded,
    TryStarted,
    TurnTaken,
)
from orchestrator.trace.plain import plain
from tests.traces import (
    Folder,
    begin,
    decision,
    done,
    head_of,
    reply,
    slow_folder,
    started,
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@dataclass
class Record:
    """A value that is no JSON."""

    name: str
    inner: object = None


class Page(BaseModel):
    """Another one."""

    title: str
    inner: object = None


class Odd:
    """A third, known by its repr only."""

    def __repr__(self) -> str:
        return "Odd\ud800"


def circle() -> list[object]:
    """A list that holds itself."""
    held: list[object] = [1]
    held.append(held)
    return held


def well(depth: int) -> list[object]:
    """Lists in lists."""
    held: list[object] = []
    for _ in range(depth):
        held = [held]
    return held


VALUES: list[tuple[str, object, object]] = [
    ("half a surrogate", "half \ud800 surrogate", "half \\ud800 surrogate"),
    ("half a surrogate as key", {"\udc00": "\udfff"}, {"\\udc00": "\\udfff"}),
    ("bytes", b"\xff\x00", "\\xff\x00"),
    ("bytearray", bytearray(b"abc"), "abc"),
    ("odd keys", {b"\xff": 1, None: 2, (1, 2): 3}, {"\\xff": 1, "None": 2, "(1, 2)": 3}),
    ("too big a key", {2**20_000: 4}, {hex(2**20_000): 4}),
    ("no number", float("nan"), "NaN"),
    ("infinite", [float("inf"), {"x": float("-inf")}], ["Infinity", {"x": "-Infinity"}]),
    ("decimal", Decimal("1.10"), "1.10"),
    ("no decimal", Decimal("NaN"), "NaN"),
    ("big", 2**64, 2**64),
    ("too big", 2**20_000, hex(2**20_000)),
    ("set", {"b", "a", "c"}, ["a", "b", "c"]),
    ("set of the too big", {2**20_000}, [hex(2**20_000)]),
    ("tuples", (1, (2, [3])), [1, [2, [3]]]),
    ("records", Record("\ud800", Page(title="t", inner=Record("x"))), {
        "name": "\\ud800", "inner": {"title": "t", "inner": {"name": "x", "inner": None}},
    }),
    ("date", datetime(2026, 11, 21, tzinfo=UTC), "2026-11-21T00:00:00Z"),
    ("object", Odd(), "Odd\\ud800"),
    ("complex", 1j, "1j"),
    ("class", Record, repr(Record)),
    ("circle", circle(), [1, "…"]),
    ("nothing", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kept"), [case[1:] for case in VALUES], ids=[case[0] for case in VALUES])
def test_any_value_of_an_expert_is_survived(folder: Folder, value: object, kept: object) -> None:
    path = folder.write([started(), begin(1), reply(1, value), done()])
    trace = read_trace(path)
    assert verify(trace, head=head_of(path)).passed
    assert isinstance(trace.events[2], Replied)
    assert trace.events[2].value == kept


def test_depths_without_end_are_cut_off(folder: Folder) -> None:
    path = folder.write([started(), begin(1), reply(1, well(50_000)), done()])
    assert verify(read_trace(path)).passed
    assert "…" in path.read_text(encoding="utf-8")


def test_an_iterator_is_not_used_up_by_being_written(folder: Folder) -> None:
    numbers = iter([1, 2, 3])
    assert verify(read_trace(folder.write([started(), begin(1), reply(1, numbers), done()]))).passed
    assert list(numbers) == [1, 2, 3]


any_character = st.characters(exclude_categories=()) | st.characters(categories=["Cs"])
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(any_character), st.binary(max_size=8))
keys = st.text(any_character, max_size=3)
json_like = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=12
)


@pytest.mark.parametrize(
    "event",
    [
        AttemptFailed(attempt=1, agent="\udc80", kind="tool", error="half \ud800", tries=1),
        TryEnded(attempt=1, number=1, usd=Decimal("0.1000"), usage=Usage(1), seconds=float("inf"), error="\ud800"),
        Planned(goal=Goal("answer", "\ud800"), steps=("\ud800",), weight=0.5, shared_weight=None, candidates=()),
        Replied(attempt=1, agent="\ud800", value=["\ud800", 1], p=0.5, usd=Decimal(1), seconds=1.0),
        RunEnded(how="decided", decision=decision("\ud800")),
    ],
    ids=lambda event: event.type,
)
def test_half_a_surrogate_anywhere_is_written_out(folder: Folder, event: Event) -> None:
    path = folder.write([event])
    (kept,) = read_trace(path).events
    told = repr(kept.model_copy(update={"seq": 0, "time": "", "run_id": "", "prev": ""}))
    assert told == repr(event).replace("\\ud800", "\\\\ud800").replace("\\udc80", "\\\\udc80")


@slow_folder
@given(value=json_like, text=st.text(any_character), number=st.floats())
def test_whatever_is_written_is_read(folder: Folder, value: object, text: str, number: float) -> None:
    body: list[Event] = [
        started(text),
        TurnTaken(turn=1, router=text, thought=text),
        begin(1),
        TryStarted(attempt=1, number=1, reserved_usd=None),
        TryEnded(attempt=1, number=1, usd=None, usage=Usage(), seconds=number, error=text),
        Replied(attempt=1, agent=text, value=value, p=number, usd=None, seconds=number),
        Planned(goal=Goal("answer", text), steps=(text,), weight=number, shared_weight=number, candidates=()),
        Merged(method=text, answer=text, support=(text,), dissent=(Dissent(text, text),)),
        RunEnded(how="error", error=text),
    ]
    path = folder.write(body)
    trace = read_trace(path)
    assert (len(trace.events), trace.damage) == (len(body), None)
    assert verify(trace, head=head_of(path)).passed


@given(value=json_like)
def test_plain_values_are_plain(value: object) -> None:
    once = plain(value)
    assert repr(plain(once)) == repr(once)
