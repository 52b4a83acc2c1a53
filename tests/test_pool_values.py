"""Pools as values: joined, cut down, changed, compared, written as TOML and read again."""
# ruff: noqa: ARG001 - experts of tests need not look at what they are given

from __future__ import annotations

import json
import string
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import Agent, ConfigError, Model, Orchestrator, Pool, Price, Risk, expert, load_folder, load_pool
from orchestrator.pool import descriptor_schema
from tests.runs import ask

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = st.text(string.ascii_letters + string.digits + ".-_:/é", min_size=1, max_size=8)
TEXTS = st.text(max_size=30)
SHARES = st.floats(0, 1)
AMOUNTS = st.decimals(0, 1000, places=6)
PRICES = st.builds(
    Price,
    input=AMOUNTS,
    output=AMOUNTS,
    cached=st.none() | AMOUNTS,
    cache_write=st.none() | AMOUNTS,
    as_of=st.dates(date(2000, 1, 1), date(2100, 1, 1)),
    source=TEXTS,
)


def some(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    """Any choice of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


def model_named(vendor: str, name: str, fields: dict[str, object]) -> Model:
    """A model of a vendor."""
    return Model.model_validate({"name": f"{vendor}:{name}", **fields})


def risk_named(name: str, rule: dict[str, object], fields: dict[str, object]) -> Risk:
    """A risk rule."""
    return Risk.model_validate({"name": name, **rule, **fields})


MODELS = st.builds(
    model_named,
    st.sampled_from(["openai", "anthropic", "ollama", "script"]),
    NAMES,
    some(
        price=PRICES,
        base_url=st.sampled_from(["http://localhost:1/v1", 'https://models.example/v1?a="b"']),
        key_env=st.just("SOME_KEY"),
        modalities=st.sampled_from([("text",), ("text", "image"), ("image", "text")]),
        tools=st.just(True),
        structured=st.booleans(),
        free=st.booleans(),
        context_window=st.integers(1, 10**7),
        max_output=st.integers(1, 10**6),
        temperature=st.none() | st.floats(0, 2),
        seconds=st.floats(0, allow_infinity=False),
    ),
)


@st.composite
def agents(draw: st.DrawFn, models: list[str], number: int) -> list[Agent]:
    """Agents that consume what those before them produce, so that all of it hangs together."""
    names = draw(st.lists(NAMES, min_size=number, max_size=number, unique=True))
    there, made = ["question"], list[Agent]()
    for at, name in enumerate(names):
        inputs = draw(st.permutations(there))
        taken = draw(st.integers(1, len(inputs)))
        spare = inputs[taken:]
        fields = draw(
            some(
                role=TEXTS,
                prompt=TEXTS,
                needs=st.integers(1, taken),
                optional=st.just(tuple(spare)),
                skill=SHARES,
                skills=st.dictionaries(TEXTS, SHARES, max_size=3),
                retries=st.integers(0, 5),
                timeout=st.floats(0.1, 1e6),
                seconds=st.floats(0, 1e6),
                effects=st.booleans(),
                idempotent=st.booleans(),
            )
        )
        model = draw(st.sampled_from([*models, None]))
        behind = (
            {"tool": draw(st.sampled_from(["algebra", "some.module:function"]))} if model is None else {"model": model}
        )
        place = {"name": name, "consumes": tuple(inputs[:taken]), "produces": f"kind {at}"}
        made.append(Agent.model_validate({**place, **behind, **fields}))
        there.append(f"kind {at}")
    return made


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """Pools of models, agents and risk rules."""
    models = draw(st.lists(MODELS, max_size=3, unique_by=lambda model: model.name))
    crew = draw(agents([model.name for model in models], draw(st.integers(1, 4))))
    kinds = [agent.produces for agent in crew]
    risks = draw(
        st.lists(
            st.builds(
                risk_named,
                NAMES,
                some(above=st.floats(-1e9, 1e9)).filter(bool) | st.just({"pattern": r"a\"b|\d+\n"}),
                some(field=st.sampled_from(kinds), priority=SHARES, below=st.floats(0, 1)),
            ),
            max_size=2,
            unique_by=lambda risk: risk.name,
        )
    )
    goals = draw(st.none() | st.lists(st.sampled_from(kinds), min_size=1, unique=True))
    role = st.sampled_from([None, *(model.name for model in models)])
    return Pool([*models, *crew, *risks], goals=goals, router=draw(role), merger=draw(role))


@settings(max_examples=50)
@given(pools())
def test_what_is_written_is_read_as_the_same_pool(pool: Pool) -> None:
    text = pool.to_toml()
    read = Pool.from_toml(text)
    assert read == pool
    assert read.to_toml() == text
    assert tomllib.loads(text)


@settings(max_examples=50)
@given(pools(), st.data())
def test_a_changed_copy_leaves_the_pool_as_it_was(pool: Pool, data: st.DataObject) -> None:
    before = pool.to_toml()
    name = data.draw(st.sampled_from(sorted(pool.agents)))
    skill = data.draw(SHARES)
    other = pool.with_(name, skill=skill)
    assert other.agents[name].skill == skill
    assert pool.to_toml() == before
    assert (other == pool) == (pool.agents[name].skill == skill)
    assert other.with_(name, skill=pool.agents[name].skill) == pool


@settings(max_examples=50)
@given(pools())
def test_a_pool_joined_with_itself_is_itself(pool: Pool) -> None:
    assert pool | pool == pool
    assert len({pool, pool | pool}) == 1


@pytest.mark.parametrize("name", ["local", "cloud"])
def test_the_pools_that_ship_round_trip_through_a_folder(name: str, tmp_path: Path) -> None:
    pool = load_pool(name, plugins=False)
    (tmp_path / "written.toml").write_text(pool.to_toml(), encoding="utf-8")
    assert load_folder(tmp_path) == pool


@expert(skill=0.7)
def shout(question: str, tone: str = "loud") -> str:
    """Says it louder."""
    return question.upper()


async def whisper(question: str) -> str:
    return question.lower()


def test_functions_are_written_by_where_they_stand_and_act_the_same(tmp_path: Path) -> None:
    pool = Pool([shout, whisper])
    text = pool.to_toml()
    assert tomllib.loads(text)["agents"]["shout"] == {
        "role": "Says it louder.", "tool": "tests.test_pool_values:shout", "skill": 0.7,
    }  # fmt: skip
    read = Pool.from_toml(text)
    assert read.to_toml() == text
    ran = ask(Orchestrator(read, trace=tmp_path), tmp_path, "Hello")
    assert (ran.decision.answer, ran.decision.support) == ("HELLO", ("shout",))


def test_a_tool_in_a_file_is_written_with_its_whole_path(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/tools.py").write_text(
        "from orchestrator import expert\n\n\ndef a(question: str) -> str:\n    return 'A'\n\n\n"
        "@expert\ndef b(question: str) -> str:\n    return 'B'\n",
        encoding="utf-8",
    )
    (tmp_path / "own/some.toml").write_text('[agents.a]\ntool = "tools.py:a"\nskill = 0.9\n', encoding="utf-8")
    pool = load_pool("own", [tmp_path / "own"], plugins=False, own=False)
    text = pool.to_toml()
    tables = tomllib.loads(text)["agents"]
    assert tables["a"]["tool"] == f"{(tmp_path / 'own/tools.py').resolve()}:a"
    assert tables["b"]["tool"] == f"{(tmp_path / 'own/tools.py').resolve()}:b"
    assert Orchestrator(Pool.from_toml(text), trace=False).run_sync("?").answer == "A"


def local() -> Callable[[str], str]:
    """A function that only this one can name."""

    def inner(question: str) -> str:
        return question

    return inner


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (local(), ("agents.inner.tool", "top of a module")),
        (Agent(name="a", tool=str.upper), ("agents.a.tool", "top of a module")),
        (Agent(name="a", tool=whisper, claim=str.isdigit), ("agents.a.claim", "@expert")),
        (Agent(name="a", tool="".join), ("agents.a.tool", "top of a module")),
    ],
)
def test_what_no_file_can_hold_is_refused(member: Agent, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as raised:
        Pool([member]).to_toml()
    for word in words:
        assert word in str(raised.value)


def test_a_price_with_more_digits_than_a_float_is_refused() -> None:
    price = Price(input=Decimal("0.12345678901234567890"), output=Decimal(1), as_of=date(2026, 1, 1), source="x")
    pool = Pool([Model(name="script:m", price=price), Agent(name="a", model="script:m")])
    with pytest.raises(ConfigError, match=r"models\.script:m\.price\.input"):
        pool.to_toml()


def test_a_prompt_is_written_out_word_for_word() -> None:
    prompt = 'Pay $name in "dollars" $$5.\r\n\tThen\x00 stop. \U0001f600 '
    pool = Pool([Model(name="script:m"), Agent(name="a", model="script:m", prompt=prompt)])
    assert Pool.from_toml(pool.to_toml()).agents["a"].prompt == prompt


@pytest.mark.parametrize("table", ["{ text = 3 }", '{ text = "a", more = "b" }', '{ txt = "a" }', "{}"])
def test_a_prompt_that_is_neither_name_nor_text_is_refused(table: str) -> None:
    with pytest.raises(ConfigError, match=r"agents\.a\.prompt"):
        Pool.from_toml(f'[agents.a]\ntool = "algebra"\nprompt = {table}\n')


def test_the_schema_of_a_file_knows_written_prompts() -> None:
    assert '"required": ["text"]' in json.dumps(descriptor_schema())


def test_a_text_that_is_no_pool_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"pool\.toml: is not TOML"):
        Pool.from_toml("[agents")
    with pytest.raises(ConfigError, match="did you mean `skill`"):
        Pool.from_toml('[agents.a]\ntool = "algebra"\nskil = 0.5\n')


A = Agent(name="a", tool="algebra", skill=0.5)
B = Agent(name="b", tool="algebra", consumes=("answer",), produces="report")
M = Model(name="script:m", free=True)
BOTH = Pool([A, B], goals=["report", "answer"], name="both")


def test_pools_are_joined() -> None:
    left = Pool([A], name="left")
    right = Pool([A, B, M], goals=["report", "answer"], router="script:m")
    joined = left | right
    assert (joined.name, joined.goals, joined.router) == ("left", ("answer", "report"), "script:m")
    assert set(joined.agents) == {"a", "b"}
    assert (right | left).goals == ("report", "answer")
    assert (Pool([A, M], router="script:m") | right.with_("script:m", free=True)).router == "script:m"


def test_what_is_described_twice_must_be_described_alike() -> None:
    with pytest.raises(ConfigError, match="the name `a` is taken"):
        _ = Pool([A]) | Pool([A.model_copy(update={"skill": 0.6})])
    with pytest.raises(ConfigError, match="the model `script:m` is described twice"):
        _ = Pool([A, M]) | Pool([A, Model(name="script:m", free=True, max_output=9)])


def test_members_are_left_out() -> None:
    assert BOTH.without("b", goals=["answer"]) == Pool([A])
    assert Pool([A, B]).without("b").goals == ("answer",)
    assert Pool([A, M, Risk(name="big", above=1)]).without("script:m", "big") == Pool([A])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: BOTH.without("c"), ("there is no `c` in the pool", "one of a, b")),
        (lambda: BOTH.without("b"), ("nothing produces the goal `report`",)),
        (lambda: BOTH.without("a"), ("nothing produces `answer`",)),
        (lambda: Pool([A]).without("a"), ("has no agents",)),
        (lambda: Pool([M, Agent(name="c", model=M.name)]).without(M.name), ("there is no model `script:m`",)),
        (lambda: BOTH.with_("aa", skill=1.0), ("there is no `aa`", "did you mean `a`?")),
        (lambda: BOTH.with_("a", skil=1.0), ("agents.a.skil", "did you mean `skill`?")),
        (lambda: BOTH.with_("a", skill=2.0), ("agents.a.skill", "at most 1")),
        (lambda: BOTH.with_("a", name="c"), ("unknown key `name`",)),
        (lambda: BOTH.with_("a", model="script:m"), ("names both a model and a tool",)),
        (lambda: BOTH.with_("b", consumes=("letter",)), ("nothing produces `letter`",)),
    ],
)
def test_a_change_that_does_not_fit_is_refused(change: Callable[[], Pool], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as raised:
        change()
    for word in words:
        assert word in str(raised.value)


def test_what_follows_from_a_changed_field_follows_anew() -> None:
    pool = Pool([Model(name="openai:gpt-4o"), Agent(name="c", model="openai:gpt-4o")])
    assert pool.models.described["openai:gpt-4o"].modalities == ("text", "image")
    own = pool.with_("openai:gpt-4o", base_url="http://localhost:1/v1")
    assert own.models.described["openai:gpt-4o"].modalities == ("text",)


def test_of_a_model_and_an_agent_of_one_name_the_one_that_has_the_field_is_changed() -> None:
    pool = Pool([Model(name="script:m"), Agent(name="script:m", model="script:m")])
    assert pool.with_("script:m", skill=0.9).agents["script:m"].skill == 0.9
    assert pool.with_("script:m", free=True).models["script:m"].free
    with pytest.raises(ConfigError, match="names both Model and Agent"):
        pool.with_("script:m", seconds=3.0)


def test_a_value_read_from_a_file_says_where_the_call_is_wrong_not_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[agents.a]\ntool = "algebra"\n', encoding="utf-8")
    pool = load_folder(tmp_path)
    assert pool == Pool([Agent(name="a", tool="algebra")])
    with pytest.raises(ConfigError) as raised:
        pool.with_("a", timeout=-1.0)
    assert str(raised.value) == "`agents.a.timeout`: cannot be -1.0; expected a number above 0"
