"""Types of a descriptor's fields: names, money, probabilities, lists without repetition."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

__all__ = ["Modalities", "Modality", "Name", "Names", "Probability", "Usd", "distinct", "placed"]

Modality = Literal["text", "image"]
Word = TypeVar("Word", bound=str)


def placed(kind: str | type[BaseModel] | None) -> str | None:
    """Where a class stands, as `module:Class`."""
    return f"{kind.__module__}:{kind.__qualname__}" if isinstance(kind, type) else kind


def _exact(value: object) -> object:
    return Decimal(str(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _identifier(name: str) -> str:
    if not name or name != name.strip() or any(c in "\n\r\t<>\"'`," for c in name):
        raise PydanticCustomError("name", "a name without quotes, commas, brackets or outer blanks")
    return name


def distinct(names: tuple[Word, ...]) -> tuple[Word, ...]:
    """The names, where none of them comes twice."""
    if len(set(names)) < len(names):
        raise PydanticCustomError("distinct", "each name once")
    return names


def _with_text(modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
    if "text" not in modalities:
        raise PydanticCustomError("modalities", 'a list with "text" in it')
    return modalities


Usd = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0)]
Name = Annotated[str, AfterValidator(_identifier)]
Probability = Annotated[float, Field(ge=0, le=1)]
Names = Annotated[tuple[Name, ...], Field(strict=False, min_length=1), AfterValidator(distinct)]


Modalities = Annotated[
    tuple[Modality, ...], Field(strict=False, min_length=1), AfterValidator(distinct), AfterValidator(_with_text)
]
