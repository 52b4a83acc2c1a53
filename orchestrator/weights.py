"""The weight of an expert for a goal, from descriptor, health, price and what its tool says (SEMANTICS §4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from types import MappingProxyType
from typing import Literal

from orchestrator.budget import Ledger
from orchestrator.errors import ConfigError, LimitName
from orchestrator.health import TOOL, Health
from orchestrator.messages import Question
from orchestrator.pool import Agent, Model, Pool
from orchestrator.providers import ModelCall, Provider, Quote, key_of
from orchestrator.requests import expert_request
from orchestrator.tools import UNTYPED, Claim, Kinds, Resources, Tool
from orchestrator.trace.events import Candidate

__all__ = ["CANNOT_TAKE", "COST_WEIGHTS", "Facilities", "Preference", "Rates", "Weigher", "health_key"]

Preference = Literal["quality", "balanced", "cheap"]
COST_WEIGHTS: Mapping[Preference, float] = {"quality": 2.0, "balanced": 20.0, "cheap": 200.0}
TIME_WEIGHT = 0.01
NONE_YET: Mapping[str, object] = MappingProxyType({})
SECONDS_OF_A_MODEL = 2.0
CANNOT_TAKE = "cannot take this question"
"""Why not, of a tool that has nothing to do with the question."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What money and time are worth: weight per USD and per second."""

    cost_weight: float = COST_WEIGHTS["balanced"]
    time_weight: float = TIME_WEIGHT

    def __post_init__(self) -> None:
        """Refuse rates under which a weight could be negative."""
        if not (self.cost_weight >= 0 and self.time_weight >= 0):
            raise ConfigError("a rate is negative", field="rates", expected="numbers of at least 0")

    @classmethod
    def preferring(cls, preference: Preference) -> Rates:
        """The rates of `--prefer`."""
        if preference not in COST_WEIGHTS:
            raise ConfigError(
                f"there is no preference `{preference}`", field="prefer", expected=", ".join(COST_WEIGHTS)
            )
        return cls(COST_WEIGHTS[preference])


@dataclass(frozen=True, slots=True)
class Facilities:
    """What stays the same over the runs of an orchestrator."""

    pool: Pool
    tools: Mapping[str, Tool]
    providers: Mapping[str, Provider]
    resources: Resources
    health: Health
    rates: Rates
    kinds: Kinds = UNTYPED
    """Which artifacts are typed."""

    def provider_of(self, model: Model) -> Provider:
        """The door to a model; raises `ConfigError` where there is none."""
        if model.provider not in self.providers:
            known = ", ".join(sorted(self.providers))
            raise ConfigError(
                f"there is no door to the provider `{model.provider}`",
                file=model.source,
                field=f"models.{model.name}",
                expected=f"one of {known}" if known else "an entry for it in `providers`",
            )
        return self.providers[model.provider]


