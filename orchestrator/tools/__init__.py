"""Tool experts: built-in ones by name, others by where their function stands."""

from orchestrator.tools.base import CANNOT, Claim, IdempotencyKey, Resources, Tool
from orchestrator.tools.binding import BUILT_IN, Provided, bind

__all__ = ["BUILT_IN", "CANNOT", "Claim", "IdempotencyKey", "Provided", "Resources", "Tool", "bind"]
