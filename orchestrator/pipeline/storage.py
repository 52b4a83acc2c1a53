"""Opens the place where checkpoints are kept: a saver of the caller's, a SQLite file, or a PostgreSQL server."""
# langgraph leaves parameters of its own types open:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeGuard, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from orchestrator.errors import ConfigError

__all__ = ["Checkpointer", "checked", "forget", "opened", "thread", "threads"]

Checkpointer = BaseCheckpointSaver[Any] | str | Path
"""A LangGraph saver, the path of a SQLite file, or the address of a PostgreSQL database (`postgresql://…`)."""
_LOCK_OF_SETUP = 7_408_142
"""Number of the advisory lock under which one process at a time makes the tables."""


def thread(run_id: str) -> RunnableConfig:
    """The LangGraph thread of a run."""
    return {"configurable": {"thread_id": run_id, "checkpoint_ns": ""}}


def checked(given: object) -> Checkpointer:
    """What may keep checkpoints; raises `ConfigError` for anything else, and where an extra is missing."""
    if _is_saver(given):
        return given
    if not isinstance(given, (str, Path)) or not str(given):
        expected = "a LangGraph saver, the path of a SQLite file, or postgresql://…"
        raise ConfigError(f"cannot be {given!r}", field="checkpointer", expected=expected)
    if _is_address(given):
        _postgres()
    else:
        _sqlite()
    return given


@asynccontextmanager
async def opened(given: Checkpointer) -> AsyncGenerator[BaseCheckpointSaver[Any], None]:
    """The saver while it is open; one that knows no event loop is called in threads."""
    if isinstance(given, BaseCheckpointSaver):
        yield await _for_a_loop(given)
    elif isinstance(given, str) and _is_address(given):
        async with _postgres().from_conn_string(given) as saver:
            await saver.conn.execute("SELECT pg_advisory_lock(%s)", (_LOCK_OF_SETUP,))
            try:
                await saver.setup()
            finally:
                await saver.conn.execute("SELECT pg_advisory_unlock(%s)", (_LOCK_OF_SETUP,))
            yield saver
    else:
        Path(given).parent.mkdir(parents=True, exist_ok=True)
        async with _sqlite().from_conn_string(str(given)) as saver:
            yield saver


async def forget(saver: BaseCheckpointSaver[Any], run_id: str) -> None:
    """Delete the checkpoints of a run; a saver that cannot is left alone."""
    with suppress(NotImplementedError):
        await saver.adelete_thread(run_id)


async def threads(saver: BaseCheckpointSaver[Any]) -> set[str]:
    """Every thread that the saver holds anything of."""
    return {str(found.config.get("configurable", {}).get("thread_id")) async for found in saver.alist(None)}


def _is_saver(given: object) -> TypeGuard[BaseCheckpointSaver[Any]]:
    return isinstance(given, BaseCheckpointSaver)


def _is_address(given: str | Path) -> bool:
    return str(given).startswith(("postgresql://", "postgres://"))


def _sqlite() -> Any:  # noqa: ANN401 - a class that is there only with the extra
    try:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    except ImportError as error:
        raise _missing("durable") from error
    return AsyncSqliteSaver


def _postgres() -> Any:  # noqa: ANN401 - a class that is there only with the extra
    try:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    except ImportError as error:
        raise _missing("postgres") from error
    return AsyncPostgresSaver


def _missing(extra: str) -> ConfigError:
    expected = f"the extra `{extra}`: pip install 'thinkroute[{extra}]'"
    return ConfigError("what it takes is not installed", field="checkpointer", expected=expected)


async def _for_a_loop(saver: BaseCheckpointSaver[Any]) -> BaseCheckpointSaver[Any]:
    """The saver, or a way to it through threads where it has no async methods."""
    try:
        await saver.aget_tuple(thread("-"))
    except NotImplementedError:
        return _InThreads(saver)
    return saver


class _InThreads(BaseCheckpointSaver[Any]):
    """A saver without async methods, each call of it in a thread."""

    def __init__(self, saver: BaseCheckpointSaver[Any]) -> None:
        super().__init__(serde=saver.serde)
        self._saver = saver

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The newest checkpoint of a thread."""
        return await asyncio.to_thread(self._saver.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's word
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """All checkpoints that fit."""

        def found() -> Iterator[CheckpointTuple]:
            return self._saver.list(config, filter=filter, before=before, limit=limit)

        for each in await asyncio.to_thread(lambda: list(found())):
            yield each

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint."""
        return await asyncio.to_thread(self._saver.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep what a node wrote."""
        await asyncio.to_thread(self._saver.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """Forget a thread."""
        await asyncio.to_thread(self._saver.delete_thread, thread_id)

    def get_next_version(self, current: object, channel: None) -> object:
        """The saver's own numbering."""
        return self._saver.get_next_version(cast("Any", current), channel)
