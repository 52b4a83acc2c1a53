"""A file of questions in, a file of decisions out: what is there already is not asked again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, Self, cast

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, model_validator

from orchestrator.budget import ALL_TOGETHER
from orchestrator.content import shown
from orchestrator.errors import ConfigError
from orchestrator.keeping import digest_of
from orchestrator.messages import Asked, Decision, Question, as_question
from orchestrator.pipeline.many import Outcome

__all__ = ["Answers", "Line", "Posed", "not_paid_for", "read_lines"]


class Line(BaseModel):
    """One question of a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | int | None = None
    """What its answer is told by; the number of its line where it has none."""
    question: str | None = None
    messages: tuple[dict[str, JsonValue], ...] | None = None
    """A conversation in its place, as OpenAI writes it."""
    kind: str | None = None
    choices: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.question is None) == (self.messages is None):
            raise ValueError("either `question` or `messages`")
        return self

    def asked(self) -> Question:
        """The question as a run takes it; raises `ConfigError` where it is none."""
        said: Asked = self.question if self.question is not None else cast("Asked", self.messages)
        return Question(as_question(said).messages, kind=self.kind, choices=self.choices)


@dataclass(frozen=True, slots=True)
class Posed:
    """A question of a batch: what it is told by, and where it stands."""

    name: str
    line: int
    question: Question

    def digest(self, goal: str) -> str:
        """A short name for what is asked, goal included: another one is another question."""
        asked = self.question
        said = [(message.role, message.content, message.images) for message in asked.messages]
        return digest_of([goal, said, asked.kind, asked.choices])


def read_lines(path: Path) -> Iterator[Posed]:
    """The questions of a JSON lines file; raises `ConfigError` that names the line.

    A line is an object with `question` or `messages`, and perhaps `id`, `kind` and `choices`; or a text in quotes.
    """
    ids: set[str] = set()
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield _question(text, number, path, ids)
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "is no text in UTF-8"
        raise ConfigError(f"cannot be read: {problem}", file=shown(path), expected="JSON lines") from error


def _question(text: str, number: int, path: Path, ids: set[str]) -> Posed:
    where = f"line {number}"
    try:
        given: object = json.loads(text)
        line = Line.model_validate({"question": given} if isinstance(given, str) else given)
        asked = line.asked()
    except json.JSONDecodeError as error:
        raise ConfigError(f"is no JSON: {error.msg}", file=shown(path), field=where) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join([where, *map(str, first["loc"])])
        raise ConfigError(first["msg"], file=shown(path), field=at, expected="`question` or `messages`") from error
    except ConfigError as error:
        raise ConfigError(error.problem, file=shown(path), field=where, expected=error.expected) from error
    name = str(number if line.id is None else line.id)
    if name in ids:
        raise ConfigError(f"the id `{name}` stands twice", file=shown(path), field=where, expected="an id of its own")
    ids.add(name)
    return Posed(name, number, asked)


def not_paid_for(status: object, reasons: Iterable[object]) -> bool:
    """Whether a run came to no decision because what all runs may take together was not enough for it."""
    short = (isinstance(each, str) and each.startswith("limit:") and f"for {ALL_TOGETHER}" in each for each in reasons)
    return status == "escalated" and any(short)


@dataclass(slots=True)
class Answers:
    """The file that decisions are written to: one JSON line each, flushed, in the order in which they come.

    What an earlier run wrote is kept: `done` are the ids with a decision, `failed` those with an error, `unpaid` those
    for which the money of all was not enough, `spent` what they cost together. A torn last line goes to `FILE.torn`.
    """

    path: Path
    encode: Callable[[object], str]
    """A value as one line of JSON."""
    done: set[str] = field(default_factory=set[str])
    failed: set[str] = field(default_factory=set[str])
    unpaid: set[str] = field(default_factory=set[str])
    spent: Decimal = Decimal(0)
    asked: dict[str, tuple[int, str | None]] = field(default_factory=dict[str, "tuple[int, str | None]"])
    """By id: the line that holds its outcome, and the digest of what was asked; older files have none."""
    _file: BinaryIO | None = None

    def __enter__(self) -> Self:
        """Read what is there, and open the file for more; raises `ConfigError` where it holds something else."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._read()
        self._file = self.path.open("ab", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()

    def check(self, path: Path, goal: str, names: Collection[str]) -> int:
        """Hold the questions of a file to what was asked under their ids, of those in `names`.

        The number of outcomes that say nothing of what was asked. Raises `ConfigError` for another question.
        """
        untold = 0
        for posed in read_lines(path):
            line, digest = self.asked[posed.name] if posed.name in names else (0, "")
            if digest is None:
                untold += 1
            elif digest and digest != posed.digest(goal):
                raise self._another(posed, line, path)
        return untold

    def _another(self, posed: Posed, line: int, path: Path) -> ConfigError:
        again = ", or --retry, which asks it now" if posed.name in self.failed | self.unpaid else ""
        expected = f"the question and goal of then (a line without `id` goes by its number), another --out{again}"
        problem = f"asks something else than what line {line} of {shown(self.path)} answers under the id `{posed.name}`"
        return ConfigError(problem, file=shown(path), field=f"line {posed.line}", expected=expected)

    def write(self, name: str, digest: str, outcome: Outcome) -> None:
        """Write an outcome and the digest of what was asked; it is on its way to the disk before this returns."""
        if isinstance(outcome, Decision):
            fields = {
                "id": name,
                "digest": digest,
                **{key: getattr(outcome, key) for key in type(outcome).model_fields},
            }
        else:
            fields = {"id": name, "digest": digest, "error": f"{type(outcome).__name__}: {outcome}"}
        line = f"{self.encode(fields)}\n".encode()
        while line and self._file is not None:
            line = line[self._file.write(line) :]

    def _read(self) -> None:
        whole = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                self._take_in(line, number)
        torn = self.path.stat().st_size - whole
        if torn:
            self._set_aside(whole)

    def _take_in(self, line: bytes, number: int) -> None:
        try:
            found: object = json.loads(line, parse_float=Decimal)
        except ValueError as error:
            raise self._foreign(number) from error
        entry = cast("dict[str, object]", found) if isinstance(found, dict) else {}
        name, cost = entry.get("id"), entry.get("cost_usd")
        if not isinstance(name, str) or not ({"status", "error"} & entry.keys()):
            raise self._foreign(number)
        reasons = entry.get("reasons")
        unpaid = not_paid_for(entry.get("status"), cast("list[object]", reasons) if isinstance(reasons, list) else ())
        (self.failed if "error" in entry else self.unpaid if unpaid else self.done).add(name)
        self.failed -= self.done
        self.unpaid -= self.done
        digest = entry.get("digest")
        self.asked[name] = number, digest if isinstance(digest, str) else None
        if isinstance(cost, (int, Decimal)):
            self.spent += Decimal(cost)

    def _foreign(self, number: int) -> ConfigError:
        return ConfigError(
            "is no answer of a batch",
            file=shown(self.path),
            field=f"line {number}",
            expected="a new file, or one that `batch` wrote",
        )

    def _set_aside(self, whole: int) -> None:
        """Move what a crash left of a line out of the way."""
        with self.path.open("r+b") as file:
            file.seek(whole)
            Path(f"{self.path}.torn").write_bytes(file.read())
            file.truncate(whole)
            os.fsync(file.fileno())
