"""An eval's folder: its settings, a line for each finished case, and the chain of choices that stands for good."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import TypeVar, cast

from platformdirs import user_state_path
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from orchestrator.confidence import Calibration, read_calibration
from orchestrator.content import shown
from orchestrator.errors import ConfigError, nearest
from orchestrator.evals.judge import Judgement
from orchestrator.trace import read_trace
from orchestrator.trace import verify as verify_trace

__all__ = ["Choice", "Done", "Fit", "Store", "evals_folder", "find_eval", "run_names"]

GENESIS = "0" * 64
Kept = TypeVar("Kept", bound=BaseModel)


def evals_folder(home: str | Path | None = None) -> Path:
    """Where evals are kept: beside the runs."""
    root = home or os.environ.get("ORCHESTRATOR_HOME")
    return (Path(root).expanduser() if root else user_state_path("orchestrator")) / "evals"


class Done(BaseModel):
    """What one system came to on one case, before anybody scored it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    case: str
    repeat: int = 0
    answer: str | None = None
    status: str | None = None
    cost_usd: Decimal | None = None
    cost_exact: bool = True
    seconds: float | None = None
    turns: int = 0
    control_calls: int = 0
    merge_calls: int = 0
    expert_calls: int = 0
    reroutes: int = 0
    support: tuple[str, ...] = ()
    consulted: tuple[str, ...] = ()
    """Agents in the order in which they were first asked."""
    reasons: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    """What the case asks of the way and does not hold."""
    apart: dict[str, Decimal] = Field(default_factory=dict[str, Decimal])
    """USD known to have gone to `expert`, `router`, `merge`, to `failed` tries, and to tries `lost` in a crash."""
    error: str | None = None
    """What went wrong where there is no decision to score."""
    confidence: float | None = None
    """How sure the decision is; None where nothing is known of that."""
    stated: dict[str, float] = Field(default_factory=dict[str, float])
    """How sure the replies in its support were of themselves, by agent, where they said."""
    abstained: bool = False
    """Whether there was a decision that was not sure enough to be given."""
    head: str | None = None
    """Of the trace."""
    trace: str | None = None
    """Its file, below the eval's folder."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is the result of."""
        return self.system, self.case, self.repeat


class Choice(BaseModel):
    """Whom a system consulted for a case, chained to the choice before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    case: str
    repeat: int
    consulted: tuple[str, ...]
    trace_head: str | None
    result: str
    """SHA-256 of the whole result, so that no answer and no cost can be exchanged afterwards."""
    prev: str = Field(min_length=64, max_length=64)


class Fit(BaseModel):
    """What a system goes by, as the settings of an eval name it: a file beside the results, and how it came to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """Below the eval's folder."""
    sha256: str
    """Of the file."""
    data_sha256: str
    """Of the train data."""
    data: str
    system: str
    """The way to decide that it was fitted for."""
    way: str
    """The way to decide that goes by it."""
    source: str
    method: str
    n: int


_FITS: TypeAdapter[dict[str, Fit]] = TypeAdapter(dict[str, Fit])


