"""Asks the judge of a suite: through the gate, within the eval's money, each judgement on disk at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from time import monotonic, time

from orchestrator.budget import Budget, Ledger
from orchestrator.content import load_prompt
from orchestrator.errors import ConfigError, ProviderError, ReplayMismatch
from orchestrator.evals.calls import CallFile, KeptCalls, Pace, PacedProvider
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.cassettes import KeptReplies, call_path
from orchestrator.evals.judge import Judge, Judged, JudgeFigures, Judgement, judge_figures, points_in
from orchestrator.evals.purse import Purse
from orchestrator.evals.report import settled, with_judgements
from orchestrator.evals.runner import How
from orchestrator.evals.store import Store
from orchestrator.evals.suite import Suite
from orchestrator.evals.workers import until_stopped, work_through
from orchestrator.health import Health
from orchestrator.messages import Message
from orchestrator.pipeline.parts import doors
from orchestrator.pool import Model
from orchestrator.providers import Call, Completion, Gate, ModelCall, Provider, ReplayProvider
from orchestrator.providers.base import Quote, list_price_quote
from orchestrator.providers.gate import Result
from orchestrator.trace import Journal

__all__ = ["figures_of_judge", "judge_answers", "unjudged"]

ASKED = 4
"""Calls that an answer may take: two orders, each with its repair."""

Answer = tuple[str, EvalCase]


def unjudged(suite: Suite, store: Store, *, again: bool = False) -> list[Answer]:
    """The answers that the judge has to see, each once whoever gave it; with `again` those it failed on, too."""
    judged = with_judgements(suite, store).scorer
    if not isinstance(judged, Judged):
        return []
    cases = {case.id: case for case in suite.cases}
    wanted: dict[tuple[str, str], Answer] = {}
    for each in sorted(store.done().values(), key=lambda done: done.key):
        if each.case in cases and settled(each, cases[each.case], suite) is None:
            answer, case = each.answer or "", cases[each.case]
            found = judged.found(answer, case)
            if found is None or (again and found.error is not None):
                wanted[case.id, answer] = (answer, case)
    return list(wanted.values())


def figures_of_judge(suite: Suite, store: Store) -> JudgeFigures | None:
    """What the judge did; None where the suite has none."""
    if not isinstance(suite.scorer, Judge):
        return None
    missing = (case.id for _, case in unjudged(suite, store))
    return judge_figures(suite.scorer, store.judgements(), missing)


async def judge_answers(
    answers: Iterable[Answer],
    suite: Suite,
    store: Store,
    how: How,
    on_done: Callable[[Judgement], None] | None = None,
    *,
    providers: Mapping[str, Provider] | None = None,
) -> None:
    """Have answers judged, so many at the same time; each judgement is kept as soon as it is there.

    What goes wrong is the judgement's error. Raises `ConfigError` for what the caller got wrong.
    """
    if not isinstance(suite.scorer, Judge):
        return
    spent = sum((each.cost_usd or Decimal(0) for each in store.done().values()), store.judged_usd())
    paces = {name: Pace(limit) for name, limit in suite.limits.items()}
    bench = _Bench(suite, suite.scorer, store, Purse(how.max_cost, spent), paces, how.replies(), doors(providers))
    bench.times.update(Counter((each.case, each.asked) for each in store.judgements()))

    async def one(answer: Answer) -> None:
        judgement = await bench.judgement(*answer)
        store.judge(judgement)
        if on_done is not None:
            on_done(judgement)

    await work_through(answers, one, at_once=how.jobs)


@dataclass(slots=True)
class _Bench:
    suite: Suite
    judge: Judge
    store: Store
    purse: Purse
    paces: Mapping[str, Pace]
    replies: KeptReplies | None
    doors: Mapping[str, Provider]
    times: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """How often an answer was judged before."""

    async def judgement(self, answer: str, case: EvalCase) -> Judgement:
        """The judge's points for an answer, or why there are none."""
        asked = self.judge.asked(answer, case)
        part = f"judge-{asked[:16]}"
        file = CallFile(call_path(self.store.folder, part, self.times.get((case.id, asked), 0)))
        file.mend()
        lost = file.lost()
        blank = Judgement(case=case.id, asked=asked, rubric=self.judge.rubric)
        model = self.suite.pool.models[self.judge.model]
        share = _worst(model, self.judge, answer, case)
        async with self.purse.share(share, spends=not model.free, known=True) as held:
            if held.refused:
                return blank.model_copy(update={"error": f"limit:usd: {held.refused}", "cost_usd": lost})
            ledger = Ledger(Budget(usd=held.cap))
            asking = self._asked(answer, case, self._gate(ledger), self._door(model, part, file))
            update = (await until_stopped(asking, file)).result()
            held.spent = ledger.spent
        cost = None if ledger.spent is None else ledger.spent + lost
        update |= {"cost_usd": cost, "cost_exact": ledger.exact and not lost}
        return blank.model_copy(update=update)

    async def _asked(self, answer: str, case: EvalCase, gate: Gate, door: Provider) -> dict[str, object]:
        """Points of both orders, or the error."""
        model, found = self.suite.pool.models[self.judge.model], list[Mapping[str, float]]()
        try:
            for swapped in (False, True):
                request = self.judge.request(answer, case, swapped=swapped)
                reading = _Reading(ModelCall(door, model, request), tuple(self.judge.criteria))
                paid = await gate.attempt(reading.asking(gate))
                if paid.error is not None or paid.result is None:
                    return {"error": str(paid.error or "it gave nothing")}
                found.append(reading.points)
        except ReplayMismatch as error:
            return {"error": str(error)}
        return {"points": {name: (found[0][name], found[1][name]) for name in self.judge.criteria}}

    def _gate(self, ledger: Ledger) -> Gate:
        """A gate for one answer: what was learnt of health in one must not change another."""
        journal = Journal("judge", None, now=time)
        return Gate(Health(monotonic), ledger, journal, monotonic, asyncio.sleep, Random(0))

    def _door(self, model: Model, part: str, file: CallFile) -> Provider:
        if self.replies is not None:
            return self.replies.door(part)
        if model.provider not in self.doors:
            raise ConfigError(f"there is no provider `{model.provider}`", field="scorer.model")
        before = ReplayProvider(file.path) if file.path.exists() else None
        return KeptCalls(PacedProvider(self.doors[model.provider], self.paces), file, before)


