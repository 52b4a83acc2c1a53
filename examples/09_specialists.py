"""Three specialists work side by side and are joined into one report; one is down, and its stand-in steps in.

Prints:
    the contract may be ended; that costs 4,000; nobody will write (risk 3) ('rerouted: spokesman → intern (tool)',)
"""

from pydantic import BaseModel

from orchestrator import Orchestrator, expert


class Finding(BaseModel):
    text: str
    risk: int


@expert(produces="law")
async def lawyer(question: str) -> Finding:
    return Finding(text="the contract may be ended", risk=2)


@expert(produces="money")
def accountant(question: str) -> dict[str, str]:
    return {"text": "that costs 4,000", "risk": "3"}


@expert(produces="press", skill=0.9)
def spokesman(question: str) -> Finding:
    raise ConnectionError("nobody picks up")


@expert(produces="press", skill=0.4)
def intern(question: str) -> Finding:
    return Finding(text="nobody will write", risk=1)


@expert(produces="report")
def editor(law: Finding, money: Finding, press: Finding) -> str:
    return f"{law.text}; {money.text}; {press.text} (risk {max(law.risk, money.risk, press.risk)})"


experts = (lawyer, accountant, spokesman, intern, editor)
decision = Orchestrator(experts, trace=False).run_sync("May we end the contract?", goal="report")
print(decision.answer, decision.reasons)
