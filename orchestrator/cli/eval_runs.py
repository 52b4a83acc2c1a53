"""What an eval's command line stands for: its suite, its settings, its folder, its exit code."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orchestrator.cli.eval_figures import figures_of
from orchestrator.cli.options import FAILED, INTERRUPTED

if TYPE_CHECKING:
    from orchestrator.evals.report import Report
    from orchestrator.evals.runner import How, Job
    from orchestrator.evals.store import Done, Store
    from orchestrator.evals.suite import Gates, Suite
    from orchestrator.render import Screen

__all__ = [
    "UNMET",
    "Ends",
    "begun_with",
    "carry_out",
    "code_of",
    "gates_of",
    "how_of",
    "located_in",
    "new_store",
    "reported",
    "store_of",
    "suite_of",
]

UNMET = 3
"""Exit code where a gate does not hold."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What becomes of a report."""

    allow_errors: bool = False
    only_shown: bool = False
    """Whether the exit code is to say nothing of it."""
    junit: Path | None = None
    html: Path | None = None
    markdown: Path | None = None


def code_of(found: Report, *, allow_errors: bool) -> int:
    """Exit 1 for errors, which beats 3 for a gate that does not hold (SEMANTICS §3, §10)."""
    if found.errors and not allow_errors:
        return FAILED
    return UNMET if found.gates else 0


def _why_failed(found: Report) -> str:
    """Why an eval exits with 1, in words; a gate that does not hold is said beside it, since 1 beats 3."""
    count, gates = found.errors, len(found.gates)
    cases = "1 case" if count == 1 else f"{count} cases"
    told = f"exit {FAILED}: {cases} ended in an error (--allow-errors lets {'it' if count == 1 else 'them'} pass)"
    held = "1 gate does not hold" if gates == 1 else f"{gates} gates do not hold"
    return f"{told}; {held} either, which alone is exit {UNMET}" if gates else told


def suite_of(settings: dict[str, object]) -> Suite:
    """The suite of an eval, with the systems that were asked for."""
    from orchestrator.errors import ConfigError
    from orchestrator.evals.runner import check_systems
    from orchestrator.evals.suite import find_suite, load_suite

    data, agents = ([Path(path) for path in _texts(settings, key)] for key in ("data", "agents"))
    may_run = bool(settings.get("allow_code"))
    found = load_suite(find_suite(str(settings["suite"])), data, agents=agents, allow_code=may_run)
    read = _replayed(_with_routers(found, settings), settings)
    check_systems(read)
    if settings.get("cassette") and read.recorded is not None:
        problem, expected = "recorded outcomes are looked up, not asked for", "a suite over models, or no --cassette"
        raise ConfigError(problem, file=read.path, field="cassette", expected=expected)
    return read


def begun_with(settings: dict[str, object], fitted: Container[str] = ()) -> tuple[Suite, How]:
    """The suite of a new eval and how it is run, checked before anything is; `fitted` are systems that need no fit."""
    from orchestrator.evals.fitting import check_fits

    read, how = suite_of(settings), how_of(settings)
    check_fits(read, how.split, fitted)
    gates_of(settings, read)
    return read, how


def _with_routers(read: Suite, settings: dict[str, object]) -> Suite:
    from typing import cast

    from orchestrator.evals.suite import Candidate

    routers, merges = _texts(settings, "routers"), _texts(settings, "merges")
    plain = settings["analyses"] == 1 and settings["prefer"] == "balanced"
    read = read.sure_by(
        cast("str | None", settings.get("confidence")), cast("float | None", settings.get("abstain_below"))
    )
    if not routers and not merges and plain:
        return read
    fields = {"analyses": settings["analyses"], "prefer": settings["prefer"]}
    return read.with_candidates(
        [
            Candidate.model_validate({"router": router, "merge": merge, **fields})
            for router in routers or ["plan"]
            for merge in merges or [None]
        ]
    )


def _replayed(read: Suite, settings: dict[str, object]) -> Suite:
    """The suite at the prices and with the budget of a replay."""
    from dataclasses import replace
    from decimal import Decimal

    from orchestrator.evals.replay import at_prices, read_prices

    if settings.get("prices"):
        read = at_prices(read, read_prices(Path(str(settings["prices"])), read))
    budget = settings.get("budget")
    return read if budget is None else replace(read, budget=Decimal(str(budget)))


