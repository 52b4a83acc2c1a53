"""List prices: equal to genai-prices' own bill, read only where needed, unknown where unknown."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from genai_prices import Usage as ListedUsage
from genai_prices import __version__ as list_version
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import Agent, ConfigError, Model, Pool, Price, Usage, load_pool
from orchestrator.content import builtin_agents
from orchestrator.messages import Message
from orchestrator.pool import known_models, list_price, priced
from orchestrator.pool.ad_hoc import agents_for, model_for
from orchestrator.pool.prices import context_window_of, listings
from orchestrator.providers import Request
from orchestrator.providers.base import list_price_quote
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TABLE = known_models(own=False)
OWN_PRICE = Price(input=Decimal(7), output=Decimal(9), as_of=date(2026, 11, 22), source="a contract")
BASE_TIER = 100_000
"""Tokens up to which every model is billed at the base tier."""


@given(
    st.sampled_from([each.name for each in listings()]),
    st.integers(0, BASE_TIER),
    st.integers(0, BASE_TIER),
    st.data(),
)
def test_a_bill_is_that_of_the_list_to_the_digit(name: str, given_in: int, given_out: int, data: st.DataObject) -> None:
    provider, _, model = name.partition(":")
    cached = data.draw(st.integers(0, given_in))
    written = data.draw(st.integers(0, given_in - cached))
    price = list_price(provider, model)
    assert price is not None
    bill = calc_price(
        ListedUsage(
            input_tokens=given_in, output_tokens=given_out, cache_read_tokens=cached, cache_write_tokens=written
        ),
        model,
        provider_id=provider,
    )
    assert price.cost(Usage(given_in, given_out, cached, written)) == bill.total_price


@pytest.mark.parametrize("name", sorted(TABLE))
def test_the_table_of_models_is_the_list(name: str) -> None:
    model = TABLE[name]
    listed = list_price(model.provider, model.id)
    assert model.price is not None
    assert listed is not None
    today = {"as_of": model.price.as_of, "source": model.price.source}
    assert model.price == listed.model_copy(update=today)
    assert ("base tier" in model.price.source) == ("base tier" in listed.source)
    assert model.context_window == context_window_of(model.provider, model.id)
    assert model.max_output <= (model.context_window or 0)
    assert model.price.as_of <= datetime.now(UTC).date()


def test_the_table_has_five_models_of_each_vendor_cheap_to_dear() -> None:
    for vendor in ("openai", "anthropic"):
        prices = [model.price.output for model in TABLE.values() if model.provider == vendor and model.price]
        assert len(prices) == 5
        assert prices == sorted(prices)


def test_a_tiered_price_says_that_it_is_the_base_tier() -> None:
    tiered, flat = list_price("openai", "gpt-6-luna"), list_price("anthropic", "claude-opus-5-5")
    assert tiered is not None
    assert flat is not None
    assert (tiered.source, flat.source) == (f"genai-prices {list_version}, base tier", f"genai-prices {list_version}")
    assert tiered.as_of == flat.as_of <= datetime.now(UTC).date()


def test_a_price_is_that_of_its_day() -> None:
    before = list_price("openai", "gpt-5.6-luna", at=datetime(2026, 7, 29, tzinfo=UTC))
    after = list_price("openai", "gpt-5.6-luna", at=datetime(2026, 7, 30, tzinfo=UTC))
    assert before is not None
    assert after is not None
    assert (before.input, after.input) == (1, Decimal("0.2"))
    assert before.as_of < after.as_of == date(2026, 7, 30)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-nobody-knows"),
        ("openai", ""),
        ("openai", "text-embedding-3-small"),  # bears no price for output
        ("openai", "whisper-1"),
        ("anthropic", "gpt-6-luna"),
        ("ollama", "gpt-6-luna"),
        ("google", "gemini-3-pro"),
        ("", "gpt-6-luna"),
    ],
)
def test_what_is_not_known_has_no_price(provider: str, model: str) -> None:
    assert list_price(provider, model) is None


@pytest.mark.parametrize(
    "model",
    [
        Model(name="openai:gpt-6-luna", price=OWN_PRICE),
        Model(name="openai:gpt-6-luna", free=True),
        Model(name="openai:gpt-6-luna", base_url="http://localhost:1/v1"),
        Model(name="gpt-6-luna", base_url="http://localhost:1/v1"),
        Model(name="ollama:gpt-6-luna"),
        Model(name="script:gpt-6-luna"),
    ],
    ids=lambda model: f"{model.name} {model.base_url or ''}",
)
def test_only_a_vendors_own_model_without_a_price_is_looked_up(model: Model) -> None:
    assert priced(model) is model


def test_a_model_keeps_what_it_states_beside_the_price() -> None:
    small = priced(Model(name="openai:gpt-6-luna", context_window=1000, temperature=0.5))
    assert (small.price, small.context_window, small.temperature) == (list_price("openai", "gpt-6-luna"), 1000, 0.5)
    unknown = priced(Model(name="openai:gpt-nobody-knows"))
    assert (unknown.price, unknown.context_window) == (None, None)


def test_a_pool_weighs_at_list_price() -> None:
    pool = Pool([Model(name="anthropic:claude-opus-5-5"), Agent(name="a", model="anthropic:claude-opus-5-5")])
    model = pool.model_of(pool.agents["a"])
    assert model is not None
    assert model is pool.models["anthropic:claude-opus-5-5"] is pool.model_of(pool.agents["a"])
    quote = list_price_quote(model, Request((Message("user", "x" * 2000),), max_output=1000))
    assert (quote.input_cost, quote.reserve) == (Decimal("0.004"), Decimal("0.024"))


def test_the_list_is_read_only_when_a_vendors_model_is_looked_at() -> None:
    source = """
