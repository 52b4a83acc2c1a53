"""Recorded outcomes: a pool that behaves as real models did, and whose scores nobody who decides can reach."""

# pytest leaves the types of `approx` open: pyright: reportUnknownMemberType=false

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from orchestrator import Analysis, Budget, ConfigError, Orchestrator, Question, Reply, Turn, Usage, View
from orchestrator.providers import Provider, Quote, RecordedFile, Request, read_recorded
from orchestrator.routers import PlanRouter, Routing
from orchestrator.trace.events import TryEnded
from orchestrator.weights import Facilities
from tests.runs import ask, everything_in, reachable

ARC = Path(__file__).parents[2] / "shared" / "data" / "routerbench_arc.jsonl.gz"
with_arc = pytest.mark.skipif(not ARC.is_file(), reason=f"the recorded outcomes are not at {ARC}")

Outcome = dict[str, object]


def outcome(score: float, cost: float | None = 0.001, response: str | None = "A", **more: object) -> Outcome:
    """What one model gave, as a file holds it."""
    return {"score": score, "cost_usd": cost, "response": response, **more}


def record(name: str, *, split: str | None = "test", **outcomes: Outcome) -> dict[str, object]:
    """One record of a file."""
    table: dict[str, object] = {"id": name, "question": f"Which is {name}?", "outcomes": outcomes}
    return table if split is None else {**table, "split": split}


RECORDS = [
    record("t1", split="train", big=outcome(1, 0.004), small=outcome(1, 0.001)),
    record("t2", split="train", big=outcome(1, 0.006), small=outcome(0, 0.003)),
    record("t3", split="train", big=outcome(0.4, 0.005), small=outcome(0, 0.002)),
    {
        **record(
            "q1",
            big=outcome(0, 0.5, "B", input_tokens=30, output_tokens=2),
            small=outcome(1, 0.25, "A) it is", input_tokens=20, output_tokens=3),
        ),
        "choices": ["A", "B"],
        "query": "Which, in short?",
        "kind": "multiple_choice",
        "reference": "A",
        "benchmark": "made up",
    },
    record("q2", big=outcome(1, 0.5, "42")),
]


def written(folder: Path, records: Sequence[Mapping[str, object]], name: str = "made.jsonl") -> Path:
    """A file of records."""
    path = folder / name
    text = "".join(json.dumps(each) + "\n" for each in records)
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode())
    return path


def over(file: RecordedFile, **settings: object) -> Orchestrator:
    """An orchestrator over the models of a file."""
    return Orchestrator(file.pool, providers={"recorded": file.provider()}, **settings)  # pyright: ignore[reportArgumentType]


def test_p_is_the_mean_train_score(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, RECORDS))
    assert {name: round(agent.skill, 9) for name, agent in file.pool.agents.items()} == {
        "big": 0.8,
        "small": 0.333333333,
    }
    assert file.mean_costs == {"big": Decimal("0.005"), "small": Decimal("0.002")}
    assert file.own_split
    assert file.pool.models["recorded:big"].id == "big"


@pytest.mark.parametrize("name", ["made.jsonl", "made.jsonl.gz"])
def test_the_reply_is_the_recorded_text_at_the_recorded_cost(name: str, tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, RECORDS, name))
    case = file.find(case="q1", question=None)
    ran = ask(over(file, trace=tmp_path), tmp_path, case.question)
    assert (ran.decision.answer, ran.decision.support) == ("B", ("big",))
    assert (ran.decision.cost_usd, ran.decision.usage) == (Decimal("0.5"), Usage(30, 2))
    assert ran.decision.cost_exact
    tries = ran.of(TryEnded)
    assert [each.usd for each in tries] == [Decimal("0.5")]


def test_reserve_and_bill_are_the_recorded_cost(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, RECORDS))
    provider, question = file.provider(), file.cases["q1"].question
    quote = provider.quote(file.pool.models["recorded:big"], Request(question.messages, case=question.case))
    assert quote == Quote(Decimal("0.005"), Decimal("0.5"), Decimal("0.5"), 32)
    ran = ask(over(file, budget=Budget(usd=Decimal("0.4")), trace=tmp_path), tmp_path, question)
    assert (ran.decision.support, ran.decision.cost_usd) == (("small",), Decimal("0.25"))
    poor = ask(over(file, budget=Budget(usd=Decimal("0.1")), trace=tmp_path), tmp_path, question)
    assert (poor.decision.status, poor.called()) == ("escalated", [])
    assert poor.decision.reasons[0].startswith("limit:usd: a try may cost $0.")


