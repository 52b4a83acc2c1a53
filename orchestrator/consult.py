"""Consults the routed experts side by side: one attempt each, through the gate, and goes on with what comes in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from hashlib import sha256
from types import MappingProxyType

from pydantic import BaseModel

from orchestrator.analyses import Stated, stated_in
from orchestrator.content import load_prompt
from orchestrator.errors import AttemptError, FailureKind, ProviderError
from orchestrator.heal import begun, heal_meanwhile, late_failures, taken_in
from orchestrator.messages import Failed, Goal, Message, Reply, as_text
from orchestrator.pool import Agent
from orchestrator.protocol import Route
from orchestrator.providers import REPAIRS, Call, Completion, Finish, ModelCall, Paid, Quote, Result
from orchestrator.providers.base import SMALLEST_OUTPUT
from orchestrator.runtime import Enclosing, RunContext, enclosing
from orchestrator.state import Failure, RunState, Underway, alike
from orchestrator.tools import IdempotencyKey, Misfit, fitted
from orchestrator.trace.events import AttemptCancelled, AttemptFailed, AttemptStarted, Replied
from orchestrator.trace.plain import text_kept
from orchestrator.turns import meanwhile
from orchestrator.watch import watched
from orchestrator.weights import health_key

__all__ = ["consult"]

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
class _Round:
    """Attempts that are made at the same time."""

    waiting: int = 1
    """Those that have not reserved what they may take."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    number: int
    agent: Agent
    goal: Goal
    route: Route
    round: _Round
    key: IdempotencyKey
    went_without: tuple[str, ...] = ()
    """Inputs that it had to do without, since those who give them failed."""
    ordinal: int = 1
    """The how-manieth attempt of its agent in the run."""


async def consult(state: RunState, context: RunContext) -> RunState:
    """Make an attempt for every route whose goal is not reached yet; replies and failures go into the state.

    While some are still being made, what has come in meanwhile is gone on with: the plan's next steps are taken and
    failures rerouted where that can begin at once. Before every step the monitors look.
    Raises `ConfigError` where a router names an expert that is not in the pool.
    """
    crew = _Crew(context, await watched(state, context))
    try:
        crew.start()
        while crew.working:
            await crew.wait()
            await crew.go_on(heal_meanwhile)
            await crew.go_on(meanwhile)
    finally:
        await crew.dismiss()
    return late_failures(replace(crew.state, underway=()), context)


@dataclass(slots=True)
class _Crew:
    """Attempts that are being made, and the state that grows with what they give."""

    context: RunContext
    state: RunState
    working: dict[asyncio.Task[Reply | Failure], _Attempt] = field(
        default_factory=dict["asyncio.Task[Reply | Failure]", "_Attempt"]
    )
    ended: list[int] = field(default_factory=list[int])
    """Attempts in the order in which the trace has their ends."""

    def start(self) -> None:
        """Begin an attempt for every route."""
        found = _attempts(self.state, self.context)
        at_work = [(each.agent.name, each.goal.query) for each in (*self.working.values(), *found)]
        self.state = begun(self.state, at_work, self.context)
        anew = [_begun(attempt, self.context) for attempt in found]
        self.state = replace(self.state, attempts=self.state.attempts + len(anew), routes=())
        others = [*self.working.values(), *anew]
        for attempt in anew:
            work = asyncio.ensure_future(self._done(attempt, others))
            self.working[work] = attempt
        self._note()

    async def go_on(self, next_steps: Callable[[RunState, RunContext], RunState]) -> None:
        """Take further steps beside those that are being made, others where the monitors withdraw them."""
        while self.working and not self.state.concluded and not self.context.limit_hit():
            avoided = self.state.avoided
            self.state = await watched(next_steps(self.state, self.context), self.context)
            self.start()
            if self.state.avoided == avoided:
                return

    async def wait(self) -> None:
        """Take in what comes first."""
        done, _ = await asyncio.wait(self.working, return_when=asyncio.FIRST_COMPLETED)
        for work in sorted(done, key=self._place):
            attempt = self.working.pop(work)
            self._take_in(work.result(), attempt)
        self._note()

    async def _done(self, attempt: _Attempt, others: list[_Attempt]) -> Reply | Failure:
        result = await _made(attempt, others, self.state, self.context)
        self.ended.append(attempt.number)
        return result

    def _place(self, work: asyncio.Task[Reply | Failure]) -> int:
        """The place of an attempt among those that ended; one that raised comes last."""
        number = self.working[work].number
        return self.ended.index(number) if number in self.ended else len(self.ended)

    async def dismiss(self) -> None:
        """Stop what is still being made: one of the others raised, or the run was cancelled."""
        for work in self.working:
            work.cancel()
        await asyncio.gather(*self.working, return_exceptions=True)

    def _take_in(self, result: Reply | Failure, attempt: _Attempt) -> None:
        state = taken_in(result, attempt.goal, replace(self.state, waited=0.0), self.context)
        without = () if isinstance(result, Failure) else attempt.went_without
        self.state = replace(state, shortfalls=(*state.shortfalls, *without))

    def _note(self) -> None:
        underway = tuple(Underway(attempt.agent.name, attempt.goal) for attempt in self.working.values())
        self.state = replace(self.state, underway=underway)


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
            idempotency_key=attempt.key if attempt.agent.effects else None,
        )
    )
    return replace(attempt, ordinal=context.tally.by_agent[attempt.agent.name])


