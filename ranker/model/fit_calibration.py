"""Calibration from cross-fitted, doubly robust evidence: averages and slopes are corrected by users whom a member did not see.

The AIPW pseudo-outcome of action a against none on row r (Robins, Rotnitzky and Zhao 1994) is

    psi[r, a] = m_a(r) - m_0(r) + 1{a_r = a} w_r (y_r - m_a(r)) - 1{a_r = none} w_r (y_r - m_0(r))

with m the expectation of the member that did not see the user, and w the inverse propensity, normalised per action. The mean of psi is
the average effect. The slope of psi on (m_a - m_0) is the best linear predictor of Chernozhukov et al. (1712.04802).

With some sixty actions and rare outcomes both are noisy, so both are shrunk: averages across actions towards what their attributes
predict (normal-normal), an action's slope towards the slope pooled over actions, and the pooled slope towards 1, the slope on a
posterior mean.

Axes: R rows (r: some of them), U users, A actions, B = A + 1 arms (none last), K members, S points of a grid.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from ranker.files import unnamed
from ranker.model.calibration import Calibration, OutcomeCalibration
from ranker.model.ensemble import ValueModel
from ranker.model.examples import Examples, thinned
from ranker.model.splits import Splits

PRIOR_SLOPE, PRIOR_SLOPE_SD = 1.0, 0.3  # of truth on a posterior mean; on markets of 20,000 and 200,000 users: 1.0, 0.3
SLOPE_SPREAD = 0.15  # how far the slopes of actions may plausibly differ
MOST = 1.5  # of a slope: where shrinkage went too far, some of it is taken back
CLIP = 20.0
SOME_ROWS = 4_000  # for averages that need no more
ROWS_AT_ONCE = 65_536


def calibrated(model: ValueModel, examples: Examples, splits: Splits) -> ValueModel:
    """Calibrates a model.

    Args:
        model: of `fit`; an earlier calibration is ignored.
        examples: decisions of R rows, single contacts where logs have slates (`beside`).
        splits: the fold of each row; test rows are not used.

    Returns:
        The model with a calibration of every outcome, in the outcome's unit.
    """
    return model.calibrated(calibrate(model, examples, splits))


def calibrate(model: ValueModel, examples: Examples, splits: Splits) -> Calibration:
    """Calibrates every outcome on the rows that are not test rows and know it, or have something in its place."""
    outcomes = {}
    for o, target in enumerate(model.targets):
        rows, outcome_R, information_R = examples.filled(o)
        here = splits.learn_R[rows]
        rows, outcome_R, information_R = rows[here], outcome_R[here], information_R[here]
        learn, fold_R = examples.take(rows), splits.fold_R[rows]
        weight_R = arm_weights(learn.action_R, learn.propensity_R, learn.actions, information_R)
        none_R, mean_RA = cross_fitted(model, o, learn, fold_R)
        some = learn.take(thinned(np.arange(len(learn)), SOME_ROWS))
        per_link = float(target.per_link(torch.tensor(none_R.mean(dtype=np.float64))))
        evidence = Evidence(
            examples=learn,
            weight_R=weight_R,
            fold_R=fold_R,
            outcome_R=outcome_R,
            information_R=information_R,
            none_R=none_R,
            mean_RA=mean_RA,
            constant_variance=target.kind == "real",
            plausible=model.settings.action_sd * per_link,
            plausible_common=model.settings.contact_sd * per_link,
            attenuation_ratio=attenuation_ratio(model, o, some),
        )
        outcomes[target.name] = replace(calibrate_outcome(evidence), link_slope=link_slope(model, o, some))
    return _with_correlations(model, Calibration(outcomes), examples.take(np.flatnonzero(splits.learn_R)))


def _with_correlations(model: ValueModel, calibration: Calibration, learn: Examples) -> Calibration:
    """With the part of the variance of effects that is one error, common to all actions, over some of these rows."""
    some = learn.take(thinned(np.arange(len(learn)), SOME_ROWS))
    eligible_RA, found = some.eligible_RA, {}
    for o, (name, effect) in enumerate(model.calibrated(calibration).effects(some.features).items()):
        known = calibration.of(name)
        _, mean_RA = model.expected(0, o, some.features)
        slope_RA = model.targets[o].per_link(torch.from_numpy(mean_RA)).numpy().astype(np.float64) / known.link_slope
        variance = np.square(effect.stderr_UA, dtype=np.float64)[eligible_RA].sum()
        common = known.common_stderr**2 * np.square(slope_RA)[eligible_RA].sum()
        found[name] = replace(known, error_correlation=float(min(common / variance, 1.0)) if variance > 0 else 0.0)
    return Calibration(found)


def attenuation_ratio(model: ValueModel, outcome: int, examples: Examples) -> float:
    """Variance between users of one member's effects over that of the mean over members, >= 1.

    Slopes are estimated on single members, by users whom each did not see. A slope on one noisy predictor is attenuated next to the
    slope on the mean of several, by this ratio.
    """
    pairs = [model.expected(member, outcome, examples.features) for member in range(len(model.members))]
    deviation_KUA = np.stack([mean_UA - none_U[:, None] for none_U, mean_UA in pairs]).astype(np.float64)
    deviation_KUA -= deviation_KUA.mean(1, keepdims=True)
    together = (deviation_KUA.mean(0) ** 2).sum()
    return float((deviation_KUA**2).sum() / len(pairs) / together) if together > 0 else 1.0


def link_slope(model: ValueModel, outcome: int, examples: Examples) -> float:
    """Change of the outcome per unit of its link, averaged over users and the actions that they may get."""
    _, mean_UA = model.expected(0, outcome, examples.features)
    slope_UA = model.targets[outcome].per_link(torch.from_numpy(mean_UA)).numpy()
    return float(slope_UA[examples.eligible_RA].mean(dtype=np.float64)) if examples.eligible_RA.any() else 1.0


def arm_weights(
    action_R: np.ndarray,
    propensity_R: np.ndarray,
    actions: int,
    information_R: np.ndarray | float = 1.0,
    clip: float = CLIP,
) -> np.ndarray:
    """Inverse propensities [R], none above `clip` times its arm's average, times what a row tells, summing to the number of rows in
    every arm."""
    raw_R = 1.0 / propensity_R
    rows_A = np.maximum(np.bincount(action_R, minlength=actions + 1), 1)
    mean_A = np.bincount(action_R, raw_R, minlength=actions + 1) / rows_A
    clipped_R = np.minimum(raw_R, clip * mean_A[action_R]) * information_R
    total_A = np.bincount(action_R, clipped_R, minlength=actions + 1)
    return clipped_R * (len(action_R) / total_A[action_R])


def cross_fitted(
    model: ValueModel, outcome: int, examples: Examples, fold_R: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Expected outcome without contact [R] and with each action [R, A], each row by the member that did not see its user; the latter
    in a file that is gone when nobody reads it any more."""
    none_R = np.empty(len(examples), np.float32)
    shape = (len(examples), examples.actions)
    mean_RA = unnamed(shape, np.float32) if len(examples) else np.empty(shape, np.float32)
    for fold in range(len(model.members)):
        for rows in _parts(np.flatnonzero(fold_R == fold)):
            none_R[rows], mean_RA[rows] = model.expected(fold, outcome, examples.features.take(rows))
    return none_R, mean_RA


