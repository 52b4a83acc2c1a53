"""The command as a process against a server on loopback: keys, new models, options, cassettes, Ctrl-C."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator import Usage
from orchestrator.pool.prices import list_price
from orchestrator.providers.replay import read_cassette
from orchestrator.trace import read_trace, verify
from orchestrator.trace.events import Event, Replied, RunEnded, RunStarted, TryEnded, TryStarted
from tests.wire.command import CANARY, Shell
from tests.wire.house import requests
from tests.wire.server import End, Script, Seen, WireServer, stream, whole
from tests.wire.speech import Said, answers, routes, spoken
from tests.wire.vendors import Json, chunk

SUM = "What is 17% of 2,340?"
ROUTER, QUICK = "gpt-6.1-terra", "gpt-6-luna"
TURN = Decimal("0.0001392")
"""Of the router of the cloud: 36 x 1 + 64 x 0.05 + 20 x 5 millionths."""
REPLY = Decimal("0.00001424")
"""Of its quick expert: 36 x 0.1 + 64 x 0.01 + 20 x 0.5 millionths."""


@pytest.fixture
def server() -> Iterator[WireServer]:
    """Where OpenAI is, for the command."""
    with WireServer() as running:
        yield running


@pytest.fixture
def shell(server: WireServer, child_env: dict[str, str], tmp_path: Path) -> Shell:
    """A shell with a key."""
    return Shell.at(server, child_env, tmp_path)


def says(said: Said | str) -> Script:
    """A whole answer of OpenAI's."""
    return spoken("openai", Said(said) if isinstance(said, str) else said)


def prompt(seen: Seen) -> str:
    """What a model was told before the question."""
    first = cast("Json", seen.body)["messages"][0]
    assert first["role"] == "system"
    return str(first["content"])


def bare(events: tuple[Event, ...]) -> list[dict[str, Any]]:
    """Events without times, ids and hashes; calls side by side end in the order of their attempts."""
    found = [event.model_dump(mode="json", exclude={"seq", "time", "run_id", "prev", "seconds"}) for event in events]
    for fields in found:
        if isinstance(decision := fields.get("decision"), dict):
            fields["decision"] = {**decision, "run_id": "", "head": "", "seconds": 0}
    ends = [index for index, event in enumerate(events) if isinstance(event, (TryEnded, Replied)) and event.attempt]
    ordered = sorted(ends, key=lambda index: (found[index]["attempt"], index))
    return [found[dict(zip(ends, ordered, strict=True)).get(index, index)] for index in range(len(found))]


def test_a_key_brings_the_cloud_beside_the_tools_and_a_cassette_replays_it(server: WireServer, shell: Shell) -> None:
    asked = routes(("arithmetic", "17% of 2,340"), ("quick", "What is 17% of 2,340?"), text="Ask both.")
    server.script(says(asked), says(answers("397.8")), model=ROUTER)
    server.script(says("397.8"), model=QUICK)
    record = ("run.cassette", "--record")
    told, err = shell.decided(SUM, "--cassette", *record)
    assert (told["answer"], told["status"], told["support"]) == ("397.8", "answered", ["arithmetic", "quick"])
    assert (told["turns"], told["control_calls"], told["expert_calls"], told["reroutes"]) == (2, 2, 2, 0)
    assert (told["cost_usd"], told["cost_exact"]) == (2 * TURN + REPLY, True)
    assert told["usage"] == {"input_tokens": 300, "output_tokens": 60}
    assert "at most $0.10 is spent; --budget USD sets another limit\n" in err
    assert [seen.key for seen in server.requests] == [CANARY] * 3
    experts = prompt(server.requests[0])
    assert "- quick: short facts, definitions" in experts
    assert "$0.1 in, $0.5 out per 1M tokens" in experts
    assert "- arithmetic: exact arithmetic with fractions" in experts
    assert "reasoner" not in experts, "there is no key for Anthropic"
    replays_and_is_loud(shell, told)