def _told_of_replay(settings: dict[str, object], suite: Suite, done: list[Done]) -> list[str]:
    """What of an eval could not be replayed."""
    from orchestrator.evals.replay import not_replayed, read_prices, unpriced

    prices = read_prices(Path(str(settings["prices"])), suite) if settings.get("prices") else {}
    return [*unpriced(suite, prices), *not_replayed(done)]


def how_of(settings: dict[str, object]) -> How:
    """How an eval is run; raises `ConfigError` for a split that there is not."""
    from decimal import Decimal
    from typing import cast

    from orchestrator.errors import ConfigError
    from orchestrator.evals.runner import How

    split = str(settings["split"])
    if split not in ("train", "test", "all"):
        raise ConfigError(f"cannot be `{split}`", field="split", expected="train, test or all")
    limit, cost = settings["limit"], settings["max_cost"]
    cassette = None if settings.get("record") or not settings.get("cassette") else Path(str(settings["cassette"]))
    if cassette is not None and not cassette.is_file():
        expected = "a file of recorded calls; --record makes them"
        raise ConfigError("does not exist", file=str(cassette), field="cassette", expected=expected)
    return How(
        split=split,
        limit=cast("int | None", limit),
        ids=tuple(_texts(settings, "ids")),
        repeat=cast("int", settings["repeat"]),
        jobs=cast("int", settings["jobs"]),
        seed=cast("int", settings["seed"]),
        max_cost=None if cost is None else Decimal(str(cost)),
        traces=bool(settings["traces"]),
        replay=Path(str(settings["replay"])) if settings.get("replay") else None,
        cassette=cassette,
    )


def _texts(settings: dict[str, object], key: str) -> list[str]:
    from typing import cast

    return [str(each) for each in cast("list[object]", settings.get(key) or [])]


def gates_of(settings: dict[str, object], suite: Suite) -> Gates:
    """The suite's gates, with those of the command line in their place."""
    from typing import cast

    from orchestrator.evals.suite import Gates

    asked = cast("dict[str, object]", settings.get("gates") or {})
    return Gates.model_validate(
        {**suite.gates.model_dump(), **{name: gate for name, gate in asked.items() if gate is not None}}
    )


def located_in(folder: Path, names: list[str] | None) -> list[str]:
    """Names of routers or merges, those in files by the file's whole path."""
    from orchestrator.evals.named import located

    return [located(name, folder) for name in names or ()]


def store_of(name: str) -> Store:
    """The eval of a name."""
    from orchestrator.evals.store import find_eval

    return find_eval(name)


