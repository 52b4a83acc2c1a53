"""Lets the monitors look before a step is taken, and follows the one that has most to say."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import cast

from orchestrator.errors import ConfigError
from orchestrator.lower import conclude_on_limit
from orchestrator.monitors import Monitor, Signal, Watch
from orchestrator.runtime import RunContext
from orchestrator.state import Grounds, RunState
from orchestrator.trace.events import Escalated, Monitored, SignalGiven
from orchestrator.trace.plain import plain

__all__ = ["watched"]

SECONDS_OF_A_MONITOR = 10.0
"""What a monitor may take; one that does not come back stops the run for a person."""


@dataclass(frozen=True, slots=True)
class _Said:
    source: str
    signal: Signal
    waved: bool = False
    """A person let the run go on in spite of it."""

    @property
    def grounds(self) -> Grounds:
        """What it is said on."""
        payload = json.dumps(plain(dict(self.signal.payload)), sort_keys=True)
        return Grounds(self.source, self.signal.why, payload)


async def watched(state: RunState, context: RunContext) -> RunState:
    """The state with what the monitors asked for done, before its routes are taken.

    An expert to be avoided is planned round, and the monitors look again; a stop ends the run for a person, unless
    it is on the very grounds that a person has waved through.
    """
    while state.routes and (board := await _board(state, context)):
        context.journal.write(Monitored(board=tuple(map(_given, board))))
        if limit := context.limit_hit():  # over it while the monitors looked
            return conclude_on_limit(state.standing(), context, limit)
        avoided = {agent for agent, _ in state.avoided}
        heard = [said for said in board if not said.waved]
        if not heard:
            return state
        first = next((said for said in heard if not said.signal.avoid or set(said.signal.avoid) - avoided), heard[0])
        if first.signal.asks == "stop":
            return _stopped(state, first, context)
        anew = set(first.signal.avoid) - dict(state.avoided).keys()
        if not anew:
            return state
        state = _without(state, anew, first)
    return state


async def _board(state: RunState, context: RunContext) -> list[_Said]:
    """What the monitors say, all asked at the same time: highest priority first, ties by name, what is waved last."""
    monitors = context.monitors
    watch = _watch(state, context)
    given = await _given_by(monitors, watch)
    said = [_Said(monitor.name, _signal(monitor, each)) for monitor, each in zip(monitors, given, strict=True) if each]
    heard = [replace(each, waved=each.signal.asks == "stop" and each.grounds in state.waved) for each in said]
    return sorted(heard, key=lambda each: (each.waved, -each.signal.priority, each.source))


async def _given_by(monitors: tuple[Monitor, ...], watch: Watch) -> list[object]:
    """What each gave or raised; one that gave nothing in its time a `TimeoutError`."""
    left = watch.seconds_left
    seconds = SECONDS_OF_A_MONITOR if left is None else min(SECONDS_OF_A_MONITOR, left)
    asked = [asyncio.ensure_future(_asked(monitor, watch)) for monitor in monitors]
    until = asyncio.timeout(seconds)
    try:
        async with until:
            return await asyncio.gather(*asked, return_exceptions=True)
    except TimeoutError:
        late = TimeoutError(f"no signal within {seconds:g} s")
        return [late if each.cancelled() else each.exception() or each.result() for each in asked]


async def _asked(monitor: Monitor, watch: Watch) -> object:
    return cast("object", await monitor.watch(watch))


def _signal(monitor: Monitor, given: object) -> Signal:
    """A monitor's signal; one that broke down is no reason to go on unwatched."""
    if isinstance(given, Signal):
        return given
    if isinstance(given, Exception):
        return Signal(1.0, "stop", f"the monitor broke down: {type(given).__name__}: {given}")
    if isinstance(given, BaseException):
        raise given
    raise ConfigError(f"gave {given!r}", field=f"monitor {monitor.name}", expected="a `Signal` or None")


def _watch(state: RunState, context: RunContext) -> Watch:
    pool, health = context.facilities.pool, context.facilities.health
    return Watch(state, state.routes, pool, context.ledger, health, context.seconds(), context.seconds_left())


def _given(said: _Said) -> SignalGiven:
    signal = said.signal
    return SignalGiven(
        source=said.source,
        priority=signal.priority,
        asks="go_on" if said.waved else signal.asks,
        why=signal.why,
        avoid=signal.avoid,
        payload=dict(signal.payload),
        waved=said.waved,
    )


def _stopped(state: RunState, said: _Said, context: RunContext) -> RunState:
    state = state.standing()
    reason = f"stopped for a person by {said.source}: {said.signal.why}"
    for failure in state.open:
        context.journal.write(Escalated(attempt=failure.attempt, reason=reason))
    if not state.open:
        context.journal.write(Escalated(attempt=None, reason=reason))
    shortfalls = (*state.shortfalls, reason)
    return replace(
        state,
        open=(),
        halted=True,
        concluded=True,
        ending=reason,
        shortfalls=shortfalls,
        stopped_on=said.grounds,
    )


def _without(state: RunState, agents: set[str], said: _Said) -> RunState:
    """The state without routes to experts that are to be avoided; what a router wanted of them is got another way."""
    state = state.withdrawn(agents)
    dropped = [route for route in state.routes if route.agent in agents]
    own = tuple(state.goal_of(route) for route in dropped if route.toward is None)
    why = f"{said.source} asked to leave it alone: {said.signal.why}"
    return replace(
        state,
        routes=tuple(route for route in state.routes if route not in dropped),
        avoided=(*state.avoided, *((agent, why) for agent in sorted(agents))),
        pursued=tuple(dict.fromkeys((*state.pursued, *own))),
        reasons=(*state.reasons, *(f"avoided: {agent} ({said.source})" for agent in sorted(agents))),
    )
