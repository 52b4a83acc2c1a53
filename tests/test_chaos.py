"""Chaos suites: what ships, what every fault does and when, what a wrong expectation and a broken suite are told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator import ConfigError
from orchestrator.chaos import CaseResult, SuiteResult, find_suites, load_suite, run_suite
from orchestrator.chaos.world import LeapingLoop, World
from orchestrator.errors import AttemptError, FailureKind
from orchestrator.providers import FAULTS, FaultName
from tests.commands import orchestrate
from tests.conftest import ROOT

TWO = """
[agents.first]
tool = "chaos"
skill = 0.9
seconds = 1.0
timeout = 5.0

[agents.second]
tool = "chaos"
skill = 0.3
seconds = 2.0
"""
"""Who is asked first, for one second, and who is asked where that fails, for two."""


def suite_of(text: str, folder: Path) -> Path:
    """The text as a suite's file."""
    path = folder / "suite.toml"
    path.write_text(text, encoding="utf-8")
    return path


def ran(text: str, folder: Path) -> SuiteResult:
    """What came of a suite."""
    return run_suite(load_suite(suite_of(text, folder)))


def came_of(case: str, folder: Path, pool: str = TWO) -> CaseResult:
    """What came of one case."""
    return ran(f'{pool}\n[[case]]\nname = "case"\n{case}', folder).cases[0]


def pattern(case: str, most: int, folder: Path, pool: str = TWO) -> str:
    """The outcome of each of a row of questions: `x` where it went past the first expert, `.` where it did not."""
    cases = [f'[[case]]\nname = "{times}"\ntimes = {times}\n{case}' for times in range(1, most + 1)]
    return "".join("x" if result.reroutes else "." for result in ran("\n".join([pool, *cases]), folder).cases)