def _parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]


@dataclass(frozen=True)
class Evidence:
    """What the calibration of one outcome reads.

    weight_R: of `arm_weights`.
    information_R: information weight of each row: the inverse of its noise next to that of a complete outcome.
    none_R, mean_RA: cross-fitted expectations without contact and with each action.
    plausible: prior standard deviation, between actions, of what attributes do not predict, in the outcome's unit.
    plausible_common: prior standard deviation of what the network missed of the effect that all contacts share.
    attenuation_ratio: of the function of this name.
    """

    examples: Examples
    weight_R: np.ndarray
    fold_R: np.ndarray
    outcome_R: np.ndarray
    none_R: np.ndarray
    mean_RA: np.ndarray
    information_R: np.ndarray
    constant_variance: bool
    plausible: float
    plausible_common: float
    attenuation_ratio: float = 1.0

    @property
    def contacted_R(self) -> np.ndarray:
        return self.examples.action_R < self.examples.actions

    def expected_R(self) -> np.ndarray:
        """Of the logged action."""
        rows = np.arange(len(self.none_R))
        action_R = np.minimum(self.examples.action_R, self.examples.actions - 1)
        return np.where(self.contacted_R, self.mean_RA[rows, action_R], self.none_R).astype(np.float64)

    def effect(self, rows: np.ndarray) -> np.ndarray:
        """float32[r, A]"""
        return self.mean_RA[rows] - self.none_R[rows, None]

    def deviation(self, rows: np.ndarray, center_KA: np.ndarray) -> np.ndarray:
        """float32[r, A]: effects less their fold's averages, 0 where an action may not be shown."""
        centred_rA = self.effect(rows) - center_KA[self.fold_R[rows]].astype(np.float32)
        return np.where(self.examples.eligible_RA[rows], centred_rA, np.float32(0.0))

    def variance_R(self, residual_R: np.ndarray) -> np.ndarray:
        """Noise of each outcome: proportional to its expectation (binary, count, amount) over what it tells, with one factor over all.

        Arms without a single event would otherwise look certain. The factor includes rows of the same user going together.
        """
        shape_R = np.ones(len(residual_R)) if self.constant_variance else np.maximum(self.expected_R(), 1e-9)
        shape_R = shape_R / self.information_R
        factor = (residual_R**2).sum() / shape_R.sum()
        return factor * shape_R


