"""Who made a decision what it is: sides, costs, and what would have been decided without each, from the trace alone."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Question
from orchestrator.merge import MergeFunction, attributed
from orchestrator.messages import Message
from tests.conftest import Cli
from tests.experts import Sold, Vendor, failing, giving, sold
from tests.runs import Ran, ask

CHOICE = Question((Message("user", "Which one?"),), choices=("A", "B", "C"))


def run(folder: Path, merge: str | MergeFunction | None = None) -> Ran:
    """Three experts, two of whom agree, and one that fails."""
    members = [giving("ada", "A", skill=0.9), giving("bob", "B", skill=0.6), giving("cy", "(B)", skill=0.6)]
    return ask(Orchestrator([*members, failing("dee")], merge=merge, analyses=4, trace=folder), folder, CHOICE)


@pytest.mark.parametrize(
    ("merge", "without"),
    [
        ("vote", {"ada": ("B", False), "bob": ("A", True), "cy": ("A", True)}),
        ("first", {"ada": ("B", True), "bob": ("A", False), "cy": ("A", False)}),
        ("vote:3", {"ada": ("B", False), "bob": ("A", True), "cy": ("A", True)}),  # below the quorum p decides
        ("weighted", {"ada": ("B", True), "bob": ("A", False), "cy": ("A", False)}),
    ],
)
def test_leaving_one_out_is_worked_out_by_the_rule_that_decided(
    merge: str, without: dict[str, tuple[str, bool]], tmp_path: Path
) -> None:
    ran = run(tmp_path, merge)
    found = attributed(ran.events)
    assert found is not None
    assert (found.rule, found.exact) == (merge, True)
    told = {each.agent: (each.without, each.changes) for each in found.members if each.side != "failed"}
    assert {agent: ((one or "").strip("()"), changed) for agent, (one, changed) in told.items()} == without
    assert [each.agent for each in found.members if each.side == "failed"] == ["dee"]
    assert {each.agent for each in found.members if each.side == "support"} == {*ran.decision.support}


def test_a_merge_of_ones_own_is_stood_in_for_and_that_is_said(tmp_path: Path) -> None:
    found = attributed(run(tmp_path, lambda question, replies: replies[0].text + question.text[:0]).events)
    assert found is not None
    assert (found.rule, found.exact) == ("fallback", False)


def test_every_member_has_its_own_bill(tmp_path: Path) -> None:
    vendor = Vendor(
        {"a": Sold("1", Decimal("0.01")), "b": Sold("1", Decimal("0.002")), "c": Sold("2", Decimal("0.03"))}
    )
    ran = ask(sold(vendor, {"a": 0.9, "b": 0.8, "c": 0.7}, analyses=3, trace=tmp_path), tmp_path)
    found = attributed(ran.events)
    assert found is not None
    assert {each.agent: each.usd for each in found.members} == {
        "a": Decimal("0.01"), "b": Decimal("0.002"), "c": Decimal("0.03"),
    }  # fmt: skip
    assert sum(each.usd or 0 for each in found.members) == ran.decision.cost_usd


def test_without_content_or_a_merge_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert attributed([]) is None
    assert attributed(ask(Orchestrator([failing("a")], trace=tmp_path), tmp_path).events) is None


def test_why_tells_it_to_machines_too(cli: Cli) -> None:
    cli("run", "72 °F in Celsius", "--analyses", "2")
    told = json.loads(cli("trace", "why", "last", "--json").stdout)
    assert told[-1]["type"] == "members"
    assert {each["side"] for each in told[-1]["members"]} <= {"support", "dissent", "failed"}
    assert all(each["changes"] is not None for each in told[-1]["members"] if each["side"] != "failed")
