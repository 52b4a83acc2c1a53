"""What every test runs under: a clean environment, no network beyond loopback, a home of its own."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
"""The checkout."""

COMMAND = Path(sys.executable).with_name("orchestrator")
"""The console script as it was installed."""

FOREIGN = re.compile(
    r".*_API_KEY|(ORCHESTRATOR|LANGSMITH|LANGCHAIN|OTEL|OPENAI|ANTHROPIC)_.*"
    r"|FORCE_COLOR|CLICOLOR.*|PY_COLORS|TTY_.*|GITHUB_ACTIONS|TERMINAL_WIDTH"
)
"""Variables of the developer's shell or of a CI machine that would change what our code does."""

REPLAYS = os.environ.get("REPLAYS")
"""A file that is told what became of every trace that the tests write: "replayed", or why it could not be."""

settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("house")


def refuse_far_connections() -> None:
    """From here on this process cannot connect, send or look a name up beyond loopback.

    An audit hook also sees what C code does, and cannot be taken off again. The text of this function is run in
    the command's own process too, so all that it uses is imported inside.
    """
    import ipaddress
    import sys

    def is_near(host: object) -> bool:
        if host in {None, "", b"", "localhost", b"localhost"}:
            return True
        try:
            return ipaddress.ip_address(str(host)).is_loopback
        except ValueError:
            return False

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
            host = args[1][0] if args[1].__class__ is tuple else None  # a path is a Unix socket: near
        elif event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}:
            host = args[0]
        else:
            return
        if not is_near(host):
            raise PermissionError(f"the tests may not reach {host!r}: nothing beyond loopback")

    sys.addaudithook(hook)


refuse_far_connections()


def replay_fault(path: Path) -> str | tuple[object, ...]:
    """What replaying a file comes to: a word or the reason why it cannot be, else how the decision differs."""
    import asyncio

    from orchestrator.retrace import obstacle, replayed
    from orchestrator.trace import read_trace
    from orchestrator.trace.events import RunStarted

    trace = read_trace(path)
    started = trace.events[0] if trace.events else None
    if not isinstance(started, RunStarted):
        return "no trace"
    if started.version == "0":
        return "made up by a test"
    return obstacle(trace) or asyncio.run(replayed(trace)).changes or "replayed"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys, no flags, no telemetry from outside; runs are kept under `tmp_path`."""
    for name in list(os.environ):
        if FOREIGN.fullmatch(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def traces_replay(tmp_path: Path) -> Iterator[None]:
    """Whatever a test's runs leave in its folder is decided the same way again from their traces alone."""
    yield
    for path in tmp_path.rglob("*.jsonl"):
        fault = replay_fault(path)
        if REPLAYS is not None:
            with Path(REPLAYS).open("a", encoding="utf-8") as log:
                log.write(f"{fault}\n")
        assert not isinstance(fault, tuple), f"{path} replays otherwise: {fault}"


@pytest.fixture(scope="session")
def near_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that, put on PYTHONPATH, keeps a Python process from connecting beyond loopback."""
    folder = tmp_path_factory.mktemp("near_only")
    source = f"{inspect.getsource(refuse_far_connections)}\n\nrefuse_far_connections()\n"
    (folder / "sitecustomize.py").write_text(f"from __future__ import annotations\n\n{source}", encoding="utf-8")
    return folder


@pytest.fixture
def child_env(near_only: Path) -> dict[str, str]:
    """The environment for a process that a test starts: clean, plain, 120 columns, loopback only."""
    fixed = {"PYTHONPATH": str(near_only), "NO_COLOR": "1", "COLUMNS": "120", "PYTHONUTF8": "1"}
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # few users set it
    return {**inherited, **fixed}


class Cli(Protocol):
    """Runs the installed command as a process of its own."""

    def __call__(
        self,
        *args: str,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """`env` is laid over the clean environment; `cwd` is an empty folder unless told."""
        ...


@pytest.fixture
def cli(child_env: dict[str, str], tmp_path: Path) -> Cli:
    """The `orchestrator` command: arguments in, completed process out."""

    def call(
        *args: str,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(COMMAND), *args],
            input=stdin,
            env={**child_env, **(env or {})},
            cwd=cwd or tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=100,
            check=False,
        )

    return call