def new_store(suite: str, out: Path | None) -> Store:
    """A folder of its own for a new eval."""
    from datetime import UTC, datetime
    from secrets import token_hex

    from orchestrator.evals.store import Store, evals_folder

    if out is not None:
        return Store(out)
    return Store(evals_folder() / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{suite.replace('/', '_')}-{token_hex(2)}")


def carry_out(
    store: Store,
    suite: Suite,
    how: How,
    screen: Screen,
    ends: Ends,
    *,
    again: set[tuple[str, str, int]] | None = None,
) -> None:
    """Run what is missing, then freeze the choices, score and report."""
    from orchestrator.evals.fitting import with_fits
    from orchestrator.evals.runner import jobs_of, under_way

    try:
        suite = with_fits(suite, store, screen.note)
        singles = bool(store.settings().get("singles")) and suite.recorded is None
        times, errors = store.times(), again or set()
        jobs = [
            job
            for job in jobs_of(suite, how, singles=singles)
            if job.key not in times or job.key in errors or under_way(job, store, times)
        ]
        head = store.frozen_head() if store.frozen else None
        if jobs:
            store.thaw()
            head = None
        how = _within(how, suite, jobs, screen)
        if jobs:
            _run(jobs, store, suite, how, screen)
        head = head or store.freeze(store.done().values())
        _judge(store, suite, how, screen, again=again is not None)
        _record(store)
        reported(store, suite, how, screen, ends, head=head)
    except KeyboardInterrupt:
        screen.note(f"interrupted; go on with: orchestrator eval resume {_said(store)}")
        raise typer.Exit(INTERRUPTED) from None


def _within(how: How, suite: Suite, jobs: list[Job], screen: Screen) -> How:
    """The same with a limit, where models may be paid and none was given (SEMANTICS §6)."""
    from dataclasses import replace

    from orchestrator.evals.judge import Judge
    from orchestrator.pipeline.parts import SAFE_BUDGET

    judge = suite.pool.models[suite.scorer.model] if isinstance(suite.scorer, Judge) else None
    spends = any(job.spends(suite) for job in jobs) or (judge is not None and not judge.free)
    if how.max_cost is not None or suite.recorded is not None or how.replayed or not spends:
        return how
    screen.note(f"no --max-cost was given: the whole eval spends at most ${SAFE_BUDGET}")
    return replace(how, max_cost=SAFE_BUDGET)


def _judge(store: Store, suite: Suite, how: How, screen: Screen, *, again: bool) -> None:
    """Have the suite's judge, if it has one, look at the answers that it has not seen."""
    from orchestrator.evals.judging import judge_answers, unjudged
    from orchestrator.render.evals import EvalBar

    answers = unjudged(suite, store, again=again)
    if answers:
        with EvalBar(len(answers), screen, name="judge") as bar:
            asyncio.run(judge_answers(answers, suite, store, how, bar))


def _run(jobs: list[Job], store: Store, suite: Suite, how: How, screen: Screen) -> None:
    from orchestrator.evals.runner import run_jobs
    from orchestrator.render.evals import EvalBar

    with EvalBar(len(jobs), screen) as bar:
        asyncio.run(run_jobs(jobs, suite, store, how, bar))


def _record(store: Store) -> None:
    """Write the calls into one file, where that was asked for."""
    from orchestrator.evals.cassettes import write_cassette

    settings = store.settings()
    if settings.get("record"):
        write_cassette(Path(str(settings["cassette"])), store.folder)


def _said(store: Store) -> str:
    """How the eval is named on the command line: an eval elsewhere by its folder."""
    from orchestrator.evals.store import evals_folder

    kept = store.folder.resolve().parent == evals_folder().resolve()
    return store.name if kept else shlex.quote(str(store.folder))


def reported(store: Store, suite: Suite, how: How, screen: Screen, ends: Ends, *, head: str | None = None) -> None:
    """Report on an eval and end the command with its exit code; choices without a head are frozen first."""
    from dataclasses import replace

    from orchestrator.evals.fitting import fit_notes
    from orchestrator.evals.judging import figures_of_judge
    from orchestrator.evals.report import broken_gates, report_of, with_judgements
    from orchestrator.render import document
    from orchestrator.render.evals import apart_lines, report_table

    done = list(store.done().values())
    head = head or store.freeze(done)  # every choice is written before any score is looked up
    gates, settings = gates_of(store.settings(), suite), store.settings()
    judge, suite = figures_of_judge(suite, store), with_judgements(suite, store)
    found = report_of(
        suite, done, run=store.name, head=head, split=how.split, seed=how.seed, against=gates.no_worse_than
    )
    broken = (*broken_gates(found, gates), *_behind(store, suite, settings))
    told = judge.lines if judge else ()
    sure = fit_notes(suite, store.fits())
    notes = (*found.notes, *sure, *apart_lines(done), *told, *_told_of_replay(settings, suite, done))
    found = replace(found, gates=broken, notes=notes, judge=judge)
    store.keep_report(document(found))
    code = 0 if ends.only_shown else code_of(found, allow_errors=ends.allow_errors)
    report_table(found, screen, why=_why_failed(found) if code == FAILED else None)
    if screen.json:
        screen.data(figures_of(found))
    _write(ends, found, suite, done, store)
    raise typer.Exit(code)


def _write(ends: Ends, found: Report, suite: Suite, done: list[Done], store: Store) -> None:
    """The files that were asked for."""
    from orchestrator.evals.report import rows_of
    from orchestrator.render.junit import junit
    from orchestrator.render.markdown import markdown
    from orchestrator.render.page import Shown, page

    if ends.junit is not None:
        ends.junit.write_text(junit(found, rows_of(suite, done)), encoding="utf-8")
    if ends.markdown is not None:
        ends.markdown.write_text(markdown(found), encoding="utf-8")
    if ends.html is not None:
        ends.html.write_text(page(Shown(found, suite, done, store.folder)), encoding="utf-8")


def _behind(store: Store, suite: Suite, settings: dict[str, object]) -> list[str]:
    """The routers that fall behind those of the eval that they are held to."""
    if not settings.get("baseline"):
        return []
    from typing import cast

    from orchestrator.evals.report import fallen_behind, routers_of
    from orchestrator.evals.store import find_eval

    earlier = find_eval(str(settings["baseline"]))
    held_to = routers_of(suite_of(earlier.settings()), earlier)
    return fallen_behind(routers_of(suite, store), held_to, cast("float", settings["alpha"]))
