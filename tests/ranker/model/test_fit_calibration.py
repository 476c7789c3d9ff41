"""The calibration alone, on predictions made by hand: right, twice too strong, noise, and with averages that are off."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ranker.features import Features
from ranker.model.calibration import EffectVariance
from ranker.model.examples import Examples
from ranker.model.fit_calibration import (
    MOST,
    PRIOR_SLOPE_SD,
    Evidence,
    _with_prior,
    arm_weights,
    attenuation_ratio,
    calibrate_outcome,
    link_slope,
)
from ranker.model.outcome_heads import Target

ROWS, ACTIONS = 60_000, 4


def evidence(stretch: float = 1.0, noise: float = 0.0, off: float = 0.0) -> tuple[Evidence, np.ndarray]:
    """Outcomes with true effect 1 + x per action, predicted as 1 + off + stretch * x + noise; and the true average effects."""
    generator = np.random.default_rng(4)
    x_RA = generator.normal(scale=0.5, size=(ROWS, ACTIONS))
    effect_RA = 1.0 + x_RA
    propensity_RB = np.exp(0.5 * np.column_stack([x_RA, np.ones(ROWS)]))
    propensity_RB /= propensity_RB.sum(1, keepdims=True)
    arm_R = (generator.random(ROWS)[:, None] > propensity_RB.cumsum(1)).sum(1).clip(max=ACTIONS)
    rows = np.arange(ROWS)
    outcome_R = np.column_stack([effect_RA, np.zeros(ROWS)])[rows, arm_R] + generator.normal(size=ROWS)
    predicted_RA = 1.0 + off + stretch * x_RA + noise * generator.normal(size=x_RA.shape)
    examples = Examples(
        features=Features(np.zeros((ROWS, 0), np.float32), np.zeros((ROWS, 0), np.int64)),
        action_R=arm_R,
        propensity_R=propensity_RB[rows, arm_R],
        outcome_RO=outcome_R[:, None],
        user_R=rows,
        eligible_RA=np.ones((ROWS, ACTIONS), bool),
        early_RE=np.zeros((ROWS, 0)),
    )
    weight_R = arm_weights(arm_R, examples.propensity_R, ACTIONS)
    none_R = np.zeros(ROWS, np.float32)
    made = Evidence(
        examples,
        weight_R,
        rows % 3,
        outcome_R,
        none_R,
        predicted_RA.astype(np.float32),
        np.ones(len(rows)),
        True,
        0.3,
        2.0,
    )
    return made, effect_RA.mean(0)


@pytest.mark.parametrize(
    ("changes", "slope"),
    [
        ({}, 1.0),
        ({"stretch": 2.0}, 0.5),
        ({"stretch": 0.0, "noise": 0.5}, 0.0),
        ({"stretch": -1.0}, 0.0),
        ({"stretch": 1.0, "noise": 0.5}, 0.5),
        ({"stretch": 0.8}, 1.25),
        ({"stretch": 0.5}, 1.5),
    ],
)
def test_the_slope_is_how_much_of_the_prediction_is_real(changes, slope) -> None:
    calibrated = calibrate_outcome(evidence(**changes)[0])
    assert calibrated.pooled_slope == pytest.approx(slope, abs=0.08)
    np.testing.assert_allclose(calibrated.slope_A, slope, atol=0.12)


@pytest.mark.parametrize(("slope", "stderr", "attenuation_ratio"), [(0.1, 0.4, 1.0), (0.2, 0.1, 1.5), (0.9, 2.0, 2.0)])
def test_a_pooled_slope_of_little_evidence_is_that_of_a_posterior_mean(slope, stderr, attenuation_ratio) -> None:
    """The prior is of the mean over members: the slope times `attenuation_ratio`. The posterior by summing density over a grid."""
    grid_G = np.linspace(-4.0, 6.0, 20_001)
    log_G = -0.5 * ((grid_G - slope) / stderr) ** 2 - 0.5 * ((grid_G * attenuation_ratio - 1.0) / PRIOR_SLOPE_SD) ** 2
    share_G = np.exp(log_G) / np.exp(log_G).sum()
    mean = share_G @ grid_G
    found, variance = _with_prior(slope, stderr**2, MOST, attenuation_ratio)
    assert found == pytest.approx(mean, rel=1e-6)
    assert variance == pytest.approx(share_G @ (grid_G - mean) ** 2, rel=1e-6)


def test_slopes_without_any_evidence_are_1_on_the_mean_over_members() -> None:
    calibrated = calibrate_outcome(replace(evidence(stretch=0.0)[0], attenuation_ratio=2.0))
    assert calibrated.attenuation_ratio == 2.0
    np.testing.assert_allclose(calibrated.slope_A * calibrated.attenuation_ratio, 1.0)


@pytest.mark.parametrize("off", [0.0, 3.0, -3.0])
def test_averages_are_right_whatever_the_predictions_say(off) -> None:
    made, truth_A = evidence(off=off)
    calibrated = calibrate_outcome(made)
    assert (np.abs(calibrated.average_A - truth_A) < 3 * calibrated.average_stderr_A).all()
    assert calibrated.average_stderr_A.max() < 0.1


def test_the_error_of_the_rows_without_contact_is_in_all_averages() -> None:
    """With 100 of them its standard error is a tenth of the noise, which is 1: next to it the actions' own errors are small."""
    made, truth_A = evidence()
    none_R = np.flatnonzero(made.examples.action_R == ACTIONS)
    kept_R = np.sort(np.concatenate([np.flatnonzero(made.examples.action_R < ACTIONS), none_R[:100]]))
    part = made.examples.take(kept_R)
    fewer = replace(
        made,
        examples=part,
        weight_R=arm_weights(part.action_R, part.propensity_R, ACTIONS),
        fold_R=made.fold_R[kept_R],
        outcome_R=made.outcome_R[kept_R],
        none_R=made.none_R[kept_R],
        mean_RA=made.mean_RA[kept_R],
        information_R=np.ones(len(part)),
    )
    known, usual = calibrate_outcome(fewer), calibrate_outcome(made)
    assert known.common_stderr == pytest.approx(0.1, rel=0.2)
    assert (known.common_stderr <= known.average_stderr_A).all()
    assert (known.common_stderr > 0.95 * known.average_stderr_A).all()
    assert usual.common_stderr < 0.02
    error_A = known.average_A - truth_A
    assert np.ptp(error_A) < 0.5 * known.common_stderr, "one error for all"


