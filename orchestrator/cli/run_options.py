"""The options of `run` and `route`, each with its help."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

ROUTERS = ("llm", "plan", "cascade", "llm+cascade")
"""Routers of the command line, beside `cascade:P`, `llm+cascade:P` and `NAME+cascade`."""


def _analyses(given: str) -> int | str:
    word, mark, number = given.partition(":")
    counted = number if mark else given
    if (word == "auto" and not mark) or (counted.isdecimal() and int(counted) > 0 and (not mark or word == "auto")):
        return given if word == "auto" else int(given)
    raise typer.BadParameter(f"'{given}' is no whole number of at least 1, 'auto' or 'auto:K'.")


class PreferName(StrEnum):
    """What money is worth."""

    quality = "quality"
    balanced = "balanced"
    cheap = "cheap"


QuestionArgument = Annotated[
    str | None, typer.Argument(help="The question; read from standard input where left out.", show_default=False)
]
GoalOption = Annotated[str | None, typer.Option("--goal", help="Artifact that is wanted.", metavar="ARTIFACT")]


def router_name(given: str) -> str:
    """A router of the command line, or the name of one that an installed package offers."""
    inner, plus, steps = given.rpartition("+")
    if given in ROUTERS or (_is_threshold(steps) and inner + plus in ("", "llm+")):
        return given
    from orchestrator.errors import nearest
    from orchestrator.pool.plugins import plugin_names

    names = [*ROUTERS, *plugin_names("routers")]
    if given in names or (inner in names[len(ROUTERS) :] and (steps == "cascade" or _is_threshold(steps))):
        return given
    hint = nearest(given, names)
    known = ", ".join(repr(name) for name in (*names, "cascade:P", "llm+cascade:P"))
    told = f"{given!r} is not one of {known} with P from 0 to 1" + (f"; did you mean `{hint}`?" if hint else "")
    raise typer.BadParameter(told)


def _is_threshold(given: str) -> bool:
    word, mark, number = given.partition(":")
    try:
        return word == "cascade" and bool(mark) and 0 <= float(number) <= 1
    except ValueError:
        return False


RouterOption = Annotated[
    str | None,
    typer.Option(
        "--router",
        parser=router_name,
        metavar="[llm|plan|cascade[:P]|llm+cascade[:P]|NAME]",
        help="Who decides what happens next: llm where a model for it is found, else plan; cascade asks from cheap to "
        "dear, cascade:P until one is P sure; llm+cascade has each step of llm served so; or a plug-in's name.",
        show_default=False,
    ),
]
RouterModelOption = Annotated[
    str | None,
    typer.Option("--router-model", help="Model of the LLM router.", metavar="PROVIDER:ID", show_default=False),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", help="Model to ask as an expert, without a descriptor; repeatable.", metavar="PROVIDER:ID"),
]
MergeOption = Annotated[
    str | None,
    typer.Option(
        "--merge",
        help="How replies become one answer: first, vote, vote:QUORUM, weighted, router, best, synthesise, refine, or "
        "module:attribute of your own; without it the router's answer, first for one analysis, vote for more.",
        metavar="NAME",
        show_default=False,
    ),
]
AnalysesOption = Annotated[
    str,
    typer.Option(
        "--analyses",
        help="Distinct experts to ask: K, auto for as many as are worth it, or auto:K for a vote of K that ends early.",
        callback=_analyses,
        metavar="K|auto[:K]",
    ),
]
ConfidenceOption = Annotated[
    Path | None,
    typer.Option(
        "--confidence", help="What scores are worth: a file of `eval calibrate`.", metavar="FILE", dir_okay=False
    ),
]
AbstainOption = Annotated[
    float | None,
    typer.Option("--abstain-below", help="Escalate a decision of lower confidence.", min=0.0, max=1.0, metavar="P"),
]
RoutersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--router",
        help="plan, llm, a model, cascade[:P], llm+cascade[:P], or module:attr; repeatable.",
        metavar="R",
        show_default=False,
    ),
]
EvalConfidenceOption = Annotated[
    str | None,
    typer.Option(
        "--confidence",
        help="What scores are worth: a file of `eval calibrate`, fit for one fitted on train, or none; over recorded "
        "outcomes cascade and auto are fitted unless told otherwise.",
        metavar="FILE|fit|none",
        show_default=False,
    ),
]
PreferOption = Annotated[PreferName, typer.Option("--prefer", help="What money is worth against quality.")]
BudgetOption = Annotated[
    str | None, typer.Option("--budget", help="USD that the run may spend at most.", metavar="USD", show_default=False)
]
TokensOption = Annotated[int | None, typer.Option("--max-tokens", help="Tokens at most.", min=1, metavar="N")]
TurnsOption = Annotated[
    int | None, typer.Option("--max-turns", help="Turns of the router at most.", min=1, metavar="N")
]
DeadlineOption = Annotated[
    float | None, typer.Option("--deadline", help="Seconds at most.", min=0.0, metavar="SECONDS")
]
DocsOption = Annotated[
    Path | None,
    typer.Option("--docs", help="Folder of documents to search.", metavar="DIR", exists=True, file_okay=False),
]
TableOption = Annotated[
    list[Path] | None,
    typer.Option("--table", help="CSV file to total; repeatable.", metavar="FILE", exists=True, dir_okay=False),
]
RecordedOption = Annotated[
    Path | None,
    typer.Option(
        "--recorded", help="Recorded outcomes: the models in the file are the pool.", metavar="FILE", exists=True
    ),
]
CaseOption = Annotated[str | None, typer.Option("--case", help="Id of a recorded case.", metavar="ID")]
FailOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail",
        help="Make an expert fail: error, timeout, refusal or malformed; N attempts, else always; '*' is every expert.",
        metavar="AGENT[=KIND][:N]",
    ),
]
CassetteOption = Annotated[
    Path | None,
    typer.Option(
        "--cassette", help="Replay the calls of models from this file; none is made.", metavar="FILE", dir_okay=False
    ),
]
RecordOption = Annotated[bool, typer.Option("--record", help="With --cassette: make the calls, and record them.")]
SystemOption = Annotated[
    Path | None,
    typer.Option("--system", help="Text file with instructions.", metavar="FILE", exists=True, dir_okay=False),
]
MessagesOption = Annotated[
    Path | None,
    typer.Option(
        "--messages",
        help="JSON file with a list of messages; the last of a user is the question.",
        metavar="FILE",
        exists=True,
        dir_okay=False,
    ),
]
FileOption = Annotated[
    list[Path] | None,
    typer.Option("--file", help="Text file to attach; repeatable.", metavar="FILE", exists=True, dir_okay=False),
]
ThreadOption = Annotated[
    str | None,
    typer.Option(
        "--thread",
        help="Name of a conversation: the question sees what was decided in it before.",
        metavar="NAME",
        show_default=False,
    ),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with 6 where the decision is degraded.")]
TraceOption = Annotated[Path | None, typer.Option("--trace", help="Write the trace here.", metavar="FILE")]
NoTraceOption = Annotated[bool, typer.Option("--no-trace", help="Write no trace.")]
OtelOption = Annotated[
    bool, typer.Option("--otel", help="Post the run's spans by OTLP to where OTEL_EXPORTER_OTLP_… says.")
]
NoContentOption = Annotated[bool, typer.Option("--no-content", help="Leave questions and answers out of the trace.")]
DurableOption = Annotated[
    bool,
    typer.Option(
        "--durable", help="Keep checkpoints, so that `orchestrator runs resume` goes on after a stop or a kill."
    ),
]
StreamOption = Annotated[bool, typer.Option("--stream", help="Show what router and merge agent write as it arrives.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer and nothing else.")]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Show every expert considered, and the router's prompt.")
]


def check_cassette(cassette: Path | None, *, record: bool) -> None:
    """Raise BadParameter where nothing can be recorded: no file is named, or one that holds calls already."""
    if record and cassette is None:
        raise typer.BadParameter("--record goes with --cassette FILE")
    if record and cassette is not None and cassette.exists() and cassette.stat().st_size:
        raise typer.BadParameter(f"--record: {cassette} holds calls already; name another file or remove it")
