"""`run` asks a question; `route` says what would be done, and calls nobody."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import (
    DEGRADED,
    ESCALATED,
    FAILED,
    INTERRUPTED,
    LIMITED,
    AgentsOption,
    JsonOption,
    PoolOption,
    fault_injector,
    os_problem,
    pool_of,
    question_of,
    usd,
)

if TYPE_CHECKING:
    from orchestrator.messages import Decision, Question
    from orchestrator.pipeline import Orchestrator
    from orchestrator.pool import Pool
    from orchestrator.providers import RecordedProvider
    from orchestrator.render import Screen

__all__ = ["route", "run"]


class RouterName(StrEnum):
    """Routers of the command line."""

    plan = "plan"


class MergeName(StrEnum):
    """Merges of the command line."""

    first = "first"
    vote = "vote"


class PreferName(StrEnum):
    """What money is worth."""

    quality = "quality"
    balanced = "balanced"
    cheap = "cheap"


QuestionArgument = Annotated[
    str | None, typer.Argument(help="The question; read from standard input where left out.", show_default=False)
]
GoalOption = Annotated[str | None, typer.Option("--goal", help="Artifact that is wanted.", metavar="ARTIFACT")]
RouterOption = Annotated[RouterName, typer.Option("--router", help="Who decides what happens next.")]
MergeOption = Annotated[
    MergeName | None,
    typer.Option(
        "--merge", help="How replies become one answer; first for one analysis, else vote.", show_default=False
    ),
]
AnalysesOption = Annotated[int, typer.Option("--analyses", help="Distinct experts to ask.", min=1, metavar="K")]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What the options of `run` and `route` have in common."""

    pool: str
    agents: list[Path] | None
    goal: str | None
    prefer: PreferName
    analyses: int
    docs: Path | None
    tables: list[Path] | None
    recorded: Path | None
    case: str | None
    fail: list[str]
    merge: MergeName | None = None
    budget: str | None = None
    max_tokens: int | None = None
    max_turns: int | None = None
    deadline: float | None = None
    trace: Path | bool = False
    content: bool = True


def run(
    question: QuestionArgument = None,
    *,
    pool: PoolOption = "local",
    agents: AgentsOption = None,
    router: RouterOption = RouterName.plan,
    merge: MergeOption = None,
    analyses: AnalysesOption = 1,
    goal: GoalOption = None,
    prefer: PreferOption = PreferName.balanced,
    budget: BudgetOption = None,
    max_tokens: TokensOption = None,
    max_turns: TurnsOption = None,
    deadline: DeadlineOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 6 where the decision is degraded.")] = False,
    docs: DocsOption = None,
    table: TableOption = None,
    recorded: RecordedOption = None,
    case: CaseOption = None,
    fail: FailOption = None,
    trace: Annotated[Path | None, typer.Option("--trace", help="Write the trace here.", metavar="FILE")] = None,
    no_trace: Annotated[bool, typer.Option("--no-trace", help="Write no trace.")] = False,
    no_content: Annotated[
        bool, typer.Option("--no-content", help="Leave questions and answers out of the trace.")
    ] = False,
    json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer and nothing else.")] = False,
) -> None:
    """Ask a question: think, route, go round what fails, merge, decide."""
    from orchestrator.render import Screen

    del router  # there is one so far; the option keeps its place for those to come
    if trace is not None and no_trace:
        raise typer.BadParameter("--trace and --no-trace exclude each other")
    if trace is not None and trace.suffix != ".jsonl":
        raise typer.BadParameter(f"--trace {trace}: the name of a trace ends in .jsonl")
    wanted = _Wanted(
        pool=pool, agents=agents, goal=goal, prefer=prefer, analyses=analyses, docs=docs, tables=table,
        recorded=recorded, case=case, fail=fail or [], merge=merge, budget=budget, max_tokens=max_tokens,
        max_turns=max_turns, deadline=deadline, trace=trace or not no_trace, content=not no_content,
    )  # fmt: skip
    decision = _asked(question, wanted, Screen(json=json, quiet=quiet))
    raise typer.Exit(_code(decision, strict=strict))


