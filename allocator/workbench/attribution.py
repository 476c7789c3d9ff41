"""Which edit did what: the Shapley values of the edits, which add up to the difference.

An edit's value is what it changes, averaged over all orders in which the edits could have been made (Shapley, A value for n-person games,
1953). For one edit it is the difference; for two the mean of both orders. Orders that pass through rules which contradict each other are
left out; where all do, the edits stand for one.
"""

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import TypeVar

import numpy as np

MOST_EDITS = 6
"""With more, two to the power of their number would be too many policies: their one order is that of the file."""
Found = TypeVar("Found")
Chosen = tuple[int, ...]
"""Some of the edits, by position, ascending."""


def orders(edits: int) -> list[Chosen]:
    """The orders that edits are averaged over."""
    return list(permutations(range(edits))) if edits <= MOST_EDITS else [tuple(range(edits))]


def subsets(edits: int) -> list[Chosen]:
    """Every choice of edits that some order passes through, fewer first, none and all of them included."""
    passed = {tuple(sorted(order[:size])) for order in orders(edits) for size in range(edits + 1)}
    return sorted(passed, key=lambda chosen: (len(chosen), chosen))


def shapley(edits: int, amount_of: Callable[[Chosen], np.ndarray | None]) -> Sequence[np.ndarray] | None:
    """What each edit changes of an amount (an array of any shape); None where no order is possible.

    amount_of: of a choice of edits, None where these contradict each other.
    """
    asked = ((chosen, amount_of(chosen)) for chosen in subsets(edits))
    known = {chosen: amount for chosen, amount in asked if amount is not None}
    ways = ([tuple(sorted(order[:size])) for size in range(edits + 1)] for order in orders(edits))
    possible = [(order, way) for order, way in zip(orders(edits), ways, strict=True) if known.keys() >= set(way)]
    if not possible:
        return None
    changed = [np.zeros_like(known[()]) for _ in range(edits)]
    for order, way in possible:
        for edit, before, after in zip(order, way, way[1:], strict=False):
            changed[edit] = changed[edit] + (known[after] - known[before]) / len(possible)
    return changed
