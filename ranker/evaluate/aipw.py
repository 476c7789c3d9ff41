"""Doubly robust (AIPW) pseudo-outcomes of contacts, row by row: the yardstick of calibration, budgets and segments.

    psi[r, a] = q_a(r) - q_0(r) + 1{a_r = a} w_r (y_r - q_a(r)) - 1{a_r = none} w_r (y_r - q_0(r))

(Robins, Rotnitzky and Zhao 1994). q is an outcome model of other users, w the inverse propensity. The mean over any set
of rows that is chosen by features is the average effect there. The value of one row is nearly all noise.

Axes: R rows, A actions, B = A + 1 arms, the last one `none`.
"""

import numpy as np

from ranker.evaluate.off_policy import Decisions


def balanced_weights(decisions: Decisions) -> np.ndarray:
    """Inverse propensities [R] that add up, in every arm, to the number of rows that are eligible for it (Hajek 1971)."""
    arms = decisions.eligible_RB.shape[1]
    weight_R = 1.0 / decisions.propensity_R
    total_B = np.bincount(decisions.arm_R, weight_R, minlength=arms)
    rows_B = decisions.eligible_RB.sum(0)
    factor_B = np.divide(rows_B, total_B, out=np.zeros(arms), where=total_B > 0)
    return weight_R * factor_B[decisions.arm_R]


def effects(decisions: Decisions, outcome_R: np.ndarray, expected_RB: np.ndarray) -> np.ndarray:
    """psi: float64[R, A], 0 where not eligible."""
    rows = np.arange(len(decisions))
    residual_R = balanced_weights(decisions) * (outcome_R - expected_RB[rows, decisions.arm_R])
    psi_RA = (expected_RB[:, :-1] - expected_RB[:, -1:]).astype(np.float64)
    shown = np.flatnonzero(decisions.arm_R < psi_RA.shape[1])
    psi_RA[shown, decisions.arm_R[shown]] += residual_R[shown]
    none = np.flatnonzero(decisions.arm_R == psi_RA.shape[1])
    psi_RA[none] -= residual_R[none, None]
    return np.where(decisions.eligible_RB[:, :-1], psi_RA, 0.0)
