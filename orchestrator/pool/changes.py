"""Finds members of a pool by name, and makes changed copies of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from orchestrator.errors import ConfigError, nearest
from orchestrator.pool.descriptors import Descriptor

__all__ = ["changed", "chosen"]

Member = TypeVar("Member", bound=Descriptor)
FIXED = ("name", "source")
"""Fields that a changed copy keeps: what it is called, and where it was read."""


def chosen(names: Iterable[str], members: Collection[Member]) -> list[Member]:
    """The members of these names; raises `ConfigError` for a name that none has."""
    known = sorted({name_of(member) for member in members})
    for name in names:
        if name not in known:
            raise ConfigError(
                f"there is no `{name}` in the pool",
                field="pool",
                expected="one of " + ", ".join(known),
                suggestion=nearest(name, known),
            )
    wanted = set(names)
    return [member for member in members if name_of(member) in wanted]


def changed(name: str, fields: Mapping[str, object], members: Collection[Member]) -> Member:
    """The member of a name with other fields, validated anew; of two of that name the one that has them.

    Raises `ConfigError` for an unknown name or field, a value that does not fit, and where both have the fields.
    """
    found = chosen([name], members)
    fitting = [member for member in found if _keys(member) >= fields.keys()]
    if len(fitting) > 1:
        kinds = " and ".join(type(member).__name__ for member in fitting)
        raise ConfigError(f"names both {kinds}", field=f"pool.{name}", expected="fields that only one of them has")
    member = (fitting or found)[0]
    kind, where = type(member), f"{type(member).__name__.lower()}s.{name}"
    for key in fields.keys() - _keys(member):
        keys = sorted(_keys(member))
        raise ConfigError(
            f"unknown key `{key}`",
            field=f"{where}.{key}",
            expected="one of " + ", ".join(keys),
            suggestion=nearest(key, keys),
        )
    stated = {key: getattr(member, key) for key in member.model_fields_set}
    try:
        return kind.model_validate({**stated, **fields})
    except ConfigError as error:  # what is wrong stands in the call, not in a file
        field = f"{where}.{(error.field or '').rpartition('.')[2]}"
        raise ConfigError(error.problem, field=field, expected=error.expected, suggestion=error.suggestion) from error


def name_of(member: Descriptor) -> str:
    """What a member of a pool is called."""
    return str(getattr(member, "name", ""))


def _keys(member: Descriptor) -> set[str]:
    return set(type(member).model_fields) - set(FIXED)
