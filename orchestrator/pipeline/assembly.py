"""Puts an orchestrator's parts together, and the context of each of its runs."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import cast

from pydantic import BaseModel

from orchestrator.budget import Budget, Ledger, Reservation
from orchestrator.confidence import Calibration, read_calibration
from orchestrator.content import Prompt, load_prompt
from orchestrator.errors import AttemptError, BudgetExceeded, ConfigError, nearest
from orchestrator.health import NestedHealth
from orchestrator.merge import (
    ASKING,
    AskingMerge,
    MergeFunction,
    MergeRule,
    PanelMerge,
    as_merge,
    canonical,
    found_merge,
    worst_of_asking,
)
from orchestrator.monitors import Monitor, MonitorFunction, as_monitor, built_in
from orchestrator.pipeline.many import Share
from orchestrator.planner import Planner
from orchestrator.pool import Model, Pool
from orchestrator.pool.descriptors import LOCAL_SERVERS
from orchestrator.pool.plugins import find_plugin, plugin_names
from orchestrator.providers import (
    Completion,
    Gate,
    Provider,
    RecordedProvider,
    RecordingProvider,
    ReplayProvider,
    Request,
    ScriptProvider,
)
from orchestrator.providers.anthropic import AnthropicProvider
from orchestrator.providers.functions import ProviderFunction, as_provider
from orchestrator.providers.openai import OpenAIProvider
from orchestrator.routers import (
    BallotRouter,
    CascadeRouter,
    LLMRouter,
    PlanRouter,
    Router,
    RouterFunction,
    View,
    WidthRouter,
    as_router,
    cascade_named,
)
from orchestrator.runtime import Clocks, Disturb, Enclosing, Faults, OnStream, RunContext, Tally, enclosing_attempt
from orchestrator.state import RunState
from orchestrator.tools import Kinds
from orchestrator.trace import Journal, Listener, runs_folder
from orchestrator.trace.events import RunStarted
from orchestrator.version import __version__
from orchestrator.weights import Facilities, Weigher

__all__ = [
    "Analyses",
    "Settings",
    "Wishes",
    "budget_of",
    "check_prices",
    "check_responses",
    "confidence_of",
    "context_of",
    "doors",
    "first_request",
    "first_thought",
    "fresh_id",
    "merge_of",
    "monitors_of",
    "router_of",
    "spenders",
    "started",
    "trace_path",
]

TURNS_OF_A_ROUTER = 12
"""Turns of a router that is not the plan router, where the budget names none; the plan router ends by itself."""
SAFE_BUDGET = Decimal("0.10")
"""USD of a run that can spend and was given no budget (SEMANTICS §6)."""

Analyses = int | str
"""How many analyses are asked for: a number, `auto`, or `auto:K` for a vote of K that may end early."""
_ASKING_NOBODY = (BallotRouter, CascadeRouter, LLMRouter, PlanRouter, WidthRouter)
"""Routers that ask no model but the one they name."""

_log = logging.getLogger("orchestrator")


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


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller wants of one run beside its answer."""

    listeners: tuple[Listener, ...] = ()
    on_text: OnStream | None = None
    output: type[BaseModel] | None = None
    """The pydantic model that the decision is to be on."""
    share: Share | None = None
    """What it has together with other runs."""


def doors(given: Mapping[str, Provider | ProviderFunction] | None, pool: Pool | None = None) -> dict[str, Provider]:
    """The providers of a pool: the vendors', the local servers' and what packages offer; those given come first."""
    openai = OpenAIProvider()
    found = {name: as_provider(each, name) for name, each in (given or {}).items()}
    known = {"openai": openai, "anthropic": AnthropicProvider(), **dict.fromkeys(LOCAL_SERVERS, openai), **found}
    named = {model.provider for model in pool.models.described.values()} if pool else set[str]()
    offered = {name: find_plugin("providers", name) for name in sorted(named - known.keys())}
    more = {name: as_provider(cast("Provider", each.made()), name) for name, each in offered.items() if each}
    return {**known, **more}


def router_of(
    given: Router | RouterFunction | str | None, pool: Pool, analyses: Analyses = 1, fitted: Calibration | None = None
) -> Router:
    """The router from an object, a function, `plan`, `llm` (the pool's own model), `cascade`, or a model's name.

    Where `analyses` is no number it is the router that works out how many there are to be.
    """
    if (wide := _wide(analyses, fitted)) is not None:
        if given not in (None, "plan"):
            problem = f"`{analyses}` goes with the router `plan`, which others decide for themselves"
            raise ConfigError(problem, field="analyses", expected="no other router, or a number")
        return wide
    if given is None or given == "plan":
        return PlanRouter()
    if isinstance(given, str) and given.partition(":")[0] == "cascade" and given not in pool.models:
        return cascade_named(given, fitted)
    if isinstance(given, str) and given != "llm" and given not in pool.models:
        plugin = find_plugin("routers", given)
        given = cast("Router", plugin.made()) if plugin else given
    router = LLMRouter(_model_named(given, pool, pool.router, "router")) if isinstance(given, str) else as_router(given)
    asked = router.model if isinstance(router, LLMRouter) else getattr(router, "demoter", None)
    if isinstance(asked, str):
        _check_model(asked, pool, "router", also="routers")
    return router


