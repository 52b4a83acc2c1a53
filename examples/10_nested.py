"""An orchestrator as an expert of another: one budget for both, one tree of traces, and a way round when it fails.

Prints:
    Report: Tides follow the moon.
    answered, $0.00021 of $0.01
"""

from datetime import date
from decimal import Decimal

from orchestrator import Agent, Budget, Completion, Model, Orchestrator, Price, ScriptProvider, Usage, expert

price = Price(input=Decimal(3), output=Decimal(15), as_of=date(2026, 11, 1), source="made up")
small = Model(name="script:small", price=price, max_output=300)
script = ScriptProvider({"small": [Completion("Tides follow the moon.", usage=Usage(40, 6))]})


@expert(produces="notes", skill=0.9)
def archive(question: str) -> str:
    raise ConnectionError("the archive is down")


research = Orchestrator(
    [small, Agent(name="reader", model=small.name, produces="notes", skill=0.7), archive],
    providers={"script": script},
)


@expert(skill=0.9)
def report(notes: str) -> str:
    return f"Report: {notes}"


desk = Orchestrator(
    [research.as_expert("research", produces="notes", goal="notes", skill=0.8), report],
    budget=Budget(usd=Decimal("0.01")),
)
decision = desk.run_sync("Why are there tides?")
print(decision.answer)
print(f"{decision.status}, ${decision.cost_usd:f} of $0.01")
