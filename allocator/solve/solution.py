"""What the solvers return: integral slates for every user, the prices that prove how good they are, and how it went.

Axes: U users, K contacts of a slate, R rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from allocator.solve.prices import Step

ROUNDING = 1e-9
"""Of what was added up: sums that are no further apart are the same."""


class Status(Enum):
    """Why the solver stopped, apart from what it found."""

    OPTIMAL = "optimal"
    """The certified gap is at most what was asked for."""
    FEASIBLE = "feasible"
    """Every hard constraint holds; the gap is larger than asked for, and stated."""


@dataclass(frozen=True)
class Solution:
    """slate_UK: actions of the free users, padded with -1. price_R: >= 0, of the rows `g_r <= limit_r`.

    dual: limit @ price + sum over free users of their best net value: no allocation of the free users that keeps the hard rows is
    worth more (soft violations paid). whole_bound: the same of whole contacts alone, by an integer programme; inf where none said so.
    """

    status: Status
    slate_UK: np.ndarray
    price_R: np.ndarray
    dual: float
    steps: tuple[Step, ...]
    seconds: Mapping[str, float]
    whole_bound: float = np.inf


def not_below(bound: float, value: float, summed: float) -> float:
    """The bound, or the value where the two differ by the rounding of their sums alone. summed: the size of what was added up."""
    return max(bound, value) if value - bound <= ROUNDING * summed else bound


def relative_gap(value: float, bound: float) -> float:
    """How far a value may be from the best possible, as a part of the bound; of the value where the bound is nothing."""
    return (bound - value) / (abs(bound) or abs(value) or 1.0)


class Unsolvable(Exception):
    """No allocation keeps every hard constraint: proven by prices, or by the integer solver where `proven_by` says so.

    proven: False where none was found and yet none was shown to be impossible.
    """

    def __init__(self, proven_by: str, price_R: np.ndarray, *, proven: bool = True):
        self.proven_by, self.price_R, self.proven = proven_by, price_R, proven
        super().__init__(proven_by)


class TooLarge(Exception):
    """The chosen method cannot take a problem of this size; the message states the limit."""