def test_the_19_scenarios_end_as_they_must(child_env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrate("chaos", "self_healing", "--json", env=child_env, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    cases: list[dict[str, Any]] = [case for suite in told["suites"] for case in suite["cases"]]
    assert told["passed"] is True
    assert [case["name"].split()[0] for case in cases] == [
        *(f"S{number}" for number in range(1, 8)),
        *(f"T{number}" for number in range(1, 7)),
        *(f"M{number}" for number in range(1, 7)),
    ]
    assert [case["faults"] for case in cases] == [[]] * 19
    assert sum(case["control_calls"] for case in cases) <= 7
    assert [(case["silent"], case["doubled"]) for case in cases] == [(0, 0)] * 19
    by_number = {case["name"].split()[0]: case for case in cases}
    lower = {"S3", "S6", "S7", "T5", "M4"}
    assert {number for number, case in by_number.items() if case["demoted"]} == lower
    assert {number for number, case in by_number.items() if case["status"] == "escalated"} == {"S4", "T4", "M3"}
    degraded = {number for number, case in by_number.items() if case["status"] == "degraded"}
    assert degraded == lower | {"M2", "M5", "M6"}


def test_all_three_systems_run_the_19_scenarios(child_env: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "self_healing.py"), "--json"],
        env={**child_env, "PYTHONPATH": f"{ROOT}:{child_env['PYTHONPATH']}"},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    ours, react, static = (told["totals"][name] for name in ("orchestrator", "ReAct loop", "static LangGraph"))
    assert [each["cases"] for each in (ours, react, static)] == [19, 19, 19]
    assert (ours["correct"], ours["silent"], ours["doubled"]) == (19, 0, 0)
    assert ours["llm_calls"] <= 7
    assert (react["correct"], react["silent"], react["doubled"]) == (19, 0, 0)
    assert react["llm_calls"] == react["tool_calls"] + 19  # one before each call, and one to end
    assert (static["llm_calls"], static["doubled"]) == (0, 0)
    silent = {row["case"].split()[0] for row in told["rows"] if row["system"] == "static LangGraph" and row["silent"]}
    wrong = {row["case"].split()[0] for row in told["rows"] if row["faults"]}
    assert silent == wrong == {"S6", "S7", "M2", "M5", "M6"}


WRONG = """
[suite]
name = "wrong"

[agents.only]
tool = "chaos"
seconds = 2.0
effects = true

[[case]]
name = "as it is"
expect = { status = "answered", called = ["only"], seconds = 2.0, waits = false }

[[case]]
name = "the opposite of all"
expect = { status = "escalated", goal = "question", never_called = ["only"], reasons = ["it rains"], reroutes = 3, seconds = 1, waits = true }

[[case]]
name = "a failure that nobody expects"
trouble = [{ agent = "*", fault = "error" }]
expect = { status = "answered", called = ["only"] }
"""  # noqa: E501 - an inline table of TOML stands on one line


def test_a_wrong_expectation_fails_and_says_where(child_env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrate("chaos", str(suite_of(WRONG, tmp_path)), env=child_env, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout.splitlines()[-10:] == [
        "the opposite of all: status answered, expected escalated",
        "the opposite of all: goal answer, expected question",
        "the opposite of all: only was called 1 times",
        "the opposite of all: no reason says “it rains”",
        "the opposite of all: 0 reroutes, expected 3",
        "the opposite of all: 2 s, expected at most 1",
        "the opposite of all: did not wait",
        "a failure that nobody expects: status escalated, expected answered",
        "a failure that nobody expects: only was not called",
        "1 of 3 as expected",
    ]


DEMOTING = """
[suite]
demoter = "script:chooser"
demotes_to = "third"

[pool]
goals = ["first", "second", "third"]

[models."script:chooser"]
free = true

[agents.a]
tool = "chaos"
produces = "first"

[agents.b]
tool = "chaos"
produces = "second"

[agents.c]
tool = "chaos"
produces = "third"
"""


def test_the_demoter_chooses_among_several_lower_goals_and_is_counted(tmp_path: Path) -> None:
    result = came_of('trouble = [{ agent = "a" }]\nexpect = { control_calls = 0 }', tmp_path, DEMOTING)
    assert (result.goal, result.control_calls, result.demoted) == ("third", 1, True)
    assert result.faults == ("1 control calls, expected at most 0",)
    other = came_of('trouble = [{ agent = "a" }]\ndemotes_to = "second"', tmp_path, DEMOTING)
    assert (other.goal, other.control_calls, other.faults) == ("second", 1, ())
    forced = came_of('trouble = [{ agent = "a" }, { agent = "b" }]', tmp_path, DEMOTING)
    assert (forced.goal, forced.control_calls) == ("third", 1)


@dataclass(frozen=True, slots=True)
class Does:
    """What a fault does to the call of an expert that takes a second and whose timeout is five."""

    kind: FailureKind | None
    """As what it is recorded."""
    reached: bool = False
    """Whether the expert was reached all the same."""
    seconds: float = 0.5
    """Until it shows; half a second is what the suite asks for."""
    doubt: bool = False
    """Whether nobody knows if an effect was had."""


DOES: Mapping[FaultName, Does] = {
    "error": Does("injected"),
    "timeout": Does("timeout"),
    "hang": Does("timeout", seconds=5.0, doubt=True),
    "refusal": Does("refusal"),
    "malformed": Does("malformed"),
    "corrupt": Does(None, reached=True, seconds=1.5),
    "cut_stream": Does("cut_stream", doubt=True),
    "stall": Does("stalled", doubt=True),
    "rate_limit": Does("rate_limited"),
    "connection": Does("connection"),
    "server": Does("server"),
    "auth": Does("auth"),
    "lost_reply": Does("connection", reached=True, seconds=1.5, doubt=True),
    "slow": Does(None, reached=True, seconds=1.5),
}


def test_the_table_knows_every_fault() -> None:
    assert set(DOES) == set(FAULTS)


@pytest.mark.parametrize("fault", DOES)
def test_a_fault_does_what_its_name_says(fault: FaultName, tmp_path: Path) -> None:
    does = DOES[fault]
    result = came_of(f'trouble = [{{ agent = "first", fault = "{fault}", seconds = 0.5 }}]', tmp_path)
    if does.kind is None:
        assert (result.status, result.reasons, result.tries, result.seconds) == ("answered", (), 1, does.seconds)
        return
    assert result.reasons == (f"rerouted: first → second ({does.kind})",)
    assert (result.status, result.tries, result.calls) == ("answered", 2, 1 + does.reached)
    assert result.seconds == does.seconds + 2.0
    assert result.silent == 0


@pytest.mark.parametrize("fault", [fault for fault, does in DOES.items() if does.kind is not None])
def test_a_fault_leaves_an_effect_in_doubt_only_where_it_may_have_been_had(fault: FaultName, tmp_path: Path) -> None:
    effects = TWO.replace("tool =", "effects = true\ntool =")
    result = came_of(f'trouble = [{{ agent = "first", fault = "{fault}" }}]', tmp_path, effects)
    assert result.status == ("escalated" if DOES[fault].doubt else "answered")
    assert any(reason.startswith("in doubt: first") for reason in result.reasons) == DOES[fault].doubt
    assert (result.doubled, result.silent) == (0, 0)


ORDERED = """
[agents.clerk]
tool = "chaos"
produces = "order"

[agents.payer]
tool = "chaos"
consumes = ["order"]
effects = true

[risks.large]
field = "order.amount"
above = 100

[replies]
clerk = { amount = 20 }
"""


def test_a_corrupt_reply_is_well_formed_and_believed(tmp_path: Path) -> None:
    assert came_of("", tmp_path, ORDERED).status == "answered"
    corrupt = 'trouble = [{ agent = "clerk", fault = "corrupt", instead = { amount = 2000 } }]'
    result = came_of(corrupt, tmp_path, ORDERED)
    assert (result.status, result.calls) == ("escalated", 1)
    assert any("stopped for a person by large" in reason for reason in result.reasons)


def test_a_lost_reply_of_an_idempotent_expert_is_asked_for_again_and_done_once(tmp_path: Path) -> None:
    pool = '[agents.only]\ntool = "chaos"\neffects = true\nidempotent = true\nretries = 2\n'
    result = came_of('trouble = [{ agent = "only", fault = "lost_reply", calls = [1, 2] }]', tmp_path, pool)
    assert (result.status, result.tries, result.calls, result.doubled) == ("answered", 3, 3, 0)


@pytest.mark.parametrize(
    ("calls", "doubled"),
    [
        (["plain"], 0),
        (["plain", "plain"], 1),
        (["keyed", "keyed", "keyed"], 0),
        (["keyed", "plain"], 1),
        (["plain", "plain", "keyed", "keyed"], 2),
    ],
)
def test_what_was_done_twice_under_one_key_is_counted(calls: list[str], doubled: int, tmp_path: Path) -> None:
    agents = '[agents.plain]\ntool = "chaos"\neffects = true\n[agents.keyed]\ntool = "chaos"\neffects = true\n'
    suite = load_suite(suite_of(f'{agents}idempotent = true\n[[case]]\nname = "x"\n', tmp_path))
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        world = World(suite, suite.cases[0], runner.get_loop().time)

        async def drive() -> None:
            for name in calls:
                await world.call(name, "key")
            await world.call(calls[0], "another key")

        runner.run(drive())
    assert (world.doubled, world.calls.total()) == (doubled, len(calls) + 1)


@pytest.mark.parametrize(("fault", "kind"), [("hang", "timeout"), ("lost_reply", "connection"), ("server", "server")])
def test_a_system_of_its_own_meets_the_same_faults(fault: str, kind: str, tmp_path: Path) -> None:
    case = f'[[case]]\nname = "x"\ntrouble = [{{ agent = "first", fault = "{fault}", calls = [2] }}]'
    suite = load_suite(suite_of(f"{TWO}\n{case}", tmp_path))
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        world = World(suite, suite.cases[0], runner.get_loop().time)

        async def drive() -> object:
            first = await world.call("first", "key")
            with pytest.raises(AttemptError) as raised:
                await world.call("first", "key")
            return first, raised.value.kind, await world.call("first", "key")

        assert runner.run(drive()) == ("answer by first", kind, "answer by first")
        assert runner.get_loop().time() == 2.0 + {"hang": 5.0, "lost_reply": 1.0, "server": 0.0}[fault]
    assert (world.tries["first"], world.calls["first"]) == (3, 3 if fault == "lost_reply" else 2)


def test_a_fault_at_calls(tmp_path: Path) -> None:
    assert pattern('trouble = [{ agent = "first", calls = [2, 3, 6] }]', 7, tmp_path) == ".xx..x."


def test_a_fault_in_a_span_of_time(tmp_path: Path) -> None:
    """Questions begin at 0, 1, 2; those at 3 and 5 fail and take two seconds; then 7, which is past the span."""
    assert pattern('trouble = [{ agent = "first", after = 3, until = 7 }]', 8, tmp_path) == "...xx..."
    assert pattern('trouble = [{ agent = "first", after = 2 }]', 5, tmp_path) == "..xxx"
    assert pattern('trouble = [{ agent = "first", until = 2 }]', 4, tmp_path) == "x..."


def test_flapping(tmp_path: Path) -> None:
    assert pattern('trouble = [{ agent = "first", flapping = 2 }]', 9, tmp_path) == "xx..xx..x"
    assert pattern('trouble = [{ agent = "first", flapping = 1, after = 3 }]', 6, tmp_path) == "....x."


def chance(seed: int, probability: float, folder: Path) -> str:
    """Which of forty cases a fault of this probability strikes."""
    trouble = f'trouble = [{{ agent = "first", probability = {probability} }}]'
    cases = [f'[[case]]\nname = "{number}"\n{trouble}' for number in range(40)]
    results = ran("\n".join([f"[suite]\nseed = {seed}", TWO, *cases]), folder).cases
    return "".join("x" if result.reroutes else "." for result in results)


def test_chance_hangs_on_the_seed_alone(tmp_path: Path) -> None:
    struck = [chance(seed, 0.5, tmp_path) for seed in range(4)]
    assert struck[0] == chance(0, 0.5, tmp_path)
    assert len(set(struck)) == 4
    assert 60 <= sum(each.count("x") for each in struck) <= 100
    assert chance(0, 0.1, tmp_path).count("x") < 10
    assert chance(0, 0.0, tmp_path) == "." * 40
    assert chance(0, 1.0, tmp_path) == "x" * 40


def test_whoever_is_named_first_troubles_an_agent_and_a_star_troubles_all(tmp_path: Path) -> None:
    both = 'trouble = [{ agent = "*", fault = "auth" }, { agent = "first", fault = "server" }]'
    result = came_of(both, tmp_path)
    assert result.status == "escalated"
    assert [reason for reason in result.reasons if reason.startswith("tried")] == [
        "tried: first failed after 1 try (auth): injected fault",
        "tried: second failed after 1 try (auth): injected fault",
    ]


def test_several_agents_over_one_model_are_told_apart(tmp_path: Path) -> None:
    pool = """
[models."script:one"]
free = true

[agents.draft]
model = "script:one"
produces = "letter"

[agents.check]
model = "script:one"
consumes = ["letter"]
effects = true

[risks.rude]
field = "letter"
pattern = "(?i)fool"
"""
    well = came_of('replies = { draft = "Dear Sir", check = "sent" }\ntimes = 2', tmp_path, pool)
    assert (well.status, well.calls, well.doubled) == ("answered", 4, 0)
    rude = came_of('replies = { draft = "You fool" }\nexpect = { never_called = ["check"] }', tmp_path, pool)
    assert (rude.status, rude.faults) == ("escalated", ())


def test_a_breaker_spares_an_expert_that_fails_and_lets_one_try_through_after_its_time(tmp_path: Path) -> None:
    """Open at the fifth failure, after eight seconds; a question takes two, so the 20th is the first after 30 more."""
    trouble = 'trouble = [{ agent = "first" }]'
    tries = [came_of(f"times = {times}\n{trouble}", tmp_path).tries - times for times in (1, 5, 6, 19, 20, 21, 49)]
    assert tries == [1, 5, 5, 5, 6, 6, 6]
    assert came_of(f"times = 60\n{trouble}", tmp_path).tries == 60 + 7  # the cooldown had doubled
    healed = came_of('times = 21\ntrouble = [{ agent = "first", until = 20 }]', tmp_path)
    assert (healed.tries, healed.calls, healed.reroutes) == (21 + 5, 21, 0)


def test_a_storm_of_429_opens_the_breakers_and_is_waited_for_on_the_clock_of_the_suite(tmp_path: Path) -> None:
    """The first question finds the storm, the second an hour to wait; a test that slept would run into its timeout."""
    storm = 'trouble = [{ agent = "*", fault = "rate_limit", retry_after = 3600, until = 3000 }]'
    result = came_of(f"times = 2\ndeadline = 10_000\n{storm}\nexpect = {{ waits = true }}", tmp_path)
    assert (result.status, result.faults) == ("answered", ())
    assert result.tries == 3
    assert 3600 < result.seconds < 3603
    hasty = came_of(f"times = 2\ndeadline = 60\n{storm}\nexpect = {{ waits = false }}", tmp_path)
    assert (hasty.status, hasty.faults, hasty.tries, hasty.seconds) == ("escalated", (), 2, 0.0)
    assert any("asking again from 1970-01-01T01:00:00+00:00 on" in reason for reason in hasty.reasons)


def test_the_last_expert_is_tried_again_when_a_short_storm_is_over(tmp_path: Path) -> None:
    storm = 'trouble = [{ agent = "*", fault = "rate_limit", retry_after = 20, until = 30 }]'
    result = came_of(storm, tmp_path)
    assert (result.status, result.tries, result.seconds) == ("answered", 4, 42.0)


def test_a_deadline_ends_a_hang(tmp_path: Path) -> None:
    result = came_of('deadline = 3\ntrouble = [{ agent = "first", fault = "hang" }]', tmp_path)
    assert (result.status, result.seconds) == ("escalated", 3.0)


ONE = '[agents.only]\ntool = "chaos"\n'
BROKEN = {
    "no TOML": ("hello", ["suite.toml", "is not TOML"]),
    "no cases": (ONE, ["suite.toml", "`case`", "is missing"]),
    "an empty list of cases": (f"case = []\n{ONE}", ["suite.toml", "`case`", "at least 1 entry"]),
    "no agents": ('[[case]]\nname = "x"', ["suite.toml", "has no agents"]),
    "a case without a name": (f"{ONE}[[case]]\ntimes = 2", ["`case.0.name`", "is missing"]),
    "two cases of one name": (
        f'{ONE}[[case]]\nname = "x"\n[[case]]\nname = "y"\n[[case]]\nname = "x"',
        ["suite.toml", "`case.x.name`", "stands twice"],
    ),
    "an unknown key": (
        f'{ONE}[[case]]\nname = "x"\nexpct = {{}}',
        ["suite.toml", "`case.0.expct`", "did you mean `expect`"],
    ),
    "an unknown key deep inside": (
        f'{ONE}[[case]]\nname = "x"\ntrouble = [{{ agent = "only", falt = "hang" }}]',
        ["`case.0.trouble.0.falt`", "did you mean `fault`"],
    ),
    "an unknown key at the top": (f'{ONE}[suit]\nname = "x"', ["`suit`", "did you mean `suite`"]),
    "an agent that is not there": (
        f'{ONE}[[case]]\nname = "x"\ntrouble = [{{ agent = "onyl" }}]',
        ["suite.toml", "`case.x.trouble.agent`", "there is no `onyl`", "did you mean `only`"],
    ),
    "an expected agent that is not there": (
        f'{ONE}[[case]]\nname = "x"\nexpect = {{ called = ["only", "onli"] }}',
        ["`case.x.expect.called`", "there is no `onli`", "did you mean `only`"],
    ),
    "a forbidden agent that is not there": (
        f'{ONE}[[case]]\nname = "x"\nexpect = {{ never_called = ["lonely"] }}',
        ["`case.x.expect.never_called`", "expected one of only"],
    ),
    "a reply of nobody": (f'{ONE}[replies]\nonlly = 1\n[[case]]\nname = "x"', ["`replies`", "did you mean `only`"]),
    "a case's reply of nobody": (
        f'{ONE}[[case]]\nname = "x"\nreplies = {{ lonely = 1 }}',
        ["`case.x.replies`", "there is no `lonely`"],
    ),
    "a goal that nobody gives": (
        f'{ONE}[[case]]\nname = "x"\ngoal = "anser"',
        ["`case.x.goal`", "there is no `anser`", "did you mean `answer`"],
    ),
    "an expected goal that nobody gives": (
        f'{ONE}[[case]]\nname = "x"\nexpect = {{ goal = "anser" }}',
        ["`case.x.expect.goal`", "did you mean `answer`"],
    ),
    "a demoter that is not there": (
        f'[suite]\ndemoter = "script:boss"\n{ONE}[[case]]\nname = "x"',
        ["suite.toml", "`suite.demoter`", "there is no `script:boss`"],
    ),
    "a fault that is not there": (
        f'{ONE}[[case]]\nname = "x"\ntrouble = [{{ agent = "only", fault = "eror" }}]',
        ["`case.0.trouble.0.fault`", "'eror'", "'lost_reply'"],
    ),
    "a status that is not there": (
        f'{ONE}[[case]]\nname = "x"\nexpect = {{ status = "fine" }}',
        ["`case.0.expect.status`", "'answered'"],
    ),
    "text for a number": (f'{ONE}[[case]]\nname = "x"\ntimes = "3"', ["`case.0.times`", "a whole number"]),
    "no times at all": (f'{ONE}[[case]]\nname = "x"\ntimes = 0', ["`case.0.times`", "at least 1"]),
    "a chance above one": (
        f'{ONE}[[case]]\nname = "x"\ntrouble = [{{ agent = "only", probability = 20 }}]',
        ["`case.0.trouble.0.probability`", "at most 1"],
    ),
    "a call before the first": (
        f'{ONE}[[case]]\nname = "x"\ntrouble = [{{ agent = "only", calls = [0] }}]',
        ["`case.0.trouble.0.calls.0`", "at least 1"],
    ),
    "a span that ends before it begins": (
        f'{ONE}[[case]]\nname = "x"\ntrouble = [{{ agent = "only", after = 9, until = 3 }}]',
        ["suite.toml", "`case.0.trouble.0`", "before it begins"],
    ),
    "a pool that is not there": (
        '[suite]\npool = "lokal"\n[[case]]\nname = "x"',
        ["suite.toml", "`suite.pool`", "there is no `lokal`", "did you mean `local`"],
    ),
    "a pool beside agents of its own": (
        f'[suite]\npool = "local"\n{ONE}[[case]]\nname = "x"',
        ["suite.toml", "`suite.pool`", "agents of its own"],
    ),
    "an agent's own fault": ('[agents.only]\nskil = 1\n[[case]]\nname = "x"', ["`agents.only.skil`", "`skill`"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_suite_is_told_where_and_what(name: str, tmp_path: Path) -> None:
    text, parts = BROKEN[name]
    with pytest.raises(ConfigError) as raised:
        load_suite(suite_of(text, tmp_path))
    assert [part for part in parts if part not in str(raised.value)] == [], str(raised.value)


def test_a_suite_that_is_not_there_has_a_near_name() -> None:
    with pytest.raises(ConfigError, match="did you mean `self_healing`"):
        find_suites("self_heling")


@pytest.mark.parametrize("place", ["file", "folder", "shipped"])
def test_a_name_stands_for_a_file_a_folder_or_what_ships(place: str, tmp_path: Path) -> None:
    path = suite_of(ONE, tmp_path)
    names = {"file": str(path), "folder": str(tmp_path), "shipped": "self_healing"}
    found = [each.name for each in find_suites(names[place])]
    shipped = ["1_support.toml", "2_travel.toml", "3_moderation.toml"]
    assert found == (shipped if place == "shipped" else ["suite.toml"])


def test_an_empty_folder_is_no_suite(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no suite"):
        find_suites(str(tmp_path))


def test_the_command_says_what_is_broken(child_env: dict[str, str], tmp_path: Path) -> None:
    text = f'{ONE}[[case]]\nname = "x"\ntrouble = [{{ agent = "onyl" }}]'
    done = orchestrate("chaos", str(suite_of(text, tmp_path)), env=child_env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    expected = (
        "error: suite.toml: `case.x.trouble.agent`: there is no `onyl`; expected one of only; did you mean `only`?"
    )
    assert done.stderr.strip() == expected


def test_cases_are_picked_by_name(child_env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrate("chaos", "self_healing", "--case", "payment", "--json", env=child_env, cwd=tmp_path)
    names = [case["name"][:2] for suite in json.loads(done.stdout)["suites"] for case in suite["cases"]]
    assert (done.returncode, names) == (0, ["S2", "S3", "S7"])
    none = orchestrate("chaos", "self_healing", "--case", "earthquake", env=child_env, cwd=tmp_path)
    assert (none.returncode, none.stdout) == (2, "")
    assert "earthquake" in none.stderr


def test_the_schema_knows_faults_and_keys(child_env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrate("chaos", "--schema", env=child_env, cwd=tmp_path)
    schema = json.loads(done.stdout)
    assert done.returncode == 0
    assert set(schema["properties"]) == {"suite", "pool", "models", "agents", "risks", "replies", "case"}
    assert schema["required"] == ["case"]
    assert schema["$defs"]["Trouble"]["properties"]["fault"]["enum"] == list(FAULTS)


LIVE = """
[suite]
pool = "local"
question = "What is 17% of 2,340?"

[[case]]
name = "all is well"
expect = { status = "answered", called = ["algebra"], reroutes = 0 }

[[case]]
name = "the first tool is broken"
trouble = [{ agent = "algebra", fault = "error" }]
expect = { status = "answered", never_called = ["algebra"], reroutes = 1 }

[[case]]
name = "nobody takes it"
question = "Who wrote Hamlet?"
expect = { status = "escalated" }

[[case]]
name = "long before the trouble"
trouble = [{ agent = "*", after = 1000 }]
expect = { status = "answered", reroutes = 0 }
"""
"""Tools of a real pool, which do not take every question, as simulated ones do; the last case begins at nought too."""


def test_live_the_experts_of_the_pool_itself_are_called(child_env: dict[str, str], tmp_path: Path) -> None:
    suite = suite_of(LIVE, tmp_path)
    done = orchestrate("chaos", str(suite), "--live", env=child_env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("4 of 4 as expected\n")
    simulated = {case.name: case.faults for case in run_suite(load_suite(suite)).cases if case.faults}
    assert simulated == {"nobody takes it": ("status answered, expected escalated",)}


def test_simulated_money_is_not_announced_as_money_to_be_spent(child_env: dict[str, str], tmp_path: Path) -> None:
    suite = suite_of('[suite]\npool = "cloud"\n[[case]]\nname = "x"\nexpect = { status = "answered" }', tmp_path)
    done = orchestrate("chaos", str(suite), env=child_env, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
