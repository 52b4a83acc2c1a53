"""`trace replay`: the same decision from the trace alone; others are refused with the reason.

Every trace that any test leaves in its folder is replayed as well: `traces_replay` in conftest.py.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator import Analysis, Budget, ConfigError, Goal, Orchestrator, Pool, ProviderError, Replay, replayed
from orchestrator.trace import Change, Journal, read_trace
from orchestrator.trace.events import Merged, Noted, Replied, RunEnded
from tests.experts import Sold, Vendor, at_once, failing, giving, sold
from tests.runs import QUESTION, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator import Question, Reply
    from orchestrator.trace.events import Event
    from tests.conftest import Cli


@dataclass(frozen=True)
class Order:
    """An artifact with fields."""

    item: str
    price: Decimal


ARTIFACTS = [
    Fraction(3, 7),
    Decimal("1.50"),
    date(2026, 11, 22),
    ("a", 2),
    {1: "one", "two": {3}},
    Order("tea", Decimal("2.50")),
    Goal("table"),
    [1.0, None, True],
    1e22,
    float("inf"),
    10**300,
    b"\xff",
    {"plain": ["text", 1]},
]


def again(orchestrator: Orchestrator, folder: Path) -> Replay:
    """The replay of a run's trace."""
    run_id = ask(orchestrator, folder).decision.run_id
    return asyncio.run(replayed(read_trace(folder / f"{run_id}.jsonl")))


@pytest.mark.parametrize("value", ARTIFACTS, ids=lambda value: type(value).__name__)
def test_artifacts_of_any_kind_are_merged_as_they_were(tmp_path: Path, value: object) -> None:
    pool = [giving("a", value, skill=0.9), giving("b", value, skill=0.8), giving("c", "other", skill=0.7)]
    found = again(Orchestrator(pool, analyses=3, merge="vote", trace=tmp_path), tmp_path)
    assert found.changes == ()
    assert found.decision.support == ("a", "b")
    assert [dissent.agent for dissent in found.decision.dissent] == ["c"]


def test_a_run_with_failures_demotion_and_missing_analyses_is_decided_the_same(tmp_path: Path) -> None:
    pool = Pool(
        [failing("cite", produces="cited_answer"), failing("a"), giving("b", "42"), giving("c", "43", skill=0.4)],
        goals=["cited_answer", "answer"],
    )
    found = again(Orchestrator(pool, analyses=3, trace=tmp_path), tmp_path)
    assert (found.same, found.taken) == (True, ())
    assert (found.decision.status, found.decision.goal) == ("degraded", "answer")
    assert {failed.agent for failed in found.decision.failed} == {"cite", "a"}
    assert "demoted: cited_answer → answer" in found.decision.reasons


def test_an_escalation_is_decided_the_same(tmp_path: Path) -> None:
    found = again(Orchestrator([failing("a"), failing("b")], trace=tmp_path), tmp_path)
    assert (found.same, found.decision.status, found.decision.answer) == (True, "escalated", None)


def test_an_effect_in_doubt_is_told_again(tmp_path: Path) -> None:
    mail = giving("mail", ConnectionError("lost"), produces="sent").model_copy(update={"effects": True})
    pool = Pool([mail, giving("a", "42", skill=0.4)], goals=["sent", "answer"])
    found = again(Orchestrator(pool, trace=tmp_path), tmp_path)
    assert found.same
    assert any(reason.startswith("in doubt: mail") for reason in found.decision.reasons)


def test_costs_are_added_up_anew_and_nobody_is_asked(tmp_path: Path) -> None:
    ill = ProviderError("away", kind="server")
    vendor = Vendor({"m": Sold("yes", Decimal("0.01")), "n": Sold(usd=Decimal("0.02"), error=ill)})
    orchestrator = sold(vendor, {"m": 0.5, "n": 0.9}, trace=tmp_path, sleep=at_once, budget=Budget(usd=Decimal(1)))
    found = again(orchestrator, tmp_path)
    assert (found.same, found.decision.cost_usd) == (True, Decimal("0.01"))
    assert vendor.tries == {"m": 1, "n": 1}


def test_what_a_merge_of_ones_own_made_is_taken_as_recorded_and_said(tmp_path: Path) -> None:
    def longest(question: Question, replies: Sequence[Reply]) -> Analysis:
        del question
        return Analysis(max((reply.text for reply in replies), key=len), ("a",), confidence=0.25, reasons=("longest",))

    found = again(Orchestrator([giving("a", "long")], merge=longest, trace=tmp_path), tmp_path)
    assert (found.same, found.decision.answer, found.decision.confidence) == (True, "long", 0.25)
    (told,) = found.taken
    assert "longest" in told


def test_a_merge_that_gave_way_gives_way_again(tmp_path: Path) -> None:
    class Slow:
        name = "slow"
        model = "openai:m"

        async def merge(self, question: Question, replies: Sequence[Reply], ask: object = None) -> Analysis:
            del question, replies, ask
            raise ProviderError("the merge agent is away", kind="connection")

    vendor = Vendor({"m": Sold("yes"), "n": Sold("yes")})
    orchestrator = sold(vendor, {"m": 0.9, "n": 0.8}, merge=Slow(), analyses=2, trace=tmp_path)
    found = again(orchestrator, tmp_path)
    assert (found.same, found.decision.method, found.decision.status) == (True, "fallback", "degraded")
    why = "the merge's model failed (connection): the merge agent is away; slow gave way; decided by majority"
    assert why in found.decision.reasons


