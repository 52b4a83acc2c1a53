"""Verification: every change of a trace is found, and every failed attempt without its one outcome."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.trace import (
    read_trace,
    silent_failures,
    verify,
)
from orchestrator.trace.events import (
    AttemptCancelled,
    BreakerChanged,
    Demoted,
    Escalated,
    Event,
    TurnTaken,
)
from orchestrator.trace.journal import GENESIS
from tests.traces import (
    MIDDLE,
    Folder,
    begin,
    done,
    fail,
    head_of,
    lines_of,
    outcomes,
    reply,
    slow_folder,
    started,
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


simple_events = st.one_of(
    st.integers(1, 9).map(lambda n: TurnTaken(turn=n, router="r", thought=None)),
    st.text(max_size=20).map(lambda text: BreakerChanged(key=text, before="closed", after="open")),
    st.builds(Escalated, attempt=st.none(), reason=st.text(max_size=8)),
)
bodies = st.lists(simple_events, min_size=1, max_size=6)


@slow_folder
@given(body=bodies, data=st.data())
def test_a_changed_byte_is_found(folder: Folder, body: list[Event], data: st.DataObject) -> None:
    path = folder.write([started(), *body, done()])
    whole, head = bytearray(path.read_bytes()), head_of(path)
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    assert not verify(read_trace(path), head=head).passed


@slow_folder
@given(body=bodies, data=st.data())
def test_a_removed_line_is_found(folder: Folder, body: list[Event], data: st.DataObject) -> None:
    path = folder.write([started(), *body, done()])
    lines, head = lines_of(path), head_of(path)
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    assert not verify(folder.reread(lines), head=head).passed


@slow_folder
@given(body=bodies, data=st.data())
def test_a_swapped_pair_of_lines_is_found(folder: Folder, body: list[Event], data: st.DataObject) -> None:
    path = folder.write([started(), *body, done()])
    lines, head = lines_of(path), head_of(path)
    one, other = data.draw(st.lists(st.integers(0, len(lines) - 1), min_size=2, max_size=2, unique=True))
    lines[one], lines[other] = lines[other], lines[one]
    assert not verify(folder.reread(lines), head=head).passed


CHANGES: list[tuple[Callable[[list[bytes]], list[bytes]], str]] = [
    (lambda lines: lines[1:], "line 1 does not follow the line before it"),
    (lambda lines: [*lines[:3], *lines[4:]], "line 4 has sequence number 5"),
    (lambda lines: [*lines, lines[-1]], "events stand after the end of the run"),
    (lambda lines: [*lines[:2], b"", *lines[2:]], "line 3 is no event: "),
    (lambda lines: [*lines[:2], b'{"type":"party"}', *lines[2:]], "line 3 is no event: "),
    (lambda lines: [lines[0], lines[1].replace(b'"run_id":"r"', b'"run_id":"s"')], "line 2 belongs to the run s"),
]


@pytest.mark.parametrize(("change", "fault"), CHANGES, ids=[fault for _, fault in CHANGES])
def test_faults_of_the_chain_name_their_line(
    folder: Folder, change: Callable[[list[bytes]], list[bytes]], fault: str
) -> None:
    lines = lines_of(folder.write([started(), *MIDDLE, done()]))
    verdict = verify(folder.reread(change(lines)))
    assert not verdict.consistent
    assert any(found.startswith(fault) for found in verdict.faults), verdict.faults


def test_only_the_head_finds_a_missing_end_or_a_whole_forgery(folder: Folder) -> None:
    path = folder.write([started(), *MIDDLE, done()])
    head, cut = head_of(path), folder.reread(lines_of(path)[:-1])
    assert verify(read_trace(path), head=head).passed
    assert (verify(cut).consistent, verify(cut).anchored, verify(cut).passed) == (True, None, True)
    assert (verify(cut, head=head).consistent, verify(cut, head=head).anchored) == (True, False)
    forged = read_trace(folder.write([started("another question"), *MIDDLE, done()]))
    assert verify(forged).passed
    assert not verify(forged, head=head).passed


def test_an_empty_file_is_no_run(folder: Folder) -> None:
    verdict = verify(folder.reread([]), head=GENESIS)
    assert verdict.faults == ("there is no event",)
    assert not verdict.passed


@pytest.mark.parametrize("number", range(5))
def test_a_failure_with_any_one_outcome_is_in_order(folder: Folder, number: int) -> None:
    body = [begin(1), fail(1), outcomes(1)[number], done()]
    verdict = verify(read_trace(folder.write([started(), *body])))
    assert (verdict.faults, verdict.ended) == ((), True)


FAULTS: list[tuple[str, list[Event], str]] = [
    ("no outcome", [begin(1), fail(1), done()], "attempt 1 failed or was left open without an outcome"),
    ("left open", [begin(1), done()], "attempt 1 failed or was left open without an outcome"),
    ("two outcomes", [begin(1), fail(1), *outcomes(1)[:2], done()], "attempt 1 has 2 outcomes"),
    ("the same outcome twice", [begin(1), fail(1), *outcomes(1)[:1] * 2], "attempt 1 has 2 outcomes"),
    ("an outcome of a reply", [begin(1), reply(1), outcomes(1)[0]], "attempt 1 has an outcome, but had not failed"),
    ("an outcome of nothing", [outcomes(7)[0]], "attempt 7 has an outcome, but had not failed"),
    ("an outcome too early", [begin(1), outcomes(1)[0], fail(1)], "attempt 1 has an outcome, but had not failed"),
    ("events after the end", [done(), begin(1)], "events stand after the end of the run"),
    ("started twice", [begin(1), begin(1)], "attempt 1 was started twice"),
    ("replied unasked", [reply(1)], "attempt 1 ended without having been started"),
    ("failed unasked", [fail(1)], "attempt 1 ended without having been started"),
    ("cancelled unasked", [AttemptCancelled(attempt=1)], "attempt 1 ended without having been started"),
    ("ended twice", [begin(1), reply(1), fail(1)], "attempt 1 ended twice"),
]


@pytest.mark.parametrize(("body", "fault"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_faults_of_attempts_are_found(folder: Folder, body: list[Event], fault: str) -> None:
    verdict = verify(read_trace(folder.write([started(), *body])))
    assert fault in verdict.faults
    assert not verdict.passed


def test_a_run_must_begin_with_its_question(folder: Folder) -> None:
    assert verify(read_trace(folder.write([begin(1)]))).faults == ("the first event is not run_started",)


def test_a_run_cut_short_may_have_open_failures(folder: Folder) -> None:
    trace = read_trace(folder.write([started(), begin(1), fail(1), begin(2)]))
    assert (verify(trace).faults, verify(trace).ended) == ((), False)
    assert silent_failures(trace.events) == [1, 2]


def test_an_outcome_of_no_attempt_is_no_fault(folder: Folder) -> None:
    body = [Demoted(attempt=None, from_goal="a", to_goal="b"), Escalated(attempt=None, reason="nobody"), done()]
    assert verify(read_trace(folder.write([started(), *body]))).passed
