"""A really installed package plugs in by entry points: listed, looked up by name, and used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import wrap

import pytest
from inline_snapshot import snapshot

from tests.conftest import Cli

HERE = Path(__file__).parent / "plugin"

MONITORED = """
from decimal import Decimal
from orchestrator import Budget, ConfigError, Orchestrator, load_pool

pool, budget = load_pool("acme"), Budget(usd=Decimal(1))
made = Orchestrator(pool, router="first_expert", monitors=["calm"], budget=budget, trace=False)
print(made.run_sync("Hello").answer)
for parts in ({"router": "first_exprt"}, {"router": "absent"}, {"merge": "longst"}, {"monitors": ["clam"]}):
    try:
        Orchestrator(pool, budget=budget, trace=False, **parts)
    except ConfigError as error:
        print(error)
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the package."""
    source, target = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("site")
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("__pycache__"))
    words = ("install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", target, source)
    command = [sys.executable, "-m", "pip", *map(str, words)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def plugged(site: Path, child_env: dict[str, str]) -> dict[str, str]:
    """The environment of a process that finds the package."""
    return {**child_env, "PYTHONPATH": os.pathsep.join([str(site), child_env["PYTHONPATH"]])}


def test_all_that_is_plugged_in_is_listed(cli: Cli, plugged: dict[str, str]) -> None:
    done = cli("plugins", "--json", env=plugged)
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    assert {(row["package"], row["version"]) for row in rows} == {("acme-plugin", "1.2")}
    assert [(row["group"], row["name"], row["value"], row["loads"]) for row in rows] == snapshot(
        [
            ("agents", "acme", "acme_plugin:agents", True),
            ("routers", "absent", "acme_plugin:no_such_router", False),
            ("routers", "first_expert", "acme_plugin:first_expert", True),
            ("merges", "longest", "acme_plugin:longest", True),
            ("monitors", "calm", "acme_plugin:Calm", True),
            ("providers", "acme", "acme_plugin:parrot", True),
            ("scorers", "polite", "acme_plugin:polite", True),
        ]
    )
    assert [row["error"] for row in rows if row["error"]] == snapshot(
        ["cannot be loaded: AttributeError: module 'acme_plugin' has no attribute 'no_such_router'"]
    )


def test_the_list_can_be_read(cli: Cli, plugged: dict[str, str]) -> None:
    done = cli("plugins", env=plugged)
    assert done.returncode == 0
    assert "acme-plugin 1.2" in done.stdout
    assert "no_such_router" in done.stdout


def test_without_any_it_says_so(cli: Cli) -> None:
    done = cli("plugins")
    assert (done.returncode, done.stdout) == (0, "")
    assert "orchestrator.routers" in done.stderr
    assert json.loads(cli("plugins", "--json").stdout) == []


def test_names_of_plugins_are_taken_where_names_are(cli: Cli, plugged: dict[str, str]) -> None:
    routed = cli("run", "Hello.", "--pool", "acme", "--router", "first_expert", "--json", env=plugged)
    assert json.loads(routed.stdout)["support"] == ["bird"]
    words = ("run", "Hello.", "--pool", "acme", "--analyses", "3", "--merge", "longest", "--quiet")
    merged = cli(*words, env=plugged)
    assert (merged.returncode, merged.stdout.strip()) == (0, "Hello. Indeed.")
    asked = cli("run", "Hello.", "--pool", "acme", "--model", "acme:owl", "--router", "first_expert", env=plugged)
    assert asked.returncode == 0


def test_a_provider_speaks_for_models_of_its_prefix(cli: Cli, plugged: dict[str, str]) -> None:
    done = cli("run", "Hello.", "--model", "acme:owl", "--fail", "echo", "--fail", "stretched", "--pool", "acme",
               "--fail", "bird", "--budget", "0", "--json", env=plugged)  # fmt: skip
    said = json.loads(done.stdout)
    assert said["status"] == "escalated"  # its price is unknown, and there is a budget
    free = cli("run", "Hello.", "--fail", "echo", "--fail", "stretched", "--pool", "acme", "--quiet", env=plugged)
    assert free.stdout.strip() == "bird: Hello."


@pytest.mark.parametrize("option", ["--router", "--merge"])
def test_a_name_that_nobody_offers_is_refused(option: str, cli: Cli, plugged: dict[str, str]) -> None:
    done = cli("run", "Hello.", option, "longst", env=plugged)
    assert done.returncode == 2
    assert {"--router": "'longst' is not one of", "--merge": "there is no merge `longst`"}[option] in done.stderr
    assert ("did you mean" in done.stderr) == (option == "--merge")


def test_from_python_too_and_what_is_wrong_is_said(plugged: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MONITORED], env=plugged, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False
    )
    assert done.stderr == ""
    assert [wrap(line, width=96) for line in done.stdout.splitlines()] == snapshot(
        [
            ["bird: Hello"],
            [
                "`router`: there is no model `first_exprt`; expected a model of the pool: acme:bird,",
                "anthropic:claude-fable-5-2, anthropic:claude-haiku-4-5, anthropic:claude-haiku-5-5,",
                "anthropic:claude-opus-5-5, anthropic:claude-sonnet-5-5, openai:gpt-5.5, openai:gpt-6-astra,",
                "openai:gpt-6-luna, openai:gpt-6.1-sol, openai:gpt-6.1-terra, or one that a package offers:",
                "absent, first_expert; did you mean `first_expert`?",
            ],
            [
                "entry point `absent` (acme_plugin:no_such_router): cannot be loaded: AttributeError: module",
                "'acme_plugin' has no attribute 'no_such_router'",
            ],
            [
                "`merge`: there is no merge `longst`; expected one of best, first, longest, refine, router,",
                "synthesise, vote, weighted, or `module:attribute` of your own; did you mean `longest`?",
            ],
            [
                "`monitors`: there is no monitor `clam`; expected one that a package offers: calm; did you mean",
                "`calm`?",
            ],
        ]
    )
