"""What keeps models from being asked: keys, prices, servers; and what to type about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.messages import Decision
    from orchestrator.pool import Agent, Model, Pool

__all__ = ["check_keys", "key_name", "named_model", "next_steps", "priced_name"]

VENDOR_KEYS: Mapping[str, str] = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


def key_name(model: Model) -> str | None:
    """The variable that holds a model's key; None where it needs none."""
    return model.key_env or (None if model.base_url else VENDOR_KEYS.get(model.provider))


def named_model(name: str, known: Mapping[str, Model], *, field: str) -> Model:
    """The model of a name from the command line; raises `ConfigError` with the nearest full name."""
    from orchestrator.errors import ConfigError
    from orchestrator.pool.ad_hoc import model_for

    try:
        return model_for(name, known)
    except ConfigError as error:
        hint = _full_name(name, known) or error.suggestion
        expected = f"{error.expected} (orchestrator models list)"
        raise ConfigError(error.problem, field=field, expected=expected, suggestion=hint) from error


def priced_name(name: str) -> str | None:
    """The name most like this one among the vendors' models that have a price."""
    from orchestrator.errors import nearest
    from orchestrator.pool.prices import VENDORS, listings

    vendor, _, model_id = name.partition(":")
    ids = [one.name.removeprefix(f"{vendor}:") for one in listings() if one.name.startswith(f"{vendor}:")]
    near = nearest(model_id, ids) if vendor in VENDORS else None
    return near and f"{vendor}:{near}"


def check_keys(pool: Pool, reachable: Callable[[Model], bool]) -> None:
    """Raise `ConfigError` where no expert of the pool can be asked, since every one lacks its key."""
    from orchestrator.errors import ConfigError

    experts = list(pool.agents.values())
    lacking = [agent for agent in experts if agent.model and not reachable(pool.models[agent.model])]
    if not lacking or len(lacking) < len(experts):
        return
    served = _by_key(lacking, pool)
    keys = " or ".join(f"{key} (for {', '.join(names)})" for key, names in served.items())
    first, [agent, *_] = next(iter(served.items()))
    expected = f"{keys}: {_set_key(first, pool.agents[agent].model or '')}"
    raise ConfigError("no key is set for any of its experts", field=f"--pool {pool.name}", expected=expected)


def next_steps(decision: Decision, pool: Pool) -> list[str]:
    """What to type after a run that could not decide, where a key, a price or a server was missing."""
    if decision.status != "escalated":
        return []
    failed = [(each.kind, pool.agents[each.agent].model) for each in decision.failed if each.agent in pool.agents]
    asked = [(kind, pool.models[name]) for kind, name in failed if name]
    steps = [_set_key(key, model.name) for kind, model in asked if kind == "auth" and (key := _unset_key(model))]
    steps += [_start(model) for kind, model in asked if kind == "connection" and model.base_url]
    if any("price is unknown" in reason for reason in decision.reasons):
        names = [pool.router, *(agent.model for agent in pool.agents.values())]
        models = [pool.models[name] for name in names if name]
        steps += [_state_price(model.name) for model in models if model.price is None and not model.free]
    if any(reason.startswith("no language model") for reason in decision.reasons):
        keys = " or ".join(f"export {key}=…" for key in VENDOR_KEYS.values())
        steps.append(f"{keys}, or name a model on this machine: --model ollama:NAME; orchestrator doctor says more")
    return list({step.partition(",")[0]: step for step in reversed(steps)}.values())[::-1]


def _by_key(agents: Iterable[Agent], pool: Pool) -> dict[str, list[str]]:
    """The names of agents by the variable that their key is missing from."""
    found: dict[str, list[str]] = {}
    for agent in sorted(agents, key=lambda agent: agent.name):
        found.setdefault(key_name(pool.models[agent.model or ""]) or "", []).append(agent.name)
    return found


def _unset_key(model: Model) -> str | None:
    name = key_name(model)
    return name if name and not os.environ.get(name, "").strip() else None


def _set_key(key: str, model: str) -> str:
    return f"export {key}=…, then orchestrator models check {model}"


def _start(model: Model) -> str:
    table = f'[models."{model.name}"]'
    return f"start the server at {model.base_url}, or state its `base_url` in a table {table} (--agents DIR)"


def _state_price(name: str) -> str:
    hint = priced_name(name)
    text = f"state the price of {name} in a table, which orchestrator agents add {name} writes"
    return text + (f", or did you mean {hint}?" if hint else "; orchestrator models prices lists what is known")


def _full_name(name: str, known: Mapping[str, Model]) -> str | None:
    """`provider:id` of a model that was named by its id alone."""
    from orchestrator.errors import nearest
    from orchestrator.pool.prices import listings

    full = {each.partition(":")[2]: each for each in (*(one.name for one in listings()), *known)}
    near = nearest(name, full) if ":" not in name else None
    return full[near] if near is not None else None
