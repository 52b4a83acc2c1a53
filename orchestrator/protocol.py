"""The actions of a router, and the two encodings in which a model writes them; parsing is total."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from orchestrator.errors import ActionError, ActionFault
from orchestrator.messages import Goal, Message, ToolCall

__all__ = [
    "ANSWER_TOOL",
    "Action",
    "Answer",
    "Route",
    "Think",
    "Turn",
    "parse_tags",
    "parse_tools",
    "resolve_names",
]

ANSWER_TOOL = "answer"
"""Name of the tool by which a router answers."""


@dataclass(frozen=True, slots=True)
class Think:
    """A thought: kept in the trace, never acted upon."""

    text: str


@dataclass(frozen=True, slots=True)
class Route:
    """Consult one expert; several routes in one turn are consulted side by side."""

    agent: str
    query: str = ""
    """What to ask it; empty for the run's own question."""
    artifact: str = ""
    """What the expert produces; filled in when the route is taken."""
    slot: int = 1
    toward: Goal | None = None
    """The goal that a failure of this route is healed for; None for what the expert itself produces."""
    call_id: str = ""
    """Id of the tool call that asked for it, in the tools encoding."""
    asked: str = ""
    """The expert that was named, where the route was dealt to another."""
    instead: bool = False
    """Whether its reply is to stand for those that are there for the same artifact and query."""


@dataclass(frozen=True, slots=True)
class Answer:
    """End the run; an empty text leaves the answer to the merge."""

    text: str = ""


Action = Think | Route | Answer

MOST_ROUTES = 16
"""Routes that a turn may hold: each is a call that somebody pays for."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One decision of a router: routes or an answer, with its thoughts."""

    actions: tuple[Action, ...] = ()
    """None where the router sees no way."""
    said: Message | None = None
    """What the router's model said, word for word; None where no model decided."""
    fault: str | None = None
    """The repair prompt of a bad turn, which has no actions."""
    resolved: tuple[tuple[str, str], ...] = ()
    """Names that were near misses, with the agents they were taken for."""

    @property
    def thought(self) -> str:
        """The thoughts of the turn in one text."""
        return "\n".join(action.text for action in self.actions if isinstance(action, Think))

    @property
    def routes(self) -> tuple[Route, ...]:
        """The experts to consult."""
        return tuple(action for action in self.actions if isinstance(action, Route))

    @property
    def answer(self) -> Answer | None:
        """The answer, if the turn gives one."""
        return next((action for action in self.actions if isinstance(action, Answer)), None)


