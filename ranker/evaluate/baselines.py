"""What a network must beat: best fixed action, average effects, response model, ridge T-learner. All fitted on training users.

Axes: R rows, A actions, B = A + 1 arms, the last one `none`, D columns of the design matrix.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

from ranker.evaluate.off_policy import Decisions
from ranker.features import Encoder, Features

PENALTY = 30.0  # of a standardised coefficient; a normal prior of standard deviation 0.18
FEWEST_ROWS = 30  # an arm with fewer gets the average over all contacted rows
FEWEST_EVENTS = 5


def average_effects(decisions: Decisions, outcome_R: np.ndarray) -> np.ndarray:
    """float64[A]: difference of inverse propensity weighted means (Hajek) of each action and of none; -inf without rows."""
    arms = decisions.eligible_RB.shape[1]
    weight_R = 1.0 / decisions.propensity_R
    total_B = np.bincount(decisions.arm_R, weight_R, minlength=arms)
    sum_B = np.bincount(decisions.arm_R, weight_R * outcome_R, minlength=arms)
    mean_B = np.divide(sum_B, total_B, out=np.full(arms, -np.inf), where=total_B > 0)
    reference = mean_B[-1] if np.isfinite(mean_B[-1]) else sum_B.sum() / total_B.sum()
    return mean_B[:-1] - reference


def best_fixed(decisions: Decisions, outcome_R: np.ndarray) -> int:
    """The arm that, given to everyone eligible (none to the others), earns most; A is none. By inverse propensities."""
    effect_A = average_effects(decisions, outcome_R)
    share_A = decisions.eligible_RB[:, :-1].mean(0)
    gain_B = np.append(np.where(np.isfinite(effect_A), effect_A * share_A, -np.inf), 0.0)
    return int(np.argmax(gain_B))


def design(encoder: Encoder, features: Features) -> sparse.csr_array:
    """[R, D]: numeric inputs and one-hot categories."""
    rows, groups = features.index_UG.shape
    levels = sum(encoder.level_counts)
    ends = np.arange(rows + 1) * groups
    hot = sparse.csr_array((np.ones(rows * groups), features.index_UG.reshape(-1), ends), shape=(rows, levels))
    return sparse.csr_array(sparse.hstack([sparse.csr_array(features.numeric_UN.astype(np.float64)), hot]))


@dataclass(frozen=True)
class ArmModels:
    """Expected outcome per arm, a ridge regression each: link intercept_B + x . coefficient_DB."""

    kind: str
    intercept_B: np.ndarray
    coefficient_DB: np.ndarray

    def expected(self, design_RD: sparse.csr_array) -> np.ndarray:
        """float64[R, B]."""
        link_RB = design_RD @ self.coefficient_DB + self.intercept_B
        return 1.0 / (1.0 + np.exp(-link_RB)) if self.kind == "binary" else link_RB


def fit_arms(kind: str, design_RD: sparse.csr_array, decisions: Decisions, outcome_R: np.ndarray) -> ArmModels:
    """A model per arm: ridge logistic for binary outcomes, ridge for the others. An arm with too few rows or events gets a
    constant: its mean, drawn towards the mean of all rows."""
    arms, columns = decisions.eligible_RB.shape[1], design_RD.shape[1]
    intercept_B, coefficient_DB = np.zeros(arms), np.zeros((columns, arms))
    overall = float(outcome_R.mean())
    for arm in range(arms):
        rows = np.flatnonzero(decisions.arm_R == arm)
        y = outcome_R[rows]
        if (
            len(rows) < FEWEST_ROWS
            or min((y != 0).sum(), len(y) - (y != 0).sum() + (kind != "binary") * len(y)) < FEWEST_EVENTS
        ):
            constant = (y.sum() + FEWEST_ROWS * overall) / (len(rows) + FEWEST_ROWS)
            intercept_B[arm] = _link(kind, constant)
            continue
        weight = 1.0 / decisions.propensity_R[rows]
        intercept_B[arm], coefficient_DB[:, arm] = _fit_arm(kind, design_RD[rows], y, weight / weight.mean())
    return ArmModels(kind, intercept_B, coefficient_DB)


def _fit_arm(kind: str, design_RD: sparse.csr_array, y: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    if kind == "binary":
        model = LogisticRegression(C=1.0 / PENALTY, max_iter=500, tol=1e-4).fit(design_RD, y, weight)
        return float(model.intercept_[0]), model.coef_[0]
    ridge = Ridge(alpha=PENALTY).fit(design_RD.toarray(), y, weight)
    return float(ridge.intercept_), ridge.coef_


def _link(kind: str, mean: float) -> float:
    if kind != "binary":
        return mean
    mean = min(max(mean, 1e-6), 1 - 1e-6)
    return float(np.log(mean / (1 - mean)))