def monitors_of(given: Sequence[Monitor | MonitorFunction | str] | None, pool: Pool) -> tuple[Monitor, ...]:
    """The monitors from objects, functions and names of plug-ins; the built-in ones where none are given."""
    return built_in(pool) if given is None else tuple(map(_monitor_of, given))


def _monitor_of(given: Monitor | MonitorFunction | str) -> Monitor:
    if not isinstance(given, str):
        return as_monitor(given)
    plugin = find_plugin("monitors", given)
    if plugin is None:
        known = plugin_names("monitors")
        expected = "one that a package offers: " + (", ".join(known) or "none does")
        hint = nearest(given, known)
        raise ConfigError(f"there is no monitor `{given}`", field="monitors", expected=expected, suggestion=hint)
    return as_monitor(cast("Monitor", plugin.made()))


def _wide(analyses: Analyses, fitted: Calibration | None) -> Router | None:
    """The router of `auto` and of `auto:K`; None for a number."""
    if isinstance(analyses, int):
        if analyses < 1:
            raise ConfigError(
                f"cannot be {analyses}", field="analyses", expected="a whole number of at least 1, or auto"
            )
        return None
    word, mark, number = analyses.partition(":")
    if word == "auto" and (not mark or (number.isdecimal() and int(number) > 0)):
        return BallotRouter(int(number)) if mark else WidthRouter(fitted)
    expected = "a whole number of at least 1, auto, or auto:K"
    raise ConfigError(f"cannot be `{analyses}`", field="analyses", expected=expected)


def merge_of(given: MergeRule | MergeFunction | str | None, pool: Pool) -> MergeRule | None:
    """The merge from an object, a function or a name; those that ask a model ask the pool's merge agent."""
    if isinstance(given, str) and given in ASKING:
        return ASKING[given](_model_named("llm", pool, pool.merger, "merge"))
    merge = found_merge(given) if isinstance(given, str) else given and as_merge(given)
    if isinstance(merge, AskingMerge):
        _check_model(merge.model, pool, "merge")
    return merge


def _model_named(given: str, pool: Pool, own: str | None, field: str) -> str:
    if given != "llm":
        return given
    if own is None:
        raise ConfigError(
            f"the pool `{pool.name}` names no model for it", field=field, expected="`[pool] router` and `merger`"
        )
    return own


def _check_model(name: str, pool: Pool, field: str, *, also: str | None = None) -> None:
    """Refuse the name of a model that is not there; `also` is the group of plug-ins that might have been meant."""
    if name in pool.models:
        return
    known, offered = sorted(pool.models), plugin_names(also) if also else []
    expected = "a model of the pool: " + (", ".join(known) or "it has none")
    expected += f", or one that a package offers: {', '.join(offered)}" if offered else ""
    hint = nearest(name, [*known, *offered])
    raise ConfigError(f"there is no model `{name}`", field=field, expected=expected, suggestion=hint)


def spenders(pool: Pool, router: Router, merge: MergeRule | None, providers: Mapping[str, Provider]) -> list[Model]:
    """Models that a run may pay for; a router of the caller's own may ask any model of the pool."""
    named = {agent.model for agent in pool.agents.values()}
    named |= {part.model for part in (router, merge) if isinstance(part, (LLMRouter, AskingMerge))}
    if isinstance(router, PlanRouter):
        named.add(router.demoter)
    if type(router) not in _ASKING_NOBODY:
        named |= set(pool.models)
    found = [pool.models[name] for name in sorted(name for name in named if name)]
    return [model for model in found if _spends(model, providers.get(model.provider))]


def _spends(model: Model, provider: Provider | None) -> bool:
    """Whether asking a model can cost money: a vendor's, or one with a price behind a door of the caller's own."""
    if model.free or isinstance(provider, (RecordedProvider, ScriptProvider)):
        return False
    vendors = (OpenAIProvider, AnthropicProvider, RecordingProvider, ReplayProvider)
    return isinstance(provider, vendors) or (provider is not None and model.price is not None)


def budget_of(given: Budget | None, payable: list[Model]) -> Budget:
    """The budget: the caller's; else ten cents where money can be spent, and it is said aloud."""
    if given is not None and given.usd is not None:
        return given
    if not payable:
        return given or Budget()
    _log.warning("no budget was given: this run spends at most $%s", SAFE_BUDGET)
    given = given or Budget()
    return Budget(usd=SAFE_BUDGET, tokens=given.tokens, turns=given.turns, seconds=given.seconds)


