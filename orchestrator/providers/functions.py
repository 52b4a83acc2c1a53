"""A plain function as the way to models: it is asked with model and request, and gives a text or a completion."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from orchestrator.errors import ConfigError
from orchestrator.pool import Model
from orchestrator.providers.base import CallersFault, Completion, OnText, Provider, Request
from orchestrator.tools.base import in_thread

__all__ = ["ProviderFunction", "as_provider"]

ProviderFunction = Callable[[Model, Request], "str | Completion | Awaitable[str | Completion]"]
"""A plain function that asks a model, async or not; one that is not runs in a thread."""


@dataclass(frozen=True, slots=True)
class _FunctionProvider:
    function: ProviderFunction

    async def complete(self, model: Model, request: Request, on_text: OnText | None = None) -> Completion:
        """What the function gives; its text is told in one piece. Raises `ConfigError` where it gives neither."""
        if inspect.iscoroutinefunction(self.function):
            said = cast("object", await self.function(model, request))
        else:
            made = await in_thread(lambda: self.function(model, request))
            said = await made if inspect.isawaitable(made) else made
        completion = Completion(said) if isinstance(said, str) else said
        if not isinstance(completion, Completion):
            name = getattr(self.function, "__name__", type(self.function).__name__)
            wrong = ConfigError(f"gave {said!r}", field=f"provider {name}", expected="a text or a `Completion`")
            raise CallersFault(wrong)
        if on_text is not None and completion.text:
            on_text(completion.text)
        return completion


def as_provider(given: Provider | ProviderFunction, name: str) -> Provider:
    """A provider from an object with `complete` or from a plain function; raises `ConfigError` on anything else."""
    found = cast("object", given)
    if not isinstance(found, type):
        if callable(getattr(found, "complete", None)):
            return cast("Provider", found)
        if callable(found):
            return _FunctionProvider(cast("ProviderFunction", found))
    expected = "an object with an async `complete`, or a function of model and request"
    raise ConfigError(f"{given!r} is no provider", field=f"providers.{name}", expected=expected)
