"""The failover by an `Orchestrator` over two experts: trace on disk, money budget and breakers as in every run."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

from rescue import Ask, Fresh, Rescued, Task, compete

from orchestrator import Agent, Budget, Decision, Model, Orchestrator, Pool, Price
from orchestrator.trace import read_trace
from orchestrator.trace.events import TryEnded

PRICE = Price(input=Decimal("0.25"), output=Decimal(2), as_of=date(2026, 11, 21), source="made up")
SKILLS = {"first": 0.9, "second": 0.6}
"""Far enough apart that the first stays preferred until its breaker opens, whatever its failures do to its health."""


def shown(decision: Decision, folder: str) -> int:
    """Failed requests in the decision; its trace must tell of the same."""
    told = sum(failed.tries for failed in decision.failed)
    events = read_trace(Path(folder) / f"{decision.run_id}.jsonl").events
    traced = sum(isinstance(event, TryEnded) and event.error is not None for event in events)
    if told != traced:
        raise RuntimeError(f"the decision tells of {told} failed requests and the trace of {traced}: {decision!r}")
    return told


def pool_of_two(task: Task) -> Fresh:
    """A plan takes the first expert, and heals with the second."""
    urls = {"first": task.first, "second": task.second}
    models = [Model(name=name, base_url=url, price=PRICE) for name, url in urls.items()]
    agents = [
        Agent(name=f"expert {name}", model=name, prompt=task.system, skill=SKILLS[name], timeout=task.timeout)
        for name in urls
    ]
    pool = Pool([*models, *agents])

    def fresh() -> Ask:
        orchestrator = Orchestrator(pool, router="plan", budget=Budget(usd=Decimal(1)), trace=task.folder)

        async def ask() -> Rescued:
            decision = await orchestrator.run(task.question)
            return Rescued(decision.answer, lambda: shown(decision, task.folder))

        return ask

    return fresh


if __name__ == "__main__":
    compete(pool_of_two)
