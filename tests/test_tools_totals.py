"""Totals are exact, conditions mean what they say, and no cell is passed over in silence."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import ToolError
from orchestrator.tools import tables, totals
from orchestrator.tools.base import Claim, Resources
from orchestrator.tools.tables import plain_name
from tests.commands import orchestrate
from tests.tools_cases import RESOURCES


def given_table(folder: Path, text: str | bytes, name: str = "t.csv") -> Resources:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Resources(tables=(path,))


def fails(question: str, resources: Resources) -> str:
    with pytest.raises(ToolError) as caught:
        totals.answer(question, resources)
    return str(caught.value)


UNORDERED = (
    "sales.csv, row 2, column `product`: cannot tell whether `mantel clock` > `3`; "
    "numbers and dates such as 2026-12-25 can be ordered"
)
AMOUNTS = st.lists(st.decimals(-(10**9), 10**9, places=4), min_size=1, max_size=30)


@given(AMOUNTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_totals_are_exact(tmp_path: Path, amounts: list[Decimal]) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerows([["name", "amount"], *([f"n,{amount}", amount] for amount in amounts)])
    resources = given_table(tmp_path, stream.getvalue())
    assert Fraction(totals.answer("sum of amount in t.csv", resources)) == sum(map(Fraction, amounts))
    assert Fraction(totals.answer("min amount in t.csv", resources)) == min(amounts)
    assert Fraction(totals.answer("max amount in t.csv", resources)) == max(amounts)
    assert totals.answer("how many rows in t.csv", resources) == str(len(amounts))


@pytest.mark.parametrize(
    "text",
    [
        "region,amount\nnorth,1.5\nsouth,2",
        "\ufeffregion,amount\r\nnorth,1.5\r\nsouth,2\r\n",
        "region;amount\nnorth;1,5\nsouth;2",
        "region\tamount\nnorth\t1.5\nsouth\t2",
        "region|amount\n\nnorth|1.5\n\nsouth|2\n",
        '"region","amount"\n"north","1.5"\n"so, uth","2"',
        "region,amount\nnorth, 1.5 \nsouth,2.0",
        "région,amount\nnörth,1.5\nsouth,2".encode("cp1252"),
        "region,amount\nnorth,1.5\nsouth,2".encode("utf-16"),
    ],
)
def test_dialects_and_encodings(tmp_path: Path, text: str | bytes) -> None:
    assert totals.answer("What is the total amount in t.csv?", given_table(tmp_path, text)) == "3.5"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("sum of unit price in t.csv", "1234.75"),
        ("sum of Unit_Price in t.csv", "1234.75"),
        ("average unit-price in t.csv", "411.583333333"),
        ("count of unit price in t.csv", "3"),
        ("count of rows in t.csv", "4"),
        ("sum of unit price in t.csv where note = salt and pepper", "1234.5"),
        ("sum of unit price in t.csv where note = 'salt and pepper' and unit price > 1,000", "1234.5"),
        ("how many rows in t.csv where unit price = 0.250", "1"),
        ("how many rows in t.csv where unit price != 0.25", "3"),
        ("how many rows in t.csv where unit price <= 0.25", "2"),
        ("how many rows in t.csv where day < 2026-02-01", "1"),
        ("how many rows in t.csv where day is at least 2026-02-01 and note is not sugar", "1"),
        ("in t.csv, what is the highest unit price?", "1234.5"),
        ("sum of unit price", "1234.75"),
        ("SUM OF UNIT PRICE IN T.CSV WHERE NOTE = SUGAR", "0.25"),
    ],
)
def test_questions_as_people_put_them(tmp_path: Path, question: str, answer: str) -> None:
    text = (
        "Unit Price,note,day\n"
        '"1,234.50",salt and pepper,2026-01-05\n'
        ".25,sugar,2026-02-01\n"
        "0,flour,2026-02-02\n"
        ",sugar,\n"
    )
    resources = given_table(tmp_path, text)
    assert totals.claim(question, resources).p > 0.9
    assert totals.answer(question, resources) == answer


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("sum of amont in sales.csv", "sales.csv has no column `amont`; did you mean `amount`?"),
        (
            "sum of zone in sales.csv",
            "sales.csv has no column `zone`; it has date, region, product, quantity, amount",
        ),
        ("sum of amount in sale.csv", "no table `sale.csv` was given; did you mean `sales.csv`?"),
        ("sum of amount in zzz.csv", "no table `zzz.csv` was given: sales.csv"),
        (
            "sum of amount in sales.csv where region = nroth",
            "no row of sales.csv has region = nroth; did you mean `north`?",
        ),
        ("sum of amount in sales.csv where region = zz", "no row of sales.csv has region = zz"),
        (
            "sum of amount in sales.csv where region = north and amount > 9999",
            "sales.csv has no row that fulfils all conditions",
        ),
        ("sum of product in sales.csv", "sales.csv, row 2, column `product`: `mantel clock` is not a number"),
        (
            "sum of amount in sales.csv where product > 3",
            UNORDERED,
        ),
        ("what is love", "this asks nothing of a table"),
    ],
)
def test_errors_name_the_place_and_the_nearest_name(question: str, why: str) -> None:
    assert fails(question, RESOURCES) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n3", "t.csv, row 3: 1 cells under 2 columns"),
        ("a,b\n1,n/a", "t.csv, row 2, column `b`: `n/a` is not a number"),
        ("a,b\n1,nan", "t.csv, row 2, column `b`: `nan` is not a number"),
        ("a,b\n1,$5", "t.csv, row 2, column `b`: `$5` is not a number"),
        ('a,b\n1,"1,5"', "t.csv, row 2, column `b`: `1,5` is not a number"),
        (f"a,b\n1,{'9' * 101}", f"t.csv, row 2, column `b`: `{'9' * 40}` is not a number"),
        ("a;b\n1;1,234", "t.csv, row 2, column `b`: `1,234`: is the comma a decimal point or a separator?"),
        ("a;b\n1;1,5\n1;1.5", "t.csv, row 3, column `b`: `1.5`: is the comma a decimal point or a separator?"),
        ("a,b\n1,\n2,", "t.csv: every `b` in these 2 rows is empty"),
        ("a,b\n", "t.csv has no row"),
        ("", "t.csv is empty: its first line should name the columns"),
        ("a,b,B\n1,2,3", "t.csv has several columns `b`"),
        (b"a,b\n1,2\n\x81,3", "t.csv cannot be read:"),
        (f"a,b\n1,{'x' * 200_000}", "t.csv cannot be read: field larger than field limit"),
        (f"a,{'x' * 200_000}\n1,2", "t.csv"),
    ],
)
def test_faults_in_the_file_are_named(tmp_path: Path, text: str | bytes, why: str) -> None:
    assert fails("sum of b in t.csv", given_table(tmp_path, text)).startswith(why)


def test_count_of_nothing_is_zero() -> None:
    assert totals.answer("how many rows in sales.csv where region = west", RESOURCES) == "0"


def test_several_tables(tmp_path: Path) -> None:
    one = given_table(tmp_path, "a,b\n1,2", "one.csv").tables
    two = given_table(tmp_path, "a,c\n3,4", "two.csv").tables
    both = Resources(tables=one + two)
    assert totals.answer("total c", both) == "4"
    assert totals.answer(f"total a in {one[0]}", both) == "1"
    assert fails("total a", both) == "several tables have these columns: name one of one.csv, two.csv"
    assert fails("total b where c = 4", both) == "no table has all the columns asked for: one.csv, two.csv"
    assert totals.claim("total b where c = 4", both).p == 0.5
    assert totals.claim("total z", both) == Claim(0.0)


def test_claim_without_a_table_says_so() -> None:
    nothing = Resources()
    assert totals.claim("sum of amount in sales.csv", nothing) == Claim(0.0, "no table: --table FILE")
    assert totals.claim("total cost of ownership", nothing) == Claim(0.0)
    assert fails("sum of amount in sales.csv", nothing) == "no table: --table FILE"


def test_unreadable_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Resources(tables=(tmp_path / "t.csv",))
    assert totals.claim("total amount", missing) == Claim(0.0, "t.csv cannot be read: No such file or directory")
    assert fails("total amount in t.csv", missing) == "t.csv cannot be read: No such file or directory"
    monkeypatch.setattr(tables, "MAX_BYTES", 1_000_000)
    assert fails("sum of a in t.csv", given_table(tmp_path, "a\n" + "1\n" * 600_000)) == "t.csv is larger than 1 MB"


@pytest.mark.parametrize(
    "question",
    [
        "sum of 3 and 4",
        "average lifespan of a cat",
        "sum of amount where = 3",
        "x" * 600,
        "sum of amount where region = ''",
        "what is the weather in sales.csv",
    ],
)
def test_other_questions_are_not_claimed(question: str) -> None:
    assert totals.claim(question, RESOURCES) == Claim(0.0)


ORDERS = """Order ID,Sales Region,unit price,Note,price,price in orders,days with rain,unit price ($),2024,n & g,if paid
1,North,2.50,first of two,1,100,5,0.5,9,1,3
2,South,4,,2,200,6,0.5,9,1,3
3,North,1.25,salt and pepper,3,300,7,0.5,9,1,3
4,New York,7,with love,4,400,8,0.5,9,1,3
"""


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the total of unit price in orders?", "14.75"),
        ('sum of "unit price" where sales region is North', "3.75"),
        ("sum of 'unit price' where `Sales Region` = “New York”", "7"),
        ("What's the sum of 'unit price' where 'Order ID' >= 2?", "12.25"),
        ('sum of "unit price" where "Sales Region" = North and "note" is "salt and pepper"', "1.25"),
        ("sum of the unit price column in the orders table where note is first of two", "2.5"),
        ("in orders, what is the highest unit price?", "7"),
        ('In the table "orders", what is the highest unit price where order id is at most 3?', "4"),
        ("how many rows in orders where sales region is North", "2"),
        ("count of rows where sales-region != 'New York'", "3"),
        ("sum of unit price where note is with love", "7"),
        ("average of days with rain", "6.5"),
        ("sum of order id where days with rain > 6 and sales region is new york", "4"),
        ("sum of unit price ($)", "2"),
        ("how many rows where unit price > 2 and unit price ($) = 0.5", "3"),
        ("total of 2024 where 2024 > 5", "36"),
        ("sum of n & g in orders", "4"),
        ("sum of if paid", "12"),
        # the longest header that is there counts, a quotation says which one is meant
        ("sum of price in orders", "1000"),
        ("sum of price in orders in orders", "1000"),
        ('sum of "price" in orders', "10"),
        ("sum of price in the table orders", "10"),
        ("sum of price in orders.csv", "10"),
    ],
)
def test_headers_of_several_words_and_tables_without_their_ending(tmp_path: Path, question: str, answer: str) -> None:
    resources = given_table(tmp_path, ORDERS, "orders.csv")
    assert totals.claim(question, resources).p > 0.9
    assert totals.answer(question, resources) == answer


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("sum of unit prices", "orders.csv has no column `unit prices`; did you mean `unit price`?"),
        ("sum of unit prices in orders", "orders.csv has no column `unit prices`; did you mean `unit price`?"),
        ("sum of unit price in invoices", "no column `unit price in invoices`; did you mean `unit price`?"),
        ("average unit price by sales region", "no column `unit price by sales region`; did you mean `unit price`?"),
        ("sum of 2024 and 5", "no column `2024 and 5`; did you mean `2024`?"),
        ("sum of colour in orders", "orders.csv has no column `colour`; it has Order ID, Sales Region,"),
    ],
)
def test_what_comes_near_a_header_is_not_taken_for_it(tmp_path: Path, question: str, why: str) -> None:
    resources = given_table(tmp_path, ORDERS, "orders.csv")
    claim = totals.claim(question, resources)
    assert claim.p == 0
    assert why in claim.why
    assert why in fails(question, resources)


def test_a_header_that_reads_like_a_measure_is_no_guess(tmp_path: Path) -> None:
    both = given_table(tmp_path, "total amount,amount,number of items,rows\n1,3,5,7\n", "bill.csv")
    own = (
        "`total amount` is a column of bill.csv itself: ask for the sum of `amount`, or for a measure of `total amount`"
    )
    assert fails("What is the total amount?", both) == own
    assert totals.claim("What is the total amount?", both) == Claim(0.0, own)
    rows = given_table(tmp_path, "count of rows\n1\n", "rows.csv")
    assert "ask for the number of rows, or for a measure of `count of rows`" in fails("count of rows in rows", rows)
    assert totals.answer("sum of total amount", both) == "1"
    assert totals.answer("sum of amount", both) == "3"
    assert totals.answer("total of number of items in bill", both) == "5"


def test_tables_are_told_apart_by_name_and_by_folder(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    new = given_table(tmp_path, "unit price\n1\n", "sales 2024.csv").tables
    old = given_table(tmp_path / "old", "unit price\n2\n", "sales 2024.csv").tables
    other = given_table(tmp_path, "unit price\n4\n", "orders.csv").tables
    two, both = Resources(tables=new + other), Resources(tables=new + old)
    assert totals.answer("sum of unit price in sales 2024", two) == "1"
    assert totals.answer('sum of unit price in "sales 2024.csv"', two) == "1"
    assert totals.answer("in sales 2024.csv, what is the total unit price?", two) == "1"
    assert totals.answer("sum of unit price in orders", two) == "4"
    assert "name one of sales 2024.csv, orders.csv" in fails("sum of unit price", two)
    more = given_table(tmp_path, "net sales 2024,unit price\n8,16\n", "net sales 2024.csv").tables
    three = Resources(tables=new + more)
    assert totals.answer("sum of net sales 2024", three) == "8", "a column goes before a table's name"
    assert totals.answer("sum of unit price in net sales 2024.csv", three) == "16"
    assert totals.answer("sum of unit price in sales 2024.csv", three) == "1"
    named = f"several tables are called `sales 2024.csv`: name one of {new[0]}, {old[0]}"
    assert fails("sum of unit price in sales 2024.csv", both) == named


@given(st.lists(st.text("abz .&$%()-_/=<>'\"0129", min_size=1, max_size=20), min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_any_header_can_be_asked_for(tmp_path: Path, headers: list[str]) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerows([[*headers, "z9"], *([[10**place for place in range(len(headers) + 1)]] * 2)])
    resources = given_table(tmp_path, stream.getvalue(), "t.csv")
    plain = [plain_name(header) for header in headers]
    for place, header in enumerate(headers):
        try:
            found = totals.answer(f'sum of "{header}" in t', resources)
        except ToolError:
            assert '"' in header or plain.count(plain[place]) > 1 or not plain[place].strip(" ,'"), header
        else:
            assert found == str(2 * 10**place), "another column was summed"


def test_a_column_with_a_blank_can_be_asked_for_at_the_command_line(child_env: dict[str, str], tmp_path: Path) -> None:
    given_table(tmp_path, ORDERS, "orders.csv")
    for question, answer in (
        ("What is the total of unit price in orders?", "14.75"),
        ('sum of "unit price" where sales region is North', "3.75"),
    ):
        done = orchestrate("run", question, "--table", "orders.csv", "--json", env=child_env, cwd=tmp_path)
        told = json.loads(done.stdout)
        assert (done.returncode, told["answer"], told["support"]) == (0, answer, ["totals"])
    refused = orchestrate("run", "sum of unit prices", "--table", "orders.csv", "--quiet", env=child_env, cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "totals: orders.csv has no column `unit prices`; did you mean `unit price`?" in refused.stderr
