"""Some contacts as a part of others."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from allocator.amounts import exact, exact_percent, number, percent, round_step, short_of
from allocator.policy.kinds.base import ContactSum, Level, Rate, Side, UnitWords, contacts_in, for_whom, moving
from allocator.policy.tree import Fault
from allocator.policy.words import Bound, Filter, FilterField, percent_meant, share_of, shown

POINT = 0.01
"""One percentage point."""
MOST_PARTS = 1_000_000
"""Contacts that a bound's simple fraction may speak of: beyond it, a row has no step that a solver could see."""


class ShareOf(Rate):
    """Contacts in `where` and `of` divided by contacts in `of`, which is all contacts if nothing is said."""

    is_part: ClassVar[bool] = True
    percent_is_fraction: ClassVar[bool] = True
    largest_bound: ClassVar[float] = 1.0

    kind: Literal["share"] = "share"
    of: FilterField = Filter()

    @property
    def numerator(self) -> ContactSum:
        return ContactSum((self.where, self.of))

    @property
    def denominator(self) -> ContactSum:
        return ContactSum((self.of,))

    @property
    def filters(self) -> Mapping[str, Filter]:
        return {"where": self.where, "of": self.of}

    def quantum(self, bound: float) -> float:
        """At the bound p / q a contact moves the row by a multiple of 1 / q."""
        parts = share_of(bound).denominator
        return 1.0 / parts if parts <= MOST_PARTS else 0.0

    def unit(self, words: UnitWords) -> str:
        return "share of contacts"

    @property
    def about(self) -> str:
        """contacts with family plan as a part of contacts with surface push"""
        whole = "all contacts" if self.of.is_empty else contacts_in(self.of)
        return f"{contacts_in(self.where)} as a part of {whole}{for_whom(self.users)}"

    def bound_fault(self, key: Side, bound: Bound) -> Iterator[Fault]:
        if not 0 <= bound.amount <= (100 if bound.percent else 1):
            yield Fault(
                (key,),
                f"a share lies between 0 and 1 (or 0% and 100%), not {shown(bound.to_json())}{percent_meant(bound.to_json())}",
            )

    def idle(self, most_each: int | None, users: int | None) -> Iterator[Fault]:
        if self.min is not None and self.min.amount <= 0:
            yield Fault(("min",), "asks for nothing")
        if self.max is not None and self.max.amount >= 1:
            yield Fault(("max",), "limits nothing: a share is never above 100 %")

    @classmethod
    def words_of(cls, unit: str) -> str:
        return "of the contacts in scope"

    @classmethod
    def amount(cls, value: float, *, asked: bool = False) -> str:
        return exact_percent(value) if asked else percent(value, 2)

    @classmethod
    def distance(cls, size: float, unit: str) -> str:
        return f"{number(round(100 * size, 4))} percentage points"

    @classmethod
    def step(cls, level: Level, side: Side) -> tuple[float, str]:
        bound = level.at(side)
        most = bound if side == "min" else cls.largest_bound - bound
        size = level.step(side, POINT if most >= POINT or most <= 0 else round_step(most))
        if size == POINT:
            return size, f"{moving(side)} by one percentage point would gain"
        to = cls.amount(level.loosened(side, size), asked=True)
        return size, f"{moving(side)} by {exact(round(100 * size, 7))} percentage points (to {to}) would gain"

    @classmethod
    def short_of(cls, reach: float, bound: float) -> str:
        return f"{short_of(100 * reach, 100 * bound)} %"
