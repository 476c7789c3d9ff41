"""Users with at least one contact in scope: min <= users <= max."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from allocator.amounts import exact, one
from allocator.policy.kinds.base import Constraint, Level, ReachedUsers, Side, UnitWords, WholeBounds, contacts_in
from allocator.policy.tree import Fault
from allocator.policy.words import Bound, people, shown


class UserReach(WholeBounds):
    """Users with at least one contact in scope, a percentage being that share of the users in `users` (holdout included)."""

    counts: ClassVar[Literal["contacts", "users"] | None] = "users"
    glossary: ClassVar[tuple[str, str] | None] = (
        "Reached",
        "the user gets at least one contact in the rule's scope; further ones do not count again. Who is held out counts among the users "
        "of the rule, and cannot be reached.",
    )

    kind: Literal["reach"] = "reach"

    @property
    def numerator(self) -> ReachedUsers:
        return ReachedUsers(self.where)

    def unit(self, words: UnitWords) -> str:
        return "users"

    @property
    def about(self) -> str:
        """users with market NO who get at least one of the contacts with surface push"""
        what = "contact" if self.where.is_empty else f"of the {contacts_in(self.where)}"
        return f"{people(self.users)} who get at least one {what}"

    def bound_fault(self, key: Side, bound: Bound) -> Iterator[Fault]:
        yield from super().bound_fault(key, bound)
        if bound.percent and not 0 <= bound.amount <= 100:
            yield Fault((key,), f"a share of the users lies between 0% and 100%, not {shown(bound.to_json())}")

    @classmethod
    def step(cls, level: Level, side: Side) -> tuple[float, str]:
        size = max(level.step(side, 1.0), 1.0)
        users = f"one {one(level.unit)}" if size == 1 else f"{exact(size)} {level.unit}"
        if side == "min":
            return size, f"Having to reach {users} fewer would gain"
        more = users.replace(" ", " more ", 1)
        return size, f"Letting {more} be reached would be worth"

    @classmethod
    def stands(cls, level: Level, rule: Constraint | None) -> str:
        """At least 80 % of users with market NO (4,000) are to be reached; 4,012 are."""
        bounds: tuple[tuple[str, Side, float | None], ...] = (("least", "min", level.low), ("most", "max", level.high))
        asked = " and ".join(
            f"at {word} {cls._asked(level.at(side), side, rule)}" for word, side, at in bounds if at is not None
        )
        reached = f"{cls.amount(level.achieved)} {level.unit} reached"
        return reached if not asked else f"{asked} to be reached; {cls.amount(level.achieved)} are"

    @classmethod
    def _asked(cls, whole: float, side: Side, rule: Constraint | None) -> str:
        bound = None if rule is None else rule.min if side == "min" else rule.max
        count = cls.amount(whole, asked=True)
        if rule is not None and bound is not None and bound.percent:
            return f"{exact(bound.amount)} % of {people(rule.users)} ({count})"
        if rule is None or rule.users.is_empty:
            return f"{count} {'user' if whole == 1 else 'users'}"
        return f"{count} of the {people(rule.users)}"
