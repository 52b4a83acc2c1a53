"""`models` and `agents add` as real processes, and what prompts and tables they rest on."""

from __future__ import annotations

import json
import os
import tomllib
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import ConfigError, load_pool
from orchestrator.content import Prompt, builtin, load_prompt, own_agents, read_prompt, toml_string
from orchestrator.pool import list_price
from orchestrator.pool.prices import listings
from tests.commands import orchestrate
from tests.conftest import ROOT
from tests.wire.server import WireServer, whole
from tests.wire.vendors import chat

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS = sorted((ROOT / "prompts").glob("*.md")) + sorted((ROOT / "starter").rglob("*.md"))
LUNA = "openai:gpt-6-luna"
ADDED = "openai:gpt-5.4-mini"
"""A model on the list that no table of ours describes."""


def documents(text: str) -> list[dict[str, Any]]:
    """The rows of a `--json` list."""
    return json.loads(text, parse_float=Decimal)


def test_models_are_listed_with_price_and_key_but_never_the_key(child_env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "m.toml").write_text(
        '[models."ollama:qwen3:8b"]\n[models."openai:gpt-6-sol"]\nkey_env = "OTHER_API_KEY"\n'
    )
    secret = {"OPENAI_API_KEY": "sk-canary"}
    done = orchestrate("models", "list", "--agents", "mine", "--json", env=child_env, cwd=tmp_path, **secret)
    rows = {row["name"]: row for row in documents(done.stdout)}
    assert len(rows) == 12
    assert (rows[LUNA]["price"]["input"], rows[LUNA]["key_found"]) == (Decimal("0.1"), True)
    assert (rows["ollama:qwen3:8b"]["free"], rows["ollama:qwen3:8b"]["key_env"]) == (True, None)
    assert (rows["openai:gpt-6-sol"]["price"]["output"], rows["openai:gpt-6-sol"]["key_found"]) == (10, False)
    assert rows["anthropic:claude-opus-5-5"]["key_found"] is False
    plain = orchestrate("models", "list", "--agents", "mine", env=child_env, cwd=tmp_path, **secret)
    assert plain.returncode == done.returncode == 0
    assert "OPENAI_API_KEY found" in plain.stdout
    assert "OTHER_API_KEY missing" in plain.stdout
    assert "canary" not in plain.stdout + plain.stderr + done.stdout + done.stderr


def test_prices_are_those_of_the_list_and_of_tables(child_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/m.toml").write_text(
        f'[models."{LUNA}"]\nprice = {{ input = 7, output = 9.5, as_of = 2026-11-22, source = "a contract" }}\n'
    )
    done = orchestrate("models", "prices", "--json", "--agents", "mine", env=child_env, cwd=tmp_path)
    rows = {row["model"]: row for row in documents(done.stdout)}
    assert {listing.name for listing in listings()} <= set(rows)
    assert list(rows) == sorted(rows)
    assert (rows[LUNA]["output"], rows[LUNA]["source"], rows[LUNA]["cached"]) == (Decimal("9.5"), "a contract", None)
    listed = list_price("openai", "gpt-6-sol")
    assert listed is not None
    assert rows["openai:gpt-6-sol"]["cache_write"] == listed.cache_write


