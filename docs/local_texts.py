"""Questions of the suite `local` on dates, documents and tables, and those that nobody can answer."""

from __future__ import annotations

import csv
from calendar import isleap, monthrange
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path

from local_forms import Forms, Row, day, days, distinct, number, weekday, weeks, yes

HERE = Path(__file__).parents[1] / "evals" / "local"


def between(first: date, last: date) -> int:
    """Days from one date to another."""
    return (last - first).days


def after(start: date, *, count: int) -> date:
    """The date so many days later."""
    return start + timedelta(days=count)


CALENDAR: tuple[Row, ...] = (
    ("How many days from 2025-03-01 to 2025-12-31?", days(between(date(2025, 3, 1), date(2025, 12, 31)))),
    ("how many days between 14 February 2026 and 1 May 2026", days(between(date(2026, 2, 14), date(2026, 5, 1)))),
    ("What weekday is 2027-01-01?", weekday(date(2027, 1, 1))),
    ("What day of the week was 9 November 1989?", weekday(date(1989, 11, 9))),
    ("which day was 20 July 1969", weekday(date(1969, 7, 20))),
    ("On what day of the week does 29 February 2028 fall?", weekday(date(2028, 2, 29))),
    ("What weekday is 31/12/2026?", weekday(date(2026, 12, 31))),
    ("What day was Dec 7, 1941?", weekday(date(1941, 12, 7))),
    ("What date is 45 days after 2026-01-15?", day(after(date(2026, 1, 15), count=45))),
    ("what is the date 100 days before 31 December 2026?", day(after(date(2026, 12, 31), count=-100))),
    ("2026-01-15 + 3 months", day(date(2026, 1, 15).replace(month=1 + 3))),
    ("add 6 weeks to 2026-05-04", day(after(date(2026, 5, 4), count=42))),
    ("subtract 30 days from 2026-03-15", day(after(date(2026, 3, 15), count=-30))),
    ("3 years after 2026-08-20", day(date(2026, 8, 20).replace(year=2026 + 3))),
    ("2 weeks before 10 June 2026", day(after(date(2026, 6, 10), count=-14))),
    ("10 days before March 5, 2024", day(after(date(2024, 3, 5), count=-10))),
    ("What is 90 days from July 4th, 2026?", day(after(date(2026, 7, 4), count=90))),
    ("a fortnight after 3 May 2026", day(after(date(2026, 5, 3), count=14))),
    ("1 year, 2 months and 3 days after 2025-01-10", day(date(2025 + 1, 1 + 2, 10 + 3))),
    ("Which date is twelve weeks after 2 March 2026?", day(after(date(2026, 3, 2), count=84))),
    ("what day of the week is 1000 days after 2026-01-01", weekday(after(date(2026, 1, 1), count=1000))),
    ("Is 2100 a leap year?", yes(true=isleap(2100))),
    ("Was 2000 a leap year?", yes(true=isleap(2000))),
    ("is 2023 a leap year", yes(true=isleap(2023))),
    ("When is the next leap year after 2097?", (str(next(year for year in range(2098, 2120) if isleap(year))),)),
    ("How many days are in February 2100?", days(monthrange(2100, 2)[1])),
    ("how many days in April 2026", days(monthrange(2026, 4)[1])),
    ("How many days does 2028 have?", days(366 if isleap(2028) else 365)),
    (
        "How many weeks are there between 2026-01-05 and 2026-03-02?",
        weeks(between(date(2026, 1, 5), date(2026, 3, 2))),
    ),
    ("how many weeks from 2026-09-01 to 2026-12-24", weeks(between(date(2026, 9, 1), date(2026, 12, 24)))),
    ("how long is it from 2026-06-01 to 2026-09-01", days(between(date(2026, 6, 1), date(2026, 9, 1)))),
    (
        "how many days until 25 December 2026 from 1 October 2026?",
        days(between(date(2026, 10, 1), date(2026, 12, 25))),
    ),
    ("2026-10-01 - 2026-07-04", days(between(date(2026, 7, 4), date(2026, 10, 1)))),
    (
        "How many days are there from 1st May 2026 to 1st June 2026?",
        days(between(date(2026, 5, 1), date(2026, 6, 1))),
    ),
    ("Days between 28/02/2028 and 15/03/2028?", days(between(date(2028, 2, 28), date(2028, 3, 15)))),
)


