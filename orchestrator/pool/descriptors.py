"""Descriptors: what is known beforehand of a model and of an agent, validated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from orchestrator.errors import ConfigError, nearest

__all__ = [
    "KNOWN_PROVIDERS",
    "Agent",
    "Claiming",
    "Descriptor",
    "Model",
    "Price",
    "ToolFunction",
    "checked",
    "parse_model_name",
]

KNOWN_PROVIDERS: tuple[str, ...] = ("anthropic", "openai", "recorded")
"""Words that may stand before the first colon of a model's name."""

ToolFunction = Callable[..., object]
"""A tool: keyword arguments named after artifacts in, an artifact out; plain or async."""
Claiming = Callable[..., object]
"""A cheap test of a question: how surely the tool can take it, as a probability or a `Claim`."""


def _exact(value: object) -> object:
    return Decimal(str(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _identifier(name: str) -> str:
    if not name or name != name.strip() or any(c in "\n\r\t<>\"'`," for c in name):
        raise PydanticCustomError("name", "a name without quotes, commas, brackets or outer blanks")
    return name


Usd = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0)]
Name = Annotated[str, AfterValidator(_identifier)]
Probability = Annotated[float, Field(ge=0, le=1)]
Names = Annotated[tuple[Name, ...], Field(strict=False)]


class Descriptor(BaseModel):
    """A frozen value that refuses unknown keys and wrong types with a `ConfigError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    source: Annotated[str | None, WithJsonSchema({})] = Field(default=None, exclude=True, repr=False)
    """The file that it was read from, for messages."""

    if not TYPE_CHECKING:  # so that type checkers see the fields, not this

        def __init__(self, **fields: object) -> None:
            """Validate; raises `ConfigError` with the field, what was expected and the nearest valid name."""
            try:
                super().__init__(**fields)
            except ValidationError as error:
                where = str(fields["name"]) if "name" in fields else type(self).__name__
                raise config_error(error, type(self), where, None) from error


class Price(BaseModel):
    """List price in USD per 1M tokens, with the day it was read and where."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    input: Usd
    output: Usd
    as_of: date
    source: str

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal:
        """USD for so many tokens."""
        return (self.input * input_tokens + self.output * output_tokens) / 1_000_000


class Model(Descriptor):
    """One callable model: `provider:id`, what it costs and what it can hold."""

    name: Name
    provider: str = ""
    """Who speaks to it; read off the name where not given."""
    id: str = ""
    """The name that the vendor knows; read off the name where not given."""
    base_url: str | None = None
    price: Price | None = None
    free: bool = False
    """True for what costs nothing, such as a local server; an absent price is unknown, not zero."""
    context_window: int | None = Field(default=None, gt=0)
    """Tokens of input and output together."""
    max_output: int = Field(default=4096, gt=0)
    """Tokens of output that a request allows at most."""
    seconds: float | None = Field(default=None, ge=0)
    """Typical seconds to a whole reply, before any was seen."""

    @model_validator(mode="after")
    def _name_parts(self) -> Self:
        if not self.id:
            provider, model_id = parse_model_name(self.name, provider=self.provider, base_url=self.base_url)
            object.__setattr__(self, "provider", provider)
            object.__setattr__(self, "id", model_id)
        return self


