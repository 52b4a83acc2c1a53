"""`run` asks a question; `route` says what would be done, and calls nobody."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orchestrator.cli.again import command_of
from orchestrator.cli.options import (
    DEGRADED,
    ESCALATED,
    FAILED,
    INTERRUPTED,
    LIMITED,
    AgentsOption,
    JsonOption,
    OptionalPoolOption,
    os_problem,
)
from orchestrator.cli.run_options import (
    AbstainOption,
    AnalysesOption,
    BudgetOption,
    CaseOption,
    CassetteOption,
    ConfidenceOption,
    DeadlineOption,
    DocsOption,
    DurableOption,
    ExplainOption,
    FailOption,
    FileOption,
    GoalOption,
    MergeOption,
    MessagesOption,
    ModelOption,
    NoContentOption,
    NoTraceOption,
    OtelOption,
    PreferName,
    PreferOption,
    QuestionArgument,
    QuietOption,
    RecordedOption,
    RecordOption,
    RouterModelOption,
    RouterOption,
    StreamOption,
    StrictOption,
    SystemOption,
    TableOption,
    ThreadOption,
    TokensOption,
    TraceOption,
    TurnsOption,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from orchestrator.cli.wanted import Wanted
    from orchestrator.messages import Decision
    from orchestrator.pipeline import Orchestrator
    from orchestrator.render import LiveRun, Screen
    from orchestrator.trace import Listener
    from orchestrator.trace.events import Event

__all__ = ["code_of", "on_screen", "route", "run"]

HIDDEN = ("value", "instance")
"""Fields of a decision that `--json` leaves out: `answer` says the same."""


def run(
    context: typer.Context,
    question: QuestionArgument = None,
    *,
    pool: OptionalPoolOption = None,
    agents: AgentsOption = None,
    router: RouterOption = None,
    router_model: RouterModelOption = None,
    model: ModelOption = None,
    merge: MergeOption = None,
    analyses: AnalysesOption = "1",
    confidence: ConfidenceOption = None,
    abstain_below: AbstainOption = None,
    goal: GoalOption = None,
    prefer: PreferOption = PreferName.balanced,
    budget: BudgetOption = None,
    max_tokens: TokensOption = None,
    max_turns: TurnsOption = None,
    deadline: DeadlineOption = None,
    strict: StrictOption = False,
    docs: DocsOption = None,
    table: TableOption = None,
    system: SystemOption = None,
    messages: MessagesOption = None,
    file: FileOption = None,
    recorded: RecordedOption = None,
    case: CaseOption = None,
    thread: ThreadOption = None,
    cassette: CassetteOption = None,
    record: RecordOption = False,
    fail: FailOption = None,
    trace: TraceOption = None,
    no_trace: NoTraceOption = False,
    no_content: NoContentOption = False,
    otel: OtelOption = False,
    durable: DurableOption = False,
    stream: StreamOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Ask a question: think, route, go round what fails, merge, decide."""
    from orchestrator.cli.wanted import Wanted
    from orchestrator.render import Screen

    if trace is not None and no_trace:
        raise typer.BadParameter("--trace and --no-trace exclude each other")
    if trace is not None and trace.suffix != ".jsonl":
        raise typer.BadParameter(f"--trace {trace}: the name of a trace ends in .jsonl")
    if thread is not None and (no_content or recorded or durable):
        other = "--no-content" if no_content else "--recorded" if recorded else "--durable"
        raise typer.BadParameter(f"--thread keeps questions and decisions, and does not go with {other}")
    wanted = Wanted.of(context.params, trace=trace or not no_trace)
    decision = _asked(wanted, Screen(json=json, quiet=quiet), stream=stream, thread=thread, otel=otel)
    raise typer.Exit(code_of(decision, strict=strict))


def route(
    context: typer.Context,
    question: QuestionArgument = None,
    *,
    explain: ExplainOption = False,
    pool: OptionalPoolOption = None,
    agents: AgentsOption = None,
    router: RouterOption = None,
    router_model: RouterModelOption = None,
    model: ModelOption = None,
    analyses: AnalysesOption = "1",
    confidence: ConfidenceOption = None,
    goal: GoalOption = None,
    prefer: PreferOption = PreferName.balanced,
    budget: BudgetOption = None,
    docs: DocsOption = None,
    table: TableOption = None,
    system: SystemOption = None,
    messages: MessagesOption = None,
    file: FileOption = None,
    recorded: RecordedOption = None,
    case: CaseOption = None,
    json: JsonOption = False,
) -> None:
    """Say what would be done with a question, and what else it could have been; calls nobody."""
    from orchestrator.cli.wanted import Wanted, built
    from orchestrator.render import Screen, choices_table, formula, show_request

    screen = Screen(json=json)
    orchestrator, asked, _ = built(Wanted.of(context.params, asks=False))
    if orchestrator.misfit is not None:
        screen.note(orchestrator.misfit)
    told = orchestrator.explain(asked, goal=goal)
    if json:
        request = told.request
        screen.data({"goal": told.goal, "choices": told.choices, **asdict(told.rates), "request": request})
    if told.thought is not None:
        screen.note(told.thought)
    for choice in told.choices if not json else ():
        if explain:
            choices_table(choice, screen, told.rates)
        else:
            steps = choice.plan.steps if choice.plan else ()
            screen.answer(" → ".join(step.agent for step in steps) or f"no way to {choice.goal.artifact}")
    if explain and not json:
        screen.note(formula(told.rates))
        if told.request is not None:
            show_request(told.request, screen)
    raise typer.Exit(0 if told.choices[0].plan or told.request else ESCALATED)


