"""Runs within runs: an orchestrator, or any Runnable of LangChain's, as an expert of another orchestrator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langchain_core.runnables import Runnable, RunnableLambda

from orchestrator.errors import ConfigError, ToolError, nearest
from orchestrator.messages import Asked, Decision, as_text
from orchestrator.pool import Agent, Pool
from orchestrator.pool.descriptors import Claiming
from orchestrator.runtime import Enclosing, RunContext
from orchestrator.trace.events import Event, Nested, TryEnded, TryStarted

__all__ = [
    "DEEPEST",
    "LONGEST_RUN",
    "Mirror",
    "agent_of",
    "check_depth",
    "nested_trace",
    "node_of",
    "note_nested",
    "runnable_expert",
]

DEEPEST = 8
"""Runs within runs; one that would lie deeper fails as an attempt of the run around it."""
LONGEST_RUN = 600.0
"""Seconds that a nested run may take where nobody says otherwise."""


class _Runs(Protocol):
    async def run(self, asked: Asked, *, goal: str | None = None) -> Decision: ...


@dataclass(frozen=True, slots=True)
class Mirror:
    """A listener on a nested run: writes its tries into the trace around it, so that this holds every dollar."""

    within: Enclosing

    def __call__(self, event: Event) -> None:
        """Hand a try on, with the run that it was made in."""
        if not isinstance(event, (TryStarted, TryEnded)):
            return
        whose = event.purpose if event.attempt is None else event.attempt
        place = event.nested or f"{event.run_id}/{whose}"
        handed_on = event.model_copy(update={"attempt": self.within.attempt, "purpose": "expert", "nested": place})
        self.within.context.journal.write(handed_on)


def nested_trace(own: Path | bool, within: Enclosing | None) -> Path | bool:
    """Where a run is written: beside the trace of the run around it, unless it was told a place of its own."""
    if within is None or own is not True:
        return own
    around = within.context.journal.path
    return False if around is None else around.parent


def check_depth(within: Enclosing | None) -> None:
    """Refuse a run that would lie too deep; raises `ToolError`, which fails the attempt around it."""
    if within is not None and within.context.depth >= DEEPEST:
        raise ToolError(f"runs are nested {DEEPEST} deep already")


def note_nested(context: RunContext) -> None:
    """Say in the trace around a run that it took place, and what it came to."""
    if context.within is None:
        return
    context.within.context.journal.write(
        Nested(
            attempt=context.within.attempt,
            nested_id=context.journal.run_id,
            usd=context.ledger.spent,
            usage=context.ledger.usage,
            nested_head=context.journal.head,
        )
    )


def _asked_of(inputs: Mapping[str, object]) -> str:
    """Artifacts as one question: a single one as it is, several under their names."""
    if len(inputs) == 1:
        return as_text(next(iter(inputs.values())))
    return "\n\n".join(f"{name}:\n{as_text(value)}" for name, value in inputs.items())


def agent_of(runs: _Runs, pool: Pool, fields: Mapping[str, object], goal: str | None) -> Agent:
    """An expert that asks an orchestrator; a run without a decision is a failed attempt, with its reasons."""

    async def ask(**inputs: object) -> object:
        decision = await runs.run(_asked_of(inputs), goal=goal)
        if decision.status == "escalated":
            raise ToolError("; ".join(decision.reasons) or "came to no decision")
        return decision.answer if decision.value is None else decision.value

    effects = [agent for agent in pool.agents.values() if agent.effects]
    idempotent = bool(effects) and all(agent.idempotent for agent in effects)
    return _agent(ask, {**fields, "effects": bool(effects), "idempotent": idempotent})


def runnable_expert(
    runnable: object,
    name: str,
    *,
    role: str = "",
    consumes: tuple[str, ...] = ("question",),
    produces: str = "answer",
    skill: float = 0.5,
    timeout: float = LONGEST_RUN,
    claim: Claiming | None = None,
    given: Callable[[Mapping[str, object]], object] | None = None,
    taken: Callable[[Any], object] | None = None,
) -> Agent:
    """An expert that invokes a compiled LangGraph graph, or any other Runnable of LangChain's.

    `given` makes its input of the artifacts, `taken` the artifact of its output. By default a graph is given a state
    with the artifacts under their names, and the artifact is read from the key named after it, else from the last of
    its `messages`; another Runnable is given the one artifact itself. Raises `ConfigError` for what is no Runnable.
    """
    if not isinstance(runnable, Runnable):
        expected = "a compiled LangGraph graph, or another Runnable; a plain function is an expert as it is"
        raise ConfigError(f"cannot be {runnable!r}", field=f"expert {name}", expected=expected)

    able = cast("Runnable[Any, Any]", runnable)

    async def invoke(**inputs: object) -> object:
        output: object = await able.ainvoke(given(inputs) if given else _input_of(able, inputs))
        return taken(output) if taken else _artifact_of(output, produces)

    fields = {"name": name, "role": role, "consumes": consumes, "produces": produces, "skill": skill}
    return _agent(invoke, {**fields, "timeout": timeout, "claim": claim})


def node_of(
    run: Callable[[Asked], Awaitable[Decision[Any]]],
    run_sync: Callable[[Asked], Decision[Any]],
    question: str,
    answer: str | None,
    decision: str | None,
) -> Runnable[Any, dict[str, object]]:
    """A node for a LangGraph: reads one key of its state, writes answer, typed where it is, and decision to others."""

    def asked(state: Mapping[str, object]) -> Asked:
        if question not in state:
            expected = f"`as_node(question=…)` with one of {', '.join(state)}" if state else "some input of the graph"
            hint = nearest(question, state)
            raise ConfigError("the graph's state has no such key", field=question, expected=expected, suggestion=hint)
        found = state[question]
        if isinstance(found, list):
            messages = cast("list[object]", found)
            return cast("Asked", [_plain_message(each) for each in messages])
        if isinstance(found, str):
            return found
        raise ConfigError(f"cannot be {found!r}", field=question, expected="text or a list of messages")

    def given(made: Decision[Any]) -> dict[str, object]:
        found: object = made.answer if made.instance is None else made.instance
        return {key: value for key, value in ((answer, found), (decision, made)) if key is not None}

    def node(state: Mapping[str, object]) -> dict[str, object]:
        return given(run_sync(asked(state)))

    async def async_node(state: Mapping[str, object]) -> dict[str, object]:
        return given(await run(asked(state)))

    return RunnableLambda(node, async_node, name="thinkroute")


def _plain_message(message: object) -> object:
    """A message of LangChain's as a role and a text; anything else as it is."""
    return convert_to_openai_messages(message) if isinstance(message, BaseMessage) else message


def _agent(work: Callable[..., Awaitable[object]], fields: Mapping[str, object]) -> Agent:
    return Agent.model_validate({"timeout": LONGEST_RUN, **fields, "tool": work})


def _input_of(runnable: Runnable[Any, Any], inputs: Mapping[str, object]) -> object:
    from langgraph.pregel import Pregel

    if isinstance(runnable, Pregel) or len(inputs) > 1:
        return dict(inputs)
    return next(iter(inputs.values()))


def _artifact_of(output: object, produces: str) -> object:
    """The artifact in what a Runnable gave; raises `ToolError` where a state has no such key."""
    if isinstance(output, BaseMessage):
        return output.text
    if not isinstance(output, dict):
        return output
    state = cast("dict[str, object]", output)
    if produces in state:
        return state[produces]
    said = state.get("messages")
    last: object = cast("list[object]", said)[-1] if isinstance(said, list) and said else None
    if isinstance(last, BaseMessage):
        return last.text
    raise ToolError(f"its state has no `{produces}`; it has {', '.join(sorted(state)) or 'nothing'}")
