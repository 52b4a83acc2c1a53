"""Starts a real PostgreSQL server in a folder of its own, as a user that it accepts; its socket is a file there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["postgres"]

PLACES = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/pgsql-*/bin")
USERS = ("postgres", "nobody")


def tool(name: str) -> str | None:
    """The path of a tool of PostgreSQL's, its newest version where several are installed."""
    found = [path for place in PLACES for path in sorted(Path("/").glob(f"{place[1:]}/{name}"))]
    return str(found[-1]) if found else shutil.which(name)


@contextmanager
def postgres() -> Generator[str]:
    """The address of a database that lasts as long as the block; skips where no server is installed, fails in CI."""
    initdb, server, ctl = tool("initdb"), tool("postgres"), tool("pg_ctl")
    if initdb is None or server is None or ctl is None:
        problem = "PostgreSQL is not installed (Debian and Ubuntu: apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: the path of a socket has some hundred characters at most
    user = _user() if os.geteuid() == 0 else None
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = str(folder / "data")
        _run([initdb, "-D", data, "-U", "tests", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"], folder, user)
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        _run([ctl, "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start"], folder, user)
        try:
            yield f"postgresql://tests@/postgres?host={folder}"
        finally:
            _run([ctl, "-D", data, "-m", "immediate", "-w", "stop"], folder, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str:
    """An unprivileged user: the server refuses to run as root."""
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in USERS if name in known)


def _run(command: list[str], folder: Path, user: str | None) -> None:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, user=user, env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[0]}: {done.stderr or done.stdout}"