def replays_and_is_loud(shell: Shell, first: dict[str, Any]) -> None:
    """The cassette gives the same run with nobody there; what is not on it, or too much on it, is loud."""
    gone = Shell(shell.env, shell.folder, {})
    own = ("run_id", "head", "seconds", "trace")
    second, _ = gone.decided(SUM, "--cassette", "run.cassette")
    assert {**second, **{name: first[name] for name in own}} == first
    assert bare(gone.trace(second).events) == bare(gone.trace(first).events)
    loud = gone.run("run", "What is 18% of 2,340?", "--cassette", "run.cassette", code=1)
    assert "this call of openai:gpt-6.1-terra was not recorded; the nearest recorded one differs:" in loud.stderr
    assert '-   "content": "What is 17% of 2,340?",\n+   "content": "What is 18% of 2,340?",' in loud.stderr
    assert "Traceback" not in loud.stderr
    cassette = shell.folder / "run.cassette"
    lines = cassette.read_text(encoding="ascii").splitlines(keepends=True)
    assert lines[0] == '{"keys": ["OPENAI_API_KEY"]}\n'
    cassette.write_text("".join([*lines, lines[1]]), encoding="ascii")
    left = gone.run("run", SUM, "--cassette", "run.cassette", code=1)
    assert "1 recorded calls were not made; the first is" in left.stderr
    assert "Traceback" not in left.stderr


def test_the_plan_router_ignores_keys(server: WireServer, shell: Shell) -> None:
    told, err = shell.decided(SUM, "--router", "plan")
    assert (told["answer"], told["cost_usd"], err.count("spent")) == ("397.8", 0, 0)
    (began,) = [event for event in shell.trace(told).events if isinstance(event, RunStarted)]
    assert (began.router, began.budget["usd"], "quick" in began.agents) == ("plan", None, False)
    assert server.requests == []


NEWCOMER = """
[models."house-model"]
base_url = "{url}"
price = {{ input = 1.7, output = 3.3, as_of = 2026-11-22, source = "a contract" }}
context_window = 4000
max_output = 300

[agents.newcomer]
role = "knows the house"
model = "house-model"
skill = 0.8
"""


def test_a_table_makes_a_new_model_known_used_and_billed(server: WireServer, shell: Shell) -> None:
    (shell.folder / "mine").mkdir()
    (shell.folder / "mine/house.toml").write_text(NEWCOMER.format(url=server.openai_url), encoding="utf-8")
    (shell.folder / "system.txt").write_text("Answer in one word.", encoding="utf-8")
    (shell.folder / "note.txt").write_text("The house is blue.", encoding="utf-8")
    server.script(says(routes(("newcomer", "Which colour?"))), says(answers("blue")), model=QUICK)
    server.script(says("Blue."), model="house-model")
    told, err = shell.decided(
        "Which colour has the house?", "--agents", "mine", "--router-model", f"openai:{QUICK}", "--budget", "0.02",
        "--system", "system.txt", "--file", "note.txt",
    )  # fmt: skip
    assert (told["answer"], told["status"]) == ("blue", "answered")
    assert told["cost_usd"] == 2 * REPLY + Decimal("0.000236")  # 100 x 1.7 + 20 x 3.3
    assert "at most $0.02 is spent" in err
    assert "$0.10" not in err
    known = "- newcomer: knows the house; question → answer; right 80% of the time; $1.7 in, $3.3 out per 1M tokens"
    assert known in prompt(server.requests[0])
    messages = cast("Json", server.requests[0].body)["messages"]
    assert [(each["role"], each["content"]) for each in messages[1:]] == [
        ("system", "Answer in one word."),
        ("user", "Which colour has the house?\n\nFile note.txt:\nThe house is blue."),
    ]
    assert [seen.key for seen in server.requests] == [CANARY, "no-key", CANARY]


