"""The scorer that is a model: points for each criterion, asked for in two orders, and kept with what was judged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from hashlib import sha256
from math import fsum
from typing import Annotated, ClassVar, cast

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.content import load_prompt
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.scorers import Scored
from orchestrator.messages import Message
from orchestrator.providers import Request

__all__ = ["Judge", "JudgeFigures", "Judged", "Judgement", "judge_figures", "points_in"]

MOST = 10
"""Points for a criterion that is met in full."""
Text = Annotated[str, Field(min_length=1)]


class Judgement(BaseModel):
    """What the judge gave one answer to one case, in both orders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    asked: str
    """SHA-256 of what the judge was asked: question, answer, references and rubric."""
    rubric: str
    points: dict[str, tuple[float, float]] = Field(default_factory=dict[str, tuple[float, float]])
    """For each criterion the points in the first order and in the second, from 0 to 10."""
    cost_usd: Decimal | None = None
    cost_exact: bool = True
    error: str | None = None
    """Why there are no points."""

    @property
    def score(self) -> float:
        """The mean over criteria and orders, from 0 to 1."""
        return fsum(map(fsum, self.points.values())) / (2 * MOST * len(self.points)) if self.points else 0.0


class Judge(BaseModel):
    """Asks a model of the pool how well an answer meets each criterion; a score is the mean over all of them.

    It is asked twice. The second time answer and reference have changed places, and the criteria stand in the opposite
    order: how often both agree says how far the judge goes by position (L. Zheng et al., arXiv 2306.05685, §3.4).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str] = "judge"
    model: Text
    """A model of the suite's pool."""
    criteria: Annotated[Mapping[Text, Text], Field(min_length=1)]
    """What an answer has to be, by name."""
    max_output: int = Field(default=1024, ge=1)

    @cached_property
    def rubric(self) -> str:
        """SHA-256 of all that makes one judgement like another: the criteria, the prompt, the model."""
        parts = {"criteria": dict(self.criteria), "model": self.model, "prompt": load_prompt("judge").digest}
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def request(self, answer: str, case: EvalCase, *, swapped: bool = False) -> Request:
        """What the model is asked."""
        texts = [_marked("answer", answer), *(_marked("reference", each) for each in case.reference)]
        criteria = [f"- {name}: {wanted}" for name, wanted in self.criteria.items()]
        question = case.asked
        asked = question.text + (f"\nChoices: {', '.join(question.choices)}" if question.choices else "")
        turn = -1 if swapped else 1
        text = load_prompt("judge").fill(
            keys=", ".join(f"{json.dumps(name, ensure_ascii=False)}: POINTS" for name in list(self.criteria)[::turn]),
            question=asked,
            texts="\n\n".join(texts[::turn]),
            criteria="\n".join(criteria[::turn]),
        )
        return Request((Message("user", text),), max_output=self.max_output)

    def asked(self, answer: str, case: EvalCase) -> str:
        """SHA-256 of what the model is asked: the same for the same answer, whoever gave it."""
        text = f"{self.rubric}\n{self.request(answer, case).messages[0].content}"
        return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()

    def score(self, answer: str, case: EvalCase) -> Scored:
        """An error: without kept judgements nobody knows."""
        return Judged(self, {}).score(answer, case)


@dataclass(frozen=True, slots=True)
class Judged:
    """A judge with the judgements that were kept; asks nobody."""

    judge: Judge
    kept: Mapping[tuple[str, str], Judgement]
    """By case and what was asked."""

    @property
    def name(self) -> str:
        """The name under which suites ask for it."""
        return self.judge.name

    def found(self, answer: str, case: EvalCase) -> Judgement | None:
        """The judgement of an answer by this rubric, if there is one."""
        return self.kept.get((case.id, self.judge.asked(answer, case)))

    def score(self, answer: str, case: EvalCase) -> Scored:
        """The score that was kept; an error where there is none, or where the judge could not be read."""
        found = self.found(answer, case)
        if found is None:
            return Scored(0.0, "needs the judge: it has not seen this answer by this rubric", error=True)
        if found.error is not None:
            return Scored(0.0, f"judge: {found.error}", error=True)
        told = [f"{name} {first:g} and {second:g}" for name, (first, second) in found.points.items()]
        return Scored(found.score, f"of {MOST} points, in two orders: " + ", ".join(told))


