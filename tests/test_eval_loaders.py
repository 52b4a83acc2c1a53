"""Files of cases and of outcomes, as people and benchmarks publish them, and what is said of bad ones."""

# pytest leaves the types of `approx` open: pyright: reportUnknownMemberType=false

from __future__ import annotations

import csv
import gzip
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from textwrap import wrap

import pytest
from inline_snapshot import snapshot

from orchestrator.errors import ConfigError
from orchestrator.evals.cases import EvalCase, Expect
from orchestrator.evals.loaders import (
    load_cases,
    load_outcomes,
    read_routerarena_cases,
    read_routerbench,
    routerarena_choices,
)
from orchestrator.evals.matrix import matrix_of
from orchestrator.evals.metrics import robustness
from orchestrator.messages import Message


def lines(path: Path, rows: Sequence[object]) -> Path:
    """A JSON lines file, gzip if its name says so."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def table(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


FULL = {
    "id": "sum",
    "question": "What is 17% of 2,340?",
    "reference": "397.8",
    "kind": "math",
    "task": "percentages",
    "split": "train",
    "expect": {"routed_to": ["calculator"], "never_called": ["oracle"], "max_turns": 2, "max_cost_usd": 0.01},
}


@pytest.mark.parametrize("name", ["cases.jsonl", "cases.jsonl.gz"])
def test_cases_as_json_lines(name: str, tmp_path: Path) -> None:
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of Peru?"}]
    path = lines(tmp_path / name, [FULL, {"id": "talk", "question": talk, "reference": ["Lima", "lima"]}])
    first, second = load_cases(path)
    assert first == EvalCase(
        id="sum",
        question="What is 17% of 2,340?",
        reference=("397.8",),
        kind="math",
        task="percentages",
        split="train",
        expect=Expect(routed_to=("calculator",), never_called=("oracle",), max_turns=2, max_cost_usd=Decimal("0.01")),
    )
    assert (first.asked.kind, first.asked.case) == ("math", "sum")
    assert second.asked.messages == (Message("system", "Be brief."), Message("user", "Capital of Peru?"))
    assert (second.reference, second.split) == (("Lima", "lima"), "test")


def test_cases_as_csv(tmp_path: Path) -> None:
    rows = [
        {"id": "q1", "question": "Which, A or B?\nChoose.", "reference": "A", "choices": "A|B", "task": "letters"},
        {"id": "q2", "question": "Say hello, or hi", "reference": "hello | hi", "choices": "", "task": ""},
    ]
    one, two = load_cases(table(tmp_path / "cases.csv", rows))
    assert (one.asked.choices, one.reference, one.task) == (("A", "B"), ("A",), "letters")
    assert (two.question, two.reference, two.choices, two.task) == ("Say hello, or hi", ("hello", "hi"), (), None)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.jsonl", "", snapshot(["a.jsonl: holds no cases; expected one case per line"])),
        (
            "a.jsonl",
            "{",
            snapshot(
                ["a.jsonl: `line 1`: is no JSON: Expecting property name enclosed in double quotes at line 1, column 2"]
            ),
        ),
        ("a.jsonl", "[1]", snapshot(["a.jsonl: `line 1`: is no JSON object; expected an object in braces"])),
        (
            "a.jsonl",
            '{"id": "a"}',
            snapshot(["a.jsonl: `line 1.question`: is missing; expected a value for `question`"]),
        ),
        (
            "a.jsonl",
            '{"id": "a", "question": " "}',
            snapshot(["a.jsonl: `line 1.question`: the question is empty; expected some text from a user"]),
        ),
        (
            "a.jsonl",
            '{"id": "a", "question": "b", "refrence": "c"}',
            snapshot(
                [
                    "a.jsonl: `line 1.refrence`: unknown key `refrence`; expected one of choices, expect, id, kind,",
                    "question, reference, split, task; did you mean `reference`?",
                ]
            ),
        ),
        (
            "a.jsonl",
            '{"id": "a", "question": "b", "expect": {"status": "failed"}}',
            snapshot(
                ["a.jsonl: `line 1.expect.status`: cannot be 'failed'; expected 'answered', 'degraded' or 'escalated'"]
            ),
        ),
        (
            "a.jsonl",
            '{"id": "a", "question": "b"}\n{"id": "a", "question": "c"}',
            snapshot(["a.jsonl: `line 2`: the id `a` stands twice"]),
        ),
        ("a.csv", "id,question\na,b,c\n", snapshot(["a.csv: `line 2`: has 3 cells; expected 2, as the first line"])),
        ("a.csv", "id,id\na,b\n", snapshot(["a.csv: `line 1`: the column `id` stands twice"])),
        (
            "a.csv",
            'id,question\na,"b\n',
            snapshot(["a.csv: is no CSV: unexpected end of data; expected comma-separated, quotes doubled"]),
        ),
        (
            "a.csv",
            "id,question,split\na,b,dev\n",
            snapshot(["a.csv: `line 2.split`: cannot be 'dev'; expected 'train' or 'test'"]),
        ),
    ],
    ids=[
        "empty",
        "torn",
        "list",
        "no question",
        "blank",
        "typo",
        "status",
        "twice",
        "cells",
        "columns",
        "quote",
        "split",
    ],
)
def test_a_bad_file_of_cases_says_where(
    name: str, text: str, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_cases(name)
    assert wrap(str(caught.value), width=100) == told


WIDE = [
    {
        "sample_id": "mmlu-law.val.5",
        "prompt": "['Which court?\\nA) one', 'Answer:']",
        "eval_name": "mmlu-law",
        "big/one": 1.0,
        "small": 0.0,
        "big/one|model_response": "['A']",
        "small|model_response": "[not a list",
        "oracle_model_to_route_to": "big/one",
        "big/one|total_cost": 0.0021,
        "small|total_cost": "",
    },
    {
        "sample_id": "mmlu-law.val.6",
        "prompt": "Say 'x'",
        "eval_name": "mmlu-law",
        "big/one": "",
        "small": 0.25,
        "big/one|model_response": "",
        "small|model_response": "x, y",
        "oracle_model_to_route_to": "small",
        "big/one|total_cost": "",
        "small|total_cost": 0.0001,
    },
]


def test_routerbenchs_wide_table(tmp_path: Path) -> None:
    path = table(tmp_path / "routerbench_0shot.csv", WIDE)
    file = load_outcomes(path)
    first, second = file.cases["mmlu-law.val.5"], file.cases["mmlu-law.val.6"]
    assert first.question.text == "Which court?\nA) one\nAnswer:"
    assert (first.takes["big/one"].response, first.takes["big/one"].cost) == ("A", Decimal("0.0021"))
    assert (first.takes["small"].response, first.takes["small"].cost) == ("[not a list", None)
    assert (set(second.takes), second.task, second.question.text) == ({"small"}, "mmlu-law", "Say 'x'")
    assert file.scores == {"mmlu-law.val.5": {"big/one": 1.0, "small": 0.0}, "mmlu-law.val.6": {"small": 0.25}}
    assert not file.own_split
    assert read_routerbench(path, "train").own_split


ARENA: list[dict[str, object]] = [
    {
        "global index": "AIME_112",
        "prompt": "Find x.",
        "prediction": "gpt-4o-mini",
        "generated_result": {
            "generated_answer": "12",
            "success": True,
            "token_usage": {"input_tokens": 30, "output_tokens": 5, "total_tokens": 35},
        },
        "cost": 0.00042,
        "accuracy": 1.0,
        "for_optimality": False,
    },
    {
        "global_index": "AIME_112",
        "prompt": "Find x.",
        "prediction": "claude-3-haiku",
        "generated_result": {"generated_answer": "", "success": False, "token_usage": None},
        "cost": None,
        "accuracy": None,
        "for_optimality": True,
    },
    {
        "global index": "GPQA_7",
        "prompt": "Which?",
        "prediction": "claude-3-haiku",
        "generated_result": {"generated_answer": "B", "success": True, "token_usage": {}},
        "cost": 0.0,
        "accuracy": 0.0,
        "for_optimality": False,
    },
]


def test_a_prediction_file_of_routerarena(tmp_path: Path) -> None:
    path = tmp_path / "my-router.json"
    path.write_text(json.dumps(ARENA), encoding="utf-8")
    file = load_outcomes(path)
    assert file.scores == {"AIME_112": {"gpt-4o-mini": 1.0, "claude-3-haiku": 0.0}, "GPQA_7": {"claude-3-haiku": 0.0}}
    case = file.cases["AIME_112"]
    assert (case.task, case.question.text) == ("AIME", "Find x.")
    assert (case.takes["gpt-4o-mini"].cost, case.takes["gpt-4o-mini"].usage.total) == (Decimal("0.00042"), 35)
    assert case.takes["claude-3-haiku"].cost is None
    assert file.cases["GPQA_7"].takes["claude-3-haiku"].cost is None
    assert not matrix_of(file).priced


def test_flips_between_two_files_of_routerarena(tmp_path: Path) -> None:
    reworded: list[dict[str, object]] = [
        {"global index": name, "prediction": "gpt-4o-mini"} for name in ("AIME_112", "GPQA_7", "MATH_1")
    ]
    for name, entries in {"plain": ARENA, "robustness": reworded}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(entries), encoding="utf-8")
    plain, other = (routerarena_choices(tmp_path / f"{name}.json") for name in ("plain", "robustness"))
    assert plain == {"AIME_112": "gpt-4o-mini", "GPQA_7": "claude-3-haiku"}
    assert robustness(plain, other) == 0.5


def test_our_own_layout_is_read_as_it_is_run(tmp_path: Path) -> None:
    row = {"id": "q", "question": "Which?", "outcomes": {"m": {"score": 1, "cost_usd": 0.5}}, "reference": "B"}
    file = load_outcomes(lines(tmp_path / "own.jsonl", [row]))
    assert (file.scores, file.references) == ({"q": {"m": 1.0}}, {"q": "B"})


def arena(**changes: object) -> str:
    """The first prediction with some fields changed."""
    return json.dumps([{**ARENA[0], **changes}])


def wide(**changes: object) -> str:
    """The first row of the wide table with some cells changed."""
    row = {**WIDE[0], **changes}
    cells = [f'"{value}"' for value in row.values()]
    return ",".join(row) + "\n" + ",".join(cells) + "\n"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", "{}", snapshot(["a.json: holds no list; expected a JSON list of objects"])),
        ("a.json", "[1]", snapshot(["a.json: `[0]`: is no JSON object; expected an object in braces"])),
        (
            "a.json",
            "[{}]",
            snapshot(
                [
                    "a.json: `[0]`: is no prediction of RouterArena; expected an entry with `global index` and",
                    "`prediction`",
                ]
            ),
        ),
        ("a.json", arena(accuracy=None), snapshot(["a.json: `[0].accuracy`: was not evaluated; expected a number"])),
        (
            "a.json",
            arena(accuracy=1.5),
            snapshot(["a.json: `[0].outcomes.gpt-4o-mini.score`: cannot be 1.5; expected a number of at most 1"]),
        ),
        (
            "a.json",
            json.dumps([ARENA[0], ARENA[0]]),
            snapshot(["a.json: `[1]`: `gpt-4o-mini` has two results for `AIME_112`"]),
        ),
        ("a.json", "[]", snapshot(["a.json: holds no records; expected one JSON record per line"])),
        (
            "a.csv",
            "id,question\na,b\n",
            snapshot(
                [
                    "a.csv: `line 2`: is not RouterBench's wide table; expected columns `sample_id`, `prompt`,",
                    "`eval_name`, `MODEL`, `MODEL|model_response` and `MODEL|total_cost`",
                ]
            ),
        ),
        (
            "a.csv",
            wide(small="high"),
            snapshot(
                [
                    "a.csv: `line 2.outcomes.small.score`: cannot be 'high'; expected a valid number, unable to parse",
                    "string as a number",
                ]
            ),
        ),
        (
            "a.csv",
            wide() + wide().splitlines()[1] + "\n",
            snapshot(["a.csv: `line 3`: the id `mmlu-law.val.5` stands twice"]),
        ),
        (
            "a.parquet",
            "",
            snapshot(
                [
                    "a.parquet: is in no layout that is read; expected a name that ends in .jsonl, .csv or .json, or",
                    "these with .gz",
                ]
            ),
        ),
        ("a.jsonl", "{}", snapshot(["a.jsonl: `line 1.id`: is missing; expected a value for `id`"])),
    ],
    ids=[
        "object",
        "number",
        "empty entry",
        "no score",
        "score",
        "twice",
        "none",
        "cases",
        "word",
        "same id",
        "type",
        "own",
    ],
)
def test_a_bad_file_of_outcomes_says_where(
    name: str, text: str, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_outcomes(name)
    assert wrap(str(caught.value), width=100) == told


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "routerbench_0shot.pkl"
    path.write_bytes(pickle.dumps(WIDE))
    with pytest.raises(ConfigError, match="a pickle can run any code"):
        load_outcomes(path)


@pytest.mark.parametrize("read", [load_cases, load_outcomes])
def test_a_file_that_is_not_there(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        read(tmp_path / "nowhere.jsonl")


def test_an_unknown_layout_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_outcomes(tmp_path / "a.json", "routerarenas")
    assert caught.value.suggestion == "routerarena"


ARENA_ROWS = [
    {
        "Global Index": "Ethics_justice_12",
        "Context": "None",
        "Question": "Which is larger?",
        "Options": ["a mouse", "a whale"],
        "Answer": "a whale",
    },
    {"Global Index": "GSM8K_3", "Dataset name": "GSM8K", "Context": "Tim has 2.", "Question": "How many?", "Answer": 2},
    {"Global Index": "QANTA_7", "Context": "", "Question": "Who?", "Options": [], "Answer": ["Ada", "Lovelace"]},
    {"Global Index": "MMLU_9", "Question": "Which?", "Options": ["x", "y"], "Answer": "B"},
    {"Global Index": "MMLU_10", "Question": "Hidden?", "Options": None, "Answer": ""},
]


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_the_questions_of_routerarena(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"sub_10.{kind}"
    if kind == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            names = ["Global Index", "Dataset name", "Context", "Question", "Options", "Answer"]
            table = csv.DictWriter(file, names)
            table.writeheader()
            table.writerows(ARENA_ROWS)
    else:
        lines = [json.dumps(each) for each in ARENA_ROWS]
        path.write_text("\n".join(lines) if kind == "jsonl" else f"[{','.join(lines)}]", encoding="utf-8")
    ethics, gsm, qanta, mmlu, hidden = read_routerarena_cases(path)
    assert ethics.question == "Which is larger?\n\nA. a mouse\nB. a whale"
    assert (ethics.choices, ethics.reference, ethics.task, ethics.kind) == (
        ("A", "B"),
        ("B",),
        "Ethics_justice",
        "multiple_choice",
    )
    assert (gsm.question, gsm.reference, gsm.task, gsm.choices) == ("Tim has 2.\n\nHow many?", ("2",), "GSM8K", ())
    assert (qanta.question, qanta.reference, qanta.kind) == ("Who?", ("Ada", "Lovelace"), None)
    assert (mmlu.reference, hidden.reference, hidden.task) == (("B",), (), "MMLU")


def test_a_row_that_is_no_question_of_routerarena_says_where(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ARENA_ROWS[1]) + '\n{"prompt": "Which?"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line 2.*is no question of RouterArena; expected columns `Global Index`"):
        read_routerarena_cases(path)
