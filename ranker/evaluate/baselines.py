"""Baselines, fitted on training users: best fixed action, average effects, response model, ridge T- and S-learner.

Axes: R rows, A actions, B = A + 1 arms, the last one `none`, D columns of the design matrix, M attribute values.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge

from ranker.evaluate.off_policy import Decisions
from ranker.features import Encoder, Features

PENALTY = 30.0  # of a standardised coefficient; a normal prior of standard deviation 0.18
SHRINKAGE = 0.5  # of the S-learner's interactions: a penalty four times as strong
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


def best_fixed(effect_A: np.ndarray, decisions: Decisions) -> int:
    """The arm that, given to everyone eligible (none to the others), earns most by its average effect; A is none."""
    share_A = decisions.eligible_RB[:, :-1].mean(0)
    seen_A = np.isfinite(effect_A)
    gain_B = np.append(np.where(seen_A, np.where(seen_A, effect_A, 0.0) * share_A, -np.inf), 0.0)
    return int(np.argmax(gain_B))


def design(encoder: Encoder, features: Features) -> sparse.csr_array:
    """[R, D]: numeric inputs and one-hot categories."""
    rows, groups = features.index_UG.shape
    levels = sum(encoder.level_counts)
    ends = np.arange(rows + 1) * groups
    hot = sparse.csr_array((np.ones(rows * groups), features.index_UG.reshape(-1), ends), shape=(rows, levels))
    return sparse.csr_array(sparse.hstack([sparse.csr_array(features.numeric_UI.astype(np.float64)), hot]))


@dataclass(frozen=True)
class ArmModels:
    """Expected outcome per arm, a ridge regression each: link intercept_B + x . coefficient_DB."""

    kind: str
    intercept_B: np.ndarray
    coefficient_DB: np.ndarray

    def expected(self, design_RD: sparse.csr_array) -> np.ndarray:
        """float64[R, B]."""
        link_RB = design_RD @ self.coefficient_DB + self.intercept_B
        return _mean(self.kind, link_RB)


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


@dataclass(frozen=True)
class SharedModel:
    """One ridge regression for all arms: link intercept + x . base_D + sum of action a's attributes m of (own_M + x . lean_DM)."""

    kind: str
    intercept: float
    base_D: np.ndarray
    own_M: np.ndarray
    lean_DM: np.ndarray

    def effect(self, design_RD: sparse.csr_array, table_AM: np.ndarray) -> np.ndarray:
        """float64[R, A]: expected outcome of each action less that of none."""
        none_R = design_RD @ self.base_D + self.intercept
        link_RA = none_R[:, None] + (design_RD @ self.lean_DM + self.own_M) @ table_AM.T
        return _mean(self.kind, link_RA) - _mean(self.kind, none_R)[:, None]


def fit_shared(
    kind: str, design_RD: sparse.csr_array, decisions: Decisions, outcome_R: np.ndarray, table_BM: np.ndarray
) -> SharedModel:
    """The S-learner: features, attributes of the logged action, and products of both. table_BM: the last row, of none, is zero.

    The products are never written down: all rows of an arm share their attributes, and so their coefficients of the features.
    """
    columns, attributes = design_RD.shape[1], table_BM.shape[1]
    if min((outcome_R != 0).sum(), (outcome_R != outcome_R[:1]).sum()) < FEWEST_EVENTS:
        nothing_M = np.zeros(attributes)
        constant = _link(kind, float(outcome_R.mean()))
        return SharedModel(kind, constant, np.zeros(columns), nothing_M, np.zeros((columns, attributes)))
    weight_R = 1.0 / decisions.propensity_R
    weight_R = weight_R / weight_R.sum()
    rows_B = [np.flatnonzero(decisions.arm_R == arm) for arm in range(len(table_BM))]
    parts = [
        (table_M.astype(np.float64), design_RD[rows], outcome_R[rows], weight_R[rows])
        for table_M, rows in zip(table_BM, rows_B, strict=True)
        if len(rows)
    ]
    penalty = PENALTY / len(outcome_R)

    def split(theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        own_M, lean = theta[1 + columns : 1 + columns + attributes], theta[1 + columns + attributes :]
        return theta[0], theta[1 : 1 + columns], own_M, lean.reshape(columns, attributes)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        intercept, base_D, own_M, lean_DM = split(theta)
        total, slope = 0.5 * penalty * (theta[1:] ** 2).sum(), np.append(0.0, penalty * theta[1:])
        _, base_slope_D, own_slope_M, lean_slope_DM = split(slope)
        for table_M, part_RD, y, weight in parts:
            link_r = intercept + own_M @ table_M + part_RD @ (base_D + SHRINKAGE * lean_DM @ table_M)
            left_r = weight * (_mean(kind, link_r) - y)
            slope_D = part_RD.T @ left_r
            slope[0] += left_r.sum()
            base_slope_D += slope_D
            own_slope_M += left_r.sum() * table_M
            lean_slope_DM += SHRINKAGE * slope_D[:, None] * table_M
            total += weight @ (np.logaddexp(0.0, link_r) - y * link_r if kind == "binary" else 0.5 * (link_r - y) ** 2)
        return total, slope

    start = np.zeros(1 + columns + attributes + columns * attributes)
    start[0] = _link(kind, float(outcome_R.mean()))
    options = {"maxiter": 500, "ftol": 1e-9, "gtol": 1e-5 * float(outcome_R.std())}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    intercept, base_D, own_M, lean_DM = split(found.x)
    return SharedModel(kind, float(intercept), base_D, own_M, SHRINKAGE * lean_DM)


def _fit_arm(kind: str, design_RD: sparse.csr_array, y: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    if kind == "binary":
        model = LogisticRegression(C=1.0 / PENALTY, max_iter=500, tol=1e-4).fit(design_RD, y, weight)
        return float(model.intercept_[0]), model.coef_[0]
    ridge = Ridge(alpha=PENALTY, solver="sparse_cg", tol=1e-4).fit(design_RD, y, weight)
    return float(ridge.intercept_), ridge.coef_


def _mean(kind: str, link: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-link)) if kind == "binary" else link


def _link(kind: str, mean: float) -> float:
    if kind != "binary":
        return mean
    mean = min(max(mean, 1e-6), 1 - 1e-6)
    return float(np.log(mean / (1 - mean)))
