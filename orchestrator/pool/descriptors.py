"""Descriptors: what is known beforehand of a model and of an agent, validated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from orchestrator.errors import ConfigError, nearest
from orchestrator.messages import Encoding, Usage
from orchestrator.pool.fields import Modalities, Name, Names, Probability, Usd, distinct, placed

__all__ = [
    "KNOWN_PROVIDERS",
    "LOCAL_SERVERS",
    "NOT_IN_TABLES",
    "Agent",
    "Claiming",
    "Descriptor",
    "Model",
    "Price",
    "ToolFunction",
    "checked",
    "config_error",
    "parse_model_name",
    "unknown_key",
]

LOCAL_SERVERS: Mapping[str, str] = MappingProxyType(
    {
        "llamacpp": "http://localhost:8080/v1",
        "lmstudio": "http://localhost:1234/v1",
        "ollama": "http://localhost:11434/v1",
        "vllm": "http://localhost:8000/v1",
    }
)
"""Servers that speak OpenAI's protocol, and where they listen unless a model's `base_url` says otherwise."""
KNOWN_PROVIDERS: tuple[str, ...] = tuple(sorted({"anthropic", "openai", "recorded", "script", *LOCAL_SERVERS}))
"""Words that may stand before the first colon of a model's name."""

SEEING = ("anthropic", "openai")
"""Vendors whose current models take images; what they do not take, they refuse."""

NOT_IN_TABLES = frozenset({"name", "source", "claim"})
"""Fields that a table of a file does not state: the table's own name, where it stands, a Python function."""

ToolFunction = Callable[..., object]
"""A tool: keyword arguments named after artifacts in, an artifact out; plain or async."""
Claiming = Callable[..., object]
"""A cheap test of a question: how surely the tool can take it, as a probability or a `Claim`."""


class Descriptor(BaseModel):
    """A frozen value that refuses unknown keys and wrong types with a `ConfigError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    source: Annotated[str | None, WithJsonSchema({})] = Field(default=None, exclude=True, repr=False)
    """The file that it was read from, for messages."""

    def __eq__(self, other: object) -> bool:
        """Whether it says the same, wherever it was read."""
        if type(self) is not type(other):
            return False
        return {**vars(self), "source": None} == {**vars(other), "source": None}

    def __hash__(self) -> int:
        return hash((type(self), getattr(self, "name", "")))

    if not TYPE_CHECKING:  # so that type checkers see the fields, not this

        def __init__(self, **fields: object) -> None:
            """Validate; raises `ConfigError` with the field, what was expected and the nearest valid name."""
            try:
                super().__init__(**fields)
            except ValidationError as error:
                file = fields.get("source")  # pydantic calls this for tables of files, too
                where = str(fields["name"]) if "name" in fields else type(self).__name__
                table = f"{type(self).__name__.lower()}s." if file else ""
                raise config_error(error, type(self), table + where, file and str(file)) from error


class Price(BaseModel):
    """List price in USD per 1M tokens, with the day it was read and where."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    input: Usd
    """USD per 1M tokens of input."""
    output: Usd
    """USD per 1M tokens of output."""
    cached: Usd | None = None
    """Input read from the vendor's cache; as other input where absent."""
    cache_write: Usd | None = None
    """Input written to it; as other input where absent."""
    as_of: date
    """The day on which it was read."""
    source: str
    """Where it was read."""

    def cost(self, usage: Usage) -> Decimal:
        """USD for so many tokens; cached ones are part of the input, thoughts part of the output."""
        fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.cache_write is None else self.cache_write
        total = self.input * fresh + cached * usage.cached_tokens + written * usage.cache_write_tokens
        return (total + self.output * usage.output_tokens) / 1_000_000


