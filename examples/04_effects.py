"""A refund: the first provider is down, a large amount stops for a person before anything is paid back.

Prints:
    answered · 120 paid back · rerouted: stripe → bank (tool)
    escalated · None · stopped for a person by large: `order.amount` = 15000 is above 10000, and stripe would be next
"""

from orchestrator import IdempotencyKey, Orchestrator, Pool, Risk, expert

PAID: dict[str, str] = {}


@expert(produces="order", skill=0.9)
def crm(question: str) -> dict[str, int]:
    """Looks the order up."""
    return {"amount": 15_000 if "piano" in question else 120}


@expert(produces="refund", skill=0.9, effects=True, idempotent=True)
def stripe(order: dict[str, int], key: IdempotencyKey) -> str:
    """Pays back, were it not refused."""
    raise ConnectionRefusedError(f"nobody took {order['amount']} under {key[:4]}")


@expert(produces="refund", skill=0.8, effects=True, idempotent=True)
def bank(order: dict[str, int], key: IdempotencyKey) -> str:
    """Pays back, once for each key."""
    return PAID.setdefault(key, f"{order['amount']} paid back")


pool = Pool([crm, stripe, bank, Risk(name="large", field="order.amount", above=10_000)], goals=["refund"])
for asked in ("Refund the lamp.", "Refund the piano."):
    decision = Orchestrator(pool, trace=False).run_sync(asked)
    print(decision.status, decision.answer, decision.reasons[0], sep=" · ")
