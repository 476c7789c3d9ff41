"""What a kind of constraint says of itself, and everybody else asks it for: the compiler, the certificate, the checks, the report.

A new kind is a class here below that says what it sums, and an entry in `known`; the audit reads it in a way of its own
(`audit.kinds`). Words are class methods, because a report knows a constraint from its certificate, and the policy's rule only where
that is at hand.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Literal, Self

from allocator.amounts import exact, exact_percent, longer_step, number, one, round_step, short_of, with_unit
from allocator.policy.tree import Fault
from allocator.policy.words import (
    Bound,
    BoundField,
    Certainty,
    Filter,
    FilterField,
    Rule,
    Scalar,
    Strength,
    StrengthField,
    Text,
    filter_words,
    people,
    row_id,
    shown,
)
from ranker.normal import quantile

Side = Literal["min", "max"]
SIDES: tuple[Side, ...] = ("min", "max")
SHORTEST = 1e-3
"""Of the step that people think in: shorter ones say nothing to them."""
LOST_IN_A_CROWD = 200
"""Of so many users per contact, a bound is less than half a per cent of them: a cap of 20 where five per cent are 1,000."""
UnitWords = Callable[[str | None, str | None], str]
"""(metric, attribute) -> the unit of their product."""


@dataclass(frozen=True)
class ContactSum:
    """Over the contacts of actions that pass every filter in `where`: a metric's mean, times an attribute of the action.

    Without a metric the attribute alone is summed; without either, contacts are counted.
    """

    where: tuple[Filter, ...]
    metric: str | None = None
    times: str | None = None


@dataclass(frozen=True)
class ChangedUsers:
    """The number of users whose actions, as a set, are not those of the previous allocation."""


@dataclass(frozen=True)
class Level:
    """Where a constraint stands: what is achieved, and the bounds that it has, in words of `unit`.

    reach: the bound up to which, loosened, its price was seen to hold; None where that was not seen. least: the shortest step that
    gains its price in whole contacts too, about; a shorter one may gain nothing.
    """

    achieved: float
    low: float | None
    high: float | None
    unit: str
    reach: float | None = None
    least: float = 0.0

    def at(self, side: Side) -> float:
        bound = self.low if side == "min" else self.high
        return 0.0 if bound is None else bound

    def room(self, side: Side) -> float:
        """How far the bound can be loosened while its price was seen to hold."""
        if self.reach is None:
            return 0.0
        return max(self.at(side) - self.reach if side == "min" else self.reach - self.at(side), 0.0)

    def loosened(self, side: Side, size: float) -> float:
        return self.at(side) - size if side == "min" else self.at(side) + size

    def is_certified(self, side: Side, size: float) -> bool:
        """Whether the price was seen to hold all along a step."""
        return size <= self.room(side) * (1 + 1e-9)

    def is_plain(self, size: float) -> bool:
        """Whether a step is long enough for whole contacts."""
        return size >= self.least * (1 - 1e-9)

    def step(self, side: Side, wanted: float) -> float:
        """The step that people think in, where the price was seen to hold along it: a longer round one if whole contacts need it. A
        shorter one where it was not, unless that is next to nothing or too short for whole contacts."""
        room = self.room(side)
        for size in (wanted if self.is_plain(wanted) else longer_step(self.least), wanted):
            if self.is_certified(side, size):
                return size
        shorter = round_step(room) if room >= SHORTEST * wanted else wanted
        return shorter if self.is_plain(shorter) else wanted


@dataclass(frozen=True)
class Loosening:
    """What a step of a bound gains at its price. certified: whether the price was seen to hold all along it; plain: whether it is long
    enough for whole contacts, which so far have `lost` so much against parts of contacts."""

    gain: float
    certified: bool
    plain: bool
    lost: float


@dataclass(frozen=True)
class ReachedUsers:
    """The number of users with at least one contact of the actions that pass the filter."""

    where: Filter


class Constraint(Rule):
    """A constraint of the policy: min <= sum <= max, or for rates min <= sum / sum <= max, over the users in `users`.

    `each`: a segment, or else an attribute of actions; the rule then holds for each of its values on its own (see `row_id`).
    """

    compares: ClassVar[Literal["contacts", "slates"] | None] = None
    """What of an earlier allocation it compares with, if it does."""
    counts: ClassVar[Literal["contacts", "users"] | None] = None
    """What it counts, so that bounds are whole numbers that hold exactly."""
    is_rate: ClassVar[bool] = False
    """Whether there is a denominator. Its row is sum num - bound * sum den."""
    is_part: ClassVar[bool] = False
    """Whether both sums count contacts, those of the numerator being some of the denominator's."""
    asks_for_contacts: ClassVar[bool] = False
    """Whether its minimum, as the policy says it, takes at least so many contacts, which can be counted against one another."""
    grows_with_users: ClassVar[bool] = False
    """Whether twice as many users need bounds twice as large, percentages apart."""
    each_is_segment: ClassVar[bool] = False
    """Whether `each` can only be a segment."""
    percent_is_fraction: ClassVar[bool] = False
    """Whether a bound of 30% is the number 0.3, not a part of the users."""
    measures: ClassVar[tuple[str, ...]] = ()
    """Keys that hold a metric and an attribute of their own."""
    told_by_percent: ClassVar[bool] = True
    """Whether people ask what one percent more room is worth."""
    largest_bound: ClassVar[float] = math.inf
    advice: ClassVar[Mapping[str, str]] = {}
    """Key that the kind lacks -> what to write instead."""
    glossary: ClassVar[tuple[str, str] | None] = None
    """Words that the report explains where such a constraint is there, and what they mean."""

    users: FilterField = Filter()
    each: Text | None = None
    min: BoundField | None = None
    max: BoundField | None = None
    strength: StrengthField = Strength()
    kind: str

    @property
    @abstractmethod
    def numerator(self) -> ContactSum | ChangedUsers | ReachedUsers:
        """What it sums."""

    @property
    def denominator(self) -> ContactSum | None:
        """What a rate divides by."""
        return None

    @property
    def filters(self) -> Mapping[str, Filter]:
        """Its filters over actions, by key."""
        return {}

    @property
    def z(self) -> float | None:
        """How many standard errors of its sum stay within its bounds; None where the mean alone counts."""
        return None

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that it sums."""
        sums = (self.numerator, self.denominator)
        return frozenset(each.metric for each in sums if isinstance(each, ContactSum) and each.metric is not None)

    def counted(self, action: Mapping[str, object]) -> bool:
        """Whether an action is in its scope."""
        return all(words.matches(action) for words in self.filters.values())

    def limits(self, users: int, before: int) -> tuple[Fraction | int | None, Fraction | int | None]:
        """The bounds in the constraint's own unit: counts and sums, or for rates the rate.

        users: how many are in its scope; before: contacts in its scope in the previous allocation.
        """
        low, high = (None if bound is None else bound.exact(users) for bound in (self.min, self.max))
        return low, high

    def quantum(self, bound: float) -> float:
        """What every use of its row at this bound is a multiple of, so that the row can hold exactly; 0 for sums of real numbers."""
        return 0.0 if self.counts is None else 1.0

    @abstractmethod
    def unit(self, words: UnitWords) -> str:
        """The unit of what is achieved."""

    @property
    def about(self) -> str:
        """What its bounds limit, as people say it: 'contacts with surface push to users with market SE'."""
        return f"{self.kind.replace('_', ' ')}{for_whom(self.users)}"

    def of_segment(self, value: Scalar) -> Self:
        """The row of a rule with `each` that is about the users of one segment value."""
        return self._row(value, users=_narrowed(self.users, self.each, value))

    def of_attribute(self, value: Scalar) -> Self:
        """The row of a rule with `each` that is about the actions of one attribute value."""
        raise TypeError(f"a constraint of kind {self.kind} is about no actions")

    def _row(self, value: Scalar, **scope: Filter) -> Self:
        label = None if self.label is None else f"{self.label} ({value})"
        return self.model_copy(update={"id": row_id(self.id, value), "label": label, "each": None, **scope})

    def bound_faults(self) -> Iterator[Fault]:
        """What is wrong with the bounds."""
        low, high = self.min, self.max
        if low is None and high is None and self.strength is not None and self.strength.kind != "report_only":
            yield Fault((), "has neither min nor max; give one, or measure it only with `strength: report_only`")
        sides: tuple[tuple[Side, Bound | None], ...] = (("min", low), ("max", high))
        faults = [fault for key, bound in sides if bound is not None for fault in self.bound_fault(key, bound)]
        yield from faults
        if faults or low is None or high is None or low.percent != high.percent:
            return
        if low.amount > high.amount:
            yield Fault(("min",), f"the minimum {shown(low.to_json())} is above the maximum {shown(high.to_json())}")

    def bound_fault(self, key: Side, bound: Bound) -> Iterator[Fault]:
        """What is wrong with one bound by itself."""
        if bound.percent:
            fraction = bound.amount / 100
            yield Fault((key,), f"a percentage is for a volume or a share; write {fraction:g} if that is what is meant")

    def as_percent(self, side: Side, users: int) -> int | None:
        """What a number of this side would be as per cent of so many users, where the sign may have been forgotten."""
        return None

    def doubts(self, users: int | None) -> Iterator[Fault]:
        """Bounds that are right as they stand, and yet seldom meant. users: how many are in its scope, where that is known."""
        return iter(())

    def idle(self, most_each: int | None, users: int | None) -> Iterator[Fault]:
        """Bounds that nothing can break. most_each: contacts in its scope that one user can get at most, where that is known."""
        return iter(())

    @classmethod
    def words_of(cls, unit: str) -> str:
        """The words behind an amount. unit: as the certificate has it, empty where it has none."""
        return unit or cls.counts or ""

    @classmethod
    def amount(cls, value: float, *, asked: bool = False) -> str:
        """An amount without its unit; asked: a bound, shown with every digit it was given."""
        if asked:
            return exact(value)
        return number(value) if cls.counts is None else f"{value:,.0f}"

    @classmethod
    def distance(cls, size: float, unit: str) -> str:
        """How far an amount is from a bound."""
        if cls.counts is None:
            return with_unit(size, unit)
        return f"{size:,.0f} {one(unit) if size == 1 else unit}"

    @classmethod
    def step(cls, level: Level, side: Side) -> tuple[float, str]:
        """A step of the bound that people think in, in the bound's own unit, and the words that open its sentence."""
        size = level.step(side, 1.0)
        if cls.counts is not None:
            size = max(size, 1.0)
        amount = f"one {one(level.unit)}" if size == 1 else f"{exact(size)} {level.unit}"
        if side == "min":
            return size, f"Lowering the floor by {amount} would gain"
        return size, f"One more {one(level.unit)} would be worth" if size == 1 else f"{amount} more would be worth"

    @classmethod
    def gain(cls, step: Loosening, words: Callable[[float], str]) -> str:
        """What a step gains, in `words` of its amount.

        Each further step of a sum is worth as much or less; that of a rate need not be. What whole contacts have lost so far they can
        gain at most on top of the price.
        """
        condition = " if the price held that far" if cls.is_rate and not step.certified else ""
        if step.plain and (step.certified or cls.is_rate):
            return f"about {words(step.gain)}{condition}"
        return f"at most about {words(step.gain + step.lost)}{condition}"

    @classmethod
    def price_holds(cls, level: Level, side: Side, reach: float) -> str:
        """How far each step is worth the same, which is at least until the bound has come to `reach`."""
        each = "Each" if cls.step(level, side)[0] == 1 else "Each such step"
        way, beyond = ("down to", "below") if side == "min" else ("up to", "beyond")
        change = "differ" if cls.is_rate else "be less"
        words = f"{cls.short_of(reach, level.at(side))} {level.unit}".strip()
        return f"{each} is worth that at least {way} {words}; {beyond} that, it may {change}."

    @classmethod
    def short_of(cls, reach: float, bound: float) -> str:
        """An amount, without its unit, in words that go no further than `reach`, and yet further than the bound."""
        return short_of(reach, bound)

    @classmethod
    def stands(cls, level: Level, rule: "Constraint | None") -> str:
        """Where it stands between its bounds. rule: how the policy puts it, where that is known."""
        whole = f"{cls.amount(level.achieved)} {level.unit}".strip()
        low, high = (None if bound is None else cls.amount(bound, asked=True) for bound in (level.low, level.high))
        if low is None and high is None:
            return whole
        if low is None:
            return cls._below(level, whole, high or "")
        if high is None:
            return f"{whole}, at least {low} asked for"
        return f"{whole}, between {low} and {high} allowed"

    @classmethod
    def _below(cls, level: Level, whole: str, high: str) -> str:
        if cls.is_rate:
            return f"{whole}, at most {high} allowed"
        return f"{cls.amount(level.achieved)} of at most {high} {level.unit} used".replace("  ", " ")


