"""Makes one attempt: an expert is asked through the gate, and what it gives becomes a reply or a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, partial
from types import MappingProxyType

from pydantic import BaseModel, JsonValue, TypeAdapter

from orchestrator.analyses import Stated, stated_in
from orchestrator.content import load_prompt
from orchestrator.errors import AttemptError, FailureKind, ProviderError
from orchestrator.keeping import Keeping
from orchestrator.messages import Failed, Goal, Message, Reply, as_text
from orchestrator.pool import Agent
from orchestrator.protocol import Route
from orchestrator.providers import REPAIRS, Call, Completion, Finish, ModelCall, Paid, Quote, Result
from orchestrator.providers.base import SMALLEST_OUTPUT
from orchestrator.runtime import Enclosing, RunContext, enclosing
from orchestrator.state import Failure, RunState, alike
from orchestrator.sureness import said_yes
from orchestrator.tools import IdempotencyKey, Misfit, fitted
from orchestrator.trace.events import AttemptCancelled, AttemptFailed, Replied
from orchestrator.trace.plain import text_kept
from orchestrator.weights import health_key

__all__ = ["Attempt", "Round", "made"]

LAST_RESORT_RETRIES = 2
_UNUSABLE: Mapping[Finish, tuple[FailureKind, str]] = MappingProxyType(
    {
        "refusal": ("refusal", "the model declined"),
        "length": ("malformed", "cut off by the length limit"),
        "calls": ("malformed", "called a tool that nobody offered"),
    }
)
"""What is wrong with a reply that ended so."""


@dataclass(slots=True)
class Round:
    """Attempts that are made at the same time."""

    waiting: int = 1
    """Those that have not reserved what they may take."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An expert that is asked for a goal, once, with all its tries."""

    number: int
    agent: Agent
    goal: Goal
    route: Route
    round: Round
    key: IdempotencyKey
    went_without: tuple[str, ...] = ()
    """Inputs that it had to do without, since those who give them failed."""
    ordinal: int = 1
    """The how-manieth attempt of its agent in the run."""


async def made(attempt: Attempt, attempts: list[Attempt], state: RunState, context: RunContext) -> Reply | Failure:
    """The reply or the failure of an attempt, written down; one that ended before an interruption is recalled."""
    ended = context.keeper.past.end_of(attempt.number) if context.keeper else None
    if isinstance(ended, AttemptFailed):
        return _recalled(attempt, ended)
    p, _ = context.weigher.probability(attempt.agent, attempt.goal.query)
    try:
        paid = await context.gate.attempt(_call(attempt, attempts, state, context))
    except asyncio.CancelledError:
        if context.keeper is None:  # a durable run goes on with it when it is resumed
            context.journal.write(AttemptCancelled(attempt=attempt.number))
        raise
    if paid.error is not None or paid.result is None:
        return _failure(attempt, paid.error or AttemptError("gave nothing", kind="malformed"), paid, context)
    given = paid.result.value
    stated = given if isinstance(given, Stated) else Stated("")
    sure = ended.confidence if ended else await _sureness(attempt, stated, given, state, context)
    reply = Reply(
        attempt.number,
        attempt.agent.name,
        attempt.goal,
        stated.answer or given,
        p=p if ended is None else ended.p,
        cost=_with_nested(paid.cost, attempt, context),
        usage=paid.usage,
        seconds=paid.seconds if ended is None else ended.seconds,
        confidence=sure,
        evidence=stated.evidence,
        eliminated=stated.eliminated,
    )
    if ended is None:
        context.journal.write(_replied(reply))
    return reply


async def _sureness(
    attempt: Attempt, stated: Stated, given: object, state: RunState, context: RunContext
) -> float | None:
    """How sure an expert is of its reply: what it states, or the probability of its model's yes."""
    agent = attempt.agent
    if agent.confidence == "stated" or agent.model is None:
        return stated.confidence
    question = attempt.goal.query or state.question.text
    return await said_yes(context.asking("merge", aloud=False), agent.model, question, as_text(stated.answer or given))


def _read(keeping: Keeping, attempt: Attempt, context: RunContext, kept: JsonValue) -> object:
    """What an attempt gave, from its JSON."""
    if isinstance(kept, dict) and attempt.agent.reply == "analysis" and _kind(attempt, context) is None:
        return _analyses().validate_python(kept)
    return keeping.recall(attempt.agent.name, attempt.goal, kept)


@cache
def _analyses() -> TypeAdapter[Stated]:
    return TypeAdapter(Stated)


def _with_nested(cost: Decimal | None, attempt: Attempt, context: RunContext) -> Decimal | None:
    """What an attempt cost, with what the runs within it did."""
    nested = context.tally.nested.get(attempt.number, Decimal(0))
    return None if cost is None or nested is None else cost + nested


