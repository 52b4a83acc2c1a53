"""Writes a trace line by line, each chained to the one before, and reads it back."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import BinaryIO, Self

from platformdirs import user_state_path
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from orchestrator.errors import ConfigError, OrchestratorError, nearest
from orchestrator.trace.events import (
    AttemptCancelled,
    AttemptFailed,
    BreakerChanged,
    Event,
    Nested,
    Replied,
    Resumed,
    RunStarted,
    TryEnded,
    TryStarted,
    Waited,
    parse_event,
)
from orchestrator.trace.plain import plain
from orchestrator.trace.redaction import without_content

__all__ = ["GENESIS", "Journal", "Listener", "Trace", "find_trace", "read_trace", "runs_folder", "trace_files"]

GENESIS = "0" * 64
"""The `prev` of the first line."""

AT_ONCE = (
    RunStarted,
    TryStarted,
    TryEnded,
    Nested,
    Replied,
    AttemptFailed,
    AttemptCancelled,
    BreakerChanged,
    Waited,
    Resumed,
)
"""Events that say what happened outside, which no later thought can undo; a journal that holds writes them at once."""

Listener = Callable[[Event], None]
"""Is told every event when it has been written."""


def runs_folder(home: str | Path | None = None) -> Path:
    """Where traces are kept: `home`, `ORCHESTRATOR_HOME`, or the platform's state directory."""
    root = home or os.environ.get("ORCHESTRATOR_HOME")
    return (Path(root).expanduser() if root else user_state_path("orchestrator")) / "runs"


class Journal:
    """The trace of one run while it is written: every event is one flushed JSON line.

    Without a path nothing is written and there is no head; listeners are told all the same. While it is `holding`,
    what was decided is held back until `commit`, and written in one piece; what came of calls is written at once.
    """

    def __init__(
        self,
        run_id: str,
        path: Path | None,
        *,
        now: Callable[[], float],
        content: bool = True,
        listeners: tuple[Listener, ...] = (),
        tally: Listener | None = None,
        holding: bool = False,
    ) -> None:
        self.run_id = run_id
        self.path = path
        self.head: str | None = None
        self._seq = 0
        self._prev = GENESIS
        self._now = now
        self.content = content
        self._listeners = listeners
        self._tally = tally
        self._holding = holding
        self._held: list[Event] = []
        self._file: BinaryIO | None = None
        self._lock = RLock()
        self._closed = False
        self._failure: OSError | None = None
        self.fault: Exception | None = None
        """What a listener raised first."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb", buffering=0)
            if holding:
                _locked(self._file, path)

    @classmethod
    def again(
        cls,
        path: Path,
        *,
        now: Callable[[], float],
        listeners: tuple[Listener, ...] = (),
        tally: Listener | None = None,
    ) -> tuple[Self, Trace]:
        """The trace of a run that goes on, and what it holds so far; a torn last line goes to `FILE.torn`.

        Raises `ConfigError` where it cannot be read, is damaged, or is written by another process.
        """
        file = _opened_again(path)
        trace = read_trace(path)
        if trace.damage or not trace.events:
            file.close()
            raise ConfigError(trace.damage or "holds no event", file=str(path), expected="the whole trace of a run")
        if trace.torn:
            path.with_name(f"{path.name}.torn").write_bytes(trace.torn)
            file.truncate(path.stat().st_size - len(trace.torn))
        file.seek(0, os.SEEK_END)
        journal = cls(trace.run_id, None, now=now, listeners=listeners, tally=tally, holding=True)
        journal.path, journal._file = path, file
        journal._seq, journal._prev, journal.head = len(trace.events), trace.head or GENESIS, trace.head
        return journal, trace

    def write(self, event: Event) -> None:
        """Append an event; it is on its way to the disk before this returns.

        While holding, what was decided waits for `commit`. Raises OSError where it cannot be written, and
        `OrchestratorError` after the end. Runs nested in it write from threads of their own.
        """
        with self._lock:
            self._check_open()
            if self._holding and not isinstance(event, AT_ONCE):
                self._held.append(event)
                self._count(event)
            else:
                self._put((event,))

    def commit(self, event: Event) -> None:
        """Append what is held and an event behind it, all in one piece; raises as `write` does."""
        with self._lock:
            self._check_open()
            held, self._held = self._held, []
            self._put((*held, event), counted=len(held))

    @property
    def holds(self) -> bool:
        """Whether something waits for `commit`."""
        return bool(self._held)

    def drop(self) -> None:
        """Forget what is held: the step that decided it did not come to its end."""
        with self._lock:
            self._held = []

    def _check_open(self) -> None:
        if self._closed:
            raise OrchestratorError(f"the run {self.run_id} has ended")

    def _put(self, events: tuple[Event, ...], *, counted: int = 0) -> None:
        stamped = [self._stamped(event) for event in events]
        if self._file is not None:
            self._append(self._file, b"".join(line + b"\n" for _, line in stamped))
            self.head = self._prev
        for number, (event, _) in enumerate(stamped):
            if number >= counted:
                self._count(event)
            for listener in self._listeners:
                with _Hearing(self):
                    listener(event)

    def _stamped(self, event: Event) -> tuple[Event, bytes]:
        """The event in its place, and its line where there is a file."""
        self._seq += 1
        update: dict[str, object] = {
            "seq": self._seq,
            "time": datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds"),
            "run_id": self.run_id,
            "prev": self._prev,
        }
        stamped = event.model_copy(update=update)
        if self._file is None:
            return stamped, b""
        line = self._line(stamped)
        self._prev = sha256(line).hexdigest()
        return stamped, line

    def _count(self, event: Event) -> None:
        if self._tally is not None:
            self._tally(event)

    def raise_fault(self) -> None:
        """Raise what a listener raised first, if one did: not where it happened, so that every step ends whole."""
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault

    def close(self) -> None:
        """Close the file; writing ends here."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()

    def _append(self, file: BinaryIO, line: bytes) -> None:
        """Write a line whole; where that fails nothing is written after it, so that its rest is the last line."""
        if self._failure is not None:
            raise self._failure
        try:
            while line:  # a disk that is nearly full takes a part, and says so only by the count
                line = line[file.write(line) :]
        except OSError as error:
            self._failure = error
            raise

    def _line(self, event: Event) -> bytes:
        if not self.content:
            event = without_content(event)
        try:
            return event.model_dump_json().encode()
        except (PydanticSerializationError, UnicodeEncodeError):  # half surrogates, which no UTF-8 can hold
            return type(event).model_validate(plain(event)).model_dump_json().encode()


