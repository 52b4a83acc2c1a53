"""Whether a JSON value fits a JSON Schema: the keywords that describe data, without a package for the rest.

Of JSON Schema 2020-12 (validation vocabulary and applicators): `type`, `enum`, `const`, `properties`, `required`,
`additionalProperties`, `items`, `prefixItems`, bounds of numbers, texts, lists and objects, `pattern`, `anyOf`,
`oneOf`, `allOf` and `not`. Any other keyword that would decide something is refused, `$ref` among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from operator import ge, gt, le, lt
from typing import TypeAlias, cast

from orchestrator.errors import ConfigError, nearest

__all__ = ["check_schema", "misfits"]

Schema: TypeAlias = Mapping[str, object] | bool

SAYS_NOTHING = {"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"}
TOGETHER = {"items", "prefixItems", "additionalProperties"}
"""Keywords that depend on each other, and so have no check of their own."""
TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float, Decimal),
    "integer": (int, float, Decimal),
}


def check_schema(schema: object, *, field: str = "schema") -> None:
    """Nothing where every keyword is understood; else raises `ConfigError` naming the keyword."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise ConfigError("is no schema", field=field, expected="an object, true or false")
    table = cast("dict[str, object]", schema)
    known = {*KEYWORDS, *SAYS_NOTHING, *TOGETHER}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(
                f"`{key}` is not understood",
                field=f"{field}.{key}",
                expected="one of " + ", ".join(sorted(known)),
                suggestion=nearest(key, known),
            )
        if not _fits_keyword(key, value):
            raise ConfigError(f"cannot be {value!r}", field=f"{field}.{key}", expected=EXPECTED[key])
        for name, each in _below(key, value):
            check_schema(each, field=f"{field}.{name}")
    if isinstance(pattern := table.get("pattern"), str):
        _compiled(pattern, f"{field}.pattern")


def _fits_keyword(key: str, value: object) -> bool:
    """Whether a keyword's own value is of the kind that it takes."""
    match EXPECTED.get(key):
        case "a number":
            return _number(value) is not None
        case "an object":
            return isinstance(value, dict)
        case "a list":
            return isinstance(value, list)
        case "a list of names":
            return isinstance(value, list) and all(isinstance(each, str) for each in cast("list[object]", value))
        case None:
            return True
        case "a text":
            return isinstance(value, str)
        case _:
            names = cast("list[object]", value) if isinstance(value, list) else [value]
            return bool(names) and all(isinstance(each, str) and each in TYPES for each in names)


def _below(key: str, value: object) -> Iterator[tuple[str, object]]:
    """The schemas inside a keyword, with their places."""
    if key == "properties" and isinstance(value, dict):
        yield from ((f"{key}.{name}", each) for name, each in cast("dict[str, object]", value).items())
    elif key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
        yield from ((f"{key}[{place}]", each) for place, each in enumerate(cast("list[object]", value)))
    elif key in ("items", "not", "additionalProperties"):
        yield key, value


def misfits(value: object, schema: Schema) -> list[str]:
    """What is wrong with a value, each with its place; nothing where it fits. `check_schema` has seen the schema."""
    return list(_misfits(value, schema, "$"))


def _misfits(value: object, schema: object, where: str) -> Iterator[str]:
    if isinstance(schema, bool):
        if not schema:
            yield f"{where} is not allowed"
        return
    table = cast("Mapping[str, object]", schema)
    for key, rule in table.items():
        if key in KEYWORDS:
            yield from KEYWORDS[key](value, rule, where)
    if isinstance(value, dict) and "additionalProperties" in table:
        named = cast("Mapping[str, object]", table.get("properties", {}))
        for name, each in cast("dict[str, object]", value).items():
            if name not in named:
                yield from _misfits(each, table["additionalProperties"], f"{where}.{name}")
    if isinstance(value, list):
        first = cast("Sequence[object]", table.get("prefixItems", ()))
        for place, each in enumerate(cast("list[object]", value)):
            rule = first[place] if place < len(first) else table.get("items", True)
            yield from _misfits(each, rule, f"{where}[{place}]")


def _of_type(value: object, rule: object, where: str) -> Iterator[str]:
    names = [str(rule)] if isinstance(rule, str) else [str(each) for each in cast("Sequence[object]", rule)]
    if not any(_is(value, name) for name in names):
        yield f"{where} is no {' or '.join(names)}"


