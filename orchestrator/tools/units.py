"""Unit conversion with pint, over exact fractions."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from orchestrator.errors import ToolError
from orchestrator.tools.base import CANNOT, Claim, Resources
from orchestrator.tools.quantities import Conversion, Unconvertible, amount_text, read

if TYPE_CHECKING:
    from orchestrator.tools.quantities import Measure

__all__ = ["MISSING", "answer", "claim"]

MISSING = "needs the extra `local`: pip install 'thinkroute[local]'"
SURE = Claim(0.99)

Registry: TypeAlias = Any
"""pint's registry of units, whose types depend on its settings."""

PINT_NAMES = {
    "us_gallon": "gallon",
    "us_quart": "quart",
    "us_pint": "pint",
    "us_cup": "cup",
    "us_fluid_ounce": "fluid_ounce",
    "us_tablespoon": "tablespoon",
    "us_teaspoon": "teaspoon",
    "tonne": "metric_ton",
    "celsius": "degree_Celsius",
    "fahrenheit": "degree_Fahrenheit",
    "mile_per_hour": "mph",
    "kilometre_per_hour": "kph",
    "atmosphere": "standard_atmosphere",
    "mmhg": "millimeter_Hg",
    "pound_force": "force_pound",
    "electronvolt": "electron_volt",
    "acre": "international_acre",
    "furlong": "international_furlong",
}
"""What pint calls a unit, where it is not our own name for it."""

DEFINITIONS = (
    "international_acre = 43560 * foot ** 2",
    "international_furlong = 660 * foot",
    "square_metre = metre ** 2",
    "square_foot = foot ** 2",
)
"""Units that pint lacks, or takes in the measure of the US survey, which was given up in 2022."""


def claim(question: str, resources: Resources) -> Claim:
    """Sure of every conversion it can read, where pint is installed."""
    del resources
    match read(question):
        case Conversion():
            return SURE if find_spec("pint") else Claim(0.0, MISSING)
        case Unconvertible(why):
            return Claim(0.0, why)
        case None:
            return CANNOT


def answer(question: str, resources: Resources) -> str:
    """The amount in the unit wanted."""
    del resources
    asked = read(question)
    if not isinstance(asked, Conversion):
        raise ToolError(asked.why if asked else "this is no conversion of units")
    if not find_spec("pint"):
        raise ToolError(MISSING)
    registry = _registry()
    target = _unit(registry, asked.target)
    converted = [registry.Quantity(number, _unit(registry, unit)).to(target) for number, unit in asked.parts]
    return amount_text(sum((Fraction(part.magnitude) for part in converted), Fraction(0)), asked.target)


@lru_cache(maxsize=1)
def _registry() -> Registry:
    """One registry for the process: building it takes a fifth of a second."""
    registry: Registry = import_module("pint").UnitRegistry(non_int_type=Fraction)
    for definition in DEFINITIONS:
        registry.define(definition)
    return registry


def _unit(registry: Registry, measure: Measure) -> Registry:
    whole = registry.Unit("")
    for power in measure:
        key = power.unit.key
        whole *= registry.Unit(PINT_NAMES.get(key, key)) ** power.exponent
    return whole
