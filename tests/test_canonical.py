"""When two answers are the same by the kind of their question, and which number a worked solution states."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.merge import FREE_TEXT_F1, Vote, Weighted, canonical, form_of, same, stated_number, token_f1
from orchestrator.messages import Goal, Message, Question, Reply

DATA = Path(__file__).parents[2] / "shared" / "data" / "routellm_gsm8k.jsonl.gz"
KINDS = ("number", "math", "code", "json", "free", "other", None)


def asked(kind: str | None, *choices: str) -> Question:
    """A question of a kind."""
    return Question((Message("user", "What?"),), kind=kind, choices=choices)


def test_the_form_is_that_of_the_choices_else_of_the_kind() -> None:
    forms = {kind: form_of(asked(kind)) for kind in KINDS}
    assert forms == {
        "number": "number", "math": "number", "code": "code", "json": "json", "free": "free", "other": "short",
        None: "short",
    }  # fmt: skip
    assert form_of(asked("free", "A", "B")) == "choice"


STATED = {
    "He needs to pay $64 for the 16 glasses.": "64",
    "She spends $10.50.": "10.5",
    "So it is 180 - 135 = 45 miles after 4 hours.": "45",
    "The total is 3.\n#### 1,250\n": "1250",
    r"Hence $\boxed{-3/4}$ at 9": "-0.75",
    r"So $x = \frac{3}{4}$.": "0.75",
    "They are 5/0 apart": "5",
    "The answer is **12** of 30 eggs. It took 3 steps.": "12",
    "In all, **7 dozen** eggs are eaten in 4 weeks.": "7",
    "With his diet he runs the 400-meter hurdles in 36 seconds.": "36",
    "The volume of all 3 boxes is 72 cubic inches.": "72",
    "It is −10 degrees.": "-10",
    "First 5, then 6. That is all.": "5",
    "About .5 of them": "0.5",
    "It is 25% likelier than 2 evens.": "25",
    "7": "7",
    "1e3": "1000",
    "3.": "3",
    "no number at all": None,
    "": None,
    "9" * 61: None,
}


@pytest.mark.parametrize("text", STATED)
def test_the_number_that_a_solution_states(text: str) -> None:
    assert stated_number(text) == STATED[text]


SAME = [
    ("math", "That makes $64 for 16 glasses.", "64.00"),
    ("math", "no idea", "No idea."),
    ("code", "```python\ndef f(x):\n    return x+1  # one more\n```", "def f( x ) : return x + 1"),
    ("code", "Here it is:\n```js\nlet x = 1;  \n\n```\nDone.", "let x = 1;"),
    ("json", '{"a": 1.0, "b": [true, null]}', 'Sure:\n```json\n{"b": [true, null], "a": 1}\n```'),
    ("json", "none", "None."),
    ("free", "The cat sat on the mat.", "A cat sat on a mat"),
    ("free", "It was built in Paris in 1889 by Eiffel", "Built in Paris in 1889 by Eiffel it was!"),
]
DIFFERENT = [
    ("math", "64", "65"),
    ("math", "-5", "5"),
    ("code", "def f(x): return x", "def g(x): return x"),
    ("code", "let x = 1;", "let x = 2;"),
    ("json", '{"a": "1"}', '{"a": 1}'),
    ("json", "[1, 2]", "[2, 1]"),
    ("free", "The cat sat on the mat", "The dog ran to the door"),
    ("free", "!!!", "???"),
    (None, "the cat", "a cat"),
]


@pytest.mark.parametrize(("kind", "one", "other"), SAME)
def test_equal_answers_of_a_kind(kind: str, one: str, other: str) -> None:
    assert same(one, other, asked(kind))
    assert same(other, one, asked(kind))


@pytest.mark.parametrize(("kind", "one", "other"), DIFFERENT)
def test_different_answers_of_a_kind(kind: str | None, one: str, other: str) -> None:
    assert not same(one, other, asked(kind))


def test_the_overlap_of_words_is_that_of_squad() -> None:
    assert token_f1("the cat sat", "A cat sat down") == pytest.approx(0.8)
    assert FREE_TEXT_F1 == 0.8
    assert (token_f1("the", "a"), token_f1("cat", "the"), token_f1("x", "y")) == (1.0, 0.0, 0.0)


@given(text=st.text(max_size=60), kind=st.sampled_from(KINDS))
def test_a_canonical_form_is_its_own_in_every_kind(text: str, kind: str | None) -> None:
    form = canonical(text, asked(kind))
    assert same(text, text, asked(kind))
    assert form is None or same(form, text, asked(kind))


PIECES = (
    "{",
    "}",
    "[",
    "(",
    "-",
    "not ",
    "\\",
    "```",
    "```json\n",
    "\n",
    '"',
    "a",
    "1",
    ",",
    ":",
    "=",
    "**",
    "$",
    "#",
    "\0",
)


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=30), times=st.integers(1, 2_000), kind=st.sampled_from(KINDS))
def test_no_text_is_too_odd(pieces: list[str], times: int, kind: str | None) -> None:
    text = "".join(pieces) * times
    assert same(text, text, asked(kind))


def panel(*said: tuple[str, float]) -> list[Reply]:
    """Replies of experts of these probabilities."""
    return [Reply(n, f"e{n}", Goal("answer", slot=n), text, p=p) for n, (text, p) in enumerate(said, start=1)]


def test_near_texts_vote_together() -> None:
    replies = panel(
        ("Paris in 1889", 0.5), ("The tower was built in Paris, in 1889", 0.5), ("built in Paris in 1889", 0.6)
    )
    made = asyncio.run(Vote().merge(asked("free"), replies))
    assert (made.answer, made.support) == ("built in Paris in 1889", ("e2", "e3"))


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ([("A", 0.95), ("B", 0.7), ("B", 0.7)], "A"),  # ln 19 against twice ln 2.33
        ([("A", 0.8), ("B", 0.7), ("B", 0.7)], "B"),  # ln 4 against twice ln 2.33
        ([("A", 0.55), ("B", 0.5), ("B", 0.5)], "A"),  # no better than chance has no weight
        ([("A", 0.5), ("B", 0.5), ("B", 0.5)], "B"),  # all are chance: a vote
        ([("A", 1.0), *[("B", 0.97)] * 2], "B"),  # sure is not too sure
        ([("A", 0.9), ("B", 0.9)], "B"),  # a tie, which the cost decides
    ],
)
def test_weights_are_log_odds(said: list[tuple[str, float]], answer: str) -> None:
    replies = panel(*said)
    if len(said) == 2:
        replies[0] = Reply(1, "e1", Goal("answer"), "A", p=0.9, cost=None)
    made = asyncio.run(Weighted().merge(asked(None, "A", "B"), replies))
    assert (made.answer, made.confidence) == (answer, None)


def test_among_many_choices_agreement_of_the_weak_counts() -> None:
    replies = panel(("A", 0.55), ("B", 0.45), ("B", 0.45), ("B", 0.45))
    assert asyncio.run(Weighted().merge(asked(None, "A", "B"), replies)).answer == "A"
    assert asyncio.run(Weighted().merge(asked(None, "A", "B", "C", "D"), replies)).answer == "B"


def test_below_its_quorum_a_vote_gives_way_to_the_highest_p() -> None:
    replies = panel(("A", 0.5), ("A", 0.5), ("B", 0.9), ("who knows", 0.99))
    question = asked(None, "A", "B")
    assert asyncio.run(Vote(quorum=3).merge(question, replies)).answer == "A"
    made = asyncio.run(Vote(quorum=4).merge(question, replies))
    assert (made.answer, made.support) == ("B", ("e3",))
    assert made.reasons == ("vote:4: 3 of 4 votes that it takes; the reply of the highest p decides",)


@pytest.mark.skipif(not DATA.exists(), reason=f"the recorded outcomes are not at {DATA.parent}")
def test_most_recorded_gsm8k_answers_are_read_rightly() -> None:
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    right = {"gpt-4-1106-preview": 0, "mistralai/Mixtral-8x7B-Instruct-v0.1": 0}
    for record in records:
        for model in right:
            said = record["outcomes"][model]["response"]
            right[model] += same(said, record["reference"], asked(record["kind"]))
    assert right == {"gpt-4-1106-preview": 1235, "mistralai/Mixtral-8x7B-Instruct-v0.1": 845}
