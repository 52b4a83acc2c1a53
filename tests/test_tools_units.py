"""Two ways to convert units agree on every unit, there and back, and refuse alike."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import ToolError
from orchestrator.tools import unit_table, units
from orchestrator.tools.base import Resources
from orchestrator.tools.numerals import measure_text
from orchestrator.tools.unit_names import NAMES, UNSURE

if TYPE_CHECKING:
    from types import ModuleType

NOTHING = Resources()
BOTH = [units, unit_table]

BASES = {
    "length": "metres",
    "area": "m^2",
    "volume": "m^3",
    "mass": "kg",
    "time": "seconds",
    "speed": "m/s",
    "pressure": "Pa",
    "energy": "joules",
    "power": "W",
    "force": "N",
    "data": "bits",
    "temperature": "K",
}
PAIRS = sorted((one, two) for one, a in NAMES.items() for two, b in NAMES.items() if a.kind == b.kind)


def value(answer: str) -> Fraction:
    return Fraction(answer.split(" ", maxsplit=1)[0].replace("e", "E"))


@pytest.mark.parametrize("name", sorted(NAMES))
def test_both_ways_know_every_unit_alike(name: str) -> None:
    question = f"1 {name} to {BASES[NAMES[name].kind]}"
    first, second = (module.answer(question, NOTHING) for module in BOTH)
    assert first == second


@given(st.sampled_from(PAIRS), st.decimals(-10_000, 10_000, places=2).map(Fraction))
@settings(max_examples=150)
def test_there_and_back(pair: tuple[str, str], amount: Fraction) -> None:
    one, two = pair
    for module in BOTH:
        there = module.answer(f"{measure_text(amount)} {one} to {two}", NOTHING).split(" ")[0]
        back = value(module.answer(f"{there} {two} to {one}", NOTHING))
        assert abs(back - amount) <= max(abs(amount), 1) * Fraction(1, 10**8)


@given(st.decimals(-459, 10_000, places=1).map(Fraction))
def test_temperatures_follow_the_formula(fahrenheit: Fraction) -> None:
    expected = measure_text((fahrenheit - 32) * Fraction(5, 9))
    for module in BOTH:
        assert module.answer(f"{measure_text(fahrenheit)} °F in °C", NOTHING) == f"{expected} °C"


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("5 kg to metres", "cannot convert kg (mass) to m (length)"),
        ("5 m to m^2", "cannot convert m (length) to m² (area)"),
        ("5 km/h to kg/m^3", "cannot convert km/h (speed) to kg/m³ (a compound unit)"),
        ("10 tons to kg", "a ton may be a tonne, a short ton or a long ton: say which"),
        ("10 kg to tons", "a ton may be a tonne, a short ton or a long ton: say which"),
        ("10 square tons to kg", "a ton may be a tonne, a short ton or a long ton: say which"),
        ("10 tons per m^2 to Pa", "a ton may be a tonne, a short ton or a long ton: say which"),
        ("2 years in days", "months and years have no fixed length: ask for days, or between two dates"),
        ("5 C/m to K/ft", "temperatures are converted one at a time, without other units"),
        ("5 C 3 F to K", "temperatures are converted one at a time, without other units"),
    ],
)
def test_impossible_conversions_say_why(module: ModuleType, question: str, why: str) -> None:
    claim = module.claim(question, NOTHING)
    assert (claim.p, claim.why) == (0, why)
    with pytest.raises(ToolError) as caught:
        module.answer(question, NOTHING)
    assert str(caught.value) == why


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(
    "question",
    [
        "5 squared m to m",
        "5 square cubic m to m",
        "5 square hours hours to s",
        "5 square kg to kg",
        "1/0 m to km",
        "1 m 2 m 3 m 4 m 5 m to km",
        "m to km",
        "5 m to",
        "5 m/ to km",
        "5 /s to 1/s",
        f"5 {'m' * 50} to km",
        f"{'9' * 101} m to km",
        "5 parsnips to carrots",
        "5 tons to parsnips",
        "how many days are in love",
    ],
)
def test_nonsense_is_not_claimed(module: ModuleType, question: str) -> None:
    assert module.claim(question, NOTHING).p == 0
    with pytest.raises(ToolError):
        module.answer(question, NOTHING)


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("please convert 1,000 metres to km", "1 km"),
        ("how long is 90 minutes in hours", "1.5 h"),
        ("what is an hour in seconds?", "3600 s"),
        ("-2 1/2 m in cm", "-250 cm"),
        ("3/4 mile to feet", "3960 ft"),
        ("5 feet and 10 inches in cm", "177.8 cm"),
        ("1 square foot in square inches", "144 in²"),
        ("2 metres squared to cm2", "20000 cm²"),
        ("1 m^4 to cm^4", "100000000 cm^4"),
        ("1 cu ft to cubic inches", "1728 in³"),
        ("9.81 m/s^2 to cm/s^2", "981 cm/s²"),
        ("1 g/cm3 to kg/m3", "1000 kg/m³"),
        ("7 days in weeks", "1 week"),
        ("3 t in short tons", "3.30693393277 short tons"),
        ("1 lb to kg", "0.45359237 kg"),
        ("1 yd to m", "0.9144 m"),
        ("5 µm to nm", "5000 nm"),
        ("how many ounces does a pound have", "16 oz"),
        ("1 eV to J", "1.602176634e-19 J"),
    ],
)
def test_amounts_as_people_write_them(module: ModuleType, question: str, answer: str) -> None:
    assert module.answer(question, NOTHING) == answer


def test_ambiguous_names_are_no_units() -> None:
    assert not UNSURE.keys() & NAMES.keys()
