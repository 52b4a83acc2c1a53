"""Questions of the suite `local` on numbers and units, each with its value worked out by fractions alone."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from math import factorial, gcd, isqrt, lcm, prod

from local_forms import (
    Row,
    either,
    factors,
    figures,
    fraction,
    measure,
    mixed,
    number,
    percent,
    places,
    polynomial,
    solutions,
    unknowns,
)

F = Fraction


def linear(slope: Fraction | int, constant: Fraction | int) -> list[Fraction]:
    """The root of slope · x + constant."""
    return [-F(constant) / F(slope)]


def quadratic(second: int, first: int, constant: int) -> list[Fraction]:
    """The rational roots of a quadratic polynomial, each once; raises `ValueError` where they are not rational."""
    under = first * first - 4 * second * constant
    root = isqrt(under)
    if root * root != under:
        raise ValueError(f"{under} is no square")
    return sorted({F(-first - root, 2 * second), F(-first + root, 2 * second)})


def brackets(second: int, first: int, constant: int) -> list[str]:
    """The two factors of a quadratic polynomial that has no other; raises `ValueError` where it has."""
    found = quadratic(second, first, constant)
    if prod(each.denominator for each in found) != second or len(found) != 2:
        raise ValueError(f"{second}x^2 is more than these roots make")
    return [
        f"{'' if each.denominator == 1 else each.denominator}x {'-' if each > 0 else '+'} {abs(each.numerator)}"
        for each in found
    ]


def crossing(one: Sequence[int], other: Sequence[int]) -> list[tuple[str, Fraction]]:
    """Where a x + b y = c and d x + e y = f meet, by Cramer's rule."""
    (a, b, c), (d, e, f) = one, other
    whole = a * e - b * d
    return [("x", F(c * e - b * f, whole)), ("y", F(a * f - c * d, whole))]


def times(*several: Sequence[int]) -> list[int]:
    """The coefficients of a product of polynomials."""
    product = [1]
    for each in several:
        longer = [0] * (len(product) + len(each) - 1)
        for left, one in enumerate(product):
            for right, other in enumerate(each):
                longer[left + right] += one * other
        product = longer
    return product


def root(value: int) -> Decimal:
    """A square root to many digits."""
    return Context(prec=60).sqrt(Decimal(value))


ARITHMETIC: tuple[Row, ...] = (
    ("What is 348 plus 1,297?", number(348 + 1297)),
    ("4096 / 64", number(F(4096, 64))),
    ("please work out 58 × 37", number(58 * 37)),
    ("1001 minus 468", number(1001 - 468)),
    ("What's nineteen times twenty-three?", number(19 * 23)),
    ("(18 + 24) * 3 - 7", number((18 + 24) * 3 - 7)),
    ("2 + 3 * 4^2", number(2 + 3 * 4**2)),
    ("What is the square root of 1764?", number(isqrt(1764))),
    ("square root of 3 to 5 decimal places", places(F(root(3)), 5)),
    ("cube root of 2197", number(next(each for each in range(100) if each**3 == 2197))),
    ("7!", number(factorial(7))),
    ("What is 12 factorial?", number(factorial(12))),
    ("Divide 1 by 8", number(F(1, 8))),
    ("How much is 3.75 times 16?", number(F("3.75") * 16)),
    ("0.1 + 0.2 + 0.3", number(F("0.1") + F("0.2") + F("0.3"))),
    ("$19.99 times 3", number(F("19.99") * 3)),
    ("sum of 17, 28, 39 and 41", number(17 + 28 + 39 + 41)),
    ("What is the average of 12, 15, 21 and 30?", number(F(12 + 15 + 21 + 30, 4))),
    ("product of 6, 7 and 8", number(6 * 7 * 8)),
    ("What is the difference between 5,000 and 1,234?", number(5000 - 1234)),
    ("What is the remainder when 1000 is divided by 37?", number(1000 % 37)),
    ("gcd of 252 and 105", number(gcd(252, 105))),
    ("What is the least common multiple of 12 and 18?", number(lcm(12, 18))),
    ("Subtract 88 from 300, please", number(300 - 88)),
    ("2^64", number(2**64)),
    ("What is -15 - 27?", number(-15 - 27)),
    ("100 divided by 7 to 3 decimal places", places(F(100, 7), 3)),
    ("Round 2.71828 to 3 decimal places", places(F("2.71828"), 3)),
    ("round 98,765 to the nearest thousand", number(round(F(98_765), -3))),
    ("1 / 81", number(F(1, 81))),
    ("What's 2.5 million divided by 40?", number(F(2_500_000, 40))),
    ("twice 345", number(2 * 345)),
    ("absolute value of -42.5", number(abs(F("-42.5")))),
    ("Could you calculate 15 squared plus 8 squared?", number(15**2 + 8**2)),
    ("22/7 to 4 significant figures", (figures(F(22, 7), 4),)),
    ("add 0.75 and 1.125", number(F("0.75") + F("1.125"))),
    ("multiply 125 by 0.08", number(125 * F("0.08"))),
    ("hi, what is 17 * 23?", number(17 * 23)),
    ("17 + 4 × (9 − 3) ÷ 2", number(17 + F(4 * (9 - 3), 2))),
    ("What does 45 times 12 equal?", number(45 * 12)),
)

