"""The merges that call no model: first, vote, and the router's own answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import fsum
from types import MappingProxyType

from orchestrator.errors import ConfigError, nearest
from orchestrator.merge.base import MergeRule, in_order, sided
from orchestrator.merge.canonical import canonical
from orchestrator.messages import Analysis, Dissent, Question, Reply

__all__ = ["MERGES", "First", "RouterAnswer", "Vote", "merge_named", "voted"]


class First:
    """The reply of the lowest slot; of equal ones the earlier attempt."""

    name = "first"

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The first reply, with the equal ones as its support."""
        return sided(in_order(replies)[0].text, question, replies)


class Vote:
    """Most equal replies win; ties go to higher summed p, then lower cost, then name (SEMANTICS §9)."""

    name = "vote"

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The winning answer; replies that are none of the question's choices have no vote."""
        return voted(question, replies)


class RouterAnswer:
    """The router's answer decides; replies that equal it support it, the others dissent."""

    name = "router"

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The reply of the agent `router`, which the pipeline adds last; the first reply where there is none."""
        own = sorted((reply for reply in replies if reply.agent == "router"), key=lambda reply: -reply.attempt)
        others = [reply for reply in replies if reply.agent != "router"]
        return sided((own or in_order(replies))[0].text, question, others)


def voted(question: Question, replies: Sequence[Reply]) -> Analysis:
    """What `Vote` makes of the replies."""
    ballots: dict[str, list[Reply]] = {}
    for reply in in_order(replies):
        vote = canonical(reply.text, question)
        if vote is not None:
            ballots.setdefault(vote, []).append(reply)
    if not ballots:
        merged = sided(in_order(replies)[0].text, question, replies)
        return Analysis(
            merged.answer, merged.support, merged.dissent, reasons=("vote: no reply is one of the choices",)
        )
    winner = min(ballots, key=lambda vote: _rank(ballots[vote]))
    won = ballots[winner]
    spokesman = min(won, key=lambda reply: (-reply.p, reply.agent))
    return Analysis(
        answer=winner if question.choices else spokesman.text,
        support=tuple(reply.agent for reply in won),
        dissent=tuple(Dissent(reply.agent, reply.text) for reply in in_order(replies) if reply not in won),
    )


def _rank(ballot: Sequence[Reply]) -> tuple[int, float, bool, Decimal, str]:
    costs = [reply.cost for reply in ballot]
    known = [cost for cost in costs if cost is not None]
    return (
        -len(ballot),
        -round(fsum(reply.p for reply in ballot), 9),  # 0.8 + 0.1 and 0.7 + 0.2 are a tie
        len(known) < len(costs),
        sum(known, Decimal(0)),
        min(reply.agent for reply in ballot),
    )


MERGES: Mapping[str, type[MergeRule]] = MappingProxyType({"first": First, "vote": Vote, "router": RouterAnswer})
"""Built-in merges by name."""


def merge_named(name: str) -> MergeRule:
    """A built-in merge; raises `ConfigError` with the nearest name where there is none."""
    if name not in MERGES:
        raise ConfigError(
            f"there is no merge `{name}`",
            field="merge",
            expected="one of " + ", ".join(sorted(MERGES)),
            suggestion=nearest(name, MERGES),
        )
    return MERGES[name]()
