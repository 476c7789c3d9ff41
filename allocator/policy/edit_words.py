"""Edits of a policy in words: what rises, what is added, whom a rule is about now. Places and keyed form are those of `differences`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allocator.amounts import exact, exact_percent, one
from allocator.policy.grammar import constraint_from_words
from allocator.policy.words import RULES, bound_from_words, filter_from_words, filter_words, people

Words = Mapping[str, Any]
Place = tuple[str, ...]
SORTS = {"eligibility": "eligibility rules", "contact": "contact rules", "constraints": "constraints"}
FIELDS = {
    "min": "minimum",
    "max": "maximum",
    "valid_from": "first day",
    "valid_to": "last day",
    "give_up": "part to give up",
    "spoils": "part to be left",
    "per": "divisor",
    "of": "whole",
    "forbid": "forbidden offers",
    "where": "offers in scope",
    "requires": "required offers",
    "users": "listeners in scope",
}
"""A field as people call it, where its name alone does not say it."""
SHARES = ("share", "spoils", "certainty")
NUMBERS = ("weight", "z", "days")
DEFAULTS: tuple[object, ...] = ({}, "hard")
"""What a file need not say."""
FILTERS = ("forbid", "where", "of", "requires")
PLURAL = ("forbid", "where", "requires", "users")


@dataclass(frozen=True)
class _Value:
    """A value in words, with its unit; size: of what can rise and fall."""

    text: str
    unit: str = ""
    size: float | None = None

    def __str__(self) -> str:
        return f"{self.text} {self.unit}".strip()


def whole(place: Place, before: Words | None, after: Words | None) -> str:
    """A rule, a term or a section that is added, taken away, or replaced by another of its name."""
    if before is None:
        return f"Added: {_described(place, after or {})}."
    if after is None:
        return f"Taken away: {_described(place, before)}."
    if _sort_of_rule(before) != _sort_of_rule(after):
        return f"Replaced: {_described(place, after)}; it was {_described(place, before)}."
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return " ".join(of_field(place, before, after, name) for name in changed)


def of_field(place: Place, before: Words, after: Words, name: str) -> str:
    """One field of a rule, a term or a section."""
    called, of = _called(name), _name(place, after)
    old, new = _value(place, before, name), _value(place, after, name)
    if new is None:
        return f"{of} has no {called} any more (was {old})."
    if old is None:
        return f"{of} has a new {called}: {new}."
    if old.unit != new.unit or old.size is None or new.size is None:
        verb = ":" if name in PLURAL else " is"
        return f"The {called} of {of}{verb} {new} now (was {old})."
    return f"The {called} of {of} {'rises' if new.size > old.size else 'falls'} from {old.text} to {new}."


def other_goals(before: Words, after: Words) -> str:
    return f"Another objective: {_goals(after)}; it was {_goals(before)}."


def other_order(place: Place, now: Sequence[Words]) -> str:
    """Only pinned contacts are given one after the other."""
    if place == ("pinned",):
        return f"Pinned contacts are given in another order: {', '.join(rule['id'] for rule in now)}."
    what = SORTS.get(place[0], "terms of the objective")
    return f"The {what} stand in another order, which changes nothing."


def _goals(words: Words) -> str:
    if "tiers" in words:
        return ", then ".join(_goals(tier) for tier in words["tiers"])
    return " + ".join(f"{exact(term['weight'])} x {_product(term)}" for term in words["objective"])


def _product(words: Words) -> str:
    return " times ".join(str(words[name]) for name in ("metric", "times") if words.get(name) is not None)


def _called(name: str) -> str:
    return FIELDS.get(name, name.replace("_", " "))


def _name(place: Place, words: Words) -> str:
    """Push messages (push_capacity), or the id alone; a term by what it sums, a section by its word."""
    if place[0] in RULES:
        return words["id"] if words.get("label") is None else f"{words['label']} ({words['id']})"
    tier = f"tier {int(place[1]) + 1}" if place[0] == "tiers" else ""
    if "objective" in place:
        return f"{_product(words)} in {tier}" if tier else _product(words)
    return tier or place[-1]


def _described(place: Place, words: Words) -> str:
    told = [name for name in words if name not in ("id", "label", "kind") and words[name] not in DEFAULTS]
    fields = ", ".join(f"{_called(name)} {_value(place, words, name)}" for name in told)
    called = _sort_of_rule(words) if place[0] in RULES else "term" if "objective" in place else ""
    return f"{called} {_name(place, words)}".strip() + (f" ({fields})" if fields else "")


def _sort_of_rule(words: Words) -> str:
    """By the key that only this sort has: a rule may have moved to another list."""
    if "kind" in words:
        return f"{words['kind']} constraint"
    told = {"forbid": "eligibility rule", "action": "pinned contact"}
    return next((called for key, called in told.items() if key in words), "contact rule")


def _value(place: Place, words: Words, name: str) -> _Value | None:
    """A field in words; None where the file need not say it."""
    value = words.get(name)
    if value is None:
        return None
    if name in ("min", "max", "give_up"):
        return _bound(place, words, name)
    if name in SHARES:
        return _Value(exact_percent(value), "", value)
    if name in NUMBERS:
        return _Value(exact(value), "days" if name == "days" else "", value)
    if name == "users":
        return _Value(people(filter_from_words(value)))
    if name in FILTERS:
        return _Value(filter_words(filter_from_words(value)) or "anything")
    if name == "strength":
        return _Value(f"soft at {exact(value['soft'])} a unit" if isinstance(value, dict) else value.replace("_", " "))
    if name == "per":
        return _Value(_product(value))
    return _Value(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _bound(place: Place, words: Words, name: str) -> _Value:
    """A bound in the unit of its kind; a percentage with what it is a part of."""
    bound = bound_from_words(words[name])
    share = f"{exact(bound.amount)} %"
    if name == "give_up":
        amount = bound.amount if bound.percent else 100 * bound.amount
        return _Value(f"{exact(amount)} %", "of its value", amount)
    if "kind" not in words:
        return _Value(exact(bound.amount), "contact" if bound.amount == 1 else "contacts", bound.amount)
    rule = constraint_from_words(words)
    if bound.percent:
        return _Value(share, f"of {people(rule.users)}", bound.amount)
    unit = rule.unit(lambda metric, times: _product({"metric": metric, "times": times}))
    words_of = rule.words_of(one(unit) if bound.amount == 1 else unit)
    return _Value(rule.amount(bound.amount, asked=True), words_of, bound.amount)
