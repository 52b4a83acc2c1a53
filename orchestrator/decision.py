"""Ends a run: merges the replies and puts together the decision."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import cast

from pydantic import BaseModel, JsonValue
from pydantic_core import PydanticSerializationError, to_jsonable_python

from orchestrator.content import load_prompt
from orchestrator.errors import AttemptError, ConfigError, ReplayMismatch
from orchestrator.lower import doubts
from orchestrator.merge import AskingMerge, MergeRule, fallen_back, merge_named
from orchestrator.messages import Analysis, Decision, Goal, Message, Reply, Status, as_text
from orchestrator.providers import Ask, Completion, Request
from orchestrator.requests import typed_request
from orchestrator.runtime import RunContext
from orchestrator.state import RunState
from orchestrator.tools import Misfit, fitted
from orchestrator.trace.events import Merged
from orchestrator.trace.plain import plain

__all__ = ["conclude"]

ROUTER = "router"
GRACE = 1.0
"""Seconds past its deadline in which a run's merge may still conclude: deciding late is better than not deciding."""


async def conclude(state: RunState, context: RunContext) -> Decision:
    """Merge what is there into a decision; without any reply or answer it is an escalation."""
    found = _replies(state)
    kind = context.facilities.kinds.asked
    replies = found if kind is None else _typed(found, kind)
    if found and not replies and kind is not None:
        state = replace(state, reasons=(*state.reasons, f"no reply is a {kind.__name__}"))
    if not state.halted:  # which says so itself
        state = replace(state, shortfalls=(*state.shortfalls, *doubts(state)))
    if state.halted or not replies:
        return _decision(state, context, None, None, "escalated", None)
    rule = _rule(state, context)
    if context.set_aside is not None:
        context.ledger.give_back(context.set_aside)
    merged, method, late = await _merged(rule, state, replies, context)
    context.journal.write(
        Merged(
            method=method,
            answer=merged.answer,
            support=merged.support,
            dissent=merged.dissent,
            reasons=merged.reasons,
        )
    )
    state = replace(state, shortfalls=(*state.shortfalls, *late, *_missing_analyses(state, replies)))
    status: Status = "degraded" if state.shortfalls else "answered"
    return _decision(
        state, context, method, merged, status, _value(merged, replies, context.facilities.kinds.of(state.goal))
    )


async def _merged(
    rule: MergeRule, state: RunState, replies: list[Reply], context: RunContext
) -> tuple[Analysis, str, tuple[str, ...]]:
    """What the merge makes of the replies, and who made it; one that cannot be done gives way, and it is said why."""
    asking = _Asking(_asking(rule, state, context))
    until = asyncio.timeout(None if (left := context.seconds_left()) is None else left + GRACE)
    try:
        async with until:
            (made,) = await asyncio.gather(_made(rule, state, replies, asking, context), return_exceptions=True)
    except TimeoutError:
        if not until.expired():
            raise
        made = TimeoutError(context.late())
    if isinstance(made, Analysis):
        return made, rule.name, ()
    why = _why(made, asking)
    merged = fallen_back(state.question, replies, f"{why}; {rule.name} gave way")
    return replace(merged, reasons=()), "fallback", merged.reasons


async def _made(
    rule: MergeRule, state: RunState, replies: list[Reply], asking: _Asking, context: RunContext
) -> Analysis:
    """What the merge gave, if it is an analysis with a text for its answer; raises `ConfigError` else.

    Raises `Misfit` where the answer is not of the kind that is wanted.
    """
    question = state.question
    given = rule.merge(question, replies, asking) if isinstance(rule, AskingMerge) else rule.merge(question, replies)
    merged = cast("object", await given)
    answer: object = merged.answer if isinstance(merged, Analysis) else None
    if isinstance(merged, Analysis) and isinstance(answer, str):
        return _of_the_kind(merged, state, context)
    raise ConfigError(f"gave {merged!r}", field=f"merge {rule.name}", expected="an `Analysis` with a text, or a text")


@dataclass(slots=True)
class _Asking:
    """Asks for a merge, and knows again what came of its calls that is no failure of the merge's."""

    ask: Ask
    not_ours: list[BaseException] = field(default_factory=list[BaseException])

    async def __call__(self, name: str, request: Request) -> Completion:
        """Ask; whatever is raised goes on its way."""
        with self:
            return await self.ask(name, request)

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Keep what a listener, the trace's file or a script raised: no merge may pass that over."""
        if error is not None and not isinstance(error, AttemptError):
            self.not_ours.append(error)


