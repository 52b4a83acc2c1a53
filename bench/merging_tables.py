"""Rows, tables and the two smaller data sets of `merging.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import TYPE_CHECKING

from orchestrator import Question
from orchestrator.confidence import crossfit
from orchestrator.confidence.curves import at, isotonic, platt, sigmoid
from orchestrator.evals.curves import Point, hull
from orchestrator.evals.metrics import auroc, calibration_error
from orchestrator.evals.stats import Interval, mean, mean_interval, paired_interval, paired_test
from orchestrator.merge import canonical

if TYPE_CHECKING:
    from orchestrator.providers.recorded import RecordedFile

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@dataclass(slots=True)
class Figures:
    """What a system came to, case by case."""

    name: str
    cases: list[str] = field(default_factory=list[str])
    scores: list[float] = field(default_factory=list[float])
    costs: list[float] = field(default_factory=list[float])
    calls: list[int] = field(default_factory=list[int])
    rounds: list[int] = field(default_factory=list[int])
    agreed: list[bool] = field(default_factory=list[bool])
    posterior: list[float] = field(default_factory=list[float])
    agreement: list[float] = field(default_factory=list[float])
    answers: list[str] = field(default_factory=list[str])

    def take(self, other: Figures, place: int) -> None:
        """Add a case of another system."""
        for each in fields(self)[1:]:
            getattr(self, each.name).append(getattr(other, each.name)[place])

    def mean(self, values: Sequence[float]) -> float:
        """The mean of a column."""
        return mean(list(values))

    def forms(self, label: Callable[[str, Question], str | None], file: RecordedFile) -> list[str | None]:
        """The answers in the form in which they are compared."""
        return [label(a, file.cases[c].question) for c, a in zip(self.cases, self.answers, strict=True)]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of figure 6."""

    name: str
    accuracy: float
    ci: Interval
    delta: float
    delta_ci: Interval
    p: float
    cost: float
    calls: float
    agreed_wrong: float
    ece: float
    auroc: float | None
    above: float
    above_ci: Interval


def hull_mix(system: Figures, singles: Sequence[Figures]) -> list[float]:
    """For each case what the mix of single models scores that costs as much as the system."""
    points = {Point(mean(each.costs), mean(each.scores)): each for each in singles}
    corners, cost = hull(points), mean(system.costs)
    if cost <= corners[0].cost:
        return list(points[corners[0]].scores)
    for left, right in pairwise(corners):
        if cost <= right.cost:
            share = (cost - left.cost) / (right.cost - left.cost)
            pairs = zip(points[left].scores, points[right].scores, strict=True)
            return [a + (b - a) * share for a, b in pairs]
    return list(points[corners[-1]].scores)


def figures_of(each: Figures, best: Figures, mix: Sequence[float]) -> Row:
    """A system as a row, held to the best single model and to the hull."""
    wrong = [agreed and score < 1 for agreed, score in zip(each.agreed, each.scores, strict=True)]
    return Row(
        each.name,
        mean(each.scores),
        mean_interval(each.scores),
        mean(each.scores) - mean(best.scores),
        paired_interval(each.scores, best.scores),
        paired_test(each.scores, best.scores).p,
        mean(each.costs) / mean(best.costs),
        each.mean(each.calls),
        sum(wrong) / len(wrong),
        calibration_error(each.posterior, each.scores),
        auroc(each.posterior, each.scores),
        mean(each.scores) - mean(list(mix)),
        paired_interval(each.scores, mix),
    )


def print_rows(rows: Sequence[Row]) -> None:
    """Figure 6: cost in the best single model's, differences in points."""
    print(
        f"{'system':<32} {'accuracy':<22} {'against the best single':<23} {'McNemar':>8} {'cost':>6} {'calls':>6} "
        f"{'agreed wrong':>12} {'ECE':>6} {'AUROC':>6}  above the hull"
    )
    for row in rows:
        rate = "-" if row.auroc is None else f"{row.auroc:.3f}"
        print(
            f"{row.name:<32} {row.accuracy:.4f} [{row.ci.low:.4f},{row.ci.high:.4f}] "
            f"{100 * row.delta:+6.2f} {_points(row.delta_ci):<16} {row.p:8.4f} {row.cost:6.3f} {row.calls:6.2f} "
            f"{row.agreed_wrong:12.4f} {row.ece:6.4f} {rate:>6}  {100 * row.above:+.2f} {_points(row.above_ci)}"
        )


def _points(ci: Interval) -> str:
    return f"[{100 * ci.low:+.2f},{100 * ci.high:+.2f}]"