def test_the_weight_is_made_of_train_score_and_mean_cost(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, RECORDS))
    told = over(file).explain(file.cases["q1"].question)
    weights = {each.agent: each.weight for each in told.choices[0].candidates}
    assert weights["big"] == pytest.approx(-log(0.8) + 20 * 0.005)
    assert weights["small"] == pytest.approx(-log(1 / 3) + 20 * 0.002)
    cheap = over(file, prefer="cheap").explain(file.cases["q1"].question)
    assert cheap.choices[0].expert == "big"


def test_a_model_without_a_record_is_no_choice(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, RECORDS))
    ran = ask(over(file, analyses=2, trace=tmp_path), tmp_path, file.cases["q2"].question)
    assert (ran.called(), ran.decision.status, ran.decision.reasons) == (["big"], "degraded", ("analyses: 1 of 2",))
    told = over(file).explain(file.cases["q2"].question).choices[0].candidates
    assert {each.agent: each.why_not for each in told} == {
        "big": None,
        "small": "no outcome is recorded for this question",
    }


def test_a_question_that_is_not_recorded_is_nobodys(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, RECORDS))
    ran = ask(over(file, trace=tmp_path), tmp_path, "Which is t1?")
    assert (ran.decision.status, ran.called()) == ("escalated", [])
    assert ran.decision.reasons[1:] == (
        "big: no outcome is recorded for this question",
        "small: no outcome is recorded for this question",
    )


def test_a_vote_compares_choices(tmp_path: Path) -> None:
    train = record("t", split="train", a=outcome(1), b=outcome(1), c=outcome(1))
    table = record("q", a=outcome(1, response="B) no"), b=outcome(1, response="a."), c=outcome(0, response="(A) yes"))
    file = read_recorded(written(tmp_path, [train, {**table, "choices": ["A", "B"]}]))
    ran = ask(over(file, analyses=3, trace=tmp_path), tmp_path, file.cases["q"].question)
    assert (ran.decision.answer, ran.decision.support, ran.decision.status) == ("A", ("b", "c"), "answered")


def test_cases_are_found_by_id_by_question_and_by_query(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, RECORDS))
    assert file.find(case="q2", question="Which is q1?").id == "q2"
    assert file.find(case=None, question="  Which is q1?\n").id == "q1"
    assert file.find(case=None, question="Which, in short?").id == "q1"
    told: list[str] = []
    for case, question in (("q3", None), (None, "Who?"), (None, None), (None, " ")):
        with pytest.raises(ConfigError) as caught:
            file.find(case=case, question=question)
        told.append(str(caught.value).removeprefix(str(tmp_path)))
    assert told == snapshot(
        [
            "/made.jsonl: `case`: there is no case `q3`; expected one of its 5 ids",
            "/made.jsonl: `question`: none of its cases asks this; expected a recorded question, or --case ID",
            "/made.jsonl: `question`: none of its cases asks this; expected a recorded question, or --case ID",
            "/made.jsonl: `question`: none of its cases asks this; expected a recorded question, or --case ID",
        ]
    )


def test_without_train_records_the_split_is_drawn_from_the_id(tmp_path: Path) -> None:
    ids = [f"case-{number}" for number in range(60)]
    records = [record(name, split=None, m=outcome(number % 2)) for number, name in enumerate(ids)]
    file = read_recorded(written(tmp_path, records))
    drawn = {name: "train" if sha256(name.encode()).digest()[0] % 2 == 0 else "test" for name in ids}
    assert {name: case.split for name, case in file.cases.items()} == drawn
    assert not file.own_split
    train = [number % 2 for number, name in enumerate(ids) if drawn[name] == "train"]
    assert file.pool.agents["m"].skill == pytest.approx(sum(train) / len(train))


def test_a_model_that_was_never_trained_has_an_unknown_skill(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, [*RECORDS, record("q3", new=outcome(1, 0.1, "7"))]))
    assert (file.pool.agents["new"].skill, file.mean_costs["new"]) == (0.5, None)
    ran = ask(over(file, trace=tmp_path), tmp_path, file.cases["q3"].question)
    assert (ran.decision.answer, ran.decision.cost_usd) == ("7", Decimal("0.1"))


