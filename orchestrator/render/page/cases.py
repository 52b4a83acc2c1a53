"""The cases of the page: a list that is searched, and packets with all of each case that are opened on demand."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.evals.cases import EvalCase
from orchestrator.evals.report import Row
from orchestrator.render.page.figures import Shown
from orchestrator.render.page.telling import Step, cut, told
from orchestrator.trace import read_trace
from orchestrator.trace.events import RunStarted

__all__ = ["PER_PACKET", "index", "packed", "packets"]

PER_PACKET = 64
"""Cases that are opened together."""
SNIPPET = 200
"""Characters of a question, and of an answer, in the list."""
QUESTION, ANSWER = 8_000, 3_000
"""Characters that are kept of them where a case is shown whole."""

Table = dict[str, Any]
"""What becomes JSON: the one seam where Any is let in."""


def packed(value: object) -> str:
    """JSON as text that stands in HTML as it is: gzip in base64, the same for the same value."""
    return b64encode(gzip.compress(json.dumps(value, separators=(",", ":")).encode(), mtime=0)).decode()


def index(shown: Shown) -> Table:
    """What the list of cases needs: names once, then cases, then a line for each run of a case."""
    places = {name: place for place, name in enumerate(shown.cases)}
    tasks, agents, systems = _Names(), _Names(), _Names()
    cases = [
        [case.id, _snippet(_question(shown, case)), tasks.place(case.task or case.kind or "")]
        for case in shown.cases.values()
    ]
    runs: list[list[Any]] = []
    for row in shown.rows:
        done = row.done
        runs.append(
            [
                places[done.case],
                systems.place(done.system),
                done.repeat,
                None if done.error is not None else row.score,
                _snippet(row.why),
                None if done.cost_usd is None else float(done.cost_usd),
                None if done.seconds is None else round(done.seconds, 4),
                [agents.place(name) for name in done.consulted],
                done.status or "",
                _snippet(done.answer or ""),
                int(_missed(shown, row)),
            ]
        )
    names = {"tasks": tasks.names, "agents": agents.names, "systems": systems.names}
    return {**names, "cases": cases, "runs": runs, "perPacket": PER_PACKET}


def packets(shown: Shown) -> Iterable[str]:
    """All of every case, some dozens at a time, in the order of the list."""
    rows: dict[str, list[Row]] = {}
    for row in shown.rows:
        rows.setdefault(row.done.case, []).append(row)
    names = list(shown.cases)
    for start in range(0, len(names), PER_PACKET):
        yield packed([_whole(shown, shown.cases[name], rows[name]) for name in names[start : start + PER_PACKET]])


class _Names:
    """Names by the place where they first came up."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, name: str) -> int:
        """The place of a name, which is remembered."""
        if name not in self._places:
            self._places[name] = len(self.names)
            self.names.append(name)
        return self._places[name]


def _whole(shown: Shown, case: EvalCase, rows: Iterable[Row]) -> Table:
    """All that the page tells of a case."""
    recorded = shown.suite.recorded
    reference = list(case.reference)
    if recorded is not None and case.id in recorded.references:
        reference = [recorded.references[case.id]]
    return {
        "question": cut(_question(shown, case), QUESTION),
        "prompt": cut(_conversation(case), QUESTION),
        "choices": list(case.choices),
        "reference": [cut(each) for each in reference],
        "expect": {name: value for name, value in case.expect.model_dump(mode="json").items() if value},
        "models": _models(shown, case.id),
        "runs": [_run(shown, row) for row in rows],
    }


def _models(shown: Shown, case: str) -> list[list[Any]]:
    """What every model scored on a recorded case, and at what cost, the best and cheapest first."""
    recorded = shown.suite.recorded
    if recorded is None:
        return []
    scores, takes = recorded.scores[case], recorded.cases[case].takes
    found = [[name, scores[name], None if take.cost is None else float(take.cost)] for name, take in takes.items()]
    return sorted(found, key=lambda each: (-each[1], each[2] is None, each[2] or 0.0, each[0]))


def _run(shown: Shown, row: Row) -> Table:
    done = row.done
    steps, said = _trace(shown, done.trace)
    spent: Mapping[str, float] = {name: float(usd) for name, usd in done.apart.items() if usd}
    return {
        "system": done.system,
        "repeat": done.repeat,
        "score": None if done.error is not None else row.score,
        "why": cut(row.why),
        "status": done.status,
        "answer": None if done.answer is None else cut(done.answer, ANSWER),
        "error": None if done.error is None else cut(done.error),
        "cost": None if done.cost_usd is None else float(done.cost_usd),
        "exact": done.cost_exact,
        "apart": spent,
        "seconds": done.seconds,
        "counts": [done.turns, done.expert_calls, done.control_calls, done.reroutes],
        "support": list(done.support),
        "reasons": [cut(each) for each in done.reasons],
        "trace": steps,
        "said": said,
        "file": done.trace,
    }


def _trace(shown: Shown, name: str | None) -> tuple[list[Step], str]:
    """The steps of a trace, and what is to be said of it."""
    if name is None:
        return [], "No trace was kept of this run."
    path = shown.folder / name
    if not path.is_file():
        return [], f"The trace {name} is no longer there."
    events = read_trace(path).events
    first = events[0] if events else None
    left_out = isinstance(first, RunStarted) and first.question is None
    return told(events), "The trace was kept without content: texts are left out." if left_out else ""


def _question(shown: Shown, case: EvalCase) -> str:
    """What is asked, without the examples before it where the source records that apart."""
    recorded = shown.suite.recorded
    return (recorded.cases[case.id].query if recorded else None) or case.asked.text


def _conversation(case: EvalCase) -> str:
    """All that is sent: with who said it, where that is more than one message."""
    said = case.asked.messages
    return case.asked.text if len(said) == 1 else "\n\n".join(f"{each.role}: {each.content}" for each in said)


def _missed(shown: Shown, row: Row) -> bool:
    """Whether a model would have done better."""
    recorded = shown.suite.recorded
    return recorded is not None and row.score < max(recorded.scores[row.done.case].values(), default=0.0)


def _snippet(text: str) -> str:
    """The beginning in one line."""
    flat = " ".join(text[: 2 * SNIPPET].split())
    return flat if len(flat) <= SNIPPET and len(text) <= 2 * SNIPPET else flat[:SNIPPET] + "…"
