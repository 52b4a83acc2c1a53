"""The router that asks from cheap to dear, one expert after another, and defers where the next is worth its price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.confidence import Calibration, LabelOf, Posterior, cheapest_first, expected
from orchestrator.errors import ConfigError
from orchestrator.messages import Question, Reply
from orchestrator.protocol import Route, Think, Turn
from orchestrator.routers.base import Routing, View
from orchestrator.routers.prospects import Prospects, ask, asked_of, ended, price, prospects, skills_of, stop
from orchestrator.trace.events import Candidate

__all__ = ["CascadeRouter", "cascade_named"]

FREE = 1e-6
"""Price under which nothing is gained by being cheaper."""


@dataclass(frozen=True, slots=True)
class CascadeRouter:
    """Begins with the cheapest expert; its last reply is the decision. Whom the budget cannot pay is left out.

    Without a threshold it defers where the chance of a better expert to be right is above that of the reply at hand by
    more than the expert's price: the post-hoc rule of W. Jitkrittum et al., "When does confidence-based cascade
    deferral suffice?", arXiv 2307.02764, §4; of several such experts to the one that adds most for its price. The
    chances come from what was fitted on train, else from the skills of the experts.
    """

    threshold: float | None = None
    """The plain rule instead: confidence from which on the reply at hand is kept."""
    calibration: Calibration | None = None
    name: str = field(default="cascade", init=False)

    def __post_init__(self) -> None:
        """Refuse a threshold that is no probability."""
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError(f"cannot be {self.threshold:g}", field="router cascade", expected="a number from 0 to 1")

    async def decide(self, view: View) -> Routing:
        """The next expert of the cascade, or the end; an empty turn where nobody can be asked."""
        return ended(self.step(view, view.goal), view)

    def step(self, view: View, artifact: str, query: str = "") -> Turn:
        """The next expert for an artifact, or the end."""
        at = prospects(view, artifact, query)
        if not at.replies:
            chain = _chain(at.others, 0.0)
            return ask([chain[0].agent], f"cascade: begin with {chain[0].agent}", query) if chain else Turn(())
        if view.last is not None:
            return stop(f"cascade: keep the reply of {at.replies[-1].agent}: {view.last}")
        found, thought = self._next(at, view)
        return Turn((Think(thought), Route(found.agent, query, instead=True))) if found else stop(thought)

    def settled(self, question: Question, replies: Sequence[Reply], label_of: LabelOf) -> Reply:  # noqa: ARG002 - the protocol's
        """The last reply."""
        return max(replies, key=lambda reply: reply.attempt)

    def _next(self, at: Prospects, view: View) -> tuple[Candidate | None, str]:
        current = at.replies[-1]
        chain = _chain(at.others, current.p)
        if not chain:
            return None, f"cascade: keep the reply of {current.agent}: nobody better can be asked"
        posterior = asked_of(self._posterior, skills_of(at.replies, at.others))
        sure = self._chance(at, view, posterior)
        if self.threshold is not None:
            kept = sure >= self.threshold
            told = f"{current.agent} is {sure:.3f} sure, {self.threshold:g} is enough"
            return (None, f"cascade: {told}") if kept else (chain[0], f"cascade: {told}; ask {chain[0].agent}")
        gains = {each.agent: _chance_of(each, at, view, posterior) - sure for each in chain}
        worth = [each for each in chain if gains[each.agent] > price(each)]
        told = f"{current.agent} is {sure:.3f} sure"
        if not worth:
            return None, f"cascade: {told}; nobody better is worth the price"
        best = max(worth, key=lambda each: (gains[each.agent] / max(price(each), FREE), gains[each.agent]))
        return best, f"cascade: {told}; ask {best.agent}: {gains[best.agent]:+.3f} for a price of {price(best):.4f}"

    def _chance(self, at: Prospects, view: View, posterior: Posterior) -> float:
        """The chance that the last reply is right."""
        ballot = at.ballot(view, at.replies[-1].text)
        fitted = self.calibration.confidence(ballot) if self.calibration and self.threshold is not None else None
        if fitted is not None:
            return fitted
        chance = ballot.chance(posterior)
        return 0.0 if chance is None else chance

    @property
    def _posterior(self) -> Posterior | None:
        return self.calibration.posterior if self.calibration else None


def _chain(others: Sequence[Candidate], p: float) -> list[Candidate]:
    """Experts better than what is there, from cheap to dear, without those that a cheaper one is as good as."""
    found = {place: each for place, each in enumerate(others) if (each.p or 0.0) > p}
    prices = {place: price(each) for place, each in found.items()}
    return [found[place] for place in cheapest_first(prices, {place: each.p or 0.0 for place, each in found.items()})]


def _chance_of(candidate: Candidate, at: Prospects, view: View, posterior: Posterior) -> float:
    """The chance that an expert will be right, given what the others said."""
    ballot = at.ballot(view)
    place = posterior.place(candidate.agent)
    if place is None:
        return candidate.p or 0.0
    return expected(posterior, ballot.pattern(posterior), place, ballot.choices)


def cascade_named(name: str, calibration: Calibration | None) -> CascadeRouter:
    """The router of `cascade` or `cascade:P`; raises `ConfigError` where P is no number from 0 to 1."""
    _, mark, given = name.partition(":")
    try:
        return CascadeRouter(float(given) if mark else None, calibration)
    except ValueError as error:
        raise ConfigError(f"cannot be `{name}`", field="router", expected="cascade, or cascade:P, P 0 to 1") from error
