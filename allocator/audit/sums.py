"""What contacts are worth and what constraints sum, in float64, with the sum of absolute terms that rounding errors are relative to.

Axes: U users of a shard, n contacts, A actions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from allocator.audit.checks import TOLERANCE
from allocator.audit.scope import actions_in, times_of
from allocator.policy.grammar import Constraint, Term
from ranker.scores import Catalogue, Shard


@dataclass
class Sum:
    """A sum and the sum of the absolute terms, to which rounding errors are relative."""

    value: float = 0.0
    absolute: float = 0.0

    def add(self, terms_n: np.ndarray) -> None:
        self.value += float(terms_n.sum(dtype=np.float64))
        self.absolute += float(np.abs(terms_n).sum(dtype=np.float64))

    @property
    def slip(self) -> float:
        return TOLERANCE * self.absolute


@dataclass(frozen=True)
class Part:
    """Half of a constraint: the sum over contacts of weight_A, times a metric's mean where there is one."""

    weight_A: np.ndarray
    metric: str | None

    def of(self, shard: Shard, user_n: np.ndarray, action_n: np.ndarray) -> np.ndarray:
        """float64[n]: what each contact adds."""
        weight_n = self.weight_A[action_n]
        return (
            weight_n if self.metric is None else weight_n * shard.mean[self.metric][user_n, action_n].astype(np.float64)
        )


@dataclass(frozen=True)
class Worth:
    """What contacts are worth by an objective: the sum over its terms of weight * metric [* times], risk taken off."""

    terms: Sequence[Term]
    risk_z: float
    catalogue: Catalogue

    def of(self, shard: Shard, user_n: np.ndarray, action_n: np.ndarray) -> np.ndarray:
        """float64[n]: what each contact adds."""
        return self.parts_of(shard, user_n, action_n)[0]

    def parts_of(self, shard: Shard, user_n: np.ndarray, action_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float64[n] twice: what each contact adds, and the sum of the absolute terms."""
        value_n, absolute_n = np.zeros(len(user_n)), np.zeros(len(user_n))
        for term in self.terms:
            mean_n = shard.mean[term.metric][user_n, action_n].astype(np.float64)
            weight_n = (term.weight * times_of(term.times, self.catalogue))[action_n]
            value_n += weight_n * mean_n
            absolute_n += np.abs(weight_n * mean_n)
            if self.risk_z > 0:
                risk_n = self.risk_z * np.abs(weight_n) * shard.stderr[term.metric][user_n, action_n]
                value_n -= risk_n
                absolute_n += risk_n
        return value_n, absolute_n

    def add_to(self, mean: Mapping[str, np.ndarray], spread: Mapping[str, np.ndarray], factor: float) -> None:
        """Adds `factor` times this objective to the weights of means and standard errors."""
        for term in self.terms:
            weight_A = term.weight * times_of(term.times, self.catalogue)
            mean[term.metric] += factor * weight_A
            spread[term.metric] -= factor * self.risk_z * np.abs(weight_A)


def parts_of(rule: Constraint, catalogue: Catalogue) -> tuple[Part, Part | None]:
    """Numerator and denominator of a constraint, straight from the contract's definitions."""
    where_A = actions_in(rule.where, catalogue)
    if rule.kind in ("volume", "change"):
        return Part(where_A.astype(float), None), None
    if rule.kind == "share":
        of_A = actions_in(rule.of, catalogue)
        return Part((where_A & of_A).astype(float), None), Part(of_A.astype(float), None)
    numerator = Part(where_A * times_of(rule.times, catalogue), rule.metric)
    if rule.kind == "total":
        return numerator, None
    if rule.kind == "average":
        return numerator, Part(where_A.astype(float), None)
    return numerator, Part(where_A * times_of(rule.per.times, catalogue), rule.per.metric)
