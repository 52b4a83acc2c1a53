"""JSON Schemas of replies as OpenAI's strict mode takes them."""

from __future__ import annotations

from orchestrator.providers.answers import rows, table
from orchestrator.providers.faults import is_table

__all__ = ["strict_form"]

PLAIN = frozenset(
    {
        "$ref", "additionalProperties", "const", "description", "enum", "exclusiveMaximum", "exclusiveMinimum",
        "maxItems", "maximum", "minItems", "minimum", "multipleOf", "pattern", "required", "title", "type",
    }
)  # fmt: skip
"""Keywords that strict mode knows and that hold no schema."""
NAMED = frozenset({"$defs", "properties"})
"""Those that hold schemas by name."""
FORMATS = ("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid")


def strict_form(schema: dict[str, object]) -> dict[str, object] | None:
    """The schema with its objects closed to further properties; None where strict mode would not take it.

    It takes an object all of whose properties are required, at every level, each with a type, and no keyword beyond a
    few. What fulfils the closed schema fulfils the open one.
    """
    return _strict(schema) if schema.get("type") == "object" and "anyOf" not in schema else None


def _strict(schema: dict[str, object]) -> dict[str, object] | None:
    found = {key: _kept(key, value) for key, value in schema.items()}
    made = {key: value for key, value in found.items() if value is not None}
    if len(made) < len(schema) or not made.keys() & {"$ref", "anyOf", "type"} or ("$ref" in made and len(made) > 1):
        return None
    if made.get("type") == "object" or "properties" in made:
        made.setdefault("additionalProperties", False)
        if made["additionalProperties"] is not False or set(table(made.get("properties"))) != set(_names(made)):
            return None
    return made


def _names(schema: dict[str, object]) -> list[str]:
    return [name for name in rows(schema.get("required")) if isinstance(name, str)]


def _kept(key: str, value: object) -> object:
    """A keyword's value in strict mode; None where it has no place there."""
    if key in PLAIN or (key == "format" and value in FORMATS):
        return value
    if key == "items":
        return _strict(table(value)) if value else None
    if key == "anyOf":
        branches = [_strict(table(branch)) for branch in rows(value)]
        return branches if branches and None not in branches else None
    if key in NAMED and is_table(value):
        inner = {name: _strict(table(each)) for name, each in value.items()}
        return inner if None not in inner.values() else None
    return None
