"""Runs a suite's systems over its cases: side by side, each finished case on disk at once, nothing done twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

from orchestrator.budget import Budget
from orchestrator.errors import ConfigError, OrchestratorError
from orchestrator.evals.assertions import broken_assertions, called, stated
from orchestrator.evals.calls import CallFile, KeptCalls, Pace, PacedProvider
from orchestrator.evals.candidates import check_names
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.cassettes import KeptReplies, call_path
from orchestrator.evals.fitting import Rulings, stand_ins
from orchestrator.evals.matrix import Split
from orchestrator.evals.purse import QUESTION_CAP, Paid, Purse
from orchestrator.evals.store import Done, Store
from orchestrator.evals.suite import Candidate, Limit, Suite
from orchestrator.evals.workers import standing, until_stopped, work_through
from orchestrator.messages import Decision
from orchestrator.pipeline import Orchestrator
from orchestrator.pipeline.parts import doors
from orchestrator.pool import Agent, Pool
from orchestrator.providers import Provider, ReplayProvider
from orchestrator.trace import read_trace
from orchestrator.trace.events import Event, Merged

__all__ = ["How", "Job", "check_systems", "jobs_of", "run_jobs", "single_experts", "under_way"]

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
    replay: Path | None = None
    """Folder of the eval whose calls stand in for all calls of models."""
    cassette: Path | None = None
    """File whose calls stand in for all calls of models."""

    @property
    def replayed(self) -> bool:
        """Whether no model is called."""
        return self.replay is not None or self.cassette is not None

    def replies(self) -> KeptReplies | None:
        """What answers in place of models, where nobody is to be called; raises `ConfigError`."""
        if self.cassette is not None:
            return KeptReplies.of_cassette(self.cassette)
        return None if self.replay is None else KeptReplies.of_run(self.replay)


@dataclass(frozen=True, slots=True)
class Job:
    """One case for one system."""

    system: str
    candidate: Candidate
    pool: Pool
    case: EvalCase
    repeat: int
    eval_seed: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        """What it gives the result of."""
        return self.system, self.case.id, self.repeat

    @property
    def seed(self) -> int:
        """Hangs on the eval's seed and the case, never on the order."""
        return int.from_bytes(sha256(f"{self.eval_seed}:{self.case.id}:{self.repeat}".encode()).digest()[:4])

    @property
    def part(self) -> str:
        """The name of its files."""
        return sha256("\n".join(map(str, self.key)).encode()).hexdigest()[:16]

    def spends(self, suite: Suite) -> bool:
        """Whether it can cost anything: recorded dollars, or models that are not free."""
        return suite.recorded is not None or any(not model.free for model in self.pool.models.values())


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
        Job(name, candidate, pool, case, repeat, how.seed)
        for repeat in range(how.repeat)
        for case in cases
        for name, candidate, pool in systems
    ]


async def run_jobs(
    jobs: Sequence[Job],
    suite: Suite,
    store: Store,
    how: How,
    on_done: OnDone | None = None,
    *,
    pace: Callable[[Limit], Pace] = Pace,
) -> None:
    """Run what is to be run, so many at the same time; each is kept as soon as it is finished.

    A job that is done already is done anew, and what it cost before is added. Raises `ConfigError` for what the caller
    got wrong; what else a case raises is that case's error.
    """
    done = store.done()
    before = {key: (times, done[key].cost_usd or Decimal(0)) for key, times in store.times().items()}
    paces = {name: pace(limit) for name, limit in suite.limits.items()}
    purse = Purse(how.max_cost, sum((cost for _, cost in before.values()), store.judged_usd()))
    runner = _Runner(suite, store, how, purse, before, paces, _recorded_door(suite), how.replies())
    runner.texts = suite.recorded is None or suite.recorded.answers

    async def one(job: Job) -> None:
        done = await runner.done(job)
        store.add(done)
        if on_done is not None:
            on_done(done)

    with standing():
        await work_through(jobs, one, at_once=how.jobs)


