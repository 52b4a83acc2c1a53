"""Calls of a whole eval, kept in one file or in an eval's folder, that answer in place of all models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.content import shown
from orchestrator.errors import ConfigError, ReplayMismatch
from orchestrator.pool import Model
from orchestrator.providers import Completion, OnText, Request
from orchestrator.providers.replay import CassetteCall, call_key, completed, read_cassette, written

__all__ = ["KeptReplies", "call_path", "write_cassette"]


def call_path(folder: Path, part: str, before: int = 0) -> Path:
    """Where the calls of a part of an eval are kept, which was done so many times before."""
    return folder / "calls" / (f"{part}.{before + 1}.jsonl" if before else f"{part}.jsonl")


def write_cassette(path: Path, folder: Path) -> None:
    """Write the calls that an eval's results rest on into one file, whole or not at all."""
    parts = _parts_of_run(folder)
    lines = [written(each.model_copy(update={"part": part})) for part in sorted(parts) for each in parts[part]]
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.with_name(f"{path.name}.new")
    passing.write_text("".join(lines), encoding="ascii", newline="\n")
    passing.replace(path)


def _parts_of_run(folder: Path) -> dict[str, list[CassetteCall]]:
    """The calls of each part, of a part that was done several times those of the last time."""
    last: dict[str, Path] = {}
    for path in sorted((folder / "calls").glob("*.jsonl"), key=lambda path: (len(path.name), path.name)):
        last[path.name.partition(".")[0]] = path
    return {part: read_cassette(path) for part, path in last.items()}


class KeptReplies:
    """What models said in an eval, by the part of it that asked.

    A part that asked a call itself is answered as it was, in that order; others are answered as whoever asked it.
    """

    def __init__(self, parts: Mapping[str, Iterable[CassetteCall]]) -> None:
        self._own: dict[str, dict[str, list[CassetteCall]]] = {}
        self._any: dict[str, list[CassetteCall]] = {}
        for part in sorted(parts):
            calls = self._own.setdefault(part, defaultdict(list))
            for entry in parts[part]:
                calls[entry.key].append(entry)
            for key, entries in calls.items():
                self._any.setdefault(key, entries)

    @classmethod
    def of_run(cls, folder: Path) -> KeptReplies:
        """The calls of an eval, by its folder."""
        return cls(_parts_of_run(folder))

    @classmethod
    def of_cassette(cls, path: Path) -> KeptReplies:
        """The calls of a cassette; raises `ConfigError` where it cannot be read, or holds none."""
        parts: dict[str, list[CassetteCall]] = defaultdict(list)
        for entry in read_cassette(path):
            parts[entry.part or ""].append(entry)
        if not parts:
            raise ConfigError("holds no calls", file=shown(path), field="cassette", expected="--record to make them")
        return cls(parts)

    def door(self, part: str) -> _Replies:
        """The door to all models for a part of an eval."""
        own = {key: list(entries) for key, entries in self._own.get(part, {}).items()}
        return _Replies(own, self._any)


class _Replies:
    """Answers the calls of one part."""

    def __init__(self, own: dict[str, list[CassetteCall]], others: Mapping[str, list[CassetteCall]]) -> None:
        self._own = own
        self._others = others

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """The reply of then; raises `ReplayMismatch` where there is none, or none any more."""
        key = call_key(model, request)
        waiting = self._own.setdefault(key, list(self._others.get(key, ())))
        if not waiting:
            asked = "so often" if key in self._others else "this"
            raise ReplayMismatch(f"{model.name} was not asked {asked} before")
        return completed(waiting.pop(0), on_text)
