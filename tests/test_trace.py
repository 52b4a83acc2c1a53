"""The trace: written whole, read back from any prefix, found by name."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ConfigError
from orchestrator.messages import Dissent, Goal, Usage
from orchestrator.trace import (
    Journal,
    find_trace,
    read_trace,
    runs_folder,
    trace_files,
    verify,
)
from orchestrator.trace.events import (
    AttemptFailed,
    AttemptStarted,
    Candidate,
    Escalated,
    Event,
    Merged,
    Planned,
    Replied,
    RunEnded,
    TryEnded,
    TryStarted,
    TurnTaken,
)
from orchestrator.trace.journal import GENESIS
from tests.traces import (
    MIDDLE,
    Folder,
    begin,
    decision,
    done,
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


ROOT = Path(__file__).parents[1]
CANARY = "canary-7f3a"


def test_what_is_written_is_read_back(folder: Folder) -> None:
    path = folder.write([started(), *MIDDLE, done()])
    trace = read_trace(path)
    assert [event.model_copy(update={"seq": 0, "time": "", "run_id": "", "prev": ""}) for event in trace.events] == [
        started(),
        *MIDDLE,
        done(),
    ]
    assert [event.seq for event in trace.events] == list(range(1, len(MIDDLE) + 3))
    assert {(event.time, event.run_id) for event in trace.events} == {("2023-11-14T22:13:20.123+00:00", "r")}
    assert (trace.torn, trace.damage, trace.run_id) == (b"", None, "r")


def test_lines_are_chained_by_the_hash_of_the_line_before(folder: Folder) -> None:
    path = folder.write([started(), *MIDDLE, done()])
    hashes = [sha256(line).hexdigest() for line in lines_of(path)]
    assert [event.prev for event in read_trace(path).events] == [GENESIS, *hashes[:-1]]
    assert read_trace(path).head == hashes[-1]


def test_any_prefix_of_a_trace_loads(folder: Folder) -> None:
    body = [begin(1), *MIDDLE[6:8], *MIDDLE[:1], done()]
    path = folder.write([started(), *body])
    whole, head = path.read_bytes(), head_of(path)
    for length in range(len(whole), -1, -1):
        os.truncate(path, length)
        trace = read_trace(path)
        lines, torn = whole[:length].count(b"\n"), whole[:length].rpartition(b"\n")[2]
        assert (len(trace.events), trace.torn, trace.damage) == (lines, torn, None)
        verdict = verify(trace, head=head)
        assert verdict.anchored == (length == len(whole))
        assert verdict.consistent == (lines > 0)
        assert verdict.ended == (lines == len(body) + 1)


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"seq":' + b"9" * 5_000 + b"}",
        b"\xff\xfe",
        b"null",
        b'{"type":"escalated","reason":"\\ud800"}',
    ],
    ids=["deep", "big", "ill-encoded", "null", "surrogate"],
)
def test_a_line_that_is_no_event_is_reported_and_reading_stops(folder: Folder, line: bytes) -> None:
    lines = lines_of(folder.write([started(), *MIDDLE, done()]))
    trace = folder.reread([*lines[:3], line, *lines[4:]])
    assert len(trace.events) == 3
    assert trace.damage
    assert trace.damage.startswith("line 4 is no event: ")
    assert verify(trace).faults == (trace.damage,)


@slow_folder
@given(content=st.binary(max_size=200))
def test_any_file_at_all_loads(folder: Folder, content: bytes) -> None:
    assert not verify(folder.reread([], content)).passed


SECRET: list[Event] = [
    started(CANARY).model_copy(update={"choices": (CANARY,)}),
    TurnTaken(turn=1, router="llm", thought=CANARY, answer=CANARY),
    Planned(
        goal=Goal("answer", CANARY),
        steps=(),
        weight=None,
        shared_weight=None,
        candidates=(Candidate(agent="a", artifact="answer", p=0.0, why_not=f"nothing on {CANARY}"),),
    ),
    AttemptStarted(attempt=1, agent="a", goal=Goal("answer", CANARY), toward=Goal("answer", CANARY, 2)),
    TryStarted(attempt=1, number=1, reserved_usd=None),
    TryEnded(attempt=1, number=1, usd=None, usage=Usage(), seconds=0.1, kind="tool", error=CANARY),
    AttemptFailed(attempt=1, agent="a", kind="tool", error=CANARY, tries=1),
    Escalated(attempt=1, reason=f"ValueError: {CANARY}"),
    begin(2),
    reply(2, {CANARY: [CANARY]}),
    Merged(method="first", answer=CANARY, support=("a",), dissent=(Dissent("b", CANARY),), reasons=(CANARY,)),
    RunEnded(
        how="decided",
        decision=decision(CANARY, [CANARY]).model_copy(update={"cost_usd": None, "usage": Usage()}),
        error=f"ValueError: {CANARY}",
    ),
]


def test_without_content_no_word_of_it_is_in_the_file(folder: Folder) -> None:
    shown, hidden = folder.write(SECRET), folder.write(SECRET, content=False)
    assert all(CANARY.encode() in line for line in lines_of(shown) if b"try_started" not in line and b"x2" not in line)
    assert CANARY.encode() not in hidden.read_bytes()
    assert verify(read_trace(hidden), head=head_of(hidden)).passed
    assert [event.type for event in read_trace(hidden).events] == [event.type for event in SECRET]


@pytest.mark.parametrize("event", [*MIDDLE, *outcomes(1)], ids=lambda event: event.type)
def test_without_content_what_is_nobodys_words_stays(folder: Folder, event: Event) -> None:
    shown, hidden = (read_trace(folder.write([event], content=content)).events[0] for content in (True, False))
    told = {"thought", "answer", "value", "error", "dissent"}
    assert hidden.model_dump(exclude=told) == shown.model_dump(exclude=told)


def test_without_content_a_limit_and_a_reason_of_ours_stay(folder: Folder) -> None:
    limit = Escalated(attempt=None, reason="limit:usd: a try may cost $1, $0.5 of $0.5 are left")
    ours = Candidate(agent="a", artifact="answer", p=0.5, why_not="its circuit breaker is open")
    planned = Planned(goal=Goal("answer"), steps=(), weight=None, shared_weight=None, candidates=(ours,))
    one, other = read_trace(folder.write([limit, planned], content=False)).events
    assert isinstance(one, Escalated)
    assert isinstance(other, Planned)
    assert (one.reason, other.candidates) == ("limit:usd", (ours,))


def test_listeners_hear_content_also_where_none_is_written(tmp_path: Path) -> None:
    heard: list[Event] = []
    journal = Journal("r", tmp_path / "r.jsonl", now=lambda: 0.0, content=False, listeners=(heard.append,))
    journal.write(reply(1, CANARY))
    journal.close()
    assert isinstance(heard[0], Replied)
    assert (heard[0].value, heard[0].seq, heard[0].run_id) == (CANARY, 1, "r")


def test_a_journal_without_a_path_writes_nothing_and_tells_its_listeners(tmp_path: Path) -> None:
    heard: list[Event] = []
    journal = Journal("r", None, now=lambda: 0.0, listeners=(heard.append,))
    journal.write(started())
    journal.write(done())
    journal.close()
    assert ([event.seq for event in heard], journal.head, list(tmp_path.iterdir())) == ([1, 2], None, [])


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError):
        Journal("r", path, now=lambda: 0.0)
    assert path.read_text(encoding="utf-8") == "precious"


LIMITED = """
import resource, signal, sys
from pathlib import Path
from orchestrator.trace import Journal
from orchestrator.trace.events import Escalated

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal("r", Path(sys.argv[1]), now=lambda: 0.0)
errors = []
for number in range(12):
    try:
        journal.write(Escalated(attempt=None, reason="x" * (300 if number < 6 else 1)))
    except OSError as error:
        errors.append(error.errno)
