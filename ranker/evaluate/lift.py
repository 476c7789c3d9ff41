"""The lift of a week: users who were held out at random against the others, outcome by outcome.

The lift is the difference of means, adjusted for covariates known before the week. In each group the outcome is
regressed on the centred covariates, and the lift is the difference of the two intercepts (Lin 2013, 1208.2301). It is
unbiased up to O(1/n) for any covariates, and in large groups never noisier than the plain difference. With outcomes of
earlier weeks among the covariates it is CUPED (Deng, Xu, Kohavi and Walker 2013).

Axes: U users (u: those of one group), X covariates, D columns of a regression (1, then covariates).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ranker.evaluate.off_policy import Estimate
from ranker.normal import Z95

POWER = 0.8
USERS_PER_COVARIATE = 20  # of the smaller group; the adjustment's bias is of the order of their ratio
FEWEST_USERS = 30  # of a group, below which nothing is said
FEWEST_EVENTS = 10  # users of a group with any outcome, below which its own variance tells too little
SUSPICIOUS = 0.001


@dataclass(frozen=True)
class Lift:
    """Of one outcome, per user: control and treated means as observed, the plain and the adjusted difference, and how many users.

    covariates: how many were used.
    """

    control: Estimate
    treated: Estimate
    plain: Estimate
    adjusted: Estimate
    users_control: int
    users_treated: int
    covariates: int

    @property
    def relative(self) -> Estimate | None:
        """The adjusted lift as a share of the control's mean, by the delta method; None where that is not clear of zero."""
        base = self.treated.value - self.adjusted.value  # the control's mean, adjusted to everybody's covariates
        if not base > Z95 * self.control.stderr:
            return None
        ratio = self.adjusted.value / base
        # The treated mean is the base plus the lift; base and lift move against each other by the control's noise.
        noise = np.hypot(self.adjusted.stderr, ratio * self.control.stderr) / base
        return Estimate(ratio, float(noise))

    def detectable(self, level: float = 0.05, power: float = POWER) -> float:
        """The smallest true lift that would be found in this many users, in `power` of all weeks, at this level."""
        return float((stats.norm.isf(level / 2) + stats.norm.ppf(power)) * self.adjusted.stderr)


