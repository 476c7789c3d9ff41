"""Contacts in scope against those of the previous allocation."""

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

from allocator.policy.kinds.base import Comparing, Constraint, ContactCount, Level
from allocator.policy.tree import Fault
from allocator.policy.words import shown


class Change(Comparing, ContactCount):
    """Contacts in scope against those of the previous allocation: at most `max` (a part of them) more, and as many fewer."""

    compares: ClassVar[Literal["contacts", "slates"] | None] = "contacts"

    kind: Literal["change"] = "change"

    @property
    def about(self) -> str:
        return f"change of the number of {super().about} against the allocation before"

    def limits(self, users: int, before: int) -> tuple[int, int]:
        """The fewest and the most contacts where there were `before`: whole numbers inside before * (1 -+ max)."""
        return max(math.ceil(before * (1 - self.part)), 0), math.floor(before * (1 + self.part))

    def bound_faults(self) -> Iterator[Fault]:
        if self.min is not None:
            yield Fault(("min",), "a change has max alone, which limits it both ways")
        if self.max is None:
            yield Fault((), "has no max; give the most that the number of contacts may change by, like 30%")
        elif self.max.amount < 0:
            yield Fault(("max",), f"a change is at least 0%, not {shown(self.max.to_json())}")

    @classmethod
    def stands(cls, level: Level, rule: Constraint | None) -> str:
        words = super().stands(level, rule)
        near = f"{rule.part_in_words} either way of" if isinstance(rule, Comparing) else "near"
        return f"{words}, {near} what was there before"