def _is(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if not isinstance(value, TYPES.get(name, ())):
        return False
    return name != "integer" or value == int(cast("float", value))


def _enum(value: object, rule: object, where: str) -> Iterator[str]:
    if not any(_equal(value, each) for each in cast("Sequence[object]", rule)):
        yield f"{where} is none of the values allowed"


def _const(value: object, rule: object, where: str) -> Iterator[str]:
    if not _equal(value, rule):
        yield f"{where} is not {rule!r}"


def _equal(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _required(value: object, rule: object, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{where}.{name} is missing" for name in cast("Sequence[str]", rule) if name not in value)


def _properties(value: object, rule: object, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        table = cast("dict[str, object]", value)
        for name, each in cast("Mapping[str, object]", rule).items():
            if name in table:
                yield from _misfits(table[name], each, f"{where}.{name}")


def _pattern(value: object, rule: object, where: str) -> Iterator[str]:
    if isinstance(value, str) and not re.search(str(rule), value):
        yield f"{where} does not match {rule}"


def _all_of(value: object, rule: object, where: str) -> Iterator[str]:
    for each in cast("Sequence[object]", rule):
        yield from _misfits(value, each, where)


def _any_of(value: object, rule: object, where: str) -> Iterator[str]:
    if not _fitting(value, rule, where):
        yield f"{where} fits none of the forms allowed"


def _one_of(value: object, rule: object, where: str) -> Iterator[str]:
    if (count := _fitting(value, rule, where)) != 1:
        yield f"{where} fits {count} of the forms, not one"


def _fitting(value: object, rule: object, where: str) -> int:
    return sum(not list(_misfits(value, each, where)) for each in cast("Sequence[object]", rule))


def _not(value: object, rule: object, where: str) -> Iterator[str]:
    if not list(_misfits(value, rule, where)):
        yield f"{where} is of the form that is not allowed"


Check: TypeAlias = Callable[[object, object, str], Iterator[str]]


def _number(value: object) -> float | Decimal | None:
    return value if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) else None


def _length(kind: type) -> Callable[[object], int | None]:
    return lambda value: len(cast("Sequence[object]", value)) if isinstance(value, kind) else None


def _bound(
    measure: Callable[[object], float | Decimal | None], broken: Callable[[Decimal, Decimal], bool], words: str
) -> Check:
    def check(value: object, rule: object, where: str) -> Iterator[str]:
        size = measure(value)
        if size is not None and broken(Decimal(size), Decimal(cast("float", rule))):
            yield f"{where} {words} {rule}"

    return check


KEYWORDS: Mapping[str, Check] = {
    "type": _of_type,
    "enum": _enum,
    "const": _const,
    "required": _required,
    "properties": _properties,
    "pattern": _pattern,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "minimum": _bound(_number, lt, "is less than"),
    "maximum": _bound(_number, gt, "is more than"),
    "exclusiveMinimum": _bound(_number, le, "is not more than"),
    "exclusiveMaximum": _bound(_number, ge, "is not less than"),
    "minLength": _bound(_length(str), lt, "is shorter than"),
    "maxLength": _bound(_length(str), gt, "is longer than"),
    "minItems": _bound(_length(list), lt, "has fewer items than"),
    "maxItems": _bound(_length(list), gt, "has more items than"),
    "minProperties": _bound(_length(dict), lt, "has fewer keys than"),
    "maxProperties": _bound(_length(dict), gt, "has more keys than"),
}
"""Keyword -> its check."""

EXPECTED: Mapping[str, str] = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), "a number"),
    **dict.fromkeys(
        (f"{end}{what}" for end in ("min", "max") for what in ("Length", "Items", "Properties")), "a number"
    ),
    **dict.fromkeys(("enum", "anyOf", "oneOf", "allOf", "prefixItems"), "a list"),
    "properties": "an object",
    "required": "a list of names",
    "pattern": "a text",
    "type": "one of " + ", ".join(TYPES) + ", or a list of them",
}
"""Keyword -> the kind of value that it takes."""


def _compiled(pattern: str, field: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"is no regular expression: {error}", field=field) from error
