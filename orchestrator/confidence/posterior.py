"""How likely each answer is, given who said what: experts who are right, or wrong together, on questions of some class.

A latent-class model of answers in the manner of A. Dawid and A. Skene, Applied Statistics 28(1), 1979, with classes of
questions in place of theirs of annotators: the easy ones, the hard ones, the misleading ones. Within a class experts
are independent but for one wrong answer that attracts a share of those who err, so that agreeing on a wrong answer
has the probability that train shows, not the product of the experts' own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, fsum, log
from typing import NamedTuple

__all__ = ["NONE", "Pattern", "Posterior", "Seen", "Weights", "fit_posterior", "pattern_of"]

NONE = -1
"""In place of a label: the reply was none of the choices."""
OPEN = 40
"""Answers that an open question is taken to have."""
CLASSES = 4
ROUNDS = 40
PRIOR = 2.0
"""Questions of a class that are added to each count, spread as the expert does overall."""

Pattern = tuple[tuple[int, int], ...]
"""Pairs of expert and label, by expert; labels are numbered as they first occur."""


class Seen(NamedTuple):
    """What an expert did with a question of train: the label of its answer, and whether it was right."""

    label: int
    right: bool


class Weights(NamedTuple):
    """Unnormalised: the probability of a pattern, and of it with each of its labels being right."""

    total: float
    labels: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Posterior:
    """Probabilities of answers from replies of known experts; what it works out is kept."""

    experts: tuple[str, ...]
    shares: tuple[float, ...]
    """Share of questions in each class."""
    right: tuple[tuple[float, ...], ...]
    """By class, then expert: the chance of being right."""
    none: tuple[tuple[float, ...], ...]
    """By class, then expert: the chance of giving none of the choices."""
    attraction: tuple[float, ...]
    """By class: the share of wrong answers that the class's misleading answer attracts."""
    _kept: dict[tuple[Pattern, int], Weights] = field(
        default_factory=dict[tuple[Pattern, int], Weights], compare=False, repr=False
    )

    def place(self, expert: str) -> int | None:
        """Where an expert stands in the tables; None of one that train did not show."""
        return self.experts.index(expert) if expert in self.experts else None

    def weights(self, pattern: Pattern, choices: int) -> Weights:
        """The probability of a pattern on a question with so many choices, and of each label with it."""
        key = (pattern, choices)
        if key not in self._kept:
            self._kept[key] = self._weighed(pattern, choices)
        return self._kept[key]

    def _weighed(self, pattern: Pattern, choices: int) -> Weights:
        seen = 1 + max((label for _, label in pattern), default=NONE)
        choices = max(choices, seen, 2)
        sums = [0.0] * (seen + 1)
        for each in range(len(self.shares)):
            for truth in range(seen + 1):  # the last stands for every answer that nobody gave
                ways = 1 if truth < seen else choices - seen
                if ways:
                    sums[truth] += ways * self._given(pattern, each, truth, (seen, choices))
        return Weights(fsum(sums), tuple(sums[:seen]))

    def _given(self, pattern: Pattern, each: int, truth: int, sizes: tuple[int, int]) -> float:
        """The probability of class, truth and pattern together, over all answers that may mislead."""
        seen, choices = sizes
        right, none, pull = self.right[each], self.none[each], self.attraction[each]
        stray = (1 - pull) / (choices - 2) if choices > 2 else 0.0
        pull = pull if choices > 2 else 1.0
        misleading = [label for label in range(seen) if label != truth]
        elsewhere = choices - 1 - len(misleading)
        found = 0.0
        for lure in [*misleading, NONE - 1][: len(misleading) + (elsewhere > 0)]:
            chance = float(elsewhere) if lure < NONE else 1.0
            for expert, label in pattern:
                if label == NONE:
                    chance *= none[expert]
                elif label == truth:
                    chance *= right[expert]
                else:
                    chance *= (1 - right[expert] - none[expert]) * (pull if label == lure else stray)
            found += chance
        return self.shares[each] * found / (choices - 1) / choices


def pattern_of(labels: Mapping[int, int]) -> Pattern:
    """Labels by expert as a pattern: whatever they were called, equal patterns are equal."""
    names: dict[int, int] = {}
    return tuple(
        (expert, NONE if labels[expert] == NONE else names.setdefault(labels[expert], len(names)))
        for expert in sorted(labels)
    )


