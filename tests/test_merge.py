"""Merges: one contract for all of them, the written rule for ties, and when two answers are the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ConfigError
from orchestrator.merge import (
    MERGES,
    First,
    MergeFunction,
    MergeRule,
    RouterAnswer,
    Vote,
    Weighted,
    as_merge,
    canonical,
    merge_named,
    same,
)
from orchestrator.messages import Analysis, Dissent, Goal, Message, Question, Reply

OPEN = Question((Message("user", "How much is it?"),))
CHOICE = Question((Message("user", "Which one?"),), choices=("A", "B", "C", "D", "I"))
RULES: tuple[MergeRule, ...] = (First(), Vote(), Weighted(), RouterAnswer())

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def reply(
    agent: str, value: object, *, p: float = 0.5, cost: str | None = "0", slot: int = 1, attempt: int = 0
) -> Reply:
    """One expert's reply; attempts are numbered by the agent's first letter where not told."""
    number = attempt or ord(agent[0])
    return Reply(number, agent, Goal("answer", slot=slot), value, p=p, cost=None if cost is None else Decimal(cost))


def merge(rule: MergeRule, question: Question, *replies: Reply) -> Analysis:
    """What a merge makes of the replies."""
    return asyncio.run(rule.merge(question, replies))


@st.composite
def panels(draw: st.DrawFn) -> list[Reply]:
    """Up to eight replies of different attempts; few values, so that there are ties of every kind."""
    count = draw(st.integers(1, 8))
    values = st.sampled_from(["A", "b)", "(B)", "A chart", "1,000", "1000.0", "Yes.", "yes", ""])
    costs = st.sampled_from([None, "0", "0.01", "0.02"])
    agents = st.sampled_from(["ada", "bob", "cy", "router"])
    return [
        reply(
            draw(agents), draw(values), p=draw(st.sampled_from([0.1, 0.2, 0.7, 0.8])), cost=draw(costs),
            slot=draw(st.integers(1, 3)), attempt=number,
        )
        for number in range(1, count + 1)
    ]  # fmt: skip


@each_rule
@given(panel=panels(), seed=st.integers(0, 999), question=st.sampled_from([OPEN, CHOICE]))
def test_the_order_of_replies_changes_nothing(
    rule: MergeRule, panel: list[Reply], seed: int, question: Question
) -> None:
    shuffled = random.Random(seed).sample(panel, len(panel))
    assert merge(rule, question, *shuffled) == merge(rule, question, *panel)


@each_rule
@given(panel=panels(), question=st.sampled_from([OPEN, CHOICE]))
def test_every_reply_supports_or_dissents(rule: MergeRule, panel: list[Reply], question: Question) -> None:
    merged = merge(rule, question, *panel)
    heard = [each.agent for each in panel if rule.name != "router" or each.agent != "router"]
    assert sorted([*merged.support, *(each.agent for each in merged.dissent)]) == sorted(heard)
    texts = {each.text for each in panel}
    assert merged.answer in texts | set(question.choices)
    assert {each.answer for each in merged.dissent} <= texts
    assert not any(same(each.answer, merged.answer, question) for each in merged.dissent)


@each_rule
def test_one_reply_is_the_answer(rule: MergeRule) -> None:
    assert merge(rule, OPEN, reply("ada", "four")) == Analysis("four", ("ada",))


@each_rule
def test_a_lone_dissenter_stays_visible(rule: MergeRule) -> None:
    panel = [reply("ada", "4"), reply("bob", "4.0"), reply("cy", "5")]
    merged = merge(rule, OPEN, *panel)
    assert (merged.answer, merged.support, merged.dissent) == ("4", ("ada", "bob"), (Dissent("cy", "5"),))


@each_rule
def test_what_is_not_text_is_compared_as_text(rule: MergeRule) -> None:
    merged = merge(rule, OPEN, reply("ada", 4), reply("bob", Decimal("4.0")))
    assert (merged.answer, merged.support) == ("4", ("ada", "bob"))


@each_rule
def test_huge_and_ill_encoded_replies_are_replies(rule: MergeRule) -> None:
    huge, broken = "word " * 200_000, "\ud800\udfff\x00 \u202e½"
    merged = merge(rule, OPEN, reply("ada", huge), reply("bob", huge + "."), reply("cy", broken))
    assert merged.answer.startswith("word word")
    assert merged.dissent == (Dissent("cy", broken),)
    number = "9" * 5_000
    assert merge(rule, OPEN, reply("ada", number), reply("bob", number)).support == ("ada", "bob")


def test_first_takes_the_lowest_slot_then_the_earlier_attempt() -> None:
    late = reply("ada", "late", slot=1, attempt=9)
    panel = [reply("bob", "second slot", slot=2, attempt=1), late, reply("cy", "later", slot=1, attempt=10)]
    assert merge(First(), OPEN, *panel).answer == "late"


def test_the_router_decides_whatever_the_others_say() -> None:
    panel = [reply("ada", "5"), reply("bob", "5"), reply("cy", "4.0"), reply("router", "4")]
    merged = merge(RouterAnswer(), OPEN, *panel)
    assert (merged.answer, merged.support) == ("4", ("cy",))
    assert merged.dissent == (Dissent("ada", "5"), Dissent("bob", "5"))


def test_without_an_answer_of_the_router_the_first_reply_decides() -> None:
    panel = [reply("bob", "6", attempt=2), reply("ada", "5", attempt=1)]
    assert merge(RouterAnswer(), OPEN, *panel) == Analysis("5", ("ada",), (Dissent("bob", "6"),))


def test_most_votes_win() -> None:
    panel = [reply("ada", "A", p=0.99), reply("bob", "b)", p=0.1), reply("cy", "(B)", p=0.1)]
    merged = merge(Vote(), CHOICE, *panel)
    assert (merged.answer, merged.support, merged.dissent) == ("B", ("bob", "cy"), (Dissent("ada", "A"),))


def test_ties_go_to_the_higher_summed_p() -> None:
    panel = [reply("ada", "A", p=0.6, cost="0"), reply("zed", "B", p=0.7, cost="9")]
    assert merge(Vote(), CHOICE, *panel).answer == "B"


def test_sums_of_p_that_differ_in_the_last_bit_only_are_equal() -> None:
    assert 0.8 + 0.1 != 0.7 + 0.2
    panel = [reply("ada", "A", p=0.7), reply("bob", "A", p=0.2), reply("cy", "B", p=0.8), reply("dee", "B", p=0.1)]
    assert merge(Vote(), CHOICE, *panel).answer == "A"
    dear = [reply("ada", "A", p=0.7, cost="1"), *panel[1:]]
    assert merge(Vote(), CHOICE, *dear).answer == "B"


def test_then_to_the_lower_cost_and_an_unknown_cost_is_never_the_lower() -> None:
    assert merge(Vote(), CHOICE, reply("ada", "A", cost="0.02"), reply("zed", "B", cost="0.01")).answer == "B"
    assert merge(Vote(), CHOICE, reply("ada", "A", cost=None), reply("zed", "B", cost="9")).answer == "B"


def test_then_to_the_name() -> None:
    assert merge(Vote(), CHOICE, reply("zed", "A", attempt=1), reply("ada", "B", attempt=2)).answer == "B"
    assert merge(Vote(), CHOICE, reply("zed", "A", cost=None), reply("ada", "B", cost=None)).answer == "B"


def test_the_most_probable_of_the_winners_speaks() -> None:
    panel = [reply("ada", "1000", p=0.4), reply("bob", "1,000", p=0.9), reply("cy", "1000.0", p=0.9)]
    assert merge(Vote(), OPEN, *panel) == Analysis("1,000", ("ada", "bob", "cy"))


def test_what_is_no_choice_has_no_vote() -> None:
    chart = "A chart would help"
    panel = [reply("ada", chart), reply("bob", chart), reply("cy", chart), reply("dee", "B")]
    merged = merge(Vote(), CHOICE, *panel)
    assert (merged.answer, merged.support) == ("B", ("dee",))
    assert [each.agent for each in merged.dissent] == ["ada", "bob", "cy"]


def test_where_nobody_names_a_choice_the_first_reply_stands_and_the_reason_says_so() -> None:
    merged = merge(Vote(), CHOICE, reply("bob", "I do not know", attempt=2), reply("ada", "Perhaps", attempt=1))
    assert (merged.answer, merged.support) == ("Perhaps", ("ada",))
    assert merged.reasons == ("vote: no reply is one of the choices",)


@pytest.mark.parametrize(
    "text",
    [
        "B", "b", " B ", "B.", "b)", "B)", "(B)", "(b)", "[B]", "**B**", "`B`", '"B"', "'B'", "B. because it is",
        "B: the second", "B, of course", "B - the second", "B – the second", "B (the second)", "Ｂ",
        "B\n\nIt is the second.", "b) the second", "B)the second",
    ],
)  # fmt: skip
def test_a_choice_is_known_by_its_letter(text: str) -> None:
    assert canonical(text, CHOICE) == "B"
    assert same(text, "B", CHOICE)


@pytest.mark.parametrize(
    "text",
    [
        "A chart", "a chart", "BB", "B2", "Because", "I'm not sure", "I think it is B", "I", "I do not know", "A-frame",
        "D'accord", "A,B", "", " ", "E", "none", "5", "The answer is B",
    ],
)  # fmt: skip
def test_a_word_is_no_choice(text: str) -> None:
    assert canonical(text, CHOICE) == ("I" if text == "I" else None)


def test_what_is_no_choice_equals_only_itself() -> None:
    assert same("A chart", "A chart", CHOICE)
    assert not same("A chart", "a chart", CHOICE)
    assert not same("A chart", "A", CHOICE)


def test_choices_may_be_words_of_which_one_begins_another() -> None:
    question = Question((Message("user", "Is it?"),), choices=("no", "no way", "yes"))
    found = {
        text: canonical(text, question) for text in ("No.", "No way!", "no way", "Yes, it is", "nobody", "No problem")
    }
    assert found == {
        "No.": "no",
        "No way!": None,
        "no way": "no way",
        "Yes, it is": "yes",
        "nobody": None,
        "No problem": None,
    }


SAME = [
    ("1,000", "1000.0"),
    ("1,000", "1000"),
    ("1e3", "1000"),
    ("$1,234.50", "1234.5"),
    ("−5", "-5.0"),
    ("+5", "5."),
    (".5", "0.50"),
    ("-0", "0"),
    ("17%", "17.0%"),
    ("１２", "12"),
    ("1e50", "1" + "0" * 50),
    ("Paris.", "  paris "),
    ("Straße", "STRASSE"),
    ("e\u0301t\u00e9", "\u00e9te\u0301"),
    ("two\nlines", "Two  lines!"),
]
DIFFERENT = [
    ("1,000", "1.000"),
    ("1,00", "100"),
    ("17%", "0.17"),
    ("17%", "17"),
    ("5 km", "5"),
    ("1.0.0", "1.0"),
    ("e5", "5"),
    ("5", "five"),
    ("1267650600228229401496703205376", "1267650600228229401496703205377"),
    ("0.12345678901234567890123456789012", "0.12345678901234567890123456789013"),
    ("yes", "no"),
    ("", "0"),
    ("1e999", "1e998"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_answers(one: str, other: str) -> None:
    assert same(one, other, OPEN)
    assert same(other, one, OPEN)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_answers(one: str, other: str) -> None:
    assert not same(one, other, OPEN)


@given(text=st.text(st.characters(), max_size=40), question=st.sampled_from([OPEN, CHOICE]))
def test_a_canonical_form_is_its_own(text: str, question: Question) -> None:
    form = canonical(text, question)
    assert same(text, text, question)
    assert form is None or canonical(form, question) == form


@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_a_number_is_the_same_however_it_is_written(number: Decimal) -> None:
    ways = {f"{number:f}", f"{number:,f}", f"{number:e}", f"{number:f}000", f"{number:f} ", str(number)}
    assert len({canonical(way, OPEN) for way in ways}) == 1


def longest(_: Question, replies: Sequence[Reply]) -> str:
    """A merge of the user's own: the longest text."""
    return max((each.text for each in replies), key=len)


