"""What contacts are worth and what constraints sum, in float64, with the sum of absolute terms that rounding errors are relative to.

Axes: U users, N contacts, n those of a shard, A actions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from allocator.audit.audited_shard import Seen
from allocator.audit.checks import TOLERANCE
from allocator.audit.scope import times_of
from allocator.policy.words import Term
from ranker.catalogue import Catalogue
from ranker.scores import Shard


@dataclass
class Sum:
    """A sum and the sum of the absolute terms, to which rounding errors are relative."""

    value: float = 0.0
    absolute: float = 0.0

    def add(self, terms_n: np.ndarray, absolute_n: np.ndarray | None = None) -> None:
        """absolute_n: of each term what it is itself the sum of, in absolute terms."""
        self.value += float(terms_n.sum(dtype=np.float64))
        self.absolute += float((np.abs(terms_n) if absolute_n is None else absolute_n).sum(dtype=np.float64))

    @property
    def slip(self) -> float:
        return TOLERANCE * self.absolute


@dataclass(frozen=True)
class Weights:
    """What a contact is worth as weights, float64[A]: of every metric's mean, of its standard error, and a constant."""

    mean: Mapping[str, np.ndarray]
    spread: Mapping[str, np.ndarray]
    constant_A: np.ndarray

    def add_absolute(self, other: "Weights") -> None:
        """Adds what weights of one term are without their signs."""
        for own, added in ((self.mean, other.mean), (self.spread, other.spread)):
            for name, weight_A in added.items():
                own[name][:] += np.abs(weight_A)
        self.constant_A[:] += np.abs(other.constant_A)


def no_weights(catalogue: Catalogue) -> Weights:
    actions, names = len(catalogue.actions), [metric.name for metric in catalogue.metrics]
    return Weights(
        {name: np.zeros(actions) for name in names}, {name: np.zeros(actions) for name in names}, np.zeros(actions)
    )


@dataclass(frozen=True)
class Part:
    """Half of a constraint: the sum over contacts of weight_A, times a metric's mean where there is one."""

    weight_A: np.ndarray
    metric: str | None

    def count(self, seen: Seen, member_U: np.ndarray, total: Sum) -> None:
        """Adds what each contact of these users does."""
        inside_n = member_U[seen.user_n]
        user_n, action_n = seen.user_n[inside_n], seen.action_n[inside_n]
        weight_n = self.weight_A[action_n]
        if self.metric is not None:
            weight_n = weight_n * seen.shard.mean[self.metric][user_n, action_n].astype(np.float64)
        total.add(weight_n)

    def terms(self) -> Iterator["Part"]:
        """It is the only one."""
        yield self

    def metric_weights(self) -> Iterator[tuple[str, np.ndarray]]:
        """What it sums of a metric, float64[A], where it sums one."""
        if self.metric is not None:
            yield self.metric, self.weight_A

    def add_to(self, weights: Weights, factor: float) -> None:
        """Adds `factor` times this sum."""
        target_A = weights.constant_A if self.metric is None else weights.mean[self.metric]
        target_A += factor * self.weight_A


@dataclass(frozen=True)
class Changed:
    """The number of users who are given another set of actions than in the earlier allocation."""

    def count(self, seen: Seen, member_U: np.ndarray, total: Sum) -> None:
        """Adds 1 for each of these users who is changed."""
        total.add(seen.changed_U[member_U].astype(np.float64))


@dataclass(frozen=True)
class Reached:
    """The number of users who are given at least one action of a scope."""

    scope_A: np.ndarray

    def hit(self, got_UA: np.ndarray) -> np.ndarray:
        """bool[U]: who is, given these actions."""
        return np.asarray(got_UA[:, self.scope_A].any(axis=1))

    def count(self, seen: Seen, member_U: np.ndarray, total: Sum) -> None:
        """Adds 1 for each of these users who is."""
        total.add(self.hit(seen.got_UA)[member_U].astype(np.float64))


@dataclass(frozen=True)
class Worth:
    """What contacts are worth by an objective: the sum over its terms of weight * metric [* times], risk taken off.

    A term without a metric is weight * times, whoever gets the contact.
    """

    objective: Sequence[Term]
    risk_z: float
    catalogue: Catalogue

    def count(self, seen: Seen, member_U: np.ndarray, total: Sum) -> None:
        """Adds what each contact of these users does."""
        inside_n = member_U[seen.user_n]
        total.add(*self.parts_of(seen.shard, seen.user_n[inside_n], seen.action_n[inside_n]))

    def terms(self) -> Iterator["Worth"]:
        """Each of its terms as an objective."""
        return (replace(self, objective=(term,)) for term in self.objective)

    def parts_of(self, shard: Shard, user_n: np.ndarray, action_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float64[n] twice: what each contact adds, and the sum of the absolute terms."""
        value_n, absolute_n = np.zeros(len(user_n)), np.zeros(len(user_n))
        for term in self.objective:
            if term.metric is None:
                cost_n = (term.weight * times_of(term.times, self.catalogue))[action_n]
                value_n += cost_n
                absolute_n += np.abs(cost_n)
                continue
            mean_n = shard.mean[term.metric][user_n, action_n].astype(np.float64)
            weight_n = (term.weight * times_of(term.times, self.catalogue))[action_n]
            value_n += weight_n * mean_n
            absolute_n += np.abs(weight_n * mean_n)
            if self.risk_z > 0:
                risk_n = self.risk_z * np.abs(weight_n) * shard.stderr[term.metric][user_n, action_n]
                value_n -= risk_n
                absolute_n += risk_n
        return value_n, absolute_n

    def metric_weights(self) -> Iterator[tuple[str, np.ndarray]]:
        """What its terms sum of metrics, float64[A]."""
        for term in self.objective:
            if term.metric is not None:
                yield term.metric, term.weight * times_of(term.times, self.catalogue)

    def add_to(self, weights: Weights, factor: float) -> None:
        """Adds `factor` times this objective."""
        for term in self.objective:
            weight_A = term.weight * times_of(term.times, self.catalogue)
            if term.metric is None:
                constant_A = weights.constant_A
                constant_A += factor * weight_A
                continue
            weights.mean[term.metric] += factor * weight_A
            weights.spread[term.metric] -= factor * self.risk_z * np.abs(weight_A)


@dataclass(frozen=True)
class Charges:
    """What a row with a certainty charges beside its own use: metric -> float64[A], per unit of a contact's standard error."""

    charge_A: Mapping[str, np.ndarray]

    def terms(self) -> Iterator["Charges"]:
        """Each alone."""
        yield from (Charges({metric: charge_A}) for metric, charge_A in self.charge_A.items())

    def add_to(self, weights: Weights, factor: float) -> None:
        """Adds `factor` times this."""
        for metric, charge_A in self.charge_A.items():
            weights.spread[metric] += factor * charge_A


Numerator = Part | Worth | Changed | Reached
