"""Makes an orchestrator's parts of what its caller gave: doors, router, monitors, merge, budget, and their checks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import cast

from orchestrator.budget import Budget
from orchestrator.confidence import Calibration, misfit, read_calibration, way_named
from orchestrator.errors import ConfigError, nearest
from orchestrator.merge import ASKING, AskingMerge, MergeFunction, MergeRule, as_merge, found_merge
from orchestrator.monitors import Monitor, MonitorFunction, as_monitor, built_in
from orchestrator.pipeline.many import checked_budget
from orchestrator.pool import Model, Pool
from orchestrator.pool.descriptors import LOCAL_SERVERS
from orchestrator.pool.plugins import find_plugin, plugin_names
from orchestrator.providers import Provider, RecordedProvider, RecordingProvider, ReplayProvider, ScriptProvider
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
    SteppedRouter,
    WidthRouter,
    as_router,
    cascade_named,
    innermost,
)
from orchestrator.runtime import Aimed

__all__ = [
    "SAFE_BUDGET",
    "Analyses",
    "budget_of",
    "check_aims",
    "check_prices",
    "check_responses",
    "confidence_of",
    "doors",
    "merge_of",
    "misfit_of",
    "monitors_of",
    "router_of",
    "spenders",
    "warn_of",
]

SAFE_BUDGET = Decimal("0.10")
"""USD of a run that can spend and was given no budget (SEMANTICS §6)."""

Analyses = int | str
"""How many analyses are asked for: a number, `auto`, or `auto:K` for a vote of K that may end early."""
_ASKING_NOBODY = (BallotRouter, CascadeRouter, LLMRouter, PlanRouter, WidthRouter)
"""Routers that ask no model but the one they name."""

_log = logging.getLogger("orchestrator")


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

    `NAME+cascade` is the router NAME with its steps served by a cascade.
    Where `analyses` is no number it is the router that works out how many there are to be.
    """
    if (wide := _wide(analyses, fitted)) is not None:
        if given not in (None, "plan"):
            problem = f"`{analyses}` goes with the router `plan`, which others decide for themselves"
            raise ConfigError(problem, field="analyses", expected="no other router, or a number")
        return wide
    if given is None or given == "plan":
        return PlanRouter()
    if isinstance(given, str) and given not in pool.models:
        inner, plus, last = given.rpartition("+")
        if last.partition(":")[0] == "cascade":
            steps = cascade_named(last, fitted)
            return SteppedRouter(router_of(inner, pool), steps) if plus else steps
    if isinstance(given, str) and given != "llm" and given not in pool.models:
        plugin = find_plugin("routers", given)
        given = cast("Router", plugin.made()) if plugin else given
    router = LLMRouter(_model_named(given, pool, pool.router, "router")) if isinstance(given, str) else as_router(given)
    speaker = innermost(router)
    asked = speaker.model if isinstance(speaker, LLMRouter) else getattr(speaker, "demoter", None)
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
    router, named = innermost(router), {agent.model for agent in pool.agents.values()}
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
    given = checked_budget(given)
    if given is not None and given.usd is not None:
        return given
    if not payable:
        return given or Budget()
    _log.warning("no budget was given: this run spends at most $%s", SAFE_BUDGET)
    given = given or Budget()
    return Budget(usd=SAFE_BUDGET, tokens=given.tokens, turns=given.turns, seconds=given.seconds)


def check_aims(pool: Pool, **given: object) -> None:
    """Refuse faults for agents that are not there: they would fail nobody."""
    for field, faults in given.items():
        for name in faults.aimed_at if isinstance(faults, Aimed) else ():
            if name not in pool.agents:
                expected, hint = "agents among " + ", ".join(sorted(pool.agents)), nearest(name, pool.agents)
                raise ConfigError(f"there is no agent `{name}`", field=field, expected=expected, suggestion=hint)


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


def confidence_of(
    given: Calibration | Path | str | None, abstain_below: float | None, pool: Pool
) -> Calibration | None:
    """The calibration, or the one in a file; raises `ConfigError` where there is none to abstain by, or none of use."""
    if abstain_below is not None and given is None:
        raise ConfigError(
            "there is no confidence to go by",
            field="abstain_below",
            expected="a calibration beside it: `confidence`, a file that `orchestrator eval calibrate` wrote",
        )
    if abstain_below is not None and not 0 <= abstain_below <= 1:
        raise ConfigError(f"cannot be {abstain_below:g}", field="abstain_below", expected="a number from 0 to 1")
    found = read_calibration(given) if isinstance(given, (str, Path)) else given
    if found is not None and found.knows_nobody(pool.agents):
        expected = f"one that was fitted for experts of the pool `{pool.name}`"
        raise ConfigError(
            f"none of the experts is known to it: it is of {found.data}", field="confidence", expected=expected
        )
    return found


def misfit_of(fitted: Calibration | None, router: Router, merge: MergeRule | None, analyses: int) -> str | None:
    """What is to be said where a calibration was fitted for decisions made another way than by these; else None."""
    if fitted is None:
        return None
    merging = None if merge is None else merge.name
    name, width = router.name, cast("Analyses", analyses)
    match router:
        case CascadeRouter(threshold=float(line)):
            name = f"cascade:{line:g}"
        case SteppedRouter(inner=inner, steps=CascadeRouter(threshold=float(line))):
            name = f"{inner.name}+cascade:{line:g}"
        case WidthRouter():
            name, width = "plan", "auto"
        case BallotRouter(voters=voters):
            name, width = "plan", f"auto:{voters}"
        case _:
            pass
    return misfit(fitted.system, way_named(name, merging, width))


def warn_of(misfit: str | None) -> None:
    """Say that a calibration was fitted for other decisions, where it was."""
    if misfit is not None:
        _log.warning("%s", misfit)
