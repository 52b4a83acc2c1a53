"""Loaders: cases of one's own as JSON lines or CSV, and outcomes in the layouts that are published.

- `recorded`: one record of outcomes a line, as in `orchestrator run --recorded`.
- `routerbench`: the wide table of RouterBench (repository withmartian/routerbench, `convertors/common.py` at
  30e0925) as CSV: `sample_id`, `prompt`, `eval_name`, and for each model `MODEL` (its score), `MODEL|model_response`
  and `MODEL|total_cost`. The pickles it is published as run code when read, so they are refused.
- `routerarena`: a prediction file of RouterArena (repository RouteWorks/RouterArena, `llm_evaluation/run.py` at
  0d783fa) after its evaluation: a JSON list with `global index`, `prompt`, `prediction` (the model), `accuracy`,
  `cost` (USD), `generated_result`, `for_optimality`.

RouterArena's data set itself is published for another library's disk format; exported as rows, its questions are read
as cases (columns after `scripts/process_datasets/prep_datasets.py` at 1c826da).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

from pydantic import ValidationError

from orchestrator.content import shown
from orchestrator.errors import ConfigError, nearest
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.files import Row, csv_rows, json_list, json_rows
from orchestrator.pool.descriptors import config_error
from orchestrator.providers import RecordedFile, read_recorded, recorded_from

__all__ = [
    "CASE_LOADERS",
    "OUTCOME_LOADERS",
    "layout_of",
    "load_cases",
    "load_outcomes",
    "read_routerarena",
    "read_routerarena_cases",
    "read_routerbench",
    "routerarena_choices",
]

RESPONSE, COST = "|model_response", "|total_cost"
LISTED = ("reference", "choices")
"""Columns of a CSV file of cases that hold several values, with a bar between them."""


def load_cases(path: str | Path) -> tuple[EvalCase, ...]:
    """The cases of a `.jsonl` or `.csv` file, plain or gzip; raises `ConfigError` naming file, line and field.

    In CSV, `reference` and `choices` may hold several values with `|` between them.
    """
    file = Path(path)
    rows: Iterable[Row] = _cells(file) if _ending(file) == ".csv" else json_rows(file)
    cases: dict[str, EvalCase] = {}
    for where, row in rows:
        case = _case(row, file, where)
        if case.id in cases:
            raise ConfigError(f"the id `{case.id}` stands twice", file=shown(file), field=where)
        cases[case.id] = case
    if not cases:
        raise ConfigError("holds no cases", file=shown(file), expected="one case per line")
    return tuple(cases.values())


def _case(row: Mapping[str, object], file: Path, where: str) -> EvalCase:
    reference = row.get("reference")
    plain = {**row, "reference": (reference,)} if isinstance(reference, str) else row
    try:
        case = EvalCase.model_validate(plain)
    except ValidationError as error:
        raise config_error(error, EvalCase, where, shown(file)) from error
    try:
        _ = case.asked
    except ConfigError as error:
        field = f"{where}.{error.field}"
        raise ConfigError(error.problem, file=shown(file), field=field, expected=error.expected) from error
    return case


def _cells(file: Path) -> Iterator[Row]:
    """Rows of a CSV file of cases; an empty cell says nothing."""
    for where, cells in csv_rows(file):
        yield (
            where,
            {
                name: [part.strip() for part in cell.split("|")] if name in LISTED else cell
                for name, cell in cells.items()
                if cell.strip()
            },
        )


def load_outcomes(path: str | Path, layout: str | None = None) -> RecordedFile:
    """Recorded outcomes in one of the layouts of `OUTCOME_LOADERS`; without a name the file's own look decides.

    Raises `ConfigError` naming file, place and what was expected.
    """
    file = Path(path)
    name = layout or layout_of(file)
    known = [each for each in OUTCOME_LOADERS if each]
    if name not in known:
        raise ConfigError(
            f"there is no layout `{name}`",
            field="layout",
            expected="one of " + ", ".join(known),
            suggestion=nearest(name, known),
        )
    return OUTCOME_LOADERS[name](file)


def layout_of(path: Path) -> str:
    """The layout that a file's name and first row speak for; raises `ConfigError` where there is none."""
    match _ending(path):
        case ".jsonl":
            return "recorded"
        case ".csv":
            return "routerbench"
        case ".json":
            return "routerarena"
        case ".pkl" | ".pickle":
            expected = "the table as CSV: a pickle can run any code when it is read"
        case _:
            expected = "a name that ends in .jsonl, .csv or .json, or these with .gz"
    raise ConfigError("is in no layout that is read", file=shown(path), expected=expected)


