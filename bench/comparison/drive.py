"""Runs one contestant once and prints what its caller got: `drive.py MODULE LIMIT`."""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from collections.abc import Awaitable
from decimal import Decimal
from importlib import import_module
from time import perf_counter

QUESTION = "May we end the contract?"


async def gathered(running: Awaitable[object]) -> list[object]:
    """What it gives or raises: whatever reaches a caller is what is asked."""
    return [*await asyncio.gather(running, return_exceptions=True)]


def told(value: object) -> dict[str, object]:
    """What a caller sees of a result."""
    if isinstance(value, BaseException):
        return {"answer": None, "error": f"{type(value).__name__}: {value}"}
    status = getattr(value, "status", None)
    if status is None:
        return {"answer": value, "error": None}
    reasons = [*getattr(value, "reasons", ()), f"it cost ${getattr(value, 'cost_usd', None)}"]
    return {
        "answer": getattr(value, "answer", None),
        "status": status,
        "reasons": "; ".join(reasons),
        "error": None,
    }


def main() -> None:
    """Import, run, tell; an error of a contestant is what its caller gets."""
    contestant, limit = import_module(sys.argv[1]), Decimal(sys.argv[2])
    started = perf_counter()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        (found,) = asyncio.run(gathered(contestant.report(QUESTION, limit)))
    shown = told(found)
    shown["warnings"] = sorted({f"{each.category.__name__}: {each.message}" for each in warned})
    print(json.dumps({**shown, "seconds": perf_counter() - started}))


if __name__ == "__main__":
    main()
