"""Merges, cascades and adaptive width on recorded answers, cross-fitted: what they are worth beside single models.

Everything known beforehand (skills, prices, joint models, curves) comes from the other four of five folds. Decisions
are made by the product's own routers and merges over a desk that stands in for a run; a sample goes through
`Orchestrator.run` and has to come out the same.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from math import log
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

sys.path.insert(0, str(Path(__file__).parent))

from merging_tables import Figures, coverage_table, figures_of, gsm8k, hull_mix, mbpp, print_calibration, print_rows

from orchestrator import read_recorded
from orchestrator.confidence import Calibration, ballot_of, calibrated, fold_of, raw_score
from orchestrator.evals.calibrating import Decider, Way, learnt, means_from
from orchestrator.merge import MERGES, canonical, merge_named, voted
from orchestrator.messages import Goal, Reply
from orchestrator.protocol import Turn
from orchestrator.routers import BallotRouter, CascadeRouter, Settling, View, WidthRouter
from orchestrator.state import RunState
from orchestrator.trace.events import Candidate
from orchestrator.weights import Rates

if TYPE_CHECKING:
    from orchestrator.planner import Planner
    from orchestrator.providers.recorded import RecordedFile

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DEAR = "gpt-4-1106-preview"
Stepping = WidthRouter | CascadeRouter | BallotRouter
MakeRouter = Callable[[Calibration], Stepping]

label = cache(canonical)


@dataclass(frozen=True, slots=True)
class Fold:
    """What is known before a question of the fold is asked."""

    file: RecordedFile
    calibration: Calibration
    ranked: tuple[str, ...]
    """Experts from the likeliest to be right."""


@dataclass(slots=True)
class Bench:
    """Recorded answers with what was fitted for each fold."""

    file: RecordedFile
    folds: list[Fold] = field(default_factory=list[Fold])

    @classmethod
    def of(cls, file: RecordedFile) -> Bench:
        """Fit each fold on the others."""
        made = cls(file)
        for fold in range(5):
            others = [name for name in file.cases if fold_of(name) != fold]
            known = means_from(file, set(others))
            fit = calibrated([("", 0.5, 0.5)], "p", posterior=learnt(file, others))
            skills = {name: agent.skill for name, agent in known.pool.agents.items()}
            made.folds.append(Fold(known, fit, tuple(sorted(skills, key=lambda each: (-skills[each], each)))))
        return made

    def reply(self, case: str, expert: str, place: int, p: float) -> Reply:
        """What an expert said."""
        take = self.file.cases[case].takes[expert]
        return Reply(place, expert, Goal("answer", slot=place), take.response or "", p=p, cost=take.cost)

    def score(self, case: str, support: Iterable[str]) -> float:
        """Whether those who support a decision were right."""
        return max((self.file.scores[case][name] for name in support), default=0.0)


@dataclass(slots=True)
class Desk:
    """Stands in for a run's planner: everybody can be asked, at the price that train shows."""

    fold: Fold
    rates: Rates

    def choose(self, goal: Goal, state: RunState, *, taken: Iterable[str] = (), **_: object) -> Desk:
        """The desk itself, for its candidates; whatever is wanted, the same experts give it."""
        del goal, state
        self._taken = set(taken)
        return self

    _taken: set[str] = field(default_factory=set[str])

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Those who can still be asked."""
        found: list[Candidate] = []
        for name, agent in self.fold.file.pool.agents.items():
            usd = self.fold.file.mean_costs[name] or 0
            weight = -log(agent.skill) + self.rates.cost_weight * float(usd)
            if name not in self._taken:
                found.append(
                    Candidate(agent=name, artifact="answer", p=agent.skill, usd=usd, weight=weight, through=weight)  # pyright: ignore[reportArgumentType]
                )
        return tuple(found)


def stepped(bench: Bench, case: str, router: Stepping, desk: Desk) -> tuple[list[Reply], int]:
    """The replies that a router gathers for a case, and in how many rounds."""
    question, replies, rounds = bench.file.cases[case].question, list[Reply](), 0
    experts = tuple(desk.fold.file.pool.agents.values())
    while True:
        state = RunState(question, ("answer",), "answer", replies=tuple(replies))
        view = View(state, experts, cast("Planner", desk), {}, cast("Any", None), label_of=label)
        turn: Turn = router.step(view, "answer")
        if not turn.routes:
            return replies, rounds
        rounds += 1
        for route in turn.routes:
            skill = desk.fold.file.pool.agents[route.agent].skill
            replies.append(bench.reply(case, route.agent, len(replies) + 1, skill))


def routed(bench: Bench, name: str, make: MakeRouter, weight: float) -> Figures:
    """A router over all cases."""
    routers = [make(fold.calibration) for fold in bench.folds]
    desks = [Desk(fold, Rates(cost_weight=weight)) for fold in bench.folds]
    found = Figures(name)
    for case in bench.file.cases:
        place = fold_of(case)
        router, question = routers[place], bench.file.cases[case].question
        replies, rounds = stepped(bench, case, router, desks[place])
        if isinstance(router, Settling):
            answer = router.settled(question, replies, label).text
        else:
            answer = voted(question, replies).answer
        _add(found, bench, case, replies, answer, rounds)
    return found


def _add(found: Figures, bench: Bench, case: str, replies: Sequence[Reply], answer: str, rounds: int) -> None:  # noqa: PLR0917
    question = bench.file.cases[case].question
    ballot = ballot_of(question, replies, answer, label)
    support = [r.agent for r, mine in zip(replies, ballot.labels, strict=True) if mine == ballot.answer >= 0]
    support = support or [r.agent for r in replies if r.text == answer]
    posterior = bench.folds[fold_of(case)].calibration.posterior
    chance = raw_score("posterior", ballot, posterior)
    agreement = raw_score("agreement", ballot)
    found.cases.append(case)
    found.scores.append(bench.score(case, support))
    found.costs.append(float(sum(reply.cost or 0 for reply in replies)))
    found.calls.append(len(replies))
    found.rounds.append(rounds)
    found.agreed.append(len(replies) > 1 and len(set(ballot.labels)) == 1)
    found.posterior.append(0.0 if chance is None else chance)
    found.agreement.append(1.0 if agreement is None and len(replies) == 1 else agreement or 0.0)
    found.answers.append(answer)


def merged(bench: Bench, merge: str, width: int) -> Figures:
    """A merge of the replies of the best so many."""
    rule, found = merge_named(merge), Figures(f"{merge} of {'all' if width > 5 else f'best {width}'}")

    async def all_of_them() -> None:
        for case in bench.file.cases:
            fold = bench.folds[fold_of(case)]
            skills = fold.file.pool.agents
            names = fold.ranked[:width]
            replies = [bench.reply(case, name, n, skills[name].skill) for n, name in enumerate(names, start=1)]
            analysis = await rule.merge(bench.file.cases[case].question, replies)
            _add(found, bench, case, replies, analysis.answer, 1)

    asyncio.run(all_of_them())
    return found


def single(bench: Bench, name: str) -> Figures:
    """One expert alone."""
    found = Figures(name)
    for case in bench.file.cases:
        reply = bench.reply(case, name, 1, 0.5)
        _add(found, bench, case, [reply], reply.text, 1)
        found.scores[-1] = bench.file.scores[case][name]
    return found


def floor(bench: Bench, experts: Sequence[str]) -> Figures:
    """The plain rule: what cheap experts agree on, else the dear one's answer."""
    found = Figures(f"{len(experts)} cheap agree, else the dear one")
    for case in bench.file.cases:
        replies = [bench.reply(case, name, n, 0.5) for n, name in enumerate(experts, start=1)]
        forms = {label(reply.text, bench.file.cases[case].question) for reply in replies}
        last = replies[0]
        if len(forms) > 1 or None in forms:
            last = bench.reply(case, DEAR, len(replies) + 1, 0.5)
            replies.append(last)
        _add(found, bench, case, replies, last.text, 2)
        found.scores[-1] = bench.file.scores[case][last.agent]
    return found


