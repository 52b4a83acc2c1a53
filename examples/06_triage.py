"""Three desks look at one complaint and `refine` writes one reply of theirs; without a key a script speaks for them.

Prints:
    One charge goes back. The desks differ on the pump: because of the smell, leave it off.
    3 desks, 1 merge, $0.0005096, answered
"""

import os
from decimal import Decimal

from orchestrator import Agent, Budget, Orchestrator, Pool
from orchestrator.pool import known_models
from orchestrator.providers import ScriptProvider

DESK, WRITER = "openai:gpt-6-luna", "openai:gpt-6.1-terra"
DESKS = {
    "billing": "You look at invoices only. Say what went wrong with the money and what to do.",
    "technical": "You look at the machine only. Say what went wrong with it and what to do.",
    "safety": "You look for danger only. Say what must not be done until somebody has looked.",
}
SAID = {
    "billing": "The repair was charged twice; one charge goes back within five days.",
    "technical": "The fuse blew since the pump is blocked. Switch it on again once it is cleaned.",
    "safety": "A smell of burning: leave it switched off until a technician has seen it.",
}
SCRIPT = ScriptProvider(
    {
        "gpt-6-luna": lambda asked: next(
            SAID[name] for name, does in DESKS.items() if does == asked.messages[0].content
        ),
        "gpt-6.1-terra": ["One charge goes back. The desks differ on the pump: because of the smell, leave it off."],
    }
)
experts = [Agent(name=name, model=DESK, prompt=does) for name, does in DESKS.items()]
decision = Orchestrator(
    Pool([known_models()[DESK], known_models()[WRITER], *experts], merger=WRITER),
    merge="refine",
    analyses=len(DESKS),
    budget=Budget(usd=Decimal("0.10")),
    providers=None if "OPENAI_API_KEY" in os.environ else {"openai": SCRIPT},
).run_sync("I paid twice for the repair of the dishwasher, and now it smells of burning and does not start.")
print(decision.answer)
print(f"{decision.expert_calls} desks, {decision.merge_calls} merge, ${decision.cost_usd:f}, {decision.status}")
