"""Makes the cases of the suite `local` and the outcomes of `recorded_demo`: `python docs/make_local_cases.py [FOLDER]`.

References are worked out here, from fractions, dates and the files of the suite; no tool of ours is asked. The same
run always writes the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from demo_outcomes import records
from local_forms import Row
from local_numbers import ALGEBRA, ARITHMETIC, FRACTIONS, PERCENT, UNITS
from local_texts import CALENDAR, DOCUMENTS, ELSEWHERE, TOTALS, UNANSWERABLE

EVALS = Path(__file__).parents[1] / "evals"
TASKS: Mapping[str, Sequence[Row]] = {
    "arithmetic": ARITHMETIC,
    "percent": PERCENT,
    "fractions": FRACTIONS,
    "algebra": ALGEBRA,
    "units": UNITS,
    "calendar": CALENDAR,
    "documents": DOCUMENTS,
    "totals": TOTALS,
}
REFUSED: Mapping[str, Sequence[str]] = {"unanswerable": UNANSWERABLE, "elsewhere": ELSEWHERE}


def cases() -> Iterator[dict[str, object]]:
    """Every case: what can be answered, task by task, then what cannot."""
    for task, rows in TASKS.items():
        for place, (question, forms) in enumerate(rows, start=1):
            yield {"id": f"{task}-{place:03}", "question": question, "reference": list(forms), "task": task}
    for task, questions in REFUSED.items():
        for place, question in enumerate(questions, start=1):
            yield {"id": f"{task}-{place:03}", "question": question, "task": task, "expect": {"status": "escalated"}}


def write(path: Path, rows: Iterator[dict[str, object]]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Write both files into the checkout, or into the folder that is named."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else EVALS
    write(folder / "local" / "cases.jsonl", cases())
    write(folder / "recorded_demo" / "outcomes.jsonl", records())


if __name__ == "__main__":
    main()
