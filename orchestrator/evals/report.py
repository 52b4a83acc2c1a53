"""From finished cases to a report: scores, baselines beside every router, comparisons, gates and a verdict in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from orchestrator.evals.baselines import Baselines
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.comparison import Comparison, compare, compare_each
from orchestrator.evals.judge import Judge, Judged, JudgeFigures
from orchestrator.evals.matrix import Matrix, Split, matrix_of
from orchestrator.evals.placebo import placebo_system
from orchestrator.evals.scorers import Scored, recorded_score
from orchestrator.evals.stats import holm
from orchestrator.evals.store import Done, Store
from orchestrator.evals.suite import Gates, Suite
from orchestrator.evals.systems import LeftOut, Result, Summary, System, summarise
from orchestrator.evals.verdict import Evidence, as_good, evidence, rival_of, verdict
from orchestrator.providers import RecordedFile

__all__ = [
    "Report",
    "Row",
    "broken_gates",
    "fallen_behind",
    "report_of",
    "result_of",
    "routers_of",
    "rows_of",
    "scored",
    "settled",
    "with_judgements",
]

SINGLE = "model:"
LEVEL = 0.95
SHOWN_LEAKS = 3
CHANCE = 0.5
"""AUROC of a confidence that knows nothing."""
NEEDS_MATRIX = ("best-single", "zero-router", "train-means", "task-means", "knn", "oracle", "placebo:ROUTER")
"""Baselines that rest on what every model gave on train."""
SEQUENTIAL = "it goes by the replies that came, so there are no predictions that could be dealt"
SEVERAL = "it asks several experts, so there are no choices of one that could be dealt"


@dataclass(frozen=True, slots=True)
class Row:
    """One case as a system did it."""

    done: Done
    score: float
    why: str
    error: bool = False
    """Whether there is no result, or none that could be scored."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of an eval."""

    run: str
    head: str
    suite: str
    systems: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    verdict: str
    reasons: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    errors: int
    """Cases of routers without a result."""
    gates: tuple[str, ...] = ()
    """Gates that do not hold."""
    judge: JudgeFigures | None = None
    """Of the model that scored the answers; its cost stands on no system's bill."""


def scored(done: Done, case: EvalCase, suite: Suite) -> Scored:
    """How right a finished case is; an error and an escalation that nobody expected are 0."""
    known = settled(done, case, suite)
    if known is not None:
        return known
    if suite.scorer is None:
        return Scored(0.0, "there is no scorer")
    return suite.scorer.score(done.answer or "", case)


def settled(done: Done, case: EvalCase, suite: Suite) -> Scored | None:
    """The score of a case whose answer nobody has to look at; None where the scorer decides."""
    if done.error is not None:
        return Scored(0.0, f"error: {done.error}")
    if done.broken:
        return Scored(0.0, "; ".join(done.broken))
    if case.expect.status == "escalated":
        return Scored(1.0, "escalated, as it has to be")
    if done.status == "escalated" or (done.answer is None and suite.recorded is None):
        return Scored(0.0, "escalated: " + "; ".join(done.reasons[:2]))
    if suite.recorded is not None:
        return Scored(recorded_score(done.support, suite.recorded.scores[case.id]), "as recorded")
    return None


def with_judgements(suite: Suite, store: Store) -> Suite:
    """The suite with what its judge, if it has one, gave before; nobody is asked."""
    if not isinstance(suite.scorer, Judge):
        return suite
    kept = {(each.case, each.asked): each for each in store.judgements() if each.rubric == suite.scorer.rubric}
    return replace(suite, scorer=Judged(suite.scorer, kept))


def result_of(done: Done, case: EvalCase, suite: Suite) -> Result:
    """A finished case as a result; the costs of router, repairs, merge and failed tries are all in it."""
    found = scored(done, case, suite)
    return Result(
        case=case.id,
        score=found.score,
        cost=None if done.cost_usd is None else float(done.cost_usd),
        exact=done.cost_exact,
        asked=dict.fromkeys(done.support[:1] or done.consulted[-1:], 1.0),
        repeats=(suite.recorded.cases[case.id].repeats or "") if suite.recorded else "",
        error=done.error is not None or found.error,
        answered=done.error is None and not found.error and done.status != "escalated",
        abstained=done.abstained,
        confidence=done.confidence,
        seconds=done.seconds,
        control_calls=done.control_calls,
        reroutes=done.reroutes,
    )


