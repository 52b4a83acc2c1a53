"""Cascades, widths and ballots: whom they ask, when they stop, that a ballot cut short decides as the whole one."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import Agent, Budget, ConfigError, Orchestrator, Question, Usage
from orchestrator.confidence import calibrated, decided, fit_posterior
from orchestrator.evals.calibrating import Way, calibrate, decide, learnt, means_from
from orchestrator.evals.curves import Point, hull, quality_at
from orchestrator.evals.stats import mean
from orchestrator.merge import voted
from orchestrator.messages import Goal, Message, Reply
from orchestrator.providers import ScriptProvider
from orchestrator.providers.recorded import RecordedFile, recorded_from
from orchestrator.trace.events import TurnTaken
from orchestrator.weights import Rates
from tests.eval_world import lured
from tests.experts import failing, giving
from tests.routing import CHEAP, DEAR, SAGE_COST, sage, says, scripted
from tests.runs import Ran, ask

CHOICE = Question((Message("user", "Which?"),), choices=("A", "B", "C", "D"))
BALLOTS = st.lists(st.sampled_from(["A", "B", "C", "none of these"]), min_size=1, max_size=9)


@given(BALLOTS, st.data())
def test_a_ballot_that_is_decided_stays_so_whatever_comes(votes: list[str], data: st.DataObject) -> None:
    counted = data.draw(st.integers(0, len(votes)))
    labels = [-1 if vote == "none of these" else "ABC".index(vote) for vote in votes]
    if decided(labels[:counted], len(votes) - counted) and counted:
        ps = [data.draw(st.floats(0.1, 0.9)) for _ in votes]
        whole = [
            Reply(n, f"e{n}", Goal("answer", slot=n), v, p=p) for n, (v, p) in enumerate(zip(votes, ps, strict=True))
        ]
        assert voted(CHOICE, whole).answer == voted(CHOICE, whole[:counted]).answer


@settings(max_examples=40, deadline=None)
@given(BALLOTS, st.lists(st.floats(0.2, 0.9), min_size=9, max_size=9))
def test_ending_early_never_changes_what_the_whole_ballot_gives(votes: list[str], skills: list[float]) -> None:
    experts = [giving(f"e{n}", vote, skill=skills[n]) for n, vote in enumerate(votes)]
    early = Orchestrator(experts, analyses=f"auto:{len(votes)}", trace=False, monitors=()).run_sync(CHOICE)
    whole = Orchestrator(experts, analyses=len(votes), merge="vote", trace=False, monitors=()).run_sync(CHOICE)
    assert early.answer == whole.answer
    assert early.expert_calls <= whole.expert_calls == len(votes)
    if len(votes) > 2 and len(set(votes)) == 1 and votes[0] in CHOICE.choices:
        assert early.expert_calls == len(votes) // 2 + 1


def paid(said: dict[str, str], skills: dict[str, float], dear: Sequence[str], folder: Path, **how: object) -> Ran:
    """A run over scripted models, those named dear at ten times the price."""
    cheap = {name: (CHEAP[0] * place, CHEAP[1] * place) for place, name in enumerate(said, start=1)}
    models = [scripted(name, DEAR if name in dear else cheap[name]) for name in said]
    experts: list[Agent] = [sage(name, skill=skills[name]) for name in said]
    provider = ScriptProvider({name: [says(text)] for name, text in said.items()})
    orchestrator = Orchestrator(
        [*models, *experts], providers={"script": provider}, trace=folder, prefer=Rates(cost_weight=20.0), **how,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    return ask(orchestrator, folder, CHOICE)


SKILLS = {"small": 0.7, "middle": 0.8, "large": 0.95}


@pytest.mark.parametrize(
    ("said", "called"),
    [
        ({"small": "A", "middle": "A", "large": "A"}, ["small", "middle"]),
        ({"small": "A", "middle": "B", "large": "B"}, ["small", "middle", "large"]),
    ],
)
def test_a_cascade_goes_on_only_where_its_experts_disagree(
    said: dict[str, str], called: list[str], tmp_path: Path
) -> None:
    ran = paid(said, SKILLS, ["large"], tmp_path, router="cascade:0.9")
    assert ran.called() == called
    assert (ran.decision.answer, ran.decision.method) == (said[called[-1]], "cascade")
    told = [turn.thought or "" for turn in ran.of(TurnTaken)]
    assert all(thought.startswith("cascade: ") for thought in told)
    assert "0.9 is enough" in told[1]


def test_the_last_reply_of_a_cascade_is_its_decision_against_any_majority(tmp_path: Path) -> None:
    said = {"a": "A", "b": "A", "c": "B"}
    ran = paid(said, {"a": 0.5, "b": 0.55, "c": 0.99}, ["c"], tmp_path, router="cascade:1")
    assert (ran.decision.answer, ran.decision.support) == ("B", ("c",))
    assert {dissent.agent for dissent in ran.decision.dissent} == {"a", "b"}


def test_a_cascade_leaves_out_whom_the_budget_cannot_pay(tmp_path: Path) -> None:
    said = {"small": "A", "large": "B"}
    ran = paid(
        said, {"small": 0.5, "large": 0.99}, ["large"], tmp_path, router="cascade:1", budget=Budget(usd=SAGE_COST)
    )
    assert ran.called() == ["small"]
    assert (ran.decision.answer, ran.decision.status) == ("A", "answered")
    assert (ran.decision.cost_usd or Decimal(0)) <= SAGE_COST


@pytest.mark.parametrize("how", [{"router": "cascade:1"}, {"analyses": "auto"}])
def test_a_bill_above_its_reserve_ends_the_asking_and_that_is_said(how: dict[str, str], tmp_path: Path) -> None:
    members = [scripted("small", CHEAP), scripted("large", DEAR), sage("small", skill=0.5), sage("large", skill=0.99)]
    dear_word = says("A", Usage(100, 5_000))
    provider = ScriptProvider({"small": [dear_word], "large": [dear_word]})
    made = Orchestrator(
        members, providers={"script": provider}, trace=tmp_path, budget=Budget(usd=Decimal(1)), **how,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    ran = ask(made, tmp_path, CHOICE)
    assert ran.decision.status == "degraded"
    told = "\n".join(ran.decision.reasons)
    assert "limit:usd" in told
    assert "a try took more usd than were reserved for it, which closes the budget" in told


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.sampled_from([{"router": "cascade"}, {"analyses": "auto"}, {"analyses": "auto:3"}]))
def test_no_budget_is_ever_passed(tenths: int, how: dict[str, str]) -> None:
    limit = Decimal(tenths) / 10_000
    said = {"small": "A", "middle": "B", "large": "C"}
    models = [scripted(name, DEAR if name == "large" else CHEAP) for name in said]
    provider = ScriptProvider({name: [says(text)] for name, text in said.items()})
    members = [*models, *(sage(name, skill=SKILLS[name]) for name in said)]
    made = Orchestrator(
        members, providers={"script": provider}, budget=Budget(usd=limit), trace=False, **how,  # pyright: ignore[reportArgumentType]
    ).run_sync(CHOICE)  # fmt: skip
    assert made.cost_usd is not None
    assert made.cost_usd <= limit
    assert made.answer is not None or any(each.startswith("limit:usd") for each in made.reasons)


@pytest.mark.parametrize(
    ("answers", "called", "answer"),
    [("AAAB", 3, "A"), ("ABCD", 4, "D"), ("ABAB", 4, "B")],
)
def test_a_probe_stops_where_all_agree_and_goes_to_the_dear_expert_where_none_do(
    answers: str, called: int, answer: str, tmp_path: Path
) -> None:
    said: dict[str, str] = dict(zip(["a", "b", "c", "dear"], answers, strict=True))
    ran = paid(said, {"a": 0.6, "b": 0.6, "c": 0.6, "dear": 0.97}, ["dear"], tmp_path, analyses="auto")
    assert len(ran.called()) == called
    assert (ran.decision.answer, ran.decision.method) == (answer, "auto")
    assert "sigma" in (ran.of(TurnTaken)[1].thought or "")


@pytest.mark.parametrize(("how", "told"), [({"router": "cascade"}, "begin with a"), ({"analyses": "auto"}, "probe ")])
def test_what_would_be_done_first_is_told_beforehand(how: dict[str, str], told: str) -> None:
    experts = [giving(name, "A", skill=skill) for name, skill in (("a", 0.9), ("b", 0.6), ("c", 0.5))]
    explained = Orchestrator(experts, trace=False, **how).explain(CHOICE)  # pyright: ignore[reportArgumentType]
    assert told in (explained.thought or "")
    assert Orchestrator(experts, trace=False).explain(CHOICE).thought is None


def test_a_failed_expert_of_a_cascade_is_gone_round(tmp_path: Path) -> None:
    members = [failing("a", skill=0.9), giving("b", "A", skill=0.5)]
    ran = ask(Orchestrator(members, router="cascade", trace=tmp_path), tmp_path, CHOICE)
    assert (ran.decision.answer, ran.outcomes()) == ("A", [("a", "rerouted")])


@pytest.mark.parametrize(
    "how",
    [{"analyses": "auto", "router": "cascade"}, {"analyses": "wide"}, {"analyses": "auto:0"}, {"analyses": 0},
     {"router": "cascade:x"}, {"router": "cascade:1.5"}],
)  # fmt: skip
def test_widths_and_thresholds_that_make_no_sense_are_refused(how: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"analyses|cascade"):
        Orchestrator([giving("a", "A")], **how)  # pyright: ignore[reportArgumentType]


def outcomes(cases: int, seed: int, shuffled: int | None = None) -> RecordedFile:
    """Recorded answers of three cheap models and a dear one, as a file that was read."""
    return recorded_from("made up", ((f"row {n}", row) for n, row in enumerate(lured(cases, seed, shuffled))))


def gain(world: RecordedFile, way: Way) -> float:
    """How far a way that is fitted on train is above the single models on test."""
    known = [name for name, case in world.cases.items() if case.split == "train"]
    held = [name for name, case in world.cases.items() if case.split == "test"]
    made = decide(world, way, held, calibrated([("", 0.5, 0.5)], "p", posterior=learnt(world, known)))
    cost = mean([float(each.decision.cost_usd or 0) for each in made])
    singles = [
        Point(mean([float(world.cases[c].takes[m].cost or 0) for c in held]), mean([world.scores[c][m] for c in held]))
        for m in world.pool.agents
    ]
    return mean([each.right for each in made]) - quality_at(hull(singles), cost)


@pytest.mark.parametrize("way", [Way(analyses="auto"), Way(router="cascade")], ids=["auto", "cascade"])
def test_shuffled_train_labels_bring_every_gain_to_nothing(way: Way) -> None:
    assert gain(outcomes(400, seed=5), way) > 0.02
    assert mean([gain(outcomes(400, seed=5, shuffled=deal), way) for deal in range(2)]) < 0.005


def test_means_from_some_cases_know_no_others() -> None:
    world = outcomes(60, seed=1)
    some = [name for name in world.cases if int(name) < 30]
    found = means_from(world, set(some))
    assert found.pool.agents["a"].skill == pytest.approx(mean([world.scores[c]["a"] for c in some]))


def test_a_calibration_is_fitted_on_train_alone() -> None:
    world = outcomes(200, seed=2)
    fit = calibrate(world, Way(analyses="auto"), "posterior")
    assert fit.n == sum(case.split == "train" for case in world.cases.values())
    assert (fit.source, fit.system) == ("posterior", "plan xauto")
    blind = {name: dict.fromkeys(world.scores[name], 0.0) for name, case in world.cases.items() if case.split == "test"}
    test_only = {**world.scores, **blind}
    blinded = RecordedFile(
        world.path, world.cases, world.pool, world.mean_costs, world.own_split, test_only, world.references
    )
    assert calibrate(blinded, Way(analyses="auto"), "posterior") == fit


def test_nothing_can_be_learnt_of_nothing() -> None:
    with pytest.raises(ValueError, match="no questions"):
        fit_posterior(("a",), [])
