"""Confidence: curves, the joint model of answers, calibration files, abstention, and that no choice saw its test."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import ConfigError, Orchestrator
from orchestrator.confidence import (
    NONE,
    SOURCES,
    Calibration,
    Policy,
    Posterior,
    Seen,
    ballot_of,
    believed,
    calibrated,
    check_source,
    crossfit,
    expected,
    fit_posterior,
    fold_of,
    naive,
    pattern_of,
    raw_score,
    read_calibration,
    sigma,
)
from orchestrator.confidence.curves import at, isotonic, platt, sigmoid
from orchestrator.merge import canonical
from orchestrator.messages import Goal, Question, Reply
from orchestrator.trace import read_trace, verify
from tests.experts import giving
from tests.runs import ask

SCORES = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), min_size=1, max_size=40)
CHANCE = st.floats(0.05, 0.9)


@given(SCORES, st.randoms(use_true_random=False))
def test_an_isotonic_curve_rises_and_hangs_on_no_order(pairs: list[tuple[float, float]], random: Random) -> None:
    knots = isotonic(pairs)
    heights = [at(knots, score / 50) for score in range(51)]
    assert heights == sorted(heights)
    assert all(0 < each < 1 for each in heights)
    mixed = list(pairs)
    random.shuffle(mixed)
    assert isotonic(mixed) == knots


def test_an_isotonic_curve_is_the_mean_of_each_pooled_block() -> None:
    pairs = [(0.1, 0.0), (0.1, 1.0), (0.2, 0.0), (0.3, 0.0), (0.3, 1.0), (0.3, 1.0), (0.4, 1.0), (0.4, 0.0)]
    knots = isotonic(pairs)  # 0.1 and 0.2 violate the order and are one block, so do 0.3 and 0.4
    assert [at(knots, score) for score in (0.1, 0.2, 0.3, 0.4)] == pytest.approx([1 / 3, 1 / 3, 3 / 5, 3 / 5])
    assert at(knots, 0.25) == pytest.approx((1 / 3 + 3 / 5) / 2)
    assert (at(knots, -5.0), at(knots, 5.0)) == (at(knots, 0.1), at(knots, 0.4))


def test_platt_finds_the_sigmoid_that_drew_the_pairs_and_never_a_falling_one() -> None:
    random = Random(3)
    scores = [random.random() for _ in range(4000)]
    pairs = [(score, float(random.random() < sigmoid(6.0, -3.0, score))) for score in scores]
    slope, offset = platt(pairs)
    assert slope == pytest.approx(6.0, abs=0.5)
    assert offset == pytest.approx(-3.0, abs=0.3)
    falling = platt([(score, 1 - right) for score, right in pairs])
    assert falling[0] == 0


@pytest.mark.parametrize("fit", [isotonic, platt])
def test_nothing_is_fitted_on_nothing(fit: object) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        fit([])  # pyright: ignore[reportCallIssue, reportUnknownVariableType] - either of two functions


@st.composite
def posteriors(draw: st.DrawFn) -> Posterior:
    """Any tables of up to three experts and two classes."""
    experts, classes = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    shares = [draw(CHANCE) for _ in range(classes)]
    rows = [[draw(CHANCE) for _ in range(experts)] for _ in range(classes)]
    return Posterior(
        tuple("abc"[:experts]),
        tuple(each / sum(shares) for each in shares),
        tuple(tuple(row) for row in rows),
        tuple(tuple((1 - p) * 0.3 for p in row) for row in rows),
        tuple(draw(CHANCE) for _ in range(classes)),
    )


def brute(model: Posterior, said: tuple[int, ...], choices: int) -> list[float]:
    """The probability of answers together with each of the choices being right, written out."""
    found = [0.0] * choices
    for share, rights, nones, pull in zip(model.shares, model.right, model.none, model.attraction, strict=True):
        for truth, lure in product(range(choices), repeat=2):
            if truth == lure:
                continue
            chance = share / choices / (choices - 1)
            for right, none, answer in zip(rights, nones, said, strict=True):
                stray = (1 - right - none) * ((1 - pull) / (choices - 2) if choices > 2 else 0.0)
                pulled = (1 - right - none) * (pull if choices > 2 else 1.0)
                chance *= right if answer == truth else none if answer == NONE else pulled if answer == lure else stray
            found[truth] += chance
    return found


@given(posteriors(), st.integers(2, 4))
def test_the_joint_model_is_what_it_says_written_out(model: Posterior, choices: int) -> None:
    total = 0.0
    for said in product([NONE, *range(choices)], repeat=len(model.experts)):
        written = brute(model, said, choices)
        pattern = pattern_of(dict(enumerate(said)))
        weights = model.weights(pattern, choices)
        assert weights.total == pytest.approx(sum(written))
        names = dict(zip(said, (label for _, label in pattern), strict=True))
        for answer, label in names.items():
            if answer != NONE:
                assert weights.labels[label] == pytest.approx(written[answer])
        total += sum(written)
    assert total == pytest.approx(1.0)


@given(posteriors(), st.integers(2, 4), st.integers(0, 2))
def test_what_an_expert_is_expected_to_be_is_the_mean_over_what_it_may_say(
    model: Posterior, choices: int, place: int
) -> None:
    place %= len(model.experts)
    for said in product(range(choices), repeat=len(model.experts) - 1):
        before, after = said[:place], said[place:]
        written = [brute(model, (*before, answer, *after), choices) for answer in [NONE, *range(choices)]]
        right = sum(written[answer + 1][answer] for answer in range(choices))
        others = {n + (n >= place): answer for n, answer in enumerate(said)}
        found = expected(model, pattern_of(others), place, choices)
        assert found == pytest.approx(right / sum(map(sum, written)))


def made_up(cases: int, seed: int = 0) -> list[tuple[dict[int, Seen], int]]:
    """Questions with four choices: 70 % easy; of the others most have a wrong answer that two of three fall for."""
    random, found = Random(seed), list[tuple[dict[int, Seen], int]]()
    for _ in range(cases):
        hard = random.random() < 0.3
        seen: dict[int, Seen] = {}
        for expert, skill in enumerate((0.2, 0.25, 0.9) if hard else (0.95, 0.97, 0.99)):
            right = random.random() < skill
            seen[expert] = Seen(0 if right else 1 if random.random() < 0.8 else random.choice((2, 3)), right)
        found.append((seen, 4))
    return found


def test_the_joint_model_tells_how_often_agreement_is_wrong() -> None:
    model = fit_posterior(("a", "b", "c"), made_up(3000), classes=2)
    held = [seen for seen, _ in made_up(3000, seed=1) if seen[0].label == seen[1].label]
    right = sum(seen[0].right for seen in held) / len(held)
    agree = pattern_of({0: 0, 1: 0})
    assert believed(model, agree, 4)[0] == pytest.approx(right, abs=0.03)
    independent = believed(naive({"a": 0.73, "b": 0.75}), agree, 4)[0]
    assert abs(independent - right) > 0.05  # as if they never erred together
    third = sum(seen[2].right for seen in held) / len(held)
    assert expected(model, agree, 2, 4) == pytest.approx(third, abs=0.03)


def best_by_brute(model: Posterior, costs: dict[int, float], said: dict[int, int], choices: int) -> float:
    """What the best way to go on is worth, over all ways, with probabilities written out."""
    whole = model.weights(pattern_of(said), choices)
    found = max(whole.labels, default=whole.total / choices)
    for expert, cost in costs.items():
        if expert not in said:
            later = [best_by_brute(model, costs, {**said, expert: x}, choices) for x in [NONE, *range(choices)]]
            found = max(found, sum(later) - cost * whole.total)
    return found


@settings(max_examples=40, deadline=None)
@given(posteriors(), st.lists(st.floats(0, 0.3), min_size=3, max_size=3), st.integers(2, 3))
def test_the_policy_is_the_best_of_all_ways_to_go_on(model: Posterior, prices: list[float], choices: int) -> None:
    costs = dict(enumerate(prices[: len(model.experts)]))
    assert Policy(model, costs, choices).value(()) == pytest.approx(best_by_brute(model, costs, {}, choices))


def test_sigma_is_acars() -> None:
    assert [sigma(labels) for labels in ([0, 0, 0], [0, 0, 1], [0, 1, 2], [NONE, NONE, NONE], [0])] == [0, 0.5, 1, 1, 1]


def replies(*said: tuple[str, str, float, float | None]) -> list[Reply]:
    """Replies by agent, text, p and stated confidence."""
    return [
        Reply(n, agent, Goal("answer", slot=n), text, p=p, confidence=stated)
        for n, (agent, text, p, stated) in enumerate(said, start=1)
    ]


def test_each_source_says_its_own() -> None:
    question = Question((), choices=("A", "B"))
    given_ = replies(("a", "A", 0.6, 0.9), ("b", "A)", 0.7, None), ("c", "B", 0.9, 0.99))
    ballot = ballot_of(question, given_, "A", canonical)
    model = naive({"a": 0.6, "b": 0.7, "c": 0.9})
    found = {source: raw_score(source, ballot, model) for source in SOURCES}
    chance = found.pop("posterior")
    assert found == {"agreement": pytest.approx(2 / 3), "p": 0.7, "verbalised": 0.9}
    assert chance == pytest.approx(0.6 * 0.7 * 0.1 / (0.6 * 0.7 * 0.1 + 0.4 * 0.3 * 0.9), abs=0.01)
    nobodys = ballot_of(question, given_, "none of them", canonical)
    assert {raw_score(source, nobodys, model) for source in SOURCES} == {None}


@pytest.mark.parametrize("name", ["yes-no", "agrement"])
def test_a_source_that_is_not_to_be_had_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"counts as verbalised|`agreement`"):
        check_source(name)


def fitted(source: str = "p") -> Calibration:
    """Scores from 0.5 on are right 9 times of 10, lower ones never."""
    pairs = [(str(n), 0.9 if n % 2 else 0.1, float(n % 2 and n % 20 != 1)) for n in range(200)]
    return calibrated(pairs, check_source(source), data="made up")


def test_a_calibration_is_kept_with_the_hash_of_its_data(tmp_path: Path) -> None:
    made = fitted()
    made.write(tmp_path / "fit.json")
    assert read_calibration(tmp_path / "fit.json") == made
    assert (made.n, made.p(0.9)) == (200, pytest.approx(0.9))
    other = calibrated([("0", 0.9, 1.0), ("1", 0.1, 0.0)], "p")
    assert len({made.data_sha256, other.data_sha256}) == 2
    swapped = calibrated([("1", 0.1, 0.0), ("0", 0.9, 1.0)], "p")
    assert swapped.data_sha256 == other.data_sha256


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"source": "mood"}, "source"),
        ({"knots": []}, "knots"),
        ({"knots": [[0.5, 1.5]]}, "between 0 and 1"),
        ({"knots": [[0.5, 0.5], [0.1, 0.6]]}, "rising"),
        ({"source": "posterior"}, "answers"),
        ({"data_sha256": "abc"}, "data_sha256"),
        ({"format": "thinkroute-confidence-9"}, "format"),
    ],
)
def test_a_broken_calibration_is_refused_by_name(changes: dict[str, object], told: str, tmp_path: Path) -> None:
    path = tmp_path / "fit.json"
    path.write_text(json.dumps({**fitted().model_dump(mode="json"), **changes}))
    with pytest.raises(ConfigError, match=told) as refused:
        read_calibration(path)
    assert "fit.json" in str(refused.value)


def test_a_decision_has_a_confidence_only_by_a_calibration(tmp_path: Path) -> None:
    plain = ask(Orchestrator([giving("a", "42", skill=0.9)], trace=tmp_path / "1"), tmp_path / "1").decision
    sure = ask(Orchestrator([giving("a", "42", skill=0.9)], trace=tmp_path / "2", confidence=fitted()), tmp_path / "2")
    mute = Orchestrator([giving("a", "42")], trace=tmp_path / "3", confidence=fitted("verbalised"))
    assert plain.confidence is None
    assert sure.decision.confidence == pytest.approx(0.9)
    assert ask(mute, tmp_path / "3").decision.confidence is None


@pytest.mark.parametrize(("skill", "status"), [(0.9, "answered"), (0.1, "escalated")])
def test_below_the_line_a_decision_is_an_escalation(skill: float, status: str, tmp_path: Path) -> None:
    expert = giving("a", "42", skill=skill)
    ran = ask(Orchestrator([expert], trace=tmp_path, confidence=fitted(), abstain_below=0.8), tmp_path)
    assert (ran.decision.status, ran.decision.answer) == (status, "42" if status == "answered" else None)
    assert [each.startswith("abstained: ") for each in ran.decision.reasons] == [True] * (status == "escalated")
    (path,) = tmp_path.glob("*.jsonl")
    assert verify(read_trace(path), head=ran.decision.head).passed


def test_what_cannot_be_judged_is_not_sure_enough(tmp_path: Path) -> None:
    silent = Orchestrator([giving("a", "42")], trace=tmp_path, confidence=fitted("verbalised"), abstain_below=0.0)
    assert ask(silent, tmp_path).decision.status == "escalated"


@pytest.mark.parametrize(("line", "told"), [(0.5, "calibration"), (1.5, "1.5")])
def test_abstaining_needs_a_calibration_and_a_probability(line: float, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Orchestrator([giving("a", "42")], abstain_below=line, confidence=fitted() if line > 1 else None)


def test_crossfitting_never_shows_a_fit_what_it_judges() -> None:
    names = [f"case {n}" for n in range(60)]
    seen = crossfit(names, str, frozenset, lambda others, name: (name in others, len(others)))
    assert {inside for inside, _ in seen} == {False}
    sizes = [sum(fold_of(other) != fold_of(name) for other in names) for name in names]
    assert [number for _, number in seen] == sizes
    with pytest.raises(ValueError, match="one fold"):
        crossfit(names[:1], str, frozenset, lambda others, name: name in others)
