"""Samples: one cheap expert that is asked the same several times, each sample an analysis of its own."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator import Agent, ConfigError, Model, Orchestrator, Pool, Question
from orchestrator.errors import FailureKind, ProviderError
from orchestrator.messages import Message
from orchestrator.pool import sample_names
from orchestrator.providers import ScriptProvider
from orchestrator.providers.script import Line
from orchestrator.testing import disturb
from orchestrator.trace.events import AttemptFailed, Rerouted, TurnTaken
from tests.routing import CHEAP, DEAR, SAGE_COST, TURN_COST, over_and_over, routes, says, scripted
from tests.runs import Ran, ask

CHOICE = Question((Message("user", "Which?"),), choices=("A", "B", "C", "D"))
DOWN = ProviderError("no server", kind="connection", sent=False)


def sampled(samples: int, **fields: object) -> Agent:
    """An expert over `script:small`."""
    return Agent.model_validate({"name": "small", "model": "script:small", "skill": 0.7, "samples": samples, **fields})


def asked(small: Sequence[Line], folder: Path, *, samples: int = 3, large: str = "D", **how: object) -> Ran:
    """A run over a cheap expert that may be sampled and a dear one."""
    members = [
        scripted("small", CHEAP), scripted("large", DEAR), sampled(samples),
        Agent(name="large", model="script:large", skill=0.97),
    ]  # fmt: skip
    provider = ScriptProvider({"small": over_and_over(small), "large": [says(large)]})
    wide = {"analyses": "auto", **how}
    made = Orchestrator(members, providers={"script": provider}, trace=folder, **wide)  # pyright: ignore[reportArgumentType]
    return ask(made, folder, CHOICE)


@pytest.mark.parametrize(
    ("said", "called", "answer"),
    [
        ("AAA", ["small", "small~2", "small~3"], "A"),
        ("ABC", ["small", "small~2", "small~3", "large"], "D"),
        ("ABB", ["small", "small~2", "small~3", "large"], "D"),
    ],
)
def test_a_cheap_expert_is_sampled_and_its_agreement_decides_how_it_goes_on(
    said: str, called: list[str], answer: str, tmp_path: Path
) -> None:
    ran = asked([says(each) for each in said], tmp_path)
    assert (ran.called(), ran.decision.answer) == (called, answer)
    assert ran.decision.cost_usd == 3 * TURN_COST + (SAGE_COST if "large" in called else Decimal(0))
    assert "probe small, small~2, small~3" in (ran.of(TurnTaken)[0].thought or "")


def test_two_samples_are_asked_where_no_more_may_be(tmp_path: Path) -> None:
    assert asked([says("A")], tmp_path, samples=2).called() == ["small", "small~2"]


def test_a_further_sample_is_disturbed_by_its_own_name(tmp_path: Path) -> None:
    wrong = disturb({"small~2": "timeout"})
    asked([says("A")], tmp_path, samples=2, disturb=wrong)
    assert [agent for agent, _ in wrong.played] == ["small~2"]
    with pytest.raises(ConfigError, match="`disturb`: there is no agent `small~3`"):
        asked([says("A")], tmp_path, samples=2, disturb=disturb({"small~3": "timeout"}))


def test_who_may_not_be_sampled_is_asked_once(tmp_path: Path) -> None:
    assert asked([says("A"), says("B")], tmp_path, samples=1).called().count("small") == 1


def test_no_other_way_of_deciding_asks_for_samples(tmp_path: Path) -> None:
    assert asked([says("A")], tmp_path, analyses=1).called() == ["large"]
    assert sorted(asked([says("A")], tmp_path / "two", analyses=2).called()) == ["large", "small"]


def test_a_sample_that_fails_is_gone_round_by_another_expert(tmp_path: Path) -> None:
    ran = asked([says("A"), DOWN, says("A")], tmp_path)
    (failed,) = ran.of(AttemptFailed)
    assert failed.agent.startswith("small")
    assert [event.to for event in ran.of(Rerouted)] == ["large"]
    assert ran.decision.status == "answered"


def test_an_outage_of_an_expert_is_one_of_all_its_samples(tmp_path: Path) -> None:
    def out(agent: str, _attempt: int, _case: str | None) -> FailureKind | None:
        return "timeout" if agent == "small" else None

    ran = asked([says("A")], tmp_path, faults=out)
    assert {failed.agent for failed in ran.decision.failed} == {"small", "small~2", "small~3"}
    assert ran.decision.answer == "D"


def test_a_language_model_that_routes_sees_one_expert_where_there_are_samples(tmp_path: Path) -> None:
    seen: list[str] = []

    def tell(request: object) -> str:
        seen.append(str(request))
        return "A"

    provider = ScriptProvider({"small": [tell, "A"], "route": [routes("tools", ("small", "Which?")), "A"]})
    members = [scripted("small"), scripted("route"), sampled(3)]
    made = Orchestrator(members, providers={"script": provider}, router="script:route", trace=tmp_path)
    ran = ask(made, tmp_path, CHOICE)
    assert (ran.called(), ran.decision.answer) == (["small"], "A")
    assert "~2" not in "".join(seen)


def test_a_pool_counts_experts_and_finds_samples() -> None:
    pool = Pool([scripted("small"), sampled(3)])
    assert list(pool.agents) == ["small"]
    assert sample_names(pool.agents["small"]) == ("small", "small~2", "small~3")
    assert (pool.agents["small~3"].name, pool.agents["small~3"].model) == ("small~3", "script:small")
    assert [name in pool.agents for name in ("small~2", "small~4", "small~1", "small~")] == [True, False, False, False]
    assert Pool.from_toml(pool.to_toml()) == pool
    assert pool.with_("small", samples=1) != pool


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"samples": 0}, "samples"),
        ({"samples": 10}, "samples"),
        ({"samples": 2, "effects": True}, "effects"),
        ({"samples": 2, "model": None, "tool": "calculator"}, "tool"),
    ],
)
def test_samples_that_make_no_sense_are_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Agent(**{"name": "small", "model": "script:small", **fields})  # pyright: ignore[reportArgumentType]


def test_samples_need_names_and_a_temperature() -> None:
    with pytest.raises(ConfigError, match="taken"):
        Pool([scripted("small"), sampled(2), sampled(1, name="small~2")])
    cold = Model(name="script:small", free=True, temperature=0)
    with pytest.raises(ConfigError, match="temperature 0"):
        Pool([cold, sampled(2)])
