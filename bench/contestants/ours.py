"""The three calls by an `Orchestrator`: trace on disk, money budget, breakers and retries as in every run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal

from pace import Task, compete

from orchestrator import Agent, Budget, Decision, Model, Orchestrator, Pool, Price

PRICE = Price(input=Decimal("0.25"), output=Decimal(2), as_of=date(2026, 11, 21), source="made up")


def ours(task: Task) -> Callable[[], Awaitable[Decision]]:
    """A run: the router routes to the expert, the expert replies, the router's second turn answers."""
    models = [Model(name=f"openai:{name}", base_url=task.base_url, price=PRICE) for name in ("router", "expert")]
    expert = Agent(name="expert", role="knows physics", model="openai:expert", prompt="You know physics.")
    orchestrator = Orchestrator(
        Pool([*models, expert]), router="openai:router", budget=Budget(usd=Decimal(1)), trace=task.folder
    )

    async def run() -> Decision:
        decision = await orchestrator.run(task.question)
        if decision.status != "answered" or not decision.cost_exact:
            raise RuntimeError(f"not a clean run: {decision!r}")
        return decision

    return run


if __name__ == "__main__":
    compete(ours)