def rewritten(path: Path, change: Callable[[Event], Event]) -> Path:
    """A trace with some events changed and the chain made anew: consistent, and false."""
    forged = path.with_name("forged.trace")
    events = read_trace(path).events
    journal = Journal(events[0].run_id, forged, now=lambda: 0.0)
    for event in events:
        journal.write(change(event))
    journal.close()
    return forged


def other_reply(event: Event) -> Event:
    """An event in which the first expert said something else."""
    return event.model_copy(update={"value": "43"}) if isinstance(event, Replied) and event.attempt == 1 else event


def unsaid(event: Event) -> Event:
    """An event that keeps the reasons to itself."""
    return event.model_copy(update={"reasons": (), "shortfalls": ()}) if isinstance(event, Noted) else event


def kinder(event: Event) -> Event:
    """A decision that hides that anything failed."""
    if isinstance(event, RunEnded) and event.decision:
        return event.model_copy(update={"decision": event.decision.model_copy(update={"failed": (), "turns": 9})})
    return event


@pytest.mark.parametrize(
    ("change", "fields"),
    [(other_reply, {"answer"}), (unsaid, {"reasons", "status"}), (kinder, {"failed", "turns"})],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_decision_that_does_not_follow_from_the_events_is_found_out(
    tmp_path: Path, change: Callable[[Event], Event], fields: set[str]
) -> None:
    pool = Pool([failing("c", produces="cited"), giving("a", "42", skill=0.9)], goals=["cited", "answer"])

    def of_second(event: Event) -> Event:
        return other_reply(event) if not isinstance(event, Replied) else event.model_copy(update={"value": "43"})

    ran = ask(Orchestrator(pool, trace=tmp_path), tmp_path)
    used = of_second if change is other_reply else change
    forged = rewritten(tmp_path / f"{ran.decision.run_id}.jsonl", used)
    found = asyncio.run(replayed(read_trace(forged)))
    assert {each.field for each in found.changes} == fields
    if change is other_reply:
        assert found.changes == (Change("answer", "42", "43"),)


def test_others_are_refused_with_the_reason(cli: Cli) -> None:
    whole = Path(json.loads(cli("run", "What is 17% of 2,340?", "--json").stdout)["trace"])
    bare = Path(json.loads(cli("run", "What is 17% of 2,340?", "--json", "--no-content").stdout)["trace"])
    lines = whole.read_bytes().splitlines(keepends=True)
    cases = [
        (bare.read_bytes(), 2, "without content"),
        (b"".join(lines[:-1]), 2, "the run did not end"),
        (b"".join(lines[:-1]) + lines[-1][:40], 1, "torn: 40 bytes"),
        (b"".join(lines).replace(b'"p":0.99', b'"p":0.98'), 1, "inconsistent: line"),
        (b"", 1, "there is no event"),
    ]
    for content, code, said in cases:
        whole.write_bytes(content)
        done = cli("trace", "replay", str(whole))
        assert (done.returncode, done.stdout) == (code, "")
        assert said in done.stderr


def test_a_run_that_was_cancelled_or_broke_down_is_refused(tmp_path: Path) -> None:
    def stumbles(view: object) -> object:
        del view
        raise LookupError("lost")

    with pytest.raises(LookupError):
        Orchestrator([giving("a")], router=stumbles, trace=tmp_path / "a.jsonl").run_sync(QUESTION)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=r"not decided but ended otherwise \(error\): LookupError: lost"):
        asyncio.run(replayed(read_trace(tmp_path / "a.jsonl")))


def test_the_command_decides_again(cli: Cli) -> None:
    cli("run", "What is 17% of 2,340?", "--fail", "algebra", "--quiet")
    done = cli("trace", "replay")
    assert (done.returncode, done.stderr) == (0, "")
    assert "decision   397.8  (answered)" in done.stdout
    assert "because    rerouted: algebra → arithmetic (injected)" in done.stdout
    assert "the same decision, from the trace alone" in done.stdout
    made = json.loads(cli("trace", "replay", "last", "--json").stdout)
    assert (made["same"], made["changes"], made["taken"]) == (True, [], [])
    assert made["decision"]["failed"] == [
        {"agent": "algebra", "kind": "injected", "error": "injected fault", "tries": 1}
    ]


def test_the_command_says_in_what_a_replay_differs(cli: Cli) -> None:
    made = json.loads(cli("run", "What is 17% of 2,340?", "--json").stdout)
    forged = rewritten(Path(made["trace"]), other_reply)
    done = cli("trace", "replay", str(forged))
    assert done.returncode == 3
    assert "differs   answer 397.8 → 43" in done.stdout


def test_a_merge_is_written_with_its_confidence(tmp_path: Path) -> None:
    def sure(question: Question, replies: Sequence[Reply]) -> Analysis:
        del question
        return Analysis(replies[0].text, confidence=0.75)

    ran = ask(Orchestrator([giving("a", "42")], merge=sure, trace=tmp_path), tmp_path)
    assert [event.confidence for event in ran.of(Merged)] == [0.75]