def test_a_model_that_was_always_wrong_is_never_asked(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, [record("t", split="train", m=outcome(0)), record("q", m=outcome(1))]))
    ran = ask(over(file, trace=tmp_path), tmp_path, file.cases["q"].question)
    assert (ran.decision.status, ran.decision.reasons[1]) == ("escalated", "m: p = 0")


NO_COSTS = [record("t", split="train", m=outcome(1, None)), record("q", m=outcome(1, None, "42"))]


def test_without_costs_the_cost_is_unknown(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, NO_COSTS))
    assert not file.priced()
    ran = ask(over(file, trace=tmp_path), tmp_path, file.cases["q"].question)
    assert (ran.decision.answer, ran.decision.status, ran.decision.cost_usd) == ("42", "answered", None)
    told = over(file).explain(file.cases["q"].question).choices[0].candidates[0]
    assert (told.weight, told.usd) == (0.0, None)


def test_without_costs_no_budget_can_be_kept(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, [*NO_COSTS, record("p", m=outcome(1, 0.1))]))
    with pytest.raises(ConfigError) as caught:
        over(file, budget=Budget(usd=Decimal(1)))
    assert wrap(str(caught.value), width=96) == snapshot(
        [
            "`budget.usd`: cannot be kept: the recorded outcomes hold no costs; expected no money budget, or",
            "a file that records every cost",
        ]
    )
    assert over(file, budget=Budget(tokens=9))


def test_without_responses_there_is_nothing_to_run(tmp_path: Path) -> None:
    records = [record("t", split="train", m=outcome(1, response=None)), record("q", m=outcome(1, response=None))]
    file = read_recorded(written(tmp_path, records))
    orchestrator = over(file, trace=tmp_path)
    assert orchestrator.explain(file.cases["q"].question).choices[0].expert == "m"
    with pytest.raises(ConfigError) as caught:
        orchestrator.run_sync(file.cases["q"].question)
    assert wrap(str(caught.value), width=96) == snapshot(
        [
            "`recorded`: the recorded outcomes hold no responses: they say who would have been right, not",
            "what was said; expected a file with responses; one without serves `explain` and evals by score",
        ]
    )


def test_one_missing_response_is_a_failed_attempt(tmp_path: Path) -> None:
    records = [*RECORDS[:3], record("q", big=outcome(1, response=None), small=outcome(1, 0.1, "42"))]
    file = read_recorded(written(tmp_path, records))
    ran = ask(over(file, trace=tmp_path), tmp_path, file.cases["q"].question)
    assert (ran.decision.answer, ran.decision.cost_usd, ran.outcomes()) == ("42", Decimal("0.1"), [("big", "rerouted")])
    assert ran.decision.failed[0].error == "no response of big is recorded"


