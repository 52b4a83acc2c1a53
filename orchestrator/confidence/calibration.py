"""Confidence that means something: a score of a decision, and what share of decisions with it were right on train."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from json import dumps
from math import fsum
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.confidence.curves import Method, at, isotonic, platt, sigmoid
from orchestrator.confidence.posterior import NONE, OPEN, Pattern, Posterior, pattern_of
from orchestrator.content import shown
from orchestrator.errors import ConfigError, nearest
from orchestrator.messages import Question, Reply

__all__ = [
    "SOURCES",
    "Ballot",
    "Calibration",
    "LabelOf",
    "Pair",
    "Source",
    "ballot_of",
    "calibrated",
    "check_source",
    "misfit",
    "raw_score",
    "read_calibration",
    "way_named",
]

Source = Literal["agreement", "p", "posterior", "verbalised"]
SOURCES: tuple[Source, ...] = get_args(Source)
TOKENS = "yes-no"
"""The probability of the token yes: it is asked for expert by expert, and counts as verbalised."""

LabelOf = Callable[[str, Question], "str | None"]
"""The form in which answers are compared; None where it is none of the question's choices."""
Pair = tuple[str, float, float]
"""A case of train: its id, the score of its decision, and whether that was right, 0 to 1."""


class _Tables(BaseModel):
    """A `Posterior` as a file holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experts: tuple[str, ...]
    shares: tuple[float, ...] = Field(min_length=1)
    right: tuple[tuple[float, ...], ...]
    none: tuple[tuple[float, ...], ...]
    attraction: tuple[float, ...]

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        rows = [*self.right, *self.none]
        sizes = {len(self.shares), len(self.right), len(self.none), len(self.attraction)}
        numbers = [*self.shares, *self.attraction, *(p for row in rows for p in row)]
        if len(sizes) > 1 or any(len(row) != len(self.experts) for row in rows):
            raise ValueError("the tables are not of one size")
        if not all(0 <= p <= 1 for p in numbers):
            raise ValueError("probabilities lie between 0 and 1")
        return self


class Calibration(BaseModel):
    """What scores are worth, with where that is known from; a file of JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["thinkroute-confidence-1"] = "thinkroute-confidence-1"
    source: Source
    """What the score is."""
    method: Method
    knots: tuple[tuple[float, float], ...] = ()
    """Of the isotonic curve."""
    slope: float = 0.0
    offset: float = 0.0
    """Of Platt's sigmoid."""
    n: int = Field(ge=1)
    """Pairs it was fitted on."""
    data: str
    """Name of the train data."""
    data_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the pairs."""
    system: str = ""
    """Router, merge and width of the decisions that were fitted; another system's scores mean something else."""
    answers: _Tables | None = None
    """Who is right on what, jointly; for the source `posterior`, the router `cascade` and `--analyses auto`."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        scores = [score for score, _ in self.knots]
        if self.method == "isotonic" and (not scores or scores != sorted(set(scores))):
            raise ValueError("an isotonic curve has knots, their scores rising")
        if not all(0 <= p <= 1 for _, p in self.knots):
            raise ValueError("probabilities lie between 0 and 1")
        if self.source == "posterior" and self.answers is None:
            raise ValueError("the source `posterior` needs the tables `answers`")
        return self

    def p(self, score: float) -> float:
        """The chance of being right at a score."""
        return at(self.knots, score) if self.method == "isotonic" else sigmoid(self.slope, self.offset, score)

    @cached_property
    def posterior(self) -> Posterior | None:
        """The joint model of answers, if the file holds one."""
        return Posterior(**self.answers.model_dump()) if self.answers else None

    def confidence(self, ballot: Ballot) -> float | None:
        """The calibrated confidence of a decision; None where its source has nothing to say of it."""
        score = raw_score(self.source, ballot, self.posterior)
        return None if score is None else self.p(score)

    @property
    def written(self) -> str:
        """The text of its file."""
        return self.model_dump_json(indent=1) + "\n"

    def write(self, path: Path) -> None:
        """Keep it as a file."""
        path.write_text(self.written, encoding="utf-8", newline="\n")

    def knows_nobody(self, experts: Collection[str]) -> bool:
        """Whether none of these experts is in the tables that its score rests on, so that it says nothing of any."""
        model = self.posterior if self.source == "posterior" else None
        return model is not None and not set(model.experts) & set(experts)


@dataclass(frozen=True, slots=True)
class Ballot:
    """Replies to one goal, their answers by label, and which of them was decided on."""

    replies: tuple[Reply, ...]
    labels: tuple[int, ...]
    answer: int
    """Label of the decision; `NONE` where nobody gave it, or it is none of the choices."""
    choices: int

    def pattern(self, posterior: Posterior) -> Pattern:
        """Who said what, for a posterior: of the experts that it knows, each one's first reply."""
        return pattern_of(self._first_said(posterior))

    def chance(self, posterior: Posterior) -> float | None:
        """The chance that the decision is right; None where no known expert gave it."""
        pattern = self.pattern(posterior)
        said, known = self._first_said(posterior), dict(pattern)
        mine = next((place for place, label in said.items() if label == self.answer != NONE), None)
        if mine is None:
            return None
        weights = posterior.weights(pattern, self.choices)
        return weights.labels[known[mine]] / weights.total

    def _first_said(self, posterior: Posterior) -> dict[int, int]:
        said: dict[int, int] = {}
        for reply, label in zip(self.replies, self.labels, strict=True):
            place = posterior.place(reply.agent)
            if place is not None:
                said.setdefault(place, label)
        return said


