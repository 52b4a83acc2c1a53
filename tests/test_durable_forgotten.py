"""Checkpoints of runs that have ended: deleted with the run, or by whoever comes across them next."""
# langgraph leaves parameters of its own types open:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from orchestrator import Agent, ConfigError, Decision, Orchestrator, ToolError
from orchestrator.pipeline.durable import swept
from orchestrator.pipeline.storage import Checkpointer, opened, threads
from orchestrator.trace import read_trace, verify
from orchestrator.trace.events import RunEnded
from tests.postgres import postgres

QUESTION = "What is it?"


def plain(question: str) -> str:
    """Says it."""
    return f"plain {question}"


def ill(question: str) -> str:
    """Never says anything."""
    raise ToolError(question)


def kept(place: Checkpointer) -> set[str]:
    """The runs of which a store holds anything."""

    async def look() -> set[str]:
        async with opened(place) as saver:
            return await threads(saver)

    return asyncio.run(look())


def durable(folder: Path, place: Checkpointer, tool: Any = plain) -> Orchestrator:  # noqa: ANN401 - a function
    """An orchestrator over one expert."""
    return Orchestrator([Agent(name="one", tool=tool)], trace=folder, checkpointer=place, seed=1)


def ended(folder: Path, decision: Decision) -> None:
    """Hold the trace to be whole and at its end."""
    trace = read_trace(folder / f"{decision.run_id}.jsonl")
    assert verify(trace, head=decision.head).passed
    assert isinstance(trace.events[-1], RunEnded)


def lived_and_left_nothing(folder: Path, place: Checkpointer) -> None:
    """Runs that end at once, wait, are answered, and are aborted; only the one that waits is kept."""
    done = durable(folder, place).run_sync(QUESTION)
    ended(folder, done)
    assert kept(place) == set()
    asked = durable(folder, place, ill)
    waits, other = asked.run_sync(QUESTION), asked.run_sync(QUESTION)
    assert kept(place) == {waits.run_id, other.run_id}
    ended(folder, asked.resume_sync(waits.run_id, answer="Tea."))
    assert kept(place) == {other.run_id}
    asyncio.run(asked.abort(other.run_id))
    assert kept(place) == set()


@pytest.mark.parametrize("kind", ["memory", "file", "sync sqlite"])
def test_nothing_is_kept_of_a_run_that_has_ended(kind: str, tmp_path: Path) -> None:
    if kind == "sync sqlite":
        with SqliteSaver.from_conn_string(str(tmp_path / "sync.sqlite")) as saver:
            lived_and_left_nothing(tmp_path, saver)
    else:
        lived_and_left_nothing(tmp_path, InMemorySaver() if kind == "memory" else tmp_path / "kept.sqlite")


def test_nor_in_a_database(tmp_path: Path) -> None:
    with postgres() as address:
        lived_and_left_nothing(tmp_path, address)


class Hoarding(InMemorySaver):
    """A saver that deletes nothing, in one way or another."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def adelete_thread(self, thread_id: str) -> None:
        """Say no."""
        del thread_id
        raise self.error


@pytest.mark.parametrize("error", [NotImplementedError(), OSError("the disk is full")])
def test_a_store_that_does_not_delete_takes_no_decision_away(error: Exception, tmp_path: Path) -> None:
    saver = Hoarding(error)
    decision = durable(tmp_path, saver).run_sync(QUESTION)
    ended(tmp_path, decision)
    assert decision.answer == f"plain {QUESTION}"
    assert kept(saver) == {decision.run_id}


class Watching(InMemorySaver):
    """A saver that looks how the trace stands when it is told to delete."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.stood: list[bool] = []

    async def adelete_thread(self, thread_id: str) -> None:
        """Look, and delete."""
        last = read_trace(self.folder / f"{thread_id}.jsonl").events[-1]
        self.stood.append(isinstance(last, RunEnded))
        await super().adelete_thread(thread_id)


def test_the_trace_is_ended_before_anything_is_deleted(tmp_path: Path) -> None:
    saver = Watching(tmp_path)
    durable(tmp_path, saver).run_sync(QUESTION)
    asked = durable(tmp_path, saver, ill)
    asyncio.run(asked.abort(asked.run_sync(QUESTION).run_id))
    assert saver.stood == [True, True]


KILLED = """
import os, sys
from orchestrator import Agent, Orchestrator
from orchestrator.trace.events import RunEnded

def plain(question: str) -> str:
    return "plain"

def die(event):
    if isinstance(event, RunEnded):
        os._exit(9)

members = [Agent(name="one", tool=plain)]
Orchestrator(members, trace=sys.argv[1], checkpointer=sys.argv[2], listeners=[die]).run_sync("What is it?")
"""


def killed_at_its_end(folder: Path, place: Path | str) -> str:
    """A run whose process is killed once its trace is ended, and before its checkpoints are deleted."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(place)], check=False, capture_output=True)
    assert done.returncode == 9, done.stderr
    (path,) = folder.glob("*.jsonl")
    assert kept(place) == {path.stem}
    assert isinstance(read_trace(path).events[-1], RunEnded)
    return path.stem


@pytest.mark.parametrize("how", ["resume", "abort", "sweep"])
def test_a_kill_between_the_end_and_the_deletion_is_harmless(how: str, tmp_path: Path) -> None:
    place, folder = tmp_path / "kept.sqlite", tmp_path / "runs"
    run_id = killed_at_its_end(folder, place)
    asked = durable(folder, place)
    waits = durable(folder, place, ill).run_sync(QUESTION)
    assert [pending.run_id for pending in asked.pending()] == [waits.run_id]
    if how == "sweep":
        asyncio.run(swept(folder, place))
    else:
        with pytest.raises(ConfigError, match="has come to its end"):
            asyncio.run(asked.resume(run_id) if how == "resume" else asked.abort(run_id))  # pyright: ignore[reportArgumentType, reportUnknownArgumentType]
    assert kept(place) == {waits.run_id}
    assert durable(folder, place, ill).resume_sync(waits.run_id, answer="Tea.").answer == "Tea."


def test_nor_does_it_harm_in_a_database(tmp_path: Path) -> None:
    with postgres() as address:
        run_id = killed_at_its_end(tmp_path, address)
        with pytest.raises(ConfigError, match="has come to its end"):
            durable(tmp_path, address).resume_sync(run_id)
        assert kept(address) == set()


def test_a_sweep_leaves_alone_what_is_no_run_of_the_folder(tmp_path: Path) -> None:
    """Threads of a caller's own graphs may lie in the same store."""
    place, here, there = tmp_path / "kept.sqlite", tmp_path / "here", tmp_path / "there"
    killed_at_its_end(there, place)
    asyncio.run(swept(here, place))
    assert len(kept(place)) == 1
    asyncio.run(swept(there, place))
    assert kept(place) == set()


def test_a_sweep_that_fails_is_left_to_the_next(tmp_path: Path) -> None:
    saver: BaseCheckpointSaver[Any] = Hoarding(OSError("the disk is full"))
    decision = durable(tmp_path, saver).run_sync(QUESTION)
    asyncio.run(swept(tmp_path, saver))
    assert kept(saver) == {decision.run_id}
