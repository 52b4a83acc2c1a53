"""Cassettes: record a provider's completions once, replay them without it; loud on what was not recorded."""

from __future__ import annotations

import asyncio
import difflib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from orchestrator.content import shown
from orchestrator.errors import AttemptError, ConfigError, FailureKind, ProviderError, RateLimited, ReplayMismatch
from orchestrator.messages import Usage
from orchestrator.pool import Model
from orchestrator.providers.answers import rows, table
from orchestrator.providers.base import Completion, Hearing, OnText, Preparing, Provider, Request
from orchestrator.providers.faults import had_begun, parsed

__all__ = [
    "CassetteCall",
    "RecordingProvider",
    "ReplayProvider",
    "call_key",
    "completed",
    "note_keys",
    "noted_keys",
    "read_cassette",
    "written",
]

_REQUEST = TypeAdapter(Request)
_NOTE = b'{"keys": '
"""How the line begins that says which keys were found; calls begin otherwise."""
CUT_OFF = "no reply in time"
"""The error of a call that was cut off from outside: by the time limit of a try, mostly."""
LONGEST_LINE = 2_000
"""Characters of a line of a difference that are shown."""
_LATER: Mapping[str, object] = {"schema": None, "first_tokens": 0}
"""What requests came to hold later, and what it is where it is not used."""
_ONCE: Mapping[str, object] = {"must_call": False}
"""What requests held once: the keys of all calls are made of it, so that old cassettes replay."""


