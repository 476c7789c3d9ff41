"""The standard error of a sum of model estimates over contacts.

One metric's errors are common to all contacts of an action. Between actions they have the correlation r that the scores name for the
metric (`error_correlation`); errors of different metrics are independent. With the loads L[a], the sums of weight * stderr over the
contacts of action a, the variance of the sum is, per metric,

    r * (sum over a of L[a])^2 + (1 - r) * sum over a of L[a]^2

which is a one-factor model. Its root, over all metrics, is a norm of the loads: convex, and at least `gradient . L` for the gradient at any
other loads.

Axes: A actions.
"""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

Key = TypeVar("Key")
Loads = Mapping[Key, np.ndarray]
"""Per metric float64[A]."""
Correlations = Mapping[Key, float]


def stderr_of(loads: Loads[Key], correlation: Correlations[Key]) -> float:
    """The standard error of the sum with these loads."""
    squares = (
        correlation[key] * float(load_A.sum()) ** 2 + (1 - correlation[key]) * float(load_A @ load_A)
        for key, load_A in loads.items()
    )
    return float(np.sqrt(sum(squares)))


def gradient_at(loads: Loads[Key], correlation: Correlations[Key]) -> dict[Key, np.ndarray]:
    """Per metric float64[A]: by how much the standard error grows with each load; nothing where there is no error."""
    stderr = stderr_of(loads, correlation)
    return {
        key: (correlation[key] * load_A.sum() + (1 - correlation[key]) * load_A) / (stderr or np.inf)
        for key, load_A in loads.items()
    }
