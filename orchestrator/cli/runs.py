"""`runs` lists durable runs that are not done, shows them, goes on with them, or ends them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.again import wanted_again
from orchestrator.cli.options import JsonOption, usd
from orchestrator.cli.run import code_of, on_screen
from orchestrator.cli.run_options import BudgetOption, QuietOption, StrictOption

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from orchestrator.messages import Decision
    from orchestrator.render import LiveRun
    from orchestrator.trace import Listener, Trace

__all__ = ["app"]

app = typer.Typer(help="Durable runs that are not done: go on with them, or end them.", no_args_is_help=True)

RunArgument = Annotated[
    str, typer.Argument(help="Run id, its beginning or end, `last`, or a trace file.", metavar="RUN|FILE")
]


@app.command("list")
def list_runs(*, json: JsonOption = False) -> None:
    """List durable runs that have not come to their end, newest first."""
    import asyncio

    from orchestrator.cli.wanted import checkpoints
    from orchestrator.pipeline.durable import pending_runs, swept
    from orchestrator.render import Screen, rows_table
    from orchestrator.trace import runs_folder

    if checkpoints().is_file():
        asyncio.run(swept(runs_folder(), checkpoints()))

    screen, found = Screen(json=json), pending_runs(trace=True)
    if json:
        screen.data(found)
    elif found:
        rows = [(each.run_id, each.stands, each.why, each.question) for each in found]
        rows_table(rows, screen, header=("run", "stands", "for", "question"), spare=("for", "question"))
    else:
        screen.note("no durable run is left to do")


@app.command()
def show(run: RunArgument = "last") -> None:
    """Draw a run as a tree, with what it waits for."""
    from orchestrator.render import Screen, show_trace

    show_trace(_read(run), Screen())


@app.command()
def resume(
    run: RunArgument = "last",
    *,
    answer: Annotated[
        str | None, typer.Option("--answer", help="Answer it yourself, as the expert `person`.", metavar="TEXT")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Let experts that failed be asked again.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", help="Give leave to an agent that waits for it; repeatable.", metavar="AGENT"),
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Go on although pool, router or merge are not what they were.")
    ] = False,
    budget: BudgetOption = None,
    strict: StrictOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Go on with a run that was killed, interrupted, or waits for a person; nothing that is done is done again."""
    from orchestrator.cli.wanted import built
    from orchestrator.errors import ConfigError
    from orchestrator.messages import Question
    from orchestrator.render import Screen
    from orchestrator.trace import Past

    if budget is not None:
        usd(budget)
    trace = _read(run)
    first = Past(trace.events).started
    if first is None or first.note is None:
        expected = "a run of `orchestrator run --durable`; one of Python's is resumed there"
        raise ConfigError("cannot be resumed from the command line", file=str(trace.path), expected=expected)
    question = Question(first.question or ()).text
    wanted = wanted_again(first.note, question, trace.path, budget=budget)
    orchestrator, _, _ = built(wanted)

    def go(_: LiveRun, listeners: list[Listener]) -> Coroutine[object, object, Decision]:
        return orchestrator.resume(
            trace.run_id, answer=answer, retry=retry, allow=allow or (), changed=changed, listeners=listeners
        )

    decision = on_screen(go, orchestrator, wanted, Screen(json=json, quiet=quiet), before=trace.events)
    raise typer.Exit(code_of(decision, strict=strict))


@app.command()
def abort(run: RunArgument) -> None:
    """End a run for good: what was in flight is charged, nothing more is done."""
    import asyncio
    from time import time

    from orchestrator.cli.wanted import checkpoints
    from orchestrator.pipeline.durable import aborted
    from orchestrator.render import Screen

    trace = _read(run)
    asyncio.run(aborted(trace.path, checkpoints(), time, "aborted by a person"))
    Screen().note(f"{trace.run_id} has ended")


def _read(run: str) -> Trace:
    from orchestrator.trace import find_trace, read_trace, runs_folder

    return read_trace(Path(find_trace(run, runs_folder())))
