"""Experts asked for an analysis: by a schema where their model keeps to one, in words elsewhere, read leniently."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import Agent, ConfigError, Model, Orchestrator
from orchestrator.analyses import Stated, analysis_schema, stated_in
from orchestrator.content import load_prompt
from orchestrator.merge import Synthesise
from orchestrator.messages import Goal, Message, Question, Reply
from orchestrator.pool import descriptor_schema
from orchestrator.providers import Completion, Request, ScriptProvider
from orchestrator.providers.schemas import strict_form
from orchestrator.providers.script import Line
from orchestrator.trace.events import AttemptFailed, Replied
from tests.experts import at_once, giving
from tests.runs import Ran, ask

CHOICE = Question((Message("user", "Which one?"),), choices=("A", "B"))
WHOLE = '{"answer": "B", "evidence": ["it is red", "2 > 1"], "eliminated": ["A: it is blue"], "confidence": 0.75}'
STATED = Stated("B", ("it is red", "2 > 1"), ("A: it is blue",), 0.75)

READ = {
    WHOLE: STATED,
    f"```json\n{WHOLE}\n```": STATED,
    f"Let me think {{about}} it.\n\n```\n{WHOLE}\n```\nI hope this helps {{you}}.": STATED,
    f'First {{"answer": "A"}}, no: {WHOLE}': STATED,
    '{"answer": 42, "evidence": "one text", "confidence": "80%"}': Stated("42", ("one text",), (), 0.8),
    '{"answer": ["a", 1], "eliminated": [null, "", {"C": 1}], "confidence": true}': Stated(
        '["a", 1]', (), ('{"C": 1}',), None
    ),
    '{"answer": "A", "confidence": 85}': Stated("A"),
    '{"answer": "A", "confidence": NaN}': Stated("A"),
    '{"answer": "A", "confidence": -0.1}': Stated("A"),
    '{"answer": "A", "confidence": "0.5"}': Stated("A", confidence=0.5),
    '{"answer": "A", "confidence": "quite"}': Stated("A"),
    '{"inner": {"answer": "A"}}': None,
    '{"answer": ""}': None,
    '{"answer": null}': None,
    '{"answers": "A"}': None,
    '["answer", "A"]': None,
    '{"answer": "A", ': None,
    "__import__('os').getcwd()": None,
    "B": None,
    "": None,
}


@pytest.mark.parametrize("text", READ)
def test_what_a_text_states(text: str) -> None:
    assert stated_in(text) == READ[text]


@given(
    pieces=st.lists(
        st.sampled_from(["{", "}", '"answer"', ":", '"', "[", "]", "1", "e9", "\\u", "\ud800", ",", WHOLE])
    ),
    times=st.integers(1, 3_000),
)
def test_no_text_is_too_odd(pieces: list[str], times: int) -> None:
    stated = stated_in("".join(pieces) * times)
    assert stated is None or (stated.answer.strip() and (stated.confidence is None or 0 <= stated.confidence <= 1))


def test_the_schema_is_one_that_strict_servers_take() -> None:
    assert strict_form(analysis_schema()) == analysis_schema()
    assert strict_form(analysis_schema(("A", "B"))) == analysis_schema(("A", "B"))


def run(
    said: Sequence[Line], folder: Path, *, structured: bool = True, asked: Question = CHOICE
) -> tuple[Ran, list[Request]]:
    """A run of one expert who is asked for an analysis, and a tool that steps in."""
    provider = ScriptProvider({"sage": said})
    sage = Agent(name="sage", model="script:sage", prompt="You are wise.", reply="analysis", skill=0.9)
    model = Model(name="script:sage", free=True, structured=structured)
    orchestrator = Orchestrator(
        [model, sage, giving("spare", "A", skill=0.4)], providers={"script": provider}, trace=folder, sleep=at_once,
    )  # fmt: skip
    ran = ask(orchestrator, folder, asked)
    provider.finish()
    return ran, [request for _, request in provider.requests]


@pytest.mark.parametrize("structured", [True, False])
def test_an_analysis_is_asked_for_and_kept(structured: bool, tmp_path: Path) -> None:
    ran, (request,) = run([WHOLE], tmp_path, structured=structured)
    assert request.schema == (analysis_schema(("A", "B")) if structured else None)
    system = request.messages[0].content
    assert system.startswith("You are wise.\n\nReply with one JSON object")
    assert '"answer": one of these, word for word: A, B' in system
    assert (ran.decision.answer, ran.decision.support, ran.decision.confidence) == ("B", ("sage",), None)
    (told,) = ran.of(Replied)
    assert (told.value, told.evidence, told.eliminated) == ("B", STATED.evidence, STATED.eliminated)
    assert told.confidence == 0.75


def test_without_content_nobodys_words_are_kept(tmp_path: Path) -> None:
    provider, kept = ScriptProvider({"sage": [WHOLE]}), tmp_path / "one.jsonl"
    members = [Model(name="script:sage", free=True), Agent(name="sage", model="script:sage", reply="analysis")]
    Orchestrator(members, providers={"script": provider}, trace=kept, content=False).run_sync(CHOICE)
    assert "it is red" not in kept.read_text(encoding="utf-8")
    assert '"confidence":0.75' in kept.read_text(encoding="utf-8")


def test_plain_text_is_the_answer_where_no_schema_asked_for_more(tmp_path: Path) -> None:
    ran, _ = run(["B, since it is red"], tmp_path, structured=False)
    (told,) = ran.of(Replied)
    assert (ran.decision.answer, told.confidence, told.evidence) == ("B, since it is red", None, ())


def test_where_a_schema_was_sent_plain_text_is_mended_once(tmp_path: Path) -> None:
    ran, requests = run(["B", WHOLE], tmp_path)
    assert (ran.decision.answer, ran.decision.expert_calls, len(requests)) == ("B", 1, 2)
    assert [message.role for message in requests[1].messages[-2:]] == ["assistant", "user"]
    assert "is no JSON object with an `answer`" in requests[1].messages[-1].content
    assert requests[1].schema == requests[0].schema


def test_a_second_one_is_a_failed_attempt(tmp_path: Path) -> None:
    ran, _ = run(["B", "still B"], tmp_path)
    (failed,) = ran.of(AttemptFailed)
    assert (failed.agent, failed.kind, failed.tries) == ("sage", "malformed", 2)
    assert (ran.decision.answer, ran.decision.support) == ("A", ("spare",))
    assert ran.outcomes() == [("sage", "rerouted")]


def test_a_cut_off_analysis_is_malformed_as_any_reply_is(tmp_path: Path) -> None:
    ran, _ = run([Completion('{"answer": "B"', finish="length"), WHOLE], tmp_path, structured=False)
    assert ran.decision.answer == "B"


def test_who_comes_after_sees_the_answer_alone(tmp_path: Path) -> None:
    provider = ScriptProvider({"sage": [WHOLE], "writer": [lambda request: request.messages[-1].content]})
    members = [
        Model(name="script:sage", free=True),
        Model(name="script:writer", free=True),
        Agent(name="sage", model="script:sage", reply="analysis", produces="verdict"),
        Agent(name="writer", model="script:writer", consumes=("verdict",)),
    ]
    ran = ask(Orchestrator(members, providers={"script": provider}, trace=tmp_path), tmp_path)
    assert ran.decision.answer is not None
    assert ran.decision.answer.endswith("verdict:\nB")


def test_the_merge_agent_reads_the_whole_analysis_without_a_name() -> None:
    reply = Reply(1, "sage", Goal("answer"), "B", confidence=0.75, evidence=("it is red",), eliminated=("A: blue",))
    text = Synthesise("script:m").request(CHOICE, [reply, replace(reply, attempt=2, value="A", confidence=None)])
    shown = text.messages[0].content
    assert "\nB\nevidence: it is red\nruled out: A: blue\nstated confidence: 0.75\n" in shown
    assert "\nA\nevidence: it is red\nruled out: A: blue\n</analysis" in shown
    assert "sage" not in shown


def test_descriptors_say_who_is_asked_for_an_analysis() -> None:
    with pytest.raises(ConfigError, match=r'is a tool, which is not asked .* `reply = "analysis"` with a model only'):
        Agent(name="sums", tool="arithmetic", reply="analysis")
    schema = json.dumps(descriptor_schema())
    assert '"enum": ["text", "analysis"]' in schema
    assert "$answer" in load_prompt("analysis").text
