"""The pool: the models and agents of a run, checked against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from orchestrator.errors import ConfigError, nearest
from orchestrator.pool.descriptors import Agent, Model
from orchestrator.pool.experts import as_agent
from orchestrator.pool.prices import PricedModels
from orchestrator.pool.risks import Risk

__all__ = ["Member", "Pool"]

Member = Agent | Model | Risk | Callable[..., object]
"""What a pool is made of; a function stands for the expert that it is."""


class Pool:
    """Models, agents and risk rules by name, and the goals that a run may end in, best first.

    Raises `ConfigError` on a duplicate name, an agent whose model is not there, an artifact that is consumed
    but produced by nobody, a goal that nothing produces, and a router or merger that is no model of it; `source`
    is the file to name for the goals.
    """

    def __init__(
        self,
        members: Iterable[Member],
        *,
        goals: Iterable[str] | None = None,
        name: str = "pool",
        source: str | None = None,
        router: str | None = None,
        merger: str | None = None,
    ) -> None:
        self.name = name
        self.router = router
        """Name of the model that an LLM router asks unless told otherwise."""
        self.merger = merger
        """Name of the model that merges replies where the merge needs one."""
        self._source = source
        agents: dict[str, Agent] = {}
        models: dict[str, Model] = {}
        risks: dict[str, Risk] = {}
        for member in members:
            if isinstance(member, Risk):
                _add_risk(member, risks)
            else:
                _add(member, agents, models)
        self.agents: Mapping[str, Agent] = MappingProxyType(agents)
        self.models: Mapping[str, Model] = PricedModels(models)
        self.risks: Mapping[str, Risk] = MappingProxyType(risks)
        self.goals: tuple[str, ...] = tuple(goals) if goals is not None else _default_goals(agents.values())
        self._check()

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Every artifact that the question or an agent gives, sorted."""
        return tuple(sorted({"question", *(agent.produces for agent in self.agents.values())}))

    def model_of(self, agent: Agent) -> Model | None:
        """The model behind an agent, None for a tool."""
        return self.models[agent.model] if agent.model is not None else None

    def goals_from(self, asked: str | None) -> tuple[str, ...]:
        """The asked goal and the lower ones that may replace it; raises `ConfigError` for one nothing produces."""
        if asked is None:
            return self.goals
        if asked in self.goals:
            return self.goals[self.goals.index(asked) :]
        self._check_goal(asked, "goal")
        return (asked,)

    def _check(self) -> None:
        if not self.agents:
            raise ConfigError(f"the pool `{self.name}` has no agents", file=self._source, expected="at least one agent")
        for agent in self.agents.values():
            self._check_model(agent)
            self._check_inputs(agent)
        for risk in self.risks.values():
            self._check_risk(risk)
        for goal in self.goals:
            self._check_goal(goal, "pool.goals")
        for field, model in (("pool.router", self.router), ("pool.merger", self.merger)):
            if model is not None and model not in self.models:
                raise self._no_model(model, self._source, field)

    def _check_model(self, agent: Agent) -> None:
        if agent.model is not None and agent.model not in self.models:
            raise self._no_model(agent.model, agent.source, f"agents.{agent.name}.model")

    def _no_model(self, model: str, file: str | None, field: str) -> ConfigError:
        return ConfigError(
            f"there is no model `{model}`",
            file=file,
            field=field,
            expected="one of " + ", ".join(sorted(self.models)) if self.models else "a [models] table that has it",
            suggestion=nearest(model, self.models),
        )

    def _check_risk(self, risk: Risk) -> None:
        where = f"risks.{risk.name}"
        artifact = risk.field.partition(".")[0]
        if artifact not in self.artifacts:
            raise _no_artifact(artifact, self.artifacts, risk.source, f"{where}.field")
        for agent in risk.before:
            if agent not in self.agents:
                raise ConfigError(
                    f"there is no agent `{agent}`",
                    file=risk.source,
                    field=f"{where}.before",
                    expected="agents among " + ", ".join(sorted(self.agents)),
                    suggestion=nearest(agent, self.agents),
                )

    def _check_inputs(self, agent: Agent) -> None:
        named = agent.optional if agent.source else ()  # a function's parameter with a default may stay unfilled
        for field, artifacts in (("consumes", agent.consumes), ("optional", named)):
            for artifact in artifacts:
                if artifact not in self.artifacts:
                    raise _no_artifact(artifact, self.artifacts, agent.source, f"agents.{agent.name}.{field}")

    def _check_goal(self, goal: str, field: str) -> None:
        produced = sorted({agent.produces for agent in self.agents.values()})
        if goal not in produced:
            raise ConfigError(
                f"nothing produces the goal `{goal}`",
                file=self._source if field == "pool.goals" else None,
                field=field,
                expected="one of " + ", ".join(produced),
                suggestion=nearest(goal, produced),
            )


def _no_artifact(artifact: str, known: Iterable[str], file: str | None, field: str) -> ConfigError:
    expected = "artifacts among " + ", ".join(known)
    hint = nearest(artifact, known)
    return ConfigError(f"nothing produces `{artifact}`", file=file, field=field, expected=expected, suggestion=hint)


def _add(member: Agent | Model | Callable[..., object], agents: dict[str, Agent], models: dict[str, Model]) -> None:
    if isinstance(member, Model):
        _add_model(member, models)
        return
    agent = member if isinstance(member, Agent) else as_agent(_function(member))
    if (other := agents.get(agent.name)) is not None:
        raise ConfigError(
            f"the name `{agent.name}` is taken",
            file=agent.source,
            field=f"agents.{agent.name}",
            expected="a name of its own" + (f" (the other one stands in {other.source})" if other.source else ""),
        )
    agents[agent.name] = agent


def _function(member: object) -> Callable[..., object]:
    if callable(member) and not isinstance(member, type):
        return member
    raise ConfigError(
        f"{member!r} is no member of a pool", field="pool", expected="an `Agent`, a `Model` or a typed function"
    )


def _add_risk(risk: Risk, risks: dict[str, Risk]) -> None:
    other = risks.setdefault(risk.name, risk)
    if other != risk:
        raise ConfigError(
            f"the risk rule `{risk.name}` is described twice",
            file=risk.source,
            field=f"risks.{risk.name}",
            expected="a name of its own" + (f" (the other stands in {other.source})" if other.source else ""),
        )


def _add_model(model: Model, models: dict[str, Model]) -> None:
    if model.name in models and models[model.name].model_dump() != model.model_dump():
        raise ConfigError(
            f"the model `{model.name}` is described twice",
            file=model.source,
            field=f"models.{model.name}",
            expected="one description"
            + (f" (the other stands in {models[model.name].source})" if models[model.name].source else ""),
        )
    models[model.name] = model


def _default_goals(agents: Iterable[Agent]) -> tuple[str, ...]:
    """`answer` where something produces it, else what is produced and consumed by nobody."""
    known = list(agents)
    produced = {agent.produces for agent in known}
    if "answer" in produced:
        return ("answer",)
    return tuple(sorted(produced - {artifact for agent in known for artifact in agent.consumes}))