class Agent(Descriptor):
    """A named role over a model or a tool: what it consumes, what it produces, how good it is at it."""

    name: Name
    role: str = ""
    """What it is good at, for routers and people."""
    model: str | None = None
    tool: Annotated[str | ToolFunction | None, WithJsonSchema({"type": "string"})] = None
    """A built-in tool's name, `package.module:function`, `file.py:function`, or a Python function."""
    claim: Annotated[Claiming | None, WithJsonSchema({})] = Field(default=None, exclude=True)
    """For a Python function: its cheap test of a question."""
    prompt: str | None = None
    """What the model is told before the question; in a file, the name of a Markdown file in `prompts/`."""
    consumes: Names = ("question",)
    produces: Name = "answer"
    skill: Probability = 0.5
    """Probability of a right reply; 0.5 where unknown."""
    skills: dict[str, Probability] = Field(default_factory=dict)
    """The same by kind of question."""
    retries: int | None = Field(default=None, ge=0)
    """Tries after the first; by default 0, or 2 where no other expert could serve the goal."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds that one try may take."""
    seconds: float | None = Field(default=None, ge=0)
    """Typical seconds to a reply, before any was seen."""

    @model_validator(mode="after")
    def _model_or_tool(self) -> Self:
        if (self.model is None) == (self.tool is None):
            problem = "names both a model and a tool" if self.model else "names neither a model nor a tool"
            raise PydanticCustomError("model_or_tool", "either `model` or `tool`", {"problem": problem})
        if self.produces in self.consumes:
            problem = f"consumes what it produces, `{self.produces}`"
            raise PydanticCustomError("cycle", "two different artifacts", {"problem": problem})
        return self

    def skill_for(self, kind: str | None) -> float:
        """The skill for a kind of question, or the general one."""
        return self.skills.get(kind, self.skill) if kind else self.skill


def parse_model_name(name: str, *, provider: str = "", base_url: str | None = None) -> tuple[str, str]:
    """Provider and id of `provider:id` (alias `provider/id`); with a base URL nothing is stripped."""
    if provider or base_url:
        return _known(provider or "openai", name), name
    for mark in (":", "/"):
        left, found, right = name.partition(mark)
        if found and right and left in KNOWN_PROVIDERS:
            return left, right
    left = min(name.split(":", maxsplit=1)[0], name.split("/", maxsplit=1)[0], key=len)
    return _known(left, name), name


def _known(provider: str, name: str) -> str:
    if provider in KNOWN_PROVIDERS:
        return provider
    hint = nearest(provider, KNOWN_PROVIDERS)
    raise PydanticCustomError(
        "provider",
        "`provider:id` with a provider among {known}{hint}",
        {
            "known": ", ".join(KNOWN_PROVIDERS),
            "hint": f"; did you mean `{hint}:…`?" if hint else "",
            "problem": f"`{name}` names no known provider",
        },
    )


Checked = TypeVar("Checked", bound=BaseModel)


def checked(kind: type[Checked], table: Mapping[str, object], *, file: str, where: str) -> Checked:
    """A table of a file as a descriptor; raises `ConfigError` that names file and field."""
    try:
        return kind.model_validate(dict(table))
    except ValidationError as error:
        raise config_error(error, kind, where, file) from error


_EXPECTED = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "date_type": "a date such as 2026-11-21",
    "decimal_type": "a number",
    "is_instance_of": "a number",
}


def config_error(error: ValidationError, kind: type[BaseModel], where: str, file: str | None) -> ConfigError:
    """The first complaint of pydantic in our words."""
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first["loc"] if not str(part).startswith(("function-", "constrained-"))]
    field = ".".join([where, *location]) if where else ".".join(location)
    if first["type"] == "extra_forbidden":
        return ConfigError(
            f"unknown key `{location[-1]}`",
            file=file,
            field=field,
            expected="one of " + ", ".join(sorted(_keys(kind, location))),
            suggestion=nearest(location[-1], _keys(kind, location)),
        )
    if first["type"] == "missing":
        return ConfigError("is missing", file=file, field=field, expected=f"a value for `{location[-1]}`")
    return ConfigError(_problem(first), file=file, field=field, expected=_expected(first))


def _keys(kind: type[BaseModel], location: list[str]) -> set[str]:
    inner = Price if "price" in location[:-1] else kind
    return set(inner.model_fields) - {"source" if inner is not Price else "", "claim", "id", ""}


def _problem(error: ErrorDetails) -> str:
    if problem := error.get("ctx", {}).get("problem"):
        return str(problem)
    shown = repr(error["input"])
    return f"cannot be {shown if len(shown) <= 60 else shown[:57] + '…'}"


def _expected(error: ErrorDetails) -> str:
    return _EXPECTED.get(error["type"], error["msg"].removeprefix("Input should be ").removeprefix("Value error, "))
