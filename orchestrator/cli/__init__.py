"""The command `orchestrator`."""

from orchestrator.cli.main import main

__all__ = ["main"]