def check_prices(providers: Mapping[str, Provider], budget: Budget) -> None:
    """Refuse a money budget over recorded outcomes that hold no costs (SEMANTICS §10)."""
    unpriced = any(isinstance(each, RecordedProvider) and not each.priced for each in providers.values())
    if budget.usd is not None and unpriced:
        raise ConfigError(
            "cannot be kept: the recorded outcomes hold no costs",
            field="budget.usd",
            expected="no money budget, or a file that records every cost",
        )


def check_responses(providers: Mapping[str, Provider]) -> None:
    """Refuse to run over recorded outcomes without responses: nothing could be merged (SEMANTICS §10)."""
    if any(isinstance(each, RecordedProvider) and not each.answers for each in providers.values()):
        raise ConfigError(
            "the recorded outcomes hold no responses: they say who would have been right, not what was said",
            field="recorded",
            expected="a file with responses; one without serves `explain` and evals by score",
        )


def context_of(settings: Settings, state: RunState, journal: Journal, tally: Tally, wishes: Wishes) -> RunContext:
    """Everything heavy of one run."""
    clock, within, share = settings.clocks.monotonic, enclosing_attempt(), wishes.share
    around = share.ledger if share else within.context.ledger if within else None
    ledger, facilities = Ledger(settings.budget, name=_level(within, share), within=around), settings.facilities
    if within is not None:
        facilities = replace(facilities, health=NestedHealth(facilities.health, within.context.facilities.health))
    weigher, started = Weigher(facilities, state.question, ledger), clock()
    deadline = started + min(_seconds(settings.budget.seconds), _seconds(within and within.context.seconds_left()))
    deadline = min(deadline, share.until) if share else deadline
    gate = Gate(facilities.health, ledger, journal, clock, settings.sleep, Random(settings.seed), deadline)
    turns = settings.budget.turns
    if turns is None and not isinstance(settings.router, PlanRouter):
        turns = TURNS_OF_A_ROUTER
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
        turns=turns,
        set_aside=_set_aside(settings, state, ledger),
        on_text=wishes.on_text,
        within=within,
        confidence=settings.confidence,
        abstain_below=settings.abstain_below,
    )


def _level(within: Enclosing | None, share: Share | None) -> str:
    """What a ledger is called in errors, where it is one of several levels."""
    if within is not None:
        return f"{within.agent} (level {within.context.depth + 1})"
    return "one run" if share else ""


def _seconds(limit: float | None) -> float:
    return float("inf") if limit is None else limit


def first_request(settings: Settings, state: RunState, planner: Planner) -> Request | None:
    """What an LLM router's model would be asked first; None for other routers."""
    router, pool = settings.router, settings.facilities.pool
    if not isinstance(router, LLMRouter):
        return None

    async def nobody(name: str, request: Request) -> Completion:
        raise AttemptError(f"{name} is not asked for {len(request.messages)} messages", kind="invalid_request")

    turns = settings.budget.turns or TURNS_OF_A_ROUTER
    return router.request(View(state, tuple(pool.agents.values()), planner, pool.models, nobody, turns=turns))


def first_thought(settings: Settings, state: RunState, planner: Planner) -> str | None:
    """What a router that goes step by step would do first, and why; None for other routers."""
    router, pool = settings.router, settings.facilities.pool
    if not isinstance(router, (BallotRouter, CascadeRouter, WidthRouter)):
        return None

    async def nobody(name: str, request: Request) -> Completion:
        raise AttemptError(f"{name} is not asked for {len(request.messages)} messages", kind="invalid_request")

    view = View(state, tuple(pool.agents.values()), planner, pool.models, nobody, label_of=canonical)
    return router.step(view, state.goal).thought or None


def _set_aside(settings: Settings, state: RunState, ledger: Ledger) -> Reservation | None:
    """What is kept for the merge agent's call; nothing where the merge calls no model, or where it cannot be paid."""
    merge = settings.merge
    if not isinstance(merge, AskingMerge):
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
            return ledger.reserve(*wanted)
    return None  # its price is unknown, and there is a money budget


def _prompts(settings: Settings, kinds: Kinds) -> tuple[Prompt, ...]:
    speaking = (settings.router, settings.merge)
    found = tuple(p for part in speaking if isinstance(part, (LLMRouter, PanelMerge)) for p in part.prompts())
    return (*found, load_prompt("typed")) if kinds.types or kinds.asked else found


def started(settings: Settings, state: RunState, context: RunContext) -> RunStarted:
    """The first event of a run."""
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
    )


def confidence_of(given: Calibration | Path | str | None, abstain_below: float | None) -> Calibration | None:
    """The calibration, or the one in a file; raises `ConfigError` where there is none to abstain by."""
    if abstain_below is None or given is not None:
        if abstain_below is not None and not 0 <= abstain_below <= 1:
            raise ConfigError(f"cannot be {abstain_below:g}", field="abstain_below", expected="a number from 0 to 1")
        return read_calibration(given) if isinstance(given, (str, Path)) else given
    raise ConfigError(
        "there is no confidence to go by",
        field="abstain_below",
        expected="a calibration beside it: `confidence`, a file that `orchestrator eval calibrate` wrote",
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