def under_way(job: Job, store: Store, times: Mapping[tuple[str, str, int], int]) -> bool:
    """Whether a job that is done was begun once more, and that was cut short."""
    return CallFile(call_path(store.folder, job.part, times.get(job.key, 0))).begun.exists()


def check_systems(suite: Suite) -> None:
    """Refuse systems that cannot run over the suite's pool; raises `ConfigError` with file and field."""
    doors_there, cap = _recorded_door(suite), None if suite.recorded else QUESTION_CAP
    check_names(suite.candidates, suite.path)
    suite = stand_ins(suite)
    for place, each in enumerate(suite.candidates):
        try:
            _check_texts(each, suite)
            job = Job(each.name, each, suite.pool, suite.cases[0], 0)
            _orchestrator(suite, job, doors_there, cap, None, rulings=Rulings(suite))
        except ConfigError as error:
            field = f"systems[{place}]" + (f".{error.field}" if error.field else "")
            raise ConfigError(
                error.problem, file=suite.path, field=field, expected=error.expected, suggestion=error.suggestion
            ) from error


def _check_texts(each: Candidate, suite: Suite) -> None:
    """Refuse what needs to read replies where none are recorded (SEMANTICS §10)."""
    if suite.recorded is None or suite.recorded.answers:
        return
    if each.merge not in (None, "first") or each.analyses != 1:
        name = each.merge or ("vote" if isinstance(each.analyses, int) else each.analyses)
        raise ConfigError(
            f"`{name}` needs texts: the recorded outcomes hold no responses",
            field="merge",
            expected="`first` and one analysis, or a file with responses",
        )
    if each.router in ("llm", *suite.pool.models) or each.sequential(suite.pool.models):
        raise ConfigError(
            f"`{each.router}` needs texts: the recorded outcomes hold no responses",
            field="router",
            expected="`plan`, or a router of your own that does not read replies",
        )


def _recorded_door(suite: Suite) -> dict[str, Provider]:
    """The door to recorded outcomes; where none holds a response, something stands in for it that nobody scores."""
    if suite.recorded is None:
        return {}
    file = suite.recorded
    return {"recorded": file.provider() if file.answers else file.with_stand_ins().provider()}


def _orchestrator(
    suite: Suite,
    job: Job,
    providers: Mapping[str, Provider],
    cap: Decimal | None,
    path: Path | None,
    *,
    rulings: Rulings,
) -> Orchestrator:
    """A new one for each case: what was learnt of health in one must not change another (SEMANTICS §10)."""
    candidate = job.candidate
    return Orchestrator(
        job.pool,
        router=rulings.router(job.system, candidate, job.pool),
        merge=candidate.merge,
        budget=Budget(usd=cap, seconds=suite.seconds),
        analyses=candidate.analyses if isinstance(candidate.analyses, int) else 1,
        confidence=suite.fits.get(job.system),
        abstain_below=candidate.abstain_below,
        prefer=candidate.prefer,
        providers=providers or None,
        resources=suite.resources,
        trace=path or False,
        seed=job.seed,
    )