class _Failure(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FailureKind
    error: str
    retry_after: float | None = None
    sent: bool = True
    begun: bool = False
    partial: str = ""
    usage: Usage | None = None


class CassetteCall(BaseModel):
    """One recorded call: what was asked of whom, and the completion or failure that came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    model: str
    request: dict[str, object]
    completion: Completion | None = None
    failure: _Failure | None = None
    part: str | None = None
    """What part of a larger work made it, where the calls of several stand in one file."""


class RecordingProvider:
    """Passes calls on and writes each with its outcome; no key and no address is among what it writes."""

    def __init__(self, inner: Provider, path: Path) -> None:
        self._inner = inner
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    async def prepare(self, model: Model) -> None:
        """Let the provider behind it prepare."""
        if isinstance(self._inner, Preparing):
            await self._inner.prepare(model)

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """What the provider behind it gives; a call cut off from outside is written as one that took too long."""
        heard: list[str] = []

        def hear(text: str) -> None:
            heard.append(text)
            if on_text is not None:
                on_text(text)

        try:
            hears = replace(on_text, on_text=hear) if isinstance(on_text, Hearing) else hear
            completion = await self._inner.complete(model, request, hears if on_text else None)
        except asyncio.CancelledError as cut:
            partial, begun = "".join(heard), bool(heard) or had_begun(cut)
            self._write(model, request, failure=_Failure(kind="timeout", error=CUT_OFF, begun=begun, partial=partial))
            raise
        except AttemptError as error:
            self._write(model, request, failure=_failure(error))
            raise
        self._write(model, request, completion=completion)
        return completion

    def keep(self, model: Model, request: Request, ended: Completion | AttemptError) -> None:
        """Write down how a call ended."""
        if isinstance(ended, AttemptError):
            self._write(model, request, failure=_failure(ended))
        else:
            self._write(model, request, completion=ended)

    def _write(
        self, model: Model, request: Request, *, completion: Completion | None = None, failure: _Failure | None = None
    ) -> None:
        asked = _asked(request)
        entry = CassetteCall(
            key=_key(model, asked), model=model.name, request=asked, completion=completion, failure=failure
        )
        with self._path.open("a", encoding="ascii", newline="\n") as cassette:
            cassette.write(written(entry))


class ReplayProvider:
    """Answers calls from a cassette, equal calls in the order of their recording."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: dict[str, list[CassetteCall]] = defaultdict(list)
        for entry in read_cassette(path):
            self._waiting[entry.key].append(entry)

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """The recorded completion; raises `ReplayMismatch` with the nearest recorded call where there is none."""
        asked = _asked(request)
        entries = self._waiting.get(_key(model, asked))
        if not entries:
            raise ReplayMismatch(self._unexpected(model, asked))
        return completed(entries.pop(0), on_text)

    def holds(self, model: Model, request: Request) -> bool:
        """Whether the call is among those recorded and not made yet."""
        return bool(self._waiting.get(call_key(model, request)))

    def finish(self) -> None:
        """Raise `ReplayMismatch` where recorded calls were not made."""
        unused = [entry for entries in self._waiting.values() for entry in entries]
        if unused:
            raise ReplayMismatch(
                f"{shown(self._path)}: {len(unused)} recorded calls were not made; the first is\n{_pretty(unused[0])}"
            )

    def _unexpected(self, model: Model, asked: dict[str, object]) -> str:
        """The call that was not recorded, beside the waiting one that is most like it."""
        here = _text(model.name, asked)
        waiting = [entry for entries in self._waiting.values() for entry in entries]
        problem = f"{shown(self._path)}: this call of {model.name} was not recorded"
        if not waiting:
            return f"{problem}, and all recorded calls are used up"
        texts = [_pretty(entry) for entry in waiting]
        matcher = difflib.SequenceMatcher(autojunk=False)
        matcher.set_seq2(here)

        def likeness(text: str) -> float:
            matcher.set_seq1(text)
            return matcher.quick_ratio()

        nearest = max(texts, key=likeness)
        lines = difflib.unified_diff(nearest.splitlines(), here.splitlines(), "recorded", "asked", lineterm="", n=1)
        return f"{problem}; the nearest recorded one differs:\n" + "\n".join(map(_shortened, lines))


def written(entry: CassetteCall) -> str:
    """A call as a line of a cassette."""
    plain = entry.model_dump(mode="json", exclude={"part"} if entry.part is None else None)
    return json.dumps(plain) + "\n"  # escaped: a model may write half a pair


def completed(entry: CassetteCall, on_text: OnText | None) -> Completion:
    """What a recorded call gave; raises the failure that it ended in."""
    if entry.failure is not None:
        if on_text is not None and entry.failure.partial:
            on_text(entry.failure.partial)
        raise _error(entry.failure)
    completion = entry.completion or Completion("")
    if on_text is not None and completion.text:
        on_text(completion.text)
    return completion


def read_cassette(path: Path) -> list[CassetteCall]:
    """The calls of a cassette; raises `ConfigError` naming file and line."""
    lines = enumerate(_lines(path), start=1)
    return [_entry(line, path, number) for number, line in lines if not line.startswith(_NOTE)]


def note_keys(path: Path, names: Iterable[str]) -> None:
    """Write down which variables held keys when the calls were recorded, by name: they say who was in the pool."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="ascii", newline="\n") as cassette:
        cassette.write(json.dumps({"keys": sorted(names)}) + "\n")


def noted_keys(path: Path) -> frozenset[str] | None:
    """Names of the variables that held keys at the recording; None where nobody wrote them down."""
    notes = [parsed(line) for line in _lines(path) if line.startswith(_NOTE)]
    found = [rows(table(note).get("keys")) for note in notes]
    return frozenset(name for names in found for name in names if isinstance(name, str)) if found else None


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise ConfigError(problem, file=shown(path), expected="a cassette (JSON lines)") from error


def _entry(line: bytes, path: Path, number: int) -> CassetteCall:
    try:
        entry = CassetteCall.model_validate(json.loads(line))
        what = "neither a completion nor a failure" if entry.completion is None and entry.failure is None else ""
    except ValidationError as error:
        what = error.errors(include_url=False)[0]["msg"]
    except (ValueError, RecursionError) as error:
        what = str(error)
    else:
        if not what:
            return entry
    raise ConfigError(f"is no recorded call: {what}", file=shown(path), field=f"line {number}")


def _asked(request: Request) -> dict[str, object]:
    """A request as it is written, and as keys are made of it: what came later stands in it only where it is used."""
    plain: dict[str, object] = _REQUEST.dump_python(request, mode="json")
    messages = [{k: v for k, v in table(m).items() if k != "images" or v} for m in rows(plain["messages"])]
    used = {key: value for key, value in plain.items() if key not in _LATER or value != _LATER[key]}
    return {**used, "messages": messages}


def call_key(model: Model, request: Request) -> str:
    """What tells a call apart from others: a hash of the model and of all that it is asked."""
    return _key(model, _asked(request))


def _key(model: Model, asked: dict[str, object]) -> str:
    return sha256(_text(model.name, asked).encode("utf-8", "backslashreplace")).hexdigest()


def _text(model: str, asked: dict[str, object]) -> str:
    return json.dumps({"model": model, **asked, **_ONCE}, indent=1, sort_keys=True, ensure_ascii=False)


def _pretty(entry: CassetteCall) -> str:
    return _text(entry.model, entry.request)


def _shortened(line: str) -> str:
    """A line for people; an image in it may have millions of characters."""
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"


def _failure(error: AttemptError) -> _Failure:
    if not isinstance(error, ProviderError):
        return _Failure(kind=error.kind, error=str(error), retry_after=error.retry_after)
    return _Failure(
        kind=error.kind,
        error=str(error),
        retry_after=error.retry_after,
        sent=error.sent,
        begun=error.begun,
        partial=error.partial,
        usage=error.usage,
    )


def _error(failure: _Failure) -> AttemptError:
    if failure.kind == "rate_limited":
        return RateLimited(failure.error, retry_after=failure.retry_after)
    return ProviderError(
        failure.error,
        kind=failure.kind,
        sent=failure.sent,
        begun=failure.begun,
        partial=failure.partial,
        usage=failure.usage,
        retry_after=failure.retry_after,
    )