def _replied(reply: Reply) -> Replied:
    return Replied(
        attempt=reply.attempt,
        agent=reply.agent,
        value=reply.value,
        text=text_kept(reply.value),
        p=reply.p,
        usd=reply.cost,
        seconds=round(reply.seconds, 6),
        confidence=reply.confidence,
        evidence=reply.evidence,
        eliminated=reply.eliminated,
    )


def _recalled(attempt: Attempt, ended: AttemptFailed) -> Failure:
    """A failure of before the interruption."""
    failed = Failed(ended.agent, ended.kind, ended.error, ended.tries)
    return Failure(attempt.number, attempt.route, attempt.goal, failed, in_doubt=ended.in_doubt)


def _failure(attempt: Attempt, error: AttemptError, paid: Paid, context: RunContext) -> Failure:
    failed = Failed(attempt.agent.name, error.kind, str(error), paid.tries)
    doubt = attempt.agent.effects and paid.doubt
    context.journal.write(
        AttemptFailed(
            attempt=attempt.number,
            agent=failed.agent,
            kind=failed.kind,
            error=failed.error,
            tries=failed.tries,
            in_doubt=doubt,
        )
    )
    return Failure(attempt.number, attempt.route, attempt.goal, failed, in_doubt=doubt)


def _call(attempt: Attempt, attempts: list[Attempt], state: RunState, context: RunContext) -> Call:
    agent = attempt.agent
    model = context.facilities.pool.model_of(agent)
    common = Call(
        attempt=attempt.number,
        key=health_key(agent, model),
        work=lambda _: _asked_tool(attempt, state, context),
        quote=Quote,
        timeout=agent.timeout,
        retries=partial(_retries, attempt, attempts, state, context),
        may_repeat=lambda error: not agent.effects or agent.idempotent or error.undone,
        fault=_fault(attempt, context, state.question.case),
        disturb=partial(context.disturb, agent.name) if context.disturb else None,
    )
    if context.keeper is not None:
        keep = partial(context.keeper.keeping.keep, agent.name, attempt.goal)
        common = replace(common, keep=keep, recall=partial(_read, context.keeper.keeping, attempt, context))
    if model is None:
        return common
    asking = _Asking(
        attempt, state, context, context.weigher.model_call(agent, attempt.goal.query, _inputs(attempt, state))
    )
    return replace(
        common,
        work=asking.work,
        quote=asking.quote,
        repairs=REPAIRS,
        prepare=asking.call.prepare,
        model=model.name,
        bill=asking.call.bill,
    )


@dataclass(slots=True)
class _Asking:
    """A model being asked; what it is asked after a malformed reply is to mend that."""

    attempt: Attempt
    state: RunState
    context: RunContext
    call: ModelCall
    parts: int = 0
    """Into how many what is left is to be shared, for a try that has not begun; 0 where that is to be counted."""

    def quote(self) -> Quote:
        """What a try takes: of what is left, this attempt's share beside those that have not reserved theirs yet.

        One that waits for its turn is quoted anew: its share stays the same part of what is left by then.
        """
        left, together = self.context.ledger.left, self.attempt.round
        if not self.parts:
            self.parts = max(1, together.waiting)
            together.waiting = max(1, together.waiting - 1)
        quote = self.call.quote(left.share(self.parts))
        if self.context.ledger.obstacle(quote.reserve, quote.tokens) is None:
            return quote
        short = replace(self.call.request, max_output=min(SMALLEST_OUTPUT, self.call.request.max_output))
        return replace(self.call, request=short).quote(left)

    async def work(self, quote: Quote) -> Result:
        """One try, with the text of the reply as its value, or the analysis that was asked for."""
        self.parts = 0
        _whole_inputs(self.attempt, self.state)
        result = await self.call.work(quote)
        try:
            told = _text_of(result)
            if self.attempt.agent.reply == "analysis" and _kind(self.attempt, self.context) is None:
                return self._analysed(told, result)
            return _fitted(told, self.attempt, self.context)
        except AttemptError as error:
            if error.kind == "malformed":
                self._mend(result.value, str(error))
            raise

    def _analysed(self, told: Result, result: Result) -> Result:
        """The analysis in the reply; where no schema held the model to one, plain text is its answer."""
        stated = stated_in(str(told.value))
        if stated is not None:
            return replace(told, value=stated)
        if self.call.request.schema is None:
            return told
        raise _unusable(result, "malformed", "is no JSON object with an `answer`")

    def _mend(self, value: object, problem: str) -> None:
        """Ask for the reply again, with what was wrong with it."""
        said = value.text if isinstance(value, Completion) else ""
        asked = self.call.request
        again = Message("user", load_prompt("repair_reply").fill(problem=problem))
        messages = (*asked.messages, *((Message("assistant", said),) if said.strip() else ()), again)
        self.call = replace(self.call, request=replace(asked, messages=messages))