class Weigher:
    """Weighs the experts of one run; what it finds out about a question is asked only once."""

    def __init__(self, facilities: Facilities, question: Question, ledger: Ledger) -> None:
        self._have = facilities
        self._question = question
        self._ledger = ledger
        self._claims: dict[tuple[str, str], Claim] = {}

    @property
    def rates(self) -> Rates:
        """What money and time are worth in the run."""
        return self._have.rates

    def weigh(
        self,
        agent: Agent,
        query: str = "",
        inputs: Mapping[str, object] = NONE_YET,
        *,
        patience: float = 0.0,
        lifted: LimitName | None = None,
    ) -> Candidate:
        """The agent's weight for a query (empty: the run's question) over inputs, or why it cannot be used.

        A breaker that is open for less than `patience` seconds is no hindrance: they count as the agent's own. With
        `lifted` the agent weighs what it would if the run had not that limit.
        """
        p, why_not = self.probability(agent, query)
        quote = self.quote(agent, query, inputs, lifted=lifted)
        cooling = self.cooling(agent)
        waits = cooling < patience
        seconds = self._seconds(agent) + (cooling if waits else 0.0)
        why_not = why_not or quote.why_not or (None if waits else _closed(cooling))
        why_not = why_not or ("p = 0" if p <= 0 else self._hindrance(agent, quote, lifted))
        if why_not:
            return Candidate(
                agent=agent.name,
                artifact=agent.produces,
                p=p,
                usd=quote.expected,
                seconds=seconds,
                why_not=why_not,
            )
        rates = self._have.rates
        weight = -log(p) + rates.cost_weight * float(quote.expected or 0) + rates.time_weight * seconds
        return Candidate(
            agent=agent.name, artifact=agent.produces, p=p, usd=quote.expected, seconds=seconds, weight=weight + 0.0
        )

    def cooling(self, agent: Agent) -> float:
        """Seconds until the agent's breaker lets a try through; 0 where it does, infinite where it never will."""
        return self._have.health.breaker(health_key(agent, self._have.pool.model_of(agent))).seconds_closed()

    def quote(
        self,
        agent: Agent,
        query: str = "",
        inputs: Mapping[str, object] = NONE_YET,
        *,
        lifted: LimitName | None = None,
    ) -> Quote:
        """What one try of the agent would take now, or would without one of the run's limits."""
        if agent.model is None:
            return Quote()
        return self.model_call(agent, query, inputs).quote(self._ledger.left.without(lifted))

    def model_call(self, agent: Agent, query: str, inputs: Mapping[str, object]) -> ModelCall:
        """The call that consulting an agent with a model would be."""
        model = self._have.pool.models[agent.model or ""]
        kind = self._have.kinds.of(agent.produces, query)
        request = expert_request(agent, model, self._question, query, inputs, kind=kind)
        return ModelCall(self._have.provider_of(model), model, request, self._have.health.mean_output(key_of(model)))

    def probability(self, agent: Agent, query: str) -> tuple[float, str | None]:
        """How probable it is that the agent gives what it is asked for, and what its tool has against it."""
        skill = agent.skill_for(self._question.kind)
        claim = self._claim(agent, query)
        health = self._have.health.success_rate(health_key(agent, self._have.pool.model_of(agent)))
        why_not = None
        if claim.p <= 0:
            why_not = claim.why or CANNOT_TAKE
        return min(1.0, skill * health * claim.p), why_not

    def _claim(self, agent: Agent, query: str) -> Claim:
        """What the tool says; only of questions, other artifacts it takes as they come."""
        tool = self._have.tools.get(agent.name)
        if tool is None or "question" not in agent.consumes or not (text := query or self._question.text):
            return Claim(1.0)
        key = (agent.name, query)
        if key not in self._claims:
            self._claims[key] = tool.claims(text, self._have.resources)
        return self._claims[key]

    def _hindrance(self, agent: Agent, quote: Quote, lifted: LimitName | None) -> str | None:
        model = self._have.pool.model_of(agent)
        if model is not None and model.context_window is not None and quote.tokens > model.context_window:
            return f"needs {quote.tokens} tokens, its context window holds {model.context_window}"
        obstacle = self._ledger.obstacle(quote.reserve, quote.tokens, lifted=lifted)
        return str(obstacle) if obstacle else None

    def _seconds(self, agent: Agent) -> float:
        model = self._have.pool.model_of(agent)
        prior = agent.seconds
        if prior is None and model is not None:
            prior = model.seconds if model.seconds is not None else SECONDS_OF_A_MODEL
        return self._have.health.typical_seconds(health_key(agent, model), prior or 0.0)


def _closed(cooling: float) -> str | None:
    """What an open breaker says."""
    if cooling <= 0:
        return None
    return "its circuit breaker is open" + (f", for {cooling:.3g} s more" if cooling < float("inf") else " for good")


def health_key(agent: Agent, model: Model | None) -> str:
    """Whose health a call marks: the model at its base URL, or the tool of the agent."""
    return f"{TOOL}{agent.name}" if model is None else key_of(model)