class OverContacts(Rule):
    """What constraints over contacts have besides: the actions that they are about."""

    where: FilterField = Filter()


class ContactConstraint(Constraint, OverContacts):
    """A constraint over the contacts of actions in `where`."""

    @property
    def filters(self) -> Mapping[str, Filter]:
        return {"where": self.where}

    @property
    def about(self) -> str:
        summed = self.numerator
        what = factors(summed.metric, summed.times) if isinstance(summed, ContactSum) else self.kind.replace("_", " ")
        return f"{what}, summed over {contacts_in(self.where)}{for_whom(self.users)}"

    def of_attribute(self, value: Scalar) -> Self:
        return self._row(value, where=_narrowed(self.where, self.each, value))


class OfEstimates(Constraint):
    """A constraint on what the model estimates: its bounds may hold with a probability, `certainty`.

    Each side is then a chance constraint: mean + z * standard error <= max, mean - z * standard error >= min, z being the normal
    quantile of the certainty (Charnes and Cooper, Chance-constrained programming, 1959).
    """

    certainty: Certainty | None = None

    @property
    def z(self) -> float | None:
        return None if self.certainty is None else quantile(self.certainty)

    def bound_faults(self) -> Iterator[Fault]:
        yield from super().bound_faults()
        if self.certainty is not None and not self.metrics:
            yield Fault(("certainty",), "is for what the model estimates; this sums attributes alone, which are known")


