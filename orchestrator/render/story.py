"""Tells a run: one line for each event while it goes on, and the whole as a tree afterwards."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from orchestrator.messages import Decision
from orchestrator.render.screen import Screen, money, plain, seconds, visible
from orchestrator.trace import Trace, verify
from orchestrator.trace.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptStarted,
    BadTurn,
    BreakerChanged,
    Demoted,
    Escalated,
    Event,
    Merged,
    Monitored,
    NameResolved,
    Nested,
    Paused,
    Replied,
    Rerouted,
    Resumed,
    Returned,
    RunEnded,
    RunStarted,
    Superseded,
    TakenOver,
    TryEnded,
    TurnTaken,
    Waited,
)

__all__ = ["ledger_line", "show_trace", "status_style", "story_line", "story_lines"]

_STATUS = {"answered": "ok", "degraded": "detour", "escalated": "bad"}
_LABEL = 10
WHOLE = 2_000
"""Characters of a reason; one that names every expert of a large pool is still shown."""


def status_style(status: str) -> str:
    """The style of a status word."""
    return _STATUS.get(status, "bad")


def story_lines(events: Iterable[Event]) -> list[Text]:
    """The lines of a whole run."""
    names: dict[int, str] = {}
    return [line for event in events if (line := story_line(event, names)) is not None]


def story_line(event: Event, names: dict[int, str]) -> Text | None:
    """One line on an event, None where it is not worth one; `names` keeps who made which attempt."""
    match event:
        case TurnTaken():
            return _turn_line(event)
        case TryEnded() if event.purpose != "expert":
            return _control_line(event)
        case AttemptStarted():
            names[event.attempt] = event.agent
            return _line("route", *_who(event.attempt, names), (f"→ {event.goal.artifact}{_query(event)}", "quiet"))
        case Nested():
            took = f"asked in the run {event.nested_id} · {money(event.usd)}"
            return _line("nested", *_who(event.attempt, names), (took, "quiet"))
        case Replied():
            sure = "" if event.confidence is None else f" · {event.confidence:.0%} sure"
            cost = f"{sure} · {money(event.usd)} · {seconds(event.seconds)}"
            return _line("reply", *_who(event.attempt, names), (_shown(event.value), "ok"), (cost, "quiet"))
        case AttemptFailed():
            tries = f" · {event.tries} {'try' if event.tries == 1 else 'tries'}"
            said = (f"{event.kind}: {plain(event.error)}", "bad")
            return _line("failed", *_who(event.attempt, names), said, (tries, "quiet"))
        case Rerouted():
            return _line("reroute", *_who(event.attempt, names), (f"replaced by {' → '.join(event.steps)}", "detour"))
        case _:
            return _outcome_line(event, names)


def _turn_line(event: TurnTaken) -> Text | None:
    """What a router thought, or what it answers."""
    if event.thought:
        return _line("think", (plain(event.thought), "think"))
    return _line("answer", (plain(event.answer), "ok")) if event.answer else None


def _control_line(event: TryEnded) -> Text:
    """A call of the router's model or of the merge agent's, with what it took."""
    took = f"{money(event.usd)} · {event.usage.total:,} tokens · {seconds(event.seconds)}"
    if event.cancelled:
        return _line(event.purpose, ("was cut off", "bad"), (f" · {took}", "quiet"))
    if event.kind is None:
        return _line(event.purpose, (f"was asked · {took}", "quiet"))
    return _line(event.purpose, (f"{event.kind}: {plain(event.error or '')}", "bad"), (f" · {took}", "quiet"))


def _outcome_line(event: Event, names: dict[int, str]) -> Text | None:
    match event:
        case BadTurn():
            return _line("bad turn", (visible(event.fault), "bad"))
        case NameResolved():
            return _line("resolved", (f"{visible(event.given)} is taken for ", "detour"), (event.agent, "agent"))
        case TakenOver():
            return _line("takeover", (f"the plan router decides from here: {plain(event.reason)}", "detour"))
        case Demoted():
            return _line("demoted", (f"{event.from_goal} → {event.to_goal}", "detour"))
        case Returned() | Superseded():
            return _line(event.type, *_who(event.attempt, names), (event.reason, "detour"))
        case Escalated():
            return _line("escalated", (event.reason, "bad"))
        case AttemptCancelled():
            return _line("cancelled", *_who(event.attempt, names))
        case _:
            return _other_line(event)


def _other_line(event: Event) -> Text | None:
    match event:
        case BreakerChanged():
            until = f" for {event.seconds:g} s" if event.seconds is not None else ""
            return _line("breaker", (f"{event.key} is {event.after.replace('_', '-')}{until}", "detour"))
        case Waited():
            who = ", ".join(event.agents)
            return _line("waiting", (f"{event.seconds:g} s until {who} may be asked again", "detour"))
        case Monitored():
            return _monitored_line(event)
        case Merged():
            return _line("merge", (f"{event.method}: {_sides(event)}", "quiet"))
        case Paused():
            return _line("paused", (plain(event.why, width=WHOLE), "detour"))
        case Resumed():
            return _line("resumed", (_word(event), "detour"))
        case _:
            return None


def _word(event: Resumed) -> str:
    """What a person said at a resume, and what was found changed."""
    said = [f"a person answered: {plain(event.answer)}"] if event.answer else []
    said += ["whoever failed may be asked again"] if event.retry else []
    said += [f"leave for {', '.join(event.allow)}"] if event.allow else []
    said += list(event.changed)
    return "; ".join(said) or f"after {seconds(event.seconds)} of its own time"


def _monitored_line(event: Monitored) -> Text | None:
    """What the monitors asked for, where it was more than to go on."""
    first = event.board[0]
    waved = [f"{given.source} {plain(given.why)}" for given in event.board if given.waved]
    if first.asks == "go_on":
        return _line("monitor", (f"waved through: {'; '.join(waved)}", "quiet")) if waved else None
    return _line("monitor", (f"{first.source} ", "agent"), (f"{first.asks}: {plain(first.why)}", "detour"))


def show_trace(trace: Trace, screen: Screen) -> None:
    """Draw a run as a tree: thoughts, routes, attempts, failures and their ways round, merge, decision, ledger."""
    tree = Tree(_title(trace), guide_style="quiet")
    branch = tree
    names: dict[int, str] = {}
    attempts: dict[int, Tree] = {}
    for event in trace.events:
        if isinstance(event, TurnTaken):
            told = (event.thought or "", "think") if not event.answer else (f"answers: {plain(event.answer)}", "ok")
            branch = tree.add(Text.assemble((f"turn {event.turn} ", "head"), told))
            continue
        line = story_line(event, names)
        if line is None:
            continue
        attempt = getattr(event, "attempt", None)
        if isinstance(event, AttemptStarted):
            attempts[event.attempt] = branch.add(line)
        elif isinstance(event, Merged):
            tree.add(line)
        else:
            attempts.get(attempt or 0, branch).add(line)
    screen.show(tree)
    screen.show(_ending(trace))


def _title(trace: Trace) -> Text:
    first = trace.events[0] if trace.events else None
    title = Text.assemble(("run ", "quiet"), (trace.run_id, "head"))
    if isinstance(first, RunStarted):
        analyses = f"{first.analyses} {'analysis' if first.analyses == 1 else 'analyses'}"
        title.append(f"  pool {first.pool} · router {first.router} · {analyses}", "quiet")
        asked = first.question[-1].content if first.question else "(question left out)"
        title.append("\n" + plain(asked))
    return title


def _ending(trace: Trace) -> RenderableType:
    """How the run ended, or that it did not, and whether the trace holds together."""
    verdict = verify(trace)
    text = Text()
    last = trace.events[-1] if trace.events else None
    if isinstance(last, RunEnded) and last.decision:
        text.append_text(decision_lines(last.decision))
    elif isinstance(last, RunEnded):
        text.append(f"ended: {last.how}: {last.error}\n", "bad")
    elif isinstance(last, Paused):
        text.append(f"paused: {visible(last.why)}; orchestrator runs resume {trace.run_id} goes on\n", "detour")
    else:
        text.append(
            f"did not end: the last whole step is {len(trace.events)} ({last.type if last else 'none'})\n", "bad"
        )
    if trace.torn:
        text.append(f"the last line is torn: {len(trace.torn)} bytes of it were written\n", "detour")
    state = "consistent" if verdict.consistent else "; ".join(verdict.faults)
    text.append(f"trace      {state} · head {trace.head}", "ok" if verdict.consistent else "bad")
    return text


def decision_lines(decision: Decision) -> Text:
    """A decision for people: answer, status, sides, reasons, ledger."""
    text = Text()
    text.append("decision   ", "quiet").append(visible(decision.answer or "none"), "value")
    text.append(f"  ({decision.status})\n", status_style(decision.status))
    if decision.confidence is not None:
        text.append("confidence ", "quiet").append(f"{decision.confidence:.3f}\n")
    if decision.support:
        text.append("support    ", "quiet").append(", ".join(decision.support) + "\n", "agent")
    for dissent in decision.dissent:
        text.append("dissent    ", "quiet").append(f"{dissent.agent}: {plain(dissent.answer)}\n")
    for reason in decision.reasons:
        text.append("because    ", "quiet").append(plain(reason, width=WHOLE) + "\n")
    return text.append("ledger     ", "quiet").append(ledger_line(decision) + "\n")


def ledger_line(decision: Decision) -> str:
    """What a run took."""
    exact = "" if decision.cost_exact else " (estimated in part)"
    tokens = f"{decision.usage.total:,} tokens"
    counts = [
        _count(decision.turns, "turn"),
        _count(decision.expert_calls, "expert call"),
        _count(decision.control_calls, "control call"),
        _count(decision.reroutes, "reroute"),
    ]
    return " · ".join([money(decision.cost_usd) + exact, tokens, *counts, seconds(decision.seconds)])


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _line(label: str, *parts: tuple[str, str]) -> Text:
    line = Text.assemble((f"{label:<{_LABEL}} ", "quiet"))
    for text, style in parts:
        line.append(text, style)
    return line


def _who(attempt: int, names: dict[int, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    return (f"#{attempt} ", "quiet"), (names.get(attempt, "?") + " ", "agent")


def _query(event: AttemptStarted) -> str:
    return f" for “{plain(event.goal.query, width=60)}”" if event.goal.query else ""


def _shown(value: object) -> str:
    return "(left out)" if value is None else plain(value if isinstance(value, str) else repr(value))


def _sides(event: Merged) -> str:
    dissent = f"; {len(event.dissent)} dissent" if event.dissent else ""
    return f"supported by {', '.join(event.support) or 'nobody'}{dissent}"
