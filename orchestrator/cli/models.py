"""`models` lists models and prices, and checks one by a tiny call."""

from __future__ import annotations

import os
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.missing import key_name, named_model, next_steps, priced_name
from orchestrator.cli.options import FAILED, AgentsOption, JsonOption, usd

if TYPE_CHECKING:
    from orchestrator.messages import Decision
    from orchestrator.pool import Model, Price
    from orchestrator.providers import Quote
    from orchestrator.render import Screen

__all__ = ["app"]

app = typer.Typer(help="Models, what they cost, and whether they answer.", no_args_is_help=True)

_CHECK = "Reply with the one word: ready"
_CHECK_OUTPUT = 1024
"""Tokens that a check may take: a word, and the thoughts that some models have before it."""


@app.command("list")
def list_models(*, agents: AgentsOption = None, json: JsonOption = False) -> None:
    """List every model that a table describes: price, context, and whether its key is set."""
    from orchestrator.pool import known_models, priced
    from orchestrator.render import Screen, rows_table

    screen = Screen(json=json)
    models = [priced(model) for _, model in sorted(known_models(agents or ()).items())]
    if json:
        screen.data([_fields(model) for model in models])
        return
    rows = [
        (
            model.name,
            model.provider,
            *_amounts(model.price, free=model.free),
            _tokens(model.context_window),
            _key(model),
        )
        for model in models
    ]
    spare = ["provider"] if all(model.name.startswith(f"{model.provider}:") for model in models) else []
    header = ("model", "provider", "input", "output", "cached", "context", "key")
    rows_table(rows, screen, header=header, spare=spare)
    screen.note("USD per 1M tokens; `models prices` shows every price of both vendors")


@app.command()
def prices(
    pattern: Annotated[
        str | None, typer.Argument(help="Part of a model's name, or a pattern such as 'gpt-6*'.", show_default=False)
    ] = None,
    *,
    agents: AgentsOption = None,
    json: JsonOption = False,
) -> None:
    """List prices in USD per 1M tokens: those that tables state, then the vendors' list prices."""
    from orchestrator.errors import ConfigError, nearest
    from orchestrator.render import Screen, rows_table

    screen = Screen(json=json)
    every = _priced_rows(agents)
    found = {name: row for name, row in every.items() if _fits(name, pattern)}
    if not found and pattern is not None:
        hint = nearest(pattern, [*every, *(name.partition(":")[2] for name in every)])
        expected = "part of a model's name; without a pattern all are listed"
        raise ConfigError(f"no price is known for `{pattern}`", field="pattern", expected=expected, suggestion=hint)
    if json:
        screen.data(
            [{"model": name, **price.model_dump(), "context_window": window} for name, (price, window) in found.items()]
        )
        return
    rows = [
        (name, *_amounts(price), _amount(price.cache_write), _tokens(window), f"{price.as_of} {price.source}")
        for name, (price, window) in found.items()
    ]
    rows_table(rows, screen, header=("model", "input", "output", "cached", "cache write", "context", "as of, from"))


@app.command()
def check(
    model: Annotated[str, typer.Argument(help="A model that is described, or provider:id.")],
    *,
    agents: AgentsOption = None,
    budget: Annotated[
        str, typer.Option("--budget", help="USD that the call may cost at most.", metavar="USD")
    ] = "0.10",
    json: JsonOption = False,
) -> None:
    """Ask a model for one word; what that can cost at most is said first."""
    from orchestrator.pool import known_models
    from orchestrator.render import Screen
    from orchestrator.render.screen import money

    screen, limit = Screen(json=json), usd(budget)
    wanted = named_model(model, known_models(agents or ()), field="model")
    wanted = wanted.model_copy(update={"max_output": min(wanted.max_output, _CHECK_OUTPUT)})
    most = _at_most(wanted, limit)
    screen.note(f"{wanted.name}: at most {money(most.reserve)} for {most.tokens} tokens, {_from(wanted)}")
    _told(wanted, *_asked(wanted, limit), screen)