PERCENT: tuple[Row, ...] = (
    ("What is 17.5% of 480?", number(F("17.5") / 100 * 480)),
    ("12% of 75", number(F(12, 100) * 75)),
    ("30 is what percent of 120?", percent(F(30, 120))),
    ("What percentage of 250 is 45?", percent(F(45, 250))),
    ("increase 80 by 12.5%", number(80 * (1 + F("0.125")))),
    ("Decrease 640 by 35%", number(640 * F(65, 100))),
    ("20% off $45", number(45 * F(80, 100))),
    ("what is 7 per cent of 1,250", number(F(7, 100) * 1250)),
    ("0.35 as a percentage", percent(F("0.35"))),
    ("5/16 as a percentage", percent(F(5, 16))),
    ("150% of 64", number(F(150, 100) * 64)),
    ("What's 8.25% of $60?", number(F("8.25") / 100 * 60)),
    ("2/7 as a percentage to 2 decimal places", percent(F(2, 7), 2)),
    ("25% of 12% of 5000", number(F(25, 100) * F(12, 100) * 5000)),
    ("18 as a percentage of 72", percent(F(18, 72))),
    ("decrease 90 by 15%", number(90 * F(85, 100))),
    ("0.5% of 2400", number(F("0.5") / 100 * 2400)),
    ("what percent of 60 is 75", percent(F(75, 60))),
    ("Please calculate 33% of 200", number(F(33, 100) * 200)),
    ("three percent of 900", number(F(3, 100) * 900)),
    ("how much is 45 percent of 220?", number(F(45, 100) * 220)),
    ("15% off of 240", number(240 * F(85, 100))),
    ("48 is what percentage of 64?", percent(F(48, 64))),
    ("1/3 as a percent to 1 decimal place", percent(F(1, 3), 1)),
    ("What is 110% of 90?", number(F(110, 100) * 90)),
    ("ten percent of fifty", number(F(10, 100) * 50)),
    ("What is 6% of 4.5 million?", number(F(6, 100) * 4_500_000)),
    ("5% of 19.99 to 2 decimal places", places(F(5, 100) * F("19.99"), 2)),
    ("1200 * 1.05^3", number(1200 * F("1.05") ** 3)),
    ("What is 12.5% of 2/5?", either(F("0.125") * F(2, 5))),
)

FRACTIONS: tuple[Row, ...] = (
    ("1/2 + 1/3", either(F(1, 2) + F(1, 3))),
    ("3/4 - 1/6 as a fraction", fraction(F(3, 4) - F(1, 6))),
    ("What is 5/8 times 4/15 as a fraction?", fraction(F(5, 8) * F(4, 15))),
    ("divide 7/9 by 14/27", either(F(7, 9) / F(14, 27))),
    ("simplify 84/126", fraction(F(84, 126))),
    ("Write 45/60 in lowest terms", fraction(F(45, 60))),
    ("2 1/3 + 1 3/4", either(F(7, 3) + F(7, 4))),
    ("write 0.625 as a fraction", fraction(F("0.625"))),
    ("0.04 as a fraction", fraction(F("0.04"))),
    ("17/5 as a mixed number", mixed(F(17, 5))),
    ("What is 2/3 of 84?", number(F(2, 3) * 84)),
    ("three quarters of 260", number(F(3, 4) * 260)),
    ("1/2 + 1/4 + 1/8", either(F(1, 2) + F(1, 4) + F(1, 8))),
    ("What is 9/16 as a decimal?", number(F(9, 16))),
    ("half of 3/5", either(F(1, 2) * F(3, 5))),
    ("(1/2) / (3/4)", either(F(1, 2) / F(3, 4))),
    ("3/5 of 1/4", either(F(3, 5) * F(1, 4))),
    ("What is 11/12 minus 5/8?", either(F(11, 12) - F(5, 8))),
    ("1/3 + 0.5 as a fraction", fraction(F(1, 3) + F(1, 2))),
    ("-7/3 as a mixed number", mixed(F(-7, 3))),
    ("Express 1.75 as a fraction", fraction(F("1.75"))),
    ("Can you convert 0.2 to a fraction?", fraction(F("0.2"))),
    ("2½ + 3¾", either(F(5, 2) + F(15, 4))),
    ("what is a quarter of 3/7 as a fraction?", fraction(F(1, 4) * F(3, 7))),
    ("(2/3)^3 as a fraction", fraction(F(2, 3) ** 3)),
    ("5/6 to 3 decimal places", places(F(5, 6), 3)),
)

