"""Off-policy estimators against a world whose truth is known."""

import numpy as np
import pytest

from ranker.evaluate import off_policy
from ranker.evaluate.off_policy import Decisions

ROWS, ARMS = 20_000, 5


@pytest.fixture(scope="module")
def world():
    """Softmax logging over 5 arms (the last is none), a policy to judge, outcomes with known means [R, B]."""
    generator = np.random.default_rng(11)
    x_R = generator.normal(size=ROWS)
    logging_RB = _softmax(np.outer(x_R, np.linspace(-1, 1, ARMS)))
    policy_RB = _softmax(np.outer(x_R, np.linspace(2, -2, ARMS)))
    mean_RB = 2.0 + np.outer(np.tanh(x_R), np.linspace(1, -1, ARMS)) + np.linspace(0, 1, ARMS)
    arm_R = (generator.random(ROWS)[:, None] > logging_RB.cumsum(1)).sum(1).clip(max=ARMS - 1)
    rows = np.arange(ROWS)
    decisions = Decisions(arm_R, logging_RB[rows, arm_R], rows, np.ones((ROWS, ARMS), bool))
    outcome_R = mean_RB[rows, arm_R] + generator.normal(size=ROWS)
    return decisions, policy_RB, outcome_R, mean_RB, float((policy_RB * mean_RB).sum(1).mean())


def _softmax(link_RB: np.ndarray) -> np.ndarray:
    weight_RB = np.exp(link_RB - link_RB.max(1, keepdims=True))
    return weight_RB / weight_RB.sum(1, keepdims=True)


@pytest.mark.parametrize("estimator", off_policy.ESTIMATORS)
def test_the_truth_is_within_three_standard_errors(world, estimator) -> None:
    decisions, policy_RB, outcome_R, mean_RB, truth = world
    estimate = off_policy.judge(decisions, policy_RB, outcome_R, mean_RB)[estimator].estimate
    assert abs(estimate.value - truth) < 3 * estimate.stderr
    assert estimate.stderr < 0.15  # the assertion above has teeth: the logged mean is further away than that
    assert abs(outcome_R.mean() - truth) > 3 * estimate.stderr


def test_doubly_robust_survives_a_wrong_model_and_gains_by_a_right_one(world) -> None:
    decisions, policy_RB, outcome_R, mean_RB, truth = world
    right = off_policy.doubly_robust(decisions, policy_RB, outcome_R, mean_RB).estimate
    wrong = off_policy.doubly_robust(decisions, policy_RB, outcome_R, np.zeros_like(mean_RB) + 7.0).estimate
    assert abs(wrong.value - truth) < 3 * wrong.stderr
    assert right.stderr < 0.7 * off_policy.ips(decisions, policy_RB, outcome_R).estimate.stderr
    assert right.stderr < wrong.stderr


def test_judging_the_logging_policy_is_the_mean(world) -> None:
    decisions, _, outcome_R, _, _ = world
    same_RB = np.zeros((ROWS, ARMS))
    same_RB[np.arange(ROWS), decisions.arm_R] = decisions.propensity_R
    judged = off_policy.ips(decisions, same_RB, outcome_R)
    assert judged.estimate.value == pytest.approx(outcome_R.mean())
    assert judged.estimate.stderr == pytest.approx(off_policy.as_logged(decisions, outcome_R).estimate.stderr)
    assert judged.effective_sample_size == pytest.approx(ROWS)


def test_a_policy_does_not_differ_from_itself_and_pairing_lowers_the_error(world) -> None:
    decisions, policy_RB, outcome_R, mean_RB, _ = world
    one = off_policy.doubly_robust(decisions, policy_RB, outcome_R, mean_RB)
    assert off_policy.difference(one, one, decisions.user_R).stderr == 0
    near_RB = policy_RB.copy()
    near_RB[:50] = near_RB[:50, ::-1]
    near = off_policy.doubly_robust(decisions, near_RB, outcome_R, mean_RB)
    assert off_policy.difference(one, near, decisions.user_R).stderr < 0.2 * one.estimate.stderr


def test_rows_of_one_user_are_not_independent() -> None:
    influence = np.random.default_rng(0).normal(size=1_000)
    alone = off_policy.clustered_stderr(influence, np.arange(1_000))
    assert alone == pytest.approx(influence.std(ddof=1) / 1_000**0.5)
    copied = off_policy.clustered_stderr(np.tile(influence, 4), np.tile(np.arange(1_000), 4))
    assert copied == pytest.approx(alone)


def test_greedy_prefers_nothing_to_a_loss_and_never_the_forbidden() -> None:
    score_RA = np.array([[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [3.0, 1.0], [1.0, 1.0]])
    eligible_RA = np.array([[True, True], [True, True], [True, True], [False, True], [True, True]])
    chosen = off_policy.greedy(score_RA, eligible_RA).argmax(1)
    assert chosen[:4].tolist() == [1, 2, 2, 1]
    assert chosen[4] in (0, 1)


def test_always_and_uniform_respect_eligibility() -> None:
    eligible_RA = np.array([[True, False], [False, False]])
    np.testing.assert_array_equal(off_policy.always(0, eligible_RA), [[1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(off_policy.always(2, eligible_RA), [[0, 0, 1], [0, 0, 1]])
    np.testing.assert_allclose(off_policy.uniform(eligible_RA), [[0.5, 0, 0.5], [0, 0, 1]])
