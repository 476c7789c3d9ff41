"""What is added up: weights by action against plain loops, and against one weighted outcome where they do not depend on the action."""

import numpy as np
import pytest

from ranker.evaluate import objective, off_policy
from ranker.evaluate.objective import Objective
from ranker.evaluate.off_policy import Decisions

ROWS, ACTIONS = 500, 3


@pytest.fixture
def world():
    generator = np.random.default_rng(0)
    arm_R = generator.integers(0, ACTIONS + 1, ROWS)
    decisions = Decisions(
        arm_R, generator.uniform(0.2, 0.9, ROWS), np.arange(ROWS) // 2, np.ones((ROWS, ACTIONS + 1), bool)
    )
    policy_RB = generator.dirichlet(np.ones(ACTIONS + 1), ROWS)
    expected = [generator.normal(size=(ROWS, ACTIONS + 1)) for _ in range(2)]
    return decisions, policy_RB, generator.normal(size=(ROWS, 2)), expected


def test_weights_that_depend_on_no_action_are_one_weighted_outcome(world) -> None:
    decisions, policy_RB, outcome_RO, expected = world
    both = objective.weighted("objective", {"subs": 3.0, "days": -0.5}, ("subs", "days"), ACTIONS)
    found = objective.judge(both, decisions, policy_RB, outcome_RO, expected)
    mixed = off_policy.judge(decisions, policy_RB, outcome_RO @ [3.0, -0.5], 3.0 * expected[0] - 0.5 * expected[1])
    for name in ("IPS", "SNIPS", "DR"):
        assert found[name].estimate.value == pytest.approx(mixed[name].estimate.value)
        assert found[name].estimate.stderr == pytest.approx(mixed[name].estimate.stderr)
    logged = objective.as_logged(both, decisions, outcome_RO, expected)
    assert logged.estimate.value == pytest.approx((outcome_RO @ [3.0, -0.5]).mean())


def test_a_term_times_an_attribute_counts_what_the_contact_adds(world) -> None:
    """plain y(none) + sum over actions of policy * weight * (y(a) - y(none)), in the doubly robust form, row by row."""
    decisions, policy_RB, outcome_RO, expected = world
    weight_OA = np.array([[2.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
    one = Objective("objective", weight_OA, np.array([1.5, 0.0]))
    assert one.used == (0,)
    total = 0.0
    for r in range(ROWS):
        arm, q = int(decisions.arm_R[r]), expected[0][r]
        measure = [policy_RB[r, a] * weight_OA[0, a] for a in range(ACTIONS)]
        measure.append(1.5 - sum(measure))
        total += sum(m * e for m, e in zip(measure, q, strict=True))
        total += measure[arm] / decisions.propensity_R[r] * (outcome_RO[r, 0] - q[arm])
    found = objective.judge(one, decisions, policy_RB, outcome_RO, expected)
    assert found["DR"].estimate.value == pytest.approx(total / ROWS)
    effects = [np.arange(3.0), np.full(3, 100.0)]
    assert one.effect(effects).tolist() == [0.0, 1.0, -2.0]


def test_what_is_unused_is_not_judged(world) -> None:
    decisions, policy_RB, outcome_RO, expected = world
    days = objective.single(("subs", "days"), ACTIONS)[1]
    spoiled = outcome_RO.copy()
    spoiled[:, 0] = np.nan
    found = objective.judge(days, decisions, policy_RB, spoiled, expected)
    assert np.isfinite(found["IPS"].estimate.value)
