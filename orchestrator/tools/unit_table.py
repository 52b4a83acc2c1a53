"""Unit conversion by a small table of exact factors."""

from __future__ import annotations

from fractions import Fraction
from math import prod

from orchestrator.errors import ToolError
from orchestrator.tools.base import CANNOT, Claim, Resources
from orchestrator.tools.quantities import Conversion, Measure, Unconvertible, amount_text, read

__all__ = ["answer", "claim"]

SURE = Claim(0.97)

INCH = Fraction("0.0254")
FOOT = 12 * INCH
MILE = 5280 * FOOT
GALLON = 231 * INCH**3
IMPERIAL_GALLON = Fraction("0.00454609")
POUND = Fraction("0.45359237")
POUND_FORCE = POUND * Fraction("9.80665")
HOUR = Fraction(3600)
DAY = 24 * HOUR
KILO, MEGA, GIGA = 10**3, 10**6, 10**9
MILLI, MICRO, NANO = Fraction(1, KILO), Fraction(1, MEGA), Fraction(1, GIGA)
CALORIE = Fraction("4.184")
ATMOSPHERE = Fraction(101_325)

FACTORS: dict[str, Fraction | int] = {
    # metres
    "metre": 1, "kilometre": KILO, "centimetre": Fraction(1, 100), "millimetre": MILLI, "decimetre": Fraction(1, 10),
    "micrometre": MICRO, "nanometre": NANO, "inch": INCH, "foot": FOOT, "yard": 3 * FOOT, "mile": MILE,
    "nautical_mile": 1852, "furlong": MILE / 8, "light_year": 9_460_730_472_580_800,
    "astronomical_unit": 149_597_870_700,
    # square metres
    "hectare": 10_000, "acre": 43_560 * FOOT**2, "square_metre": 1, "square_foot": FOOT**2,
    # cubic metres
    "litre": MILLI, "millilitre": MICRO, "centilitre": 10 * MICRO, "decilitre": 100 * MICRO, "us_gallon": GALLON,
    "imperial_gallon": IMPERIAL_GALLON, "us_quart": GALLON / 4, "us_pint": GALLON / 8,
    "imperial_pint": IMPERIAL_GALLON / 8, "us_cup": GALLON / 16, "us_fluid_ounce": GALLON / 128,
    "us_tablespoon": GALLON / 256, "us_teaspoon": GALLON / 768,
    # kilograms
    "kilogram": 1, "gram": MILLI, "milligram": MICRO, "microgram": NANO, "tonne": KILO, "pound": POUND,
    "ounce": POUND / 16, "stone": 14 * POUND, "short_ton": 2000 * POUND, "long_ton": 2240 * POUND,
    "carat": Fraction(1, 5000), "troy_ounce": Fraction("0.0311034768"),
    # seconds
    "second": 1, "minute": 60, "hour": HOUR, "day": DAY, "week": 7 * DAY, "fortnight": 14 * DAY,
    "millisecond": MILLI, "microsecond": MICRO, "nanosecond": NANO,
    # metres per second
    "mile_per_hour": MILE / HOUR, "kilometre_per_hour": KILO / HOUR, "knot": 1852 / HOUR,
    # pascals
    "pascal": 1, "hectopascal": 100, "kilopascal": KILO, "megapascal": MEGA, "bar": 100_000, "millibar": 100,
    "atmosphere": ATMOSPHERE, "psi": POUND_FORCE / INCH**2, "torr": ATMOSPHERE / 760, "mmhg": Fraction("133.322387415"),
    # joules
    "joule": 1, "kilojoule": KILO, "megajoule": MEGA, "calorie": CALORIE, "kilocalorie": KILO * CALORIE,
    "watt_hour": 3600, "kilowatt_hour": 3_600_000, "electronvolt": Fraction("1.602176634e-19"),
    # watts
    "watt": 1, "kilowatt": KILO, "megawatt": MEGA, "horsepower": 550 * FOOT * POUND_FORCE,
    # newtons
    "newton": 1, "kilonewton": KILO, "pound_force": POUND_FORCE,
    # bits
    "bit": 1, "byte": 8, "kilobit": KILO, "megabit": MEGA, "gigabit": GIGA, "kilobyte": 8 * KILO,
    "megabyte": 8 * MEGA, "gigabyte": 8 * GIGA, "terabyte": 8 * KILO * GIGA, "petabyte": 8 * MEGA * GIGA,
    "kibibyte": 8 * 2**10, "mebibyte": 8 * 2**20, "gibibyte": 8 * 2**30, "tebibyte": 8 * 2**40,
    # kelvins
    "celsius": 1, "fahrenheit": Fraction(5, 9), "kelvin": 1,
}  # fmt: skip
"""How many SI units, or bits, one unit is; every factor is exact by definition."""

ZEROS = {"celsius": Fraction("273.15"), "fahrenheit": Fraction("459.67") * 5 / 9}
"""Kelvins at the zero of a scale."""


def claim(question: str, resources: Resources) -> Claim:
    """Sure of every conversion it can read."""
    del resources
    match read(question):
        case Conversion():
            return SURE
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
    base = sum((number * _factor(unit) + _zero(unit) for number, unit in asked.parts), Fraction(0))
    return amount_text((base - _zero(asked.target)) / _factor(asked.target), asked.target)


def _factor(measure: Measure) -> Fraction:
    return prod((Fraction(FACTORS[power.unit.key]) ** power.exponent for power in measure), start=Fraction(1))


def _zero(measure: Measure) -> Fraction:
    return ZEROS.get(measure[0].unit.key, Fraction(0))
