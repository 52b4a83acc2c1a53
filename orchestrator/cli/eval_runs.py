"""What an eval's command line stands for: its suite, its settings, its folder, its exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.options import FAILED

if TYPE_CHECKING:
    from orchestrator.evals.report import Report
    from orchestrator.evals.runner import How
    from orchestrator.evals.store import Store
    from orchestrator.evals.suite import Gates, Suite

__all__ = ["UNMET", "code_of", "figures_of", "gates_of", "how_of", "new_store", "store_of", "suite_of"]

UNMET = 3
"""Exit code where a gate does not hold."""


def figures_of(found: Report) -> dict[str, object]:
    """A report as SEMANTICS and the issue name its fields."""
    comparisons = [
        {"a": each.a, "b": each.b, "delta": each.delta, "ci": each.ci, "p": each.p_adjusted, "test": each.test}
        for each in found.comparisons
    ]
    told = {"run": found.run, "head": found.head, "suite": found.suite, "systems": found.systems}
    rest = {"left_out": found.left_out, "notes": found.notes, "gates": found.gates, "reasons": found.reasons}
    return {**told, "comparisons": comparisons, "verdict": found.verdict, **rest}


def code_of(found: Report, *, allow_errors: bool) -> int:
    """Exit 1 for errors, which beats 3 for a gate that does not hold (SEMANTICS §3, §10)."""
    if found.errors and not allow_errors:
        return FAILED
    return UNMET if found.gates else 0


def suite_of(settings: dict[str, object]) -> Suite:
    """The suite of an eval, with the systems that were asked for."""
    from orchestrator.evals.suite import Candidate, find_suite, load_suite

    data = [Path(str(path)) for path in _texts(settings, "data")]
    read = load_suite(find_suite(str(settings["suite"])), data)
    routers, merges = _texts(settings, "routers"), _texts(settings, "merges")
    plain = settings["analyses"] == 1 and settings["prefer"] == "balanced"
    if not routers and not merges and plain:
        return read
    fields = {"analyses": settings["analyses"], "prefer": settings["prefer"]}
    return read.with_candidates(
        [
            Candidate.model_validate({"router": router, "merge": merge, **fields})
            for router in routers or ["plan"]
            for merge in merges or [None]
        ]
    )


def how_of(settings: dict[str, object]) -> How:
    """How an eval is run; raises `ConfigError` for a split that there is not."""
    from decimal import Decimal
    from typing import cast

    from orchestrator.errors import ConfigError
    from orchestrator.evals.runner import How

    split = str(settings["split"])
    if split not in ("train", "test", "all"):
        raise ConfigError(f"cannot be `{split}`", field="split", expected="train, test or all")
    limit, cost = settings["limit"], settings["max_cost"]
    return How(
        split=split,
        limit=cast("int | None", limit),
        ids=tuple(_texts(settings, "ids")),
        repeat=cast("int", settings["repeat"]),
        jobs=cast("int", settings["jobs"]),
        seed=cast("int", settings["seed"]),
        max_cost=None if cost is None else Decimal(str(cost)),
        traces=bool(settings["traces"]),
    )


def _texts(settings: dict[str, object], key: str) -> list[str]:
    from typing import cast

    return [str(each) for each in cast("list[object]", settings.get(key) or [])]


def gates_of(settings: dict[str, object]) -> Gates:
    """The gates that an eval was begun with."""
    from orchestrator.evals.suite import Gates

    return Gates.model_validate(settings.get("gates") or {})


def store_of(name: str) -> Store:
    """The eval of a name."""
    from orchestrator.evals.store import find_eval

    return find_eval(name)


def new_store(suite: str, out: Path | None) -> Store:
    """A folder of its own for a new eval."""
    from datetime import UTC, datetime
    from secrets import token_hex

    from orchestrator.evals.store import Store, evals_folder

    if out is not None:
        return Store(out)
    return Store(evals_folder() / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{suite.replace('/', '_')}-{token_hex(2)}")