@pytest.mark.parametrize("pattern", ["GPT-6-luna", "gpt-6-l*", "openai:gpt-6-l?na"])
def test_a_pattern_picks_models(pattern: str, child_env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrate("models", "prices", pattern, env=child_env, cwd=tmp_path)
    header, *rows = done.stdout.splitlines()
    assert header.split()[:3] == ["model", "input", "output"]
    assert [row.split()[:4] for row in rows] == [[LUNA, "0.1", "0.5", "0.01"]]


def test_a_pattern_that_fits_nothing_says_so(child_env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrate("models", "prices", "gpt-6-lunar", env=child_env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no price is known for `gpt-6-lunar`" in done.stderr
    assert "did you mean `gpt-6-luna`?" in done.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["openai:gpt-nobody-knows"], "its price is unknown, so nothing is asked"),
        (["openai:o1-pro", "--budget", "0.01"], "which is more than $0.01"),
        (["gpt-6-luna"], "names no known provider"),
        (["opnai:gpt-6-luna"], "did you mean `openai:…`?"),
    ],
)
def test_a_check_that_may_not_be_paid_asks_nobody(
    args: list[str], told: str, child_env: dict[str, str], tmp_path: Path
) -> None:
    done = orchestrate("models", "check", *args, env=child_env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_an_added_model_joins_the_pool_with_its_price(child_env: dict[str, str], tmp_path: Path) -> None:
    def call(*args: str) -> str:
        done = orchestrate("agents", *args, env=child_env, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = call("add", ADDED, "--as", "mini", "--skill", "0.7", "--role", 'says "hi" \\ Ümläut')
    file = tmp_path / "home/agents/cloud/mini.toml"
    assert told == f'wrote {file}: `mini` over {ADDED}; use it: orchestrator run "…" --pool cloud\n'
    agent = json.loads(call("show", "mini", "--pool", "cloud", "--json"))
    assert (agent["role"], agent["skill"], agent["model"]) == ('says "hi" \\ Ümläut', 0.7, ADDED)
    pool = load_pool("cloud", plugins=False)  # the tests' home is the command's
    assert pool.models[ADDED].price == list_price("openai", "gpt-5.4-mini")
    assert pool.models[ADDED].context_window == 400_000
    assert "mini" not in load_pool("cloud", plugins=False, own=False).agents


@pytest.mark.parametrize("flags", [["--dir", "here/too"], []])
def test_an_agent_is_written_where_told_or_beside_one(
    flags: list[str], child_env: dict[str, str], tmp_path: Path
) -> None:
    folder = flags[1] if flags else "agents"
    if not flags:
        (tmp_path / "agents").mkdir()
    done = orchestrate("agents", "add", ADDED, "--pool", "mine", *flags, env=child_env, cwd=tmp_path)
    assert done.stdout.endswith(f"--pool mine --agents {folder}\n"), done.stderr
    again = orchestrate("agents", "add", "ollama:qwen3:8b", "--pool", "mine", *flags, env=child_env, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    pool = load_pool("mine", [tmp_path / folder], plugins=False)
    assert set(pool.agents) == {"gpt-5.4-mini", "qwen3-8b"}
    assert "general questions" in (pool.agents["qwen3-8b"].prompt or "")
    assert pool.models["ollama:qwen3:8b"].free
    assert not (tmp_path / "home/agents").exists()


def test_a_described_model_is_not_described_again(child_env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrate("agents", "add", LUNA, "--dir", "here", env=child_env, cwd=tmp_path)
    assert done.returncode == 0
    assert set(tomllib.loads((tmp_path / "here/cloud/gpt-6-luna.toml").read_text())) == {"agents"}


def test_an_unknown_price_is_said_and_left_out(child_env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrate("agents", "add", "openai:gpt-6.1-tera", "--dir", "d", env=child_env, cwd=tmp_path)
    assert done.returncode == 0
    assert "the price of openai:gpt-6.1-tera is unknown" in done.stderr
    assert "did you mean openai:gpt-6.1-terra?" in done.stderr
    table = tomllib.loads((tmp_path / "d/cloud/gpt-6.1-tera.toml").read_text())["models"]["openai:gpt-6.1-tera"]
    assert table == {}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([LUNA, "--as", "quick"], "the name `quick` is taken"),
        ([LUNA, "--as", "twice"], "the name `twice` is taken"),
        (["gemini:x"], "names no known provider"),
        ([LUNA, "--as", 'a"b'], "a name without quotes"),
        ([LUNA, "--as", ""], "a name without quotes"),
        ([LUNA, "--pool", "../up"], "is no name of a pool"),
        ([LUNA, "--skill", "1.5"], "less than or equal to 1"),
    ],
)
def test_what_cannot_be_added_is_told_and_nothing_is_written(
    args: list[str], told: str, child_env: dict[str, str], tmp_path: Path
) -> None:
    first = orchestrate("agents", "add", ADDED, "--as", "twice", "--dir", "d", env=child_env, cwd=tmp_path)
    assert first.returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.toml")}
    done = orchestrate("agents", "add", *args, "--dir", "d", env=child_env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.toml")} == before


def test_a_name_cannot_leave_the_folder(child_env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrate("agents", "add", LUNA, "--as", "../../up", "--dir", "d/e", env=child_env, cwd=tmp_path)
    assert done.returncode == 0
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.toml")] == ["d/e/cloud/up.toml"]


def test_a_folder_that_cannot_be_written_is_said(child_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = orchestrate("agents", "add", LUNA, "--dir", "file/in", env=child_env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: Not a directory: ")


def test_the_users_own_folder_is_that_of_the_home_or_the_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    assert own_agents() == tmp_path / "agents"
    monkeypatch.delenv("ORCHESTRATOR_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert own_agents().parts[-2:] == ("orchestrator", "agents")


def test_an_empty_folder_of_ones_own_does_no_harm() -> None:
    own_agents().mkdir(parents=True)
    assert load_pool("local", plugins=False).agents


@pytest.mark.parametrize("path", PROMPTS, ids=lambda path: path.stem)
def test_a_prompt_has_a_version_that_is_not_sent(path: Path) -> None:
    prompt = load_prompt(path.stem, path.parent.parent)
    assert prompt.version == "1"
    assert prompt.digest == sha256(path.read_bytes()).hexdigest()
    assert "<!--" not in prompt.text
    assert prompt.text == prompt.text.strip() == read_prompt(path.stem, path.parent.parent)


def test_shipped_prompts_need_no_folder_and_ones_own_come_first(tmp_path: Path) -> None:
    assert load_prompt("quick").text.startswith("You answer small questions")
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/quick.md").write_text("Mine, without a version.\n", encoding="utf-8")
    mine = load_prompt("quick", tmp_path / "mine")
    assert (mine.text, mine.version) == ("Mine, without a version.", None)
    assert load_prompt("writer", tmp_path) == load_prompt("writer")
    with pytest.raises(ConfigError, match="did you mean `quick`"):
        load_prompt("quik", tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Hello $nme", "`prompt p`: nothing fills `$nme`; expected placeholders among $name, $role, "),
        ("It costs $5", "`prompt p`: a `$` begins no placeholder; expected placeholders among $name, $role, "),
    ],
)
def test_a_placeholder_that_nobody_fills_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Prompt("p", None, "", text).fill(name="a", role="b")
    assert str(caught.value).startswith(told + "and `$$` for a dollar sign")
    assert Prompt("p", None, "", "$$5 for $name").fill(name="a", role="b") == "$5 for a"
    assert Prompt("p", None, "", text).fill_known(name="a", role="b") == text


def test_every_prompt_an_agent_names_is_shipped() -> None:
    named = {
        table["prompt"]
        for path in (ROOT / "agents").rglob("*.toml")
        for table in tomllib.loads(path.read_text(encoding="utf-8")).get("agents", {}).values()
        if "prompt" in table
    }
    assert named == {"coder", "quick", "reasoner", "writer"}
    assert all((builtin("prompts") / f"{name}.md").is_file() for name in named)


@given(st.text())
def test_any_text_survives_toml(text: str) -> None:
    assert tomllib.loads(f"text = {toml_string(text)}") == {"text": text}


def test_a_stray_byte_from_a_command_line_becomes_a_mark_that_toml_can_hold() -> None:
    assert tomllib.loads(f"text = {toml_string(os.fsdecode(bytes([0xFF])))}") == {"text": "\N{REPLACEMENT CHARACTER}"}


def test_a_check_says_its_cost_first_and_then_asks_once(child_env: dict[str, str], tmp_path: Path) -> None:
    price = 'price = { input = 1000, output = 10, as_of = 2026-11-22, source = "a contract" }'
    (tmp_path / "mine").mkdir()
    usage = {"prompt_tokens": 20, "completion_tokens": 1, "total_tokens": 21}
    with WireServer() as server:
        server.script(whole(chat("ready", usage=usage)))
        (tmp_path / "mine/m.toml").write_text(f'[models."here"]\nbase_url = "{server.openai_url}"\n{price}\n')
        done = orchestrate("models", "check", "here", "--agents", "mine", "--json", env=child_env, cwd=tmp_path)
    checked: dict[str, Any] = json.loads(done.stdout, parse_float=Decimal)
    assert (done.returncode, checked["answer"], checked["cost_usd"]) == (0, "ready", Decimal("0.02001"))
    assert done.stderr.startswith("here: at most $0.02")
    assert len(server.requests) == 1
