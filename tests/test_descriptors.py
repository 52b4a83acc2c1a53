"""Descriptors: broken ones are told in words a person can act on, whole ones say what they mean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, wrap
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from pydantic import JsonValue

from orchestrator import ConfigError, Model, Orchestrator, load_folder, load_pool
from orchestrator.pool import descriptor_schema, parse_model_name, priced
from orchestrator.pool.descriptors import KNOWN_PROVIDERS
from orchestrator.pool.files import pool_names

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Broken:
    """A folder of descriptors with something wrong in it."""

    id: str
    files: dict[str, str]
    told: list[str]


GPT = '[models."openai:gpt-4o"]\n'
TOOL = '[agents.sums]\ntool = "arithmetic"\n'
PRICE = 'price = { input = 2.5, output = 10, as_of = 2026-11-21, source = "list" }\n'

OURS = ("pydantic", "Decimal(", "validation", "Input should", "function-", "Traceback")
"""Words of our insides, which mean nothing to a person with a descriptor to mend."""

BROKEN = [
    Broken(
        "an unknown key",
        {"sums.toml": TOOL + "skil = 0.4\n"},
        snapshot(
            [
                "pool/sums.toml: `agents.sums.skil`: unknown key `skil`; expected one of approve, confidence,",
                "consumes, effects, idempotent, model, needs, optional, output, produces, prompt, reply, retries,",
                "role, samples, seconds, skill, skills, timeout, tool; did you mean `skill`?",
            ]
        ),
    ),
    Broken(
        "an unknown key in [pool]",
        {"pool.toml": '[pool]\ngoal = ["answer"]\n' + TOOL},
        snapshot(
            [
                "pool/pool.toml: `pool.goal`: unknown key `goal`; expected one of description, goals, merger,",
                "router; did you mean `goals`?",
            ]
        ),
    ),
    Broken(
        "an unknown table",
        {"sums.toml": '[agent.sums]\ntool = "arithmetic"\n'},
        snapshot(
            [
                "pool/sums.toml: `agent`: unknown key `agent`; expected one of agents, models, pool, risks; did",
                "you mean `agents`?",
            ]
        ),
    ),
    Broken(
        "a name inside the table",
        {"sums.toml": TOOL + 'name = "totals"\n'},
        snapshot(
            [
                "pool/sums.toml: `agents.sums.name`: unknown key `name`; expected one of approve, confidence,",
                "consumes, effects, idempotent, model, needs, optional, output, produces, prompt, reply, retries,",
                "role, samples, seconds, skill, skills, timeout, tool",
            ]
        ),
    ),
    Broken(
        "text for a number",
        {"sums.toml": TOOL + 'timeout = "60"\n'},
        snapshot(["pool/sums.toml: `agents.sums.timeout`: cannot be '60'; expected a number"]),
    ),
    Broken(
        "text for a list",
        {"sums.toml": TOOL + 'consumes = "question"\n'},
        snapshot(["pool/sums.toml: `agents.sums.consumes`: cannot be 'question'; expected a list"]),
    ),
    Broken(
        "a number in a list of names",
        {"sums.toml": TOOL + "consumes = [3]\n"},
        snapshot(["pool/sums.toml: `agents.sums.consumes.0`: cannot be 3; expected text in quotes"]),
    ),
    Broken(
        "an empty list",
        {"sums.toml": TOOL + "consumes = []\n"},
        snapshot(["pool/sums.toml: `agents.sums.consumes`: cannot be []; expected at least 1 entry"]),
    ),
    Broken(
        "a name twice in a list",
        {"sums.toml": TOOL + 'consumes = ["question", "question"]\n'},
        snapshot(
            ["pool/sums.toml: `agents.sums.consumes`: cannot be ['question', 'question']; expected each name", "once"]
        ),
    ),
    Broken(
        "a table that is none",
        {"sums.toml": '[agents]\nsums = "arithmetic"\n'},
        snapshot(["pool/sums.toml: `agents.sums`: cannot be 'arithmetic'; expected a table"]),
    ),
    Broken(
        "a probability above 1",
        {"sums.toml": TOOL + "skill = 1.4\n"},
        snapshot(["pool/sums.toml: `agents.sums.skill`: cannot be 1.4; expected a number of at most 1"]),
    ),
    Broken(
        "a probability below 0 for a kind",
        {"sums.toml": TOOL + "skills = { math = -0.1 }\n"},
        snapshot(["pool/sums.toml: `agents.sums.skills.math`: cannot be -0.1; expected a number of at least 0"]),
    ),
    Broken(
        "no time at all",
        {"sums.toml": TOOL + "timeout = 0\n"},
        snapshot(["pool/sums.toml: `agents.sums.timeout`: cannot be 0; expected a number above 0"]),
    ),
    Broken(
        "a name in two files",
        {"a.toml": TOOL, "b.toml": TOOL},
        snapshot(
            [
                "pool/b.toml: `agents.sums`: the name `sums` is taken; expected a name of its own (the other one",
                "stands in pool/a.toml)",
            ]
        ),
    ),
    Broken(
        "a model described twice",
        {"a.toml": GPT, "b.toml": GPT + "free = true\n" + TOOL},
        snapshot(
            [
                "pool/b.toml: `models.openai:gpt-4o`: the model `openai:gpt-4o` is described twice; expected one",
                "description (the other stands in pool/a.toml)",
            ]
        ),
    ),
    Broken(
        "a model that is not there",
        {"a.toml": GPT + '[agents.a]\nmodel = "openai:gtp-4o"\n'},
        snapshot(
            [
                "pool/a.toml: `agents.a.model`: there is no model `openai:gtp-4o`; expected one of openai:gpt-4o;",
                "did you mean `openai:gpt-4o`?",
            ]
        ),
    ),
    Broken(
        "a model where there are none",
        {"a.toml": '[agents.a]\nmodel = "openai:gtp-4o"\n'},
        snapshot(
            [
                "pool/a.toml: `agents.a.model`: there is no model `openai:gtp-4o`; expected a [models] table that",
                "has it",
            ]
        ),
    ),
    Broken(
        "a prompt that is not there",
        {"a.toml": GPT + '[agents.a]\nmodel = "openai:gpt-4o"\nprompt = "exprt"\n', "prompts/expert.md": "Be brief."},
        snapshot(
            [
                "pool/a.toml: `agents.a.prompt`: there is no prompt `exprt`; expected one of expert; did you mean",
                "`expert`?",
            ]
        ),
    ),
    Broken(
        "a prompt where there are none",
        {"a.toml": GPT + '[agents.a]\nmodel = "openai:gpt-4o"\nprompt = "nobody"\n'},
        snapshot(
            [
                "pool/a.toml: `agents.a.prompt`: there is no prompt `nobody`; expected a file prompts/nobody.md",
                "beside the agents",
            ]
        ),
    ),
    Broken(
        "a tool that is not there",
        {"sums.toml": '[agents.sums]\ntool = "arithmetics"\n'},
        snapshot(
            [
                "pool/sums.toml: `agents.sums.tool`: there is no tool `arithmetics`; expected one of algebra,",
                "arithmetic, calendar, scan, search, totals, unit_table, units, `package.module:function` or",
                "`file.py:function`; did you mean `arithmetic`?",
            ]
        ),
    ),
    Broken(
        "a file of tools that is not there",
        {"a.toml": '[agents.a]\ntool = "tools.py:f"\n'},
        snapshot(
            [
                "pool/a.toml: `agents.a.tool`: there is no file `pool/tools.py`; expected a path from the folder",
                "of the descriptor",
            ]
        ),
    ),
    Broken(
        "a file of tools that does not run",
        {"a.toml": '[agents.a]\ntool = "tools.py:f"\n', "tools.py": "def f(question) -> str\n"},
        snapshot(
            [
                "pool/tools.py: cannot be loaded: SyntaxError: expected ':' (tools.py, line 1); expected Python",
                "that can be imported",
            ]
        ),
    ),
    Broken(
        "a function that is not in the file",
        {"a.toml": '[agents.a]\ntool = "tools.py:anwser"\n', "tools.py": "def answer(question): ...\n"},
        snapshot(
            [
                "pool/a.toml: `agents.a.tool`: `tools.py` has no function `anwser`; expected the name of a",
                "function in it; did you mean `answer`?",
            ]
        ),
    ),
    Broken(
        "a module that is not there",
        {"a.toml": '[agents.a]\ntool = "no.such:f"\n'},
        snapshot(
            [
                "pool/a.toml: `agents.a.tool`: the module `no.such` cannot be imported: No module named 'no';",
                "expected `package.module:function` of an installed package, or `file.py:function`",
            ]
        ),
    ),
    Broken(
        "a tool that takes something else",
        {"a.toml": '[agents.a]\ntool = "tools.py:f"\n', "tools.py": "def f(questions): ...\n"},
        snapshot(
            [
                "pool/a.toml: `agents.a.consumes`: the tool's parameter `questions` is no artifact that the agent",
                "consumes; expected parameters among question; did you mean `question`?",
            ]
        ),
    ),
    Broken(
        "a tool that does not take what is consumed",
        {
            "a.toml": '[agents.a]\ntool = "tools.py:f"\nconsumes = ["question", "text"]\n'
            '[agents.b]\ntool = "tools.py:f"\nproduces = "text"\n',
            "tools.py": "def f(question): ...\n",
        },
        snapshot(
            [
                "pool/a.toml: `agents.a.consumes`: the tool takes no `text`; expected artifacts among its",
                "parameters: question",
            ]
        ),
    ),
    Broken(
        "a goal that nothing produces",
        {"pool.toml": '[pool]\ngoals = ["answr"]\n' + TOOL},
        snapshot(
            [
                "pool/pool.toml: `pool.goals`: nothing produces the goal `answr`; expected one of answer; did you",
                "mean `answer`?",
            ]
        ),
    ),
    Broken(
        "no goal",
        {"pool.toml": "[pool]\ngoals = []\n" + TOOL},
        snapshot(["pool/pool.toml: `pool.goals`: cannot be []; expected at least 1 entry"]),
    ),
    Broken(
        "an artifact that nothing produces",
        {"a.toml": TOOL + 'consumes = ["questoin"]\n'},
        snapshot(
            [
                "pool/a.toml: `agents.sums.consumes`: nothing produces `questoin`; expected artifacts among",
                "answer, question; did you mean `question`?",
            ]
        ),
    ),
    Broken(
        "neither model nor tool",
        {"a.toml": '[agents.a]\nrole = "thinks"\n'},
        snapshot(["pool/a.toml: `agents.a`: names neither a model nor a tool; expected either `model` or `tool`"]),
    ),
    Broken(
        "both model and tool",
        {"a.toml": GPT + TOOL + 'model = "openai:gpt-4o"\n'},
        snapshot(["pool/a.toml: `agents.sums`: names both a model and a tool; expected either `model` or `tool`"]),
    ),
    Broken(
        "what it consumes is what it produces",
        {"a.toml": TOOL + 'produces = "question"\n'},
        snapshot(
            ["pool/a.toml: `agents.sums`: consumes what it produces, `question`; expected two different", "artifacts"]
        ),
    ),
    Broken(
        "a misspelt provider",
        {"a.toml": '[models."opnai:gpt-4o"]\n' + TOOL},
        snapshot(
            [
                "pool/a.toml: `models.opnai:gpt-4o`: `opnai:gpt-4o` names no known provider; expected",
                "`provider:id` with a provider among anthropic, llamacpp, lmstudio, ollama, openai, recorded,",
                "script, vllm; did you mean `openai:…`?",
            ]
        ),
    ),
    Broken(
        "no provider",
        {"a.toml": "[models.gpt-4o]\n" + TOOL},
        snapshot(
            [
                "pool/a.toml: `models.gpt-4o`: `gpt-4o` names no known provider; expected `provider:id` with a",
                "provider among anthropic, llamacpp, lmstudio, ollama, openai, recorded, script, vllm",
            ]
        ),
    ),
    Broken(
        "no model behind the colon",
        {"a.toml": '[models."openai:"]\n' + TOOL},
        snapshot(
            [
                "pool/a.toml: `models.openai:`: `openai:` names no model; expected `provider:id` with a provider",
                "among anthropic, llamacpp, lmstudio, ollama, openai, recorded, script, vllm",
            ]
        ),
    ),
    Broken(
        "images alone",
        {"a.toml": GPT + 'modalities = ["image"]\n' + TOOL},
        snapshot(
            [
                "pool/a.toml: `models.openai:gpt-4o.modalities`: cannot be ['image']; expected a list with \"text\"",
                "in it",
            ]
        ),
    ),
    Broken(
        "a modality that nobody knows",
        {"a.toml": GPT + 'modalities = ["text", "smell"]\n' + TOOL},
        snapshot(
            [
                "pool/a.toml: `models.openai:gpt-4o.modalities.1`: cannot be 'smell'; expected 'text' or 'image'",
            ]
        ),
    ),
    Broken(
        "tool calls of a model that calls no tools",
        {"a.toml": GPT + 'encoding = "tools"\ntools = false\n' + TOOL},
        snapshot(
            [
                "pool/a.toml: `models.openai:gpt-4o`: writes actions by tool calls, which it cannot make;",
                'expected encoding = "tags", or tools = true',
            ]
        ),
    ),
    Broken(
        "a negative price",
        {"a.toml": GPT + PRICE.replace("2.5", "-2.5")},
        snapshot(["pool/a.toml: `models.openai:gpt-4o.price.input`: cannot be -2.5; expected a number of at least 0"]),
    ),
    Broken(
        "a price in quotes",
        {"a.toml": GPT + PRICE.replace("2.5", '"2.5"')},
        snapshot(["pool/a.toml: `models.openai:gpt-4o.price.input`: cannot be '2.5'; expected a number"]),
    ),
    Broken(
        "half a price",
        {"a.toml": GPT + PRICE.replace("output = 10, ", "")},
        snapshot(["pool/a.toml: `models.openai:gpt-4o.price.output`: is missing; expected a value for `output`"]),
    ),
    Broken(
        "a misspelt price",
        {"a.toml": GPT + PRICE.replace("output", "ouput")},
        snapshot(
            [
                "pool/a.toml: `models.openai:gpt-4o.price.ouput`: unknown key `ouput`; expected one of as_of,",
                "cache_write, cached, input, output, source; did you mean `output`?",
            ]
        ),
    ),
    Broken(
        "a date in quotes",
        {"a.toml": GPT + PRICE.replace("2026-11-21", '"2026-11-21"')},
        snapshot(
            [
                "pool/a.toml: `models.openai:gpt-4o.price.as_of`: cannot be '2026-11-21'; expected a date such as",
                "2026-11-21, without quotes",
            ]
        ),
    ),
    Broken(
        "broken TOML",
        {"a.toml": "[agents.sums\n"},
        snapshot(
            [
                "pool/a.toml: is not TOML: Expected ']' at the end of a table declaration (at line 1, column 13);",
                "expected TOML in UTF-8",
            ]
        ),
    ),
    Broken(
        "models alone",
        {"models.toml": GPT},
        snapshot(["pool: the pool `pool` has no agents; expected at least one agent"]),
    ),
]


def folder_of(files: dict[str, str], root: Path) -> Path:
    """A folder with these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def complaint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a person who stands beside a folder reads when it is loaded and bound, in lines."""
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ConfigError) as caught:
        Orchestrator(load_folder(folder.name), trace=False)
    return wrap(str(caught.value), width=96, break_on_hyphens=False, break_long_words=False)


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.id)
def test_a_broken_descriptor_says_what_to_mend(case: Broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(case.files, tmp_path / "pool")
    told = complaint(folder, monkeypatch)
    assert told == case.told
    assert [word for word in OURS if word in " ".join(told)] == []


def test_a_file_in_another_encoding_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of({"a.toml": TOOL}, tmp_path / "pool")
    (folder / "b.toml").write_bytes(b'[agents.b]\ntool = "arithmetic"\nrole = "z\xe4hlt"\n')
    assert complaint(folder, monkeypatch) == snapshot(
        ["pool/b.toml: is not UTF-8: byte 0xe4 in line 3; expected text saved as UTF-8"]
    )


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pool" / "a.toml").mkdir(parents=True)
    assert complaint(tmp_path / "pool", monkeypatch) == ["pool/a.toml: cannot be read: Is a directory"]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf" + TOOL.encode())
    assert list(load_folder(tmp_path).agents) == ["sums"]


def test_a_prompt_in_another_encoding_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = '[agents.a]\nmodel = "openai:gpt-4o"\nprompt = "expert"\n'
    folder = folder_of({"a.toml": GPT + agent, "prompts/expert.md": ""}, tmp_path / "pool")
    (folder / "prompts/expert.md").write_bytes(b"Be brief\n\xe9")
    assert complaint(folder, monkeypatch) == snapshot(
        ["pool/a.toml: `agents.a.prompt`: is not UTF-8: byte 0xe9 in line 2; expected text saved as UTF-8"]
    )


def test_what_is_no_folder_of_descriptors_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.toml").write_text(TOOL)
    told: dict[str, str] = {}
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "file.toml", "nowhere"):
        with pytest.raises(ConfigError) as caught:
            load_folder(name)
        told[name] = str(caught.value)
        with pytest.raises(ConfigError) as caught:
            load_pool(folders=[name], plugins=False)
        assert str(caught.value) == told[name]
    assert told == snapshot(
        {
            "empty": "empty: holds no descriptors; expected files that end in .toml, or Python files with "
            "`@expert` functions",
            "file.toml": "file.toml: is not a folder; expected a folder of descriptors (*.toml)",
            "nowhere": "nowhere: does not exist; expected a folder of descriptors (*.toml)",
        }
    )


def test_a_pool_that_is_not_there_is_told_with_the_nearest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder_of({"mine/chess/a.toml": TOOL}, tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_pool("ches", ["mine"], plugins=False)
    assert str(caught.value) == snapshot(
        "`pool`: there is no pool `ches`; expected one of chess, cloud, local; did you mean `chess`?"
    )


def test_a_model_of_a_vendor_without_a_door_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = '[models."recorded:big"]\n[agents.a]\nmodel = "recorded:big"\n'
    folder = folder_of({"a.toml": table}, tmp_path / "pool")
    assert complaint(folder, monkeypatch) == snapshot(
        [
            "pool/a.toml: `models.recorded:big`: there is no door to the provider `recorded`; expected one of",
            "anthropic, llamacpp, lmstudio, ollama, openai, vllm",
        ]
    )


@given(st.sampled_from(KNOWN_PROVIDERS), st.sampled_from(":/"), st.text(min_size=1))
def test_the_first_colon_parts_provider_and_model(provider: str, mark: str, rest: str) -> None:
    assert parse_model_name(f"{provider}{mark}{rest}") == (provider, rest)


@given(st.text(min_size=1), st.sampled_from(("", *KNOWN_PROVIDERS)))
def test_nothing_is_stripped_when_a_base_url_is_set(name: str, provider: str) -> None:
    parsed = parse_model_name(name, provider=provider, base_url="http://localhost:8000/v1")
    assert parsed == (provider or "openai", name)


@given(st.text())
def test_a_model_name_gives_a_known_provider_or_a_complaint(name: str) -> None:
    try:
        model = Model(name=name)
    except ConfigError:
        assert not name.startswith(tuple(f"{known}:x" for known in KNOWN_PROVIDERS))
    else:
        assert model.provider in KNOWN_PROVIDERS
        assert name in {f"{model.provider}:{model.id}", f"{model.provider}/{model.id}"}


@pytest.mark.parametrize(
    ("fields", "provider", "model_id"),
    [
        ({"name": "openai:a:b"}, "openai", "a:b"),
        ({"name": "openai/a/b"}, "openai", "a/b"),
        ({"name": "openai/a:b"}, "openai", "a:b"),
        ({"name": "anthropic:openai:x"}, "anthropic", "openai:x"),
        ({"name": "fast", "provider": "openai", "id": "gpt-4o"}, "openai", "gpt-4o"),
        ({"name": "openai:fast", "id": "gpt-4o"}, "openai", "gpt-4o"),
        ({"name": "meta/llama:8b", "base_url": "http://localhost:1/v1"}, "openai", "meta/llama:8b"),
        ({"name": "openai:x", "base_url": "http://localhost:1/v1"}, "openai", "openai:x"),
        ({"name": "here", "id": "x", "base_url": "http://localhost:1/v1"}, "openai", "x"),
        ({"name": "claude", "provider": "anthropic", "base_url": "http://localhost:1"}, "anthropic", "claude"),
    ],
)
def test_provider_and_id_of_a_model(fields: dict[str, str], provider: str, model_id: str) -> None:
    model = Model.model_validate(fields)
    assert (model.provider, model.id) == (provider, model_id)


@pytest.mark.parametrize("fields", [{"name": "fast", "id": "gpt-4o"}, {"name": "x", "provider": "opnai", "id": "y"}])
def test_an_id_does_not_replace_a_provider(fields: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="names no known provider"):
        Model.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "modalities"),
    [
        ({"name": "openai:gpt-4o"}, ("text", "image")),
        ({"name": "anthropic:claude"}, ("text", "image")),
        ({"name": "anthropic:claude", "modalities": ["text"]}, ("text",)),
        ({"name": "openai:gpt-4o", "base_url": "https://proxy.example/v1", "provider": "openai"}, ("text",)),
        ({"name": "ollama:llava"}, ("text",)),
        ({"name": "ollama:llava", "modalities": ["text", "image"]}, ("text", "image")),
        ({"name": "script:m"}, ("text",)),
    ],
)
def test_who_takes_images(fields: dict[str, object], modalities: tuple[str, ...]) -> None:
    model = Model.model_validate(fields)
    assert (model.modalities, model.tools, model.structured) == (modalities, True, True)
    assert priced(model).modalities == modalities


def test_a_router_without_tools_writes_tags() -> None:
    assert Model(name="script:m").encoding == "tools"
    model = Model(name="script:m", tools=False)
    assert model.encoding == "tags"
    assert Model.model_validate(model.model_dump()) == model
    assert Model(name="script:m", tools=False, encoding="tags").encoding == "tags"


def test_the_same_model_in_two_folders_is_one_model(tmp_path: Path) -> None:
    folder_of({"a/models.toml": GPT + PRICE, "b/models.toml": GPT + PRICE + TOOL}, tmp_path)
    assert list(load_folder(tmp_path).models) == ["openai:gpt-4o"]


def test_later_files_state_the_goals(tmp_path: Path) -> None:
    partial = '[agents.part]\ntool = "arithmetic"\nproduces = "partial_answer"\n'
    folder_of(
        {"a.toml": '[pool]\ngoals = ["answer"]\n' + TOOL, "z.toml": '[pool]\ngoals = ["answer", "partial_answer"]\n'},
        tmp_path,
    )
    (tmp_path / "b.toml").write_text(partial)
    assert load_folder(tmp_path).goals == ("answer", "partial_answer")


def test_a_folder_of_agents_joins_the_pool_that_is_asked_for(tmp_path: Path) -> None:
    mine = {"all.toml": TOOL.replace("sums", "everywhere"), "chess/a.toml": TOOL.replace("sums", "rook")}
    folder_of(mine, tmp_path)
    local = load_pool("local", plugins=False)
    joined = load_pool("local", [tmp_path], plugins=False)
    assert set(joined.agents) == {*local.agents, "everywhere"}
    assert joined.goals == local.goals
    assert list(load_pool("chess", [tmp_path], plugins=False).agents) == ["everywhere", "rook"]
    assert pool_names([tmp_path], plugins=False) == ["chess", "cloud", "local"]


def test_a_new_tool_in_a_file_of_its_own_answers(tmp_path: Path) -> None:
    source = """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass
        class Word:
            text: str

        def shout(question: str) -> str:
            return Word(question.upper()).text
    """
    folder_of({"a.toml": '[agents.loud]\ntool = "loud.py:shout"\n', "loud.py": dedent(source)}, tmp_path)
    decision = Orchestrator(load_folder(tmp_path), trace=False).run_sync("hello")
    assert (decision.answer, decision.support) == ("HELLO", ("loud",))


Schema = dict[str, JsonValue]


def faults_of(value: object, schema: Schema, root: Schema, at: str = "") -> list[str]:
    """Where a value breaks a JSON Schema, as far as descriptors use the language."""
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        return faults_of(value, cast("dict[str, Schema]", root["$defs"])[name], root, at)
    if "anyOf" in schema:
        tries = [faults_of(value, each, root, at) for each in cast("list[Schema]", schema["anyOf"])]
        return [] if [] in tries else [f"{at}: fits none"]
    match schema.get("type"):
        case "object":
            return _faults_of_a_table(value, schema, root, at)
        case "array":
            items = cast("Schema", schema.get("items", {}))
            if not isinstance(value, list) or len(cast("list[object]", value)) < cast("int", schema.get("minItems", 0)):
                return [f"{at}: no list, or too short"]
            return [fault for each in cast("list[object]", value) for fault in faults_of(each, items, root, at)]
        case str() as kind:
            return _faults_of_a_word(value, kind, schema, at)
        case _:
            return []


def _faults_of_a_table(value: object, schema: Schema, root: Schema, at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: no table"]
    table, rest = cast("dict[str, object]", value), schema.get("additionalProperties", True)
    known = cast("dict[str, Schema]", schema.get("properties", {}))
    faults = [f"{at}.{key}: missing" for key in cast("list[str]", schema.get("required", [])) if key not in table]
    for key, inner in table.items():
        if key in known:
            faults += faults_of(inner, known[key], root, f"{at}.{key}")
        elif isinstance(rest, dict):
            faults += faults_of(inner, rest, root, f"{at}.{key}")
        elif rest is False:
            faults.append(f"{at}.{key}: unknown")
    return faults


def _faults_of_a_word(value: object, kind: str, schema: Schema, at: str) -> list[str]:
    kinds = {"string": str, "boolean": bool, "number": (int, float), "integer": int, "null": type(None)}
    if not isinstance(value, kinds[kind]) or (kind != "boolean" and isinstance(value, bool)):
        return [f"{at}: no {kind}"]
    bounds = [bound for key in ("minimum", "exclusiveMinimum") if isinstance(bound := schema.get(key), (int, float))]
    too_low = isinstance(value, (int, float)) and any(value < bound for bound in bounds)
    above = schema.get("maximum")
    too_high = isinstance(value, (int, float)) and isinstance(above, (int, float)) and value > above
    return [f"{at}: out of bounds"] if too_low or too_high else []


def as_json(path: Path) -> object:
    """A TOML file as the tables that a checker of JSON sees."""
    return json.loads(json.dumps(tomllib.loads(path.read_text(encoding="utf-8")), default=str))


@pytest.mark.parametrize("path", sorted((ROOT / "agents").rglob("*.toml")), ids=lambda path: path.name)
def test_our_own_descriptors_keep_to_the_schema(path: Path) -> None:
    assert faults_of(as_json(path), descriptor_schema(), descriptor_schema()) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (TOOL + "skil = 0.4\n", ".agents.sums.skil: unknown"),
        (TOOL + 'name = "x"\n', ".agents.sums.name: unknown"),
        (TOOL + 'source = "x"\n', ".agents.sums.source: unknown"),
        ("[agent.sums]\n", ".agent: unknown"),
        (GPT + "cost = 1\n", ".models.openai:gpt-4o.cost: unknown"),
        (GPT + PRICE.replace("output", "ouput"), ".models.openai:gpt-4o.price: fits none"),
        (TOOL + "skill = 1.4\n", ".agents.sums.skill: out of bounds"),
        (TOOL + "consumes = []\n", ".agents.sums.consumes: no list, or too short"),
        ("[pool]\ngoals = []\n", ".pool: fits none"),
        (GPT + PRICE + "max_output = 10\n" + TOOL + "retries = 2\n", None),
        (GPT + 'modalities = ["text", "image"]\ntools = false\nstructured = false\n' + TOOL, None),
        (GPT + "modalities = []\n", ".models.openai:gpt-4o.modalities: no list, or too short"),
        (GPT + "tools = 1\n", ".models.openai:gpt-4o.tools: no boolean"),
        (GPT + 'structured = "yes"\n', ".models.openai:gpt-4o.structured: no boolean"),
    ],
)
def test_the_schema_refuses_what_loading_refuses(text: str, fault: str | None, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    faults = faults_of(as_json(tmp_path / "a.toml"), descriptor_schema(), descriptor_schema())
    assert faults == ([fault] if fault else [])
    if fault:
        with pytest.raises(ConfigError):
            load_folder(tmp_path)
    else:
        load_folder(tmp_path)


PLUGIN = """
from pathlib import Path
from orchestrator import Agent, Pool, expert

