"""Scorers: how right an answer is, from 0 to 1. Pure ones: they ask nobody and run nothing.

A scorer is a frozen value with its settings and one method; a suite names it, with settings, in its table.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Annotated, ClassVar, Protocol, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from orchestrator.errors import ConfigError, nearest
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.shapes import Schema, check_schema, misfits
from orchestrator.merge import canonical, same
from orchestrator.pool.descriptors import config_error

__all__ = [
    "F1",
    "SCORERS",
    "Choice",
    "Contains",
    "Exact",
    "ExactMatch",
    "JsonSchema",
    "Number",
    "Regex",
    "Scored",
    "Scorer",
    "ScorerFunction",
    "as_scorer",
    "last_number",
    "recorded_score",
    "scorer_named",
    "squad_words",
]


@dataclass(frozen=True, slots=True)
class Scored:
    """A score between 0 and 1, and why, in plain words."""

    score: float
    why: str
    error: bool = False
    """Whether nobody knows: the answer could not be scored."""


@runtime_checkable
class Scorer(Protocol):
    """Scores an answer to a case. An escalation is no answer and never comes here."""

    @property
    def name(self) -> str:
        """The name under which suites ask for it."""
        ...

    def score(self, answer: str, case: EvalCase) -> Scored:
        """How right the answer is; raises `ConfigError` where the case has nothing to hold it against."""
        ...


ScorerFunction = Callable[[str, EvalCase], "float | Scored"]
"""A plain function that scores an answer to a case; a truth value counts as 1 or 0."""


@dataclass(frozen=True, slots=True)
class _FunctionScorer:
    function: ScorerFunction
    name: str

    def score(self, answer: str, case: EvalCase) -> Scored:
        """What the function gives; raises `ConfigError` where that is no score."""
        made = cast("object", self.function(answer, case))
        scored = Scored(float(made), f"{self.name} gave {made}") if isinstance(made, (int, float)) else made
        if isinstance(scored, Scored) and 0 <= scored.score <= 1:
            return scored
        raise ConfigError(f"gave {made!r}", field=f"scorer {self.name}", expected="a number from 0 to 1, or a `Scored`")


def as_scorer(given: Scorer | ScorerFunction) -> Scorer:
    """A scorer from an object with `score` or from a plain function; raises `ConfigError` on anything else."""
    found = cast("object", given)
    if isinstance(found, Scorer) and not isinstance(found, type):
        return found
    if callable(found) and not isinstance(found, type):
        return _FunctionScorer(cast("ScorerFunction", found), getattr(found, "__name__", type(found).__name__))
    expected = "an object with a name and `score(answer, case)`, or a function of both"
    raise ConfigError(f"{given!r} is no scorer", field="scorer", expected=expected)


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _references(case: EvalCase) -> tuple[str, ...]:
    if not case.reference:
        raise ConfigError(f"case `{case.id}` has no reference", field="reference", expected="the right answer")
    return case.reference


def _verdict(right: bool, answer: str, case: EvalCase) -> Scored:
    wanted = " or ".join(case.reference)
    return Scored(1.0, f"is {wanted}") if right else Scored(0.0, f"{_short(answer)!r} is not {wanted}")


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"


class Exact(_Rule):
    """The same answer once both are written alike: choices by letter, numbers by value, words by words."""

    name: ClassVar[str] = "exact"

    def score(self, answer: str, case: EvalCase) -> Scored:
        """1 where it equals a reference as merges compare answers."""
        asked = replace(case.asked, kind=None)  # by kind merges also take near texts and worked solutions for equal
        return _verdict(any(same(answer, each, asked) for each in _references(case)), answer, case)


class Choice(_Rule):
    """The letter of a choice, at the head of the answer or after words such as "the answer is"."""

    name: ClassVar[str] = "choice"

    def score(self, answer: str, case: EvalCase) -> Scored:
        """1 where the choice made is a reference; raises `ConfigError` where the case has no choices."""
        if not case.choices:
            raise ConfigError(
                f"case `{case.id}` has no choices", field="choices", expected="the letters to choose from"
            )
        made = _choice_in(answer, case)
        wanted = {canonical(each, case.asked) for each in _references(case)}
        return _verdict(made is not None and made in wanted, answer, case)


_ANSWER_IS = re.compile(r"(?:answer|choice|option)\s*(?:is|:|=)\s*", re.IGNORECASE)


def _choice_in(answer: str, case: EvalCase) -> str | None:
    """The choice at the head of the text; else that after the last "answer is"."""
    if made := canonical(answer, case.asked):
        return made
    tails = [answer[found.end() :].lstrip(" *:") for found in _ANSWER_IS.finditer(answer)]
    return next((made for tail in reversed(tails) if (made := canonical(tail, case.asked))), None)


class Number(_Rule):
    """A number, right within a tolerance: the answer itself, the one after "answer is", or the last one in it."""

    name: ClassVar[str] = "number"
    tolerance: Annotated[Decimal, Field(ge=0)] = Decimal(0)
    """How far off it may be, in the reference's own unit."""
    relative: Annotated[Decimal, Field(ge=0)] = Decimal(0)
    """How far off it may be, as a share of the reference."""

    def score(self, answer: str, case: EvalCase) -> Scored:
        """1 where it is near enough to a reference; raises `ConfigError` where a reference is no number."""
        found = last_number(answer)
        for reference in _references(case):
            wanted = last_number(reference)
            if wanted is None:
                raise ConfigError(f"`{reference}` is no number", field="reference", expected="a number")
            if found is not None and abs(found - wanted) <= max(self.tolerance, self.relative * abs(wanted)):
                return Scored(1.0, f"{found} is {reference}")
        return Scored(0.0, "there is no number in it" if found is None else f"{found} is not {case.reference[0]}")


