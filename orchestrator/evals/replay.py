"""What if: an eval's questions again, by other routers, at other prices, within another budget; nobody is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.content import read_toml, shown
from orchestrator.errors import ConfigError, ReplayMismatch, nearest
from orchestrator.evals.store import Done
from orchestrator.evals.suite import Suite
from orchestrator.pool import Pool
from orchestrator.pool.descriptors import Price, checked
from orchestrator.providers import repriced

__all__ = ["at_prices", "not_replayed", "read_prices", "unpriced"]

Usd = Annotated[float, Field(ge=0)]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Usd
    output: Usd


def read_prices(path: Path, suite: Suite) -> dict[str, Price]:
    """USD per 1M tokens by model, from a TOML file of tables `[MODEL]` with `input` and `output`.

    Raises `ConfigError` naming file, field and the nearest model.
    """
    from datetime import date

    file, known = shown(path), sorted(_models(suite))
    prices: dict[str, Price] = {}
    for name, table in read_toml(path).items():
        if name not in known:
            expected, hint = "one of " + ", ".join(known), nearest(name, known)
            raise ConfigError(f"there is no model `{name}`", file=file, field=name, expected=expected, suggestion=hint)
        given = checked(_Row, cast("Mapping[str, object]", table), file=file, where=name)
        prices[name] = Price.model_validate(
            {**{k: _exact(v) for k, v in given.model_dump().items()}, "as_of": date.min, "source": file}
        )
    return prices


def _exact(usd: float) -> object:
    from decimal import Decimal

    return Decimal(str(usd))


def _models(suite: Suite) -> set[str]:
    return set(suite.recorded.mean_costs) if suite.recorded is not None else set(suite.pool.models)


def at_prices(suite: Suite, prices: Mapping[str, Price]) -> Suite:
    """The suite as it would be at other prices; recorded outcomes are billed by the tokens that they record."""
    if suite.recorded is not None:
        file = repriced(suite.recorded, prices)
        return replace(suite, recorded=file, pool=file.pool)
    pool = suite.pool
    models = [
        model.model_copy(update={"price": prices[name], "free": False}) if name in prices else model
        for name, model in pool.models.items()
    ]
    members = [*models, *pool.agents.values(), *pool.risks.values()]
    anew = Pool(members, goals=pool.goals, name=pool.name, router=pool.router, merger=pool.merger)
    return replace(suite, pool=anew)


def unpriced(suite: Suite, prices: Mapping[str, Price]) -> list[str]:
    """Which recorded outcomes could not be billed anew, in words."""
    if suite.recorded is None:
        return []
    notes: list[str] = []
    for name in sorted(prices):
        takes = [case.takes[name] for case in suite.recorded.cases.values() if name in case.takes]
        missing = sum(not take.usage.total for take in takes)
        if missing:
            notes.append(
                f"{missing} of {len(takes)} records of {name} count no tokens: what they would cost is unknown"
            )
    return notes


def not_replayed(done: Iterable[Done]) -> list[str]:
    """Which cases could not be replayed, in words."""
    missing = [each for each in done if (each.error or "").startswith(ReplayMismatch.__name__)]
    if not missing:
        return []
    cases = ", ".join(dict.fromkeys(each.case for each in missing[:5]))
    return [f"{len(missing)} results could not be replayed, since a call was not made before; the first: {cases}"]
