"""A scorer that runs an answer's code against a case's tests, in a process of its own that has little time and memory.

It holds mistakes back, not attackers: without `unshare` the code sees the network, and it may read what its user may.
So suites may name it only where the command line says `--allow-code`.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.errors import ConfigError
from orchestrator.evals.cases import EvalCase
from orchestrator.evals.scorers import Scored

__all__ = ["Code"]

LAUNCHER = """
import os, resource, runpy, sys
megabytes, seconds, passed, path = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
sys.argv[:] = [path]
for what, limit in (
    (resource.RLIMIT_AS, megabytes << 20),
    (resource.RLIMIT_CPU, seconds),
    (resource.RLIMIT_FSIZE, 1 << 20),
    (resource.RLIMIT_CORE, 0),
):
    resource.setrlimit(what, (limit, limit))
try:
    runpy.run_path(path, run_name="__main__")
except SystemExit:
    os._exit(1)
os._exit(passed)
"""
"""Passes by a number that is drawn anew each time: code that leaves early with 0 has not passed."""
LONGEST_SAID = 200


class Code(BaseModel):
    """The code in the answer, then each reference as tests: right where all of them run to their end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str] = "code"
    seconds: Annotated[int, Field(ge=1, le=600)] = 10
    megabytes: Annotated[int, Field(ge=64)] = 512

    def score(self, answer: str, case: EvalCase) -> Scored:
        """1 where the tests pass; raises `ConfigError` where the case has no tests."""
        if not case.reference:
            raise ConfigError(f"case `{case.id}` has no tests", field="reference", expected="Python that asserts")
        return self._run("\n\n".join([code_in(answer), *case.reference]) + "\n")

    def _run(self, program: str) -> Scored:
        passed = 3 + secrets.randbelow(120)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "answer.py"
            path.write_text(program, encoding="utf-8", errors="backslashreplace")
            limits = [str(self.megabytes), str(self.seconds), str(passed)]
            launch = [*_apart(), sys.executable, "-I", "-B", "-c", LAUNCHER, *limits, str(path)]
            code, said = _ended(launch, Path(folder), self.seconds)
        if code == passed:
            return Scored(1.0, "the tests pass")
        if code is None:
            return Scored(0.0, f"the code takes more than {self.seconds} s")
        lines = said.strip().splitlines()
        return Scored(
            0.0, f"the tests fail: {lines[-1][:LONGEST_SAID] if lines else f'it ended by itself with {code}'}"
        )


def code_in(answer: str) -> str:
    """The code of an answer: its fenced blocks one after the other, or all of it where there is none."""
    return "\n\n".join(re.findall(r"```(?:[Pp]ython|py)?[^\S\n]*\n(.*?)```", answer, re.DOTALL)) or answer


def _ended(launch: Sequence[str], folder: Path, seconds: float) -> tuple[int | None, str]:
    """Exit code and errors of a process; None for one that had to be ended, with all that it started."""
    said = folder / "said"
    with (
        said.open("wb") as errors,
        subprocess.Popen(  # noqa: S603 - running it is what was asked for
            launch,
            cwd=folder,
            env={"PATH": os.defpath, "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        ) as process,
    ):
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end_all(process.pid)
    return code, said.read_text(encoding="utf-8", errors="replace")


def _end_all(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


@cache
def _apart() -> tuple[str, ...]:
    """What puts a process where there is no network, if the system lets us."""
    command = ("unshare", "--map-root-user", "--net")
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [*command, "true"], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if done.returncode == 0 else ()
