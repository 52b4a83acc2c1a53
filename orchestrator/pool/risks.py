"""Risk rules: what in a question or an artifact asks for a person before an expert acts on it."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from orchestrator.pool.descriptors import Descriptor
from orchestrator.pool.fields import Name

__all__ = ["Risk"]


def _regular(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        problem = {"problem": f"is no regular expression: {error}"}
        raise PydanticCustomError("pattern", "a regular expression", problem) from error
    return pattern


class Risk(Descriptor):
    """A rule on a declared number or on a text; where it holds, the run stops for a person before the effect."""

    name: Name
    field: Annotated[str, Field(min_length=1)] = "question"
    """The artifact looked at, and with dots the way to a value in it: `order.amount`."""
    above: float | None = Field(default=None, allow_inf_nan=False)
    """It holds where the number is larger."""
    below: float | None = Field(default=None, allow_inf_nan=False)
    """It holds where the number is smaller."""
    pattern: Annotated[str, AfterValidator(_regular)] | None = None
    """It holds where this regular expression is found in the text."""
    before: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    """Experts that it guards; by default those with effects, and every expert where none has any."""
    priority: float = Field(default=0.95, ge=0, le=1)
    """What it is worth beside other monitors."""

    @model_validator(mode="after")
    def _something_to_look_for(self) -> Self:
        if self.above is None and self.below is None and self.pattern is None:
            raise PydanticCustomError("rule", "`above`, `below` or `pattern`", {"problem": "looks for nothing"})
        return self
