"""What every merge keeps to, run through the front door; a new one is a new row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import pytest

from orchestrator import Analysis, Message, Orchestrator, Question
from orchestrator.merge import AskingMerge, First, MergeFunction, MergeRule, RouterAnswer, Synthesise, Vote, as_merge
from orchestrator.messages import Goal, Reply
from orchestrator.providers import Completion, Request, ScriptProvider
from tests.experts import at_once, giving
from tests.routing import scripted
from tests.runs import Ran, ask


def longest(question: Question, replies: Sequence[Reply]) -> str:
    """A function of the user's own."""
    del question
    return max((reply.text for reply in replies), key=lambda text: (len(text), text))


async def waiting(question: Question, replies: Sequence[Reply]) -> str:
    """One that waits."""
    await asyncio.sleep(0)
    return longest(question, replies)


@dataclass(frozen=True)
class Row:
    """A merge, and what its model says where it has one."""

    merge: MergeRule | MergeFunction
    says: Callable[[Request], str] = lambda _: "NONE"

    @property
    def rule(self) -> MergeRule:
        """The merge as the pipeline sees it."""
        return as_merge(self.merge)


ROWS = {
    "first": Row(First()),
    "vote": Row(Vote()),
    "router": Row(RouterAnswer()),
    "synthesise": Row(Synthesise("script:merger"), lambda _: "42"),
    "synthesise that cannot": Row(Synthesise("script:merger")),
    "function": Row(longest),
    "async function": Row(waiting),
}
each = pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
QUESTION = Question((Message("user", "How much is it?"),))


def merged(row: Row, *replies: Reply) -> Analysis:
    """What it makes of the replies by itself."""

    async def asked(name: str, request: Request) -> Completion:
        assert name == "script:merger"
        return Completion(row.says(request))

    rule = row.rule
    if isinstance(rule, AskingMerge):
        return asyncio.run(rule.merge(QUESTION, replies, asked))
    return asyncio.run(rule.merge(QUESTION, replies))


def reply(number: int, agent: str, text: str) -> Reply:
    """One expert's reply."""
    return Reply(number, agent, Goal("answer", slot=number), text)


PANEL = [reply(1, "ada", "42"), reply(2, "bob", "42.0"), reply(3, "cy", "7")]


@each
def test_one_reply_is_the_answer(row: Row) -> None:
    made = merged(row, PANEL[0])
    assert (made.answer, made.support, made.dissent) == ("42", ("ada",), ())


@each
def test_every_reply_supports_or_dissents(row: Row) -> None:
    made = merged(row, *PANEL)
    assert {*made.support, *(each.agent for each in made.dissent)} == {"ada", "bob", "cy"}
    assert (made.support, [each.agent for each in made.dissent]) == (("ada", "bob"), ["cy"])


@each
def test_the_order_of_replies_changes_nothing(row: Row) -> None:
    made = [merged(row, *order) for order in permutations(PANEL)]
    assert made == [made[0]] * len(made)


@each
def test_it_has_a_name(row: Row) -> None:
    assert row.rule.name


def run(row: Row, folder: Path) -> Ran:
    """A run of three analyses that the row's merge ends."""
    experts = [giving(each.agent, each.text, skill=0.9) for each in PANEL]
    orchestrator = Orchestrator(
        [scripted("merger"), *experts], merge=row.merge, analyses=3, trace=folder, sleep=at_once,
        providers={"script": ScriptProvider({"merger": row.says})},
    )  # fmt: skip
    return ask(orchestrator, folder)


@each
def test_a_run_says_who_merged_and_what_it_cost(row: Row, tmp_path: Path) -> None:
    decision = run(row, tmp_path).decision
    asks = isinstance(row.merge, Synthesise)
    assert (decision.status, decision.method) == ("answered", row.rule.name)
    assert decision.merge_calls == int(asks)
    assert bool(decision.cost_usd) == asks
    assert decision.support == ("ada", "bob")
