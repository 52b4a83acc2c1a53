"""Asks the local pool one question, straight and with its first choice broken: the same answer twice.

Prints:
    397.8 ('algebra',) $0
    397.8 ('arithmetic',) rerouted: algebra → arithmetic (injected)
"""

from orchestrator import Orchestrator, load_pool

QUESTION = "What is 17% of 2,340?"

straight = Orchestrator(load_pool("local")).run_sync(QUESTION)
print(straight.answer, straight.support, f"${straight.cost_usd}")

broken = Orchestrator(
    load_pool("local"), faults=lambda agent, attempt, case: "injected" if agent == "algebra" else None
)
rerouted = broken.run_sync(QUESTION)
print(rerouted.answer, rerouted.support, rerouted.reasons[0])
