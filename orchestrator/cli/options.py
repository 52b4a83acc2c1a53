"""Options that several commands share, and what becomes of their values."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orchestrator.errors import FailureKind
    from orchestrator.pool import Pool

__all__ = [
    "DEGRADED",
    "ESCALATED",
    "FAILED",
    "INTERRUPTED",
    "LIMITED",
    "UNEXPECTED",
    "USAGE",
    "AgentsOption",
    "JsonOption",
    "OptionalPoolOption",
    "PoolOption",
    "fault_injector",
    "flags_of",
    "known_expert",
    "os_problem",
    "pool_of",
    "question_of",
    "silence_warnings",
    "usd",
]

FAILED, USAGE, UNEXPECTED, LIMITED, ESCALATED, DEGRADED, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130

OptionalPoolOption = Annotated[
    str | None,
    typer.Option(
        "--pool",
        help="Pool of agents to use; the local one where left out, with all that --agents DIR holds, and with the "
        "experts of the cloud where keys are found.",
        metavar="NAME",
        show_default=False,
    ),
]
PoolOption = Annotated[
    str | None,
    typer.Option(
        "--pool",
        help="Pool of agents to use; the local one where left out, with all that --agents DIR holds.",
        metavar="NAME",
        show_default=False,
    ),
]
AgentsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--agents",
        help="Folder of further descriptors, or one that `init` wrote; repeatable.",
        metavar="DIR",
        envvar="ORCHESTRATOR_AGENTS",
        exists=True,
        file_okay=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]

LONGEST_QUESTION = 4_000_000
"""Bytes of a question on standard input."""
_FAULTS: dict[str, FailureKind] = {
    "error": "injected",
    "timeout": "timeout",
    "refusal": "refusal",
    "malformed": "malformed",
}


def pool_of(name: str | None, folders: list[Path] | None) -> Pool:
    """The pool of `--pool` and `--agents`; without a name the local one, with every pool in the folders."""
    from orchestrator.pool import load_pool
    from orchestrator.pool.files import pools_beside

    pool = load_pool(name or "local", folders or (), whole=name is None)
    beside = pools_beside(pool.name, folders or ()) if name is None else {}
    for other, tables in beside.items():
        if any(table.router or table.merger or tuple(table.goals) != pool.goals for table in tables):
            typer.echo(f"the [pool] table of `{other}` counts with --pool {other} only", err=True)
    return pool


def flags_of(pool: str | None, folders: list[Path] | None) -> str:
    """The options `--pool` and `--agents` as they would be typed again, each behind a blank."""
    named = f" --pool {shlex.quote(pool)}" if pool not in (None, "local") else ""
    return named + "".join(f" --agents {shlex.quote(str(folder))}" for folder in folders or ())


def usd(value: str, option: str = "--budget") -> Decimal:
    """The amount of money that an option was given."""
    try:
        amount = Decimal(value.removeprefix("$"))
    except InvalidOperation as error:
        raise typer.BadParameter(f"{value!r} is no amount of dollars, such as 0.05", param_hint=option) from error
    if not amount.is_finite() or amount < 0:
        raise typer.BadParameter(f"{value!r} is no amount that can be spent", param_hint=option)
    return amount


def question_of(given: str | None) -> str:
    """The question from the command line or, where none is given, from standard input."""
    if given is not None and given != "-":
        text = given
    elif sys.stdin.isatty():
        raise typer.BadParameter("no question: give it as an argument or on standard input")
    else:
        content = sys.stdin.buffer.read(LONGEST_QUESTION + 1)
        if len(content) > LONGEST_QUESTION:
            raise typer.BadParameter(
                f"standard input holds more than {LONGEST_QUESTION:,} bytes; attach files by --file"
            )
        text = content.decode("utf-8", "replace")
    if not text.strip():
        raise typer.BadParameter('the question is empty: orchestrator run "What is 17% of 2,340?"')
    return os.fsencode(text).decode("utf-8", "replace")


def fault_injector(specs: list[str], agents: list[str]) -> Callable[[str, int, str | None], FailureKind | None] | None:
    """What `--fail AGENT[=KIND][:N]` asks for, as a function of agent and how-manieth attempt."""
    faults = [_fault(spec, agents) for spec in specs]
    if not faults:
        return None

    def fault(agent: str, ordinal: int, case: str | None) -> FailureKind | None:
        del case
        for name, kind, attempts in faults:
            if name in ("*", agent) and (attempts is None or ordinal <= attempts):
                return kind
        return None

    return fault


def known_expert(name: str, agents: list[str], spec: str) -> str:
    """The name of an expert, `*` being every one; `spec` is what was typed."""
    from orchestrator.errors import nearest

    if name == "*" or name in agents:
        return name
    hint = nearest(name, agents)
    raise typer.BadParameter(
        f"{spec}: there is no expert `{name}`; one of {', '.join(sorted(agents))}"
        + (f"; did you mean `{hint}`?" if hint else "")
    )


def os_problem(error: OSError) -> str:
    """What the system would not do, and with which file."""
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


def silence_warnings() -> None:
    """Keep what the library warns of off the terminal: commands say it themselves, where it holds for them."""
    import logging

    logging.getLogger("orchestrator").addHandler(logging.NullHandler())


def _fault(spec: str, agents: list[str]) -> tuple[str, FailureKind, int | None]:
    rest, attempts = spec, None
    head, mark, number = spec.rpartition(":")
    if mark and number.isdecimal() and spec not in agents:
        rest, attempts = head, int(number)
    name, mark, kind = (rest, "", "") if rest in agents else rest.rpartition("=")
    if not mark:
        name, kind = rest, "error"
    if kind not in _FAULTS:
        raise typer.BadParameter(f"--fail {spec}: {kind!r} is no failure; one of {', '.join(_FAULTS)}")
    if attempts == 0:
        raise typer.BadParameter(f"--fail {spec}: it would fail no attempt; N is at least 1, or left out for all")
    return known_expert(name, agents, f"--fail {spec}"), _FAULTS[kind], attempts
