"""Durable runs in processes that may be killed: `python -m tests.wire.durable_process`, a JSON job a line.

Each job is done by a fork of its own, so that nothing but files and servers outlives it; its fate is printed, `done`
with the decision or `killed`. A job kills its own process after so many events or checkpoints, or is killed by the
server that it asks.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.request
from datetime import date
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from orchestrator import Agent, Answer, Decision, IdempotencyKey, Message, Model, Orchestrator, Price, Route, Turn, View
from orchestrator.merge import Synthesise
from orchestrator.messages import Goal
from orchestrator.providers import Request
from orchestrator.providers.openai import OpenAIProvider
from orchestrator.trace.events import Event

__all__ = ["Job", "Wish"]

PRICE = Price(input=Decimal("1.37"), output=Decimal("5.11"), as_of=date(2026, 1, 1), source="a test")
MODELS = ("router", "left", "right", "merger")


class Place(TypedDict):
    """Where a job is done."""

    url: str
    folder: str
    place: str
    """A SQLite file or the address of a database."""


class Wish(TypedDict, total=False):
    """How it is done."""

    resume: bool
    idempotent: bool
    event: int
    """The event after which the process is killed."""
    checkpoint: int
    """The checkpoint after which it is."""
    word: dict[str, Any]
    """What a person says at the resume."""


class Job(Place, Wish):
    """One run or resume."""

    run_id: str


def die() -> None:
    """As `kill -9` does it."""
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly:
    """Counts events, and is the death of the process after the last."""

    def __init__(self, last: int | None) -> None:
        self.left = last

    def __call__(self, event: Event) -> None:
        """One more."""
        del event
        self.count()

    def count(self) -> None:
        """One more of whatever is counted."""
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                die()


class DeadlySqlite(AsyncSqliteSaver):
    """Kills the process when so many checkpoints are kept."""

    deadly = Deadly(None)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep it, and count."""
        kept = await super().aput(config, checkpoint, metadata, new_versions)
        self.deadly.count()
        return kept


class DeadlyPostgres(AsyncPostgresSaver):
    """The same over a database."""

    deadly = Deadly(None)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep it, and count."""
        kept = await super().aput(config, checkpoint, metadata, new_versions)
        self.deadly.count()
        return kept


def orchestrator(job: Job, checkpointer: BaseCheckpointSaver[Any] | str) -> Orchestrator:
    """A router that asks its model whom to consult, two experts, a tool that acts, and a merge agent."""
    url, folder = job["url"], Path(job["folder"])

    def act(question: str, key: IdempotencyKey) -> str:
        """Acts once for each key."""
        sent = urllib.request.Request(f"{url}/act", question.encode(), {"Idempotency-Key": key})  # noqa: S310 - loopback
        with urllib.request.urlopen(sent) as answer:  # noqa: S310 - loopback
            return answer.read().decode()

    async def ruling(view: View) -> Turn:
        if not view.state.turns:
            said = await view.ask("router", Request((Message("user", view.question.text),), max_output=50))
            return Turn(tuple(Route(name) for name in said.text.split()))
        acted = view.state.reached(Goal("receipt")) or view.failures
        return Turn((Answer() if acted else Route("act"),))

    models = [Model(name=n, provider="openai", base_url=f"{url}/v1", price=PRICE, max_output=300) for n in MODELS]
    return Orchestrator(
        [
            *models,
            Agent(name="left", model="left"),
            Agent(name="right", model="right"),
            Agent(name="act", tool=act, produces="receipt", effects=True, idempotent=job.get("idempotent", False)),
        ],
        router=ruling,
        merge=Synthesise("merger"),
        trace=folder,
        new_id=lambda: job["run_id"],
        checkpointer=checkpointer,
    )


async def done(job: Job) -> Decision:
    """The decision of a job, if it lives to see it."""
    deadly = Deadly(job.get("event"))
    if "checkpoint" not in job:
        return await _went(job, orchestrator(job, job["place"]), deadly)
    kind = DeadlyPostgres if job["place"].startswith("postgres") else DeadlySqlite
    kind.deadly = Deadly(job["checkpoint"])
    async with kind.from_conn_string(job["place"]) as saver:
        if isinstance(saver, DeadlyPostgres):
            await saver.setup()
        return await _went(job, orchestrator(job, saver), deadly)


async def _went(job: Job, asked: Orchestrator, deadly: Deadly) -> Decision:
    if job.get("resume"):
        return await asked.resume(job["run_id"], **job.get("word", {}), listeners=[deadly])
    return await asked.run("Who is right?", listeners=[deadly])


def main() -> None:
    """Fork for each job, once what every one needs is imported."""
    asyncio.run(OpenAIProvider().prepare(Model(name="router", provider="openai", base_url="http://127.0.0.1:1")))
    import_module("openai.resources.chat.completions")
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            decision = asyncio.run(done(json.loads(line)))
            os.write(writing, decision.model_dump_json().encode())
            os._exit(0)
        os.close(writing)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        with os.fdopen(reading) as told:
            said = told.read()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        sys.stdout.write(("killed" if killed else said or "failed") + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
