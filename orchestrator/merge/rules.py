"""The merges that call no model: first, vote, weighted, and the router's own answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import fsum, log
from types import MappingProxyType
from typing import Protocol

from orchestrator.errors import ConfigError, nearest
from orchestrator.merge.base import in_order, sided
from orchestrator.merge.canonical import canonical, grouped
from orchestrator.messages import Analysis, Dissent, Question, Reply

__all__ = [
    "MERGES",
    "PERSON",
    "DecidingRule",
    "First",
    "PersonAnswer",
    "RouterAnswer",
    "Vote",
    "Weighted",
    "fallen_back",
    "merge_named",
    "voted",
]

PERSON = "person"
"""Who gave an answer at a resume."""

LEAST_P, MOST_P = 0.01, 0.99
"""Nobody is so surely right or wrong that one reply outweighs all the others."""
DIGITS = 9
"""Digits to which sums are compared: 0.8 + 0.1 and 0.7 + 0.2 are a tie."""

_Group = tuple[str, list[Reply]]


class DecidingRule(Protocol):
    """A merge that asks nobody, and so can be asked again at any time."""

    @property
    def name(self) -> str:
        """The word that traces and decisions use for it."""
        ...

    def decide(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The answer, who supports it and who dissents."""
        ...

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The same, for a run."""
        ...


class First:
    """The reply of the lowest slot; of equal ones the earlier attempt."""

    name = "first"

    def decide(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The first reply, with the equal ones as its support."""
        return sided(in_order(replies)[0].text, question, replies)

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The same, for a run."""
        return self.decide(question, replies)


@dataclass(frozen=True, slots=True)
class Vote:
    """Most equal replies win; ties go to higher summed p, then lower cost, then name (SEMANTICS §9).

    With fewer replies that have a vote than `quorum` there is no vote, and the reply of the highest p is taken.
    """

    quorum: int = 1

    def __post_init__(self) -> None:
        """Refuse a quorum that is none."""
        if self.quorum < 1:
            raise ConfigError(f"cannot be {self.quorum}", field="merge vote.quorum", expected="at least 1")

    @property
    def name(self) -> str:
        """`vote`, with its quorum where it has one, as `merge_named` takes it."""
        return "vote" if self.quorum == 1 else f"vote:{self.quorum}"

    def decide(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The winning answer; replies that are none of the question's choices have no vote."""
        ballots = _ballots(question, replies)
        votes = sum(len(group) for _, group in ballots)
        if votes >= self.quorum or self.quorum == 1:
            return voted(question, replies)
        why = f"{self.name}: {votes} of {self.quorum} votes that it takes; the reply of the highest p decides"
        return _likeliest(question, replies, why)

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The same, for a run."""
        return self.decide(question, replies)


class Weighted:
    """Every reply votes with the log-odds of its expert's p, which for two answers is the best rule there is.

    S. Nitzan and J. Paroush, "Optimal decision rules in uncertain dichotomous choice situations", International
    Economic Review 23 (1982); L. Shapley and B. Grofman, "Optimizing group judgmental accuracy in the presence of
    interdependencies", Public Choice 43 (1984): independent experts of known p are best weighted by ln(p / (1 - p)).
    Among K answers, errors spread evenly, ln(K - 1) comes on top (as in J. Zhu et al., "Multi-class AdaBoost",
    Statistics and Its Interface 2 (2009)); K is the number of choices, of an open question that of different answers.
    p is held within 0.01 and 0.99, and whoever is no better than chance has no weight; ties are broken as votes are.
    """

    name = "weighted"

    def decide(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The answer of the greatest summed weight."""
        ballots = _ballots(question, replies)
        answers = max(2, len(question.choices) or len(ballots))
        weights = {answer: fsum(_weight(each.p, answers) for each in group) for answer, group in ballots}
        return _decided(question, replies, ballots, lambda ballot: -round(weights[ballot[0]], DIGITS), self.name)

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The same, for a run."""
        return self.decide(question, replies)


class RouterAnswer:
    """The router's answer decides; replies that equal it support it, the others dissent."""

    name = "router"

    def decide(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The reply of the agent `router`, which the pipeline adds last; the first reply where there is none."""
        own = sorted((reply for reply in replies if reply.agent == "router"), key=lambda reply: -reply.attempt)
        others = [reply for reply in replies if reply.agent != "router"]
        return sided((own or in_order(replies))[0].text, question, others)

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The same, for a run."""
        return self.decide(question, replies)


class PersonAnswer:
    """A person's answer decides; replies that equal it support it, the others dissent. Only a resume asks for it."""

    name = PERSON

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The latest reply of the agent `person`."""
        own = [reply for reply in replies if reply.agent == PERSON]
        return sided(own[-1].text, question, [*(reply for reply in replies if reply not in own), own[-1]])


def voted(question: Question, replies: Sequence[Reply]) -> Analysis:
    """What `Vote` makes of the replies."""
    return _decided(question, replies, _ballots(question, replies), lambda ballot: -len(ballot[1]), "vote")


def fallen_back(question: Question, replies: Sequence[Reply], why: str) -> Analysis:
    """What is decided where a merge could not: by majority, or where there is none by the highest p; it says so.

    A majority is more equal replies than any other answer has. `why` is told first.
    """
    sizes = sorted((len(group) for _, group in _ballots(question, replies)), reverse=True)
    if len(replies) == 1:
        return replace(sided(replies[0].text, question, replies), reasons=(f"{why}; the one reply decides",))
    if sizes and (len(sizes) == 1 or sizes[0] > sizes[1]):
        merged = voted(question, replies)
        return replace(merged, reasons=(f"{why}; decided by majority",))
    return _likeliest(question, replies, f"{why}; no majority; the reply of the highest p decides")


def _ballots(question: Question, replies: Sequence[Reply]) -> list[_Group]:
    return grouped(in_order(replies), lambda reply: reply.text, question)


def _weight(p: float, answers: int) -> float:
    held = min(MOST_P, max(LEAST_P, p))
    return max(0.0, log(held / (1 - held)) + log(answers - 1))


def _likeliest(question: Question, replies: Sequence[Reply], why: str) -> Analysis:
    """The reply of the highest p among those that have a vote, else among all; ties go by cost and name."""
    voting = [reply for _, group in _ballots(question, replies) for reply in group]
    best = min(voting or replies, key=lambda reply: (-round(reply.p, DIGITS), *_rank([reply])))
    answer = canonical(best.text, question) if question.choices else None
    return replace(sided(answer or best.text, question, replies), reasons=(why,))


def _decided(
    question: Question,
    replies: Sequence[Reply],
    ballots: Sequence[_Group],
    strength: Callable[[_Group], float],
    rule: str,
) -> Analysis:
    """The answer of the strongest group, in the words of its likeliest member."""
    if not ballots:
        merged = sided(in_order(replies)[0].text, question, replies)
        return replace(merged, reasons=(f"{rule}: no reply is one of the choices",))
    winner, won = min(ballots, key=lambda ballot: (strength(ballot), -len(ballot[1]), *_rank(ballot[1])))
    spokesman = min(won, key=lambda reply: (-reply.p, reply.agent))
    return Analysis(
        answer=winner if question.choices else spokesman.text,
        support=tuple(reply.agent for reply in won),
        dissent=tuple(Dissent(reply.agent, reply.text) for reply in in_order(replies) if reply not in won),
    )


def _rank(ballot: Sequence[Reply]) -> tuple[float, bool, Decimal, str]:
    costs = [reply.cost for reply in ballot]
    known = [cost for cost in costs if cost is not None]
    return (
        -round(fsum(reply.p for reply in ballot), DIGITS),
        len(known) < len(costs),
        sum(known, Decimal(0)),
        min(reply.agent for reply in ballot),
    )


MERGES: Mapping[str, Callable[[], DecidingRule]] = MappingProxyType(
    {"first": First, "vote": Vote, "weighted": Weighted, "router": RouterAnswer}
)
"""Built-in merges that ask nobody, by name."""


def merge_named(name: str, others: Sequence[str] = ()) -> DecidingRule:
    """A built-in merge that asks nobody, `vote:3` one with a quorum; raises `ConfigError` with the nearest name.

    `others` are further names that the caller knows.
    """
    base, _, quorum = name.partition(":")
    if base == "vote" and quorum.isdecimal():
        return Vote(int(quorum))
    if name in MERGES:
        return MERGES[name]()
    known = sorted({*MERGES, *others})
    raise ConfigError(
        f"there is no merge `{name}`",
        field="merge",
        expected=f"one of {', '.join(known)}, or `module:attribute` of your own",
        suggestion=nearest(name, known),
    )
