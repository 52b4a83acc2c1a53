"""Whom to ask next, and when to stop: ACAR's sigma, ballots that are decided, gains, and the best way to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from orchestrator.confidence.posterior import NONE, Pattern, Posterior, pattern_of

__all__ = ["Policy", "believed", "cheapest_first", "decided", "expected", "naive", "sigma"]

Costs = Mapping[int, float]
"""What asking an expert is expected to cost, in chances of being right; those that cannot be asked are not in it."""


def sigma(labels: Sequence[int]) -> float:
    """How far answers are apart: 0 where all are equal, 1 where no two are (ACAR, arXiv 2602.21231, §3).

    (distinct answers - 1) / (answers - 1); with three answers 0, 0.5 or 1. Replies that are none of the choices are
    each an answer of its own. Of fewer than two answers it is 1: nothing is known.
    """
    if len(labels) < 2:
        return 1.0
    distinct = len({label for label in labels if label != NONE}) + sum(label == NONE for label in labels)
    return (distinct - 1) / (len(labels) - 1)


def decided(labels: Sequence[int], remaining: int) -> bool:
    """Whether no vote that is still to come can change who has most, not even by a tie."""
    counts = [number for _, number in Counter(label for label in labels if label != NONE).most_common(2)]
    if not counts:
        return remaining == 0
    return counts[0] > (counts[1] if len(counts) > 1 else 0) + remaining


def believed(posterior: Posterior, pattern: Pattern, choices: int) -> tuple[float, ...]:
    """The chance of each label to be right, given who said what."""
    found = posterior.weights(pattern, choices)
    return tuple(each / found.total for each in found.labels)


def expected(posterior: Posterior, pattern: Pattern, expert: int, choices: int) -> float:
    """The chance that an expert who was not asked yet will be right, given what the others said."""
    found = posterior.weights(pattern, choices)
    right = 0.0
    for label, ways in _answers(len(found.labels), choices):
        if label != NONE:
            told = _with(pattern, expert, label)  # which may number the labels anew
            right += ways * posterior.weights(told, choices).labels[dict(told)[expert]]
    return right / found.total


def naive(skills: Mapping[str, float]) -> Posterior:
    """A posterior from skills alone, where nothing was fitted: experts err independently, and anywhere."""
    experts = tuple(sorted(skills))
    right = tuple(min(0.98, max(0.02, skills[name])) for name in experts)
    return Posterior(experts, (1.0,), (right,), (tuple((1 - p) / 100 for p in right),), (0.5,))


@dataclass(slots=True)
class Policy:
    """The best way to go on asking, one expert at a time, by looking at every way it can end.

    The value of stopping is the chance that the likeliest answer is right; that of asking is what it is worth with
    the reply, less its cost. Worked out backwards over patterns of answers, with unnormalised weights, so that the
    chances of replies need not be known apart. A finite case of A. Wald's sequential analysis (1945).
    """

    posterior: Posterior
    costs: Costs
    choices: int
    depth: int = 6
    """Experts that are asked at most; the ways grow as the Bell numbers."""
    _kept: dict[Pattern, tuple[float, int | None]] = field(
        default_factory=dict[Pattern, tuple[float, int | None]], repr=False
    )

    def next(self, pattern: Pattern) -> int | None:
        """The expert to ask next; None where it is best to stop."""
        return self._best(pattern)[1]

    def value(self, pattern: Pattern) -> float:
        """The chance of being right in the end less the cost of getting there."""
        return self._best(pattern)[0] / self.posterior.weights(pattern, self.choices).total

    def _best(self, pattern: Pattern) -> tuple[float, int | None]:
        if pattern in self._kept:
            return self._kept[pattern]
        weights = self.posterior.weights(pattern, self.choices)
        stop = max(weights.labels, default=weights.total / max(2, self.choices))
        best: tuple[float, int | None] = (stop, None)
        asked = {expert for expert, _ in pattern}
        for expert, cost in self.costs.items() if len(asked) < self.depth else ():
            paid = cost * weights.total
            if expert in asked or max(stop, best[0]) + paid >= weights.total:
                continue  # not even certainty would be worth it
            worth = -paid
            for label, ways in _answers(len(weights.labels), self.choices):
                worth += ways * self._best(_with(pattern, expert, label))[0]
            if worth > best[0] + 1e-12 or (best[1] is None and worth > stop + 1e-12):
                best = (worth, expert)
        self._kept[pattern] = best
        return best


def _answers(seen: int, choices: int) -> list[tuple[int, int]]:
    """Labels that a reply may have, each with how many answers it stands for: new ones are alike."""
    new = max(0, choices - seen)
    return [(NONE, 1), *((label, 1) for label in range(seen)), *([(seen, new)] if new else [])]


def _with(pattern: Pattern, expert: int, label: int) -> Pattern:
    return pattern_of({**dict(pattern), expert: label})


def cheapest_first(costs: Costs, skills: Mapping[int, float]) -> list[int]:
    """Experts from cheap to dear, without those that some cheaper or equally dear one is at least as good as."""
    chain: list[int] = []
    best = -inf
    for expert in sorted(costs, key=lambda each: (costs[each], -skills[each], each)):
        if skills[expert] > best:
            best = skills[expert]
            chain.append(expert)
    return chain