@dataclass(frozen=True, slots=True)
class _Hearing:
    """Keeps what a listener raises, so that no step of a run is left half done for it."""

    journal: Journal

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Keep the first fault; what ends the process goes on its way."""
        if isinstance(error, Exception) and self.journal.fault is None:
            self.journal.fault = error
        return isinstance(error, Exception)


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace as it stands in a file."""

    path: Path
    events: tuple[Event, ...]
    hashes: tuple[str, ...]
    """SHA-256 of each line."""
    torn: bytes = b""
    """What stands after the last whole line: a write that was cut short."""
    damage: str | None = None
    """The first line that is no event, if there is one; reading stops there."""

    @property
    def run_id(self) -> str:
        """Id of the run, from its first event."""
        return self.events[0].run_id if self.events else self.path.stem

    @property
    def head(self) -> str | None:
        """Hash of the last line."""
        return self.hashes[-1] if self.hashes else None


def _locked(file: BinaryIO, path: Path) -> None:
    """Keep other processes from writing the same trace, as long as the file is open; raises `ConfigError`."""
    try:
        import fcntl
    except ImportError:  # no such locks on this platform
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        expected = "a run that nobody else is at"
        raise ConfigError("another process is writing it", file=str(path), expected=expected) from error


def in_use(path: Path) -> bool:
    """Whether a process is writing a trace."""
    try:
        _opened_again(path).close()
    except ConfigError:
        return True
    return False


def _opened_again(path: Path) -> BinaryIO:
    try:
        file = path.open("r+b", buffering=0)
    except OSError as error:
        problem = f"cannot be opened: {error.strerror or error}"
        raise ConfigError(problem, file=str(path), expected="the trace of a run") from error
    _locked(file, path)
    return file


def read_trace(path: Path) -> Trace:
    """Read a trace as far as it is whole; a torn or damaged line is reported, not fatal."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror or error}", file=str(path), expected="a trace (*.jsonl)"
        ) from error
    *lines, torn = content.split(b"\n")
    events: list[Event] = []
    hashes: list[str] = []
    damage = None
    for number, line in enumerate(lines, start=1):
        try:
            events.append(parse_event(line))
        except ValidationError as error:
            damage = f"line {number} is no event: {error.errors(include_url=False)[0]['msg']}"
            break
        hashes.append(sha256(line).hexdigest())
    return Trace(path, tuple(events), tuple(hashes), torn, damage)


def trace_files(folder: Path) -> list[Path]:
    """Traces of a folder, newest first."""
    return sorted(folder.glob("*.jsonl"), key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def find_trace(run: str, folder: Path) -> Path:
    """The file of a run: a path, a run id, a unique beginning or end of one, or `last`; raises `ConfigError`."""
    if run.endswith(".jsonl") or os.sep in run:
        return Path(run)
    files = trace_files(folder) if folder.is_dir() else []
    if run == "last" and files:
        return files[0]
    found = [path for path in files if path.stem == run] or [
        path for path in files if path.stem.startswith(run) or path.stem.endswith(run)
    ]
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} runs match `{run}`" if found else f"there is no run `{run}`"
    known = [path.stem for path in files]
    raise ConfigError(
        problem, file=str(folder), expected="a run id, `last`, or the path of a trace", suggestion=nearest(run, known)
    )
