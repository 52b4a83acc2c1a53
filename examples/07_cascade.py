"""From cheap to dear, one model after another, until a reply is sure enough; without OPENAI_API_KEY a script speaks.

Prints:
    B after 2 experts, $0.0000275: ('gpt-6-luna', 'gpt-6.1-terra')
    C after 3 experts, $0.0000682: ('gpt-6.1-terra', 'gpt-6.1-sol')
"""

import os
from decimal import Decimal

from orchestrator import Agent, Budget, Message, Orchestrator, Question
from orchestrator.pool import known_models
from orchestrator.providers import ScriptProvider

SMALL, MIDDLE, LARGE = "openai:gpt-6-luna", "openai:gpt-6.1-terra", "openai:gpt-6.1-sol"
SAID = {"gpt-6-luna": ["B", "B"], "gpt-6.1-terra": ["B", "C"], "gpt-6.1-sol": ["C"]}
SKILLS = {SMALL: 0.7, MIDDLE: 0.85, LARGE: 0.97}


def asked(text: str) -> Question:
    return Question((Message("user", f"{text} Answer with the letter alone."),), choices=("A", "B", "C"))


experts = [
    Agent(name=name.partition(":")[2], model=name, role="general knowledge", skill=skill)
    for name, skill in SKILLS.items()
]
cascade = Orchestrator(
    [*(known_models()[name] for name in SKILLS), *experts],
    router="cascade:0.9",  # the reply at hand is kept from 0.9 on; `cascade` alone weighs each step against its price
    budget=Budget(usd=Decimal("0.05")),
    providers=None if "OPENAI_API_KEY" in os.environ else {"openai": ScriptProvider(SAID)},
)
for text in ("Which is a mammal? A) trout B) whale C) gecko.", "Which is prime? A) 51 B) 57 C) 59."):
    decision = cascade.run_sync(asked(text))
    print(f"{decision.answer} after {decision.expert_calls} experts, ${decision.cost_usd:f}: {decision.support}")
