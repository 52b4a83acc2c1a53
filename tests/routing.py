"""Scripted routers and experts for tests: what they say in either encoding, at prices that can be added up by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import cycle
from pathlib import Path

from orchestrator import Agent, Budget, Model, Orchestrator, Price, Question, Usage
from orchestrator.errors import AttemptError
from orchestrator.merge import MergeRule
from orchestrator.messages import Encoding, ToolCall
from orchestrator.pool.registry import Member
from orchestrator.protocol import ANSWER_TOOL
from orchestrator.providers import Completion, Request, ScriptProvider
from orchestrator.providers.script import Line
from orchestrator.routers import LLMRouter, Router
from orchestrator.runtime import Clocks
from tests.fake_clock import FakeClock
from tests.runs import QUESTION, Ran, ask

ENCODINGS: tuple[Encoding, ...] = ("tools", "tags")
CHEAP, DEAR = (Decimal(1), Decimal(4)), (Decimal(10), Decimal(40))
SPENT = Usage(100, 20)
"""What a scripted completion counts unless told otherwise; on the cheap model 180 millionths of a dollar."""
TURN_COST = Decimal("0.00018")
SAGE_COST = Decimal("0.0018")

Script = Mapping[str, Sequence[Line] | Callable[[Request], str | Completion]]


def routes(encoding: Encoding, *asked: tuple[str, str], thought: str = "", usage: Usage | None = SPENT) -> Completion:
    """A router's turn that consults experts."""
    if encoding == "tags":
        written = "".join(f'<route agent="{name}">{query}</route>' for name, query in asked)
        return Completion((f"<think>{thought}</think>" if thought else "") + written, usage=usage)
    calls = [(name, {"query": query}) for name, query in asked]
    return Completion(thought, _calls(*calls), "calls", usage)


def answers(encoding: Encoding, text: str, *, thought: str = "", usage: Usage | None = SPENT) -> Completion:
    """A router's turn that ends the run."""
    if encoding == "tags":
        return Completion((f"<think>{thought}</think>" if thought else "") + f"<answer>{text}</answer>", usage=usage)
    return Completion(thought, _calls((ANSWER_TOOL, {ANSWER_TOOL: text})), "calls", usage)


def over_and_over(lines: Sequence[Line]) -> Callable[[Request], str | Completion]:
    """A script that says its lines again from the start when they are used up."""
    turn = cycle(lines)

    def say(request: Request) -> str | Completion:
        line = next(turn)
        if isinstance(line, AttemptError):
            raise line
        return line(request) if callable(line) else line

    return say


def says(text: str, usage: Usage | None = SPENT) -> Completion:
    """A completion of text alone."""
    return Completion(text, usage=usage)


def _calls(*calls: tuple[str, dict[str, str]]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(f"call_{number}", name, json.dumps(given)) for number, (name, given) in enumerate(calls, start=1)
    )


def scripted(
    name: str, price: tuple[Decimal, Decimal] | None = CHEAP, *, encoding: Encoding = "tools", max_output: int = 300
) -> Model:
    """The model `script:NAME` at a price per 1M tokens, free without one."""
    paid = price and Price(input=price[0], output=price[1], as_of=date(2026, 1, 1), source="a test")
    return Model(name=f"script:{name}", price=paid, free=paid is None, encoding=encoding, max_output=max_output)


def sage(name: str = "sage", *, skill: float = 0.9, produces: str = "answer") -> Agent:
    """An expert over the model `script:NAME`."""
    return Agent(name=name, role=f"knows {name} things", model=f"script:{name}", skill=skill, produces=produces)


@dataclass
class Adder:
    """A tool that adds; it counts its calls."""

    asked: list[str] = field(default_factory=list[str])

    def agent(self, name: str = "adder", *, skill: float = 0.95) -> Agent:
        """The tool as an expert."""
        return Agent(name=name, role="adds numbers", tool=self.add, skill=skill)

    def add(self, question: str) -> str:
        """The sum, or the question back where there is nothing to add."""
        self.asked.append(question)
        numbers = question.split("+")
        return str(sum(map(int, numbers))) if all(n.strip().isdigit() for n in numbers) else "nothing to add"


@dataclass
class Stage:
    """A router over a script, a sage over another, and a tool that adds."""

    folder: Path
    script: Script
    encoding: Encoding = "tools"
    members: Sequence[Member] | None = None
    merge: MergeRule | str | None = None
    budget: Budget | None = None
    analyses: int = 1
    router: Router | str | None = None

    def __post_init__(self) -> None:
        self.provider = ScriptProvider(self.script)
        self.adder = Adder()
        self.clock = FakeClock()
        members: Sequence[Member] = self.members if self.members is not None else (self.adder.agent(), sage())
        named = [agent.model for agent in members if isinstance(agent, Agent) and agent.model]
        models: list[Member] = [scripted(name.removeprefix("script:"), DEAR) for name in dict.fromkeys(named)]
        own = [scripted("router", encoding=self.encoding), scripted("merger")]
        self.orchestrator = Orchestrator(
            [*own, *models, *members],
            router=self.router or LLMRouter("script:router"),
            merge=self.merge,
            budget=self.budget,
            analyses=self.analyses,
            providers={"script": self.provider},
            trace=self.folder,
            clocks=Clocks(self.clock, self.clock),
            sleep=self.clock.sleep,
            seed=1,
        )

    def run(self, asked: str | Question = QUESTION, *, whole: bool = True) -> Ran:
        """The checked run; with `whole` no line of the script may be left."""
        ran = ask(self.orchestrator, self.folder, asked)
        if whole:
            self.provider.finish()
        return ran

    def requests(self, model: str = "router") -> list[Request]:
        """What a model was asked, oldest first."""
        return [request for name, request in self.provider.requests if name == model]

    def told(self, turn: int) -> str:
        """What the router was told since its question, at a turn counted from 1."""
        return "\n".join(m.content for m in self.requests()[turn - 1].messages[2:] if m.role != "assistant")
