"""Every number of the synthetic market, validated; the values stand in conf/data/."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

WORLD_FILE = "world.json"
"""In truth/ of a market: these settings, and what they come to."""
SIGNALS = (
    "household", "pair", "single", "youth", "books", "listening", "skipping", "playlists", "devices", "podcasts", "followed",
    "thrift", "tenure", "novelty", "dormancy", "paying", "active", "mobile", "evening", "picking", "contacted",
    "classical", "rock", "pop", "hiphop",
)  # fmt: skip
LINKS = ("subs", "mau", "active_days", "purchase", "opt_out")
OUTCOMES = ("subs", "mau", "active_days", "revenue", "opt_out")
LIFECYCLES = ("new", "free", "student", "subscriber", "at_risk", "lapsed")

Share = Annotated[float, Field(ge=0, le=1)]
Chance = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9_]+$")]
Signal = Literal[SIGNALS]
Weights = Mapping[Signal, float]


class Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Product(Frozen):
    name: Name
    family: Literal["plan", "other"]
    price_eur: float = Field(gt=0)

    @property
    def short(self) -> str:
        """The product's name within an offer: premium_family is offered as family/trial."""
        return self.name.removeprefix("premium_")


class Slot(Frozen):
    """A place for one offer. position: the share of an effect that arrives there; offers: product or product/message."""

    name: Name
    surface: Name
    surface_kind: Literal["discovery", "messaging", "consideration"]
    position: float = Field(gt=0)
    offers: tuple[str, ...] = Field(min_length=1)


class Population(Frozen):
    markets: Mapping[str, Share]
    thrift: Mapping[str, float]
    lifecycles: Mapping[Literal[LIFECYCLES], Share]
    push_consent: Share
    email_consent: Share
    contacted_before: Share

    @model_validator(mode="after")
    def _adds_up(self) -> "Population":
        for name, shares in (("markets", self.markets), ("lifecycles", self.lifecycles)):
            if abs(sum(shares.values()) - 1) > 1e-6:
                raise ValueError(f"the shares of {name} add up to {sum(shares.values()):.4f}; 1 is needed")
        if self.thrift.keys() != self.markets.keys():
            raise ValueError("thrift and markets must name the same markets")
        if set(self.lifecycles) != set(LIFECYCLES):
            raise ValueError(f"lifecycles must give a share to each of {', '.join(LIFECYCLES)}")
        return self


class Logging(Frozen):
    """How decisions were made. holdout, exploration: shares of listeners and decisions; none, epsilon: of the rest."""

    holdout: Chance
    exploration: Chance
    none: Chance
    epsilon: Chance
    sharpness: float = Field(ge=0)
    salt: str = Field(min_length=1)
    heuristic: Mapping[Name, Weights]


class Cannibalisation(Frozen):
    """Two products of which one takes from the other: `factor` of an effect is left when the other came in 28 days."""

    products: tuple[Name, Name]
    factor: Share


class Affinity(Frozen):
    """Which signals make an offer fit a listener; added over product, message and surface."""

    products: Mapping[Name, Weights]
    messages: Mapping[Name, Weights]
    surfaces: Mapping[Name, Weights]


class Response(Frozen):
    """How one outcome answers, on the logit scale.

    Without contact: base + signals + hidden * z. A contact adds position * fatigue * strength times
    [contact + kinds + products + messages + heterogeneity * (affinity * fit + answer) + hidden_effect * z].
    """

    base: float
    signals: Weights
    hidden: float
    contact: float
    kinds: Mapping[Literal["discovery", "messaging", "consideration"], float]
    products: Mapping[Name, float]
    messages: Mapping[Name, float]
    affinity: Mapping[Literal["plan", "other"], float]
    answer: Weights
    hidden_effect: float