import sys
from orchestrator import Agent, Model, Pool, load_pool

for name in ("local", "cloud"):
    pool = load_pool(name, plugins=False)
    assert [pool.model_of(agent) for agent in pool.agents.values()]
pool = Pool([Model(name="openai:gpt-6-sol"), Agent(name="a", model="openai:gpt-6-sol")])
assert "genai_prices" not in sys.modules
pool.model_of(pool.agents["a"])
assert "genai_prices" in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_cloud_pool_names_its_router_and_its_merge_model() -> None:
    pool = load_pool("cloud", plugins=False)
    assert pool.router in pool.models
    assert pool.merger in pool.models
    assert pool.goals == ("answer",)
    behind = [pool.model_of(agent) for agent in pool.agents.values()]
    assert sorted(model.provider for model in behind if model) == ["anthropic", "anthropic", "openai", "openai"]
    assert len({agent.prompt for agent in pool.agents.values()}) == 4
    local = load_pool("local", plugins=False)
    assert (local.router, local.merger) == (None, None)


@pytest.mark.parametrize("key", ["router", "merger"])
def test_a_router_that_is_no_model_of_the_pool_is_told_with_the_nearest(key: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.toml").write_text(
        f'[pool]\ngoals = ["answer"]\n{key} = "openai:gpt-6-lunar"\n[agents.a]\ntool = "arithmetic"\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_pool("mine", [tmp_path], plugins=False)
    error = caught.value
    assert (error.field, error.suggestion) == (f"pool.{key}", "openai:gpt-6-luna")
    assert (error.file or "").endswith("a.toml")


def test_a_folder_describes_a_model_anew_and_names_another_router(tmp_path: Path) -> None:
    (tmp_path / "cloud").mkdir()
    (tmp_path / "models.toml").write_text(
        '[models."openai:gpt-6-luna"]\n'
        'price = { input = 7, output = 9, as_of = 2026-11-22, source = "a contract" }\n'
        '[models."ollama:qwen3:8b"]\n'
    )
    (tmp_path / "cloud/pool.toml").write_text('[pool]\ngoals = ["answer"]\nrouter = "ollama:qwen3:8b"\n')
    shipped, pool = load_pool("cloud", plugins=False), load_pool("cloud", [tmp_path], plugins=False)
    assert pool.models["openai:gpt-6-luna"].price == OWN_PRICE
    assert (pool.router, pool.merger) == ("ollama:qwen3:8b", shipped.merger)
    assert set(pool.agents) == set(shipped.agents)


def test_the_packages_own_folder_may_be_named_too() -> None:
    assert set(load_pool("cloud", [builtin_agents()], plugins=False).agents) == set(load_pool("cloud").agents)


def test_models_make_experts_without_a_file() -> None:
    members = agents_for(["openai:gpt-6-luna", "anthropic/claude-opus-4-8", "ollama:qwen3:8b", "vllm:meta/llama"])
    pool = Pool(members)
    assert list(pool.agents) == ["gpt-6-luna", "claude-opus-4-8", "qwen3-8b", "meta-llama"]
    assert list(pool.models) == ["openai:gpt-6-luna", "anthropic:claude-opus-4-8", "ollama:qwen3:8b", "vllm:meta/llama"]
    assert pool.models["openai:gpt-6-luna"] == TABLE["openai:gpt-6-luna"]
    assert pool.models["anthropic:claude-opus-4-8"].price == list_price("anthropic", "claude-opus-4-8")
    assert [pool.models[name].free for name in ("ollama:qwen3:8b", "vllm:meta/llama")] == [True, True]
    assert all(
        "$" not in (agent.prompt or "$") and agent.name in (agent.prompt or "") for agent in pool.agents.values()
    )
    assert Pool([*load_pool("cloud", plugins=False).models.values(), *members])


def test_two_servers_with_the_same_model_make_two_experts() -> None:
    assert list(Pool(agents_for(["ollama:qwen", "vllm:qwen"])).agents) == ["ollama-qwen", "vllm-qwen"]


@pytest.mark.parametrize("twice", [["openai:a", "openai:a"], ["openai:a", "openai/a"]])
def test_the_same_model_twice_is_said(twice: list[str]) -> None:
    with pytest.raises(ConfigError, match="is named twice"):
        agents_for(twice)


@pytest.mark.parametrize("name", ["gpt-6-luna", "", "opnai:gpt", "openai:"])
def test_what_names_no_provider_is_no_model(name: str) -> None:
    with pytest.raises(ConfigError):
        agents_for([name])


def test_a_described_model_is_found_under_the_slash_too() -> None:
    assert model_for("openai/gpt-6-luna", TABLE) is TABLE["openai:gpt-6-luna"]


def test_one_table_of_an_agent_is_enough_for_a_listed_model(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[agents.nano]\nmodel = "openai:gpt-5-nano"\n')
    pool = load_pool("local", [tmp_path], plugins=False, own=False)
    model = pool.model_of(pool.agents["nano"])
    assert model is not None
    assert model.price == list_price("openai", "gpt-5-nano")
