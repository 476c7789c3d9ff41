"""The policy as frozen records: what counts as value, what one user may get, what must hold over all users.

The fields are the words of the policy file, and `to_json` writes them back in the file's own form. A record here is well formed;
whether its words fit a catalogue is for `check` to say.
"""

import hashlib
import json
import math
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from ranker.scores import MOST_HISTORY_DAYS

Scalar = str | bool | int | float
SIMPLE = 100_000
"""Of a share that is a simple fraction: the largest denominator."""
CUT_OFF = Fraction(1, 10**13)
"""Of a share: how far digits that were cut off may be from the fraction that they come from."""
LARGEST = 1e15
"""Of a weight or a penalty: beyond it, sums of values lose every other metric, or overflow."""


def composed(text: object) -> object:
    """Text with its letters composed (Unicode NFC): what a Mac or a PDF writes as o and two dots is the letter ö."""
    return unicodedata.normalize("NFC", text) if isinstance(text, str) else text


def _fault(message: str) -> PydanticCustomError:
    """An error whose text is ours, braces and all."""
    return PydanticCustomError("policy", "{message}", {"message": message})


def _date(value: object) -> object:
    if isinstance(value, date) or value is None:
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else _not_a_date(value)
    except ValueError:
        return _not_a_date(value)


def _not_a_date(value: object) -> None:
    raise _fault(f"{shown(value)} is not a date like 2026-11-23")


def shown(value: object) -> str:
    """A value as a policy file would spell it, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=str) if not isinstance(value, str) else f"'{value}'"
    return text if len(text) <= 80 else f"{text[:77]}..."


Text = Annotated[str, Strict(), Field(min_length=1)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Amount = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=LARGEST)]
Whole = Annotated[int, Strict(), Field(ge=0)]
Counted = Annotated[int, Strict(), Field(ge=1)]
Days = Annotated[int, Strict(), Field(ge=1, le=MOST_HISTORY_DAYS)]
Part = Annotated[float, Strict(), Field(allow_inf_nan=False, gt=0, le=1)]
Portion = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, lt=1)]
Day = Annotated[date | None, BeforeValidator(_date)]
RuleId = Annotated[str, Strict(), BeforeValidator(composed), Field(pattern=r"^[\w.\-]{1,100}$")]


class Record(BaseModel):
    """Frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Filter:
    """Keys that must all hold, each for one of its values; `negated` must not hold. Empty, it matches everything.

    Read from `{product: [a, b], surface: push, not: {...}}`.
    """

    keys: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()
    negated: "Filter | None" = None

    @property
    def is_empty(self) -> bool:
        return not self.keys and self.negated is None

    def matches(self, record: Mapping[str, object]) -> bool:
        """Whether an action (its attributes) or a user (the segments) passes. A missing attribute matches no value."""
        held = all(any(equal(record.get(key), value) for value in values) for key, values in self.keys)
        return held and (self.negated is None or not self.negated.matches(record))

    def to_json(self) -> dict:
        words: dict = {key: values[0] if len(values) == 1 else list(values) for key, values in self.keys}
        return words if self.negated is None else {**words, "not": self.negated.to_json()}


def equal(left: object, right: object) -> bool:
    """Equal as the file's reader means it: 1 and 1.0 are one number, but true is no number."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def filter_from_words(words: object) -> Filter:
    """A filter from its form in the file; ValidationError with the place of every fault."""
    if isinstance(words, Filter):
        return words
    faults = list(_filter_faults(words, ()))
    if faults:
        raise ValidationError.from_exception_data("Filter", faults)
    return _filter(words)


def _filter(words: Mapping) -> Filter:
    keys = tuple((key, tuple(_listed(values))) for key, values in words.items() if key != "not")
    return Filter(keys, _filter(words["not"]) if "not" in words else None)


def _filter_faults(words: object, place: tuple[str | int, ...]) -> Iterator[InitErrorDetails]:
    if not isinstance(words, Mapping):
        yield _at(place, f"{shown(words)} is not a filter like {{surface: push}}")
        return
    for key, values in words.items():
        if key == "not":
            yield from _filter_faults(values, (*place, "not"))
        elif isinstance(values, list | tuple) and not values:
            yield _at((*place, key), "the list is empty; name at least one value")
        else:
            for value in _listed(values):
                if not isinstance(value, Scalar):
                    yield _at((*place, key), f"{shown(value)} is not a value or a list of values")


def _listed(values: object) -> list | tuple:
    return values if isinstance(values, list | tuple) else [values]


def _at(place: tuple[str | int, ...], message: str) -> InitErrorDetails:
    return InitErrorDetails(type=_fault(message), loc=place, input=None)


@dataclass(frozen=True)
class Bound:
    """A number, or with `percent` that share (in per cent) of the users in the rule's `users` scope."""

    amount: float
    percent: bool = False

    def exact(self, users: int) -> Fraction:
        """The bound as a rational number, a percentage taken of `users` people: 5% of 61 is 3.05, not a float near it."""
        amount = Fraction(repr(float(self.amount)))
        return amount * users / 100 if self.percent else amount

    def of(self, users: int) -> float:
        """The bound as a count or sum, a percentage taken of `users` people."""
        return float(self.exact(users))

    def to_json(self) -> float | str:
        return f"{repr(self.amount).removesuffix('.0')}%" if self.percent else self.amount


