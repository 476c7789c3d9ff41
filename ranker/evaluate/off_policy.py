"""Off-policy values: IPS, SNIPS, doubly robust and SWITCH, with standard errors clustered by user.

policy_RB is the probability of each arm under the policy that is judged or, more generally, a signed measure: the value
is mean(sum_b policy_b E[y(b)]). Effects are taken to add up, so a slate of two contacts is 1 on each and -1 on none:
y(none) + (y(a) - y(none)) + (y(b) - y(none)).

Axes: R rows, A actions, B = A + 1 arms, the last one `none`, U users, N contacts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranker.normal import Z95

ESTIMATORS = ("IPS", "SNIPS", "DR", "SWITCH-DR")
SWITCH_AT = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)  # quantiles of the weights at which SWITCH may let go; 1 is DR


@dataclass(frozen=True)
class Decisions:
    """Logged decisions. arm_R: int64, A for `none`. propensity_R: of the logged arm. user_R: int64 codes. eligible_RB: bool."""

    arm_R: np.ndarray
    propensity_R: np.ndarray
    user_R: np.ndarray
    eligible_RB: np.ndarray

    def __len__(self) -> int:
        return len(self.arm_R)

    def take(self, rows: np.ndarray) -> "Decisions":
        """The rows of a mask or of positions."""
        return Decisions(self.arm_R[rows], self.propensity_R[rows], self.user_R[rows], self.eligible_RB[rows])


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
    """A policy's estimate by one estimator. influence_R: each row's part in it, so that differences can be paired.

    bias: what the estimator gave up for less noise, as far as the data tell; it widens the interval.
    """

    estimate: Estimate
    influence_R: np.ndarray
    effective_sample_size: float
    bias: float = 0.0


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


def of_slates(row_N: np.ndarray, action_N: np.ndarray, rows: int, actions: int) -> np.ndarray:
    """policy_RB: of N contacts, any number per row; none has 1 less the row's contacts."""
    policy_RB = np.zeros((rows, actions + 1), np.float32)
    policy_RB[row_N, action_N] = 1.0
    policy_RB[:, -1] = 1.0 - policy_RB[:, :-1].sum(1)
    return policy_RB


def mean_of(worth_R: np.ndarray, user_R: np.ndarray) -> Judged:
    """What is known of every row, such as the outcome under the logging policy itself."""
    return _judged(worth_R, user_R, np.ones(len(worth_R)))


def ips(decisions: Decisions, policy_RB: np.ndarray, outcome_R: np.ndarray) -> Judged:
    """mean(w y), w = policy / propensity. Unbiased; its variance grows with w (Horvitz and Thompson 1952)."""
    weight_R = weights(decisions, policy_RB)
    return _judged(weight_R * outcome_R, decisions.user_R, weight_R)


def snips(decisions: Decisions, policy_RB: np.ndarray, outcome_R: np.ndarray) -> Judged:
    """sum(w y) / sum(w). Biased by O(1/n), much less variance (Swaminathan and Joachims 2015).

    Of a measure the positive and the negative part are normalised each by itself: together they may well add up to 0.
    """
    weight_R = weights(decisions, policy_RB)
    gained_R = _normalised(decisions, np.maximum(policy_RB, 0.0), outcome_R)
    lost_R = _normalised(decisions, np.maximum(-policy_RB, 0.0), outcome_R)
    if gained_R is None or lost_R is None:
        return Judged(Estimate(0.0, np.inf), np.zeros(len(decisions)), 0.0)
    return _judged(gained_R - lost_R, decisions.user_R, weight_R)


def _normalised(decisions: Decisions, mass_RB: np.ndarray, outcome_R: np.ndarray) -> np.ndarray | None:
    """Each row's part in mean(mass) * sum(w y) / sum(w), w = mass / propensity >= 0; None where no row bears on it."""
    weight_R, mass_R = weights(decisions, mass_RB), mass_RB.sum(1, dtype=np.float64)
    total = weight_R.sum()
    if total == 0:
        return np.zeros(len(decisions)) if not mass_R.any() else None
    ratio = (weight_R * outcome_R).sum() / total
    return mass_R * ratio + weight_R * (outcome_R - ratio) * (mass_R.sum() / total)


