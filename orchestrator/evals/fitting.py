"""What systems of an eval know of their own sureness: read from a file, or fitted on train, once for each of them."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from orchestrator.budget import Budget
from orchestrator.confidence import Calibration, calibrated, misfit, naive, read_calibration
from orchestrator.errors import ConfigError
from orchestrator.evals.calibrating import Way, calibrate
from orchestrator.evals.candidates import FIT, UNFITTED, Candidate
from orchestrator.evals.matrix import Split
from orchestrator.evals.named import own_object
from orchestrator.evals.store import Fit, Store
from orchestrator.evals.suite import Suite
from orchestrator.pipeline.parts import router_of
from orchestrator.pool import Pool
from orchestrator.routers import Router, RouterFunction
from orchestrator.weights import Rates

__all__ = ["Rulings", "check_fits", "fit_notes", "stand_ins", "way_of", "with_fits"]

Said = Callable[[str], None]
SHOWN = 12
"""Characters of a hash that are shown."""


@dataclass(slots=True)
class Rulings:
    """The routers of a suite's systems; one that goes by replies is one for all cases: what it works out is kept."""

    suite: Suite
    _kept: dict[str, Router] = field(default_factory=dict[str, Router])

    def router(self, name: str, asked: Candidate, pool: Pool) -> Router | RouterFunction | str:
        """The router of a system: its name where it is known by that, else an object."""
        if not asked.sequential(self.suite.pool.models):
            return _named(asked.router, ("plan", "llm", *self.suite.pool.models))
        if name not in self._kept:
            self._kept[name] = router_of(asked.router, pool, asked.analyses, self.suite.fits.get(name))
        return self._kept[name]


def _named(router: str, known: Sequence[str]) -> RouterFunction | str:
    return (
        router
        if router in known
        else cast("RouterFunction", own_object(router, "router", (*known, "cascade", "llm+cascade")))
    )


def way_of(candidate: Candidate, suite: Suite) -> Way:
    """How a system decides."""
    models = suite.pool.models
    whole = candidate.sequential(models)
    return Way(
        router=candidate.router if whole else _named(candidate.router, ("plan", "llm", *models)),
        merge=candidate.merge,
        analyses=candidate.analyses,
        rates=Rates.preferring(candidate.prefer),
        budget=Budget(usd=suite.budget, seconds=suite.seconds),
    )


def _source(candidate: Candidate, suite: Suite) -> str | None:
    """Where a system's confidence comes from: `fit`, a file, or nowhere."""
    if candidate.confidence is not None:
        return None if candidate.confidence == UNFITTED else candidate.confidence
    fitted = candidate.adapts(suite.pool.models) and "+" not in candidate.router  # a model inside is not fitted unasked
    return FIT if suite.recorded is not None and fitted else None


def stand_ins(suite: Suite) -> Suite:
    """The suite with something in the place of everything that is yet to be read or fitted, to check its systems by."""
    stand_in = calibrated([("", 0.5, 0.5)], "p", posterior=naive({"nobody": 0.5}))
    named = [each.name for each in suite.candidates if _source(each, suite) is not None]
    return replace(suite, fits=dict.fromkeys(named, stand_in))


def check_fits(suite: Suite, split: Split, known: Container[str] = ()) -> None:
    """Refuse systems that cannot have the confidence they want; raises `ConfigError` with file and field.

    `known` are the names of those that have it already.
    """
    for place, each in enumerate(suite.candidates):
        if each.name in known:
            continue
        source, where = _source(each, suite), f"systems[{place}].confidence"
        if source == FIT:
            _check_fit(suite, split, where)
        elif source is not None:
            _read(source, suite, where)


def _check_fit(suite: Suite, split: Split, where: str) -> None:
    """Nothing is fitted on what it is then held to (SEMANTICS §10)."""
    if suite.recorded is None:
        problem, expected = "there are no recorded outcomes to fit it on", "a file that `eval calibrate` wrote"
    elif not suite.recorded.answers:
        problem, expected = "the recorded outcomes hold no responses to fit it on", "`none`, or a file with responses"
    elif split != "test":
        problem = f"is fitted on the train split, and --split {split} would hold it to that"
        expected = "--split test, --confidence FILE, or --confidence none to go by skills alone"
    elif not any(case.split == "train" for case in suite.recorded.cases.values()):
        problem, expected = "there are no train cases to fit it on", "a file with a train split, or --confidence none"
    else:
        return
    raise ConfigError(problem, file=suite.path, field=where, expected=expected)


def _read(path: str, suite: Suite, where: str) -> Calibration:
    """The confidence in a file; raises `ConfigError` where it can say nothing of anybody in the pool."""
    found = read_calibration(path)
    if found.knows_nobody(suite.pool.agents):
        raise ConfigError(
            "knows none of the experts", file=path, field=where, expected=f"one that was fitted for {suite.pool.name}"
        )
    return found


def with_fits(suite: Suite, store: Store, said: Said) -> Suite:
    """The suite with what its systems go by: as it is kept with the eval, else read or fitted, and kept.

    `said` is told what takes time. Raises `ConfigError` where what is kept was changed.
    """
    kept, fresh, fits = store.fits(), dict[tuple[object, ...], Calibration](), dict[str, Calibration]()
    for place, each in enumerate(suite.candidates):
        source = _source(each, suite)
        if source is None:
            continue
        if each.name not in kept:
            way = way_of(each, suite)
            key = (source, each.router, each.merge, each.analyses, each.prefer)
            if source != FIT:
                fresh[key] = _read(source, suite, f"systems[{place}].confidence")
            elif key not in fresh:
                fresh[key] = _fitted(way, suite, said)
            store.keep_fit(each.name, fresh[key], way.name)
        # whom it was fitted for is said once, in the report
        fits[each.name] = store.fit(each.name).model_copy(update={"system": ""})
    return replace(suite, fits=fits)


def _fitted(way: Way, suite: Suite, said: Said) -> Calibration:
    file = suite.recorded
    if file is None:
        raise ConfigError("there are no recorded outcomes to fit on", file=suite.path, field="confidence")
    count = sum(case.split == "train" for case in file.cases.values())
    said(f"fitting {way.name} on {count} train cases")
    try:
        return calibrate(file, way, "posterior")
    except ValueError as error:
        expected = "more train cases, or --confidence none"
        raise ConfigError(
            f"cannot be fitted: {error}", file=suite.path, field="confidence", expected=expected
        ) from error


def fit_notes(suite: Suite, fits: Mapping[str, Fit]) -> list[str]:
    """What each system goes by, in words; of those that adapt also that it is nothing but skills."""
    return [note for each in suite.candidates for note in _notes(each, suite, fits.get(each.name))]


def _notes(candidate: Candidate, suite: Suite, fit: Fit | None) -> Sequence[str]:
    name = candidate.name
    if fit is None:
        return [f"{name}: nothing is fitted, it goes by skills alone"] if candidate.adapts(suite.pool.models) else []
    told = f"{name}: confidence by {fit.source} ({fit.method}), fitted on {fit.n} cases of {fit.data}"
    told = f"{told}, data {fit.data_sha256[:SHOWN]}, kept as {fit.file}"
    other = misfit(fit.system, fit.way)
    return [told] if other is None else [told, f"{name}: {other}"]
