"""The standard error of a sum of model estimates over contacts.

One metric's errors are common to all contacts of an action, and of the actions that the scores say share them: those with the same
value of the attribute `error_groups`, each action alone without it. Between groups they have the correlation r that the scores name for
the metric (`error_correlation`); errors of different metrics are independent. With the loads L[g], the sums of weight * stderr over the
contacts of group g, the variance of the sum is, per metric,

    r * (sum over g of L[g])^2 + (1 - r) * sum over g of L[g]^2

which is a one-factor model. Its root, over all metrics, is a norm of the loads: convex, and at least `gradient . L` for the gradient at any
other loads.

Axes: A actions, G groups of actions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Key = TypeVar("Key")
Loads = Mapping[Key, np.ndarray]
"""Per metric float64[A]: the sums by action."""


@dataclass(frozen=True)
class ErrorModel(Generic[Key]):
    """How errors go together. correlation: per metric, between groups. group_A: of each action."""

    correlation: Mapping[Key, float]
    group_A: np.ndarray

    def stderr_of(self, loads: Loads[Key]) -> float:
        """The standard error of the sum with these loads."""
        return float(np.sqrt(sum(self._variance(self.correlation[key], load_A) for key, load_A in loads.items())))

    def _variance(self, correlation: float, load_A: np.ndarray) -> float:
        load_G = np.bincount(self.group_A, load_A)
        return correlation * float(load_A.sum()) ** 2 + (1 - correlation) * float(load_G @ load_G)

    def gradient_at(self, loads: Loads[Key]) -> dict[Key, np.ndarray]:
        """Per metric float64[A]: by how much the standard error grows with each load; nothing where there is no error."""
        stderr, found = self.stderr_of(loads) or np.inf, {}
        for key, load_A in loads.items():
            r, load_G = self.correlation[key], np.bincount(self.group_A, load_A)
            found[key] = (r * load_A.sum() + (1 - r) * load_G[self.group_A]) / stderr
        return found
