"""A model thinks, routes to a model and a tool, and answers; without OPENAI_API_KEY a script speaks for the models.

Prints:
    24480 minutes: seventeen days, each one its own small sea. (answered, 2 turns, 2 experts)
    $0.0001267 for 63 tokens; 2 replies say less
"""

import os
from decimal import Decimal
from math import prod

from orchestrator import Agent, Budget, Orchestrator, expert
from orchestrator.pool import known_models
from orchestrator.providers import ScriptProvider, call

ROUTER, SMALL = "openai:gpt-6.1-terra", "openai:gpt-6-luna"

SCRIPT = ScriptProvider(
    {
        "gpt-6.1-terra": [
            call(
                ("multiply", '{"query": "17 * 24 * 60"}'), ("poet", '{"query": "A line on 17 days"}'), text="Ask both."
            ),
            call(("answer", '{"answer": "24480 minutes: seventeen days, each one its own small sea."}')),
        ],
        "gpt-6-luna": ["Seventeen days, each one its own small sea."],
    }
)


@expert(skill=0.99)
def multiply(question: str) -> int:
    """Products of whole numbers, such as `3 * 4`."""
    return prod(int(number) for number in question.split("*"))


poet = Agent(name="poet", role="short lines of verse", model=SMALL, prompt="Reply with one line of verse.", skill=0.8)
decision = Orchestrator(
    [known_models()[ROUTER], known_models()[SMALL], poet, multiply],
    router=ROUTER,
    budget=Budget(usd=Decimal("0.05"), turns=6),
    providers=None if "OPENAI_API_KEY" in os.environ else {"openai": SCRIPT},
).run_sync("How many minutes are 17 days? Answer with the number and a line of verse.")
print(f"{decision.answer} ({decision.status}, {decision.turns} turns, {decision.expert_calls} experts)")
print(f"${decision.cost_usd:f} for {decision.usage.total} tokens; {len(decision.dissent)} replies say less")
