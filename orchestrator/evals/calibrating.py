"""Fits confidence on train: what experts did with its questions, and how often decisions of a score were right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import fsum
from time import monotonic

from orchestrator.budget import Budget
from orchestrator.confidence import (
    NONE,
    OPEN,
    Calibration,
    Posterior,
    Seen,
    Source,
    ballot_of,
    calibrated,
    crossfit,
    fit_posterior,
    raw_score,
    way_named,
)
from orchestrator.confidence.calibration import Pair
from orchestrator.confidence.curves import Method
from orchestrator.errors import ConfigError
from orchestrator.evals.store import Done
from orchestrator.health import Health
from orchestrator.merge import canonical
from orchestrator.messages import Decision, Reply
from orchestrator.pipeline import Orchestrator
from orchestrator.pool import Pool
from orchestrator.providers.recorded import RecordedFile, repriced
from orchestrator.routers import Router, RouterFunction, as_router
from orchestrator.trace.events import AttemptStarted, Event, Replied
from orchestrator.weights import Rates

__all__ = ["Decided", "Decider", "Way", "calibrate", "calibrate_done", "decide", "learnt", "means_from", "score_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How decisions are made."""

    router: Router | RouterFunction | str | None = None
    merge: str | None = None
    analyses: int | str = 1
    rates: Rates = field(default_factory=Rates)
    budget: Budget = field(default_factory=Budget)
    """Of each decision."""

    @property
    def name(self) -> str:
        """The way in a few words."""
        given = self.router or "plan"
        return way_named(given if isinstance(given, str) else as_router(given).name, self.merge, self.analyses)


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, the replies behind it, and whether it was right, 0 to 1."""

    case: str
    decision: Decision
    replies: tuple[Reply, ...]
    right: float


@dataclass(slots=True)
class _Listening:
    """Collects the replies of a run."""

    goals: dict[int, AttemptStarted]
    replies: list[Reply]

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, AttemptStarted):
            self.goals[event.attempt] = event
        elif isinstance(event, Replied):
            goal = self.goals[event.attempt].goal
            self.replies.append(Reply(event.attempt, event.agent, goal, event.value, p=event.p, cost=event.usd))


def score_of(file: RecordedFile, case: str, decision: Decision) -> float:
    """The recorded score of whoever supports a decision; 0 where nobody does."""
    return max((file.scores[case].get(name, 0.0) for name in decision.support), default=0.0)


def means_from(file: RecordedFile, cases: Collection[str]) -> RecordedFile:
    """The file with skills and expected costs from these cases alone, as if no other were train."""
    marked = {name: replace(case, split="train" if name in cases else "test") for name, case in file.cases.items()}
    return repriced(replace(file, cases=marked), {})


def learnt(file: RecordedFile, cases: Sequence[str]) -> Posterior:
    """The joint model of who is right, from these cases."""
    experts = sorted(file.pool.agents)
    return fit_posterior(experts, [_seen(file, case, experts) for case in cases])


def _seen(file: RecordedFile, name: str, experts: Sequence[str]) -> tuple[Mapping[int, Seen], int]:
    case, labels = file.cases[name], dict[str, int]()
    seen: dict[int, Seen] = {}
    for place, expert in enumerate(experts):
        take = case.takes.get(expert)
        if take is None or take.response is None:
            continue
        form = canonical(take.response, case.question)
        label = NONE if form is None else labels.setdefault(form, len(labels))
        seen[place] = Seen(label, file.scores[name].get(expert, 0.0) >= 1)
    return seen, len(case.question.choices) or OPEN


class Decider:
    """Decides recorded cases through `Orchestrator.run`, with health fresh for each."""

    def __init__(self, file: RecordedFile, way: Way, calibration: Calibration | None = None) -> None:
        self._file = file
        self._orchestrator: Callable[[], Orchestrator] = lambda: Orchestrator(
            Pool([*file.pool.models.values(), *file.pool.agents.values()], name=file.pool.name),
            router=router,
            merge=way.merge,
            analyses=way.analyses if isinstance(way.analyses, int) else 1,
            prefer=way.rates,
            budget=way.budget,
            providers={"recorded": file.provider()},
            health=Health(monotonic),
            confidence=calibration,
            trace=False,
            monitors=(),
        )
        router = None
        if way.router is not None or not isinstance(way.analyses, int):
            from orchestrator.pipeline.parts import router_of

            # one for all cases: what its policy works out is kept
            router = router_of(way.router, file.pool, way.analyses, calibration)

    async def decided(self, case: str) -> Decided:
        """The decision on a case, with its score."""
        heard = _Listening({}, [])
        decision = await self._orchestrator().run(self._file.cases[case].question, listeners=[heard])
        return Decided(case, decision, tuple(heard.replies), score_of(self._file, case, decision))


def decide(file: RecordedFile, way: Way, cases: Sequence[str], calibration: Calibration | None = None) -> list[Decided]:
    """The decisions on some cases."""
    decider = Decider(file, way, calibration)

    async def all_of_them() -> list[Decided]:
        return [await decider.decided(case) for case in cases]

    return asyncio.run(all_of_them())


def calibrate(
    file: RecordedFile, way: Way, source: Source, *, method: Method = "isotonic", cases: Sequence[str] | None = None
) -> Calibration:
    """What scores of a way's decisions are worth, from the train split, or from `cases`.

    The joint model is fitted on four fifths and judged on the fifth, so that the curve is that of questions which the
    model has not seen; what is kept is the model of them all. Raises `ConfigError` where there is nothing to fit on.
    """
    train = cases if cases is not None else [name for name, case in file.cases.items() if case.split == "train"]
    if not train or not file.answers:
        raise ConfigError("holds no train cases with responses", file=file.path, expected="a train split")
    pairs = crossfit(
        train,
        lambda case: file.cases[case].repeats or case,
        lambda others: _Scorer(file, way, source, others),
        lambda scorer, case: scorer.pair(case),
    )
    known = [pair for pair in pairs if pair is not None]
    posterior = learnt(file, train)
    return calibrated(known, source, method=method, data=file.path, system=way.name, posterior=posterior)


class _Scorer:
    """Scores decisions by a joint model of other cases."""

    def __init__(self, file: RecordedFile, way: Way, source: Source, others: Sequence[str]) -> None:
        self._file = means_from(file, set(others))
        self._source: Source = source
        self._posterior = learnt(file, others)
        # a threshold is held to the joint model's own chances, since their curve is what is being fitted
        stub = calibrated([("", 0.0, 0.0)], "posterior", posterior=self._posterior)
        stub = stub.model_copy(update={"knots": ((0.0, 0.0), (1.0, 1.0))})
        self._decider = Decider(self._file, way, stub)

    def pair(self, case: str) -> Pair | None:
        """The score of a case's decision, and whether it was right."""
        made = asyncio.run(self._decider.decided(case))
        ballot = ballot_of(self._file.cases[case].question, made.replies, made.decision.answer, canonical)
        score = raw_score(self._source, ballot, self._posterior)
        return None if score is None else (case, score, made.right)


def calibrate_done(
    done: Sequence[tuple[Done, float]],
    source: Source = "agreement",
    *,
    method: Method = "isotonic",
    data: str = "",
    ways: Mapping[str, str] | None = None,
) -> Calibration:
    """What agreement, or what experts state, is worth, from finished cases of an eval with their scores.

    `ways` says how systems decide, by their names. Raises `ConfigError` where no case has such a score.
    """
    found = [(each, _score_of(each, source), right) for each, right in done if each.error is None]
    pairs = [(f"{each.case}#{each.repeat}", score, right) for each, score, right in found if score is not None]
    systems = sorted({(ways or {}).get(each.system, each.system) for each, _ in done})
    return calibrated(pairs, source, method=method, data=data, system=", ".join(systems))


def _score_of(done: Done, source: Source) -> float | None:
    """The score of a finished case; None where it has none."""
    if source == "verbalised":
        return fsum(done.stated.values()) / len(done.stated) if done.stated else None
    asked = len(done.consulted)
    return len(set(done.support) & set(done.consulted)) / asked if done.support and asked > 1 else None
