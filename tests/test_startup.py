"""What starting up may not do: connect, read keys, import what it does not need, report to anybody."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.conftest import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator

QUESTION = "What is 17% of 2,340?"

SDKS = {"openai", "anthropic", "langgraph", "langchain_core", "langsmith"}
TOO_HEAVY_FOR_HELP = {"pydantic", "openai", "anthropic", "langgraph", "networkx", "sympy"}

WATCHED = """
import json, os, sys

sockets, keys = [], []
sys.addaudithook(lambda event, args: sockets.append(event) if event.startswith("socket.") else None)
read = type(os.environ).__getitem__

def watched(environ, name):
    if str(name).endswith("_API_KEY"):
        keys.append(name)
    return read(environ, name)

type(os.environ).__getitem__ = watched  # get, getenv, `in`, items and copies all come through here
{statement}
print(json.dumps({{"sockets": sockets, "keys": keys, "modules": sorted(sys.modules)}}))
"""

TRACED_GRAPH = """
from langchain_core.tracers.langchain import wait_for_all_tracers
from langgraph.graph import END, START, StateGraph

graph = StateGraph(dict)
graph.add_node("only", lambda state: state)
graph.add_edge(START, "only")
graph.add_edge("only", END)
graph.compile().invoke({"question": "?"})
wait_for_all_tracers()
"""

TRACED_COMMAND = f"""
import sys
from orchestrator.cli import main

sys.argv = ["orchestrator", "run", {QUESTION!r}]
try:
    main()
finally:
    from langchain_core.tracers.langchain import wait_for_all_tracers
    wait_for_all_tracers()
"""


def python(source: str, env: dict[str, str]) -> str:
    """What a fresh interpreter prints while it runs `source`."""
    done = subprocess.run(
        [sys.executable, "-c", source], env=env, capture_output=True, encoding="utf-8", timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def watch(statement: str, env: dict[str, str]) -> dict[str, list[str]]:
    """Socket events, keys read and modules imported by one statement in a fresh interpreter."""
    return json.loads(python(WATCHED.format(statement=statement), env))


@pytest.fixture
def bare_env(child_env: dict[str, str]) -> dict[str, str]:
    """The environment of a child without coverage and the network guard, both of which import things of their own."""
    with_keys = {"OPENAI_API_KEY": "unused", "ANTHROPIC_API_KEY": "unused"}
    own = {"COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "PYTHONPATH"}
    return {name: value for name, value in child_env.items() if name not in own} | with_keys


def loopback_works(port: int) -> bool:
    """Whether a local server can be reached; a network namespace of its own may come without loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture
def collector() -> Iterator[tuple[str, Counter[str]]]:
    """A LangSmith look-alike on loopback: its address, and how often which path was asked for."""
    seen: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        """Counts a request and says yes to it."""

        def do_GET(self) -> None:
            seen[f"{self.command} {self.path}"] += 1
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_PATCH = do_GET  # noqa: N815  # names that the standard library looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        if not loopback_works(server.server_port):
            server.shutdown()
            pytest.skip("this machine has no loopback interface, so nobody could be told anything")
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


@pytest.fixture
def traced_env(child_env: dict[str, str], collector: tuple[str, Counter[str]]) -> dict[str, str]:
    """An environment that asks LangSmith tracing to report to the look-alike."""
    flags = {"LANGSMITH_TRACING": "true", "LANGCHAIN_TRACING_V2": "true"}
    return {**child_env, **flags, "LANGSMITH_API_KEY": "x", "LANGSMITH_ENDPOINT": collector[0]}


def test_the_tests_reach_nothing_beyond_loopback(child_env: dict[str, str]) -> None:
    with pytest.raises(PermissionError, match="nothing beyond loopback"):
        socket.create_connection(("192.0.2.1", 9), timeout=1)
    with pytest.raises(PermissionError, match="nothing beyond loopback"):
        socket.getaddrinfo("host.invalid", 9)
    refused = (
        "import socket\ntry: socket.create_connection(('192.0.2.1', 9), 1)\nexcept PermissionError: print('refused')"
    )
    assert python(refused, child_env) == "refused\n"


def test_import_opens_no_socket_reads_no_key_imports_no_sdk(bare_env: dict[str, str]) -> None:
    seen = watch("import orchestrator", bare_env)
    assert seen["sockets"] == []
    assert seen["keys"] == []
    assert SDKS & set(seen["modules"]) == set()


@pytest.mark.parametrize("package", ["orchestrator", "orchestrator.testing"])
def test_completion_finds_every_public_name_and_imports_none(package: str, bare_env: dict[str, str]) -> None:
    seen = watch(f"import {package} as p; assert set(p.__all__) <= set(dir(p)), dir(p)", bare_env)
    assert (SDKS | {"orchestrator.pipeline"}) & set(seen["modules"]) == set()


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("import socket; socket.socket().close()", "sockets"),
        ("os.environ.get('OPENAI_API_KEY')", "keys"),
        ("os.getenv('ABSENT_API_KEY')", "keys"),
        ("'OPENAI_API_KEY' in os.environ", "keys"),
        ("dict(os.environ)", "keys"),
    ],
)
def test_the_watch_sees_what_it_watches_for(statement: str, kind: str, bare_env: dict[str, str]) -> None:
    assert watch(statement, bare_env)[kind]


def test_help_imports_nothing_heavy(bare_env: dict[str, str]) -> None:
    command = [sys.executable, "-X", "importtime", str(COMMAND), "--help"]
    done = subprocess.run(command, env=bare_env, capture_output=True, encoding="utf-8", timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout
    names = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "orchestrator" in names
    assert names & TOO_HEAVY_FOR_HELP == set()


def test_a_bare_graph_reports_to_langsmith(traced_env: dict[str, str], collector: tuple[str, Counter[str]]) -> None:
    """The control: were tracing not switched off, the next test would see it."""
    python(TRACED_GRAPH, traced_env)
    assert any(request.startswith("POST ") for request in collector[1])


def test_a_run_reports_to_nobody(traced_env: dict[str, str], collector: tuple[str, Counter[str]]) -> None:
    python(TRACED_COMMAND, traced_env)
    assert collector[1] == Counter()
