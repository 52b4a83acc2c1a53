"""The front door: an orchestrator over a pool, with `run`, `run_sync`, `stream`, `explain`, `as_node` and `graph`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypedDict, TypeVar, Unpack, cast, overload

from langchain_core.runnables import Runnable
from pydantic import BaseModel

from orchestrator.budget import Budget, Ledger
from orchestrator.confidence import Calibration
from orchestrator.errors import ConfigError, nearest
from orchestrator.health import Health
from orchestrator.merge import MergeFunction, MergeRule
from orchestrator.messages import Asked, Decision, Failed, Goal, Question, Reply, as_question
from orchestrator.monitors import Monitor, MonitorFunction
from orchestrator.pipeline.assembly import (
    Analyses,
    Settings,
    Wishes,
    budget_of,
    check_prices,
    check_responses,
    confidence_of,
    context_of,
    doors,
    first_request,
    first_thought,
    fresh_id,
    merge_of,
    monitors_of,
    router_of,
    spenders,
    started,
    trace_path,
)
from orchestrator.pipeline.many import Outcome, each_of, share_of
from orchestrator.pipeline.nesting import (
    LONGEST_RUN,
    Mirror,
    agent_of,
    check_depth,
    nested_trace,
    node_of,
    note_nested,
)
from orchestrator.pipeline.nodes import PipelineGraph, compiled_graph, walk
from orchestrator.planner import Choice, Planner, graph_of
from orchestrator.pool import Agent, Model, Pool
from orchestrator.pool.registry import Member
from orchestrator.protocol import Route
from orchestrator.providers import Provider, ProviderFunction, Request
from orchestrator.routers import Router, RouterFunction
from orchestrator.runtime import Clocks, Disturb, Faults, OnStream, RunContext, Tally, enclosing_attempt
from orchestrator.state import Failure, RunState
from orchestrator.tools import Provided, Resources, bind, kinds_of
from orchestrator.trace import Journal, Listener
from orchestrator.trace.events import AttemptCancelled, Escalated, Event, RunEnded
from orchestrator.weights import Facilities, Preference, Rates, Weigher

__all__ = ["Explanation", "Orchestrator"]

How = Literal["cancelled", "error"]
Typed = TypeVar("Typed", bound=BaseModel)


class Options(TypedDict, total=False):
    """What a run may be told besides its question and output; see `Orchestrator.run`."""

    goal: str | None
    listeners: Iterable[Listener]
    on_text: OnStream | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would be done, at what weights; nobody is called to find out."""

    goal: str
    choices: tuple[Choice, ...]
    """One for each analysis asked for; the last has no plan where experts run out."""
    rates: Rates
    request: Request | None = None
    """What the model of an LLM router would be asked first, word for word."""
    thought: str | None = None
    """What a cascade or a width of its own would do first, and why."""


