"""The multi-armed Qini against a linear programme, against plain loops, and against a world whose truth is known."""

import numpy as np
import pytest
from scipy.optimize import linprog

from ranker.evaluate import budget_curves


def best_promise(score_RA, eligible_RA, cost_A, budget: float) -> float:
    """The most that can be promised per row within a budget per row, fractions of rows allowed: by linear programming."""
    rows, actions = score_RA.shape
    gain = np.where(eligible_RA, score_RA, 0.0).reshape(-1)
    once = np.kron(np.eye(rows), np.ones(actions))
    found = linprog(
        -gain,
        A_ub=np.vstack([once, np.tile(cost_A, rows)]),
        b_ub=np.append(np.ones(rows), budget * rows),
        bounds=[(0, 1 if may else 0) for may in eligible_RA.reshape(-1)],
    )
    return -found.fun / rows


@pytest.mark.parametrize("seed", range(8))
def test_what_it_spends_promises_the_most_that_a_budget_can_buy(seed) -> None:
    """With ties, several costs and actions at no cost: judged by its own promises, the path is the optimum at every budget."""
    generator = np.random.default_rng(seed)
    score_RA = np.round(generator.normal(0.3, 1.0, (12, 5)), 1)
    eligible_RA = generator.random((12, 5)) < 0.8
    cost_A = np.array([1.0, 2.0, 0.5, 0.0 if seed % 2 else 1.0, 3.0])
    path = budget_curves.spend_by(score_RA, eligible_RA, cost_A)
    most = path.most / 12
    levels = np.linspace(0, 1.2 * most, 9).tolist()
    for budget, (spent, gain_R) in zip(levels, budget_curves.gains(path, score_RA, levels), strict=True):
        assert gain_R.mean() == pytest.approx(best_promise(score_RA, eligible_RA, cost_A, budget), abs=1e-7)
        assert spent <= budget * (1 + 1e-9)
        assert spent == pytest.approx(min(budget, most))


def test_ties_are_one_block_whatever_the_order_of_rows() -> None:
    """Without covariates the budget buys the same part of every row, so gains are a straight line to the best action's average."""
    generator = np.random.default_rng(0)
    realised_RA = generator.normal(size=(50, 3))
    score_RA = np.tile([0.1, 0.3, 0.2], (50, 1))
    eligible_RA = np.ones((50, 3), bool)
    path = budget_curves.spend_by(score_RA, eligible_RA, np.ones(3))
    for budget, (_, gain_R) in zip(
        (0.25, 0.5, 1.0), budget_curves.gains(path, realised_RA, (0.25, 0.5, 1.0)), strict=True
    ):
        np.testing.assert_allclose(gain_R, budget * realised_RA[:, 1])


def test_nobody_is_given_what_promises_nothing_or_is_forbidden() -> None:
    score_RA = np.array([[-1.0, -2.0], [5.0, 1.0], [0.0, 0.0]])
    eligible_RA = np.array([[True, True], [False, True], [True, True]])
    path = budget_curves.spend_by(score_RA, eligible_RA, np.ones(2))
    ((spent, gain_R),) = budget_curves.gains(path, np.full((3, 2), 7.0), [1.0])
    assert (spent, gain_R.tolist()) == (pytest.approx(1 / 3), [0.0, 7.0, 0.0])
    nothing = budget_curves.spend_by(-np.ones((3, 2)), eligible_RA, np.ones(2))
    ((spent, gain_R),) = budget_curves.gains(nothing, np.full((3, 2), 7.0), [1.0])
    assert (spent, gain_R.tolist()) == (0.0, [0.0, 0.0, 0.0])


def test_with_one_action_and_one_cost_it_is_the_gain_of_the_first_rows() -> None:
    """Rows one after another by score, as a loop would take them."""
    generator = np.random.default_rng(1)
    score_R, realised_R = generator.normal(1.0, 0.2, 40), generator.normal(size=40)
    path = budget_curves.spend_by(score_R[:, None], np.ones((40, 1), bool), np.ones(1))
    order = sorted(range(40), key=lambda r: -score_R[r])
    for share, (_, gain_R) in zip(
        (0.1, 0.3125, 1.0), budget_curves.gains(path, realised_R[:, None], (0.1, 0.3125, 1.0)), strict=True
    ):
        whole, part = int(share * 40), share * 40 - int(share * 40)
        expected = sum(realised_R[r] for r in order[:whole]) + (part * realised_R[order[whole]] if part else 0.0)
        assert gain_R.sum() == pytest.approx(expected)


def test_random_gives_every_eligible_action_alike() -> None:
    eligible_RA = np.array([[True, False], [True, True], [False, False]])
    gain_R, cost = budget_curves.spend_at_random(
        eligible_RA, np.array([[1.0, 9.0], [2.0, 4.0], [9.0, 9.0]]), np.array([1.0, 2.0])
    )
    assert gain_R.tolist() == [1.0, 3.0, 0.0]
    assert cost == pytest.approx((1.0 + 1.5) / 3)


def test_its_intervals_cover_the_true_gain_and_the_true_lead() -> None:
    """200 draws of a trial with two actions: the gain of a score at half the budget, and its lead over one without covariates."""

    def draw(generator: np.random.Generator, rows: int):
        x_R = generator.normal(size=rows)
        effect_RA = 0.2 + np.outer(x_R, [0.5, -0.5])
        noise_RA = generator.normal(0.0, 2.0, (rows, 2))
        return effect_RA, effect_RA + noise_RA  # realised effects are unbiased, row by row

    def at_half(effect_RA, realised_RA):
        scores = {"score": effect_RA, "flat": np.broadcast_to([0.2, 0.19], effect_RA.shape)}
        eligible_RA, user_R = np.ones(effect_RA.shape, bool), np.arange(len(effect_RA))
        found = budget_curves.curves(scores, "random", realised_RA, eligible_RA, np.ones(2), user_R, 4)
        return {curve.name: curve for curve in found}

    effect_RA, _ = draw(np.random.default_rng(99), 400_000)
    truth = at_half(effect_RA, effect_RA)
    covered = np.zeros(4, int)
    for seed in range(200):
        found = at_half(*draw(np.random.default_rng(seed), 500))
        for position, (estimate, true) in enumerate(
            (
                (found["score"].points[1].gain, truth["score"].points[1].gain.value),
                (found["flat"].ours_minus_this[1], truth["flat"].ours_minus_this[1].value),
                (found["random"].ours_minus_this[3], truth["random"].ours_minus_this[3].value),
                (found["flat"].area_ours_minus_this, truth["flat"].area_ours_minus_this.value),
            )
        ):
            covered[position] += estimate.low <= true <= estimate.high
    assert truth["flat"].ours_minus_this[1].value > 0.2
    assert (covered >= 182).all() and (covered <= 198).all(), covered


def test_a_score_does_not_differ_from_itself_and_nothing_to_buy_is_no_curve() -> None:
    generator = np.random.default_rng(3)
    score_RA, realised_RA = generator.random((30, 2)), generator.normal(size=(30, 2))
    args = (np.ones((30, 2), bool), np.ones(2), np.arange(30), 5)
    first = budget_curves.curves({"a": score_RA, "b": score_RA}, "random", realised_RA, *args)[1]
    assert {(gap.value, gap.stderr) for gap in first.ours_minus_this} == {(0.0, 0.0)}
    nobody = (np.zeros((30, 2), bool), np.ones(2), np.arange(30), 5)
    assert budget_curves.curves({"a": score_RA}, "random", realised_RA, *nobody) == ()