@dataclass(slots=True)
class Store:
    """The folder of one eval."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.folder.name

    def begin(self, settings: dict[str, object]) -> None:
        """Make the folder and keep what is needed to go on; raises `ConfigError` where it is there already."""
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError as error:
            expected = "a new folder; `eval resume` goes on with one that is there"
            raise ConfigError("is there already", file=shown(self.folder), field="out", expected=expected) from error
        self._replace("settings.json", json.dumps(settings, indent=1) + "\n")

    def settings(self) -> dict[str, object]:
        """What the eval was begun with."""
        return cast("dict[str, object]", self._json("settings.json"))

    def change(self, **settings: object) -> None:
        """Go on under other settings."""
        self._replace("settings.json", json.dumps({**self.settings(), **settings}, indent=1) + "\n")

    def fits(self) -> dict[str, Fit]:
        """What systems go by, by their names."""
        return _FITS.validate_python(self.settings().get("fits") or {})

    def keep_fit(self, name: str, found: Calibration, way: str) -> None:
        """Keep what a system goes by beside the results, and its hash among the settings."""
        text = found.written
        digest = sha256(text.encode()).hexdigest()
        (self.folder / "confidence").mkdir(exist_ok=True)
        file = f"confidence/{digest[:16]}.json"
        self._replace(file, text)
        told = {part: getattr(found, part) for part in ("data_sha256", "data", "system", "source", "method", "n")}
        fit = Fit(file=file, sha256=digest, way=way, **told)
        kept = {**self.fits(), name: fit}
        self.change(fits={each: kept[each].model_dump() for each in sorted(kept)})

    def fit(self, name: str) -> Calibration:
        """What a system goes by; raises `ConfigError` where it is not what the eval was run with."""
        fit = self.fits()[name]
        if self._changed(fit):
            expected = "the file that the eval was begun with; a new eval fits anew"
            raise ConfigError("was changed, or is gone", file=shown(self.folder / fit.file), expected=expected)
        return read_calibration(self.folder / fit.file)

    def _changed(self, fit: Fit) -> bool:
        path = self.folder / fit.file
        return not path.is_file() or sha256(path.read_bytes()).hexdigest() != fit.sha256

    def add(self, done: Done) -> None:
        """Keep a finished case; it is on its way to the disk before this returns."""
        with (self.folder / "results.jsonl").open("a", encoding="utf-8", newline="\n") as lines:
            lines.write(done.model_dump_json() + "\n")

    def done(self) -> dict[tuple[str, str, int], Done]:
        """The finished cases, the last word on each; a torn last line counts as not finished."""
        return {each.key: each for each in self._results()}

    def times(self) -> Counter[tuple[str, str, int]]:
        """How often each case was finished: once, and again by every retry."""
        return Counter(each.key for each in self._results())

    def _results(self) -> list[Done]:
        return self._kept("results.jsonl", Done)

    def _kept(self, name: str, kind: type[Kept]) -> list[Kept]:
        path = self.folder / name
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        found: list[Kept] = []
        for number, line in enumerate(lines, start=1):
            try:
                entry = kind.model_validate_json(line)
            except ValidationError as error:
                if number < len(lines):
                    problem = f"is no result: {error.errors(include_url=False)[0]['msg']}"
                    raise ConfigError(problem, file=shown(path), field=f"line {number}") from error
                continue
            found.append(entry)
        return found

    def mend(self) -> None:
        """Cut off a torn last line, so that what comes after it stands on its own."""
        for name in ("results.jsonl", "judgements.jsonl"):
            path = self.folder / name
            content = path.read_bytes() if path.exists() else b""
            if content and not content.endswith(b"\n"):
                self._replace(name, content[: content.rfind(b"\n") + 1].decode())

    def judge(self, judgement: Judgement) -> None:
        """Keep a judgement; it is on its way to the disk before this returns."""
        with (self.folder / "judgements.jsonl").open("a", encoding="utf-8", newline="\n") as lines:
            lines.write(judgement.model_dump_json() + "\n")

    def judgements(self) -> list[Judgement]:
        """What the judge gave, in that order."""
        return self._kept("judgements.jsonl", Judgement)

    def judged_usd(self) -> Decimal:
        """USD known to have gone to the judge."""
        return sum((each.cost_usd or Decimal(0) for each in self.judgements()), Decimal(0))

    def freeze(self, done: Iterable[Done]) -> str:
        """Write the choices of all cases as a chain, before any score is looked up; its head."""
        prev, lines = GENESIS, list[str]()
        for each in sorted(done, key=lambda each: each.key):
            choice = Choice(
                system=each.system,
                case=each.case,
                repeat=each.repeat,
                consulted=each.consulted,
                trace_head=each.head,
                result=_digest(each),
                prev=prev,
            )
            lines.append(choice.model_dump_json())
            prev = sha256(lines[-1].encode()).hexdigest()
        self._replace("choices.jsonl", "".join(line + "\n" for line in lines))
        return prev

    @property
    def frozen(self) -> bool:
        """Whether choices are frozen."""
        return (self.folder / "choices.jsonl").is_file()

    def thaw(self) -> None:
        """Give up the frozen choices, since cases are to be run again; their head holds no longer."""
        (self.folder / "choices.jsonl").unlink(missing_ok=True)

    def verify(self, head: str | None = None) -> list[str]:
        """What does not hold: the chain of choices, their head, the traces they stand on, the results beside them."""
        faults, choices, done = list[str](), dict[tuple[str, str, int], Choice](), self.done()
        prev = GENESIS
        for number, line in enumerate(self._lines("choices.jsonl"), start=1):
            choice = _choice(line)
            if choice is None or choice.prev != prev:
                faults.append(f"choices, line {number}: does not follow the line before it")
            prev = sha256(line).hexdigest()
            if choice is not None:
                choices[choice.system, choice.case, choice.repeat] = choice
        if head is not None and head != prev:
            faults.append(f"the head of the choices is {prev}, not {head}")
        for key, each in sorted(done.items()):
            faults += self._held(each, choices.get(key))
        faults += [f"{key[0]}, case {key[1]}: its result is gone" for key in sorted(choices.keys() - done.keys())]
        faults += [
            f"{name}: its confidence ({fit.file}) was changed"
            for name, fit in self.fits().items()
            if self._changed(fit)
        ]
        return faults

    def frozen_head(self) -> str:
        """The head of the choices as they stand; raises `ConfigError` where none are frozen, or one was changed."""
        faults = self.verify()
        if faults:
            expected = "an eval as it was run; `eval verify` tells all that was changed"
            raise ConfigError(faults[0], file=shown(self.folder), expected=expected)
        lines = self._lines("choices.jsonl")
        return sha256(lines[-1]).hexdigest() if lines else GENESIS

    def report(self) -> dict[str, object]:
        """The last report."""
        return cast("dict[str, object]", self._json("report.json"))

    def keep_report(self, report: str) -> None:
        """Keep a report."""
        self._replace("report.json", report)

    def _held(self, each: Done, choice: Choice | None) -> list[str]:
        """Whether a result is what its choice and its trace say."""
        where = f"{each.system}, case {each.case}"
        if choice is None or (choice.consulted, choice.trace_head) != (each.consulted, each.head):
            return [f"{where}: the choice was changed after it was frozen"]
        if choice.result != _digest(each):
            return [f"{where}: the result was changed after it was frozen"]
        if each.trace is None or each.head is None:
            return []
        path = self.folder / each.trace
        if not path.is_file():
            return [f"{where}: the trace is gone"]
        return [] if verify_trace(read_trace(path), head=each.head).passed else [f"{where}: the trace was changed"]

    def _lines(self, name: str) -> list[bytes]:
        path = self.folder / name
        if not path.is_file():
            raise ConfigError("is not finished", file=shown(self.folder), expected="`eval resume` first")
        return path.read_bytes().splitlines()

    def _json(self, name: str) -> JsonValue:
        path = self.folder / name
        try:
            return cast("JsonValue", json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot be read: {error}", file=shown(path), expected="an eval's folder") from error

    def _replace(self, name: str, text: str) -> None:
        """Write a file whole or not at all."""
        passing = self.folder / f"{name}.new"
        passing.write_text(text, encoding="utf-8", newline="\n")
        passing.replace(self.folder / name)


def _digest(done: Done) -> str:
    return sha256(done.model_dump_json().encode()).hexdigest()


def _choice(line: bytes) -> Choice | None:
    try:
        return Choice.model_validate_json(line)
    except ValidationError:
        return None


def run_names(folder: Path) -> list[str]:
    """Names of the evals that are kept, newest first."""
    found = [path.parent for path in folder.glob("*/settings.json")]
    return [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)]


def find_eval(name: str, folder: Path | None = None) -> Store:
    """An eval by its folder, its name, a unique beginning of it, or `last`; raises `ConfigError`."""
    if (Path(name) / "settings.json").is_file():
        return Store(Path(name))
    root = folder or evals_folder()
    known = run_names(root)
    found = known[:1] if name == "last" else [each for each in known if each == name or each.startswith(name)]
    if len(found) == 1:
        return Store(root / found[0])
    problem = f"{len(found)} evals begin with `{name}`" if found else f"there is no eval `{name}`"
    hint = nearest(name, known)
    raise ConfigError(problem, file=str(root), expected="a name, a folder or `last`", suggestion=hint)
