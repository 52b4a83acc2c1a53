"""Two experts state their analyses and a judge picks one, unseen by name; without keys a script speaks for them.

Prints:
    3/7, says the judge with ('left',); ['right'] differ
"""

import json
import os
from decimal import Decimal

from orchestrator import Agent, Budget, Orchestrator, Pool
from orchestrator.pool import known_models
from orchestrator.providers import ScriptProvider

LEFT, RIGHT, JUDGE = "openai:gpt-6-luna", "anthropic:claude-haiku-4-5", "openai:gpt-6.1-terra"


def analysis(answer: str, evidence: str, confidence: float) -> str:
    stated = {"answer": answer, "evidence": [evidence], "eliminated": [], "confidence": confidence}
    return json.dumps(stated)


SCRIPT = ScriptProvider(
    {
        LEFT.partition(":")[2]: [analysis("3/7", "3/7 is about 0.43, 2/5 is 0.40", 0.9)],
        RIGHT.partition(":")[2]: [analysis("2/5", "its denominator is smaller", 0.6)],
        JUDGE.partition(":")[2]: [
            lambda asked: asked.messages[0].content.partition("\n3/7\n")[0].rpartition('r="')[2][0]
        ],
    }
)
keys = "OPENAI_API_KEY" in os.environ and "ANTHROPIC_API_KEY" in os.environ
experts = [Agent(name=name, model=model, reply="analysis") for name, model in (("left", LEFT), ("right", RIGHT))]
decision = Orchestrator(
    Pool([*(known_models()[name] for name in (LEFT, RIGHT, JUDGE)), *experts], merger=JUDGE),
    merge="best",
    analyses=2,
    budget=Budget(usd=Decimal("0.05")),
    providers=None if keys else {"openai": SCRIPT, "anthropic": SCRIPT},
).run_sync("Which is larger, 3/7 or 2/5?")
print(f"{decision.answer}, says the judge with {decision.support}; {[each.agent for each in decision.dissent]} differ")
