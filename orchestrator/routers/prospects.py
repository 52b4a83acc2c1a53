"""What routers that ask one expert after another look at: who could be asked next, at what price, and who said what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

from orchestrator.confidence import Ballot, Posterior, ballot_of, naive
from orchestrator.messages import Goal, Message, Question, Reply
from orchestrator.protocol import Answer, Route, Think, Turn
from orchestrator.routers.base import Routing, View
from orchestrator.trace.events import Candidate

__all__ = ["Prospects", "ask", "asked_of", "ended", "price", "prospects", "skills_of", "stop"]


@dataclass(frozen=True, slots=True)
class Prospects:
    """Where asking for an artifact stands."""

    question: Question
    """What is asked: the run's own question, or a query as one."""
    replies: tuple[Reply, ...]
    """What was given so far, oldest first."""
    others: tuple[Candidate, ...]
    """Experts that can still be asked, by weight: whom the budget cannot pay is not among them."""

    def ballot(self, view: View, answer: str | None = None) -> Ballot:
        """The replies by their answers."""
        return ballot_of(self.question, self.replies, answer, view.label_of)


def prospects(view: View, artifact: str, query: str = "") -> Prospects:
    """Where asking for an artifact stands, and who of the view's experts can be asked next."""
    found = [r for r in view.replies if (r.goal.artifact, r.goal.query) == (artifact, query)]
    slot = max((reply.goal.slot for reply in found), default=0) + 1
    taken = {reply.agent for reply in found}
    choice = view.planner.choose(Goal(artifact, query, slot), view.state, taken=taken)
    known = {agent.name for agent in view.experts}
    others = [c for c in choice.candidates if c.artifact == artifact and c.through is not None and c.p]
    others = [candidate for candidate in others if candidate.agent in known]
    own = query in ("", view.question.text)  # another question has neither its choices nor its kind
    return Prospects(
        view.question if own else Question((Message("user", query),)),
        tuple(sorted(found, key=lambda reply: reply.attempt)),
        tuple(sorted(others, key=lambda each: (each.weight or 0.0, each.agent))),
    )


def price(candidate: Candidate) -> float:
    """What money and time of an expert weigh, in chances of being right (SEMANTICS §4)."""
    return max(0.0, (candidate.weight or 0.0) + log(candidate.p or 1.0))


def skills_of(replies: Sequence[Reply], others: Sequence[Candidate]) -> dict[str, float]:
    """How likely each expert is to be right, as was known beforehand."""
    return {reply.agent: reply.p for reply in replies} | {each.agent: each.p or 0.0 for each in others}


def asked_of(posterior: Posterior | None, skills: Mapping[str, float]) -> Posterior:
    """The fitted posterior where it knows these experts, two at least; else one from their skills alone."""
    known = posterior is not None and sum(posterior.place(name) is not None for name in skills) >= min(2, len(skills))
    return posterior if posterior is not None and known else naive(skills)


def ask(names: Sequence[str], thought: str, query: str = "") -> Turn:
    """The turn that consults experts, with what it was thought for."""
    return Turn((Think(thought), *(Route(name, query) for name in names)))


def ended(turn: Turn, view: View) -> Routing:
    """The turn, with the limit of the run that made it an end while somebody was left to ask."""
    asked = {reply.agent for reply in view.replies} | {failure.failed.agent for failure in view.failures}
    left = any(agent.produces == view.goal and agent.name not in asked for agent in view.experts)
    forced = turn.answer is not None and view.last is not None and view.last in turn.thought
    return Routing(turn, limits=(view.last,) if forced and left and view.last else ())


def stop(thought: str) -> Turn:
    """The turn that ends with what is there."""
    return Turn((Think(thought), Answer()))
