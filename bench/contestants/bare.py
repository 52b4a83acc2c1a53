"""The three calls with `AsyncOpenAI` and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pace import Task, compete
from three_calls import ThreeCalls


def bare(task: Task) -> Callable[[], Awaitable[str]]:
    """A run: one call after the other."""
    calls = ThreeCalls(task)

    async def run() -> str:
        query, call_id = await calls.route()
        return await calls.conclude(query, call_id, await calls.consult(query))

    return run


if __name__ == "__main__":
    compete(bare)