def test_an_action_without_rows_takes_the_pooled_correction() -> None:
    made, truth_A = evidence(off=0.5)
    seen_R = made.examples.action_R != 2
    part = made.examples.take(seen_R)
    weight_R = arm_weights(part.action_R, part.propensity_R, ACTIONS)
    fewer = Evidence(
        part,
        weight_R,
        made.fold_R[seen_R],
        made.outcome_R[seen_R],
        made.none_R[seen_R],
        made.mean_RA[seen_R],
        np.ones(len(part)),
        True,
        0.3,
        2.0,
    )
    calibrated = calibrate_outcome(fewer)
    assert calibrated.average_A[2] == pytest.approx(truth_A[2], abs=0.15)
    assert calibrated.average_stderr_A.argmax() == 2


def test_weights_of_every_arm_add_up_to_the_rows_and_are_cut() -> None:
    action_R = np.array([0, 0, 0, 1, 2, 2])
    weight_R = arm_weights(action_R, np.array([0.5, 0.5, 1e-9, 0.1, 0.2, 0.4]), 2, clip=2.0)
    np.testing.assert_allclose(np.bincount(action_R, weight_R), 6.0)
    assert weight_R[2] < 6.0


def test_the_slope_of_a_member_becomes_that_of_the_mean_over_members() -> None:
    # Three members see the same effect, each with noise of its own: the truth regressed on one and on their mean.
    generator = np.random.default_rng(5)
    true_RA = generator.normal(size=(4_000, ACTIONS))
    seen_KRA = true_RA + generator.normal(size=(3, 4_000, ACTIONS))
    model = SimpleNamespace(members=seen_KRA, expected=lambda k, outcome, features: (np.zeros(4_000), seen_KRA[k]))
    examples = evidence()[0].examples.take(np.arange(4_000))
    one, mean = (np.polyfit(seen_RA.ravel(), true_RA.ravel(), 1)[0] for seen_RA in (seen_KRA[0], seen_KRA.mean(0)))
    assert attenuation_ratio(model, 0, examples) * one == pytest.approx(mean, rel=0.03)


def test_the_standard_error_has_every_part_and_grows_with_the_steepness() -> None:
    """Of users for whom members agree and nothing tells them apart: what averages leave in doubt, in proportion where it is steeper."""
    calibration = replace(calibrate_outcome(evidence()[0]), level_slope=0.5, link_slope=2.0)
    members = [
        (torch.zeros(2), torch.tensor(center_A, dtype=torch.float32).repeat(2, 1)) for center_A in calibration.center_KA
    ]
    slope_UA = torch.tensor([[2.0], [6.0]]).repeat(1, ACTIONS)
    variance = EffectVariance(torch.full_like(slope_UA, 0.03), torch.full_like(slope_UA, 0.08), slope_UA)
    _, mean_UA, stderr_UA = calibration.apply(members, variance)
    np.testing.assert_allclose(mean_UA, np.tile(calibration.average_A, (2, 1)), rtol=1e-5)
    average_A = calibration.average_stderr_A**2
    wanted_UA = 0.03 + 0.5**2 * 0.08 + np.stack([average_A, 3**2 * average_A])
    np.testing.assert_allclose(stderr_UA**2, wanted_UA, rtol=1e-4)


def test_the_steepness_is_averaged_over_what_users_may_get() -> None:
    target = Target("subs", "binary", "subscribers", 0, 0.0, 1.0, (0.0,), (1.0,))
    examples = evidence()[0].examples.take(np.arange(2))
    may = np.array([[True, False, False, False], [True, True, False, False]])
    mean_UA = np.array([[0.5, 0.9, 0.9, 0.9], [0.1, 0.2, 0.9, 0.9]], np.float32)
    model = SimpleNamespace(targets=[target], expected=lambda k, outcome, features: (np.zeros(2), mean_UA))
    assert link_slope(model, 0, replace(examples, eligible_RA=may)) == pytest.approx((0.25 + 0.09 + 0.16) / 3)
