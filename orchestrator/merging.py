"""Merges the replies of a run: by the rule that is wanted, into the kind that is wanted, else by what gives way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import cast

from orchestrator.content import load_prompt
from orchestrator.errors import AttemptError, ConfigError, ReplayMismatch
from orchestrator.merge import AskingMerge, MergeRule, fallen_back
from orchestrator.messages import Analysis, Message, Reply, as_text
from orchestrator.providers import Ask, Completion, Request
from orchestrator.requests import typed_request
from orchestrator.runtime import RunContext
from orchestrator.state import RunState
from orchestrator.tools import Misfit, fitted

__all__ = ["GRACE", "Merging", "merged_by"]

GRACE = 1.0
"""Seconds past its deadline in which a run's merge may still conclude: deciding late is better than not deciding."""


@dataclass(frozen=True, slots=True)
class Merging:
    """What was made of the replies, and who made it."""

    analysis: Analysis
    method: str
    gave_way: str | None = None
    """Why the merge that was asked for did not, and what decided in its place."""
    abstained: str | None = None
    """Why what was decided is not given, where it is not sure enough."""


async def merged_by(rule: MergeRule, state: RunState, replies: list[Reply], context: RunContext) -> Merging:
    """What the rule makes of the replies; one that cannot be done gives way, and it is said why."""
    asking = _Asking(_ask(rule, state, context))
    until = asyncio.timeout(None if (left := context.seconds_left()) is None else left + GRACE)
    try:
        async with until:
            (made,) = await asyncio.gather(_made(rule, state, replies, asking, context), return_exceptions=True)
    except TimeoutError:
        if not until.expired():
            raise
        made = TimeoutError(context.late())
    if isinstance(made, Analysis):
        return Merging(made, rule.name)
    instead = fallen_back(state.question, replies, f"{_why(made, asking)}; {rule.name} gave way")
    return Merging(replace(instead, reasons=()), "fallback", "; ".join(instead.reasons))


async def _made(
    rule: MergeRule, state: RunState, replies: list[Reply], asking: _Asking, context: RunContext
) -> Analysis:
    """What the rule gave, if it is an analysis with a text for its answer; raises `ConfigError` else.

    Raises `Misfit` where the answer is not of the kind that is wanted.
    """
    question = state.question
    given = rule.merge(question, replies, asking) if isinstance(rule, AskingMerge) else rule.merge(question, replies)
    merged = cast("object", await given)
    answer: object = merged.answer if isinstance(merged, Analysis) else None
    if not isinstance(merged, Analysis) or not isinstance(answer, str):
        expected = "an `Analysis` with a text, or a text"
        raise ConfigError(f"gave {merged!r}", field=f"merge {rule.name}", expected=expected)
    kind = context.facilities.kinds.of(state.goal)
    return merged if kind is None else replace(merged, answer=as_text(fitted(answer, kind)))


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


def _ask(rule: MergeRule, state: RunState, context: RunContext) -> Ask:
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