def fit_posterior(
    experts: Sequence[str], questions: Sequence[tuple[Mapping[int, Seen], int]], *, classes: int = CLASSES
) -> Posterior:
    """The model of what experts did with the questions of train, each with its number of choices, by EM.

    Starts from classes of questions that few, some or most experts got right; draws nothing at random.
    """
    if not questions:
        raise ValueError("there are no questions to learn from")
    base = [_overall(each, questions) for each in range(len(experts))]
    duties = [_first_duty(seen, classes) for seen, _ in questions]
    model = _maximised(experts, questions, duties, base)
    for _ in range(ROUNDS):
        found = [_expected(model, seen, choices) for seen, choices in questions]
        model = _maximised(experts, questions, [duty for duty, _ in found], base, [pull for _, pull in found])
    return model


def _overall(expert: int, questions: Sequence[tuple[Mapping[int, Seen], int]]) -> tuple[float, float]:
    """How often an expert is right, and how often it gives none of the choices, both pulled away from 0 and 1."""
    found = [seen[expert] for seen, _ in questions if expert in seen]
    right, none = sum(each.right for each in found), sum(each.label == NONE for each in found)
    return (right + 1) / (len(found) + 2.5), (none + 0.1) / (len(found) + 2.5)


def _first_duty(seen: Mapping[int, Seen], classes: int) -> list[float]:
    share = sum(each.right for each in seen.values()) / max(1, len(seen))
    raw = [exp(-4.0 * abs(share - (each + 0.5) / classes)) for each in range(classes)]
    return [each / fsum(raw) for each in raw]


def _expected(model: Posterior, seen: Mapping[int, Seen], choices: int) -> tuple[list[float], list[float]]:
    """The classes of a question, and in each how many of its wrong answers were attracted."""
    wrong: dict[int, int] = {}
    for each in seen.values():
        if not each.right and each.label != NONE:
            wrong[each.label] = wrong.get(each.label, 0) + 1
    choices = max(choices, len(wrong) + 1, 2)
    logs, pulls = list[float](), list[float]()
    for each in range(len(model.shares)):
        chance = log(model.shares[each])
        for expert, did in seen.items():
            right, none = model.right[each][expert], model.none[each][expert]
            chance += log(right if did.right else none if did.label == NONE else 1 - right - none)
        spread, pulled = _lured(wrong, choices, model.attraction[each])
        logs.append(chance + log(spread))
        pulls.append(pulled)
    top = max(logs)
    raw = [exp(each - top) for each in logs]
    return [each / fsum(raw) for each in raw], pulls


def _lured(wrong: Mapping[int, int], choices: int, pull: float) -> tuple[float, float]:
    """The probability of how wrong answers are spread, and how many of them the misleading one is to have had."""
    total = sum(wrong.values())
    if choices <= 2:
        return 1.0, float(total)
    stray = (1 - pull) / (choices - 2)
    ways = [(pull**count * stray ** (total - count), count) for count in wrong.values()]
    ways.append(((choices - 1 - len(wrong)) * stray**total, 0))
    spread = fsum(chance for chance, _ in ways) or 1e-300
    return spread / (choices - 1), fsum(chance * count for chance, count in ways) / spread


def _maximised(
    experts: Collection[str],
    questions: Sequence[tuple[Mapping[int, Seen], int]],
    duties: Sequence[Sequence[float]],
    base: Sequence[tuple[float, float]],
    pulls: Sequence[Sequence[float]] = (),
) -> Posterior:
    classes = len(duties[0])
    right = [[PRIOR * base[expert][0] for expert in range(len(experts))] for _ in range(classes)]
    none = [[PRIOR * base[expert][1] for expert in range(len(experts))] for _ in range(classes)]
    count = [[PRIOR] * len(experts) for _ in range(classes)]
    pulled, erred, shares = [PRIOR / 2] * classes, [PRIOR] * classes, [PRIOR] * classes
    for place, (seen, _) in enumerate(questions):
        wrong = sum(not did.right and did.label != NONE for did in seen.values())
        for each, duty in enumerate(duties[place]):
            shares[each] += duty
            erred[each] += duty * wrong
            pulled[each] += duty * (pulls[place][each] if pulls else wrong / 2)
            for expert, did in seen.items():
                count[each][expert] += duty
                right[each][expert] += duty * did.right
                none[each][expert] += duty * (did.label == NONE and not did.right)
    return Posterior(
        tuple(experts),
        tuple(share / fsum(shares) for share in shares),
        tuple(tuple(a / b for a, b in zip(row, many, strict=True)) for row, many in zip(right, count, strict=True)),
        tuple(tuple(a / b for a, b in zip(row, many, strict=True)) for row, many in zip(none, count, strict=True)),
        tuple(a / b for a, b in zip(pulled, erred, strict=True)),
    )
