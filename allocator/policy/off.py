"""Rules that are off: of a policy, those that do not hold on the day of the scores, told with their dates and whom they are about."""

from collections.abc import Iterator
from datetime import date

from allocator.amounts import exact
from allocator.policy.grammar import PinnedRule, Policy
from allocator.policy.kinds.base import Constraint
from allocator.policy.words import RULES, Bound, Filter, Rule, filter_words

LONG = 365
"""Days: a date that lies farther away than that may have the wrong year."""
SECTIONS = {"eligibility": "eligibility rule", "contact": "contact rule", "pinned": "pinned contact"}
SCOPE = ("forbid", "where", "of", "requires", "users")


def off(policy: Policy, day: date | None) -> Iterator[tuple[str, str]]:
    """(id, sentence) of each rule that does not hold on that day; without a day every rule holds."""
    if day is None:
        return
    for section in RULES:
        for rule in getattr(policy, section):
            if not rule.holds_on(day):
                yield rule.id, f"{_called(rule, section)} is off on {day}: {_since(rule, day)}"


def _called(rule: Rule, section: str) -> str:
    """books_goal (volume; where product audiobooks; users market SE or NO; min 5%)"""
    kind = rule.kind if isinstance(rule, Constraint) else SECTIONS[section]
    held = ((key, getattr(rule, key, None)) for key in SCOPE)
    scope = [f"{key} {filter_words(words)}" for key, words in held if isinstance(words, Filter) and not words.is_empty]
    scope += [f"action {rule.action}"] if isinstance(rule, PinnedRule) else []
    scope += [f"{key} {_bound(bound)}" for key in ("min", "max") if (bound := getattr(rule, key, None)) is not None]
    return f"{rule.name} ({'; '.join([kind, *scope])})"


def _bound(bound: object) -> object:
    """As the file says it: the bound of a constraint, or the number of a contact rule."""
    told = bound.to_json() if isinstance(bound, Bound) else bound
    return exact(told) if isinstance(told, float) else told


def _since(rule: Rule, day: date) -> str:
    if rule.valid_to is not None and rule.valid_to < day:
        return f"its valid_to is {rule.valid_to}{_doubt((day - rule.valid_to).days, 'ago')}"
    if rule.valid_from is None:
        raise ValueError(f"{rule.id} holds on {day}")
    return f"its valid_from is {rule.valid_from}{_doubt((rule.valid_from - day).days, 'ahead')}"


def _doubt(days: int, where: str) -> str:
    return f", more than a year {where}; wrong year?" if days > LONG else ""
