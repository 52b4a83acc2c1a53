"""`batch` asks a file of questions and writes a file of decisions; begun anew, it goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import (
    FAILED,
    INTERRUPTED,
    LIMITED,
    AgentsOption,
    JsonOption,
    OptionalPoolOption,
    os_problem,
    usd,
)
from orchestrator.cli.run_options import (
    AnalysesOption,
    CassetteOption,
    DeadlineOption,
    DocsOption,
    FailOption,
    GoalOption,
    MergeOption,
    ModelOption,
    NoContentOption,
    NoTraceOption,
    PreferName,
    PreferOption,
    QuietOption,
    RecordOption,
    RouterModelOption,
    RouterOption,
    TableOption,
    TokensOption,
    TurnsOption,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from orchestrator.messages import Question
    from orchestrator.pipeline import Orchestrator
    from orchestrator.pipeline.batch import Answers, Posed
    from orchestrator.pipeline.many import Outcome
    from orchestrator.render import Screen

__all__ = ["batch"]

QuestionsArgument = Annotated[
    Path,
    typer.Argument(
        help="JSON lines: a text, or an object with `question` or `messages`, and perhaps `id`, `kind`, `choices`.",
        exists=True,
        dir_okay=False,
        metavar="FILE",
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", "-o", help="Where decisions are written; what is there is not asked again.")
]
JobsOption = Annotated[int, typer.Option("-j", "--concurrency", help="Questions asked at the same time.", min=1)]
AllOption = Annotated[
    str | None,
    typer.Option("--budget", help="USD that all questions together may take.", metavar="USD", show_default=False),
]
EachOption = Annotated[
    str | None, typer.Option("--budget-each", help="USD that one question may take.", metavar="USD", show_default=False)
]
RetryOption = Annotated[bool, typer.Option("--retry", help="Ask again what ended with an error, or was not paid for.")]


def batch(
    context: typer.Context,
    questions: QuestionsArgument,
    *,
    out: OutOption,
    concurrency: JobsOption = 8,
    budget: AllOption = None,
    budget_each: EachOption = None,
    retry: RetryOption = False,
    pool: OptionalPoolOption = None,
    agents: AgentsOption = None,
    router: RouterOption = None,
    router_model: RouterModelOption = None,
    model: ModelOption = None,
    merge: MergeOption = None,
    analyses: AnalysesOption = "1",
    goal: GoalOption = None,
    prefer: PreferOption = PreferName.balanced,
    max_tokens: TokensOption = None,
    max_turns: TurnsOption = None,
    deadline: DeadlineOption = None,
    docs: DocsOption = None,
    table: TableOption = None,
    cassette: CassetteOption = None,
    record: RecordOption = False,
    fail: FailOption = None,
    no_trace: NoTraceOption = False,
    no_content: NoContentOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Ask a file of questions; what was asked before is not asked again."""
    from orchestrator.cli.wanted import Wanted, orchestrator_of
    from orchestrator.pipeline.batch import Answers, read_lines
    from orchestrator.render import Screen, line

    screen = Screen(json=json, quiet=quiet)
    limit = None if budget is None else usd(budget)
    params = {**context.params, "budget": budget_each and str(usd(budget_each, "--budget-each"))}
    orchestrator, played = orchestrator_of(Wanted.of(params, trace=not no_trace))
    goal = orchestrator.pool.goals_from(goal)[0]
    total = sum(1 for _ in read_lines(questions))  # a file that is wrong in its last line spends nothing
    try:
        with Answers(out, line) as answers:
            known = answers.done | (set[str]() if retry else answers.failed | answers.unpaid)
            if untold := answers.check(questions, goal, known):
                screen.note(f"{out} says of {untold} answers not what was asked: they are taken by their ids")
            left = (posed for posed in read_lines(questions) if posed.name not in known)
            counts = _asked(orchestrator, left, answers, screen, (concurrency, limit, goal, total - len(known)))
    except KeyboardInterrupt:
        screen.note(f"interrupted; {out} holds what was decided, and the same command goes on")
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        screen.fail(f"{out} cannot be written: {os_problem(error)}")
        raise typer.Exit(FAILED) from error
    if played is not None:
        played.finish()
    _say(counts, known=len(known), out=out, screen=screen)
    raise typer.Exit(FAILED if counts["error"] else LIMITED if counts["unpaid"] else 0)


def _asked(
    orchestrator: Orchestrator,
    left: Iterator[Posed],
    answers: Answers,
    screen: Screen,
    how: tuple[int, Decimal | None, str, int],
) -> dict[str, int]:
    """Ask what is left and write what comes; how often each status came."""
    import asyncio
    from decimal import Decimal

    from orchestrator.budget import Budget
    from orchestrator.messages import Decision
    from orchestrator.render.bar import Bar

    concurrency, limit, goal, number = how
    names: dict[int, tuple[str, str]] = {}
    counts: dict[str, int] = dict.fromkeys(("answered", "degraded", "escalated", "unpaid", "error"), 0)

    def taken() -> Iterator[Question]:
        for place, posed in enumerate(left):
            names[place] = posed.name, posed.digest(goal)
            yield posed.question

    async def ask() -> None:
        money = Budget(usd=None if limit is None else max(Decimal(0), limit - answers.spent))
        outcomes = orchestrator.each(taken(), concurrency=concurrency, budget=money, goal=goal)
        async for place, outcome in outcomes:
            decided = isinstance(outcome, Decision)
            answers.write(*names.pop(place), outcome)
            counts[_came_to(outcome)] += 1
            bar.count(failed=not decided, cost=outcome.cost_usd if decided else None)

    with Bar("batch", number, screen) as bar:
        asyncio.run(ask())
    return counts


def _came_to(outcome: Outcome) -> str:
    """The word that an outcome is counted under."""
    from orchestrator.messages import Decision
    from orchestrator.pipeline.batch import not_paid_for

    if not isinstance(outcome, Decision):
        return "error"
    return "unpaid" if not_paid_for(outcome.status, outcome.reasons) else outcome.status


def _say(counts: dict[str, int], *, known: int, out: Path, screen: Screen) -> None:
    if screen.json:
        screen.data({**counts, "before": known, "out": str(out)})
    elif not screen.quiet:
        told = ", ".join(f"{number} {status}" for status, number in counts.items() if number) or "nothing was left"
        screen.note(f"{told}{f'; {known} were there before' if known else ''}; decisions in {out}")
        if counts["unpaid"]:
            screen.note("what all may take together did not pay for the rest: --retry with a higher --budget asks it")
