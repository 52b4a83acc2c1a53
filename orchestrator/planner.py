"""Chooses experts for a goal: the cheapest plan from what is there, and what every other way would have cost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import log

from orchestrator.errors import LimitName
from orchestrator.graph import CapabilityGraph, Capable, Plan, Ways
from orchestrator.messages import Goal
from orchestrator.pool import Agent, Pool
from orchestrator.protocol import Route
from orchestrator.state import RunState
from orchestrator.trace.events import Candidate, Planned
from orchestrator.weights import Rates, Weigher

__all__ = ["Choice", "Planner", "graph_of"]


PLANNED_WITH: tuple[LimitName, ...] = ("usd", "tokens")
"""Limits that rule experts out; the others end a run."""
FAILED, LEFT_OUT = "failed in this run", "left out"
"""Why not, of an expert that failed, and of one that the caller asked to do without."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for a goal, and out of what."""

    goal: Goal
    plan: Plan | None
    routes: tuple[Route, ...]
    """The steps of the plan that can be taken now."""
    candidates: tuple[Candidate, ...]
    limits: tuple[str, ...] = ()
    """Limits of the run that alone stand in the way: without them there would be a plan."""

    @property
    def expert(self) -> str | None:
        """Who would give the goal itself."""
        return self.plan.steps[-1].agent if self.plan and self.plan.steps else None

    def event(self) -> Planned:
        """The choice as it is written into the trace."""
        plan = self.plan
        return Planned(
            goal=self.goal,
            steps=tuple(step.agent for step in plan.steps) if plan else (),
            weight=plan.weight if plan else None,
            shared_weight=plan.shared_weight if plan else None,
            candidates=self.candidates,
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A goal, where the run stands, and who serves other slots of the goal."""

    goal: Goal
    state: RunState
    taken: Collection[str]
    inputs: Mapping[str, object]
    """Artifacts that are there for the goal's query."""


class Planner:
    """Plans for one run: the overlay of what failed in it is the run's own and ends with it."""

    def __init__(self, pool: Pool, graph: CapabilityGraph, weigher: Weigher) -> None:
        self._pool = pool
        self._graph = graph
        self._weigher = weigher

    def choose(self, goal: Goal, state: RunState, *, taken: Collection[str] = (), patience: float = 0.0) -> Choice:
        """The cheapest plan for a goal; `taken` are experts that serve other slots of it.

        What is being made counts as there, but no step is taken on it before it is. Experts whose breaker is open for
        less than `patience` seconds are planned with, at the price of the wait.
        """
        inputs = {artifact: reply.value for artifact, reply in state.values(goal.query).items()}
        wanted = _Wanted(goal, state, taken, inputs)
        have = {"question", *(inputs.keys() - {goal.artifact})}
        coming = {each.goal.artifact for each in state.underway if each.goal.query == goal.query} - {goal.artifact}
        weighed: dict[str, Candidate] = {}

        def weigh(name: str) -> Candidate:
            if name not in weighed:
                weighed[name] = self._weigh(name, wanted, patience=patience)
            return weighed[name]

        ways = self._graph.search(have | coming, lambda name: weigh(name).weight)
        plan = ways.plan(goal.artifact)
        parts = _Parts(ways, frozenset(have | coming), weigh, self._weigher.rates)
        candidates = [
            _through(weigh(expert.name), expert, ways, parts)
            for artifact in self._artifacts_of(plan, goal.artifact, have | coming)
            for expert in self._graph.producers(artifact)
        ]
        routes = tuple(
            Route(
                step.agent,
                goal.query,
                artifact=step.produces,
                slot=goal.slot if step.produces == goal.artifact else 1,
                toward=goal,
            )
            for step in (plan.ready(have) if plan else ())
        )
        limits = () if plan is not None else self._limits(wanted, have | coming, weighed)
        return Choice(goal, plan, routes, tuple(candidates), limits)

    def _limits(self, wanted: _Wanted, have: Collection[str], weighed: Mapping[str, Candidate]) -> tuple[str, ...]:
        """What experts say of a limit that would give the goal without it; those nearest to the goal first."""
        told = {name: candidate.why_not or "" for name, candidate in weighed.items()}
        found: list[str] = []
        for limit in PLANNED_WITH:
            if any(why_not.startswith(f"limit:{limit}") for why_not in told.values()):
                plan = self._graph.plan(wanted.goal.artifact, have, partial(self._without, limit, wanted))
                found += [told.get(step.agent, "") for step in reversed(plan.steps if plan else ())]
        return tuple(dict.fromkeys(why_not for why_not in found if why_not.startswith("limit:")))

    def _without(self, limit: LimitName, wanted: _Wanted, name: str) -> float | None:
        """What an expert would weigh in a run without a limit."""
        return self._weigh(name, wanted, patience=0.0, lifted=limit).weight

    def slots(self, state: RunState) -> tuple[Choice, ...]:
        """A choice for every slot of the run's goal that is not reached yet, by distinct experts."""
        replies = [reply for reply in state.replies if reply.goal.artifact == state.goal and not reply.goal.query]
        making = [each for each in state.underway if each.goal.artifact == state.goal and not each.goal.query]
        reached = {reply.goal.slot for reply in replies} | {each.goal.slot for each in making}
        taken = {reply.agent for reply in replies} | {each.agent for each in making}
        choices: list[Choice] = []
        for slot in range(1, state.analyses + 1):
            if slot in reached:
                continue
            choice = self.choose(Goal(state.goal, slot=slot), state, taken=taken)
            choices.append(choice)
            if choice.expert is None:
                break
            taken.add(choice.expert)
        return tuple(choices)

    def _weigh(self, name: str, wanted: _Wanted, *, patience: float, lifted: LimitName | None = None) -> Candidate:
        agent, query = self._pool.agents[name], wanted.goal.query
        candidate = self._weigher.weigh(agent, query, wanted.inputs, patience=patience, lifted=lifted)
        cooling = 0 < self._weigher.cooling(agent) < patience
        why_not = _ruled_out(agent, wanted, cooling=cooling) or self._had_already(agent, wanted)
        if lifted is not None and why_not and why_not.startswith(f"limit:{lifted}"):
            return candidate
        return candidate.model_copy(update={"weight": None, "why_not": why_not}) if why_not else candidate

    def _had_already(self, agent: Agent, wanted: _Wanted) -> str | None:
        """Why an effect is not had once more: it is given, or about to be, in another slot."""
        goal, others = wanted.goal, [self._pool.agents[name] for name in wanted.taken]
        giver = next((o.name for o in others if o.effects and o.produces == goal.artifact), None)
        if agent.effects and agent.produces == goal.artifact and giver is not None:
            return f"its effect is left to {giver}"
        return None

    def _artifacts_of(self, plan: Plan | None, goal: str, have: Collection[str]) -> list[str]:
        """Artifacts whose producers matter: those of the plan, else all that the goal hangs on."""
        if plan is not None:
            return [step.produces for step in reversed(plan.steps)]
        order, pending = list[str](), [goal]
        while pending:
            artifact = pending.pop(0)
            if artifact in order or artifact in have:
                continue
            order.append(artifact)
            pending += [needed for expert in self._graph.producers(artifact) for needed in expert.consumes]
        return order


def _ruled_out(agent: Agent, wanted: _Wanted, *, cooling: bool) -> str | None:
    """Why the run itself will not use an expert for a goal; `cooling` says that its breaker is waited for."""
    goal, state = wanted.goal, wanted.state
    if state.has_failed(agent.name, goal.query):
        left_out = any(f.failed.agent == agent.name and not f.attempt for f in state.failures)
        return LEFT_OUT if left_out else state.refused_for(agent.name, goal.query) or FAILED
    avoided = dict(state.avoided).get(agent.name)
    if avoided is not None and not cooling:
        return avoided
    if agent.produces == goal.artifact and agent.name in wanted.taken:
        return "serves another analysis"
    if agent.effects and not agent.idempotent:
        slot = goal.slot if agent.produces == goal.artifact else 1
        other = state.in_doubt(Goal(agent.produces, goal.query, slot))
        return other and f"{other} may have done it already"
    return None


Split = tuple[float, float, float]
"""What probability, money and time add to a weight."""


@dataclass(slots=True)
class _Parts:
    """Splits the weight of ways into probability, money and time: sums over their derivation trees."""

    ways: Ways
    have: frozenset[str]
    weigh: Callable[[str], Candidate]
    rates: Rates
    known: dict[str, Split] = field(default_factory=dict[str, Split])

    def of(self, candidate: Candidate, inputs: Collection[str]) -> Split:
        """The parts of the way that ends with an expert over some inputs."""
        usd, seconds = float(candidate.usd or 0), candidate.seconds or 0.0
        own = (-log(candidate.p or 1.0) + 0.0, self.rates.cost_weight * usd, self.rates.time_weight * seconds)
        below = [self._of_artifact(artifact) for artifact in inputs]
        chance, money, time = (sum(column) for column in zip(own, *below, strict=True))
        return chance, money, time

    def _of_artifact(self, artifact: str) -> Split:
        if artifact in self.have:
            return (0.0, 0.0, 0.0)
        if artifact not in self.known:
            plan = self.ways.plan(artifact)
            for step in plan.steps if plan else ():
                if step.produces not in self.known:
                    self.known[step.produces] = self.of(self.weigh(step.agent), step.consumes)
        return self.known[artifact]


def _through(candidate: Candidate, expert: Capable, ways: Ways, parts: _Parts) -> Candidate:
    """The candidate with what its product would cost through it."""
    through = ways.through(expert, candidate.weight)
    why_not = candidate.why_not
    split = parts.of(candidate, ways.inputs(expert) or ()) if through is not None else None
    if candidate.weight is not None and through is None:
        missing = [artifact for artifact in expert.consumes if ways.cost(artifact) is None]
        enough = f"; it needs {expert.least} of {len(expert.consumes)}" if expert.needs is not None else ""
        why_not = "nobody can give it " + ", ".join(missing) + enough
    return candidate.model_copy(update={"through": through, "parts": split, "why_not": why_not})


def graph_of(pool: Pool) -> CapabilityGraph:
    """The capability graph of a pool."""
    return CapabilityGraph(
        Capable(agent.name, agent.consumes, agent.produces, agent.optional, agent.needs)
        for agent in pool.agents.values()
    )
