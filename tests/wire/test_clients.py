"""Clients and keys: who gets which, when clients are built, and when they are closed."""

from __future__ import annotations

import asyncio
import gc
import importlib
import subprocess
import sys
import threading
import weakref

import pytest

from orchestrator.errors import ProviderError
from orchestrator.pool import Model
from orchestrator.providers.base import Preparing
from orchestrator.providers.clients import NO_KEY, Clients, Closable
from tests.wire.outcomes import ASKED, model_at, provider_of
from tests.wire.server import WireServer, stream, whole
from tests.wire.vendors import DONE, Json, chat, chat_chunks, message

CANARY = "sk-canary-0123456789"
ANSWER: Json = {**chat("Paris."), **message("Paris.")}

both = pytest.mark.parametrize("vendor", ["openai", "anthropic"])


async def ask(vendor: str, model: Model, times: int = 1) -> None:
    """So many calls, one after another."""
    for _ in range(times):
        await provider_of(vendor).complete(model, ASKED)


def test_two_ollamas_and_openai_get_three_clients_and_only_openai_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with WireServer() as here, WireServer() as there, WireServer() as vendor:
        monkeypatch.setenv("OPENAI_API_KEY", CANARY)
        monkeypatch.setenv("OPENAI_BASE_URL", vendor.openai_url)
        monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
        models = [
            Model(name="ollama:llama", base_url=here.openai_url, provider="ollama"),
            Model(name="ollama:qwen", base_url=there.openai_url, provider="ollama"),
            Model(name="openai:gpt"),
        ]

        async def run() -> None:
            for _ in range(2):
                await asyncio.gather(*(ask("openai", model) for model in models))

        for server in (here, there, vendor):
            server.script(*[whole(ANSWER)] * 2)
        asyncio.run(run())
        assert [[seen.key for seen in server.requests] for server in (here, there, vendor)] == [
            [NO_KEY] * 2,
            [NO_KEY] * 2,
            [CANARY] * 2,
        ]
        assert [[seen.connection for seen in server.requests] for server in (here, there, vendor)] == [[1, 1]] * 3
        assert [seen.headers.get("openai-organization") for seen in vendor.requests] == ["org-canary"] * 2
        assert [seen.body["model"] for seen in vendor.requests] == ["gpt"] * 2


