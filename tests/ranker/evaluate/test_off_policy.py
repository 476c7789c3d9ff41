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


def by_definition(decisions, policy, outcome, expected) -> dict[str, float]:
    """Every estimator as its formula reads, row by row; SWITCH at each of its thresholds."""
    weight, direct, residual = [], [], []
    for r in range(len(decisions)):
        arm = int(decisions.arm_R[r])
        weight.append(policy[r][arm] / decisions.propensity_R[r])
        direct.append(sum(policy[r][b] * expected[r][b] for b in range(ARMS)))
        residual.append(outcome[r] - expected[r][arm])
    rows = range(len(weight))
    thresholds = [np.quantile([abs(w) for w in weight if w != 0], q) for q in off_policy.SWITCH_AT]
    return {
        "IPS": sum(weight[r] * outcome[r] for r in rows) / len(weight),
        "SNIPS": sum(weight[r] * outcome[r] for r in rows) / sum(weight),
        "DR": sum(direct[r] + weight[r] * residual[r] for r in rows) / len(weight),
        "SWITCH-DR": [
            sum(direct[r] + weight[r] * residual[r] * (abs(weight[r]) <= t) for r in rows) / len(weight)
            for t in thresholds
        ],
    }


def draw(generator: np.random.Generator, rows: int):
    """A small world of its own: decisions, a policy, outcomes, a model that is wrong by half, and the policy's true value."""
    x_R = generator.normal(size=rows)
    logging_RB = _softmax(np.outer(x_R, np.linspace(-0.4, 0.4, ARMS)))
    policy_RB = _softmax(np.outer(x_R, np.linspace(0.4, -0.4, ARMS)))
    mean_RB = 1.0 + np.outer(np.tanh(x_R), np.linspace(1, -1, ARMS)) + np.linspace(0, 1, ARMS)
    arm_R = (generator.random(rows)[:, None] > logging_RB.cumsum(1)).sum(1).clip(max=ARMS - 1)
    at = np.arange(rows), arm_R
    decisions = Decisions(arm_R, logging_RB[at], np.arange(rows), np.ones((rows, ARMS), bool))
    return decisions, policy_RB, mean_RB[at] + generator.normal(size=rows), 0.5 * mean_RB, mean_RB


@pytest.mark.parametrize("seed", range(4))
def test_every_estimator_is_its_definition(seed) -> None:
    decisions, policy_RB, outcome_R, expected_RB, _ = draw(np.random.default_rng(seed), 300)
    found = off_policy.judge(decisions, policy_RB, outcome_R, expected_RB)
    written = by_definition(decisions, policy_RB.tolist(), outcome_R.tolist(), expected_RB.tolist())
    for name in ("IPS", "SNIPS", "DR"):
        assert found[name].estimate.value == pytest.approx(written[name], rel=1e-9)
    switched = found["SWITCH-DR"]
    assert np.isclose(switched.estimate.value, written["SWITCH-DR"], rtol=1e-9, atol=0).any()
    assert switched.estimate.value + switched.bias == pytest.approx(written["DR"], rel=1e-9)
    assert switched.estimate.stderr <= found["DR"].estimate.stderr


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """400 draws of 400 rows: of 95 % intervals, 92 to 98 in a hundred hold the truth; those of a difference do too."""
    _, policy_RB, _, _, mean_RB = draw(np.random.default_rng(10_000), 1_000_000)
    truth, ahead = (policy_RB * mean_RB).sum(1).mean(), (policy_RB * mean_RB).sum(1).mean() - mean_RB[:, 1].mean()
    covered = {name: 0 for name in (*off_policy.ESTIMATORS, "difference")}
    for seed in range(400):
        decisions, policy_RB, outcome_R, expected_RB, _ = draw(np.random.default_rng(seed), 400)
        found = off_policy.judge(decisions, policy_RB, outcome_R, expected_RB)
        for name, judged in found.items():
            covered[name] += judged.estimate.low <= truth <= judged.estimate.high
        fixed_RB = off_policy.always(1, np.ones((400, ARMS - 1), bool))
        other = off_policy.doubly_robust(decisions, fixed_RB, outcome_R, expected_RB)
        gap = off_policy.difference(found["DR"], other, decisions.user_R)
        covered["difference"] += gap.low <= ahead <= gap.high
    assert {name: count for name, count in covered.items() if not 368 <= count <= 392} == {}


