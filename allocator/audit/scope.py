"""Which actions and users a rule speaks of, straight from the contract's definitions.

Axes: U users of a shard, A actions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from allocator.policy.grammar import Filter, Policy
from ranker.scores import Catalogue, Shard


def actions_in(words: Filter | None, catalogue: Catalogue) -> np.ndarray:
    """bool[A]."""
    if words is None:
        return np.ones(len(catalogue.actions), bool)
    return np.array([words.matches(action) for action in catalogue.actions], bool)


def users_in(words: Filter, shard: Shard, vocabulary: Mapping[str, Sequence[str]]) -> np.ndarray:
    """bool[U]: the users of the shard whom the filter passes."""
    passed_U = np.ones(len(shard), bool)
    for name, values in words.keys:
        wanted = np.array([known in values for known in vocabulary[name]], bool)
        passed_U &= wanted[shard.segments[name]] if len(wanted) else False
    if words.negated is not None:
        passed_U &= ~users_in(words.negated, shard, vocabulary)
    return passed_U


def times_of(attribute: str | None, catalogue: Catalogue) -> np.ndarray:
    """float64[A]: an action without the attribute counts 0."""
    if attribute is None:
        return np.ones(len(catalogue.actions))
    found = [action.get(attribute) for action in catalogue.actions]
    return np.array([float(x) if isinstance(x, int | float) and not isinstance(x, bool) else 0.0 for x in found])


def slots_of(catalogue: Catalogue) -> np.ndarray:
    """int64[A]: the slot of each action, numbered."""
    return np.unique(np.array(catalogue.slots), return_inverse=True)[1]


@dataclass(frozen=True)
class Cap:
    """At most `most` contacts per user among the actions of scope_A, as the contact rule with the id `rule` says.

    days: on how many days up to the scores' date contacts count, beside those of this run; None: these alone.
    """

    rule: str
    scope_A: np.ndarray
    most: int
    days: int | None


def caps_of(policy: Policy, catalogue: Catalogue) -> list[Cap]:
    """Every contact rule, one with `each` once per value."""
    found = []
    for rule in policy.contact:
        scope_A = actions_in(rule.where, catalogue)
        if rule.each is None:
            found.append(Cap(rule.id, scope_A, rule.max, rule.days))
            continue
        value_A = np.array([action.get(rule.each) for action in catalogue.actions], dtype=object)
        for value in dict.fromkeys(value for value in value_A if value is not None):
            found.append(Cap(rule.id, scope_A & (value_A == value), rule.max, rule.days))
    return found
