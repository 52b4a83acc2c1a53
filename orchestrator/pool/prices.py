"""List prices where a descriptor states none: the one door to genai-prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING

from orchestrator.pool.descriptors import Model, Price

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo

__all__ = [
    "VENDORS",
    "Listing",
    "PricedModels",
    "context_window_of",
    "list_price",
    "listed_model",
    "listings",
    "priced",
]

VENDORS = ("anthropic", "openai")
"""Providers that list prices are asked for: both name their models as genai-prices does."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A vendor's model as the list has it."""

    name: str
    price: Price
    context_window: int | None


class PricedModels(Mapping[str, Model]):
    """Models by name; one that states no price gets its list price when it is first looked at.

    The list takes a fifth of a second to read, so whoever states prices, or asks no vendor, never waits for it.
    """

    def __init__(self, described: Mapping[str, Model]) -> None:
        self._described = dict(described)
        self._priced: dict[str, Model] = {}

    @property
    def described(self) -> Mapping[str, Model]:
        """The models as they were described, before a price was looked up."""
        return MappingProxyType(self._described)

    def __getitem__(self, name: str) -> Model:
        """The model with a price, where one is known."""
        if name not in self._priced:
            self._priced[name] = priced(self._described[name])
        return self._priced[name]

    def __contains__(self, name: object) -> bool:
        return name in self._described  # the mixin would look at the model, and so at its price

    def __iter__(self) -> Iterator[str]:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)


def listed_model(name: str) -> Model | None:
    """The vendor's model of a name `provider:id` that the price list knows, else None."""
    vendor, _, model_id = name.partition(":")
    if vendor not in VENDORS or not model_id:
        return None
    model = priced(Model(name=name))
    return model if model.price is not None else None


def priced(model: Model) -> Model:
    """The model with list price and context window, where it is a vendor's own and states no price itself."""
    if model.price is not None or model.free or model.base_url is not None or model.provider not in VENDORS:
        return model
    window = model.context_window or context_window_of(model.provider, model.id)
    return model.model_copy(update={"price": list_price(model.provider, model.id), "context_window": window})


def list_price(provider: str, model_id: str, *, at: datetime | None = None) -> Price | None:
    """USD per 1M tokens at list price, now or `at` another time; None where it is unknown, which is not zero.

    Where long prompts cost more, it is the price of short ones (the base tier), and the source says so.
    """
    found = _found(provider, model_id)
    return None if found is None else _price(found, at or datetime.now(UTC))


def context_window_of(provider: str, model_id: str) -> int | None:
    """Tokens that a vendor's model can hold; None where unknown."""
    found = _found(provider, model_id)
    return found.context_window if found is not None else None


def listings() -> list[Listing]:
    """Every model of both vendors that is billed by tokens of text, by name."""
    now = datetime.now(UTC)
    found = [
        Listing(f"{vendor.id}:{info.id}", price, info.context_window)
        for vendor in _snapshot().providers
        if vendor.id in VENDORS
        for info in vendor.models
        if _found(vendor.id, info.id) is info and (price := _price(info, now))  # some stand for a family of names
    ]
    return sorted(found, key=attrgetter("name"))


def _snapshot() -> DataSnapshot:
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


def _found(provider: str, model_id: str) -> ModelInfo | None:
    if provider not in VENDORS:
        return None
    try:
        return _snapshot().find_provider_model(model_id, None, provider, None)[1]
    except LookupError:
        return None


def _price(info: ModelInfo, at: datetime) -> Price | None:
    """What the list has for a model; None unless both input and output of text have a price."""
    from genai_prices import __version__
    from genai_prices.types import TieredPrices

    listed = info.get_prices(at)
    stated = [listed.input_mtok, listed.output_mtok, listed.cache_read_mtok, listed.cache_write_mtok]
    bases = [each.base if isinstance(each, TieredPrices) else each for each in stated]
    if bases[0] is None or bases[1] is None:
        return None
    tiered = any(isinstance(each, TieredPrices) for each in stated)
    return Price(
        input=bases[0],
        output=bases[1],
        cached=bases[2],
        cache_write=bases[3],
        as_of=_as_of(at),
        source=f"genai-prices {__version__}" + (", base tier" if tiered else ""),
    )


def _as_of(at: datetime) -> date:
    """The day of the list: of its download, else the last on which it has a price begin, for it bears no date."""
    snapshot = _snapshot()
    if snapshot.from_auto_update:
        return snapshot.timestamp.date()
    return max((day for day in _changes(snapshot) if day <= at.date()), default=snapshot.timestamp.date())


def _changes(snapshot: DataSnapshot) -> Iterator[date]:
    """The days on which a price of either vendor begins."""
    from genai_prices.types import StartDateConstraint

    models = (model for provider in snapshot.providers if provider.id in VENDORS for model in provider.models)
    for model in models:
        for price in model.prices if isinstance(model.prices, list) else ():
            if isinstance(price.constraint, StartDateConstraint):
                yield price.constraint.start_date
