"""The words of the policy file as values: filters, bounds, strengths, terms, and what every rule may carry.

A value here is well formed; whether its words fit a catalogue is for `check` to say.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, Literal, Protocol, TypeGuard, TypeVar

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

from ranker.catalogue import MOST_HISTORY_DAYS

Scalar = str | bool | int | float
SIMPLE = 100_000
"""Of a share that is a simple fraction: the largest denominator."""
CUT_OFF = Fraction(1, 10**13)
"""Of a share: how far digits that were cut off may be from the fraction that they come from."""
LARGEST = 1e15
"""Of a weight or a penalty: beyond it, sums of values lose every other metric, or overflow."""


def composed(text: str) -> str:
    """Text with its letters composed (Unicode NFC): what a Mac or a PDF writes as o and two dots is the letter ö."""
    return unicodedata.normalize("NFC", text)


def _composed_id(value: object) -> object:
    return composed(value) if isinstance(value, str) else value


def fault(message: str) -> PydanticCustomError:
    """An error whose text is ours, braces and all."""
    return PydanticCustomError("policy", "{message}", {"message": message})


def _as_date(value: object) -> str:
    """A day that was written the other way round, or with other signs."""
    text = value if isinstance(value, str) else ""
    found = re.fullmatch(r"([0-9]{1,4})[-./]([0-9]{1,2})[-./]([0-9]{1,4})", text)
    if found is None:
        return ""
    first, month, last = found.groups()
    year, day = (first, last) if len(first) == 4 else (last, first)
    with suppress(ValueError):
        meant = date(int(year), int(month), int(day))
        return f"; write {meant}" if len(year) == 4 and ("/" not in text or len(first) == 4) else ""
    return ""


def _date(value: object) -> object:
    if isinstance(value, date) or value is None:
        return value
    if isinstance(value, str) and len(value) == 10:
        with suppress(ValueError):
            return date.fromisoformat(value)
    raise fault(f"{shown(value)} is not a date like 2026-11-23{_as_date(value)}")


PERCENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+) ?%")


_SIGNS = {"\u066a": "%", "\uff05": "%", "\ufe6a": "%", "\u066b": ".", "\uff0e": "."}
"""Per cent and decimal signs of other scripts -> ours."""


def _plain_share(value: object) -> object:
    """A share in per cent as the plain fraction, 2% as 0.02; anything else as it is."""
    if isinstance(value, str) and PERCENT.fullmatch(value) is not None:
        return float(Fraction(value.rstrip(" %")) / 100)
    return value


def shown(value: object) -> str:
    """A value as a policy file would spell it, cut to a readable length."""
    text = f"'{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text.removesuffix(".0") if isinstance(value, float) else text
    return text if len(text) <= 80 else f"{text[:77]}..."


Text = Annotated[str, Strict(), Field(min_length=1)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Amount = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=LARGEST)]
Whole = Annotated[int, Strict(), Field(ge=0)]
Counted = Annotated[int, Strict(), Field(ge=1)]
Days = Annotated[int, Strict(), Field(ge=1, le=MOST_HISTORY_DAYS)]
Part = Annotated[float, Strict(), Field(allow_inf_nan=False, gt=0, le=1), BeforeValidator(_plain_share)]
Portion = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, lt=1), BeforeValidator(_plain_share)]
Day = Annotated[date | None, BeforeValidator(_date)]
RuleId = Annotated[str, Strict(), BeforeValidator(_composed_id), Field(pattern=r"^[\w.\-]{1,100}$")]


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
    if faults or not isinstance(words, Mapping):
        raise ValidationError.from_exception_data("Filter", faults)
    return _filter(words)


def _filter(words: Mapping) -> Filter:
    keys = tuple((key, tuple(listed(values))) for key, values in words.items() if key != "not")
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
            for value in listed(values):
                if not isinstance(value, Scalar):
                    yield _at((*place, key), f"{shown(value)} is not a value or a list of values")


def listed(values: object) -> list | tuple:
    return values if isinstance(values, list | tuple) else [values]


def _at(place: tuple[str | int, ...], message: str) -> InitErrorDetails:
    return InitErrorDetails(type=fault(message), loc=place, input=None)


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
    if isinstance(words, str) and PERCENT.fullmatch(words) is not None:
        return Bound(float(words.rstrip(" %")), True)
    if not _is_number(words):
        raise fault(f"{shown(words)} is not a number or a percentage like 5%{_meant(words)}")
    return Bound(float(words))


GROUPED = re.compile(r"[0-9]{1,3}(?:[,.'_ \u00a0\u202f][0-9]{3})+")
"""Digits in groups of three."""
SIZES = {"k": 1_000, "thousand": 1_000, "m": 1_000_000, "mn": 1_000_000, "million": 1_000_000}
PER_CENT = ("%", "percent", "per cent", "pct", "procent", "prozent")


def _meant(words: object) -> str:
    """How a bound is written that was put in another way: in quotes, with its unit, in groups of digits, with a decimal comma."""
    if not isinstance(words, str):
        return ""
    plain = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else _SIGNS.get(each, each) for each in words)
    if plain != words and not words.isascii() and any(letter.isdecimal() and not letter.isascii() for letter in words):
        return f"; digits are 0 to 9, so write {plain}"
    digits = re.search(r"[-+]?[0-9][0-9,.'_ \u00a0\u202f]*", plain)
    if digits is None or any(each.isdigit() for each in plain[: digits.start()] + plain[digits.end() :]):
        return ""
    unit = (plain[: digits.start()] + plain[digits.end() :]).strip().casefold()
    number = digits[0].strip(" ,.'_\u00a0\u202f")
    number = re.sub(r"[^0-9+-]", "", number) if GROUPED.fullmatch(number.lstrip("+-")) else number.replace(",", ".")
    if not re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", number) or len(number) > 15:
        return ""
    if unit in PER_CENT:
        return f"; write {number}%"
    return f"; write {float(number) * SIZES.get(unit, 1):.15g}"


def percent_meant(value: object) -> str:
    """The end of a sentence about a share that is too large: whether the sign was forgotten."""
    return f"; did you mean {value:g}%?" if _is_number(value) and 1 < value <= 100 else ""


def _is_number(value: object) -> TypeGuard[int | float]:
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
        raise fault(f"{shown(words)} is none of hard, {{soft: PENALTY}}, report_only")
    penalty = words["soft"]
    if not _is_number(penalty) or not 0 <= penalty <= LARGEST:
        raise fault(f"the penalty of a soft constraint is a number from 0 to {LARGEST:g}, not {shown(penalty)}")
    return Strength("soft", float(penalty))


def certainty_from_words(words: object) -> float:
    """A probability from its form in the file, 90% or 0.9: at least one half, since below it an error would loosen the bound."""
    value = _plain_share(words)
    if _is_number(value) and 0.5 <= value < 1:
        return float(value)
    meant = percent_meant(words) if _is_number(words) and 50 <= words < 100 else ""
    raise fault(f"a certainty is at least 50% and below 100%, as 90% or 0.9, not {shown(words)}{meant}")


_TO_JSON = PlainSerializer(lambda record: None if record is None else record.to_json())
FilterField = Annotated[InstanceOf[Filter], BeforeValidator(filter_from_words), _TO_JSON]
BoundField = Annotated[InstanceOf[Bound], BeforeValidator(bound_from_words), _TO_JSON]
Certainty = Annotated[float, BeforeValidator(certainty_from_words)]
StrengthField = Annotated[InstanceOf[Strength], BeforeValidator(strength_from_words), _TO_JSON]


LACKING = "lacking"
"""The type of an error about a record of which a key is missing, named in its context."""


def lacks(key: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(LACKING, "{message}", {"message": message, "key": key})


class Sums(Protocol):
    """What sums a metric or an attribute."""

    @property
    def metric(self) -> str | None: ...

    @property
    def times(self) -> str | None: ...


Summing = TypeVar("Summing", bound=Sums)


def sums_something(record: Summing) -> Summing:
    """A metric's mean, times an action's attribute where given; or the attribute alone."""
    if record.metric is None and record.times is None:
        raise lacks("metric", "is missing; name a metric, or `times` alone for the sum of an attribute of the actions")
    return record


class Term(Record):
    """A part of the value of a contact: weight * metric, times an action's attribute where given; or weight * attribute alone."""

    metric: Text | None = None
    weight: Number
    times: Text | None = None

    _summed = model_validator(mode="after")(sums_something)


class Measure(Record):
    """What a ratio divides by: the sum of a metric, times an action's attribute where given; or of the attribute alone."""

    metric: Text | None = None
    times: Text | None = None

    _summed = model_validator(mode="after")(sums_something)


RULES = ("eligibility", "contact", "pinned", "constraints")
"""The lists of a policy that hold rules, each with an id of its own."""


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


def row_id(rule: str, value: Scalar) -> str:
    """What the row of a rule with `each` is called that is about one value: books@SE."""
    return f"{rule}@{value if isinstance(value, str) else json.dumps(value)}"


def people(users: Filter) -> str:
    """Whom a filter names: 'all users', 'users with market SE or NO'."""
    return "all users" if users.is_empty else f"users with {filter_words(users)}"


def filter_words(words: Filter) -> str:
    """A filter as people say it: 'surface push or email, but not message trial'."""
    held = " and ".join(
        f"{key.replace('_', ' ')} {' or '.join(str(value) for value in values)}" for key, values in words.keys
    )
    if words.negated is None:
        return held
    return f"{held}, but not {filter_words(words.negated)}" if held else f"anything but {filter_words(words.negated)}"
