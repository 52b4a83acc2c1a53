"""What an orchestrator was built with, and the context of each of its runs."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import cast

from pydantic import BaseModel, JsonValue

from orchestrator.budget import Budget, Ledger, Reservation
from orchestrator.confidence import Calibration
from orchestrator.content import Prompt, load_prompt
from orchestrator.errors import BudgetExceeded
from orchestrator.health import NestedHealth
from orchestrator.keeping import Keeper, Keeping, digest_of
from orchestrator.merge import AskingMerge, MergeRule, PanelMerge, worst_of_asking
from orchestrator.monitors import Monitor
from orchestrator.pipeline.many import Share
from orchestrator.pipeline.parts import check_aims
from orchestrator.pipeline.storage import Checkpointer
from orchestrator.planner import Planner
from orchestrator.pool import Agent
from orchestrator.providers import Gate, Room
from orchestrator.providers.gate import nobody_waits
from orchestrator.routers import LLMRouter, PlanRouter, Router, SteppedRouter
from orchestrator.runtime import (
    Clocks,
    Disturb,
    Enclosing,
    Faults,
    OnControlCall,
    OnStream,
    RunContext,
    Tally,
    enclosing_attempt,
)
from orchestrator.state import RunState
from orchestrator.sureness import YES_NO
from orchestrator.tools import Kinds, schema_of
from orchestrator.trace import Journal, Listener, Past, runs_folder
from orchestrator.trace.events import RunStarted
from orchestrator.trace.plain import plain
from orchestrator.version import __version__
from orchestrator.weights import Facilities, Weigher

__all__ = [
    "OUTPUT",
    "TURNS_OF_A_ROUTER",
    "Settings",
    "Wishes",
    "context_of",
    "digests_of",
    "fresh_id",
    "started",
    "trace_path",
    "typed",
]

TURNS_OF_A_ROUTER = 12
"""Turns of a router that is not the plan router, where the budget names none; the plan router ends by itself."""
OUTPUT = "output "
"""How the digest of the type that a run is to end in is called, before its name."""


@dataclass(slots=True, kw_only=True)
class Settings:
    """What an orchestrator was built with."""

    facilities: Facilities
    planning: Callable[[Weigher], Planner]
    router: Router
    merge: MergeRule | None
    monitors: tuple[Monitor, ...]
    budget: Budget
    analyses: int
    trace: Path | bool
    content: bool
    faults: Faults | None
    disturb: Disturb | None
    clocks: Clocks
    sleep: Callable[[float], Awaitable[None]]
    new_id: Callable[[], str]
    langsmith: bool
    listeners: tuple[Listener, ...]
    seed: int | None
    confidence: Calibration | None
    abstain_below: float | None
    checkpointer: Checkpointer | None = None
    """Where durable runs keep their checkpoints."""

    def __post_init__(self) -> None:
        """Refuse faults for agents that are not there."""
        check_aims(self.facilities.pool, faults=self.faults, disturb=self.disturb)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller wants of one run beside its answer."""

    listeners: tuple[Listener, ...] = ()
    on_text: OnStream | None = None
    output: type[BaseModel] | None = None
    """The pydantic model that the decision is to be on."""
    share: Share | None = None
    """What it has together with other runs."""
    note: Mapping[str, JsonValue] | None = None
    """What is kept in the trace for whoever resumes the run."""
    on_call: OnControlCall | None = None
    room: Room | None = None
    """What the run waits for before each step, for the sake of whoever follows it."""