def share_of(bound: float) -> Fraction:
    """The share that a bound means: its digits as they stand, or the simple fraction that they were cut off from (1/3)."""
    exact = Fraction(str(bound))
    simple = exact.limit_denominator(SIMPLE)
    return simple if abs(simple - exact) <= CUT_OFF * abs(exact) else exact


def bound_from_words(words: object) -> Bound:
    """A bound from its form in the file: a finite number or a percentage like 5%."""
    if isinstance(words, Bound):
        return words
    percent = isinstance(words, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+) ?%", words) is not None
    if percent:
        return Bound(float(words.rstrip(" %")), True)
    if not _is_number(words):
        raise _fault(f"{shown(words)} is not a number or a percentage like 5%")
    return Bound(float(words))


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


@dataclass(frozen=True)
class Strength:
    """How much a constraint counts.

    `hard` must hold; a unit of violation of a `soft` one costs `penalty` of value; `report_only` is measured alone. The
    violation of a share, average or ratio is that of its row, `sum num - bound * sum den`, in units of the numerator.
    """

    kind: Literal["hard", "soft", "report_only"] = "hard"
    penalty: float | None = None

    def to_json(self) -> str | dict:
        return {"soft": self.penalty} if self.kind == "soft" else self.kind


def strength_from_words(words: object) -> Strength:
    """A strength from its form in the file: hard, {soft: PENALTY} or report_only."""
    if isinstance(words, Strength):
        return words
    if words in ("hard", "report_only"):
        return Strength(words)
    if not isinstance(words, Mapping) or set(words) != {"soft"}:
        raise _fault(f"{shown(words)} is none of hard, {{soft: PENALTY}}, report_only")
    penalty = words["soft"]
    if not _is_number(penalty) or not 0 <= penalty <= LARGEST:
        raise _fault(f"the penalty of a soft constraint is a number from 0 to {LARGEST:g}, not {shown(penalty)}")
    return Strength("soft", float(penalty))


_TO_JSON = PlainSerializer(lambda record: None if record is None else record.to_json())
FilterField = Annotated[InstanceOf[Filter], BeforeValidator(filter_from_words), _TO_JSON]
BoundField = Annotated[InstanceOf[Bound], BeforeValidator(bound_from_words), _TO_JSON]
StrengthField = Annotated[InstanceOf[Strength], BeforeValidator(strength_from_words), _TO_JSON]


LACKING = "lacking"
"""The type of an error about a record of which a key is missing, named in its context."""


