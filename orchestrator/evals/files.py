"""Reads the files that evals are made of: JSON lines, JSON and CSV, plain or gzip, each row with its place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias, cast

from orchestrator.content import shown
from orchestrator.errors import ConfigError

__all__ = ["Row", "csv_rows", "json_list", "json_rows", "text_of"]

Row: TypeAlias = tuple[str, dict[str, object]]
"""Where a row stands, for messages, and what it holds."""

LONGEST_CELL = 64 * 1024 * 1024
"""Prompts with documents in them are longer than the csv module's usual 128 kB."""


def text_of(path: Path) -> str:
    """The text of a file, unpacked if its name ends in `.gz`; raises `ConfigError` where it cannot be read."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot be read: {problem}", file=shown(path), expected="UTF-8, plain or gzip") from error


def json_rows(path: Path) -> Iterator[Row]:
    """The objects of a JSON lines file."""
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if line.strip():
            yield f"line {number}", _object(_parsed(line, path, f"line {number}"), path, f"line {number}")


def json_list(path: Path) -> Iterator[Row]:
    """The objects of a JSON file that holds a list of them."""
    table = _parsed(text_of(path), path, "file")
    if not isinstance(table, list):
        raise ConfigError("holds no list", file=shown(path), expected="a JSON list of objects")
    for number, entry in enumerate(cast("list[object]", table)):
        yield f"[{number}]", _object(entry, path, f"[{number}]")


def csv_rows(path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The rows of a CSV file by the names in its first line; raises `ConfigError` on a row of another length."""
    lines = _csv_lines(path)
    _, header = lines[0] if lines else (0, list[str]())
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise ConfigError(f"the column `{twice}` stands twice", file=shown(path), field="line 1")
    for number, cells in lines[1:]:
        where = f"line {number}"
        if cells and len(cells) != len(header):
            problem = f"has {len(cells)} cells"
            raise ConfigError(problem, file=shown(path), field=where, expected=f"{len(header)}, as the first line")
        if cells:
            yield where, dict(zip(header, cells, strict=True))


def _csv_lines(path: Path) -> list[tuple[int, list[str]]]:
    """The cells of each line, read at once: the limit on their length is that of the whole process."""
    text = text_of(path)
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        return [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise ConfigError(
            f"is no CSV: {error}", file=shown(path), expected="comma-separated, quotes doubled"
        ) from error
    finally:
        csv.field_size_limit(before)


def _parsed(text: str, path: Path, where: str) -> object:
    try:
        return json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError as error:
        problem = f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise ConfigError(problem, file=shown(path), field=where) from error
    except RecursionError as error:
        raise ConfigError("is nested too deeply", file=shown(path), field=where) from error


def _object(value: object, path: Path, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ConfigError("is no JSON object", file=shown(path), field=where, expected="an object in braces")
    return cast("dict[str, object]", value)