LINE = json.dumps(RECORDS[0])
IDS = (
    "empty",
    "blank",
    "torn",
    "a list",
    "twice",
    "no id",
    "score above 1",
    "no number",
    "unknown key",
    "negative cost",
    "unknown split",
    "latin-1",
    "deep",
    "cut gzip",
)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", snapshot(["made.jsonl: holds no records; expected one JSON record per line"])),
        (b"\n\n", snapshot(["made.jsonl: holds no records; expected one JSON record per line"])),
        (
            (LINE + "\n" + LINE[:40]).encode(),
            snapshot(
                [
                    "made.jsonl: `line 2`: is no JSON: Expecting property name enclosed in double quotes at column",
                    "41; expected a record of outcomes on a line of its own",
                ]
            ),
        ),
        (
            f"{LINE}\n\n[1]\n".encode(),
            snapshot(["made.jsonl: `line 3`: is no JSON object; expected a record of outcomes on a line of its own"]),
        ),
        (f"{LINE}\n{LINE}\n".encode(), snapshot(["made.jsonl: `line 2`: the id `t1` stands twice"])),
        (
            LINE.replace('"id": "t1", ', "").encode(),
            snapshot(["made.jsonl: `line 1.id`: is missing; expected a value for `id`"]),
        ),
        (
            LINE.replace('"score": 1', '"score": 1.5').encode(),
            snapshot(["made.jsonl: `line 1.outcomes.big.score`: cannot be 1.5; expected a number of at most 1"]),
        ),
        (
            LINE.replace('"score": 1', '"score": NaN').encode(),
            snapshot(["made.jsonl: `line 1.outcomes.big.score`: cannot be nan; expected a number of at most 1"]),
        ),
        (
            LINE.replace('"score"', '"scor"').encode(),
            snapshot(
                [
                    "made.jsonl: `line 1.outcomes.big.scor`: unknown key `scor`; expected one of cost_usd,",
                    "input_tokens, output_tokens, response, score; did you mean `score`?",
                ]
            ),
        ),
        (
            LINE.replace("0.004", "-0.004").encode(),
            snapshot(["made.jsonl: `line 1.outcomes.big.cost_usd`: cannot be -0.004; expected a number of at least 0"]),
        ),
        (
            LINE.replace("train", "validation").encode(),
            snapshot(["made.jsonl: `line 1.split`: cannot be 'validation'; expected 'train' or 'test'"]),
        ),
        (
            b'{"id": "z\xe4h"}\n',
            snapshot(
                [
                    "made.jsonl: cannot be read: 'utf-8' codec can't decode byte 0xe4 in position 9: invalid",
                    "continuation byte; expected JSON lines in UTF-8, plain or gzip",
                ]
            ),
        ),
        (
            b"[" * 100_000,
            snapshot(
                ["made.jsonl: `line 1`: is nested too deeply; expected a record of outcomes on a line of its own"]
            ),
        ),
        (
            gzip.compress(LINE.encode(), mtime=0)[:60],
            snapshot(
                [
                    "made.jsonl.gz: cannot be read: Compressed file ended before the end-of-stream marker was",
                    "reached; expected JSON lines in UTF-8, plain or gzip",
                ]
            ),
        ),
    ],
    ids=[
        "empty",
        "blank",
        "torn",
        "a list",
        "twice",
        "no id",
        "score above 1",
        "no number",
        "unknown key",
        "negative cost",
        "unknown split",
        "latin-1",
        "deep",
        "cut gzip",
    ],
)
def test_a_bad_file_says_where(
    content: bytes, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("made.jsonl.gz" if content.startswith(b"\x1f\x8b") else "made.jsonl")
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_recorded(path)
    assert wrap(str(caught.value), width=96, break_on_hyphens=False) == told


def test_a_file_that_is_no_gzip_or_not_there_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = gzip.compress(LINE.encode(), mtime=0)
    Path("plain.jsonl.gz").write_text(LINE)
    Path("damaged.jsonl.gz").write_bytes(whole[:30] + b"\xff\xff\xff\xff" + whole[34:])
    told = dict.fromkeys(("plain.jsonl.gz", "damaged.jsonl.gz", "nowhere.jsonl"), "")
    for name in told:
        with pytest.raises(ConfigError) as caught:
            read_recorded(name)
        assert caught.value.expected == "JSON lines in UTF-8, plain or gzip"
        told[name] = str(caught.value).partition(";")[0].partition(" while ")[0]
    assert told == snapshot(
        {
            "plain.jsonl.gz": "plain.jsonl.gz: cannot be read: Not a gzipped file (b'{\"')",
            "damaged.jsonl.gz": "damaged.jsonl.gz: cannot be read: Error -3",
            "nowhere.jsonl": "nowhere.jsonl: cannot be read: No such file or directory",
        }
    )


class Spy:
    """A router, a merge and a provider in one: it keeps all that it is handed."""

    name = "spy"

    def __init__(self, provider: Provider) -> None:
        self.handed: list[object] = []
        self._provider = provider
        self._plan = PlanRouter()

    async def decide(self, view: View) -> Turn | Routing:
        """The plan's turn."""
        self.handed.append(view)
        return await self._plan.decide(view)

    async def merge(self, question: Question, replies: Sequence[Reply]) -> Analysis:
        """The first reply."""
        self.handed += [question, *replies]
        return Analysis(replies[0].text)


def _holds_floats(each: object) -> bool:
    """Whether it is a table with numbers such as scores are."""
    if not isinstance(each, Mapping):
        return False
    return any(isinstance(value, float) for value in cast("Mapping[object, object]", each).values())


def hold_scores_apart(file: RecordedFile, start: object) -> int:
    """Nothing that can be had from an object holds a score; how much was looked at."""
    scores = [file.scores, *file.scores.values()]
    looked = 0
    for each in everything_in(start):
        looked += 1
        assert type(each).__name__ not in {"_Outcome", "_Record", "RecordedFile"}
        assert not any(each is hidden for hidden in scores)
        if _holds_floats(each):  # counts of calls may equal scores by chance
            assert all(each != hidden for hidden in scores)
    return looked


def test_nobody_who_decides_can_reach_a_score(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, RECORDS))
    spy = Spy(file.provider())
    orchestrator = over(file, router=spy, merge=spy, analyses=2, trace=tmp_path)
    assert ask(orchestrator, tmp_path, file.cases["q1"].question).decision.method == "spy"
    assert reachable(spy.handed, Facilities), "the walk goes deep enough"
    assert hold_scores_apart(file, spy.handed) > 100
    assert hold_scores_apart(file, [file.provider(), file.pool, file.cases]) > 50


