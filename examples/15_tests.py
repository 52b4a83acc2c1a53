"""How a pipeline is tested without a network: what models say is scripted, what goes wrong is chosen, time leaps.

Under pytest the fixtures `script`, `fake_clock` and `block_network` make the same objects.

Prints:
    rerouted: reader → shelf (server)
    waited 20 s in no time
"""

from orchestrator import Agent, Model, Orchestrator, expert
from orchestrator.testing import (
    FakeClock,
    Injection,
    ScriptProvider,
    assert_no_silent_failure,
    block_network,
    disturb,
)  # fmt: skip

members = (Model(name="script:small", free=True), Agent(name="reader", model="script:small", skill=0.9))
clock, script = FakeClock(), ScriptProvider({"small": ["The moon."]})


@expert(skill=0.6)
def shelf(question: str) -> str:
    return "Look under T."


with block_network() as refused:
    broken = disturb({"reader": "server"})
    decision = Orchestrator([*members, shelf], providers={"script": script}, disturb=broken).run_sync("Why tides?")
assert (decision.answer, decision.support, refused) == ("Look under T.", ("shelf",), [])
assert_no_silent_failure(decision)
print(decision.reasons[0])

busy = disturb({"reader": [Injection("rate_limit", retry_after=20)]})
patient = Orchestrator(members, providers={"script": script}, disturb=busy, clocks=clock.clocks, sleep=clock.sleep)
assert patient.run_sync("Why tides?").answer == "The moon."
script.finish()
print(f"waited {clock.waits[0]:g} s in no time")