def _attempts(state: RunState, context: RunContext) -> list[_Attempt]:
    """The attempts to make: one for each goal that is not reached, a router's own routes before steps to others."""
    found: list[_Attempt] = []
    together = _Round()
    for route in sorted(state.routes, key=lambda route: route.toward is not None):
        agent = context.facilities.pool.agents[route.agent]
        goal = state.goal_of(route)
        busy = state.busy_with(goal) or any(other.goal == goal for other in found)
        if state.reached(goal) is None and not busy:
            key = effect_key(context.within.key if context.within else context.journal.run_id, goal)
            number = state.attempts + len(found) + 1
            found.append(_Attempt(number, agent, goal, route, together, key, _went_without(agent, goal, state)))
    counts = context.ledger.left.tokens is not None  # a free model takes no money, but it takes tokens
    models = [model for each in found if (model := context.facilities.pool.model_of(each.agent)) is not None]
    together.waiting = sum(counts or not model.free for model in models)
    return found


def _went_without(agent: Agent, goal: Goal, state: RunState) -> tuple[str, ...]:
    """What an expert has to do without: inputs at which attempts failed and that nobody else gave (SEMANTICS §4)."""
    there = state.values(goal.query)
    failed = {f.goal.artifact: f.failed for f in state.failures if f.goal.query == goal.query}
    missing = [name for name in (*agent.consumes, *agent.optional) if name not in there and name in failed]
    return tuple(
        f"{agent.name} went without {name}: {failed[name].agent} failed ({failed[name].kind})" for name in missing
    )


def effect_key(run_id: str, goal: Goal) -> IdempotencyKey:
    """The name of an effect: the same for every expert and slot that it is wanted in, and after a resume."""
    named = json.dumps([run_id, goal.artifact, goal.query])
    return IdempotencyKey(sha256(named.encode("utf-8", "backslashreplace")).hexdigest()[:32])