def context_of(
    settings: Settings, state: RunState, journal: Journal, tally: Tally, wishes: Wishes, *, past: Past | None = None
) -> RunContext:
    """Everything heavy of one run; `past` is what the trace of a durable one holds already."""
    clock, within, share = settings.clocks.monotonic, enclosing_attempt(), wishes.share
    around = share.ledger if share else within.context.ledger if within else None
    ledger, facilities = Ledger(settings.budget, name=_level(within, share), within=around), settings.facilities
    set_aside = _set_aside(settings, state, ledger)
    if within is not None:
        facilities = replace(facilities, health=NestedHealth(facilities.health, within.context.facilities.health))
    weigher, started = Weigher(facilities, state.question, ledger), clock() - (past.seconds if past else 0.0)
    for ended, reserved in past.settled() if past else ():
        ledger.recall(ended.usd, ended.usage, exact=ended.exact, reserved=reserved)
    until = _deadline(settings, started, within, share)
    room = wishes.room or (within.context.gate.room if within else nobody_waits)
    gate = Gate(facilities.health, ledger, journal, clock, settings.sleep, Random(settings.seed), until, past, room)
    return RunContext(
        facilities=facilities,
        router=settings.router,
        merge=settings.merge,
        ledger=ledger,
        journal=journal,
        gate=gate,
        weigher=weigher,
        planner=settings.planning(weigher),
        tally=tally,
        monitors=settings.monitors,
        faults=settings.faults,
        disturb=settings.disturb,
        clock=clock,
        wall=settings.clocks.wall,
        started=started,
        turns=_turns(settings),
        set_aside=set_aside,
        on_text=wishes.on_text,
        on_call=wishes.on_call,
        within=within,
        confidence=settings.confidence,
        abstain_below=settings.abstain_below,
        keeper=None if past is None else Keeper(journal, Keeping(facilities.tools, facilities.kinds), past),
    )


def typed(settings: Settings, output: type[BaseModel] | None, goals: tuple[str, ...]) -> Settings:
    """The settings of a run that is to end in a type; raises `ConfigError` where its goal has another one."""
    if output is None:
        return settings
    facilities = settings.facilities
    return replace(settings, facilities=replace(facilities, kinds=facilities.kinds.asking(output, goals)))


def _turns(settings: Settings) -> int | None:
    """Turns that a run may take."""
    turns = settings.budget.turns
    return TURNS_OF_A_ROUTER if turns is None and not isinstance(settings.router, PlanRouter) else turns


def _deadline(settings: Settings, started: float, within: Enclosing | None, share: Share | None) -> float:
    """When a run is over: by its own limit, that of the run around it, and that of those it shares time with."""
    own, around = _seconds(settings.budget.seconds), _seconds(within and within.context.seconds_left())
    until = min(started + own, settings.clocks.monotonic() + around)
    return min(until, share.until) if share else until


def _level(within: Enclosing | None, share: Share | None) -> str:
    """What a ledger is called in errors, where it is one of several levels."""
    if within is not None:
        return f"{within.agent} (level {within.context.depth + 1})"
    return "one run" if share else ""


def _seconds(limit: float | None) -> float:
    return float("inf") if limit is None else limit


def _set_aside(settings: Settings, state: RunState, ledger: Ledger) -> Reservation | None:
    """What is kept for the merge agent's call; nothing where the merge calls no model, or where it cannot be paid."""
    merge = settings.merge
    if merge is None or not isinstance(merge, AskingMerge):
        return None
    model = settings.facilities.pool.models[merge.model]
    if isinstance(merge, PanelMerge):
        quote = merge.worst(model, state.question, state.analyses)
    else:
        quote = worst_of_asking(model, state.question, state.analyses)
    half = ledger.left.share(2)  # where the worst case is more than everything, experts and merge share it
    usd = quote.reserve if quote.reserve is None or half.usd is None else min(quote.reserve, half.usd)
    tokens = quote.tokens if half.tokens is None else min(quote.tokens, half.tokens)
    for wanted in ((quote.reserve, quote.tokens), (usd, tokens)):
        with suppress(BudgetExceeded):
            return ledger.keep(*wanted)
    return None  # its price is unknown, and there is a money budget


