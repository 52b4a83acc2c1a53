"""`eval replay`: what another router, other prices or another budget would have come to, without calling anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.eval_runs import (
    Ends,
    begun_with,
    carry_out,
    located_in,
    new_store,
    store_of,
)
from orchestrator.cli.options import JsonOption, usd
from orchestrator.cli.run_options import RoutersOption

__all__ = ["replay"]


def replay(
    name: Annotated[
        str, typer.Argument(help="The eval to replay: its name, the beginning of it, a folder, or `last`.")
    ],
    *,
    router: RoutersOption = None,
    prices: Annotated[
        Path | None,
        typer.Option("--prices", help="TOML: [MODEL] with `input` and `output`, USD per 1M tokens.", exists=True),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="USD that a question may cost.", metavar="USD", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the new eval.", metavar="DIR")] = None,
    allow_errors: Annotated[bool, typer.Option("--allow-errors", help="Exit with 0 although cases failed.")] = False,
    json: JsonOption = False,
) -> None:
    """Run an eval's questions again by other means, from recorded outcomes or kept calls; no model is called."""
    from orchestrator.render import Screen

    earlier = store_of(name)
    kept = {each: (earlier.fit(each), fit.way) for each, fit in earlier.fits().items()}
    settings: dict[str, object] = {
        **earlier.settings(),
        "singles": False,
        "max_cost": None,
        "gates": {},
        "baseline": None,
        "cassette": None,
        "record": False,
        "replay": str(earlier.folder.resolve()),
        "prices": None if prices is None else str(prices.resolve()),
        "budget": None if budget is None else str(usd(budget)),
        "fits": {},
    }
    if router:
        settings["routers"] = located_in(Path.cwd(), router)
    read, how = begun_with(settings, kept)
    store = new_store(f"replay-{read.name}", out)
    store.begin(settings)
    for each, (fit, way) in kept.items():
        store.keep_fit(each, fit, way)
    carry_out(store, read, how, Screen(json=json), Ends(allow_errors=allow_errors))
