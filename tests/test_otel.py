"""OpenTelemetry: the span tree of a run live and exported, tokens on chats only, nothing without being asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, cast

import pytest
from inline_snapshot import snapshot
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator import ConfigError, Orchestrator, Pool, ProviderError, Usage
from orchestrator.monitors import Signal
from orchestrator.otel import Tracing, otlp
from orchestrator.trace import read_trace
from orchestrator.trace.spans import ATTRIBUTES
from tests.conftest import ROOT
from tests.experts import Sold, Vendor, at_once, failing, giving, sold
from tests.runs import QUESTION, ask

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from orchestrator import Watch
    from orchestrator.trace import Listener
    from tests.conftest import Cli

ASKED = "What is 17% of 2,340?"
VOLATILE = {"orchestrator.run.id"}


class Seen:
    """An SDK that keeps the spans it is given."""

    def __init__(self, *, content: bool = False) -> None:
        self._kept = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracing = Tracing(self.provider, content=content)

    @property
    def spans(self) -> list[ReadableSpan]:
        """By attempt and try; many begin in the same millisecond."""
        return sorted(self._kept.get_finished_spans(), key=_place)

    def tree(self) -> list[str]:
        """A line for each span, under its parent, with what it says."""
        return [*self._below(None, "")]

    def _below(self, parent: int | None, indent: str) -> Iterator[str]:
        for span in self.spans:
            if (span.parent.span_id if span.parent else None) == parent and span.context:
                said = {name: each for name, each in (span.attributes or {}).items() if name not in VOLATILE}
                yield f"{indent}{span.name} [{span.kind.name} {span.status.status_code.name}]"
                yield from (f"{indent}  .{name} = {each}" for name, each in sorted(said.items()))
                for event in span.events:
                    told = {name.removeprefix("orchestrator."): each for name, each in (event.attributes or {}).items()}
                    yield f"{indent}  * {event.name} {told}"
                yield from self._below(span.context.span_id, indent + "    ")


def _place(span: ReadableSpan) -> tuple[int, int]:
    said = span.attributes or {}
    return cast("int", said.get("orchestrator.attempt", 0)), cast("int", said.get("orchestrator.try", 0))


def rerouted(listeners: list[Listener], folder: Path) -> Path:
    """The trace of a run whose best expert fails; a tool and a model replace it, and their replies are merged."""
    vendor = Vendor(
        {"m": Sold("42", Decimal("0.01"), Usage(100, 20)), "n": Sold(error=ProviderError("ill", kind="server"))}
    )
    orchestrator = sold(vendor, {"m": 0.8, "n": 0.9}, trace=folder, listeners=listeners, merge="vote", sleep=at_once)
    pool = Pool(
        [*orchestrator.pool.models.values(), *orchestrator.pool.agents.values(), giving("sum", "42", skill=0.7)]
    )
    orchestrator = Orchestrator(
        pool, providers={"openai": vendor}, trace=folder, listeners=listeners, analyses=2, sleep=at_once, seed=1
    )
    return folder / f"{ask(orchestrator, folder).decision.run_id}.jsonl"


def test_the_spans_of_a_rerouted_and_merged_run(tmp_path: Path) -> None:
    seen = Seen()
    rerouted([seen.tracing], tmp_path)
    lines = [re.sub(r"weight': [\d.]+", "weight': 0", line) for line in seen.tree()]
    assert lines == snapshot(
        [
            "invoke_workflow pool [INTERNAL UNSET]",
            "  .gen_ai.operation.name = invoke_workflow",
            "  .gen_ai.workflow.name = pool",
            "  .orchestrator.analyses = 2",
            "  .orchestrator.cost.exact = True",
            "  .orchestrator.cost.usd = 0.01",
            "  .orchestrator.dissent = ()",
            "  .orchestrator.goals = ('answer',)",
            "  .orchestrator.method = vote",
            "  .orchestrator.reroutes = 1",
            "  .orchestrator.router = plan",
            "  .orchestrator.status = answered",
            "  .orchestrator.support = ('m', 'sum')",
            "  * orchestrator.turn {'turn': 1, 'router': 'plan', 'routes': ('n', 'sum')}",
            "  * orchestrator.planned {'goal': 'answer', 'plan.steps': ('n',), 'plan.weight': 0}",
            "  * orchestrator.planned {'goal': 'answer', 'plan.steps': ('sum',), 'plan.weight': 0}",
            "  * orchestrator.planned {'goal': 'answer', 'plan.steps': ('m',), 'plan.weight': 0}",
            "    invoke_agent n [INTERNAL ERROR]",
            "      .error.type = server",
            "      .gen_ai.agent.name = n",
            "      .gen_ai.operation.name = invoke_agent",
            "      .orchestrator.attempt = 1",
            "      .orchestrator.goal = answer",
            "      .orchestrator.goal.slot = 1",
            "      .orchestrator.outcome = rerouted",
            "      .orchestrator.outcome.to = m",
            "        chat n [CLIENT ERROR]",
            "          .error.type = server",
            "          .gen_ai.operation.name = chat",
            "          .gen_ai.provider.name = openai",
            "          .gen_ai.request.model = n",
            "          .orchestrator.cost.exact = True",
            "          .orchestrator.cost.usd = 0.0",
            "          .orchestrator.purpose = expert",
            "          .orchestrator.try = 1",
            "    invoke_agent sum [INTERNAL UNSET]",
            "      .gen_ai.agent.name = sum",
            "      .gen_ai.operation.name = invoke_agent",
            "      .orchestrator.attempt = 2",
            "      .orchestrator.goal = answer",
            "      .orchestrator.goal.slot = 2",
            "        execute_tool sum [INTERNAL UNSET]",
            "          .gen_ai.operation.name = execute_tool",
            "          .gen_ai.tool.name = sum",
            "          .orchestrator.cost.exact = True",
            "          .orchestrator.cost.usd = 0.0",
            "          .orchestrator.purpose = expert",
            "          .orchestrator.try = 1",
            "    invoke_agent m [INTERNAL UNSET]",
            "      .gen_ai.agent.name = m",
            "      .gen_ai.operation.name = invoke_agent",
            "      .orchestrator.attempt = 3",
            "      .orchestrator.goal = answer",
            "      .orchestrator.goal.slot = 1",
            "        chat m [CLIENT UNSET]",
            "          .gen_ai.operation.name = chat",
            "          .gen_ai.provider.name = openai",
            "          .gen_ai.request.model = m",
            "          .gen_ai.usage.input_tokens = 100",
            "          .gen_ai.usage.output_tokens = 20",
            "          .orchestrator.cost.exact = True",
            "          .orchestrator.cost.usd = 0.01",
            "          .orchestrator.purpose = expert",
            "          .orchestrator.try = 1",
        ]
    )


def test_tokens_stand_on_chats_only_and_times_nest(tmp_path: Path) -> None:
    seen = Seen()
    rerouted([seen.tracing], tmp_path)
    with_tokens = {
        span.name.split()[0] for span in seen.spans if "gen_ai.usage.input_tokens" in (span.attributes or {})
    }
    assert with_tokens == {"chat"}
    by_id = {span.context.span_id: span for span in seen.spans if span.context}
    for span in seen.spans:
        above = by_id.get(span.parent.span_id) if span.parent else None
        if above is not None:
            assert (above.start_time or 0) <= (span.start_time or 0) <= (span.end_time or 0)


def test_the_export_of_the_trace_is_the_same_tree(tmp_path: Path) -> None:
    seen = Seen()
    trace = read_trace(rerouted([seen.tracing], tmp_path))
    scopes = cast("list[dict[str, list[dict[str, list[dict[str, object]]]]]]", otlp(trace)["resourceSpans"])
    spans = scopes[0]["scopeSpans"][0]["spans"]
    names = {span["spanId"]: span["name"] for span in spans}
    exported = sorted((str(span["name"]), str(names.get(span.get("parentSpanId")))) for span in spans)
    by_id = {span.context.span_id: span.name for span in seen.spans if span.context}
    live = sorted((each.name, str(by_id.get(each.parent.span_id) if each.parent else None)) for each in seen.spans)
    assert exported == live
    keys = {str(each["key"]) for span in spans for each in cast("list[dict[str, object]]", span["attributes"])}
    assert keys == {name for span in seen.spans for name in span.attributes or {}}
    assert all(re.fullmatch("[0-9a-f]{32}", str(span["traceId"])) for span in spans)


def test_content_is_told_only_where_asked_for(tmp_path: Path) -> None:
    silent, open_ = Seen(), Seen(content=True)
    expert = giving("a", "the canary sings")
    bad = giving("b", LookupError("a canary died"), skill=0.9)
    ask(Orchestrator([expert, bad], trace=tmp_path, listeners=[silent.tracing, open_.tracing]), tmp_path, "Canary?")
    told = "\n".join(silent.tree()).lower()
    assert "canary" not in told
    assert all("canary" not in (span.status.description or "") for span in silent.spans)
    said = "\n".join(open_.tree())
    assert '"content":"Canary?"' in said
    assert '"content":"the canary sings"' in said
    assert any("a canary died" in (span.status.description or "") for span in open_.spans)


def test_a_run_nests_in_the_span_of_its_caller(tmp_path: Path) -> None:
    seen = Seen()
    with seen.provider.get_tracer("mine").start_as_current_span("mine"):
        rerouted([seen.tracing], tmp_path)
    mine = next(span for span in seen.spans if span.name == "mine")
    run = next(span for span in seen.spans if span.name.startswith("invoke_workflow"))
    assert run.parent is not None
    assert mine.context is not None
    assert run.parent.span_id == mine.context.span_id


def test_the_table_of_attributes_is_the_one_in_the_docs() -> None:
    text = (ROOT / "docs" / "otel.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(orchestrator\.[\w.]+)` \| (.+) \|$", text, re.MULTILINE)
    assert dict(rows) == dict(ATTRIBUTES)


def test_every_attribute_of_ours_is_in_the_table_and_used() -> None:
    source = (ROOT / "orchestrator" / "trace" / "spans.py").read_text(encoding="utf-8")
    below = source[source.index("class Opened") :]
    assert set(re.findall(r'"(orchestrator\.[\w.]+)"', below)) == set(ATTRIBUTES)


def test_a_run_that_breaks_down_closes_its_spans(tmp_path: Path) -> None:
    def stumbles(view: object) -> object:
        del view
        raise LookupError("lost")

    seen = Seen()
    orchestrator = Orchestrator([giving("a")], router=stumbles, trace=tmp_path, listeners=[seen.tracing])  # pyright: ignore[reportArgumentType]
    with pytest.raises(LookupError):
        orchestrator.run_sync(QUESTION)
    (run,) = seen.spans
    assert (run.attributes or {})["error.type"] == "error"


def test_demotions_monitors_and_escalations_are_events_of_the_run(tmp_path: Path) -> None:
    def careful(watch: Watch) -> Signal | None:
        return Signal(0.9, "avoid", "too dear", avoid=("a",)) if any(r.agent == "a" for r in watch.routes) else None

    seen = Seen()
    pool = Pool([failing("c", produces="cited"), giving("a", skill=0.9), giving("b")], goals=["cited", "answer"])
    ask(Orchestrator(pool, trace=tmp_path, monitors=[careful], listeners=[seen.tracing]), tmp_path)
    names = [event.name for span in seen.spans for event in span.events]
    assert "orchestrator.monitored" in names
    outcomes = [(span.attributes or {}).get("orchestrator.outcome") for span in seen.spans]
    assert "demoted" in outcomes


def test_without_opentelemetry_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigError, match=r"thinkroute\[otel\]"):
        Tracing()


def test_nothing_of_opentelemetry_is_imported_unless_asked_for(child_env: dict[str, str], tmp_path: Path) -> None:
    source = (
        "import sys, orchestrator.otel, orchestrator.cli, orchestrator.retrace, orchestrator.render\n"
        "def known(): return sorted(name for name in sys.modules if name.startswith('opentelemetry'))\n"
        "ours = known()\n"
        "import langgraph.graph, langsmith.client  # which look for the SDK themselves\n"
        "theirs = known()\n"
        "from orchestrator import Orchestrator, load_pool\n"
        f"Orchestrator(load_pool('local'), trace=False).run_sync({ASKED!r})\n"
        "print(ours, [name for name in known() if name not in theirs])"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], env=child_env, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[] []"), done.stderr


@contextmanager
def collector() -> Generator[tuple[str, list[str]]]:
    """A collector on loopback: its address, and the paths that something was posted to."""
    posted: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        """Takes what it is given."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            posted.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", posted
        server.shutdown()


def test_the_environment_alone_posts_nothing_and_otel_does(cli: Cli) -> None:
    with collector() as (address, posted):
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_TRACES_EXPORTER": "otlp"}
        assert cli("run", ASKED, "--quiet", env=env).returncode == 0
        assert posted == []
        done = cli("run", ASKED, "--quiet", "--otel", env=env)
        assert (done.returncode, done.stdout.strip(), posted) == (0, "397.8", ["/v1/traces"])


def test_the_command_exports_spans(cli: Cli, tmp_path: Path) -> None:
    cli("run", ASKED, "--quiet")
    printed = json.loads(cli("trace", "export", "--otel", "-").stdout)
    cli("trace", "export", "last", "--otel", "spans.json")
    assert json.loads((tmp_path / "spans.json").read_text(encoding="utf-8")) == printed
    assert ASKED not in json.dumps(printed)
    assert ASKED in cli("trace", "export", "--otel", "-", "--content").stdout
