"""The only doors to models: what a provider is, the gate before it, and the providers there are."""

from orchestrator.providers.base import (
    Ask,
    Completion,
    Finish,
    Hearing,
    OnCall,
    OnText,
    Provider,
    Quote,
    Request,
    Room,
    ToolSpec,
)
from orchestrator.providers.calls import REPAIRS, ModelCall, key_of
from orchestrator.providers.functions import ProviderFunction, as_provider
from orchestrator.providers.gate import Call, Gate, Paid, Result
from orchestrator.providers.injection import FAULTS, FaultName, Injection
from orchestrator.providers.recorded import (
    Case,
    RecordedFile,
    RecordedProvider,
    join_recorded,
    read_recorded,
    recorded_from,
    repriced,
    tile_recorded,
)
from orchestrator.providers.replay import RecordingProvider, ReplayProvider
from orchestrator.providers.script import ScriptProvider, call

__all__ = [
    "FAULTS",
    "REPAIRS",
    "Ask",
    "Call",
    "Case",
    "Completion",
    "FaultName",
    "Finish",
    "Gate",
    "Hearing",
    "Injection",
    "ModelCall",
    "OnCall",
    "OnText",
    "Paid",
    "Provider",
    "ProviderFunction",
    "Quote",
    "RecordedFile",
    "RecordedProvider",
    "RecordingProvider",
    "ReplayProvider",
    "Request",
    "Result",
    "Room",
    "ScriptProvider",
    "ToolSpec",
    "as_provider",
    "call",
    "join_recorded",
    "key_of",
    "read_recorded",
    "recorded_from",
    "repriced",
    "tile_recorded",
]
