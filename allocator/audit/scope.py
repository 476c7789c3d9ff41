"""Which actions and users a rule speaks of, straight from the contract's definitions.

Axes: U users, A actions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from allocator.policy.grammar import ContactRule, Policy
from allocator.policy.words import Filter
from ranker.catalogue import Catalogue
from ranker.scores import Shard


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

    days: on how many days up to the scores' date contacts count, beside those of this run; None: these alone. users: whom it binds.
    """

    rule: str
    scope_A: np.ndarray
    most: int
    days: int | None
    users: Filter


@dataclass(frozen=True)
class Need:
    """Whoever of `users` gets an action of `given_A` has at least `most` contacts of scope_A, those of so many days before included.

    The same names as in a cap, since both are counted alike.
    """

    rule: str
    given_A: np.ndarray
    scope_A: np.ndarray
    most: int
    days: int | None
    users: Filter


def caps_of(policy: Policy, catalogue: Catalogue) -> list[Cap]:
    """Every contact rule with a maximum, one with `each` once per value, one with `spoils` once for each two sorts of offers."""
    return [
        Cap(rule.id, scope_A, rule.max, rule.days, rule.listeners)
        for rule in policy.contact
        if rule.max is not None
        for scope_A in _scopes(rule, catalogue)
    ]


def needs_of(policy: Policy, catalogue: Catalogue) -> list[Need]:
    """What contacts need beside or before them: all or nothing the minimum of their own scope, a requirement one of another."""
    found = []
    for rule in policy.contact:
        if rule.requires is not None:
            wanted_A = actions_in(rule.requires, catalogue)
            given_A = actions_in(rule.where, catalogue)
            found.append(Need(rule.id, given_A, wanted_A, 1, rule.days, rule.listeners))
        elif rule.min is not None:
            own = _scopes(rule, catalogue)
            found += [Need(rule.id, scope_A, scope_A, rule.min, rule.days, rule.listeners) for scope_A in own]
    return found


def _scopes(rule: ContactRule, catalogue: Catalogue) -> list[np.ndarray]:
    """bool[A]: the actions that the rule counts together."""
    scope_A = actions_in(rule.where, catalogue)
    if rule.spoils is not None:
        return [scope_A & np.isin(catalogue.ids, list(ids)) for ids in spoiled_by(catalogue, rule.spoils)]
    if rule.each is None:
        return [scope_A]
    value_A = np.array([action.get(rule.each) for action in catalogue.actions], dtype=object)
    return [scope_A & (value_A == value) for value in dict.fromkeys(value for value in value_A if value is not None)]


def spoiled_by(catalogue: Catalogue, limit: float) -> list[frozenset[str]]:
    """The ids of each two sorts of offers of which the scores are sure, one-sided at 90 %, that one leaves less of the other's effect."""
    told = () if catalogue.interference is None else catalogue.interference.pairs
    sure = [pair for pair in told if pair.effect.kept + NormalDist().inv_cdf(0.9) * pair.effect.stderr < limit]
    sides = [(set(pair.where.items()), set(pair.beside.items())) for pair in sure]
    ids = [
        frozenset(
            str(action["id"]) for action in catalogue.actions if any(side <= set(action.items()) for side in both)
        )
        for both in sides
    ]
    return list(dict.fromkeys(ids))