@expert(skill=0.9)
def shout(question: str) -> str:
    "Says it loudly."
    return question.upper()

def whisper(question: str) -> str:
    return question.lower()

def first(question: str) -> str:
    return question[:1]

agent = Agent(name="plugged", tool=whisper, skill=0.1)
several = [shout, Agent(name="quiet", tool=whisper)]
folder = Path(__file__).parent / "descriptors"
pool = Pool([Agent(name="initial", tool=first, produces="letter")], goals=["letter"], name="letters")
junk = 42
junk_inside = [shout, "shout"]
nowhere = str(folder) + "-not-there"
"""


ENTRIES = {
    "letters:shout": "letters",
    "letters:agent": "letters",
    "letters:several": "local",
    "letters:folder": "letters",
    "letters:pool": "letters",
    "letters:junk": "local",
    "letters:junk_inside": "local",
    "letters:nowhere": "local",
    "letters:missing": "local",
    "not_installed:agent": "local",
}
"""What an installed package offers, and the pool that is asked for."""

ASK = """
import sys
from orchestrator import ConfigError, Orchestrator, load_pool

local = set(load_pool("local", plugins=False).agents)
for site, name in zip(sys.argv[1::2], sys.argv[2::2]):
    sys.path.append(site)
    try:
        pool = load_pool(name)
        answer = Orchestrator(pool, trace=False).run_sync("Hello").answer
        print(f"{sorted(set(pool.agents) - local)} for {pool.goals}: {answer}")
    except ConfigError as error:
        print(error)
    sys.path.remove(site)
