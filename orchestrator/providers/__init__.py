"""The only doors to models: what a provider is, the gate before it, and the providers there are."""

from orchestrator.providers.base import Completion, Provider, Quote
from orchestrator.providers.gate import Call, Gate, Paid, Result
from orchestrator.providers.recorded import Case, RecordedFile, RecordedProvider, read_recorded

__all__ = [
    "Call",
    "Case",
    "Completion",
    "Gate",
    "Paid",
    "Provider",
    "Quote",
    "RecordedFile",
    "RecordedProvider",
    "Result",
    "read_recorded",
]