def quoted(file: str, fact: str, *short: str) -> Forms:
    """The paragraph that states a fact, with the file and line that the fact begins on, or the fact alone."""
    lines = (HERE / "docs" / file).read_text(encoding="utf-8").splitlines()
    (at,) = [number for number, line in enumerate(lines) if fact in line]
    first = last = at
    while first and lines[first - 1].strip() and not lines[first - 1].startswith("#"):
        first -= 1
    while last + 1 < len(lines) and lines[last + 1].strip():
        last += 1
    paragraph = " ".join(lines[first : last + 1])
    return distinct((f"{paragraph} ({file}:{at + 1})", *short))


MEMBERS, LENDING, OPENING = "membership.md", "lending.md", "opening.txt"
WORKSHOP, REPAIRS, OFFICE = "workshop.md", "repair-evenings.md", "office.md"

DOCUMENTS: tuple[Row, ...] = (
    ("What does a full membership cost?", quoted(MEMBERS, "48 pounds", "48 pounds a year")),
    ("How much do students and pensioners pay?", quoted(MEMBERS, "20 pounds", "20 pounds", "20 pounds a year")),
    ("How many people may share one card?", quoted(MEMBERS, "up to five people", "up to five", "five")),
    ("What do new members have to bring?", quoted(MEMBERS, "New members bring")),
    ("What does it cost to replace a lost card?", quoted(MEMBERS, "4 pounds", "4 pounds")),
    ("How do memberships end?", quoted(MEMBERS, "Memberships end")),
    ("How many tools can members borrow?", quoted(LENDING, "six tools", "six", "up to six")),
    ("How long is the loan period?", quoted(LENDING, "The loan period")),
    ("How often is a loan renewed?", quoted(LENDING, "renewed twice", "twice at most")),
    ("What is the fine for late returns?", quoted(LENDING, "50 pence", "50 pence a day and tool")),
    ("What happens if I break a tool by misuse?", quoted(LENDING, "breaks a tool")),
    ("Who buys drill bits and sandpaper?", quoted(LENDING, "Blades, drill bits", "borrowers buy them themselves")),
    ("What deposit do chainsaws need?", quoted(LENDING, "80 pounds", "80 pounds")),
    ("When is the lending desk open?", quoted(OPENING, "The lending desk")),
    ("Is the library closed between Christmas and New Year?", quoted(OPENING, "Between Christmas", "yes")),
    ("Where are power tools handed in?", quoted(OPENING, "power tools are handed in", "at the desk")),
    ("Which extension does the telephone have?", quoted(OPENING, "extension 271", "271")),
    ("How many benches are there in the workshop?", quoted(WORKSHOP, "eight benches", "eight", "8")),
    ("Who may use the lathe?", quoted(WORKSHOP, "use the lathe", "only people with an induction")),
    ("Who services the band saw?", quoted(WORKSHOP, "band saw", "Kessler and Daughters")),
    ("Where are goggles worn?", quoted(WORKSHOP, "Goggles are worn")),
    ("where does the first aid kit hang", quoted(WORKSHOP, "first aid kit", "left of the sink")),
    ("Do children have to stay outside the workshop?", quoted(WORKSHOP, "Children under 14")),
    ("What do volunteers mend for visitors?", quoted(REPAIRS, "volunteers mend")),
    ("Why are microwave ovens not opened?", quoted(REPAIRS, "Microwave ovens")),
    ("How many things went home mended last year?", quoted(REPAIRS, "287 went home", "287")),
    ("Who coordinates the volunteers?", quoted(REPAIRS, "Maren Holt", "Maren Holt")),
    ("sewing machines: whose business?", quoted(REPAIRS, "Idris Bowen", "Idris Bowen")),
    ("When does the code of the safe change?", quoted(OFFICE, "Its code changes")),
    ("How much are volunteers paid back for lunch?", quoted(OFFICE, "9 pounds", "up to 9 pounds")),
    ("Who insures the building and its contents?", quoted(OFFICE, "Larkfield Mutual", "Larkfield Mutual")),
    ("What are radiators set to on opening days?", quoted(OFFICE, "18 degrees", "18 degrees")),
    ("When was the boiler installed?", quoted(OFFICE, "installed in 2019", "2019", "in 2019")),
)