def print_calibration(rows: Sequence[Figures]) -> None:
    """Figure 8: each score as it is, and made into a probability by curves of the other folds."""
    print(f"{'system':<24} {'score':<10} {'ECE as it is':>12} {'isotonic':>9} {'Platt':>7} {'ratio':>6}")
    for each in rows:
        for source, scores in (("agreement", each.agreement), ("posterior", each.posterior)):
            raw = calibration_error(scores, each.scores)
            curve = calibration_error(_crossfitted(each, scores, sloped=False), each.scores)
            slope = calibration_error(_crossfitted(each, scores, sloped=True), each.scores)
            ratio = min(curve, slope) / raw if raw else 1.0
            print(f"{each.name:<24} {source:<10} {raw:12.4f} {curve:9.4f} {slope:7.4f} {ratio:6.2f}")


def _crossfitted(each: Figures, scores: Sequence[float], *, sloped: bool) -> list[float]:
    """The calibrated score of every case, its curve fitted on the other folds."""
    rows = list(zip(each.cases, scores, each.scores, strict=True))

    def fit(others: Sequence[tuple[str, float, float]]) -> Callable[[float], float]:
        pairs = [(score, right) for _, score, right in others]
        if sloped:
            slope, offset = platt(pairs)
            return lambda score: sigmoid(slope, offset, score)
        knots = isotonic(pairs)
        return lambda score: at(knots, score)

    return crossfit(rows, lambda row: row[0], fit, lambda curve, row: curve(row[1]))


def coverage_table(each: Figures) -> None:
    """Accuracy against coverage under `--abstain-below`."""
    sure = _crossfitted(each, each.posterior, sloped=False)
    print(f"{each.name}, posterior, isotonic: abstain below → coverage, accuracy of what is answered")
    for line in (0.0, 0.7, 0.8, 0.9, 0.93, 0.95, 0.97):
        kept = [score for p, score in zip(sure, each.scores, strict=True) if p >= line]
        told = f"{mean(kept):.4f}" if kept else "-"
        print(f"  {line:4.2f}  {len(kept) / len(sure):.3f}  {told}")


def mbpp(file: RecordedFile) -> None:
    """What agreement there is among programs: none to speak of."""
    best = sorted(file.pool.agents, key=lambda name: -file.pool.agents[name].skill)[:5]
    equal = 0
    for case in file.cases.values():
        forms = [canonical(case.takes[name].response or "", case.question) for name in best]
        equal += len(set(forms)) < len(forms)
    print(
        f"routerbench_mbpp: of {len(file.cases)} questions two of the best five programs are equal as text in {equal}; "
        "sigma is 1 nearly always, so votes, widths and cascades by agreement have nothing to go by. The tests are not "
        "recorded, so equality by what the programs do cannot be had either."
    )


def read_number(text: str) -> str | None:
    """The number that the last sentence with one gives: what follows `answer is` or `=`, else money, else the first."""
    last = [line for line in text.strip().splitlines() if NUMBER.search(line)][-1:]
    if not last:
        return None
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z])", last[0].strip())
    spoken = next((each for each in reversed(sentence) if NUMBER.search(each)), last[0])
    if "=" in spoken:
        spoken = spoken.rpartition("=")[2] if NUMBER.search(spoken.rpartition("=")[2]) else spoken
    found = list(NUMBER.finditer(spoken))
    money = [each for each in found if spoken[max(0, each.start() - 1) : each.start()] == "$"]
    marked = re.search(r"(?:answer(?: is|:)|####)\D*(-?\d[\d,]*(?:\.\d+)?)", spoken)
    chosen = marked.group(1) if marked else (money or found)[-1 if money else 0].group()
    return canonical(chosen.rstrip(","), Question(()))


def gsm8k(file: RecordedFile) -> None:
    """GSM8K as recorded and rescored with a canonicaliser that reads the whole last sentence."""
    print(f"routellm_gsm8k: {len(file.cases)} questions, two models")
    read = {c: {m: read_number(t.response or "") for m, t in case.takes.items()} for c, case in file.cases.items()}
    truth = {c: canonical(file.references[c], Question(())) for c in file.cases}
    for model in file.pool.agents:
        wrong = [c for c in file.cases if file.scores[c][model] < 1]
        saved = sum(read[c][model] == truth[c] for c in wrong)
        lost = sum(read[c][model] != truth[c] for c in file.cases if file.scores[c][model] >= 1)
        new = mean([float(read[c][model] == truth[c]) for c in file.cases])
        old = mean([file.scores[c][model] for c in file.cases])
        print(
            f"  {model}: recorded {old:.4f}, rescored {new:.4f}; of {len(wrong)} recorded wrong {saved} are right "
            f"({saved / len(wrong):.1%}); of the recorded right {lost} are read as wrong"
        )
    cheap, dear = sorted(file.pool.agents, key=lambda name: file.mean_costs[name] or 0)
    agree = [c for c in file.cases if read[c][cheap] is not None and read[c][cheap] == read[c][dear]]
    right = mean([float(read[c][cheap] == truth[c]) for c in agree])
    print(
        f"  both give the same number on {len(agree) / len(file.cases):.1%}, {right:.4f} of them right when rescored; "
        f"a cascade of two has one reply to judge before it pays for the other, so by agreement it saves nothing"
    )