def _asked(model: Model, limit: Decimal) -> tuple[Decision, list[str]]:
    """The one call, through the same gate and ledger as any other; and what to do where it failed."""
    from orchestrator.budget import Budget
    from orchestrator.pipeline import Orchestrator
    from orchestrator.pool import Agent

    expert = Agent(name="check", model=model.name, retries=0)
    orchestrator = Orchestrator([model, expert], budget=Budget(usd=limit), trace=False)
    decision = orchestrator.run_sync(_CHECK)
    return decision, next_steps(decision, orchestrator.pool)


def _at_most(model: Model, limit: Decimal) -> Quote:
    """What the call can cost; raises `ConfigError` where that is unknown or above the limit."""
    from orchestrator.budget import Left
    from orchestrator.errors import ConfigError
    from orchestrator.messages import Message
    from orchestrator.providers import Request
    from orchestrator.providers.base import list_price_quote
    from orchestrator.render.screen import money

    request = Request((Message("user", _CHECK),), max_output=model.max_output)
    quote = list_price_quote(model, request, left=Left(limit))
    if quote.reserve is None:
        raise ConfigError(
            "its price is unknown, so nothing is asked",
            file=model.source,
            field=f"models.{model.name}",
            expected=f"a `price` in its table, which orchestrator agents add {model.name} writes, or `free = true`",
            suggestion=priced_name(model.name),
        )
    if quote.reserve > limit:
        problem = f"one call may cost {money(quote.reserve)}, which is more than {money(limit)}"
        raise ConfigError(problem, field="budget", expected=f"--budget {quote.reserve:f} or more")
    return quote


def _told(model: Model, decision: Decision, steps: list[str], screen: Screen) -> None:
    from orchestrator.render.screen import money, plain, seconds

    answered = decision.status == "answered"
    if screen.json:
        screen.data(
            {
                "model": model.name, "answered": answered, "answer": decision.answer, "reasons": decision.reasons,
                "failed": decision.failed, "cost_usd": decision.cost_usd, "cost_exact": decision.cost_exact,
                "usage": decision.usage, "seconds": decision.seconds,
            }
        )  # fmt: skip
    elif answered:
        took = f"{seconds(decision.seconds)}, {money(decision.cost_usd)}, {decision.usage.total} tokens"
        screen.answer(f"{model.name} answers: {plain(decision.answer or '')} ({took})")
    if not answered:
        causes = [f"{failed.kind}: {failed.error}" for failed in decision.failed] or list(decision.reasons)
        screen.fail(f"{model.name} does not answer: " + "; ".join(causes))
        screen.next(steps)
        raise typer.Exit(FAILED)


def _priced_rows(agents: AgentsOption) -> dict[str, tuple[Price, int | None]]:
    """Price and context window by model: as tables state it, else as the list has it."""
    from orchestrator.pool import known_models
    from orchestrator.pool.prices import listings

    stated = {m.name: (m.price, m.context_window) for m in known_models(agents or ()).values() if m.price}
    every = {one.name: (one.price, one.context_window) for one in listings()} | stated
    return dict(sorted(every.items()))


def _fits(name: str, pattern: str | None) -> bool:
    if pattern is None:
        return True
    low, wanted = name.lower(), pattern.lower()
    return wanted in low or fnmatchcase(low, wanted) or fnmatchcase(low.partition(":")[2], wanted)


def _fields(model: Model) -> dict[str, object]:
    fields = model.model_dump(include={"name", "provider", "id", "base_url", "price", "free", "context_window"})
    name = key_name(model)
    return {
        **fields,
        "key_env": name,
        "key_found": None if name is None else name in os.environ,
        "source": model.source,
    }


def _key(model: Model) -> str:
    name = key_name(model)
    return "needs none" if name is None else f"{name} {'found' if os.environ.get(name) else 'missing'}"


def _amounts(price: Price | None, *, free: bool = False) -> tuple[str, str, str]:
    """Input, output and cached input."""
    if price is None:
        word = "free" if free else "?"
        return word, word, word
    return _amount(price.input), _amount(price.output), _amount(price.cached)


def _amount(value: Decimal | None) -> str:
    return "-" if value is None else f"{value.normalize():f}"


def _tokens(window: int | None) -> str:
    return "?" if window is None else f"{window:,}"


def _from(model: Model) -> str:
    return "it is free" if model.price is None else f"price as of {model.price.as_of} from {model.price.source}"