class ContactCount(ContactConstraint):
    """A constraint on the number of contacts."""

    counts: ClassVar[Literal["contacts", "users"] | None] = "contacts"

    @property
    def numerator(self) -> ContactSum:
        return ContactSum((self.where,))

    def unit(self, words: UnitWords) -> str:
        return "contacts"

    @property
    def about(self) -> str:
        return f"{contacts_in(self.where)}{for_whom(self.users)}"


class WholeBounds(ContactConstraint):
    """A constraint on a number of contacts or users: bounds are whole, a percentage is that share of the users in `users` (holdout
    included)."""

    asks_for_contacts: ClassVar[bool] = True
    grows_with_users: ClassVar[bool] = True

    def limits(self, users: int, before: int) -> tuple[int | None, int | None]:
        """What is counted is whole, so a fractional bound is the whole number inside it."""
        low, high = (None if bound is None else bound.exact(users) for bound in (self.min, self.max))
        return None if low is None else math.ceil(low), None if high is None else math.floor(high)

    def bound_fault(self, key: Side, bound: Bound) -> Iterator[Fault]:
        if not bound.percent and bound.amount < 0:
            yield Fault((key,), f"a number of {self.counts} is at least 0, not {shown(bound.to_json())}")

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
                yield Fault((key,), f"{bound.amount:g} is a number of {self.counts}, so {whole}; {meant}")
            elif users is not None and share is not None and bound.amount * LOST_IN_A_CROWD < users:
                told = f"{bound.amount:g} is a number of {self.counts}, next to nothing for {users:,} users"
                yield Fault((key,), f"{told}; did you mean {bound.amount:g}%, which is {share:,}?")

    def idle(self, most_each: int | None, users: int | None) -> Iterator[Fault]:
        most = 1 if most_each and self.counts == "users" else most_each
        for key, bound in self._bounds():
            if key == "min" and bound.amount <= 0:
                yield Fault((key,), "asks for nothing")
            elif key == "max" and most is not None:
                possible = most * 100 if bound.percent else None if users is None else most * users
                if possible is not None and bound.amount >= possible:
                    yield Fault((key,), f"limits nothing: {self._most_in_words(most)}")

    def _most_in_words(self, most_each: int) -> str:
        if self.counts == "users":
            return "there are no more users"
        return f"one user can get at most {most_each} contact{'' if most_each == 1 else 's'} in its scope"

    def _bounds(self) -> Iterator[tuple[Side, Bound]]:
        given: tuple[tuple[Side, Bound | None], ...] = (("min", self.min), ("max", self.max))
        return ((key, bound) for key, bound in given if bound is not None)