def test_the_walk_would_find_a_score(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, RECORDS))

    def leak(kept: object) -> Callable[[], object]:
        return lambda: kept

    for hidden in (file, leak(file.scores["q1"]), [{"a": (dict(file.scores["q1"]),)}]):
        with pytest.raises(AssertionError):
            hold_scores_apart(file, hidden)


def test_scores_are_there_for_evals_alone(tmp_path: Path) -> None:
    file = read_recorded(written(tmp_path, RECORDS))
    assert file.scores["q1"] == {"big": 0.0, "small": 1.0}
    assert not [name for name in dir(file.cases["q1"].takes["big"]) if "score" in name]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 10)), min_size=1, max_size=6))
def test_means_are_over_train_alone(train: list[tuple[float, float]]) -> None:
    records = [record(f"t{at}", split="train", m=outcome(score, cost)) for at, (score, cost) in enumerate(train)]
    with TemporaryDirectory() as folder:
        file = read_recorded(written(Path(folder), [*records, record("q", m=outcome(0, 99))]))
    assert file.pool.agents["m"].skill == pytest.approx(sum(score for score, _ in train) / len(train))
    mean = file.mean_costs["m"]
    assert mean is not None
    assert float(mean) == pytest.approx(sum(cost for _, cost in train) / len(train))


@pytest.fixture(scope="module")
def arc() -> RecordedFile:
    """The ARC questions of RouterBench."""
    return read_recorded(ARC)


@with_arc
def test_the_single_best_expert_on_arc(arc: RecordedFile, tmp_path: Path) -> None:
    assert (len(arc.cases), len(arc.pool.models), arc.own_split) == (1470, 11, True)
    best = max(arc.pool.agents.values(), key=lambda agent: agent.skill).name
    assert (best, round(arc.pool.agents[best].skill, 4)) == ("gpt-4-1106-preview", 0.9534)
    orchestrator = over(arc, prefer="quality", trace=tmp_path)
    for case in [case for case in arc.cases.values() if case.split == "test"][:5]:
        ran = ask(orchestrator, tmp_path, case.question)
        take = case.takes[best]
        assert (ran.decision.answer, ran.decision.cost_usd, ran.called()) == (take.response, take.cost, [best])


@with_arc
def test_three_analyses_on_arc(arc: RecordedFile, tmp_path: Path) -> None:
    case = next(case for case in arc.cases.values() if case.split == "test")
    ran = ask(over(arc, analyses=3, prefer="quality", trace=tmp_path), tmp_path, case.question)
    told = over(arc, prefer="quality").explain(case.question).choices[0].candidates
    weights = {each.agent: each.weight or 9 for each in told}
    assert ran.called() == sorted(weights, key=lambda name: weights[name])[:3]
    assert ran.decision.answer in case.question.choices
    assert ran.decision.cost_usd == sum(case.takes[name].cost or 0 for name in ran.called())


@with_arc
def test_scores_stay_out_of_reach_on_arc(arc: RecordedFile) -> None:
    spy = Spy(arc.provider())
    case = next(iter(arc.cases.values()))
    over(arc, router=spy, merge=spy, trace=False).run_sync(case.question)
    hidden = {id(arc.scores), *map(id, arc.scores.values())}
    for each in everything_in(spy.handed):
        assert id(each) not in hidden
        assert type(each).__name__ not in {"_Outcome", "_Record", "RecordedFile"}
