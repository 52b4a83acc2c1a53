"""`eval calibrate`: what a score of confidence is worth, from train data, as a file for `run --confidence`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import JsonOption
from orchestrator.cli.run_options import AnalysesOption, MergeOption, PreferName, PreferOption, RouterOption

if TYPE_CHECKING:
    from orchestrator.confidence import Calibration

__all__ = ["calibrate"]


class MethodName(StrEnum):
    """Curves of the command line."""

    isotonic = "isotonic"
    platt = "platt"


def calibrate(
    data: Annotated[str, typer.Argument(help="A file of recorded outcomes, or an eval that ran over a train split.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Write it here.", metavar="FILE", dir_okay=False)],
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="The score: posterior, agreement, p or verbalised; of an eval agreement, or verbalised.",
            metavar="SOURCE",
            show_default="posterior; of an eval agreement",
        ),
    ] = None,
    method: Annotated[MethodName, typer.Option("--method", help="The curve.")] = MethodName.isotonic,
    router: RouterOption = None,
    merge: MergeOption = None,
    analyses: AnalysesOption = "1",
    prefer: PreferOption = PreferName.balanced,
    json: JsonOption = False,
) -> None:
    """Fit what confidence is worth on train, for decisions made as the options say; nobody is called."""
    from orchestrator.render import Screen

    found = (
        _of_file(Path(data), source or "posterior", method, (router, merge, analyses, prefer))
        if Path(data).is_file()
        else _of_eval(data, source or "agreement", method)
    )
    found.write(out)
    screen = Screen(json=json)
    if json:
        screen.data({"file": str(out), **found.model_dump(exclude={"answers", "knots"})})
        return
    screen.answer(f"{out}: {found.method} of {found.source} over {found.n} train cases, data {found.data_sha256[:12]}")


def _of_file(
    path: Path, source: str, method: MethodName, how: tuple[str | None, str | None, int | str, PreferName]
) -> Calibration:
    from orchestrator.confidence import check_source
    from orchestrator.evals.calibrating import Way
    from orchestrator.evals.calibrating import calibrate as fitted
    from orchestrator.evals.loaders import load_outcomes
    from orchestrator.weights import Rates

    router, merge, analyses, prefer = how
    way = Way(
        router=router,
        merge=merge,
        analyses=analyses,
        rates=Rates.preferring(prefer.value),
    )
    return fitted(load_outcomes(path), way, check_source(source), method=method.value)


def _of_eval(name: str, source: str, method: MethodName) -> Calibration:
    """From the decisions of an eval: how many of those asked supported them, or how sure these were."""
    from orchestrator.cli.eval_runs import store_of, suite_of
    from orchestrator.confidence import check_source
    from orchestrator.errors import ConfigError
    from orchestrator.evals.calibrating import calibrate_done
    from orchestrator.evals.fitting import way_of
    from orchestrator.evals.report import scored

    store = store_of(name)
    known = check_source(source)
    if known not in ("agreement", "verbalised"):
        problem = "an eval keeps who agreed and what they stated, no more"
        raise ConfigError(problem, field="source", expected="--source agreement or --source verbalised")
    suite = suite_of(store.settings())
    train = {case.id: case for case in suite.part("train")}
    kept = [done for done in store.done().values() if done.case in train]
    if not kept:
        raise ConfigError("holds no train cases", file=str(store.folder), expected="`eval run --split train` before")
    pairs = [(done, scored(done, train[done.case], suite).score) for done in kept]
    ways = {each.name: way_of(each, suite).name for each in suite.candidates}
    return calibrate_done(pairs, known, method=method.value, data=store.name, ways=ways)