@pytest.mark.parametrize("own", [False, True], ids=["./agents", "the user's own folder"])
def test_agents_add_makes_a_new_model_known_used_and_billed(server: WireServer, shell: Shell, own: bool) -> None:
    if not own:
        (shell.folder / "agents").mkdir()
    added = shell.run("agents", "add", "openai:gpt-6-sol", "--as", "sol", "--role", "knows the sun", "--skill", "0.9")
    assert "--pool cloud" in added.stdout
    server.script(says(routes(("sol", "How hot?"))), says(answers("5772 K")), model=ROUTER)
    server.script(says("5772 K"), model="gpt-6-sol")
    assert (shell.folder / ("home/agents" if own else "agents") / "cloud/sol.toml").is_file()
    more = () if own else ("--pool", "cloud", "--agents", "agents")
    told, _ = shell.decided("How hot is the sun?", *more)
    (line,) = [each for each in prompt(server.requests[0]).splitlines() if each.startswith("- sol: ")]
    assert "knows the sun; question → answer; right 90% of the time; $" in line
    assert (told["answer"], told["support"], told["cost_exact"]) == ("5772 K", ["sol"], True)
    listed = list_price("openai", "gpt-6-sol")
    assert listed is not None
    assert told["cost_usd"] == 2 * TURN + listed.cost(Usage(100, 20, cached_tokens=64))


def test_messages_and_models_of_the_command_line(server: WireServer, shell: Shell) -> None:
    talk = [
        {"role": "user", "content": "I live in Rome."},
        {"role": "assistant", "content": "Good."},
        {"role": "user", "content": "Where do I live?"},
    ]
    (shell.folder / "talk.json").write_text(json.dumps(talk), encoding="utf-8")
    server.script(says(routes(("gpt-6.1-sol", "Where?"))), says(answers("Rome.")), model=QUICK)
    server.script(says("Rome."), model="gpt-6.1-sol")
    told, _ = shell.decided(
        "--messages", "talk.json", "--model", "openai:gpt-6.1-sol", "--router-model", f"openai:{QUICK}"
    )
    assert (told["answer"], told["support"]) == ("Rome.", ["gpt-6.1-sol"])
    assert told["cost_usd"] == 2 * REPLY + Decimal("0.0002784")  # 36 x 2 + 64 x 0.1 + 20 x 10
    sent = cast("Json", server.requests[0].body)["messages"]
    assert [(each["role"], each["content"]) for each in sent[1:]] == [(m["role"], m["content"]) for m in talk]


def test_an_image_goes_with_its_message_from_the_file_to_the_vendor(server: WireServer, shell: Shell) -> None:
    cat: Json = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    parts: list[Json] = [{"type": "text", "text": "What is this?"}, cat]
    (shell.folder / "talk.json").write_text(json.dumps([{"role": "user", "content": parts}]), encoding="utf-8")
    (shell.folder / "note.txt").write_text("It purrs.", encoding="utf-8")
    server.script(says(routes(("gpt-6.1-sol", "Which animal is it?"))), says(answers("A cat.")), model=QUICK)
    server.script(says("A cat."), model="gpt-6.1-sol")
    told, _ = shell.decided(
        "--messages", "talk.json", "--file", "note.txt", "--model", "openai:gpt-6.1-sol", "--router-model",
        f"openai:{QUICK}",
    )  # fmt: skip
    assert (told["answer"], told["support"]) == ("A cat.", ["gpt-6.1-sol"])
    sent = [cast("Json", seen.body)["messages"] for seen in server.requests]
    assert sent[0][-1]["content"] == [cat, {"type": "text", "text": "What is this?\n\nFile note.txt:\nIt purrs."}]
    assert sent[1][-1]["content"] == [cat, {"type": "text", "text": "Which animal is it?"}]
    (began,) = [event for event in shell.trace(told).events if isinstance(event, RunStarted)]
    assert began.question is not None
    assert began.question[-1].images == (cat["image_url"]["url"],)