def lift(outcome_U: np.ndarray, treated_U: np.ndarray, covariate_UX: np.ndarray) -> Lift | None:
    """covariate_UX: known before, most telling first; only as many are used as the smaller group can carry. None where a group has
    fewer than FEWEST_USERS."""
    sizes = int((~treated_U).sum()), int(treated_U.sum())
    if min(sizes) < FEWEST_USERS:
        return None
    chosen_UX = _independent(covariate_UX, treated_U, min(sizes) // USERS_PER_COVARIATE)
    centred_UX = chosen_UX - chosen_UX.mean(0)
    sides = ~treated_U, treated_U
    control, treated = (_intercept(outcome_U[side], centred_UX[side], _least(outcome_U, side)) for side in sides)
    # Users are drawn from many: where the groups' slopes differ, the mean of the covariates is chance too.
    slope_X = treated.slope_X - control.slope_X
    drawn = float(((centred_UX @ slope_X) ** 2).sum()) / len(outcome_U) ** 2
    means = [_mean(outcome_U[side], _least(outcome_U, side)) for side in sides]
    return Lift(
        control=means[0],
        treated=means[1],
        plain=Estimate(means[1].value - means[0].value, float(np.hypot(means[1].stderr, means[0].stderr))),
        adjusted=Estimate(treated.value - control.value, float(np.sqrt(treated.variance + control.variance + drawn))),
        users_control=sizes[0],
        users_treated=sizes[1],
        covariates=chosen_UX.shape[1],
    )


def _least(outcome_U: np.ndarray, side_U: np.ndarray) -> float:
    """The least that the variance of a group's mean is taken for: with hardly any events in it, that of all users, for a group in which
    nothing happened would look certain."""
    rare = np.count_nonzero(outcome_U[side_U]) < FEWEST_EVENTS
    return float(outcome_U.var(ddof=1) / side_U.sum()) if rare else 0.0


def _mean(outcome_u: np.ndarray, least: float) -> Estimate:
    return Estimate(float(outcome_u.mean()), float(np.sqrt(max(outcome_u.var(ddof=1) / len(outcome_u), least))))


def _independent(covariate_UX: np.ndarray, treated_U: np.ndarray, most: int) -> np.ndarray:
    """The first columns, at most `most`, that vary in both groups and are no mixture of those before them."""
    chosen: list[np.ndarray] = []
    basis: list[np.ndarray] = []
    for column_U in covariate_UX.T.astype(np.float64):
        if len(chosen) == most:
            break
        if any(np.ptp(column_U[side]) == 0 for side in (treated_U, ~treated_U)):
            continue
        centred_U = column_U - column_U.mean()
        rest_U = centred_U.copy()
        for direction_U in basis:
            rest_U -= (direction_U @ rest_U) * direction_U
        if np.linalg.norm(rest_U) > 1e-6 * np.linalg.norm(centred_U):
            chosen.append(column_U)
            basis.append(rest_U / np.linalg.norm(rest_U))
    return np.column_stack(chosen) if chosen else np.zeros((len(covariate_UX), 0))


@dataclass(frozen=True)
class _Intercept:
    value: float
    variance: float
    slope_X: np.ndarray


def _intercept(outcome_u: np.ndarray, centred_uX: np.ndarray, least: float) -> _Intercept:
    """Least squares in one group; the intercept's variance with residuals scaled by their leverage (HC2)."""
    design_uD = np.column_stack([np.ones(len(outcome_u)), centred_uX])
    inverse_DD = np.linalg.pinv(design_uD.T @ design_uD)
    coefficient_D = inverse_DD @ (design_uD.T @ outcome_u)
    lever_u = design_uD @ inverse_DD[0]
    leverage_u = np.einsum("ud,de,ue->u", design_uD, inverse_DD, design_uD)
    residual_u = (outcome_u - design_uD @ coefficient_D) ** 2 / np.maximum(1 - leverage_u, 1e-9)
    variance = max(float((lever_u**2 * residual_u).sum()), least)
    return _Intercept(float(coefficient_D[0]), variance, coefficient_D[1:])


@dataclass(frozen=True)
class SampleRatio:
    """How many users stand in each group, how many should, and how likely so large a deviation is by chance."""

    observed: Mapping[str, int]
    expected: Mapping[str, float]
    p_value: float

    @property
    def holds(self) -> bool:
        """Whether the groups are as they were drawn, as far as anybody can tell."""
        return self.p_value >= SUSPICIOUS


def sample_ratio(observed: Mapping[str, int], shares: Mapping[str, float]) -> SampleRatio:
    """A chi-square test of the sizes of groups against the shares they were drawn with; shares add up to 1."""
    users = sum(observed.values())
    expected = {name: share * users for name, share in shares.items()}
    some = [name for name in shares if expected[name] > 0]
    if len(some) < 2 or users == 0:
        return SampleRatio(dict(observed), expected, 1.0)
    squares = sum((observed[name] - expected[name]) ** 2 / expected[name] for name in some)
    return SampleRatio(dict(observed), expected, float(stats.chi2.sf(squares, len(some) - 1)))


@dataclass(frozen=True)
class JudgedMetric:
    """How an outcome counts in the decision. margin: by what share of the control's mean a guardrail may be worse."""

    name: str
    lower_is_better: bool = False
    success: bool = False
    margin: float | None = None


@dataclass(frozen=True)
class Condition:
    """One thing that was asked of the week, and whether it was shown."""

    metric: str
    asked: str
    met: bool


@dataclass(frozen=True)
class ShippingVerdict:
    """ship, or not, and why. Ship: the groups are as drawn, at least one success metric is better, all guardrails are shown to be
    no worse than by their margin."""

    ship: bool
    sentence: str
    conditions: tuple[Condition, ...]


def decide(
    metrics: Sequence[JudgedMetric], lifts: Mapping[str, Lift | None], ratio: SampleRatio, level: float
) -> ShippingVerdict:
    """Success metrics share the level between them (Bonferroni), since any one of them will do; every guardrail must hold by itself,
    tested on one side."""
    tried = [metric for metric in metrics if metric.success]
    success = [_better(metric, lifts.get(metric.name), level / max(len(tried), 1)) for metric in tried]
    guarded = [_no_worse(metric, lifts.get(metric.name), level) for metric in metrics if metric.margin is not None]
    conditions = (*success, *guarded)
    if not ratio.holds:
        why = f"the groups are not as they were drawn (p = {ratio.p_value:.1g}), so nothing here can be trusted"
        return ShippingVerdict(False, f"Don't ship: {why}.", conditions)
    better = [condition.metric for condition in success if condition.met]
    failing = [condition.metric for condition in guarded if not condition.met]
    reasons = []
    if not better:
        named = ", ".join(metric.name for metric in tried) or "no metric is asked to be better"
        reasons.append(f"no success metric is shown to be better ({named})")
    if failing:
        reasons.append(f"not shown to be safe: {', '.join(failing)}")
    if reasons:
        return ShippingVerdict(False, f"Don't ship: {'; '.join(reasons)}.", conditions)
    kept = f", and {', '.join(c.metric for c in guarded)} no worse than allowed" if guarded else ""
    return ShippingVerdict(True, f"Ship: {', '.join(better)} better{kept}.", conditions)


def _better(metric: JudgedMetric, found: Lift | None, level: float) -> Condition:
    """Two-sided, on the side that is good."""
    asked = f"{'less' if metric.lower_is_better else 'more'} than the holdout, at level {level:.3g}"
    if found is None:
        return Condition(metric.name, asked, False)
    sign = -1 if metric.lower_is_better else 1
    low = sign * found.adjusted.value - stats.norm.isf(level / 2) * found.adjusted.stderr
    return Condition(metric.name, asked, bool(low > 0))


def _no_worse(metric: JudgedMetric, found: Lift | None, level: float) -> Condition:
    """Non-inferiority: the worst that the data leave possible is within the margin."""
    side = "above" if metric.lower_is_better else "below"
    asked = f"at most {100 * metric.margin:.3g} % {side} the holdout, at level {level:.3g}"
    if found is None:
        return Condition(metric.name, asked, False)
    sign = -1 if metric.lower_is_better else 1
    worst = sign * found.adjusted.value - stats.norm.isf(level) * found.adjusted.stderr
    return Condition(metric.name, asked, bool(worst > -metric.margin * abs(found.control.value)))
