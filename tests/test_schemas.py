"""Schemas of replies in OpenAI's strict mode: which fit, and that closing them asks for no less."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.providers.schemas import strict_form

Json = dict[str, Any]

TEXT: Json = {"type": "string"}


def record(properties: Json, *, required: list[str] | None = None, more: Json | None = None) -> Json:
    """An object, all properties required unless told otherwise."""
    return {"type": "object", "properties": properties, "required": required or [*properties], **(more or {})}


FITTING: list[Json] = [
    record({"city": TEXT}),
    record(
        {"city": {**TEXT, "description": "its name", "title": "City"}}, more={"title": "Place", "description": "where"}
    ),
    record({"born": {"type": "string", "format": "date"}, "n": {"type": "integer", "minimum": 1, "maximum": 9}}),
    record({"mood": {"type": "string", "enum": ["good", "bad"]}, "gone": {"type": ["string", "null"]}}),
    record({"all": {"type": "array", "items": record({"n": {"type": "number"}}), "minItems": 1}}),
    record({"one": {"anyOf": [record({"a": TEXT}), {"type": "null"}]}}),
    record({"next": {"$ref": "#/$defs/Node"}}, more={"$defs": {"Node": record({"name": TEXT})}}),
    record({"named": record({"properties": TEXT, "items": TEXT})}),
    record({}),
]


@pytest.mark.parametrize("schema", FITTING, ids=repr)
def test_what_strict_mode_takes_is_closed_at_every_level(schema: Json) -> None:
    before = deepcopy(schema)
    made = strict_form(schema)
    assert made is not None
    assert without_closing(made) == schema == before
    assert all(each["additionalProperties"] is False for each in objects(made))
    assert len(objects(made)) == len(objects(schema))
    assert strict_form(made) == made


def objects(value: object) -> list[Json]:
    """Every schema of an object in a schema."""
    if isinstance(value, list):
        return [found for each in cast("list[object]", value) for found in objects(each)]
    if not isinstance(value, dict):
        return []
    table = cast("Json", value)
    own = [table] if table.get("type") == "object" else []
    return own + [found for each in table.values() for found in objects(each)]


def without_closing(value: object) -> object:
    """The same without what closing added."""
    if isinstance(value, list):
        return [without_closing(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        table = cast("Json", value)
        return {key: without_closing(each) for key, each in table.items() if key != "additionalProperties"}
    return value


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "array", "items": TEXT},
        {"type": "object", "anyOf": [record({"a": TEXT})], "properties": {}, "required": []},
        record({"a": TEXT, "b": TEXT}, required=["a"]),
        record({"a": TEXT}, required=["a", "b"]),
        record({"a": TEXT}, more={"additionalProperties": True}),
        record({"a": TEXT}, more={"additionalProperties": TEXT}),
        record({"a": record({"b": TEXT, "c": TEXT}, required=["b"])}),
        record({"a": {"type": "array", "items": {"type": "object", "properties": {"b": TEXT}}}}),
        record({"a": {"type": "string", "maxLength": 5}}),
        record({"a": {"type": "string", "format": "uri"}}),
        record({"a": {"type": "string", "default": "x"}}),
        record({"a": {"description": "anything"}}),
        record({"a": {}}),
        record({"a": True}),
        record({"a": {"allOf": [record({"b": TEXT})]}}),
        record({"a": {"not": TEXT}}),
        record({"a": {"type": "array", "items": [TEXT]}}),
        record({"a": {"type": "array", "items": True}}),
        record({"a": {"anyOf": []}}),
        record({"a": {"anyOf": [TEXT, True]}}),
        record({"a": {"$ref": "#/$defs/A", "description": "beside it"}}, more={"$defs": {"A": TEXT}}),
        record({"a": {"$ref": "#/$defs/A"}}, more={"$defs": {"A": {"oneOf": [TEXT]}}}),
        record({"a": TEXT}, more={"patternProperties": {"b": TEXT}}),
        {"type": "object", "properties": ["a"], "required": ["a"]},
        {"type": "object", "properties": {"a": TEXT}, "required": "a"},
    ],
    ids=repr,
)  # fmt: skip
def test_what_strict_mode_does_not_take_is_left_alone(schema: Json) -> None:
    before = deepcopy(schema)
    assert strict_form(schema) is None
    assert schema == before


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "string", "a", "date"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "required", "items", "anyOf", "$defs", "$ref", "format", "a", "not"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(schema=st.dictionaries(st.sampled_from(["type", "properties", "required", "anyOf", "$defs", "a"]), ODD))
def test_nonsense_is_no_fault_of_ours(schema: Json) -> None:
    made = strict_form(schema)
    if made is not None:
        assert strict_form(made) == made
