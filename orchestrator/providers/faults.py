"""What went wrong on the wire, in our words: statuses, error bodies and broken connections as `Fault`s."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite
from time import time
from typing import TypeGuard
from urllib.parse import urlsplit

from orchestrator.errors import FailureKind, ProviderError, ProviderTimeout, RateLimited
from orchestrator.usage import Usage

__all__ = [
    "Fault",
    "connection_fault",
    "excerpt",
    "had_begun",
    "is_table",
    "parsed",
    "place_of",
    "presentable",
    "retry_after",
    "status_fault",
    "told_fault",
    "transport_errors",
]

LONGEST_EXCERPT = 200
"""Characters of a server's words that an error quotes."""

SHORTEST_SECRET = 8
"""Keys below that are placeholders, which may be words of the text."""

CODES: Mapping[str, int] = {
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "exceed_context_size_error": 400,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "throttling_error": 429,
    "timeout_error": 408,
}
"""The status that an error's type or code stands for, where the answer's own status is 200."""

PORTS: Mapping[str, int] = {"http": 80, "https": 443}

REFUSALS = frozenset({"content_filter", "content_policy_violation"})
"""Codes of errors by which a vendor declines the question itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a try failed, before it is known how much of an answer had been delivered."""

    kind: FailureKind
    text: str
    sent: bool = True
    retry_after: float | None = None

    def error(
        self, *, begun: bool = False, partial: str = "", usage: Usage | None = None, secret: str = ""
    ) -> ProviderError:
        """The error to raise; its text is short and keeps the secret, should the server have repeated it."""
        text = presentable(self.text, secret)
        if self.kind == "rate_limited" and not begun and not partial:
            return RateLimited(text, retry_after=self.retry_after)
        if self.kind == "timeout" and not begun and not partial:
            return ProviderTimeout(text, sent=self.sent)
        return ProviderError(
            text,
            kind=self.kind,
            sent=self.sent,
            begun=begun,
            partial=partial,
            usage=usage,
            retry_after=self.retry_after,
        )


def status_fault(status: int, headers: Mapping[str, str], body: bytes, *, now: Callable[[], float] = time) -> Fault:
    """The fault that an HTTP status other than 2xx tells of."""
    told, text = parsed(body), excerpt(body)
    declined = is_table(told) and _code(told.get("error")) in REFUSALS
    kind: FailureKind = "refusal" if declined else _kind(status)
    return Fault(kind, f"HTTP {status}: {text}" if text else f"HTTP {status}", retry_after=retry_after(headers, now))


def told_fault(error: object) -> Fault:
    """The fault that an error object tells of which came in an answer or a stream with status 200."""
    code = _code(error)
    status = int(code) if re.fullmatch(r"[45]\d\d", code) else CODES.get(code, CODES.get(_type(error), 500))
    return Fault("refusal" if code in REFUSALS else _kind(status), _words(error) or "an error without words")


def transport_errors() -> tuple[type[Exception], ...]:
    """What the transport raises below the SDKs, and through them once an answer has begun."""
    import aiohttp
    import httpx2

    return (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, aiohttp.ClientError, OSError, UnicodeError)


def place_of(url: str) -> str:
    """Scheme, host and port of an address; user and password, path and query stay out, since they may be secret."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{port}" if host and port else ""


def connection_fault(error: BaseException, place: str = "") -> Fault:
    """The fault behind an error of the transport, or of an SDK without a status; `place` is where it happened.

    The names that aiohttp's adapter gives do not help: a refused connection, and one that is closed before the
    answer, are both its `ConnectTimeout`. So the first cause decides.
    """
    import aiohttp
    import httpx2

    causes = list(_causes(error))
    text = f"{type(causes[-1]).__name__}: {causes[-1]}".removesuffix(": ")
    at_place = f"{place}: {text}" if place else text

    def due_to(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if due_to(aiohttp.InvalidURL, httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        return Fault("invalid_request", "its base URL is no address of a server", sent=False)  # which may hold secrets
    if due_to(UnicodeError):
        return Fault("invalid_request", text, sent=False)
    if due_to(aiohttp.ConnectionTimeoutError):
        return Fault("timeout", at_place, sent=False)
    if due_to(aiohttp.ClientConnectorError):
        return Fault("connection", at_place, sent=False)
    if due_to(aiohttp.ServerTimeoutError, TimeoutError):
        return Fault("timeout", at_place)
    if due_to(httpx2.DecodingError, aiohttp.ClientResponseError) and not due_to(aiohttp.ClientHttpProxyError):
        return Fault("malformed", text)
    return Fault("connection", at_place) if due_to(*transport_errors()) else Fault("server", text)


def had_begun(error: BaseException) -> bool:
    """Whether output had begun when a call was broken off: by its error, or by what that was raised from."""
    told = [*_causes(error)]
    if isinstance(error, TimeoutError) and error.__context__ is not None:  # Python before 3.11.4 names no cause
        told += _causes(error.__context__)
    return any(isinstance(cause, ProviderError) and cause.begun for cause in told)


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time) -> float | None:
    """Seconds that a server asks to be left alone, from `retry-after-ms` or `retry-after` (seconds or a date)."""
    if (ms := _seconds(headers.get("retry-after-ms"))) is not None:
        return ms / 1000
    value = headers.get("retry-after")
    if (seconds := _seconds(value)) is not None:
        return seconds
    until, told_at = _moment(value), _moment(headers.get("date"))
    if until is None:
        return None
    return max(0.0, until - (now() if told_at is None else told_at))


def parsed(body: bytes | str) -> object:
    """The JSON of a body, or None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def is_table(value: object) -> TypeGuard[dict[str, object]]:
    """Whether parsed JSON is an object."""
    return isinstance(value, dict)


def excerpt(body: bytes) -> str:
    """What a body says about an error; of a page no more than its title."""
    told = parsed(body)
    if told is not None:
        return _words(told)
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("<"):
        title = re.search(r"<title[^>]*>(.*?)</title>", text[:2000], re.IGNORECASE | re.DOTALL)
        return f"an HTML page, “{title[1].strip()}”" if title else "an HTML page"
    return text


def presentable(text: str, secret: str = "") -> str:
    """Text as one line of at most 200 characters, without the secret."""
    if len(secret) >= SHORTEST_SECRET:
        text = text.replace(secret, "[key]")
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_EXCERPT else text[: LONGEST_EXCERPT - 1] + "…"


def _kind(status: int) -> FailureKind:
    match status:
        case 401 | 402 | 403:
            return "auth"
        case 408:
            return "timeout"
        case 429:
            return "rate_limited"
        case _:
            return "server" if status >= 500 else "invalid_request"


def _code(error: object) -> str:
    """The code of an error object, a number or a word, or else its type."""
    code = error.get("code") if is_table(error) else None
    return str(code) if isinstance(code, (int, str)) and code else _type(error)


def _type(error: object) -> str:
    found = error.get("type") if is_table(error) else None
    return found if isinstance(found, str) else ""


def _words(told: object) -> str:
    """The sentence in an error body of any vendor: `{"error": …}`, `{"detail": …}`, `{"message": …}` or text."""
    if is_table(told):
        found = next((told[key] for key in ("error", "detail", "message", "msg") if told.get(key)), None)
        return _type(told) if found is None else _words(found)
    if isinstance(told, list) and told:
        return _words(told[0])  # pyright: ignore[reportUnknownArgumentType]
    return told if isinstance(told, str) else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from, the first cause last."""
    while error is not None:
        yield error
        error = error.__cause__


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return max(0.0, seconds) if isfinite(seconds) else None


def _moment(value: str | None) -> float | None:
    try:
        moment = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
