"""The policy as frozen records: what counts as value, what one user may get, what must hold over all users.

The fields are the words of the policy file, and `to_json` writes them back in the file's own form. A record here is well formed;
whether its words fit a catalogue is for `check` to say.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, InstanceOf, SerializeAsAny, Strict, TypeAdapter, model_validator

from allocator.policy.kinds.base import Constraint
from allocator.policy.kinds.known import KINDS
from allocator.policy.words import (
    RULES,
    Amount,
    BoundField,
    Counted,
    Days,
    Filter,
    FilterField,
    Part,
    Portion,
    Record,
    Rule,
    Term,
    Text,
    Whole,
    fault,
    lacks,
    listed,
    shown,
)


class Tier(Record):
    """One objective of several in order: `give_up` is the part of its value that the tiers after it may cost."""

    objective: tuple[Term, ...]
    give_up: BoundField | None = None

    @property
    def part(self) -> float:
        """What may be given up, as a fraction of the value; nothing where nothing is said."""
        if self.give_up is None:
            return 0.0
        return self.give_up.amount / (100 if self.give_up.percent else 1)

    def floor(self, value: float) -> float:
        """The least that later tiers must leave of a value."""
        return value - self.part * abs(value)


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
            raise lacks("max", "is missing")
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

    action: Annotated[tuple[Text, ...], BeforeValidator(listed)]
    users: FilterField = Filter()


def constraint_from_words(words: Mapping) -> Constraint:
    """A constraint from its form in the file, by its kind."""
    kind = KINDS.get(str(words.get("kind")))
    if kind is None:
        raise fault(f"{shown(words.get('kind'))} is no kind of constraint")
    return kind.model_validate(words)


def _constraint(words: object) -> object:
    return constraint_from_words(words) if isinstance(words, Mapping) else words


ConstraintField = Annotated[SerializeAsAny[InstanceOf[Constraint]], BeforeValidator(_constraint)]


RULE_OF: Mapping[str, TypeAdapter[Rule]] = {
    "eligibility": TypeAdapter(EligibilityRule),
    "contact": TypeAdapter(ContactRule),
    "pinned": TypeAdapter(PinnedRule),
    "constraints": TypeAdapter(ConstraintField),
}
"""What reads a rule from its form in the file, by the list that it stands in."""


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
    constraints: tuple[ConstraintField, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _last_objective(cls, words: object) -> object:
        """As `to_json` writes it, a policy with tiers has no objective beside them."""
        if not isinstance(words, dict) or not words.get("tiers") or "objective" in words:
            return words
        last = words["tiers"][-1]
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
        return any(rule.compares is not None for rule in self.constraints)

    @property
    def user_filters(self) -> tuple[Filter, ...]:
        """Every `users` filter of the policy."""
        last = () if self.fallback is None else (self.fallback.users,)
        rules: tuple[EligibilityRule | PinnedRule | Constraint, ...]
        rules = (*self.eligibility, *self.pinned, *self.constraints)
        bound = (rule.users for rule in self.contact if rule.users is not None)
        return (*(rule.users for rule in rules), *bound, *last)

    def active(self, as_of: date | None) -> "Policy":
        """The same policy without the rules that do not hold on that day; without a day, all of them."""
        if as_of is None:
            return self
        kept = {name: tuple(rule for rule in getattr(self, name) if rule.holds_on(as_of)) for name in RULES}
        return self.model_copy(update=kept)

    def without_comparisons(self) -> "Policy":
        """The same policy without the constraints that need an earlier allocation."""
        return self.model_copy(
            update={"constraints": tuple(rule for rule in self.constraints if rule.compares is None)}
        )

    def to_json(self) -> dict:
        """The policy in the form of its file, for `json.dumps`; defaults written out, absent fields left out."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"objective" if self.tiers else "tiers"})

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON: the same for files that mean the same, whatever their layout."""
        return hashlib.sha256(canonical(self.to_json()).encode()).hexdigest()


def canonical(words: object) -> str:
    """JSON that is the same for what means the same: the order of keys says nothing, but 1 is not true."""
    return json.dumps(words, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
