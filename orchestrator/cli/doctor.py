"""`doctor` says what is installed, what was found, and what would make more questions answerable."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cli.options import AgentsOption, JsonOption

__all__ = ["doctor"]

_CORE = ("thinkroute", "langgraph", "pydantic", "networkx", "tenacity", "rich", "typer", "openai", "anthropic")
_EXTRAS = {
    "durable": ("langgraph-checkpoint-sqlite",),
    "eval": ("numpy", "scikit-learn", "scipy"),
    "local": ("sympy", "pint"),
    "otel": ("opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk"),
    "postgres": ("langgraph-checkpoint-postgres", "psycopg"),
}
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")


@dataclass(frozen=True, slots=True)
class Findings:
    """What the doctor found; keys by name only."""

    versions: dict[str, str | None]
    extras: dict[str, dict[str, str | None]]
    keys: list[str]
    state: str
    state_writable: bool
    pools: list[str]
    would_help: list[str]


def doctor(*, agents: AgentsOption = None, json: JsonOption = False) -> None:
    """Show versions, extras, keys (names only), state directory, pools, and what would help."""
    from orchestrator.pool.files import pool_names
    from orchestrator.render import Screen
    from orchestrator.trace import runs_folder

    folder = runs_folder()
    findings = Findings(
        versions={name: _version(name) for name in _CORE},
        extras={extra: {name: _version(name) for name in names} for extra, names in _EXTRAS.items()},
        keys=[name for name in _KEYS if os.environ.get(name)],
        state=str(folder),
        state_writable=_writable(folder),
        pools=pool_names(agents or ()),
        would_help=_advice(),
    )
    if json:
        Screen(json=True).data(findings)
    else:
        _say(findings)


def _say(findings: Findings) -> None:
    from orchestrator.render import Screen, rows_table

    screen = Screen()
    rows = [(name, version or "not installed") for name, version in findings.versions.items()]
    for extra, packages in findings.extras.items():
        rows += [(f"{name} (extra {extra})", version or "not installed") for name, version in packages.items()]
    rows += [
        ("keys found", ", ".join(findings.keys) or "none"),
        ("state directory", findings.state + ("" if findings.state_writable else " (cannot be written)")),
        ("pools", ", ".join(findings.pools)),
        *(("would help", advice) for advice in findings.would_help),
    ]
    rows_table(rows, screen)


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed(name)
    except PackageNotFoundError:
        return None


def _writable(folder: Path) -> bool:
    """Whether the folder, or the nearest one above it that is there, can be written."""
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    return os.access(there, os.W_OK)


def _advice() -> list[str]:
    """What would make more questions answerable here."""
    advice: list[str] = []
    if not all(_version(name) for name in _EXTRAS["local"]):
        advice.append("pip install 'thinkroute[local]': algebra with sympy, units with pint")
    if missing := [name for name in _EXTRAS["eval"] if not _version(name)]:
        advice.append(f"pip install 'thinkroute[eval]': evals need {' and '.join(missing)}")
    advice += [
        "--docs DIR: questions about a folder of documents",
        "--table FILE: sums, means, counts and extremes over CSV files",
        "--agents DIR: experts of your own, by one TOML table or one decorated function each",
    ]
    return advice
