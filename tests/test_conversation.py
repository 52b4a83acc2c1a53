"""Conversations: what a follow-up question sees of earlier decisions, how much of it, and what is kept."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from orchestrator import (
    Agent,
    ConfigError,
    Conversation,
    Message,
    Model,
    Orchestrator,
    Question,
    ScriptProvider,
    load_pool,
)
from orchestrator.providers import Request
from tests.conftest import Cli
from tests.experts import failing


def talker(*replies: str) -> tuple[ScriptProvider, Orchestrator]:
    """An orchestrator over one model that says these things in turn."""
    script = ScriptProvider({"m": list(replies)})
    members = [Model(name="script:m", free=True), Agent(name="talker", model="script:m")]
    return script, Orchestrator(members, providers={"script": script}, trace=False)


def shown(request: Request) -> list[tuple[str, str]]:
    """What a model was told, role by role."""
    return [(message.role, message.content) for message in request.messages]


def test_a_follow_up_sees_earlier_decisions_behind_the_systems_words() -> None:
    script, orchestrator = talker("Paris.", "2.1 million.", "Yes.")
    talk = Conversation(orchestrator)
    talk.run_sync("Capital of France?")
    talk.run_sync("How many live there?")
    talk.run_sync([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it a port?"}])
    assert [shown(asked) for _, asked in script.requests] == [
        [("user", "Capital of France?")],
        [("user", "Capital of France?"), ("assistant", "Paris."), ("user", "How many live there?")],
        [
            ("system", "Be brief."),
            ("user", "Capital of France?"),
            ("assistant", "Paris."),
            ("user", "How many live there?"),
            ("assistant", "2.1 million."),
            ("user", "Is it a port?"),
        ],
    ]
    assert [each.answer for each in talk.said] == ["Paris.", "2.1 million.", "Yes."]


def test_what_is_shown_keeps_to_its_tokens_the_latest_first() -> None:
    script, orchestrator = talker("a" * 100, "b" * 100, "c")
    talk = Conversation(orchestrator, tokens=60)
    for question in ("first?", "second?", "third?"):
        talk.run_sync(question)
    assert [content[:7] for _, content in shown(script.requests[-1][1])] == ["second?", "bbbbbbb", "third?"]
    silent = Conversation(orchestrator, tokens=0)
    assert silent.asked("alone?") == Question((Message("user", "alone?"),))


def test_tools_are_asked_the_last_question_alone() -> None:
    talk = Conversation(Orchestrator(load_pool("local"), trace=False))
    assert [talk.run_sync(question).answer for question in ("3 + 4", "10% of 50")] == ["7", "5"]


def test_an_escalation_is_told_as_such_and_is_no_answer() -> None:
    talk = Conversation(Orchestrator([failing("ill")], trace=False))
    talk.run_sync("why?")
    assert shown_of(talk) == [("user", "why?"), ("assistant", "(No decision was reached on this.)"), ("user", "and?")]


def shown_of(talk: Conversation) -> list[tuple[str, str]]:
    """What the next question would be asked with."""
    return [(message.role, message.content) for message in talk.asked("and?").messages]


def test_questions_at_the_same_time_wait_for_each_other() -> None:
    script, orchestrator = talker("1", "2", "3")
    talk = Conversation(orchestrator)

    async def all_at_once() -> None:
        await asyncio.gather(*(talk.run(question) for question in "abc"))

    asyncio.run(all_at_once())
    assert [len(asked.messages) for _, asked in script.requests] == [1, 3, 5]


def test_a_named_one_goes_on_and_a_torn_line_is_dropped(tmp_path: Path) -> None:
    _, orchestrator = talker("Paris.", "Yes.")
    Conversation(orchestrator, "trip", folder=tmp_path).run_sync("Capital of France?")
    path = tmp_path / "trip.jsonl"
    path.write_bytes(path.read_bytes() + b'{"question": "cut')
    again = Conversation(orchestrator, "trip", folder=tmp_path)
    assert [each.answer for each in again.said] == ["Paris."]
    again.run_sync("Is it large?")
    assert [json.loads(line)["answer"] for line in path.read_text(encoding="utf-8").splitlines()] == ["Paris.", "Yes."]


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "-x", "x" * 65, "a b"])
def test_a_name_that_is_none_of_a_file_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="names no conversation"):
        Conversation(talker()[1], name)


def test_another_file_is_no_conversation(tmp_path: Path) -> None:
    (tmp_path / "trip.jsonl").write_text('{"question": "x"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="line 1"):
        Conversation(talker()[1], "trip", folder=tmp_path)


def test_the_command_line_goes_on_with_a_thread(cli: Cli, tmp_path: Path) -> None:
    home = {"ORCHESTRATOR_HOME": str(tmp_path / "home")}
    for question in ("3 + 4", "10% of 50"):
        assert cli("run", question, "--thread", "sums", "--quiet", env=home).returncode == 0
    kept = (tmp_path / "home" / "threads" / "sums.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["answer"] for line in kept] == ["7", "5"]
    refused = cli("run", "1 + 1", "--thread", "sums", "--no-content", env=home)
    assert refused.returncode == 2
    assert "--no-content" in refused.stderr