class Comparing(Constraint):
    """A constraint on what is not as it was: its `max` is a part, of the contacts or the users that it compares."""

    percent_is_fraction: ClassVar[bool] = True

    @property
    def part(self) -> Fraction:
        if self.max is None:
            raise ValueError(f"{self.id}: has no max")
        return self.max.exact(0)

    @property
    def part_in_words(self) -> str:
        return exact_percent(float(self.part))


class Rate(ContactConstraint):
    """A constraint on one sum divided by another; where nothing is in scope it holds."""

    is_rate: ClassVar[bool] = True
    told_by_percent: ClassVar[bool] = False

    @classmethod
    def step(cls, level: Level, side: Side) -> tuple[float, str]:
        bound = level.at(side)
        size = level.step(side, 10.0 ** (math.floor(math.log10(abs(bound))) - 1) if bound else 1.0)
        return size, f"{moving(side)} by {exact(size)} (to {exact(level.loosened(side, size))}) would gain"


def contacts_in(where: Filter) -> str:
    """contacts with surface push"""
    return "contacts" if where.is_empty else f"contacts with {filter_words(where)}"


def for_whom(users: Filter) -> str:
    """to users with market SE; nothing where all are meant."""
    return "" if users.is_empty else f" to {people(users)}"


def factors(metric: str | None, times: str | None) -> str:
    """subs × discount_eur"""
    return " \u00d7 ".join(name for name in (metric, times) if name is not None)


def moving(side: Side) -> str:
    """What loosening a bound is called."""
    return "Lowering the floor" if side == "min" else "Raising the limit"


def _narrowed(words: Filter, key: str | None, value: Scalar) -> Filter:
    return words if key is None else replace(words, keys=(*words.keys, (key, (value,))))