def test_an_image_of_another_kind_is_a_usage_error(server: WireServer, shell: Shell) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "cat.png"}}]
    (shell.folder / "talk.json").write_text(json.dumps([{"role": "user", "content": parts}]), encoding="utf-8")
    done = shell.run("run", "--messages", "talk.json", code=2)
    assert "not the address of an image: 'cat.png'; expected https://" in done.stderr
    assert server.requests == []


def test_a_file_that_is_too_large_is_not_sent(server: WireServer, shell: Shell) -> None:
    (shell.folder / "large.txt").write_text("word " * 300_000, encoding="utf-8")
    done = shell.run("run", "What is this?", "--file", "large.txt", code=2)
    assert "about 750,0" in done.stderr
    assert "there is room for 525,000" in done.stderr
    assert server.requests == []


def test_a_model_is_checked_by_one_tiny_call(server: WireServer, shell: Shell) -> None:
    server.script(says("ready"), whole({"error": {"message": f"bad key {CANARY}"}}, status=401))
    done = shell.run("models", "check", f"openai:{QUICK}")
    assert done.stderr.startswith(f"openai:{QUICK}: at most $0.0005")
    assert f"openai:{QUICK} answers: ready (" in done.stdout
    assert "$0.000014" in done.stdout
    failed = shell.run("models", "check", f"openai:{QUICK}", code=1)
    assert "does not answer: auth: HTTP 401: bad key [key]" in failed.stderr
    assert len(server.requests) == 2


def test_a_stream_is_shown_while_it_comes(server: WireServer, shell: Shell) -> None:
    server.script(stream(chunk({"content": "It is "}), End.HANG), model=ROUTER)
    with shell.started("run", SUM, "--stream") as run:
        shown = ""
        while "It is " not in shown:
            assert run.stdout is not None
            piece = run.stdout.read(1)
            assert piece, shown
            shown += piece
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert shown.splitlines()[-1] == "router     It is "
    assert "interrupted; the trace up to here is whole" in err
    assert "Traceback" not in err


def test_a_whole_stream_with_thoughts_and_an_answer(server: WireServer, shell: Shell) -> None:
    asked = routes(("arithmetic", "17% of 2,340"), text="The tool is exact.")
    for said in (asked, Said("It is 397.8.")):
        server.script(spoken("openai", said, streamed=True), model=ROUTER)
    done = shell.run("run", SUM, "--stream")
    lines = done.stdout.splitlines()
    assert lines[0] == "router     The tool is exact."
    assert "router     It is 397.8." in lines
    assert [seen.body["stream"] for seen in server.requests] == [True, True]


def test_ctrl_c_in_a_call_that_hangs_leaves_a_whole_trace(server: WireServer, shell: Shell) -> None:
    server.script(Script((End.HANG,)), model=ROUTER)
    with shell.started("run", SUM, "--trace", "run.jsonl", "--cassette", "run.cassette", "--record") as run:
        end = time.monotonic() + 60
        while not requests(server.requests, ROUTER):
            assert time.monotonic() < end
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "interrupted; the trace up to here is whole" in err
    shell.hold_the_key_back(out, err)
    trace = read_trace(shell.folder / "run.jsonl")
    ended = trace.events[-1]
    assert isinstance(ended, RunEnded)
    assert (ended.how, ended.decision) == ("cancelled", None)
    assert verify(trace, head=trace.head).passed
    assert len([event for event in trace.events if isinstance(event, TryStarted)]) == 1
    (broken_off,) = [event for event in trace.events if isinstance(event, TryEnded)]
    assert broken_off.cancelled
    assert not broken_off.exact, "the server may bill what it was asked (SEMANTICS §8)"
    (cut,) = read_cassette(shell.folder / "run.cassette")
    assert (cut.model, cut.completion, cut.failure and cut.failure.kind) == (f"openai:{ROUTER}", None, "timeout")
    replay = Shell(shell.env, shell.folder, {}).run("run", SUM, "--cassette", "run.cassette", code=1)
    assert "this call of openai:gpt-6.1-terra was not recorded, and all recorded calls are used up" in replay.stderr
