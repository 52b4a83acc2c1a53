"""Experts from nothing but the names of models, for `--model PROVIDER:ID` without any file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from orchestrator.content import load_prompt
from orchestrator.errors import ConfigError
from orchestrator.pool.descriptors import Agent, Model
from orchestrator.pool.files import known_models
from orchestrator.pool.prices import priced

__all__ = ["agent_name", "agents_for", "model_for"]

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def agents_for(models: Sequence[str], known: Mapping[str, Model] | None = None) -> list[Model | Agent]:
    """For each name a model, with its list price where there is one, and an expert called after the model's id.

    A model that is `known` keeps its descriptor; by default those are known that a table describes. Raises
    `ConfigError` on a name that is no `provider:id` and on a model that is named twice.
    """
    tables = known_models() if known is None else known
    found: list[Model] = []
    for name in models:
        model = model_for(name, tables)
        if any((model.provider, model.id, model.base_url) == (m.provider, m.id, m.base_url) for m in found):
            raise ConfigError(f"`{name}` is named twice", field="model", expected="each model once")
        found.append(model)
    ids = [agent_name(model) for model in found]
    experts = [
        _expert(model, own if ids.count(own) == 1 else agent_name(model, full=True))
        for model, own in zip(found, ids, strict=True)
    ]
    return [*found, *experts]


def model_for(name: str, known: Mapping[str, Model]) -> Model:
    """The known model of a name, or one made of `provider:id`, priced; raises `ConfigError`."""
    if name in known:
        return priced(known[name])
    made = Model(name=name)
    usual = f"{made.provider}:{made.id}"
    return priced(known.get(usual) or Model(name=usual))


def agent_name(model: Model, *, full: bool = False) -> str:
    """A name for an expert over a model: the model's id, or with its provider before it."""
    return _NOT_IN_NAMES.sub("-", f"{model.provider}-{model.id}" if full else model.id).strip("-") or model.provider


def _expert(model: Model, name: str) -> Agent:
    role = f"general questions, by the model {model.id}"
    return Agent(name=name, role=role, model=model.name, prompt=load_prompt("expert").fill(name=name, role=role))
