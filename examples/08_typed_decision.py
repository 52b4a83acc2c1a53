"""A decision on a pydantic model: the first reply does not fit and is mended, the result is typed.

Prints:
    lamp True {"product":"lamp","urgent":true}
    That reply cannot be used
"""

from pydantic import BaseModel

from orchestrator import Agent, Model, Orchestrator, ScriptProvider


class Ticket(BaseModel):
    product: str
    urgent: bool


said = ScriptProvider({"reader": ["It is about the lamp.", '{"product": "lamp", "urgent": true}']})
pool = (Model(name="script:reader", free=True), Agent(name="reader", model="script:reader", skill=0.9))
orchestrator = Orchestrator(pool, providers={"script": said}, trace=False)

decision = orchestrator.run_sync("My lamp is on fire!", output=Ticket)
print(decision.output.product, decision.output.urgent, decision.answer)
print(said.requests[1][1].messages[-1].content.partition(":")[0])