"""


def installed(entry: str, site: Path) -> str:
    """A folder in which a package is installed that offers `entry` to us."""
    info = site / "letters-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: letters\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[orchestrator.agents]\nletters = {entry}\n")
    return str(site)


def test_an_installed_package_plugs_in(tmp_path: Path, child_env: dict[str, str]) -> None:
    files = {"letters.py": PLUGIN, "descriptors/a.toml": '[agents.described]\ntool = "letters:first"\nskill = 0.3\n'}
    folder_of(files, tmp_path / "code")
    sites = [(installed(entry, tmp_path / str(at)), name) for at, (entry, name) in enumerate(ENTRIES.items())]
    paths = os.pathsep.join([str(tmp_path / "code"), child_env["PYTHONPATH"]])
    ended = subprocess.run(
        [sys.executable, "-c", ASK, *(word for site in sites for word in site)],
        env={**child_env, "PYTHONPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert ended.stderr == ""
    told = ended.stdout.replace(str(tmp_path), "HERE").splitlines()
    assert {entry: wrap(line, width=96) for entry, line in zip(ENTRIES, told, strict=True)} == snapshot(
        {
            "letters:shout": ["['shout'] for ('answer',): HELLO"],
            "letters:agent": ["['plugged'] for ('answer',): hello"],
            "letters:several": ["['quiet', 'shout'] for ('answer',): HELLO"],
            "letters:folder": ["['described'] for ('answer',): H"],
            "letters:pool": ["['initial'] for ('letter',): H"],
            "letters:junk": [
                "entry point `letters` (letters:junk): offers 42; expected an `Agent`, a `Model`, a typed",
                "function, a `Pool` or a folder",
            ],
            "letters:junk_inside": [
                "entry point `letters` (letters:junk_inside): offers 'shout'; expected an `Agent`, a `Model`, a",
                "typed function, a `Pool` or a folder",
            ],
            "letters:nowhere": [
                "entry point `letters` (letters:nowhere): offers 'HERE/code/descriptors-not-there'; expected an",
                "`Agent`, a `Model`, a typed function, a `Pool` or a folder",
            ],
            "letters:missing": [
                "entry point `letters` (letters:missing): cannot be loaded: AttributeError: module 'letters' has",
                "no attribute 'missing'",
            ],
            "not_installed:agent": [
                "entry point `letters` (not_installed:agent): cannot be loaded: ModuleNotFoundError: No module",
                "named 'not_installed'",
            ],
        }
    )
