"""`eval` asks whether a router is worth its money: runs suites, keeps them, scores, compares, verifies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.eval_calibrate import calibrate
from orchestrator.cli.eval_figures import compared
from orchestrator.cli.eval_replay import replay
from orchestrator.cli.eval_runs import (
    Ends,
    begun_with,
    carry_out,
    how_of,
    located_in,
    new_store,
    reported,
    store_of,
    suite_of,
)
from orchestrator.cli.options import FAILED, AgentsOption, JsonOption, usd
from orchestrator.cli.run_options import (
    AbstainOption,
    AnalysesOption,
    CassetteOption,
    EvalConfidenceOption,
    PreferName,
    PreferOption,
    RecordOption,
    RoutersOption,
    check_cassette,
)

__all__ = ["app"]

app = typer.Typer(help="Is a router worth its money? Suites, baselines, intervals, a verdict.", no_args_is_help=True)

app.command("replay")(replay)
app.command("calibrate")(calibrate)

RunArgument = Annotated[str, typer.Argument(help="An eval: its name, the beginning of it, a folder, or `last`.")]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Let the scorer `code` run what models wrote, in a process with limits.")
]
AllowErrors = Annotated[bool, typer.Option("--allow-errors", help="Exit with 0 although cases ended in errors.")]
JunitOption = Annotated[
    Path | None, typer.Option("--junit", help="Write a JUnit file as well.", metavar="FILE", dir_okay=False)
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", help="Write the report as one HTML page.", metavar="FILE", dir_okay=False)
]
MarkdownOption = Annotated[
    Path | None, typer.Option("--markdown", help="Write the report in Markdown.", metavar="FILE", dir_okay=False)
]
MaxCost = Annotated[
    str | None, typer.Option("--max-cost", help="USD for the whole eval.", metavar="USD", show_default=False)
]


@app.command()
def run(
    suite: Annotated[str, typer.Argument(help="A suite (suite.toml), one that ships, or a file of recorded outcomes.")],
    *,
    agents: AgentsOption = None,
    router: RoutersOption = None,
    merge: Annotated[
        list[str] | None, typer.Option("--merge", help="A merge by name or module:attr; repeatable.", metavar="M")
    ] = None,
    analyses: AnalysesOption = "1",
    confidence: EvalConfidenceOption = None,
    abstain_below: AbstainOption = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Cases instead of the suite's; repeatable.", metavar="FILE", exists=True),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="train, test or all.", metavar="SPLIT")] = "test",
    limit: Annotated[int | None, typer.Option("--limit", help="The first N cases.", min=1, metavar="N")] = None,
    sample_id: Annotated[
        list[str] | None, typer.Option("--sample-id", help="Only this case; repeatable.", metavar="ID")
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", help="How often each case is run.", min=1, metavar="N")] = 1,
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Cases at the same time.", min=1, metavar="N")] = 8,
    seed: Annotated[int, typer.Option("--seed", help="For everything that is drawn.", metavar="N")] = 0,
    max_cost: MaxCost = None,
    prefer: PreferOption = PreferName.balanced,
    singles: Annotated[
        bool, typer.Option("--singles/--no-singles", help="Run each single expert too, where no outcomes are recorded.")
    ] = True,
    traces: Annotated[bool, typer.Option("--traces/--no-traces", help="Keep a trace of every case.")] = True,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the eval.", metavar="DIR")] = None,
    cassette: CassetteOption = None,
    record: RecordOption = False,
    fail_under: Annotated[
        float | None,
        typer.Option("--fail-under", help="Gate: lowest score of a router.", metavar="SCORE", min=0.0, max=1.0),
    ] = None,
    max_cost_per_question: Annotated[
        float | None, typer.Option("--max-cost-per-question", help="Gate: USD.", metavar="USD", min=0.0)
    ] = None,
    no_worse_than: Annotated[
        str | None, typer.Option("--no-worse-than", help="Gate: a baseline, such as best-single.", metavar="BASELINE")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Gate: an earlier eval that no router may fall behind.", metavar="RUN"),
    ] = None,
    alpha: Annotated[
        float, typer.Option("--alpha", help="How sure --baseline has to be.", metavar="P", min=0.0, max=1.0)
    ] = 0.05,
    allow_errors: AllowErrors = False,
    allow_code: AllowCode = False,
    junit: JunitOption = None,
    html: HtmlOption = None,
    markdown: MarkdownOption = None,
    json: JsonOption = False,
) -> None:
    """Run a suite and report: every router beside its baselines, errors in the denominator, a verdict in words."""
    from orchestrator.evals.candidates import placed_file
    from orchestrator.evals.suite import find_suite
    from orchestrator.render import Screen

    check_cassette(cassette, record=record)
    here, gates = Path.cwd(), {"fail_under": fail_under, "max_cost_per_question": max_cost_per_question}
    settings: dict[str, object] = {
        "suite": str(find_suite(suite).resolve()),
        "agents": [str(path.resolve()) for path in agents or ()],
        "routers": located_in(here, router),
        "merges": located_in(here, merge),
        "analyses": analyses,
        "confidence": placed_file(confidence, here),
        "abstain_below": abstain_below,
        "data": [str(path.resolve()) for path in data or ()],
        "split": split,
        "limit": limit,
        "ids": sample_id or [],
        "repeat": repeat,
        "jobs": jobs,
        "seed": seed,
        "max_cost": None if max_cost is None else str(usd(max_cost, "--max-cost")),
        "prefer": prefer.value,
        "singles": singles,
        "traces": traces,
        "gates": {**gates, "no_worse_than": no_worse_than},
        "baseline": None if baseline is None else str(store_of(baseline).folder.resolve()),
        "alpha": alpha,
        "allow_code": allow_code,
        "cassette": None if cassette is None else str(cassette.resolve()),
        "record": record,
    }
    read, how = begun_with(settings)
    store = new_store(read.name, out)
    store.begin(settings)
    carry_out(
        store, read, how, Screen(json=json), Ends(allow_errors=allow_errors, junit=junit, html=html, markdown=markdown)
    )


@app.command()
def resume(
    name: RunArgument = "last",
    *,
    max_cost: MaxCost = None,
    allow_errors: AllowErrors = False,
    junit: JunitOption = None,
    html: HtmlOption = None,
    markdown: MarkdownOption = None,
    json: JsonOption = False,
) -> None:
    """Do what is missing of an eval that was interrupted; nothing is done twice."""
    from orchestrator.render import Screen

    store = store_of(name)
    store.mend()
    if max_cost is not None:
        store.change(max_cost=str(usd(max_cost, "--max-cost")))
    settings = store.settings()
    ends = Ends(allow_errors=allow_errors, junit=junit, html=html, markdown=markdown)
    carry_out(store, suite_of(settings), how_of(settings), Screen(json=json), ends)


@app.command()
def retry(
    name: RunArgument = "last",
    *,
    max_cost: MaxCost = None,
    allow_errors: AllowErrors = False,
    junit: JunitOption = None,
    html: HtmlOption = None,
    markdown: MarkdownOption = None,
    json: JsonOption = False,
) -> None:
    """Do again what ended in an error, and what is missing; what it cost before stays on its bill."""
    from orchestrator.render import Screen

    store = store_of(name)
    store.mend()
    if max_cost is not None:
        store.change(max_cost=str(usd(max_cost, "--max-cost")))
    settings = store.settings()
    again = {key for key, done in store.done().items() if done.error is not None}
    ends = Ends(allow_errors=allow_errors, junit=junit, html=html, markdown=markdown)
    carry_out(store, suite_of(settings), how_of(settings), Screen(json=json), ends, again=again)


@app.command()
def rescore(
    name: RunArgument = "last",
    *,
    allow_errors: AllowErrors = False,
    junit: JunitOption = None,
    html: HtmlOption = None,
    markdown: MarkdownOption = None,
    json: JsonOption = False,
) -> None:
    """Score and report anew from what was kept; no model is called."""
    from orchestrator.render import Screen

    store = store_of(name)
    settings = store.settings()
    ends = Ends(allow_errors=allow_errors, junit=junit, html=html, markdown=markdown)
    reported(store, suite_of(settings), how_of(settings), Screen(json=json), ends, head=store.frozen_head())


@app.command()
def report(
    name: RunArgument = "last",
    *,
    junit: JunitOption = None,
    html: HtmlOption = None,
    markdown: MarkdownOption = None,
    json: JsonOption = False,
) -> None:
    """Show the report of an eval again."""
    from orchestrator.render import Screen

    store = store_of(name)
    settings, ends = store.settings(), Ends(only_shown=True, junit=junit, html=html, markdown=markdown)
    reported(store, suite_of(settings), how_of(settings), Screen(json=json), ends, head=store.frozen_head())


@app.command("list")
def list_evals(*, json: JsonOption = False) -> None:
    """List the evals that are kept, newest first."""
    from orchestrator.evals.store import Store, evals_folder, run_names
    from orchestrator.render import Screen, rows_table

    screen, folder = Screen(json=json), evals_folder()
    stores = [Store(folder / name) for name in run_names(folder)]
    rows = [(store.name, str(store.settings().get("suite", "")), str(len(store.done()))) for store in stores]
    if json:
        screen.data([dict(zip(("run", "suite", "done"), row, strict=True)) for row in rows])
    elif rows:
        rows_table(rows, screen, header=("eval", "suite", "cases done"))
    else:
        screen.note(f"no evals in {folder}")


@app.command()
def show(name: RunArgument = "last", *, json: JsonOption = False) -> None:
    """Show every case of an eval with its score."""
    from orchestrator.evals.report import scored, with_judgements
    from orchestrator.render import Screen, rows_table

    screen, store = Screen(json=json), store_of(name)
    suite = with_judgements(suite_of(store.settings()), store)
    cases = {case.id: case for case in suite.cases}
    kept = [done for _, done in sorted(store.done().items()) if done.case in cases]
    found = [(done, scored(done, cases[done.case], suite)) for done in kept]
    if json:
        screen.data([{**done.model_dump(), "score": score.score, "why": score.why} for done, score in found])
        return
    rows = [
        (
            done.system,
            done.case,
            "error" if done.error or score.error else f"{score.score:g}",
            done.answer or "",
            score.why,
        )
        for done, score in found
    ]
    rows_table(rows, screen, header=("system", "case", "score", "answer", "why"))


@app.command()
def case(
    name: RunArgument, case_id: Annotated[str, typer.Argument(help="Id of a case.")], *, json: JsonOption = False
) -> None:
    """Show one case of an eval, by every system, with the trace of each."""
    from orchestrator.errors import ConfigError, nearest
    from orchestrator.render import Screen, show_trace
    from orchestrator.trace import read_trace

    screen, store = Screen(json=json), store_of(name)
    every = store.done().values()
    found = [done for done in every if done.case == case_id]
    if not found:
        known = sorted({done.case for done in every})
        raise ConfigError(
            f"there is no case `{case_id}`", file=str(store.folder), field="id", suggestion=nearest(case_id, known)
        )
    if json:
        screen.data(found)
        return
    for done in found:
        screen.answer(f"{done.system}: {done.error or done.answer}")
        if done.trace is not None:
            show_trace(read_trace(store.folder / done.trace), screen)


@app.command()
def verify(
    name: RunArgument = "last",
    *,
    head: Annotated[str | None, typer.Option("--head", help="The head that the run printed.", metavar="HASH")] = None,
    json: JsonOption = False,
) -> None:
    """Check that no choice and no trace was changed since the choices were frozen."""
    from orchestrator.render import Screen

    screen, store = Screen(json=json), store_of(name)
    faults = store.verify(head)
    if json:
        screen.data({"consistent": not faults, "anchored": head is not None and not faults, "faults": faults})
    else:
        for fault in faults:
            screen.fail(fault)
        screen.answer("not consistent" if faults else "consistent" + (" and anchored" if head else ""))
    raise typer.Exit(FAILED if faults else 0)


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(help="Two evals or more; the first is what the others are held to.")],
    *,
    json: JsonOption = False,
) -> None:
    """Compare routers of several evals on the cases they share."""
    from orchestrator.errors import ConfigError
    from orchestrator.evals.comparison import compare_each
    from orchestrator.evals.report import routers_of
    from orchestrator.render import Screen

    if len(names) < 2:
        raise typer.BadParameter("name two evals or more")
    screen = Screen(json=json)
    systems = [
        each for name in names for store in [store_of(name)] for each in routers_of(suite_of(store.settings()), store)
    ]
    if len(systems) < 2:
        raise ConfigError("have not two routers with results", field="names", expected="evals with finished cases")
    found = compare_each(systems[1:], systems[0])
    if json:
        screen.data([compared(each) for each in found])
        return
    for each in found:
        interval = f"[{each.ci.low:+.4f}, {each.ci.high:+.4f}]"
        screen.answer(f"{each.a} − {each.b}: {each.delta:+.4f} {interval}, p {each.p_adjusted:.3f} ({each.test})")
        screen.answer(each.words)


@app.command()
def validate(
    suite: Annotated[str | None, typer.Argument(help="A suite; with --schema none.", show_default=False)] = None,
    *,
    agents: AgentsOption = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a suite.")] = False,
    allow_code: AllowCode = False,
    json: JsonOption = False,
) -> None:
    """Check a suite with its cases, pool, scorer and systems; nothing is run."""
    from orchestrator.evals.fitting import check_fits
    from orchestrator.evals.runner import check_systems
    from orchestrator.evals.suite import find_suite, load_suite, suite_schema
    from orchestrator.render import Screen

    if schema:
        Screen(json=True).data(suite_schema())
        return
    if suite is None:
        raise typer.BadParameter("name a suite, or --schema")
    screen, read = Screen(json=json), load_suite(find_suite(suite), agents=agents or (), allow_code=allow_code)
    check_systems(read)
    check_fits(read, "test")
    counts = {split: sum(case.split == split for case in read.cases) for split in ("train", "test")}
    systems = [each.name for each in read.candidates]
    if json:
        screen.data({"valid": True, "name": read.name, "cases": counts, "systems": systems})
    else:
        cases = ", ".join(f"{number} {split}" for split, number in counts.items() if number)
        screen.answer(f"{read.name}: valid: {cases} cases, systems {', '.join(systems)}")
