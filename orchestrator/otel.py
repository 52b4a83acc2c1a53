"""Runs as OpenTelemetry spans: live through the SDK that you set up, or afterwards as an OTLP document.

Nothing of OpenTelemetry is imported before a `Tracing` is made, and its environment variables alone cause nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, NotRequired, TypedDict

from orchestrator.errors import ConfigError
from orchestrator.trace import Listener, Trace
from orchestrator.trace.events import Event, RunEnded
from orchestrator.trace.spans import Closed, Marked, Opened, SpanChange, Spans, Value
from orchestrator.version import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = ["Tracing", "exporting", "otlp"]

EXTRA = "pip install 'thinkroute[otel]'"
KINDS = {"internal": 1, "client": 3}
"""Kinds of spans in OTLP."""
FAILED = 2
"""The code of an error in OTLP."""


class Tracing:
    """A listener that opens and closes a span for every run, attempt and try: `Orchestrator(…, listeners=[Tracing()])`.

    Without a provider it is the one that the program has set for all of OpenTelemetry. Questions, thoughts, replies and
    texts of errors are told only with `content`. Raises `ConfigError` where OpenTelemetry is not installed.
    """

    def __init__(self, provider: TracerProvider | None = None, *, content: bool = False) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise ConfigError("OpenTelemetry is not installed", field="otel", expected=EXTRA) from error
        self._tracer = trace.get_tracer("orchestrator", __version__, tracer_provider=provider)
        self._content = content
        self._runs: dict[str, _Run] = {}

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        run = self._runs.setdefault(event.run_id, _Run(self._tracer, Spans(content=self._content)))
        run.follow(event)
        if isinstance(event, RunEnded):
            del self._runs[event.run_id]


class _Run:
    """The open spans of one run; what began before it was listened to has none."""

    def __init__(self, tracer: Tracer, spans: Spans) -> None:
        self._tracer = tracer
        self._spans = spans
        self._open: dict[str, Span] = {}

    def follow(self, event: Event) -> None:
        """Do what an event says."""
        for change in self._spans.told(event):
            match change:
                case Opened():
                    self._open[change.key] = self._begun(change)
                case Marked():
                    if (span := self._open.get(change.key)) is not None:
                        span.add_event(change.name, dict(change.attributes), change.nanoseconds)
                case Closed():
                    if (span := self._open.pop(change.key, None)) is not None:
                        self._end(span, change)

    def _begun(self, change: Opened) -> Span:
        from opentelemetry.trace import SpanKind, set_span_in_context

        above = self._open.get(change.parent or "")
        parent = None if above is None else set_span_in_context(above)
        kind = SpanKind.CLIENT if change.kind == "client" else SpanKind.INTERNAL
        return self._tracer.start_span(
            change.name, parent, kind, attributes=dict(change.attributes), start_time=change.nanoseconds
        )

    def _end(self, span: Span, change: Closed) -> None:
        from opentelemetry.trace import StatusCode

        span.set_attributes(dict(change.attributes))
        if change.error is not None:
            span.set_attribute("error.type", change.error)
            span.set_status(StatusCode.ERROR, change.said)
        span.end(change.nanoseconds)


@contextmanager
def exporting(*, content: bool = False) -> Generator[list[Listener]]:
    """The one listener, a `Tracing` that posts by OTLP to where the SDK's environment variables say.

    What is left is sent at the end. Raises `ConfigError` where SDK or exporter are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        problem = f"OpenTelemetry's SDK and its OTLP exporter are needed ({error})"
        raise ConfigError(problem, field="otel", expected=EXTRA) from error
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield [Tracing(provider, content=content)]
    finally:
        provider.shutdown()


def otlp(trace: Trace, *, content: bool = False) -> dict[str, object]:
    """The spans of a trace as an OTLP document in JSON's encoding; ids are made of the run's own."""
    spans: dict[str, _OtlpSpan] = {}
    mapping = Spans(content=content)
    for event in trace.events:
        for change in mapping.told(event):
            _apply(change, spans, trace.run_id)
    scope = {"scope": {"name": "orchestrator", "version": __version__}, "spans": list(spans.values())}
    resource = {"attributes": _attributes([("service.name", "thinkroute")])}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


class _OtlpSpan(TypedDict):
    traceId: str
    spanId: str
    parentSpanId: NotRequired[str]
    name: str
    kind: int
    startTimeUnixNano: str
    endTimeUnixNano: str
    attributes: list[object]
    events: list[object]
    status: dict[str, object]


def _apply(change: SpanChange, spans: dict[str, _OtlpSpan], run_id: str) -> None:
    at, span = str(change.nanoseconds), spans.get(change.key)
    match change:
        case Opened():
            made: _OtlpSpan = {
                "traceId": _id(run_id, "", 32),
                "spanId": _id(run_id, change.key, 16),
                "name": change.name,
                "kind": KINDS[change.kind],
                "startTimeUnixNano": at,
                "endTimeUnixNano": at,
                "attributes": _attributes(change.attributes.items()),
                "events": [],
                "status": {},
            }
            if change.parent is not None:
                made["parentSpanId"] = _id(run_id, change.parent, 16)
            spans[change.key] = made
        case Marked() if span is not None:
            mark = {"timeUnixNano": at, "name": change.name, "attributes": _attributes(change.attributes.items())}
            span["events"].append(mark)
        case Closed() if span is not None:
            span["attributes"] += _attributes(change.attributes.items())
            span["endTimeUnixNano"] = at
            if change.error is not None:
                span["attributes"] += _attributes([("error.type", change.error)])
                span["status"] = {"code": FAILED, **({"message": change.said} if change.said else {})}
        case _:  # of a span whose beginning the trace does not have
            pass


def _id(run_id: str, key: str, digits: int) -> str:
    return sha256(f"{run_id}\n{key}".encode("utf-8", "backslashreplace")).hexdigest()[:digits]


def _attributes(pairs: Iterable[tuple[str, Value]]) -> list[object]:
    return [{"key": name, "value": _value(value)} for name, value in pairs]


def _value(value: Value) -> dict[str, object]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case _:
            return {"arrayValue": {"values": [_value(each) for each in value]}}
