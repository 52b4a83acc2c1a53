"""Consults the routed experts side by side: one attempt each, through the gate."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from orchestrator.errors import AttemptError, FailureKind, ProviderError
from orchestrator.messages import Failed, Goal, Reply, as_text
from orchestrator.pool import Agent
from orchestrator.protocol import Route
from orchestrator.providers import Call, Completion, Paid, Quote, Result
from orchestrator.runtime import RunContext
from orchestrator.state import Failure, RunState
from orchestrator.trace.events import AttemptCancelled, AttemptFailed, AttemptStarted, Replied
from orchestrator.weights import health_key

__all__ = ["consult"]

LAST_RESORT_RETRIES = 2


@dataclass(frozen=True, slots=True)
class _Attempt:
    number: int
    agent: Agent
    goal: Goal
    route: Route
    ordinal: int = 1
    """The how-manieth attempt of its agent in the run."""


async def consult(state: RunState, context: RunContext) -> RunState:
    """Make an attempt for every route whose goal is not reached yet; replies and failures go into the state.

    Raises `ConfigError` where a router names an expert that is not in the pool.
    """
    attempts = [_begun(attempt, context) for attempt in _attempts(state, context)]
    results = await _side_by_side(attempts, state, context)
    failures = tuple(result for result in results if isinstance(result, Failure))
    return replace(
        state,
        attempts=state.attempts + len(attempts),
        replies=(*state.replies, *(result for result in results if isinstance(result, Reply))),
        failures=(*state.failures, *failures),
        open=(*state.open, *failures),
        routes=(),
    )


def _begun(attempt: _Attempt, context: RunContext) -> _Attempt:
    """The attempt, written down, with its place among those of its agent."""
    toward = attempt.route.toward
    context.journal.write(
        AttemptStarted(
            attempt=attempt.number,
            agent=attempt.agent.name,
            goal=attempt.goal,
            model=attempt.agent.model,
            toward=toward if toward != attempt.goal else None,
        )
    )
    return replace(attempt, ordinal=context.tally.by_agent[attempt.agent.name])


async def _side_by_side(attempts: list[_Attempt], state: RunState, context: RunContext) -> list[Reply | Failure]:
    """The attempts' results; where one raises, the others are stopped before the run ends."""
    works = [asyncio.ensure_future(_made(attempt, attempts, state, context)) for attempt in attempts]
    try:
        return await asyncio.gather(*works)
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)


def _attempts(state: RunState, context: RunContext) -> list[_Attempt]:
    """The attempts to make; a goal that is reached is never reached again."""
    found: list[_Attempt] = []
    for route in state.routes:
        agent = context.facilities.pool.agents[route.agent]
        goal = state.goal_of(route)
        if state.reached(goal) is None:
            found.append(_Attempt(state.attempts + len(found) + 1, agent, goal, route))
    return found


async def _made(attempt: _Attempt, attempts: list[_Attempt], state: RunState, context: RunContext) -> Reply | Failure:
    candidate = context.weigher.weigh(attempt.agent, attempt.goal.query)
    retries = _retries(attempt, attempts, state, context)
    try:
        paid = await context.gate.attempt(_call(attempt, retries, state, context))
    except asyncio.CancelledError:
        context.journal.write(AttemptCancelled(attempt=attempt.number))
        raise
    error = paid.error or _malformed(paid.result)
    if error is not None or paid.result is None:
        return _failure(attempt, error or AttemptError("gave nothing", kind="malformed"), paid, context)
    reply = Reply(
        attempt.number,
        attempt.agent.name,
        attempt.goal,
        paid.result.value,
        p=candidate.p or 0.0,
        cost=paid.cost,
        usage=paid.usage,
        seconds=paid.seconds,
    )
    context.journal.write(
        Replied(
            attempt=reply.attempt,
            agent=reply.agent,
            value=reply.value,
            p=reply.p,
            usd=reply.cost,
            seconds=round(reply.seconds, 6),
        )
    )
    return reply


def _failure(attempt: _Attempt, error: AttemptError, paid: Paid, context: RunContext) -> Failure:
    failed = Failed(attempt.agent.name, error.kind, str(error), paid.tries)
    context.journal.write(
        AttemptFailed(
            attempt=attempt.number, agent=failed.agent, kind=failed.kind, error=failed.error, tries=failed.tries
        )
    )
    return Failure(attempt.number, attempt.route, attempt.goal, failed)


