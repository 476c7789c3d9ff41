"""What an earlier objective must still be worth."""

from typing import ClassVar, Literal

from allocator.amounts import exact, number
from allocator.policy.kinds.base import ContactConstraint, ContactSum, Level, Side, UnitWords
from allocator.policy.words import Text


class TierFloor(ContactConstraint):
    """What an earlier tier's objective must still be worth. No policy file writes it: it follows from `tiers`, which say its sum."""

    told_by_percent: ClassVar[bool] = False

    id: Text
    kind: Literal["tier"] = "tier"

    @property
    def numerator(self) -> ContactSum:
        raise TypeError("an earlier tier's value is compiled from its objective")

    def unit(self, words: UnitWords) -> str:
        return "value"

    @classmethod
    def amount(cls, value: float, *, asked: bool = False) -> str:
        return number(value)

    @classmethod
    def step(cls, level: Level, side: Side) -> tuple[float, str]:
        whole = abs(level.at("min")) / 100 or 1.0
        size = level.step(side, whole)
        if size == whole:
            return size, f"Giving up another {number(size)} {level.unit} of it, 1 % of what must be left, would gain"
        return size, f"Giving up another {exact(size)} {level.unit} of it would gain"

    @classmethod
    def price_holds(cls, level: Level, side: Side, reach: float) -> str:
        return f"That rate holds at least down to {cls.short_of(reach, level.at(side))} {level.unit}; below that, it may be less."


def tier_id(position: int) -> str:
    """What the floor of a tier is called: counted from 1, and with a space, which no rule's id has."""
    return f"tier {position + 1}"
