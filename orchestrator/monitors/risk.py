"""The monitor of a risk rule: looks at a declared number or text, and stops the run before the effect."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from orchestrator.messages import as_text
from orchestrator.monitors.base import Signal, Watch
from orchestrator.pool import Risk

__all__ = ["RiskMonitor"]

AHEAD = 0.9
"""Share of a rule's priority while what it guards is not about to happen yet."""
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class RiskMonitor:
    """Holds one rule against the artifacts that are there; what cannot be read as the rule wants it is a risk, too."""

    risk: Risk

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.risk.name

    async def watch(self, watch: Watch) -> Signal | None:
        """Stop where the rule holds and an expert that it guards is next; a mere word ahead of that."""
        values = _values(self.risk.field, watch)
        found = next((why for value in values if (why := self._holds(value))), None)
        if found is None:
            return None
        guarded = [
            agent for agent in dict.fromkeys(route.agent for route in watch.routes) if self._guards(agent, watch)
        ]
        if not guarded:
            return Signal(self.risk.priority * AHEAD, why=found, payload={"field": self.risk.field})
        why = f"{found}, and {', '.join(guarded)} would be next"
        return Signal(self.risk.priority, "stop", why, payload={"field": self.risk.field, "before": [*guarded]})

    def _guards(self, agent: str, watch: Watch) -> bool:
        if self.risk.before:
            return agent in self.risk.before
        agents = watch.pool.agents
        return agents[agent].effects or not any(each.effects for each in agents.values())

    def _holds(self, value: object) -> str | None:
        """Why the rule holds for a value, None where it does not."""
        field, risk = self.risk.field, self.risk
        if value is _ABSENT:
            return f"`{field}` is not there"
        if risk.pattern is not None and re.search(risk.pattern, as_text(value)):
            return f"`{field}` holds what the rule looks for"
        if risk.above is None and risk.below is None:
            return None
        number = _number(value)
        if number is None:
            return f"`{field}` is no number"
        if risk.above is not None and number > risk.above:
            return f"`{field}` = {number:g} is above {risk.above:g}"
        if risk.below is not None and number < risk.below:
            return f"`{field}` = {number:g} is below {risk.below:g}"
        return None


def _values(field: str, watch: Watch) -> list[object]:
    """Everything that stands at a field, of whichever query."""
    artifact, *path = field.split(".")
    if artifact == "question":
        found: list[object] = [watch.state.question.text, *(route.query for route in watch.routes if route.query)]
    else:
        found = [reply.value for reply in watch.state.replies if reply.goal.artifact == artifact]
    return [_at(path, value) for value in found]


def _at(path: list[str], value: object) -> object:
    """What stands at a place inside a value: of a mapping, of JSON text, or of an object's attributes."""
    for key in path:
        value = _opened(value)
        if isinstance(value, Mapping):
            value = cast("Mapping[str, object]", value).get(key, _ABSENT)
        else:
            value = getattr(value, key, _ABSENT)
        if value is _ABSENT:
            return _ABSENT
    return value


def _opened(value: object) -> object:
    """JSON text as what it says, anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return cast("object", json.loads(value))
    except (ValueError, RecursionError):
        return value


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except ValueError:  # a signalling NaN
        return None
    return None if math.isnan(number) else number
