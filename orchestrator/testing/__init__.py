"""What a test of a pipeline needs: scripts in place of models, a clock, faults, no network, nothing failing silently.

Nothing here imports pytest but the plugin, which pytest loads by itself where this package is installed: it brings the
fixtures `script`, `fake_clock` and `block_network`, and changes nothing in tests that do not ask for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.chaos.world import LeapingLoop
    from orchestrator.providers import (
        FAULTS,
        FaultName,
        Injection,
        RecordedProvider,
        RecordingProvider,
        ReplayProvider,
        ScriptProvider,
        call,
    )
    from orchestrator.runtime import Clocks
    from orchestrator.testing.assertions import assert_no_silent_failure
    from orchestrator.testing.clock import FakeClock
    from orchestrator.testing.network import NetworkBlocked, block_network
    from orchestrator.testing.troubles import Disturbance, Script, disturb, faults
    from orchestrator.trace import Trace, read_trace, silent_failures, verify

__all__ = [
    "FAULTS",
    "Clocks",
    "Disturbance",
    "FakeClock",
    "FaultName",
    "Injection",
    "LeapingLoop",
    "NetworkBlocked",
    "RecordedProvider",
    "RecordingProvider",
    "ReplayProvider",
    "Script",
    "ScriptProvider",
    "Trace",
    "assert_no_silent_failure",
    "block_network",
    "call",
    "disturb",
    "faults",
    "read_trace",
    "silent_failures",
    "verify",
]

_HOMES = {
    "chaos.world": ("LeapingLoop",),
    "providers": (
        "FAULTS",
        "FaultName",
        "Injection",
        "RecordedProvider",
        "RecordingProvider",
        "ReplayProvider",
        "ScriptProvider",
        "call",
    ),
    "runtime": ("Clocks",),
    "testing.assertions": ("assert_no_silent_failure",),
    "testing.clock": ("FakeClock",),
    "testing.network": ("NetworkBlocked", "block_network"),
    "testing.troubles": ("Disturbance", "Script", "disturb", "faults"),
    "trace": ("Trace", "read_trace", "silent_failures", "verify"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a name when it is first used: pytest imports this package in every suite, also where nobody needs it."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"orchestrator.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All public names, also those that are not imported yet, so that completion finds them."""
    return sorted({*globals(), *__all__})
