"""Reliability of an effect's differences between users; close to 0, a score is no more than its action's average.

    reliability[a] = V(mean[., a]) / (V(mean[., a]) + E(stderr[., a]^2)),    over the users who may get action a

The variance of a posterior mean and the average posterior variance add up to the variance of the truth. The ratio is
therefore the known part of that variance, and the squared correlation with the truth (Lord and Novick 1968, Statistical
Theories of Mental Test Scores, chapter 3). The standard error also contains the uncertainty of the average, so the
ratio is a lower bound.

Axes: R rows, A actions.
"""

import numpy as np

from ranker.model.ensemble import ValueModel
from ranker.model.examples import Examples, thinned

LEAST = 0.1
"""Below it differences between users are said to be noise."""
ROWS = 20_000


def reliabilities(model: ValueModel, examples: Examples, rows: np.ndarray) -> list[dict]:
    """Per outcome and action, from some of the rows: `reliability` in [0, 1], None where the action may be given to fewer than two of
    them; `average`: whether the score is its action's average, to all that can be told."""
    some = examples.take(thinned(rows, ROWS))
    found = []
    for outcome, effects in model.effects(some.features).items():
        for a, action in enumerate(model.actions):
            may_R = some.eligible_RA[:, a]
            known = reliability(effects.mean_UA[may_R, a], effects.stderr_UA[may_R, a])
            average = known is not None and known < LEAST
            found.append({"outcome": outcome, "action": str(action["id"]), "reliability": known, "average": average})
    return found


def reliability(mean_R: np.ndarray, stderr_R: np.ndarray) -> float | None:
    """Of one action, from the scores of users who may get it."""
    if len(mean_R) < 2:
        return None
    known, doubted = mean_R.var(dtype=np.float64), np.square(stderr_R, dtype=np.float64).mean()
    return float(known / (known + doubted)) if known > 0 else 0.0