TAG = re.compile(r"<(think|route|answer|search|information)(?=[\s/>])([^<>]*)>", re.IGNORECASE)
CLOSING = {
    name: re.compile(rf"</{name}(?:\s[^<>]*)?>", re.IGNORECASE)
    for name in ("think", "route", "answer", "search", "information")
}
ACTS = ("route", "answer", "search")
_AGENT = re.compile(r"""agent\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_PLACEHOLDERS = ("llm-name", "your-query")


def parse_tags(text: str, *, cut: bool = False) -> Turn:
    """The turn written in tags: ours, or the published `<search>NAME:query</search>` (Router-R1, its §3.1 and code).

    `cut` says that the length limit ended it. Raises `ActionError`, and nothing else, for any text that is no turn.
    """
    _check_whole(cut=cut)
    thoughts, acts = list[Think](), list[tuple[str, str, str]]()
    for name, attributes, body in _elements(text):
        if name in ACTS:
            acts.append((name, attributes, body))
        elif name != "information" and body.strip():
            thoughts.append(Think(body.strip()))
        if name == "search":  # published: the first of two tags wins, and what follows a route is made up
            acts = acts[:1]
            break
    if not acts:
        raise ActionError(
            'no action: write one <route agent="NAME">query</route> or <answer>…</answer>', ActionFault.NONE
        )
    actions = [_action(*act) for act in acts]
    answers = [action for action in actions if isinstance(action, Answer)]
    if len(answers) > 1 or (answers and len(actions) > 1):
        raise ActionError("a turn holds routes or one answer, not both", ActionFault.BOTH)
    _check_number(len(actions))
    return Turn((*thoughts, *actions))


def _elements(text: str) -> Iterator[tuple[str, str, str]]:
    """Top-level tags as (name, attributes, body), and the text between them under the empty name."""
    place = 0
    while (tag := TAG.search(text, place)) is not None:
        yield "", "", text[place : tag.start()]
        name = tag.group(1).lower()
        closing = CLOSING[name].search(text, tag.end())
        if closing is None:
            if name not in ACTS:
                yield name, "", text[tag.end() :]
                return
            raise ActionError(f"<{name}> is not closed: the turn was cut off", ActionFault.CUT)
        yield name, tag.group(2), text[tag.end() : closing.start()]
        place = closing.end()
    yield "", "", text[place:]


def _action(name: str, attributes: str, body: str) -> Action:
    if name == "answer":
        if not body.strip():
            raise ActionError("the answer is empty", ActionFault.EMPTY)
        return Answer(body.strip())
    return _searched(body) if name == "search" else _routed(attributes, body)


def _routed(attributes: str, body: str) -> Route:
    match = _AGENT.search(attributes)
    if match is None or not (match.group(1) or match.group(2) or "").strip():
        raise ActionError('a route names its expert: <route agent="NAME">query</route>', ActionFault.NO_NAME)
    if not body.strip():
        raise ActionError("the route has no query", ActionFault.EMPTY)
    return Route((match.group(1) or match.group(2)).strip(), body.strip())


def _searched(body: str) -> Route:
    """`NAME:query`; everything after the first colon is the query."""
    if any(placeholder in body.lower() for placeholder in _PLACEHOLDERS):
        raise ActionError("LLM-Name and Your-Query stand for a real name and a real query", ActionFault.PLACEHOLDER)
    name, colon, query = body.partition(":")
    if not colon:
        raise ActionError("write <search>NAME:query</search> with a colon", ActionFault.NO_NAME)
    if not query.strip():
        raise ActionError("there is no query after the colon", ActionFault.EMPTY)
    return Route(name.strip(), query.strip())


def parse_tools(text: str, calls: Sequence[ToolCall], *, cut: bool = False) -> Turn:
    """The turn made of a model's text and tool calls: text is the thought, or the answer where nothing is called.

    `cut` says that the length limit ended it. Raises `ActionError`, and nothing else, for what is no turn.
    """
    _check_whole(cut=cut)
    if not calls:
        if not text.strip():
            raise ActionError("the turn is empty: call an expert, or answer", ActionFault.NONE)
        return Turn((Answer(text.strip()),))
    thoughts = (Think(text.strip()),) if text.strip() else ()
    actions = [_called(call) for call in calls]
    answers = [action for action in actions if isinstance(action, Answer)]
    if len(answers) > 1 or (answers and len(actions) > 1):
        raise ActionError("a turn calls experts or answers, not both", ActionFault.BOTH)
    _check_number(len(actions))
    return Turn((*thoughts, *actions))


def _check_whole(*, cut: bool) -> None:
    """A turn that was cut off is none: the rest may have said something else."""
    if cut:
        raise ActionError("the turn was cut off by the length limit: be shorter", ActionFault.CUT)


def _check_number(actions: int) -> None:
    if actions > MOST_ROUTES:
        problem = f"{actions} routes in one turn are too many: at most {MOST_ROUTES}, the others in the next"
        raise ActionError(problem, ActionFault.TOO_MANY)


def _called(call: ToolCall) -> Action:
    arguments = _arguments(call)
    key = ANSWER_TOOL if call.name == ANSWER_TOOL else "query"
    value = arguments.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ActionError(f"the call of {call.name} needs a text `{key}`", ActionFault.ARGUMENTS)
    return Answer(value.strip()) if key == ANSWER_TOOL else Route(call.name, value.strip(), call_id=call.id)


def _arguments(call: ToolCall) -> Mapping[str, object]:
    try:
        parsed: object = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise ActionError(f"the arguments of {call.name} are no JSON", ActionFault.ARGUMENTS) from error
    if not isinstance(parsed, dict):
        raise ActionError(f"the arguments of {call.name} are no JSON object", ActionFault.ARGUMENTS)
    return cast("dict[str, object]", parsed)


def resolve_names(turn: Turn, find: Callable[[str], str | None], known: Sequence[str]) -> Turn:
    """The turn with every expert's name looked up; near misses are noted, unknown ones raise `ActionError`."""
    actions: list[Action] = []
    resolved: list[tuple[str, str]] = []
    for action in turn.actions:
        if not isinstance(action, Route):
            actions.append(action)
            continue
        agent = find(action.agent)
        if agent is None:
            raise ActionError(
                f"there is no expert `{action.agent}`; there are: {', '.join(known)}", ActionFault.UNKNOWN_NAME
            )
        if agent != action.agent:
            resolved.append((action.agent, agent))
        actions.append(replace(action, agent=agent))
    return replace(turn, actions=tuple(actions), resolved=tuple(resolved))
