"""Finds the function behind an agent's `tool`, and checks that it takes what the agent consumes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import cast

from pydantic import BaseModel

from orchestrator.errors import ConfigError, nearest
from orchestrator.pool import Agent, Pool
from orchestrator.pool.experts import artifact_parameters, dependencies, injected_parameters, optional_parameters
from orchestrator.pool.modules import module_of_file
from orchestrator.pool.plugins import BROKEN
from orchestrator.tools.base import IdempotencyKey, Resources, Tool

__all__ = ["BUILT_IN", "Provided", "bind", "class_of"]

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
Provided = Mapping[type, object] | Iterable[object]
"""What the caller hands to experts that ask for it: objects by the class they stand for, or each for its own."""
NOTHING: Provided = ()


def bind(pool: Pool, provide: Provided = NOTHING) -> dict[str, Tool]:
    """The tools of a pool by agent; raises `ConfigError` where one is missing or takes other artifacts.

    Parameters that are no artifacts and ask for a class are given what is provided for it.
    """
    given = provided(provide)
    return {agent.name: _tool(agent, given, pool) for agent in pool.agents.values() if agent.tool is not None}


def provided(provide: Provided) -> dict[type, object]:
    """What the caller provides by class: of a list each by its own; raises `ConfigError` where two have one class."""
    if isinstance(provide, Mapping):
        by_class = cast("Mapping[type, object]", provide)
        for kind, each in by_class.items():
            if not _is_a(each, kind):
                raise ConfigError(
                    f"{type(each).__name__} is no {kind.__name__}", field="provide", expected="its instance"
                )
        return dict(by_class)
    found: dict[type, object] = {}
    for each in provide:
        if type(each) in found:
            raise ConfigError(f"two are a {type(each).__name__}", field="provide", expected="one of each class")
        found[type(each)] = each
    return found


def _tool(agent: Agent, given: Mapping[type, object], pool: Pool) -> Tool:
    function, claim = _found(agent)
    fixed = _provided_to(agent, function, given, pool)
    taken = tuple(name for name in artifact_parameters(function) if name not in fixed)
    parameters = inspect.signature(function).parameters
    own = tuple(name for name in optional_parameters(function) if name not in (*agent.consumes, *fixed))
    spare = (*agent.optional, *(name for name in own if name not in agent.optional))
    for name in taken:
        if parameters[name].kind is inspect.Parameter.POSITIONAL_ONLY:
            raise _unfit(agent, f"the tool's parameter `{name}` cannot be given by name", "no `/` after it")
        if name not in agent.consumes and name not in spare:
            raise _no_artifact(agent, name, dependencies(function).get(name))
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    for name in (*agent.consumes, *agent.optional):
        if name not in taken and not open_ended:
            expected = "artifacts among its parameters: " + ", ".join(taken)
            raise _unfit(agent, f"the tool takes no `{name}`", expected, nearest(name, taken))
    bare = {name for name in taken if parameters[name].default is inspect.Parameter.empty}
    injects = MappingProxyType(_injected(agent, function))
    return Tool(function, claim, injects, spare, frozenset(bare), MappingProxyType(fixed))


def _provided_to(
    agent: Agent, function: Callable[..., object], given: Mapping[type, object], pool: Pool
) -> dict[str, object]:
    """What is provided for the parameters that are no artifacts, by the class they are annotated with."""
    asked = {name: kind for name, kind in dependencies(function).items() if name not in pool.artifacts}
    found = {name: _provider(agent, name, kind, given) for name, kind in asked.items()}
    return {name: each[0] for name, each in found.items() if each}


def _provider(agent: Agent, name: str, kind: type, given: Mapping[type, object]) -> list[object]:
    """What is provided for a class: for itself, else for the one subclass of it; nothing where nothing is."""
    if kind in given:
        return [given[kind]]
    found = [each for other, each in given.items() if other not in (object, kind) and kind in other.__mro__]
    if len(found) > 1:
        problem = f"several are provided for the tool's parameter `{name}`, a {kind.__name__}"
        raise _unfit(agent, problem, f"`provide={{{kind.__name__}: …}}`")
    return found


def _is_a(each: object, kind: type) -> bool:
    """Whether an object is of a class; a protocol that cannot be asked is taken at its word."""
    try:
        return isinstance(each, kind)
    except TypeError:
        return True


def _no_artifact(agent: Agent, name: str, kind: type | None) -> ConfigError:
    if kind is not None:
        problem = f"the tool's parameter `{name}` asks for a {kind.__name__}, which nobody produces or provides"
        return _unfit(
            agent, problem, f"`provide=[…]` with a {kind.__name__}, or an artifact", nearest(name, agent.consumes)
        )
    problem = f"the tool's parameter `{name}` is no artifact that the agent consumes"
    return _unfit(agent, problem, "parameters among " + ", ".join(agent.consumes), nearest(name, agent.consumes))


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
    function = _located(agent, name, "tool")
    if not callable(function):
        raise _missing(agent, f"`{name}` is no function", "the name of a function")
    described: object = getattr(function, "__agent__", None)
    return function, described.claim if isinstance(described, Agent) else None


def class_of(agent: Agent) -> type[BaseModel] | None:
    """The type that an agent states for what it produces; raises `ConfigError` where it is no pydantic model."""
    if agent.output is None or not isinstance(agent.output, str):
        return agent.output
    found = _located(agent, agent.output, "output") if ":" in agent.output else None
    if isinstance(found, type) and issubclass(found, BaseModel):
        return found
    expected = "`package.module:Model` or `file.py:Model`, a pydantic model"
    raise _missing(agent, f"`{agent.output}` is none", expected, field="output")


def _located(agent: Agent, name: str, field: str) -> object:
    """What stands at `package.module:attribute` or `file.py:attribute`; raises `ConfigError` where nothing does."""
    where, _, attribute = name.rpartition(":")
    module = _module_of_file(agent, where, field) if where.endswith(".py") else _module(agent, where, field)
    found: object = getattr(module, attribute, None)
    if callable(found):
        return found
    names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    what = "function" if field == "tool" else "class"
    problem, hint = f"`{where}` has no {what} `{attribute}`", nearest(attribute, names)
    raise _missing(agent, problem, f"the name of a {what} in it", hint, field=field)


def _module(agent: Agent, name: str, field: str) -> ModuleType:
    try:
        return import_module(name)
    except BROKEN as error:
        expected = "`package.module:function` of an installed package, or `file.py:function`"
        raise _missing(agent, f"the module `{name}` cannot be imported: {error}", expected, field=field) from error


def _module_of_file(agent: Agent, name: str, field: str) -> ModuleType:
    folder = Path(agent.source).parent if agent.source else Path()
    try:
        return module_of_file(folder / name)
    except ConfigError as error:
        problem = (
            f"there is no file `{folder / name}`"
            if not (folder / name).is_file()
            else f"`{error.file}` {error.problem}"
        )
        raise _missing(agent, problem, error.expected or "a Python file", field=field) from error


def _missing(
    agent: Agent, problem: str, expected: str, suggestion: str | None = None, *, field: str = "tool"
) -> ConfigError:
    place = f"agents.{agent.name}.{field}"
    return ConfigError(problem, file=agent.source, field=place, expected=expected, suggestion=suggestion)
