"""Many replies, one answer."""

from orchestrator.merge.base import MergeFunction, MergeRule, as_merge, sided
from orchestrator.merge.canonical import canonical, same
from orchestrator.merge.rules import MERGES, First, RouterAnswer, Vote, merge_named

__all__ = [
    "MERGES",
    "First",
    "MergeFunction",
    "MergeRule",
    "RouterAnswer",
    "Vote",
    "as_merge",
    "canonical",
    "merge_named",
    "same",
    "sided",
]