def report_of(
    suite: Suite,
    done: Iterable[Done],
    *,
    run: str,
    head: str,
    split: Split = "test",
    seed: int = 0,
    against: str | None = None,
) -> Report:
    """The report on finished cases; `against` names a further baseline that every router is compared with."""
    cases = {case.id: case for case in suite.cases}
    finished = sorted(done, key=lambda each: each.key)
    systems = _systems(finished, cases, suite)
    routers = [each for each in systems if each.kind == "router"]
    if suite.recorded is None:
        beside, found, words = [each for each in systems if each.kind == "baseline"], list[Evidence](), None
        left_out = [LeftOut(name, "needs an outcome matrix of recorded replies") for name in NEEDS_MATRIX]
    else:
        ids = {each.case for each in finished}
        beside, found, left_out = _beside(routers, suite.recorded, ids, split, seed, choiceless=_choiceless(suite))
        words = verdict(found)
    comparisons = _comparisons(routers, beside, against, seed)
    told = words.text if words else _plain_verdict(routers, beside, seed)
    summaries = [summarise(each, seed=seed) for each in (*routers, *beside) if each.results]
    return Report(
        run=run,
        head=head,
        suite=suite.name,
        systems=tuple(summaries),
        comparisons=tuple(comparisons),
        verdict=told,
        reasons=words.reasons if words else (),
        left_out=tuple(left_out),
        notes=(*_notes(suite, split), *_badly_ranked(summaries)),
        errors=sum(result.error for router in routers for result in router.results),
    )


def routers_of(suite: Suite, store: Store) -> list[System]:
    """The routers of a kept eval, named after it."""
    suite = with_judgements(suite, store)
    cases = {case.id: case for case in suite.cases}
    found = _systems(sorted(store.done().values(), key=lambda each: each.key), cases, suite)
    return [replace(each, name=f"{store.name}:{each.name}") for each in found if each.kind == "router"]


def _systems(finished: list[Done], cases: Mapping[str, EvalCase], suite: Suite) -> list[System]:
    """The systems that were run, with their results."""
    found: dict[str, list[Result]] = {}
    for each in finished:
        if each.case in cases:
            found.setdefault(each.system, []).append(result_of(each, cases[each.case], suite))
    return [
        System(name=name, kind="baseline" if name.startswith(SINGLE) else "router", results=tuple(results))
        for name, results in found.items()
    ]


def _beside(
    routers: list[System],
    recorded: RecordedFile,
    ids: set[str],
    split: Split,
    seed: int,
    *,
    choiceless: Mapping[str, str],
) -> tuple[list[System], list[Evidence], list[LeftOut]]:
    """The baselines and placebos that go with the routers, and what the routers are judged by."""
    matrix = matrix_of(recorded)
    test = matrix.part(split).only(ids)
    train = matrix.part("train") if any(case.split == "train" for case in matrix.cases) else test
    baselines = Baselines(train, test, seed)
    beside = list[System]()
    left_out = list[LeftOut]()
    level = 1 - (1 - LEVEL) / max(1, len(routers))
    every = baselines.every()
    rivals = [each for each in every if isinstance(each, System) and each.results]
    judged, placebos = list[Evidence](), list[System | LeftOut]()
    for router in routers:
        choices = None if router.name in choiceless else _choices(router, test)
        why = choiceless.get(router.name, SEVERAL)
        judged.append(evidence(router, baselines, by=choices, seed=seed, level=level, no_placebo=why, rivals=rivals))
        label = f"placebo:{router.name}"
        placebos.append(LeftOut(label, why) if choices is None else placebo_system(router.name, choices, test))
    for each in [*every, *placebos]:
        if isinstance(each, LeftOut):
            left_out.append(each)
        elif each.results:
            beside.append(each)
    return beside, judged, left_out


def _choiceless(suite: Suite) -> dict[str, str]:
    """Why systems have made no choices that could be dealt, by their names."""
    several = {each.name: SEVERAL for each in suite.candidates if each.asks_several}
    return several | {each.name: SEQUENTIAL for each in suite.candidates if each.sequential(suite.pool.models)}


def _choices(router: System, test: Matrix) -> list[str | None] | None:
    """Whom a router took for each case; None where it is no choice of one."""
    taken = {each.case: next(iter(each.asked), None) for each in router.results}
    if not all(case.id in taken for case in test.cases):
        return None
    return [taken[case.id] for case in test.cases]


def _comparisons(routers: list[System], beside: list[System], against: str | None, seed: int) -> list[Comparison]:
    """Every router beside the best single model, a baseline that was asked for, and beside each other."""
    best = next((each for each in beside if each.name == "best-single"), None) or _best(beside)
    named = next((each for each in beside if each.name == against and each is not best), None)
    found = [each for rival in (best, named) if rival and routers for each in compare_each(routers, rival, seed=seed)]
    pairs = [(a, b) for index, a in enumerate(routers) for b in routers[index + 1 :]]
    return [*found, *(compare(a, b, seed=seed) for a, b in pairs)]


def _best(beside: list[System]) -> System | None:
    """The best of the single experts that were run, in hindsight."""
    singles = [each for each in beside if each.name.startswith(SINGLE) and each.results]
    return max(singles, key=lambda each: summarise(each).score, default=None)