def _prompts(settings: Settings, kinds: Kinds) -> tuple[Prompt, ...]:
    speaking = (settings.router, settings.merge)
    kinds_of_parts = (LLMRouter, PanelMerge, SteppedRouter)
    found = [p for part in speaking if isinstance(part, kinds_of_parts) for p in part.prompts()]
    agents = settings.facilities.pool.agents.values()
    asked = {
        "typed": bool(kinds.types or kinds.asked),
        "analysis": any(agent.reply == "analysis" for agent in agents),
        YES_NO: any(agent.confidence == "yes-no" for agent in agents),
    }
    return (*found, *(load_prompt(name) for name, wanted in asked.items() if wanted))


def digests_of(settings: Settings, kinds: Kinds) -> dict[str, str]:
    """What a run is built of, each part with the beginning of its SHA-256; `kinds` are those of the run."""
    pool = settings.facilities.pool
    parts: dict[str, object] = {f"agent {name}": _described(agent) for name, agent in pool.agents.items()}
    parts |= {f"model {name}": model.model_dump(mode="json") for name, model in pool.models.items()}
    parts |= {f"prompt {prompt.name}": prompt.digest for prompt in _prompts(settings, kinds)}
    parts["goals"] = pool.goals
    parts["router"] = _router_described(settings.router)
    parts["merge"] = [settings.merge and settings.merge.name, getattr(settings.merge, "model", None)]
    if settings.confidence is not None:
        parts["confidence"] = [settings.confidence, settings.abstain_below]
    if kinds.asked is not None:
        parts[f"{OUTPUT}{kinds.asked.__name__}"] = [kinds.asked.__module__, schema_of(kinds.asked)]
    return {name: digest_of(part) for name, part in sorted(parts.items())}


def _router_described(router: Router) -> list[object]:
    """A router by its name, and by what it was told of models, thresholds and votes."""
    parts = (router.inner, router.steps) if isinstance(router, SteppedRouter) else (router,)
    told = [getattr(part, field, None) for part in parts for field in ("model", "demoter", "threshold", "voters")]
    return [router.name, *told]


def _described(agent: Agent) -> dict[str, object]:
    """An agent by its descriptor; a function by its name, since where it lies in memory says nothing."""
    table = {name: value for name, value in agent.model_dump(exclude={"source", "claim"}).items() if name != "tool"}
    tool = agent.tool
    named = tool if isinstance(tool, str) else tool and getattr(tool, "__qualname__", type(tool).__qualname__)
    return {**table, "tool": named}


def started(
    settings: Settings, state: RunState, context: RunContext, note: Mapping[str, JsonValue] | None
) -> RunStarted:
    """The first event of a run; `note` is kept for whoever resumes it."""
    budget, rates = settings.budget, settings.facilities.rates
    return RunStarted(
        within=context.within.place if context.within else None,
        question=state.question.messages,
        kind=state.question.kind,
        choices=state.question.choices,
        case=state.question.case,
        pool=settings.facilities.pool.name,
        agents=tuple(sorted(settings.facilities.pool.agents)),
        goals=state.goals,
        router=settings.router.name,
        merge=settings.merge.name if settings.merge else "default",
        analyses=settings.analyses,
        cost_weight=rates.cost_weight,
        time_weight=rates.time_weight,
        budget={"usd": budget.usd, "tokens": budget.tokens, "turns": context.turns, "seconds": budget.seconds},
        prompts={
            prompt.name: f"{prompt.version}:{prompt.digest}" for prompt in _prompts(settings, context.facilities.kinds)
        },
        version=__version__,
        digests={} if context.keeper is None else digests_of(settings, context.facilities.kinds),
        note=None if note is None else cast("dict[str, JsonValue]", plain(note)),
    )


def trace_path(trace: Path | bool, run_id: str) -> Path | None:
    """Where a run is written."""
    if isinstance(trace, bool):
        return runs_folder() / f"{run_id}.jsonl" if trace else None
    return trace if trace.suffix == ".jsonl" else trace / f"{run_id}.jsonl"


def fresh_id(clocks: Clocks) -> str:
    """An id that sorts by time."""
    stamp = datetime.fromtimestamp(clocks.wall(), UTC).strftime("%Y%m%d-%H%M%S")
    return f"{stamp}-{secrets.token_hex(4)}"
