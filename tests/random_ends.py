"""Holds the decision of a run in a random world to what its events said (SEMANTICS.md §2 and §3)."""

from __future__ import annotations

from collections import Counter

from orchestrator import Decision
from tests.random_costs import NEAR
from tests.random_rules import Watcher

__all__ = ["at_the_end"]


def at_the_end(watcher: Watcher, decision: Decision) -> list[str]:
    """What a decision says that its run does not bear out."""
    faults = list(watcher.faults)
    world = watcher.world
    faults += [
        f"attempt {n} never ended" for n in watcher.started.keys() - watcher.replied.keys() - watcher.failed.keys()
    ]
    for number, event in watcher.failed.items():
        if watcher.outcomes[number] != 1:
            faults.append(f"attempt {number} of {event.agent} has {watcher.outcomes[number]} outcomes")
    told = Counter((failed.agent, failed.kind) for failed in decision.failed)
    if told != Counter((event.agent, event.kind) for event in watcher.failed.values()):
        faults.append("the decision does not name the failures")
    for attempt, to, at in watcher.promised:
        made = [m for m in watcher.started.values() if m.agent == to and m.began >= at - NEAR]
        if not made and "limit" not in watcher.ends:
            faults.append(f"attempt {attempt} was rerouted to {to} at {at:.3f}, which was not started")
    if world.deadline is not None and decision.seconds > world.deadline + 1e-6:
        faults.append(f"took {decision.seconds} of {world.deadline} s")
    return faults + _status_faults(watcher, decision)


def _status_faults(watcher: Watcher, decision: Decision) -> list[str]:
    world = watcher.world
    given = {
        made.agent
        for n, made in watcher.started.items()
        if n in watcher.replied and made.goal.artifact == decision.goal
    }
    doubts = [watcher.started[number].agent for number in watcher.failed if number in watcher.doubts]
    doubts = [name for name in doubts if world.experts[name].effects and not world.experts[name].idempotent]
    if doubts and (decision.status != "escalated" or "in doubt" not in watcher.ends):
        return [f"{decision.status}, though {doubts} may have had their effects"]
    if decision.status == "escalated":
        faults = [] if decision.answer is None and watcher.ends else ["escalated without saying why"]
        halted = watcher.ends & {"in doubt", "stopped"}
        return faults + ([f"escalated, though {decision.goal} is there"] if given and not halted else [])
    causes = set(watcher.causes)
    if len(given) < world.analyses:
        causes.add("analyses")
    if any(reason.startswith("limit:") for reason in decision.reasons):
        causes.add("limit")
    faults: list[str] = []
    if not given or decision.answer is None:
        faults.append("decided without a reply")
    if decision.goal != world.goals[0] and "demoted" not in causes:
        faults.append("another goal without a demotion")
    told = [reason.partition(":")[0] for reason in decision.reasons if " went without " in reason]
    perhaps = {f"{made.agent} went without {name}" for made in watcher.started.values() for name in made.perhaps}
    faults += [f"said, but not so: {each}" for each in told if each not in perhaps]
    if (decision.status == "degraded") != bool(causes or told):
        faults.append(f"{decision.status}, though {sorted(causes)}: {decision.reasons}")
    for cause in causes:
        if " went without " in cause and cause not in told:
            faults.append(f"not said: {cause}")
    return faults
