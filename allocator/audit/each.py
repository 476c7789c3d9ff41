"""Constraints with `each`, as one rule per value: read a second time, from the scores and the catalogue themselves.

Axes: U users.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from allocator.policy.grammar import Policy
from allocator.policy.kinds.base import Constraint
from allocator.policy.words import Filter, Scalar, row_id
from ranker.scores import Scores


def rules_of(policy: Policy, scores: Scores) -> list[Constraint]:
    """The policy's constraints, one with `each` once for every value that a user, or an action, in its scope has."""
    return [one for rule in policy.constraints for one in _rules_of(rule, scores)]


def _rules_of(rule: Constraint, scores: Scores) -> Iterator[Constraint]:
    if rule.each is None:
        yield rule
        return
    of_users = rule.each in scores.catalogue.segments
    values = _of_users(rule.each, rule, scores) if of_users else _of_actions(rule.each, rule, scores)
    narrowed = "users" if of_users else "where"
    for value in values:
        words: Filter = getattr(rule, narrowed)
        only = replace(words, keys=(*words.keys, (rule.each, (value,))))
        yield rule.model_copy(update={"id": row_id(rule.id, value), "each": None, narrowed: only})


def _of_actions(attribute: str, rule: Constraint, scores: Scores) -> Sequence[Scalar]:
    """The attribute's values among the actions that the constraint counts."""
    found: list[Scalar] = []
    for action in scores.catalogue.actions:
        counted = all(words.matches(action) for words in rule.filters.values())
        value = action.get(attribute)
        if counted and isinstance(value, Scalar) and value not in found:
            found.append(value)
    return found


def _of_users(segment: str, rule: Constraint, scores: Scores) -> Sequence[Scalar]:
    """The segment's values among the users in `users`."""
    names = tuple(dict.fromkeys((segment, *_named(rule.users))))
    seen: set[tuple[int, ...]] = set()
    for codes in scores.segment_codes(names):
        seen |= set(map(tuple, np.unique(np.stack(codes, axis=1), axis=0).tolist()))
    records = [{name: scores.vocabulary[name][code] for name, code in zip(names, cell, strict=True)} for cell in seen]
    return sorted({record[segment] for record in records if rule.users.matches(record)})


def _named(words: Filter | None) -> Iterator[str]:
    if words is not None:
        yield from (name for name, _ in words.keys)
        yield from _named(words.negated)