def ballot_of(question: Question, replies: Sequence[Reply], answer: str | None, label_of: LabelOf) -> Ballot:
    """The ballot of replies; `answer` is the text that was decided on."""
    names: dict[str, int] = {}
    labels: list[int] = []
    for reply in replies:
        form = label_of(reply.text, question)
        labels.append(NONE if form is None else names.setdefault(form, len(names)))
    form = None if answer is None else label_of(answer, question)
    decided = NONE if form is None else names.get(form, NONE)
    return Ballot(tuple(replies), tuple(labels), decided, len(question.choices) or OPEN)


def raw_score(source: Source, ballot: Ballot, posterior: Posterior | None = None) -> float | None:
    """What a source says of a decision; None where it has nothing to say."""
    mine = [r for r, label in zip(ballot.replies, ballot.labels, strict=True) if label == ballot.answer != NONE]
    if not mine:
        return None
    match source:
        case "agreement":
            return len(mine) / len(ballot.replies) if len(ballot.replies) > 1 else None
        case "p":
            return max(reply.p for reply in mine)
        case "verbalised":
            stated = [reply.confidence for reply in mine if reply.confidence is not None]
            return fsum(stated) / len(stated) if stated else None
        case "posterior":
            return ballot.chance(posterior) if posterior else None


def check_source(name: str) -> Source:
    """The source of a name; raises `ConfigError` where there is none, or it cannot be had."""
    found: Source | None = next((each for each in SOURCES if each == name), None)
    if found is not None:
        return found
    expected = "one of " + ", ".join(SOURCES)
    if name == TOKENS:
        problem = 'is asked for by `confidence = "yes-no"` in an agent\'s table, and counts as verbalised'
        raise ConfigError(problem, field="source", expected=expected)
    raise ConfigError(
        f"there is no source `{name}`", field="source", expected=expected, suggestion=nearest(name, SOURCES)
    )


def calibrated(
    pairs: Sequence[Pair],
    source: Source,
    *,
    method: Method = "isotonic",
    data: str = "",
    system: str = "",
    posterior: Posterior | None = None,
) -> Calibration:
    """A calibration of pairs; raises `ConfigError` where there are none."""
    if not pairs:
        raise ConfigError(f"no decision has a score by `{source}`", field="source", expected="another source")
    points = [(score, right) for _, score, right in pairs]
    slope, offset = platt(points) if method == "platt" else (0.0, 0.0)
    tables = posterior and _Tables(
        experts=posterior.experts,
        shares=posterior.shares,
        right=posterior.right,
        none=posterior.none,
        attraction=posterior.attraction,
    )
    return Calibration(
        source=source,
        method=method,
        knots=isotonic(points) if method == "isotonic" else (),
        slope=slope,
        offset=offset,
        n=len(pairs),
        data=data,
        data_sha256=sha256("\n".join(dumps(pair) for pair in sorted(pairs)).encode()).hexdigest(),
        system=system,
        answers=tables,
    )


def misfit(fitted_for: str, way: str) -> str | None:
    """What is to be said where confidence was fitted for decisions made another way than `way`; else None."""
    if fitted_for in ("", way):
        return None
    return f"the confidence was fitted for decisions of `{fitted_for}`: in those of `{way}` it may be off"


def way_named(router: str = "plan", merge: str | None = None, analyses: int | str = 1) -> str:
    """A way to decide in a few words, the same ones however it was asked for.

    A merge that goes without saying is not named, an object of one's own goes by its attribute.
    """
    inner, plus, last = router.rpartition("+")
    word, mark, line = last.partition(":")
    if word == "cascade":
        router = f"{inner.rpartition(':')[2]}{plus}cascade" + (f":{float(line):g}" if mark else "")
    elif ":" in router:
        router = router.rpartition(":")[2]
    if merge is not None and ":" in merge and not merge.startswith("vote:"):
        merge = merge.rpartition(":")[2]
    usual = "first" if analyses == 1 else "vote" if isinstance(analyses, int) else None
    named = None if merge == usual and router == "plan" else merge
    return " ".join(each for each in (router, named, f"x{analyses}") if each)


def read_calibration(path: Path | str) -> Calibration:
    """The calibration in a file; raises `ConfigError` naming file and field where it is none."""
    name, expected = shown(Path(path)), "a file that `orchestrator eval calibrate` wrote"
    try:
        return Calibration.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=name, expected=expected) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        raise ConfigError(first["msg"], file=name, field=field, expected=expected) from error