_NUMBER = re.compile(r"(?<![\w.])[-+−]?[$€£]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d{1,3})?(?![\w]|\.\d)")
_MARKS = re.compile(r"####|\\boxed\{|(?:answer|result)\s*(?:is|:|=)", re.IGNORECASE)
LONGEST_NUMBER = 60


def last_number(text: str) -> Decimal | None:
    """The number that a text ends up with: behind its last mark (`####`, "the answer is"), else the last one in it.

    Digits inside a longer number are none of their own: `$10.50` is 10.50, not 50.
    """
    marks = list(_MARKS.finditer(text))
    if marks and (behind := _numbers(text[marks[-1].end() :])):
        return behind[0]
    found = _numbers(text)
    return found[-1] if found else None


def _numbers(text: str) -> list[Decimal]:
    found: list[Decimal] = []
    for match in _NUMBER.finditer(text):
        plain = match[0].replace("−", "-").translate({ord(each): None for each in "$€£,"})
        if any(each.isdigit() for each in plain) and len(plain) <= LONGEST_NUMBER:
            try:
                found.append(Decimal(plain))
            except InvalidOperation:
                continue
    return found


class Contains(_Rule):
    """A reference stands somewhere in the answer, however it is spaced."""

    name: ClassVar[str] = "contains"
    case_sensitive: bool = False

    def score(self, answer: str, case: EvalCase) -> Scored:
        """1 where a reference is contained."""
        text = self._plain(answer)
        return _verdict(any(self._plain(each) in text for each in _references(case)), answer, case)

    def _plain(self, text: str) -> str:
        flat = " ".join(text.split())
        return flat if self.case_sensitive else flat.casefold()


class Regex(_Rule):
    """A regular expression finds something in the answer; without one of its own, the references are expressions."""

    name: ClassVar[str] = "regex"
    pattern: str | None = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            _search(pattern, "", "pattern")
        return pattern

    def score(self, answer: str, case: EvalCase) -> Scored:
        """1 where it is found; raises `ConfigError` where a reference is no regular expression."""
        patterns = (self.pattern,) if self.pattern is not None else _references(case)
        for each in patterns:
            if _search(each, answer, "reference"):
                return Scored(1.0, f"matches {each}")
        return Scored(0.0, f"{_short(answer)!r} does not match {' or '.join(patterns)}")


