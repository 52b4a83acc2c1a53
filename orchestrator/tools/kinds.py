"""Typed artifacts: pydantic models as kinds, gathered from a pool, and the check of a value at the edge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError

from orchestrator.errors import ConfigError
from orchestrator.pool import Agent, Pool
from orchestrator.pool.experts import returned_model, typed_parameters
from orchestrator.tools.base import Tool
from orchestrator.tools.binding import class_of

__all__ = ["UNTYPED", "Kinds", "Misfit", "fitted", "kinds_of", "schema_of"]

Fitted = TypeVar("Fitted", bound=BaseModel)
Types = Mapping[str, type[BaseModel]]
MOST_PROBLEMS = 3
_FENCED = re.compile(r"```(?:json)?[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL | re.IGNORECASE)
"""JSON between marks of Markdown, as models like to write it."""


class Misfit(ValueError):
    """A value is not of its kind; the text says how, for a model to mend it."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """Which artifacts are typed, and how."""

    types: Types = field(default_factory=dict[str, "type[BaseModel]"])
    asked: type[BaseModel] | None = None
    """What the run is to end in, where its caller asked for a type."""
    goals: tuple[str, ...] = ()
    """The artifacts that this holds for, where they answer the run's own question."""

    def of(self, artifact: str, query: str = "") -> type[BaseModel] | None:
        """The type of an artifact for a query; None where any value will do."""
        if self.asked is not None and not query and artifact in self.goals:
            return self.asked
        return self.types.get(artifact)

    def asking(self, output: type[BaseModel] | None, goals: tuple[str, ...]) -> Kinds:
        """The kinds of a run that is to end in `output`; raises `ConfigError` where its goal has another type."""
        if output is None:
            return self
        given = cast("object", output)
        if not (isinstance(given, type) and issubclass(given, BaseModel)):
            raise ConfigError(f"cannot be {output!r}", field="output", expected="a pydantic model")
        fitting = tuple(goal for goal in goals if self.types.get(goal, output) is output)
        if goals[:1] != fitting[:1]:
            raise _conflict(goals[0], [("the pool", self.types[goals[0]]), ("the caller", output)], "output")
        return replace(self, asked=output, goals=fitting)


UNTYPED = Kinds()
"""No artifact has a type."""


def kinds_of(pool: Pool, tools: Mapping[str, Tool]) -> Kinds:
    """The types that agents and their functions declare; raises `ConfigError` where two differ."""
    found: dict[str, list[tuple[str, type[BaseModel]]]] = {}
    for agent in pool.agents.values():
        for artifact, kind in _declared(agent, tools.get(agent.name)):
            found.setdefault(artifact, []).append((agent.name, kind))
    for artifact, declared in found.items():
        if artifact == "question" or len({kind for _, kind in declared}) > 1:
            given = [("the caller, as text", str)] if artifact == "question" else []
            raise _conflict(artifact, [*given, *declared], f"agents.{declared[-1][0]}")
    return Kinds(MappingProxyType({artifact: declared[0][1] for artifact, declared in found.items()}))


def _declared(agent: Agent, tool: Tool | None) -> Iterator[tuple[str, type[BaseModel]]]:
    """Artifacts with their types, as an agent and its function state them."""
    stated = class_of(agent)
    if stated is not None:
        yield agent.produces, stated
    if tool is not None:
        returned = returned_model(tool.function)
        if returned is not None:
            yield agent.produces, returned
        named = {*agent.consumes, *tool.optional}
        yield from ((name, kind) for name, kind in typed_parameters(tool.function).items() if name in named)


def _conflict(artifact: str, declared: list[tuple[str, type]], field: str) -> ConfigError:
    sides = ", ".join(f"a {kind.__name__} for {who}" for who, kind in declared)
    return ConfigError(f"`{artifact}` is {sides}", field=field, expected="one type for each artifact")


def fitted(value: object, kind: type[Fitted]) -> Fitted:
    """The value as what it should be: an instance, the JSON of one, or its fields; raises `Misfit`."""
    if isinstance(value, kind):
        return value
    try:
        if isinstance(value, str):
            fenced = _FENCED.search(value)
            return kind.model_validate_json((fenced[1] if fenced else value).strip())
        plain = value.model_dump() if isinstance(value, BaseModel) else value
        return kind.model_validate(plain, from_attributes=True)
    except ValidationError as error:
        raise Misfit(f"is no {kind.__name__}: {_problems(error)}") from error


def _problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}" for each in found[:MOST_PROBLEMS]]
    return "; ".join([*told, *([f"{len(found) - MOST_PROBLEMS} more"] if len(found) > MOST_PROBLEMS else [])])


def schema_of(kind: type[BaseModel]) -> dict[str, object]:
    """The JSON Schema of a type; a copy of one's own."""
    return cast("dict[str, object]", json.loads(_schema_text(kind)))


@cache
def _schema_text(kind: type[BaseModel]) -> str:
    return json.dumps(kind.model_json_schema())
