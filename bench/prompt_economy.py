"""What a router's prompt takes with 5, 20 and 100 experts, and how much of it a vendor's prompt cache can keep.

Runs of four turns over a scripted model: nothing is sent anywhere. Tokens are an estimate of one in four characters,
as tokenizers take of English; what a server adds of its own is not in it. A request is laid out as servers do it for
their caches: the tools first, then the messages in order.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from itertools import pairwise

from orchestrator import Agent, Model, Orchestrator, Price
from orchestrator.messages import Encoding
from orchestrator.providers import Completion, Request, ScriptProvider, call
from orchestrator.routers import LLMRouter

EXPERTS = (5, 20, 100)
ENCODINGS: tuple[Encoding, ...] = ("tools", "tags")
TURNS = 4
CHARACTERS_PER_TOKEN = 4
QUESTION = "Which of the three proposals keeps the plant within its limits next winter, and at what cost?"
ROLES = ("writes and mends programs", "solves problems in several steps", "looks facts up in the archive")
REPLY = "The second keeps within the limits from December on; it costs 1.2 million in the first year. " * 8


def pool(count: int, encoding: Encoding) -> list[Model | Agent]:
    """A router and so many experts over priced models, as a cloud pool has them."""
    price = Price(input=Decimal("2.5"), output=Decimal(10), as_of=date(2026, 1, 1), source="made up")
    members: list[Model | Agent] = [Model(name="script:router", encoding=encoding, price=price)]
    for number in range(1, count + 1):
        model = Model(name=f"script:expert-{number}", price=price, context_window=200_000, seconds=3)
        role = f"{ROLES[number % len(ROLES)]}, and knows field {number}"
        members += [model, Agent(name=f"expert-{number}", role=role, model=model.name, skill=0.7)]
    return members


def said(encoding: Encoding, turn: int) -> Completion | str:
    """The router's turn: two routes at once, or in the end the answer."""
    thought = f"Step {turn}: the figures are missing, and two experts may have them."
    if turn == TURNS:
        return call(("answer", '{"answer": "The second."}')) if encoding == "tools" else "<answer>The second.</answer>"
    queries = [(f"expert-{number}", f"Which proposal keeps the limits, part {turn}?") for number in (1, 2)]
    if encoding == "tools":
        return call(*((name, json.dumps({"query": query})) for name, query in queries), text=thought)
    routes = "".join(f'<route agent="{name}">{query}</route>' for name, query in queries)
    return f"<think>{thought}</think>{routes}"


def requests(count: int, encoding: Encoding) -> list[Request]:
    """What the router was asked in the turns of one run."""
    lines = {f"expert-{number}": [REPLY] * TURNS for number in (1, 2)}
    provider = ScriptProvider({"router": [said(encoding, turn) for turn in range(1, TURNS + 1)], **lines})
    router = LLMRouter("script:router")
    decision = Orchestrator(pool(count, encoding), router=router, providers={"script": provider}, trace=False).run_sync(
        QUESTION
    )
    if (decision.status, decision.turns) != ("answered", TURNS):
        raise SystemExit(f"the run did not go as it was written: {decision.reasons}")
    return [request for name, request in provider.requests if name == "router"]


def laid_out(request: Request) -> str:
    """A request in the order in which caches compare it; each part ends where it ends, so that it can be a prefix."""
    parts = [*map(asdict, request.tools), *map(asdict, request.messages)]
    return "".join(json.dumps(part, ensure_ascii=False) + "\n" for part in parts)


def same_start(one: str, other: str) -> int:
    """Characters that two requests have in common before they part."""
    apart = (place for place, (left, right) in enumerate(zip(one, other, strict=False)) if left != right)
    return next(apart, min(len(one), len(other)))


def tokens(text: str) -> int:
    """Estimated tokens."""
    return round(len(text) / CHARACTERS_PER_TOKEN)


def row(count: int, encoding: Encoding) -> str:
    """One line of the table."""
    asked = list(map(laid_out, requests(count, encoding)))
    pairs = list(pairwise(asked))
    kept = [same_start(*pair) / len(pair[0]) for pair in pairs]
    cached = [same_start(*pair) / len(pair[1]) for pair in pairs]
    sizes = "".join(f"{tokens(text):>8,}" for text in asked)
    return f"{encoding:<8}{count:>8}{sizes}{min(kept):>9.0%}" + "".join(f"{share:>7.0%}" for share in cached)


def main() -> None:
    """Print the table."""
    print(f"Python {sys.version.split()[0]}; tokens estimated at {CHARACTERS_PER_TOKEN} characters each")
    print("kept: the least part of a request that stands unchanged at the start of the next (goal: 100%);")
    print("cached: what part of turn 2, 3, 4 is that start, the rest being what was said since")
    heads = "".join(f"{f'turn {turn}':>8}" for turn in range(1, TURNS + 1))
    print(f"{'encoding':<8}{'experts':>8}{heads}{'kept':>9}{'2':>7}{'3':>7}{'4':>7}")
    for encoding in ENCODINGS:
        for count in EXPERTS:
            print(row(count, encoding))


if __name__ == "__main__":
    main()