def calibrate_outcome(evidence: Evidence) -> OutcomeCalibration:
    """Averages, slopes and their standard errors of one outcome."""
    examples = evidence.examples
    residual_R = evidence.outcome_R - evidence.expected_R()
    variance_R = evidence.variance_R(residual_R)
    folds = int(evidence.fold_R.max()) + 1
    center_KA = np.stack([_eligible_mean(evidence, np.flatnonzero(evidence.fold_R == k)) for k in range(folds)])
    average = _averages(evidence, residual_R, variance_R, center_KA)
    corrected_R = residual_R - average.correction_B[examples.action_R]
    slope = _slopes(evidence, corrected_R, variance_R, center_KA)
    return OutcomeCalibration(
        average_A=average.average_A,
        average_stderr_A=average.stderr_A,
        slope_A=slope.slope_A,
        slope_stderr_A=slope.stderr_A,
        attenuation_ratio=evidence.attenuation_ratio,
        link_slope=1.0,
        center_KA=center_KA,
        shift=float(average.correction_B[-1]),
        pooled_slope=slope.pooled,
        pooled_slope_stderr=slope.pooled_stderr,
        level=average.level,
        level_slope=average.level_slope,
        offset=average.offset,
        between=average.between,
        common_stderr=average.common_stderr,
    )


def _eligible_mean(evidence: Evidence, rows: np.ndarray) -> np.ndarray:
    """float64[A]: mean effect over the rows where the action may be shown; over all where it never may."""
    actions = evidence.examples.actions
    total_A, count_A, all_A = np.zeros(actions), np.zeros(actions), np.zeros(actions)
    for part in _parts(rows):
        effect_rA, eligible_rA = evidence.effect(part), evidence.examples.eligible_RA[part]
        total_A += np.where(eligible_rA, effect_rA, 0.0).sum(0, dtype=np.float64)
        count_A += eligible_rA.sum(0)
        all_A += effect_rA.sum(0, dtype=np.float64)
    return np.where(count_A > 0, total_A / np.maximum(count_A, 1), all_A / len(rows))


@dataclass(frozen=True)
class _Averages:
    """average_A: effects. stderr_A: of what is added to the predicted ones. correction_B: [A + 1] added to the network's expectation
    per arm, none last.

    level: predicted effect averaged over actions; level_slope: how much of an action's predicted distance from it is kept. common_stderr:
    the part of stderr_A that is one error for all actions.
    """

    average_A: np.ndarray
    stderr_A: np.ndarray
    correction_B: np.ndarray
    level: float
    level_slope: float
    offset: float
    between: float
    common_stderr: float


