"""Contacts in scope: min <= sum x <= max."""

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from allocator.policy.kinds.base import ContactCount, Side
from allocator.policy.tree import Fault
from allocator.policy.words import Bound, shown

LOST_IN_A_CROWD = 200
"""Of so many users per contact, a bound is less than half a per cent of them: a cap of 20 where five per cent are 1,000."""


class Volume(ContactCount):
    """Contacts in scope: min <= sum x <= max, a percentage being that share of the users in `users` (holdout included)."""

    asks_for_contacts: ClassVar[bool] = True
    grows_with_users: ClassVar[bool] = True
    advice: ClassVar[Mapping[str, str]] = {
        "times": ". The sum of an attribute over contacts is of kind total, with `times` and without `metric`"
    }

    kind: Literal["volume"] = "volume"

    def limits(self, users: int, before: int) -> tuple[int | None, int | None]:
        """Contacts are whole, so a fractional bound is the whole number inside it."""
        low, high = (None if bound is None else bound.exact(users) for bound in (self.min, self.max))
        return None if low is None else math.ceil(low), None if high is None else math.floor(high)

    def bound_fault(self, key: Side, bound: Bound) -> Iterator[Fault]:
        if not bound.percent and bound.amount < 0:
            yield Fault((key,), f"a number of contacts is at least 0, not {shown(bound.to_json())}")

    def as_percent(self, side: Side, users: int) -> int | None:
        bound = self.min if side == "min" else self.max
        if bound is None or bound.percent or not 1 <= bound.amount <= 100 or bound.amount % 1:
            return None
        share = Bound(bound.amount, percent=True).exact(users)
        return math.ceil(share) if side == "min" else math.floor(share)

    def doubts(self, users: int | None) -> Iterator[Fault]:
        for key, bound in self._bounds():
            share = None if users is None else self.as_percent(key, users)
            if not bound.percent and 0 < bound.amount < 1:
                whole = "none at all" if key == "max" else "at least one"
                meant = f"did you mean {bound.amount * 100:g}%, a share of the users?"
                yield Fault((key,), f"{bound.amount:g} is a number of contacts, so {whole}; {meant}")
            elif users is not None and share is not None and bound.amount * LOST_IN_A_CROWD < users:
                told = f"{bound.amount:g} is a number of contacts, next to nothing for {users:,} users"
                yield Fault((key,), f"{told}; did you mean {bound.amount:g}%, which is {share:,}?")

    def idle(self, most_each: int | None, users: int | None) -> Iterator[Fault]:
        for key, bound in self._bounds():
            if key == "min" and bound.amount <= 0:
                yield Fault((key,), "asks for nothing")
            elif key == "max" and most_each is not None:
                possible = most_each * 100 if bound.percent else None if users is None else most_each * users
                if possible is not None and bound.amount >= possible:
                    contacts = f"{most_each} contact{'' if most_each == 1 else 's'}"
                    yield Fault((key,), f"limits nothing: one user can get at most {contacts} in its scope")

    def _bounds(self) -> Iterator[tuple[Side, Bound]]:
        given: tuple[tuple[Side, Bound | None], ...] = (("min", self.min), ("max", self.max))
        return ((key, bound) for key, bound in given if bound is not None)