ALGEBRA: tuple[Row, ...] = (
    ("solve 3x + 7 = 22", solutions("x", linear(3, 7 - 22))),
    ("What is x if 5x - 4 = 2x + 11?", solutions("x", linear(3, -15))),
    ("4y = 18", solutions("y", linear(4, -18))),
    ("Solve for n: 7(n - 3) = 2n + 4", solutions("n", linear(5, -25))),
    ("solve x/3 + 2 = 9", solutions("x", linear(F(1, 3), -7))),
    ("Find x when 0.5x = 8", solutions("x", linear(F(1, 2), -8))),
    ("solve 2(3t + 1) - 5 = t", solutions("t", linear(5, -3))),
    ("solve x^2 - 7x + 12 = 0", solutions("x", quadratic(1, -7, 12))),
    ("solve x² = 49", solutions("x", quadratic(1, 0, -49))),
    ("roots of x^2 + 3x - 10", solutions("x", quadratic(1, 3, -10))),
    ("Solve 2x^2 + 5x - 3 = 0 for x", solutions("x", quadratic(2, 5, -3))),
    ("x^2 - 6x + 9 = 0", solutions("x", quadratic(1, -6, 9))),
    ("solve 6z^2 - z - 2 = 0", solutions("z", quadratic(6, -1, -2))),
    ("What are the solutions of x^2 = 5x?", solutions("x", quadratic(1, -5, 0))),
    ("x squared plus x minus 20 equals 0", solutions("x", quadratic(1, 1, -20))),
    ("solve x + y = 12, x - y = 4", unknowns(crossing((1, 1, 12), (1, -1, 4)))),
    ("solve the system 2x + 3y = 13 and x - y = -1", unknowns(crossing((2, 3, 13), (1, -1, -1)))),
    ("solve 4x + y = 9, 2x - 3y = 8", unknowns(crossing((4, 1, 9), (2, -3, 8)))),
    ("x + 2y = 7; 3x - 2y = 5", unknowns(crossing((1, 2, 7), (3, -2, 5)))),
    ("expand (x + 3)(x - 5)", polynomial(times([1, 3], [1, -5]))),
    ("Expand (2x - 1)^2", polynomial(times([2, -1], [2, -1]))),
    ("multiply out (x - 1)(x + 1)(x + 2)", polynomial(times([1, -1], [1, 1], [1, 2]))),
    ("expand (a + 1)^4", polynomial(times(*[[1, 1]] * 4), "a")),
    ("factor x^2 - 9", factors(brackets(1, 0, -9))),
    ("factorise x^2 + 7x + 10", factors(brackets(1, 7, 10))),
    ("Factor 2x^2 + 7x + 3", factors(brackets(2, 7, 3))),
    ("simplify (x^2 - 4)/(x - 2)", polynomial([1, 2])),
    ("simplify 3x + 5 - x + 2", polynomial([3 - 1, 5 + 2])),
    ("simplify 4(a - 2) + 3a", polynomial([4 + 3, -8], "a")),
    ("Solve 3x = 2 for x", solutions("x", linear(3, -2))),
)

INCH = F("0.0254")
FOOT, YARD, MILE = 12 * INCH, 36 * INCH, 63_360 * INCH
POUND = F("0.45359237")
OUNCE = POUND / 16
US_GALLON = 231 * INCH**3
IMPERIAL_PINT = F("0.00454609") / 8
POUND_FORCE = POUND * F("9.80665")