class Orchestrator:
    """Runs questions over a pool of experts; keeps what it learns of their health from run to run.

    `pool` is a `Pool` or its members. `trace` says where runs are written: True for the usual folder, a folder, a
    file that ends in `.jsonl`, or False for nowhere. `provide` holds what experts ask for by its class, as a list of
    objects or by class; no model and no trace sees it. `listeners` are told every event of every run. `confidence` says
    what scores of decisions are worth; without it a decision has none. Below `abstain_below` a decision becomes an
    escalation. Raises `ConfigError` where the parts do not fit.
    """

    def __init__(
        self,
        pool: Pool | Iterable[Member],
        *,
        router: Router | RouterFunction | str | None = None,
        merge: MergeRule | MergeFunction | str | None = None,
        budget: Budget | None = None,
        analyses: Analyses = 1,
        prefer: Preference | Rates = "balanced",
        providers: Mapping[str, Provider | ProviderFunction] | None = None,
        provide: Provided = (),
        monitors: Sequence[Monitor | MonitorFunction | str] | None = None,
        resources: Resources | None = None,
        health: Health | None = None,
        trace: Path | str | bool = True,
        content: bool = True,
        faults: Faults | None = None,
        disturb: Disturb | None = None,
        clocks: Clocks | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        new_id: Callable[[], str] | None = None,
        langsmith: bool = False,
        listeners: Iterable[Listener] = (),
        seed: int | None = None,
        confidence: Calibration | Path | str | None = None,
        abstain_below: float | None = None,
    ) -> None:
        members = pool if isinstance(pool, Pool) else Pool(pool)
        clocks = clocks or Clocks()
        tools = bind(members, provide)
        facilities = Facilities(
            members,
            tools,
            doors(providers, members),
            resources or Resources(),
            health or Health(clocks.monotonic),
            prefer if isinstance(prefer, Rates) else Rates.preferring(prefer),
            kinds_of(members, tools),
        )
        for name in sorted({agent.model for agent in members.agents.values() if agent.model}):
            facilities.provider_of(members.models[name])
        fitted = confidence_of(confidence, abstain_below)
        graph, ruling, merging = (
            graph_of(members),
            router_of(router, members, analyses, fitted),
            merge_of(merge, members),
        )
        budget = budget_of(budget, spenders(members, ruling, merging, facilities.providers))
        check_prices(facilities.providers, budget)
        self._settings = Settings(
            facilities=facilities,
            planning=lambda weigher: Planner(members, graph, weigher),
            router=ruling,
            merge=merging,
            monitors=monitors_of(monitors, members),
            budget=budget,
            analyses=analyses if isinstance(analyses, int) else 1,
            trace=Path(trace) if isinstance(trace, str) else trace,
            content=content,
            faults=faults,
            disturb=disturb,
            clocks=clocks,
            sleep=sleep,
            new_id=new_id or (lambda: fresh_id(clocks)),
            langsmith=langsmith,
            listeners=tuple(listeners),
            seed=seed,
            confidence=fitted,
            abstain_below=abstain_below,
        )

    @property
    def pool(self) -> Pool:
        """The pool it runs over."""
        return self._settings.facilities.pool

    @property
    def budget(self) -> Budget:
        """The limits of each run."""
        return self._settings.budget

    @property
    def payable(self) -> list[Model]:
        """Models that a run may have to pay for."""
        settings = self._settings
        return spenders(self.pool, settings.router, settings.merge, settings.facilities.providers)

    @property
    def health(self) -> Health:
        """What was seen of the experts so far."""
        return self._settings.facilities.health

    @property
    def graph(self) -> PipelineGraph:
        """The compiled LangGraph of a run, for drawing."""
        return compiled_graph()

    @overload
    async def run(self, asked: Asked, *, output: type[Typed], **more: Unpack[Options]) -> Decision[Typed]: ...

    @overload
    async def run(self, asked: Asked, *, output: None = None, **more: Unpack[Options]) -> Decision[None]: ...

    async def run(
        self,
        asked: Asked,
        *,
        output: type[BaseModel] | None = None,
        goal: str | None = None,
        listeners: Iterable[Listener] = (),
        on_text: OnStream | None = None,
    ) -> Decision[Any]:
        """The decision on a question; it tells in `status` and `reasons` what went wrong.

        With `output`, a pydantic model, it is a decision on one: asked for by its schema and mended where that does not
        help, or escalated. `on_text` is told what router and merge agent write, as it arrives.

        Raises `ConfigError` for what the caller got wrong, whatever a router of the caller's own raises, and
        CancelledError where it is cancelled; the trace is ended in each case. A merge that raises gives way.
        """
        return await self._run(asked, goal, Wishes(tuple(listeners), on_text, output))

    async def _run(self, asked: Asked, goal: str | None, wishes: Wishes) -> Decision[Any]:
        context, state = self._begin(asked, goal, wishes)
        with _Ending(context):
            context.journal.write(started(self._settings, state, context))
            decision = await walk(state, context, langsmith=self._settings.langsmith)
            context.journal.raise_fault()
            context.journal.write(RunEnded(how="decided", decision=decision))
        context.journal.raise_fault()
        return decision.model_copy(update={"head": context.journal.head})

    @overload
    def run_sync(self, asked: Asked, *, output: type[Typed], **more: Unpack[Options]) -> Decision[Typed]: ...

    @overload
    def run_sync(self, asked: Asked, *, output: None = None, **more: Unpack[Options]) -> Decision[None]: ...

    def run_sync(
        self,
        asked: Asked,
        *,
        output: type[BaseModel] | None = None,
        goal: str | None = None,
        listeners: Iterable[Listener] = (),
        on_text: OnStream | None = None,
    ) -> Decision[Any]:
        """`run` for callers without an event loop; raises `ConfigError` where one is running."""
        if _in_a_loop():
            raise ConfigError("an event loop is running here", field="run_sync", expected="`await orchestrator.run(…)`")
        return asyncio.run(
            self.run(asked, output=cast("type[BaseModel]", output), goal=goal, listeners=listeners, on_text=on_text)
        )

    async def run_many(
        self,
        questions: Iterable[Asked],
        *,
        concurrency: int = 16,
        budget: Budget | None = None,
        goal: str | None = None,
        progress: Callable[[int, Outcome], None] | None = None,
    ) -> list[Outcome]:
        """The decisions on many questions, in their order; what a run raised stands in its place.

        `budget` is what all of them may take together, beside the limits of each; `progress` is told the place and
        the outcome of each run when it has ended. Raises `ConfigError` for a limit on turns in `budget`.
        """
        found: dict[int, Outcome] = {}
        async for number, outcome in self.each(questions, concurrency=concurrency, budget=budget, goal=goal):
            found[number] = outcome
            if progress is not None:
                progress(number, outcome)
        return [found[number] for number in sorted(found)]

    async def each(
        self,
        questions: Iterable[Asked],
        *,
        concurrency: int = 16,
        budget: Budget | None = None,
        goal: str | None = None,
    ) -> AsyncGenerator[tuple[int, Outcome]]:
        """As `run_many`, place and outcome as they come; holds no more than the runs that are being made."""
        wishes = Wishes(share=share_of(budget, self._settings.clocks.monotonic()))
        outcomes = each_of(questions, lambda asked: self._run(asked, goal, wishes), concurrency=concurrency)
        async with aclosing(outcomes):
            async for found in outcomes:
                yield found

    async def stream(
        self, asked: Asked, *, output: type[BaseModel] | None = None, goal: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """The events of a run as they happen; leaving the loop cancels the run."""
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        typed, told = cast("type[BaseModel]", output), (events.put_nowait,)
        running = asyncio.create_task(self.run(asked, output=typed, goal=goal, listeners=told))
        running.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def explain(
        self, asked: Asked, *, goal: str | None = None, have: Iterable[str] = (), without: Iterable[str] = ()
    ) -> Explanation:
        """What a run would do first, and what every rejected way would have cost.

        `have` names artifacts that are there already, `without` experts that are left out, as if they had failed.
        """
        state = self._beforehand(self._state(asked, goal), have, without)
        weigher = Weigher(self._settings.facilities, state.question, Ledger(self._settings.budget))
        planner = self._settings.planning(weigher)
        request = first_request(self._settings, state, planner)
        thought = first_thought(self._settings, state, planner)
        return Explanation(state.goal, planner.slots(state), self._settings.facilities.rates, request, thought)

    def path(self, goal: str | None = None, *, have: Iterable[str] = (), without: Iterable[str] = ()) -> Choice:
        """The cheapest way to a goal by descriptors and health alone, for no question in particular.

        `have` names artifacts that are there already, `without` experts that are left out, as if they had failed.
        Raises `ConfigError` for names that are not in the pool.
        """
        goals = self.pool.goals_from(goal)
        state = self._beforehand(RunState(Question(()), goals, goals[0]), have, without)
        weigher = Weigher(self._settings.facilities, state.question, Ledger(self._settings.budget))
        return self._settings.planning(weigher).choose(Goal(state.goal), state)

    def _beforehand(self, state: RunState, have: Iterable[str], without: Iterable[str]) -> RunState:
        """The state as it would be with some artifacts there and some experts failed."""
        for kind, names, known in (("have", have, self.pool.artifacts), ("without", without, self.pool.agents)):
            for name in (names := tuple(names)):
                if name not in known:
                    hint = nearest(name, known)
                    expected = "one of " + ", ".join(sorted(known))
                    raise ConfigError(f"there is no `{name}`", field=kind, expected=expected, suggestion=hint)
        given = tuple(Reply(0, "given", Goal(name), "") for name in have)
        return replace(state, replies=given, failures=tuple(_left_out(name) for name in without))

    def as_node(
        self, *, question: str = "question", answer: str | None = "answer", decision: str | None = None
    ) -> Runnable[Any, dict[str, object]]:
        """A node for a LangGraph of your own: reads one key of its state, writes answer and decision to others."""
        return node_of(self, question, answer, decision)

    def as_expert(
        self,
        name: str,
        *,
        role: str = "",
        consumes: Sequence[str] = ("question",),
        produces: str = "answer",
        goal: str | None = None,
        skill: float = 0.5,
        timeout: float = LONGEST_RUN,
    ) -> Agent:
        """An expert for another pool that asks this orchestrator.

        Its runs keep to the budget, the time and the breakers of the run around them, and to their own; their tries
        are written into its trace. A run that escalates is a failed attempt. `goal` is what it is asked for here,
        `produces` what that counts as there.
        """
        effects = [agent for agent in self.pool.agents.values() if agent.effects]
        fields: dict[str, object] = {
            "name": name,
            "role": role or f"asks the pool {self.pool.name}",
            "consumes": tuple(consumes),
            "produces": produces,
            "skill": skill,
            "timeout": timeout,
            "effects": bool(effects),
            "idempotent": bool(effects) and all(agent.idempotent for agent in effects),
        }
        return agent_of(self, fields, goal)

    def _state(self, asked: Asked, goal: str | None) -> RunState:
        goals = self.pool.goals_from(goal)
        return RunState(as_question(asked), goals, goals[0], analyses=self._settings.analyses)

    def _begin(self, asked: Asked, goal: str | None, wishes: Wishes) -> tuple[RunContext, RunState]:
        state, settings, within = self._state(asked, goal), self._settings, enclosing_attempt()
        check_depth(within)
        if wishes.output is not None:
            facilities = settings.facilities
            kinds = facilities.kinds.asking(wishes.output, state.goals)
            settings = replace(settings, facilities=replace(facilities, kinds=kinds))
        check_responses(settings.facilities.providers)
        tally, run_id = Tally(), settings.new_id()
        path = trace_path(nested_trace(settings.trace, within), run_id)
        listeners = (tally, *settings.listeners, *wishes.listeners, *([Mirror(within)] if within else []))
        content = settings.content and (within is None or within.context.journal.content)
        try:
            journal = Journal(run_id, path, now=settings.clocks.wall, content=content, listeners=listeners)
        except OSError as error:
            problem = f"cannot be written: {error.strerror}"
            expected = "a place for a new file, since a trace is never written over"
            raise ConfigError(problem, file=str(path), field="trace", expected=expected) from error
        return context_of(settings, state, journal, tally, wishes), state


@dataclass(frozen=True, slots=True)
class _Ending:
    """Closes the trace of a run, whichever way it ends."""

    context: RunContext

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say how the run ended where it did not end with a decision; the error goes on its way."""
        if self.context.set_aside is not None:
            self.context.ledger.give_back(self.context.set_aside)
        try:
            if isinstance(error, asyncio.CancelledError):
                _break_off(self.context, "cancelled", "the run was cancelled")
            elif error is not None:
                _break_off(self.context, "error", f"{type(error).__name__}: {error}")
        finally:
            self.context.journal.close()
            note_nested(self.context)


def _break_off(context: RunContext, how: How, why: str) -> None:
    """Close what is open, so that the trace ends consistent."""
    for attempt in sorted(context.tally.in_flight):
        context.journal.write(AttemptCancelled(attempt=attempt))
    for attempt in sorted(context.tally.unresolved):
        context.journal.write(Escalated(attempt=attempt, reason=why))
    context.journal.write(RunEnded(how=how, error=why))


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _left_out(agent: str) -> Failure:
    return Failure(0, Route(agent), Goal(""), Failed(agent, "injected", "left out", 0))
