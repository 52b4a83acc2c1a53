"""The command as a process whose vendors' servers are scripted ones on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from orchestrator.trace import Trace, read_trace
from tests.commands import MAIN, orchestrate
from tests.conftest import ROOT
from tests.runs import hold_to_the_rules
from tests.wire.server import WireServer

__all__ = ["CANARY", "Shell"]

CANARY = "sk-canary-0123456789"


@dataclass(frozen=True, slots=True)
class Shell:
    """A folder to run the command in, and what it finds in its environment."""

    env: Mapping[str, str]
    folder: Path
    keys: Mapping[str, str]

    @classmethod
    def at(cls, server: WireServer, env: Mapping[str, str], folder: Path) -> Shell:
        """A shell with a key for OpenAI, whose address is the scripted server's."""
        return cls(env, folder, {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": server.openai_url})

    def run(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """The finished process; it ends with `code`, and never shows the key."""
        done = orchestrate(*args, env=self.env, cwd=self.folder, **self.keys)
        assert done.returncode == code, done.stderr
        self.hold_the_key_back(done.stdout, done.stderr)
        return done

    def decided(self, *args: str) -> tuple[dict[str, Any], str]:
        """The JSON of a run, and what stands on stderr; its trace keeps all the rules."""
        done = self.run("run", *args, "--json")
        told: dict[str, Any] = json.loads(done.stdout, parse_float=Decimal)
        self.trace(told)
        return told, done.stderr

    def trace(self, told: Mapping[str, Any]) -> Trace:
        """The trace of a run, once it has kept all the rules."""
        trace = read_trace(Path(told["trace"]))
        hold_to_the_rules(trace, head=told["head"])
        return trace

    def started(self, *args: str) -> subprocess.Popen[str]:
        """The process, just begun."""
        env = {**self.env, "PYTHONPATH": os.pathsep.join([str(ROOT), self.env["PYTHONPATH"]]), **self.keys}
        command: Sequence[str] = [sys.executable, "-c", MAIN, *args]
        return subprocess.Popen(
            command, env=env, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )

    def hold_the_key_back(self, *texts: str) -> None:
        """Neither these texts nor any file that a run has left holds the key."""
        left = [path.read_text(encoding="utf-8") for path in self.folder.rglob("*.*") if path.suffix != ".db"]
        assert [text for text in (*texts, *left) if CANARY in text] == []
