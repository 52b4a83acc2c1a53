"""The merge agent: one answer from anonymous analyses, or the vote with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest

from orchestrator import ConfigError, Message, Orchestrator, Pool, ProviderError, Question
from orchestrator.budget import Budget
from orchestrator.errors import AttemptError
from orchestrator.merge import Synthesise
from orchestrator.messages import Analysis, Dissent, Goal, Reply, Usage
from orchestrator.providers import Completion, Request, ScriptProvider
from orchestrator.providers.base import estimated_tokens
from orchestrator.providers.script import Line
from tests.experts import at_once, giving
from tests.routing import SPENT, TURN_COST, says, scripted
from tests.runs import QUESTION, Ran, ask

CHOICE = Question((Message("user", "Which one?"),), choices=("A", "B"))
OPEN = Question((Message("user", "Which one?"),))
MERGE = Synthesise("script:merger")
PANEL = [
    Reply(number, agent, Goal("answer", slot=number), text)
    for number, (agent, text) in enumerate((("ada", "A"), ("bob", "B"), ("cy", "b) the second")), start=1)
]


def merged(said: Line, question: Question, replies: Sequence[Reply] = tuple(PANEL)) -> Analysis:
    """What the merge makes of the replies when its model says this."""

    async def asked(name: str, request: Request) -> Completion:
        assert name == "script:merger"
        if isinstance(said, AttemptError):
            raise said
        made = said(request) if callable(said) else said
        return made if isinstance(made, Completion) else Completion(made)

    return asyncio.run(MERGE.merge(question, replies, asked))


@pytest.mark.parametrize(
    ("said", "answer"), [("A", "A"), ("B", "B"), ("b) the second", "B"), ("(A)", "A"), (" B\n\nsince it is", "B")]
)
def test_the_answer_is_one_of_the_choices(said: str, answer: str) -> None:
    made = merged(said, CHOICE)
    sides = {"A": (("ada",), ["bob", "cy"]), "B": (("bob", "cy"), ["ada"])}[answer]
    assert (made.answer, made.support, [each.agent for each in made.dissent]) == (answer, *sides)
    assert made.reasons == ()


UNUSABLE: dict[str, tuple[Line, str]] = {
    "none of them": ("NONE", "it gave no answer that can be used"),
    "nothing": (" ", "it gave no answer that can be used"),
    "cut": (Completion("B", finish="length"), "it gave no answer that can be used"),
    "declined": (Completion("B", finish="refusal"), "it gave no answer that can be used"),
    "no choice": ("C, clearly", "it gave no answer that can be used"),
    "failed": (ProviderError("is down", kind="server"), "is down"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_answer_that_cannot_be_used_leaves_it_to_the_vote(case: str) -> None:
    said, why = UNUSABLE[case]
    made = merged(said, CHOICE)
    assert (made.answer, made.support, made.dissent) == ("B", ("bob", "cy"), (Dissent("ada", "A"),))
    assert made.reasons == (f"synthesise: {why}; decided by majority",)


def test_an_open_question_takes_any_answer() -> None:
    made = merged(" the third \n", OPEN)
    assert (made.answer, made.support, len(made.dissent)) == ("the third", (), 3)


def test_one_reply_needs_nobody() -> None:
    assert merged(ProviderError("never asked", kind="server"), OPEN, PANEL[:1]) == Analysis("A", ("ada",))


def test_without_a_way_to_ask_it_is_a_vote() -> None:
    made = asyncio.run(MERGE.merge(CHOICE, PANEL))
    assert (made.answer, made.reasons) == ("B", ("synthesise: there is no model to ask; decided by majority",))


def test_the_prompt_is_anonymous_and_hangs_on_no_order() -> None:
    texts = {MERGE.request(CHOICE, order).messages[0].content for order in permutations(PANEL)}
    renamed = [replace(reply, agent=f"x{9 - reply.attempt}", attempt=9 - reply.attempt, p=0.1) for reply in PANEL]
    texts.add(MERGE.request(CHOICE, renamed).messages[0].content)
    assert len(texts) == 1
    (text,) = texts
    assert not any(name in text for name in ("ada", "bob", "cy"))
    assert "Choices: A, B" in text
    assert text.count("</analysis mark=") == 3


def test_equal_analyses_are_shown_once() -> None:
    twice = [*PANEL, Reply(4, "dee", Goal("answer", slot=4), "A")]
    assert MERGE.request(OPEN, twice) == MERGE.request(OPEN, PANEL)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_its_reserve_is_enough_for_the_longest_analyses(count: int) -> None:
    model, most = scripted("merger"), max(count, 3)
    longest = [Reply(n, "x", Goal("answer", slot=n), f"{n}" + "x" * 9_000) for n in range(most)]
    worst = MERGE.worst(model, OPEN, count)
    needed = estimated_tokens(MERGE.request(OPEN, longest))
    assert worst.tokens >= needed + MERGE.max_output


def run(said: Sequence[Line], folder: Path, *, count: int = 3, budget: Budget | None = None) -> Ran:
    """A run of several analyses by free tools that a priced model merges."""
    experts = [giving(name, text, skill=0.9) for name, text in (("ada", "4"), ("bob", "5"), ("cy", "6"))]
    pool = Pool([scripted("merger"), *experts[:count]], merger="script:merger")
    provider = ScriptProvider({"merger": said})
    orchestrator = Orchestrator(
        pool, merge="synthesise", analyses=count, budget=budget, providers={"script": provider}, trace=folder,
        sleep=at_once,
    )  # fmt: skip
    ran = ask(orchestrator, folder)
    provider.finish()
    return ran


def test_a_run_asks_the_pools_merge_agent_and_pays_it(tmp_path: Path) -> None:
    decision = run([says("5")], tmp_path).decision
    assert (decision.answer, decision.method, decision.status) == ("5", "synthesise", "answered")
    assert (decision.support, [each.agent for each in decision.dissent]) == (("bob",), ["ada", "cy"])
    assert (decision.merge_calls, decision.control_calls, decision.expert_calls) == (1, 0, 3)
    assert (decision.cost_usd, decision.usage) == (TURN_COST, SPENT)


def test_a_merge_agent_that_fails_is_paid_and_said(tmp_path: Path) -> None:
    down = ProviderError("is down", kind="server", usage=Usage(100, 0))
    decision = run([down, down, down], tmp_path).decision
    assert (decision.answer, decision.status, decision.merge_calls) == ("4", "answered", 1)
    assert decision.reasons == ("synthesise: is down; no majority; the reply of the highest p decides",)
    assert decision.cost_usd == Decimal("0.0003")


def test_one_analysis_costs_no_call(tmp_path: Path) -> None:
    decision = run([], tmp_path, count=1).decision
    assert (decision.answer, decision.merge_calls, decision.cost_usd) == ("4", 0, Decimal(0))


def test_a_merge_that_cannot_be_paid_is_a_vote(tmp_path: Path) -> None:
    decision = run([], tmp_path, budget=Budget(usd=Decimal("0.00001"))).decision
    assert (decision.answer, decision.merge_calls) == ("4", 0)
    assert decision.reasons[0].startswith("synthesise: limit:usd: ")


def test_a_pool_without_a_merge_agent_is_told_so() -> None:
    with pytest.raises(ConfigError, match="names no model for it"):
        Orchestrator([giving("ada")], merge="synthesise")
    with pytest.raises(ConfigError, match="there is no model `script:merger`"):
        Orchestrator([giving("ada")], merge=MERGE)


def test_the_question_of_a_run_is_the_one_that_is_merged() -> None:
    request = MERGE.request(Question((Message("user", QUESTION),)), PANEL)
    assert QUESTION in request.messages[0].content
