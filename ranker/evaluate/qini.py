"""Qini and AUUC: how well a score ranks users by the effect of one action against showing nothing.

    qini = integral over phi in [0, 1] of u(phi) - phi u(1),   u(phi) = (Y_t - Y_c N_t / N_c) / N_t(1)

Y_t, N_t (Y_c, N_c) are weighted outcomes and counts of contacted (not contacted) users among the share phi with the
highest scores. Weights are inverse propensities. The figure is per contacted user. Ties enter as one block (Radcliffe
2007). A constant score has 0.

    auuc = integral of u(phi) = qini + u(1) / 2

AUUC contains half of the average effect u(1): a random ranking has u(1) / 2, not 0. Outcomes are of any kind.

Axes: R rows.
"""

from dataclasses import dataclass

import numpy as np

from ranker.evaluate.off_policy import Estimate


@dataclass(frozen=True)
class Qini:
    """value: 0 for a ranking that tells nothing. auuc: the area under the curve, `average` being its end u(1).
    rows: contacted and not contacted rows used."""

    value: float
    stderr: float
    auuc: float
    auuc_stderr: float
    average: float
    rows: int


def qini(
    score_R: np.ndarray, contacted_R: np.ndarray, outcome_R: np.ndarray, propensity_R: np.ndarray, user_R: np.ndarray
) -> Qini | None:
    """The Qini of a score on rows of one action and of none. None where one of the two has no rows.

    contacted_R: bool. propensity_R: of what happened to the row. The stderr is that of the linear form with the ranking held
    fixed, clustered by user.
    """
    treated_R = np.asarray(contacted_R, bool)
    if treated_R.all() or not treated_R.any():
        return None
    weight_R = _weights(treated_R, propensity_R)
    block_R = _blocks(score_R)
    count_t, count_c = (np.bincount(block_R, weight_R * side) for side in (treated_R, ~treated_R))
    sum_t, sum_c = (np.bincount(block_R, weight_R * side * outcome_R) for side in (treated_R, ~treated_R))
    phi, gain = curve(count_t, sum_t, count_c, sum_c)
    value = float(np.trapezoid(gain - phi * gain[-1], phi))
    middle_R = _middles(score_R, treated_R, weight_R)
    stderr, auuc_stderr = (
        _stderr(lever_R, treated_R, outcome_R, weight_R, user_R) for lever_R in (0.5 - middle_R, 1.0 - middle_R)
    )
    return Qini(value, stderr, float(np.trapezoid(gain, phi)), auuc_stderr, float(gain[-1]), len(treated_R))


def ours_minus_this(
    score_R: np.ndarray,
    other_R: np.ndarray,
    contacted_R: np.ndarray,
    outcome_R: np.ndarray,
    propensity_R: np.ndarray,
    user_R: np.ndarray,
) -> Estimate | None:
    """The Qini of one score less that of another on the same rows: what both rank alike cancels out of the standard error."""
    parts = contacted_R, outcome_R, propensity_R, user_R
    one, other = qini(score_R, *parts), qini(other_R, *parts)
    if one is None or other is None:
        return None
    treated_R = np.asarray(contacted_R, bool)
    weight_R = _weights(treated_R, propensity_R)
    lever_R = _middles(other_R, treated_R, weight_R) - _middles(score_R, treated_R, weight_R)
    return Estimate(one.value - other.value, _stderr(lever_R, treated_R, outcome_R, weight_R, user_R))


def _middles(score_R: np.ndarray, treated_R: np.ndarray, weight_R: np.ndarray) -> np.ndarray:
    """phi in the middle of each row's block."""
    block_R = _blocks(score_R)
    share = np.cumsum(np.bincount(block_R, weight_R)) / weight_R.sum()
    return ((np.append(0.0, share[:-1]) + share) / 2)[block_R]


def curve(
    count_t: np.ndarray, sum_t: np.ndarray, count_c: np.ndarray, sum_c: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """phi and u(phi) at the ends of the blocks of equal score, highest first, from weighted counts and sums per block."""
    n_t, n_c, y_t, y_c = (np.concatenate([[0.0], np.cumsum(part)]) for part in (count_t, count_c, sum_t, sum_c))
    phi = (n_t + n_c) / (n_t[-1] + n_c[-1])
    ratio = np.divide(n_t, n_c, out=np.zeros_like(n_t), where=n_c > 0)
    return phi, (y_t - y_c * ratio) / n_t[-1]


def _weights(treated_R: np.ndarray, propensity_R: np.ndarray) -> np.ndarray:
    """Inverse propensities, summing to the same in both arms."""
    weight_R = 1.0 / propensity_R
    for side_R in (treated_R, ~treated_R):
        weight_R = np.where(side_R, weight_R / weight_R[side_R].sum(), weight_R)
    return weight_R


def _blocks(score_R: np.ndarray) -> np.ndarray:
    """int64[R]: block of equal score, 0 being the highest."""
    return np.unique(-np.asarray(score_R, np.float64), return_inverse=True)[1]


def _stderr(
    lever_R: np.ndarray, treated_R: np.ndarray, outcome_R: np.ndarray, weight_R: np.ndarray, user_R: np.ndarray
) -> float:
    """With N_t / N_c near constant, qini = sum of +-w y (1/2 - phi) and auuc = sum of +-w y (1 - phi), phi being the middle of the
    row's block; lever_R is what stands beside w y."""
    mean_t = (weight_R * outcome_R)[treated_R].sum()
    mean_c = (weight_R * outcome_R)[~treated_R].sum()
    part_R = weight_R * lever_R * np.where(treated_R, outcome_R - mean_t, mean_c - outcome_R)
    return float(np.sqrt((np.bincount(np.unique(user_R, return_inverse=True)[1], part_R) ** 2).sum()))
