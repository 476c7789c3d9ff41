"""Realised effects, and predicted against realised, by definition and against a known truth."""

import numpy as np
import pytest

from ranker.evaluate import aipw, calibration
from ranker.evaluate.off_policy import Decisions

ROWS, ACTIONS = 4_000, 3


def draw(generator: np.random.Generator, rows: int = ROWS, exaggerated: float = 1.0):
    """Decisions with chances that depend on x, some actions forbidden; predictions `exaggerated` times too far apart between users."""
    x_R = generator.normal(size=rows)
    eligible_RA = np.column_stack([np.ones(rows, bool), generator.random((rows, ACTIONS - 1)) < 0.7])
    odds_RB = np.exp(np.outer(x_R, [0.3, 0.0, -0.3, 0.0])) * np.column_stack([eligible_RA, np.ones(rows)])
    chance_RB = odds_RB / odds_RB.sum(1, keepdims=True)
    arm_R = (generator.random(rows)[:, None] > chance_RB.cumsum(1)).sum(1).clip(max=ACTIONS)
    average_A = np.array([0.5, 1.0, 1.5])
    effect_RA = average_A + np.outer(x_R, [1.0, -1.0, 0.5])
    none_R = 2.0 + 0.5 * x_R
    at = np.arange(rows), arm_R
    outcome_R = np.column_stack([none_R[:, None] + effect_RA, none_R])[at] + generator.normal(size=rows)
    predicted_RA = average_A + exaggerated * (effect_RA - average_A)
    eligible_RB = np.column_stack([eligible_RA, np.ones(rows, bool)])
    return Decisions(arm_R, chance_RB[at], np.arange(rows), eligible_RB), outcome_R, predicted_RA, none_R, effect_RA


def test_they_are_their_definition() -> None:
    decisions, outcome_R, predicted_RA, none_R, _ = draw(np.random.default_rng(0), 60)
    expected_RB = np.column_stack([none_R[:, None] + predicted_RA, none_R])
    found_RA = aipw.effects(decisions, outcome_R, expected_RB)
    for a in range(ACTIONS):
        inverse = {arm: 0.0 for arm in (a, ACTIONS)}
        able = {arm: int(decisions.eligible_RB[:, arm].sum()) for arm in inverse}
        for r in range(60):
            if decisions.arm_R[r] in inverse:
                inverse[int(decisions.arm_R[r])] += 1 / decisions.propensity_R[r]
        for r in range(60):
            arm = int(decisions.arm_R[r])
            psi = expected_RB[r, a] - expected_RB[r, ACTIONS]
            if arm in inverse:
                weight = able[arm] / inverse[arm] / decisions.propensity_R[r]
                psi += (1 if arm == a else -1) * weight * (outcome_R[r] - expected_RB[r, arm])
            assert found_RA[r, a] == pytest.approx(psi if decisions.eligible_RB[r, a] else 0.0)


def test_their_mean_is_the_average_effect_even_of_a_useless_model() -> None:
    decisions, outcome_R, _, _, effect_RA = draw(np.random.default_rng(1), 40_000)
    found_RA = aipw.effects(decisions, outcome_R, np.zeros((40_000, ACTIONS + 1)))
    for a in range(ACTIONS):
        able_R = decisions.eligible_RB[:, a]
        spread = found_RA[able_R, a].std() / able_R.sum() ** 0.5
        assert abs(found_RA[able_R, a].mean() - effect_RA[able_R, a].mean()) < 4 * spread
        assert spread < 0.1


def test_the_slope_of_one_action_is_that_of_least_squares() -> None:
    generator = np.random.default_rng(2)
    predicted_R, user_R = generator.normal(size=200), np.repeat(np.arange(100), 2)
    realised_R = 0.4 * predicted_R + generator.normal(size=200)
    found = calibration.slope_of(predicted_R, realised_R, user_R)
    slope, offset = np.polyfit(predicted_R, realised_R, 1)
    assert found.value == pytest.approx(slope)
    lever_R, error_R = predicted_R - predicted_R.mean(), realised_R - offset - slope * predicted_R
    meat = sum(sum(lever_R[r] * error_R[r] for r in range(200) if user_R[r] == u) ** 2 for u in range(100))
    assert found.stderr == pytest.approx((meat * 100 / 99) ** 0.5 / (lever_R**2).sum(), rel=1e-6)
    assert calibration.slope_of(np.ones(200), realised_R, user_R) == calibration.Slope(None, None)


@pytest.mark.parametrize("exaggerated", [1.0, 2.0])
def test_pooled_slopes_find_how_far_predictions_exaggerate(exaggerated) -> None:
    """Differences between users are `exaggerated` times too large, those between actions' averages are right; over 120 draws the 95 %
    intervals cover that as often as they say."""
    covered = np.zeros(2, int)
    values = []
    for seed in range(120):
        decisions, outcome_R, predicted_RA, none_R, _ = draw(np.random.default_rng(seed), 800, exaggerated)
        expected_RB = np.column_stack([none_R[:, None] + predicted_RA, none_R])
        aipw_RA = aipw.effects(decisions, outcome_R, expected_RB)
        found = calibration.pooled(predicted_RA, aipw_RA, decisions.eligible_RB[:, :-1], decisions.user_R, 10)
        values.append((found.users.value, found.actions.value))
        for position, (slope, true) in enumerate(((found.users, 1 / exaggerated), (found.actions, 1.0))):
            covered[position] += abs(slope.value - true) < 1.96 * slope.stderr
    np.testing.assert_allclose(np.mean(values, axis=0), [1 / exaggerated, 1.0], atol=0.05)
    assert (covered >= 106).all(), covered


def test_groups_are_of_equal_size_and_rise() -> None:
    generator = np.random.default_rng(4)
    predicted, true = generator.normal(size=1_000), generator.normal(size=1_000)
    groups = calibration.groups_of(predicted, true, np.arange(1_000), 8)
    order = np.argsort(predicted)
    for position, group in enumerate(groups):
        part = order[position * 125 : (position + 1) * 125]
        assert group.predicted == pytest.approx(predicted[part].mean())
        assert group.realised == pytest.approx(true[part].mean())
        assert group.stderr == pytest.approx(true[part].std(ddof=1) / 125**0.5)
    assert calibration.groups_of(predicted, true, np.arange(1_000), 0) == ()