def doubly_robust(
    decisions: Decisions, policy_RB: np.ndarray, outcome_R: np.ndarray, expected_RB: np.ndarray
) -> Judged:
    """mean(sum_b policy_b q_b + w (y - q_logged)). Unbiased whatever q = expected_RB is (Dudik, Langford and Li 2011)."""
    weight_R = weights(decisions, policy_RB)
    direct_R, correction_R = _parts(decisions, policy_RB, weight_R, outcome_R, expected_RB)
    return _judged(direct_R + correction_R, decisions.user_R, weight_R)


def switch(decisions: Decisions, policy_RB: np.ndarray, outcome_R: np.ndarray, expected_RB: np.ndarray) -> Judged:
    """mean(sum_b policy_b q_b + w 1{|w| <= t} (y - q_logged)): where weights are large the model is trusted (Wang, Agarwal and
    Dudik 2017).

    t is the quantile of the weights, out of SWITCH_AT, with the least variance + squared bias; the bias is what the rows beyond t
    would have added. Squared, it has its own noise in it, so that the choice errs towards DR. The interval takes that bias in as far
    as those rows show it, so it is right only where the model is not far off.
    """
    weight_R = weights(decisions, policy_RB)
    direct_R, correction_R = _parts(decisions, policy_RB, weight_R, outcome_R, expected_RB)
    size_R = np.abs(weight_R)
    reached_R = size_R[size_R > 0]
    best = _judged(direct_R + correction_R, decisions.user_R, weight_R)
    for threshold in np.unique(np.quantile(reached_R, SWITCH_AT))[:-1] if len(reached_R) else ():
        kept_R = np.where(size_R <= threshold, correction_R, 0.0)
        bias = float((correction_R - kept_R).mean())
        found = _judged(direct_R + kept_R, decisions.user_R, weight_R, bias)
        best = min(best, found, key=lambda judged: judged.estimate.stderr)
    return best


def _parts(
    decisions: Decisions, policy_RB: np.ndarray, weight_R: np.ndarray, outcome_R: np.ndarray, expected_RB: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the model expects under the policy, and what the logged outcome adds: float64[R] each."""
    logged_R = expected_RB[np.arange(len(decisions)), decisions.arm_R]
    direct_R = np.einsum("rb,rb->r", policy_RB, expected_RB, dtype=np.float64)
    return direct_R, weight_R * (outcome_R - logged_R)


def judge(
    decisions: Decisions, policy_RB: np.ndarray, outcome_R: np.ndarray, expected_RB: np.ndarray
) -> Mapping[str, Judged]:
    """All estimators, by name."""
    return {
        "IPS": ips(decisions, policy_RB, outcome_R),
        "SNIPS": snips(decisions, policy_RB, outcome_R),
        "DR": doubly_robust(decisions, policy_RB, outcome_R, expected_RB),
        "SWITCH-DR": switch(decisions, policy_RB, outcome_R, expected_RB),
    }


def added(parts: Sequence[Judged], user_R: np.ndarray) -> Judged:
    """The sum of estimates from the same rows, such as of weighted outcomes."""
    influence_R = np.sum([part.influence_R for part in parts], axis=0)
    if any(np.isinf(part.estimate.stderr) for part in parts):
        return Judged(Estimate(0.0, np.inf), influence_R, 0.0)
    bias = sum(part.bias for part in parts)
    value = sum(part.estimate.value for part in parts)
    stderr = float(np.hypot(clustered_stderr(influence_R, user_R), bias))
    return Judged(Estimate(value, stderr), influence_R, max(part.effective_sample_size for part in parts), bias)


def difference(one: Judged, other: Judged, user_R: np.ndarray) -> Estimate:
    """one - other on the same rows; what both have in common cancels out of the standard error."""
    value = one.estimate.value - other.estimate.value
    stderr = clustered_stderr(one.influence_R - other.influence_R, user_R)
    return Estimate(value, float(np.hypot(stderr, one.bias - other.bias)))


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


def _judged(influence_R: np.ndarray, user_R: np.ndarray, weight_R: np.ndarray, bias: float = 0.0) -> Judged:
    squares = (weight_R**2).sum()
    effective = float(np.abs(weight_R).sum() ** 2 / squares) if squares > 0 else 0.0
    stderr = float(np.hypot(clustered_stderr(influence_R, user_R), bias))
    return Judged(Estimate(float(influence_R.mean()), stderr), influence_R, effective, bias)
