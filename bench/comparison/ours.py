"""Three specialists, a stand-in for one, an editor and a money limit, with thinkroute."""

from __future__ import annotations

from decimal import Decimal

from orchestrator import Agent, Budget, Decision, Model, Orchestrator, Pool

NAMES = ("gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano")
MINI = "openai:gpt-4.1-mini"
MODELS = [Model(name=f"openai:{name}", max_output=500) for name in NAMES]
AGENTS = [
    Agent(name="law", model=MINI, produces="law", prompt="You are the law specialist."),
    Agent(name="money", model=MINI, produces="money", prompt="You are the money specialist."),
    Agent(name="press", model="openai:gpt-4.1", produces="press", prompt="You are the press specialist.", skill=0.9),
    Agent(name="stand_in", model="openai:gpt-4.1-nano", produces="press", prompt="You are the press specialist."),
    Agent(
        name="editor",
        model=MINI,
        consumes=("law", "money", "press"),
        produces="report",
        prompt="You are the editor. Join the findings into one report.",
    ),
]


async def report(question: str, limit: Decimal) -> Decision:
    """The decision on a report."""
    pool = Pool([*MODELS, *AGENTS], goals=["report"])
    return await Orchestrator(pool, budget=Budget(usd=limit)).run(question)
