"""ReAct: after every observation a model says which tool comes next; here a function of the transcript is the model.

The model is as good as one can be: it never errs, knows every tool's substitutes, respects the limits it was told, and
owns up to what it had to do without. So the figures are the least that a loop of this kind costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from contestants.desk import Desk, Outcome, amount
from pydantic import JsonValue

from orchestrator.errors import AttemptError


@dataclass(frozen=True, slots=True)
class Task:
    """What the model is told beforehand, as a prompt would say it."""

    goals: Mapping[str, tuple[str, ...]]
    """What each goal takes, in order; the best goal first."""
    tools: Mapping[str, tuple[str, ...]]
    """Who gives what, the preferred one first."""
    limit: tuple[str, str, float]
    """Artifact, number in it, and above what a person has to decide."""
    enough: int | None = None
    """How many verdicts the last step of the best goal needs, where it does not need them all."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A tool call and what came of it: an observation of the transcript."""

    tool: str
    value: JsonValue = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """The model's word for the next call."""

    tool: str


TASKS: Mapping[str, Task] = {
    "support pipeline": Task(
        {
            "customer_told": ("order", "refund", "customer_told"),
            "refund": ("order", "refund"),
            "refund_ticket": ("order", "refund_ticket"),
            "apology": ("apology",),
        },
        {
            "order": ("crm",),
            "refund": ("stripe", "razorpay"),
            "customer_told": ("email", "sms"),
            "refund_ticket": ("helpdesk",),
            "apology": ("apologist",),
        },
        ("order", "amount", 10_000),
    ),
    "travel graph": Task(
        {
            "trip": ("offer", "flight", "hotel", "car", "trip"),
            "flight_only": ("offer", "flight", "flight_only"),
            "offer": ("offer",),
        },
        {
            "offer": ("quote",),
            "flight": ("flights", "flights_backup"),
            "hotel": ("hotels", "hostels"),
            "car": ("cars",),
            "trip": ("confirm", "confirm_by_mail"),
            "flight_only": ("ticket",),
        },
        ("offer", "price", 5_000),
    ),
    "moderation fan-out": Task(
        {
            "action": (
                "image_verdict",
                "text_verdict",
                "history_verdict",
                "toxicity_verdict",
                "spam_verdict",
                "action",
            ),
            "held": ("held",),
        },
        {
            "image_verdict": ("image",),
            "text_verdict": ("text",),
            "history_verdict": ("history",),
            "toxicity_verdict": ("toxicity",),
            "spam_verdict": ("spam",),
            "action": ("queue",),
            "held": ("hold",),
        },
        ("text_verdict", "toxicity", 0.9),
        enough=2,
    ),
}


def think(task: Task, transcript: Sequence[Seen]) -> Use | Outcome:
    """One reply of the model: the next tool, or how it ends."""
    given = task.tools
    there = {seen.tool: seen.value for seen in transcript if seen.error is None}
    tried = {seen.tool for seen in transcript}
    artifact, number, most = task.limit
    if any(amount(there.get(tool), number) > most for tool in given[artifact]):
        return Outcome("escalated", next(iter(task.goals)), f"{artifact}.{number} is for a person to decide")
    lost = [name for name, tools in given.items() if tools and set(tools) <= tried - set(there)]
    for goal, needed in task.goals.items():
        if _beyond(task, needed, lost):
            continue
        missing = [name for name in needed if name not in lost and not set(given[name]) & set(there)]
        if missing:
            return Use(next(tool for tool in given[missing[0]] if tool not in tried))
        return _end(task, goal, lost)
    return Outcome("escalated", next(iter(task.goals)), f"could not be had: {', '.join(lost)}")


def _beyond(task: Task, needed: Sequence[str], lost: Sequence[str]) -> bool:
    """Whether a goal cannot be had without what is lost."""
    without = [name for name in needed if name in lost]
    verdicts = len(needed) - 1
    return bool(without) and (task.enough is None or needed[-1] in lost or verdicts - len(without) < task.enough)


def _end(task: Task, goal: str, lost: Sequence[str]) -> Outcome:
    best = next(iter(task.goals))
    said = f"could not be had: {', '.join(lost)}" if lost else ""
    return Outcome("degraded" if lost or goal != best else "answered", goal, said)


async def react(desk: Desk) -> Outcome:
    """The loop: ask the model, do what it says, tell it what came of it."""
    task, transcript = TASKS[desk.world.suite.name], list[Seen]()
    while True:
        desk.llm_calls += 1
        said = think(task, transcript)
        if isinstance(said, Outcome):
            return said
        desk.reroutes += any(said.tool in tools for tools in _of_failed(task, transcript))
        try:
            transcript.append(Seen(said.tool, await desk.use(said.tool)))
        except AttemptError as error:
            transcript.append(Seen(said.tool, error=error.kind))


def _of_failed(task: Task, transcript: Sequence[Seen]) -> Iterator[tuple[str, ...]]:
    """For every call that failed, the tools that give what it was to give."""
    failed = {seen.tool for seen in transcript if seen.error is not None}
    return (tools for tools in task.tools.values() if failed & set(tools))
