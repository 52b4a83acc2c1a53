"""Runs the command of this checkout, whichever one the environment has installed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAIN = "from orchestrator.cli import main; main()"


def orchestrate(*args: str, env: Mapping[str, str], cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """The finished process of `orchestrator ARGS`; `more` is laid over the environment."""
    path = os.pathsep.join([str(ROOT), env["PYTHONPATH"]])
    return subprocess.run(
        [sys.executable, "-c", MAIN, *args],
        env={**env, "PYTHONPATH": path, **more},
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
