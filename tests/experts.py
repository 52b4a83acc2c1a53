"""Experts and vendors that tests make up: they give, fail, cost and dawdle as they are told."""
# ruff: noqa: ARG001, ARG002 - they need not look at what they are given

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from orchestrator import Agent, Model, Orchestrator, ProviderError, ToolError, Usage
from orchestrator.providers import Completion, OnText, Quote, Request
from tests.runs import counting


def giving(
    name: str,
    value: object = None,
    *,
    skill: float = 0.5,
    consumes: tuple[str, ...] = ("question",),
    produces: str = "answer",
    retries: int | None = None,
    timeout: float = 60.0,
) -> Agent:
    """An expert that gives one value, raises it, or does what a function of no parameters does."""

    def act(**inputs: object) -> object:
        if isinstance(value, Exception):
            raise value
        return value() if callable(value) else name if value is None else value

    return Agent(
        name=name,
        tool=act,
        skill=skill,
        consumes=consumes,
        produces=produces,
        retries=retries,
        timeout=timeout,
    )


def failing(
    name: str, *, skill: float = 0.9, produces: str = "answer", consumes: tuple[str, ...] = ("question",)
) -> Agent:
    """An expert that always fails."""
    return giving(name, ToolError(f"{name} is ill"), skill=skill, produces=produces, consumes=consumes)


async def at_once(seconds: float) -> None:
    """A sleep that does not."""


def chain(counts: Counter[str], broken: Iterable[str] = ()) -> list[Agent]:
    """Two experts for passages and two that write of them."""
    lost = set(broken)

    def stage(name: str, produces: str, consumes: tuple[str, ...], skill: float) -> Agent:
        def work(**inputs: object) -> str:
            if name in lost:
                raise ToolError(f"{name} is ill")
            return f"{name}({', '.join(str(inputs[each]) for each in consumes)})"

        work.__name__ = name
        return Agent(name=name, tool=counting(work, counts), produces=produces, consumes=consumes, skill=skill)

    return [
        stage("search", "passages", ("question",), 0.9),
        stage("scan", "passages", ("question",), 0.5),
        stage("write", "answer", ("question", "passages"), 0.9),
        stage("draft", "answer", ("passages",), 0.5),
    ]


@dataclass(frozen=True)
class Sold:
    """What a model of the tests gives, and what it costs."""

    text: str = "42"
    usd: Decimal | None = Decimal(0)
    usage: Usage = field(default_factory=Usage)
    reserve: Decimal | None = None
    seconds: float = 0.0
    error: ProviderError | None = None


class Vendor:
    """A small provider that keeps to the protocol; it counts the tries it gets."""

    def __init__(self, sold: Mapping[str, Sold]) -> None:
        self.sold = sold
        self.tries: Counter[str] = Counter()
        self.asked: list[Request] = []

    def quote(self, model: Model, request: Request) -> Quote:
        """What it costs; asks nobody."""
        goods = self.sold[model.id]
        reserve = goods.usd if goods.reserve is None else goods.reserve
        return Quote(goods.usd, reserve, Decimal(0), goods.usage.total)

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """What it gives, or its error, after its seconds."""
        goods = self.sold[model.id]
        self.tries[model.id] += 1
        self.asked.append(request)
        await asyncio.sleep(goods.seconds)
        if goods.error is not None:
            raise goods.error
        if on_text is not None:
            on_text(goods.text)
        return Completion(goods.text, usage=goods.usage, cost=goods.usd)


def sold(vendor: Vendor, skills: Mapping[str, float], **settings: object) -> Orchestrator:
    """An orchestrator over a vendor's models, one expert each."""
    members: list[Model | Agent] = [Model(name=f"openai:{name}") for name in vendor.sold]
    members += [Agent(name=name, model=f"openai:{name}", skill=skill) for name, skill in skills.items()]
    return Orchestrator(members, providers={"openai": vendor}, **settings)  # pyright: ignore[reportArgumentType]
