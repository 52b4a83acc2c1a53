"""The router of `--analyses auto`: as many analyses as the question is worth, and of the experts that tell most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.confidence import (
    NONE,
    Ballot,
    Calibration,
    LabelOf,
    Policy,
    Posterior,
    ballot_of,
    believed,
    decided,
    expected,
    sigma,
)
from orchestrator.messages import Question, Reply
from orchestrator.pool import Agent, sample_names
from orchestrator.protocol import Turn
from orchestrator.routers.base import Routing, View
from orchestrator.routers.prospects import Prospects, ask, ended, price, prospects, stop
from orchestrator.trace.events import Candidate

__all__ = ["BallotRouter", "WidthRouter"]

PROBE = 3
WIDEST = 6
"""Experts that are weighed against each other; the ways to go on grow as the Bell numbers."""

PolicyKey = tuple[int, tuple[tuple[int, float], ...]]


@dataclass(frozen=True, slots=True)
class WidthRouter:
    """Asks whoever adds most for the price, and stops when nobody adds more than that.

    With a fitted posterior the choice is the best one over all ways to go on. Without one it is ACAR's: three samples
    of a cheap expert at once, or three cheap experts where none is to be sampled, and sigma over their answers
    (arXiv 2602.21231, §3): stop where it is 0; else whoever is likelier to be right than the leader's share of votes
    by more than the price: the dear expert, or one more where that is better.
    """

    calibration: Calibration | None = None
    name: str = field(default="auto", init=False)
    _policies: dict[PolicyKey, Policy] = field(default_factory=dict[PolicyKey, Policy], compare=False, repr=False)

    async def decide(self, view: View) -> Routing:
        """Whom to ask next, or the end; an empty turn where nobody can be asked."""
        return ended(self.step(view, view.goal), view)

    def step(self, view: View, artifact: str, query: str = "") -> Turn:
        """Whom to ask next for an artifact, or the end."""
        at = prospects(view, artifact, query)
        if not at.replies and not at.others:
            return Turn(())
        if at.replies and view.last is not None:
            return stop(f"auto: stop: {view.last}")
        posterior = self.calibration.posterior if self.calibration else None
        known = [each for each in at.others if posterior and posterior.place(each.agent) is not None]
        heard = [reply for reply in at.replies if posterior and posterior.place(reply.agent) is not None]
        if posterior is not None and len(known) + len(heard) > 1:
            return self._by_policy(at, known, view, posterior)
        return _probed(at, view, query) if at.replies else _probe(at, view, query)

    def settled(self, question: Question, replies: Sequence[Reply], label_of: LabelOf) -> Reply:
        """A reply with the likeliest answer."""
        posterior = self.calibration.posterior if self.calibration else None
        ballot = ballot_of(question, replies, None, label_of)
        known = posterior is not None and any(posterior.place(reply.agent) is not None for reply in replies)
        return _likeliest(ballot, posterior) if posterior is not None and known else _by_votes(ballot)

    def _by_policy(self, at: Prospects, known: Sequence[Candidate], view: View, posterior: Posterior) -> Turn:
        ballot = at.ballot(view)
        pattern, choices = ballot.pattern(posterior), ballot.choices
        free = max(1, WIDEST - len(pattern))
        costs = {posterior.experts.index(each.agent): round(price(each), 5) for each in known[:free]}
        policy = self._policy(posterior, costs, choices)
        chosen = policy.next(pattern) if costs else None
        if not pattern and chosen is None:  # somebody has to answer
            chosen = posterior.experts.index(known[0].agent) if known else None
        sure = max(believed(posterior, pattern, choices), default=0.0)
        told = f"{sure:.3f} sure of {len(at.replies)} " + ("reply" if len(at.replies) == 1 else "replies")
        if chosen is None:
            return stop(f"auto: stop: {told}; nobody is worth asking")
        name = posterior.experts[chosen]
        chance = expected(posterior, pattern, chosen, choices)
        told = f"{told}; ask {name}: right with {chance:.3f}, price {costs.get(chosen, 0.0):.4f}"
        return ask([name], f"auto: {told}")

    def _policy(self, posterior: Posterior, costs: dict[int, float], choices: int) -> Policy:
        key = (choices, tuple(costs.items()))
        if key not in self._policies:
            self._policies[key] = Policy(posterior, costs, choices, depth=WIDEST)
        return self._policies[key]


@dataclass(frozen=True, slots=True)
class BallotRouter:
    """A vote of so many experts that ends as soon as no vote to come can change it."""

    voters: int
    name: str = field(default="ballot", init=False)

    async def decide(self, view: View) -> Turn:
        """The fewest experts whose votes can decide it, side by side, or the end."""
        return self.step(view, view.goal)

    def step(self, view: View, artifact: str, query: str = "") -> Turn:
        """Whom to ask next for an artifact, or the end."""
        at = prospects(view, artifact, query)
        if not at.replies and not at.others:
            return Turn(())
        labels = at.ballot(view).labels
        missing = self.voters - len(labels)
        if self._decides(labels) or not at.others or (labels and view.last is not None):
            spared = max(0, min(missing, len(at.others)))
            told = f"{spared} vote{'' if spared == 1 else 's'} spared"
            if not (self._decides(labels) or at.others):
                told = "undecided, and nobody else can be asked"
            return stop(f"ballot: stop: {len(labels)} of {self.voters} asked, {told}")
        counts = [number for _, number in Counter(label for label in labels if label != NONE).most_common(2)]
        lead = (counts[0] if counts else 0) - (counts[1] if len(counts) > 1 else 0)
        fewest = (missing - lead) // 2 + 1  # so many votes for the leader decide it
        names = [each.agent for each in at.others[:fewest]]
        return ask(names, f"ballot: {len(labels)} of {self.voters} asked; ask {len(names)} more", query)

    def undecided(self, question: Question, replies: Sequence[Reply], label_of: LabelOf) -> bool:
        """Whether the votes that were to come, and did not, could have changed who has most."""
        return not self._decides(ballot_of(question, replies, None, label_of).labels)

    def _decides(self, labels: Sequence[int]) -> bool:
        """Whether these votes are all that were wanted, or no others could change who has most."""
        missing = self.voters - len(labels)
        return missing <= 0 or decided(labels, missing)


def _probe(at: Prospects, view: View, query: str) -> Turn:
    """Three samples of a cheap expert, where one may be sampled; else three cheap experts, any where there are none.

    Cheap are those of whom three cost no more than the dear one; those of lowest weight are asked.
    """
    dear = max(at.others, key=lambda each: (each.p or 0.0, each.agent))
    rest = [each for each in at.others if each is not dear]
    cheap = [each for each in rest if price(each) * PROBE <= price(dear)]
    sampled = _to_sample(cheap or at.others, view.experts)
    chosen = next((some for some in (cheap, rest) if len(some) > 1), at.others)
    names = sample_names(sampled)[:PROBE] if sampled else [each.agent for each in chosen[:PROBE]]
    return ask(names, f"auto: probe {', '.join(names)}", query)


def _to_sample(candidates: Sequence[Candidate], experts: Sequence[Agent]) -> Agent | None:
    """The first of the candidates that may be asked the same more than once."""
    able = {agent.name: agent for agent in experts if agent.samples > 1}
    return next((able[each.agent] for each in candidates if each.agent in able), None)


def _probed(at: Prospects, view: View, query: str) -> Turn:
    """What follows a probe: the end where all agree, else whoever is likelier right than the leader's share of votes.

    The share stands in for the leader's chance: as if experts erred independently, agreement would be worth too much.
    """
    ballot = at.ballot(view)
    spread, (_, share) = sigma(ballot.labels), _leader(ballot)
    told = f"sigma {spread:.2g} over {len(ballot.labels)} answers"
    best_asked = max(reply.p for reply in at.replies)
    sure = max(share, best_asked) if len(at.replies) > PROBE else share
    gains = {each.agent: (each.p or 0.0) - sure - price(each) for each in at.others}
    best = max(gains, key=lambda name: (gains[name], name), default=None)
    if spread == 0 or best is None or gains[best] <= 0:
        return stop(f"auto: stop: {told}" + ("" if spread == 0 else f", {sure:.3f} sure; nobody is worth asking"))
    dear = max(at.others, key=lambda each: (each.p or 0.0, each.agent)).agent
    way = "the dear expert" if best == dear else "wider"
    return ask([best], f"auto: {told}, {sure:.3f} sure; {way}: {best} is worth {gains[best]:+.4f}", query)


def _leader(ballot: Ballot) -> tuple[int, float]:
    """The label with most votes, and its share of all; ties go to the higher summed p."""
    found: dict[int, float] = {}
    for reply, label in zip(ballot.replies, ballot.labels, strict=True):
        if label != NONE:
            found[label] = found.get(label, 0.0) + 1 + reply.p / 1000
    if not found:
        return NONE, 0.0
    label = max(found, key=lambda each: found[each])
    return label, ballot.labels.count(label) / len(ballot.labels)


def _by_votes(ballot: Ballot) -> Reply:
    """The reply of the best expert where it is likelier right than the leader's share of votes; else the leader's."""
    label, share = _leader(ballot)
    mine = [reply for reply, each in zip(ballot.replies, ballot.labels, strict=True) if each == label]
    able = [reply for reply, each in zip(ballot.replies, ballot.labels, strict=True) if each != NONE] or mine
    best = min(able, key=lambda reply: (-reply.p, reply.agent))
    return best if best.p > share else min(mine, key=lambda reply: (-reply.p, reply.agent))


def _likeliest(ballot: Ballot, posterior: Posterior) -> Reply:
    chances = believed(posterior, ballot.pattern(posterior), ballot.choices)
    known = dict(ballot.pattern(posterior))

    def rank(pair: tuple[Reply, int]) -> tuple[bool, float, float, str]:
        reply, label = pair
        place = posterior.place(reply.agent)
        seen = known.get(place, NONE) if place is not None else NONE
        return (label == NONE, -(chances[seen] if seen != NONE else 0.0), -reply.p, reply.agent)

    return min(zip(ballot.replies, ballot.labels, strict=True), key=rank)[0]
