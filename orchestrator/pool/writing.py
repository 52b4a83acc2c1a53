"""Writes pools as descriptor files; the one door to tomli-w."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from orchestrator.errors import ConfigError
from orchestrator.pool.descriptors import NOT_IN_TABLES, Agent, Descriptor, Model, Price
from orchestrator.pool.modules import MADE_OF_FILES
from orchestrator.pool.plugins import BROKEN

if TYPE_CHECKING:
    from orchestrator.pool.registry import Pool

__all__ = ["place_of", "toml_of"]


def toml_of(pool: Pool) -> str:
    """The descriptor file of a pool; raises `ConfigError` for what none can hold."""
    import tomli_w

    heading = {"goals": list(pool.goals), "router": pool.router, "merger": pool.merger}
    tables: dict[str, object] = {
        "pool": _stated(heading) if pool.goals else {},
        "models": {name: _model(model) for name, model in pool.models.described.items()},
        "agents": {name: _agent(agent, pool) for name, agent in pool.agents.items()},
        "risks": {name: _table(risk) for name, risk in pool.risks.items()},
    }
    return tomli_w.dumps({name: table for name, table in tables.items() if table})


def _table(member: Descriptor) -> dict[str, object]:
    """The fields of a member that are not the usual ones."""
    usual = type(member).model_fields
    keys = [key for key in usual if key in member.model_fields_set and key not in NOT_IN_TABLES]
    stated = {key: getattr(member, key) for key in keys}
    return _stated({key: value for key, value in stated.items() if value != usual[key].get_default()})


def _model(model: Model) -> dict[str, object]:
    """A model with all that was stated: what is left out is worked out from the rest."""
    keys = [key for key in Model.model_fields if key in model.model_fields_set and key not in NOT_IN_TABLES]
    table = _stated({key: getattr(model, key) for key in keys})
    return {**table, "price": _price(model.price, f"models.{model.name}.price")} if model.price else table


def _price(price: Price, where: str) -> dict[str, object]:
    amounts = {name: amount for name, amount in vars(price).items() if isinstance(amount, Decimal)}
    for name, amount in amounts.items():
        if Decimal(str(float(amount))) != amount:
            expected = "as many digits as a float holds"
            raise ConfigError(f"cannot be {amount:f}", field=f"{where}.{name}", expected=expected)
    return _stated({**vars(price), **{name: float(amount) for name, amount in amounts.items()}})


def _agent(agent: Agent, pool: Pool) -> dict[str, object]:
    """An agent's table; a prompt is written out as it is, functions are named."""
    table, where = _table(agent), f"agents.{agent.name}"
    if agent.prompt is not None:
        table["prompt"] = {"text": agent.prompt}
    if agent.tool is not None:
        table["tool"] = _tool(agent, where)
    if agent.output is not None:
        table["output"] = (
            _whole(agent, agent.output) if isinstance(agent.output, str) else place_of(agent.output, f"{where}.output")
        )
    if "optional" in table:  # a function's parameter that nobody fills is no artifact of the file's
        table["optional"] = [name for name in agent.optional if name in pool.artifacts]
    return {key: value for key, value in table.items() if value != []}


def _tool(agent: Agent, where: str) -> str:
    """The name of an agent's tool, whose claim must be found with it."""
    if isinstance(agent.tool, str):
        return _whole(agent, agent.tool)
    described: object = getattr(agent.tool, "__agent__", None)
    if agent.claim is not None and not (isinstance(described, Agent) and described.claim is agent.claim):
        expected = "a claim that stands in the function's own `@expert`"
        raise ConfigError("a file holds no function", field=f"{where}.claim", expected=expected)
    return place_of(agent.tool, f"{where}.tool")


def _whole(agent: Agent, name: str) -> str:
    """A name of something in a file with the file's whole path, since the text may be read anywhere."""
    file, mark, attribute = name.rpartition(":")
    folder = Path(agent.source).parent if agent.source else Path()
    return f"{(folder / file).resolve()}{mark}{attribute}" if file.endswith(".py") else name


def place_of(thing: object, field: str) -> str:
    """`module:name` of a function or class, `file.py:name` where its module was made of a file.

    Raises `ConfigError` where it cannot be found again there.
    """
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    expected = "a function or class at the top of a module that can be imported"
    if not isinstance(module, str) or not isinstance(name, str) or not name.isidentifier() or module == "__main__":
        place = f"`{name}` in `{module}`" if name else repr(thing)
        raise ConfigError(f"no file can name {place}", field=field, expected=expected)
    try:
        home = import_module(module)
    except BROKEN as error:
        raise ConfigError(f"`{module}` cannot be imported: {error}", field=field, expected=expected) from error
    if cast("object", getattr(home, name, None)) is not thing:
        raise ConfigError(f"`{module}` has another `{name}`, or none", field=field, expected=expected)
    return f"{Path(str(home.__file__)).resolve()}:{name}" if module.startswith(MADE_OF_FILES) else f"{module}:{name}"


def _stated(table: Mapping[str, object]) -> dict[str, object]:
    """What a table of TOML can hold of this: no absent values, lists for tuples."""
    plain = {key: list(cast("tuple[object, ...]", v)) if isinstance(v, tuple) else v for key, v in table.items()}
    return {key: value for key, value in plain.items() if value is not None}