def _search(pattern: str, text: str, field: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error as error:
        problem = f"`{pattern}` is no regular expression: {error}"
        raise ConfigError(problem, field=field, expected="Python's syntax") from error


class ExactMatch(_Rule):
    """SQuAD's exact match: equal to a reference after its normalisation."""

    name: ClassVar[str] = "em"

    def score(self, answer: str, case: EvalCase) -> Scored:
        """1 where the words are those of a reference."""
        return _verdict(any(squad_words(answer) == squad_words(each) for each in _references(case)), answer, case)


class F1(_Rule):
    """SQuAD's F1: the overlap in words with the reference that it overlaps most."""

    name: ClassVar[str] = "f1"

    def score(self, answer: str, case: EvalCase) -> Scored:
        """The harmonic mean of the shares of words in common; 1 where both are empty."""
        best = max(_f1(squad_words(answer), squad_words(each)) for each in _references(case))
        return Scored(best, f"F1 {best:.2f} with {' or '.join(case.reference)}")


_PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad_words(text: str) -> list[str]:
    """The words of a text as SQuAD compares them: lower case, no punctuation, no articles.

    P. Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", EMNLP 2016, §6.1, and its
    evaluation script, in that order: punctuation goes before articles are looked for.
    """
    plain = text.lower().translate(_PUNCTUATION)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def _f1(one: Sequence[str], other: Sequence[str]) -> float:
    if not one or not other:
        return float(list(one) == list(other))
    shared = (Counter(one) & Counter(other)).total()
    return 2 * shared / (len(one) + len(other))


class JsonSchema(_Rule):
    """The answer is JSON of a given shape; text around one fenced block is passed over."""

    name: ClassVar[str] = "json_schema"
    schema_: Mapping[str, JsonValue] = Field(alias="schema")

    @field_validator("schema_")
    @classmethod
    def _understood(cls, schema: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        check_schema(schema)
        return schema

    def score(self, answer: str, case: EvalCase) -> Scored:
        """1 where it parses and fits."""
        del case
        fenced = re.findall(r"```(?:json)?\s*\n(.*?)```", answer, re.DOTALL)
        try:
            value: object = json.loads(fenced[0] if len(fenced) == 1 else answer)
        except (json.JSONDecodeError, RecursionError) as error:
            return Scored(0.0, f"is no JSON: {error}")
        wrong = misfits(value, cast("Schema", self.schema_))
        return Scored(0.0, "; ".join(wrong[:3])) if wrong else Scored(1.0, "fits the schema")


def recorded_score(support: Sequence[str], scores: Mapping[str, float]) -> float:
    """The recorded score of a decision: that of the first expert who supports it; 0 where nobody on record does."""
    return next((scores[name] for name in support if name in scores), 0.0)


SCORERS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "choice": Choice,
        "contains": Contains,
        "em": ExactMatch,
        "exact": Exact,
        "f1": F1,
        "json_schema": JsonSchema,
        "number": Number,
        "regex": Regex,
    }
)
"""Scorers by name; `recorded` is no scorer of answers but looks up what the file holds."""


def scorer_named(name: str, settings: Mapping[str, object] | None = None) -> Scorer:
    """A scorer with its settings; raises `ConfigError` with the nearest name, or where a setting is wrong."""
    if name not in SCORERS:
        raise ConfigError(
            f"there is no scorer `{name}`",
            field="scorer",
            expected="one of " + ", ".join((*SCORERS, "code", "judge")),
            suggestion=nearest(name, (*SCORERS, "code", "judge")),
        )
    kind = SCORERS[name]
    try:
        return cast("Scorer", kind.model_validate(dict(settings or {})))
    except ValidationError as error:
        raise config_error(error, kind, f"scorer {name}", None) from error
