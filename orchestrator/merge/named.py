"""Merges by name: built in, offered by an installed package, or one of your own by its place."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from orchestrator.errors import ConfigError
from orchestrator.merge.asking import PanelMerge
from orchestrator.merge.base import MergeFunction, MergeRule, as_merge
from orchestrator.merge.best import Best
from orchestrator.merge.refine import Refine
from orchestrator.merge.rules import MERGES, merge_named
from orchestrator.merge.synthesise import Synthesise
from orchestrator.pool.modules import at_place
from orchestrator.pool.plugins import find_plugin, plugin_names

__all__ = ["ASKING", "found_merge"]

ASKING: Mapping[str, type[PanelMerge]] = MappingProxyType({"best": Best, "refine": Refine, "synthesise": Synthesise})
"""Built-in merges that ask a model, by name."""


def found_merge(name: str) -> MergeRule:
    """The merge of a name that needs no model of the pool; raises `ConfigError` where there is none.

    A built-in one comes first, then an installed package's, then `package.module:attribute` or `file.py:attribute`.
    """
    if name in MERGES or name.startswith("vote:"):
        return merge_named(name)
    if plugin := find_plugin("merges", name):
        return _taken(plugin.made())
    if ":" in name:
        return _taken(at_place(name, "merge"))
    return merge_named(name, (*ASKING, *plugin_names("merges")))


def _taken(value: object) -> MergeRule:
    try:
        return as_merge(cast("MergeRule | MergeFunction", value))
    except ConfigError as error:
        raise ConfigError(error.problem, field="merge", expected=error.expected) from error
