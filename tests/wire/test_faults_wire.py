"""What goes wrong below the protocols, for both vendors, asked whole and streamed: kind, promises, words."""

from __future__ import annotations

import asyncio
import os
import socket
import traceback
from time import monotonic

import pytest

from orchestrator.errors import ProviderError
from orchestrator.messages import Message
from orchestrator.pool import Model
from orchestrator.providers.base import Completion, Request
from orchestrator.providers.faults import connection_fault, place_of
from tests.wire.outcomes import ASKED, Bad, Case, asked, cases, model_at, outcome, provider_of
from tests.wire.server import JSON, End, Pause, Script, WireServer, head, refused_url, stream, whole
from tests.wire.vendors import chat, message

CANARY = "sk-canary-0123456789"
HTML = (
    "<!doctype html><html><head><title>502 Bad  Gateway</title></head><body>" + "<p>nginx</p>" * 200 + "</body></html>"
)
SERVER = Bad("server", retryable=True)
INVALID = Bad("invalid_request", retryable=False)
AUTH = Bad("auth", retryable=False)
LOST = Bad("connection", retryable=True)
HALF = '{"id": "x", "choices": [{"index": 0, "mess'
DATES = {"Date": "Sat, 21 Nov 2026 12:00:00 GMT", "Retry-After": "Sat, 21 Nov 2026 12:00:07 GMT"}

