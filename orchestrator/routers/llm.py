"""The router that is a language model: it thinks and routes, by tool calls or tags, over a prompt of descriptors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from orchestrator.content import Prompt, load_prompt
from orchestrator.errors import ActionError, ActionFault
from orchestrator.messages import Encoding, Message
from orchestrator.pool import Agent, Model
from orchestrator.protocol import ANSWER_TOOL, Turn, parse_tags, parse_tools, resolve_names
from orchestrator.providers import Completion, Request, ToolSpec
from orchestrator.requests import in_words
from orchestrator.routers.base import View
from orchestrator.routers.observations import observed
from orchestrator.state import Exchange

__all__ = ["PROMPTS", "LLMRouter", "expert_lines", "tool_names"]

PROMPTS = ("route", "route_tags", "repair", "last", "observation", "substituted", "repeated", "unserved")
"""Prompts that a router may send, for the trace to name with their versions."""

_TOOL_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_TOOL_NAME = 60
_NEAR = 0.8
_LONGEST_NAME = 200
"""Characters above which nothing comes near any name; comparing takes time."""


@dataclass(frozen=True, slots=True)
class LLMRouter:
    """Asks a model of the pool for every turn; holds no state, so a run can be taken up anywhere."""

    model: str
    """Name of a model in the pool."""
    encoding: Encoding | None = None
    """None: as the model's descriptor says."""
    name: str = "llm"

    async def decide(self, view: View) -> Turn:
        """The model's turn; one that cannot be read is a turn with a `fault`. Raises `AttemptError` where it fails."""
        completion = await view.ask(self.model, self.request(view))
        calls = completion.calls if self._encoding(view) == "tools" else ()  # none was offered, none gets a result
        said = Message("assistant", completion.text, calls)
        try:
            turn = self._parsed(completion, view)
        except ActionError as error:
            return Turn((), said, fault=str(error))
        return replace(turn, said=said)

    def request(self, view: View) -> Request:
        """What the model is asked: the same beginning in every turn, then what has happened since."""
        model, encoding = view.models[self.model], self._encoding(view)
        messages = [_system(view, encoding), *view.question.messages]
        for exchange in view.state.exchanges:
            messages += _replayed(exchange, view, encoding)
        if view.last is not None:
            messages.append(Message("user", load_prompt("last").fill(reason=view.last)))
        tools = _tools(view.experts) if encoding == "tools" else ()
        return Request(
            tuple(messages), tools, max_output=model.max_output, temperature=model.temperature, case=view.question.case
        )

    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts it may send."""
        return tuple(map(load_prompt, PROMPTS))

    def _encoding(self, view: View) -> Encoding:
        return self.encoding or view.models[self.model].encoding

    def _parsed(self, completion: Completion, view: View) -> Turn:
        cut = completion.finish == "length"
        if self._encoding(view) == "tools":
            turn = parse_tools(completion.text, completion.calls, cut=cut)
        else:
            turn = parse_tags(completion.text, cut=cut)
        if view.last is not None and turn.routes:
            raise ActionError("no expert can be asked any more: answer", ActionFault.BOTH)
        names = tool_names(view.experts)
        turn = resolve_names(turn, lambda name: _found(name, names), sorted(names))
        return replace(turn, resolved=tuple(pair for pair in turn.resolved if pair[0] not in names))


def tool_names(experts: Sequence[Agent]) -> Mapping[str, str]:
    """Agents by the names under which they are offered as tools: letters, digits, `_` and `-`, all distinct."""
    names: dict[str, str] = {}
    for agent in sorted(experts, key=lambda agent: agent.name):
        plain = _TOOL_NAME.sub("_", agent.name)[:_LONGEST_TOOL_NAME]
        name, number = plain, 2
        while name in names or name == ANSWER_TOOL:
            name, number = f"{plain}_{number}", number + 1
        names[name] = agent.name
    return names


def expert_lines(experts: Sequence[Agent], models: Mapping[str, Model]) -> str:
    """What a router is told of the experts, a line each, by name."""
    offered = {agent: tool for tool, agent in tool_names(experts).items()}
    return "\n".join(
        f"- {offered[agent.name]}: {_described(agent, models.get(agent.model or ''))}"
        for agent in sorted(experts, key=lambda agent: agent.name)
    )


def _described(agent: Agent, model: Model | None) -> str:
    parts = [agent.role or "no description", f"{' + '.join(agent.consumes)} → {agent.produces}"]
    parts.append(f"right {agent.skill:.0%} of the time")
    parts += [f"{kind} {skill:.0%}" for kind, skill in sorted(agent.skills.items())]
    if model is None or model.free:
        parts.append("free")
    elif model.price is None:
        parts.append("price unknown")
    else:
        parts.append(f"${model.price.input:f} in, ${model.price.output:f} out per 1M tokens")
    if model is not None and model.context_window is not None:
        parts.append(f"holds {model.context_window:,} tokens")
    seconds = agent.seconds if agent.seconds is not None else (model.seconds if model else None)
    if seconds:
        parts.append(f"about {seconds:g} s")
    return "; ".join(parts)


def _system(view: View, encoding: Encoding) -> Message:
    prompt = load_prompt("route" if encoding == "tools" else "route_tags")
    fields = {"answer_tool": ANSWER_TOOL} if encoding == "tools" else {}
    experts = expert_lines(view.experts, view.models)
    turns = "any number of" if view.turns is None else str(view.turns)
    told = prompt.fill(turns=turns, goal=view.state.asked, experts=experts, **fields)
    return Message("system", told if view.kind is None else f"{told}\n\n{in_words(view.kind)}")


def _tools(experts: Sequence[Agent]) -> tuple[ToolSpec, ...]:
    by_name = {agent.name: agent for agent in experts}
    specs = [
        ToolSpec(tool, by_name[agent].role or f"gives {by_name[agent].produces}", _text_argument("query"))
        for tool, agent in tool_names(experts).items()
    ]
    return (*specs, ToolSpec(ANSWER_TOOL, "End with the answer to the question.", _text_argument(ANSWER_TOOL)))


def _text_argument(name: str) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"}},
        "required": [name],
        "additionalProperties": False,
    }


def _replayed(exchange: Exchange, view: View, encoding: Encoding) -> list[Message]:
    """What the model said in an earlier turn, and what came back."""
    said = exchange.said
    if exchange.fault is not None:
        repair = load_prompt("repair").fill(fault=exchange.fault)
        if not said.calls:
            return [said, Message("user", repair)]
        return [said, *(Message("tool", repair, call_id=call.id) for call in said.calls)]
    replies = [(route, observed(route, exchange, view.state)) for route in exchange.routes]
    if encoding == "tags" or not said.calls:
        return [said, Message("user", "\n".join(dict.fromkeys(text for _, text in replies)))]
    return [said, *(Message("tool", text, call_id=route.call_id) for route, text in replies)]


def _found(name: str, names: Mapping[str, str]) -> str | None:
    """The agent meant by a name: its own, its tool's, or the one that is uniquely near."""
    if name in names:
        return names[name]
    if name in names.values():
        return name
    alike: dict[str, set[str]] = {}
    for tool, agent in names.items():
        alike.setdefault(tool.casefold(), set()).add(agent)
        alike.setdefault(agent.casefold(), set()).add(agent)
    close = get_close_matches(name.casefold(), alike, n=3, cutoff=_NEAR) if len(name) <= _LONGEST_NAME else []
    near = alike.get(name.casefold()) or {agent for found in close for agent in alike[found]}
    return next(iter(near)) if len(near) == 1 else None
