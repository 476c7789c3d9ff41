"""How far sums of model estimates may be off, recounted: the errors of a metric are common to all contacts of a group of actions, and
have one correlation between groups, both of which the scores name.

With d = a common draw and one more per group, all independent and standard normal, an action's error is sqrt(r) d + sqrt(1 - r) d_g per
unit of its summed standard errors. A row is linearised at a vector v of these draws, whose length is at most 1: at each contact it
charges z * (sqrt(r) v + sqrt(1 - r) v_g) times its weighted standard error, and by Cauchy and Schwarz no more in all than z standard
errors of the sum.

Axes: U users, A actions.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from allocator.audit.audited_shard import Seen
from allocator.audit.checks import TOLERANCE, number
from allocator.audit.sums import Numerator, Part, Worth
from allocator.policy.kinds.base import Constraint
from ranker.catalogue import Catalogue


@dataclass
class Errors:
    """The standard errors of contacts seen so far, summed per metric and action."""

    catalogue: Catalogue
    sum_A: dict[str, np.ndarray] = field(default_factory=dict)

    def see(self, seen: Seen, member_U: np.ndarray, metrics: Iterable[str]) -> None:
        """Adds the contacts of these users."""
        inside_n = member_U[seen.user_n]
        user_n, action_n = seen.user_n[inside_n], seen.action_n[inside_n]
        for metric in metrics:
            if metric in seen.shard.stderr:
                stderr_n = seen.shard.stderr[metric][user_n, action_n].astype(np.float64)
                added_A = np.bincount(action_n, stderr_n, len(self.catalogue.actions))
                self.sum_A[metric] = self.sum_A.get(metric, 0.0) + added_A

    def of(self, weights: Mapping[str, np.ndarray]) -> float | None:
        """The standard error of the sum of weight * metric; None where one of the metrics has no standard errors."""
        if not weights or not weights.keys() <= self.sum_A.keys():
            return None
        variance = 0.0
        for metric, weight_A in weights.items():
            correlation, each_A = self.catalogue.error_correlation[metric], weight_A * self.sum_A[metric]
            groups = [math.fsum(each_A[members]) for members in groups_of(self.catalogue)]
            variance += correlation * math.fsum(groups) ** 2 + (1 - correlation) * math.fsum(each**2 for each in groups)
        return math.sqrt(variance)

    def slip(self, weights: Mapping[str, np.ndarray]) -> float:
        """Rounding error of that."""
        return TOLERANCE * sum(float(np.abs(weight_A * self.sum_A[name]).sum()) for name, weight_A in weights.items())


def groups_of(catalogue: Catalogue) -> list[list[int]]:
    """The actions that share errors, by position: those with one value of the attribute that the scores name, others alone."""
    found: dict[object, list[int]] = {}
    for position, action in enumerate(catalogue.actions):
        value = None if catalogue.error_groups is None else action.get(catalogue.error_groups)
        found.setdefault(("alone", position) if value is None else ("value", value), []).append(position)
    return list(found.values())


def weights_of(parts: tuple[Numerator, Part | None], bound: float) -> dict[str, np.ndarray]:
    """Metric -> float64[A]: the weights of `sum num - bound * sum den`."""
    found: dict[str, np.ndarray] = {}
    for part, factor in zip(parts, (1.0, -bound), strict=True):
        terms = part.metric_weights() if isinstance(part, Part | Worth) else ()
        for metric, weight_A in terms:
            found[metric] = found.get(metric, np.zeros(len(weight_A))) + factor * weight_A
    return {metric: weight_A for metric, weight_A in found.items() if weight_A.any()}


def certainty_of(rule: Constraint) -> float | None:
    """With which the rule's bounds hold, where it says so."""
    return getattr(rule, "certainty", None)


def z_of(rule: Constraint) -> float:
    """How many standard errors a rule's bounds leave room for."""
    certainty = certainty_of(rule)
    return 0.0 if certainty is None else round(NormalDist().inv_cdf(certainty), 6)


def gradient_as_told(told: object, weights: Mapping[str, np.ndarray], catalogue: Catalogue) -> dict[str, np.ndarray]:
    """Metric -> float64[A] of the certificate's gradient; 0 where it says nothing."""
    found = {}
    for metric, weight_A in weights.items():
        given = told.get(metric) if isinstance(told, dict) else None
        listed = [number(given.get(name)) or 0.0 if isinstance(given, dict) else 0.0 for name in catalogue.ids]
        found[metric] = np.where(weight_A != 0, np.array(listed), 0.0)
    return found


def _by_group(gradient_A: np.ndarray, counted_A: np.ndarray, catalogue: Catalogue) -> list[float]:
    """The gradient of each group that counts, infinite where it is not one for all of its actions."""
    groups = [[action for action in members if counted_A[action]] for members in groups_of(catalogue)]
    inside = [gradient_A[members] for members in groups if members]
    return [float(each_a[0]) if np.ptp(each_a) <= TOLERANCE else math.inf for each_a in inside]


def length(gradient: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray], catalogue: Catalogue) -> float:
    """Of the shortest vector of draws that gives this gradient; infinite where none does. The lower case a: one of each group."""
    squares = 0.0
    for metric, gradient_A in gradient.items():
        r, inside_a = (
            catalogue.error_correlation[metric],
            np.array(_by_group(gradient_A, weights[metric] != 0, catalogue)),
        )
        if not np.isfinite(inside_a).all():
            return math.inf
        if r == 1:
            squares += float(inside_a[0] ** 2) if np.ptp(inside_a) <= TOLERANCE else np.inf
            continue
        common = math.sqrt(r) * float(inside_a.sum()) / (1 - r + r * len(inside_a))
        squares += common**2 + float(np.square(inside_a - math.sqrt(r) * common).sum()) / (1 - r)
    return math.sqrt(squares)
