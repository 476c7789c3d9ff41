"""Products, messages and slots as actions: the catalogue of the market."""

from collections.abc import Iterator

from ranker.catalogue import Catalogue
from ranker.market.settings import MarketSettings, Product, Slot


def build(settings: MarketSettings) -> Catalogue:
    """Every offer of every slot as an action, slots in their order."""
    products = {product.short: product for product in settings.products}
    return Catalogue(tuple(_actions(settings, products)))


def _actions(settings: MarketSettings, products: dict[str, Product]) -> Iterator[dict[str, object]]:
    for slot in settings.slots:
        for offer in slot.offers:
            short, _, message = offer.partition("/")
            yield _action(slot, offer, products[short], message or "plain", settings)


def _action(slot: Slot, offer: str, product: Product, message: str, settings: MarketSettings) -> dict[str, object]:
    return {
        "id": f"{slot.name}/{offer}",
        "slot": slot.name,
        "surface": slot.surface,
        "surface_kind": slot.surface_kind,
        "offer": offer,
        "product": product.name,
        "family": product.family,
        "message": message,
        "price_eur": product.price_eur,
        "discount_eur": round(settings.discounts[message] * product.price_eur, 2),
    }
