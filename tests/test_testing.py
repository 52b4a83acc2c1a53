"""What users test their pipelines with: scripts, faults, clock, the network that is blocked, and the pytest plugin."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from orchestrator import Agent, Budget, ConfigError, Decision, Model, Orchestrator, expert
from orchestrator.testing import (
    FAULTS,
    FakeClock,
    Injection,
    LeapingLoop,
    ScriptProvider,
    Trace,
    assert_no_silent_failure,
    call,
    disturb,
    faults,
    read_trace,
)
from orchestrator.trace.events import Event, Rerouted

ROOT = Path(__file__).parents[1]
SMALL = Model(name="script:small", free=True)
pytest_plugins = ["pytester"]


@expert(skill=0.9)
def first(question: str) -> str:
    return f"first on {question}"


@expert(skill=0.5)
def second(question: str) -> str:
    return f"second on {question}"


def test_faults_fail_the_attempts_that_are_listed(tmp_path: Path) -> None:
    made = Orchestrator([first, second], faults=faults({"first": ["timeout"]}), trace=tmp_path)
    decision = made.run_sync("it")
    assert decision.answer == "second on it"
    assert [(one.agent, one.kind) for one in decision.failed] == [("first", "timeout")]
    all_down = Orchestrator([first, second], faults=faults({"first": "server", "second": [None, "auth"]}), trace=False)
    assert [all_down.run_sync("it").answer for _ in range(2)] == ["second on it"] * 2  # counted in each run anew


def test_disturbances_are_played_try_by_try_over_all_runs(tmp_path: Path) -> None:
    wrong = disturb({"first": [None, "malformed", Injection("corrupt", instead="wrong")], "second": "error"})
    made = Orchestrator([first, second], disturb=wrong, trace=tmp_path)
    answers = [made.run_sync("it").answer for _ in range(4)]
    assert answers == ["first on it", None, "wrong", "first on it"]
    assert [agent for agent, _ in wrong.played] == ["first", "second", "first"]
    assert wrong.tries == {"first": 4, "second": 1}
    wrong.finish()


def test_a_fault_that_was_never_played_is_told() -> None:
    wrong = disturb({"first": ["error", None], "second": ["error", None], "third": "hang"})
    third = Agent(name="third", tool="calendar", skill=0.1)
    Orchestrator([first, second, third], disturb=wrong, trace=False).run_sync("it")
    with pytest.raises(AssertionError, match=r"faults were never played: of third$"):
        wrong.finish()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_can_be_had_in_no_time(fault: str, tmp_path: Path) -> None:
    wrong = disturb({"first": Injection(fault, seconds=3.0)})  # pyright: ignore[reportArgumentType] - one of FAULTS
    made = Orchestrator([first, second], disturb=wrong, trace=tmp_path)
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        decision = runner.run(made.run("it"))
    assert wrong.played
    answer = {"slow": "first on it", "corrupt": "corrupt"}.get(fault, "second on it")
    assert (decision.answer, decision.reroutes) == (answer, int(answer == "second on it"))
    assert_no_silent_failure(decision, folder=tmp_path)


@pytest.mark.parametrize(("build", "hint"), [(faults, "timeout"), (disturb, "timeout")])
def test_a_fault_that_there_is_not_is_refused_with_the_nearest_one(build: object, hint: str) -> None:
    assert callable(build)
    with pytest.raises(ConfigError, match=rf"`first`: there is no fault `time_out`; .*did you mean `{hint}`\?"):
        build({"first": [None, "time_out"]})


@pytest.mark.parametrize("field", ["faults", "disturb"])
def test_faults_for_an_agent_that_there_is_not_are_refused_with_the_nearest_one(field: str) -> None:
    wrong = faults({"frist": ["timeout"]}) if field == "faults" else disturb({"frist": ["timeout"]})
    with pytest.raises(
        ConfigError, match=rf"`{field}`: there is no agent `frist`; .*first, second; did you mean `first`"
    ):
        Orchestrator([first, second], trace=False, **{field: wrong})  # pyright: ignore[reportArgumentType]
    Orchestrator([first, second], trace=False, faults=faults({}), disturb=disturb({}))


def test_the_clock_leaps_over_waits_and_shows_a_day(tmp_path: Path) -> None:
    clock = FakeClock()
    script = ScriptProvider({"small": ["never said"]})
    made = Orchestrator(
        [SMALL, Agent(name="only", model=SMALL.name, retries=2)],
        providers={"script": script}, disturb=disturb({"only": [Injection("rate_limit", retry_after=7.0), None]}),
        budget=Budget(seconds=30), clocks=clock.clocks, sleep=clock.sleep, trace=tmp_path,
    )  # fmt: skip
    decision = made.run_sync("it")
    assert (decision.answer, clock.waits) == ("never said", [7.0])
    assert decision.seconds >= 7
    assert read_trace(tmp_path / f"{decision.run_id}.jsonl").events[0].time.startswith("2026-01-01T00:16:40")


def test_who_sleeps_beside_another_takes_no_longer() -> None:
    clock = FakeClock(now=0.0)

    async def both() -> None:
        await asyncio.gather(clock.sleep(5), clock.sleep(2))

    asyncio.run(both())
    assert (clock(), clock.monotonic(), clock.waits) == (5, 5, [5, 2])
    assert clock.wall() == clock.clocks.wall() == 1_767_225_605


def lost(folder: Path, *kinds: type[Event]) -> Trace:
    """The trace of a rerouted run without some of its events, as one would look whose router forgot."""
    decision = Orchestrator([first, second], faults=faults({"first": "server"}), trace=folder).run_sync("it")
    trace = read_trace(folder / f"{decision.run_id}.jsonl")
    kept = [each for each in zip(trace.events, trace.hashes, strict=True) if not isinstance(each[0], kinds)]
    return Trace(trace.path, tuple(event for event, _ in kept), tuple(digest for _, digest in kept))


def test_a_sound_run_passes_in_each_of_its_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = []
    made = Orchestrator([first, second], faults=faults({"first": "server"}), trace=tmp_path)
    decision = made.run_sync("it", listeners=[events.append])
    path = tmp_path / f"{decision.run_id}.jsonl"
    for run in (path, str(path), read_trace(path), events):
        assert_no_silent_failure(run)
    assert_no_silent_failure(decision, folder=tmp_path)
    untold: list[Event] = []
    Orchestrator([first], trace=False).run_sync("it", listeners=[untold.append])
    assert_no_silent_failure(untold)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "usual"))
    assert_no_silent_failure(Orchestrator([first]).run_sync("it"))


def test_a_failure_without_an_outcome_is_told_with_its_agent_and_kind(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_no_silent_failure(lost(tmp_path, Rerouted))
    assert "attempt 1 at first failed (server: injected" in str(caught.value)
    assert "and nothing came of it" in str(caught.value)
    assert str(caught.value).count("attempt 1") == 1


def test_a_run_that_did_not_end_and_a_line_that_was_changed_are_told(tmp_path: Path) -> None:
    decision = Orchestrator([first], trace=tmp_path).run_sync("it")
    path = tmp_path / f"{decision.run_id}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + b'{"seq')
    with pytest.raises(AssertionError, match="the run did not end: its last event is ") as caught:
        assert_no_silent_failure(path)
    assert "torn: 5 bytes" in str(caught.value)
    path.write_bytes(b"".join(lines).replace(b"first on it", b"first on us"))
    with pytest.raises(AssertionError, match="does not follow the line before it"):
        assert_no_silent_failure(decision, folder=tmp_path)


def test_a_decision_must_be_the_one_of_its_trace(tmp_path: Path) -> None:
    decision = Orchestrator([first], trace=tmp_path).run_sync("it")
    with pytest.raises(AssertionError, match="the trace ends in another decision"):
        assert_no_silent_failure(decision.model_copy(update={"answer": "mine"}), folder=tmp_path)
    untraced: Decision[None] = Orchestrator([first], trace=False).run_sync("it")
    with pytest.raises(ConfigError, match="has no trace; expected a run that writes its trace"):
        assert_no_silent_failure(untraced)
    with pytest.raises(AssertionError, match="there is no event"):
        assert_no_silent_failure([])


def test_one_import_brings_all_of_it_and_no_pytest() -> None:
    source = (
        "import sys, orchestrator.testing as testing\n"
        "assert not {'pydantic', 'langgraph', 'openai'} & set(sys.modules), 'heavy'\n"
        "assert all(hasattr(testing, name) for name in testing.__all__)\n"
        "assert not {'pytest', '_pytest'} & set(sys.modules), 'pytest'\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert call(("look", "{}")).calls[0].name == "look"


def run_suite(pytester: pytest.Pytester, *options: str, **files: str) -> pytest.RunResult:
    """A run of pytest in a process of its own, with this plugin and no other."""
    pytester.makepyfile(**files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        return pytester.runpytest_subprocess("-p", "orchestrator.testing.plugin", "-p", "no:cacheprovider", *options)


REACHING = """
    import socket
    import pytest

    def reach(host="192.0.2.7"):
        try:
            socket.create_connection((host, 9), timeout=0.01).close()
        except OSError:
            pass

    def test_far(): reach()

    def test_named(): reach("vendor.invalid")

    def test_near():
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname()).close()
            socket.getaddrinfo("localhost", 80)

    def test_loud():
        socket.getaddrinfo("vendor.invalid", 443)

    @pytest.mark.thinkroute_block_network(False)
    def test_allowed(): reach()

    @pytest.fixture
    def early():
        reach()

    def test_fixture(early): pass