def _averages(evidence: Evidence, residual_R: np.ndarray, variance_R: np.ndarray, center_KA: np.ndarray) -> _Averages:
    """Three steps of shrinkage, each by what held-out residuals say: how much of the predicted differences between actions to
    keep, what all contacts have in common, and what is each action's own."""
    actions = center_KA.shape[1]
    predicted_A = center_KA.mean(0)
    level = float(predicted_A.mean())
    distance_A = predicted_A - level
    raw_B, noise_B = _arm_means(evidence, residual_R, variance_R)
    level_slope, level_variance = _level_slope(raw_B[:-1], noise_B[:-1], distance_A)
    raw_B[:-1] += (1 - level_slope) * distance_A  # what is left after that much of the prediction
    shrunk = shrink(raw_B[:-1], noise_B[:-1], evidence.plausible)
    shared, trust = _common(shrunk.mean_variance + noise_B[-1], evidence.plausible_common)
    none = shrunk.mean + (trust * (raw_B[-1] - shrunk.mean) if trust > 0 else 0.0)
    kept_A = level_slope * distance_A
    return _Averages(
        average_A=level + kept_A + shrunk.value_A - none,
        stderr_A=np.sqrt(shared + shrunk.variance_A + level_variance * distance_A**2),
        correction_B=np.append(shrunk.value_A - (1 - level_slope) * distance_A, none),
        level=level,
        level_slope=level_slope,
        offset=float(shrunk.mean - none),
        between=float(np.sqrt(shrunk.between + (kept_A.var() if actions > 1 else shared))),
        common_stderr=float(np.sqrt(shared)),
    )


def _common(variance: float, plausible: float) -> tuple[float, float]:
    """What all contacts have in common is known by the rows without contact: posterior variance, and the share to believe."""
    if not np.isfinite(variance):
        return plausible**2, 0.0
    trust = plausible**2 / (plausible**2 + variance)
    return trust * variance, trust


def _level_slope(raw_A: np.ndarray, noise_A: np.ndarray, distance_A: np.ndarray) -> tuple[float, float]:
    """Slope in [0, 1] of the actions' average effects on the predicted ones, and its variance."""
    precision_A = np.where(np.isfinite(noise_A), 1.0 / np.where(np.isfinite(noise_A), noise_A, 1.0), 0.0)
    if not precision_A.any():
        return PRIOR_SLOPE, PRIOR_SLOPE_SD**2
    centered_A = distance_A - (precision_A * distance_A).sum() / precision_A.sum()
    information = (precision_A * centered_A**2).sum()
    estimate = 1 + (precision_A * raw_A * centered_A).sum() / information if information > 0 else PRIOR_SLOPE
    return _with_prior(estimate, 1 / information if information > 0 else np.inf, most=1.0)


def _with_prior(slope: float, variance: float, most: float, attenuation_ratio: float = 1.0) -> tuple[float, float]:
    """The posterior mean of a slope, cut to [0, most], and its posterior variance.

    The prior is of the slope on the mean over members; a slope on one member is smaller by the attenuation ratio.
    """
    expected, spread = PRIOR_SLOPE / attenuation_ratio, PRIOR_SLOPE_SD / attenuation_ratio
    trust = spread**2 / (spread**2 + variance)
    return float(np.clip(expected + trust * (slope - expected), 0.0, most)), float(spread**2 * (1 - trust))


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


@dataclass(frozen=True)
class Shrunk:
    """value_A with posterior variance_A around the pooled mean (whose own variance is mean_variance); between: of true values."""

    value_A: np.ndarray
    variance_A: np.ndarray
    mean: float
    mean_variance: float
    between: float


def shrink(raw_A: np.ndarray, noise_A: np.ndarray, plausible: float) -> Shrunk:
    """Normal-normal shrinkage towards the pooled mean, the spread of the true values integrated out.

    raw_A with noise variances noise_A (infinite: never seen). plausible: standard deviation of the half-normal prior of the
    spread; with few data a point estimate of the spread is either 0 or noise (Gelman 2006, prior for hierarchical variances).
    """
    seen_A = np.isfinite(noise_A)
    if not seen_A.any():
        zero_A = np.zeros(len(raw_A))
        return Shrunk(zero_A, zero_A + plausible**2, 0.0, plausible**2, plausible**2)
    noise_A = np.maximum(noise_A, 1e-30)
    spread_S = plausible * np.linspace(0.01, 3.0, 60)
    precision_SA = np.where(seen_A, 1.0 / (noise_A + spread_S[:, None] ** 2), 0.0)
    total_S = precision_SA.sum(1)
    mean_S = (precision_SA * np.where(seen_A, raw_A, 0.0)).sum(1) / total_S
    misfit_SA = precision_SA * (np.where(seen_A, raw_A, 0.0) - mean_S[:, None]) ** 2
    log_S = 0.5 * np.log(np.where(seen_A, precision_SA, 1.0)).sum(1) - 0.5 * misfit_SA.sum(1) - 0.5 * np.log(total_S)
    log_S -= 0.5 * (spread_S / plausible) ** 2
    share_S = np.exp(log_S - log_S.max())
    share_S /= share_S.sum()
    trust_SA = spread_S[:, None] ** 2 * precision_SA
    value_SA = mean_S[:, None] + trust_SA * (np.where(seen_A, raw_A, 0.0) - mean_S[:, None])
    value_A = share_S @ value_SA
    inner_A = share_S @ (spread_S[:, None] ** 2 * (1 - trust_SA))
    mean = float(share_S @ mean_S)
    return Shrunk(
        value_A=value_A,
        variance_A=inner_A + share_S @ (value_SA - value_A) ** 2,
        mean=mean,
        mean_variance=float(share_S @ (1.0 / total_S + (mean_S - mean) ** 2)),
        between=float(share_S @ spread_S**2),
    )


