"""Many replies, one answer."""

from orchestrator.merge.asking import PanelMerge, worst_of_asking
from orchestrator.merge.attribution import Attribution, Member, attributed
from orchestrator.merge.base import AskingMerge, MergeFunction, MergeRule, as_merge, sided
from orchestrator.merge.best import Best
from orchestrator.merge.canonical import FREE_TEXT_F1, canonical, form_of, grouped, same, token_f1
from orchestrator.merge.named import ASKING, found_merge
from orchestrator.merge.numbers import stated_number
from orchestrator.merge.refine import Refine
from orchestrator.merge.rules import (
    MERGES,
    PERSON,
    First,
    PersonAnswer,
    RouterAnswer,
    Vote,
    Weighted,
    fallen_back,
    merge_named,
    voted,
)
from orchestrator.merge.synthesise import Synthesise

__all__ = [
    "ASKING",
    "FREE_TEXT_F1",
    "MERGES",
    "PERSON",
    "AskingMerge",
    "Attribution",
    "Best",
    "First",
    "Member",
    "MergeFunction",
    "MergeRule",
    "PanelMerge",
    "PersonAnswer",
    "Refine",
    "RouterAnswer",
    "Synthesise",
    "Vote",
    "Weighted",
    "as_merge",
    "attributed",
    "canonical",
    "fallen_back",
    "form_of",
    "found_merge",
    "grouped",
    "merge_named",
    "same",
    "sided",
    "stated_number",
    "token_f1",
    "voted",
    "worst_of_asking",
]