class Model(Descriptor):
    """One callable model: `provider:id`, what it costs and what it can hold."""

    name: Name
    provider: str = ""
    """Who speaks to it; what stands before the colon of its name unless given, `openai` where a `base_url` is.

    `openai` and `anthropic` also speak to other servers of their protocols, at a `base_url`.
    """
    id: str = ""
    """What its server calls it; what stands behind the colon of its name unless given.

    Where `provider` or `base_url` is given that is the whole name, of which nothing is stripped.
    """
    base_url: str | None = None
    """Where its server listens; by default where the vendor's SDK looks, or the local server's usual place."""
    key_env: str | None = None
    """Environment variable that holds the key; by default the vendor's own, and none where a base URL is set."""
    encoding: Encoding = "tools"
    """How it writes actions when it is a router: by tool calls, or in tags, the default where `tools` is false."""
    modalities: Modalities = ("text",)
    """What it takes: text, and perhaps images; by default the vendors' own models take both, and all others text."""
    tools: bool = True
    """Whether it can be offered tools."""
    structured: bool = True
    """Whether it can be held to a JSON Schema."""
    logprobs: bool = False
    """Whether its server tells how probable tokens were; it is asked for that only where this is true."""
    price: Price | None = None
    """What it costs; by default the list price, where one is known."""
    free: bool = False
    """True for what costs nothing, such as a local server; an absent price is unknown, not zero."""
    context_window: int | None = Field(default=None, gt=0)
    """Tokens of input and output together."""
    max_output: int = Field(default=4096, gt=0)
    """Tokens of output that a request allows at most."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sent only where given."""
    seconds: float | None = Field(default=None, ge=0)
    """Typical seconds to a whole reply, before any was seen."""

    @model_validator(mode="after")
    def _name_parts(self) -> Self:
        provider, model_id = parse_model_name(self.name, provider=self.provider, base_url=self.base_url)
        object.__setattr__(self, "provider", provider)
        object.__setattr__(self, "id", self.id or model_id)
        if provider in SEEING and self.base_url is None and "modalities" not in self.model_fields_set:
            object.__setattr__(self, "modalities", ("text", "image"))
        if not self.tools and self.encoding == "tools":
            if "encoding" in self.model_fields_set:
                problem = "writes actions by tool calls, which it cannot make"
                raise PydanticCustomError("encoding", 'encoding = "tags", or tools = true', {"problem": problem})
            object.__setattr__(self, "encoding", "tags")
        if provider in LOCAL_SERVERS:
            object.__setattr__(self, "base_url", self.base_url or LOCAL_SERVERS[provider])
            object.__setattr__(self, "free", self.price is None)
        return self