def test_switch_errs_less_than_doubly_robust_where_weights_are_heavy_and_the_model_right() -> None:
    """Two arms, one of them logged once in fifty times: DR is at the mercy of those rows. A model far off is not trusted."""
    errors, trusted = {"DR": [], "SWITCH-DR": []}, 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        rare_R = generator.random(600) < 0.02
        propensity_R = np.where(rare_R, 0.02, 0.98)
        decisions = Decisions(rare_R.astype(np.int64), propensity_R, np.arange(600), np.ones((600, 2), bool))
        policy_RB, outcome_R = np.full((600, 2), 0.5), generator.normal(size=600)
        for name, found in off_policy.judge(decisions, policy_RB, outcome_R, np.zeros((600, 2))).items():
            if name in errors:
                errors[name].append(found.estimate.value)  # the truth is 0
        trusted += off_policy.switch(decisions, policy_RB, outcome_R, np.full((600, 2), 5.0)).bias != 0
    assert np.mean(np.square(errors["SWITCH-DR"])) < 0.9 * np.mean(np.square(errors["DR"]))
    assert trusted < 10


def test_a_slate_is_worth_the_sum_of_its_contacts_effects(world) -> None:
    decisions, _, outcome_R, mean_RB, _ = world
    row_N, action_N = np.concatenate([np.arange(ROWS), np.arange(0, ROWS, 2)]), np.repeat([1, 3], [ROWS, ROWS // 2])
    slates_RB = off_policy.of_slates(row_N, action_N, ROWS, ARMS - 1)
    assert slates_RB[:2].tolist() == [[0, 1, 0, 1, -1], [0, 1, 0, 0, 0]]
    effect_RA = mean_RB[:, :-1] - mean_RB[:, -1:]
    truth = mean_RB[:, -1].mean() + effect_RA[:, 1].mean() + effect_RA[::2, 3].sum() / ROWS
    for judged in off_policy.judge(decisions, slates_RB, outcome_R, 0.8 * mean_RB).values():
        assert abs(judged.estimate.value - truth) < 3 * judged.estimate.stderr
        assert judged.estimate.stderr < 0.25
    # For two contacts each: what is gained and what is taken off are normalised apart, each as SNIPS alone would be.
    parts = [off_policy.snips(decisions, np.maximum(sign * slates_RB, 0), outcome_R) for sign in (1, -1)]
    mass = [np.maximum(sign * slates_RB, 0).sum(1).mean() for sign in (1, -1)]
    whole = off_policy.snips(decisions, slates_RB, outcome_R).estimate.value
    weight_R = np.maximum(slates_RB, 0)[np.arange(ROWS), decisions.arm_R] / decisions.propensity_R
    assert parts[0].estimate.value == pytest.approx(mass[0] * (weight_R @ outcome_R) / weight_R.sum(), rel=1e-6)
    assert whole == pytest.approx(parts[0].estimate.value - parts[1].estimate.value)


def test_judging_the_logging_policy_is_the_mean(world) -> None:
    decisions, _, outcome_R, _, _ = world
    same_RB = np.zeros((ROWS, ARMS))
    same_RB[np.arange(ROWS), decisions.arm_R] = decisions.propensity_R
    judged = off_policy.ips(decisions, same_RB, outcome_R)
    assert judged.estimate.value == pytest.approx(outcome_R.mean())
    assert judged.estimate.stderr == pytest.approx(off_policy.mean_of(outcome_R, decisions.user_R).estimate.stderr)
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