@dataclass(slots=True)
class _Runner:
    suite: Suite
    store: Store
    how: How
    purse: Purse
    before: Mapping[tuple[str, str, int], tuple[int, Decimal]]
    """How often jobs that are done anew were done already, and USD that they have cost."""
    paces: Mapping[str, Pace]
    recorded: dict[str, Provider]
    replies: KeptReplies | None = None
    """Of an earlier eval, where nobody is to be called."""
    texts: bool = True
    """Whether replies are texts; else only who gave them is known."""
    rulings: Rulings = field(init=False)

    def __post_init__(self) -> None:
        self.rulings = Rulings(self.suite)

    async def done(self, job: Job) -> Done:
        """One case, within what is left for the whole eval."""
        times, earlier = self.before.get(job.key, (0, Decimal(0)))
        file = CallFile(call_path(self.store.folder, job.part, times))
        file.mend()
        earlier += file.lost()
        spends = job.spends(self.suite)
        async with self.purse.share(self.suite.budget, spends=spends, known=self.suite.recorded is None) as held:
            if held.refused:
                return _with_earlier(_failed(job, f"limit:usd: {held.refused}", Paid()), earlier)
            done = _with_earlier(await self._asked(job, held.cap, file), earlier)
            held.spent = done.cost_usd
            return done

    async def _asked(self, job: Job, cap: Decimal | None, file: CallFile) -> Done:
        paid, events = Paid(), list[Event]()
        path = self._trace(job)
        doors = self._doors(job, file)
        orchestrator = _orchestrator(self.suite, job, doors, cap, path, rulings=self.rulings)
        made = await _made(orchestrator, job, [paid, events.append], file)
        if isinstance(made, Decision):
            return self._decided(job, made, events, paid, path)
        if isinstance(made, ConfigError) or not isinstance(made, Exception):
            raise made
        failed = _failed(job, f"{type(made).__name__}: {made}", paid, called(events))
        head = read_trace(path).head if path is not None else None
        return failed.model_copy(update={"head": head, "trace": self._place(path)})

    def _doors(self, job: Job, file: CallFile) -> dict[str, Provider]:
        if self.recorded or not job.pool.models:
            return self.recorded
        if self.replies is not None:
            return dict.fromkeys(doors(None, job.pool), self.replies.door(job.part))
        before = ReplayProvider(file.path) if file.path.exists() else None
        return {
            name: KeptCalls(PacedProvider(door, self.paces), file, before)
            for name, door in doors(None, job.pool).items()
        }

    def _decided(self, job: Job, decision: Decision, events: Sequence[Event], paid: Paid, path: Path | None) -> Done:
        limited = decision.status == "escalated" and any(reason.startswith("limit:") for reason in decision.reasons)
        return Done(
            system=job.system,
            case=job.case.id,
            repeat=job.repeat,
            answer=decision.answer if self.texts else None,
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
            apart=paid.apart,
            error=next((each for each in decision.reasons if each.startswith("limit:")), None) if limited else None,
            confidence=decision.confidence,
            stated=stated(events, decision.support),
            abstained=any(isinstance(each, Merged) and each.abstained is not None for each in events),
            head=decision.head,
            trace=self._place(path),
        )

    def _place(self, path: Path | None) -> str | None:
        return None if path is None else path.relative_to(self.store.folder).as_posix()

    def _trace(self, job: Job) -> Path | None:
        if not self.how.traces:
            return None
        stem = job.part
        path = self.store.folder / "traces" / f"{stem}.jsonl"
        number = 1
        while path.exists():  # of an attempt that was cut short or is retried; its trace is kept
            number += 1
            path = path.with_name(f"{stem}-{number}.jsonl")
        return path


def _with_earlier(done: Done, paid: Decimal) -> Done:
    """The result with what was paid for it before: by an attempt that is retried, and by calls lost in a crash."""
    if not paid:
        return done
    cost = None if done.cost_usd is None else done.cost_usd + paid
    apart = {**done.apart, "lost": paid}
    return done.model_copy(update={"cost_usd": cost, "cost_exact": False, "apart": apart})


async def _made(
    orchestrator: Orchestrator, job: Job, listeners: Sequence[Callable[[Event], None]], file: CallFile
) -> Decision | BaseException:
    """The decision, or what was raised instead: a router or merge of the caller's own may raise anything at all."""
    running = await until_stopped(orchestrator.run(job.case.asked, listeners=listeners), file)
    if running.cancelled():
        return OrchestratorError("the run cancelled itself")
    return running.exception() or running.result()


def _failed(job: Job, error: str, paid: Paid, consulted: tuple[str, ...] = ()) -> Done:
    return Done(
        system=job.system,
        case=job.case.id,
        repeat=job.repeat,
        error=error,
        cost_usd=paid.usd,
        cost_exact=paid.exact,
        control_calls=paid.tally.control_calls,
        merge_calls=paid.tally.merge_calls,
        expert_calls=paid.tally.expert_calls,
        reroutes=paid.tally.reroutes,
        consulted=consulted,
        apart=paid.apart,
    )
