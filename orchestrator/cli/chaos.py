"""`chaos` runs suites of faults against a pool and says where what came of them is not as expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import JsonOption

if TYPE_CHECKING:
    from orchestrator.chaos import CaseResult, SuiteResult
    from orchestrator.render import Screen

__all__ = ["chaos"]

UNMET = 3


def chaos(
    suite: Annotated[
        str | None,
        typer.Argument(help="A suite (TOML), a folder of suites, or one that ships: self_healing.", show_default=False),
    ] = None,
    *,
    case: Annotated[
        str | None, typer.Option("--case", help="Only cases whose name holds this.", metavar="TEXT")
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Call the pool's own experts, in real time; faults are injected all the same."),
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a suite.")] = False,
    json: JsonOption = False,
) -> None:
    """Put a pool under faults over time; exit 3 where what came of it is not as expected.

    Experts are simulated unless told otherwise, and time leaps, so a suite costs nothing and takes no time.
    """
    from orchestrator.chaos import find_suites, load_suite, run_suite, suite_schema
    from orchestrator.render import Screen

    screen = Screen(json=json)
    if schema:
        Screen(json=True).data(suite_schema())
        return
    if suite is None:
        raise typer.BadParameter("name a suite, or --schema")
    suites = [load_suite(path) for path in find_suites(suite)]
    results = [run_suite(each, only=case, live=live) for each in suites]
    if case is not None and not any(result.cases for result in results):
        raise typer.BadParameter(f"--case {case}: no case is called so")
    if json:
        screen.data({"passed": all(result.passed for result in results), "suites": results})
    else:
        for result in results:
            _tell(result, screen)
    raise typer.Exit(0 if all(result.passed for result in results) else UNMET)


def _tell(result: SuiteResult, screen: Screen) -> None:
    from orchestrator.render import rows_table

    rows = [_row(case) for case in result.cases]
    header = (result.name, "", "came of it", "control", "calls", "reroutes", "silent", "doubled", "seconds")
    rows_table(rows, screen, header=header)
    for case in result.cases:
        for fault in case.faults:
            screen.answer(f"{case.name}: {fault}")
    passed = sum(case.passed for case in result.cases)
    screen.answer(f"{passed} of {len(result.cases)} as expected")


def _row(case: CaseResult) -> tuple[str, ...]:
    came = f"{case.status}: {case.goal}" + (" (demoted)" if case.demoted else "")
    counts = (case.control_calls, case.calls, case.reroutes, case.silent, case.doubled)
    return (case.name, "ok" if case.passed else "not ok", came, *map(str, counts), f"{case.seconds:g}")
