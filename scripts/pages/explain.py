"""Explanations in the terminal: one listener's offers by slot, and what keeps listeners from the offers of a product."""

from allocator.amounts import number, percent
from allocator.workbench.answers import Explanation, Offer, ProductExplanation
from scripts.cli import entry

MOST_OFFERS = 6
"""Of a slot; the file has all."""
MOST_CAUSES = 14
OFFERS = ("slot", "offer", "stage", "by", "value", "price of what it uses", "left")
CAUSES = ("what keeps them away", "rule", "instead they get", "listeners", "of all")
STAGES = {
    "ineligible": "may not be given",
    "rule": "kept away by a rule",
    "priced_out": "not worth its price",
    "beaten": "another takes its place",
    "chosen": "given",
}
WORDS = {
    "ineligible": "may not be given any",
    "worthless": "would bring less than nothing",
    "held_out": "held out",
    "explores": "explore, or have a pinned contact",
    "priced_out": "not worth the price of the bounds",
    "beaten": "get something better",
}


def show_listener(answer: Explanation) -> None:
    """Prints the grid of offers and what would change it."""
    print(answer.sentence)
    rows = [_offer(each.slot, offer) for each in answer.slots for offer in each.offers[:MOST_OFFERS]]
    entry.show_table(f"Offers, the best {MOST_OFFERS} of each slot", OFFERS, rows)
    for found in answer.counterfactuals:
        print(f"- {found.sentence}")


def _offer(slot: str, offer: Offer) -> tuple[str, ...]:
    by = offer.rule or offer.beaten_by or ""
    return slot, offer.action, STAGES[offer.stage], by, number(offer.value), number(offer.price), number(offer.net)


def show_offers(answer: ProductExplanation) -> None:
    """Prints what keeps listeners away."""
    print(answer.sentence)
    print(f"From a sample of {answer.sample:,} listeners. Nothing was published.")
    rows = [("get one", "", "", f"{answer.get:,.0f}", percent(answer.get / answer.users if answer.users else None))]
    rows += [
        (
            WORDS[each.cause],
            each.rule or "",
            each.instead or "",
            f"{each.users:,.0f}",
            percent(each.users / answer.users),
        )
        for each in answer.causes[:MOST_CAUSES]
    ]
    entry.show_table(f"Of {answer.users:,.0f} listeners, {answer.where}", CAUSES, rows)
