"""Runs over several servers at once: who gets which key, and which vendor's SDK is imported at all."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator import Agent, Budget, Model, Orchestrator
from tests.runs import QUESTION, checked
from tests.wire.command import Shell
from tests.wire.server import WireServer
from tests.wire.speech import VENDORS, Said, answers, routes, spoken

CANARY = "sk-canary-0123456789"


def test_two_ollamas_and_openai_in_one_pool_get_a_client_each_and_only_openai_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = routes(("here", "Which city?"), ("there", "Which city?"), text="Ask both.")
    with WireServer() as here, WireServer() as there, WireServer() as vendor:
        monkeypatch.setenv("OPENAI_API_KEY", CANARY)
        monkeypatch.setenv("OPENAI_BASE_URL", vendor.openai_url)
        for server in (here, there):
            server.script(*[spoken("openai", Said("Rome."))] * 2)
        vendor.script(*[spoken("openai", said) for said in (asked, answers("Rome."))] * 2)
        orchestrator = Orchestrator(
            [
                Model(name="llama", provider="ollama", base_url=here.openai_url),
                Model(name="qwen", provider="ollama", base_url=there.openai_url),
                Model(name="openai:gpt-6-luna"),
                Agent(name="here", model="llama"),
                Agent(name="there", model="qwen"),
            ],
            router="openai:gpt-6-luna", trace=tmp_path, budget=Budget(usd=Decimal("0.01")),
        )  # fmt: skip
        runs = [checked(orchestrator.run_sync(QUESTION), tmp_path) for _ in range(2)]
    for ran in runs:
        assert (ran.decision.answer, ran.decision.support) == ("Rome.", ("here", "there"))
        assert ran.decision.cost_usd == 2 * Decimal("0.00001424")  # 36 x 0.1 + 64 x 0.01 + 20 x 0.5; Ollama is free
        assert ran.decision.cost_exact
    assert [seen.key for seen in vendor.requests] == [CANARY] * 4
    assert [seen.model for server in (here, there) for seen in server.requests] == ["llama", "llama", "qwen", "qwen"]
    assert CANARY not in repr([here.requests, there.requests])
    # a client each: a run's calls share a connection, and its loop closes it
    connections = [[seen.connection for seen in server.requests] for server in (here, there, vendor)]
    assert connections == [[1, 2], [1, 2], [1, 1, 2, 2]]
    assert all(CANARY not in trace.read_text(encoding="utf-8") for trace in tmp_path.glob("*.jsonl"))


SCRIPT = """
import sys
from orchestrator import Agent, Model, Orchestrator

SDKS = ("openai", "anthropic", "aiohttp")

def loaded():
    return [name for name in SDKS if name in sys.modules]

vendor, url, other = sys.argv[1:]
orchestrator = Orchestrator(
    [
        Model(name="mine", provider=vendor, base_url=url, free=True),
        Model(name="theirs", provider=other, base_url="http://127.0.0.1:9", free=True),
        Agent(name="mine", model="mine", skill=0.9),
        Agent(name="theirs", model="theirs", skill=0.1),
    ],
    trace=False,
)
orchestrator.explain("What is it?")
assert loaded() == [], loaded()
assert orchestrator.run_sync("What is it?").answer == "Rome."
assert vendor in loaded() and other not in loaded(), loaded()
"""


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_run_imports_the_sdk_of_whom_it_calls_and_no_other(vendor: str, child_env: dict[str, str]) -> None:
    (other,) = set(VENDORS) - {vendor}
    with WireServer() as server:
        server.script(spoken(vendor, Said("Rome.")))
        url = server.openai_url if vendor == "openai" else server.url
        env = {**child_env, "PYTHONPATH": f"{Path(__file__).parents[2]}:{child_env['PYTHONPATH']}"}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT, vendor, url, other],
            env=env, capture_output=True, encoding="utf-8", timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


LOCAL = """
[models.llama]
provider = "ollama"
base_url = "{url}"

[agents.llama]
role = "knows the house"
model = "llama"

[pool]
goals = ["answer"]
router = "llama"
"""


def test_a_pool_whose_router_needs_no_key_is_routed_by_it(child_env: dict[str, str], tmp_path: Path) -> None:
    with WireServer() as server:
        shell = Shell(child_env, tmp_path, {})
        (tmp_path / "mine/house").mkdir(parents=True)
        (tmp_path / "mine/house/pool.toml").write_text(LOCAL.format(url=server.openai_url), encoding="utf-8")
        said = (routes(("llama", "Which colour?")), Said("Blue."), answers("blue"))
        server.script(*(spoken("openai", each) for each in said))
        told, err = shell.decided("Which colour?", "--pool", "house", "--agents", "mine")
    assert (told["answer"], told["control_calls"], told["expert_calls"], told["cost_usd"]) == ("blue", 2, 1, 0)
    assert "spent" not in err
