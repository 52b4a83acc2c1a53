"""Chaos: suites of a pool under faults over time, with what must come of it."""

from orchestrator.chaos.runner import CaseResult, SuiteResult, run_suite
from orchestrator.chaos.suite import Expect, Suite, Trouble, find_suites, load_suite, suite_schema

__all__ = [
    "CaseResult",
    "Expect",
    "Suite",
    "SuiteResult",
    "Trouble",
    "find_suites",
    "load_suite",
    "run_suite",
    "suite_schema",
]