def _marked(what: str, text: str) -> str:
    """A text between marks that nothing in it can imitate."""
    mark = sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return f'<{what} mark="{mark}">\n{text}\n</{what} mark="{mark}">'


def points_in(text: str, criteria: Iterable[str]) -> dict[str, float] | str:
    """The points for each criterion in a judge's reply; a text that says what is wrong where it cannot be read."""
    fenced = re.findall(r"```(?:json)?\s*\n(.*?)```", text, re.DOTALL)
    body = fenced[0] if len(fenced) == 1 else text
    try:
        said: object = json.loads(body[body.index("{") : body.rindex("}") + 1])
    except (ValueError, RecursionError):
        return "it holds no JSON object"
    whole = cast("dict[str, object]", said)
    scores = whole.get("scores", whole)
    if not isinstance(scores, dict):
        return "`scores` is no object"
    given = cast("dict[str, object]", scores)
    found: dict[str, float] = {}
    for name in criteria:
        points = given.get(name)
        if isinstance(points, bool) or not isinstance(points, (int, float)) or not 0 <= points <= MOST:
            return f"`{name}` has no points from 0 to {MOST}"
        found[name] = float(points)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeFigures:
    """What the judge of an eval did, apart from what it judged."""

    model: str
    rubric: str
    judgements: int
    errors: int
    cost_usd: float | None
    """USD for all of its calls, which stand on no system's bill."""
    cost_exact: bool
    agreement: float | None
    """Share of criteria that got the same points in both orders; None without any."""
    apart: float | None
    """Points that both orders lie apart on average."""
    missing: tuple[str, ...] = ()
    """Cases with an answer that it has not seen."""

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it in words."""
        cost = "an unknown sum" if self.cost_usd is None else f"USD {self.cost_usd:g}"
        about = "" if self.cost_exact else "about "
        told = [f"judge {self.model}, rubric {self.rubric[:12]}: {self.judgements} answers for {about}{cost}"]
        if self.agreement is not None and self.apart is not None:
            agreed = f"the same points in both orders for {self.agreement:.1%} of the criteria"
            told.append(f"judge: {agreed}; {self.apart:.2f} of {MOST} points apart on average")
        if self.missing:
            named = ", ".join(self.missing[:5]) + (", …" if len(self.missing) > 5 else "")
            told.append(f"judge: {len(self.missing)} cases need it, which `eval resume` asks: {named}")
        return tuple(told)


def judge_figures(judge: Judge, kept: Sequence[Judgement], missing: Iterable[str] = ()) -> JudgeFigures:
    """What judgements came to; all that were paid for count as cost, those of this rubric as judgements."""
    valid = {(each.case, each.asked): each for each in kept if each.rubric == judge.rubric}.values()
    pairs = [pair for each in valid for pair in each.points.values()]
    costs = [each.cost_usd for each in kept]
    return JudgeFigures(
        model=judge.model,
        rubric=judge.rubric,
        judgements=len(valid),
        errors=sum(each.error is not None for each in valid),
        cost_usd=None if None in costs else float(sum((cost or Decimal(0) for cost in costs), Decimal(0))),
        cost_exact=all(each.cost_exact for each in kept),
        agreement=sum(a == b for a, b in pairs) / len(pairs) if pairs else None,
        apart=fsum(abs(a - b) for a, b in pairs) / len(pairs) if pairs else None,
        missing=tuple(dict.fromkeys(missing)),
    )
