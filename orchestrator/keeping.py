"""Keeps a durable run: its state as JSON, what each step made of it in the trace, and what a resume finds there."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from typing import cast, get_type_hints

from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from orchestrator.messages import Decision, Goal, Reply
from orchestrator.providers import Request
from orchestrator.state import RunState
from orchestrator.tools import UNTYPED, Kinds, Misfit, Tool, fitted
from orchestrator.trace import Journal, Past
from orchestrator.trace.events import Noted, Resumed, Stepped
from orchestrator.trace.past import StateTable, grown_and_changed
from orchestrator.trace.plain import plain

__all__ = ["Keeper", "Keeping", "as_json", "digest_of"]


class Keeping:
    """Puts states and artifacts into JSON and reads them back; an artifact as its kind or its tool declares it.

    No name of a class is ever written, so reading a checkpoint or a trace runs nobody's code.
    """

    def __init__(self, tools: Mapping[str, Tool], kinds: Kinds = UNTYPED) -> None:
        self._kinds = kinds
        self._types = {name: found for name, tool in tools.items() if (found := _returned(tool)) is not None}

    def keep(self, agent: str, goal: Goal, value: object) -> JsonValue:
        """An artifact as JSON holds it."""
        kind = self._kinds.of(goal.artifact, goal.query)
        if kind is not None and isinstance(value, kind):
            with suppress(ValueError):
                return cast("JsonValue", plain(value.model_dump(mode="json", by_alias=True, round_trip=True)))
        if agent in self._types:
            with suppress(ValueError):  # not what was declared, or what no JSON can hold: as any other value then
                value = self._types[agent].dump_python(value, mode="json", warnings=False)
        return cast("JsonValue", plain(value))

    def recall(self, agent: str, goal: Goal, kept: JsonValue) -> object:
        """An artifact from its JSON: of the declared type where it still fits."""
        kind = self._kinds.of(goal.artifact, goal.query)
        if kind is not None:
            with suppress(Misfit):
                return fitted(kept, kind)
        if agent in self._types:
            with suppress(ValidationError):
                return self._types[agent].validate_python(kept)
        return kept

    def dump(self, state: RunState) -> StateTable:
        """A state as JSON, by field."""
        replies = (replace(reply, value=self.keep(reply.agent, reply.goal, reply.value)) for reply in state.replies)
        return cast("StateTable", plain(replace(state, replies=tuple(replies))))

    def load(self, table: StateTable) -> RunState:
        """A state from its JSON."""
        state = _states().validate_python(table)
        return replace(state, replies=tuple(map(self._read, state.replies)))

    def _read(self, reply: Reply) -> Reply:
        return replace(reply, value=self.recall(reply.agent, reply.goal, cast("JsonValue", reply.value)))


@cache
def _states() -> TypeAdapter[RunState]:
    return TypeAdapter(RunState)


def _returned(tool: Tool) -> TypeAdapter[object] | None:
    """The type that a tool's function declares for what it gives; None for text, and where nothing is declared."""
    function = inspect.unwrap(tool.function)
    with suppress(NameError, TypeError, AttributeError, PydanticUserError):
        declared: object = get_type_hints(function).get("return")
        if declared not in (None, str, object, type(None)):
            return TypeAdapter(cast("type[object]", declared))
    return None


@dataclass(slots=True)
class Keeper:
    """Writes down what steps decide, whole or not at all, and hands out what the trace holds of them."""

    journal: Journal
    keeping: Keeping
    past: Past
    step: int = 0
    node: str = ""
    _last: StateTable = field(default_factory=dict[str, JsonValue])
    """The state as the trace has it."""
    _asked: Counter[str] = field(default_factory=Counter[str])
    """How often each call was made in the step under way."""
    _heard: bool = False

    def spoken(self) -> Resumed | None:
        """A person's word that waits to be acted upon; it is said once."""
        word, self._heard = None if self._heard else self.past.word, True
        return word

    def enter(self, step: int, node: str, table: StateTable) -> None:
        """A step begins, with the state that the trace has."""
        self.step, self.node, self._last = step, node, table
        self._asked.clear()

    def commit(self, state: RunState, *, done: bool = False, decision: Decision | None = None) -> str:
        """Write what was decided with what it made of the state; the state as text."""
        table = self.keeping.dump(state)
        grown, changed = grown_and_changed(self._last, table)
        self._note(state)
        self.journal.commit(
            Stepped(step=self.step, node=self.node, done=done, changed=changed, grown=grown, decision=decision)
        )
        self._last = table
        return as_json(table)

    def _note(self, state: RunState) -> None:
        """Write down what a step adds to the decision's reasons, as the nodes of other runs do."""
        reasons, shortfalls = (
            told[len(cast("list[JsonValue]", self._last.get(name) or [])) :]
            for name, told in (("reasons", state.reasons), ("shortfalls", state.shortfalls))
        )
        if reasons or shortfalls:
            self.journal.write(Noted(reasons=reasons, shortfalls=shortfalls, halted=state.halted))

    def call_name(self, purpose: str, model: str, request: Request) -> str:
        """What a call of this step is found again by: the same for the same request, counted."""
        asked = digest_of([purpose, model, plain(request)])
        self._asked[asked] += 1
        return f"{self.step}:{asked}:{self._asked[asked]}"


def as_json(table: StateTable) -> str:
    """A state as text."""
    return json.dumps(table)  # orjson holds no whole numbers of more than 64 bits


def digest_of(value: object) -> str:
    """A short name for a value: the beginning of its SHA-256."""
    return sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()[:16]
