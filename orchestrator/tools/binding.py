"""Finds the function behind an agent's `tool`, and checks that it takes what the agent consumes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType

from orchestrator.errors import ConfigError, nearest
from orchestrator.pool import Agent, Pool
from orchestrator.pool.experts import artifact_parameters, injected_parameters, optional_parameters
from orchestrator.pool.modules import BROKEN, module_of_file
from orchestrator.tools.base import IdempotencyKey, Resources, Tool

__all__ = ["BUILT_IN", "bind"]

BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "algebra": "orchestrator.tools.algebra",
        "arithmetic": "orchestrator.tools.arithmetic",
        "calendar": "orchestrator.tools.dates",
        "scan": "orchestrator.tools.scan",
        "search": "orchestrator.tools.search",
        "totals": "orchestrator.tools.totals",
        "unit_table": "orchestrator.tools.unit_table",
        "units": "orchestrator.tools.units",
    }
)
"""Modules of the built-in tools; each has `claim` and `answer`."""


def bind(pool: Pool) -> dict[str, Tool]:
    """The tools of a pool by agent; raises `ConfigError` where one is missing or takes other artifacts."""
    return {agent.name: _tool(agent) for agent in pool.agents.values() if agent.tool is not None}


def _tool(agent: Agent) -> Tool:
    function, claim = _found(agent)
    taken, parameters = artifact_parameters(function), inspect.signature(function).parameters
    own = tuple(name for name in optional_parameters(function) if name not in agent.consumes)
    spare = (*agent.optional, *(name for name in own if name not in agent.optional))
    for name in taken:
        if parameters[name].kind is inspect.Parameter.POSITIONAL_ONLY:
            raise _unfit(agent, f"the tool's parameter `{name}` cannot be given by name", "no `/` after it")
        if name not in agent.consumes and name not in spare:
            problem = f"the tool's parameter `{name}` is no artifact that the agent consumes"
            expected = "parameters among " + ", ".join(agent.consumes)
            raise _unfit(agent, problem, expected, nearest(name, agent.consumes))
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    for name in (*agent.consumes, *agent.optional):
        if name not in taken and not open_ended:
            expected = "artifacts among its parameters: " + ", ".join(taken)
            raise _unfit(agent, f"the tool takes no `{name}`", expected, nearest(name, taken))
    bare = {name for name in taken if parameters[name].default is inspect.Parameter.empty}
    return Tool(function, claim, MappingProxyType(_injected(agent, function)), spare, frozenset(bare))


def _injected(agent: Agent, function: Callable[..., object]) -> dict[str, type]:
    """The parameters that the run fills; raises `ConfigError` for a class that no run provides."""
    found = injected_parameters(function)
    for name, kind in found.items():
        if kind not in (Resources, IdempotencyKey):
            problem = f"the tool's parameter `{name}` asks for a {kind.__name__}, which no run provides"
            raise _unfit(agent, problem, "`Resources` or `IdempotencyKey`")
    return found


def _unfit(agent: Agent, problem: str, expected: str, suggestion: str | None = None) -> ConfigError:
    field = f"agents.{agent.name}.consumes"
    return ConfigError(problem, file=agent.source, field=field, expected=expected, suggestion=suggestion)


def _found(agent: Agent) -> tuple[Callable[..., object], Callable[..., object] | None]:
    tool = agent.tool
    if callable(tool):
        return tool, agent.claim
    name = str(tool)
    if name in BUILT_IN:
        module = import_module(BUILT_IN[name])
        return module.answer, module.claim
    if ":" not in name:
        expected = f"one of {', '.join(sorted(BUILT_IN))}, `package.module:function` or `file.py:function`"
        raise _missing(agent, f"there is no tool `{name}`", expected, nearest(name, BUILT_IN))
    where, _, attribute = name.rpartition(":")
    module = _module_of_file(agent, where) if where.endswith(".py") else _module(agent, where)
    function: object = getattr(module, attribute, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        expected = "the name of a function in it"
        raise _missing(agent, f"`{where}` has no function `{attribute}`", expected, nearest(attribute, names))
    described: object = getattr(function, "__agent__", None)
    return function, described.claim if isinstance(described, Agent) else None


def _module(agent: Agent, name: str) -> ModuleType:
    try:
        return import_module(name)
    except BROKEN as error:
        expected = "`package.module:function` of an installed package, or `file.py:function`"
        raise _missing(agent, f"the module `{name}` cannot be imported: {error}", expected) from error


def _module_of_file(agent: Agent, name: str) -> ModuleType:
    folder = Path(agent.source).parent if agent.source else Path()
    try:
        return module_of_file(folder / name)
    except ConfigError as error:
        problem = (
            f"there is no file `{folder / name}`"
            if not (folder / name).is_file()
            else f"`{error.file}` {error.problem}"
        )
        raise _missing(agent, problem, error.expected or "a Python file") from error


def _missing(agent: Agent, problem: str, expected: str, suggestion: str | None = None) -> ConfigError:
    return ConfigError(
        problem, file=agent.source, field=f"agents.{agent.name}.tool", expected=expected, suggestion=suggestion
    )
