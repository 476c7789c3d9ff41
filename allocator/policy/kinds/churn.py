"""Users who are given something else than in the previous allocation."""

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

from allocator.amounts import exact, one
from allocator.policy.kinds.base import ChangedUsers, Comparing, Constraint, Level, Side, UnitWords
from allocator.policy.tree import Fault
from allocator.policy.words import people, percent_meant, shown


class Churn(Comparing):
    """Users whose actions, as a set, are not those of the previous allocation: at most `max`, a part of all users in `users`."""

    compares: ClassVar[Literal["contacts", "slates"] | None] = "slates"
    counts: ClassVar[Literal["contacts", "users"] | None] = "users"
    each_is_segment: ClassVar[bool] = True
    glossary: ClassVar[tuple[str, str] | None] = (
        "Something else than before",
        "the user's offers, as a set, are not those of the allocation compared with. Who had nothing and still gets "
        "nothing is not counted; who had an offer and is now held out is.",
    )

    kind: Literal["churn"] = "churn"

    @property
    def numerator(self) -> ChangedUsers:
        return ChangedUsers()

    def limits(self, users: int, before: int) -> tuple[None, int]:
        """The most of so many users in scope who may be given something else than before."""
        return None, math.floor(self.part * users)

    @property
    def about(self) -> str:
        return f"{people(self.users)} who get something else than in the allocation before"

    def unit(self, words: UnitWords) -> str:
        return "users"

    def bound_faults(self) -> Iterator[Fault]:
        if self.min is not None:
            yield Fault(("min",), "churn has max alone: at most so many users are given something else than before")
        if self.max is None:
            yield Fault(
                (), "has no max; give the part of the users who may be given something else than before, like 30%"
            )
        elif not 0 <= self.max.amount <= (100 if self.max.percent else 1):
            told = shown(self.max.to_json())
            yield Fault(
                ("max",),
                f"a part of the users lies between 0 and 1 (or 0% and 100%), not {told}{percent_meant(self.max.to_json())}",
            )

    def idle(self, most_each: int | None, users: int | None) -> Iterator[Fault]:
        if self.max is not None and self.part >= 1:
            yield Fault(("max",), "limits nothing: more than all users never change")

    @classmethod
    def step(cls, level: Level, side: Side) -> tuple[float, str]:
        size = max(level.step(side, 1.0), 1.0)
        more = f"one more {one(level.unit)}" if size == 1 else f"{exact(size)} more {level.unit}"
        return size, f"Letting {more} change would be worth"

    @classmethod
    def stands(cls, level: Level, rule: Constraint | None) -> str:
        """30 % of all users (6,000) may get something else than before; 5,987 do."""
        most = cls.amount(level.at("max"), asked=True)
        allowed = f"{most} {level.unit}"
        if isinstance(rule, Comparing):
            allowed = f"{rule.part_in_words} of {people(rule.users)} ({most})"
        return f"at most {allowed} may get something else than before; {cls.amount(level.achieved)} do"
