"""The pool: the models and agents of a run, checked against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import cast

from orchestrator.errors import ConfigError, nearest
from orchestrator.pool.changes import changed, chosen
from orchestrator.pool.descriptors import Agent, Descriptor, Model
from orchestrator.pool.experts import as_agent, without_dependencies
from orchestrator.pool.prices import PricedModels
from orchestrator.pool.risks import Risk
from orchestrator.pool.samples import Agents

__all__ = ["Member", "Pool"]

Member = Agent | Model | Risk | Callable[..., object]
"""What a pool is made of; a function stands for the expert that it is."""


class Pool:
    """Models, agents and risk rules by name, and the goals that a run may end in, best first: a value.

    Two are equal where members, goals and roles are, whatever they are called and wherever they were read.
    `one | other`, `without` and `with_` give changed copies, `to_toml` and `from_toml` write and read it.
    Raises `ConfigError` on a duplicate name, an agent whose model is not there, an artifact that is consumed but
    produced by nobody, a goal that nothing produces, and a router or merger that is no model of it; `source` is the
    file to name for the goals.
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
        for member in _listed(members):
            if isinstance(member, Risk):
                _add_risk(member, risks)
            else:
                _add(member, agents, models)
        produced = {"question", *(agent.produces for agent in agents.values())}
        agents = {name: without_dependencies(agent, produced) for name, agent in agents.items()}
        self.agents = Agents(agents)
        self.models = PricedModels(models)
        self.risks: Mapping[str, Risk] = MappingProxyType(risks)
        self.stated_goals: tuple[str, ...] | None = None if goals is None else tuple(goals)
        """The goals as they were given; None where they were worked out."""
        self.goals: tuple[str, ...] = (
            _default_goals(agents.values()) if self.stated_goals is None else self.stated_goals
        )
        self._check()

    @property
    def members(self) -> tuple[Model | Agent | Risk, ...]:
        """All that it is made of, as it was described: models, then agents, then risk rules."""
        return (*self.models.described.values(), *self.agents.values(), *self.risks.values())

    def __eq__(self, other: object) -> bool:
        """Whether the other one is made of the same, for the same goals."""
        return isinstance(other, Pool) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((frozenset(self.agents), self.goals))

    def __repr__(self) -> str:
        return f"Pool({self.name!r}, agents={sorted(self.agents)}, models={sorted(self.models)}, goals={self.goals})"

    def __or__(self, other: Pool) -> Pool:
        """Both together: the goals of the left, then those of the right; the left's router and merger where it has any.

        What both describe must be described alike; raises `ConfigError` where it is not.
        """
        theirs = {(type(each), each.name): each for each in other.members}
        own = {(type(each), each.name) for each in self.members if theirs.get((type(each), each.name)) == each}
        return Pool(
            [*self.members, *(each for key, each in theirs.items() if key not in own)],
            goals=tuple(dict.fromkeys((*self.goals, *other.goals))),
            name=self.name,
            source=self._source,
            router=self.router or other.router,
            merger=self.merger or other.merger,
        )

    def without(self, *names: str, goals: Iterable[str] | None = None) -> Pool:
        """A copy without the agents, models and risk rules of these names, and with other `goals` where given.

        Raises `ConfigError` for a name that is not there, and where what is left is no pool.
        """
        chosen(names, self.members)
        return self._copy((each for each in self.members if each.name not in names), goals)

    def with_(self, name: str, /, **fields: object) -> Pool:
        """A copy in which one agent, model or risk rule has other fields, validated anew; raises `ConfigError`."""
        new = changed(name, fields, self.members)
        return self._copy(new if type(each) is type(new) and each.name == name else each for each in self.members)

    def to_toml(self) -> str:
        """The pool as a descriptor file; Python functions are named `module:function`.

        Raises `ConfigError` for what no file can hold, such as a function inside another.
        """
        from orchestrator.pool.writing import toml_of

        return toml_of(self)

    @staticmethod
    def from_toml(text: str, *, folder: str | Path = ".") -> Pool:
        """The pool of a descriptor file's text; tools and prompts are looked up from `folder`. Raises `ConfigError`."""
        from orchestrator.pool.files import load_text

        return load_text(text, Path(folder))

    def _copy(self, members: Iterable[Member], goals: Iterable[str] | None = None) -> Pool:
        goals = self.stated_goals if goals is None else goals
        return Pool(members, goals=goals, name=self.name, source=self._source, router=self.router, merger=self.merger)

    def _parts(self) -> tuple[object, ...]:
        models, agents, risks = dict(self.models.described), dict(self.agents), dict(self.risks)
        return models, agents, risks, self.goals, self.router, self.merger

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
            self._check_samples(agent)
            self._check_confidence(agent)
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

    def _check_confidence(self, agent: Agent) -> None:
        model = self.models.described[agent.model] if agent.model else None
        if agent.confidence == "yes-no" and model is not None and not model.logprobs:
            problem = f"`{model.name}` tells no probabilities of tokens"
            expected = "a model with `logprobs = true`, whose server tells them"
            raise ConfigError(problem, file=agent.source, field=f"agents.{agent.name}.confidence", expected=expected)

    def _check_samples(self, agent: Agent) -> None:
        where = f"agents.{agent.name}.samples"
        if agent.name in self.agents.further:
            expected = "another name: one of its samples is called so"
            raise ConfigError(f"the name `{agent.name}` is taken", file=agent.source, field=where, expected=expected)
        model = self.models.described[agent.model] if agent.model else None
        if agent.samples > 1 and model is not None and model.temperature == 0:
            problem = f"`{model.name}` says the same each time, at temperature 0"
            raise ConfigError(problem, file=agent.source, field=where, expected="a model with another temperature")

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


def _listed(members: object) -> Iterable[Member]:
    """The members, where they are a list of them; raises `ConfigError` for one alone, a name, and nothing at all."""
    single = isinstance(members, (str, bytes, Mapping, Descriptor))
    if isinstance(members, Iterable) and not single:
        return cast("Iterable[Member]", members)
    named = f"; `load_pool({members!r})` loads the pool of that name" if isinstance(members, str) else ""
    expected = f"a `Pool`, or a list of members such as [agent, model, function]{named}"
    raise ConfigError(f"cannot be {_brief(cast('object', members))}", field="pool", expected=expected)


def _brief(value: object) -> str:
    """A value as an error shows it; a function by its name."""
    return f"the function `{value.__name__}`" if isinstance(value, FunctionType) else f"{value!r:.120}"


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
