"""Many replies, one answer."""

from orchestrator.merge.base import AskingMerge, MergeFunction, MergeRule, as_merge, sided
from orchestrator.merge.canonical import canonical, same
from orchestrator.merge.rules import MERGES, First, RouterAnswer, Vote, merge_named, voted
from orchestrator.merge.synthesise import Synthesise, worst_of_asking

__all__ = [
    "MERGES",
    "AskingMerge",
    "First",
    "MergeFunction",
    "MergeRule",
    "RouterAnswer",
    "Synthesise",
    "Vote",
    "as_merge",
    "canonical",
    "merge_named",
    "same",
    "sided",
    "voted",
    "worst_of_asking",
]