def _why(raised: BaseException, asking: _Asking) -> str:
    """Why a merge gave nothing; raises what is the caller's mistake, or nothing that a merge could do about."""
    if asking.not_ours:
        raise asking.not_ours[0]
    if isinstance(raised, TimeoutError) and str(raised).startswith("limit:"):
        return str(raised)
    if isinstance(raised, AttemptError):
        return f"the merge's model failed ({raised.kind}): {raised}"
    if isinstance(raised, Misfit):
        return f"what it gave {raised}"
    if isinstance(raised, (ConfigError, ReplayMismatch)) or not isinstance(raised, Exception):
        raise raised
    return f"the merge broke down: {type(raised).__name__}: {raised}"


def _asking(rule: MergeRule, state: RunState, context: RunContext) -> Ask:
    """How a merge asks a model: for a typed goal by its schema, and a reply that does not fit is mended once."""
    ask, kind = context.asking("merge"), context.facilities.kinds.of(state.goal)
    if kind is None or not getattr(rule, "writes", True):
        return ask

    async def typed(name: str, request: Request) -> Completion:
        asked = typed_request(request, context.facilities.pool.models[name], kind)
        said = await ask(name, asked)
        try:
            return replace(said, text=as_text(fitted(said.text, kind)))
        except Misfit as error:
            again = Message("user", load_prompt("repair_reply").fill(problem=str(error)))
            messages = (*asked.messages, *((Message("assistant", said.text),) if said.text.strip() else ()), again)
        mended = await ask(name, replace(asked, messages=messages))
        try:
            return replace(mended, text=as_text(fitted(mended.text, kind)))
        except Misfit as error:
            raise AttemptError(str(error), kind="malformed") from error

    return typed


def _of_the_kind(merged: Analysis, state: RunState, context: RunContext) -> Analysis:
    """What a merge gave, its answer the JSON of the kind that is wanted; raises `Misfit`."""
    kind = context.facilities.kinds.of(state.goal)
    return merged if kind is None else replace(merged, answer=as_text(fitted(merged.answer, kind)))


def _typed(replies: list[Reply], kind: type[BaseModel]) -> list[Reply]:
    """Those of the replies that are of a kind, as such."""
    found: list[Reply] = []
    for reply in replies:
        with suppress(Misfit):
            found.append(replace(reply, value=fitted(reply.value, kind)))
    return found


def _replies(state: RunState) -> list[Reply]:
    """Replies to the goal, for the run's own question where there are any; the router's answer is one of them."""
    found = [reply for reply in state.replies if reply.goal.artifact == state.goal]
    own = [reply for reply in found if not reply.goal.query] or found
    if state.answer:
        own.append(Reply(state.attempts + 1, ROUTER, Goal(state.goal), state.answer))
    return own


def _rule(state: RunState, context: RunContext) -> MergeRule:
    if context.merge is not None:
        return context.merge
    if state.answer:
        return merge_named("router")
    return merge_named("first" if state.analyses == 1 else "vote")


def _missing_analyses(state: RunState, replies: list[Reply]) -> list[str]:
    given = len({reply.agent for reply in replies})
    if given >= state.analyses:
        return []
    return [f"analyses: {given} of {state.analyses}"]


def _value(merged: Analysis, replies: list[Reply], kind: type[BaseModel] | None) -> JsonValue:
    """The artifact behind the answer where it is not text."""
    if kind is not None:
        return cast("JsonValue", to_jsonable_python(plain(fitted(merged.answer, kind))))
    for reply in replies:
        if not isinstance(reply.value, str) and reply.text == merged.answer:
            return cast("JsonValue", to_jsonable_python(plain(reply.value)))
    return None


def _decision(  # noqa: PLR0917 - one private call
    state: RunState,
    context: RunContext,
    method: str | None,
    merged: Analysis | None,
    status: Status,
    value: JsonValue,
) -> Decision:
    ledger, tally = context.ledger, context.tally
    asked = context.facilities.kinds.asked
    decision = Decision(
        answer=merged.answer if merged else None,
        status=status,
        goal=state.goal,
        method=method,
        confidence=merged.confidence if merged else None,
        support=merged.support if merged else (),
        dissent=merged.dissent if merged else (),
        failed=tuple(failure.failed for failure in state.failures),
        reasons=_distinct((*state.shortfalls, *state.reasons, *(merged.reasons if merged else ()))),
        cost_usd=ledger.spent,
        cost_exact=ledger.exact,
        usage=ledger.usage,
        turns=state.turns,
        control_calls=tally.control_calls,
        merge_calls=tally.merge_calls,
        expert_calls=tally.expert_calls,
        reroutes=tally.reroutes,
        seconds=round(context.seconds(), 6),
        run_id=context.journal.run_id,
        value=value,
        instance=fitted(merged.answer, asked) if merged and asked else None,
    )
    return _writable(decision)


def _writable(decision: Decision) -> Decision:
    """The decision as its trace holds it: half surrogates, which no UTF-8 can hold, are written out."""
    try:
        decision.model_dump_json()
    except (PydanticSerializationError, UnicodeEncodeError):
        return Decision.model_validate(plain(decision))
    return decision


def _distinct(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