"""


@pytest.mark.parametrize("how", ["ini", "option"])
def test_a_suite_that_asks_for_it_cannot_reach_far(how: str, pytester: pytest.Pytester) -> None:
    if how == "ini":
        pytester.makeini("[pytest]\nthinkroute_block_network = true\naddopts = --strict-markers --strict-config")
    told = run_suite(pytester, *(["--thinkroute-block-network"] if how == "option" else []), test_it=REACHING)
    told.assert_outcomes(passed=2, failed=3, errors=1)
    told.stdout.fnmatch_lines_random(
        [
            "*the test reached for 192.0.2.7:9*",
            "*the test reached for vendor.invalid:9*",
            "*NetworkBlocked: vendor.invalid:443 may not be reached from a test: the network is blocked beyond *",
            "ERROR test_it.py::test_fixture*",
        ]
    )


def test_a_suite_that_does_not_ask_is_left_alone(pytester: pytest.Pytester) -> None:
    watched = """
        import sys

        def test_nothing_came_with_it():
            ours = {name for name in sys.modules if name.startswith("orchestrator")}
            assert sorted(ours) == [
                "orchestrator", "orchestrator.testing", "orchestrator.testing.plugin", "orchestrator.version",
            ]
            assert not {"pydantic", "langgraph"} & set(sys.modules)

        def test_the_fixtures_give_way(fake_clock, script):
            assert (fake_clock, script) == ("mine", "mine")
    """
    conftest = """
        import pytest

        @pytest.fixture
        def fake_clock(): return "mine"

        @pytest.fixture
        def script(): return "mine"
    """
    run_suite(pytester, "-W", "error", test_it=watched, conftest=conftest).assert_outcomes(passed=2)


def test_one_test_may_ask_by_marker_or_fixture(pytester: pytest.Pytester) -> None:
    source = """
        import socket
        import pytest

        def reach():
            with pytest.raises(PermissionError, match="192.0.2.7:9 may not be reached"):
                socket.create_connection(("192.0.2.7", 9))

        @pytest.mark.thinkroute_block_network
        def test_marked(): reach()

        def test_expecting(block_network):
            reach()
            assert block_network == ["192.0.2.7:9"]
            block_network.clear()

        def test_not_expecting(block_network): reach()

        def test_datagrams(block_network):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far, pytest.raises(PermissionError):
                far.sendto(b"x", ("192.0.2.7", 9))
            block_network.clear()
    """
    told = run_suite(pytester, "--strict-markers", test_it=source)
    told.assert_outcomes(passed=3, failed=1, errors=1)
    told.stdout.fnmatch_lines_random(["FAILED test_it.py::test_marked*", "ERROR test_it.py::test_not_expecting*"])


def test_the_fixtures_script_and_fake_clock(pytester: pytest.Pytester) -> None:
    source = """
        from orchestrator import Agent, Model, Orchestrator

        def asked(script, lines):
            members = [Model(name="script:small", free=True), Agent(name="only", model="script:small")]
            return Orchestrator(members, providers={"script": script({"small": lines})}, trace=False).run_sync("it")

        def test_said(script): assert asked(script, ["yes"]).answer == "yes"

        def test_unsaid(script): assert asked(script, ["yes", "no"]).answer == "yes"

        def test_clock(fake_clock):
            fake_clock.pass_by(3)
            assert fake_clock.clocks.monotonic() == 1003
    """
    told = run_suite(pytester, test_it=source)
    told.assert_outcomes(passed=3, errors=1)
    told.stdout.fnmatch_lines(["*ReplayMismatch: lines were left unsaid: 1 of small"])


def test_an_installed_package_brings_the_plugin(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the entry point of our own build file, as pytest finds it, beside another plugin's `--block-network`."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["pytest11"]
    assert points == {"thinkroute": "orchestrator.testing.plugin"}
    folder = pytester.mkdir("site") / "ours-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n", encoding="utf-8")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (folder / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    pytester.makepyfile(test_it="def test_clock(fake_clock): assert fake_clock() == 1000")
    other = "def pytest_addoption(parser): parser.addoption('--block-network', action='store_true')"
    pytester.makepyfile(other=other)
    told = pytester.runpytest_subprocess("-p", "other", "--block-network", "-p", "no:cacheprovider")
    told.assert_outcomes(passed=1)
