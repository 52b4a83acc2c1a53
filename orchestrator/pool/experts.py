"""Turns typed Python functions into agents."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from contextlib import suppress
from types import NoneType, SimpleNamespace, UnionType
from typing import TypeVar, Union, get_args, get_origin, get_type_hints, overload

from pydantic import BaseModel

from orchestrator.errors import ConfigError
from orchestrator.pool.descriptors import Agent, Claiming, ToolFunction

__all__ = [
    "artifact_parameters",
    "as_agent",
    "dependencies",
    "expert",
    "injected_parameters",
    "is_expert",
    "optional_parameters",
    "returned_model",
    "typed_parameters",
    "without_dependencies",
]

Function = TypeVar("Function", bound=ToolFunction)
_MARK = "__agent__"


@overload
def expert(function: Function, /) -> Function: ...


@overload
def expert(
    *,
    name: str | None = None,
    produces: str = "answer",
    skill: float = 0.5,
    skills: dict[str, float] | None = None,
    claim: Claiming | None = None,
    retries: int | None = None,
    timeout: float = 60.0,
    needs: int | None = None,
    effects: bool = False,
    idempotent: bool = False,
    approve: bool = False,
) -> Callable[[Function], Function]: ...


def expert(function: ToolFunction | None = None, /, **fields: object) -> object:
    """Make a typed function an expert; it consumes the artifacts that its parameters are named after.

    A parameter with a default is filled when its artifact is there, and never planned for; one annotated with a
    class that the run provides, such as `Resources` or `IdempotencyKey`, is injected instead, and so is one that
    nobody produces and whose class the caller provides: `Orchestrator(…, provide=[database])`. With `needs` so many of
    its artifacts are enough, and None stands for each that is not there. A pydantic model that it is said to return, or
    that a parameter is annotated with, is the type of that artifact. The function itself is returned unchanged
    and can still be called. Raises `ConfigError` on wrong fields.
    """

    def mark(target: ToolFunction) -> ToolFunction:
        setattr(target, _MARK, _describe(target, {key: value for key, value in fields.items() if value is not None}))
        return target

    return mark if function is None else mark(function)


def as_agent(function: ToolFunction) -> Agent:
    """The agent of a function, decorated or not."""
    found: object = getattr(function, _MARK, None)
    return found if isinstance(found, Agent) else _describe(function, {})


def is_expert(value: object) -> bool:
    """Whether something was decorated with `@expert`."""
    return callable(value) and isinstance(getattr(value, _MARK, None), Agent)


def artifact_parameters(function: ToolFunction) -> tuple[str, ...]:
    """Names of the parameters that artifacts are passed to: those not annotated with an injected class."""
    hints = _hints(function)
    return tuple(
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        and not injected(hints.get(parameter.name))
    )


def optional_parameters(function: ToolFunction) -> tuple[str, ...]:
    """Names of the artifact parameters with a default: passed when they are there, never planned for."""
    parameters = inspect.signature(function).parameters
    return tuple(
        name for name in artifact_parameters(function) if parameters[name].default is not inspect.Parameter.empty
    )


def injected_parameters(function: ToolFunction) -> dict[str, type]:
    """Parameters that the run fills, with the class that each asks for."""
    hints = _hints(function)
    found = {name: hints.get(name) for name in inspect.signature(function).parameters}
    return {name: hint for name, hint in found.items() if isinstance(hint, type) and injected(hint)}


def dependencies(function: ToolFunction) -> dict[str, type]:
    """Parameters that the caller may provide for, by the class of somebody's own that they are annotated with."""
    hints = _hints(function)
    found = {name: hints.get(name) for name in artifact_parameters(function)}
    return {name: hint for name, hint in found.items() if isinstance(hint, type) and hint.__module__ != "builtins"}


def returned_model(function: ToolFunction) -> type[BaseModel] | None:
    """The pydantic model that a function says it returns, if it does."""
    return _model_in(_hints(function).get("return"))


def typed_parameters(function: ToolFunction) -> dict[str, type[BaseModel]]:
    """Artifact parameters that are annotated with a pydantic model, or with one or None."""
    hints = _hints(function)
    found = {name: _model_in(hints.get(name)) for name in artifact_parameters(function)}
    return {name: kind for name, kind in found.items() if kind is not None}


def _model_in(hint: object) -> type[BaseModel] | None:
    """The one pydantic model of an annotation, alone or beside None."""
    sides = (
        [each for each in get_args(hint) if each is not NoneType] if get_origin(hint) in (Union, UnionType) else [hint]
    )
    alone = sides[0] if len(sides) == 1 else None
    return alone if isinstance(alone, type) and issubclass(alone, BaseModel) else None


def without_dependencies(agent: Agent, produced: Collection[str]) -> Agent:
    """The agent of a function without the parameters that are no artifacts: nobody produces them, a class says what.

    Whether such a class is provided shows when the tools are bound. Raises `ConfigError` where nothing is left.
    """
    if not callable(agent.tool):
        return agent
    wanted = {name for name in dependencies(agent.tool) if name not in produced}
    if not wanted & {*agent.consumes, *agent.optional}:
        return agent
    kept = {name: tuple(a for a in getattr(agent, name) if a not in wanted) for name in ("consumes", "optional")}
    if not kept["consumes"]:
        raise _consumes_nothing(agent.name)
    stated = {key: getattr(agent, key) for key in agent.model_fields_set}
    return Agent.model_validate({**stated, **kept})


def injected(hint: object) -> bool:
    """Whether a parameter of this annotation is provided by the run, not by an artifact."""
    return isinstance(hint, type) and bool(getattr(hint, "__injected__", False))


def _hints(function: ToolFunction) -> dict[str, object]:
    """Types of the parameters; one that cannot be resolved, such as a name imported for checkers only, is left out."""
    found: dict[str, object] = {}
    annotated = _annotated(function)
    scope = getattr(annotated, "__globals__", None)
    for name, annotation in inspect.get_annotations(annotated).items():
        with suppress(NameError, TypeError, SyntaxError, AttributeError):
            found |= get_type_hints(SimpleNamespace(__annotations__={name: annotation}), scope)
    return found


def _annotated(function: ToolFunction) -> Callable[..., object]:
    """The function that carries the annotations: of a callable object its `__call__`."""
    plain = inspect.unwrap(function)
    return plain if inspect.isroutine(plain) else type(plain).__call__


def _describe(function: ToolFunction, fields: dict[str, object]) -> Agent:
    name = str(fields.pop("name", None) or getattr(function, "__name__", ""))
    if name in {"", "<lambda>"}:
        raise ConfigError(f"{function!r} has no name", field="pool", expected="`Agent(name=…, tool=…)`, or a function")
    optional = optional_parameters(function)
    consumes = tuple(artifact for artifact in artifact_parameters(function) if artifact not in optional)
    if not consumes:
        raise _consumes_nothing(name)
    role = (inspect.getdoc(function) or "").partition("\n")[0]
    described: dict[str, object] = {"name": name, "role": role, "tool": function}
    described |= {"consumes": consumes, "optional": optional}
    return Agent.model_validate({**described, **fields})


def _consumes_nothing(name: str) -> ConfigError:
    return ConfigError(
        "consumes nothing", field=name, expected="a parameter named after an artifact, such as `question`"
    )
