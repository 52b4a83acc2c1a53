"""A report as JUnit XML, which CI systems read: a suite for each router, a test for each case."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.evals.report import Report, Row

__all__ = ["junit"]

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 file may hold, however they are written."""


def junit(report: Report, rows: Iterable[Row]) -> str:
    """The XML: a case that is not all right is a failure, one without a decision an error, each gate a test."""
    by_system: dict[str, list[Row]] = {}
    for row in rows:
        by_system.setdefault(row.done.system, []).append(row)
    suites = [_suite(f"{report.suite}: {name}", [_case(name, row) for row in by_system[name]]) for name in by_system]
    gates = [_test("gates", gate, f"<failure message={_quoted(gate)}/>") for gate in report.gates]
    if gates:
        suites.append(_suite(f"{report.suite}: gates", gates))
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", *suites, "</testsuites>"]) + "\n"


def _suite(name: str, tests: list[str]) -> str:
    failures, errors = (sum(f"<{kind} " in test for test in tests) for kind in ("failure", "error"))
    head = f'<testsuite name={_quoted(name)} tests="{len(tests)}" failures="{failures}" errors="{errors}">'
    return "\n".join([head, *tests, "</testsuite>"])


def _case(system: str, row: Row) -> str:
    done = row.done
    name = done.case + (f" #{done.repeat + 1}" if done.repeat else "")
    told = ""
    if row.error:
        told = f"<error message={_quoted(done.error or row.why)}/>"
    elif row.score < 1:
        told = f"<failure message={_quoted(f'score {row.score:g}: {row.why}')}/>"
    return _test(system, name, told, done.seconds)


def _test(system: str, name: str, told: str, seconds: float | None = None) -> str:
    time = f' time="{seconds:.3f}"' if seconds is not None else ""
    return f"<testcase classname={_quoted(system)} name={_quoted(name)}{time}>{told}</testcase>"


def _quoted(text: str) -> str:
    return f'"{escape(_FORBIDDEN.sub("�", text))}"'