def _lacks(key: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(LACKING, "{message}", {"message": message, "key": key})


def _sums_something(record: "Term | Measure | Total | Ratio") -> "Term | Measure | Total | Ratio":
    """A metric's mean, times an action's attribute where given; or the attribute alone."""
    if record.metric is None and record.times is None:
        raise _lacks("metric", "is missing; name a metric, or `times` alone for the sum of an attribute of the actions")
    return record


class Term(Record):
    """A part of the value of a contact: weight * metric, times an action's attribute where given; or weight * attribute alone."""

    metric: Text | None = None
    weight: Number
    times: Text | None = None

    _summed = model_validator(mode="after")(_sums_something)


class Tier(Record):
    """One objective of several in order: `give_up` is the part of its value that the tiers after it may cost."""

    objective: tuple[Term, ...]
    give_up: BoundField | None = None

    @property
    def part(self) -> float:
        """What may be given up, as a fraction of the value."""
        return self.give_up.amount / (100 if self.give_up.percent else 1)

    def floor(self, value: float) -> float:
        """The least that later tiers must leave of a value."""
        return value - self.part * abs(value)


class Measure(Record):
    """What a ratio divides by: the sum of a metric, times an action's attribute where given; or of the attribute alone."""

    metric: Text | None = None
    times: Text | None = None

    _summed = model_validator(mode="after")(_sums_something)


class Risk(Record):
    """Value counts mean - z * stderr, a metric of negative weight mean + z * stderr."""

    z: Amount = 0.0


class Share(Record):
    """A share of all users, chosen by salted hash (see `experiment`)."""

    share: Portion
    salt: Annotated[str, BeforeValidator(lambda salt: str(salt) if type(salt) in (int, float) else salt), Strict()]


class Experiment(Record):
    """Who gets nothing (`holdout`) and who gets random eligible slates (`exploration`)."""

    holdout: Share | None = None
    exploration: Share | None = None


class Rule(Record):
    """What every rule may carry: a name for people, who answers for it, why, and the days on which it holds (both included)."""

    id: RuleId
    label: Text | None = None
    owner: Text | None = None
    reason: Text | None = None
    valid_from: Day = None
    valid_to: Day = None

    @property
    def name(self) -> str:
        """How people call the rule: its label, or its id."""
        return self.id if self.label is None else self.label

    def holds_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


class EligibilityRule(Rule):
    """Users in `users` (everyone, if absent) are never given an action in `forbid`."""

    forbid: FilterField
    users: FilterField = Filter()


class ContactRule(Rule):
    """Per user at most `max` contacts in `where`; with `each`, at most that many for each value of the attribute.

    With `min`, none of them or at least that many. With `days`, contacts that the user has received in so many days up to the scores'
    date count as well. With `spoils`, at most that many of each two sorts of offers that leave less than this part of each other's
    effect, as the scores say. With `requires` and without `max`, contacts in `where` only beside one in `requires`, or with `days`
    after one. Users who are not in `users` are not bound.
    """

    max: Whole | None = None
    where: FilterField = Filter()
    each: Text | None = None
    days: Days | None = None
    spoils: Part | None = None
    min: Counted | None = None
    users: FilterField | None = None
    requires: FilterField | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> "ContactRule":
        if self.max is None and self.requires is None:
            raise _lacks("max", "is missing")
        return self

    @property
    def listeners(self) -> Filter:
        """Whom it binds."""
        return Filter() if self.users is None else self.users


class PinnedRule(Rule):
    """Users in `users` are given `action` wherever it is eligible for them and fits what earlier rules have pinned."""

    users: FilterField = Filter()
    action: Text


class Fallback(Record):
    """Users in `users` who were chosen nothing get the first of `action` that is eligible and keeps every hard constraint."""

    action: Annotated[tuple[Text, ...], BeforeValidator(_listed)]
    users: FilterField = Filter()


class _Constraint(Rule):
    """What all kinds of constraint have. A kind names what it lacks as a class variable: an error in a file.

    `each`: a segment, or else an attribute of actions; the rule then holds for each of its values on its own (see `row_id`).
    `compares`: whether the kind needs an earlier allocation to compare with.
    """

    compares: ClassVar[bool] = False

    where: FilterField = Filter()
    users: FilterField = Filter()
    each: Text | None = None
    min: BoundField | None = None
    max: BoundField | None = None
    strength: StrengthField = Strength()


class Volume(_Constraint):
    """Contacts in scope: min <= sum x <= max, a percentage being that share of the users in `users` (holdout included)."""

    metric: ClassVar[None] = None
    times: ClassVar[None] = None
    of: ClassVar[None] = None
    per: ClassVar[None] = None

    kind: Literal["volume"] = "volume"


class Change(_Constraint):
    """Contacts in scope against those of the previous allocation: at most `max` (a part of them) more, and as many fewer."""

    metric: ClassVar[None] = None
    times: ClassVar[None] = None
    of: ClassVar[None] = None
    per: ClassVar[None] = None
    compares: ClassVar[bool] = True

    kind: Literal["change"] = "change"

    def limits(self, before: int) -> tuple[int, int]:
        """The fewest and the most contacts where there were `before`: whole numbers inside before * (1 -+ max)."""
        part = self.max.exact(0)
        return max(math.ceil(before * (1 - part)), 0), math.floor(before * (1 + part))


class Churn(_Constraint):
    """Users whose actions, as a set, are not those of the previous allocation: at most `max`, a part of all users in `users`."""

    where: ClassVar[Filter] = Filter()
    metric: ClassVar[None] = None
    times: ClassVar[None] = None
    of: ClassVar[None] = None
    per: ClassVar[None] = None
    compares: ClassVar[bool] = True

    kind: Literal["churn"] = "churn"

    def most(self, users: int) -> int:
        """The most of so many users in scope who may be given something else than before."""
        return math.floor(self.max.exact(0) * users)


class Total(_Constraint):
    """The sum of a metric's mean, times an attribute, over the contacts in scope; or of the attribute alone."""

    of: ClassVar[None] = None
    per: ClassVar[None] = None

    kind: Literal["total"] = "total"
    metric: Text | None = None
    times: Text | None = None

    _summed = model_validator(mode="after")(_sums_something)


class ShareOf(_Constraint):
    """Contacts in `where` and `of` divided by contacts in `of`, which is all contacts if nothing is said."""

    metric: ClassVar[None] = None
    times: ClassVar[None] = None
    per: ClassVar[None] = None

    kind: Literal["share"] = "share"
    of: FilterField = Filter()


class Average(_Constraint):
    """The sum of a metric's mean, times an attribute, divided by the number of contacts, both over the scope."""

    of: ClassVar[None] = None
    per: ClassVar[None] = None

    kind: Literal["average"] = "average"
    metric: Text
    times: Text | None = None


class Ratio(_Constraint):
    """The sum of a metric, or of an attribute, divided by the sum of `per`, both over the scope."""

    of: ClassVar[None] = None

    kind: Literal["ratio"] = "ratio"
    metric: Text | None = None
    times: Text | None = None
    per: Measure

    _summed = model_validator(mode="after")(_sums_something)


class TierFloor(_Constraint):
    """What an earlier tier's objective must still be worth. No policy file writes it: it follows from `tiers`."""

    metric: ClassVar[None] = None
    times: ClassVar[None] = None
    of: ClassVar[None] = None
    per: ClassVar[None] = None

    id: Text
    kind: Literal["tier"] = "tier"


def row_id(rule: str, value: Scalar) -> str:
    """What the row of a rule with `each` is called that is about one value: books@SE."""
    return f"{rule}@{value if isinstance(value, str) else json.dumps(value)}"


def tier_id(position: int) -> str:
    """What the floor of a tier is called: counted from 1, and with a space, which no rule's id has."""
    return f"tier {position + 1}"


Constraint = Annotated[Volume | Change | Churn | Total | ShareOf | Average | Ratio, Field(discriminator="kind")]


class Policy(Record):
    """One week's rules. value of a contact = sum over `objective` of weight * metric [* times], risk taken off.

    With `tiers`, `objective` is that of the last one.
    """

    version: Literal[1] = 1
    objective: tuple[Term, ...]
    tiers: tuple[Tier, ...] = ()
    risk: Risk = Risk()
    experiment: Experiment = Experiment()
    eligibility: tuple[EligibilityRule, ...] = ()
    contact: tuple[ContactRule, ...] = ()
    pinned: tuple[PinnedRule, ...] = ()
    fallback: Fallback | None = None
    constraints: tuple[Constraint, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _last_objective(cls, words: object) -> object:
        """As `to_json` writes it, a policy with tiers has no objective beside them."""
        tiers = words.get("tiers") if isinstance(words, dict) else None
        if not tiers or "objective" in words:
            return words
        last = tiers[-1]
        return {**words, "objective": last.get("objective", ()) if isinstance(last, dict) else last.objective}

    @property
    def risk_z(self) -> float:
        return self.risk.z

    @property
    def holdout(self) -> Share | None:
        return self.experiment.holdout

    @property
    def exploration(self) -> Share | None:
        return self.experiment.exploration

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms of every objective."""
        return tuple(term for tier in self.tiers for term in tier.objective) or self.objective

    @property
    def compares(self) -> bool:
        """Whether any constraint needs an earlier allocation."""
        return any(rule.compares for rule in self.constraints)

    @property
    def user_filters(self) -> tuple[Filter, ...]:
        """Every `users` filter of the policy."""
        last = () if self.fallback is None else (self.fallback.users,)
        rules = (*self.eligibility, *self.pinned, *self.constraints)
        bound = (rule.users for rule in self.contact if rule.users is not None)
        return (*(rule.users for rule in rules), *bound, *last)

    def active(self, as_of: date | None) -> "Policy":
        """The same policy without the rules that do not hold on that day; without a day, all of them."""
        if as_of is None:
            return self
        kept = {
            name: tuple(rule for rule in getattr(self, name) if rule.holds_on(as_of))
            for name in ("eligibility", "contact", "pinned", "constraints")
        }
        return self.model_copy(update=kept)

    def without_comparisons(self) -> "Policy":
        """The same policy without the constraints that need an earlier allocation."""
        return self.model_copy(update={"constraints": tuple(rule for rule in self.constraints if not rule.compares)})

    def to_json(self) -> dict:
        """The policy in the form of its file, for `json.dumps`; defaults written out, absent fields left out."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"objective" if self.tiers else "tiers"})

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON: the same for files that mean the same, whatever their layout."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()
