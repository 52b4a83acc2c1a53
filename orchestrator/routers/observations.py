"""What a router is told of its routes: replies as fenced data, substitutes by name, what nobody could serve."""

from __future__ import annotations

from hashlib import sha256

from orchestrator.content import load_prompt
from orchestrator.protocol import Route
from orchestrator.state import Exchange, RunState, alike

__all__ = ["LONGEST", "fenced", "observed"]

LONGEST = 8_000
"""Characters of a reply that a router is shown; what is cut off is marked."""


def observed(route: Route, exchange: Exchange, state: RunState) -> str:
    """What came of a route, as text for the router; nothing in it can end its fence."""
    goal = state.goal_of(route)
    reply, asked = state.kept(goal), route.asked or route.agent
    if reply is None:
        failure = next((f for f in reversed(state.failures) if f.goal == goal), None)
        told = load_prompt("unserved").fill(asked=asked)
        return f"{told}\n{fenced(failure.failed.agent, _shortened(failure.failed.error))}" if failure else told
    lead = ""
    if route in exchange.repeated:
        lead = load_prompt("repeated").fill() + "\n"
    elif reply.agent != asked:
        failed = any(f.failed.agent == asked and alike(f.goal, goal) for f in state.failures)
        dealt = not failed and (bool(route.asked) or reply.goal in state.instead)
        lead = load_prompt("dealt" if dealt else "substituted").fill(asked=asked, expert=reply.agent) + "\n"
    return lead + fenced(reply.agent, _shortened(reply.text))


def fenced(expert: str, text: str) -> str:
    """A text between marks that it cannot contain, since they are made of its own hash."""
    mark = sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return load_prompt("observation").fill(expert=expert, mark=mark, text=text)


def _shortened(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}\n[cut: {len(text) - LONGEST:,} of {len(text):,} characters are left out]"
