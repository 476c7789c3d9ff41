"""Calibration from cross-fitted, doubly robust evidence: what the network says is corrected by users it did not see.

The AIPW pseudo-outcome of action a against none on row r (Robins, Rotnitzky and Zhao 1994) is

    psi[r, a] = m_a(r) - m_0(r) + 1{a_r = a} w_r (y_r - m_a(r)) - 1{a_r = none} w_r (y_r - m_0(r))

with m from the member that did not see the user and w the inverse propensity, normalised per action. Its mean is the average
effect; the slope of psi on (m_a - m_0) is the best linear predictor of Chernozhukov et al. (1712.04802). With some sixty actions
and rare outcomes both are noise on their own, so each is shrunk: averages across actions (normal-normal, towards what the
attributes predict), slopes towards the slope pooled over actions.

Axes: R rows, A actions, K members.
"""

from dataclasses import dataclass

import numpy as np

from ranker.model.calibration import Calibration, OutcomeCalibration
from ranker.model.ensemble import ValueModel
from ranker.model.examples import Examples
from ranker.model.splits import Splits

PRIOR_SLOPE, PRIOR_SLOPE_SD = 0.5, 0.5
PRIOR_SLOPE_BETWEEN = 0.15  # how far the slopes of actions differ, at least: what the data cannot show is not excluded
CLIP = 20.0


def calibrate(model: ValueModel, examples: Examples, splits: Splits) -> Calibration:
    """Calibrates every outcome on the rows that are not test rows."""
    learn = examples.take(splits.learn_R)
    fold_R = splits.fold_R[splits.learn_R]
    weight_R = arm_weights(learn.action_R, learn.propensity_R, learn.actions)
    outcomes = {}
    for o, target in enumerate(model.targets):
        none_R, mean_RA = cross_fitted(model, o, learn, fold_R)
        evidence = Evidence(learn, weight_R, fold_R, learn.outcome_RO[:, o], none_R, mean_RA, target.kind == "real")
        outcomes[target.name] = calibrate_outcome(evidence)
    return Calibration(outcomes)


def arm_weights(action_R: np.ndarray, propensity_R: np.ndarray, actions: int, clip: float = CLIP) -> np.ndarray:
    """Inverse propensities [R], none above `clip` times its arm's average, summing to the number of rows in every arm."""
    raw_R = 1.0 / propensity_R
    rows_A = np.maximum(np.bincount(action_R, minlength=actions + 1), 1)
    mean_A = np.bincount(action_R, raw_R, minlength=actions + 1) / rows_A
    clipped_R = np.minimum(raw_R, clip * mean_A[action_R])
    total_A = np.bincount(action_R, clipped_R, minlength=actions + 1)
    return clipped_R * (len(action_R) / total_A[action_R])


