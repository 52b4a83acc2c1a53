"""The front door: an orchestrator over a pool, with `run`, `run_sync`, `stream`, `explain`, `as_node` and `graph`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar, Unpack, cast, overload

from langchain_core.runnables import Runnable
from pydantic import BaseModel, JsonValue

from orchestrator.budget import Budget
from orchestrator.confidence import Calibration
from orchestrator.health import Health
from orchestrator.merge import MergeFunction, MergeRule
from orchestrator.messages import Asked, Decision, Question, as_question
from orchestrator.monitors import Monitor, MonitorFunction
from orchestrator.pipeline.assembly import Settings, Wishes, fresh_id
from orchestrator.pipeline.beforehand import Explanation, as_if, explained, way
from orchestrator.pipeline.durable import Pending, aborted, checked_checkpointer, path_of, pending_runs
from orchestrator.pipeline.many import Outcome, each_of, share_of
from orchestrator.pipeline.nesting import LONGEST_RUN, agent_of, node_of
from orchestrator.pipeline.nodes import PipelineGraph, compiled_graph
from orchestrator.pipeline.options import Keys, Options, Taking, options_of
from orchestrator.pipeline.parts import (
    Analyses,
    budget_of,
    check_prices,
    confidence_of,
    doors,
    merge_of,
    misfit_of,
    monitors_of,
    router_of,
    spenders,
    warn_of,
)
from orchestrator.pipeline.running import check_no_loop, ran, resumed
from orchestrator.pipeline.storage import Checkpointer
from orchestrator.pipeline.streaming import Streamed, streamed
from orchestrator.planner import Choice, Planner, graph_of
from orchestrator.pool import Agent, Model, Pool
from orchestrator.pool.registry import Member
from orchestrator.providers import Provider, ProviderFunction
from orchestrator.routers import Router, RouterFunction
from orchestrator.runtime import Clocks, Disturb, Faults, OnStream
from orchestrator.state import RunState
from orchestrator.tools import Provided, Resources, bind, kinds_of
from orchestrator.trace import Listener
from orchestrator.trace.events import Resumed
from orchestrator.weights import Facilities, Preference, Rates

__all__ = ["Explanation", "Orchestrator"]

Typed = TypeVar("Typed", bound=BaseModel)


class Orchestrator:
    """Runs questions over a pool of experts; keeps what it learns of their health from run to run.

    `pool` is a `Pool` or its members. `trace` says where runs are written: True for the usual folder, a folder, a
    file that ends in `.jsonl`, or False for nowhere. `provide` holds what experts ask for by its class, as a list of
    objects or by class; no model and no trace sees it. `listeners` are told every event of every run. `confidence` says
    what scores of decisions are worth; else what a merge states. A decision below `abstain_below` becomes
    an escalation. With a `checkpointer` runs are durable: one that was killed or cancelled, or waits for a person, is
    taken up by `resume`. Raises `ConfigError` where the parts do not fit.
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
        checkpointer: Checkpointer | None = None,
    ) -> None:
        members, clocks = pool if isinstance(pool, Pool) else Pool(pool), clocks or Clocks()
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
        graph, fitted = graph_of(members), confidence_of(confidence, abstain_below, members)
        ruling, merging = router_of(router, members, analyses, fitted), merge_of(merge, members)
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
            checkpointer=None if checkpointer is None else checked_checkpointer(checkpointer, trace, content=content),
        )
        warn_of(self.misfit)

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
    def misfit(self) -> str | None:
        """What is to be said where its calibration was fitted for decisions made another way; else None."""
        had = self._settings
        return misfit_of(had.confidence, had.router, had.merge, had.analyses)

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
        note: Mapping[str, JsonValue] | None = None,
    ) -> Decision[Any]:
        """The decision on a question; it tells in `status` and `reasons` what went wrong.

        With `output`, a pydantic model, it is a decision on one: asked for by its schema and mended where that does not
        help, or escalated. `on_text` is told what router and merge agent write, as it arrives; `note` is kept in the
        trace for whoever resumes the run.

        Raises `ConfigError` for what the caller got wrong, whatever a router of the caller's own raises, and
        CancelledError where it is cancelled; the trace is ended in each case, or paused in a durable run. A merge that
        raises gives way.
        """
        wishes = Wishes(tuple(listeners), on_text, output, note=note)
        return await ran(self._settings, self._state(asked, goal), wishes)

    @overload
    async def resume(self, run_id: str, *, output: type[Typed], **more: Unpack[Taking]) -> Decision[Typed]: ...

    @overload
    async def resume(self, run_id: str, *, output: None = None, **more: Unpack[Taking]) -> Decision[None]: ...

    async def resume(
        self,
        run_id: str,
        *,
        output: type[BaseModel] | None = None,
        answer: str | None = None,
        retry: bool = False,
        allow: Iterable[str] = (),
        changed: bool = False,
        listeners: Iterable[Listener] = (),
        on_text: OnStream | None = None,
    ) -> Decision[Any]:
        """Go on with a durable run that was killed, cancelled, or waits for a person.

        `output` is what the run was begun with. `answer` is a person's answer, `retry` lets experts that failed be
        asked again, `allow` names agents that may be asked from now on; `changed` goes on although pool, router or
        merge are not what they were.

        Raises `ConfigError` where there is no such run, or nothing of it is left to do, or another process is at it.
        """
        word = Resumed(seconds=0.0, answer=answer, retry=retry, allow=tuple(allow))
        wishes = Wishes(tuple(listeners), on_text, output)
        return await resumed(self._settings, run_id, word, wishes, changed=changed)

    @overload
    def resume_sync(self, run_id: str, *, output: type[Typed], **more: Unpack[Taking]) -> Decision[Typed]: ...

    @overload
    def resume_sync(self, run_id: str, *, output: None = None, **more: Unpack[Taking]) -> Decision[None]: ...

    def resume_sync(
        self, run_id: str, *, output: type[BaseModel] | None = None, **more: Unpack[Taking]
    ) -> Decision[Any]:
        """`resume` for callers without an event loop; raises `ConfigError` where one is running."""
        check_no_loop("resume_sync", "`await orchestrator.resume(…)`")
        return asyncio.run(self.resume(run_id, output=cast("type[BaseModel]", output), **more))

    def pending(self) -> list[Pending]:
        """Durable runs in the folder of traces that have not come to their end, newest first."""
        return pending_runs(self._settings.trace)

    async def abort(self, run_id: str, why: str = "aborted by a person") -> None:
        """End a durable run for good; what was in flight is charged, and nothing more is done."""
        settings = self._settings
        await aborted(path_of(settings, run_id), settings.checkpointer, settings.clocks.wall, why)

    @overload
    def run_sync(self, asked: Asked, *, output: type[Typed], **more: Unpack[Options]) -> Decision[Typed]: ...

    @overload
    def run_sync(self, asked: Asked, *, output: None = None, **more: Unpack[Options]) -> Decision[None]: ...

    def run_sync(
        self, asked: Asked, *, output: type[BaseModel] | None = None, **more: Unpack[Options]
    ) -> Decision[Any]:
        """`run` for callers without an event loop; raises `ConfigError` where one is running."""
        check_no_loop("run_sync", "`await orchestrator.run(…)`")
        return asyncio.run(self.run(asked, output=cast("type[BaseModel]", output), **more))

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

        async def ask(asked: Asked) -> Decision:
            return await ran(self._settings, self._state(asked, goal), wishes)

        outcomes = each_of(questions, ask, concurrency=concurrency)
        async with aclosing(outcomes):
            async for found in outcomes:
                yield found

    def stream(
        self, asked: Asked, *, output: type[BaseModel] | None = None, **more: Unpack[Options]
    ) -> AsyncGenerator[Streamed, None]:
        """The events of a run as they happen, and between them the final answer, piece by piece, as `AnswerText`.

        The last item is the event `RunEnded`, or `Paused` in a durable run that waits for a person: its `decision` is
        what `run` would have given, and the pieces since the last restart are its answer. Pieces come while router or
        merge agent write the answer; one that nobody writes, and one that a router gives as plain text beside its
        tools, comes whole.

        While 256 items wait to be taken the run waits, too: no turn, round or try begins, and no more is read of an
        answer that is being written. What is in flight by then still comes. Every limit on time goes on meanwhile:
        the run's, and that of a call under way. Leaving the loop cancels the run; it raises what `run` raises.
        """
        more = options_of(**more)
        wishes = Wishes(tuple(more.get("listeners", ())), more.get("on_text"), output, note=more.get("note"))

        def run(told: Wishes) -> Awaitable[Decision]:
            return ran(self._settings, self._state(asked, more.get("goal")), told)

        return streamed(self._settings, wishes, run)

    def explain(
        self, asked: Asked, *, goal: str | None = None, have: Iterable[str] = (), without: Iterable[str] = ()
    ) -> Explanation:
        """What a run would do first, and what every rejected way would have cost.

        `have` names artifacts that are there already, `without` experts that are left out, as if they had failed.
        """
        return explained(self._settings, as_if(self._state(asked, goal), self.pool, have, without))

    def path(self, goal: str | None = None, *, have: Iterable[str] = (), without: Iterable[str] = ()) -> Choice:
        """The cheapest way to a goal by descriptors and health alone, for no question in particular.

        `have` names artifacts that are there already, `without` experts that are left out, as if they had failed.
        Raises `ConfigError` for names that are not in the pool.
        """
        goals = self.pool.goals_from(goal)
        return way(self._settings, as_if(RunState(Question(()), goals, goals[0]), self.pool, have, without))

    @overload
    def as_node(
        self, *, output: type[Typed], **keys: Unpack[Keys]
    ) -> Runnable[Any, dict[str, Typed | Decision[Typed] | None]]: ...

    @overload
    def as_node(self, *, output: None = None, **keys: Unpack[Keys]) -> Runnable[Any, dict[str, object]]: ...

    def as_node(
        self,
        *,
        output: type[BaseModel] | None = None,
        question: str = "question",
        answer: str | None = "answer",
        decision: str | None = None,
    ) -> Runnable[Any, Any]:
        """A node for a LangGraph of your own: reads one key of its state, writes answer and decision to others.

        With `output`, a pydantic model, the answer is an instance of it, or None where the run came to none. A saver
        of LangGraph's gives it back as such where its serializer is allowed to: `allowed_msgpack_modules`.
        """
        typed = cast("type[BaseModel]", output)
        return node_of(
            lambda asked: self.run(asked, output=typed),
            lambda asked: self.run_sync(asked, output=typed),
            question,
            answer,
            decision,
        )

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
        role, inputs = role or f"asks the pool {self.pool.name}", tuple(consumes)
        fields = {"name": name, "role": role, "consumes": inputs, "produces": produces, "skill": skill}
        return agent_of(self, self.pool, {**fields, "timeout": timeout}, goal)

    def _state(self, asked: Asked, goal: str | None) -> RunState:
        goals = self.pool.goals_from(goal)
        return RunState(as_question(asked), goals, goals[0], analyses=self._settings.analyses)