Line = Mapping[str, str]
Keep = Callable[[Line], bool]


@cache
def rows(name: str) -> list[Line]:
    """The rows of a table; decimal commas, where a semicolon parts the cells, become points."""
    with (HERE / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        head = stream.readline()
        mark = ";" if ";" in head else ","
        stream.seek(0)
        found = list(csv.DictReader(stream, delimiter=mark))
    if mark == ",":
        return [*found]
    return [{key: cell.replace(",", ".") for key, cell in row.items()} for row in found]


def cells(name: str, column: str, keep: Keep = lambda _: True) -> list[Decimal]:
    """The numbers of a column in the rows that are kept; empty cells are left out."""
    texts = [row[column].replace(",", "") for row in rows(name) if keep(row)]
    return [Decimal(text) for text in texts if text]


def count(name: str, keep: Keep) -> Forms:
    """How many rows are kept."""
    return number(sum(1 for row in rows(name) if keep(row)))


def total(found: list[Decimal]) -> Forms:
    """Their sum."""
    return number(sum(found, Decimal(0)))


def mean(found: list[Decimal]) -> Forms:
    """Their arithmetic mean."""
    return number(sum(map(Fraction, found), Fraction(0)) / len(found))


def is_(column: str, value: str) -> Keep:
    """Whether a cell is this text."""
    return lambda row: row[column] == value


def above(column: str, least: str, *, or_equal: bool = False) -> Keep:
    """Whether there is a number, and it is larger than this."""

    def keep(row: Line) -> bool:
        text = row[column].replace(",", "")
        return bool(text) and (Decimal(text) > Decimal(least) or (or_equal and Decimal(text) == Decimal(least)))

    return keep


BROOK, HARBOUR, MILL = (is_("branch", name) for name in ("Brook Street", "Harbour", "Mill Yard"))
SAWS, DRILLS = is_("category", "saws"), is_("category", "drills")
HARTLEY, NORTHGATE = is_("supplier", "Hartley"), is_("supplier", "Northgate Supplies")
LIBRARY, SHOP = is_("building", "library"), is_("building", "workshop")

TOTALS: tuple[Row, ...] = (
    ("What is the total of fines in loans.csv?", total(cells("loans", "fines"))),
    ("sum of loans in loans.csv where branch = Harbour", total(cells("loans", "loans", HARBOUR))),
    ("average loans in loans.csv", mean(cells("loans", "loans"))),
    ("Average fines in loans.csv where category = saws", mean(cells("loans", "fines", SAWS))),
    ("how many rows are there in loans.csv where branch is Mill Yard", count("loans", MILL)),
    ("How many rows in loans.csv where loans >= 15?", count("loans", above("loans", "15", or_equal=True))),
    ("count of fines in loans.csv", number(len(cells("loans", "fines")))),
    ("highest fines in loans.csv", number(max(cells("loans", "fines")))),
    ("lowest loans in loans.csv where branch is Brook Street", number(min(cells("loans", "loans", BROOK)))),
    ("what is the maximum renewals where category is drills?", number(max(cells("loans", "renewals", DRILLS)))),
    (
        'sum of loans where branch = "Brook Street" and category = saws',
        total(cells("loans", "loans", lambda row: BROOK(row) and SAWS(row))),
    ),
    (
        "total loans in loans.csv where date >= 2026-04-01",
        total(cells("loans", "loans", lambda row: row["date"] >= "2026-04-01")),
    ),
    (
        "sum of renewals in loans.csv where date < 2026-03-01 and branch = Harbour",
        total(cells("loans", "renewals", lambda row: row["date"] < "2026-03-01" and HARBOUR(row))),
    ),
    (
        "total fines where branch is not Harbour",
        total(cells("loans", "fines", lambda row: row["branch"] != "Harbour")),
    ),
    ("mean renewals in loans.csv where loans > 10", mean(cells("loans", "renewals", above("loans", "10")))),
    ("sum of copies in purchases.csv", total(cells("purchases", "copies"))),
    ("What is the average unit price in purchases.csv?", mean(cells("purchases", "unit price"))),
    ("highest unit price in purchases.csv", number(max(cells("purchases", "unit price")))),
    ("total copies where supplier is Hartley", total(cells("purchases", "copies", HARTLEY))),
    (
        "minimum unit price in purchases.csv where supplier = Hartley",
        number(min(cells("purchases", "unit price", HARTLEY))),
    ),
    ("average unit price where supplier is Northgate Supplies", mean(cells("purchases", "unit price", NORTHGATE))),
    ("how many rows in purchases.csv where unit price > 100", count("purchases", above("unit price", "100"))),
    (
        "Show me the sum of copies in purchases.csv where ordered >= 2026-01-01",
        total(cells("purchases", "copies", lambda row: row["ordered"] >= "2026-01-01")),
    ),
    (
        'What is the sum of unit price where item = "extension ladder, 6 m"',
        total(cells("purchases", "unit price", is_("item", "extension ladder, 6 m"))),
    ),
    (
        "sum of copies in purchases where supplier = Belt & Grain",
        total(cells("purchases", "copies", is_("supplier", "Belt & Grain"))),
    ),
    ("What is the total kwh in heating.csv?", total(cells("heating", "kwh"))),
    ("sum of gas cost in heating.csv where building = library", total(cells("heating", "gas cost", LIBRARY))),
    ("Highest kwh where building is workshop", number(max(cells("heating", "kwh", SHOP)))),
    ("average gas cost in heating.csv", mean(cells("heating", "gas cost"))),
    ("total gas cost where month = 2026-01", total(cells("heating", "gas cost", is_("month", "2026-01")))),
    ("How many rows are there in heating.csv?", count("heating", lambda _: True)),
    ("minimum kwh in heating.csv where building = library", number(min(cells("heating", "kwh", LIBRARY)))),
)

UNANSWERABLE: tuple[str, ...] = (
    "What number am I thinking of?",
    "What did I have for breakfast yesterday?",
    "Who will win the next football world cup?",
    "asdf qwer zxcv",
    "What does a parking permit cost?",
    "Which wine is served at the summer party?",
    "How much does the treasurer earn?",
    "Convert 5 kilograms to metres",
    "How many litres in a kilometre?",
    "How many days are in 3 months?",
    "2 tons in kg",
    "20 °C plus 5 metres in inches",
    "What weekday is 2026-02-30?",
    "What weekday is 03/04/2026?",
    "How many days from 2026-04-31 to 2026-05-10?",
    "What date is 10 days after 29 February 2027?",
    "How many days until my grandmother's birthday?",
    "1 / 0",
    "What is 5 divided by zero?",
    "(3 + 4",
    "sqrt(2) as a fraction",
    "10% + 5",
    "gcd of 12",
    "10/3 to the nearest banana",
    "solve x + y = 10",
    "sum of colour in loans.csv",
    "total fines in visitors.csv",
    "sum of branch in loans.csv",
    "average fines in loans.csv where branch = Atlantis",
    "how many rows in loans.csv where fines > plenty",
)
"""Nothing is right here: facts are nowhere, units do not fit, a date does not exist, or it may mean two things."""

ELSEWHERE: tuple[str, ...] = (
    "Who painted the Mona Lisa?",
    "What is the boiling point of tungsten?",
    "What is the capital of Mongolia?",
    "Translate good morning into Basque",
    "Which element has the symbol Sb?",
)
"""Somebody knows, but neither the tools nor the documents of this suite."""