def _asked(wanted: Wanted, screen: Screen, *, stream: bool, thread: str | None, otel: bool) -> Decision:
    """Run the question with its events on screen."""
    from orchestrator.cli.wanted import built
    from orchestrator.pipeline import Conversation

    orchestrator, asked, cassette = built(wanted)
    whom = Conversation(orchestrator, thread) if thread else orchestrator
    if cassette is None:
        _announce(orchestrator, screen)
    if orchestrator.misfit is not None:
        screen.note(orchestrator.misfit)

    def go(live: LiveRun, listeners: list[Listener]) -> Coroutine[object, object, Decision]:
        note = command_of(wanted) if wanted.durable else None
        on_text = live.text if stream else None
        return whom.run(asked, goal=wanted.goal, listeners=listeners, on_text=on_text, note=note)

    with _spans(otel=otel) as spans:
        decision = on_screen(go, orchestrator, wanted, screen, stream=stream, spans=spans)
    if cassette is not None:
        cassette.finish()
    return decision


def on_screen(
    go: Callable[[LiveRun, list[Listener]], Coroutine[object, object, Decision]],
    orchestrator: Orchestrator,
    wanted: Wanted,
    screen: Screen,
    *,
    stream: bool = False,
    spans: Sequence[Listener] = (),
    before: Sequence[Event] = (),
) -> Decision:
    """A run that is begun, or taken up after the events `before`, with its events and its decision on screen."""
    import asyncio

    from orchestrator.cli.missing import next_steps
    from orchestrator.render import LiveRun, OutputFailed
    from orchestrator.trace import runs_folder

    live = LiveRun(screen, streaming=stream, before=before)
    try:
        with live:
            decision = asyncio.run(go(live, [live, *spans]))
    except KeyboardInterrupt:
        screen.note(f"interrupted{_left(wanted, live.run_id)}")
        raise typer.Exit(INTERRUPTED) from None
    except OutputFailed as error:
        screen.fail(f"{os_problem(error)}{_left(wanted, live.run_id)}")
        raise typer.Exit(FAILED) from error
    except OSError as error:
        screen.fail(f"the trace cannot be written: {os_problem(error)}; --no-trace runs without one")
        raise typer.Exit(FAILED) from error
    trace = None
    if wanted.trace:
        trace = str(runs_folder() / f"{decision.run_id}.jsonl" if wanted.trace is True else wanted.trace)
    live.decided(decision, trace)
    _say(decision, trace, screen)
    screen.next(next_steps(decision, orchestrator.pool))
    if wanted.durable and decision.status == "escalated":
        told = _resumed_by(wanted, decision.run_id)
        screen.note(f"it waits: {told} --answer TEXT | --retry | --allow AGENT")
    return decision


def _left(wanted: Wanted, run_id: str) -> str:
    """What there is of a run that was cut off, and how it goes on where it can."""
    if not wanted.trace:
        return ""
    again = f"; go on with: {_resumed_by(wanted, run_id)}" if wanted.durable and run_id else ""
    return f"; the trace up to here is whole{again}"


def _resumed_by(wanted: Wanted, run_id: str) -> str:
    """The command that takes a durable run up: by its id, or by its file where that lies elsewhere."""
    from orchestrator.trace import runs_folder

    own = not isinstance(wanted.trace, Path) or wanted.trace.parent == runs_folder()
    return f"orchestrator runs resume {run_id if own else shlex.quote(str(wanted.trace))}"


def _spans(*, otel: bool) -> AbstractContextManager[list[Listener]]:
    """Who posts spans of the run: nobody, unless asked for."""
    if not otel:
        return nullcontext([])
    from orchestrator.otel import exporting

    return exporting()


def _announce(orchestrator: Orchestrator, screen: Screen) -> None:
    """What is about to be spent at most, before anything is."""
    from orchestrator.render.screen import money

    if orchestrator.payable:
        screen.note(f"at most {money(orchestrator.budget.usd)} is spent; --budget USD sets another limit")


def _say(decision: Decision, trace: str | None, screen: Screen) -> None:
    """The result for machines, or for whoever wants the answer alone."""
    if screen.json:
        fields = {name: getattr(decision, name) for name in type(decision).model_fields if name not in HIDDEN}
        usage = {"input_tokens": decision.usage.input_tokens, "output_tokens": decision.usage.output_tokens}
        screen.data({**fields, "usage": usage, "trace": trace})
    elif screen.quiet and decision.answer is not None:
        screen.answer(decision.answer)
    elif screen.quiet:
        screen.fail("; ".join(decision.reasons))


def code_of(decision: Decision, *, strict: bool) -> int:
    """The exit code of a decision (SEMANTICS §3)."""
    if decision.status == "escalated":
        return LIMITED if any(reason.startswith("limit:") for reason in decision.reasons) else ESCALATED
    return DEGRADED if strict and decision.status == "degraded" else 0
