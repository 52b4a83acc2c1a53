"""`plugins` lists what installed packages offer: agents, routers, merges, monitors, providers, scorers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli.options import JsonOption

if TYPE_CHECKING:
    from orchestrator.pool.plugins import Plugin

__all__ = ["plugins"]


def plugins(*, json: JsonOption = False) -> None:
    """List what installed packages plug in, where it stands, and whether it loads."""
    from orchestrator.pool.plugins import GROUPS, group_name
    from orchestrator.pool.plugins import plugins as found
    from orchestrator.render import Screen, rows_table

    screen, rows = Screen(json=json), [(each, _problem(each)) for each in found()]
    if json:
        screen.data([_fields(plugin, problem) for plugin, problem in rows])
        return
    if not rows:
        groups = ", ".join(map(group_name, GROUPS))
        screen.note(f"no installed package offers anything under the entry-point groups {groups}")
        return
    header = ("group", "name", "stands at", "package", "loads")
    table = [(p.group, p.name, p.value, f"{p.package} {p.version}", problem or "yes") for p, problem in rows]
    rows_table(table, screen, header=header)


def _problem(plugin: Plugin) -> str | None:
    """Why it cannot be loaded, if it cannot."""
    from orchestrator.errors import ConfigError

    try:
        plugin.load()
    except ConfigError as error:
        return error.problem
    return None


def _fields(plugin: Plugin, problem: str | None) -> dict[str, object]:
    place = {"group": plugin.group, "name": plugin.name, "value": plugin.value}
    return {**place, "package": plugin.package, "version": plugin.version, "loads": problem is None, "error": problem}