def crossfitted_floor(bench: Bench, width: int) -> Figures:
    """The plain rule with the cheap experts that did best on train, chosen anew for each fold."""
    cheap = [n for n in bench.file.pool.agents if float(bench.file.mean_costs[n] or 0) < 0.001]
    tried = [floor(bench, names) for names in combinations(cheap, width)]
    found, picked = Figures(f"{width} cheap agree, else the dear one"), list[Figures]()
    for fold in range(5):
        train = [n for n, case in enumerate(tried[0].cases) if fold_of(case) != fold]
        picked.append(max(tried, key=lambda each: sum(each.scores[n] - 5 * each.costs[n] for n in train)))
    for place, case in enumerate(tried[0].cases):
        found.take(picked[fold_of(case)], place)
    return found


def same_through_the_front_door(bench: Bench, ways: dict[str, tuple[Way, Figures]], sample: int) -> None:
    """Hold a sample of the desk's decisions to `Orchestrator.run`."""
    for name, (way, figures) in ways.items():
        began, differ = perf_counter(), list[str]()
        places = range(0, len(figures.cases), max(1, len(figures.cases) // sample))
        for place in places:
            case = figures.cases[place]
            fold = bench.folds[fold_of(case)]
            fit = None if "nothing fitted" in name else fold.calibration
            made = asyncio.run(Decider(fold.file, way, fit).decided(case))
            question = bench.file.cases[case].question
            same = label(made.decision.answer or "", question) == label(figures.answers[place], question)
            if not same or abs(float(made.decision.cost_usd or 0) - figures.costs[place]) > 1e-9:
                differ.append(case)
        took = (perf_counter() - began) / len(places)
        told = f"{len(differ)} differ in answer or cost: {', '.join(differ) or 'none'}"
        print(f"  {name}: {len(places)} cases through Orchestrator.run, {told}; {took:.3f} s each")


def systems(bench: Bench) -> list[Figures]:
    """Every system of figure 6."""
    cheap = [name for name in MERGES if name != "router" and not hasattr(MERGES[name], "model")]
    rows = [merged(bench, name, width) for name in cheap for width in (3, 5, 11)]
    rows += [crossfitted_floor(bench, width) for width in (2, 3)]
    rows.append(routed(bench, "auto, nothing fitted", lambda _: WidthRouter(), 20.0))
    rows += [
        routed(bench, f"auto, {weight:g}/USD", WidthRouter, weight) for weight in (3.0, 4.0, 6.0, 10.0, 15.0, 20.0)
    ]
    rows.append(routed(bench, "cascade, nothing fitted", lambda _: CascadeRouter(), 20.0))
    rows += [
        routed(bench, f"cascade, {weight:g}/USD", lambda fit: CascadeRouter(None, fit), weight)
        for weight in (4.0, 5.0, 7.0, 10.0, 20.0)
    ]
    rows += [
        routed(bench, f"cascade:{line:g}", lambda fit, line=line: CascadeRouter(line, _posterior_only(fit)), 20.0)
        for line in (0.9, 0.93, 0.95, 0.97)
    ]
    return rows


def _posterior_only(fit: Calibration) -> Calibration:
    """The joint model as the source of a threshold, its curve the identity."""
    return fit.model_copy(update={"source": "posterior", "knots": ((0.0, 0.0), (1.0, 1.0))})


def arc(sample: int) -> None:
    """Figures 6, 8 and 9 on ARC."""
    began = perf_counter()
    bench = Bench.of(read_recorded(DATA / "routerbench_arc.jsonl.gz"))
    said = len(bench.file.cases)
    print(f"figure 6: routerbench_arc, {said} questions, 5 folds, fitted in {perf_counter() - began:.0f} s")
    singles = [single(bench, name) for name in bench.file.pool.agents]
    best = next(each for each in singles if each.name == DEAR)
    rows = systems(bench)
    print_rows([figures_of(each, best, hull_mix(each, singles)) for each in [best, *rows]])
    by_name = {each.name: each for each in rows}
    print("\nthe same through the front door")
    ways = {
        "auto, 10/USD": Way(analyses="auto", rates=Rates(cost_weight=10.0)),
        "cascade, 10/USD": Way(router="cascade", rates=Rates(cost_weight=10.0)),
        "auto, nothing fitted": Way(analyses="auto"),
    }
    same_through_the_front_door(bench, {name: (way, by_name[name]) for name, way in ways.items()}, sample)
    print("\nfigure 8: expected calibration error on held-out folds, and accuracy against coverage")
    print_calibration([by_name[name] for name in ("vote of best 3", "vote of best 5", "vote of all", *ways)])
    coverage_table(by_name["auto, 10/USD"])
    print("\nfigure 9: calls saved")
    saved(bench, by_name)


def saved(bench: Bench, rows: dict[str, Figures]) -> None:
    """What early stop and width spare."""
    for width, name in ((3, "vote of best 3"), (5, "vote of best 5"), (11, "vote of all")):
        early = routed(bench, f"auto:{width}", lambda _, width=width: BallotRouter(width), 0.0)
        whole = rows[name]
        differ = sum(
            a != b for a, b in zip(early.forms(label, bench.file), whole.forms(label, bench.file), strict=True)
        )
        print(
            f"  auto:{width}: {sum(early.calls)} calls in place of {sum(whole.calls)} "
            f"({1 - sum(early.calls) / sum(whole.calls):.1%} saved), {early.mean(early.rounds):.2f} rounds, "
            f"{1 - sum(early.costs) / sum(whole.costs):.1%} of the money, {differ} decisions differ"
        )
    for name in ("auto, nothing fitted", "auto, 6/USD", "auto, 10/USD", "cascade, 10/USD"):
        each = rows[name]
        print(
            f"  {name}: {each.mean(each.calls):.2f} calls of 11, {each.mean(each.rounds):.2f} rounds one after another"
        )
    print("  the recorded outcomes hold no seconds: rounds stand for them; the front door's own are above")


def main() -> None:
    """Parse the flags, measure, report; exit with 0 whatever came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=20, help="cases through Orchestrator.run (default: %(default)s)")
    options = parser.parse_args()
    if not DATA.exists():
        print(f"there is no {DATA}: nothing is measured", file=sys.stderr)
        return
    arc(options.sample)
    print("\nfigure 7: where texts allow")
    mbpp(read_recorded(DATA / "routerbench_mbpp.jsonl.gz"))
    gsm8k(read_recorded(DATA / "routellm_gsm8k.jsonl.gz"))


if __name__ == "__main__":
    main()
