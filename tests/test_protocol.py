"""The parser: one table for both encodings, the published vectors, and nothing but `ActionError` for any text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import ActionError, ActionFault
from orchestrator.messages import ToolCall
from orchestrator.protocol import ANSWER_TOOL, Answer, Route, Think, Turn, parse_tags, parse_tools, resolve_names

NAMES = ("math", "web_search", "code-writer")

Written = tuple[str, tuple[ToolCall, ...]]
"""What a model wrote: its text and its tool calls."""


def calls(*pairs: tuple[str, object]) -> tuple[ToolCall, ...]:
    """Calls by name and arguments; what is no text is written as JSON."""
    return tuple(
        ToolCall(f"c{number}", name, given if isinstance(given, str) else json.dumps(given))
        for number, (name, given) in enumerate(pairs, start=1)
    )


def ask(name: str, query: str) -> tuple[str, object]:
    """A call of an expert."""
    return name, {"query": query}


def say(text: str) -> tuple[str, object]:
    """A call of the answer tool."""
    return ANSWER_TOOL, {ANSWER_TOOL: text}


def find(name: str) -> str | None:
    """Experts by their names; capitals do not matter, and `maths` is near `math` alone."""
    return {"maths": "math"}.get(name.lower()) or (name.lower() if name.lower() in NAMES else None)


def read(encoding: str, written: Written) -> Turn:
    """The turn in one encoding, with its names looked up."""
    text, made = written
    return resolve_names(parse_tags(text) if encoding == "tags" else parse_tools(text, made), find, NAMES)


def plain(turn: Turn) -> tuple[str, list[tuple[str, str]], str | None]:
    """A turn without what only one of the encodings has."""
    answer = turn.answer.text if turn.answer else None
    return turn.thought, [(route.agent, route.query) for route in turn.routes], answer


SHARED: dict[str, tuple[str, Written, tuple[str, list[tuple[str, str]], str | None] | ActionFault]] = {
    "one route": (
        '<think>ask</think><route agent="math">2+2</route>',
        ("ask", calls(ask("math", "2+2"))),
        ("ask", [("math", "2+2")], None),
    ),
    "as many routes as a turn may hold": (
        '<route agent="math">2+2</route>' * 16,
        ("", calls(*[ask("math", "2+2")] * 16)),
        ("", [("math", "2+2")] * 16, None),
    ),
    "one route more": (
        '<route agent="math">2+2</route>' * 17,
        ("", calls(*[ask("math", "2+2")] * 17)),
        ActionFault.TOO_MANY,
    ),
    "two routes": (
        '<route agent="math">2+2</route>\n<route agent="web_search">news</route>',
        ("", calls(ask("math", "2+2"), ask("web_search", "news"))),
        ("", [("math", "2+2"), ("web_search", "news")], None),
    ),
    "a thought and the answer": (
        "<think>enough</think>\n<answer>four</answer>",
        ("enough", calls(say("four"))),
        ("enough", [], "four"),
    ),
    "text beside an action is a thought": (
        '  I ask.  <route agent="math">2+2</route>',
        ("  I ask.  ", calls(ask("math", "2+2"))),
        ("I ask.", [("math", "2+2")], None),
    ),
    "blanks are trimmed": (
        '<route agent=" math ">\n 2+2\t</route>',
        ("", calls(ask("math", "\n 2+2\t"))),
        ("", [("math", "2+2")], None),
    ),
    "any script": (
        '<route agent="math">二足す二は？ ½ 👩‍🚀 \u202e</route>',
        ("", calls(ask("math", "二足す二は？ ½ 👩‍🚀 \u202e"))),
        ("", [("math", "二足す二は？ ½ 👩‍🚀 \u202e")], None),
    ),
    "the other encoding's words are text": (
        '<answer>{"name": "math", "arguments": {"query": "x"}}</answer>',
        ("", calls(say('{"name": "math", "arguments": {"query": "x"}}'))),
        ("", [], '{"name": "math", "arguments": {"query": "x"}}'),
    ),
    "a tag inside a query is text": (
        '<route agent="math">what does <answer> mean?</route>',
        ("", calls(ask("math", "what does <answer> mean?"))),
        ("", [("math", "what does <answer> mean?")], None),
    ),
    "capitals of a name": (
        '<route agent="MATH">2+2</route>',
        ("", calls(ask("MATH", "2+2"))),
        ("", [("math", "2+2")], None),
    ),
    "a near miss": (
        '<route agent="maths">2+2</route>',
        ("", calls(ask("maths", "2+2"))),
        ("", [("math", "2+2")], None),
    ),
    "an unknown name": (
        '<route agent="oracle">2+2</route>',
        ("", calls(ask("oracle", "2+2"))),
        ActionFault.UNKNOWN_NAME,
    ),
    "one of two names unknown": (
        '<route agent="math">2+2</route><route agent="oracle">2+2</route>',
        ("", calls(ask("math", "2+2"), ask("oracle", "2+2"))),
        ActionFault.UNKNOWN_NAME,
    ),
    "routes and an answer": (
        '<route agent="math">2+2</route><answer>4</answer>',
        ("", calls(ask("math", "2+2"), say("4"))),
        ActionFault.BOTH,
    ),
    "an answer, then a route": (
        '<answer>4</answer><route agent="math">2+2</route>',
        ("", calls(say("4"), ask("math", "2+2"))),
        ActionFault.BOTH,
    ),
    "two answers": ("<answer>4</answer><answer>5</answer>", ("", calls(say("4"), say("5"))), ActionFault.BOTH),
    "nothing": ("", ("", ()), ActionFault.NONE),
    "blanks": (" \n\t ", (" \n\t ", ()), ActionFault.NONE),
}  # fmt: skip


@pytest.mark.parametrize("encoding", ["tags", "tools"])
@pytest.mark.parametrize("case", SHARED)
def test_both_encodings_say_the_same(case: str, encoding: str) -> None:
    tags, tools, expected = SHARED[case]
    written: Written = (tags, ()) if encoding == "tags" else tools
    if isinstance(expected, ActionFault):
        with pytest.raises(ActionError) as raised:
            read(encoding, written)
        assert raised.value.fault is expected
    else:
        assert plain(read(encoding, written)) == expected


PUBLISHED: dict[str, tuple[str, tuple[str, str] | str | ActionFault]] = {
    "everything after the first colon is the query": ("<search>m:a:b</search>", ("m", "a:b")),
    "blanks": ("<think>x</think> <search> m : a: b </search>", ("m", "a: b")),
    "placeholder of a name": ("<search>LLM-Name:x</search>", ActionFault.PLACEHOLDER),
    "placeholder of a query": ("<search>m:Your-Query</search>", ActionFault.PLACEHOLDER),
    "no colon": ("<search>m</search>", ActionFault.NO_NAME),
    "empty query": ("<search>m: </search>", ActionFault.EMPTY),
    "no tags": ("I would ask m.", ActionFault.NONE),
    "search, then answer": ("<search>m:a</search><answer>x</answer>", ("m", "a")),
    "answer, then search": ("<answer>x</answer><search>m:a</search>", "x"),
    "search twice": ("<search>m:a</search><search>n:b</search>", ("m", "a")),
    "what follows the first is not read": ("<search>m:a</search><search>LLM-Name:x</search><answer>cut", ("m", "a")),
    "made-up information": ("<search>m:a</search><information>42</information><answer>42</answer>", ("m", "a")),
    "name error": ("<search>unknown:a</search>", ActionFault.UNKNOWN_NAME),
}  # fmt: skip


@pytest.mark.parametrize("case", PUBLISHED)
def test_the_published_grammar_is_read_as_published(case: str) -> None:
    text, expected = PUBLISHED[case]

    def parsed() -> Turn:
        return resolve_names(parse_tags(text), lambda name: name if name in ("m", "n") else None, ("m", "n"))

    if isinstance(expected, ActionFault):
        with pytest.raises(ActionError) as raised:
            parsed()
        assert raised.value.fault is expected
    elif isinstance(expected, str):
        assert parsed().answer == Answer(expected)
    else:
        assert parsed().routes == (Route(*expected),)


TAGS: dict[str, tuple[str, tuple[str, list[tuple[str, str]], str | None] | ActionFault]] = {
    "single quotes": ("<route agent='math'>2+2</route>", ("", [("math", "2+2")], None)),
    "upper case": ('<ROUTE AGENT="math">2+2</ROUTE>', ("", [("math", "2+2")], None)),
    "blanks in tags": ('<route\n agent = "math"  >2+2</route >', ("", [("math", "2+2")], None)),
    "other attributes": ('<route id="1" agent="math" why="x">2+2</route>', ("", [("math", "2+2")], None)),
    "a tag inside a thought is text": (
        '<think>no <route agent="web_search">x</route> yet</think><route agent="math">2+2</route>',
        ('no <route agent="web_search">x</route> yet', [("math", "2+2")], None),
    ),
    "an answer inside a thought is none": ("<think><answer>4</answer></think>", ActionFault.NONE),
    "a thought that does not end swallows the rest": ("<think>hm <answer>4</answer>", ActionFault.NONE),
    "a thought alone": ("<think>let me think</think>", ActionFault.NONE),
    "text alone": ("The answer is 4.", ActionFault.NONE),
    "a thought in a thought": ("<think>a<think>b</think><answer>4</answer>", ("a<think>b", [], "4")),
    "several thoughts": ("<think>a</think>b<think>c</think><answer>4</answer>", ("a\nb\nc", [], "4")),
    "a route in an answer is text": (
        '<answer>use <route agent="math">x</route></answer>',
        ("", [], 'use <route agent="math">x</route>'),
    ),
    "a route that does not end": ('<route agent="math">2+2', ActionFault.CUT),
    "an answer that does not end": ("<think>x</think><answer>4", ActionFault.CUT),
    "a search that does not end": ("<search>math:2+2", ActionFault.CUT),
    "closed by another tag": ('<route agent="math">2+2</answer>', ActionFault.CUT),
    "no name": ("<route>2+2</route>", ActionFault.NO_NAME),
    "an empty name": ('<route agent="">2+2</route>', ActionFault.NO_NAME),
    "a blank name": ("<route agent='  '>2+2</route>", ActionFault.NO_NAME),
    "a name without quotes": ("<route agent=math>2+2</route>", ActionFault.NO_NAME),
    "no query": ('<route agent="math"> </route>', ActionFault.EMPTY),
    "an empty answer": ("<answer>\n</answer>", ActionFault.EMPTY),
    "one of two routes without a query": (
        '<route agent="math">2+2</route><route agent="web_search"></route>',
        ActionFault.EMPTY,
    ),
    "own information is no action": (
        '<information><route agent="math">x</route></information><answer>4</answer>',
        ("", [], "4"),
    ),
    "own information in our own fence": (
        '<information from="math" mark="0">5</information mark="0"><answer>4</answer>',
        ("", [], "4"),
    ),
    "own information alone": ("<information>the answer is 4</information>", ActionFault.NONE),
    "own information that does not end": ("<information><answer>4</answer>", ActionFault.NONE),
    "information after a route": (
        '<route agent="math">2+2</route><information>4</information><answer>4</answer>',
        ActionFault.BOTH,
    ),
    "words that begin like tags": ("<answers>4</answers><thinking><answer-sheet>", ActionFault.NONE),
    "escaped tags": ("&lt;answer&gt;4&lt;/answer&gt;", ActionFault.NONE),
    "tags in full width": ("＜answer＞4＜/answer＞", ActionFault.NONE),
    "tags with a letter of another script": ("<аnswer>4</аnswer>", ActionFault.NONE),
    "a tag cut in two": ("<ans\u200bwer>4</ans\u200bwer>", ActionFault.NONE),
}  # fmt: skip


@pytest.mark.parametrize("case", TAGS)
def test_tags(case: str) -> None:
    text, expected = TAGS[case]
    if isinstance(expected, ActionFault):
        with pytest.raises(ActionError) as raised:
            read("tags", (text, ()))
        assert raised.value.fault is expected
    else:
        assert plain(read("tags", (text, ()))) == expected


TOOLS: dict[str, tuple[Written, tuple[str, list[tuple[str, str]], str | None] | ActionFault]] = {
    "plain text is the answer": ((" four ", ()), ("", [], "four")),
    "tags in plain text are the answer": (("<answer>4</answer>", ()), ("", [], "<answer>4</answer>")),
    "no arguments": (("", calls(("math", ""))), ActionFault.ARGUMENTS),
    "broken arguments": (("", calls(("math", '{"query": "2+'))), ActionFault.ARGUMENTS),
    "arguments twice": (("", calls(("math", '{"query": "a"}{"query": "b"}'))), ActionFault.ARGUMENTS),
    "a list of arguments": (("", calls(("math", ["2+2"]))), ActionFault.ARGUMENTS),
    "arguments that are text": (("", calls(("math", '"2+2"'))), ActionFault.ARGUMENTS),
    "null": (("", calls(("math", "null"))), ActionFault.ARGUMENTS),
    "a number for a query": (("", calls(("math", {"query": 4}))), ActionFault.ARGUMENTS),
    "an object for a query": (("", calls(("math", {"query": {"q": "2+2"}}))), ActionFault.ARGUMENTS),
    "null for a query": (("", calls(("math", {"query": None}))), ActionFault.ARGUMENTS),
    "a blank query": (("", calls(("math", {"query": " "}))), ActionFault.ARGUMENTS),
    "another key": (("", calls(("math", {"question": "2+2"}))), ActionFault.ARGUMENTS),
    "more keys": (("", calls(("math", {"query": "2+2", "why": 1}))), ("", [("math", "2+2")], None)),
    "an empty answer": (("four", calls(say(""))), ActionFault.ARGUMENTS),
    "an answer under the name of a query": (("", calls((ANSWER_TOOL, {"query": "4"}))), ActionFault.ARGUMENTS),
    "a number too long to read": (("", calls(("math", '{"query": ' + "9" * 5_000 + "}"))), ActionFault.ARGUMENTS),
    "arguments too deep to read": (("", calls(("math", "[" * 100_000))), ActionFault.ARGUMENTS),
    "one good, one bad": (("", calls(ask("math", "2+2"), ("web_search", "{"))), ActionFault.ARGUMENTS),
    "no name": (("", calls(ask("", "2+2"))), ActionFault.UNKNOWN_NAME),
    "null beside calls": (("\x00", calls(ask("math", "\x00"))), ("\x00", [("math", "\x00")], None)),
}  # fmt: skip


@pytest.mark.parametrize("case", TOOLS)
def test_tool_calls(case: str) -> None:
    written, expected = TOOLS[case]
    if isinstance(expected, ActionFault):
        with pytest.raises(ActionError) as raised:
            read("tools", written)
        assert raised.value.fault is expected
    else:
        assert plain(read("tools", written)) == expected


def test_a_turn_that_was_cut_is_none_whatever_is_in_it() -> None:
    for text, made in (("half an ans", ()), ("", calls(ask("math", "2+2"))), ("", calls(("math", '{"query": "2')))):
        with pytest.raises(ActionError) as raised:
            parse_tools(text, made, cut=True)
        assert raised.value.fault is ActionFault.CUT


def test_calls_keep_their_ids_even_where_two_have_the_same() -> None:
    twice = (ToolCall("x", "math", '{"query": "1"}'), ToolCall("x", "math", '{"query": "2"}'))
    assert [(route.call_id, route.query) for route in parse_tools("", twice).routes] == [("x", "1"), ("x", "2")]


def test_every_fault_is_among_the_cases() -> None:
    tables = (*SHARED.values(), *PUBLISHED.values(), *TAGS.values(), *TOOLS.values())
    assert {case[-1] for case in tables if isinstance(case[-1], ActionFault)} == set(ActionFault)


def test_a_fault_tells_the_model_what_to_write() -> None:
    with pytest.raises(ActionError, match="there is no expert `oracle`; there are: math, web_search, code-writer"):
        read("tags", ('<route agent="oracle">x</route>', ()))
    with pytest.raises(ActionError, match='<route agent="NAME">query</route>'):
        parse_tags("")


def test_names_that_were_near_misses_are_noted() -> None:
    turn = resolve_names(Turn((Think("t"), Route("maths", "1"), Route("math", "2"))), find, NAMES)
    assert (turn.resolved, [route.agent for route in turn.routes]) == ((("maths", "math"),), ["math", "math"])
    assert turn.thought == "t"


HUGE = {
    "opened again and again": "<route ",
    "opened whole": "<think>",
    "opened and closed": "<think></think>",
    "closed only": "</answer",
    "closed with blanks": "<answer></answer         ",
    "quotes": "<route agent='",
    "attributes": "<route agent=",
    "words": "agent ",
    "angles": "<",
    "colons": "<search>:",
}


def seconds_for(piece: str, length: int) -> float:
    """The best of three readings of so many characters."""
    text = '<route agent="math">' + piece * (length // len(piece))
    best = 9.9
    for _ in range(3):
        started = perf_counter()
        with suppress(ActionError):
            parse_tags(text)
        best = min(best, perf_counter() - started)
    return best


@pytest.mark.parametrize("piece", HUGE.values(), ids=list(HUGE))
def test_reading_takes_time_in_proportion_to_length(piece: str) -> None:
    small, large = seconds_for(piece, 50_000), seconds_for(piece, 800_000)
    assert large < 0.05 or large < 64 * small, "sixteen times the text; four times more for noise"


def test_a_megabyte_is_read_whole() -> None:
    text = "word " * 200_000
    assert parse_tags(f"<think>{text}</think><answer>{text}</answer>").answer == Answer(text.strip())
    assert parse_tools(text, calls(ask("math", text))).routes[0].query == text.strip()


FRAGMENTS = st.sampled_from(
    [
        "<think>", "</think>", "<route>", '<route agent="math">', "<route agent='web_search' >", "</route>", "<answer>",
        "</answer>", "<search>", "math:", "LLM-Name:", "</search>", "<information>", "</information>", "<", ">", '"',
        "agent=", " ", "4", "</ROUTE >", "\x00", "\ud800", "{", '{"query": "x"}',
    ]
)  # fmt: skip
ANY_TEXT = st.one_of(st.text(st.characters()), st.lists(FRAGMENTS, max_size=12).map("".join))
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["query", "answer", "x"]), inner),
    max_leaves=5,
)
ANY_CALL = st.builds(
    ToolCall,
    st.sampled_from(["", "c1", "c2"]),
    st.sampled_from(["math", "answer", "oracle", "", "\ud800"]),
    st.one_of(JSON.map(json.dumps), ANY_TEXT),
)
ANY_CALLS = st.lists(ANY_CALL, max_size=4)


def holds_for_tags(text: str) -> None:
    """Any text is a turn of routes or one answer, or an `ActionError`."""
    try:
        turn = resolve_names(parse_tags(text), find, NAMES)
    except ActionError:
        return
    holds_for_turn(turn)


def holds_for_tools(text: str, made: Sequence[ToolCall], cut: bool) -> None:
    """Any text with any calls is such a turn, or an `ActionError`."""
    try:
        turn = resolve_names(parse_tools(text, made, cut=cut), find, NAMES)
    except ActionError:
        return
    holds_for_turn(turn)


def holds_for_turn(turn: Turn) -> None:
    """Routes or one answer, none of them empty."""
    assert bool(turn.routes) != (turn.answer is not None)
    assert all(route.agent in NAMES and route.query.strip() for route in turn.routes)
    assert turn.answer is None or turn.answer.text.strip()
    assert sum(isinstance(action, Answer) for action in turn.actions) <= 1


@given(ANY_TEXT)
def test_any_text_is_a_turn_or_an_action_error(text: str) -> None:
    holds_for_tags(text)


@given(ANY_TEXT, ANY_CALLS, st.booleans())
def test_any_calls_are_a_turn_or_an_action_error(text: str, made: list[ToolCall], cut: bool) -> None:
    holds_for_tools(text, made, cut)


@pytest.mark.slow
@settings(max_examples=20_000)
@given(ANY_TEXT)
def test_twenty_thousand_texts(text: str) -> None:
    holds_for_tags(text)


@pytest.mark.slow
@settings(max_examples=20_000)
@given(ANY_TEXT, ANY_CALLS, st.booleans())
def test_twenty_thousand_lists_of_calls(text: str, made: list[ToolCall], cut: bool) -> None:
    holds_for_tools(text, made, cut)
