"""`trace` lists runs, shows them, says why they went as they did, compares and replays them, verifies their files."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import FAILED, UNEXPECTED, JsonOption

if TYPE_CHECKING:
    from orchestrator.trace import Trace

__all__ = ["app"]

app = typer.Typer(help="What happened in a run, and why; from its file, offline.", no_args_is_help=True)

RunArgument = Annotated[
    str, typer.Argument(help="Run id, its beginning or end, `last`, or a trace file.", metavar="RUN|FILE")
]


@app.command("list")
def list_runs(
    *,
    limit: Annotated[int, typer.Option("--limit", help="Runs to show at most.", min=1, metavar="N")] = 20,
    json: JsonOption = False,
) -> None:
    """List runs, newest first."""
    from orchestrator.render import Screen, list_traces, trace_row
    from orchestrator.trace import read_trace, runs_folder, trace_files

    screen, folder = Screen(json=json), runs_folder()
    traces = [read_trace(path) for path in (trace_files(folder) if folder.is_dir() else [])[:limit]]
    if json:
        screen.data([trace_row(trace) for trace in traces])
    elif traces:
        list_traces(traces, screen)
    else:
        screen.note(f"no runs in {folder}")


@app.command()
def show(run: RunArgument = "last", *, json: JsonOption = False) -> None:
    """Draw a run as a tree."""
    from orchestrator.render import Screen, show_trace

    screen, trace = Screen(json=json), _read(run)
    if json:
        screen.data({"run_id": trace.run_id, "head": trace.head, "torn": bool(trace.torn), "events": trace.events})
    else:
        show_trace(trace, screen)


@app.command()
def why(run: RunArgument = "last", *, json: JsonOption = False) -> None:
    """Say who was considered, who was taken, what each rejected way would have cost, and who made the decision.

    The last entry of --json, of type `members`, tells what would have been decided without each.
    """
    from orchestrator.merge import attributed
    from orchestrator.render import Screen, why_trace
    from orchestrator.trace.events import Demoted, Escalated, Merged, Planned, Rerouted, Returned, Superseded

    screen, trace = Screen(json=json), _read(run)
    if json:
        kinds = (Planned, Rerouted, Demoted, Returned, Superseded, Escalated, Merged)
        told: list[object] = [event for event in trace.events if isinstance(event, kinds)]
        if (found := attributed(trace.events)) is not None:
            told.append({"type": "members", **asdict(found)})
        screen.data(told)
    else:
        why_trace(trace, screen)


@app.command()
def diff(one: RunArgument, other: RunArgument, *, json: JsonOption = False) -> None:
    """Say where two runs part: their first difference in routing, then outcome, then cost, calls and seconds.

    Exits with 0 where both went the same way to the same decision, else with 3; money and time alone do not count.
    """
    from orchestrator.render import Screen, show_difference
    from orchestrator.trace import difference

    screen, first, second = Screen(json=json), _read(one), _read(other)
    found = difference(first, second)
    if json:
        screen.data({"a": first.run_id, "b": second.run_id, "same": found.same, **asdict(found)})
    else:
        show_difference(found, (first.run_id, second.run_id), screen)
    raise typer.Exit(0 if found.same else UNEXPECTED)


@app.command()
def replay(run: RunArgument = "last", *, json: JsonOption = False) -> None:
    """Decide again from the trace alone, without calling anybody, and compare.

    Exits with 0 where the decision is the same, with 3 where it is not, with 1 where the trace is torn or inconsistent,
    and with 2 where there is nothing to replay: no content, no decision.
    """
    import asyncio

    from orchestrator.render import Screen, show_replay
    from orchestrator.retrace import broken, replayed

    screen, trace = Screen(json=json), _read(run)
    if fault := broken(trace):
        screen.fail(f"cannot be replayed: {fault}")
        raise typer.Exit(FAILED)
    found = asyncio.run(replayed(trace))
    if json:
        told = {"decision": found.decision, "changes": found.changes, "taken": found.taken}
        screen.data({"run_id": trace.run_id, "same": found.same, **told})
    else:
        show_replay(found, screen)
    raise typer.Exit(0 if found.same else UNEXPECTED)


@app.command()
def verify(
    run: RunArgument = "last",
    *,
    head: Annotated[
        str | None, typer.Option("--head", help="The hash printed when the run ended.", metavar="HASH")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check the chain of hashes, and that every failed attempt has exactly one outcome.

    Without --head nobody can tell whether the file's owner rewrote it as a whole.
    """
    from orchestrator.render import Screen
    from orchestrator.trace import verify as verified

    screen, trace = Screen(json=json), _read(run)
    verdict = verified(trace, head=head)
    if json:
        screen.data(
            {
                "run_id": trace.run_id,
                "consistent": verdict.consistent,
                "anchored": verdict.anchored,
                "ended": verdict.ended,
                "torn": bool(trace.torn),
                "events": len(trace.events),
                "head": trace.head,
                "faults": verdict.faults,
            }
        )
    else:
        _say(trace, verdict.faults, anchored=verdict.anchored, ended=verdict.ended)
    raise typer.Exit(0 if verdict.passed else FAILED)


@app.command()
def export(
    run: RunArgument = "last",
    *,
    otel: Annotated[
        Path | None, typer.Option("--otel", help="Write its spans as OTLP JSON; `-` is stdout.", metavar="FILE|-")
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print it as a flow chart in Mermaid's text.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write it as one page that needs nothing else.", metavar="FILE")
    ] = None,
    content: Annotated[
        bool, typer.Option("--content", help="With --otel: questions, thoughts and replies as well.")
    ] = False,
) -> None:
    """Hand a run on: as spans of OpenTelemetry, as a flow chart, as a page."""
    if (otel is not None) + mermaid + (html is not None) != 1:
        raise typer.BadParameter("name one of --otel FILE, --mermaid and --html FILE")
    if content and otel is None:
        raise typer.BadParameter("--content goes with --otel; the others always show it")
    from orchestrator import render

    trace = _read(run)
    if not trace.events:
        raise typer.BadParameter(f"{trace.path} holds no event")
    if mermaid:
        sys.stdout.write(render.mermaid(trace))
    elif html is not None:
        html.write_text(render.run_page(trace), encoding="utf-8", errors="backslashreplace")
    elif otel is not None:
        from orchestrator.otel import otlp

        text = render.document(otlp(trace, content=content)) + "\n"
        sys.stdout.write(text) if str(otel) == "-" else otel.write_text(text, encoding="utf-8")


def _say(trace: Trace, faults: tuple[str, ...], *, anchored: bool | None, ended: bool) -> None:
    from orchestrator.render import Screen

    screen = Screen()
    for fault in faults:
        screen.fail(fault)
    if not faults:
        screen.answer(f"consistent: {len(trace.events)} events{'' if ended else ', the run did not end'}")
    if trace.torn:
        screen.note(f"the last line is torn: {len(trace.torn)} bytes of it were written")
    if anchored is None:
        screen.note("not anchored: with --head HASH it can also be shown that the file was not rewritten as a whole")
    elif anchored:
        screen.answer("anchored: the last line is the given head")
    else:
        screen.fail(f"not anchored: the head is {trace.head}")


def _read(run: str) -> Trace:
    """The trace of a run; what is torn or damaged in it is said, and reading goes on before it."""
    from orchestrator.render import Screen
    from orchestrator.trace import find_trace, read_trace, runs_folder

    trace = read_trace(Path(find_trace(run, runs_folder())))
    if trace.damage:
        Screen().note(f"{trace.path}: {trace.damage}; what follows is left out")
    return trace
