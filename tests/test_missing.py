"""What the command says where a key, a price, a provider or a server is missing: what, where, and what to type next."""

from __future__ import annotations

import re
import shlex
import socket
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.commands import orchestrate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HI = "What is the colour of the sky?"
NOBODY = "openai:gpt-nobody-knows"
FAKE = {"OPENAI_API_KEY": "sk-fake", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
NOTHING: Mapping[str, str] = MappingProxyType({})
PORT_OF_OLLAMA = 11434


class Case(NamedTuple):
    """A command that lacks something, how it ends, what it says, and what it says to type."""

    args: str
    code: int
    told: str
    following: str
    env: Mapping[str, str] = NOTHING


CASES = (
    Case(
        f"run '{HI}' --pool cloud",
        2,
        "`--pool cloud`: no key is set for any of its experts; expected OPENAI_API_KEY (for coder, quick) or ANTHROPIC",
        "export OPENAI_API_KEY=…, then orchestrator models check openai:gpt-6.1-sol",
    ),
    Case(
        f"run '{HI}' --router-model openai:gpt-6.1-terra",
        2,
        "`--router-model`: there is no key for openai:gpt-6.1-terra; expected its key in OPENAI_API_KEY",
        "export OPENAI_API_KEY=…, then orchestrator models check openai:gpt-6.1-terra",
    ),
    Case(f"run '{HI}' --router llm", 2, "no model is named for it", "orchestrator models list"),
    Case(
        f"run '{HI}' --model anthropic:claude-haiku-5-5 --quiet",
        5,
        "no key for anthropic:claude-haiku-5-5: set ANTHROPIC_API_KEY",
        "next: export ANTHROPIC_API_KEY=…, then orchestrator models check anthropic:claude-haiku-5-5",
    ),
    Case(
        f"run '{HI}' --quiet",
        5,
        "no language model is in this pool",
        "next: export OPENAI_API_KEY=… or export ANTHROPIC_API_KEY=…, or name a model on this machine: --model",
    ),
    Case(
        f"run '{HI}' --model {NOBODY} --router plan --budget 0.05 --quiet",
        4,
        "limit:usd: the price is unknown",
        f"next: state the price of {NOBODY} in a table, which orchestrator agents add {NOBODY} writes",
    ),
    Case(
        f"run '{HI}' --router-model openai:gpt-6.1-tera --budget 0.05 --quiet",
        4,
        "limit:usd: the price is unknown",
        "did you mean openai:gpt-6.1-terra?",
        FAKE,
    ),
    Case(
        f"run '{HI}' --model gpt-6-luna",
        2,
        "`--model`: `gpt-6-luna` names no known provider",
        "(orchestrator models list); did you mean `openai:gpt-6-luna`?",
    ),
    Case(
        f"run '{HI}' --router-model claude-haiku-5-5",
        2,
        "`--router-model`: `claude-haiku-5-5` names no known provider",
        "did you mean `anthropic:claude-haiku-5-5`?",
    ),
    Case(
        "models check openai:gpt-6-luna",
        1,
        "no key for openai:gpt-6-luna: set OPENAI_API_KEY",
        "next: export OPENAI_API_KEY=…, then orchestrator models check openai:gpt-6-luna",
    ),
    Case(
        "models check openai:gpt-6.1-tera",
        2,
        "`models.openai:gpt-6.1-tera`: its price is unknown, so nothing is asked",
        "agents add openai:gpt-6.1-tera writes, or `free = true`; did you mean `openai:gpt-6.1-terra`?",
        FAKE,
    ),
    Case("models check openai:o1-pro --budget 0.01", 2, "which is more than $0.01", "expected --budget ", FAKE),
    Case(
        "agents add gpt-6-luna",
        2,
        "`model`: `gpt-6-luna` names no known provider",
        "did you mean `openai:gpt-6-luna`?",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.args)
def test_what_is_missing_is_said_with_what_to_type_next(case: Case, child_env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrate(*shlex.split(case.args), env=child_env, cwd=tmp_path, **case.env)
    assert done.returncode == case.code, done.stderr
    assert case.told in done.stderr
    assert case.following in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_budget_that_is_named_as_enough_is_enough(child_env: dict[str, str], tmp_path: Path) -> None:
    poor = orchestrate("models", "check", "openai:gpt-6-luna", "--budget", "0.0000001", env=child_env, cwd=tmp_path)
    found = re.search(r"expected (--budget [0-9.]+) or more", poor.stderr)
    assert found
    rich = orchestrate("models", "check", "openai:gpt-6-luna", *found[1].split(), env=child_env, cwd=tmp_path)
    assert (poor.returncode, rich.returncode) == (2, 1)
    assert "no key for openai:gpt-6-luna" in rich.stderr, "it was not the money any more"


def test_a_server_that_is_not_there_is_named(child_env: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT_OF_OLLAMA)) == 0:
            pytest.skip("an Ollama server listens on this machine")
    for args in (["models", "check", "ollama:m"], ["run", HI, "--model", "ollama:m", "--quiet"]):
        done = orchestrate(*args, env=child_env, cwd=tmp_path)
        assert done.returncode in {1, 5}
        assert "next: start the server at http://localhost:11434/v1, or state its `base_url` in a table" in done.stderr


def test_one_key_is_enough_to_begin_and_nothing_is_said_of_what_went_well(
    child_env: dict[str, str], tmp_path: Path
) -> None:
    begun = orchestrate("run", HI, "--pool", "cloud", "--router", "plan", env=child_env, cwd=tmp_path, **FAKE)
    assert begun.returncode == 5, "the server of the one is not there, and the other has no key"
    assert "next: export ANTHROPIC_API_KEY=…, then orchestrator models check anthropic:" in begun.stderr
    assert "OPENAI_API_KEY" not in begun.stderr
    well = orchestrate("run", "2 + 2", "--model", "openai:gpt-6-luna", "--quiet", env=child_env, cwd=tmp_path)
    assert (well.returncode, well.stdout) == (0, "4\n")
    assert "next:" not in well.stderr


def test_the_table_for_a_missing_price_is_written_where_the_next_run_finds_it(
    child_env: dict[str, str], tmp_path: Path
) -> None:
    run = ["run", HI, "--pool", "mine", "--router", "plan", "--quiet"]
    added = orchestrate("agents", "add", NOBODY, "--pool", "mine", env=child_env, cwd=tmp_path)
    assert added.returncode == 0, added.stderr
    first = orchestrate(*run, env=child_env, cwd=tmp_path, **FAKE)
    assert (first.returncode, "the price is unknown" in first.stderr) == (4, True)
    [path] = (tmp_path / "home").rglob("*.toml")
    price = 'price = { input = 1, output = 2, as_of = 2026-11-22, source = "a contract" }'
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(f'[models."{NOBODY}"]', f'[models."{NOBODY}"]\n{price}'), encoding="utf-8")
    second = orchestrate(*run, env=child_env, cwd=tmp_path, **FAKE)
    assert "the price is unknown" not in second.stderr
    assert "connection" in second.stderr, "it was asked, where nobody listens"
    assert shlex.split(added.stdout.partition("use it: ")[2])[-2:] == ["--pool", "mine"]
