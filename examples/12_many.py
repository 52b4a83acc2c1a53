"""Many questions at once under one budget: answers in order, failures as values, no cent too much.

Prints:
    'one?': ('reply 0', 'answered')
    '': ConfigError
    'two?': ('reply 1', 'answered')
    'three?': (None, 'escalated')
    $0.0164 together
"""

import asyncio
from datetime import date
from decimal import Decimal

from orchestrator import Agent, Budget, Completion, Decision, Model, Orchestrator, Price, ScriptProvider, Usage

CENT = Decimal("0.01")
price = Price(input=Decimal(100), output=Decimal(400), as_of=date(2026, 11, 1), source="made up")
small = Model(name="script:small", price=price, max_output=20)
script = ScriptProvider({"small": [Completion(f"reply {n}", usage=Usage(2, 20)) for n in range(2)]})


async def main() -> None:
    desk = Orchestrator(
        [small, Agent(name="small", model=small.name)],
        providers={"script": script},
        budget=Budget(usd=CENT),  # of each
    )
    questions = ["one?", "", "two?", "three?"]
    outcomes = await desk.run_many(questions, concurrency=2, budget=Budget(usd=CENT * 2))
    for question, outcome in zip(questions, outcomes, strict=True):
        told = (outcome.answer, outcome.status) if isinstance(outcome, Decision) else type(outcome).__name__
        print(f"{question!r}: {told}")
    print(f"${sum(each.cost_usd or 0 for each in outcomes if isinstance(each, Decision)):f} together")


asyncio.run(main())
