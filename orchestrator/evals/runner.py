"""Runs a suite's systems over its cases: side by side, each finished case on disk at once, nothing done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import cast

from orchestrator.budget import Budget, Ledger
from orchestrator.errors import BudgetExceeded, ConfigError, OrchestratorError
from orchestrator.evals.assertions import broken_assertions, called
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.matrix import Split
from orchestrator.evals.store import Done, Store
from orchestrator.evals.suite import Candidate, Suite, named_object
from orchestrator.messages import Decision, Usage
from orchestrator.pipeline import Orchestrator
from orchestrator.pool import Agent, Pool
from orchestrator.providers import Provider
from orchestrator.trace.events import Event

__all__ = ["How", "Job", "jobs_of", "run_jobs", "single_experts"]

OnDone = Callable[[Done], None]
SINGLE = "model:"
"""How a single expert that runs as a system of its own is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How an eval is run."""

    split: Split = "test"
    limit: int | None = None
    ids: tuple[str, ...] = ()
    """Only these cases."""
    repeat: int = 1
    jobs: int = 8
    """Cases at the same time."""
    seed: int = 0
    max_cost: Decimal | None = None
    """USD for the whole eval."""
    traces: bool = True


@dataclass(frozen=True, slots=True)
class Job:
    """One case for one system."""

    system: str
    candidate: Candidate
    pool: Pool
    case: EvalCase
    repeat: int

    @property
    def key(self) -> tuple[str, str, int]:
        """What it gives the result of."""
        return self.system, self.case.id, self.repeat


def single_experts(suite: Suite) -> dict[str, Pool]:
    """Experts that answer the question by themselves, each as a pool of its own, by the name of their system."""
    goal, pool = suite.pool.goals[0], suite.pool
    alone = [a for a in pool.agents.values() if a.produces == goal and a.consumes == ("question",)]
    return {f"{SINGLE}{agent.name}": _alone(agent, pool) for agent in sorted(alone, key=lambda agent: agent.name)}


def _alone(agent: Agent, pool: Pool) -> Pool:
    models = [pool.models[agent.model]] if agent.model else []
    return Pool([*models, agent], goals=(agent.produces,), name=f"{pool.name}:{agent.name}")


def jobs_of(suite: Suite, how: How, *, singles: bool) -> list[Job]:
    """Everything that is to be run, in an order that hangs on nothing but the suite."""
    cases = [case for case in suite.part(how.split) if not how.ids or case.id in how.ids][: how.limit]
    if how.ids and len({case.id for case in cases}) < len(set(how.ids)) and how.limit is None:
        missing = sorted(set(how.ids) - {case.id for case in cases})
        raise ConfigError(f"has no case `{missing[0]}`", file=suite.path, field="sample-id")
    systems = [(each.name, each, suite.pool) for each in suite.candidates]
    if singles:
        systems += [(name, Candidate(), pool) for name, pool in single_experts(suite).items()]
    return [
        Job(name, candidate, pool, case, repeat)
        for repeat in range(how.repeat)
        for case in cases
        for name, candidate, pool in systems
    ]


async def run_jobs(jobs: Sequence[Job], suite: Suite, store: Store, how: How, on_done: OnDone | None = None) -> None:
    """Run what is to be run, so many at the same time; each is kept as soon as it is finished.

    Raises `ConfigError` for what the caller got wrong; what else a case raises is that case's error.
    """
    runner = _Runner(suite, store, how, _providers(suite), Ledger(Budget(usd=how.max_cost)))
    waiting = iter(jobs)

    async def work() -> None:
        async for done in runner.each(waiting):
            store.add(done)
            if on_done is not None:
                on_done(done)

    workers = [asyncio.ensure_future(work()) for _ in range(max(1, how.jobs))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _providers(suite: Suite) -> dict[str, Provider] | None:
    return {"recorded": suite.recorded.provider()} if suite.recorded is not None else None


@dataclass(slots=True)
class _Runner:
    suite: Suite
    store: Store
    how: How
    providers: dict[str, Provider] | None
    ledger: Ledger
    routers: dict[str, object] = field(default_factory=dict[str, object])

    async def each(self, jobs: Iterable[Job]) -> AsyncIterator[Done]:
        """The results of one worker's jobs."""
        for job in jobs:
            yield await self._done(job)

    async def _done(self, job: Job) -> Done:
        """One case, within what is left for the whole eval."""
        cap = self._cap()
        try:
            held = self.ledger.reserve(cap or Decimal(0)) if self.how.max_cost is not None else None
        except BudgetExceeded as error:
            return self._failed(job, f"limit:usd: the eval's own budget: {error}")
        spent: Decimal | None = Decimal(0)
        try:
            done = await self._asked(job, cap)
            spent = done.cost_usd
            return done
        finally:
            if held is not None:
                self.ledger.settle(held, spent, Usage())

    def _cap(self) -> Decimal | None:
        """What a question may cost: the suite's limit, or a worker's share of what is left of the eval's."""
        left = self.ledger.remaining_usd
        if left is None:
            return self.suite.budget
        share = left / self.how.jobs if self.suite.budget is None else self.suite.budget
        return min(share, left)

    async def _asked(self, job: Job, cap: Decimal | None) -> Done:
        events: list[Event] = []
        path = self._trace(job)
        orchestrator = self._orchestrator(job, cap, path)
        if self.suite.recorded is not None and not self.suite.recorded.provider().answers:
            return self._looked_up(job, orchestrator)
        try:
            decision = await orchestrator.run(job.case.asked, listeners=[events.append])
        except ConfigError:
            raise
        except OrchestratorError as error:
            return self._failed(job, f"{type(error).__name__}: {error}")
        return self._decided(job, decision, events, path)

    def _orchestrator(self, job: Job, cap: Decimal | None, path: Path | None) -> Orchestrator:
        """A new one for each case: what was learnt of health in one must not change another (SEMANTICS §10)."""
        candidate = job.candidate
        return Orchestrator(
            job.pool,
            router=cast("str", self._named(candidate.router, "router")),
            merge=cast("str | None", candidate.merge and self._named(candidate.merge, "merge")),
            budget=None if cap is None and self.suite.seconds is None else Budget(usd=cap, seconds=self.suite.seconds),
            analyses=candidate.analyses,
            prefer=candidate.prefer,
            providers=self.providers,
            resources=self.suite.resources,
            trace=path or False,
            seed=self._seed(job),
        )

    def _named(self, name: str, field: str) -> object:
        """A router or merge by name, or the object at `package.module:attribute`."""
        if ":" not in name or name in self.suite.pool.models:
            return name
        if name not in self.routers:
            self.routers[name] = named_object(name, field)
        return self.routers[name]

    def _looked_up(self, job: Job, orchestrator: Orchestrator) -> Done:
        """Whom a router would ask, where the file holds no replies to run over."""
        choice = orchestrator.explain(job.case.asked).choices[0]
        if choice.expert is None:
            return self._failed(job, "the router found nobody")
        recorded = self.suite.recorded
        take = recorded.cases[job.case.id].takes.get(choice.expert) if recorded else None
        cost = take.cost if take else None
        who = (choice.expert,)
        return Done(
            system=job.system,
            case=job.case.id,
            repeat=job.repeat,
            status="answered",
            cost_usd=cost,
            support=who,
            consulted=who,
        )

    def _decided(self, job: Job, decision: Decision, events: Sequence[Event], path: Path | None) -> Done:
        limited = decision.status == "escalated" and any(reason.startswith("limit:") for reason in decision.reasons)
        return Done(
            system=job.system,
            case=job.case.id,
            repeat=job.repeat,
            answer=decision.answer,
            status=decision.status,
            cost_usd=decision.cost_usd,
            cost_exact=decision.cost_exact,
            seconds=decision.seconds,
            turns=decision.turns,
            control_calls=decision.control_calls,
            merge_calls=decision.merge_calls,
            expert_calls=decision.expert_calls,
            reroutes=decision.reroutes,
            support=decision.support,
            consulted=called(events),
            reasons=decision.reasons,
            broken=broken_assertions(job.case.expect, decision, events),
            error=decision.reasons[0] if limited else None,
            head=decision.head,
            trace=None if path is None else str(path.relative_to(self.store.folder)),
        )

    def _failed(self, job: Job, error: str) -> Done:
        return Done(system=job.system, case=job.case.id, repeat=job.repeat, error=error)

    def _trace(self, job: Job) -> Path | None:
        if not self.how.traces:
            return None
        stem = sha256("\n".join(map(str, job.key)).encode()).hexdigest()[:16]
        path = self.store.folder / "traces" / f"{stem}.jsonl"
        number = 1
        while path.exists():  # of an attempt that was cut short or is retried; its trace is kept
            number += 1
            path = path.with_name(f"{stem}-{number}.jsonl")
        return path

    def _seed(self, job: Job) -> int:
        """Hangs on the eval's seed and the case, never on the order."""
        text = f"{self.how.seed}:{job.case.id}:{job.repeat}"
        return int.from_bytes(sha256(text.encode()).digest()[:4])
