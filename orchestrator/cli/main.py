"""Puts the commands together and turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, TextIO

import typer

from orchestrator.cli import agents, batch, chaos, doctor, evals, graph, init, models, plugins, run, runs, trace
from orchestrator.cli.options import FAILED, USAGE, os_problem
from orchestrator.errors import ConfigError, OrchestratorError
from orchestrator.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="orchestrator",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 decided, 1 error, 2 usage or configuration, 3 not as expected, 4 limit hit, 5 escalated, "
    "6 degraded under --strict, 130 interrupted.",
)
app.command("run")(run.run)
app.command("route")(run.route)
app.command("batch")(batch.batch)
app.add_typer(graph.app, name="graph")
app.add_typer(agents.app, name="agents")
app.add_typer(models.app, name="models")
app.add_typer(trace.app, name="trace")
app.add_typer(runs.app, name="runs")
app.add_typer(evals.app, name="eval")
app.command("chaos")(chaos.chaos)
app.command("init")(init.init)
app.command("plugins")(plugins.plugins)
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def overall(
    *,
    version: Annotated[
        bool,
        # not from ORCHESTRATOR_VERSION, a name that images and scripts give to something else
        typer.Option("--version", help="Print the version and exit.", is_eager=True, allow_from_autoenv=False),
    ] = False,
) -> None:
    """Think and route over a graph of experts; what fails is routed round, or said aloud."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line and exit with its code (SEMANTICS §3)."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        _prepare_streams(nowhere)
        try:
            app(auto_envvar_prefix="ORCHESTRATOR")
        except SystemExit as end:
            if (problem := _unwritten(nowhere)) and not end.code:
                _end(f"standard output cannot be written: {problem}", FAILED)
            raise
        except ConfigError as error:
            _end(str(error), USAGE)
        except OSError as error:
            _unwritten(nowhere)
            _end(os_problem(error), FAILED)
        except OrchestratorError as error:
            _end(str(error), FAILED)


def _unwritten(nowhere: TextIO) -> str | None:
    """Write out what is buffered while a failure can still be said: what was wrong, if anything."""
    try:
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = nowhere  # the interpreter would try again as it ends
        return os_problem(error)
    return None


def _prepare_streams(nowhere: TextIO) -> None:
    """Let output hold any text, and go nowhere where whoever started us closed it."""
    for name in ("stdout", "stderr"):
        stream: object = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        elif stream is None:
            setattr(sys, name, nowhere)


def _end(problem: str, code: int) -> None:
    typer.secho("error: ", fg="red", err=True, nl=False)
    typer.echo(problem, err=True)
    sys.exit(code)
