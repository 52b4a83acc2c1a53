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
        made = [m for m in watcher.started.values() if m.agent == to and abs(m.began - at) <= NEAR]
        if not made:
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
    doubts = _doubts(watcher)
    once = [watcher.started[number].agent for number in watcher.failed if number in watcher.doubts]
    once = [name for name in once if world.experts[name].effects and not world.experts[name].idempotent]
    if once and (decision.status != "escalated" or "in doubt" not in watcher.ends):
        return [f"{decision.status}, though {once} may have had their effects"]
    if decision.status == "escalated":
        faults = [] if decision.answer is None and watcher.ends else ["escalated without saying why"]
        faults += [] if "in doubt" in watcher.ends else _not_told(doubts, decision)  # it tells of the first
        halted = watcher.ends & {"in doubt", "stopped"}
        return faults + ([f"escalated, though {decision.goal} is there"] if given and not halted else [])
    causes = set(watcher.causes)
    if len(given) < world.analyses:
        causes.add("analyses")
    if any(reason.startswith("limit:") for reason in decision.reasons):
        causes.add("limit")
    causes |= {f"{name} in doubt" for name in doubts}
    faults = _not_told(doubts, decision)
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


def _doubts(watcher: Watcher) -> list[str]:
    """Experts that may have had an effect although their attempts failed, where nobody else reached the goal."""
    reached = {watcher.started[number].goal for number in watcher.replied}
    failed = [watcher.started[number] for number in watcher.failed if number in watcher.doubts]
    return [made.agent for made in failed if watcher.world.experts[made.agent].effects and made.goal not in reached]


def _not_told(doubts: list[str], decision: Decision) -> list[str]:
    told = [name for name in doubts if any(f"doubt: {name} may have done it" in each for each in decision.reasons)]
    return [f"not said: {name} may have done it" for name in doubts if name not in told]