def _malformed(result: Result | None) -> AttemptError | None:
    """An empty reply is no reply."""
    value = result.value if result else None
    if value is None or (isinstance(value, str) and not value.strip()):
        return AttemptError("gave an empty reply", kind="malformed")
    return None


def _call(attempt: _Attempt, retries: int, state: RunState, context: RunContext) -> Call:
    agent = attempt.agent
    common = Call(
        attempt=attempt.number,
        key=health_key(agent, context.facilities.pool.model_of(agent)),
        work=lambda _: _asked_tool(attempt, state, context),
        quote=Quote,
        timeout=agent.timeout,
        retries=retries,
        fault=_fault(attempt, context, state.question.case),
    )
    model = context.facilities.pool.model_of(agent)
    if model is None:
        return common
    asked = context.weigher.model_call(agent, attempt.goal.query, _inputs(attempt, state))

    async def work(quote: Quote) -> Result:
        _whole_inputs(attempt, state)
        return _text_of(await asked.work(quote))

    left = context.ledger
    return replace(common, work=work, quote=lambda: asked.quote(left.remaining_usd), model=model.name, bill=asked.bill)


def _inputs(attempt: _Attempt, state: RunState) -> dict[str, object]:
    """Artifacts that are there for the query, by name."""
    given = {name: reply.value for name, reply in state.values(attempt.goal.query).items()}
    return given | {"question": attempt.goal.query or state.question.text}


def _whole_inputs(attempt: _Attempt, state: RunState) -> dict[str, object]:
    """The artifacts that are there; raises `AttemptError` where one that the expert needs is not."""
    inputs = _inputs(attempt, state)
    if missing := [name for name in attempt.agent.consumes if name not in inputs]:
        raise ProviderError(f"needs {', '.join(missing)}, which is not there", kind="invalid_request", sent=False)
    return inputs


async def _asked_tool(attempt: _Attempt, state: RunState, context: RunContext) -> Result:
    inputs, agent = _whole_inputs(attempt, state), attempt.agent
    tool = context.facilities.tools[agent.name]
    given = {name: inputs[name] for name in (*agent.consumes, *tool.optional) if name in inputs}
    value = await tool.call(given, context.facilities.resources)
    as_text(value)  # what nobody can read fails here, not in a merge
    return Result(value)


def _text_of(result: Result) -> Result:
    """An expert's completion as its reply; one that was cut off or declined is none. Raises `ProviderError`."""
    completion = result.value
    if not isinstance(completion, Completion):
        raise TypeError(f"a provider gave {type(completion).__name__}")
    usage = result.usage if result.exact else None
    if completion.finish == "refusal":
        raise ProviderError("the model declined", kind="refusal", usage=usage)
    if completion.finish == "length":
        raise ProviderError("cut off by the length limit", kind="malformed", usage=usage)
    return replace(result, value=completion.text)


def _fault(attempt: _Attempt, context: RunContext, case: str | None) -> FailureKind | None:
    if context.faults is None:
        return None
    return context.faults(attempt.agent.name, attempt.ordinal, case)


def _retries(attempt: _Attempt, attempts: list[_Attempt], state: RunState, context: RunContext) -> int:
    """The agent's own number, else none while somebody else could serve the goal (SEMANTICS §5)."""
    if attempt.agent.retries is not None:
        return attempt.agent.retries
    goal = attempt.route.toward or attempt.goal
    without = replace(state, failures=(*state.failures, _as_if_failed(attempt)))
    served = [(other.agent.name, other.goal) for other in attempts]
    served += [(reply.agent, reply.goal) for reply in state.replies]
    taken = {
        agent
        for agent, other in served
        if (other.artifact, other.query) == (goal.artifact, goal.query) and other.slot != goal.slot
    }
    return 0 if context.planner.choose(goal, without, taken=taken).plan else LAST_RESORT_RETRIES


def _as_if_failed(attempt: _Attempt) -> Failure:
    return Failure(attempt.number, attempt.route, attempt.goal, Failed(attempt.agent.name, "tool", "", 0))
