"""Tool experts: built-in ones by name, others by where their function stands."""

from orchestrator.tools.base import CANNOT, Claim, IdempotencyKey, Resources, Tool
from orchestrator.tools.binding import BUILT_IN, Provided, bind
from orchestrator.tools.kinds import UNTYPED, Kinds, Misfit, fitted, kinds_of, schema_of

__all__ = [
    "BUILT_IN",
    "CANNOT",
    "UNTYPED",
    "Claim",
    "IdempotencyKey",
    "Kinds",
    "Misfit",
    "Provided",
    "Resources",
    "Tool",
    "bind",
    "fitted",
    "kinds_of",
    "schema_of",
]
