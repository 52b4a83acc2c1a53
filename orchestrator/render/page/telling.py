"""A trace told step by step: how deep it stands, what happened, in which words; long texts are cut with a mark."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.render.screen import money, seconds, visible
from orchestrator.render.story import ledger_line, story_line
from orchestrator.trace.events import (
    AttemptFailed,
    AttemptStarted,
    Event,
    Merged,
    Planned,
    Replied,
    RunEnded,
    RunStarted,
    TryEnded,
    TurnTaken,
)

__all__ = ["Step", "cut", "told"]

Step = tuple[int, str, str]
"""Depth from 0, a word for what happened, and the rest."""

LONGEST = 1_000
"""Characters that are kept of one reply, thought or error."""
MOST = 6_000
"""Characters that are kept of one trace."""
RIVALS = 3
"""Candidates that are named beside the chosen one."""


def cut(text: str, most: int = LONGEST) -> str:
    """A text that a reader can see the whole of, or that says how much of it is missing."""
    clean = visible(text)
    return clean if len(clean) <= most else f"{clean[:most]}… ({len(clean) - most:,} more characters)"


def told(events: Iterable[Event]) -> list[Step]:
    """The steps of a run, until they take too much room; the last one then says how many are left out."""
    steps, names, room = list[Step](), dict[int, str](), MOST
    every = [step for event in events for step in _steps(event, names)]
    for place, step in enumerate(every):
        room -= len(step[2])
        if room < 0 and place < len(every) - 1:
            steps.append((0, "cut", f"{len(every) - place} more steps stand in the trace itself"))
            break
        steps.append(step)
    return steps


def _steps(event: Event, names: dict[int, str]) -> list[Step]:
    match event:
        case RunStarted():
            asked = f"{event.analyses} {'analysis' if event.analyses == 1 else 'analyses'}"
            return [(0, "run", f"pool {event.pool} · router {event.router} · {asked} · merge {event.merge}")]
        case TurnTaken():
            said = f"answers: {cut(event.answer)}" if event.answer else cut(event.thought or "")
            return [(0, f"turn {event.turn}", said or ("routes to " + ", ".join(event.routes)))]
        case Planned():
            return [(1, "choice", _chosen(event))]
        case Replied():
            value = event.value if isinstance(event.value, str) else repr(event.value)
            said = "(left out)" if event.value is None else cut(value)
            return [(2, "reply", f"{said} · {money(event.usd)} · {seconds(event.seconds)}")]
        case AttemptFailed():
            tries = f"{event.tries} {'try' if event.tries == 1 else 'tries'}"
            return [(2, "failed", f"{event.kind}: {cut(event.error)} · {tries}")]
        case TryEnded(purpose="expert"):
            return _try_steps(event)
        case RunEnded():
            return _ending(event)
        case _:
            return _story(event, names)


def _chosen(event: Planned) -> str:
    """The plan that was taken, and the ways that came next."""
    if not event.steps:
        return f"no way to {event.goal.artifact}"
    weighed = sorted(
        (each.through, each.agent)
        for each in event.candidates
        if each.through is not None and each.agent not in event.steps
    )
    weight = "" if event.weight is None else f" (weight {event.weight:.4f})"
    chosen = f"{event.goal.artifact}: {' → '.join(event.steps)}{weight}"
    if not weighed:
        return chosen
    rivals = ", ".join(f"{agent} ({through:.4f})" for through, agent in weighed[:RIVALS])
    more = f" and {len(weighed) - RIVALS} more" if len(weighed) > RIVALS else ""
    return f"{chosen}, before {rivals}{more}"


def _try_steps(event: TryEnded) -> list[Step]:
    """A try that failed or was cut off; one that went well is told by its reply."""
    if event.kind is None and not event.cancelled:
        return []
    fault = "was cut off" if event.cancelled else f"{event.kind}: {cut(event.error or '')}"
    return [(2, f"try {event.number}", f"{fault} · {money(event.usd)} · {seconds(event.seconds)}")]


def _story(event: Event, names: dict[int, str]) -> list[Step]:
    """What the terminal says of the event."""
    line = story_line(event, names)
    if line is None:
        return []
    label, _, rest = line.plain.partition(" ")
    if isinstance(event, AttemptStarted):
        return [(1, label, rest.strip())]
    inside = getattr(event, "attempt", None) is not None
    return [(0 if isinstance(event, Merged) else 2 if inside else 1, label, rest.strip())]


def _ending(event: RunEnded) -> list[Step]:
    decision = event.decision
    if decision is None:
        return [(0, "ended", f"{event.how}: {cut(event.error or '')}")]
    support = [(1, "support", ", ".join(decision.support))] if decision.support else []
    dissent = [(1, "dissent", f"{each.agent}: {cut(each.answer)}") for each in decision.dissent]
    because = [(1, "because", cut(reason)) for reason in decision.reasons]
    answer = "none" if decision.answer is None else cut(decision.answer)
    return [
        (0, "decision", f"{answer} ({decision.status})"),
        *support,
        *dissent,
        *because,
        (1, "ledger", ledger_line(decision)),
    ]
