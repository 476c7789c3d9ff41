"""The value of a policy from logs of another one: IPS, SNIPS and doubly robust, with standard errors clustered by user.

Axes: R rows, B = A + 1 arms, the last one `none`. policy_RB: probability of each arm under the policy to be judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

ESTIMATORS = ("IPS", "SNIPS", "DR")
Z95 = 1.959964


@dataclass(frozen=True)
class Decisions:
    """Logged decisions. arm_R: int64, A for `none`. propensity_R: of the logged arm. user_R: int64 codes. eligible_RB: bool."""

    arm_R: np.ndarray
    propensity_R: np.ndarray
    user_R: np.ndarray
    eligible_RB: np.ndarray

    def __len__(self) -> int:
        return len(self.arm_R)


@dataclass(frozen=True)
class Estimate:
    """value per decision, in the outcome's unit; low and high bound a 95 % interval."""

    value: float
    stderr: float

    @property
    def low(self) -> float:
        return self.value - Z95 * self.stderr

    @property
    def high(self) -> float:
        return self.value + Z95 * self.stderr

    def to_json(self) -> dict[str, float]:
        return {"value": self.value, "stderr": self.stderr, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Judged:
    """A policy's estimate by one estimator. influence_R: each row's part in it, so that differences can be paired."""

    estimate: Estimate
    influence_R: np.ndarray
    effective_sample_size: float


def greedy(score_RA: np.ndarray, eligible_RA: np.ndarray) -> np.ndarray:
    """policy_RB: the eligible action with the highest score, none where no score is above 0; the first of equals."""
    rows, actions = score_RA.shape
    score_RB = np.column_stack([np.where(eligible_RA, score_RA, -np.inf), np.zeros(rows)])
    policy_RB = np.zeros((rows, actions + 1), np.float32)
    # `none` stands last, so that argmax prefers an action only where it is worth more than nothing.
    best_R = np.argmax(score_RB[:, ::-1], axis=1)
    policy_RB[np.arange(rows), actions - best_R] = 1.0
    return policy_RB


def uniform(eligible_RA: np.ndarray) -> np.ndarray:
    """policy_RB: every eligible action and none equally likely."""
    arms_RB = np.column_stack([eligible_RA, np.ones(len(eligible_RA), bool)]).astype(np.float32)
    return arms_RB / arms_RB.sum(1, keepdims=True)


def always(arm: int, eligible_RA: np.ndarray) -> np.ndarray:
    """policy_RB: one action for everyone who is eligible for it, none for the others."""
    policy_RB = np.zeros((len(eligible_RA), eligible_RA.shape[1] + 1), np.float32)
    may_R = np.ones(len(eligible_RA), bool) if arm == eligible_RA.shape[1] else eligible_RA[:, arm]
    policy_RB[:, arm] = may_R
    policy_RB[:, -1] = np.where(may_R, policy_RB[:, -1], 1.0)
    return policy_RB


def as_logged(decisions: Decisions, outcome_R: np.ndarray) -> Judged:
    """The logging policy itself: the mean outcome."""
    return _judged(outcome_R, decisions.user_R, np.ones(len(decisions)))


def ips(decisions: Decisions, policy_RB: np.ndarray, outcome_R: np.ndarray) -> Judged:
    """mean(w y), w = policy / propensity. Unbiased; its variance grows with w (Horvitz and Thompson 1952)."""
    weight_R = weights(decisions, policy_RB)
    return _judged(weight_R * outcome_R, decisions.user_R, weight_R)


def snips(decisions: Decisions, policy_RB: np.ndarray, outcome_R: np.ndarray) -> Judged:
    """sum(w y) / sum(w). Biased by O(1/n), much less variance (Swaminathan and Joachims 2015)."""
    weight_R = weights(decisions, policy_RB)
    total = weight_R.sum()
    if total == 0:
        return Judged(Estimate(0.0, np.inf), np.zeros(len(decisions)), 0.0)
    value = float((weight_R * outcome_R).sum() / total)
    influence_R = value + weight_R * (outcome_R - value) * (len(decisions) / total)
    return _judged(influence_R, decisions.user_R, weight_R)


def doubly_robust(
    decisions: Decisions, policy_RB: np.ndarray, outcome_R: np.ndarray, expected_RB: np.ndarray
) -> Judged:
    """mean(sum_b policy_b q_b + w (y - q_logged)). Unbiased whatever q = expected_RB is (Dudik, Langford and Li 2011)."""
    weight_R = weights(decisions, policy_RB)
    logged_R = expected_RB[np.arange(len(decisions)), decisions.arm_R]
    direct_R = np.einsum("rb,rb->r", policy_RB, expected_RB)
    return _judged(direct_R + weight_R * (outcome_R - logged_R), decisions.user_R, weight_R)


def judge(
    decisions: Decisions, policy_RB: np.ndarray, outcome_R: np.ndarray, expected_RB: np.ndarray
) -> Mapping[str, Judged]:
    """All estimators, by name."""
    return {
        "IPS": ips(decisions, policy_RB, outcome_R),
        "SNIPS": snips(decisions, policy_RB, outcome_R),
        "DR": doubly_robust(decisions, policy_RB, outcome_R, expected_RB),
    }


def difference(one: Judged, other: Judged, user_R: np.ndarray) -> Estimate:
    """one - other on the same rows; what both have in common cancels out of the standard error."""
    value = one.estimate.value - other.estimate.value
    return Estimate(value, clustered_stderr(one.influence_R - other.influence_R, user_R))


def weights(decisions: Decisions, policy_RB: np.ndarray) -> np.ndarray:
    """float64[R]: policy over propensity of the logged arm."""
    return policy_RB[np.arange(len(decisions)), decisions.arm_R].astype(np.float64) / decisions.propensity_R


def clustered_stderr(influence_R: np.ndarray, user_R: np.ndarray) -> float:
    """Standard error of the mean of influence_R, the rows of a user summed first."""
    if not len(influence_R):
        return float("inf")
    users, code_R = np.unique(user_R, return_inverse=True)
    total_U = np.bincount(code_R, influence_R - influence_R.mean())
    inflation = len(users) / max(len(users) - 1, 1)
    return float(np.sqrt(inflation * (total_U**2).sum()) / len(influence_R))


def _judged(influence_R: np.ndarray, user_R: np.ndarray, weight_R: np.ndarray) -> Judged:
    squares = (weight_R**2).sum()
    effective = float(weight_R.sum() ** 2 / squares) if squares > 0 else 0.0
    return Judged(Estimate(float(influence_R.mean()), clustered_stderr(influence_R, user_R)), influence_R, effective)