def _plain_verdict(routers: list[System], beside: list[System], seed: int) -> str:
    """The verdict where no outcome matrix is there: the routers beside the best single expert, in hindsight."""
    best = _best(beside)
    if best is None or not routers:
        return "do not route: there is no single expert to compare with"
    found = compare_each(routers, best, seed=seed)
    won = [each for each in found if each.winner == each.a]
    first = won[0] if won else found[0]
    told = f"{'route' if won else 'do not route'}: {first.words}, the best single expert (known only afterwards)"
    router = next(each for each in routers if each.name == first.a)
    return "; ".join((told, *as_good(rival_of(router, beside, seed=seed))))


def _notes(suite: Suite, split: Split) -> list[str]:
    notes = list[str]()
    if suite.recorded is not None and not suite.recorded.own_split:
        notes.append("the file has no split: an even first byte of SHA-256(id) is train")
    if split == "all":
        notes.append("--split all: hindsight and lookup figures only")
    leaks = matrix_of(suite.recorded).leaks() if suite.recorded is not None else _leaks(suite.cases)
    notes += [f"the test case {test} asks what the train case {train} asks" for test, train in leaks[:SHOWN_LEAKS]]
    if len(leaks) > SHOWN_LEAKS:
        notes.append(f"{len(leaks) - SHOWN_LEAKS} more test cases stand in train")
    return notes


def _badly_ranked(found: Iterable[Summary]) -> list[str]:
    """Whose confidence says less than a coin which of its decisions are right."""
    sure = [(each.name, each.sureness.auroc, each.sureness.n) for each in found if each.sureness is not None]
    return [
        f"{name}: its confidence ranks worse than chance (AUROC {ranked:.4f} over {n} decisions): right decisions "
        "were less sure than wrong ones more often than not"
        for name, ranked, n in sure
        if ranked is not None and ranked < CHANCE
    ]


def _leaks(cases: Iterable[EvalCase]) -> list[tuple[str, str]]:
    """Test cases whose text also stands in train: pairs of test id and train id."""
    parts = list(cases)
    train = {case.asked.text.strip(): case.id for case in reversed(parts) if case.split == "train"}
    pairs = [(case.id, train.get(case.asked.text.strip())) for case in parts if case.split == "test"]
    return [(test, twin) for test, twin in pairs if twin is not None]


def broken_gates(report: Report, gates: Gates) -> tuple[str, ...]:
    """The gates that do not hold, in words."""
    broken = list[str]()
    routers = [each for each in report.systems if each.kind == "router"]
    for each in routers:
        if gates.fail_under is not None and each.score < gates.fail_under:
            broken.append(f"{each.name} scores {each.score:.4f}, under {gates.fail_under:g}")
        most, cost = gates.max_cost_per_question, each.cost_per_question
        if most is not None and (cost is None or cost > most):
            told = "an unknown price" if cost is None else f"${cost:.6f}"
            broken.append(f"{each.name} costs {told} a question, more than ${most:g}")
    if gates.no_worse_than is not None:
        beside = [each for each in report.comparisons if each.b == gates.no_worse_than]
        if not beside and gates.no_worse_than == "best-single":  # where no outcomes are recorded, the best of those run
            beside = [each for each in report.comparisons if each.b.startswith(SINGLE)]
        if not beside:
            broken.append(f"nothing was compared with {gates.no_worse_than}")
        broken += [f"{each.a} scores below {each.b}: {each.words}" for each in beside if each.winner == each.b]
    return tuple(broken)


def fallen_behind(routers: list[System], earlier: list[System], alpha: float) -> list[str]:
    """The routers that score measurably below those of an earlier eval, by name, else below its only one."""
    pairs = [(each, rival) for each in routers if (rival := _namesake(each, earlier)) is not None]
    if not pairs:
        return ["nothing was compared with the baseline: it has no router of that name"]
    found = [compare(each, rival) for each, rival in pairs]
    adjusted = holm({str(place): each.p for place, each in enumerate(found)})
    worse = [each for place, each in enumerate(found) if each.delta < 0 and adjusted[str(place)] < alpha]
    return [f"{each.a} scores {-each.delta:.4f} below {each.b} on {each.n} cases (p {each.p:.4f})" for each in worse]


def _namesake(router: System, earlier: list[System]) -> System | None:
    name = router.name.partition(":")[2]
    found = [each for each in earlier if each.name.partition(":")[2] == name]
    return found[0] if found else earlier[0] if len(earlier) == 1 else None


def rows_of(suite: Suite, done: Iterable[Done]) -> list[Row]:
    """Every finished case of the routers with its score and why, in the order of their names."""
    cases = {case.id: case for case in suite.cases}
    kept = [d for d in sorted(done, key=lambda each: each.key) if d.case in cases and not d.system.startswith(SINGLE)]
    found = [(each, scored(each, cases[each.case], suite)) for each in kept]
    return [Row(each, score.score, score.why, each.error is not None or score.error) for each, score in found]