class Agent(Descriptor):
    """A named role over a model or a tool: what it consumes, what it produces, how good it is at it."""

    name: Name
    role: str = ""
    """What it is good at, for routers and people."""
    model: str | None = None
    """Name of the model that it asks; a tool asks none."""
    tool: Annotated[str | ToolFunction | None, WithJsonSchema({"type": "string"})] = None
    """A built-in tool's name, `package.module:function`, `file.py:function`, or a Python function."""
    claim: Annotated[Claiming | None, WithJsonSchema({})] = Field(default=None, exclude=True)
    """For a Python function: its cheap test of a question."""
    prompt: str | None = None
    """What the model is told before the question; in a file, the name of a Markdown file in `prompts/`."""
    reply: Literal["text", "analysis"] = "text"
    """What its model is asked for: text, or an analysis with answer, evidence, ruled out answers and confidence."""
    confidence: Literal["stated", "yes-no"] = "stated"
    """Where that of its replies comes from: its analysis, or how probable its model's yes to the reply is."""
    consumes: Names = ("question",)
    """Artifacts that it needs: all of them, or as many as `needs` says."""
    needs: int | None = Field(default=None, ge=1)
    """How many of the artifacts it consumes are enough; the cheapest are planned for, the others step in."""
    optional: Annotated[tuple[Name, ...], Field(strict=False), AfterValidator(distinct)] = ()
    """Artifacts that it is given when they are there; never planned for."""
    produces: Name = "answer"
    """The artifact that it gives."""
    output: Annotated[str | type[BaseModel] | None, WithJsonSchema({"type": "string"}), PlainSerializer(placed)] = None
    """Type of what it produces: `package.module:Model`, `file.py:Model`, or a pydantic model."""
    skill: Probability = 0.5
    """Probability of a right reply; 0.5 where unknown."""
    skills: dict[str, Probability] = Field(default_factory=dict)
    """The same by kind of question."""
    samples: int = Field(default=1, ge=1, le=9)
    """How many times its model may be asked the same where as many analyses as needed are wanted."""
    retries: int | None = Field(default=None, ge=0)
    """Tries after the first; by default 0, or 2 where no other expert could serve the goal."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds that one try may take."""
    seconds: float | None = Field(default=None, ge=0)
    """Typical seconds to a reply, before any was seen."""
    effects: bool = False
    """Whether it changes the world outside: it is given an idempotency key, and not asked again in doubt."""
    idempotent: bool = False
    """Whether asking it twice under one idempotency key has the effect once."""
    approve: bool = False
    """Whether a person must give leave before it is asked: the run waits, where it is a durable one, or escalates."""

    @model_validator(mode="after")
    def _model_or_tool(self) -> Self:
        if (self.model is None) == (self.tool is None):
            problem = "names both a model and a tool" if self.model else "names neither a model nor a tool"
            raise PydanticCustomError("model_or_tool", "either `model` or `tool`", {"problem": problem})
        if self.reply == "analysis" and self.model is None:
            problem = "is a tool, which is not asked for an analysis"
            raise PydanticCustomError("reply", '`reply = "analysis"` with a model only', {"problem": problem})
        if self.confidence == "yes-no" and self.model is None:
            problem = "is a tool, which is not asked whether it is right"
            raise PydanticCustomError("confidence", '`confidence = "yes-no"` with a model only', {"problem": problem})
        if self.samples > 1 and (self.model is None or self.effects):
            problem = "has effects, which come once" if self.effects else "is a tool, which gives the same again"
            raise PydanticCustomError("samples", "samples of a model without effects only", {"problem": problem})
        if self.produces in self.consumes:
            problem = f"consumes what it produces, `{self.produces}`"
            raise PydanticCustomError("cycle", "two different artifacts", {"problem": problem})
        if spare := sorted({*self.optional} & {*self.consumes, self.produces}):
            problem = f"has `{spare[0]}` both among `optional` and among what it consumes or produces"
            raise PydanticCustomError("optional", "artifacts of its own in `optional`", {"problem": problem})
        if self.needs is not None and self.needs > len(self.consumes):
            problem = f"needs {self.needs} of the {len(self.consumes)} artifacts that it consumes"
            raise PydanticCustomError("needs", "`needs` of at most so many", {"problem": problem})
        return self

    @property
    def quorum(self) -> int:
        """How many of the artifacts that it consumes must be there."""
        return len(self.consumes) if self.needs is None else self.needs

    def lacks(self, there: Collection[str]) -> tuple[str, ...]:
        """Artifacts that it consumes and that are not there; nothing where enough are."""
        missing = tuple(name for name in self.consumes if name not in there)
        return missing if len(self.consumes) - len(missing) < self.quorum else ()

    def skill_for(self, kind: str | None) -> float:
        """The skill for a kind of question, or the general one."""
        return self.skills.get(kind, self.skill) if kind else self.skill


def parse_model_name(name: str, *, provider: str = "", base_url: str | None = None) -> tuple[str, str]:
    """Provider and id of `provider:id` (alias `provider/id`); with a base URL nothing is stripped."""
    if provider or base_url:
        return _known(provider or "openai", name), name
    for mark in (":", "/"):
        left, found, right = name.partition(mark)
        if found and right and _is_provider(left):
            return left, right
    left = min(name.split(":", maxsplit=1)[0], name.split("/", maxsplit=1)[0], key=len)
    raise _no_model_name(name, left)