UNITS: tuple[Row, ...] = (
    ("Convert 10 miles to kilometres", measure(10 * MILE / 1000, "km", "kilometres", "kilometers")),
    ("5 km in miles", measure(5000 / MILE, "mi", "miles")),
    ("How many inches are in 3 feet?", measure(36, "in", "inches")),
    ("100 °C in °F", measure(F(100) * F(9, 5) + 32, "°F", "degrees Fahrenheit")),
    ("98.6 F to C", measure((F("98.6") - 32) * F(5, 9), "°C", "degrees Celsius")),
    ("-10 °C to °F", measure(F(-10) * F(9, 5) + 32, "°F", "degrees Fahrenheit")),
    ("25 C to K", measure(25 + F("273.15"), "K", "kelvin")),
    ("How hot is 350 F in celsius?", measure((F(350) - 32) * F(5, 9), "°C", "degrees Celsius")),
    ("How many grams in 2.5 kg?", measure(2500, "g", "grams")),
    ("250 g to ounces", measure(F(250, 1000) / OUNCE, "oz", "ounces")),
    ("12 stone in kg", measure(12 * 14 * POUND, "kg", "kilograms")),
    ("convert 75 kg to pounds", measure(75 / POUND, "lb", "pounds")),
    ("How many ounces are there in a pound?", measure(16, "oz", "ounces")),
    ("3 lb 4 oz in grams", measure((3 * POUND + 4 * OUNCE) * 1000, "g", "grams")),
    ("1 tonne in pounds", measure(1000 / POUND, "lb", "pounds")),
    ("10 carats in grams", measure(F(10 * 200, 1000), "g", "grams")),
    ("6 ft 2 in in cm", measure((6 * FOOT + 2 * INCH) * 100, "cm", "centimetres", "centimeters")),
    ("How many yards in a mile?", measure(MILE / YARD, "yd", "yards")),
    ("400 m in yards", measure(400 / YARD, "yd", "yards")),
    ("0.5 inches in mm", measure(INCH / 2 * 1000, "mm", "millimetres", "millimeters")),
    ("half a mile in metres", measure(MILE / 2, "m", "metres", "meters")),
    ("What is 42.195 km in miles?", measure(42_195 / MILE, "mi", "miles")),
    ("how far is 26 miles in km?", measure(26 * MILE / 1000, "km", "kilometres", "kilometers")),
    ("1 nautical mile in metres", measure(1852, "m", "metres", "meters")),
    ("90 minutes in hours", measure(F(90, 60), "h", "hours")),
    ("how many seconds are there in a day", measure(24 * 60 * 60, "s", "seconds")),
    ("2 weeks in hours", measure(2 * 7 * 24, "h", "hours")),
    ("2 hours 45 minutes in minutes", measure(2 * 60 + 45, "min", "minutes")),
    ("1.5 litres in millilitres", measure(1500, "mL", "millilitres", "milliliters")),
    ("3 US gallons in litres", measure(3 * US_GALLON * 1000, "L", "litres", "liters")),
    ("1 imperial pint in ml", measure(IMPERIAL_PINT * 10**6, "mL", "millilitres", "milliliters")),
    ("5 cubic metres to litres", measure(5000, "L", "litres", "liters")),
    ("70 mph to km/h", measure(70 * MILE / 1000, "km/h", "kilometres per hour")),
    ("15 m/s in km/h", measure(F(15 * 3600, 1000), "km/h", "kilometres per hour")),
    ("20 knots in km/h", measure(F(20 * 1852, 1000), "km/h", "kilometres per hour")),
    ("3 acres in square metres", measure(3 * 43_560 * FOOT**2, "m²", "square metres")),
    ("2 square miles in square kilometres", measure(2 * MILE**2 / 10**6, "km²", "square kilometres")),
    ("2 bar in kPa", measure(200, "kPa", "kilopascals")),
    ("30 psi in bar", measure(30 * POUND_FORCE / INCH**2 / 100_000, "bar")),
    ("3 kWh in MJ", measure(F(3 * 3600 * 1000, 10**6), "MJ", "megajoules")),
    ("How many bytes in 4 KiB?", measure(4 * 1024, "B", "bytes")),
    ("64 Mbit in MB", measure(F(64 * 10**6, 8 * 10**6), "MB", "megabytes")),
)