async def _made(attempt: _Attempt, attempts: list[_Attempt], state: RunState, context: RunContext) -> Reply | Failure:
    candidate = context.weigher.weigh(attempt.agent, attempt.goal.query)
    retries = _retries(attempt, attempts, state, context)
    try:
        paid = await context.gate.attempt(_call(attempt, retries, state, context))
    except asyncio.CancelledError:
        context.journal.write(AttemptCancelled(attempt=attempt.number))
        raise
    if paid.error is not None or paid.result is None:
        return _failure(attempt, paid.error or AttemptError("gave nothing", kind="malformed"), paid, context)
    given = paid.result.value
    stated = given if isinstance(given, Stated) else Stated("")
    reply = Reply(
        attempt.number,
        attempt.agent.name,
        attempt.goal,
        stated.answer or given,
        p=candidate.p or 0.0,
        cost=_with_nested(paid.cost, attempt, context),
        usage=paid.usage,
        seconds=paid.seconds,
        confidence=stated.confidence,
        evidence=stated.evidence,
        eliminated=stated.eliminated,
    )
    context.journal.write(
        Replied(
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
    )
    return reply


def _with_nested(cost: Decimal | None, attempt: _Attempt, context: RunContext) -> Decimal | None:
    """What an attempt cost, with what the runs within it did."""
    nested = context.tally.nested.get(attempt.number, Decimal(0))
    return None if cost is None or nested is None else cost + nested


def _failure(attempt: _Attempt, error: AttemptError, paid: Paid, context: RunContext) -> Failure:
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


def _call(attempt: _Attempt, retries: int, state: RunState, context: RunContext) -> Call:
    agent = attempt.agent
    model = context.facilities.pool.model_of(agent)
    common = Call(
        attempt=attempt.number,
        key=health_key(agent, model),
        work=lambda _: _asked_tool(attempt, state, context),
        quote=Quote,
        timeout=agent.timeout,
        retries=retries,
        may_repeat=lambda error: not agent.effects or agent.idempotent or error.undone,
        fault=_fault(attempt, context, state.question.case),
        disturb=partial(context.disturb, agent.name) if context.disturb else None,
    )
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

    attempt: _Attempt
    state: RunState
    context: RunContext
    call: ModelCall

    def quote(self) -> Quote:
        """What a try takes: of what is left, this attempt's share beside those that have not reserved theirs yet."""
        left, waiting = self.context.ledger.left, self.attempt.round.waiting
        self.attempt.round.waiting = max(1, waiting - 1)
        quote = self.call.quote(left.share(max(1, waiting)))
        if self.context.ledger.obstacle(quote.reserve, quote.tokens) is None:
            return quote
        short = replace(self.call.request, max_output=min(SMALLEST_OUTPUT, self.call.request.max_output))
        return replace(self.call, request=short).quote(left)

    async def work(self, quote: Quote) -> Result:
        """One try, with the text of the reply as its value, or the analysis that was asked for."""
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


def _inputs(attempt: _Attempt, state: RunState) -> dict[str, object]:
    """Artifacts that are there for the query, by name."""
    given = {name: reply.value for name, reply in state.values(attempt.goal.query).items()}
    return given | {"question": attempt.goal.query or state.question.text}


def _whole_inputs(attempt: _Attempt, state: RunState) -> dict[str, object]:
    """The artifacts that are there; raises `AttemptError` where one that the expert needs is not."""
    inputs = _inputs(attempt, state)
    if missing := attempt.agent.lacks(inputs):
        raise ProviderError(f"needs {', '.join(missing)}, which is not there", kind="invalid_request", sent=False)
    return inputs


async def _asked_tool(attempt: _Attempt, state: RunState, context: RunContext) -> Result:
    inputs, agent = _whole_inputs(attempt, state), attempt.agent
    tool = context.facilities.tools[agent.name]
    given = {name: inputs[name] for name in (*agent.consumes, *tool.optional) if name in inputs}
    with enclosing(Enclosing(context, attempt.number, agent.name, attempt.key)):
        value = await tool.call(_typed(given, attempt, context), context.facilities.resources, attempt.key)
    if value is None or not as_text(value).strip():  # what nobody can read fails here, not in a merge
        raise AttemptError("gave an empty reply", kind="malformed")
    return _fitted(Result(value), attempt, context)


def _typed(inputs: Mapping[str, object], attempt: _Attempt, context: RunContext) -> dict[str, object]:
    """The inputs, each of its kind: what a run was taken up with may be plain."""
    kinds = {name: context.facilities.kinds.of(name, attempt.goal.query) for name in inputs}
    return {name: value if (kind := kinds[name]) is None else fitted(value, kind) for name, value in inputs.items()}


def _kind(attempt: _Attempt, context: RunContext) -> type[BaseModel] | None:
    """The type of what is asked for, where it has one."""
    return context.facilities.kinds.of(attempt.goal.artifact, attempt.goal.query)


def _fitted(result: Result, attempt: _Attempt, context: RunContext) -> Result:
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
    others = (o for o in attempts if alike(o.goal, goal) and o.goal.slot != goal.slot)
    taken = state.serving(goal) | {other.agent.name for other in others}
    return 0 if context.planner.choose(goal, without, taken=taken).plan else LAST_RESORT_RETRIES


def _as_if_failed(attempt: _Attempt) -> Failure:
    return Failure(attempt.number, attempt.route, attempt.goal, Failed(attempt.agent.name, "tool", "", 0))