def _known(provider: str, name: str) -> str:
    if _is_provider(provider):
        return provider
    raise _no_model_name(name, provider)


def _is_provider(name: str) -> bool:
    """Whether it is a provider of ours, or one that an installed package offers."""
    return name in KNOWN_PROVIDERS or name in _plugged_in()


@cache
def _plugged_in() -> tuple[str, ...]:
    """Providers that installed packages offer; looked up once, for a wrong name may be read many times."""
    from orchestrator.pool.plugins import plugin_names

    return tuple(plugin_names("providers"))


def _no_model_name(name: str, provider: str) -> PydanticCustomError:
    """What is wrong with a name that is no `provider:id`."""
    names = sorted({*KNOWN_PROVIDERS, *_plugged_in()})
    hint = None if provider in names else nearest(provider, names)
    known, what = ", ".join(names), "no model" if provider in names else "no known provider"
    return PydanticCustomError(
        "provider",
        "`provider:id` with a provider among {known}{hint}",
        {"known": known, "hint": f"; did you mean `{hint}:…`?" if hint else "", "problem": f"`{name}` names {what}"},
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
    "date_type": "a date such as 2026-11-21, without quotes",
    "date_from_datetime_inexact": "a date such as 2026-11-21, without a time",
    "decimal_type": "a number",
    "is_instance_of": "a number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than_equal": "a number of at most {le}",
    "finite_number": "a finite number",
    "too_short": "at least {min_length} entry",
}


def config_error(error: ValidationError, kind: type[BaseModel], where: str, file: str | None) -> ConfigError:
    """The first complaint of pydantic in our words."""
    complaints = error.errors(include_url=False)
    # a misspelt key is told before the key that is missing because of it
    first = next((each for each in complaints if each["type"] == "extra_forbidden"), complaints[0])
    location = [str(part) for part in first["loc"] if not str(part).startswith(("function-", "constrained-"))]
    field = ".".join([where, *location]) if where else ".".join(location)
    if first["type"] == "extra_forbidden":
        return unknown_key(location[-1], _table(kind, location[:-1]), field, file)
    if first["type"] == "missing":
        return ConfigError("is missing", file=file, field=field, expected=f"a value for `{location[-1]}`")
    return ConfigError(_problem(first), file=file, field=field, expected=_expected(first))


def _table(kind: type[BaseModel], location: list[str]) -> type[BaseModel]:
    """The kind of the table at a location inside another."""
    for part in location:
        annotation = kind.model_fields[part].annotation if part in kind.model_fields else None
        inner = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
        kind = next((each for each in inner if issubclass(each, BaseModel)), kind)
    return kind


def unknown_key(key: str, kind: type[BaseModel], field: str, file: str | None) -> ConfigError:
    """The complaint about a key that a table does not have."""
    keys = set(kind.model_fields) - (NOT_IN_TABLES if issubclass(kind, Descriptor) and file else set())
    expected = "one of " + ", ".join(sorted(keys))
    return ConfigError(f"unknown key `{key}`", file=file, field=field, expected=expected, suggestion=nearest(key, keys))


def _problem(error: ErrorDetails) -> str:
    if problem := error.get("ctx", {}).get("problem"):
        return str(problem)
    shown = f"{error['input']:f}" if isinstance(error["input"], Decimal) else repr(error["input"])
    return f"cannot be {shown if len(shown) <= 60 else shown[:57] + '…'}"


def _expected(error: ErrorDetails) -> str:
    if known := _EXPECTED.get(error["type"]):
        bounds: dict[str, object] = error.get("ctx", {})
        return known.format(
            **{key: f"{bound:g}" for key, bound in bounds.items() if isinstance(bound, (int, float, Decimal))}
        )
    return error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
