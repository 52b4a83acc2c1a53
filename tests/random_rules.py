"""Follows a run of a random world by its events alone, and says where it breaks a rule of SEMANTICS.md §1 to §5.

Weights, costs of plans and what can still be reached are worked out here anew, by other means than the planner's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf, log

from orchestrator import Goal
from orchestrator.health import Health
from orchestrator.pool import Model
from orchestrator.providers import key_of
from orchestrator.trace.events import (
    AttemptFailed,
    AttemptStarted,
    BreakerChanged,
    Candidate,
    Demoted,
    Escalated,
    Event,
    Monitored,
    Planned,
    Replied,
    Rerouted,
    Returned,
    RunStarted,
    Superseded,
    TryEnded,
    TryStarted,
    Waited,
)
from orchestrator.weights import COST_WEIGHTS
from tests.random_costs import NEAR, Averages, Weights, cheapest, cost_of
from tests.random_worlds import QUESTION, Drawn, World

__all__ = ["Made", "Watcher"]

MOST_EVENTS = 1_000
PATIENCE = 60.0
"""Seconds that a run without a deadline waits for whoever cools down."""
REFUSALS = ("budget", "breaker_open")
OUTCOMES = (Rerouted, Demoted, Returned, Escalated, Superseded)


@dataclass(frozen=True, slots=True)
class Made:
    """An attempt as it was when it began."""

    attempt: int
    agent: str
    goal: Goal
    began: float
    there: frozenset[str]
    """Artifacts that had been given before it began."""
    lacking: frozenset[str]
    """Inputs that it surely went without, since attempts at them failed."""
    perhaps: frozenset[str]
    """The same with those whose attempts ended in the moment in which it began."""


@dataclass(slots=True)
class Watcher:
    """The listener of one run: keeps note of it, and of every rule that it breaks, in `faults`."""

    number: int
    """Which run of its world it is."""
    world: World
    health: Health
    averages: Averages
    faults: list[str] = field(default_factory=list[str])
    counted: Counter[str] = field(default_factory=Counter[str])
    began: float = 0.0
    goals: tuple[str, ...] = ()
    started: dict[int, Made] = field(default_factory=dict[int, Made])
    replied: dict[int, float] = field(default_factory=dict[int, float])
    """When attempts replied."""
    failed: dict[int, AttemptFailed] = field(default_factory=dict[int, AttemptFailed])
    ended: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """When attempts ended."""
    outcomes: Counter[int] = field(default_factory=Counter[int])
    avoided: set[str] = field(default_factory=set[str])
    doubts: set[int] = field(default_factory=set[int])
    """Attempts of which a try may have done what was asked for, although it failed."""
    spent: Decimal = Decimal(0)
    held: dict[tuple[int | None, int], Decimal] = field(default_factory=dict["tuple[int | None, int]", Decimal])
    probes: set[tuple[int | None, int]] = field(default_factory=set["tuple[int | None, int]"])
    """Its tries that began while a breaker was half open."""
    waited: float = 0.0
    """Seconds waited since the last attempt ended."""
    events: int = 0
    reached: set[str] = field(default_factory=set[str])
    plans: list[Planned] = field(default_factory=list[Planned])
    """Those chosen since an attempt last began: what follows from them."""
    promised: list[tuple[int, str, float]] = field(default_factory=list["tuple[int, str, float]"])
    causes: set[str] = field(default_factory=set[str])
    """What makes the decision degraded."""
    ends: set[str] = field(default_factory=set[str])
    """Why the run escalated."""

    def __call__(self, event: Event) -> None:
        """Take in an event; raises RuntimeError where there is no end to them."""
        self.events += 1
        self.counted[event.type] += 1
        if self.events > MOST_EVENTS:
            raise RuntimeError(f"more than {MOST_EVENTS} events")
        getattr(self, f"_on_{event.type}", self._pass)(event)
        if isinstance(event, OUTCOMES) and event.attempt is not None:
            self.outcomes[event.attempt] += 1
            self._check(event.attempt in self.failed, f"{event.type} of attempt {event.attempt}, which had not failed")

    def _pass(self, event: Event) -> None:
        del event

    def _check(self, holds: bool, told: str) -> None:
        if not holds:
            self.faults.append(f"at {self.world.clock():.3f}: {told}")

    # what happens

    def _on_run_started(self, event: RunStarted) -> None:
        self.began, self.goals = self.world.clock(), event.goals

    def _on_attempt_started(self, event: AttemptStarted) -> None:
        drawn, now = self.world.experts[event.agent], self.world.clock()
        there = self._known(event.goal.query)
        inputs = frozenset({*drawn.consumes, *drawn.optional})
        before = [n for at, n in self.ended if at < now]
        lost = {self.started[n].goal.artifact for n in before if n in self.failed} - there
        may_be_lost = {self.started[n].goal.artifact for n in self.failed}
        may_be_lost -= {self.started[n].goal.artifact for n in before if n in self.replied}
        surely = frozenset({self.started[n].goal.artifact for n in before if n in self.replied})
        made = Made(event.attempt, event.agent, event.goal, now, surely, inputs & lost, inputs & may_be_lost)
        tried = [m for m in self.started.values() if m.agent == event.agent and m.goal.artifact == event.goal.artifact]
        again = [m for m in tried if m.attempt in self.failed and self.failed[m.attempt].kind not in REFUSALS]
        self._check(not again, f"{event.agent} is attempted again, although it failed")
        self._check(
            not any(m.goal == event.goal for m in self.started.values() if m.attempt in self.replied),
            f"{event.goal} is attempted although it is reached",
        )
        self._check(
            sum(name in there | {"question"} for name in drawn.consumes) >= drawn.least or self._fresh() > 0,
            f"{event.agent} is started without its inputs",
        )
        self._check((event.idempotency_key is not None) == drawn.effects, f"key of {event.agent}")
        self.started[event.attempt] = made
        self.plans.clear()

    def _on_replied(self, event: Replied) -> None:
        made = self.started[event.attempt]
        others = [self.started[n] for n in self.replied]
        self._check(made.goal not in [m.goal for m in others], f"{made.goal} is reached twice")
        same = [m for m in others if (m.goal.artifact, m.goal.query) == (made.goal.artifact, made.goal.query)]
        self._check(made.agent not in [m.agent for m in same], f"{made.agent} gives two analyses")
        self.replied[event.attempt] = self.world.clock()
        self.causes |= {f"{made.agent} went without {name}" for name in made.lacking}
        self._end(event.attempt)

    def _on_attempt_failed(self, event: AttemptFailed) -> None:
        self.failed[event.attempt] = event
        self._end(event.attempt)

    def _on_attempt_cancelled(self, event: Event) -> None:
        self.faults.append(f"attempt cancelled: {event}")

    def _end(self, attempt: int) -> None:
        self._check(attempt in self.started, f"attempt {attempt} ended without a beginning")
        self._check(attempt not in [n for _, n in self.ended], f"attempt {attempt} ended twice")
        self.ended.append((self.world.clock(), attempt))
        self.waited = 0.0

    def _on_try_started(self, event: TryStarted) -> None:
        self.held[event.attempt, event.number] = event.reserved_usd or Decimal(0)
        key = self._key(self.world.experts[self.started[event.attempt or 0].agent])
        before = self.averages.probes[key]
        if told := self.averages.begin(key, self.world.clock()):
            self.faults.append(told)
        if self.averages.probes[key] > before:
            self.probes.add((event.attempt, event.number))

    def _on_try_ended(self, event: TryEnded) -> None:
        del self.held[event.attempt, event.number]
        self.spent += event.usd or Decimal(0)
        made = self.started[event.attempt or 0]
        key = self._key(self.world.experts[made.agent])
        if (event.attempt, event.number) in self.probes:
            self.averages.probes[key] -= 1
        if _doubt(event):
            self.doubts.add(made.attempt)
        ours = event.kind == "timeout" and self._left() <= NEAR
        if not event.cancelled and not ours:
            self.averages.note(key, event)

    def _on_breaker(self, event: BreakerChanged) -> None:
        self.averages.change(event, self.world.clock())

    def _on_monitored(self, event: Monitored) -> None:
        first = event.board[0]
        if first.asks == "avoid":
            self.avoided |= {*first.avoid}
        elif first.asks == "stop":
            self.ends.add("stopped")

    def _on_waited(self, event: Waited) -> None:
        self.waited += event.seconds
        self.avoided -= {*event.agents}
        in_time = event.seconds < self._left() and (self.world.deadline is not None or self.waited < PATIENCE)
        self._check(in_time, f"waits for {event.seconds} s, {self.waited} in all")

    def handed(self, agent: str, inputs: Mapping[str, object]) -> tuple[int, Goal]:
        """Hold what an expert is given to what was there when its attempt began: all of it, and nothing else."""
        drawn = self.world.experts[agent]
        open_ = [m for m in self.started.values() if m.agent == agent and m.attempt not in {n for _, n in self.ended}]
        self._check(len(open_) == 1, f"{agent} is called for {len(open_)} attempts")
        self._check(sum(name in inputs for name in drawn.consumes) >= drawn.least, f"{agent} lacks inputs: {inputs}")
        takes = {*drawn.consumes, *drawn.optional}
        there = {"question"} | open_[-1].there
        self._check(takes & there <= inputs.keys() <= takes, f"{agent} is given {sorted(inputs)} of {sorted(there)}")
        for name, value in inputs.items():
            true = (
                {QUESTION}
                if name == "question"
                else {
                    f"{name} by {self.started[n].agent}" for n in self.replied if self.started[n].goal.artifact == name
                }
            )
            self._check(value in true, f"{agent} is given {value!r} as {name}")
        return self.number, open_[-1].goal

    # what is chosen

    def _on_planned(self, event: Planned) -> None:
        self.plans.append(event)
        told: list[str] = []
        for under_way in self._views():
            if not (told := self._plan_faults(event, under_way)):
                return
        self._check(False, f"plan {event.goal} {event.steps}: {told}")

    def _plan_faults(self, event: Planned, under_way: frozenset[int]) -> list[str]:
        goal, have = event.goal, self._have(event.goal, under_way)
        taken = {c.agent for c in event.candidates if c.why_not == "serves another analysis"}
        taken |= self._left_to_another(event, taken)
        weights = {d.name: self._weight(d, goal, under_way) for d in self.world.experts.values()}
        weights |= dict.fromkeys(taken)
        faults = [f"{name} serves no other analysis" for name in taken if self.world.analyses == 1]
        for candidate in event.candidates:
            faults += self._candidate_faults(candidate, weights)
        best = cost_of(goal.artifact, self.world.experts.values(), have, weights)
        if (best is None) != (event.weight is None) or abs((best or 0) - (event.weight or 0)) > NEAR:
            faults.append(f"costs {event.weight}, the best {best}")
        elif event.weight is not None:
            faults += self._step_faults(event, have, weights)
        return faults

    def _left_to_another(self, event: Planned, taken: set[str]) -> set[str]:
        """Experts whose effect somebody who serves another slot has, or is about to have: it is had once."""
        experts, goal = self.world.experts, event.goal.artifact
        given = any(experts[name].effects and experts[name].produces == goal for name in taken)
        return {d.name for d in experts.values() if given and d.effects and d.produces == goal}

    def _candidate_faults(self, candidate: Candidate, weights: Weights) -> list[str]:
        own = weights[candidate.agent]
        if (own is None) == (candidate.weight is None) and abs((own or 0) - (candidate.weight or 0)) <= NEAR:
            return []
        return [f"{candidate.agent} weighs {candidate.weight} ({candidate.why_not}), not {own}"]

    def _step_faults(self, event: Planned, have: set[str], weights: Weights) -> list[str]:
        """The steps are in order, none is spare, and they cost what is said."""
        steps = [self.world.experts[name] for name in event.steps]
        there, faults = set(have), list[str]()
        for drawn in steps:
            if sum(name in there for name in drawn.consumes) < drawn.least or drawn.produces in there:
                faults.append(f"{drawn.name} stands in the wrong place")
            there.add(drawn.produces)
        alone = cheapest(steps, have, weights).get(event.goal.artifact, inf)
        shared = sum(weights[drawn.name] or 0 for drawn in steps)
        if abs(alone - (event.weight or 0)) > NEAR or abs(shared - (event.shared_weight or 0)) > NEAR:
            faults.append(f"the steps cost {alone} and {shared}, not {event.weight} and {event.shared_weight}")
        used = {name for drawn in steps for name in drawn.consumes} | {event.goal.artifact}
        return faults + [f"{drawn.name} is spare" for drawn in steps if drawn.produces not in used]

    def _on_rerouted(self, event: Rerouted) -> None:
        own = self.started[event.attempt].goal
        chosen = [(plan.steps, plan.weight) for plan in self.plans]
        self._check((event.steps, event.weight) in chosen, "reroute of no plan")
        self._check(event.to in event.steps, f"rerouted to {event.to}, which is not in the plan")
        self._check(event.to != self.started[event.attempt].agent, f"rerouted to itself for {own}")
        at_work = {self.started[n].agent for view in self._views() for n in view}
        if event.to not in at_work:
            self.promised.append((event.attempt, event.to, self.world.clock()))

    def _on_demoted(self, event: Demoted) -> None:
        self.causes.add("demoted")
        if self._left() > 0:
            higher = self.goals[self.goals.index(event.from_goal) : self.goals.index(event.to_goal)]
            for goal in higher:
                told = f"demoted from {event.from_goal} to {event.to_goal}"
                self._hold_lost(Goal(goal), told, wait=goal == event.from_goal)

    def _on_superseded(self, event: Superseded) -> None:
        goal = self.started[event.attempt].goal
        if event.reason.startswith("no further distinct expert"):
            self.causes.add("a slot was given up")
        else:
            artifact = event.reason.partition(" ")[0]
            self._check(artifact in self._known(goal.query), f"superseded, but {artifact} is not there")

    def _on_returned(self, event: Returned) -> None:
        self.faults.append(f"the plan router was returned something: {event}")

    def _on_escalated(self, event: Escalated) -> None:
        word = event.reason.partition(":")[0]
        self.ends.add(word if word in ("in doubt", "limit") else "lost")
        if word == "limit" and "limit:seconds" in event.reason:
            self._check(self._left() <= 0, "the time is not over")
        elif word != "in doubt" and "stopped" not in self.ends:
            for goal in self.goals:
                self._hold_lost(Goal(goal), f"escalated ({event.reason})")

    def _hold_lost(self, goal: Goal, told: str, *, wait: bool = True) -> None:
        """Nobody is left who could give a goal now, or within the time that may be waited."""
        views = [self._reachable(goal, under_way, wait=wait) for under_way in self._views()]
        self._check(not all(views), f"{told}, though {goal.artifact} can be had through {views[0]}")

    def _reachable(self, goal: Goal, under_way: frozenset[int], *, wait: bool) -> list[str]:
        patience = self._left() if self.world.deadline is not None else PATIENCE - self.waited
        patience = patience - 0.002 if wait else 0.0  # waits are rounded up to milliseconds
        weights = {d.name: self._weight(d, goal, under_way, patience=patience) for d in self.world.experts.values()}
        usable = [name for name, weight in weights.items() if weight is not None]
        cost = cheapest(self.world.experts.values(), self._have(goal, under_way), weights)
        return usable if goal.artifact in cost else []

    # what is known

    def _views(self) -> list[frozenset[int]]:
        """Attempts under way, as the run may see it: what ended in this very moment may not be taken in yet."""
        open_ = frozenset(n for n in self.started if n not in self.replied and n not in self.failed)
        now = self.world.clock()
        fresh = [n for at, n in self.ended if at >= now]
        return [open_ | {*fresh[count:]} for count in range(len(fresh), -1, -1)]

    def _fresh(self) -> int:
        return sum(at >= self.world.clock() for at, _ in self.ended)

    def _known(self, query: str, under_way: Collection[int] = ()) -> set[str]:
        goals = [self.started[n].goal for n in self.replied if n not in under_way]
        return {goal.artifact for goal in goals if goal.query == query}

    def _have(self, goal: Goal, under_way: frozenset[int]) -> set[str]:
        coming = {self.started[n].goal.artifact for n in under_way if self.started[n].goal.query == goal.query}
        return {"question"} | ((self._known(goal.query, under_way) | coming) - {goal.artifact})

    def _left(self) -> float:
        return inf if self.world.deadline is None else self.began + self.world.deadline - self.world.clock()

    def _key(self, drawn: Drawn) -> str:
        return f"tool:{drawn.name}" if drawn.model is None else key_of(Model(name=drawn.model, provider="openai"))

    def _weight(
        self, drawn: Drawn, goal: Goal, under_way: Collection[int], *, patience: float | None = None
    ) -> float | None:
        """The weight of SEMANTICS §4; None where an expert cannot be used, with `patience` only where it never can."""
        own = [self.failed[n] for n, m in self.started.items() if n in self.failed and m.agent == drawn.name]
        kinds = [event.kind for event in own if event.attempt not in under_way]
        refused = sum(kind in REFUSALS for kind in kinds)
        if refused < len(kinds) or refused > 2:
            return None
        cooling = self.health.breaker(self._key(drawn)).seconds_closed()
        if cooling and (patience is None or cooling >= patience):
            return None
        if drawn.name in self.avoided and not (patience is not None and cooling):
            return None
        other = Goal(drawn.produces, goal.query, goal.slot if drawn.produces == goal.artifact else 1)
        if drawn.effects and not drawn.idempotent and other in self._doubtful(under_way):
            return None
        usd, reserve = Decimal(0), Decimal(0)
        if drawn.model is not None:
            usd, reserve = self.world.models[drawn.model].usd, self.world.models[drawn.model].reserve
        left = None if self.world.usd is None else self.world.usd - self.spent - sum(self.held.values(), Decimal(0))
        key = self._key(drawn)
        p = drawn.skill * self.averages.rate(key) * (1.0 if drawn.claim is None else drawn.claim)
        if (left is not None and reserve > left) or p <= 0:
            return None
        prior = drawn.told if drawn.told is not None else 2.0 if drawn.model is not None else 0.0
        money = COST_WEIGHTS[self.world.preference] * float(usd)
        return -log(min(1.0, p)) + money + 0.01 * self.averages.typical(key, prior)

    def _doubtful(self, under_way: Collection[int]) -> set[Goal]:
        """Effects that may have been had although the attempt failed, by the words of its tries."""
        failed = [n for n in self.failed if n not in under_way and self.world.experts[self.started[n].agent].effects]
        return {self.started[n].goal for n in failed if n in self.doubts}


def _doubt(event: TryEnded) -> bool:
    """Whether a try leaves open that what was asked for has been done."""
    if event.kind in (None, "auth", "rate_limited", "refusal", "injected"):
        return False
    if event.kind == "tool":
        return (event.error or "").startswith("ValueError")
    return event.error != "injected fault" or event.kind == "cut_stream"