class Revenue(Frozen):
    """What a subscription and a purchase are worth, EUR. steering: how far the offered product decides the amount."""

    months: float = Field(gt=0)
    steering: Mapping[Literal["plan", "other"], Share]
    organic_plan_eur: float = Field(gt=0)
    organic_purchase_eur: float = Field(gt=0)
    spread: float = Field(ge=0)
    spending: Weights


class EffectSettings(Frozen):
    strength: float = Field(ge=0)
    heterogeneity: float = Field(ge=0)
    affinity: Affinity
    responses: Mapping[Literal[LINKS], Response]
    revenue: Revenue

    @model_validator(mode="after")
    def _complete(self) -> "EffectSettings":
        if missing := set(LINKS) - set(self.responses):
            raise ValueError(f"responses: {', '.join(sorted(missing))} is missing")
        return self


class OutcomeWindow(Frozen):
    """An outcome counts when it occurs in days [from_day, to_day) after the decision and is complete after matures_after; early_days:
    when the tables tell what is recorded of it by then."""

    name: Literal[OUTCOMES]
    kind: Literal["binary", "count", "amount"]
    unit: str = Field(min_length=1)
    from_day: int = Field(ge=0)
    to_day: int = Field(ge=1)
    matures_after: int = Field(ge=1)
    early_days: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _one_week(self) -> "OutcomeWindow":
        if self.to_day - self.from_day != 7:
            raise ValueError("the window must be 7 days long, so that those of weekly decisions do not overlap")
        if self.matures_after < self.to_day:
            raise ValueError("an outcome cannot be complete (matures_after) before its window ends (to_day)")
        return self


class MarketSettings(Frozen):
    """The whole market. snapshot: the Monday on which the tables were taken and the next week is decided."""

    users: int = Field(ge=1)
    weeks: int = Field(ge=1, le=52)
    snapshot: date
    truth: bool
    products: tuple[Product, ...] = Field(min_length=1)
    discounts: Mapping[Name, Share]
    slots: tuple[Slot, ...] = Field(min_length=1)
    population: Population
    logging: Logging
    fatigue: Chance
    cannibalisation: Cannibalisation
    effects: EffectSettings
    outcomes: tuple[OutcomeWindow, ...]

    @model_validator(mode="after")
    def _names_fit(self) -> "MarketSettings":
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        products = {product.name for product in self.products}
        shorts = {product.short for product in self.products}
        messages, surfaces = set(self.discounts), {slot.surface for slot in self.slots}
        yield from _repeated("products", [product.name for product in self.products])
        yield from _repeated("slots", [slot.name for slot in self.slots])
        for slot in self.slots:
            yield from _repeated(f"slots.{slot.name}.offers", slot.offers)
            parts = [offer.partition("/") for offer in slot.offers]
            yield from _unknown(f"slots.{slot.name}.offers", {part[0] for part in parts}, shorts)
            yield from _unknown(f"slots.{slot.name}.offers", {part[2] or "plain" for part in parts}, messages)
        affinity = self.effects.affinity
        yield from _unknown("logging.heuristic", self.logging.heuristic, products)
        yield from _unknown("effects.affinity.products", affinity.products, products)
        yield from _unknown("effects.affinity.messages", affinity.messages, messages)
        yield from _unknown("effects.affinity.surfaces", affinity.surfaces, surfaces)
        for link, response in self.effects.responses.items():
            yield from _unknown(f"effects.responses.{link}.products", response.products, products)
            yield from _unknown(f"effects.responses.{link}.messages", response.messages, messages)
        yield from _unknown("cannibalisation.products", self.cannibalisation.products, products)
        if sorted(o.name for o in self.outcomes) != sorted(OUTCOMES):
            yield f"outcomes: each of {', '.join(OUTCOMES)} is needed once"


def _repeated(place: str, names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{place}: '{name}' stands twice"
        seen.add(name)


def _unknown(place: str, names: Iterable[str], known: set[str]) -> Iterator[str]:
    for name in sorted(set(names) - known):
        yield f"{place}: '{name}' is not known"