@dataclass(frozen=True)
class _Slopes:
    slope_A: np.ndarray
    stderr_A: np.ndarray
    pooled: float
    pooled_stderr: float


def _slopes(evidence: Evidence, residual_R: np.ndarray, variance_R: np.ndarray, center_KA: np.ndarray) -> _Slopes:
    """Slopes of the pseudo-outcome on the centred effect: 1 + (what the residuals add), pooled, then per action."""
    examples, actions = evidence.examples, evidence.examples.actions
    share_A = examples.eligible_RA.mean(0)
    squares_A, total_A, noise_A = np.zeros(actions), np.zeros(actions), np.zeros(actions)
    none_A, none_noise_A, shared, shared_noise = np.zeros(actions), np.zeros(actions), 0.0, 0.0
    for part in _parts(np.arange(len(examples))):
        deviation_rA, action_r = evidence.deviation(part, center_KA), examples.action_R[part]
        weight_r, residual_r, variance_r = evidence.weight_R[part], residual_R[part], variance_R[part]
        squares_A += np.einsum("ra,ra->a", deviation_rA, deviation_rA, dtype=np.float64)
        there = np.flatnonzero(action_r < actions)
        lever_r = weight_r[there] * share_A[action_r[there]] * deviation_rA[there, action_r[there]]
        total_A += np.bincount(action_r[there], lever_r * residual_r[there], minlength=actions)
        noise_A += np.bincount(action_r[there], lever_r**2 * variance_r[there], minlength=actions)
        none = np.flatnonzero(action_r == actions)
        none_rA, shared_r = deviation_rA[none], deviation_rA[none].sum(1, dtype=np.float64)
        score_r, noise_r = weight_r[none] * residual_r[none], weight_r[none] ** 2 * variance_r[none]
        none_A += score_r @ none_rA
        none_noise_A += noise_r @ none_rA**2
        shared += (score_r * shared_r).sum()
        shared_noise += (noise_r * shared_r**2).sum()
    pooled, pooled_noise = PRIOR_SLOPE / evidence.attenuation_ratio, np.inf
    if squares_A.sum() > 0:
        total, noise = total_A.sum() - shared, noise_A.sum() + shared_noise
        pooled, pooled_noise = 1 + total / squares_A.sum(), noise / squares_A.sum() ** 2
    pooled, pooled_variance = _with_prior(pooled, pooled_noise, MOST, evidence.attenuation_ratio)
    total_A, noise_A = total_A - none_A, noise_A + none_noise_A
    safe_A = np.where(squares_A > 0, squares_A, 1.0)
    raw_A = np.where(squares_A > 0, 1 + total_A / safe_A, pooled)
    noise_A = np.where((squares_A > 0) & (noise_A > 0), noise_A / safe_A**2, np.inf)
    # Distances from the pooled slope are shrunk; the pooled slope itself keeps its own estimate.
    own = shrink(raw_A - pooled, noise_A, SLOPE_SPREAD)
    return _Slopes(
        slope_A=np.clip(pooled + own.value_A - own.mean, 0.0, MOST),
        stderr_A=np.sqrt(own.variance_A + pooled_variance),
        pooled=pooled,
        pooled_stderr=float(np.sqrt(pooled_variance)),
    )