def route(
    question: QuestionArgument = None,
    *,
    explain: Annotated[bool, typer.Option("--explain", help="Show every expert considered, with its weight.")] = False,
    pool: PoolOption = "local",
    agents: AgentsOption = None,
    analyses: AnalysesOption = 1,
    goal: GoalOption = None,
    prefer: PreferOption = PreferName.balanced,
    budget: BudgetOption = None,
    docs: DocsOption = None,
    table: TableOption = None,
    recorded: RecordedOption = None,
    case: CaseOption = None,
    json: JsonOption = False,
) -> None:
    """Say what would be done with a question, and what else it could have been; calls no expert."""
    from orchestrator.render import Screen, choices_table

    screen = Screen(json=json)
    wanted = _Wanted(
        pool=pool, agents=agents, goal=goal, prefer=prefer, analyses=analyses, docs=docs, tables=table,
        recorded=recorded, case=case, fail=[], budget=budget,
    )  # fmt: skip
    orchestrator, asked = _built(question, wanted)
    explanation = orchestrator.explain(asked, goal=goal)
    if json:
        screen.data({"goal": explanation.goal, "choices": explanation.choices, **asdict(explanation.rates)})
    for choice in explanation.choices if not json else ():
        if explain:
            choices_table(choice, screen)
        else:
            steps = choice.plan.steps if choice.plan else ()
            screen.answer(" → ".join(step.agent for step in steps) or f"no way to {choice.goal.artifact}")
    raise typer.Exit(0 if explanation.choices[0].plan else ESCALATED)


def _asked(given: str | None, wanted: _Wanted, screen: Screen) -> Decision:
    """Run the question with its events on screen."""
    from orchestrator.render import LiveRun
    from orchestrator.trace import runs_folder

    orchestrator, asked = _built(given, wanted)
    try:
        with LiveRun(screen) as live:
            decision = asyncio.run(orchestrator.run(asked, goal=wanted.goal, listeners=[live]))
    except KeyboardInterrupt:
        screen.note("interrupted; the trace up to here is whole")
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        screen.fail(f"the trace cannot be written: {os_problem(error)}; --no-trace runs without one")
        raise typer.Exit(FAILED) from error
    trace = None
    if wanted.trace:
        trace = str(runs_folder() / f"{decision.run_id}.jsonl" if wanted.trace is True else wanted.trace)
    live.decided(decision, trace)
    if screen.json:
        fields = {name: getattr(decision, name) for name in type(decision).model_fields if name != "value"}
        screen.data({**fields, "trace": trace})
    elif screen.quiet:
        _answer(decision, screen)
    return decision


def _answer(decision: Decision, screen: Screen) -> None:
    if decision.answer is not None:
        screen.answer(decision.answer)
    else:
        screen.fail("; ".join(decision.reasons))


def _built(given: str | None, wanted: _Wanted) -> tuple[Orchestrator, Question | str]:
    """The orchestrator that the options describe, and what to ask it."""
    from orchestrator.budget import Budget
    from orchestrator.pipeline import Orchestrator
    from orchestrator.tools import Resources

    if wanted.recorded is not None:
        members, providers, asked = _recorded(given, wanted, wanted.recorded)
    elif wanted.case is not None:
        raise typer.BadParameter("--case goes with --recorded FILE")
    else:
        members, providers, asked = pool_of(wanted.pool, wanted.agents), {}, question_of(given)
    orchestrator = Orchestrator(
        members,
        providers=providers,
        merge=wanted.merge.value if wanted.merge else None,
        analyses=wanted.analyses,
        prefer=wanted.prefer.value,
        budget=Budget(
            usd=_amount(wanted.budget), tokens=wanted.max_tokens, turns=wanted.max_turns, seconds=wanted.deadline
        ),
        resources=Resources(wanted.docs, tuple(wanted.tables or ())),
        faults=fault_injector(wanted.fail, list(members.agents)),
        trace=wanted.trace,
        content=wanted.content,
    )
    return orchestrator, asked


def _recorded(given: str | None, wanted: _Wanted, file: Path) -> tuple[Pool, dict[str, RecordedProvider], Question]:
    """Pool, providers and question of a file of recorded outcomes."""
    from orchestrator.errors import ConfigError
    from orchestrator.providers import read_recorded

    recorded = read_recorded(file)
    case = recorded.find(case=wanted.case, question=None if wanted.case else question_of(given))
    if wanted.budget is not None and not recorded.priced():
        raise ConfigError("records no costs, so no budget can be kept", file=str(file), field="budget")
    if all(take.response is None for take in case.takes.values()):
        raise ConfigError(
            "records no responses: it tells who would have been right, not what was said",
            file=str(file),
            expected="a file with responses",
        )
    return recorded.pool, {"recorded": recorded.provider()}, case.question


def _amount(given: str | None) -> Decimal | None:
    return None if given is None else usd(given)


def _code(decision: Decision, *, strict: bool) -> int:
    """The exit code of a decision (SEMANTICS §3)."""
    if decision.status == "escalated":
        return LIMITED if any(reason.startswith("limit:") for reason in decision.reasons) else ESCALATED
    return DEGRADED if strict and decision.status == "degraded" else 0