async def shortest(_: Question, replies: Sequence[Reply]) -> str:
    """One that waits."""
    await asyncio.sleep(0)
    return min((each.text for each in replies), key=len)


def whole(_: Question, replies: Sequence[Reply]) -> Analysis:
    """One that says all by itself."""
    return Analysis("mine", support=(replies[0].agent,), confidence=0.25)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (longest, Analysis("1,000", ("ada", "cy"), (Dissent("bob", "7"),))),
        (shortest, Analysis("7", ("bob",), (Dissent("ada", "1,000"), Dissent("cy", "1000")))),
        (whole, Analysis("mine", ("ada",), confidence=0.25)),
    ],
)
def test_a_function_is_a_merge(function: MergeFunction, expected: Analysis) -> None:
    rule = as_merge(function)
    panel = [reply("ada", "1,000"), reply("bob", "7"), reply("cy", "1000")]
    assert rule.name == getattr(function, "__name__", None)
    assert merge(rule, OPEN, *panel) == expected


def test_a_function_that_gives_no_text_is_a_config_error() -> None:
    def count(_: Question, replies: Sequence[Reply]) -> int:
        return len(replies)

    rule = as_merge(count)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="gave 1"):
        merge(rule, OPEN, reply("ada", "4"))


def test_an_object_with_a_merge_is_taken_as_it_is() -> None:
    rule = Vote()
    assert as_merge(rule) is rule


def test_a_function_without_a_name_is_named_after_its_class() -> None:
    class Judge:
        def __call__(self, question: Question, replies: Sequence[Reply]) -> str:
            return longest(question, replies)

    assert as_merge(Judge()).name == "Judge"


def test_what_is_no_merge_is_a_config_error() -> None:
    nothing: object = 5
    with pytest.raises(ConfigError, match="5 is no merge"):
        as_merge(nothing)  # pyright: ignore[reportArgumentType]


def test_merges_are_known_by_name() -> None:
    names = ("first", "vote", "weighted", "router")
    assert {name: merge_named(name).name for name in MERGES} == {name: name for name in names}
    with pytest.raises(ConfigError, match=r"there is no merge `votes`.* did you mean `vote`"):
        merge_named("votes")