def cross_fitted(
    model: ValueModel, outcome: int, examples: Examples, fold_R: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Expected outcome without contact [R] and with each action [R, A], each row by the member that did not see its user."""
    none_R = np.empty(len(examples), np.float32)
    mean_RA = np.empty((len(examples), examples.actions), np.float32)
    for fold in range(len(model.members)):
        rows = np.flatnonzero(fold_R == fold)
        none_R[rows], mean_RA[rows] = model.expected(fold, outcome, examples.features.take(rows))
    return none_R, mean_RA


@dataclass(frozen=True)
class Evidence:
    """What the calibration of one outcome reads. weight_R: of `arm_weights`. none_R, mean_RA: cross-fitted expectations."""

    examples: Examples
    weight_R: np.ndarray
    fold_R: np.ndarray
    outcome_R: np.ndarray
    none_R: np.ndarray
    mean_RA: np.ndarray
    constant_variance: bool

    @property
    def contacted_R(self) -> np.ndarray:
        return self.examples.action_R < self.examples.actions

    def expected_R(self) -> np.ndarray:
        """Of the logged action."""
        rows = np.arange(len(self.none_R))
        action_R = np.minimum(self.examples.action_R, self.examples.actions - 1)
        return np.where(self.contacted_R, self.mean_RA[rows, action_R], self.none_R).astype(np.float64)

    def variance_R(self, residual_R: np.ndarray) -> np.ndarray:
        """Noise of each outcome: proportional to its expectation (binary, count, amount), with one factor over all rows.

        Arms without a single event would otherwise look certain. The factor includes rows of the same user going together.
        """
        shape_R = np.ones(len(residual_R)) if self.constant_variance else np.maximum(self.expected_R(), 1e-9)
        factor = (residual_R**2).sum() / shape_R.sum()
        return factor * shape_R


def calibrate_outcome(evidence: Evidence) -> OutcomeCalibration:
    """Averages, slopes and their standard errors of one outcome."""
    examples, actions = evidence.examples, evidence.examples.actions
    residual_R = evidence.outcome_R - evidence.expected_R()
    variance_R = evidence.variance_R(residual_R)
    effect_RA = evidence.mean_RA - evidence.none_R[:, None]
    folds = int(evidence.fold_R.max()) + 1
    center_KA = np.stack([_eligible_mean(effect_RA, examples.eligible_RA, evidence.fold_R == k) for k in range(folds)])
    average = _averages(evidence, residual_R, variance_R, center_KA)
    corrected_R = residual_R - average.correction_A[examples.action_R]
    apart_RA = np.where(examples.eligible_RA, effect_RA - center_KA[evidence.fold_R].astype(np.float32), 0.0)
    slope = _slopes(evidence, corrected_R, variance_R, apart_RA)
    return OutcomeCalibration(
        average_A=center_KA.mean(0) + average.correction_A[:actions] - average.correction_A[actions],
        average_stderr_A=average.stderr_A,
        slope_A=slope.slope_A,
        slope_stderr_A=slope.stderr_A,
        center_KA=center_KA,
        shift=float(average.correction_A[actions]),
        pooled_slope=slope.pooled,
        pooled_slope_stderr=slope.pooled_stderr,
        offset=float(average.common - average.correction_A[actions]),
        between=average.between,
    )


def _eligible_mean(effect_RA: np.ndarray, eligible_RA: np.ndarray, rows_R: np.ndarray) -> np.ndarray:
    """float64[A]: mean effect over the rows where the action may be shown; over all where it never may."""
    total_A = np.where(eligible_RA[rows_R], effect_RA[rows_R], 0.0).sum(0, dtype=np.float64)
    count_A = eligible_RA[rows_R].sum(0)
    return np.where(count_A > 0, total_A / np.maximum(count_A, 1), effect_RA[rows_R].mean(0, dtype=np.float64))


@dataclass(frozen=True)
class _Averages:
    """correction_A: [A + 1], added to the network's expectation, none last. common: the correction that actions share."""

    correction_A: np.ndarray
    stderr_A: np.ndarray
    common: float
    between: float


def _averages(evidence: Evidence, residual_R: np.ndarray, variance_R: np.ndarray, center_KA: np.ndarray) -> _Averages:
    """Mean residual per arm, shrunk by empirical Bayes towards the mean over arms."""
    actions = evidence.examples.actions
    raw_A, noise_A = _arm_means(evidence, residual_R, variance_R)
    common, common_variance, between = _pooled(raw_A[:actions], noise_A[:actions])
    trust_A = np.where(np.isfinite(noise_A), between / (between + np.where(np.isfinite(noise_A), noise_A, 1.0)), 0.0)
    correction_A = common + trust_A * (np.where(np.isfinite(noise_A), raw_A, common) - common)
    posterior_A = np.where(trust_A < 1, between * (1 - trust_A), 0.0)
    members = len(center_KA)
    apart_KA = center_KA - center_KA.mean(1, keepdims=True)
    jackknife_A = (members - 1) / members * ((apart_KA - apart_KA.mean(0)) ** 2).sum(0)
    # Few members: an action's own spread is a poor estimate, so half of it is the average over actions.
    own_A = 0.5 * jackknife_A + 0.5 * jackknife_A.mean()
    shared = noise_A[actions] + common_variance if np.isfinite(noise_A[actions]) else common_variance
    spread_between = float(center_KA.mean(0).var()) if actions > 1 else shared
    return _Averages(
        correction_A=correction_A,
        stderr_A=np.sqrt(shared + posterior_A[:actions] + own_A),
        common=common,
        between=float(np.sqrt(between + spread_between)),
    )


def _arm_means(evidence: Evidence, residual_R: np.ndarray, variance_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean residual of every arm [A + 1] and its variance; infinite variance where an arm has no rows.

    Rows of one user go together: the variance is scaled by how much more users vary than independent rows would.
    """
    examples, arms = evidence.examples, evidence.examples.actions + 1
    weight_R, action_R = evidence.weight_R, examples.action_R
    total_A = np.bincount(action_R, weight_R, minlength=arms)
    seen_A = total_A > 0
    safe_A = np.where(seen_A, total_A, 1.0)
    raw_A = np.bincount(action_R, weight_R * residual_R, minlength=arms) / safe_A
    noise_A = np.bincount(action_R, weight_R**2 * variance_R, minlength=arms) / safe_A**2
    for rows_R, arms_of in ((~evidence.contacted_R, slice(-1, None)), (evidence.contacted_R, slice(0, -1))):
        noise_A[arms_of] *= _clustering(examples.user_R[rows_R], action_R[rows_R], (weight_R * residual_R)[rows_R])
    return raw_A, np.where(seen_A, noise_A, np.inf)


def _clustering(user_R: np.ndarray, action_R: np.ndarray, score_R: np.ndarray) -> float:
    """Variance of user sums over the variance of independent rows, at least 1."""
    if not len(user_R):
        return 1.0
    pair_R = np.unique(user_R * (action_R.max() + 1) + action_R, return_inverse=True)[1]
    independent = (score_R**2).sum()
    return float(max(1.0, (np.bincount(pair_R, score_R) ** 2).sum() / independent)) if independent > 0 else 1.0


def _pooled(raw_A: np.ndarray, noise_A: np.ndarray, at_least: float = 0.0) -> tuple[float, float, float]:
    """Mean, its variance, and the variance between true values (DerSimonian and Laird 1986, iterated as Paule and Mandel).

    raw_A with noise variances noise_A (infinite: not observed).
    """
    seen_A = np.isfinite(noise_A) & (noise_A > 0)
    if not seen_A.any():
        return 0.0, 0.0, at_least
    raw_A, noise_A = raw_A[seen_A], noise_A[seen_A]
    between = 0.0
    for _ in range(20):
        precision_A = 1.0 / (noise_A + between)
        mean = (precision_A * raw_A).sum() / precision_A.sum()
        excess = (precision_A * (raw_A - mean) ** 2).sum() - (len(raw_A) - 1)
        slope = (precision_A**2 * (raw_A - mean) ** 2).sum()
        if (excess <= 0 and between == 0.0) or slope <= 0:
            break
        between = max(0.0, between + excess / slope)
    between = max(between, at_least)
    precision_A = 1.0 / (noise_A + between)
    mean = (precision_A * raw_A).sum() / precision_A.sum()
    return float(mean), float(1.0 / precision_A.sum()), float(between)


@dataclass(frozen=True)
class _Slopes:
    slope_A: np.ndarray
    stderr_A: np.ndarray
    pooled: float
    pooled_stderr: float


def _slopes(evidence: Evidence, residual_R: np.ndarray, variance_R: np.ndarray, apart_RA: np.ndarray) -> _Slopes:
    """Slopes of the pseudo-outcome on the centred effect: 1 + (what the residuals add), pooled, then per action."""
    examples = evidence.examples
    rows = np.flatnonzero(evidence.contacted_R)
    none = np.flatnonzero(~evidence.contacted_R)
    action_r, actions = examples.action_R[rows], examples.actions
    share_A = examples.eligible_RA.mean(0)
    weight_r = evidence.weight_R[rows] * share_A[action_r]
    lever_r = weight_r * apart_RA[rows, action_r]
    total_A = np.bincount(action_r, lever_r * residual_R[rows], minlength=actions)
    noise_A = np.bincount(action_r, lever_r**2 * variance_R[rows], minlength=actions)
    weight_n = evidence.weight_R[none]
    apart_nA = apart_RA[none]
    squares_A = np.einsum("ra,ra->a", apart_RA, apart_RA, dtype=np.float64)
    pooled, pooled_noise = PRIOR_SLOPE, np.inf
    if squares_A.sum() > 0:
        shared_n = apart_nA.sum(1, dtype=np.float64)
        total = total_A.sum() - (weight_n * residual_R[none] * shared_n).sum()
        noise = noise_A.sum() + (weight_n**2 * variance_R[none] * shared_n**2).sum()
        pooled, pooled_noise = 1 + total / squares_A.sum(), noise / squares_A.sum() ** 2
    trust = PRIOR_SLOPE_SD**2 / (PRIOR_SLOPE_SD**2 + pooled_noise)
    pooled = PRIOR_SLOPE + trust * (pooled - PRIOR_SLOPE)
    pooled_variance = PRIOR_SLOPE_SD**2 * (1 - trust)
    total_A = total_A - (weight_n * residual_R[none]) @ apart_nA
    noise_A = noise_A + (weight_n**2 * variance_R[none]) @ apart_nA**2
    safe_A = np.where(squares_A > 0, squares_A, 1.0)
    raw_A = np.where(squares_A > 0, 1 + total_A / safe_A, pooled)
    noise_A = np.where((squares_A > 0) & (noise_A > 0), noise_A / safe_A**2, np.inf)
    _, _, between = _pooled(raw_A, noise_A, at_least=PRIOR_SLOPE_BETWEEN**2)
    trust_A = np.where(np.isfinite(noise_A), between / (between + np.where(np.isfinite(noise_A), noise_A, 1.0)), 0.0)
    slope_A = pooled + trust_A * (raw_A - pooled)
    return _Slopes(
        slope_A=np.clip(slope_A, 0.0, 1.0),
        stderr_A=np.sqrt(between * (1 - trust_A) + pooled_variance),
        pooled=float(np.clip(pooled, 0.0, 1.0)),
        pooled_stderr=float(np.sqrt(pooled_variance)),
    )