def _inputs(attempt: Attempt, state: RunState) -> dict[str, object]:
    """Artifacts that are there for the query, by name."""
    given = {name: reply.value for name, reply in state.values(attempt.goal.query).items()}
    return given | {"question": attempt.goal.query or state.question.text}


def _whole_inputs(attempt: Attempt, state: RunState) -> dict[str, object]:
    """The artifacts that are there; raises `AttemptError` where one that the expert needs is not."""
    inputs = _inputs(attempt, state)
    if missing := attempt.agent.lacks(inputs):
        raise ProviderError(f"needs {', '.join(missing)}, which is not there", kind="invalid_request", sent=False)
    return inputs


async def _asked_tool(attempt: Attempt, state: RunState, context: RunContext) -> Result:
    inputs, agent = _whole_inputs(attempt, state), attempt.agent
    tool = context.facilities.tools[agent.name]
    given = {name: inputs[name] for name in (*agent.consumes, *tool.optional) if name in inputs}
    with enclosing(Enclosing(context, attempt.number, agent.name, attempt.key)):
        value = await tool.call(_typed(given, attempt, context), context.facilities.resources, attempt.key)
    if value is None or not as_text(value).strip():  # what nobody can read fails here, not in a merge
        raise AttemptError("gave an empty reply", kind="malformed")
    return _fitted(Result(value), attempt, context)


def _typed(inputs: Mapping[str, object], attempt: Attempt, context: RunContext) -> dict[str, object]:
    """The inputs, each of its kind: what a run was taken up with may be plain."""
    kinds = {name: context.facilities.kinds.of(name, attempt.goal.query) for name in inputs}
    return {name: value if (kind := kinds[name]) is None else fitted(value, kind) for name, value in inputs.items()}


def _kind(attempt: Attempt, context: RunContext) -> type[BaseModel] | None:
    """The type of what is asked for, where it has one."""
    return context.facilities.kinds.of(attempt.goal.artifact, attempt.goal.query)


def _fitted(result: Result, attempt: Attempt, context: RunContext) -> Result:
    """The result as what its kind says; raises `AttemptError` where it does not fit, which is malformed."""
    kind = _kind(attempt, context)
    if kind is None:
        return result
    try:
        return replace(result, value=fitted(result.value, kind))
    except Misfit as error:
        if attempt.agent.model is None:
            raise AttemptError(str(error), kind="malformed") from error
        usage, cost = (result.usage, result.cost) if result.exact else (None, None)
        raise ProviderError(str(error), kind="malformed", usage=usage, cost=cost) from error


def _text_of(result: Result) -> Result:
    """An expert's completion as its reply; raises `ProviderError` where it was cut off, declined or is empty."""
    completion = result.value
    if not isinstance(completion, Completion):
        raise TypeError(f"a provider gave {type(completion).__name__}")
    if completion.finish in ("stop", "calls") and completion.text.strip():
        return replace(result, value=completion.text)
    raise _unusable(result, *_UNUSABLE.get(completion.finish, ("malformed", "gave an empty reply")))


def _unusable(result: Result, kind: FailureKind, problem: str) -> ProviderError:
    """The error of a reply that came whole and is of no use; it costs what it cost."""
    usage, cost = (result.usage, result.cost) if result.exact else (None, None)
    return ProviderError(problem, kind=kind, usage=usage, cost=cost)


def _fault(attempt: Attempt, context: RunContext, case: str | None) -> FailureKind | None:
    if context.faults is None:
        return None
    whose = context.facilities.pool.agents.sampled(attempt.agent.name)
    return context.faults(whose, attempt.ordinal, case)


def _retries(attempt: Attempt, attempts: list[Attempt], state: RunState, context: RunContext) -> int:
    """The agent's own number, else none while somebody else could serve the goal (SEMANTICS §5)."""
    if attempt.agent.retries is not None:
        return attempt.agent.retries
    goal = attempt.route.toward or attempt.goal
    without = replace(state, failures=(*state.failures, _as_if_failed(attempt)))
    others = (o for o in attempts if alike(o.goal, goal) and o.goal.slot != goal.slot)
    taken = state.serving(goal) | {other.agent.name for other in others}
    return 0 if context.planner.choose(goal, without, taken=taken).plan else LAST_RESORT_RETRIES


def _as_if_failed(attempt: Attempt) -> Failure:
    return Failure(attempt.number, attempt.route, attempt.goal, Failed(attempt.agent.name, "tool", "", 0))