@dataclass(slots=True)
class _Reading:
    """The judge being asked; after a reply that cannot be read it is asked to mend that, once."""

    call: ModelCall
    criteria: Sequence[str]
    points: Mapping[str, float] = field(default_factory=dict[str, float])

    def asking(self, gate: Gate) -> Call:
        """The call as the gate wants it."""
        plain = self.call.control("merge", lambda: gate.ledger.left)
        return replace(plain, work=self.work, quote=lambda: self.call.quote(gate.ledger.left))

    async def work(self, quote: Quote) -> Result:
        """One try; raises `ProviderError` where the reply holds no points."""
        result = await self.call.work(quote)
        completion = result.value
        text = completion.text if isinstance(completion, Completion) else ""
        found = points_in(text, self.criteria)
        if not isinstance(found, str):
            self.points = found
            return result
        again = Message("user", load_prompt("repair_reply").fill(problem=found))
        said = (Message("assistant", text),) if text.strip() else ()
        asked = self.call.request
        self.call = replace(self.call, request=replace(asked, messages=(*asked.messages, *said, again)))
        usage, cost = (result.usage, result.cost) if result.exact else (None, None)
        raise ProviderError(f"cannot be read: {found}", kind="malformed", usage=usage, cost=cost)


def _worst(model: Model, judge: Judge, answer: str, case: EvalCase) -> Decimal | None:
    """USD that judging an answer may take, of which it seldom takes half; None where the price is unknown."""
    request = judge.request(answer, case)
    repaired = replace(request, messages=(*request.messages, Message("assistant", "x" * 2 * judge.max_output)))
    reserve = list_price_quote(model, repaired).reserve
    return None if reserve is None else ASKED * reserve