both = pytest.mark.parametrize("vendor", ["openai", "anthropic"])
either_way = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def failed(status: int, words: object = "no", **headers: str) -> Script:
    """An answer with an error status."""
    return whole(
        {"error": {"message": words}}, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def limited(seconds: float | None) -> Bad:
    """A rate limit that says when to come back."""
    return Bad("rate_limited", retryable=True, retry_after=seconds)


def promised(length: int, content: str) -> bytes:
    """The head of a whole answer of so many bytes, and the first of them."""
    return head(200, {"Content-Type": JSON, "Content-Length": str(length)}) + content.encode()


@both
@either_way
@cases(
    Case("429 with Retry-After in seconds", failed(429, Retry_After="7"), limited(7.0)),
    Case("429 with Retry-After in parts of a second", failed(429, Retry_After="0.25"), limited(0.25)),
    Case("429 with Retry-After as a date", whole({}, status=429, headers=DATES), limited(7.0)),
    Case("429 with a date that is over", failed(429, Retry_After="Sat, 21 Nov 2015 12:00:00 GMT"), limited(0.0)),
    Case("429 with retry-after-ms", failed(429, retry_after_ms="1500", Retry_After="2"), limited(1.5)),
    Case("429 with a negative Retry-After", failed(429, Retry_After="-3"), limited(0.0)),
    Case("429 with nonsense in Retry-After", failed(429, Retry_After="soon"), limited(None)),
    Case("429 with an endless Retry-After", failed(429, Retry_After="inf"), limited(None)),
    Case("429 without Retry-After", failed(429), limited(None)),
    Case("500", failed(500), SERVER),
    Case("501", failed(501), SERVER),
    Case("502 with an HTML page", whole(HTML, status=502, kind="text/html"), SERVER),
    Case("503", failed(503, Retry_After="3"), Bad("server", retryable=True, retry_after=3.0)),
    Case("504 with nothing", whole("", status=504, kind="text/plain"), SERVER),
    Case("529", failed(529), SERVER),
    Case("401", failed(401), AUTH),
    Case("402", failed(402), AUTH),
    Case("403", failed(403), AUTH),
    Case("400", failed(400), INVALID),
    Case("404", failed(404), INVALID),
    Case("404 from a wrong path, text/plain", whole("404 page not found", status=404, kind="text/plain"), INVALID),
    Case("405", failed(405), INVALID),
    Case("408", failed(408), Bad("timeout", retryable=True)),
    Case("409", failed(409), INVALID),
    Case("413", failed(413), INVALID),
    Case("422", whole({"detail": [{"msg": "field required"}]}, status=422), INVALID),
    Case("307 to elsewhere", whole("", status=307, headers={"Location": "http://127.0.0.1:9/v1"}), INVALID),
    Case(
        "400 for the content",
        whole({"error": {"code": "content_filter", "message": "no"}}, status=400),
        Bad("refusal", retryable=False),
    ),
    Case("closed before the answer", Script((End.CLOSE,)), LOST),
    Case("reset before the answer", Script((End.RESET,)), LOST),
    Case("no HTTP", Script((b"SSH-2.0-OpenSSH_9.9\r\n\r\n", End.CLOSE)), Bad("malformed", retryable=False)),
    Case("HTML page with 200", whole(HTML, kind="text/html"), Bad("malformed", retryable=False)),
    Case("malformed JSON", whole(HALF), Bad("malformed", retryable=False, begun=True)),
    Case("a JSON list", whole([1, 2]), Bad("malformed", retryable=False, begun=True)),
    Case("JSON nested too deeply", whole("[" * 100_000), Bad("malformed", retryable=False, begun=True)),
    Case(
        "closed in the midst of JSON",
        Script((promised(99, HALF), End.CLOSE)),
        Bad("connection", retryable=True, begun=True),
    ),
    Case(
        "reset in the midst of JSON",
        Script((promised(99, HALF), Pause(0.05), End.RESET)),
        Bad("connection", retryable=True, begun=True),
    ),
    Case("reset after the head", Script((promised(99, ""), Pause(0.05), End.RESET)), LOST),
    Case(
        "bad gzip",
        whole("no gzip", headers={"Content-Encoding": "gzip"}),
        Bad("malformed", retryable=False, begun=True),
    ),
)
def test_a_fault(vendor: str, streamed: bool, case: Case) -> None:
    asked(vendor, Case(case.id, case.script, case.expected, streamed))


@both
@either_way
def test_a_hang_lasts_until_the_caller_has_had_enough(vendor: str, streamed: bool) -> None:
    async def ask(server: WireServer) -> Completion:
        async with asyncio.timeout(0.2):
            return await provider_of(vendor).complete(model_at(vendor, server), ASKED, print if streamed else None)

    with WireServer() as server:
        server.script(Script((End.HANG,)), Script((promised(99, HALF), End.HANG)))
        for _ in range(2):
            with pytest.raises(TimeoutError):
                asyncio.run(ask(server))
    assert len(server.requests) == 2


@both
def test_a_cancelled_stream_lets_go_of_its_connection(vendor: str) -> None:
    async def ask(server: WireServer) -> None:
        heard = asyncio.Event()
        work = provider_of(vendor).complete(model_at(vendor, server), ASKED, lambda _: heard.set())
        task = asyncio.create_task(work)
        async with asyncio.timeout(2):
            await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await provider_of(vendor).complete(model_at(vendor, server), ASKED)

    text = 'data: {"type": "content_block_delta", "delta": {"text": "x"}, "choices": [{"delta": {"content": "x"}}]}\n\n'
    with WireServer() as server:
        server.script(stream(text, End.HANG), whole({**message("Paris."), **chat("Paris.")}))
        asyncio.run(ask(server))
    assert [seen.connection for seen in server.requests] == [1, 2]


@both
@either_way
def test_nobody_listens(vendor: str, streamed: bool) -> None:
    with WireServer() as server:
        model = model_at(vendor, server, base_url=refused_url())
        found, _, words = outcome(vendor, model, streamed=streamed)
    assert found == Bad("connection", retryable=True, sent=False)
    assert words.startswith(f"{model.base_url}: ConnectionRefusedError")


@both
@pytest.mark.parametrize("url", ["localhost:1234/v1", "ftp://localhost/v1", "http://[::1", "http://localhost:99999"])
def test_an_address_that_is_none(vendor: str, url: str) -> None:
    with WireServer() as server:
        found, _, words = outcome(vendor, model_at(vendor, server, base_url=url))
    assert found == Bad("invalid_request", retryable=False, sent=False)
    assert words == "its base URL is no address of a server"


@both
@pytest.mark.parametrize(
    "address",
    ["http://{}/v1", "http://{}:9/v1", "http://{}:99999", "http://{}/v1?key=1#x", "ftp://{}/v1", "{}:8080/v1"],
)
def test_no_address_gives_its_secrets_away(vendor: str, address: str) -> None:
    url = address.format(f"someone:{CANARY}@localhost")
    with WireServer() as server:
        found, _, words = outcome(vendor, model_at(vendor, server, base_url=url))
    assert found == Bad("invalid_request", retryable=False, sent=False)
    assert "base URL" in words
    assert CANARY not in words


@both
@pytest.mark.parametrize(
    "script",
    [Script((End.CLOSE,)), Script((promised(99, HALF), Pause(0.05), End.RESET)), Script((promised(99, ""), End.CLOSE))],
    ids=["closed", "reset in the midst", "closed after the head"],
)
def test_a_broken_connection_says_to_whom(vendor: str, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", CANARY)
    with WireServer() as server:
        server.script(script)
        model = model_at(vendor, server, base_url=f"{server.url}/{CANARY}?key={CANARY}", key_env="CANARY_KEY")
        found, _, words = outcome(vendor, model)
    assert isinstance(found, Bad)
    assert found.kind == "connection"
    assert words.startswith(f"{server.url}: ")
    assert CANARY not in words


@both
def test_a_vendors_own_address_is_named_as_its_variable_has_it(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{vendor.upper()}_API_KEY", CANARY)
    monkeypatch.setenv(f"{vendor.upper()}_BASE_URL", refused_url())
    found, _, words = outcome(vendor, Model(name=f"{vendor}:x"))
    assert found == Bad("connection", retryable=True, sent=False)
    assert words.startswith(f"{os.environ[f'{vendor.upper()}_BASE_URL']}: ")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://models.example/v1/", "https://models.example:443"),
        ("http://models.example", "http://models.example:80"),
        ("http://me:secret@Models.example:8080/a/b?key=c#d", "http://models.example:8080"),
        ("http://[::1]:9/v1", "http://[::1]:9"),
        ("http://localhost:99999", ""),
        ("http://[::1", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_a_place_is_scheme_host_and_port(url: str, place: str) -> None:
    assert place_of(url) == place


@both
def test_a_name_that_nobody_knows(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with WireServer() as server:
        found, _, words = outcome(vendor, model_at(vendor, server, base_url="http://no-such-host.invalid/v1"))
    assert found == Bad("connection", retryable=True, sent=False)
    assert "Name or service not known" in words


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (failed(500, "out  of\nmemory"), "HTTP 500: out of memory"),
        (whole({"error": "model not found"}, status=404), "HTTP 404: model not found"),
        (whole({"detail": "unknown model"}, status=400), "HTTP 400: unknown model"),
        (whole({"detail": [{"loc": ["body"], "msg": "field required"}]}, status=422), "HTTP 422: field required"),
        (whole({"message": "no route"}, status=404), "HTTP 404: no route"),
        (whole({"error": {"type": "overloaded_error", "message": ""}}, status=529), "HTTP 529: overloaded_error"),
        (whole("Internal Server Error", status=500, kind="text/plain"), "HTTP 500: Internal Server Error"),
        (whole(HTML, status=502, kind="text/html"), "HTTP 502: an HTML page, “502 Bad Gateway”"),
        (whole("<html>", kind="text/html"), "no answer in the protocol, but: an HTML page"),
        (whole("", status=503), "HTTP 503"),
        (failed(400, "a" * 999), "HTTP 400: " + "a" * 189 + "…"),
        (failed(401, f"Incorrect API key provided: {CANARY}."), "HTTP 401: Incorrect API key provided: [key]."),
        (whole({"error": {"message": f"bad {CANARY}"}}), "bad [key]"),
        (failed(400, "a" * 180 + CANARY), "HTTP 400: " + "a" * 180 + "[key]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@both
def test_the_words_of_an_error(vendor: str, script: Script, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short, of any shape of body, and without the key even where the server repeats it."""
    monkeypatch.setenv("CANARY_KEY", CANARY)
    with WireServer() as server:
        server.script(script)
        work = provider_of(vendor).complete(model_at(vendor, server, key_env="CANARY_KEY"), ASKED)
        with pytest.raises(ProviderError) as caught:
            asyncio.run(work)
    assert str(caught.value) == words
    assert server.requests[0].key == CANARY
    assert CANARY not in repr(caught.value) + "".join(traceback.format_exception(caught.value))


@both
def test_text_that_no_encoding_can_carry_is_never_sent(vendor: str) -> None:
    with WireServer() as server:
        found, _, _ = outcome(vendor, model_at(vendor, server), Request((Message("user", "\udcff"),)))
    assert found == Bad("invalid_request", retryable=False, sent=False)
    assert server.requests == []


@both
def test_the_stall_limit_starts_with_the_answer(vendor: str) -> None:
    """A server that takes its time before the first byte is the caller's to judge."""
    parts = message("Paris.") | chat("Paris.")
    with WireServer() as server:
        slow = whole(parts)
        server.script(Script((Pause(0.6), *slow.steps)))
        started = monotonic()
        found, _, _ = outcome(vendor, model_at(vendor, server), streamed=True)
    assert isinstance(found, Completion)
    assert monotonic() - started > 0.6


@both
def test_a_connection_that_does_not_come_about_in_time(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"orchestrator.providers.{vendor}.CONNECT_SECONDS", 0.2)
    with WireServer() as server, socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        queue = [socket.socket() for _ in range(4)]  # more than the backlog: the next must wait
        for waiting in queue:
            waiting.setblocking(False)
            waiting.connect_ex(busy.getsockname())
        model = model_at(vendor, server, base_url=f"http://127.0.0.1:{busy.getsockname()[1]}/v1")
        found, _, _ = outcome(vendor, model)
        for waiting in queue:
            waiting.close()
    assert found == Bad("timeout", retryable=True, sent=False)


def test_a_connection_that_the_kernel_gives_up_is_a_timeout() -> None:
    fault = connection_fault(TimeoutError(110, "Connection timed out"))
    assert (fault.kind, fault.sent) == ("timeout", True)