@both
def test_nothing_of_the_vendors_environment_reaches_another_base_url(
    vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = vendor.upper()
    for variable in ("API_KEY", "AUTH_TOKEN", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "PROFILE"):
        monkeypatch.setenv(f"{name}_{variable}", CANARY)
    headers = ("X-Api-Key", "x-api-key", "Authorization", "authorization", "X-Gateway-Token")
    monkeypatch.setenv(f"{name}_CUSTOM_HEADERS", "\n".join(f"{header}: {CANARY}" for header in headers))
    monkeypatch.setenv(f"{name}_BASE_URL", "http://127.0.0.1:9")
    with WireServer() as server:
        server.script(whole(ANSWER))
        asyncio.run(ask(vendor, model_at(vendor, server)))
    assert server.requests[0].key == NO_KEY
    assert CANARY not in repr(server.requests)


@both
def test_the_vendors_own_address_gets_the_vendors_key(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with WireServer() as server:
        monkeypatch.setenv(f"{vendor.upper()}_API_KEY", f" {CANARY}\n")
        monkeypatch.setenv(f"{vendor.upper()}_BASE_URL", server.openai_url if vendor == "openai" else server.url)
        server.script(whole(ANSWER))
        asyncio.run(ask(vendor, Model(name=f"{vendor}:x")))
    assert server.requests[0].key == CANARY


@both
def test_a_models_own_key_goes_to_its_server(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{vendor.upper()}_API_KEY", CANARY)
    monkeypatch.setenv("HOUSE_KEY", "house-key-1")
    monkeypatch.setenv("GUEST_KEY", "guest-key-2")
    with WireServer() as server:
        server.script(whole(ANSWER), whole(ANSWER))

        async def run() -> None:
            for key_env in ("HOUSE_KEY", "GUEST_KEY"):
                await ask(vendor, model_at(vendor, server, key_env=key_env))

        asyncio.run(run())
    assert [(seen.key, seen.connection) for seen in server.requests] == [("house-key-1", 1), ("guest-key-2", 2)]


@both
@pytest.mark.parametrize("value", [None, "", "  ", "sk-é", "sk-a\nb"])
def test_a_missing_key_is_an_error_that_names_its_variable(
    vendor: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, model in (
        (f"{vendor.upper()}_API_KEY", Model(name=f"{vendor}:x")),
        ("HOUSE_KEY", Model(name="x", provider=vendor, base_url="http://127.0.0.1:9", key_env="HOUSE_KEY")),
    ):
        if value is not None:
            monkeypatch.setenv(variable, value)
        with pytest.raises(ProviderError, match=variable) as caught:
            asyncio.run(ask(vendor, model))
        assert (caught.value.kind, caught.value.sent, caught.value.retryable) == ("auth", False, False)
        assert "sk-" not in str(caught.value)


@both
def test_clients_are_shared_in_a_loop_and_fresh_in_the_next(vendor: str) -> None:
    with WireServer() as server:
        server.script(*[whole(ANSWER)] * 5)
        model = model_at(vendor, server)
        asyncio.run(ask(vendor, model, times=3))
        asyncio.run(ask(vendor, model, times=2))
    assert [seen.connection for seen in server.requests] == [1, 1, 1, 2, 2]


@both
def test_loops_in_threads_do_not_meet(vendor: str) -> None:
    with WireServer() as server:
        server.script(*[whole(ANSWER)] * 12)
        model = model_at(vendor, server)
        threads = [threading.Thread(target=lambda: asyncio.run(ask(vendor, model, times=3))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen.connection for seen in server.requests) == sorted([1, 2, 3, 4] * 3)


def test_a_streams_connection_is_used_again() -> None:
    with WireServer() as server:
        server.script(*[stream(*chat_chunks("Paris."), DONE)] * 3)
        model = model_at("openai", server)

        async def run() -> None:
            for _ in range(3):
                await provider_of("openai").complete(model, ASKED, lambda _: None)

        asyncio.run(run())
    assert [seen.connection for seen in server.requests] == [1, 1, 1]


WATCHED = """
import asyncio, sys, threading
from orchestrator.budget import UNLIMITED
from orchestrator.messages import Message
from orchestrator.pool import Model
from orchestrator.providers import ModelCall
from orchestrator.providers.anthropic import AnthropicProvider
from orchestrator.providers.base import Request
from orchestrator.providers.openai import OpenAIProvider

SDKS = ("openai", "anthropic", "aiohttp")
seen = []

def watch(event, args):
    if event == "import" and args[0] in SDKS:
        seen.append((args[0], threading.current_thread() is threading.main_thread()))

sys.addaudithook(watch)
openai, anthropic = sys.argv[1:]
request = Request((Message("user", "?"),))
doors = {"openai": OpenAIProvider(), "anthropic": AnthropicProvider()}
urls = {"openai": openai, "anthropic": anthropic}
calls = [
    ModelCall(doors[vendor], Model(name=f"{vendor}-{n}", provider=vendor, base_url=url, free=True), request)
    for vendor, url in urls.items() for n in range(4)
]

async def run():
    keyless = ModelCall(doors["openai"], Model(name="openai:gpt"), request)
    try:
        await keyless.prepare()
    except Exception as error:
        print(error.kind, seen)
    await asyncio.gather(*(call.prepare() for call in calls))
    prepared = len(seen)
    replies = await asyncio.gather(*(call.work(call.quote(UNLIMITED)) for call in calls))
    print(*(reply.value.text for reply in replies))
    print(len(seen) == prepared or seen, [name for name in SDKS if (name, True) in seen])

asyncio.run(run())
"""


def test_sdks_are_imported_off_the_loop_before_a_try_begins_and_by_one_call_of_many(child_env: dict[str, str]) -> None:
    with WireServer() as server:
        server.script(*[whole(ANSWER)] * 8)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", WATCHED, server.openai_url, server.url],
            env=child_env,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
    assert (done.stdout, done.stderr) == (f"auth []\n{' '.join(['Paris.'] * 8)}\nTrue []\n", "")


def test_an_import_that_a_timeout_outruns_is_done_once_and_not_again() -> None:
    imports: list[str] = []
    begun = threading.Event()
    may_end = threading.Event()

    def sdk() -> None:
        imports.append(threading.current_thread().name)
        begun.set()
        assert may_end.wait(10)

    async def hurried(clients: Clients[Closable]) -> None:
        first = asyncio.create_task(clients.prepare())
        await asyncio.to_thread(begun.wait, 10)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        others = [asyncio.create_task(clients.prepare()) for _ in range(3)]
        may_end.set()
        await asyncio.gather(*others)

    clients: Clients[Closable] = Clients(sdk)
    asyncio.run(hurried(clients))
    asyncio.run(clients.prepare())
    assert len(imports) == 1
    assert imports != [threading.main_thread().name]


@both
def test_a_client_is_built_before_the_first_try_begins(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    door = importlib.import_module(f"orchestrator.providers.{vendor}")
    name, built = "_client", list[str]()
    build = getattr(door, name)

    def counted(model: Model, key: str) -> object:
        built.append(model.name)
        return build(model, key)

    async def run(model: Model) -> None:
        provider = provider_of(vendor)
        assert isinstance(provider, Preparing)
        await asyncio.gather(*(provider.prepare(model) for _ in range(3)))
        assert built == ["some-model"]
        await provider.complete(model, ASKED)
        assert built == ["some-model"]

    monkeypatch.setattr(door, name, counted)
    with WireServer() as server:
        server.script(whole(ANSWER))
        asyncio.run(run(model_at(vendor, server)))


@both
def test_an_address_that_is_none_is_told_of_by_the_try(vendor: str) -> None:
    with WireServer() as server:
        provider, model = provider_of(vendor), model_at(vendor, server, base_url="http://[::1")
        assert isinstance(provider, Preparing)
        asyncio.run(provider.prepare(model))
        with pytest.raises(ProviderError, match="no address of a server"):
            asyncio.run(provider.complete(model, ASKED))


SCRIPT = """
import asyncio, sys
from orchestrator.pool import Model
from orchestrator.providers.anthropic import AnthropicProvider
from orchestrator.providers.base import Request
from orchestrator.providers.openai import OpenAIProvider
from orchestrator.messages import Message

SDKS = ("openai", "anthropic", "httpx2", "aiohttp")
providers = {"openai": OpenAIProvider(), "anthropic": AnthropicProvider()}
print(*(name for name in SDKS if name in sys.modules))
vendor, url = sys.argv[1:]
model = Model(name="x", provider=vendor, base_url=url)
request = Request((Message("user", "?"),))
asyncio.run(providers[vendor].complete(model, request, None))
print(*(name for name in ("openai", "anthropic") if name in sys.modules))
"""


@both
def test_an_sdk_is_imported_by_the_first_call_only_and_leaves_no_warning(
    vendor: str, child_env: dict[str, str]
) -> None:
    with WireServer() as server:
        server.script(whole(ANSWER))
        url = server.openai_url if vendor == "openai" else server.url
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT, vendor, url],
            env=child_env,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
    assert (done.stdout, done.stderr, done.returncode) == (f"\n{vendor}\n", "", 0)


@both
@pytest.mark.filterwarnings("error")
def test_closed_clients_leave_nothing_behind(vendor: str) -> None:
    with WireServer() as server:
        server.script(whole(ANSWER))
        asyncio.run(ask(vendor, model_at(vendor, server)))
        gc.collect()
        assert len(server.requests) == 1


def test_a_loop_that_ended_badly_is_forgotten() -> None:
    """One that was closed without closing its async generators first can no longer close anything."""

    class Client:
        closed = 0

        async def close(self) -> None:
            self.closed += 1

    clients: Clients[Client] = Clients(object)
    loop = asyncio.new_event_loop()
    left = weakref.ref(loop.run_until_complete(clients.get("u", "k", Client)))
    loop.close()
    second = asyncio.run(clients.get("u", "k", Client))
    del loop
    gc.collect()
    assert left() is None
    assert second.closed == 1