def _ending(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def read_routerbench(path: str | Path, split: Literal["train", "test"] | None = None) -> RecordedFile:
    """RouterBench's wide table as CSV; `split` where the whole file is one part of somebody's split.

    An empty score is no record, an empty cost an unknown one.
    """
    file = Path(path)
    return recorded_from(shown(file), ((where, _wide(file, where, row, split)) for where, row in csv_rows(file)))


def _wide(file: Path, where: str, row: Mapping[str, str], split: str | None) -> dict[str, object]:
    models = [name.removesuffix(RESPONSE) for name in row if name.endswith(RESPONSE)]
    if not models or not {"sample_id", "prompt", "eval_name", *models} <= row.keys():
        expected = "columns `sample_id`, `prompt`, `eval_name`, `MODEL`, `MODEL|model_response` and `MODEL|total_cost`"
        raise ConfigError("is not RouterBench's wide table", file=shown(file), field=where, expected=expected)
    outcomes = {
        name: {
            "score": {"True": "1", "False": "0"}.get(row[name], row[name]),
            "cost_usd": row.get(name + COST) or None,
            "response": _unlisted(row[name + RESPONSE]),
        }
        for name in models
        if row[name].lower() not in ("", "nan")
    }
    table: dict[str, object] = {
        "id": row["sample_id"],
        "question": _unlisted(row["prompt"]),
        "benchmark": row["eval_name"],
        "outcomes": outcomes,
    }
    return table if split is None else {**table, "split": split}


def _unlisted(cell: str) -> str:
    """A text that pandas wrote as the list of its parts, put together again; any other as it is."""
    if not (cell.startswith("[") and cell.endswith("]")):
        return cell
    try:
        parts: object = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return cell
    if not isinstance(parts, list):
        return cell
    return "\n".join(str(part) for part in cast("list[object]", parts))


def read_routerarena(path: str | Path) -> RecordedFile:
    """A prediction file of RouterArena as outcomes: the router's own choices and the other models run beside them.

    A generation that failed is a score of 0 and stays. A cost of 0 is unknown: it stands there for a missing price.
    Raises `ConfigError` where an entry was not evaluated.
    """
    file = Path(path)
    records: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {}
    for where, entry in json_list(file):
        name = _index(file, where, entry)
        model, got = _arena_outcome(file, where, entry)
        _, _, outcomes = records.setdefault(name, (where, entry, {}))
        if model in outcomes:
            raise ConfigError(f"`{model}` has two results for `{name}`", file=shown(file), field=where)
        outcomes[model] = got
    return recorded_from(
        shown(file),
        (
            (
                where,
                {
                    "id": name,
                    "question": entry.get("prompt"),
                    "benchmark": name.partition("_")[0],
                    "outcomes": outcomes,
                },
            )
            for name, (where, entry, outcomes) in records.items()
        ),
    )


def routerarena_choices(path: str | Path) -> dict[str, str]:
    """Whom the router of a RouterArena prediction file chose, by id; also of one over reworded questions."""
    file = Path(path)
    return {
        _index(file, where, entry): str(entry.get("prediction"))
        for where, entry in json_list(file)
        if entry.get("for_optimality") is not True
    }


def _index(file: Path, where: str, entry: Mapping[str, object]) -> str:
    name = entry.get("global index") or entry.get("global_index")
    if not name or not entry.get("prediction"):
        expected = "an entry with `global index` and `prediction`"
        raise ConfigError("is no prediction of RouterArena", file=shown(file), field=where, expected=expected)
    return str(name)


def _arena_outcome(file: Path, where: str, entry: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    made = entry.get("generated_result")
    result = cast("dict[str, object]", made) if isinstance(made, dict) else {}
    failed = result.get("success") is False
    score = entry.get("accuracy")
    if score is None and not failed:
        raise ConfigError("was not evaluated", file=shown(file), field=f"{where}.accuracy", expected="a number")
    used = result.get("token_usage")
    usage = cast("dict[str, object]", used) if isinstance(used, dict) else {}
    return str(entry["prediction"]), {
        "score": 0 if failed else score,
        "cost_usd": entry.get("cost") or None,
        "response": result.get("generated_answer"),
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
    }


def read_routerarena_cases(path: str | Path) -> tuple[EvalCase, ...]:
    """RouterArena's questions, its data set's rows exported as JSON lines, a JSON list or CSV.

    Columns: `Global Index`, `Question`, and where they are there `Context`, `Options`, `Answer` and `Dataset name`.
    Options are lettered below the question, as its own prompts do; an answer that is the text of an option becomes
    that option's letter. The task is the data set that a question comes from. Its prompts proper, one for each of
    these data sets, lie beside its code and are not part of a row; they are not rebuilt here.
    """
    file = Path(path)
    match _ending(file):
        case ".csv":
            rows: Iterable[Row] = ((where, dict(cells)) for where, cells in csv_rows(file))
        case ".json":
            rows = json_list(file)
        case _:
            rows = json_rows(file)
    cases: dict[str, EvalCase] = {}
    for where, row in rows:
        case = _case(_arena_case(file, where, row), file, where)
        if case.id in cases:
            raise ConfigError(f"the id `{case.id}` stands twice", file=shown(file), field=where)
        cases[case.id] = case
    return tuple(cases.values())


def _arena_case(file: Path, where: str, row: Mapping[str, object]) -> dict[str, object]:
    name, question = row.get("Global Index") or row.get("global_index"), row.get("Question")
    if not name or not isinstance(question, str):
        expected = "columns `Global Index` and `Question`"
        raise ConfigError("is no question of RouterArena", file=shown(file), field=where, expected=expected)
    options = _listed(row.get("Options"))
    letters = [chr(ord("A") + place) for place in range(len(options))]
    context = str(row.get("Context") or "").strip()
    lettered = "\n".join(f"{letter}. {option}" for letter, option in zip(letters, options, strict=True))
    answers = _listed(row.get("Answer"))
    return {
        "id": str(name),
        "question": "\n\n".join(part for part in (context, question, lettered) if part and part != "None"),
        "choices": letters,
        "reference": [letters[options.index(each)] if each in options else each for each in answers],
        "kind": "multiple_choice" if options else None,
        "task": str(row.get("Dataset name") or "") or _arena_task(str(name)),
    }


def _arena_task(name: str) -> str:
    """The data set in a global index; those of `Ethics` have names of two parts."""
    parts = name.split("_")
    return "_".join(parts[: 2 if parts[0] == "Ethics" else 1])


def _listed(value: object) -> list[str]:
    """The texts of a cell that holds one or several: a list, or a list as it was written into a text."""
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        try:
            value = cast("object", ast.literal_eval(value))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return [str(value)]
    if isinstance(value, list):
        return [str(each) for each in cast("list[object]", value)]
    return [] if value is None or value == "" else [str(value)]


OUTCOME_LOADERS: Mapping[str, Callable[[Path], RecordedFile]] = MappingProxyType(
    {
        "": load_outcomes,
        "recorded": read_recorded,
        "routerbench": read_routerbench,
        "routerarena": read_routerarena,
    }
)
"""Layouts of recorded outcomes by name; without one the file's own look decides."""

CASE_LOADERS: Mapping[str, Callable[[Path], tuple[EvalCase, ...]]] = MappingProxyType(
    {"": load_cases, "cases": load_cases, "routerarena": read_routerarena_cases}
)
"""Layouts of cases by name."""
