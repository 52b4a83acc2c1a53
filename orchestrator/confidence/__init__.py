"""How sure to be, and what that is worth: calibration, the joint model of answers, whom to ask next."""

from orchestrator.confidence.calibration import (
    SOURCES,
    Ballot,
    Calibration,
    LabelOf,
    Source,
    ballot_of,
    calibrated,
    check_source,
    misfit,
    raw_score,
    read_calibration,
    way_named,
)
from orchestrator.confidence.folds import crossfit, fold_of
from orchestrator.confidence.policy import Policy, believed, cheapest_first, decided, expected, naive, sigma
from orchestrator.confidence.posterior import NONE, OPEN, Pattern, Posterior, Seen, fit_posterior, pattern_of

__all__ = [
    "NONE",
    "OPEN",
    "SOURCES",
    "Ballot",
    "Calibration",
    "LabelOf",
    "Pattern",
    "Policy",
    "Posterior",
    "Seen",
    "Source",
    "ballot_of",
    "believed",
    "calibrated",
    "cheapest_first",
    "check_source",
    "crossfit",
    "decided",
    "expected",
    "fit_posterior",
    "fold_of",
    "misfit",
    "naive",
    "pattern_of",
    "raw_score",
    "read_calibration",
    "sigma",
    "way_named",
]