journal.close()
sys.stdout.write(" ".join(map(str, errors)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX's")
def test_a_full_disk_is_an_error_and_leaves_whole_lines_and_one_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "full.jsonl"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # it writes files, too
    env = {**kept, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    errors = [int(number) for number in ran.stdout.split()]
    trace = read_trace(path)
    assert set(errors) == {errno.EFBIG}
    assert len(errors) + len(trace.events) == 12, "every event is either in the file or was reported"
    assert path.stat().st_size == 1000
    assert (trace.damage, len(trace.torn) > 0) == (None, True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_device_is_an_error_at_the_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - the journal closes it

    def open_device(_path: Path, _mode: str, *, buffering: int) -> BinaryIO:
        assert buffering == 0
        return device

    monkeypatch.setattr(Path, "open", open_device)
    heard: list[Event] = []
    journal = Journal("r", Path("/dev/full"), now=lambda: 0.0, listeners=(heard.append,))
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            journal.write(started())
    journal.close()
    assert (journal.head, heard) == (None, [])


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of three runs, of which `20261121-b` is the last."""
    folder = tmp_path / "runs"
    folder.mkdir()
    for number, name in enumerate(["20261120-a1", "20261120-a2", "20261121-b"]):
        path = folder / f"{name}.jsonl"
        path.write_bytes(b"")
        os.utime(path, ns=(number, number))
    return folder


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("20261120-a1", "20261120-a1"),
        ("20261121", "20261121-b"),
        ("-b", "20261121-b"),
        ("a2", "20261120-a2"),
        ("last", "20261121-b"),
    ],
)
def test_a_run_is_found_by_id_beginning_end_or_as_the_last(runs: Path, asked: str, found: str) -> None:
    assert find_trace(asked, runs) == runs / f"{found}.jsonl"


def test_an_exact_id_wins_over_a_longer_one(runs: Path) -> None:
    (runs / "20261120-a11.jsonl").write_bytes(b"")
    assert find_trace("20261120-a1", runs).stem == "20261120-a1"


def test_a_path_is_taken_as_it_is(runs: Path, tmp_path: Path) -> None:
    path = runs / "20261120-a1.jsonl"
    assert find_trace(str(path), tmp_path) == path
    assert find_trace("elsewhere.jsonl", runs) == Path("elsewhere.jsonl")


def test_traces_are_listed_newest_first(runs: Path) -> None:
    assert [path.stem for path in trace_files(runs)] == ["20261121-b", "20261120-a2", "20261120-a1"]


def test_an_ambiguous_run_is_a_config_error(runs: Path) -> None:
    with pytest.raises(ConfigError, match="2 runs match `20261120`"):
        find_trace("20261120", runs)


def test_an_unknown_run_is_a_config_error_with_the_nearest_name(runs: Path) -> None:
    with pytest.raises(ConfigError, match="there is no run `20261121-c`") as caught:
        find_trace("20261121-c", runs)
    assert caught.value.suggestion == "20261121-b"
    assert caught.value.file == str(runs)


@pytest.mark.parametrize("asked", ["last", "20261121"])
def test_where_nothing_was_run_nothing_is_found(tmp_path: Path, asked: str) -> None:
    with pytest.raises(ConfigError, match="there is no run"):
        find_trace(asked, tmp_path / "nowhere")


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_trace(tmp_path / "missing.jsonl")


def test_runs_are_kept_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs_folder(tmp_path / "mine") == tmp_path / "mine" / "runs"
    assert runs_folder() == tmp_path / "home" / "runs", "ORCHESTRATOR_HOME as the tests set it"
    monkeypatch.delenv("ORCHESTRATOR_HOME")
    assert runs_folder().parts[-2:] == ("orchestrator", "runs")


def test_a_trace_of_nothing_is_named_after_its_file(tmp_path: Path) -> None:
    (tmp_path / "abc.jsonl").write_bytes(b'{"torn')
    trace = read_trace(tmp_path / "abc.jsonl")
    assert (trace.run_id, trace.head, trace.torn) == ("abc", None, b'{"torn')
